"""Initial values of kernels and embeddings."""

import keras


def scaled_truncated_normal(width):
    return keras.initializers.TruncatedNormal(stddev=initial_stddev(width))


def initial_stddev(width):
    """Returns the standard deviation of new kernels and embeddings: BERT's 0.02 at its width of 768.

    At any other width it is what keeps products as large as there: with 0.02 a narrow network needs many times the
    steps before it looks at its context at all.
    """
    return 0.02 * (768 / width) ** 0.5
