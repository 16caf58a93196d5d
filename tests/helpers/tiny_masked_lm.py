"""A masked language model that trains in a second."""

import keras
import numpy as np
import tensorflow as tf

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.models.bert import (
    make_encoder,
)
from karpa_tf.training.optimizers import ParameterGroup, make_optimizer_groups

CONFIG = BERTConfig(
    max_sequence_length=12, hidden_dim=8, num_layers=1, num_heads=2, intermediate_dim=16, dropout=0.0, num_segments=2
)


WORDS = 30


SGD = OptimizerConfig(optimizer="sgd", momentum=0.0)


def batches(count=3, batch_size=8, predictions=3, seed=0):
    """Dicts as the pipeline makes them; rows differ in how much of them counts, and one has nothing to guess."""
    rng = np.random.default_rng(seed)
    rows = count * batch_size
    weights = (np.arange(predictions) < rng.integers(1, predictions + 1, (rows, 1))).astype(np.float32)
    weights[1] = 0
    mask = np.arange(12) < rng.integers(6, 13, (rows, 1))
    data = {
        "token_ids": np.where(mask, rng.integers(5, WORDS, (rows, 12)), 0).astype(np.int32),
        "padding_mask": mask,
        "segment_ids": (np.arange(12) > rng.integers(2, 5, (rows, 1))).astype(np.int32),
        "mask_positions": rng.integers(0, 6, (rows, predictions)).astype(np.int32),
        "mask_ids": rng.integers(5, WORDS, (rows, predictions)).astype(np.int32),
        "mask_weights": weights,
        "is_next": rng.integers(0, 2, rows).astype(np.float32),
        "row_weights": np.ones(rows, np.float32),
    }
    return tf.data.Dataset.from_tensor_slices(data).batch(batch_size, drop_remainder=True)


def make_trainer(
    kind,
    make,
    config=SGD,
    learning_rate=0.1,
    global_clipnorm=None,
    gradient_accumulation_steps=1,
    ema=0.0,
    shape=CONFIG,
):
    keras.utils.set_random_seed(0)
    model = make(shape, make_encoder(shape, WORDS))
    trainer = kind(model, ema)
    groups = make_optimizer_groups(config, learning_rate, [ParameterGroup(model.trainable_variables)], 10, 3)
    trainer.compile(groups, global_clipnorm, gradient_accumulation_steps)
    return trainer


def fit(trainer, data=None):
    return trainer.fit(batches() if data is None else data, epochs=2, shuffle=False, verbose=0).history
