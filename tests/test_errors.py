"""What is said of errors."""

import pytest

from karpa_tf.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("wrong shape"), "wrong shape"),
        (ValueError("\n wrong shape\nand more"), "wrong shape"),
        (AssertionError(), "AssertionError"),
        (OSError(" \n"), "OSError"),
    ],
)
def test_an_error_is_summarized_in_one_line(error, line):
    assert first_line(error) == line
