"""Means over a few steps, from what is known of an epoch so far."""

import numpy as np


class WindowMeans:
    """Recovers the mean over a window of steps from the means over the epoch so far, which `fit` reports.

    With m_t the mean after t steps, the mean of steps s + 1 to t is (t m_t - s m_s) / (t - s).
    """

    def __init__(self):
        self.start_epoch()

    def start_epoch(self):
        """Forgets the epoch before."""
        self.steps, self.means = 0, {}

    def close(self, steps, means):
        """Returns the means of the steps since the last call, given the means of the first `steps` of this epoch."""
        window = {
            name: (steps * mean - self.steps * self.means.get(name, 0.0)) / (steps - self.steps)
            for name, mean in means.items()
        }
        self.steps, self.means = steps, dict(means)
        return window


class MetricWindows:
    """Means over a window of steps from the sums that metrics keep: exact where steps and replicas weigh unequally.

    What `fit` reports of a step is the mean of the replicas' means, which for a weighted metric is not the mean.
    """

    def __init__(self):
        self.start_epoch()

    def start_epoch(self, known=None):
        """Forgets the epoch before; `known` are the sums at the last call of `close` where an epoch is gone on with."""
        self.known = dict(known or {})

    def close(self, metrics):
        """Returns the means of a list of `keras.metrics.Mean` since the last call, by name; 0 where nothing counted."""
        means = {}
        for metric in metrics:
            sums = np.array([metric.total.numpy(), metric.count.numpy()], float)
            total, count = sums - self.known.get(metric.name, 0.0)
            self.known[metric.name] = sums.tolist()
            means[metric.name] = total / count if count else 0.0
        return means
