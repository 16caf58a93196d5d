"""Sizes of vision transformers."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_fraction, require_positive
from karpa_tf.configs.transformer import TransformerConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ViTConfig(TransformerConfig):
    """Transformer layers over square patches of an image (Dosovitskiy et al. 2020)."""

    family: Literal["vit"] = "vit"
    """Model family; set by the preset."""

    patch_size: int = 16
    """Height and width of a patch, in pixels; must divide --image-size."""

    hidden_dim: int = 192
    num_layers: int = 12
    num_heads: int = 3
    intermediate_dim: int = 768
    dropout: float = 0.0
    normalize_first: bool = True
    layer_norm_epsilon: float = 1e-6

    stochastic_depth: float = 0.0
    """Probability that a block of the last layer is skipped for an image in training (Huang et al. 2016); it rises
    linearly from 0 in the first layer."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("patch_size", self.patch_size)
        require_fraction("stochastic_depth", self.stochastic_depth)

    def count_patches(self, height, width):
        """Returns the number of patches of an image of this height and width."""
        return (height // self.patch_size) * (width // self.patch_size)

    def require_size(self, height, width):
        """Raises `UserError` if the patches do not fill images of this height and width."""
        if height % self.patch_size or width % self.patch_size:
            raise UserError(
                f"--patch-size must divide the height and width of images; received {self.patch_size} for "
                f"{height}x{width}."
            )


TINY = ViTConfig()
"""ViT-Ti/16 (Touvron et al. 2020, "DeiT", table 1)."""

SMALL = ViTConfig(hidden_dim=384, num_heads=6, intermediate_dim=1536)
"""ViT-S/16 (the same)."""

BASE = ViTConfig(hidden_dim=768, num_heads=12, intermediate_dim=3072)
"""ViT-B/16 (Dosovitskiy et al. 2020, table 1)."""

COMPACT = ViTConfig(patch_size=4, num_layers=6, intermediate_dim=384)
"""For 32x32: 64 patches, 1.8 million weights."""
