"""What every loader returns: prepared images in memory or mapped from disk."""

import dataclasses

import numpy as np

from karpa_tf.configs.errors import UserError

NAMED = 10
"""Files left out that a summary names."""


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images that are ready to train on."""

    name: str
    """The name of the set, or its folder."""

    images: np.ndarray
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
        lines = [f"{len(self.images):,} pictures of {self.name}"]
        if self.skipped:
            lines[0] += f"; {len(self.skipped):,} could not be used:"
            lines += [f"  {reason}" for reason in self.skipped[:NAMED]]
        if len(self.skipped) > NAMED:
            lines.append(f"  and {len(self.skipped) - NAMED:,} more, all named in run.json")
        return "\n".join(lines)

    def record(self):
        """Returns what `run.json` says of the data."""
        return {
            "name": self.name,
            "count": len(self.images),
            "fingerprint": self.fingerprint,
            "skipped": list(self.skipped),
        }

    def subset(self, indices):
        """Returns the `ImageSet` of the images at `indices`, int (m,), in that order."""
        labels = None if self.labels is None else self.labels[indices]
        keys = tuple(self.keys[index] for index in indices) if self.keys else ()
        return dataclasses.replace(self, images=self.images[indices], labels=labels, keys=keys, skipped=())

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
