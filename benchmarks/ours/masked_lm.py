"""karpa_tf's masked language model, from numbers of tokens on, which are hidden anew for every step."""

import numpy as np

from benchmarks import made_up, same_work
from benchmarks.keras_programs import cross_entropy, fitted, seed_everything
from karpa_tf.configs.masked_lm import MaskedLMConfig
from karpa_tf.data.text.batches import masked_batches
from karpa_tf.models.bert import make_encoder, make_masked_lm
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.masked_lm import MaskedLM


def program(folder, precision, config, batch_size, words):
    """Returns the `Program` of a step with AdamW and clipping, on `masked_batches`.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16".
        config: a `BERTConfig`.
        batch_size: rows in a step.
        words: size of the vocabulary.
    """
    seed_everything(precision)
    model = make_masked_lm(config, make_encoder(config, words))
    trainer = MaskedLM(model)
    adamw, parts = MaskedLMConfig().optimization, [optimizers.ParameterGroup(model.trainable_variables)]
    trainer.compile(
        optimizers.make_optimizer_groups(adamw, 1e-4, parts, 10**6, 10**6), adamw.global_clipnorm, jit_compile=False
    )
    tokens, masking = (
        made_up.tokens(config.max_sequence_length, words),
        made_up.masking(config.max_sequence_length, words),
    )
    batch = _rows(tokens, masking, config.max_sequence_length, batch_size)
    batch = same_work.start(folder, {weight.path: weight for weight in model.weights}, batch)
    return fitted(
        trainer,
        masked_batches(tokens, config.max_sequence_length, masking, batch_size, seed=0),
        cross_entropy(model, {tensor.name: batch[tensor.name] for tensor in model.inputs}, batch["mask_ids"]),
        model.trainable_variables,
        tokens.ids.nbytes,
    )


def _rows(tokens, masking, length, batch_size):
    """Returns a batch for all contenders, as a dict of arrays; every place of `mask_positions` counts."""
    batch = next(iter(masked_batches(tokens, length, masking, batch_size, seed=1)))
    batch = {name: np.asarray(value) for name, value in batch.items() if name != "mask_weights"}
    # A row may by chance predict one place less, which other programs' shapes do not allow for.
    rng = np.random.default_rng(1)
    places = np.sort([1 + rng.permutation(length - 2)[: masking.num_predictions] for _ in range(batch_size)])
    batch["mask_positions"] = places.astype(np.int32)
    batch["mask_ids"] = np.take_along_axis(batch["token_ids"], places, axis=1)
    return batch
