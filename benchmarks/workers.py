"""Speedup by a second worker: images per second of one process on one core, and of two workers with one core each.

$ python -m benchmarks.workers

Trains two networks on random images with the same global batch, alternately with one and two workers: the 28x28 DCGAN
of `train_gan mnist`, and ResNet-20 on 32x32 images. Prints the medians, and the minimum and maximum ratio.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from karpa_tf.system import console

ROUNDS = 3
STEPS = {"dcgan": 60, "resnet20": 60}
BATCH_SIZE = 64
ROOT = Path(__file__).parents[1]


def main():
    for name in STEPS:
        rates = {workers: [] for workers in (1, 2)}
        for _ in range(ROUNDS):
            for workers in rates:
                rates[workers].append(_measure_rate(name, workers))
        ratios = sorted(two / one for one, two in zip(*rates.values(), strict=True))
        print(
            f"{name}: {statistics.median(rates[1]):.0f} and {statistics.median(rates[2]):.0f} images/s, "
            f"{statistics.median(ratios):.2f} times ({ratios[0]:.2f} to {ratios[-1]:.2f}), {ROUNDS} rounds"
        )


def _measure_rate(name, workers):
    """Returns the images per second of a network, trained by a number of workers in processes of their own."""
    command = [sys.executable, "-m", "karpa_tf.distribution.launch", "--workers", str(workers), "--threads", "1", "--"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    program = [*command, sys.executable, "-m", "benchmarks.workers", name]
    output = subprocess.run(program, check=True, capture_output=True, text=True, env=environment).stdout
    return float(output.rpartition("rate ")[2])


def train(name):
    """Trains a network as one worker; the chief prints the rate."""
    console.hide_tensorflow_messages()
    import keras
    import numpy as np

    from karpa_tf.configs.dcgan import TUTORIAL_28
    from karpa_tf.configs.optimizer import OptimizerConfig
    from karpa_tf.configs.resnet import ResNetConfig
    from karpa_tf.data.images.batches import NoiseBatches, make_labeled_batches
    from karpa_tf.data.images.image_set import ImageSet
    from karpa_tf.distribution import cluster, collectives, strategy
    from karpa_tf.models.classifiers import make_classifier
    from karpa_tf.models.dcgan import make_discriminator, make_generator
    from karpa_tf.training import optimizers
    from karpa_tf.training.trainers.classifier import Classifier
    from karpa_tf.training.trainers.gan import GAN

    devices, rng = strategy.make_strategy("auto"), np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    with devices.scope():
        if name == "dcgan":
            trainer = GAN(make_generator(TUTORIAL_28), make_discriminator(TUTORIAL_28))
            trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5))
            images = rng.integers(0, 256, (512, 28, 28, 1), np.uint8)
            batches = NoiseBatches(images, BATCH_SIZE, TUTORIAL_28.latent_dim).make(seed=0)
        else:
            model = make_classifier(ResNetConfig(), (32, 32, 3), 10)
            trainer = Classifier(model)
            groups = [optimizers.ParameterGroup(model.trainable_variables)]
            trainer.compile(optimizers.make_optimizer_groups(OptimizerConfig(), 0.1, groups, 1000, 100))
            images = rng.integers(0, 256, (512, 32, 32, 3), np.uint8)
            labels = rng.integers(0, 10, 512).astype(np.int32)
            image_set = ImageSet("random", images, "0", labels=labels, classes=tuple("0123456789"))
            batches = make_labeled_batches(image_set, BATCH_SIZE, seed=0)
    trainer.fit(batches, steps_per_epoch=5, shuffle=False, verbose=0)
    collectives.barrier()
    start = time.perf_counter()
    trainer.fit(batches, steps_per_epoch=STEPS[name], shuffle=False, verbose=0)
    collectives.barrier()
    if cluster.is_chief():
        print(f"rate {STEPS[name] * BATCH_SIZE / (time.perf_counter() - start):.2f}")


if __name__ == "__main__":
    train(sys.argv[1]) if sys.argv[1:] else main()
