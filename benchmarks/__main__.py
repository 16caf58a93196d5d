"""Runs karpa_tf and what people would otherwise run on the same work, side by side, and writes what came out.

$ python -m benchmarks                        everything
$ python -m benchmarks resnet20 inference     one work, and all whose names begin so
$ python -m benchmarks --quick                fewer works, contenders and rounds, less time each

The results go to benchmarks/results/<machine>.json, those of a quick run to another file; `python -m benchmarks.table`
makes the table of the README. Nothing else should run on the machine; the largest work needs 16 GB of memory.
"""

import argparse
import sys
import time

from benchmarks import results, table
from benchmarks.rounds import compare
from benchmarks.works import WORKS
from karpa_tf.errors import UserError, nearest

ROUNDS, QUICK_ROUNDS, QUICK_FACTOR = 5, 3, 0.3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("works", nargs="*", metavar="WORK", help=f"{', '.join(WORKS)}; none is all")
    parser.add_argument("--quick", action="store_true", help="less of everything, under 10 minutes on two cores")
    parser.add_argument("--rounds", type=int, help=f"{ROUNDS}, or {QUICK_ROUNDS} if quick")
    arguments = parser.parse_args()
    try:
        run(arguments.works, arguments.quick, arguments.rounds or (QUICK_ROUNDS if arguments.quick else ROUNDS))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def run(words, quick, rounds):
    """Runs the works whose names begin with one of `words`, or all, and prints and writes what was measured."""
    found = results.machine()
    path = results.path_of(found, quick)
    print(f"{found['cpu']}, {found['cores']} cores, {found['memory_gb']} GB; {rounds} rounds")
    begun = time.monotonic()
    for name in chosen(words, quick):
        start = time.monotonic()
        record = compare(name, WORKS[name], rounds, QUICK_FACTOR if quick else 1.0, quick)
        results.write(path, found, {name: record})
        print("\n".join(table.report(record)))
        print(f"({time.monotonic() - start:.0f} s, of {time.monotonic() - begun:.0f} s so far)\n", flush=True)
    print(path)


def chosen(words, quick=False):
    """Returns the names of works that begin with one of `words`; where there are none, of all, or all quick ones."""
    for word in words:
        if not any(name.startswith(word) for name in WORKS):
            raise UserError(f"There is no work {word!r}{nearest(word, WORKS)} Works are {', '.join(WORKS)}.")
    if words:
        return [name for name in WORKS if name.startswith(tuple(words))]
    return [name for name in WORKS if WORKS[name].quick or not quick]


if __name__ == "__main__":
    main()
