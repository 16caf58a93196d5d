"""What a user can mend, as opposed to a defect of the program."""

import difflib


class UserError(Exception):
    """Says in one sentence what was expected, what came and what to do.

    An app prints it and exits with code 2. It is no `ValueError`, so that nothing between the border and the app
    takes it for one of its own.
    """


class Refused(UserError):
    """A server refuses a request; others to it may succeed."""


STOPPED = 75
"""Exit code of a program that a signal, or the loss of another worker, has stopped: the same command goes on from what
is saved.
"""


class Stopped(BaseException):
    """Says what stopped the program, and what is saved. An app prints it and exits with code `STOPPED`.

    No `Exception`, just as KeyboardInterrupt is none: a signal must not be taken for a damaged file, for example.
    """


def nearest(word, known):
    """Returns "; did you mean x?" for the known word most like `word`, and "." where none is like it."""
    matches = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {matches[0]}?" if matches else "."


def list_names(names):
    """Returns the first 20 of a list of names, each shortened to 40 characters, as text."""
    names = list(names)
    return ", ".join(f"{name:.40}" for name in names[:20]) + ", ..." * (len(names) > 20)


def first_line(error):
    """Returns the first line of what an exception says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def diverged(what, checkpoint):
    """Returns the `UserError` for a run whose numbers are no longer finite, saying what is left of it.

    Args:
        what: where it was seen, the start of the sentence.
        checkpoint: path of the newest checkpoint, or None.
    """
    kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "there was no checkpoint yet"
    return UserError(f"{what}: training was stopped and nothing exported; {kept}. A lower --learning-rate often helps.")
