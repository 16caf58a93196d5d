"""Predicts the masked words of texts.

$ python -m apps.fill_mask --run runs/train_mlm/... "Return the [MASK] of the [MASK]."
$ python -m apps.fill_mask --saved-model saved_models/bert_tiny --file lines.txt --out words.csv
$ echo "A [MASK] text." | python -m apps.fill_mask --run RUN --file -
"""

import dataclasses

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    texts: cli.Positional[tuple[str, ...]] = ()
    """Texts with [MASK] for every word to predict."""

    run: str | None = None
    """Run folder of a masked language model."""

    saved_model: str | None = None
    """Folder of an exported version, instead of --run."""

    file: str | None = None
    """UTF-8 file with one text per line; - is standard input."""

    top: int = 5
    """Number of words to print per mask, at most 10."""

    out: str | None = None
    """CSV file for the results, with one row per mask and word."""

    verbose: bool = False
    """Show TensorFlow's log messages."""


def run(config):
    """Prints the most probable words; returns a list of (text, [[(word, probability), ...] per mask])."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Give one of --run DIR and --saved-model DIR: the model to use.")
    if not 1 <= config.top <= 10:
        raise UserError(f"--top must be from 1 to 10; received {config.top}.")
    if not config.texts and not config.file:
        raise UserError('Give a text such as "The [MASK] of a list.", or --file.')

    from karpa_tf.system.text_files import read_lines, write_table
    from karpa_tf.tasks import masked_lm

    texts = [*config.texts, *(read_lines(config.file) if config.file else [])]
    results = []
    for text, masks in masked_lm.fill_masks(config.run, config.saved_model, texts, config.top):
        results.append((text, masks))
        print(masked_lm.format_filled(text, masks))
    if config.out:
        rows = [
            (text, number, rank, word, f"{p:.6f}")
            for text, masks in results
            for number, words in enumerate(masks, 1)
            for rank, (word, p) in enumerate(words, 1)
        ]
        write_table(config.out, ["text", "mask", "rank", "word", "probability"], rows, "--out")
    return results


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
