"""How far the preparation of a set is."""

import sys

import rich.progress


def track(items, description, total=None):
    """Returns an iterator of `items` that shows a bar while it runs, on a terminal only.

    Args:
        items: an iterable.
        description: what is being done.
        total: number of items; None where nobody knows it yet.
    """
    shown = sys.stdout.isatty()
    return rich.progress.track(items, description, total=total, transient=True, disable=not shown)
