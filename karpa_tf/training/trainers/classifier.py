"""The classifier step: groups of weights with an optimizer each; exact on any number of replicas."""

import keras
import numpy as np
import tensorflow as tf

from karpa_tf.distribution import reductions
from karpa_tf.keras_compat import AlreadyBuilt
from karpa_tf.losses import cross_entropy
from karpa_tf.training.trainers.updates import (
    accumulate_gradients,
    apply_gradients,
    make_groups,
    make_moving_average,
    select_inputs,
    update_moving_average,
)


class Classifier(AlreadyBuilt, keras.Model):
    """Trains a model that maps images, or other inputs, to logits, with `fit`.

    `fit` takes batches of (`inputs`, `targets`): the inputs of the model, such as float32 images (batch, height, width,
    channels) in [-1, 1] or a dict; and float32 (batch, classes), probabilities. `evaluate` takes a third element,
    `weights`, float32 (batch,): 1, or 0 for examples that only pad the batch. For a model that classifies every word,
    targets are (batch, words, classes) and weights (batch, words), which `fit` takes too, and words are the examples.

    Every step reports `loss` (nats), `accuracy` and, with more than ten classes, `top_5_accuracy` (fractions), as means
    over the epoch so far. Under MixUp and CutMix, a prediction is correct if it is the class with the larger weight.

    Args:
        model: functional model, inputs to logits.
        label_smoothing: as for `cross_entropy`.
        class_weights: float32 (classes,), factors of the training loss, or None.
        ema: decay of the moving average of weights and batch statistics, as for `update_moving_average`; 0 for none.
        words: mean number of words per text, for a model that classifies every word. The loss of a batch in training is
            the sum over its words, divided by this number for each text: a word has the same weight in batches of short
            texts and of long ones.
        select: function that returns the part of a model that batches are for, with shared weights, such as
            `models.classifiers.extract_head`; only that part may be trained. None is the whole model.

    Attributes:
        network: the trained model.
        exported: the model to evaluate and export: the moving average, or `network` if `ema` is 0.
        trained, evaluated: what `select` returns for each of these two.
    """

    def __init__(self, model, label_smoothing=0.0, class_weights=None, ema=0.0, words=1.0, select=None, **kwargs):
        super().__init__(**kwargs)
        self.network, self.words = model, words
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
        self.ema = ema
        self.exported = make_moving_average(model) if ema else model
        self.trained, self.evaluated = (select(part) if select else part for part in (self.network, self.exported))
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        self.top_5 = None
        if model.output_shape[-1] > 10:
            self.top_5 = keras.metrics.TopKCategoricalAccuracy(5, name="top_5_accuracy")
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
        self.unfreeze_groups(0)

    def unfreeze_groups(self, step):
        """Trains the groups whose first step is at most `step`; the next step of `fit` is traced again."""
        self.active_groups = [group for group in self.groups if group.first_step <= step]
        self.train_function = None
        self.make_train_function()

    @property
    def active_variables(self):
        """The variables of all groups that are trained now."""
        return [variable for group in self.active_groups for variable in group.variables]

    @property
    def metrics(self):
        # `fit` reduces metrics exactly over replicas only if these names are the keys that a step returns.
        return [metric for metric in (self.loss_mean, self.accuracy, self.top_5) if metric]

    def call(self, inputs, training=False):
        """Returns the logits of the exported model, float32 (batch, classes)."""
        return self.exported(inputs, training=training)

    def train_step(self, data):
        count = self.words * reductions.sum_over_replicas(tf.shape(data[1])[0])
        variables = self.active_variables
        gradients = accumulate_gradients(
            lambda part: self._compute_gradients(part, count, variables),
            data,
            self.gradient_accumulation_steps,
            variables,
        )
        apply_gradients(self.active_groups, gradients, self.global_clipnorm)
        reductions.average_over_replicas(self.trained.non_trainable_variables)
        if self.ema:
            update_moving_average(self.exported, self.network, self.ema, self.optimizers[0])
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        inputs, targets, weights = data
        logits = self.evaluated(select_inputs(self.evaluated, inputs), training=False)
        self._update_metrics(self._compute_losses(targets, logits), targets, logits, weights)
        return {metric.name: metric.result() for metric in self.metrics}

    def _compute_gradients(self, part, count, variables):
        """Returns the gradients of this replica's contribution to the sum of the losses, divided by `count`."""
        inputs, targets, weights = part if len(part) > 2 else (*part, None)
        with tf.GradientTape() as tape:
            logits = self.trained(select_inputs(self.trained, inputs), training=True)
            losses = self._compute_losses(targets, logits)
            if self.class_weights is not None:
                losses *= tf.linalg.matvec(targets, self.class_weights)
            total = tf.reduce_sum(losses if weights is None else losses * weights)
            loss = self.optimizers[0].scale_loss(total / count)
        self._update_metrics(losses, targets, logits, weights)
        return tape.gradient(loss, variables)

    def _compute_losses(self, targets, logits):
        """Returns one loss for each example."""
        return cross_entropy(targets, logits, self.label_smoothing)

    def _update_metrics(self, losses, targets, logits, weights=None):
        self.loss_mean.update_state(losses, sample_weight=weights)
        self.accuracy.update_state(targets, logits, sample_weight=weights)
        if self.top_5:
            self.top_5.update_state(targets, logits, sample_weight=weights)


def describe_weights(trainer):
    """Returns how many weights a `Classifier` has, and how many of them are trained from the start, as text."""
    total, trained = (
        sum(int(np.prod(variable.shape)) for variable in variables)
        for variables in (trainer.network.weights, trainer.active_variables)
    )
    return f"{total:,} weights, of which {trained:,} are trained"
