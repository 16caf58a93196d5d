"""The report on a masked language model and held-out text: metrics, the unigram baseline, and examples."""

import json
import math
import re

import numpy as np

from karpa_tf.data.text.vocabulary import SPECIAL
from karpa_tf.evaluation.results import describe_gain, read_baselines
from karpa_tf.metrics import language
from karpa_tf.metrics.intervals import difference
from karpa_tf.system.files import write_text

MAX_EXAMPLES = 20
"""Number of sequences in `examples.txt`."""


def save_report(folder, trainer, batches, counts, vocabulary, **details):
    """Writes `report.json` and `examples.txt`, and returns the content of the first.

    `loss` (nats), `accuracy` and `perplexity` are over the masked tokens, and `bits_per_byte` over the text that they
    stand for, so that it can be compared between vocabularies; `unigram_perplexity` and `unigram_accuracy`
    are those of predicting the same tokens by `counts`; `unigram_accuracy_gain_low` and
    `unigram_accuracy_gain_high` are the interval of `metrics.intervals.difference`, as if tokens were independent. In
    the examples a correct prediction is written as [word], a wrong one as [prediction, not word].

    Args:
        folder: an existing folder.
        trainer: compiled trainer of the model to evaluate.
        batches: dataset of `make_held_out_batches` or `make_held_out_pair_batches`, with a masked token.
        counts: int (vocabulary,), how often each token occurs in the training text, or in the evaluated one; those of
            special tokens, which are never masked, do not count.
        vocabulary: a `Vocabulary`.
        **details: more entries of the report, such as what was evaluated.
    """
    report = {name: float(value) for name, value in trainer.evaluate(batches, verbose=0, return_dict=True).items()}
    masked = np.concatenate([batch["mask_ids"][batch["mask_weights"] > 0] for batch in batches.as_numpy_iterator()])
    report |= {"perplexity": language.perplexity(report["loss"]), "count": len(masked)}
    report["bits_per_byte"] = language.bits_per_byte(report["loss"], masked, vocabulary.tokens)
    counts = np.where(np.arange(len(counts)) < len(SPECIAL), 0, counts)
    report["unigram_perplexity"], report["unigram_accuracy"] = language.unigram_baseline(masked, counts)
    correct, unigram_correct = (round(report[name] * len(masked)) for name in ("accuracy", "unigram_accuracy"))
    report["unigram_accuracy_gain_low"], report["unigram_accuracy_gain_high"] = difference(
        correct, len(masked), unigram_correct, len(masked)
    )
    report |= details
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    lines = _format_examples(trainer, next(batches.as_numpy_iterator()), vocabulary)
    (folder / "examples.txt").write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return report


def summarize(report, what="Held out"):
    """Returns the metrics of a report and of its unigram baseline as text, four lines; `what` is before the first."""
    unigram = read_baselines(report)[0]
    return (
        f"{what:12}{report['count']:,} masked tokens\n"
        f"            perplexity {report['perplexity']:.2f}, accuracy {report['accuracy']:.2%}, "
        f"{report['bits_per_byte']:.3f} bits per byte\n"
        f"            {unigram['perplexity']:.2f} and {unigram['accuracy']:.2%} by token frequency alone\n"
        f"{describe_gain(unigram, report['count'])}"
    )


def add_unigram_baseline(rows, report):
    """Returns the rows of `metrics.csv`, dicts, with the loss and accuracy of a report's unigram baseline."""
    baseline = {
        "unigram_loss": math.log(report["unigram_perplexity"]),
        "unigram_accuracy": report["unigram_accuracy"],
    }
    return [row | baseline for row in rows]


def _format_examples(trainer, batch, vocabulary):
    outputs = trainer.exported({tensor.name: batch[tensor.name] for tensor in trainer.exported.inputs}, training=False)
    predictions = np.argmax(outputs["logits"] if isinstance(outputs, dict) else outputs, axis=-1)
    lines = []
    for row in range(min(MAX_EXAMPLES, len(predictions))):
        words = [vocabulary.tokens[token] for token in batch["token_ids"][row][batch["padding_mask"][row]]]
        columns = (batch[name][row] for name in ("mask_positions", "mask_ids", "mask_weights"))
        for position, target, weight, prediction in zip(*columns, predictions[row], strict=True):
            if weight:
                word, predicted = vocabulary.tokens[target], vocabulary.tokens[prediction]
                words[position] = f"[{word}]" if predicted == word else f"[{predicted}, not {word}]"
        lines.append(re.sub(r"(?<!, not) ##", "", " ".join(words[1:-1])))
    return [line for line in lines if line]
