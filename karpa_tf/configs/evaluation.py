"""What the flags of programs that evaluate have in common."""

import re
from pathlib import Path


def report_name(data):
    """Returns the name of the folder in eval/ for a report on `data`: its last name, without signs such as *."""
    name = re.sub(r"[^\w.-]+", "_", Path(data).expanduser().resolve().name).strip(".")
    return f"data_{name}" if name in ("", "train", "validation", "test", "held_out") else name
