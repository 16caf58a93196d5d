"""The page of a run, from folders written by hand."""

import html
import json
import re

import pytest
from finished_runs import NASTY, Resources, add_image, write_run

from karpa_tf.evaluation import report_page
from karpa_tf.evaluation.charts import draw_curves
from karpa_tf.evaluation.results import load_results
from karpa_tf.tasks import load_task


def page_of(run, task="classifier"):
    load_task(task).save_page(run)
    return (run.path / "report.html").read_text()


def test_a_page_escapes_names_and_loads_nothing(tmp_path):
    report = {
        "accuracy": 0.9,
        "classes": {NASTY: {"f1": float("nan")}},
        "baselines": [{"name": NASTY, "accuracy": 0.5}],
    }
    run = write_run(tmp_path / "run", report, name=NASTY)
    (run.eval / "confusion.csv").write_text(f'true,"{NASTY}"\n"{NASTY}",3\n')
    (run.eval / "mistakes.csv").write_text(f'text,true,predicted,probability\n"{NASTY}",a,b,0.9\n')
    add_image(run.eval, "reliability.png")
    page = page_of(run)
    found = Resources(page)
    assert found.scripts == 0 and "&lt;script&gt;" in page and "日本" in page
    assert found.images == 1 and all(value.startswith("data:image/") for value in found.loaded)
    assert "@import" not in page and "url(" not in page


@pytest.mark.parametrize(
    ("baseline", "gain", "words", "chance"),
    [
        (0.95, (-0.08, -0.02), "not better than the best", "-8.0 to -2.0 percentage points (n = 90): more than chance"),
        (0.85, (-0.02, 0.12), "Perhaps no better than the best", "it may be chance"),
        (0.5, (0.3, 0.5), "Better than the best", "+30.0 to +50.0 percentage points (n = 90): more than chance"),
        (0.5, None, "Better than the best", "."),
    ],
)
def test_the_network_is_compared_with_the_best_baseline(tmp_path, baseline, gain, words, chance):
    best = {"name": "regression", "accuracy": baseline}
    if gain:
        best |= dict(zip(("accuracy_gain_low", "accuracy_gain_high"), gain, strict=True))
    baselines = [{"name": "most frequent class", "accuracy": 0.1}, best]
    page = page_of(write_run(tmp_path / "run", {"accuracy": 0.9, "count": 90, "baselines": baselines}))
    assert words in page and f"90.00% against {baseline:.2%} (regression)" in page and chance in page
    assert ("95 % confidence" in page) == bool(gain)


def test_a_language_model_is_compared_with_token_frequencies_where_less_is_better(tmp_path):
    report = {"perplexity": 9.0, "accuracy": 0.5, "unigram_perplexity": 8.0, "unigram_accuracy": 0.1}
    run = write_run(tmp_path / "run", report, "masked_lm")
    (run.eval / "examples.txt").write_text("the [cat] sat on [a, not the] mat [SEP] .\n")
    page = page_of(run, "masked_lm")
    assert "not better than the best baseline: perplexity 9 against 8" in page
    assert "the <mark>cat</mark> sat on <del>a</del><ins>the</ins> mat [SEP] ." in page


@pytest.mark.parametrize(
    ("base", "folder"), [("saved models", "\"$PWD\"/'saved models'"), ("/srv/models", "/srv/models")]
)
def test_the_command_for_docker_names_the_folder_of_the_model_from_the_root(tmp_path, base, folder):
    run = write_run(tmp_path / "run", {"accuracy": 0.9})
    report_page.save(run, load_task("classifier"), {f"{base}/cnn/1": {"created": "2026-01-01"}})
    page = html.unescape((run.path / "report.html").read_text())
    assert f"docker run -p 8501:8501 -v {folder}/cnn:/models/cnn " in page


def test_what_a_tool_leaves_in_the_folder_gets_a_section(tmp_path):
    run = write_run(tmp_path / "run", {"accuracy": 0.9})
    for folder in (run.path / "attack", run.eval / "photos"):
        add_image(folder, "examples.png")
        (folder / "report.json").write_text(json.dumps({"robustness": 0.25, "runs": [{"epsilon": 0.5}]}))
    (run.path / "attack" / "summary.md").write_text("# Title\n\n- `fgsm` <b>\n\n| a | b |\n| - | - |\n| 1 | 2 |\n")
    page = page_of(run)
    assert {"attack", "evaluation-on-photos"} <= set(Resources(page).ids) and Resources(page).images == 2
    assert "<li><code>fgsm</code> &lt;b&gt;</li>" in page and "robustness" in page and "epsilon" in page


def test_a_hundred_classes_are_shown_as_an_image(tmp_path):
    run = write_run(tmp_path / "run", {"accuracy": 0.9})
    names = [f"class{i}" for i in range(100)]
    rows = [",".join([name, *["1"] * 100]) for name in names]
    (run.eval / "confusion.csv").write_text("\n".join([",".join(["true", *names]), *rows]) + "\n")
    add_image(run.eval, "confusion.png")
    page = page_of(run)
    assert Resources(page).images == 1 and "class57" not in page


def test_an_unfinished_run_and_one_of_an_old_version_have_a_page(tmp_path):
    run = write_run(tmp_path / "run", rows=())
    run.metrics_file.unlink()
    assert "was not finished" in page_of(run)
    old = write_run(tmp_path / "old", {"accuracy": 0.9})
    page = page_of(old)
    assert "was not finished" not in page and "removed since" in page and "val_accuracy" in page


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, capsys, monkeypatch):
    run = write_run(tmp_path / "run", {"accuracy": 0.9})
    monkeypatch.setattr("karpa_tf.evaluation.report_page.write_text", refuse)
    load_task("classifier").save_page(run)
    assert "report.html was not written (Read-only" in capsys.readouterr().err


def refuse(*_):
    raise OSError(30, "Read-only file system")


def test_the_time_of_all_steps_is_their_units_over_the_rates(tmp_path):
    name, rate, seconds = load_results(write_run(tmp_path / "run")).rate()
    assert (name, rate) == ("images_per_second", 100) and seconds == pytest.approx(2 * 8 / 100)


def test_a_curve_is_interrupted_where_it_is_not_finite():
    chart = draw_curves("loss", [("a", range(5), [1, 2, float("nan"), float("inf"), 3])], "step")
    line = re.search(r'class="c0" d="(.*?)"', chart)[1]
    assert line.count("M") == 2 and line.count("L") == 1 and "nan" not in chart
    assert draw_curves("loss", [("a", [1], [float("nan")])], "step") == ""


def test_a_curve_of_many_points_keeps_its_extremes():
    values = [0.0] * 50_000
    values[777] = 5.0
    chart = draw_curves("loss", [("a", range(len(values)), values)], "step", [("limit", 6.0)])
    assert len(chart) < 30_000 and len(set(re.findall(r"[ML][\d.]+ (-?[\d.]+)", chart))) >= 3
