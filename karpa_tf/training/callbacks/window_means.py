"""Means over a window of steps, from means over the epoch so far."""

import numpy as np


class WindowMeans:
    """Computes the mean over a window of steps from the means over the epoch so far, which `fit` reports.

    With m_t the mean after t steps, the mean of steps s + 1 to t is (t m_t - s m_s) / (t - s).
    """

    def __init__(self):
        self.start_epoch()

    def start_epoch(self):
        """Forgets the previous epoch."""
        self.steps, self.means = 0, {}

    def close(self, steps, means):
        """Returns the means over the steps since the last call, given those over the first `steps` of the epoch."""
        window = {
            name: (steps * mean - self.steps * self.means.get(name, 0.0)) / (steps - self.steps)
            for name, mean in means.items()
        }
        self.steps, self.means = steps, dict(means)
        return window


class MetricWindows:
    """Computes means over a window of steps from the sums of metrics, exact for any weights of steps and replicas.

    `fit` reports the mean of the replicas' means, which is not the mean of a weighted metric.
    """

    def __init__(self):
        self.start_epoch()

    def start_epoch(self, sums=None):
        """Forgets the previous epoch; `sums` are those of the last call of `close` if an epoch is resumed."""
        self.sums = dict(sums or {})

    def close(self, metrics):
        """Returns the means of a list of `keras.metrics.Mean` since the last call, by name; 0 without counts."""
        means = {}
        for metric in metrics:
            sums = np.array([metric.total.numpy(), metric.count.numpy()], float)
            total, count = sums - self.sums.get(metric.name, 0.0)
            self.sums[metric.name] = sums.tolist()
            means[metric.name] = total / count if count else 0.0
        return means
