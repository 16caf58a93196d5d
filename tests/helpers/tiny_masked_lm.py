"""A masked language model that trains in a second."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.models.bert import make_encoder
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups

CONFIG = BERTConfig(
    max_sequence_length=12, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16, dropout=0.0, num_segments=2
)
VOCABULARY_SIZE = 30
SGD = OptimizerConfig(optimizer="sgd", momentum=0.0)


def make_batches(count=3, batch_size=8, predictions=3, seed=0):
    """Returns batches as those of the data pipeline, with rows of different lengths, one without masked tokens."""
    rng = np.random.default_rng(seed)
    rows = count * batch_size
    weights = (np.arange(predictions) < rng.integers(1, predictions + 1, (rows, 1))).astype(np.float32)
    weights[1] = 0
    mask = np.arange(12) < rng.integers(6, 13, (rows, 1))
    data = {
        "token_ids": np.where(mask, rng.integers(5, VOCABULARY_SIZE, (rows, 12)), 0).astype(np.int32),
        "padding_mask": mask,
        "segment_ids": (np.arange(12) > rng.integers(2, 5, (rows, 1))).astype(np.int32),
        "mask_positions": rng.integers(0, 6, (rows, predictions)).astype(np.int32),
        "mask_ids": rng.integers(5, VOCABULARY_SIZE, (rows, predictions)).astype(np.int32),
        "mask_weights": weights,
        "is_next": rng.integers(0, 2, rows).astype(np.float32),
        "row_weights": np.ones(rows, np.float32),
    }
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size, drop_remainder=True)


def make_trainer(trainer_class, make_model, learning_rate=0.1, **changes):
    """Returns a compiled trainer.

    Args:
        trainer_class: `MaskedLM` or `Pretraining`.
        make_model: a function of a `BERTConfig` and an encoder.
        learning_rate: the learning rate.
        **changes: fields of `SGD`, the `OptimizerConfig`, to change.
    """
    optimization = dataclasses.replace(SGD, **changes)
    keras.utils.set_random_seed(0)
    model = make_model(CONFIG, make_encoder(CONFIG, VOCABULARY_SIZE))
    trainer = trainer_class(model, optimization.ema)
    groups = make_optimizer_groups(optimization, learning_rate, [ParameterGroup(model.trainable_variables)], 10, 3)
    trainer.compile(groups, optimization.global_clipnorm, optimization.gradient_accumulation_steps)
    return trainer


def fit(trainer, data=None):
    return trainer.fit(make_batches() if data is None else data, epochs=2, shuffle=False, verbose=0).history
