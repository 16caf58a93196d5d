"""Presets of masked image modeling."""

import dataclasses

from karpa_tf.configs import vit
from karpa_tf.configs.augmentation import AugmentationConfig
from karpa_tf.configs.masked_image import DecoderConfig, MaskedImageConfig

DIGITS = MaskedImageConfig(
    name="mae_digits",
    data="digits",
    image_size=16,
    channels=1,
    epochs=100,
    batch_size=64,
    learning_rate=2e-3,
    model=vit.ViTConfig(patch_size=2, hidden_dim=64, num_layers=3, num_heads=4, intermediate_dim=128),
    decoder=DecoderConfig(decoder_dim=32, decoder_layers=1, decoder_heads=2),
)

CIFAR10 = MaskedImageConfig(
    name="mae_cifar10",
    data="cifar10",
    image_size=32,
    epochs=100,
    batch_size=256,
    learning_rate=1e-3,
    image_cache="pixels",  # crops of half of a square lose little, and large photos would be decoded in every epoch
    augmentation=AugmentationConfig(flip="random", crop_scale=0.5),
)

PRESETS = {
    "digits": DIGITS,
    "smoke": dataclasses.replace(
        DIGITS,
        name="mae_smoke",
        epochs=1,
        batch_size=128,
        model=vit.ViTConfig(patch_size=4, hidden_dim=16, num_layers=1, num_heads=2, intermediate_dim=32),
        decoder=DecoderConfig(decoder_dim=16, decoder_layers=1, decoder_heads=2),
    ),
    "mnist": dataclasses.replace(
        DIGITS,
        name="mae_mnist",
        data="mnist",
        image_size=28,
        epochs=10,
        batch_size=128,
        model=vit.ViTConfig(patch_size=4, hidden_dim=96, num_layers=4, num_heads=3, intermediate_dim=192),
    ),
    "cifar10": CIFAR10,
    "images": dataclasses.replace(
        CIFAR10,
        name="mae_images",
        data="images",
        image_size=64,
        batch_size=64,
        model=dataclasses.replace(vit.COMPACT, patch_size=8),
    ),
    "images_224": dataclasses.replace(
        CIFAR10,
        name="mae_images_224",
        data="images",
        image_size=224,
        batch_size=64,
        augmentation=AugmentationConfig(flip="random", crop_scale=0.2),
        model=vit.TINY,
        decoder=DecoderConfig(decoder_dim=128, decoder_layers=4, decoder_heads=4),
    ),
}
