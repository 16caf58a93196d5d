"""Metrics of predicted numbers, from those of SciPy and `sklearn.metrics`."""

import numpy as np
from scipy import stats
from sklearn import metrics


def summarize(targets, predictions):
    """Returns `pearson` and `spearman`, correlations, `r2`, `rmse` and `mae`, a dict of floats.

    `r2` is the fraction of the variance that is explained, `rmse` the root of the mean squared error, and `mae` the
    mean absolute error. Correlations with something constant are 0.

    Args:
        targets: float (n,).
        predictions: float (n,).
    """
    targets, predictions = np.asarray(targets, np.float64), np.asarray(predictions, np.float64)
    is_constant = len(targets) < 2 or np.ptp(targets) == 0 or np.ptp(predictions) == 0
    return {
        "pearson": 0.0 if is_constant else float(stats.pearsonr(targets, predictions).statistic),
        "spearman": 0.0 if is_constant else float(stats.spearmanr(targets, predictions).statistic),
        "r2": float(metrics.r2_score(targets, predictions)) if len(targets) > 1 else 0.0,
        "rmse": float(metrics.root_mean_squared_error(targets, predictions)),
        "mae": float(metrics.mean_absolute_error(targets, predictions)),
    }
