"""Compares finished runs of one task: what differs in their settings and results, and their curves over each other.

$ python -m apps.compare runs/train_classifier/*
$ python -m apps.compare RUN RUN RUN --out compare.html

Writes one page that needs no network, the best run first, and prints a short table.
"""

import dataclasses
from pathlib import Path

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    runs: cli.Positional[tuple[str, ...]] = ()
    """Run folders of the same task, two or more."""

    out: str = "compare.html"
    """File for the page."""

    verbose: bool = False
    """Show TensorFlow's log messages."""


def run(config):
    """Writes the page and returns the `Results` of the runs, the best first."""
    paths = {Path(path).resolve(): path for path in reversed(config.runs)}
    if len(paths) < 2:
        page = f"; the page of one run is {Path(config.runs[0], 'report.html')}" if config.runs else ""
        raise UserError(f"Give two or more different run folders to compare; received {len(paths)}{page}.")

    from karpa_tf.evaluation import compare_page
    from karpa_tf.system.files import require_writable
    from karpa_tf.system.text_files import make_folder
    from karpa_tf.tasks import find_task
    from karpa_tf.training.run import Run

    runs = [Run(path) for path in reversed(paths.values())]
    tasks = [find_task(run, "The folder") for run in runs]
    for run, task in zip(runs, tasks, strict=True):
        if task is not tasks[0]:
            titles = f"{runs[0].path} is a run of {tasks[0].app}, {run.path} of {task.app}"
            raise UserError(f"Only runs of the same task can be compared; {titles}.")
    out = Path(config.out)
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file, such as {out / 'compare.html'}.")
    require_writable(out.parent, "--out")
    ranked = compare_page.rank_runs(runs, tasks[0].headline)
    make_folder(out.parent, "--out")
    compare_page.save(out, ranked, tasks[0])
    print(f"{compare_page.format_table(ranked, tasks[0].headline)}\nComparison  {out}")
    return ranked


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
