"""Trains with several values of some flags, and says which are best on validation data.

$ python -m apps.sweep --over learning-rate=2e-4,5e-4,1e-3 -- finetune_text --init RUN --data reviews.csv
$ python -m apps.sweep --over dropout=0.1,0.3 seed=0,1,2 --out sweeps/dropout -- train_classifier digits

Every combination is a run of its own below --out. The same command goes on after a stop; seeds are averaged over.
"""

import dataclasses
import time
from pathlib import Path

from karpa_tf import cli
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of this program."""

    command: cli.Positional[tuple[str, ...]] = ()
    """After --: a training program and its flags."""

    over: tuple[str, ...] = ()
    """Flags of the training program, each with its values: flag=value,value."""

    out: str = "sweep"
    """Folder for the runs and the results."""

    by: str | None = None
    """Column of metrics.csv to select by; None is the validation loss, or the Frechet distance of a GAN."""


def run(config):
    """Trains with all combinations of the values; returns the `Setting`s, the best first."""
    from karpa_tf.training import sweep

    if not config.over or not config.command:
        raise UserError("Give --over flag=value,value, then --, then a training program and its flags.")
    trials, folder = sweep.make_trials(config.over, config.out), Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    sweep.require_same_sweep(folder, [*config.over, "--", *config.command])
    done = []
    for index, trial in enumerate(trials):
        started = time.monotonic()
        print(f"{index + 1} of {len(trials)}: {trial}", flush=True)
        error = None if trial.is_over() else trial.train(config.command)
        if error:
            print(f"  {error}", flush=True)
            continue
        value, epoch, monitor = trial.find_best(config.by)
        print(f"  {monitor} {value:.4g} in epoch {epoch}, {time.monotonic() - started:.0f} s", flush=True)
        done.append(trial)
    if not done:
        raise UserError(f"All {len(trials)} trials failed; the last one {error}")
    ranked = sweep.rank(done, config.by)
    sweep.save_trials(folder / "sweep.csv", done, config.by)
    print(f"{sweep.format_ranking(ranked)}\nTrials      {folder / 'sweep.csv'}")
    print("Best        " + " ".join(str(trial.run.path) for trial in ranked[0].trials))
    return ranked


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
