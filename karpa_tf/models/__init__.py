"""Functional Keras graphs, one file per family."""
