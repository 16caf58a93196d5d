"""The step of a classifier: groups of weights under several optimizers, exact on any number of replicas."""

import keras
import tensorflow as tf

from karpa_tf.distribution import reductions
from karpa_tf.keras_compat import AlreadyBuilt
from karpa_tf.losses import cross_entropy
from karpa_tf.training.trainers.updates import (
    accumulate_gradients,
    apply_gradients,
    make_moving_average,
    select_inputs,
    update_moving_average,
)


class Classifier(AlreadyBuilt, keras.Model):
    """Trains a model that maps images, or whatever else it takes, to logits, with `fit`.

    `fit` takes batches of (`inputs`, `targets`): what the model takes, float32 images (batch, height, width, channels)
    in [-1, 1], say, or a dict; and float32 (batch, classes), probabilities. `evaluate` takes a third part, `weights`,
    float32 (batch,): 1, or 0 for an example that only fills the batch up.

    Every step reports `loss` (nats), `accuracy` and, where there are more than ten classes, `top_5_accuracy` (shares),
    as means over the epoch so far. A mixed example counts as right if its larger part is recognized.

    Args:
        model: functional model, inputs to logits.
        label_smoothing: as for `cross_entropy`.
        class_weights: float32 (classes,), factors of the training loss, or None.
        ema: decay of the moving average of weights and batch statistics, as for `update_moving_average`; 0 keeps none.

    Attributes:
        network: the model that is trained.
        exported: the model to evaluate and export: the moving average, or the trained model itself if `ema` is 0.
    """

    def __init__(self, model, label_smoothing=0.0, class_weights=None, ema=0.0, **kwargs):
        super().__init__(**kwargs)
        self.network = model
        self.label_smoothing = label_smoothing
        self.class_weights = None if class_weights is None else tf.constant(class_weights, tf.float32)
        self.ema = ema
        self.exported = make_moving_average(model) if ema else model
        self.loss_mean = keras.metrics.Mean(name="loss")
        self.accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        self.top_5 = None
        if model.output_shape[-1] > 10:
            self.top_5 = keras.metrics.TopKCategoricalAccuracy(5, name="top_5_accuracy")
        # Without it `fit` under a strategy asks for a `call` on data to build from (keras#20164).
        self.built = True

    def compile(self, groups, global_clipnorm=None, gradient_accumulation_steps=1, **kwargs):
        """Takes what moves the weights.

        Args:
            groups: list of `optimizers.OptimizerGroup`.
            global_clipnorm: longest gradient, over all weights together, or None.
            gradient_accumulation_steps: parts in which a replica's batch, a multiple of it, is worked off; the step is the same.
            **kwargs: for `keras.Model.compile`.
        """
        super().compile(optimizer=None, **kwargs)
        self.groups, self.global_clipnorm, self.gradient_accumulation_steps = (
            groups,
            global_clipnorm,
            gradient_accumulation_steps,
        )
        self.optimizers = [group.optimizer for group in groups]  # Keras saves what it finds in attributes.
        self.unfreeze_groups(0)

    def unfreeze_groups(self, step):
        """Lets the groups learn whose first step is at most `step`; the next step of `fit` is traced anew."""
        self.active_groups = [group for group in self.groups if group.first_step <= step]
        self.train_function = None
        self.make_train_function()

    @property
    def active_variables(self):
        """The weights that learn now."""
        return [variable for group in self.active_groups for variable in group.variables]

    @property
    def metrics(self):
        # `fit` reduces metrics exactly over replicas only if these names are the keys that a step returns.
        return [metric for metric in (self.loss_mean, self.accuracy, self.top_5) if metric]

    def call(self, inputs, training=False):
        """Returns the logits of the exported model, float32 (batch, classes)."""
        return self.exported(inputs, training=training)

    def train_step(self, data):
        count = reductions.sum_over_replicas(tf.shape(data[1])[0])
        variables = self.active_variables
        gradients = accumulate_gradients(
            lambda part: self._gradients(*part, count, variables), data, self.gradient_accumulation_steps, variables
        )
        apply_gradients(self.active_groups, gradients, self.global_clipnorm)
        reductions.average_over_replicas(self.network.non_trainable_variables)
        if self.ema:
            update_moving_average(self.exported, self.network, self.ema, self.optimizers[0])
        return {metric.name: metric.result() for metric in self.metrics}

    def test_step(self, data):
        inputs, targets, weights = data
        logits = self.exported(select_inputs(self.exported, inputs), training=False)
        self._update_metrics(cross_entropy(targets, logits, self.label_smoothing), targets, logits, weights)
        return {metric.name: metric.result() for metric in self.metrics}

    def _gradients(self, inputs, targets, count, variables):
        """Returns the gradients of this replica's share of the mean loss over `count` examples."""
        with tf.GradientTape() as tape:
            logits = self.network(select_inputs(self.network, inputs), training=True)
            losses = cross_entropy(targets, logits, self.label_smoothing)
            if self.class_weights is not None:
                losses *= tf.linalg.matvec(targets, self.class_weights)
            loss = self.optimizers[0].scale_loss(tf.reduce_sum(losses) / count)
        self._update_metrics(losses, targets, logits)
        return tape.gradient(loss, variables)

    def _update_metrics(self, losses, targets, logits, weights=None):
        self.loss_mean.update_state(losses, sample_weight=weights)
        self.accuracy.update_state(targets, logits, sample_weight=weights)
        if self.top_5:
            self.top_5.update_state(targets, logits, sample_weight=weights)
