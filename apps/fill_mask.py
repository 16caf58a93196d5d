"""Fills the blanks of texts.

$ python -m apps.fill_mask --run runs/train_mlm/... "Return the [MASK] of the [MASK]."
$ python -m apps.fill_mask --saved-model saved_models/bert_tiny --file lines.txt --out words.csv
$ echo "A [MASK] text." | python -m apps.fill_mask --run RUN --file -
"""

import csv
import dataclasses
import sys
from pathlib import Path

from karpa_tf import cli
from karpa_tf.errors import UserError

AT_ONCE = 64
"""Texts that the model is asked about in one go."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    run: str | None = None
    """Folder of a run of train_mlm."""

    saved_model: str | None = None
    """Folder of an exported version, in place of --run."""

    texts: tuple[str, ...] = ()
    """Texts with [MASK] for every blank; the flag's name can be left out."""

    file: str | None = None
    """A UTF-8 file with a text in every line; - is standard input."""

    top: int = 5
    """How many words to name for a blank, ten at most."""

    out: str | None = None
    """A CSV file for the results, with a row for each blank and word."""

    verbose: bool = False
    """Show TensorFlow's own messages."""


def run(config):
    """Prints the likeliest words; returns a list of (text, [[(word, probability), ...] for each blank])."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Name one of --run DIR and --saved-model DIR: the model to ask.")
    if not 1 <= config.top <= 10:
        raise UserError(f"--top must be from 1 to 10; received {config.top}.")
    texts = [*config.texts, *(_read(config.file) if config.file else [])]
    if not texts:
        raise UserError('Name a text such as "The [MASK] of a list.", or --file.')
    blank = [text for text in texts if "[MASK]" in text]
    for text in texts:
        if "[MASK]" not in text:
            message = f"There is no [MASK] in {text!r:.60}; write one for every word to guess."
            if not blank:
                raise UserError(message)
            print(f"warning: {message}", file=sys.stderr)

    import tensorflow as tf

    from karpa_tf.tasks import masked_lm as masked_lm_runs

    fill = masked_lm_runs.load_fill_mask(config.run, config.saved_model)
    results = []
    for start in range(0, len(blank), AT_ONCE):
        part = blank[start : start + AT_ONCE]
        answer = {name: value.numpy() for name, value in fill(tf.constant(part)).items()}
        for text, *row in zip(part, *(answer[name] for name in ("tokens", "scores", "positions")), strict=True):
            results.append((text, _words(*row, config.top)))
            _print(*results[-1])
    if config.out:
        _write(config.out, results)
    return results


def _read(name):
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"--file {name} cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise UserError(
            f"--file {name} is not UTF-8: byte {error.start} is 0x{error.object[error.start]:02x}."
        ) from None
    return [line for line in text.splitlines() if line.strip()]


def _words(tokens, scores, positions, top):
    return [
        [(token.decode(), float(score)) for token, score in zip(names[:top], shares[:top], strict=True)]
        for names, shares, position in zip(tokens, scores, positions, strict=True)
        if position >= 0
    ]


def _print(text, blanks):
    parts = text.split("[MASK]")
    filled = parts[0]
    for words, part in zip(blanks, parts[1:], strict=False):
        filled += words[0][0] + part
    print(filled + "[MASK]".join(["", *parts[len(blanks) + 1 :]]))
    for number, words in enumerate(blanks, 1):
        label = f"  {number}: " if len(parts) > 2 else "  "
        print(label + "  ".join(f"{word} {probability:.1%}" for word, probability in words))
    if len(blanks) < len(parts) - 1:
        print(f"warning: only the first {len(blanks)} blanks are within the model's length.", file=sys.stderr)


def _write(path, results):
    try:
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["text", "blank", "rank", "word", "probability"])
            for text, blanks in results:
                for number, words in enumerate(blanks, 1):
                    table.writerows((text, number, rank, word, f"{p:.6f}") for rank, (word, p) in enumerate(words, 1))
    except OSError as error:
        raise UserError(f"--out {path} cannot be written ({error.strerror}).") from error


def main():
    with cli.errors():
        run(cli.parse(Config(), __doc__, words="texts"))


if __name__ == "__main__":
    main()
