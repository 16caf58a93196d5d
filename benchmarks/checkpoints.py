"""What checkpoints cost: time per step with one a minute against none, and the first step after a resume.

$ python -m benchmarks.checkpoints

Trains the tutorial's 28x28 DCGAN (train_gan mnist's) on random images for a minute at a time, in turn with one
checkpoint at its end and without; then starts `train_gan` anew and from a checkpoint, in turn, until the first step is
made. Prints medians and the ratios' spread over the rounds.
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

from karpa_tf.system import console as quiet

ROUNDS = 3
SECONDS = 60
BATCH_SIZE = 64

FIRST_STEP = """
import os, runpy, sys, time
import karpa_tf.training.checkpoints as checkpoints

begun = float(sys.argv.pop())

class First(checkpoints.Checkpoint):
    def on_train_batch_end(self, batch, logs=None):
        print(f"first step after {time.time() - begun:.3f} s", flush=True)
        os._exit(0)

checkpoints.Checkpoint = First
runpy.run_module("apps.train_gan", run_name="__main__", alter_sys=False)
"""


def main():
    quiet.hide_tensorflow_messages()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        _report("seconds per step, with a checkpoint a minute against none", *_steps(Path(folder)))
        _report("seconds to the first step, resumed against fresh", *_starts(Path(folder)))


def _report(what, ones, others):
    ratios = sorted(one / other for one, other in zip(ones, others, strict=True))
    print(
        f"{what}: {statistics.median(ones):.4f} and {statistics.median(others):.4f}, "
        f"{statistics.median(ratios):.3f} times ({ratios[0]:.3f} to {ratios[-1]:.3f}), {len(ratios)} rounds"
    )


def _steps(folder):
    import keras
    import numpy as np

    from karpa_tf.configs.gan import TUTORIAL_28
    from karpa_tf.configs.run import RunConfig
    from karpa_tf.data.images.batches import make_noise_batches
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
        trainer.fit, make_noise_batches(images, BATCH_SIZE, TUTORIAL_28.latent_dim, seed=0), shuffle=False, verbose=0
    )
    fit(steps_per_epoch=10)
    start = time.perf_counter()
    fit(steps_per_epoch=100)
    steps = round(100 * SECONDS / (time.perf_counter() - start))

    def measured(saves):
        start = time.perf_counter()
        fit(steps_per_epoch=steps)
        if saves:
            place = checkpoints.TrainingState(int(trainer.generator_optimizer.iterations.numpy()))
            checkpoints.save(trainer, run, place, steps_per_epoch=10**9)
        return (time.perf_counter() - start) / steps

    pairs = [(measured(True), measured(False)) for _ in range(ROUNDS)]
    return zip(*pairs, strict=True)


def _starts(folder):
    words = ("smoke", "--epochs", "2", "--export-dir", str(folder / "models"))
    app = [sys.executable, "-m", "apps.train_gan", *words, "--run", str(folder / "done"), "--save-steps", "40"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(app, env=environment, check=True, capture_output=True)
    last = max((folder / "done" / "checkpoints").glob("step-*-epoch-*"))
    shutil.rmtree(last)

    def measured(resumed):
        run = folder / "again"
        if resumed:
            shutil.copytree(folder / "done", run)
        program = [sys.executable, "-c", FIRST_STEP, *words, "--run", str(run), str(time.time())]
        said = subprocess.run(program, env=environment, check=True, capture_output=True, text=True).stdout
        assert ("continued after" in said) == resumed
        shutil.rmtree(run)
        return float(said.split("first step after ")[1].split()[0])

    pairs = [(measured(True), measured(False)) for _ in range(ROUNDS)]
    return zip(*pairs, strict=True)


if __name__ == "__main__":
    main()
