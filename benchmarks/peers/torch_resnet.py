"""ResNets of basic blocks on PyTorch (He et al. 2015), as they are usually written there."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks import same_work
from benchmarks.contender import Program, repeat
from benchmarks.peers.torch_programs import Weights, autocast, mirrored, trained


def program(folder, precision, config, batch_size, channels_last=False, classes=10):
    """Returns the `Program` of a step with SGD, Nesterov momentum and weight decay, on images that are ready.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16" (by autocast).
        config: a `ResNetConfig` of basic blocks and the stem for 32x32.
        batch_size: images in a step.
        channels_last: lay images and kernels out so.
        classes: of the logits.
    """
    network, batch = start(folder, config, classes)
    images, labels = mirrored(batch["images"]), torch.from_numpy(batch["labels"]).long()
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

    return trained(step, (network,), loss)


def start(folder, config, classes=10):
    """Returns the network in inference mode, with the weights of `same_work`, and its batch, a dict of arrays."""
    arrays, batch = same_work.read(folder)
    network = ResNet(config, classes).eval()
    network.take(Weights(arrays))
    return network, batch


class ResNet(nn.Module):
    """Images (batch, 3, height, width), mirrored, to logits (batch, classes)."""

    def __init__(self, config, classes):
        super().__init__()
        self.stem, self.stem_norm = _convolution(3, config.filters[0]), nn.BatchNorm2d(config.filters[0])
        before, blocks = config.filters[0], []
        for stage, (count, width) in enumerate(zip(config.blocks, config.filters, strict=True)):
            for place in range(count):
                blocks.append(Block(before, width, 2 if stage and not place else 1, config.shortcut))
                before = width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, classes)

    def forward(self, images):
        x = functional.relu(self.stem_norm(self.stem(images)))
        return self.head(self.blocks(x).mean((2, 3)))

    def take(self, weights):
        """Takes all of a `Weights`."""
        convolutions, norms = [self.stem], [self.stem_norm]
        for block in self.blocks:
            convolutions += [block.first, block.second]
            norms += [block.first_norm, block.second_norm]
            if block.projection is not None:
                convolutions.append(block.projection)
                norms.append(block.projection_norm)
        for layers in (convolutions, norms, [self.head]):
            for place, layer in enumerate(layers):
                weights.put(layer, place)
        weights.require_empty()


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, before, width, stride, shortcut):
        super().__init__()
        self.first, self.first_norm = _convolution(before, width, stride), nn.BatchNorm2d(width)
        self.second, self.second_norm = _convolution(width, width), nn.BatchNorm2d(width)
        self.stride, self.extra, self.projection = stride, width - before, None
        if self.extra and shortcut == "projection":
            self.projection = nn.Conv2d(before, width, 1, stride, bias=False)
            self.projection_norm = nn.BatchNorm2d(width)

    def forward(self, x):
        y = functional.relu(self.first_norm(self.first(x)), inplace=True)
        y = self.second_norm(self.second(y))
        return functional.relu(y + self._shortcut(x))

    def _shortcut(self, x):
        if self.projection is not None:
            # Of mirrored images it takes the pixels that TensorFlow's takes; in training that would cost a copy.
            x = x if self.training or self.stride == 1 else x[:, :, 1:, 1:]
            return self.projection_norm(self.projection(x))
        if self.extra:
            x = x[:, :, 1 :: self.stride, 1 :: self.stride]
            return functional.pad(x, (0, 0, 0, 0, self.extra // 2, self.extra - self.extra // 2))
        return x


def _convolution(before, width, stride=1):
    return nn.Conv2d(before, width, 3, stride, padding=1, bias=False)


def inference(folder, config, batch_size, classes=10):
    """Returns the `Program` of inference on images, uint8 (batch, height, width, 3), to probabilities in NumPy."""
    network, batch = start(folder, config, classes)
    pixels = np.ascontiguousarray(batch["pixels"][:, ::-1, ::-1])  # mirrored

    @torch.inference_mode()
    def scores():
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        return functional.softmax(network(images), dim=1).numpy()

    # With weights that have learned nothing a probability may be too small for float32.
    found = torch.from_numpy(scores()).clamp_min(1e-30)
    loss = functional.nll_loss(found.log(), torch.from_numpy(batch["labels"]).long())
    return Program(repeat(scores), sum(weight.numel() for weight in network.parameters()), loss.item())
