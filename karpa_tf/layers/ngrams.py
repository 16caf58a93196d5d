"""A linear model of n-grams of tokens beside a network."""

import keras
from keras import layers, ops

_MULTIPLIER = 7919
"""A prime; products that overflow do so alike in NumPy and TensorFlow."""


@keras.saving.register_keras_serializable("karpa_tf")
class NgramEnsemble(layers.Layer):
    """Adds the logits of a linear model of single tokens and pairs of neighbors to those of a network, multiplied.

    Maps `logits`, float32 (batch, classes), `token_ids`, int32 (batch, length), and `padding_mask`, bool (batch,
    length), to float32 (batch, classes): s `logits` + sum of W[g] / sqrt(sum of v[g]) + b, where both sums are over the
    n-grams g of a text, each as often as it occurs.

    Pairs are hashed (Weinberger et al. 2009, "Feature hashing for large scale multitask learning").

    Args:
        vocabulary_size: number of tokens in the vocabulary.
        pair_buckets: number of hash values of pairs.
    """

    def __init__(self, vocabulary_size, pair_buckets, dtype="float32", **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.vocabulary_size, self.pair_buckets = vocabulary_size, pair_buckets

    def build(self, logits_shape):
        classes, ngrams = logits_shape[-1], self.vocabulary_size + self.pair_buckets
        self.scale = self.add_weight(shape=(), initializer="ones", trainable=False, name="scale")
        # Not one table: quantized weights have one scale each, and v is much larger than W.
        shape = ngrams, classes
        self.table = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="table")
        self.squares = self.add_weight(shape=(ngrams, 1), initializer="zeros", trainable=False, name="squares")
        self.bias = self.add_weight(shape=(classes,), initializer="zeros", trainable=False, name="bias")

    def call(self, logits, token_ids, padding_mask):
        pairs = hash_pairs(token_ids[:, :-1], token_ids[:, 1:], self.vocabulary_size, self.pair_buckets)
        ngrams = ops.concatenate([token_ids, pairs], axis=1)
        is_used = ops.cast(ops.concatenate([padding_mask, padding_mask[:, 1:]], axis=1), self.compute_dtype)
        is_used = ops.expand_dims(is_used, -1)
        sums, squares = (ops.sum(ops.take(x, ngrams, axis=0) * is_used, axis=1) for x in (self.table, self.squares))
        return self.scale * logits + sums / ops.sqrt(ops.maximum(squares, keras.config.epsilon())) + self.bias

    def compute_output_spec(self, logits, token_ids, padding_mask):
        return keras.KerasTensor(logits.shape, self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"vocabulary_size": self.vocabulary_size, "pair_buckets": self.pair_buckets}


def hash_pairs(first, second, vocabulary_size, pair_buckets):
    """Returns the n-gram numbers of pairs of tokens: above those of single tokens, which are their ids.

    Args:
        first: token ids, int32, an array or a tensor.
        second: those that follow.
        vocabulary_size: number of tokens in the vocabulary.
        pair_buckets: number of hash values of pairs.
    """
    return vocabulary_size + (first * _MULTIPLIER + second) % pair_buckets
