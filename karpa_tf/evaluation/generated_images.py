"""Report on generated images: how far they are from real ones, beside cheap baselines, and which they resemble."""

import dataclasses
import json

import numpy as np

from karpa_tf import plots
from karpa_tf.data.images.features import ImageFeatures
from karpa_tf.data.images.loaders import load_images
from karpa_tf.errors import UserError
from karpa_tf.metrics import gan
from karpa_tf.system.console import track
from karpa_tf.system.files import write_text

CHUNK = 512
"""Images that are generated at a time."""

MIN_IMAGES = 20
"""Fewer images have no meaningful statistics."""

SHOWN, NEIGHBORS = 8, 5
"""Generated images on the grid of nearest neighbors, and real neighbors of each."""


def load_set(flag, data, image_format):
    """Returns the `ImageSet` of `load_images`, whose errors name the flag that the data came from."""
    try:
        return load_images(data, image_format)
    except UserError as error:
        raise UserError(str(error).replace("--data", flag, 1)) from error


def draw(functions, count, seed, labels=None):
    """Returns generated images, uint8 (count, height, width, channels), with a progress bar.

    Args:
        functions: dict of the signatures of a generator.
        count: number of images.
        seed: of the first; image i is that of seed + i.
        labels: int (count,) for a conditional generator, or None.
    """
    parts = []
    for start in track(range(0, count, CHUNK), "Generated images"):
        rows = np.arange(start, min(start + CHUNK, count))
        inputs = {"seed": seed + rows} | ({} if labels is None else {"labels": labels[rows]})
        parts.append(functions["serving_default"](**inputs)["images"].numpy())
    return np.concatenate(parts)


@dataclasses.dataclass(frozen=True)
class DistanceMeasure:
    """A function from generated images, uint8 (n, height, width, channels), to their Frechet distance."""

    features: ImageFeatures

    real: np.ndarray
    """Features of the real images, float32 (m, features)."""

    def __call__(self, images):
        return gan.frechet_distance(self.real, self.features.compute(images)[0])


def make_measure(features, image_set, config):
    """Returns the `DistanceMeasure` from --evaluated-images real images, or from all if there are fewer.

    Args:
        features: an `ImageFeatures`.
        image_set: the `ImageSet` of real images.
        config: a `GANConfig`.

    Raises:
        UserError: there are too few real images.
    """
    selected = image_set.sample(config.evaluated_images)
    if len(selected.images) < MIN_IMAGES:
        raise UserError(f"--evaluate-every needs at least {MIN_IMAGES} images; {len(selected.images)} were found.")
    description = "Features of the real images"
    return DistanceMeasure(
        features, features.compute_cached(selected.images, image_set.fingerprint, description, config.cache_dir)
    )


def compare(reals, fakes, features, config, asked=None):
    """Returns the report on generated images, and the features of the real and the generated ones.

    The generated images are compared with as many real ones. Beside them stand two baselines, with the same number of
    images against the same real ones: other real images, which is as good as it gets; and images from the normal
    distribution of the pixels of the real ones, see `draw_normal_images`.

    Args:
        reals: `ImageSet` in random order.
        fakes: uint8 (n, height, width, channels).
        features: an `ImageFeatures`.
        config: `seed` and `cache_dir` are used.
        asked: names of the classes that the images were to be of, or None. If the features are those of a classifier
            of the same classes, the report says how often it recognizes them.

    Raises:
        UserError: there are too few images.
    """
    count = min(len(fakes), len(reals.images) // 2)
    if count < MIN_IMAGES:
        raise UserError(
            f"There are {len(fakes)} generated and {len(reals.images)} real images; expected at least {MIN_IMAGES} and "
            f"{2 * MIN_IMAGES}."
        )
    real = features.compute_cached(reals.images, reals.fingerprint, "Features of the real images", config.cache_dir)
    fake, probabilities = features.compute(fakes, "Features of the generated images")
    normal = draw_normal_images(reals.images[: min(count, 2000)], count, config.seed)
    baselines = {
        "other real images": real[count : 2 * count],
        "normal distribution of pixels": features.compute(normal, "Features of the baseline")[0],
    }
    figures = measure(real[:count], fake[:count], None if probabilities is None else probabilities[:count])
    if asked is not None and set(asked) <= set(features.classes):
        indices = [features.classes.index(name) for name in asked]
        figures["class_accuracy"] = float(np.mean(probabilities.argmax(-1) == indices))
    report = figures | {
        "data": reals.name,
        "features": features.name,
        "features_fingerprint": features.fingerprint,
        "seed": config.seed,
        "baselines": [{"name": name} | measure(real[:count], x) for name, x in baselines.items()],
    }
    return report, (fake, real)


def print_report(report):
    """Prints a report as a table."""
    count = f"{report['count']:,}"
    print(f"{count} images of each kind against {count} of {report['data']}, by {report['features']}:")
    print(format_table([{"name": "generated images"} | report, *report["baselines"]]))
    if "class_accuracy" in report:
        print(f"The class that was asked for is recognized in {report['class_accuracy']:.1%} of the images.")


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


def save_neighbors(path, fakes, reals, features):
    """Writes those generated images that are nearest to a real one, one in each row, before their nearest real images.

    Args:
        path: the PNG file.
        fakes: uint8 (m, height, width, channels).
        reals: uint8 (n, height, width, channels), or an `ImageSubset`.
        features: those of both, float (m, features) and (n, features).
    """
    indices, distances = gan.find_nearest(*features, NEIGHBORS)
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
