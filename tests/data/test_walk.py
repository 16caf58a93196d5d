"""The walk through folders of data."""

import os

import pytest

from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.loaders import load_images
from karpa_tf.data.images.splits import load_splits
from karpa_tf.data.text.corpus import find_corpus
from karpa_tf.data.text.labeled import load_text_splits
from karpa_tf.data.text.tables import Columns
from karpa_tf.data.walk import SYSTEM_NAMES, FolderWalk, to_text
from karpa_tf.errors import UserError

IMAGES = ImageFormat(image_size=8, channels=1)
LOADERS = {
    "images": lambda data: load_images(data, IMAGES),
    "labeled images": lambda data: load_splits(data, IMAGES, 0.1),
    "labeled texts": lambda data: load_text_splits(data, Columns()),
    "text": find_corpus,
}


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a text")
    return path


@pytest.mark.parametrize("name", sorted({".git", ".ipynb_checkpoints", ".DS_Store", "._a.txt", *SYSTEM_NAMES}))
def test_hidden_and_system_names_are_neither_files_nor_folders_nor_classes(tmp_path, name):
    expected = [write(tmp_path / "one" / "a.txt")]
    write(tmp_path / "one" / name / "b.txt")
    write(tmp_path / name / "two" / "c.txt")
    walk = FolderWalk()
    assert walk.find_files(tmp_path) == expected
    assert walk.find_folders(tmp_path) == ["one"]
    assert sum(walk.left_out.values()) == 3


def test_what_is_left_out_is_said_by_kind_and_number(tmp_path, capsys):
    for name in ("a.txt", "b.TXT", "c.tif", "d.TIF", "e", ".f.txt"):
        write(tmp_path / name)
    walk = FolderWalk((".txt",))
    assert [file.name for file in walk.find_files(tmp_path)] == ["a.txt", "b.TXT"]
    walk.warn(tmp_path)
    said = "left out files ending in .tif (2), files without a suffix (1), hidden or system files or folders (1)."
    assert capsys.readouterr().err == f"warning: {tmp_path}: {said}\n"


def test_links_are_followed_once(tmp_path):
    write(tmp_path / "elsewhere" / "a.txt")
    folder = tmp_path / "data"
    write(folder / "b.txt")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "cycle").symlink_to(folder)
    assert [file.name for file in FolderWalk().find_files(folder)] == ["a.txt", "b.txt"]


def test_an_unreadable_folder_is_counted(tmp_path, monkeypatch):
    write(tmp_path / "open" / "a.txt")
    write(tmp_path / "closed" / "b.txt")
    scandir = os.scandir

    def refuse(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    walk = FolderWalk()
    assert [file.name for file in walk.find_files(tmp_path)] == ["a.txt"]
    assert dict(walk.left_out) == {"folders that cannot be read": 1}


def test_names_that_are_not_utf8_are_found(tmp_path):
    write(tmp_path / os.fsdecode(b"caf\xe9.txt"))
    (file,) = FolderWalk((".txt",)).find_files(tmp_path)
    assert os.fsencode(file.name) == b"caf\xe9.txt" and to_text(file.name) == r"caf\xe9.txt"
    assert to_text("猫.txt") == "猫.txt"


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
@pytest.mark.parametrize(
    ("files", "words"),
    [
        (("config.yaml", "run.json", "eval/examples.txt"), "is a run folder, not a data set: name it with --init"),
        (("saved_model.pb", "assets.extra/labels.txt"), "is an exported model"),
        (("1/saved_model.pb", "1/assets.extra/labels.txt"), "is an exported model"),
    ],
)
def test_the_folder_of_a_model_is_no_data(tmp_path, load, files, words):
    for file in files:
        write(tmp_path / "given" / file)
    with pytest.raises(UserError, match=f"--data {tmp_path}/given {words}"):
        load(str(tmp_path / "given"))
