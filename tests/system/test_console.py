import os
import sys

import pytest

from karpa_tf.system import console


def test_warnings_go_to_standard_error(capsys):
    console.warn("The disk is nearly full.")
    assert capsys.readouterr() == ("", "warning: The disk is nearly full.\n")


def test_a_muted_process_prints_nothing_but_errors(capsys, monkeypatch):
    monkeypatch.setattr(console, "_is_muted", False)
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    console.mute()
    print("progress")
    console.warn("The disk is nearly full.")
    print("error", file=sys.stderr)
    sys.stdout.close()
    assert capsys.readouterr() == ("", "error\n")


def test_standard_error_of_cpp_code_is_muted_and_restored_after_an_error(capfd):
    with pytest.raises(ZeroDivisionError), console.mute_stderr():
        os.write(2, b"from C++")
        raise ZeroDivisionError
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_progress_is_not_shown_without_a_terminal(capsys):
    assert list(console.track([1, 2], "Evaluating", total=2)) == [1, 2]
    assert capsys.readouterr() == ("", "")
