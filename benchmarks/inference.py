"""Answers of a ResNet: uint8 images in NumPy to probabilities in NumPy, by karpa_tf's export and by Keras."""

import numpy as np
import tensorflow as tf

from benchmarks import made_up, same_work
from benchmarks.contender import Program, repeat
from benchmarks.keras_programs import seed_everything
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.export.versions import load_version, write
from karpa_tf.models.classifiers import make_classifier

LEAST = np.float32(1e-30)
"""What counts for a probability that is smaller."""

CLASSES = tuple(f"class {number}" for number in range(10))


def signature(folder, config, batch_size):
    """Returns the `Program` of the signature `images` of a SavedModel.

    Args:
        folder: that of `same_work`.
        config: a `ResNetConfig`.
        batch_size: images in a request.
    """
    model, pixels, labels = _start(folder, config, batch_size)
    function = load_version(write(folder / "export", make_classifier_export(model, CLASSES)))["images"]
    return _answering(lambda: function(images=tf.constant(pixels))["scores"].numpy(), model, labels)


def called(folder, config, batch_size):
    """Returns the `Program` of a model that is called as a function; arguments as for `signature`."""
    model, pixels, labels = _start(folder, config, batch_size)
    return _answering(lambda: tf.nn.softmax(model(_floats(pixels), training=False)).numpy(), model, labels)


def predict(folder, config, batch_size):
    """Returns the `Program` of `model.predict`; arguments as for `signature`."""
    model, pixels, labels = _start(folder, config, batch_size)
    return _answering(lambda: _softmax(model.predict(_floats(pixels), batch_size, verbose=0)), model, labels)


def _start(folder, config, batch_size):
    seed_everything("float32")
    model = make_classifier(config, (32, 32, 3), len(CLASSES))
    image_set = made_up.image_set(32, len(CLASSES))
    batch = {"pixels": image_set.images[:batch_size], "labels": image_set.labels[:batch_size]}
    batch = same_work.start(folder, same_work.named_weights(model), batch)
    return model, batch["pixels"], batch["labels"]


def _answering(answer, model, labels):
    scores = answer()
    # With weights that have learned nothing a probability may be too small for float32.
    loss = -np.log(np.maximum(scores[np.arange(len(labels)), labels], LEAST)).mean()
    return Program(repeat(answer), sum(int(np.prod(v.shape)) for v in model.trainable_variables), float(loss))


def _floats(pixels):
    return pixels.astype(np.float32) / np.float32(127.5) - 1


def _softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
