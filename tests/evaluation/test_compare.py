"""Runs side by side."""

import math
import sys
from pathlib import Path

import pytest
from finished_runs import NASTY, Resources, write_run
from programs import refusal

from apps import compare


def test_the_best_is_first_and_only_what_differs_is_listed(tmp_path, capsys):
    for name, accuracy, rate in (("a", 0.5, 1), ("b", 0.9, 2), ("c", math.nan, 3)):
        write_run(tmp_path / name, {"accuracy": accuracy}, model={"rate": rate, NASTY: rate}, same=7)
    write_run(tmp_path / "d", **{f"key{i}": i for i in range(300)})
    ranked = compare.run(compare.Config(runs=("a", "d", "b", "c", "a/"), out="out/page.html"))
    assert [results.run.path.name for results in ranked] == ["b", "a", "c", "d"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["run", "accuracy"] and lines[1].startswith("b") and "90.00%" in lines[1]
    page = Path("out/page.html").read_text()
    assert "model.rate" in page and "key299" in page and "<b>90.00%</b>" in page and "not finished" in page
    found = Resources(page)
    assert found.scripts == 0 and found.loaded == [] and {"results", "curves"} <= set(found.ids)
    assert page.count("<figcaption>val_accuracy") == 1


def test_runs_of_a_task_without_a_metric_keep_their_order(tmp_path):
    for name in ("b_b", "a"):
        write_run(tmp_path / name, {"g_loss": 1.0}, "gan")
    ranked = compare.run(compare.Config(runs=("b_b", "a")))
    assert [results.run.path.name for results in ranked] == ["b_b", "a"]
    page = Path("compare.html").read_text()
    assert "<th scope=col>b_b</th>" in page and "best baseline" not in page


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ((), "two or more different run folders to compare; received 0."),
        (("a",), "received 1; the page of one run is a/report.html."),
        (("a", "a/."), "received 1"),
        (("a", "gan"), "Only runs of the same task"),
        (("a", "none"), "The folder none holds no run"),
        (("a", "old"), "another version of karpa_tf"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(tmp_path, capsys, runs, message):
    for name, task in (("a", "classifier"), ("gan", "gan"), ("old", "unknown")):
        write_run(tmp_path / name, {"accuracy": 0.5}, task)
    assert message in refusal(capsys, lambda: compare.run(compare.Config(runs=runs)))


def test_the_page_needs_no_file_but_itself(tmp_path, monkeypatch):
    for name in "ab":
        write_run(tmp_path / name, {"accuracy": 0.5})
    monkeypatch.setattr(sys, "argv", ["compare", "a", "b"])
    compare.main()
    page = Path("compare.html").read_text()
    assert "://" not in page and "url(" not in page
