"""Image data sets in memory or mapped from disk."""

import dataclasses

import numpy as np

from karpa_tf.data.images.image_files import ImageFiles
from karpa_tf.errors import UserError

MAX_LISTED = 10
"""Maximum number of skipped files in a summary."""


class ImageSubset:
    """Some images of an array or a memory map, read on access.

    Args:
        images: uint8 (n, height, width, channels).
        indices: int (m,), the selected images and their order.
    """

    def __init__(self, images, indices):
        self.images, self.indices = images, np.asarray(indices)
        self.shape, self.dtype = (len(self.indices), *images.shape[1:]), images.dtype

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, positions):
        """Returns the images at an int, a slice or an array of ints, as an array."""
        return np.asarray(self.images[self.indices[positions]])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self[:], dtype)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of the same size, optionally with labels."""

    name: str
    """Name of the data set, or path of the folder."""

    images: np.ndarray | ImageSubset | ImageFiles
    """uint8 (n, height, width, channels); a memory map if they were decoded from files, and `ImageFiles` if they are
    whenever they are read. Or features of images, float32 (n, features)."""

    fingerprint: str
    """Hexadecimal digits that identify the images."""

    skipped: tuple[str, ...] = ()
    """Skipped files, each with the reason."""

    labels: np.ndarray | None = None
    """int32 (n,), indices in `classes`, or None."""

    classes: tuple[str, ...] = ()
    """Names of the classes."""

    names: tuple[str, ...] = ()
    """Names of the images: paths relative to the folder; empty if they have none."""

    def summary(self):
        """Returns a line with the number of images, followed by lines with up to `MAX_LISTED` skipped files."""
        lines = [f"{len(self.images):,} images of {self.name}"]
        if isinstance(self.images, ImageFiles):
            lines[0] += ", cached as files"
        if self.skipped:
            lines[0] += f"; {len(self.skipped):,} could not be used:"
            lines += [f"  {reason}" for reason in self.skipped[:MAX_LISTED]]
        if len(self.skipped) > MAX_LISTED:
            lines.append(f"  and {len(self.skipped) - MAX_LISTED:,} more, all listed in run.json")
        return "\n".join(lines)

    def metadata(self):
        """Returns a dict for `run.json`."""
        return {
            "name": self.name,
            "count": len(self.images),
            "fingerprint": self.fingerprint,
            "skipped": list(self.skipped),
        }

    def select(self, indices):
        """Returns the `ImageSet` of the images at `indices`, int (m,), in that order, without reading them."""
        labels = None if self.labels is None else self.labels[indices]
        names = tuple(self.names[index] for index in indices) if self.names else ()
        is_files = isinstance(self.images, ImageFiles)
        images = self.images.select(indices) if is_files else ImageSubset(self.images, indices)
        return dataclasses.replace(self, images=images, labels=labels, names=names, skipped=())

    def sample(self, count):
        """Returns the `ImageSet` of up to `count` random images, always the same ones in the same order."""
        return self.select(np.random.default_rng(0).permutation(len(self.images))[:count])

    def with_classes(self, classes):
        """Returns the same images with labels that are indices in `classes`.

        Args:
            classes: names of classes, which must include all classes of these images.

        Raises:
            UserError: a class is missing.
        """
        missing = sorted(set(self.classes) - set(classes))
        if missing:
            known = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
            raise UserError(
                f"{self.name} has a class that the classifier does not know: {missing[0]}; expected one of {known}."
            )
        new_labels = np.array([classes.index(name) for name in self.classes], np.int32)
        return dataclasses.replace(self, labels=new_labels[self.labels], classes=tuple(classes))
