"""The training step of PyTorch's DCGAN example (pytorch/examples, dcgan/main.py), written anew.

Two backward passes for the discriminator are followed by one for the generator through the updated discriminator, whose
own gradients are computed too and discarded. Differences from the example: the networks are karpa_tf's, which have
biases in two layers where the example has none, and the loss takes logits, which bfloat16 requires.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional

from benchmarks import shared_weights
from benchmarks.peers.torch_programs import SharedWeights, autocast, flip_images, make_step_program

EPSILON, MOMENTUM = 1e-3, 0.01
"""Keras' defaults for batch normalization, in PyTorch's convention."""


def make_program(folder, precision, config, batch_size, channels_last=False):
    """Returns the `Program` of the example's step with Adam, on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16" (autocast).
        config: a `DCGANConfig`.
        batch_size: images per step, as many as in the shared batch.
        channels_last: use the memory format `channels_last` for images and kernels.
    """
    arrays, batch = shared_weights.load(folder)
    generator, discriminator = Generator(config), Discriminator(config)
    generator.load_weights(SharedWeights(arrays, "0/"))
    discriminator.load_weights(SharedWeights(arrays, "1/"))
    images = flip_images(batch["images"])
    loss = _loss(generator, discriminator, images, torch.from_numpy(batch["noise"]), precision)
    if channels_last:
        for network in (generator, discriminator):
            network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    adam_g, adam_d = (torch.optim.Adam(x.parameters(), 2e-4, (0.5, 0.999)) for x in (generator, discriminator))
    ones, zeros = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)
    criterion = nn.BCEWithLogitsLoss()

    def step():
        adam_d.zero_grad()
        noise = torch.randn(batch_size, config.latent_dim)
        with autocast(precision):
            d_real = criterion(discriminator(images), ones)
        d_real.backward()
        with autocast(precision):
            fakes = generator(noise)
            d_fake = criterion(discriminator(fakes.detach()), zeros)
        d_fake.backward()
        adam_d.step()
        adam_g.zero_grad()
        with autocast(precision):
            g_loss = criterion(discriminator(fakes), ones)
        g_loss.backward()
        adam_g.step()
        return d_real.item() + d_fake.item(), g_loss.item()

    return make_step_program(step, (generator, discriminator), loss)


@torch.no_grad()
def _loss(generator, discriminator, images, noise, precision):
    generator.eval(), discriminator.eval()
    with autocast(precision):
        real, fake = discriminator(images).float(), discriminator(generator(noise)).float()
    loss = functional.softplus(-real) + functional.softplus(fake) + functional.softplus(-fake)
    generator.train(), discriminator.train()
    return loss.mean().item()


class Generator(nn.Module):
    """The network of `dcgan.make_generator`: noise (batch, latent_dim) to images (batch, channels, h, w)."""

    def __init__(self, config):
        super().__init__()
        self.first = nn.ConvTranspose2d(config.latent_dim, config.filters[0], config.base_size, bias=False)
        channels = [*config.filters, config.channels]
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(
                in_channels,
                out_channels,
                config.kernel_size,
                stride=2,
                padding=(config.kernel_size - 1) // 2,
                output_padding=config.kernel_size % 2,
                bias=index == len(config.filters) - 1,
            )
            for index, (in_channels, out_channels) in enumerate(itertools.pairwise(channels))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(filters, EPSILON, MOMENTUM) for filters in config.filters)
        self.activation = _activation(config.generator_negative_slope)

    def forward(self, noise):
        x = self.first(noise[:, :, None, None])
        for norm, upsample in zip(self.norms, self.upsamples, strict=True):
            x = upsample(self.activation(norm(x)))
        return torch.tanh(x)

    def load_weights(self, weights):
        """Assigns all of a `SharedWeights`."""
        base_size, filters = self.first.kernel_size[0], self.first.out_channels
        kernel = weights.arrays.pop("Dense/0/kernel").reshape(-1, base_size, base_size, filters)
        kernel = torch.from_numpy(kernel[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy())
        self.first.load_state_dict({"weight": kernel})
        for layers in (self.upsamples, self.norms):
            for index, layer in enumerate(layers):
                weights.assign(layer, index)
        weights.require_empty()


class Discriminator(nn.Module):
    """The network of `dcgan.make_discriminator`: images (batch, channels, h, w) to logits (batch, 1)."""

    def __init__(self, config):
        super().__init__()
        channels = [config.channels, *config.discriminator_filters]
        has_norm = [config.discriminator_batch_norm and stage > 0 for stage in range(len(channels) - 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, config.kernel_size, 2, (config.kernel_size - 1) // 2, bias=not norm)
            for before, after, norm in zip(channels[:-1], channels[1:], has_norm, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(filters, EPSILON, MOMENTUM) if norm else nn.Identity()
            for filters, norm in zip(channels[1:], has_norm, strict=True)
        )
        self.activation = _activation(config.discriminator_negative_slope)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.last = nn.Conv2d(channels[-1], 1, config.image_size >> len(channels) - 1)

    def forward(self, images):
        x = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(self.activation(norm(convolution(x))))
        return self.last(x).flatten(1)

    def load_weights(self, weights):
        """Assigns all of a `SharedWeights`."""
        for index, layer in enumerate(self.convolutions):
            weights.assign(layer, index)
        for index, layer in enumerate(norm for norm in self.norms if isinstance(norm, nn.BatchNorm2d)):
            weights.assign(layer, index)
        size = self.last.kernel_size[0]
        kernel = weights.arrays.pop("Dense/0/kernel").reshape(size, size, -1)
        kernel = torch.from_numpy(kernel[::-1, ::-1].transpose(2, 0, 1)[None].copy())
        bias = torch.from_numpy(weights.arrays.pop("Dense/0/bias"))
        self.last.load_state_dict({"weight": kernel, "bias": bias})
        weights.require_empty()


def _activation(slope):
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
