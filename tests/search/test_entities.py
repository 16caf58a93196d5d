"""The entities that texts name, and what is named together with them."""

import sqlite3

import pytest

from karpa_tf.errors import UserError
from karpa_tf.search.entities import Entity, add_entities, look_up

TEXTS = (
    "Anna met Bob in Paris. Bob left.",
    "ANNA and  Bob saw Rome! Paris was far",
    "Paris Hilton",
    "nothing",
)


def spans_of(text):
    names = {"Anna": "PER", "ANNA": "PER", "Bob": "PER", "Paris Hilton": "PER", "Paris": "LOC", "Rome": "LOC"}
    spans, end = [], 0
    while found := [(text.find(name, end), -len(name), name) for name in names if name in text[end:]]:
        start, _, name = min(found)
        end = start + len(name)
        spans.append((start, end, names[name], 0.9))
    return spans


@pytest.fixture
def database():
    with sqlite3.connect(":memory:") as database:
        database.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        add_entities(database, ((text, spans_of(text)) for text in TEXTS))
    return database


def test_entities_of_one_sentence_are_linked_and_case_does_not_count(database):
    linked = [("Bob", "PER", 2), ("Paris", "LOC", 1), ("Rome", "LOC", 1)]
    assert look_up(database, "anna", 9) == [Entity("Anna", "PER", 2, linked, [0, 1])]
    assert look_up(database, " BOB ", 1) == [Entity("Bob", "PER", 3, [("Anna", "PER", 2)], [0])]


def test_a_sentence_alone_links_nothing(database):
    [paris] = look_up(database, "Paris", 9)
    assert (paris.mentions, paris.text_ids) == (2, [0, 1])
    assert [name for name, *_ in paris.linked] == ["Anna", "Bob"]  # not Rome, of the sentence before


def test_sentences_of_chinese_end_without_a_space():
    database = sqlite3.connect(":memory:")
    add_entities(database, [("東京は首都。大阪は都市。", [(0, 2, "LOC", 1), (6, 8, "LOC", 1)])])
    [tokyo] = look_up(database, "東京", 9)
    assert tokyo.linked == []


def test_names_of_two_types_are_two_entities():
    database = sqlite3.connect(":memory:")
    add_entities(
        database, [("Paris", [(0, 5, "PER", 1)]), ("Paris", [(0, 5, "LOC", 1)]), ("Paris", [(0, 5, "LOC", 1)])]
    )
    assert [(entity.type, entity.mentions) for entity in look_up(database, "Paris", 9)] == [("LOC", 2), ("PER", 1)]


def test_an_unknown_name_is_answered_with_similar_ones_and_an_index_without_entities_says_so(database):
    with pytest.raises(UserError, match='No text names "Pari"; similar names: "Paris", "Paris Hilton"'):
        look_up(database, "Pari", 9)
    with pytest.raises(UserError, match=r'No text names "xyz"\.$'):
        look_up(database, "xyz", 10**30)
    for name in (" ", "Pa\udcffris"):
        with pytest.raises(UserError, match="is no name"):
            look_up(database, name, 9)
    with pytest.raises(UserError, match="The index has no entities"):
        look_up(sqlite3.connect(":memory:"), "Anna", 9)
