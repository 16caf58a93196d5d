"""ResNets of basic blocks (He et al. 2015) in PyTorch, written in the usual way."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import shared_weights
from benchmarks.peers.torch_programs import SharedWeights, autocast, flip_images, make_step_program
from benchmarks.program import Program, repeat


def make_program(folder, precision, config, batch_size, channels_last=False, num_classes=10):
    """Returns the `Program` of steps with SGD, Nesterov momentum and weight decay, on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16" (autocast).
        config: a `ResNetConfig` with basic blocks and the 3x3 stem.
        batch_size: images per step, as many as in the shared batch.
        channels_last: use the memory format `channels_last` for images and kernels.
        num_classes: number of logits.
    """
    network, batch = load_network(folder, config, num_classes)
    images, labels = flip_images(batch["images"]), torch.from_numpy(batch["labels"]).long()
    with torch.no_grad(), autocast(precision):
        loss = functional.cross_entropy(network(images).float(), labels).item()
    network.train()
    if channels_last:
        network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)
    sgd = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def step():
        sgd.zero_grad()
        with autocast(precision):
            loss = functional.cross_entropy(network(images), labels)
        loss.backward()
        sgd.step()
        return loss.item()

    return make_step_program(step, (network,), loss)


def load_network(folder, config, num_classes=10):
    """Returns the network with the shared weights, in inference mode, and the shared batch, a dict of arrays."""
    arrays, batch = shared_weights.load(folder)
    network = ResNet(config, num_classes).eval()
    network.load_weights(SharedWeights(arrays))
    return network, batch


class ResNet(nn.Module):
    """Flipped images (batch, 3, height, width) to logits (batch, num_classes)."""

    def __init__(self, config, num_classes):
        super().__init__()
        self.stem, self.stem_norm = _convolution(3, config.filters[0]), nn.BatchNorm2d(config.filters[0])
        channels, blocks = config.filters[0], []
        for stage, (count, filters) in enumerate(zip(config.blocks, config.filters, strict=True)):
            for index in range(count):
                blocks.append(Block(channels, filters, 2 if stage and not index else 1, config.shortcut))
                channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, images):
        x = functional.relu(self.stem_norm(self.stem(images)))
        return self.head(self.blocks(x).mean((2, 3)))

    def load_weights(self, weights):
        """Assigns all of a `SharedWeights`."""
        convolutions, norms = [self.stem], [self.stem_norm]
        for block in self.blocks:
            convolutions += [block.first, block.second]
            norms += [block.first_norm, block.second_norm]
            if block.projection is not None:
                convolutions.append(block.projection)
                norms.append(block.projection_norm)
        for layers in (convolutions, norms, [self.head]):
            for index, layer in enumerate(layers):
                weights.assign(layer, index)
        weights.require_empty()


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, channels, filters, stride, shortcut):
        super().__init__()
        self.first, self.first_norm = _convolution(channels, filters, stride), nn.BatchNorm2d(filters)
        self.second, self.second_norm = _convolution(filters, filters), nn.BatchNorm2d(filters)
        self.stride, self.extra, self.projection = stride, filters - channels, None
        if self.extra and shortcut == "projection":
            self.projection = nn.Conv2d(channels, filters, 1, stride, bias=False)
            self.projection_norm = nn.BatchNorm2d(filters)

    def forward(self, x):
        y = functional.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        return functional.relu(y + self._shortcut(x))

    def _shortcut(self, x):
        if self.projection is not None:
            # Selects the same pixels as TensorFlow, of flipped images; not in training, where it would cost a copy.
            x = x if self.training or self.stride == 1 else x[:, :, 1:, 1:]
            return self.projection_norm(self.projection(x))
        if self.extra:
            x = x[:, :, 1 :: self.stride, 1 :: self.stride]
            return functional.pad(x, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return x


def _convolution(channels, filters, stride=1):
    return nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False)


def make_inference_program(folder, config, batch_size, num_classes=10):
    """Returns the `Program` of inference, from images, uint8 (batch, height, width, 3), to probabilities in NumPy."""
    network, batch = load_network(folder, config, num_classes)
    pixels = np.ascontiguousarray(batch["pixels"][:, ::-1, ::-1])

    @torch.inference_mode()
    def predict():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return functional.softmax(network(images), dim=1).numpy()

    # With random weights a probability may underflow in float32.
    scores = torch.from_numpy(predict()).clamp_min(1e-30)
    loss = functional.nll_loss(scores.log(), torch.from_numpy(batch["labels"]).long())
    return Program(repeat(predict), sum(weight.numel() for weight in network.parameters()), loss.item())
