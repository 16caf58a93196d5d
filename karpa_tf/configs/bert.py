"""Sizes of BERT encoders."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import require_not_negative, require_positive
from karpa_tf.configs.transformer import TransformerConfig
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class BERTConfig(TransformerConfig):
    """A stack of self-attention and feed-forward layers over tokens (Devlin et al. 2018)."""

    family: Literal["bert"] = "bert"
    """Model family; set by the preset."""

    max_sequence_length: int = 128
    """Longest sequence, in tokens; with sinusoidal or rotary positions only the default of --sequence-length."""

    position_embedding: Literal["learned", "sinusoidal", "rotary"] = "learned"
    """BERT's learned embeddings, fixed sinusoids (Vaswani et al. 2017), or rotary embeddings (Su et al. 2021)."""

    num_segments: int = 0
    """Number of segment types with an embedding each; BERT has 2, for pairs of sentences; 0 has no such embedding."""

    def __post_init__(self):
        super().__post_init__()
        require_positive("max_sequence_length", self.max_sequence_length)
        if self.is_rotary and self.hidden_dim // self.num_heads % 2:
            raise UserError(
                "--position-embedding rotary needs an even --hidden-dim per head; received a hidden dimension of "
                f"{self.hidden_dim} for {self.num_heads} heads."
            )
        require_not_negative("num_segments", self.num_segments)

    @property
    def is_rotary(self):
        return self.position_embedding == "rotary"

    def require_length(self, length):
        """Raises `UserError` if sequences of `length` tokens are longer than the learned position embeddings allow."""
        if self.position_embedding == "learned" and length > self.max_sequence_length:
            raise UserError(
                f"--sequence-length must be at most --max-sequence-length, {self.max_sequence_length}, which learned "
                f"position embeddings have; received {length}."
            )


TINY = BERTConfig(hidden_dim=128, num_layers=2, num_heads=2, intermediate_dim=512)
"""BERT-Tiny (Turc et al. 2019, table 1)."""

MINI = BERTConfig(hidden_dim=256, num_layers=4, num_heads=4, intermediate_dim=1024)
"""BERT-Mini."""

SMALL = BERTConfig(hidden_dim=512, num_layers=4, num_heads=8, intermediate_dim=2048)
"""BERT-Small."""

BASE = BERTConfig(
    max_sequence_length=512, hidden_dim=768, num_layers=12, num_heads=12, intermediate_dim=3072, num_segments=2
)
"""BERT-Base: 110 million weights with BERT's vocabulary of 30,522 tokens."""
