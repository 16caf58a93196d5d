"""Flags of every training on labeled examples."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import RunConfig, require_fraction, require_not_negative
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class LabeledConfig(RunConfig):
    """How labeled examples are split, weighted and evaluated."""

    test_fraction: float = 0.2
    """Fraction of the examples held out for testing if the data has no test split."""

    validation_fraction: float = 0.1
    """Fraction of the training examples held out for validation if the data has no validation split; 0 for none."""

    validate_on: Literal["validation", "test", "none"] = "validation"
    """Split to evaluate after every epoch. With test, no validation split is held out; do not select anything by it."""

    label_smoothing: float = 0.0
    """Label smoothing: fraction of each target that is distributed over all classes."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: weight the loss of each example by the inverse frequency of its class."""

    baseline: bool = True
    """Train a simple classifier too, in seconds, and report its accuracy beside that of the network."""

    early_stopping: int = 0
    """Patience: stop after this many epochs without a lower validation loss and use the best weights; 0 never stops."""

    def __post_init__(self):
        super().__post_init__()
        for field in ("test_fraction", "validation_fraction", "label_smoothing"):
            require_fraction(field, getattr(self, field))
        require_not_negative("early_stopping", self.early_stopping)
        if self.early_stopping and self.validate_on != "validation":
            raise UserError("--early-stopping needs --validate-on validation: the test split must not select anything.")

    @property
    def held_out_for_validation(self):
        """Fraction of the training examples to hold out for validation."""
        return self.validation_fraction if self.validate_on == "validation" else 0.0

    @staticmethod
    def select_for_report(splits):
        """Returns the name of the split for the final report: test, otherwise validation, or None.

        Args:
            splits: the names of the splits that exist.
        """
        return next((name for name in ("test", "validation") if name in splits), None)

    def select_validation(self, splits):
        """Returns the name of the split to evaluate after every epoch, or None.

        Args:
            splits: the names of the splits that exist.

        Raises:
            UserError: early stopping has nothing to go by.
        """
        name = self.validate_on if self.validate_on in splits else None
        if self.early_stopping and name is None:
            raise UserError("--early-stopping needs a validation split; raise --validation-fraction.")
        return name
