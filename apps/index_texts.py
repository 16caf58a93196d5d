"""Writes an index of texts, to be searched by meaning and by words, and optionally of the entities that they name.

$ python -m apps.index_texts --run runs/finetune_embedder/... --data FOLDER --index texts.index
$ python -m apps.index_texts --saved-model saved_models/embedder --data faq.csv --text-field answer --index faq.index
$ python -m apps.index_texts --run RUN --data FOLDER --index texts.index --tagger runs/finetune_tagger/...
"""

import dataclasses
import functools
from typing import Literal

from karpa_tf import cli
from karpa_tf.configs.source import ModelSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(ModelSource):
    """Flags of this program."""

    data: str | None = None
    """Texts: a table, a text file, a folder or a glob of text files, a .jsonl file, or python_docs."""

    index: str | None = None
    """Folder to write; nothing may be there yet."""

    tagger: str | None = None
    """Run folder, or exported version, of a tagger whose spans are the entities."""

    text_field: str | None = None
    """Column of the text, or field of JSON lines; None finds it by its name."""

    documents: Literal["auto", "lines", "paragraphs", "files"] = "auto"
    """What is a text of a text file, as for finetune_embedder."""

    encoding: str = "utf-8"
    """Encoding of the files."""


def run(config):
    """Writes the index; returns its folder."""
    config.require_source()
    if not (config.data and config.index):
        raise UserError("Give --data, the texts, and --index, the folder to write.")
    from karpa_tf.data.text.related import load_texts
    from karpa_tf.evaluation.predictions import BATCH_SIZE, embed_texts, tag_texts
    from karpa_tf.search import entities, index
    from karpa_tf.system.console import track
    from karpa_tf.system.files import require_writable
    from karpa_tf.tasks import embedder, tagger

    index.require_usearch()
    index.require_new(config.index)
    require_writable(config.index, "--index")
    embed = embedder.connect(config)
    mark = tagger.load_run_or_version(config.tagger, "--tagger") if config.tagger else None
    texts = load_texts(config)
    (probe,) = embed_texts(embed, [index.PROBE])
    batches = track(embed_texts(embed, texts), "Embedding", total=-(-len(texts) // BATCH_SIZE))
    add_tables = None
    if mark:
        tagged = track(tag_texts(mark, texts), "Tagging", total=len(texts))
        add_tables = functools.partial(entities.add_entities, tagged=tagged)
    metadata = {"data": config.data} | embedder.describe_source(config)
    index.write(config.index, texts, batches, probe, metadata, add_tables)
    print(f"{len(texts):,} texts are indexed in {config.index}")
    return config.index


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
