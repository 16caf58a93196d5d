"""The training step of residual GANs in PyTorch, WGAN-GP and SAGAN, written anew.

Every update of the discriminator has one backward pass for its losses and its penalty, as in Mimicry (kwotsin/mimicry).
Images for it are generated without a graph, and its weights need no gradient in the generator's update, as in
caogang/wgan-gp. The networks are karpa_tf's. The logits and the penalty are computed in float32.
"""

import itertools
import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from benchmarks import shared_weights
from benchmarks.peers.torch_dcgan import EPSILON, MOMENTUM
from benchmarks.peers.torch_programs import SharedWeights, autocast, flip_images, make_step_program

DISCRIMINATOR_LOSSES = {
    "hinge": lambda real, fake: functional.relu(1 - real).mean() + functional.relu(1 + fake).mean(),
    "wasserstein": lambda real, fake: fake.mean() - real.mean(),
}
"""Of logits, by the loss of a config; that of the generator is the same for both."""


def make_program(folder, precision, config, channels_last=False):
    """Returns the `Program` of updates of the discriminator and one of the generator with Adam, on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16" (autocast).
        config: as for `ours.residual_gan.make_program`.
        channels_last: use the memory format `channels_last` for images and kernels.
    """
    arrays, batch = shared_weights.load(folder)
    networks = Generator(config.model), Discriminator(config.model)
    for index, network in enumerate(networks):
        network.load_weights(SharedWeights(arrays, f"{index}/"))
    loss = _compute_loss(networks, batch, config, precision)
    layout = {"memory_format": torch.channels_last if channels_last else torch.contiguous_format}
    images = [flip_images(part).to(**layout) for part in batch["images"].swapaxes(0, 1)]
    for network in networks:
        network.to(**layout)
    rates = config.learning_rate, config.discriminator_learning_rate or config.learning_rate
    adam_g, adam_d = (
        torch.optim.Adam(network.parameters(), rate, (config.beta_1, config.beta_2))
        for network, rate in zip(networks, rates, strict=True)
    )

    def step():
        losses, noise_shape = [], (config.batch_size, config.model.latent_dim)
        for reals in images:
            adam_d.zero_grad()
            randoms = torch.randn(noise_shape), torch.rand(config.batch_size)
            d_loss = _discriminator_loss(networks, reals, *randoms, config, precision)
            d_loss.backward()
            adam_d.step()
            losses.append(d_loss.item())
        adam_g.zero_grad()
        networks[1].requires_grad_(False)
        g_loss = _generator_loss(networks, torch.randn(noise_shape), precision)
        g_loss.backward()
        adam_g.step()
        networks[1].requires_grad_(True)
        return losses, g_loss.item()

    return make_step_program(step, networks, loss)


def _compute_loss(networks, batch, config, precision):
    """Returns what `ours.residual_gan` does, of the batch of the first update."""
    for network in networks:
        network.eval()
    noise = torch.from_numpy(batch["noise"][:, 0])
    # The last random number of an image is the penalty's.
    fractions = torch.from_numpy(batch["uniform"][:, 0, -1]) if "uniform" in batch else None
    d_loss = _discriminator_loss(networks, flip_images(batch["images"][:, 0]), noise, fractions, config, precision)
    loss = d_loss - _generator_loss(networks, noise, precision)
    for network in networks:
        network.train()
    return loss.item()


def _discriminator_loss(networks, reals, noise, fractions, config, precision):
    generator, discriminator = networks
    with torch.no_grad(), autocast(precision):
        fakes = generator(noise)
    with autocast(precision):
        loss = DISCRIMINATOR_LOSSES[config.loss](discriminator(reals), discriminator(fakes))
    if config.penalty == "gradient":
        loss = loss + config.penalty_weight * _gradient_penalty(discriminator, reals, fakes, fractions)
    return loss


def _generator_loss(networks, noise, precision):
    generator, discriminator = networks
    with autocast(precision):
        return -discriminator(generator(noise)).mean()


def _gradient_penalty(discriminator, reals, fakes, fractions):
    """Returns the mean of (|grad D(x)| - 1)^2 at x between images; fractions of 1 are real ones."""
    fractions = fractions[:, None, None, None]
    images = (fractions * reals + (1 - fractions) * fakes).requires_grad_()
    (gradients,) = torch.autograd.grad(discriminator(images).sum(), images, create_graph=True)
    return (torch.linalg.vector_norm(gradients, dim=(1, 2, 3)) - 1).square().mean()


class Generator(nn.Module):
    """The network of `residual_gan.make_generator`: noise (batch, latent_dim) to images (batch, channels, h, w)."""

    def __init__(self, config):
        super().__init__()
        self.shape = (config.filters[0], config.base_size, config.base_size)
        self.first = nn.Linear(config.latent_dim, math.prod(self.shape))
        self.blocks, size = nn.Sequential(), config.base_size
        for before, after in itertools.pairwise([config.filters[0], *config.filters]):
            self.blocks.append(GeneratorBlock(before, after))
            size *= 2
            if size == config.attention_size:
                self.blocks.append(ImageAttention(after))
        self.norm = nn.BatchNorm2d(config.filters[-1], EPSILON, MOMENTUM)
        self.last = _convolution(config.filters[-1], config.channels, 3)

    def forward(self, noise):
        x = self.norm(self.blocks(self.first(noise).view(-1, *self.shape)))
        return torch.tanh(self.last(functional.relu(x, inplace=True)).float())

    def load_weights(self, weights):
        """Assigns all of a `SharedWeights`."""
        channels, height, width = self.shape
        order = np.arange(math.prod(self.shape)).reshape(height, width, channels)
        order = order[::-1, ::-1].transpose(2, 0, 1).ravel()
        weights.arrays |= {name: array[..., order] for name, array in weights.arrays.items() if "Dense" in name}
        _load_weights(self, weights)


class Discriminator(nn.Module):
    """The network of `residual_gan.make_discriminator`: images (batch, channels, h, w) to logits (batch, 1)."""

    def __init__(self, config):
        super().__init__()
        self.blocks, size = nn.Sequential(), config.image_size
        for before, after in itertools.pairwise([config.channels, *config.discriminator_filters]):
            is_halved = size > 2 * config.base_size
            self.blocks.append(DiscriminatorBlock(before, after, is_halved, not self.blocks))
            size //= 2 if is_halved else 1
            if is_halved and size == config.attention_size:
                self.blocks.append(ImageAttention(after))
        self.last = nn.Linear(config.discriminator_filters[-1], 1)

    def forward(self, images):
        features = functional.relu(self.blocks(images)).float().sum((2, 3))
        with torch.autocast("cpu", enabled=False):
            return self.last(features)

    def load_weights(self, weights):
        """Assigns all of a `SharedWeights`."""
        _load_weights(self, weights)


class GeneratorBlock(nn.Module):
    """A residual block that doubles the feature map; the shortcut is computed before it is enlarged."""

    def __init__(self, before, after):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters, EPSILON, MOMENTUM) for filters in (before, after))
        self.first = UpsampledConvolution(before, after, 3, padding=1)
        self.second = _convolution(after, after, 3)
        self.shortcut = _convolution(before, after, 1)

    def forward(self, x):
        y = self.first(functional.relu(self.norms[0](x), inplace=True))
        y = self.second(functional.relu(self.norms[1](y), inplace=True))
        return functional.interpolate(self.shortcut(x), scale_factor=2) + y


class DiscriminatorBlock(nn.Module):
    """A residual block that can halve the feature map; the shortcut is computed afterwards."""

    def __init__(self, before, after, is_halved, is_first):
        super().__init__()
        self.is_halved, self.is_first = is_halved, is_first
        self.first = _convolution(before, after, 3)
        self.second = (PooledConvolution if is_halved else nn.Conv2d)(after, after, 3, padding=1)
        self.shortcut = _convolution(before, after, 1) if is_halved or before != after else nn.Identity()

    def forward(self, x):
        y = self.first(x if self.is_first else functional.relu(x))
        y = self.second(functional.relu(y, inplace=True))
        if self.is_halved:
            x = functional.avg_pool2d(x, 2)
        return self.shortcut(x) + y


class UpsampledConvolution(nn.Conv2d):
    """A convolution of the feature map enlarged twice."""

    def forward(self, x):
        return super().forward(functional.interpolate(x, scale_factor=2))


class PooledConvolution(nn.Conv2d):
    """A convolution whose outputs are averaged over 2x2 positions."""

    def forward(self, x):
        return functional.avg_pool2d(super().forward(x), 2)


class ImageAttention(nn.Module):
    """The layer `ImageAttention` of karpa_tf."""

    def __init__(self, channels):
        super().__init__()
        inner, values = max(channels // 8, 1), max(channels // 2, 1)
        self.query, self.key = (_convolution(channels, inner, 1, bias=False) for _ in range(2))
        self.value = _convolution(channels, values, 1, bias=False)
        self.output = _convolution(values, channels, 1, bias=False)
        self.gamma = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        query = self.query(x).flatten(2)  # (batch, channels, positions)
        key, value = (functional.max_pool2d(layer(x), 2).flatten(2) for layer in (self.key, self.value))
        scores = functional.softmax(torch.bmm(query.transpose(1, 2), key), dim=-1)
        context = torch.bmm(value, scores.transpose(1, 2)).view(len(x), -1, *x.shape[2:])
        return x + self.gamma * self.output(context)


def _convolution(before, after, size, bias=True):
    return nn.Conv2d(before, after, size, padding=size // 2, bias=bias)


KINDS = {
    "Conv2D": nn.Conv2d,
    "UpsampledConv2D": UpsampledConvolution,
    "PooledConv2D": PooledConvolution,
    "Dense": nn.Linear,
    "BatchNormalization": nn.BatchNorm2d,
}
"""Types of layers by the name of Keras'."""


@torch.no_grad()
def _load_weights(network, weights):
    """Assigns all of a `SharedWeights` to the layers, in the order in which Keras' were created.

    Layers for which there is the vector of a power iteration get spectral normalization.
    """
    attentions = [module for module in network.modules() if isinstance(module, ImageAttention)]
    inner = {layer for attention in attentions for layer in attention.children()}
    for kind, type_ in KINDS.items():
        layers = [module for module in network.modules() if type(module) is type_]
        for index, layer in enumerate(sorted(layers, key=inner.__contains__)):
            weights.assign(layer, index, kind)
            if f"{kind}/{index}/vector" in weights.arrays:
                _normalize(layer, torch.from_numpy(weights.arrays.pop(f"{kind}/{index}/vector")))
    for index, attention in enumerate(attentions):
        attention.gamma.fill_(float(weights.arrays.pop(f"ImageAttention/{index}/gamma")))
    weights.require_empty()


def _normalize(layer, vector):
    """Adds spectral normalization, with the vectors that follow from karpa_tf's, to a layer.

    In inference mode karpa_tf does a power iteration from its vector, and PyTorch none.
    """
    matrix = layer.weight.flatten(1)  # (outputs, others)
    right = functional.normalize(vector @ matrix, dim=0)
    left = functional.normalize(matrix @ right, dim=0)
    norm = parametrizations.spectral_norm(layer).parametrizations.weight[0]
    norm._u.copy_(left), norm._v.copy_(right)
