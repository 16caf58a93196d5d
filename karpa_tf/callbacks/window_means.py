"""Means over a few steps, from what `fit` reports."""


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
