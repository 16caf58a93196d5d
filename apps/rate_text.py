"""Predicts a number for texts, with a run of regression, an exported model or a model on a server.

$ python -m apps.rate_text --run runs/finetune_text/... --text "A good film." "A bad one."     # or --file texts.txt
$ python -m apps.rate_text --run RUN --text "A dog runs." --text-pair "An animal moves."       # if texts come in pairs
$ python -m apps.rate_text --server http://127.0.0.1:8501 --model NAME --file texts.txt --out numbers.csv
"""

import dataclasses

from karpa_tf import cli
from karpa_tf.configs.source import TextSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(TextSource):
    """Flags of this program."""

    out: str | None = None
    """CSV file for the results, with one row per text."""


def run(config):
    """Prints a number for each text; returns a list of (text, number), or of (text, second text, number)."""
    config.require_source()
    if not (config.text or config.file):
        raise UserError("Give texts, with --text or --file.")
    from karpa_tf.evaluation.predictions import rate_texts, read_texts
    from karpa_tf.system.text_files import write_table

    texts, pairs = read_texts(config)
    results = []
    for row in rate_texts(_load(config, bool(pairs)), texts, pairs):
        results.append(row)
        print(f"{row[-1]:.6g}  {'  '.join(row[:-1])}")
    if config.out:
        header = ["text", "text_pair", "value"] if pairs else ["text", "value"]
        write_table(config.out, header, [(*row[:-1], f"{row[-1]:.6g}") for row in results], "--out")
    return results


def _load(config, has_pairs):
    if config.server:
        from karpa_tf.evaluation.predictions import PAIR_VALUES, TEXT_VALUES
        from karpa_tf.serving.client import connect

        return connect(config).function(*(PAIR_VALUES if has_pairs else TEXT_VALUES))
    from karpa_tf.tasks import text_regressor

    return text_regressor.load_function(config.run, config.saved_model, has_pairs)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
