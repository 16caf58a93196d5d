"""What was measured, for people: in the terminal, and as the table of the README.

$ python -m benchmarks.table            writes it into README.md, from the results of this machine
$ python -m benchmarks.table FILE       ... from the results of another
"""

import argparse
import sys
from pathlib import Path

from benchmarks import results
from benchmarks.results import fastest, median_rate, ratio
from benchmarks.rounds import show
from benchmarks.works import WORKS
from karpa_tf.errors import UserError

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def report(record):
    """Returns lines on one work: every contender's rate and memory, and how much faster karpa_tf is, round by round."""
    best = fastest(record, "ours")
    width = max(map(len, record["contenders"]))
    lines = [f"{record['title']}; {best} against the others, median of {record['rounds']} rounds"]
    for name, contender in record["contenders"].items():
        rate, memory = show(median_rate(record, name), record["unit"]), f"{contender['peak_gb']:.2f} GB"
        median, low, high = ratio(record["contenders"][best]["rates"], contender["rates"])
        lines.append(f"  {name:<{width}}  {rate:>17}  {median:6.2f} times ({low:.2f} to {high:.2f})  {memory}")
    return lines


def markdown(found):
    """Returns the README's table of results, as `results.read` returns them.

    Raises:
        UserError: nothing has been measured yet.
    """
    if not found["works"]:
        raise UserError("There are no results of this machine; `make bench` makes them, or name a file of results.")
    # In the order of the works, whenever each was measured.
    names = sorted(found["works"], key=[*WORKS, *found["works"]].index)
    works, machine = [found["works"][name] for name in names], found["machine"]
    training = [record for record in works if _trains(record)]
    others = [record for record in works if not _trains(record)]
    dates = sorted({record["date"] for record in works})
    versions = {name: version for record in works for name, version in record["versions"].items()}
    lines = [
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB; Python {machine['python']}, "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}; {dates[0]}"
        f"{f' to {dates[-1]}' if dates[1:] else ''}. "
        "Ratios are medians of those of single rounds, with the smallest and the largest; above 1 karpa_tf is faster.",
    ]
    if training:
        lines += [
            "",
            "| work | karpa_tf: float32, bfloat16 | the published program, float32 | its best precision | the fastest "
            "other | plain Keras | peak memory: karpa_tf, published |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *map(_training_row, training),
        ]
    if others:
        lines += ["", "| what | medians |", "| --- | --- |", *map(_other_row, others)]
    return "\n".join(lines)


def _trains(record):
    return record["unit"] in ("images", "tokens") and all(c["parameters"] for c in record["contenders"].values())


def _training_row(record):
    ours = [name for name, contender in record["contenders"].items() if contender["kind"] == "ours"]
    best = fastest(record, "ours")
    rates = ", ".join(f"{median_rate(record, name):,.0f}" for name in ours)
    published = fastest(record, "published")
    cells = [
        record["title"],
        f"{rates} {record['unit']}/s",
        _ratio(record, best, published),
        _ratio(record, best, fastest(record, "published", "precision")),
        _ratio(record, best, fastest(record, "published", "precision", "altered")),
        _ratio(record, best, fastest(record, "keras")),
        ", ".join(f"{record['contenders'][name]['peak_gb']:.2f}" for name in (best, published) if name) + " GB",
    ]
    return "| " + " | ".join(cells) + " |"


def _ratio(record, one, other):
    if other is None:
        return ""
    median, low, high = ratio(record["contenders"][one]["rates"], record["contenders"][other]["rates"])
    return f"{median:.2f} ({low:.2f} to {high:.2f}): {other}"


def _other_row(record):
    shown = [f"{name} {show(median_rate(record, name), record['unit'])}" for name in record["contenders"]]
    return f"| {record['title']} | {'; '.join(shown)} |"


def write(path, text):
    """Puts a text between the two markers of a file; raises `UserError` where they are not there once each."""
    old = path.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise UserError(f"{path} needs one line {BEGIN} and after it one line {END}.")
    before, _, rest = old.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=results.path_of(results.machine()))
    try:
        write(README, markdown(results.read(parser.parse_args().file)))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
