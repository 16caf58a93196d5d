"""A page on several runs of one task: what differs in their configs and results, and their curves over each other."""

import math
from collections import Counter

from karpa_tf.evaluation import markup
from karpa_tf.evaluation.charts import draw_curves
from karpa_tf.evaluation.markup import element, section, text
from karpa_tf.evaluation.results import find_best, flatten, is_number, load_results, read_baselines
from karpa_tf.system.files import write_text

MAX_ROWS = 40
"""Number of differing settings that are shown at once; the others are hidden until they are asked for."""

MAX_PRINTED = 6
"""Number of differing settings in the printed table."""


def rank_runs(runs, headline):
    """Returns the `Results` of runs, the best first, those without a finite first metric last.

    Args:
        runs: list of `Run` of the same task.
        headline: metrics, each "max" or "min"; later ones decide between equal runs. Without any the order stays.
    """

    def key(results):
        values = [(results.report.get(metric), mode) for metric, mode in headline.items()]
        known = [is_number(value) and math.isfinite(value) for value, _ in values]
        order = [
            (-value if mode == "max" else value) if ok else math.inf
            for ok, (value, mode) in zip(known, values, strict=True)
        ]
        return not results.report, order

    return sorted(map(load_results, runs), key=key)


def save(path, ranked, task):
    """Writes the page.

    Args:
        path: the file; its folder exists.
        ranked: result of `rank_runs`.
        task: the `Task` of the runs; `title` and `headline` are used.
    """
    names, headline = [*map(text, name_runs(ranked))], task.headline
    settings = find_differences(ranked)
    order = f"Best {markup.label(next(iter(headline)))} first." if headline else "No metric ranks them: in your order."
    header = element("p", text(task.title.capitalize()), "kind") + element("h1", f"{len(ranked)} runs compared")
    header += element("p", text(order), "lead") + _warn_of_other_data(ranked)
    rows = [[markup.label(name), *_format_metric(ranked, name, mode)] for name, mode in _list_metrics(ranked, headline)]
    best = [_name_baseline(results, headline) for results in ranked]
    rows += [["best baseline", *best]] if set(best) != {"-"} else []
    rows.append(["state", *("finished" if results.is_finished else "not finished" for results in ranked)])
    chosen = [[text(key), *map(str, values)] for key, values in settings.items()]
    rest = markup.table(["", *names], chosen[MAX_ROWS:], "compared", len(chosen))
    parts = [
        section("Results", markup.table(["", *names], rows, "compared")),
        section(
            "Settings that differ",
            markup.table(["", *names], chosen[:MAX_ROWS], "compared") if chosen else element("p", "None."),
            markup.details(f"{len(chosen) - MAX_ROWS:,} more", rest) if len(chosen) > MAX_ROWS else "",
        ),
        section("Curves", _draw_curves(ranked, names)),
    ]
    body = f"<header>{header}</header><main>{''.join(parts)}</main>"
    write_text(path, markup.page(f"{len(ranked)} runs of {task.title}", body))


def format_table(ranked, headline):
    """Returns names, metrics and differing settings of runs as text, one line per run."""
    settings = find_differences(ranked)
    columns = [*headline, *list(settings)[:MAX_PRINTED]]
    rows = [["run", *map(markup.label, columns)]]
    for index, (name, results) in enumerate(zip(name_runs(ranked), ranked, strict=True)):
        metrics = [markup.format_value(results.report.get(metric), metric) for metric in headline]
        rows.append([name, *metrics, *(str(settings[key][index]) for key in columns[len(headline) :])])
    widths = [min(max(map(len, column)), 40) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell[:40]:{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    rest = len(settings) - MAX_PRINTED
    return "\n".join([line.rstrip() for line in lines] + ([f"{rest:,} more settings differ"] if rest > 0 else []))


def name_runs(ranked):
    """Returns a name for each run: that of its folder, or its path where two folders have the same name."""
    names = [results.run.path.absolute().name for results in ranked]
    counts = Counter(names)
    return [name if counts[name] == 1 else str(r.run.path) for name, r in zip(names, ranked, strict=True)]


def find_differences(ranked):
    """Returns settings that are not the same in all runs, a dict from their names to lists of values; "-" is none."""
    metadata = [{key: results.metadata.get(key, "-") for key in ("device", "precision")} for results in ranked]
    flat = [flatten(results.config) | values for results, values in zip(ranked, metadata, strict=True)]
    rows = {key: [values.get(key, "-") for values in flat] for key in dict.fromkeys(key for one in flat for key in one)}
    return {key: values for key, values in rows.items() if any(value != values[0] for value in values)}


def _list_metrics(ranked, headline):
    names = {name: None for results in ranked for name, value in results.report.items() if is_number(value)}
    return [(name, headline.get(name)) for name in [*headline, *(name for name in names if name not in headline)]]


def _format_metric(ranked, name, mode):
    """Returns the values of a metric; the best is bold if it is known what is better."""
    best = find_best([results.report for results in ranked], name, mode) if mode else None
    values = [(results.report.get(name), markup.text(results.report.get(name), name)) for results in ranked]
    return [element("b", words) if best and value == best[name] else words for value, words in values]


def _name_baseline(results, headline):
    for metric, mode in headline.items():
        best = find_best(read_baselines(results.report), metric, mode)
        if best:
            return f"{markup.label(metric)} {markup.format_value(best[metric], metric)}, {best['name']}"
    return "-"


def _warn_of_other_data(ranked):
    """Returns a warning if the reports are not on the same data, as far as it is recorded."""
    keys = ("fingerprint", "count")
    data = {tuple(results.report.get(key) for key in keys) for results in ranked if results.report}
    words = "These runs were not evaluated on the same data: their metrics cannot be compared."
    return element("p", words, "bad") if len(data) > 1 else ""


def _draw_curves(ranked, names):
    columns = dict.fromkeys(name for results in ranked for panel in results.panels().values() for name in panel)
    x_name = "epoch" if all(results.x_name == "epoch" for results in ranked if results.rows) else "step"
    charts = []
    for column in columns:
        lines = [(name, *results.column(column, x_name)) for name, results in zip(names, ranked, strict=True)]
        charts.append(draw_curves(column, lines, x_name))
    return element("div", "".join(charts), "charts") if any(charts) else ""
