"""karpa_tf's token classification, on sentences of many lengths."""

import numpy as np
import tensorflow as tf

from benchmarks import shared_weights, synthetic
from benchmarks.keras_programs import configure_keras, cross_entropy, make_fit_program
from benchmarks.synthetic import TAGS
from karpa_tf.configs.tagger import TaggerConfig
from karpa_tf.data.text.tagged_batches import make_tagged_batches
from karpa_tf.models.bert import make_tagger
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.classifier import Classifier


def make_program(folder, precision, config, batch_size, vocabulary_size):
    """Returns the `Program` of steps with AdamW and gradient clipping, on `make_tagged_batches`.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: a `BERTConfig`.
        batch_size: sentences per step.
        vocabulary_size: number of tokens.
    """
    configure_keras(precision)
    rows = synthetic.make_tagged_rows(vocabulary_size)
    model = make_tagger(config, vocabulary_size, TAGS, config.max_sequence_length)
    trainer = Classifier(model, words=float(np.mean([len(tags) for tags in rows.tags])))
    adamw, groups = TaggerConfig().optimization, [optimizers.ParameterGroup(model.trainable_variables)]
    optimizer_groups = optimizers.make_optimizer_groups(adamw, 1e-4, groups, 10**6, 10**6)
    trainer.compile(optimizer_groups, adamw.global_clipnorm, jit_compile=False)
    inputs, targets, weights = next(iter(make_tagged_batches(rows, TAGS, batch_size, seed=1)))
    labels = tf.where(weights > 0, tf.argmax(targets, axis=-1), -1)
    batch = {name: np.asarray(value) for name, value in inputs.items()} | {"labels": labels.numpy()}
    batch = shared_weights.assign_weights(folder, {weight.path: weight for weight in model.weights}, batch)
    is_word = batch["labels"] >= 0

    def logits_of_words(inputs, training):
        return tf.boolean_mask(model(inputs, training=training), is_word)

    return make_fit_program(
        trainer,
        make_tagged_batches(rows, TAGS, batch_size, seed=0),
        cross_entropy(logits_of_words, {name: batch[name] for name in inputs}, batch["labels"][is_word]),
        model.trainable_variables,
        sum(ids.nbytes for ids in rows.token_ids),
    )
