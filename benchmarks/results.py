"""What was measured on a machine: a file, and the arithmetic of ratios."""

import json
import os
import platform
import re
import statistics
from pathlib import Path

from benchmarks.contender import cores

FOLDER = Path(__file__).parent / "results"


def machine():
    """Returns what is known of this machine: `cpu`, `cores`, `memory_gb`, `system` and `python`."""
    return {
        "cpu": _cpu(),
        "cores": cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _cpu():
    info = Path("/proc/cpuinfo")
    found = dict(re.findall(r"^(\S[^\n\t]*?)\s*: (.*)$", info.read_text(), re.MULTILINE)) if info.exists() else {}
    name = found.get("model name") or platform.processor() or platform.machine()
    if found.get("cpu family") and re.fullmatch(r"AMD EPYC|Intel Xeon Processor", name):
        return f"{name} (family {found['cpu family']}, model {found['model']})"  # a virtual machine hides the rest
    return name


def path_of(found, quick=False, folder=FOLDER):
    """Returns the file for the results of a machine, named after its CPU and cores."""
    slug = re.sub(r"[^a-z0-9]+", "-", f"{found['cpu']} {found['cores']} cores".lower()).strip("-")
    return folder / f"{slug}{'-quick' if quick else ''}.json"


def read(path):
    """Returns the results in a file: `machine`, and `works`, a dict of records by name; empty where there is none."""
    return json.loads(path.read_text()) if path.exists() else {"machine": {}, "works": {}}


def write(path, found, works):
    """Puts records of works into a file, whose other records stay."""
    works = read(path)["works"] | works
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": found, "works": works}, indent=1, ensure_ascii=False) + "\n")


def ratio(ones, others):
    """Returns the median, the smallest and the largest ratio of the rates of two contenders in the same rounds."""
    ratios = sorted(one / other for one, other in zip(ones, others, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]


def fastest(record, *kinds):
    """Returns the name of the contender of some kinds with the largest median rate, or None where there is none."""
    names = [name for name, contender in record["contenders"].items() if contender["kind"] in kinds]
    return max(names, key=lambda name: median_rate(record, name), default=None)


def median_rate(record, name):
    """Returns the median of a contender's rates."""
    return statistics.median(record["contenders"][name]["rates"])
