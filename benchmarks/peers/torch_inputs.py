"""The usual input pipelines of PyTorch: a `Dataset` of examples and a `DataLoader` with one process per core."""

import numpy as np
import torch
from torch.nn import functional

from benchmarks.machine import count_cores
from benchmarks.program import Program

COUNT, IMAGE_SIZE, NUM_CLASSES, LATENT_DIM, PADDING = 2048, 32, 10, 100, 4
LENGTH, VOCABULARY_SIZE, MASK_ID = 128, 8000, 4


class Labeled(torch.utils.data.Dataset):
    """Random images, padded, randomly cropped and flipped."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 256, (COUNT, 3, IMAGE_SIZE, IMAGE_SIZE), np.uint8))
        self.labels = torch.from_numpy(rng.integers(0, NUM_CLASSES, COUNT))

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        image = functional.pad(self.images[index], (PADDING,) * 4)
        top, left, flip = (int(torch.randint(limit, ())) for limit in (2 * PADDING + 1, 2 * PADDING + 1, 2))
        image = image[:, top : top + IMAGE_SIZE, left : left + IMAGE_SIZE]
        image = image.flip(-1) if flip else image
        return image.float() / 127.5 - 1, self.labels[index]


class Noise(torch.utils.data.Dataset):
    """Random images and noise."""

    def __init__(self):
        images = np.random.default_rng(0).integers(0, 256, (COUNT, 3, 64, 64), np.uint8)
        self.images = torch.from_numpy(images)

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return self.images[index].float() / 127.5 - 1, torch.randn(LATENT_DIM)


class TokenRows(torch.utils.data.Dataset):
    """Random rows of tokens."""

    def __init__(self):
        rows = np.random.default_rng(0).integers(5, VOCABULARY_SIZE, (COUNT, LENGTH))
        rows[:, 0], rows[:, -1] = 2, 3
        self.rows = torch.from_numpy(rows)

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        return self.rows[index]


def mask(rows):
    """Returns a masked batch of a list of rows, as Transformers' collator makes it.

    Returns:
        Token ids, padding mask, segment ids and labels, each int64 (batch, length); a label of -100 is ignored.
    """
    ids = torch.stack(rows)
    labels = ids.clone()
    selected = torch.bernoulli((ids >= 5) * 0.15).bool()
    labels[~selected] = -100
    masked = selected & torch.bernoulli(torch.full(ids.shape, 0.8)).bool()
    ids[masked] = MASK_ID
    replaced = selected & ~masked & torch.bernoulli(torch.full(ids.shape, 0.5)).bool()
    ids[replaced] = torch.randint(5, VOCABULARY_SIZE, ids.shape)[replaced]
    return ids, torch.ones_like(ids), torch.zeros_like(ids), labels


def _make_program(dataset, batch_size, collate=None):
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        num_workers=count_cores(),
        collate_fn=collate,
        drop_last=True,
        persistent_workers=True,
    )

    def run(after_step):
        while True:
            for _ in loader:
                after_step()

    return Program(run, data_bytes=sum(tensor.nbytes for tensor in vars(dataset).values()))


LOADERS = {
    "labeled": lambda batch_size: _make_program(Labeled(), batch_size),
    "noise": lambda batch_size: _make_program(Noise(), batch_size),
    "masked": lambda tokens_per_batch: _make_program(TokenRows(), tokens_per_batch // LENGTH, mask),
}
"""Functions of the number of images or tokens per batch that return a `Program`; its peak memory does not include the
processes of the `DataLoader`."""
