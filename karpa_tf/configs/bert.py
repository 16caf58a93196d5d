"""Shapes of BERT encoders."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_not_negative, require_positive, require_share
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class BERTConfig:
    """A stack of self-attention and feed-forward blocks over tokens (Devlin et al. 2018)."""

    family: Literal["bert"] = "bert"
    """The kind of network; the preset decides."""

    length: int = 128
    """Longest sequence, in tokens."""

    width: int = 256
    """Features of every token."""

    depth: int = 4
    """Blocks."""

    heads: int = 4
    """Attention heads; they divide the width."""

    feed_forward: int = 1024
    """Units between the two dense layers of a block."""

    dropout: float = 0.1
    """Share dropped of the embeddings, and of what each half of a block adds."""

    norm: Literal["post", "pre"] = "post"
    """Normalise after each half of a block, as BERT does, or before it, which is easier to train."""

    positions: Literal["learned", "sinusoidal", "rotary"] = "learned"
    """How tokens know their places: BERT's, the first Transformer's, or turned queries and keys (Su et al. 2021)."""

    segments: int = 0
    """Kinds of segments with an embedding of their own; BERT has 2, for pairs of sentences; 0 has none."""

    def __post_init__(self):
        for field in ("length", "width", "depth", "heads", "feed_forward"):
            require_positive(field, getattr(self, field))
        if self.width % self.heads:
            raise UserError(f"--heads must divide --width; received {self.heads} and {self.width}.")
        if self.positions == "rotary" and self.width // self.heads % 2:
            raise UserError(
                f"--positions rotary needs an even --width per head; received {self.width} for {self.heads} heads."
            )
        require_share("dropout", self.dropout)
        require_not_negative("segments", self.segments)


TINY = BERTConfig(width=128, depth=2, heads=2, feed_forward=512)
"""BERT-Tiny of Turc et al. 2019, table 1."""

MINI = BERTConfig(width=256, depth=4, heads=4, feed_forward=1024)
"""BERT-Mini."""

SMALL = BERTConfig(width=512, depth=4, heads=8, feed_forward=2048)
"""BERT-Small."""

BASE = BERTConfig(length=512, width=768, depth=12, heads=12, feed_forward=3072, segments=2)
"""BERT-Base: 110 million weights with BERT's vocabulary of 30,522."""
