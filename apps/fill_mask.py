"""Predicts the masked words of texts.

$ python -m apps.fill_mask --run runs/train_mlm/... "Return the [MASK] of the [MASK]."
$ python -m apps.fill_mask --saved-model saved_models/bert_tiny --file lines.txt --out words.csv
$ python -m apps.fill_mask --server http://127.0.0.1:8501 --model bert_tiny "Return the [MASK]."
$ echo "A [MASK] text." | python -m apps.fill_mask --run RUN --file -
"""

import dataclasses

from karpa_tf import cli
from karpa_tf.configs.source import ModelSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(ModelSource):
    """Flags of this program."""

    texts: cli.Positional[tuple[str, ...]] = ()
    """Texts with [MASK] for every word to predict."""

    file: str | None = None
    """UTF-8 file with one text per line; - is standard input."""

    top: int = 5
    """Number of words to print per mask, at most 10."""

    out: str | None = None
    """CSV file for the results, with one row per mask and word."""


def run(config):
    """Prints the most probable words; returns a list of (text, [[(word, probability), ...] per mask])."""
    config.require_source()
    if not 1 <= config.top <= 10:
        raise UserError(f"--top must be from 1 to 10; received {config.top}.")
    if not config.texts and not config.file:
        raise UserError('Give a text such as "The [MASK] of a list.", or --file.')

    from karpa_tf.evaluation import predictions
    from karpa_tf.system.text_files import read_lines, write_table

    texts = predictions.require_masks([*config.texts, *(read_lines(config.file) if config.file else [])])
    results = []
    for text, masks in predictions.fill_masks(_load(config), texts, config.top):
        results.append((text, masks))
        print(predictions.format_filled(text, masks))
    if config.out:
        rows = [
            (text, number, rank, word, f"{p:.6f}")
            for text, masks in results
            for number, words in enumerate(masks, 1)
            for rank, (word, p) in enumerate(words, 1)
        ]
        write_table(config.out, ["text", "mask", "rank", "word", "probability"], rows, "--out")
    return results


def _load(config):
    if config.server:
        from karpa_tf.evaluation.predictions import MASKED_TEXTS
        from karpa_tf.serving.client import connect

        return connect(config).function(*MASKED_TEXTS)
    from karpa_tf.tasks import masked_lm

    return masked_lm.load_function(config.run, config.saved_model)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
