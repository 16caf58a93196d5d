"""What each of two workers does in test_multiworker.py: trains, exchanges, and writes down what it has got."""

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
from karpa_tf.data.images.batches import make_evaluation_batches, make_noise_batches
from karpa_tf.data.pipeline import disable_autotune
from karpa_tf.distribution import cluster, strategy
from karpa_tf.distribution import collectives as workers
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
    """Reads the sums of the metrics at the end of each step, as the log does."""

    def __init__(self):
        super().__init__()
        self.means, self.seen = MetricWindows(), []

    def on_epoch_begin(self, epoch, logs=None):
        self.means.start_epoch()

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(self.means.close([self.model.loss_mean])["loss"])


def classifier(devices):
    """With batch normalization over the whole batch."""
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
    return trainer, history | {"windows": windows.seen}, report


def gan(devices):
    with devices.scope():
        trainer = tiny_gan.make_sgd_trainer()
    history = tiny_gan.fit(trainer, IMAGES)
    return (
        trainer,
        history,
        trainer.evaluate(make_noise_batches(IMAGES, 8, 4, seed=2), steps=3, verbose=0, return_dict=True),
    )


def pretraining(devices):
    with devices.scope():
        trainer = tiny_masked_lm.make_trainer(
            Pretraining, make_pretraining, global_clipnorm=1.0, gradient_accumulation_steps=2, ema=0.9
        )
    history = tiny_masked_lm.fit(trainer)
    return trainer, history, trainer.evaluate(tiny_masked_lm.make_batches(seed=1), verbose=0, return_dict=True)


TRAININGS = {function.__name__: function for function in (classifier, gan, pretraining)}


class Unrepaired(keras.Model):
    """A trainer with the half of the repair that several replicas of one process need, too."""

    def __init__(self):
        super().__init__()
        self.found = keras.metrics.Sum(name="found")
        self.built = True

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass

    def train_step(self, data):
        self.found.update_state(data)
        return {"found": self.found.result()}


def keras_error(devices):
    """Returns what Keras says of a trainer without the other half of the repair, or ""."""
    with devices.scope():
        trainer = Unrepaired()
        trainer.compile(optimizer=None)
    try:
        trainer.fit(disable_autotune(tf.data.Dataset.from_tensors(tf.ones(4))), shuffle=False, verbose=0)
    except ValueError as error:
        return str(error)
    return ""


def compilation_error(devices):
    try:
        strategy.jit_compile("on", devices)
    except UserError as error:
        return str(error)
    return ""


def letters(devices):
    """Returns how many letters are counted in 3, 5 and 4 texts in batches of three, which two workers do not divide."""
    with devices.scope():
        trainer = RepairedLetters()
        trainer.compile(optimizer=None)
    texts = ["a", "bc", "def", "gh", "i"]
    found = []
    for count in (3, 5, 4):
        batches = disable_autotune(tf.data.Dataset.from_tensor_slices({"text": texts[:count]}).batch(3))
        found += trainer.fit(batches, shuffle=False, verbose=0).history["found"]
    return found


def exchanged(devices):
    """Returns what came of every kind of exchange, to be compared with what should have."""
    index = cluster.worker_index()
    with devices.scope():
        dtypes = ("float32", "int32", "bool", "float16")  # TensorFlow 2.21 makes no bfloat16 variables on workers.
        kinds = [keras.Variable(np.full((2, 3), 0.1 + index), dtype=dtype) for dtype in dtypes]
        state = keras.random.SeedGenerator(5 + index).state
        state.value.assign(state.value + index)
        mean = keras.metrics.Mean()
    mean.total.assign(6.0 + index)
    mean.count.assign(4.0 + index)
    if cluster.is_chief():
        kinds[1].assign([[-7] * 3, [2**31 - 1] * 3])
    workers.broadcast_variables([*kinds, state, mean.total, mean.count])
    return {
        "largest": [
            workers.all_reduce_max(3 * index),
            workers.all_reduce_max(2.5 - index),
            workers.all_reduce_max(-1 - index),
        ],
        "broadcast_object": workers.broadcast_object(
            {"step": 7, "best": 0.1, "name": "é"} if cluster.is_chief() else None
        ),
        "spread": [np.asarray(variable.value, float).tolist() for variable in [*kinds, state]],
        "mean": float(mean.result()),
    }


def die(trainer, victim):
    """Fits until worker `victim` is killed; the other ends with code 2."""

    class Killer(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3 and cluster.worker_index() == victim:
                os.kill(os.getpid(), signal.SIGKILL)

    with cli.handle_errors(), workers.name_lost_workers():
        tiny_classifier.fit(trainer, IMAGES, epochs=1000, callbacks=[Killer()])


def main(folder, victim, *names):
    """Runs the trainings called `names`, of which the first comes last, and the exchanges; then `victim` dies."""
    devices = strategy.make_strategy("auto")
    index = cluster.worker_index()
    facts = {"devices": strategy.describe_devices(devices), "replicas": devices.num_replicas_in_sync}
    facts |= exchanged(devices)
    facts["letters"] = letters(devices)
    facts |= {"keras_error": keras_error(devices), "compilation_error": compilation_error(devices)}
    for name in reversed(names):
        trainer, history, report = TRAININGS[name](devices)
        np.savez(Path(folder, f"{name}-{index}.npz"), *[weight.numpy() for weight in trainer.weights])
        facts[name] = {"history": history, "report": report}
    Path(folder, f"facts-{index}.json").write_text(json.dumps(facts))
    workers.barrier()
    die(trainer, int(victim))


if __name__ == "__main__":
    main(*sys.argv[1:])
