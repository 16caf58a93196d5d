"""What every contender of a work starts from: the same weights, drawn anew, and a batch on which to compare the loss.

The first contender, which is always one of karpa_tf's own, writes them to a file; all others read it. Weights have
names that do not depend on the framework that made them: (kind of layer)/(its place among those)/(kind of weight).
"""

import re

import numpy as np

FILE = "start.npz"

KINDS = {
    "Conv2D": "conv2d",
    "Conv2DTranspose": "conv2d_transpose",
    "Dense": "dense",
    "BatchNormalization": "batch_normalization",
}
"""Layers whose weights are named by kind and order of creation, and what Keras calls the first of them."""


def named_weights(*models):
    """Returns the variables of Keras models by name, as in "Conv2D/3/kernel"; of two, as in "1/Conv2D/3/kernel".

    Keras numbers the names of the layers of a kind as they are made, in the order in which the network's code stands,
    and not as they are connected. One that has a name of its own comes last.
    """
    if len(models) > 1:
        named = [named_weights(model) for model in models]
        return {f"{place}/{name}": weight for place, some in enumerate(named) for name, weight in some.items()}
    (model,) = models
    found = {}
    for kind, name in KINDS.items():
        numbers = {}
        for layer in model.layers:
            if type(layer).__name__ == kind:
                match = re.fullmatch(rf"{name}(?:_(\d+))?", layer.name)
                numbers[layer] = int(match[1] or 0) if match else float("inf")
        for place, layer in enumerate(sorted(numbers, key=numbers.get)):
            found |= {f"{kind}/{place}/{weight.name}": weight for weight in layer.weights}
    if len(found) != len(model.weights):
        raise ValueError(f"{model.name} has weights in other layers than {', '.join(KINDS)}.")
    return found


def draw(name, shape, rng):
    """Returns new values, float32, for a weight of some name: such that its network is far from a constant.

    Kernels have He's deviation; scales and variances are about 1, and biases and means about 0.
    """
    kind = name.rpartition("/")[2]
    if kind == "moving_variance":
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    noise = rng.normal(size=shape).astype(np.float32)
    if kind == "gamma":
        return 1 + np.float32(0.1) * noise
    if kind in ("bias", "beta", "moving_mean", "embeddings"):
        return np.float32(0.1) * noise
    # The kernel of a transposed convolution is (height, width, out, in).
    inputs = np.prod(shape) // shape[2] if "Transpose" in name else np.prod(shape[:-1])
    return np.float32((2 / inputs) ** 0.5) * noise


def start(folder, variables, batch=None):
    """Sets Keras variables to the weights that all contenders start from, and returns the batch to compare on.

    The first one that asks draws the weights and keeps them and its batch in `folder`.

    Args:
        folder: path, of one work.
        variables: dict of Keras variables by name.
        batch: dict of arrays; a contender that never comes first has none.
    """
    if not (folder / FILE).exists():
        rng = np.random.default_rng(0)
        weights = {name: draw(name, variable.shape, rng) for name, variable in variables.items()}
        np.savez(folder / FILE, **{f"weights:{name}": value for name, value in weights.items()}, **batch)
    weights, batch = read(folder)
    if weights.keys() != variables.keys():
        raise ValueError(f"Other weights than the first contender's: {sorted(weights.keys() ^ variables.keys())}.")
    for name, variable in variables.items():
        variable.assign(weights[name])
    return batch


def read(folder):
    """Returns the weights and the batch of a folder, two dicts of arrays by name."""
    with np.load(folder / FILE) as file:
        weights = {name.removeprefix("weights:"): file[name] for name in file if name.startswith("weights:")}
        return weights, {name: file[name] for name in file if not name.startswith("weights:")}
