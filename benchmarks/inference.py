"""Inference of a ResNet, from uint8 images to probabilities in NumPy: karpa_tf's export, and two ways in Keras."""

import numpy as np
import tensorflow as tf

from benchmarks import shared_weights, synthetic
from benchmarks.keras_programs import configure_keras
from benchmarks.program import Program, repeat
from karpa_tf.export import versions
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.models.classifiers import make_classifier

MIN_PROBABILITY = np.float32(1e-30)
"""Lower bound of probabilities in the loss; with random weights one may underflow in float32."""

CLASSES = tuple(f"class {number}" for number in range(10))


def make_export_program(folder, config, batch_size):
    """Returns the `Program` of the signature `images` of a SavedModel.

    Args:
        folder: path, as for `shared_weights`.
        config: a `ResNetConfig`.
        batch_size: images per request.
    """
    model, pixels, labels = _start(folder, config, batch_size)
    export = make_classifier_export(model, CLASSES, task="classifier")
    function = versions.load_version(versions.write(folder / "export", export))["images"]
    return _make_program(lambda: function(images=tf.constant(pixels))["scores"].numpy(), model, labels)


def make_call_program(folder, config, batch_size):
    """Returns the `Program` that calls a model as a function; arguments as for `make_export_program`."""
    model, pixels, labels = _start(folder, config, batch_size)
    return _make_program(lambda: tf.nn.softmax(model(_normalize(pixels), training=False)).numpy(), model, labels)


def make_predict_program(folder, config, batch_size):
    """Returns the `Program` of `model.predict`; arguments as for `make_export_program`."""
    model, pixels, labels = _start(folder, config, batch_size)
    return _make_program(lambda: _softmax(model.predict(_normalize(pixels), batch_size, verbose=0)), model, labels)


def _start(folder, config, batch_size):
    configure_keras("float32")
    model = make_classifier(config, (32, 32, 3), len(CLASSES))
    image_set = synthetic.make_image_set(32, len(CLASSES))
    batch = {"pixels": image_set.images[:batch_size], "labels": image_set.labels[:batch_size]}
    batch = shared_weights.assign_weights(folder, shared_weights.name_variables(model), batch)
    return model, batch["pixels"], batch["labels"]


def _make_program(predict, model, labels):
    scores = predict()
    loss = -np.log(np.maximum(scores[np.arange(len(labels)), labels], MIN_PROBABILITY)).mean()
    return Program(repeat(predict), sum(int(np.prod(v.shape)) for v in model.trainable_variables), float(loss))


def _normalize(pixels):
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
