"""What all contenders on PyTorch share."""

import contextlib

import numpy as np
import torch

from benchmarks.contender import Program, repeat


def autocast(precision):
    """Returns the context in which a forward pass computes in bfloat16, or in float32."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def trained(step, networks, loss):
    """Returns the `Program` of a training step.

    Args:
        step: function of no arguments.
        networks: the modules whose weights it moves.
        loss: number, of the batch and weights of `same_work`.
    """
    parameters = sum(weight.numel() for network in networks for weight in network.parameters())
    return Program(repeat(step), parameters, loss)


class Weights:
    """Arrays of `same_work`, in the layout of PyTorch's modules.

    TensorFlow puts the odd pixel of padding on the right and at the bottom, PyTorch on the left and at the top. So all
    kernels are mirrored, both ways, and the network is right for mirrored images.

    Args:
        arrays: dict of arrays by name, as `same_work.read` returns them.
        prefix: of the names to take.
    """

    def __init__(self, arrays, prefix=""):
        self.arrays = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    @torch.no_grad()
    def put(self, module, place):
        """Moves one layer's weights from the arrays into a module; `place` counts the layers of its kind from 0."""
        kinds = {
            torch.nn.Conv2d: "Conv2D",
            torch.nn.ConvTranspose2d: "Conv2DTranspose",
            torch.nn.BatchNorm2d: "BatchNormalization",
            torch.nn.Linear: "Dense",
        }
        kind = kinds[type(module)]
        names = {"weight": "kernel", "bias": "bias"}
        if kind == "BatchNormalization":
            names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        for ours, theirs in names.items():
            if getattr(module, ours) is not None:
                array = self.arrays.pop(f"{kind}/{place}/{theirs}")
                if theirs == "kernel":
                    array = array.T if array.ndim == 2 else array[::-1, ::-1].transpose(3, 2, 0, 1)
                copy(getattr(module, ours), array)

    def require_empty(self):
        """Raises `ValueError` where a weight was left over."""
        if self.arrays:
            raise ValueError(f"Weights that found no place: {', '.join(self.arrays)}.")


def copy(tensor, array):
    """Sets a tensor to an array of the same shape, and only of that."""
    if tuple(tensor.shape) != array.shape:
        raise ValueError(f"Expected weights of the shape {tuple(tensor.shape)}; received {array.shape}.")
    tensor.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def mirrored(images):
    """Returns images, float32 (batch, channels, height, width), mirrored both ways, of (batch, h, w, channels)."""
    return torch.from_numpy(np.ascontiguousarray(images[:, ::-1, ::-1].transpose(0, 3, 1, 2)))
