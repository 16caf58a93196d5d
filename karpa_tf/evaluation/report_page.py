"""`report.html`: one page with all that a run has left in its folder, and what tools have added since."""

import re
import shlex
from pathlib import Path

from karpa_tf.evaluation import markup
from karpa_tf.evaluation.charts import draw_curves
from karpa_tf.evaluation.markup import element, section, text
from karpa_tf.evaluation.report_folder import show_folder, show_samples
from karpa_tf.evaluation.results import (
    describe_gain,
    describe_parts,
    find_best,
    flatten,
    is_number,
    is_uncertain,
    load_results,
    read_baselines,
)
from karpa_tf.system.files import write_text

FILE = "report.html"

OWN = ("checkpoints", "tensorboard", "profile", "examples")
"""Folders of a run that are no tool's reports."""


def save(run, task, cards):
    """Writes the page of a run and returns its path.

    Args:
        run: a `Run`; it may be unfinished.
        task: its `Task`; `title`, `app`, `headline`, `usage` and `evaluated_on` are used.
        cards: dict from folders of exported versions, the newest last, to their cards; {} if there is none.
    """
    results = load_results(run)
    card = next((card for card in reversed(cards.values()) if card.get("model")), {})
    parts = [
        section("Samples", show_samples(run.samples)),
        section("Curves", _draw_panels(results, lambda names: not names[0].endswith("_per_second"))),
        section("Evaluation", _describe_evaluation(results.report, task), show_folder(run.eval)),
        *[section(title, show_folder(folder)) for title, folder in _find_reports(run)],
        section("Use the model", _show_usage(cards, task)),
        section("Where the time went", _show_time(results)),
        section("The run", _show_run(results, task)),
    ]
    links = [re.match(r'<section id="(.*?)"><h2>(.*?)</h2>', part) for part in parts if part]
    navigation = "".join(f'<a href="#{link[1]}">{link[2]}</a>' for link in links)
    header = _show_header(results, task, card) + _show_headline(results.report, task.headline)
    body = f"<header>{header}</header><nav>{navigation}</nav><main>{''.join(parts)}</main>"
    path = run.path / FILE
    write_text(path, markup.page(f"{results.config.get('name', run.path.name)}: {task.title}", body))
    return path


def _show_header(results, task, card):
    config, metadata = results.config, results.metadata
    epochs, planned = results.rows[-1].get("epoch", 0) if results.rows else 0, config.get("epochs")
    lead = [
        card.get("model", ""),
        f"trained on {config.get('data')}",
        f"{epochs:.4g} of {planned} epochs" if planned != epochs else f"{planned} epoch{'s' * (planned != 1)}",
        str(metadata.get("device", "")),
        f"started {metadata.get('started', '').replace('T', ' ')}",
    ]
    state = "" if results.is_finished else element("p", "This run was not finished when the page was written.", "bad")
    title = element("p", text(task.title.capitalize()), "kind") + element("h1", text(config.get("name", "")))
    return title + element("p", text(" · ".join(filter(None, lead))), "lead") + state


def _show_headline(report, headline):
    """Returns the figures that matter with the best baseline of each, and a sentence that compares them."""
    baselines, cards, verdict = read_baselines(report), [], ""
    for name in (name for name in headline if is_number(report.get(name))):
        best = find_best(baselines, name, headline[name])
        note = element("small", text(f"{markup.format_value(best[name], name)} {best['name']}")) if best else ""
        figure = element("b", text(report[name], name))
        cards.append(element("div", element("span", text(markup.label(name))) + figure + note))
        if best and not verdict:
            verdict = _compare(name, headline[name], report, best)
    return element("div", "".join(cards), "figures") + verdict if cards else ""


def _compare(name, mode, report, best):
    better = report[name] > best[name] if mode == "max" else report[name] < best[name]
    start, css = "Better than the best baseline", "good"
    if not better:
        start, css = "The network is not better than the best baseline", "bad"
    elif name == "accuracy" and is_uncertain(best):
        start, css = "Perhaps no better than the best baseline", "unsure"
    ours, theirs = (markup.format_value(number, name) for number in (report[name], best[name]))
    words = f"{start}: {markup.label(name)} {ours} against {theirs} ({best['name']}). "
    parts = describe_parts(report, best) if name == "accuracy" else []
    return element("p", text(" ".join([words + describe_gain(best, report.get("count", 0)), *parts])), css)


def _draw_panels(results, select):
    x_name, baselines, charts = results.x_name, read_baselines(results.report), []
    for title, names in results.panels().items():
        if select(names):
            lines = [(name, *results.column(name, x_name)) for name in names]
            metrics = {name.removeprefix("val_") for name in names} & {"loss", "accuracy"}
            best = [find_best(baselines, metric, "min" if metric == "loss" else "max") for metric in sorted(metrics)]
            references = [
                (entry["name"], entry[name]) for name, entry in zip(sorted(metrics), best, strict=True) if entry
            ]
            charts.append(draw_curves(title, lines, x_name, references))
    return element("div", "".join(charts), "charts") if any(charts) else ""


def _describe_evaluation(report, task):
    count = f"{report['count']:,} examples" if is_number(report.get("count")) else ""
    data = f"of {report['data']}" if report.get("data") else ""
    words = " ".join(filter(None, ("Measured after training on", task.evaluated_on, count and f"({count} {data})")))
    return element("p", text(f"{words}.".replace(" )", ")")), "note") if report else ""


def _find_reports(run):
    """Yields title and folder of every report that is not the run's own: of tools, and of other data."""
    for file in sorted([*run.path.glob("*/report.json"), *run.path.glob("*/*/report.json")]):
        names = file.parent.relative_to(run.path).parts
        if file.parent != run.eval and names[0] not in OWN:
            title = " on ".join({"eval": "evaluation"}.get(name, name) for name in names).replace("_", " ")
            yield title[0].upper() + title[1:], file.parent


def _show_usage(cards, task):
    """Returns the exported versions, and commands that use the newest."""
    if not cards:
        return ""
    columns = ["version", "weights", "exported", "other formats"]
    rows = [
        [folder, card.get("weights", {}).get("description"), card.get("created", "")[:10] or "removed since",
         [entry.get("file") for entry in card.get("formats", [])]]
        for folder, card in cards.items()
    ]  # fmt: skip
    parts = [markup.table(columns, rows, "texts")]
    newest = next((folder for folder, card in reversed(cards.items()) if card), None)
    if newest is None:
        return "".join(parts)
    path, base, name = shlex.quote(newest), shlex.quote(str(Path(newest).parent.parent)), Path(newest).parent.name
    if task.usage:
        parts += [element("h3", "On the command line"), markup.code(task.usage.format(saved_model=path))]
    parts += [element("h3", "In Python")]
    python = f'import tensorflow as tf\n\nmodel = tf.saved_model.load("{newest}")'
    calls = cards[newest].get("calls", {})
    lines = [f'outputs = model.signatures["{key}"]({call["python"]})' for key, call in calls.items()]
    parts += [markup.code("\n".join([python, *lines[:1]]))]
    serve = f"python -m apps.serve --model_base_path {base}"
    folder = base if Path(newest).is_absolute() else f'"$PWD"/{base}'
    docker = f"docker run -p 8501:8501 -v {folder}/{shlex.quote(name)}:/models/{shlex.quote(name)} "
    docker += f"-e MODEL_NAME={shlex.quote(name)} tensorflow/serving"
    requests = [
        f"curl -d '{{{call['rest_body']}}}' http://localhost:8501/v1/models/{name}:predict"
        for call in list(calls.values())[:1]
        if call.get("rest_body")
    ]
    parts += [element("h3", "As a server: here, or TF Serving"), *map(markup.code, [serve, docker, *requests])]
    return "".join(parts)


def _show_time(results):
    unit, rate, seconds = results.rate()
    values = {
        markup.label(unit): f"{markup.format_value(rate)} (median)" if rate else None,
        "time in steps": _format_seconds(seconds) if seconds else None,
        "waiting for input": markup.format_value(results.metadata.get("input_bound_fraction"), "fraction"),
    }
    charts = _draw_panels(results, lambda names: names[0].endswith("_per_second"))
    summary = results.run.profile / "summary.md"
    profile = markup.markdown(summary.read_text(encoding="utf-8")) if summary.exists() else ""
    return markup.fields({key: value for key, value in values.items() if value}) + charts + profile


def _format_seconds(seconds):
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    return (
        f"{hours} h {minutes % 60} min"
        if hours
        else f"{minutes} min {seconds % 60:.0f} s"
        if minutes
        else f"{seconds:.1f} s"
    )


def _show_run(results, task):
    run, config, metadata = results.run, results.config, results.metadata
    path = shlex.quote(str(run.path))
    commands = f"python -m apps.{task.app} --config {shlex.quote(str(run.config_file))}"
    names = ("id", "device", "precision", "python", "platform", "versions")
    values = {"folder": str(run.path), "seed": str(config.get("seed"))} | {name: metadata.get(name) for name in names}
    values = {name: value for name, value in values.items() if value}
    data = {key: value for key, value in flatten(metadata.get("data") or {}).items() if not key.startswith("counts.")}
    settings = {key: str(value) for key, value in flatten(config).items()}
    return "".join(
        [
            markup.fields(values),
            element("h3", "Train the same again, and resume"),
            markup.code(commands),
            markup.code(f"{commands} --run {path}"),
            markup.details("Data", markup.fields(data)),
            markup.details(f"All {len(settings)} settings", markup.fields(settings)),
        ]
    )
