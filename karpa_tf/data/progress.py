"""How far the preparation of a set is."""

import sys

import rich.progress


def track(items, description, total):
    """Returns an iterator of `items` that shows a bar while it runs, on a terminal only."""
    shown = sys.stdout.isatty()
    return rich.progress.track(items, description, total=total, transient=True, disable=not shown)
