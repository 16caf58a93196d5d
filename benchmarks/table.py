"""Formats results: a report for the terminal, and the table in docs/results.md.

$ python -m benchmarks.table            updates docs/results.md with the results of this machine
$ python -m benchmarks.table FILE       ... with the results in a file
"""

import argparse
import sys
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.results import find_fastest, format_rate, load_results, median_rate, rate_ratios, results_path
from benchmarks.workloads import WORKLOADS
from karpa_tf.errors import UserError

PAGE = Path(__file__).parents[1] / "docs" / "results.md"
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def format_report(record):
    """Returns lines of text: rate and memory of every contender, and the ratio of karpa_tf's fastest rate to it."""
    best = find_fastest(record, "ours")
    width = max(map(len, record["contenders"]))
    lines = [f"{record['title']}; {best} relative to the others, median of {record['rounds']} rounds"]
    for name, contender in record["contenders"].items():
        rate, memory = format_rate(median_rate(record, name), record["unit"]), f"{contender['peak_gb']:.2f} GB"
        median, low, high = rate_ratios(record["contenders"][best]["rates"], contender["rates"])
        lines.append(f"  {name:<{width}}  {rate:>17}  {median:6.2f} times ({low:.2f} to {high:.2f})  {memory}")
    return lines


def format_markdown(results):
    """Returns results, a dict as from `load_results`, as the tables of docs/results.md, in Markdown.

    Raises:
        UserError: there are no results.
    """
    if not results["workloads"]:
        raise UserError("There are no results of this machine; run `make bench`, or name a file of results.")
    # In the order of WORKLOADS, in whatever order they were measured.
    names = sorted(results["workloads"], key=[*WORKLOADS, *results["workloads"]].index)
    records, machine = [results["workloads"][name] for name in names], results["machine"]
    training = [record for record in records if _is_training(record)]
    others = [record for record in records if not _is_training(record)]
    dates = sorted({record["date"] for record in records})
    versions = {name: version for record in records for name, version in record["versions"].items()}
    lines = [
        f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gb']} GB; Python {machine['python']}, "
        f"{', '.join(f'{name} {version}' for name, version in versions.items())}; {dates[0]}"
        f"{f' to {dates[-1]}' if dates[1:] else ''}. "
        "Ratios are medians over the rounds, with minimum and maximum; above 1 karpa_tf is faster.",
    ]
    if training:
        lines += [
            "",
            "| workload | karpa_tf: float32, bfloat16 | published program, float32 | its fastest precision | fastest "
            "alternative | plain Keras | peak memory: karpa_tf, published program |",
            "| --- | --- | --- | --- | --- | --- | --- |",
            *map(_training_row, training),
        ]
    if others:
        lines += ["", "| workload | medians |", "| --- | --- |", *map(_other_row, others)]
    return "\n".join(lines)


def _is_training(record):
    has_weights = all(contender["parameters"] for contender in record["contenders"].values())
    return record["unit"] in ("images", "tokens", "sentences") and has_weights


def _training_row(record):
    ours = [name for name, contender in record["contenders"].items() if contender["kind"] == "ours"]
    best = find_fastest(record, "ours")
    rates = ", ".join(f"{median_rate(record, name):,.0f}" for name in ours)
    published = find_fastest(record, "published")
    cells = [
        record["title"],
        f"{rates} {record['unit']}/s",
        _format_ratio(record, best, published),
        _format_ratio(record, best, find_fastest(record, "published", "precision")),
        _format_ratio(record, best, find_fastest(record, "published", "precision", "altered")),
        _format_ratio(record, best, find_fastest(record, "keras")),
        ", ".join(f"{record['contenders'][name]['peak_gb']:.2f}" for name in (best, published) if name) + " GB",
    ]
    return "| " + " | ".join(cells) + " |"


def _format_ratio(record, name, other):
    if other is None:
        return ""
    median, low, high = rate_ratios(record["contenders"][name]["rates"], record["contenders"][other]["rates"])
    return f"{median:.2f} ({low:.2f} to {high:.2f}): {other}"


def _other_row(record):
    rates = [f"{name} {format_rate(median_rate(record, name), record['unit'])}" for name in record["contenders"]]
    return f"| {record['title']} | {'; '.join(rates)} |"


def update_page(path, text):
    """Replaces the text between the two markers of a file; raises `UserError` unless each marker occurs once."""
    old = path.read_text(encoding="utf-8")
    if old.count(BEGIN) != 1 or old.count(END) != 1 or old.index(BEGIN) > old.index(END):
        raise UserError(f"{path} needs one line {BEGIN} and after it one line {END}.")
    before, _, rest = old.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=results_path(describe_machine()))
    try:
        update_page(PAGE, format_markdown(load_results(parser.parse_args().file)))
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
