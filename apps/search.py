"""Searches an index of index_texts by meaning and by words, or for what is said about an entity.

$ python -m apps.search --index texts.index "how to train a dog" "the price of milk"
$ python -m apps.search --index texts.index --file queries.txt --top 5 --page found.html --out found.csv
$ python -m apps.search --index texts.index --by words "milk"                         needs no model
$ python -m apps.search --index texts.index --entity Paris                            of an index with --tagger
"""

import dataclasses
from typing import Literal

from karpa_tf import cli
from karpa_tf.configs.run import require_positive
from karpa_tf.configs.source import ModelSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(ModelSource):
    """Flags of this program; without a model, that of the index is used."""

    queries: cli.Positional[tuple[str, ...]] = ()
    """What to search for."""

    index: str | None = None
    """Folder of an index."""

    file: str | None = None
    """UTF-8 file with one query per line; - is standard input."""

    by: Literal["both", "meaning", "words"] = "both"
    """Compare embeddings, words (BM25), or both: the sum of their scores, weighed on the run's validation split."""

    top: int = 10
    """Number of texts, or of linked entities, to print."""

    entity: str | None = None
    """Name of an entity: print the entities that sentences name together with it, and texts that name it."""

    out: str | None = None
    """CSV file for the results, with one row per text found."""

    page: str | None = None
    """HTML file for the results."""


def run(config):
    """Prints what is found; returns a list of (query, [(text, score), ...]), or what `list_entities` returns."""
    require_positive("top", config.top)
    if not config.index or bool(config.queries or config.file) == bool(config.entity):
        raise UserError('Give --index, and a query such as "the price of milk", or --file, or else --entity.')
    from karpa_tf.evaluation import found_texts
    from karpa_tf.search import entities
    from karpa_tf.search.index import SearchIndex
    from karpa_tf.system.text_files import read_lines

    index = SearchIndex(config.index)
    if config.entity:
        found = entities.look_up(index.database, config.entity, config.top)
        results = found_texts.list_entities(found, index.read_texts)
    else:
        from karpa_tf.tasks import embedder

        queries = [*config.queries, *(read_lines(config.file) if config.file else [])]
        results = embedder.search(index, queries, config)
    print(found_texts.format_results(results))
    if config.out:
        found_texts.save_table(config.out, results)
    if config.page:
        found_texts.save_page(config.page, results)
    return results


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
