"""Workloads, the contenders that run them, and the program that a contender runs."""

import dataclasses
from collections.abc import Callable
from typing import Literal


class StopRun(Exception):
    """Raised by `after_step` to end a `Program`."""


@dataclasses.dataclass(frozen=True)
class Program:
    """An endless sequence of steps."""

    run: Callable
    """Function of `after_step`, a function without arguments, which it calls after every step, until that raises an
    exception."""

    parameters: int | None = None
    """Number of trainable weights."""

    loss: float | None = None
    """Loss of the shared weights on the shared batch (`shared_weights`)."""

    data_bytes: int = 0
    """Memory that the data set takes, which is subtracted from the peak."""

    peak_bytes: Callable | None = None
    """Function that returns the peak memory in bytes; None is that of this process."""


def repeat(step):
    """Returns a function for `Program.run` that calls `step`, a function without arguments, again and again."""

    def run(after_step):
        while True:
            step()
            after_step()

    return run


@dataclasses.dataclass(frozen=True)
class Contender:
    """One program that runs a workload."""

    make: Callable
    """Function of a folder (`shared_weights`) and a precision that returns a `Program`."""

    kind: Literal["ours", "published", "precision", "altered", "keras"]
    """karpa_tf; the published program in float32; the same in another precision or memory layout; the published program
    with other changes; plain Keras."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the activations; weights are float32."""

    needs: tuple[str, ...] = ()
    """Optional modules; if one is not installed, the contender is left out."""

    quick: bool = True
    """Whether it is part of quick runs."""


@dataclasses.dataclass(frozen=True)
class Workload:
    """The same work for several contenders."""

    title: str
    """Title in reports."""

    unit: Literal["images", "tokens", "sentences", "batches", "starts"]
    """What is counted per second; for batches and starts the time of one is reported instead."""

    units_per_step: int

    contenders: dict[str, Contender]
    """Contenders by name; the first is karpa_tf's in float32, which writes the shared weights."""

    seconds: float = 5.0
    """Approximate time for which each contender runs in a round."""

    quick: bool = True
    """Whether it is part of quick runs."""
