"""Marks named entities, or other spans, in texts, with a run, an exported model or a model on a server.

$ python -m apps.tag_text --run runs/finetune_tagger/... "Anna Smith lives in Paris."
$ python -m apps.tag_text --saved-model saved_models/tagger --file lines.txt --page marked.html --out spans.csv
$ python -m apps.tag_text --server http://127.0.0.1:8501 --model tagger "Anna Smith lives in Paris."
"""

import dataclasses
import sys

from karpa_tf import cli
from karpa_tf.configs.source import ModelSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(ModelSource):
    """Flags of this program."""

    texts: cli.Positional[tuple[str, ...]] = ()
    """Texts to mark."""

    file: str | None = None
    """UTF-8 file with one text per line; - is standard input."""

    out: str | None = None
    """CSV file for the results, with one row per span; start and end count characters."""

    page: str | None = None
    """HTML file for the texts with their spans marked."""


def run(config):
    """Prints the texts with their spans; returns a list of (text, [(start, end, type, score), ...])."""
    config.require_source()
    if not config.texts and not config.file:
        raise UserError('Give a text such as "Anna Smith lives in Paris.", or --file.')

    from karpa_tf.evaluation.marked_spans import mark_for_terminal, save_page
    from karpa_tf.evaluation.predictions import tag_texts
    from karpa_tf.system.text_files import read_lines, write_table

    texts, results = [*config.texts, *(read_lines(config.file) if config.file else [])], []
    for text, spans in tag_texts(_load(config), texts):
        results.append((text, spans))
        print(mark_for_terminal(text, spans, sys.stdout.isatty()))
    if config.out:
        rows = ((text, s, e, text[s:e], name, f"{p:.6f}") for text, spans in results for s, e, name, p in spans)
        write_table(config.out, ["text", "start", "end", "span", "type", "score"], rows, "--out")
    if config.page:
        save_page(config.page, results)
    return results


def _load(config):
    if config.server:
        from karpa_tf.evaluation.predictions import SPANS
        from karpa_tf.serving.client import connect

        return connect(config).function(*SPANS)
    from karpa_tf.tasks import tagger

    return tagger.load_function(config.run, config.saved_model)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
