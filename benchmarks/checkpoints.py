"""Cost of checkpoints: time per step with one checkpoint per minute and without, and time until a resumed run trains.

$ python -m benchmarks.checkpoints

Trains the 28x28 DCGAN of `train_gan mnist` on random images for a minute at a time, alternately with one checkpoint at
the end and without. Then it runs `train_gan` up to the end of its first step, alternately from a checkpoint and from
scratch. Prints medians, and the minimum and maximum ratio over the rounds.
"""

import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from karpa_tf.system import console

ROUNDS = 3
SECONDS = 60
BATCH_SIZE = 64

FIRST_STEP = """
import os, runpy, sys, time
import karpa_tf.training.checkpoints as checkpoints

start = float(sys.argv.pop())

class EndProcess(checkpoints.Checkpoint):
    def on_train_batch_end(self, batch, logs=None):
        print(f"first step after {time.time() - start:.3f} s", flush=True)
        os._exit(0)

checkpoints.Checkpoint = EndProcess
runpy.run_module("apps.train_gan", run_name="__main__", alter_sys=False)
"""


def main():
    console.hide_tensorflow_messages()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _report("seconds per step, with one checkpoint per minute and without", *_measure_steps(Path(folder)))
        _report("seconds to the first step, resumed and from scratch", *_measure_starts(Path(folder)))


def _report(title, seconds, baseline):
    ratios = sorted(value / other for value, other in zip(seconds, baseline, strict=True))
    print(
        f"{title}: {statistics.median(seconds):.4f} and {statistics.median(baseline):.4f}, "
        f"{statistics.median(ratios):.3f} times ({ratios[0]:.3f} to {ratios[-1]:.3f}), {len(ratios)} rounds"
    )


def _measure_steps(folder):
    """Returns the seconds per step with a checkpoint, and without, each of every round."""
    import keras
    import numpy as np

    from karpa_tf.configs.dcgan import TUTORIAL_28
    from karpa_tf.configs.run import RunConfig
    from karpa_tf.data.images.batches import NoiseBatches
    from karpa_tf.models.dcgan import make_discriminator, make_generator
    from karpa_tf.training import checkpoints
    from karpa_tf.training import run as runs
    from karpa_tf.training.trainers.gan import GAN

    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (512, 28, 28, 1), np.uint8)
    trainer = GAN(make_generator(TUTORIAL_28), make_discriminator(TUTORIAL_28))
    trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5))
    run = runs.open_run(RunConfig(run=str(folder / "run")), "benchmark")
    fit = functools.partial(
        trainer.fit, NoiseBatches(images, BATCH_SIZE, TUTORIAL_28.latent_dim).make(seed=0), shuffle=False, verbose=0
    )
    fit(steps_per_epoch=10)
    start = time.perf_counter()
    fit(steps_per_epoch=100)
    steps = round(100 * SECONDS / (time.perf_counter() - start))

    def measure(saves):
        start = time.perf_counter()
        fit(steps_per_epoch=steps)
        if saves:
            state = checkpoints.TrainingState(int(trainer.generator_optimizer.iterations.numpy()))
            checkpoints.save(trainer, run, state, steps_per_epoch=10**9)
        return (time.perf_counter() - start) / steps

    pairs = [(measure(True), measure(False)) for _ in range(ROUNDS)]
    return zip(*pairs, strict=True)


def _measure_starts(folder):
    """Returns the seconds to the first step of a resumed run, and of a new one, each of every round."""
    flags = ("smoke", "--epochs", "2", "--export-dir", str(folder / "models"))
    app = [sys.executable, "-m", "apps.train_gan", *flags, "--run", str(folder / "done"), "--save-steps", "40"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(app, env=environment, check=True, capture_output=True)
    last_epoch = max((folder / "done" / "checkpoints").glob("step-*-epoch-*"))
    shutil.rmtree(last_epoch)

    def measure(resumes):
        run = folder / "again"
        if resumes:
            shutil.copytree(folder / "done", run)
        program = [sys.executable, "-c", FIRST_STEP, *flags, "--run", str(run), str(time.time())]
        output = subprocess.run(program, env=environment, check=True, capture_output=True, text=True).stdout
        if ("resumed after" in output) != resumes:
            raise RuntimeError(f"Expected {'a resumed' if resumes else 'a new'} run. Received: {output}")
        shutil.rmtree(run)
        return float(output.split("first step after ")[1].split()[0])

    pairs = [(measure(True), measure(False)) for _ in range(ROUNDS)]
    return zip(*pairs, strict=True)


if __name__ == "__main__":
    main()
