"""The contrastive step: of all texts of the batch, which belongs to this one; exact on any number of replicas."""

import keras
import tensorflow as tf

from karpa_tf.distribution import reductions
from karpa_tf.losses import cross_entropy
from karpa_tf.training.trainers.classifier import Classifier
from karpa_tf.training.trainers.updates import select_inputs

MASKED = -1e9
"""Logit of a text that is not contrasted."""


class Contrastive(Classifier):
    """Trains a model that maps texts to embeddings of unit length, with `fit`.

    `fit` takes batches of (`inputs`, `groups`): a dict of the model's inputs for n texts, and with the prefix `pair_`
    for n others, of which the i-th belongs to the i-th; and int32 (n, 2), the same number for texts that are equal in
    a column. `evaluate` takes a third element, `weights`, float32 (n,): 1, or 0 for rows that only pad the batch,
    whose groups are -1.

    The loss (nats) is the cross-entropy of the softmax over the second texts of the whole batch, of all replicas, where
    logits are similarities divided by a temperature (Gao et al. 2021, equations 1 and 4; van den Oord et al. 2018).
    Texts that belong to an equal text are left out: they are no wrong answers. Every step reports `loss`, and
    `accuracy`, the fraction of texts to which their own second text is the most similar, as means over the epoch so
    far.

    Args:
        model: functional model, inputs to float32 (batch, hidden_dim) of unit length.
        temperature: above 0.
        ema: as for `Classifier`.
    """

    def __init__(self, model, temperature, ema=0.0, **kwargs):
        super().__init__(model, ema=ema, **kwargs)
        self.temperature, self.top_5 = temperature, None
        self.accuracy = keras.metrics.Mean(name="accuracy")

    def test_step(self, data):
        inputs, groups, weights = data
        losses, is_correct = self._contrast(self.exported, inputs, groups, training=False)
        self._update(losses, is_correct, weights)
        return {metric.name: metric.result() for metric in self.metrics}

    def _compute_gradients(self, part, count, variables):
        inputs, groups = part
        with tf.GradientTape() as tape:
            losses, is_correct = self._contrast(self.network, inputs, groups, training=True)
            loss = self.optimizers[0].scale_loss(tf.reduce_sum(losses) / count)
        self._update(losses, is_correct)
        return tape.gradient(loss, variables)

    def _contrast(self, model, inputs, groups, training):
        """Returns the loss of every text of this replica, float32 (n,), and whether its own is the nearest."""
        others = {name.removeprefix("pair_"): value for name, value in inputs.items() if name.startswith("pair_")}
        first, second = (model(select_inputs(model, texts), training=training) for texts in (inputs, others))
        index, all_second, all_groups = reductions.gather_over_replicas(second, groups)
        own = tf.one_hot(index + tf.range(tf.shape(first)[0]), tf.shape(all_second)[0])
        is_same = tf.reduce_any(groups[:, None] == all_groups[None], axis=-1) | (all_groups[:, 0] < 0)
        logits = tf.matmul(first, all_second, transpose_b=True) / self.temperature
        logits = tf.where(is_same & (own == 0), MASKED, logits)
        return cross_entropy(own, logits), tf.argmax(logits, -1) == tf.argmax(own, -1)

    def _update(self, losses, is_correct, weights=None):
        self.loss_mean.update_state(losses, sample_weight=weights)
        self.accuracy.update_state(tf.cast(is_correct, tf.float32), sample_weight=weights)
