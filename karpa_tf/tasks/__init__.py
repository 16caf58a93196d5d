"""Tasks: kinds of runs. One file per task says how a finished run is loaded, described and exported.

`TASKS` is the only list of them; every tool that takes a run folder finds here what it needs to know about the run.
"""

import importlib

from karpa_tf.errors import UserError

TASKS = {
    "classifier": "karpa_tf.tasks.classifier",
    "embedder": "karpa_tf.tasks.embedder",
    "gan": "karpa_tf.tasks.gan",
    "masked_image": "karpa_tf.tasks.masked_image",
    "masked_lm": "karpa_tf.tasks.masked_lm",
    "tagger": "karpa_tf.tasks.tagger",
    "text_classifier": "karpa_tf.tasks.text_classifier",
    "text_regressor": "karpa_tf.tasks.text_regressor",
}
"""Modules by the name of their task; each holds a `Task` named `TASK`. Imported when they are needed."""


def load_task(name):
    """Returns the `Task` of a name in `TASKS`."""
    return importlib.import_module(TASKS[name]).TASK


def find_task(run, flag="--run"):
    """Returns the `Task` of a `Run`; raises `UserError`, naming `flag`, if the folder holds no run of a known task."""
    run.read_config(flag)
    metadata = run.metadata()
    name = metadata.get("task")
    if name not in TASKS:
        expected = ", ".join(dict.fromkeys(load_task(known).app for known in TASKS))
        raise UserError(
            f"{flag} {run.path} holds a run of {name or metadata.get('app', 'an unknown program')}, written by another "
            f"version of karpa_tf; expected a run of one of {expected}."
        )
    return load_task(name)
