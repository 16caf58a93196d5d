"""The masked-language-model step: the loss is a mean over the masked tokens, exact on any number of replicas."""

import keras
import tensorflow as tf

from karpa_tf.distribution import reductions
from karpa_tf.keras_compat import AlreadyBuilt
from karpa_tf.losses import token_cross_entropy
from karpa_tf.training.trainers.updates import (
    accumulate_gradients,
    apply_gradients,
    make_groups,
    make_moving_average,
    select_inputs,
    update_moving_average,
)


class MaskedLM(AlreadyBuilt, keras.Model):
    """Trains a model that predicts masked tokens, with `fit` (Devlin et al. 2018, section 3.1).

    `fit` and `evaluate` take dicts of the inputs of the model, of `mask_ids`, int32 (batch, predictions), the tokens to
    predict, and of `mask_weights`, float32 (batch, predictions): 1, or 0 for padding.

    Every step reports `loss` (nats) and `accuracy` (a fraction), as means over the masked tokens of the epoch so far.

    Args:
        model: functional model, from a dict to logits (batch, predictions, vocabulary).
        ema: decay of the moving average of the weights, as for `update_moving_average`; 0 for none.

    Attributes:
        network: the trained model.
        exported: the model to evaluate and export: the moving average, or `network` if `ema` is 0.
    """

    def __init__(self, model, ema=0.0, **kwargs):
        super().__init__(**kwargs)
        self.network, self.ema = model, ema
        self.exported = make_moving_average(model) if ema else model
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.Mean(name="accuracy")
        # Otherwise `fit` under a strategy needs a `call` on data to build from (keras#20164).
        self.built = True

    def compile(self, optimizer, global_clipnorm=None, gradient_accumulation_steps=1, **kwargs):
        """Sets the optimizers.

        Args:
            optimizer: a Keras optimizer of all weights, or a list of `optimizers.OptimizerGroup`.
            global_clipnorm: maximum norm of the gradient over all weights, or None.
            gradient_accumulation_steps: number of parts, which divides a replica's batch; the update does not change.
            **kwargs: for `keras.Model.compile`.
        """
        super().compile(optimizer=None, **kwargs)
        self.groups, self.global_clipnorm = make_groups(optimizer, self.network), global_clipnorm
        self.gradient_accumulation_steps = gradient_accumulation_steps
        self.optimizers = [group.optimizer for group in self.groups]  # Keras saves what it finds in attributes.

    @property
    def metrics(self):
        # `fit` reduces metrics exactly over replicas only if these names are the keys that a step returns.
        return [self.loss_mean, self.accuracy]

    def call(self, inputs, training=False):
        """Returns the outputs of the exported model."""
        return self.exported(inputs, training=training)

    def train_step(self, data):
        counts = {name: reductions.sum_over_replicas(count) for name, count in self._counts(data).items()}
        variables = [variable for group in self.groups for variable in group.variables]

        def compute_gradients(part):
            with tf.GradientTape() as tape:
                loss = self.optimizers[0].scale_loss(self._loss(part, counts))
            return tape.gradient(loss, variables)

        gradients = accumulate_gradients(compute_gradients, data, self.gradient_accumulation_steps, variables)
        apply_gradients(self.groups, gradients, self.global_clipnorm)
        if self.ema:
            update_moving_average(self.exported, self.network, self.ema, self.optimizers[0])
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        self._update_metrics(data, self.exported(select_inputs(self.exported, data), training=False))
        return {metric.name: metric.result() for metric in self.metrics}

    def _counts(self, data):
        """Returns the denominators of the losses for this replica's batch, a dict."""
        return {"tokens": tf.reduce_sum(data["mask_weights"])}

    def _loss(self, data, counts):
        """Returns this replica's contribution to the mean loss, a scalar, and updates the metrics."""
        losses = self._update_metrics(data, self.network(select_inputs(self.network, data), training=True))
        return tf.reduce_sum(losses) / tf.maximum(counts["tokens"], 1)

    def _update_metrics(self, data, logits):
        """Updates the metrics of the masked tokens and returns the weighted losses, float32 (batch, predictions)."""
        losses = token_cross_entropy(data["mask_ids"], logits)
        is_correct = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), data["mask_ids"])
        self.loss_mean.update_state(losses, sample_weight=data["mask_weights"])
        self.accuracy.update_state(tf.cast(is_correct, tf.float32), sample_weight=data["mask_weights"])
        return losses * data["mask_weights"]


class Pretraining(MaskedLM):
    """Trains a model that predicts masked tokens and whether the second segment follows the first (ibid.).

    Batches also have `is_next` and `row_weights`, float32 (batch,): 1 or 0. Both losses are added; `next_loss` (nats)
    and `next_accuracy` are reported too.

    Args:
        model: functional model, from a dict to a dict of `logits` and `is_next`, float32 (batch,), logits.
        ema: as for `MaskedLM`.
    """

    def __init__(self, model, ema=0.0, **kwargs):
        super().__init__(model, ema, **kwargs)
        self.next_loss = keras.metrics.Mean(name="next_loss")
        self.next_accuracy = keras.metrics.Mean(name="next_accuracy")

    @property
    def metrics(self):
        return [*super().metrics, self.next_loss, self.next_accuracy]

    def _counts(self, data):
        return super()._counts(data) | {"rows": tf.reduce_sum(data["row_weights"])}

    def _loss(self, data, counts):
        outputs = self.network(select_inputs(self.network, data), training=True)
        losses, next_losses = self._update_metrics(data, outputs)
        return tf.reduce_sum(losses) / tf.maximum(counts["tokens"], 1) + tf.reduce_sum(next_losses) / counts["rows"]

    def _update_metrics(self, data, outputs):
        logits, weights = outputs["is_next"], data["row_weights"]
        losses = tf.nn.sigmoid_cross_entropy_with_logits(data["is_next"], logits)
        is_correct = tf.equal(logits > 0, data["is_next"] > 0.5)
        self.next_loss.update_state(losses, sample_weight=weights)
        self.next_accuracy.update_state(tf.cast(is_correct, tf.float32), sample_weight=weights)
        return super()._update_metrics(data, outputs["logits"]), losses * weights
