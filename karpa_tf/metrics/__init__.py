"""Metrics from arrays; what scikit-learn has is taken from scikit-learn."""
