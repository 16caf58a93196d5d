"""The pages of finished runs of every task in headless Chromium: wide and narrow, light and dark."""

import base64
import dataclasses
from pathlib import Path

import pytest
from finished_runs import Resources
from page_in_browser import MISSING, chromium
from tiny_texts import write_tagged

from apps import (
    compare,
    evaluate_classifier,
    export,
    finetune_embedder,
    finetune_tagger,
    finetune_text,
    tag_text,
    train_classifier,
    train_gan,
    train_mlm,
)
from karpa_tf.configs.classifier_evaluation import ClassifierEvaluationConfig
from karpa_tf.configs.export import ExportConfig
from karpa_tf.evaluation import found_texts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(MISSING, reason="selenium, chromium or chromedriver is not installed"),
]

COMMON = {"curves", "evaluation", "use-the-model", "where-the-time-went", "the-run"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs by task, two each but for text, with different seeds."""
    base = tmp_path_factory.mktemp("runs")

    def train(app, name, preset="smoke", **changes):
        paths = {"run": str(base / name), "export_dir": str(base / "models")}
        return app.run(dataclasses.replace(app.PRESETS[preset], **paths, **changes))

    (base / "texts.tsv").write_text(
        "text\tlabel\n" + "".join(f"a good list {i}\tgood\nbad {i}\tbad\n" for i in range(60))
    )
    found = {
        app.__name__.split("_")[-1]: [train(app, f"{app.__name__}-{seed}", seed=seed) for seed in (0, 1)]
        for app in (train_classifier, train_gan, train_mlm)
    }
    data = {"init": str(found["mlm"][0].path), "data": str(base / "texts.tsv"), "batch_size": 8, "epochs": 1}
    found["text"] = [
        train(finetune_text, f"text-{seed}", next(iter(finetune_text.PRESETS)), seed=seed, **data) for seed in (0, 1)
    ]
    write_tagged(base / "tagged.conll")
    data |= {"data": str(base / "tagged.conll"), "epochs": 3, "learning_rate": 0.02}
    found["tagger"] = [train(finetune_tagger, f"tagger-{seed}", seed=seed, **data) for seed in (0, 1)]
    (base / "ratings.csv").write_text("text,rating\n" + "".join(f"a list {i},{i % 7}\n" for i in range(80)))
    data |= {"data": str(base / "ratings.csv"), "epochs": 1}
    found["regression"] = [train(finetune_text, f"value-{seed}", "regression", seed=seed, **data) for seed in (0, 1)]
    data["data"] = str(base / "texts.tsv")
    found["embedder"] = [train(finetune_embedder, f"embedder-{seed}", seed=seed, **data) for seed in (0, 1)]
    return found


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


def check(browser, page):
    """Opens a page in both sizes and schemes; screenshots lie beside it."""
    found = Resources(page.read_text())
    assert found.scripts == 0 and all(value.startswith("data:image/") for value in found.loaded)
    for width in (1280, 390):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        backgrounds = set()
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
            browser.get(page.absolute().as_uri())
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
            assert browser.execute_script("return [...document.images].every((image) => image.naturalWidth > 0)")
            backgrounds.add(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})["data"]
            page.with_name(f"{page.stem}-{width}-{scheme}.png").write_bytes(base64.b64decode(shot))
        assert len(backgrounds) == 2
    assert [line for line in browser.get_log("browser") if "favicon" not in line["message"]] == []
    return set(found.ids)


@pytest.mark.parametrize("task", ["classifier", "gan", "mlm", "text", "tagger", "regression", "embedder"])
def test_pages_of_every_task_fit_wide_and_narrow_screens(runs, browser, task):
    run, other = runs[task]
    own = {"samples"} if task == "gan" else set()
    assert COMMON | own <= check(browser, run.path / "report.html")
    out = run.path / "compare.html"
    compare.run(compare.Config(runs=(str(run.path), str(other.path)), out=str(out)))
    assert {"results", "settings-that-differ", "curves"} <= check(browser, out)


def test_the_page_of_marked_texts_fits_too(runs, browser, tmp_path):
    texts = ("the sky is blue", "<b>nothing</b>", "the coal is black and the snow is white " * 20)
    tag_text.run(tag_text.Config(run=str(runs["tagger"][0].path), texts=texts, page=str(tmp_path / "marked.html")))
    check(browser, tmp_path / "marked.html")


def test_the_page_of_a_search_fits_too(browser, tmp_path):
    found = [("a very long text about a cat " * 30, 0.5), ("<b>", 0.25)]
    found_texts.save_page(tmp_path / "found.html", [("a cat & a dog", found), ("x" * 200, [])])
    check(browser, tmp_path / "found.html")


def test_tools_add_to_the_page(runs, browser):
    run = runs["classifier"][1]
    evaluate_classifier.run(ClassifierEvaluationConfig(run=str(run.path), split="validation"))
    version = export.run(ExportConfig(run=str(run.path), last=True))
    assert "evaluation-on-validation" in check(browser, run.path / "report.html")
    assert Path(version).is_dir() and f"<td>{version}</td>" in (run.path / "report.html").read_text()
