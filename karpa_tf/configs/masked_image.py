"""Flags of masked image modeling."""

import dataclasses

from karpa_tf.configs import vit
from karpa_tf.configs.image_data import ImageDataConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.run import require_fraction, require_positive
from karpa_tf.configs.transformer import TransformerConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class DecoderConfig:
    """The small Transformer that draws masked patches; it is of no use after pretraining."""

    decoder_dim: int = 96
    """Size of the hidden state of a patch in the decoder."""

    decoder_layers: int = 2
    """Number of Transformer layers of the decoder."""

    decoder_heads: int = 3
    """Attention heads per layer of the decoder; must divide --decoder-dim."""

    def __post_init__(self):
        for field in ("decoder_dim", "decoder_layers", "decoder_heads"):
            require_positive(field, getattr(self, field))
        if self.decoder_dim % self.decoder_heads:
            raise UserError(
                f"--decoder-heads must divide --decoder-dim; received {self.decoder_heads} heads and a dimension of "
                f"{self.decoder_dim}."
            )

    @property
    def transformer(self):
        """The `TransformerConfig` of its layers."""
        return TransformerConfig(
            self.decoder_dim,
            self.decoder_layers,
            self.decoder_heads,
            4 * self.decoder_dim,
            dropout=0.0,
            normalize_first=True,
            layer_norm_epsilon=1e-6,
        )


@dataclasses.dataclass(frozen=True)
class MaskedImageConfig(ImageDataConfig):
    """Data, masking, optimizer, encoder and decoder."""

    name: str = "mae_digits"
    """Name of the run folder and of the exported model."""

    data: str = "digits"
    """digits, mnist, fashion_mnist, cifar10, cifar100, another data set of TensorFlow Datasets, or a folder of images:
    any images, or one folder per class, or train/<class>/..., of which the test images are not used."""

    test_fraction: float = 0.2
    """Fraction of labeled images to leave out if the data has no test split: those on which train_classifier tests."""

    validation_fraction: float = 0.1
    """Fraction of the images held out for validation if the data has no validation split; 0 for none."""

    mask_rate: float = 0.75
    """Fraction of the patches to mask and predict."""

    normalize_targets: bool = True
    """Predict the pixels of a patch minus their mean and divided by their standard deviation, not the pixels."""

    probe: bool = True
    """If the images have labels, report the accuracy of logistic regression on the embeddings."""

    optimization: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", weight_decay=0.05, schedule="cosine", warmup_fraction=0.1, global_clipnorm=1.0
    )
    """Optimizer and schedule."""

    model: vit.ViTConfig = vit.COMPACT
    """Size of the encoder."""

    decoder: DecoderConfig = DecoderConfig()
    """Size of the decoder."""

    def __post_init__(self):
        super().__post_init__()
        for field in ("test_fraction", "validation_fraction"):
            require_fraction(field, getattr(self, field))
        if self.augmentation.mixup or self.augmentation.cutmix:
            raise UserError("--mixup and --cutmix are for classes; leave them out.")
        self.model.require_size(self.image_size, self.image_size)
        if not 0 < self.num_masked < self.num_patches:
            raise UserError(
                f"--mask-rate {self.mask_rate} masks {self.num_masked} of the {self.num_patches} patches of an image; "
                "expected at least one, and one that is visible: change it or --patch-size."
            )

        if self.normalize_targets and self.model.patch_size**2 * self.channels == 1:
            raise UserError("Patches of a single number are always equal to their mean: use --no-normalize-targets.")

    @property
    def num_patches(self):
        """Patches of an image."""
        return self.model.count_patches(self.image_size, self.image_size)

    @property
    def num_masked(self):
        """Masked patches of an image."""
        return round(self.mask_rate * self.num_patches)
