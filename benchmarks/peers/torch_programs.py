"""What all contenders on PyTorch share."""

import contextlib

import numpy as np
import torch

from benchmarks.program import Program, repeat


def autocast(precision):
    """Returns the context manager for a forward pass in "float32" or "bfloat16"."""
    return torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def make_step_program(step, networks, loss):
    """Returns the `Program` of a training step.

    Args:
        step: function without arguments.
        networks: modules that are trained.
        loss: as for `Program`.
    """
    parameters = sum(weight.numel() for network in networks for weight in network.parameters())
    return Program(repeat(step), parameters, loss)


class SharedWeights:
    """Arrays of `shared_weights`, to be assigned to the layers of a PyTorch module one by one.

    For an odd amount of padding TensorFlow adds the extra pixel on the right and at the bottom, PyTorch on the left and
    at the top. Therefore all kernels are flipped along height and width, and the network takes flipped images.

    Args:
        arrays: dict of arrays by name, as from `shared_weights.load`.
        prefix: prefix of the names of the arrays to use.
    """

    def __init__(self, arrays, prefix=""):
        self.arrays = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

    @torch.no_grad()
    def assign(self, module, index, kind=None):
        """Removes the weights of one layer from the arrays and assigns them to a module.

        Args:
            module: the layer.
            index: its index among the layers of its kind, from 0.
            kind: name of Keras' layer if PyTorch's type does not tell.
        """
        kinds = {
            torch.nn.Conv2d: "Conv2D",
            torch.nn.ConvTranspose2d: "Conv2DTranspose",
            torch.nn.BatchNorm2d: "BatchNormalization",
            torch.nn.Linear: "Dense",
        }
        kind = kind or kinds[type(module)]
        names = {"weight": "kernel", "bias": "bias"}
        if kind == "BatchNormalization":
            names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
        for torch_name, keras_name in names.items():
            if getattr(module, torch_name) is not None:
                array = self.arrays.pop(f"{kind}/{index}/{keras_name}")
                if keras_name == "kernel":
                    array = array.T if array.ndim == 2 else array[::-1, ::-1].transpose(3, 2, 0, 1)
                copy(getattr(module, torch_name), array)

    def require_empty(self):
        """Raises `ValueError` if an array has not been assigned."""
        if self.arrays:
            raise ValueError(f"Weights that were not assigned: {', '.join(self.arrays)}.")


def copy(tensor, array):
    """Copies an array into a tensor; raises `ValueError` if the shapes differ."""
    if tuple(tensor.shape) != array.shape:
        raise ValueError(f"Expected weights of shape {tuple(tensor.shape)}. Received: shape {array.shape}.")
    # Of a flipped kernel of one pixel NumPy would keep the negative strides, which PyTorch refuses.
    tensor.copy_(torch.from_numpy(array.copy()))


def flip_images(images):
    """Returns images (batch, height, width, channels), flipped along both, as a tensor (batch, channels, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(images[:, ::-1, ::-1].transpose(0, 3, 1, 2)))
