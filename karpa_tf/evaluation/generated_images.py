"""Report on generated images: how far they are from real ones, beside cheap baselines, and which they resemble."""

import json

import numpy as np

from karpa_tf import plots
from karpa_tf.metrics import gan
from karpa_tf.system.files import write_text

MIN_IMAGES = 20
"""Fewer images have no meaningful statistics."""

SHOWN, NEIGHBORS = 8, 5
"""Generated images on the grid of nearest neighbors, and real neighbors of each."""


def measure(real, fake, probabilities=None):
    """Returns the figures of generated images as a dict of numbers.

    Args:
        real: float (n, features), features of real images.
        fake: float (m, features), features of generated images.
        probabilities: float (m, classes), of a classifier for the generated images, or None.
    """
    kernel, error = gan.kernel_distance(real, fake)
    precision, recall = gan.precision_and_recall(real, fake)
    density, coverage = gan.density_and_coverage(real, fake)
    values = {
        "count": len(fake),
        "frechet_distance": gan.frechet_distance(real, fake),
        "kernel_distance": kernel,
        "kernel_distance_error": error,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }
    return values if probabilities is None else values | {"inception_score": gan.inception_score(probabilities)[0]}


def draw_normal_images(images, count, seed=0):
    """Returns images from the normal distribution with the mean and covariance of the pixels of real ones.

    The cheapest generator: random combinations of the deviations of real images from their mean, uint8
    (count, height, width, channels).

    Args:
        images: uint8 (n, height, width, channels).
        count: number of images to draw.
        seed: of the combinations.
    """
    pixels = np.asarray(images, np.float32).reshape(len(images), -1)
    mean = pixels.mean(0)
    weights = np.random.default_rng(seed).normal(size=(count, len(pixels))).astype(np.float32)
    drawn = mean + weights @ (pixels - mean) / np.sqrt(len(pixels) - 1)
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8).reshape(count, *images.shape[1:])


def save_report(folder, report):
    """Writes `report.json` to a folder."""
    write_text(folder / "report.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def save_neighbors(path, fakes, reals, fake_features, real_features):
    """Writes those generated images that are nearest to a real one, one in each row, before their nearest real images.

    Args:
        path: the PNG file.
        fakes: uint8 (m, height, width, channels).
        reals: uint8 (n, height, width, channels), or an `ImageSubset`.
        fake_features: float (m, features).
        real_features: float (n, features).
    """
    indices, distances = gan.find_nearest(fake_features, real_features, NEIGHBORS)
    rows = np.argsort(distances[:, 0], kind="stable")[:SHOWN]
    images = [image for row in rows for image in (fakes[row], *np.asarray(reals[indices[row]]))]
    plots.save_grid(path, np.stack(images), 1 + NEIGHBORS)


def format_table(rows):
    """Returns reports, dicts with a `name`, as lines of text for a terminal, with a header."""
    columns = {
        "frechet_distance": "Frechet",
        "kernel_distance": "kernel x1000",
        "precision": "precision",
        "recall": "recall",
        "density": "density",
        "coverage": "coverage",
    }
    lines = [f"{'':30}" + "".join(f"{title:>13}" for title in columns.values())]
    for row in rows:
        values = row | {"kernel_distance": 1000 * row["kernel_distance"]}
        lines.append(f"{row['name']:30}" + "".join(f"{values[key]:>13.4g}" for key in columns))
    return "\n".join(lines)
