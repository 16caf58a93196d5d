"""The report on a masked autoencoder: its error on held-out images, and what its embeddings are worth."""

import json

import numpy as np

from karpa_tf.data.images.features import ImageFeatures, make_function
from karpa_tf.data.images.image_set import ImageSubset
from karpa_tf.evaluation.baselines import IMAGES, compute_features, probe_features
from karpa_tf.system.files import write_text

EMBEDDINGS, RANDOM = "logistic regression on embeddings", "logistic regression on embeddings of random weights"
MEAN_OF_PATCH, MEAN_OF_IMAGE = "the mean of each patch", "the mean of the visible patches"


def save_report(folder, trainer, batches, probes=()):
    """Writes `report.json` and returns its content.

    `loss` is that of the trainer over the masked patches of the held-out images, and `count` the number of images. Of
    the `baselines`, one has the loss of drawing a single color: with normalized targets the mean of each patch, else
    the mean of the visible patches.

    Args:
        folder: an existing folder.
        trainer: compiled `MaskedImages` of the model to evaluate.
        batches: dataset of `make_held_out_batches`, or None if nothing is held out.
        probes: result of `probe_embeddings`.
    """
    report = {}
    if batches is not None:
        report = {name: float(value) for name, value in trainer.evaluate(batches, verbose=0, return_dict=True).items()}
        report["count"], baseline = _measure_mean(trainer, batches)
        report["baselines"] = [baseline]
    pixels = "with the brightness and contrast of the original patches" if trainer.normalize_targets else "as it is"
    report["samples"] = f"Images, what the network sees of them, and what it draws, {pixels}."
    if probes:
        own, *others = probes
        report |= {"probe_accuracy": own["probe_accuracy"]}
        report["baselines"] = report.get("baselines", []) + others
    write_text(folder / "report.json", json.dumps(report, indent=2) + "\n")
    return report


def probe_embeddings(encoder, random_encoder, train, split, seed):
    """Returns a list of dicts, as `probe_features`: of embeddings, of those of random weights, and of pixels.

    Args:
        encoder: model of images in [-1, 1] to embeddings.
        random_encoder: the same with initial weights.
        train: labeled `ImageSet` to train on.
        split: labeled `ImageSet` to evaluate.
        seed: of the sample of training images.
    """
    features = {EMBEDDINGS: _embed(encoder), RANDOM: _embed(random_encoder), IMAGES: compute_features}
    return probe_features(train, split, seed, features)


def summarize(report):
    """Returns the figures of a report as text, and where the network is no better than a baseline."""
    lines, worse = [], []
    for row in report.get("baselines", []):
        if "loss" in row:
            error = f"squared error {report['loss']:.4f} of the masked pixels of {report['count']:,} images"
            lines += [f"Held out    {error}\n{'':12}{row['loss']:.4f} by {row['name']}"]
            worse += [row["name"]] if report["loss"] >= row["loss"] else []
    if "probe_accuracy" in report:
        lines += [f"Probe       {report['probe_accuracy']:7.2%} of {report['count']:,} images by {EMBEDDINGS}"]
        rows = [row for row in report["baselines"] if "probe_accuracy" in row]
        lines += [f"{'':12}{row['probe_accuracy']:7.2%} by {row['name']}" for row in rows]
        worse += [row["name"] for row in rows if row["probe_accuracy"] >= report["probe_accuracy"]]
    lines += [f"No better than {name}: train for more epochs." for name in worse]
    return "\n".join(lines)


def _measure_mean(trainer, batches):
    """Returns the number of images, and the figures of drawing a single color."""
    count = total = 0.0
    for batch in batches:
        targets, drawn = trainer.compute_targets(batch), 0.0  # normalized pixels have a mean of 0
        if not trainer.normalize_targets:
            visible = trainer.compute_targets(batch | {"masked": batch["visible"]})
            shape = (*visible.shape[:2], -1, batch["images"].shape[-1])
            drawn = np.reshape(visible, shape).mean((1, 2))[:, None, None]
            targets = np.reshape(targets, (*targets.shape[:2], *shape[2:]))
        errors = np.square(targets - drawn).reshape(len(targets), -1).mean(1)
        total += float(np.sum(errors * batch["weights"].numpy()))
        count += int(batch["weights"].numpy().sum())
    name = MEAN_OF_PATCH if trainer.normalize_targets else MEAN_OF_IMAGE
    return int(count), {"name": name, "loss": total / count}


def _embed(encoder):
    features = ImageFeatures(EMBEDDINGS, "", make_function(encoder))
    return lambda images, indices: features.compute(ImageSubset(images, indices))[0]
