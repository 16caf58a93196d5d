"""Input pipelines of PyTorch as they are usual: a `Dataset` of examples and a `DataLoader` with a process per core."""

import numpy as np
import torch
from torch.nn import functional

from benchmarks.contender import Program, cores

EXAMPLES, SIDE, CLASSES, LATENT_DIM, LENGTH, WORDS, PADDING, PREDICTIONS = 2048, 32, 10, 100, 128, 8000, 4, 20
MASK = 4
"""Id of [MASK]."""


class Labeled(torch.utils.data.Dataset):
    """Random images, padded, cut out and flipped by chance."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.images = torch.from_numpy(rng.integers(0, 256, (EXAMPLES, 3, SIDE, SIDE), np.uint8))
        self.labels = torch.from_numpy(rng.integers(0, CLASSES, EXAMPLES))

    def __len__(self):
        return EXAMPLES

    def __getitem__(self, place):
        image = functional.pad(self.images[place], (PADDING,) * 4)
        top, left, flip = (int(torch.randint(count, ())) for count in (2 * PADDING + 1, 2 * PADDING + 1, 2))
        image = image[:, top : top + SIDE, left : left + SIDE]
        image = image.flip(-1) if flip else image
        return image.float() / 127.5 - 1, self.labels[place]


class Noise(torch.utils.data.Dataset):
    """Random images and noise."""

    def __init__(self):
        images = np.random.default_rng(0).integers(0, 256, (EXAMPLES, 3, 64, 64), np.uint8)
        self.images = torch.from_numpy(images)

    def __len__(self):
        return EXAMPLES

    def __getitem__(self, place):
        return self.images[place].float() / 127.5 - 1, torch.randn(LATENT_DIM)


class Rows(torch.utils.data.Dataset):
    """Random rows of tokens."""

    def __init__(self):
        rows = np.random.default_rng(0).integers(5, WORDS, (EXAMPLES, LENGTH))
        rows[:, 0], rows[:, -1] = 2, 3
        self.rows = torch.from_numpy(rows)

    def __len__(self):
        return EXAMPLES

    def __getitem__(self, place):
        return self.rows[place]


def hide(rows):
    """Returns what Transformers' collator makes of a list of rows: ids, mask, segments and labels, -100 elsewhere."""
    ids = torch.stack(rows)
    labels = ids.clone()
    chosen = torch.bernoulli((ids >= 5) * 0.15).bool()
    labels[~chosen] = -100
    masked = chosen & torch.bernoulli(torch.full(ids.shape, 0.8)).bool()
    ids[masked] = MASK
    other = chosen & ~masked & torch.bernoulli(torch.full(ids.shape, 0.5)).bool()
    ids[other] = torch.randint(5, WORDS, ids.shape)[other]
    return ids, torch.ones_like(ids), torch.zeros_like(ids), labels


def _consumed(dataset, batch_size, collate=None):
    loader = torch.utils.data.DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        num_workers=cores(),
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
    "labeled": lambda batch_size: _consumed(Labeled(), batch_size),
    "noise": lambda batch_size: _consumed(Noise(), batch_size),
    "masked": lambda tokens_in_batch: _consumed(Rows(), tokens_in_batch // LENGTH, hide),
}
"""By name; each takes the number of images or tokens in a batch. Peak memory is that of the main process alone."""
