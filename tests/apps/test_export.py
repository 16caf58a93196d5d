"""The programs `export` and `inspect_model` on runs of classifiers and generators."""

import dataclasses
import json
import random
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import yaml
from programs import refusal, run_program

from apps import export, inspect_model, train_classifier, train_gan
from karpa_tf import cli
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.splits import load_splits
from karpa_tf.export import examples
from karpa_tf.export.meta_graph import list_versions, read_meta_graph
from karpa_tf.export.versions import load_version
from karpa_tf.models.sampling import to_pixels
from karpa_tf.tasks import find_task
from karpa_tf.tasks import gan as gan_task
from karpa_tf.training.run import Run


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    """The run folder of a GAN that keeps an average, trained in bfloat16."""
    folder = tmp_path_factory.mktemp("gan")
    paths = {"run": str(folder / "run"), "export_dir": str(folder / "models")}
    # Fast enough for the weights to differ from their average.
    changes = {"precision": "mixed_bfloat16", "learning_rate": 5e-3}
    return train_gan.run(dataclasses.replace(train_gan.PRESETS["smoke"], **changes, **paths)).path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """The run folder of a classifier without an average."""
    folder = tmp_path_factory.mktemp("classifier")
    changes = {"run": str(folder / "run"), "export_dir": str(folder / "models"), "keep_versions": 1}
    smoke = train_classifier.PRESETS["smoke"]
    changes["optimization"] = dataclasses.replace(smoke.optimization, ema=0.0)
    return train_classifier.run(dataclasses.replace(smoke, **changes)).path


def ask(folder, **inputs):
    tensors = {name: tf.constant(value) for name, value in inputs.items()}
    name = "noise" if "noise" in inputs else "images"
    return {key: value.numpy() for key, value in load_version(folder)[name](**tensors).items()}


def test_training_and_the_program_export_the_same(gan, capsys):
    trained = json.loads((gan / "run.json").read_text())["saved_model"]
    folder = export.run(export.ExportConfig(run=str(gan)))
    assert folder == Path("saved_models/dcgan_smoke/1")
    noise = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    np.testing.assert_array_equal(ask(folder, noise=noise)["images"], ask(trained, noise=noise)["images"])
    said = capsys.readouterr()
    assert "SavedModel  saved_models/dcgan_smoke/1\n" in said.out and not said.err
    assert "Weights     epoch 1, the newest, as a moving average\n" in said.out
    assert "  noise: noise -> images\n" in said.out


def test_a_model_trained_in_bfloat16_is_exported_in_float32(gan):
    folder = Path(json.loads((gan / "run.json").read_text())["saved_model"])
    functions = read_meta_graph(folder).graph_def.library.function
    kinds = {value.type for function in functions for node in function.node_def for value in node.attr.values()}
    assert tf.float32.as_datatype_enum in kinds and tf.bfloat16.as_datatype_enum not in kinds


def test_the_average_and_the_last_weights_are_different_models(gan):
    noise = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    images = {}
    for kind in ("ema", "last"):
        folder = export.run(export.ExportConfig(run=str(gan), **{kind: True}, name=kind))
        images[kind] = ask(folder, noise=noise)["images"].astype(int)
        expected = to_pixels(gan_task.load(Run(gan), kind).model(noise)).numpy()
        assert abs(images[kind] - expected).max() <= 1
        card = json.loads((folder / "assets.extra" / "card.json").read_text())
        assert (card["name"], card["weights"]["kind"], bool(card["metrics"])) == (kind, kind, kind == "ema")
        assert card["seed"] == 0 and card["data"]["count"] == 1797 and card["config"]["data"] == "digits"
    assert abs(images["ema"] - images["last"]).max() > 1


@pytest.mark.slow
def test_the_best_epoch_can_be_exported_and_old_versions_are_removed(classifier):
    for _ in range(2):
        folder = export.run(export.ExportConfig(run=str(classifier), best=True, name="best", keep_versions=1))
    assert list_versions("saved_models/best") == [2]
    card = json.loads((folder / "assets.extra" / "card.json").read_text())
    assert card["weights"]["description"] == "epoch 1, the best" and card["metrics"].keys() == {"val_loss"}


def test_a_run_keeps_held_out_images_and_its_exports_are_warmed_up_by_them(classifier):
    image_size, channels = 16, 1
    kept = examples.load_images(Run(classifier), (image_size, image_size, channels))
    test = load_splits("digits", ImageFormat(image_size, channels), 0.1, 0.2).test.images
    assert len(kept) == 8 and all(any((one == image).all() for image in test[:]) for one in kept)
    saved = Path(json.loads((classifier / "run.json").read_text())["saved_model"])
    record = next(iter(tf.data.TFRecordDataset(str(saved / "assets.extra" / "tf_serving_warmup_requests"))))
    assert tf.io.encode_png(kept[0]).numpy() in record.numpy()


def test_a_run_without_examples_is_exported_with_synthetic_ones_and_a_warning(classifier, tmp_path, capsys):
    shutil.copytree(classifier, "old")
    shutil.rmtree("old/examples")
    folder = export.run(export.ExportConfig(run="old"))
    assert "warning: old keeps no examples of its data" in capsys.readouterr().err
    assert json.loads((folder / "assets.extra" / "card.json").read_text())["real_examples"] is False


@pytest.mark.slow
def test_training_keeps_the_newest_versions(classifier):
    config = yaml.safe_load((classifier / "config.yaml").read_text())
    assert config["keep_versions"] == 1
    base = classifier.parent / "models" / "cnn_smoke"
    assert list_versions(base) == [1]
    metadata = json.loads((classifier / "run.json").read_text())
    (classifier / "run.json").write_text(json.dumps({k: v for k, v in metadata.items() if k != "saved_model"}))
    card = base / "1" / "assets.extra" / "card.json"
    card.write_text(json.dumps(json.loads(card.read_text()) | {"run": {"name": "another", "id": "another"}}))
    train_classifier.run(cli.parse(train_classifier.PRESETS, "", args=again(classifier)))
    assert list_versions(base) == [2]


def again(run):
    return ["--config", str(run / "config.yaml"), "--run", str(run)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Give the run to export: --run DIR"),
        ({"run": "missing"}, "--run missing holds no run"),
        ({"run": "GAN", "best": True}, "--best: GAN has no best epoch"),
        ({"run": "CLASSIFIER", "ema": True}, "--ema: CLASSIFIER keeps no moving average"),
        ({"run": "GAN", "ema": True, "last": True}, "--last and --ema exclude each other"),
        ({"run": "GAN", "formats": "saved_model,tflit"}, "received 'tflit'; did you mean tflite?"),
        ({"run": "GAN", "formats": ""}, "--formats knows saved_model, tflite, onnx; received ''"),
        ({"run": "GAN", "keep_versions": -1}, "--keep-versions must be at least 0; received -1"),
        ({"run": "GAN", "name": "../x"}, "--name must be a plain folder name; received '../x'"),
        ({"run": "GAN", "export_dir": "/proc/nowhere"}, "--export-dir /proc/nowhere/dcgan_smoke cannot be written"),
    ],
)
def test_wrong_flags_are_refused(gan, classifier, changes, message, capsys):
    paths = {"GAN": str(gan), "CLASSIFIER": str(classifier)}
    changes = {name: paths.get(value, value) if name == "run" else value for name, value in changes.items()}
    error = refusal(capsys, lambda: export.run(export.ExportConfig(**changes)))
    for name, path in paths.items():
        error = error.replace(path, name)
    assert message in error


def test_runs_of_other_programs_are_refused(capsys):
    Path("run").mkdir()
    Path("run/config.yaml").write_text("name: x\n")
    Path("run/run.json").write_text('{"app": "train_other"}')
    error = refusal(capsys, lambda: export.run(export.ExportConfig(run="run")))
    apps = "train_classifier, finetune_embedder, train_gan, pretrain_images, train_mlm, finetune_tagger, finetune_text"
    assert "--run run holds a run of train_other" in error and f"expected a run of one of {apps}." in error
    Path("run/run.json").write_text('{"task": "gan", "app": "train_gan"}')
    Path("run/config.yaml").write_text("name: x\nmodel: {}\n")
    assert "has no checkpoint yet" in refusal(capsys, lambda: export.run(export.ExportConfig(run="run")))


def test_a_saved_model_is_described(classifier, capsys):
    saved = json.loads((classifier / "run.json").read_text())["saved_model"]
    description = inspect_model.run(inspect_model.Config(path=(saved,)))
    said = capsys.readouterr().out
    for part in (
        f"{saved}, written by TensorFlow {tf.__version__}",
        f"{description['weights']:,} weights; 6 warm-up requests",
        "all of TensorFlow's core",
        "Conv2D\n",
        "  classify\n    input   inputs           string   (any)\n",
        "image classification",
        "weights  epoch 1, the newest",
    ):
        assert part in said, part
    inspect_model.run(inspect_model.Config(path=(str(Path(saved).parent),), json=True))
    assert json.loads(capsys.readouterr().out) == description


def test_loading_a_run_changes_no_global_state(classifier, gan):
    keras.config.set_dtype_policy("mixed_bfloat16")
    for path in (classifier, gan):
        state = random.getstate()
        finished = find_task(Run(path)).load(Run(path))
        assert finished.model.dtype_policy.name == "float32" and finished.model.layers[-1].compute_dtype == "float32"
        assert keras.config.dtype_policy().name == "mixed_bfloat16" and random.getstate() == state


def test_a_run_is_described_by_its_task(classifier, capsys):
    description = inspect_model.run(inspect_model.Config(path=(str(classifier),)))
    printed = capsys.readouterr().out
    assert printed.startswith("Run of train_classifier, image classification: cnn for 16x16x1 images, 10 classes, ")
    assert "Weights epoch 1, the newest\n" in printed and description["config"]["data"] == "digits"


def test_any_saved_model_can_be_inspected(capsys):
    module = tf.Module()
    module.variable = tf.Variable(tf.ones((3, 5)))
    module.call = tf.function(lambda x: tf.py_function(lambda y: y, [x @ module.variable], tf.float32))
    spec = tf.TensorSpec(None, name="x")
    tf.saved_model.save(module, "model", signatures=module.call.get_concrete_function(spec))
    description = inspect_model.run(inspect_model.Config(path=("model",)))
    assert description["weights"] == 15 and description["card"] is None and description["warm_up_requests"] == 0
    assert description["signatures"]["serving_default"]["inputs"] == {"x": {"dtype": "float32", "shape": None}}
    assert not description["ops"]["EagerPyFunc"]["core"] and "EagerPyFunc" in description["custom_ops"]
    said = capsys.readouterr().out
    assert " EagerPyFunc (custom)" in said and "warning: EagerPyFunc calls Python" in said and "any shape" in said
    assert "No model card" in said


def damage_graph(folder):
    (folder / "saved_model.pb").write_bytes((folder / "saved_model.pb").read_bytes()[:1000])


def empty_graph(folder):
    (folder / "saved_model.pb").write_bytes(b"")


def damage_index(folder):
    (folder / "variables" / "variables.index").write_bytes(b"x" * 100)


def damage_card(folder):
    (folder / "assets.extra" / "card.json").write_text("{")


def damage_warm_up(folder):
    (folder / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"x" * 100)


@pytest.mark.parametrize("damage", [damage_graph, empty_graph, damage_index, damage_card, damage_warm_up])
def test_damage_is_reported(damage, classifier, capsys):
    shutil.copytree(json.loads((classifier / "run.json").read_text())["saved_model"], "copy")
    damage(Path("copy"))
    assert " is damaged: " in refusal(capsys, lambda: inspect_model.run(inspect_model.Config(path=("copy",))))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ((), "Give one folder of a SavedModel or of a run."),
        (("a", "b"), "Give one folder of a SavedModel or of a run; received 2."),
        (("nowhere",), "There is no nowhere; expected the folder of a SavedModel"),
        (("models/file.keras",), "models/file.keras is a file; expected the folder"),
        (("models",), "models holds no SavedModel, there is no saved_model.pb in it; it holds models, net: name one"),
        (("models/net",), "models/net/3 holds no SavedModel"),
    ],
)
def test_a_folder_without_a_saved_model_is_refused(path, message, capsys):
    Path("models/net/3").mkdir(parents=True)
    Path("models/file.keras").write_text("")
    assert message in refusal(capsys, lambda: inspect_model.run(inspect_model.Config(path=path)))


@pytest.mark.slow
def test_the_programs_print_no_messages_of_tensorflow_and_need_no_data(gan):
    done = run_program("apps.export", "--run", str(gan), "--last", "--export-dir", "models")
    assert done.returncode == 0 and done.stderr == "" and "SavedModel  models/dcgan_smoke/1\n" in done.stdout
    done = run_program("apps.inspect_model", "models/dcgan_smoke")
    assert done.returncode == 0 and done.stderr == "" and "models/dcgan_smoke/1, written by" in done.stdout
