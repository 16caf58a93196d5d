"""Flags that every training on examples with classes has."""

import dataclasses
from typing import Literal

from karpa_tf.configs.run import RunConfig, require_not_negative, require_share
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class LabelledConfig(RunConfig):
    """How labelled examples are parted, weighed and measured."""

    test_share: float = 0.2
    """Share of the examples held out as test part where the data has none."""

    validation_share: float = 0.1
    """Share of the training examples held out as validation part where the data has none; 0 holds out none."""

    validate_on: Literal["validation", "test", "none"] = "validation"
    """What is measured after every epoch. With test, no validation part is held out; choose nothing by such numbers."""

    label_smoothing: float = 0.0
    """Share of each target that is spread over all classes."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: an example of a rare class counts for more, so that all classes weigh the same."""

    early_stopping: int = 0
    """Stop after so many epochs without a better validation loss, and take the best epoch's weights; 0 never stops."""

    def __post_init__(self):
        super().__post_init__()
        for field in ("test_share", "validation_share", "label_smoothing"):
            require_share(field, getattr(self, field))
        require_not_negative("early_stopping", self.early_stopping)
        if self.early_stopping and self.validate_on != "validation":
            raise UserError("--early-stopping needs --validate-on validation: the test part must choose nothing.")
