"""The machine that a benchmark runs on: CPU, cores, memory, package versions."""

import importlib.metadata
import os
import platform
import re
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "keras-hub", "torch", "transformers", "numpy")
"""Packages whose versions are recorded."""


def describe_machine():
    """Returns a dict with `cpu`, `cores`, `memory_gb`, `system` and `python`."""
    return {
        "cpu": _cpu_name(),
        "cores": count_cores(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def count_cores():
    """Returns the number of cores that this process may use, which is the number of threads of every contender."""
    return len(os.sched_getaffinity(0))


def package_versions():
    """Returns a dict from the installed ones of `PACKAGES` to their versions."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def peak_memory():
    """Returns the peak resident memory of this process in bytes, from Linux's /proc."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/self/status has no entry VmHWM.")


def _cpu_name():
    info = Path("/proc/cpuinfo")
    fields = dict(re.findall(r"^(\S[^\n\t]*?)\s*: (.*)$", info.read_text(), re.MULTILINE)) if info.exists() else {}
    name = fields.get("model name") or platform.processor() or platform.machine()
    if fields.get("cpu family") and re.fullmatch(r"AMD EPYC|Intel Xeon Processor", name):
        # A virtual machine hides the rest of the name.
        return f"{name} (family {fields['cpu family']}, model {fields['model']})"
    return name
