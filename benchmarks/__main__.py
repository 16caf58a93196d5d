"""Measures karpa_tf and common alternatives on the same workloads, in turn, and writes the results.

$ python -m benchmarks                        everything
$ python -m benchmarks resnet20 inference     one workload, and all whose names begin with "inference"
$ python -m benchmarks --quick                fewer workloads, contenders and rounds, and less time for each

The results are written to benchmarks/results/<machine>.json, those of a quick run to a file of their own;
`python -m benchmarks.table` makes the table in docs/results.md from them. Run nothing else on the machine meanwhile.
The largest workload needs 16 GB of memory.
"""

import argparse
import sys
import time

from benchmarks import table
from benchmarks.machine import describe_machine
from benchmarks.results import results_path, save_results
from benchmarks.rounds import compare
from benchmarks.workloads import WORKLOADS, select_workloads
from karpa_tf.errors import UserError

ROUNDS, QUICK_ROUNDS, QUICK_FACTOR = 5, 3, 0.3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"{', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="measure less, in under 10 minutes on two cores")
    parser.add_argument("--rounds", type=int, help=f"default: {ROUNDS}, with --quick {QUICK_ROUNDS}")
    arguments = parser.parse_args()
    try:
        run(arguments.workloads, arguments.quick, arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def run(prefixes, quick, rounds):
    """Measures the workloads whose names begin with one of the prefixes, or all, prints and saves the results."""
    machine = describe_machine()
    path = results_path(machine, quick)
    print(f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB; {rounds} rounds")
    first_start = time.monotonic()
    for name in select_workloads(prefixes, quick):
        start = time.monotonic()
        record = compare(name, WORKLOADS[name], rounds, QUICK_FACTOR if quick else 1.0, quick)
        save_results(path, machine, {name: record})
        print("\n".join(table.format_report(record)))
        print(f"({time.monotonic() - start:.0f} s, {time.monotonic() - first_start:.0f} s in total)\n", flush=True)
    print(path)


if __name__ == "__main__":
    main()
