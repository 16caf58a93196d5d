"""Imports go down the floors of the house or stay in a room."""

import sys

import pytest
from source import FILES, PLACES, ROOT, imports_of, room_of

FLOORS = (
    ("errors", "keras_compat"),
    ("configs", "distribution", "system", "layers", "metrics", "losses", "plots"),
    ("data", "models", "cli"),
    ("training", "evaluation", "export", "serving"),
    ("tasks",),
    ("apps",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def allowed(here, there):
    if here == there:
        return here != "apps"
    return FLOOR[there] < FLOOR[here]


@pytest.mark.parametrize("place", [place for place in PLACES if place != "karpa_tf/__init__.py"])
def test_imports_only_from_a_lower_floor_or_its_own_room(place):
    here = room_of(place.removesuffix(".py").replace("/", "."))
    assert here in FLOOR, f"{here} is on no floor of the house"
    for module in imports_of(ROOT / place):
        there = room_of(module)
        assert there is None or allowed(here, there), f"{place} imports {module}"
        assert there != "cli" or here == "apps", f"{place}: only apps read flags"


@pytest.mark.parametrize(("package", "home"), [("tyro", "karpa_tf/cli.py"), ("matplotlib", "karpa_tf/plots.py")])
def test_a_package_has_one_home(package, home):
    importers = [
        place
        for place, file in zip(PLACES, FILES, strict=True)
        if package in {m.split(".")[0] for m in imports_of(file)}
    ]
    assert importers == [home]


def test_configs_import_the_standard_library_only():
    for file in ROOT.glob("karpa_tf/configs/*.py"):
        for module in imports_of(file):
            assert module.startswith("karpa_tf.configs") or module.split(".")[0] in sys.stdlib_module_names


def test_a_file_stays_short_enough_to_be_read():
    assert {
        place for place, file in zip(PLACES, FILES, strict=True) if len(file.read_text().splitlines()) > 250
    } == set()


def test_the_table_refuses_what_it_should():
    assert not allowed("models", "data")
    assert not allowed("data", "models")
    assert not allowed("configs", "models")
    assert not allowed("apps", "apps")
    assert not allowed("export", "checkpoints")
    assert allowed("trainers", "losses")
