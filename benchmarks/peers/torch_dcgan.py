"""The step of PyTorch's DCGAN example (pytorch/examples, dcgan/main.py), in our own words.

Two backward passes for the discriminator, then the generator's against the discriminator as it is then, whose gradients
are computed too and thrown away. It differs from the example in that the networks are karpa_tf's, which have biases in
two places where the example has none, and in that the loss takes logits, as bfloat16 asks for.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional

from benchmarks import same_work
from benchmarks.peers.torch_programs import Weights, autocast, mirrored, trained

EPSILON, MOMENTUM = 1e-3, 0.01
"""Of batch normalization, as in Keras."""


def program(folder, precision, config, batch_size, channels_last=False):
    """Returns the `Program` of the example's step, with Adam, on images that are ready.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16" (by autocast).
        config: a `DCGANConfig`.
        batch_size: images in a step.
        channels_last: lay images and kernels out so.
    """
    arrays, batch = same_work.read(folder)
    generator, discriminator = Generator(config), Discriminator(config)
    generator.take(Weights(arrays, "0/"))
    discriminator.take(Weights(arrays, "1/"))
    images = mirrored(batch["images"])
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

    return trained(step, (generator, discriminator), loss)


@torch.no_grad()
def _loss(generator, discriminator, images, noise, precision):
    generator.eval(), discriminator.eval()
    with autocast(precision):
        real, fake = discriminator(images).float(), discriminator(generator(noise)).float()
    loss = functional.softplus(-real) + functional.softplus(fake) + functional.softplus(-fake)
    generator.train(), discriminator.train()
    return loss.mean().item()


class Generator(nn.Module):
    """As `karpa_tf.models.dcgan.make_generator`'s, noise (batch, latent_dim) to images (batch, channels, h, w)."""

    def __init__(self, config):
        super().__init__()
        self.first = nn.ConvTranspose2d(config.latent_dim, config.filters[0], config.base, bias=False)
        filters = [*config.filters, config.channels]
        self.upsamples = nn.ModuleList(
            nn.ConvTranspose2d(
                width,
                after,
                config.kernel_size,
                stride=2,
                padding=(config.kernel_size - 1) // 2,
                output_padding=config.kernel_size % 2,
                bias=place == len(config.filters) - 1,
            )
            for place, (width, after) in enumerate(itertools.pairwise(filters))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, EPSILON, MOMENTUM) for width in config.filters)
        self.activation = _activation(config.generator_negative_slope)

    def forward(self, noise):
        x = self.first(noise[:, :, None, None])
        for norm, upsample in zip(self.norms, self.upsamples, strict=True):
            x = upsample(self.activation(norm(x)))
        return torch.tanh(x)

    def take(self, weights):
        """Takes all of a `Weights`."""
        base, width = self.first.kernel_size[0], self.first.out_channels
        kernel = weights.arrays.pop("Dense/0/kernel").reshape(-1, base, base, width)
        kernel = torch.from_numpy(kernel[:, ::-1, ::-1].transpose(0, 3, 1, 2).copy())
        self.first.load_state_dict({"weight": kernel})
        for layers in (self.upsamples, self.norms):
            for place, layer in enumerate(layers):
                weights.put(layer, place)
        weights.require_empty()


class Discriminator(nn.Module):
    """As `karpa_tf.models.dcgan.make_discriminator`'s, images (batch, channels, h, w) to logits (batch, 1)."""

    def __init__(self, config):
        super().__init__()
        filters = [config.channels, *config.discriminator_filters]
        normalized = [config.discriminator_batch_norm and stage > 0 for stage in range(len(filters) - 1)]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, width, config.kernel_size, 2, (config.kernel_size - 1) // 2, bias=not norm)
            for before, width, norm in zip(filters[:-1], filters[1:], normalized, strict=True)
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(width, EPSILON, MOMENTUM) if norm else nn.Identity()
            for width, norm in zip(filters[1:], normalized, strict=True)
        )
        self.activation = _activation(config.discriminator_negative_slope)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.last = nn.Conv2d(filters[-1], 1, config.image_size >> len(filters) - 1)

    def forward(self, images):
        x = images
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = self.dropout(self.activation(norm(convolution(x))))
        return self.last(x).flatten(1)

    def take(self, weights):
        """Takes all of a `Weights`."""
        for place, layer in enumerate(self.convolutions):
            weights.put(layer, place)
        for place, layer in enumerate(norm for norm in self.norms if isinstance(norm, nn.BatchNorm2d)):
            weights.put(layer, place)
        side = self.last.kernel_size[0]
        kernel = weights.arrays.pop("Dense/0/kernel").reshape(side, side, -1)
        kernel = torch.from_numpy(kernel[::-1, ::-1].transpose(2, 0, 1)[None].copy())
        bias = torch.from_numpy(weights.arrays.pop("Dense/0/bias"))
        self.last.load_state_dict({"weight": kernel, "bias": bias})
        weights.require_empty()


def _activation(slope):
    return nn.LeakyReLU(slope, inplace=True) if slope else nn.ReLU(inplace=True)
