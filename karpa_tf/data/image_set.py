"""What every loader returns: prepared images in memory or mapped from disk."""

import dataclasses

import numpy as np

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
