"""The entities that texts name, in the database of an index: a small knowledge graph.

Two entities are linked if a sentence names both. Names are the same if they differ in case and spaces only.
"""

import bisect
import dataclasses
import itertools
import re
import unicodedata

from karpa_tf.errors import UserError

SENTENCE_END = re.compile(r"(?<=[.!?\u2026])[\"'\u201d\u2019)\]]*\s+|(?<=[\u3002\uff01\uff1f])[\u300d\u300f]*|\n+")
"""Where a sentence ends: after its punctuation and a space, after that of Chinese and Japanese, or with the line."""


def add_entities(database, tagged):
    """Adds the tables `entities` (id, name, type) and `mentions` (entity, text, sentence).

    Args:
        database: `sqlite3.Connection` with the table `texts` (id, text).
        tagged: iterable of texts, in the order of their ids, and their spans, lists of (start, end, type, score).
    """
    database.execute("CREATE TABLE entities (id INTEGER PRIMARY KEY, name TEXT, type TEXT, key TEXT)")
    database.execute("CREATE TABLE mentions (entity INTEGER, text INTEGER, sentence INTEGER)")
    ids = {}
    for text_id, (text, spans) in enumerate(tagged):
        ends = [match.end() for match in SENTENCE_END.finditer(text)]
        for start, end, kind, _ in spans:
            name = " ".join(text[start:end].split())
            key = _normalize(name), kind
            if key not in ids:
                ids[key] = len(ids)
                database.execute("INSERT INTO entities VALUES (?, ?, ?, ?)", (ids[key], name, kind, key[0]))
            row = ids[key], text_id, bisect.bisect_right(ends, start)
            database.execute("INSERT INTO mentions VALUES (?, ?, ?)", row)
    database.execute("CREATE INDEX entities_by_key ON entities (key)")
    database.execute("CREATE INDEX mentions_by_entity ON mentions (entity)")
    database.execute("CREATE INDEX mentions_by_text ON mentions (text, sentence)")


MAX_COUNT = 2**31
"""More than an index has of anything, and less than the largest integer of SQLite."""


@dataclasses.dataclass(frozen=True)
class Entity:
    """What an index knows about an entity."""

    name: str
    """As it stands in the first text that names it."""

    type: str

    mentions: int
    """How often texts name it."""

    linked: list
    """Entities that sentences name together with it: (name, type, number of sentences), frequent ones first."""

    text_ids: list
    """Ids of the first texts that name it."""


def look_up(database, name, count):
    """Returns the list of `Entity` of a name, one for each type, frequent ones first.

    Args:
        database: `sqlite3.Connection` of an index.
        name: case and spaces do not count.
        count: maximum number of linked entities, and of texts.

    Raises:
        UserError: the index has no entities, or none of this name.
    """
    if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'mentions'").fetchone():
        raise UserError("The index has no entities; index_texts --tagger RUN finds them.")
    key, count = _normalize(name), min(count, MAX_COUNT)
    if not key or not key.isprintable():
        raise UserError(f"--entity {name!r} is no name.")
    command = """
        SELECT id, name, type, COUNT(*) FROM entities JOIN mentions ON entity = id
        WHERE key = ? GROUP BY id ORDER BY COUNT(*) DESC, type
    """
    rows = database.execute(command, (key,)).fetchall()
    if not rows:
        similar = ", ".join(f'"{known}"' for known in _suggest_names(database, key))
        raise UserError(f'No text names "{name}"{"; similar names: " + similar if similar else ""}.')
    return [
        Entity(*row, _find_linked(database, index, count), _find_texts(database, index, count)) for index, *row in rows
    ]


def _normalize(name):
    return " ".join(unicodedata.normalize("NFKC", name).split()).casefold()


def _find_linked(database, entity, count):
    command = """
        SELECT name, type, COUNT(DISTINCT own.text || ' ' || own.sentence) AS sentences
        FROM mentions AS own
        JOIN mentions AS other ON other.text = own.text AND other.sentence = own.sentence AND other.entity != own.entity
        JOIN entities ON entities.id = other.entity
        WHERE own.entity = ? GROUP BY other.entity ORDER BY sentences DESC, name, type LIMIT ?
    """
    return database.execute(command, (entity, count)).fetchall()


def _find_texts(database, entity, count):
    command = "SELECT DISTINCT text FROM mentions WHERE entity = ? ORDER BY text LIMIT ?"
    return list(itertools.chain.from_iterable(database.execute(command, (entity, count))))


def _suggest_names(database, key, count=5):
    """Returns the most frequent names of entities that contain `key`, a list of strings."""
    command = """
        SELECT name FROM entities JOIN mentions ON entity = id
        WHERE instr(key, ?) GROUP BY id ORDER BY COUNT(*) DESC, name LIMIT ?
    """
    return [row[0] for row in database.execute(command, (key, count))]
