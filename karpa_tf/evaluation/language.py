"""A masked language model on held-out text: its figures, those of guessing by frequency, and examples."""

import json
import math

import numpy as np

from karpa_tf.metrics import language

EXAMPLES = 20
"""Rows that are shown."""


def save_report(folder, trainer, batches, counts, vocabulary):
    """Writes `report.json` and `examples.txt`, and returns the content of the first.

    `loss` (nats), `accuracy` and `perplexity` are over the hidden tokens; `unigram_perplexity` and `unigram_accuracy`
    are what guessing by the training text's frequencies gives for the same tokens. In the examples a right guess stands
    as [word], a wrong one as [guess, not word].

    Args:
        folder: where to; exists.
        trainer: compiled `MaskedLM` of the model to measure.
        batches: dataset of `held_out_batches`.
        counts: int (vocabulary,), how often each token comes in the training text.
        vocabulary: a `Vocabulary`.
    """
    report = {name: float(value) for name, value in trainer.evaluate(batches, verbose=0, return_dict=True).items()}
    hidden = np.concatenate([batch["mask_ids"][batch["mask_weights"] > 0] for batch in batches.as_numpy_iterator()])
    report |= {"perplexity": language.perplexity(report["loss"]), "count": len(hidden)}
    report["unigram_perplexity"], report["unigram_accuracy"] = language.unigram(hidden, counts)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    lines = _examples(trainer, next(batches.as_numpy_iterator()), vocabulary)
    (folder / "examples.txt").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return report


def _examples(trainer, batch, vocabulary):
    outputs = trainer.exported({tensor.name: batch[tensor.name] for tensor in trainer.exported.inputs}, training=False)
    guesses = np.argmax(outputs["logits"] if isinstance(outputs, dict) else outputs, axis=-1)
    lines = []
    for row in range(min(EXAMPLES, len(guesses))):
        words = [vocabulary.tokens[place] for place in batch["token_ids"][row][batch["padding_mask"][row]]]
        for place, truth, guess, weight in zip(
            *(batch[name][row] for name in ("mask_positions", "mask_ids")),
            guesses[row],
            batch["mask_weights"][row],
            strict=True,
        ):
            if weight:
                truth, guess = vocabulary.tokens[truth], vocabulary.tokens[guess]
                words[place] = f"[{truth}]" if guess == truth else f"[{guess}, not {truth}]"
        lines.append(" ".join(words[1:-1]).replace(" ##", ""))
    return [line for line in lines if line]


def summarize(report):
    """Returns the metrics of a report and of its unigram baseline as text, three lines."""
    return (
        f"Held out    {report['count']:,} masked tokens\n"
        f"            perplexity {report['perplexity']:.2f}, accuracy {report['accuracy']:.2%}\n"
        f"            {report['unigram_perplexity']:.2f} and {report['unigram_accuracy']:.2%} for the unigram baseline"
    )


def add_unigram_baseline(rows, report):
    """Returns the rows of `metrics.csv`, dicts, with the loss and accuracy of a report's unigram baseline."""
    baseline = {
        "unigram_loss": math.log(report["unigram_perplexity"]),
        "unigram_accuracy": report["unigram_accuracy"],
    }
    return [row | baseline for row in rows]
