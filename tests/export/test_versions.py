"""Writing versions: numbering, publishing, removal of old ones, and several exports at a time."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys

import pytest
import tensorflow as tf
from tiny_exports import make_constant_export

from karpa_tf.errors import UserError
from karpa_tf.export import versions
from karpa_tf.export.meta_graph import list_versions
from karpa_tf.export.versions import load_version, write
from karpa_tf.system import files


def read_number(path):
    """Returns the output of a version of `make_constant_export`."""
    return int(load_version(path)["serving_default"](any=tf.zeros(1))["number"])


def list_names(base):
    """Returns the names of all files and folders in a folder, including hidden ones."""
    return sorted(path.name for path in base.iterdir())


def test_versions_are_numbered_in_ascending_order_and_published_ones_stay_unchanged(tmp_path):
    base = tmp_path / "model"
    (base / "7").mkdir(parents=True)
    (base / "notes").mkdir()
    assert write(base, make_constant_export(1)) == base / "8"
    assert write(base, make_constant_export(2)) == base / "9"
    assert read_number(base / "8") == 1 and read_number(base) == 2
    assert list_versions(base) == [7, 8, 9]
    assert list_names(base) == ["7", "8", "9", "notes"]


def test_a_number_that_another_process_has_just_used_is_skipped_also_in_the_card(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "file").write_text("other")
    numbers = iter([[], [1]])  # The other process publishes after the number was chosen.
    monkeypatch.setattr(versions, "list_versions", lambda base: next(numbers) if base == tmp_path else [])
    assert write(tmp_path, make_constant_export(1)) == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "other" and read_number(tmp_path / "2") == 1
    assert json.loads((tmp_path / "2" / "assets.extra" / "card.json").read_text())["version"] == 2
    assert "version 2" in (tmp_path / "2" / "assets.extra" / "MODEL_CARD.md").read_text()


def test_an_incomplete_version_is_hidden_and_a_failed_export_leaves_nothing(tmp_path, monkeypatch):
    def fail(export, signatures):
        assert int(signatures["serving_default"](any=tf.zeros(1))["number"]) == 1
        assert [name[0] for name in list_names(tmp_path)] == ["."], "visible before it is complete"
        raise ZeroDivisionError

    monkeypatch.setattr(versions, "compare", fail)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path, make_constant_export(1))
    assert list_names(tmp_path) == []


def test_only_the_newest_versions_are_kept(tmp_path):
    for number in range(3):
        write(tmp_path, make_constant_export(number))
    write(tmp_path, make_constant_export(3), keep=2)
    assert list_names(tmp_path) == ["3", "4"] and read_number(tmp_path) == 3
    write(tmp_path, make_constant_export(4), keep=1)
    assert list_names(tmp_path) == ["5"]
    write(tmp_path, make_constant_export(5), keep=0)
    assert list_names(tmp_path) == ["5", "6"]


def test_a_version_is_hidden_before_its_files_are_removed(tmp_path, monkeypatch):
    for number in range(2):
        write(tmp_path, make_constant_export(number))
    remove, listed = files.shutil.rmtree, []

    def list_and_remove(path, **options):
        listed.append(list_versions(tmp_path))
        remove(path, **options)

    monkeypatch.setattr(files.shutil, "rmtree", list_and_remove)
    write(tmp_path, make_constant_export(2), keep=1)
    assert [3] in listed and all(1 not in numbers or len(numbers) == 3 for numbers in listed)


def test_neither_the_new_version_nor_a_later_one_is_removed(tmp_path):
    for number in range(1, 5):
        (tmp_path / str(number)).mkdir()
    versions.remove_old_versions(tmp_path, 1, tmp_path / "3")  # Another process has published 4.
    assert list_names(tmp_path) == ["3", "4"]


def test_folders_of_killed_exports_are_removed_unless_another_process_is_writing(tmp_path):
    killed = tmp_path / ".writing-killed_1"
    killed.mkdir()
    (tmp_path / ".retired-killed_2" / "3").mkdir(parents=True)
    (tmp_path / ".mine").mkdir()
    other_process = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other_process, fcntl.LOCK_SH)
    write(tmp_path, make_constant_export(1))
    assert killed.exists()
    os.close(other_process)
    write(tmp_path, make_constant_export(2))
    assert list_names(tmp_path) == [".mine", "1", "2"]


def test_an_export_holds_the_lock_until_it_has_published(tmp_path, monkeypatch):
    exclusive_locks = []

    def try_to_lock(export, signatures):
        folder = os.open(tmp_path, os.O_RDONLY)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            exclusive_locks.append(folder)
        os.close(folder)

    monkeypatch.setattr(versions, "compare", try_to_lock)
    write(tmp_path, make_constant_export(1))
    assert not exclusive_locks


def test_a_folder_that_cannot_be_written_is_a_user_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="No version can be written to .*file"):
        write(tmp_path / "file", make_constant_export(1))


@pytest.mark.slow
def test_a_full_disk_is_a_user_error_and_leaves_nothing(tmp_path):
    program = """
import resource, signal, sys
import numpy as np, tensorflow as tf
from karpa_tf.errors import UserError
from karpa_tf.export.versions import Export, write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
variable = tf.Variable(np.zeros(10**6, np.float32))
function = tf.function(lambda any: {"out": any + variable[0]}, input_signature=[tf.TensorSpec((None,), name="any")])
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
try:
    requests = {"serving_default": [{"any": np.zeros(1, np.float32)}]}
    write(sys.argv[1], Export("constant", {"serving_default": function}, requests))
except UserError as error:
    print("error", error)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "base")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    message = f"error No version can be written to {tmp_path / 'base'} ("
    assert done.stdout.startswith(message), done.stderr[-2000:]
    assert list_names(tmp_path / "base") == []
