"""karpa_tf's masked language model, trained on token ids, which are masked anew in every step."""

import numpy as np

from benchmarks import shared_weights, synthetic
from benchmarks.keras_programs import configure_keras, cross_entropy, make_fit_program
from karpa_tf.configs.masked_lm import MaskedLMConfig
from karpa_tf.data.text.batches import make_masked_batches
from karpa_tf.models.bert import make_encoder, make_masked_lm
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.masked_lm import MaskedLM


def make_program(folder, precision, config, batch_size, vocabulary_size):
    """Returns the `Program` of steps with AdamW and gradient clipping, on `make_masked_batches`.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: a `BERTConfig`.
        batch_size: sequences per step.
        vocabulary_size: number of tokens.
    """
    configure_keras(precision)
    length = config.max_sequence_length
    model = make_masked_lm(config, make_encoder(config, vocabulary_size))
    trainer = MaskedLM(model)
    adamw, groups = MaskedLMConfig().optimization, [optimizers.ParameterGroup(model.trainable_variables)]
    optimizer_groups = optimizers.make_optimizer_groups(adamw, 1e-4, groups, 10**6, 10**6)
    trainer.compile(optimizer_groups, adamw.global_clipnorm, jit_compile=False)
    tokens = synthetic.make_tokens(length, vocabulary_size)
    masking = synthetic.make_masking(length, vocabulary_size)
    batch = _make_batch(tokens, masking, length, batch_size)
    batch = shared_weights.assign_weights(folder, {weight.path: weight for weight in model.weights}, batch)
    return make_fit_program(
        trainer,
        make_masked_batches(tokens, length, masking, batch_size, seed=0),
        cross_entropy(model, {tensor.name: batch[tensor.name] for tensor in model.inputs}, batch["mask_ids"]),
        model.trainable_variables,
        tokens.ids.nbytes,
    )


def _make_batch(tokens, masking, length, batch_size):
    """Returns a batch for all contenders, a dict of arrays; every entry of `mask_positions` is predicted."""
    batch = next(iter(make_masked_batches(tokens, length, masking, batch_size, seed=1)))
    batch = {name: np.asarray(value) for name, value in batch.items() if name != "mask_weights"}
    # The masking may select one position less in some sequence, for which the shapes of other programs have no padding.
    rng = np.random.default_rng(1)
    positions = np.sort([1 + rng.permutation(length - 2)[: masking.num_predictions] for _ in range(batch_size)])
    batch["mask_positions"] = positions.astype(np.int32)
    batch["mask_ids"] = np.take_along_axis(batch["token_ids"], positions, axis=1)
    return batch
