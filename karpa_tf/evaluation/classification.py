"""Probabilities of a classifier for every example of a data set, and the report on them."""

import functools
import json

import numpy as np
import tensorflow as tf
from sklearn.metrics import confusion_matrix

from karpa_tf import plots
from karpa_tf.data.images.decoding import normalize
from karpa_tf.errors import UserError
from karpa_tf.metrics import classification as metrics
from karpa_tf.metrics.intervals import paired_difference
from karpa_tf.system.console import track
from karpa_tf.system.files import write_text
from karpa_tf.system.text_files import write_table

BATCH_SIZE = 250
"""The last batch is padded, so that there is a single shape."""

MAX_MISTAKES = 36
"""Number of most confident mistakes in the report."""

REPORT = "The report"
"""What an error of writing names."""

MISTAKES = "mistakes"
"""Folder of their images."""


def compute_probabilities(model, images):
    """Returns the probabilities of a classifier, float64 (n, classes), in the order of the images.

    Args:
        model: images, float32 (batch, height, width, channels) in [-1, 1], to logits.
        images: uint8 (n, height, width, channels); an array or a memory map.
    """
    return make_scorer(model)(images)


def make_scorer(model):
    """Returns `compute_probabilities` as a function of the images alone, for many calls."""

    @tf.function(input_signature=[tf.TensorSpec((BATCH_SIZE, *model.input_shape[1:]), tf.uint8)])
    def score(pixels):
        return tf.nn.softmax(tf.cast(model(normalize(pixels), training=False), tf.float32))

    return functools.partial(_score_in_batches, score)


def load_exported(signatures):
    """Returns what `make_scorer` does, from the signatures of an exported classifier.

    Args:
        signatures: of a SavedModel made with `make_classifier_export`.

    Returns:
        The function; the class names; and the image size and the number of channels.

    Raises:
        UserError: the SavedModel is no classifier.
    """
    if "images" not in signatures or "scores" not in signatures["images"].structured_outputs:
        raise UserError(f"The SavedModel is no classifier; its signatures are {', '.join(signatures)}.")
    signature = signatures["images"]
    _, image_size, _, channels = signature.structured_input_signature[1]["images"].shape
    names = signature(images=tf.zeros((1, image_size, image_size, channels), tf.uint8))["classes"][0].numpy()
    score = functools.partial(_score_in_batches, lambda pixels: signature(images=pixels)["scores"])
    return score, tuple(name.decode() for name in names), (image_size, channels)


def compute_text_probabilities(model, batches, count):
    """Returns the probabilities of a text classifier, float64 (`count`, classes), in the order of the texts.

    Args:
        model: dict of token ids and masks to logits.
        batches: dataset of (inputs, ...) with all texts in order; the last batch may be padded.
        count: number of texts.
    """
    score = tf.function(lambda inputs: tf.nn.softmax(model(inputs, training=False)), reduce_retracing=True)
    names = [tensor.name for tensor in model.inputs]
    rows = [score({name: inputs[name] for name in names}).numpy() for inputs, *_ in batches]
    return np.concatenate(rows)[:count].astype(np.float64)


def _score_in_batches(score, images):
    """Applies a function from uint8 (BATCH_SIZE, ...) to (BATCH_SIZE, classes) to any number of images; as float64."""
    rows = []
    for start in track(range(0, len(images), BATCH_SIZE), "Evaluating", total=-(-len(images) // BATCH_SIZE)):
        pixels = images[start : start + BATCH_SIZE]
        count = len(pixels)
        if count < BATCH_SIZE:
            pixels = np.concatenate([pixels, np.zeros((BATCH_SIZE - count, *pixels.shape[1:]), np.uint8)])
        rows.append(np.asarray(score(tf.constant(pixels)), np.float64)[:count])
    return np.concatenate(rows)


def save_image_report(folder, image_set, probabilities, baselines=()):
    """Writes what `save_report` does, and the images of the mistakes, and returns the content of `report.json`.

    `mistakes.png` has all of them with captions; the folder `mistakes` has each one in a file named by its rank.

    Args:
        folder: an existing folder.
        image_set: labeled `ImageSet` of n images.
        probabilities: float (n, classes).
        baselines: result of `measure_image_baselines`.
    """
    report = save_report(folder, image_set, probabilities, "image", baselines)
    mistakes = _find_mistakes(image_set, probabilities)
    captions = [f"{label}\n→ {prediction} {p:.0%}" for _, _, label, prediction, p in mistakes]
    images = image_set.images[[index for index, *_ in mistakes]]
    plots.save_captioned(folder / "mistakes.png", images, captions)
    (folder / MISTAKES).mkdir(exist_ok=True)
    for rank, image in enumerate(images):
        plots.save_grid(folder / MISTAKES / f"{rank:02}.png", image[None])
    return report


def save_report(folder, examples, probabilities, kind, baselines=(), parts=()):
    """Writes the metrics of a classifier and returns the content of `report.json`.

    Files: `report.json` (all metrics), `confusion.csv` and `confusion.png`, `reliability.png`, and `mistakes.csv`: the
    wrong predictions with the largest probabilities.

    Args:
        folder: an existing folder.
        examples: labeled `ImageSet` or `TextSet` of n examples.
        probabilities: float (n, classes).
        kind: "image" or "text".
        baselines: figures of simple classifiers on the same examples, a list of dicts as `measure_image_baselines`
            returns; the report has the interval of the gain in accuracy over each, of `paired_difference`.
        parts: figures of parts of the model on the same examples, a list of dicts with a `name`.
    """
    labels, classes = examples.labels, examples.classes
    per_class = metrics.summarize_classes(labels, probabilities)
    names = ("precision", "recall", "f1", "count")
    report = {
        "data": examples.name,
        "fingerprint": examples.fingerprint,
        "count": len(labels),
        **metrics.summarize(labels, probabilities),
        "classes": {
            label: dict(zip(names, values, strict=True))
            for label, *values in zip(classes, *(per_class[name].tolist() for name in names), strict=True)
        },
    }
    if baselines:
        report["baselines"] = [_add_gain(row, probabilities.argmax(1) == labels) for row in baselines]
    if parts:
        report["parts"] = list(parts)
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")
    confusion = confusion_matrix(labels, probabilities.argmax(1), labels=np.arange(len(classes)))
    rows = zip(classes, *confusion.T, strict=True)
    write_table(folder / "confusion.csv", ["true \\ predicted", *classes], rows, REPORT)
    plots.save_confusion(folder / "confusion.png", confusion, classes)
    plots.save_reliability(folder / "reliability.png", metrics.calibration(labels, probabilities), f"{kind}s")
    mistakes = _find_mistakes(examples, probabilities)
    rows = [(name, label, prediction, f"{p:.6f}") for _, name, label, prediction, p in mistakes]
    write_table(folder / "mistakes.csv", [kind, "true", "predicted", "probability"], rows, REPORT)
    return report


def _add_gain(baseline, is_correct):
    """Returns the figures of a baseline with the interval of the gain over it, without those of single examples."""
    row = dict(baseline)
    row["accuracy_gain_low"], row["accuracy_gain_high"] = paired_difference(is_correct, row.pop("is_correct"))
    return row


def _find_mistakes(examples, probabilities):
    """Returns the most confident mistakes: index, name, true class, predicted class and its probability."""
    labels, predictions = examples.labels, probabilities.argmax(1)
    wrong = np.flatnonzero(predictions != labels)
    worst = wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:MAX_MISTAKES]
    names = examples.names or [str(index) for index in range(len(labels))]
    classes = examples.classes
    return [
        (index, names[index], classes[labels[index]], classes[predictions[index]], float(probabilities[index].max()))
        for index in worst
    ]
