"""Keras callbacks: logs, progress, sample grids, warnings, profiles."""
