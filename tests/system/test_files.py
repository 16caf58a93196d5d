import os

import pytest

from karpa_tf.system.files import publish_folder, require_room, write_text


def test_a_folder_is_published_complete_or_not_at_all(tmp_path):
    with publish_folder(tmp_path / "new") as folder:
        (folder / "file").write_text("text")
        assert not (tmp_path / "new").exists()
    assert (tmp_path / "new" / "file").read_text() == "text"
    with pytest.raises(ZeroDivisionError), publish_folder(tmp_path / "other") as folder:
        (folder / "file").write_text("text")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def test_a_published_folder_is_not_replaced(tmp_path):
    for text in ("first", "second"):
        with publish_folder(tmp_path / "new") as folder:
            (folder / "file").write_text(text)
    assert (tmp_path / "new" / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_published_folder_takes_the_first_free_name(tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "file").touch()
    names = iter(("1", "2"))
    with publish_folder(tmp_path / "new", lambda: tmp_path / next(names)) as folder:
        (folder / "file").write_text("text")
    assert (tmp_path / "2" / "file").read_text() == "text"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


def test_text_replaces_a_file_and_leaves_no_other(tmp_path):
    for text in ("first", "über"):
        write_text(tmp_path / "file", text)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "über"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve space")
def test_a_full_disk_is_noticed_before_writing(tmp_path):
    require_room(tmp_path, 1)
    with pytest.raises(OSError):
        require_room(tmp_path, 2**60)
