"""What every loader returns: prepared images in memory or mapped from disk."""

import dataclasses

import numpy as np

from karpa_tf.errors import UserError

NAMED = 10
"""Files left out that a summary names."""


class Rows:
    """Some of the images of an array or a memory map, which are read when they are asked for.

    Args:
        images: uint8 (n, height, width, channels).
        indices: int (m,), which of them, in which order.
    """

    def __init__(self, images, indices):
        self.images, self.indices = images, np.asarray(indices)
        self.shape, self.dtype = (len(self.indices), *images.shape[1:]), images.dtype

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, places):
        """Returns the images at an int, a slice or an array of ints, as an array."""
        return np.asarray(self.images[self.indices[places]])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images that are ready to train on."""

    name: str
    """The name of the set, or its folder."""

    images: np.ndarray | Rows
    """uint8 (n, side, side, channels); mapped from disk where they were decoded from files."""

    fingerprint: str
    """Changes when the images do."""

    skipped: tuple[str, ...] = ()
    """Files that were left out, each with the reason."""

    labels: np.ndarray | None = None
    """int32 (n,), places in `classes`, or None where there are none."""

    classes: tuple[str, ...] = ()
    """Names of the classes."""

    keys: tuple[str, ...] = ()
    """What the images are called: paths below the folder; empty where they have no names."""

    def summary(self):
        """Returns one line for people, and one for each file left out, of which it names ten."""
        lines = [f"{len(self.images):,} images of {self.name}"]
        if self.skipped:
            lines[0] += f"; {len(self.skipped):,} could not be used:"
            lines += [f"  {reason}" for reason in self.skipped[:NAMED]]
        if len(self.skipped) > NAMED:
            lines.append(f"  and {len(self.skipped) - NAMED:,} more, all named in run.json")
        return "\n".join(lines)

    def metadata(self):
        """Returns what `run.json` says of the data."""
        return {
            "name": self.name,
            "count": len(self.images),
            "fingerprint": self.fingerprint,
            "skipped": list(self.skipped),
        }

    def subset(self, indices):
        """Returns the `ImageSet` of the images at `indices`, int (m,), in that order; none is read or copied."""
        labels = None if self.labels is None else self.labels[indices]
        keys = tuple(self.keys[index] for index in indices) if self.keys else ()
        return dataclasses.replace(self, images=Rows(self.images, indices), labels=labels, keys=keys, skipped=())

    def with_classes(self, classes):
        """Returns the same images with labels that are places in `classes`; raises `UserError` where one is missing."""
        missing = sorted(set(self.classes) - set(classes))
        if missing:
            known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
            raise UserError(
                f"{self.name} has a class that the classifier does not know: {missing[0]}; it knows {known}."
            )
        places = np.array([classes.index(name) for name in self.classes], np.int32)
        return dataclasses.replace(self, labels=places[self.labels], classes=tuple(classes))
