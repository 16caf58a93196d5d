"""The random weights that all contenders of a workload start from, and a batch on which their losses are compared.

The first contender, always one of karpa_tf's, writes both to a file, which all others read. Names of weights do not
depend on the framework: (kind of layer)/(index among the layers of this kind)/(kind of weight).
"""

import re

import numpy as np

FILE = "shared.npz"
PREFIX = "weights:"

KINDS = {
    "Conv2D": "conv2d",
    "Conv2DTranspose": "conv2d_transpose",
    "Dense": "dense",
    "BatchNormalization": "batch_normalization",
}
"""Supported kinds of layers, and the name that Keras gives to the first layer of each."""


def name_variables(*models):
    """Returns a dict of Keras models' variables by name: "Conv2D/3/kernel", or "1/Conv2D/3/kernel" of several models.

    Keras numbers the layers of a kind in the order of their creation, not of their connection. A layer with a name of
    its own comes last.

    Raises:
        ValueError: a layer of another kind than `KINDS` has weights.
    """
    if len(models) > 1:
        named = [name_variables(model) for model in models]
        return {f"{index}/{name}": weight for index, weights in enumerate(named) for name, weight in weights.items()}
    (model,) = models
    variables = {}
    for kind, name in KINDS.items():
        numbers = {}
        for layer in model.layers:
            if type(layer).__name__ == kind:
                match = re.fullmatch(rf"{name}(?:_(\d+))?", layer.name)
                numbers[layer] = int(match[1] or 0) if match else float("inf")
        for index, layer in enumerate(sorted(numbers, key=numbers.get)):
            variables |= {f"{kind}/{index}/{weight.name}": weight for weight in layer.weights}
    if len(variables) != len(model.weights):
        raise ValueError(f"{model.name} has weights in layers of other kinds than {', '.join(KINDS)}.")
    return variables


def sample_weight(name, shape, rng):
    """Returns random values for a weight, float32 of the given shape.

    Kernels have He's standard deviation; scales and variances are near 1, biases and means near 0. The outputs of a
    network with such weights depend on its inputs.

    Args:
        name: name of the weight, as from `name_variables`.
        shape: shape of the weight.
        rng: a NumPy `Generator`.
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
    fan_in = np.prod(shape) // shape[2] if "Transpose" in name else np.prod(shape[:-1])
    return np.float32((2 / fan_in) ** 0.5) * noise


def assign_weights(folder, variables, batch=None):
    """Sets Keras variables to the shared weights and returns the shared batch, a dict of arrays.

    The first call for a folder samples the weights and writes them and the batch to the folder.

    Args:
        folder: path of the folder of one workload.
        variables: dict of Keras variables by name.
        batch: dict of arrays; not needed if the folder has been written.

    Raises:
        ValueError: the variables' names are not those of the first call.
    """
    if not (folder / FILE).exists():
        rng = np.random.default_rng(0)
        weights = {name: sample_weight(name, variable.shape, rng) for name, variable in variables.items()}
        np.savez(folder / FILE, **{f"{PREFIX}{name}": value for name, value in weights.items()}, **batch)
    weights, batch = load(folder)
    if weights.keys() != variables.keys():
        raise ValueError(f"The first contender has other weights: {sorted(weights.keys() ^ variables.keys())}.")
    for name, variable in variables.items():
        variable.assign(weights[name])
    return batch


def load(folder):
    """Returns the weights and the batch in a folder, two dicts of arrays by name."""
    with np.load(folder / FILE) as file:
        weights = {name.removeprefix(PREFIX): file[name] for name in file if name.startswith(PREFIX)}
        return weights, {name: file[name] for name in file if not name.startswith(PREFIX)}
