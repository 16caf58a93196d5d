"""A classifier on every example of a set: figures, tables and images of where it fails."""

import csv
import functools
import json

import numpy as np
import tensorflow as tf

from karpa_tf import plots
from karpa_tf.data.images.decoding import normalize
from karpa_tf.errors import UserError
from karpa_tf.metrics import classification as metrics
from karpa_tf.system.console import track

BATCH = 250
"""Images at a time; the last batch is filled up, so that there is one shape."""

MISTAKES = 36
"""Most confident mistakes that are shown."""


def compute_probabilities(model, images):
    """Returns the probabilities of a classifier, float64 (n, classes), for every image, in order.

    Args:
        model: images, float32 (batch, height, width, channels) in [-1, 1], to logits.
        images: uint8 (n, height, width, channels); an array or a memory map.
    """
    return make_scorer(model)(images)


def make_scorer(model):
    """Returns `compute_probabilities` as a function of the images alone, for many calls."""

    @tf.function(input_signature=[tf.TensorSpec((BATCH, *model.input_shape[1:]), tf.uint8)])
    def probabilities(pixels):
        return tf.nn.softmax(tf.cast(model(normalize(pixels), training=False), tf.float32))

    return functools.partial(_in_batches, probabilities)


def compute_text_probabilities(model, batches, count):
    """Returns the probabilities of a text classifier, float64 (`count`, classes), for every text, in order.

    Args:
        model: dict of token ids and masks to logits.
        batches: what `evaluation_text_batches` returned.
        count: number of texts.
    """
    probabilities = tf.function(lambda inputs: tf.nn.softmax(model(inputs, training=False)), reduce_retracing=True)
    names = [tensor.name for tensor in model.inputs]
    found = [probabilities({name: inputs[name] for name in names}).numpy() for inputs, *_ in batches]
    return np.concatenate(found)[:count].astype(np.float64)


def load_exported(signatures):
    """Returns what `make_scorer` does, from the signatures of an exported classifier.

    Args:
        signatures: of a SavedModel that was made of `make_classifier_export`.

    Returns:
        The function; the classes' names; and the side and the channels of the images.

    Raises:
        UserError: the SavedModel is no classifier.
    """
    if "images" not in signatures or "scores" not in signatures["images"].structured_outputs:
        raise UserError(f"The SavedModel is no classifier; its signatures are {', '.join(signatures)}.")
    answer = signatures["images"]
    _, side, _, channels = answer.structured_input_signature[1]["images"].shape
    names = answer(images=tf.zeros((1, side, side, channels), tf.uint8))["classes"][0].numpy()
    classes = tuple(name.decode() for name in names)
    return functools.partial(_in_batches, lambda pixels: answer(images=pixels)["scores"]), classes, (side, channels)


def _in_batches(probabilities, images):
    """Returns what a function from uint8 (250, ...) to (250, classes) says of any number of images, as float64."""
    found = []
    for start in track(range(0, len(images), BATCH), "Evaluating", total=-(-len(images) // BATCH)):
        pixels = images[start : start + BATCH]
        count = len(pixels)
        if count < BATCH:
            pixels = np.concatenate([pixels, np.zeros((BATCH - count, *pixels.shape[1:]), np.uint8)])
        found.append(np.asarray(probabilities(tf.constant(pixels)), np.float64)[:count])
    return np.concatenate(found)


def save_image_report(folder, image_set, probabilities):
    """Writes what `save_report` does, and `mistakes.png`, and returns the content of `report.json`.

    Args:
        folder: where to; exists.
        image_set: labeled `ImageSet` of n images.
        probabilities: float (n, classes).
    """
    report = save_report(folder, image_set, probabilities, "image")
    rows = _mistakes(image_set, probabilities)
    captions = [f"{true}\n→ {taken_for} {p:.0%}" for _, _, true, taken_for, p in rows]
    plots.save_captioned(folder / "mistakes.png", image_set.images[[place for place, *_ in rows]], captions)
    return report


def save_report(folder, examples, probabilities, kind):
    """Writes what is to be known of a classifier's probabilities, and returns the content of `report.json`.

    Files: `report.json` (all figures), `confusion.csv` and `confusion.png`, `reliability.png`, and `mistakes.csv`: the
    examples taken most confidently for something else.

    Args:
        folder: where to; exists.
        examples: labeled `ImageSet` or `TextSet` of n examples.
        probabilities: float (n, classes).
        kind: what an example is called.
    """
    labels, classes = examples.labels, examples.classes
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(1), len(classes))
    reliability = metrics.calibration(labels, probabilities)
    report = _report(examples, probabilities, confusion, reliability)
    (folder / "report.json").write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    _write_table(folder / "confusion.csv", ["true \\ predicted", *classes], zip(classes, *confusion.T, strict=True))
    plots.save_confusion(folder / "confusion.png", confusion, classes)
    plots.save_reliability(folder / "reliability.png", reliability, f"{kind}s")
    rows = [(name, true, taken_for, f"{p:.6f}") for _, name, true, taken_for, p in _mistakes(examples, probabilities)]
    _write_table(folder / "mistakes.csv", [kind, "true", "predicted", "probability"], rows)
    return report


def _report(examples, probabilities, confusion, reliability):
    labels, classes = examples.labels, examples.classes
    columns = metrics.precision_recall_f1(confusion)
    present = confusion.sum(1) > 0
    report = {
        "data": examples.name,
        "fingerprint": examples.fingerprint,
        "count": len(labels),
        "accuracy": metrics.accuracy(labels, probabilities),
    }
    for k in (2, 3, 5):
        if k < len(classes):
            report[f"top_{k}_accuracy"] = metrics.top_k_accuracy(labels, probabilities, k)
    report["log_loss"] = metrics.log_loss(labels, probabilities)
    report["ece"] = reliability["ece"]
    for name, values in zip(("precision", "recall", "f1"), columns, strict=True):
        report[f"macro_{name}"] = float(values[present].mean())
    report["classes"] = {
        name: {"precision": p, "recall": r, "f1": f, "count": int(n)}
        for name, p, r, f, n in zip(classes, *(column.tolist() for column in columns), confusion.sum(1), strict=True)
    }
    return report


def _mistakes(examples, probabilities):
    """Returns the most confident mistakes: place, name, true class, predicted class and its probability."""
    labels, predictions = examples.labels, probabilities.argmax(1)
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:MISTAKES]
    names = examples.names or [str(place) for place in range(len(labels))]
    return [
        (
            place,
            names[place],
            examples.classes[labels[place]],
            examples.classes[predictions[place]],
            float(probabilities[place].max()),
        )
        for place in worst
    ]


def _write_table(path, header, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(header)
        table.writerows(rows)
