"""Results of benchmarks: one JSON file per machine, and ratios of rates."""

import json
import re
import statistics
from pathlib import Path

FOLDER = Path(__file__).parent / "results"


def results_path(machine, quick=False, folder=FOLDER):
    """Returns the path of the results of a machine, named after its CPU and cores.

    Args:
        machine: dict with `cpu` and `cores`, as `machine.describe_machine` returns it.
        quick: whether the results are those of a quick run.
        folder: where the results are.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", f"{machine['cpu']} {machine['cores']} cores".lower()).strip("-")
    return folder / f"{slug}{'-quick' if quick else ''}.json"


def load_results(path):
    """Returns a dict with `machine` and `workloads`, a dict of records by name; both are empty if there is no file."""
    return json.loads(path.read_text()) if path.exists() else {"machine": {}, "workloads": {}}


def save_results(path, machine, records):
    """Adds a dict of records by workload to a file; records of other workloads remain."""
    records = load_results(path)["workloads"] | records
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"machine": machine, "workloads": records}, indent=1, ensure_ascii=False) + "\n")


def rate_ratios(rates, other_rates):
    """Returns the median, the minimum and the maximum over rounds of the ratio of two contenders' rates."""
    ratios = sorted(rate / other for rate, other in zip(rates, other_rates, strict=True))
    return statistics.median(ratios), ratios[0], ratios[-1]


def find_fastest(record, *kinds):
    """Returns the name of the contender of the given kinds with the highest median rate, or None if there is none."""
    names = [name for name, contender in record["contenders"].items() if contender["kind"] in kinds]
    return max(names, key=lambda name: median_rate(record, name), default=None)


def median_rate(record, name):
    """Returns the median over rounds of a contender's rate."""
    return statistics.median(record["contenders"][name]["rates"])


def format_rate(rate, unit):
    """Returns a rate per second as text; of batches and starts the time that one takes."""
    if unit == "batches":
        return f"{1000 / rate:.2f} ms"
    if unit == "starts":
        return f"{1 / rate:.2f} s"
    return f"{rate:,.0f} {unit}/s"
