"""Initial values of kernels and embeddings."""

import keras


def make_initializer(hidden_dim):
    """Returns a new truncated normal initializer with the standard deviation for `hidden_dim`.

    Every layer needs its own: an unseeded initializer of Keras that is used twice returns the same values twice.
    """
    return keras.initializers.TruncatedNormal(stddev=compute_initial_stddev(hidden_dim))


def compute_initial_stddev(hidden_dim):
    """Returns the standard deviation of initial kernels and embeddings: BERT's 0.02 at its hidden dimension of 768.

    At other sizes it is scaled by 1 / sqrt(hidden_dim), so that products keep the same variance. With 0.02 a network
    with a small hidden dimension needs many times as many steps before it makes any use of the context.
    """
    return 0.02 * (768 / hidden_dim) ** 0.5
