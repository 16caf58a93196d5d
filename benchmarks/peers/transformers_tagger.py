"""Token classification with Hugging Face Transformers, on batches as by its run_ner.py."""

import itertools

import numpy as np
import torch
import transformers
from transformers.trainer_pt_utils import LengthGroupedSampler

from benchmarks import shared_weights, synthetic
from benchmarks.peers.torch_programs import autocast, make_step_program
from benchmarks.peers.transformers_bert import assign_weights, make_config, make_step

IGNORED = -100
"""Label of tokens that are not the first of a word."""


def make_program(folder, precision, config, batch_size, vocabulary_size, by_length=False, attention_dropout=True):
    """Returns the `Program` of training steps on the sentences of `synthetic.make_tagged_rows`.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16" (autocast).
        config: a `BERTConfig` with post-norm, learned position embeddings and two segments.
        batch_size: sentences per step.
        vocabulary_size: number of tokens.
        by_length: group sentences by length, as the Trainer's train_sampling_strategy "group_by_length" does; batches
            are random by default.
        attention_dropout: as for `transformers_bert.make_program`.
    """
    arrays, batch = shared_weights.load(folder)
    settings = make_config(config, vocabulary_size, attention_dropout, num_labels=synthetic.TAGS)
    network = transformers.BertForTokenClassification(settings)
    assign_weights(network, arrays, config.num_layers)
    with torch.no_grad(), autocast(precision):
        loss = network.eval()(**make_tensors(batch)).loss.item()
    batches = make_batches(synthetic.make_tagged_rows(vocabulary_size), batch_size, by_length)
    step = make_step(network, precision, lambda: network(**next(batches)).loss)
    return make_step_program(step, (network,), loss)


def make_tensors(batch):
    """Returns the model's inputs, a dict, of a batch as from `make_tagged_batches`, with `labels`, -1 for padding."""
    token_ids = torch.from_numpy(batch["token_ids"]).long()
    labels = torch.full_like(token_ids, IGNORED)
    rows, words = np.nonzero(batch["labels"] >= 0)
    labels[rows, batch["word_positions"][rows, words]] = torch.from_numpy(batch["labels"][rows, words]).long()
    return {
        "input_ids": token_ids,
        "attention_mask": torch.from_numpy(batch["padding_mask"]).long(),
        "token_type_ids": torch.zeros_like(token_ids),
        "labels": labels,
    }


def make_batches(rows, batch_size, by_length):
    """Yields the model's inputs of batches without end, padded to the longest sentence of each batch."""
    lengths = [len(ids) for ids in rows.token_ids]
    for epoch in itertools.count():
        generator = torch.Generator().manual_seed(epoch)
        if by_length:
            indices = list(LengthGroupedSampler(batch_size, lengths=lengths, generator=generator))
        else:
            indices = torch.randperm(len(lengths), generator=generator).tolist()
        for start in range(0, len(indices) - batch_size + 1, batch_size):
            chosen = indices[start : start + batch_size]
            yield make_tensors(_pad(rows, chosen))


def _pad(rows, indices):
    shape = len(indices), max(len(rows.token_ids[index]) for index in indices)
    token_ids, positions, labels = np.zeros(shape, np.int32), np.zeros(shape, np.int32), np.full(shape, -1)
    for row, index in enumerate(indices):
        token_ids[row, : len(rows.token_ids[index])] = rows.token_ids[index]
        positions[row, : len(rows.positions[index])] = rows.positions[index]
        labels[row, : len(rows.tags[index])] = rows.tags[index]
    return {"token_ids": token_ids, "padding_mask": token_ids != 0, "word_positions": positions, "labels": labels}
