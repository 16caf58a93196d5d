"""The programs for classifiers as a user runs them."""

import csv
import dataclasses
import functools
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import programs
import pytest
import sklearn.metrics
import tensorflow as tf
import yaml
from PIL import Image

from apps import classify, evaluate_classifier, sample_gan, train_classifier
from karpa_tf import cli
from karpa_tf.configs.classifier_evaluation import ClassifierEvaluationConfig
from karpa_tf.configs.classifier_presets import PRESETS
from karpa_tf.data.images.splits import load_splits
from karpa_tf.evaluation.baselines import IMAGES, MAJORITY
from karpa_tf.export.versions import load_version
from karpa_tf.models import classifiers
from karpa_tf.tasks.classifier import load_scorer
from karpa_tf.training.run import open_run

CONFIGS = {evaluate_classifier: ClassifierEvaluationConfig, classify: classify.Config}
SMOKE = dataclasses.replace(PRESETS["smoke"], export_dir="models")
NAMES = ("Äpfel & Birnen", "cat", "日本")


def config_of(*words):
    return cli.parse(PRESETS, train_classifier.__doc__, implied="images", args=list(words))


def train(*words):
    return train_classifier.run(config_of(*words, "--run", "run", "--export-dir", "models"))


def refusal(*words, capsys):
    return programs.refusal(capsys, lambda: train_classifier.run(config_of(*words)))


def make_folder(root="data", counts=(30, 24, 18)):
    """Three classes of one color each, in differing sizes and modes; a truncated JPEG among them."""
    rng = np.random.default_rng(0)
    for name, color, count in zip(NAMES, ((200, 40, 40), (40, 200, 40), (40, 40, 200)), counts, strict=True):
        folder = Path(root, name)
        folder.mkdir(parents=True)
        for i in range(count):
            size = (int(rng.integers(9, 50)), int(rng.integers(9, 50)))
            noise = rng.integers(-30, 30, (size[1], size[0], 3))
            image = Image.fromarray((np.array(color) + noise).clip(0, 255).astype(np.uint8))
            if i % 4 == 0:
                image.convert("CMYK").save(folder / f"{i:02}.jpg")
            elif i % 4 == 1:
                image.convert("RGBA").save(folder / f"{i:02}.png")
            else:
                image.save(folder / f"{i:02}.webp", lossless=True)
    content = Path(root, NAMES[0], "00.jpg").read_bytes()
    Path(root, NAMES[0], "broken.jpg").write_bytes(content[: len(content) // 2])
    return root


SMALL = (
    "--image-size",
    "12",
    "--blocks",
    "1",
    "1",
    "--filters",
    "4",
    "8",
    "--batch-size",
    "8",
    "--learning-rate",
    "0.1",
)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The run of the smoke preset and the folder of its SavedModel."""
    folder = tmp_path_factory.mktemp("smoke")
    run = train_classifier.run(dataclasses.replace(SMOKE, run=str(folder / "run"), export_dir=str(folder / "models")))
    return run, Path(run.metadata()["saved_model"])


def test_a_run_writes_all_files(smoke):
    run, saved_model = smoke
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    report = {"report.json", "confusion.csv", "confusion.png", "reliability.png", "mistakes.csv", "mistakes.png"}
    assert {"config.yaml", "run.json", "metrics.csv", "curves.png"} | {f"eval/{name}" for name in report} <= files
    assert any(name.startswith("tensorboard/") for name in files) and (saved_model / "saved_model.pb").is_file()
    last = run.read_metrics()[-1]
    assert set(last) == {"step", "epoch", "loss", "accuracy", "images_per_second", "val_loss", "val_accuracy"}
    assert last["step"] == 10 and last["images_per_second"] > 0
    metadata = run.metadata()
    assert sum(metadata["data"]["counts"]["test"].values()) == 359 and 0 <= metadata["input_bound_fraction"] <= 1


def test_the_written_config_repeats_the_run(smoke):
    run, _ = smoke
    again = config_of("--config", str(run.config_file))
    assert again == dataclasses.replace(SMOKE, export_dir=yaml.safe_load(run.config_file.read_text())["export_dir"])


@pytest.mark.slow
def test_the_report_can_be_made_again_from_the_run_and_from_the_export(smoke, capsys):
    run, saved_model = smoke
    expected = json.loads((run.eval / "report.json").read_text())
    from_run = evaluate_classifier.run(ClassifierEvaluationConfig(run=str(run.path), out="a"))
    assert from_run == json.loads(Path("a/report.json").read_text())
    for report in (from_run, expected):
        for row in report["baselines"]:
            del row["seconds"]
    assert from_run == expected and [row["name"] for row in expected["baselines"]] == [MAJORITY, IMAGES]
    assert "macro f1" in capsys.readouterr().out
    whole = [
        evaluate_classifier.run(ClassifierEvaluationConfig(**which, data="digits", out="b"))
        for which in ({"run": str(run.path)}, {"saved_model": str(saved_model.parent)})
    ]
    assert whole[0]["count"] == 1797
    for name in ("accuracy", "log_loss", "ece", "macro_f1", "top_5_accuracy"):
        assert whole[0][name] == pytest.approx(whole[1][name], abs=1e-6)


@pytest.mark.filterwarnings("ignore:.*do not sum to one")  # nor do float32 numbers, to float64's precision
def test_all_metrics_of_the_report_are_those_of_scikit_learn(smoke):
    run, _ = smoke
    report = json.loads((run.eval / "report.json").read_text())
    compute_probabilities, classes, _, config = load_scorer(run=run.path)
    test = load_splits(config.data, config.image_format, config.validation_fraction, config.test_fraction).test
    labels, probabilities = test.labels, compute_probabilities(test.images)
    predictions, indices = probabilities.argmax(1), np.arange(len(classes))
    expected = {
        "count": len(labels),
        "accuracy": sklearn.metrics.accuracy_score(labels, predictions),
        "log_loss": sklearn.metrics.log_loss(labels, probabilities, labels=indices),
    }
    for k in (2, 3, 5):
        expected[f"top_{k}_accuracy"] = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=k, labels=indices)
    names = ("precision", "recall", "f1", "count")
    score = functools.partial(sklearn.metrics.precision_recall_fscore_support, labels, predictions, zero_division=0)
    expected |= {f"macro_{name}": value for name, value in zip(names[:3], score(average="macro")[:3], strict=True)}
    for index, values in enumerate(zip(*score(labels=indices), strict=True)):
        found = report["classes"][classes[index]]
        assert found == {name: pytest.approx(value, abs=1e-9) for name, value in zip(names, values, strict=True)}
    assert {name: report[name] for name in expected} == {k: pytest.approx(v, abs=1e-9) for k, v in expected.items()}
    assert report.keys() == expected.keys() | {"data", "fingerprint", "ece", "classes", "baselines"}
    assert 0 < report["macro_f1"] < report["top_5_accuracy"] < 1  # neither empty nor perfect, so that errors would show


def test_the_tables_agree_with_the_metrics(smoke):
    run, _ = smoke
    report = json.loads((run.eval / "report.json").read_text())
    with open(run.eval / "confusion.csv", newline="") as file:
        rows = list(csv.reader(file))
    counts = np.array([[int(cell) for cell in row[1:]] for row in rows[1:]])
    assert rows[0][1:] == [row[0] for row in rows[1:]] == list("0123456789")
    assert np.trace(counts) / counts.sum() == pytest.approx(report["accuracy"], abs=1e-9)
    assert counts.sum(1).tolist() == [report["classes"][name]["count"] for name in "0123456789"]
    with open(run.eval / "mistakes.csv", newline="") as file:
        mistakes = list(csv.DictReader(file))
    probabilities = [float(row["probability"]) for row in mistakes]
    assert probabilities == sorted(probabilities, reverse=True) and len(mistakes) == 36
    assert all(row["true"] != row["predicted"] for row in mistakes)


def test_a_finished_run_is_not_trained_or_exported_again(smoke):
    run, saved_model = smoke
    newest = max(path.stat().st_mtime_ns for path in run.checkpoints.rglob("*"))
    config = dataclasses.replace(SMOKE, run=str(run.path), export_dir=str(saved_model.parents[1]))
    assert train_classifier.run(config).metadata()["saved_model"] == str(saved_model)
    assert max(path.stat().st_mtime_ns for path in run.checkpoints.rglob("*")) == newest


@pytest.fixture(scope="module")
def colors(tmp_path_factory):
    """A run on a folder of three colors: (run, folder of the data)."""
    folder = tmp_path_factory.mktemp("colors")
    data = make_folder(str(folder / "data"))
    words = ("--data", data, *SMALL, "--epochs", "4", "--run", str(folder / "run"), "--export-dir", str(folder / "m"))
    return train_classifier.run(config_of(*words, "--cache-dir", str(folder / "cache"))), data


def test_a_folder_of_images_of_all_sizes_and_formats_needs_one_flag(colors):
    run, _ = colors
    report = json.loads((run.eval / "report.json").read_text())
    assert report["accuracy"] == 1.0 and list(report["classes"]) == sorted(NAMES) and report["count"] == 15
    (skipped,) = run.metadata()["data"]["splits"]["train"]["skipped"]
    assert "broken.jpg" in skipped


def test_images_are_classified_by_a_run_and_by_its_export(colors, capsys):
    run, data = colors
    files = [str(Path(data, name, "02.webp")) for name in NAMES]
    Path("broken.png").write_text("no image")
    found = []
    for which in (["--run", str(run.path)], ["--saved-model", run.metadata()["saved_model"]]):
        words = [*files, "broken.png", *which, "--top", "2", "--out", "labels.csv"]
        config = cli.parse(classify.Config(), "", args=words)
        found.append(classify.run(config))
    assert [name for name, _ in found[0]] == files
    for (_, best), (_, same), name in zip(*found, NAMES, strict=True):
        assert best[0][0] == same[0][0] == name and len(best) == 2
        assert [p for _, p in best] == pytest.approx([p for _, p in same], abs=1e-5)
    printed = capsys.readouterr()
    assert "日本" in printed.out and "broken.png" in printed.err
    with open("labels.csv", newline="", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file) if row["rank"] == "1"] == list(NAMES)


def test_a_folder_is_evaluated_by_the_names_of_its_classes(colors):
    run, data = colors
    os.makedirs("some")
    for name in NAMES[1:]:
        os.symlink(Path(data, name), Path("some", name))
    report = evaluate_classifier.run(ClassifierEvaluationConfig(run=str(run.path), data="some", out="out"))
    assert report["count"] == 42 and report["accuracy"] == 1.0 and report["macro_recall"] == 1.0


@pytest.mark.parametrize(
    ("app", "changes", "message"),
    [
        (evaluate_classifier, {}, "Give one of --run DIR and --saved-model DIR"),
        (evaluate_classifier, {"saved_model": "x"}, "--saved-model needs --data"),
        (evaluate_classifier, {"run": "missing"}, "--run missing holds no run"),
        (classify, {"run": "a"}, "Give one or more image files"),
        (classify, {"run": "a", "images": ("missing.jpg",)}, "There is no image or folder missing.jpg"),
        (classify, {"run": "missing", "images": ("file",)}, "--run missing holds no run"),
        (classify, {"saved_model": "missing", "images": ("file",)}, "--saved-model missing holds no SavedModel"),
        (classify, {"run": "a", "images": ("file",), "top": 0}, "--top must be above 0"),
    ],
)
def test_the_tools_refuse_wrong_flags(app, changes, message, capsys):
    Path("file").touch()
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        app.run(CONFIGS[app](**changes))
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_a_run_without_a_checkpoint_is_named(capsys):
    open_run(dataclasses.replace(SMOKE, run="new"), "train_classifier", "classifier")
    Image.new("RGB", (8, 8)).save("image.png")
    for app in (evaluate_classifier, classify):
        with pytest.raises(SystemExit), cli.handle_errors():
            app.run(CONFIGS[app](run="new", **({"images": ("image.png",)} if app is classify else {})))
        assert "--run new has no checkpoint yet" in capsys.readouterr().err
    assert "--init new has no checkpoint yet" in refusal("smoke", "--init", "new", capsys=capsys)


def test_a_report_on_other_images_does_not_replace_the_runs_own(colors):
    run, data = colors
    own = (run.eval / "report.json").read_bytes()
    evaluate_classifier.run(ClassifierEvaluationConfig(run=str(run.path), data=data))
    evaluate_classifier.run(ClassifierEvaluationConfig(run=str(run.path), split="validation"))
    assert (run.eval / "report.json").read_bytes() == own
    counts = [json.loads((run.eval / name / "report.json").read_text())["count"] for name in ("data", "validation")]
    assert counts == [72, 5]


def test_a_classifiers_run_is_no_gan(smoke, capsys):
    with pytest.raises(SystemExit), cli.handle_errors():
        sample_gan.run(sample_gan.Config(run=str(smoke[0].path)))
    assert "holds no run of train_gan" in capsys.readouterr().err


def test_a_class_that_the_classifier_does_not_know_is_named(smoke, capsys):
    make_folder()
    with pytest.raises(SystemExit), cli.handle_errors():
        evaluate_classifier.run(ClassifierEvaluationConfig(run=str(smoke[0].path), data="data", out="out"))
    assert "has a class that the classifier does not know: cat" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "missing"], "--data missing: there is no such folder"),
        (["smoke", "--batch-size", "1296"], "--batch-size 1296 is larger than the training split: 1295 images"),
        (["smoke", "--run", "file/run"], "--run"),
        (["smoke", "--export-dir", "file/models"], "--export-dir"),
        (
            ["smoke", "--strategy", "mirrored", "--batch-size", "6", "--gradient-accumulation-steps", "2"],
            "must be a multiple of 4",
        ),
        (["smoke", "--early-stopping", "2", "--validate-on", "test"], "the test split must not select anything"),
        (["smoke", "--early-stopping", "2", "--validation-fraction", "0"], "--early-stopping needs a validation split"),
        (["smoke", "--init", "MobilNetV2"], "did you mean MobileNetV2?"),
        (["smoke", "--init", "MobileNetV2"], "takes color images: --channels 3; received 1"),
        (["smoke", "--freeze", "features"], "--freeze needs --init"),
        (["smoke", "--image-size", "0"], "--image-size must be above 0"),
        (["smoke", "--validation-fraction", "1"], "--validation-fraction must be at least 0 and below 1"),
    ],
)
def test_wrong_input_is_answered_in_one_sentence_and_writes_nothing(words, message, capsys):
    Path("file").touch()
    assert message in refusal(*words, capsys=capsys)


@pytest.mark.slow
def test_without_a_baseline_the_report_has_none(capsys):
    run = train("smoke", "--no-baseline")
    assert "baselines" not in json.loads((run.eval / "report.json").read_text())
    assert "most frequent class" not in capsys.readouterr().out


@pytest.mark.slow
def test_too_few_images_to_hold_any_out_can_still_be_trained_on(capsys):
    make_folder(counts=(2, 2, 2))
    run = train("--data", "data", *SMALL[:-4], "--batch-size", "2", "--epochs", "1")
    assert set(run.metadata()["data"]["counts"]) == {"train"} and run.metadata()["saved_model"]
    assert "accuracy" not in capsys.readouterr().out.splitlines()[-3]


def test_images_of_one_class_alone_are_evaluated(colors):
    run, data = colors
    os.makedirs("one")
    os.symlink(Path(data, NAMES[1]), Path("one", NAMES[1]))
    report = evaluate_classifier.run(ClassifierEvaluationConfig(run=str(run.path), data="one"))
    assert report["count"] == 24 and report["accuracy"] == report["macro_recall"] == 1.0
    assert {path.name for path in (run.eval / "one").iterdir()} >= {"report.json", "confusion.png", "mistakes.png"}


@pytest.mark.parametrize("others", [[], ["empty"]])
def test_one_class_alone_is_refused(others, capsys):
    for name in ("only", *others):
        Path("data", name).mkdir(parents=True)
    Image.new("RGB", (20, 20)).save("data/only/a.png")
    assert "images of one class only (only)" in refusal("--data", "data", capsys=capsys)


def test_a_dry_run_writes_nothing(capsys):
    assert train_classifier.run(dataclasses.replace(SMOKE, dry_run=True)) is None
    output = capsys.readouterr().out
    assert "Would write" in output and "weights, of which" in output
    assert list(Path().iterdir()) == []


def test_weights_initialized_from_images_see_the_training_split_only(monkeypatch):
    read = []
    monkeypatch.setitem(classifiers.DATA_INITIALIZERS, "cnn", lambda model, images: read.append(images.shape))
    train_classifier.run(dataclasses.replace(SMOKE, dry_run=True))
    assert read == [(1295, 16, 16, 1)]


@pytest.mark.slow
def test_two_replicas_train_and_evaluate_the_same_preset(smoke):
    run = train("smoke", "--strategy", "mirrored", "--batch-size", "128")
    assert run.metadata()["device"].startswith("2 x CPU")
    alone, shared = smoke[0].read_metrics()[-1], run.read_metrics()[-1]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert shared[name] == pytest.approx(alone[name], abs=1e-4)


def test_a_diverging_run_stops_and_exports_nothing(capsys):
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        train("smoke", "--learning-rate", "1e30")
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: At step ") and error.count("\n") == 1
    assert "training was stopped and nothing exported; there was no checkpoint yet" in error
    assert not Path("models").exists()


@pytest.mark.slow
def test_an_early_stop_exports_the_best_epoch_and_stays_stopped(capsys):
    words = ("smoke", "--epochs", "30", "--early-stopping", "1", "--learning-rate", "1.0")
    run = train(*words)
    assert "Stopped early after epoch" in capsys.readouterr().out
    rows = [row for row in run.read_metrics() if "val_loss" in row]
    best = min(range(len(rows)), key=lambda index: rows[index]["val_loss"])
    assert len(rows) == best + 2 < 30
    assert json.loads((run.checkpoints / "best.json").read_text())["epoch"] == best + 1
    report = evaluate_classifier.run(ClassifierEvaluationConfig(run="run", split="validation", out="out"))
    assert report["log_loss"] == pytest.approx(rows[best]["val_loss"], rel=1e-4)
    train(*words)
    assert [row for row in run.read_metrics() if "val_loss" in row] == rows


@pytest.mark.slow
def test_a_run_is_fine_tuned_on_other_classes(colors):
    run, _ = colors
    make_folder("other", (16, 16, 16))
    Path("other", NAMES[0]).rename("other/rot")
    words = ("--data", "other", "--init", str(run.path), "--freeze", "features", *SMALL[-4:], "--epochs", "3")
    tuned = train(*words)
    config = yaml.safe_load(tuned.config_file.read_text())
    assert config["model"]["filters"] == [4, 8] and config["image_size"] == 12
    assert json.loads((tuned.eval / "report.json").read_text())["accuracy"] > 0.6


def test_with_cached_features_the_head_becomes_the_same(smoke, capsys):
    """Which rules out other features, images in another order, and an export without the head."""
    words = ("smoke", "--init", str(smoke[0].path), "--freeze", "features", "--crop-padding", "0", "--dropout", "0")
    words += ("--epochs", "2", "--test-fraction", "0.3")
    runs = [
        train_classifier.run(config_of(*words, *own, "--run", name, "--export-dir", name + "-models"))
        for name, own in (("usual", ()), ("cached", ("--cache-features", "--cache-dir", "cache")))
    ]
    sizes = sorted(len(np.load(file)) for file in Path("cache").rglob("features.npy"))
    assert len(sizes) == 2 and sizes[0] < 200 < 1000 < sizes[1]  # validation and training
    usual, cached = ([run.read_metrics()[-1][name] for name in ("loss", "val_loss", "val_accuracy")] for run in runs)
    np.testing.assert_allclose(cached, usual, rtol=1e-4)
    reports = [json.loads((run.eval / "report.json").read_text())["log_loss"] for run in runs]
    np.testing.assert_allclose(*reports, rtol=1e-4)
    pixels = tf.constant(np.random.default_rng(0).integers(0, 256, (5, 16, 16, 1), np.uint8))
    scores = [load_version(run.metadata()["saved_model"])["images"](images=pixels)["scores"] for run in runs]
    np.testing.assert_allclose(*scores, atol=1e-5)
    shutil.rmtree(max(runs[1].checkpoints.iterdir()))
    train_classifier.run(config_of("--config", "cached/config.yaml", "--run", "cached"))
    assert "resumed after epoch 1" in capsys.readouterr().out
    assert [runs[1].read_metrics()[-1][name] for name in ("loss", "val_loss", "val_accuracy")] == cached


def test_a_small_set_of_ones_own_is_told_of_pretrained_weights(colors, capsys):
    run, data = colors
    words = ("--data", data, "--dry-run", "--epochs", "1", "--batch-size", "8", *SMALL[-4:])
    advice = "training images are few for a network without pretrained weights; the preset transfer"
    train(*words)
    assert advice in capsys.readouterr().err
    train(*words, "--init", str(run.path))
    assert advice not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cache-features",), "needs --freeze features and no --unfreeze-every"),
        (("--cache-features", "--init", "x", "--freeze", "features"), "turn augmentation off"),
    ],
)
def test_features_that_would_change_are_not_cached(words, message, capsys):
    assert message in refusal("smoke", *words, capsys=capsys)


@pytest.mark.slow
def test_a_keras_application_is_fine_tuned_from_a_file_of_weights(capsys):
    make_folder(counts=(8, 8, 8))
    pretrained = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3))
    pretrained.save_weights("mobilenet.weights.h5")
    words = ("transfer", "--data", "data", "--image-size", "32", "--init", "MobileNet", "--init-weights")
    run = train(*words, "mobilenet.weights.h5", "--epochs", "2", "--batch-size", "8", "--unfreeze-every", "1")
    output = capsys.readouterr().out
    assert "of which 3,075 are trained" in output and "From epoch 2 on" in output
    assert yaml.safe_load(run.config_file.read_text())["model"]["application"] == "MobileNet"
    pixels = tf.zeros((1, 32, 32, 3), tf.uint8)
    assert load_version(run.metadata()["saved_model"])["images"](images=pixels)["scores"].shape == (1, 3)


def test_weights_that_cannot_be_loaded_are_named_with_a_remedy(capsys):
    make_folder(counts=(8, 8, 8))
    Path("bad.weights.h5").write_text("no weights")
    narrow = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.25)
    narrow.save_weights("narrow.weights.h5")
    words = ("transfer", "--data", "data", "--image-size", "32", "--batch-size", "8", "--init", "MobileNet")
    expected = "expected a .weights.h5 file of this network and width"
    assert expected in refusal(*words, "--init-weights", "bad.weights.h5", capsys=capsys)
    error = refusal(*words, "--init-weights", "narrow.weights.h5", capsys=capsys)
    assert "its layer conv1 has weights of shape (3, 3, 3, 8), not (3, 3, 3, 32)); expected" in error
    assert train(*words, "--init-weights", "narrow.weights.h5", "--alpha", "0.25", "--dry-run") is None
    words = ("transfer", "--data", "data", "--init", "ResNet50", "--alpha", "0.5")
    assert "--alpha 0.5 is for MobileNets only; ResNet50" in refusal(*words, capsys=capsys)


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].image_size < 224])
def test_the_model_of_every_preset_can_be_built(name):
    from karpa_tf.models.classifiers import make_classifier, split_by_depth

    config = PRESETS[name]
    assert config_of(name) == config
    model = make_classifier(config.model, (config.image_size, config.image_size, config.channels), 7)
    assert model.output_shape == (None, 7)
    parts = split_by_depth(model)
    assert sorted(v.path for part in parts for v in part) == sorted(v.path for v in model.trainable_variables)


@pytest.mark.slow
def test_the_program_prints_no_messages_of_tensorflow_and_needs_no_network():
    result = programs.run_program("apps.train_classifier", "smoke")
    assert result.returncode == 0 and result.stderr == ""
    assert "Test accuracy" in result.stdout and "saved_models/cnn_smoke/1" in result.stdout
