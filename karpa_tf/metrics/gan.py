"""How close generated images are to real ones, from feature vectors of both.

Distances are means over all images; precision, recall, density and coverage tell apart images that are not like real
ones from real ones that are never generated. All depend on the features and on the number of images, so that only
figures with the same of both can be compared.
"""

import numpy as np

BLOCK = 1024
"""Rows of a matrix of distances that are computed at a time."""


def frechet_distance(real, fake):
    """Returns the Fréchet distance of two normal distributions with the moments of the features (Heusel et al. 2017).

    It is `|m - n|^2 + tr(C + D - 2 (C D)^(1/2))` for means m, n and covariances C, D (equation 6 of that paper), at
    least 0. The trace of the root is the sum of the square roots of the eigenvalues of `C^(1/2) D C^(1/2)`, which has
    those of `C D` and is symmetric, so that rounding cannot make them complex.

    Args:
        real: float (n, features), n > 1.
        fake: float (m, features), m > 1.
    """
    return frechet_distance_of_moments(*_moments(real), *_moments(fake))


def frechet_distance_of_moments(mean, covariance, other_mean, other_covariance):
    """Returns the Fréchet distance of two normal distributions, a float.

    Args:
        mean: float (features,).
        covariance: float (features, features).
        other_mean: float (features,).
        other_covariance: float (features, features).
    """
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    products = np.linalg.eigvalsh(root @ other_covariance @ root)
    traces = np.trace(covariance) + np.trace(other_covariance) - 2 * np.sqrt(np.maximum(products, 0)).sum()
    return float(max(np.sum((mean - other_mean) ** 2) + traces, 0.0))


def kernel_distance(real, fake, subset_size=1000, subsets=100, seed=0):
    """Returns the kernel distance (KID) and its standard error (Binkowski et al. 2018, section 4).

    It is the unbiased estimate of the squared maximum mean discrepancy under the kernel (x y / features + 1)^3, as a
    mean over random subsets; unlike the Fréchet distance its expectation does not depend on the number of images, and
    it may be below 0. The standard error is that over the subsets, the standard deviation divided by the root of their
    number; since subsets of few images overlap, it is too small if there are not many times `subset_size` images.

    Args:
        real: float (n, features).
        fake: float (m, features).
        subset_size: images of either kind in a subset; at most half of those that there are.
        subsets: number of subsets.
        seed: of their choice.
    """
    random = np.random.default_rng(seed)
    size = min(subset_size, len(real) // 2, len(fake) // 2)
    estimates = [
        squared_discrepancy(
            real[random.choice(len(real), size, replace=False)], fake[random.choice(len(fake), size, replace=False)]
        )
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates, ddof=1) / np.sqrt(subsets))


def squared_discrepancy(real, fake):
    """Returns the unbiased estimate of the squared maximum mean discrepancy under the kernel (x y / features + 1)^3.

    Args:
        real: float (n, features), n > 1.
        fake: float (n, features).
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    size = len(real)
    same = sum(_kernel(x @ x.T, x).sum() - _kernel((x * x).sum(1), x).sum() for x in (real, fake))
    return same / (size * (size - 1)) - 2 * _kernel(real @ fake.T, real).mean()


def inception_score(probabilities, splits=10):
    """Returns mean and standard deviation of the Inception score over parts of the images (Salimans et al. 2016).

    It is exp(E KL(p(y|x) | p(y))), from 1, if all images get the same classes, to the number of classes, if each image
    clearly is of one class and all classes are equally frequent.

    Args:
        probabilities: float (n, classes), p(y|x) of generated images, in an order without meaning.
        splits: number of parts.
    """
    scores = []
    for part in np.array_split(np.asarray(probabilities, np.float64), splits):
        marginal = part.mean(0, keepdims=True)
        ratios = np.log(np.maximum(part, 1e-30)) - np.log(np.maximum(marginal, 1e-30))
        scores.append(np.exp((part * ratios).sum(1).mean()))
    return float(np.mean(scores)), float(np.std(scores))


def precision_and_recall(real, fake, neighbors=3):
    """Returns improved precision and recall, fractions (Kynkäänniemi et al. 2019, equations 1 and 2).

    Precision is the fraction of generated images within the manifold of the real ones: no farther from any real image
    than that is from its k-th nearest real neighbor. Recall is the same with real and generated ones exchanged.

    Args:
        real: float (n, features), n > neighbors.
        fake: float (m, features), m > neighbors.
        neighbors: k.
    """
    real_radii, fake_radii = _radii(real, neighbors), _radii(fake, neighbors)
    precision = np.concatenate([(block <= real_radii).any(1) for block in _squared_distances(fake, real)]).mean()
    recall = np.concatenate([(block <= fake_radii).any(1) for block in _squared_distances(real, fake)]).mean()
    return float(precision), float(recall)


def density_and_coverage(real, fake, neighbors=5):
    """Returns density and coverage (Naeem et al. 2020, equations 3 and 4).

    Density is the mean number of real neighborhoods that a generated image lies in, divided by k; it may be above 1.
    Coverage is the fraction of real images whose neighborhood has a generated image.

    Args:
        real: float (n, features), n > neighbors.
        fake: float (m, features).
        neighbors: k.
    """
    radii = _radii(real, neighbors)
    count, covered = 0, np.zeros(len(real), bool)
    for block in _squared_distances(fake, real):
        within = block < radii
        count += within.sum()
        covered |= within.any(0)
    return float(count / (neighbors * len(fake))), float(covered.mean())


def find_nearest(queries, references, count=1):
    """Returns indices, int (n, count), and distances, float (n, count), of the nearest references, the nearest first.

    Args:
        queries: float (n, features).
        references: float (m, features), m >= count.
        count: number of neighbors.
    """
    indices, distances = [], []
    for block in _squared_distances(queries, references):
        nearest = np.argsort(block, axis=1, kind="stable")[:, :count]
        indices.append(nearest)
        distances.append(np.sqrt(np.take_along_axis(block, nearest, 1)))
    return np.concatenate(indices), np.concatenate(distances)


def _moments(features):
    features = np.asarray(features, np.float64)
    return features.mean(0), np.atleast_2d(np.cov(features, rowvar=False))


def _kernel(products, features):
    values = products / features.shape[1] + 1
    return values * values * values  # numpy's power is many times slower


def _radii(features, neighbors):
    """Returns the squared distance from each row to its k-th nearest other row, float (n,)."""
    # The row itself is the nearest, of distance 0.
    blocks = [np.partition(block, neighbors, axis=1)[:, neighbors] for block in _squared_distances(features, features)]
    return np.concatenate(blocks)


def _squared_distances(queries, references):
    """Yields the squared Euclidean distances of `BLOCK` queries to all references, float64 (block, references)."""
    references = np.asarray(references, np.float64)
    squares = (references * references).sum(1)
    for start in range(0, len(queries), BLOCK):
        block = np.asarray(queries[start : start + BLOCK], np.float64)
        distances = (block * block).sum(1, keepdims=True) + squares - 2 * block @ references.T
        yield np.maximum(distances, 0)
