"""What killed programs leave in the cache."""

import subprocess
import sys
from pathlib import Path

import pytest

from karpa_tf.data.cache import cache_folder
from karpa_tf.system.files import remove_leftovers

ROOT = Path(__file__).parents[2]

WRITER = """
import sys
from karpa_tf.data.cache import cache_folder

def write(folder):
    (folder / "file").write_text("text")
    print("writing", flush=True)
    sys.stdin.readline()

cache_folder("big", write, "cache")
"""


@pytest.fixture
def writer():
    """A program that has begun to write the folder `big` of the cache, and goes on when it reads a line."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", WRITER], env={"PYTHONPATH": str(ROOT)}, text=True, **streams)
    assert process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()


def make(folder):
    (folder / "file").write_text("small")


def names():
    return sorted(path.name for path in Path("cache").iterdir())


def test_what_a_killed_writer_has_left_is_removed_also_if_everything_is_cached_already(writer):
    cache_folder("small", make, "cache")
    writer.kill()
    writer.wait()
    assert len(names()) == 2
    cache_folder("small", pytest.fail, "cache")
    assert names() == ["small"]


def test_what_another_program_is_writing_is_left_alone(writer):
    cache_folder("small", make, "cache")
    remove_leftovers("cache")
    writer.communicate("go on\n", timeout=60)
    assert writer.returncode == 0 and names() == ["big", "small"]
    assert Path("cache/big/file").read_text() == "text"


def test_hidden_files_of_others_are_left_alone():
    for name in (".writing-notes", ".writing-12345678.txt", ".hidden", ".retired-from-work"):
        Path("cache", name).mkdir(parents=True)
    before = names()
    remove_leftovers("cache")
    assert names() == before
