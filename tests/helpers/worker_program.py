"""The program of each of two workers in test_multiworker.py: it trains, communicates, and writes the results."""

import json
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tiny_classifier
import tiny_gan
import tiny_masked_lm
from counting_trainers import RepairedLetters

from karpa_tf import cli
from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.data.images.batches import NoiseBatches, make_evaluation_batches
from karpa_tf.data.pipeline import disable_autotune
from karpa_tf.distribution import cluster, collectives, strategy
from karpa_tf.errors import UserError
from karpa_tf.layers.batch_norm import synchronize_batch_norm
from karpa_tf.models.bert import make_pretraining
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.training.callbacks.window_means import MetricWindows
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.masked_lm import Pretraining

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
SGD = OptimizerConfig(optimizer="sgd", momentum=0.5)


class Windows(keras.callbacks.Callback):
    """Records the mean loss of each step, from the sums of the metric, as `MetricsLog` does."""

    def __init__(self):
        super().__init__()
        self.window, self.losses = MetricWindows(), []

    def on_epoch_begin(self, epoch, logs=None):
        self.window.start_epoch()

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(self.window.close([self.model.loss_mean])["loss"])


def train_classifier(devices):
    """Trains a classifier with batch normalization over the global batch."""
    with devices.scope():
        keras.utils.set_random_seed(1)
        model = synchronize_batch_norm(make_classifier(CNNConfig(filters=(4, 4), batch_norm=True), (16, 16, 1), 3))
        trainer = Classifier(model, ema=0.9)
        trainer.compile(
            make_optimizer_groups(SGD, 0.1, [ParameterGroup(model.trainable_variables)], 100, 5), global_clipnorm=0.5
        )
    windows = Windows()
    held_out = make_evaluation_batches(tiny_classifier.make_image_set(IMAGES[:29]), 8)
    history = tiny_classifier.fit(trainer, IMAGES, validation_data=held_out, callbacks=[windows])
    report = trainer.evaluate(held_out, verbose=0, return_dict=True)
    return trainer, history | {"windows": windows.losses}, report


def train_gan(devices):
    with devices.scope():
        trainer = tiny_gan.make_sgd_trainer()
    history = tiny_gan.fit(trainer, IMAGES)
    batches = NoiseBatches(IMAGES, 8, 4).make(seed=2)
    return trainer, history, trainer.evaluate(batches, steps=3, verbose=0, return_dict=True)


def train_pretraining(devices):
    with devices.scope():
        trainer = tiny_masked_lm.make_trainer(
            Pretraining, make_pretraining, global_clipnorm=1.0, gradient_accumulation_steps=2, ema=0.9
        )
    history = tiny_masked_lm.fit(trainer)
    return trainer, history, trainer.evaluate(tiny_masked_lm.make_batches(seed=1), verbose=0, return_dict=True)


TRAININGS = {"classifier": train_classifier, "gan": train_gan, "pretraining": train_pretraining}


class WithoutPackedStep(keras.Model):
    """A trainer with the half of `AlreadyBuilt` that several replicas of one process need too."""

    def __init__(self):
        super().__init__()
        self.total = keras.metrics.Sum(name="total")
        self.built = True

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass

    def train_step(self, data):
        self.total.update_state(data)
        return {"total": self.total.result()}


def get_keras_error(devices):
    """Returns the error of Keras for a trainer without the other half, or ""."""
    with devices.scope():
        trainer = WithoutPackedStep()
        trainer.compile(optimizer=None)
    try:
        trainer.fit(disable_autotune(tf.data.Dataset.from_tensors(tf.ones(4))), shuffle=False, verbose=0)
    except ValueError as error:
        return str(error)
    return ""


def get_compilation_error(devices):
    """Returns the error for `--jit on`, or ""."""
    try:
        strategy.jit_compile("on", devices)
    except UserError as error:
        return str(error)
    return ""


def count_letters(devices):
    """Returns the numbers of letters of 3, 5 and 4 texts in batches of three, which two workers do not divide."""
    with devices.scope():
        trainer = RepairedLetters()
        trainer.compile(optimizer=None)
    texts = ["a", "bc", "def", "gh", "i"]
    counts = []
    for count in (3, 5, 4):
        batches = disable_autotune(tf.data.Dataset.from_tensor_slices({"text": texts[:count]}).batch(3))
        counts += trainer.fit(batches, shuffle=False, verbose=0).history["found"]
    return counts


def run_collectives(devices):
    """Returns the results of all collectives."""
    index = cluster.worker_index()
    with devices.scope():
        dtypes = ("float32", "int32", "bool", "float16")  # TensorFlow 2.21 makes no bfloat16 variables on workers.
        variables = [keras.Variable(np.full((2, 3), 0.1 + index), dtype=dtype) for dtype in dtypes]
        state = keras.random.SeedGenerator(5 + index).state
        state.value.assign(state.value + index)
        mean = keras.metrics.Mean()
    mean.total.assign(6.0 + index)
    mean.count.assign(4.0 + index)
    if cluster.is_chief():
        variables[1].assign([[-7] * 3, [2**31 - 1] * 3])
    collectives.broadcast_variables([*variables, state, mean.total, mean.count])
    return {
        "all_reduce_max": [
            collectives.all_reduce_max(3 * index),
            collectives.all_reduce_max(2.5 - index),
            collectives.all_reduce_max(-1 - index),
        ],
        "broadcast_object": collectives.broadcast_object(
            {"step": 7, "best": 0.1, "name": "é"} if cluster.is_chief() else None
        ),
        "broadcast_variables": [np.asarray(variable.value, float).tolist() for variable in [*variables, state]],
        "mean": float(mean.result()),
    }


def train_until_killed(trainer, victim):
    """Trains until worker `victim` kills itself; the other one ends with exit code 75."""

    class Killer(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3 and cluster.worker_index() == victim:
                os.kill(os.getpid(), signal.SIGKILL)

    with cli.handle_errors(), collectives.name_lost_workers():
        tiny_classifier.fit(trainer, IMAGES, epochs=1000, callbacks=[Killer()])


def main(folder, victim, *names):
    """Runs the collectives and the trainings called `names`, in reverse order; then worker `victim` is killed."""
    devices = strategy.make_strategy("auto")
    index = cluster.worker_index()
    results = {"devices": strategy.describe_devices(devices), "replicas": devices.num_replicas_in_sync}
    results |= run_collectives(devices)
    results["letters"] = count_letters(devices)
    results |= {"keras_error": get_keras_error(devices), "compilation_error": get_compilation_error(devices)}
    for name in reversed(names):
        trainer, history, report = TRAININGS[name](devices)
        np.savez(Path(folder, f"{name}-{index}.npz"), *[weight.numpy() for weight in trainer.weights])
        results[name] = {"history": history, "report": report}
    Path(folder, f"results-{index}.json").write_text(json.dumps(results))
    collectives.barrier()
    train_until_killed(trainer, int(victim))


if __name__ == "__main__":
    main(*sys.argv[1:])
