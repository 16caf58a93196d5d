"""The program as a user runs it."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import programs
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from apps import sample_gan, train_gan
from karpa_tf import cli, losses
from karpa_tf.errors import UserError
from karpa_tf.tasks.gan import load_data, make_trainer, resolve_augmentation
from karpa_tf.training.callbacks.gan import make_gan_callbacks
from karpa_tf.training.identity import find_changed_data, find_differences
from karpa_tf.training.run import Run
from karpa_tf.training.weights import find_weights

SMOKE = train_gan.PRESETS["smoke"]


def config_of(*words):
    return cli.parse(train_gan.PRESETS, train_gan.__doc__, implied="images", args=list(words))


def refusal(*words, capsys):
    return programs.refusal(capsys, lambda: train_gan.run(config_of(*words)))


def images_of(size, count=5):
    Path("images").mkdir()
    for i in range(count):
        Image.new("RGB", (size, size), (i, 2 * i, 3 * i)).save(f"images/{i}.png")


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The run of the smoke preset and the folder of its SavedModel."""
    folder = tmp_path_factory.mktemp("smoke")
    config = dataclasses.replace(SMOKE, run=str(folder / "run"), export_dir=str(folder / "models"))
    run = train_gan.run(config)
    return run, Path(run.metadata()["saved_model"])


def test_a_run_writes_all_files(smoke):
    run, saved_model = smoke
    files = {str(path.relative_to(run.path)) for path in run.path.rglob("*") if path.is_file()}
    expected = {
        "config.yaml",
        "run.json",
        "metrics.csv",
        "curves.png",
        "samples/epoch-00001.png",
        "samples/training.gif",
    }
    assert expected <= files and any(name.startswith("tensorboard/") for name in files)
    assert (saved_model / "saved_model.pb").is_file() and saved_model.name == "1"
    report = json.loads((run.eval / "report.json").read_text())
    assert set(report) == {"g_loss", "d_loss_real", "d_loss_fake", "D(x)", "D(G(z))"}
    metadata = run.metadata()
    assert metadata["data"]["count"] == 1797 and metadata["versions"]["keras"] == keras.__version__


def test_the_written_config_repeats_the_run(smoke):
    run, _ = smoke
    assert cli.parse(train_gan.PRESETS, "", args=["--config", str(run.config_file)]) == dataclasses.replace(
        SMOKE, export_dir=yaml.safe_load(run.config_file.read_text())["export_dir"]
    )


def test_the_export_and_the_run_draw_the_same_images(smoke):
    run, saved_model = smoke
    from_run = sample_gan.run(sample_gan.Config(run=str(run.path), n=9, seed=5, out="run.png"))
    from_export = sample_gan.run(sample_gan.Config(saved_model=str(saved_model), n=9, seed=5, out="export.png"))
    from_base = sample_gan.run(sample_gan.Config(saved_model=str(saved_model.parent), n=3, seed=7, out="base.png"))
    np.testing.assert_array_equal(from_run, from_export)
    np.testing.assert_array_equal(from_run[2:5], from_base)  # image i is that of seed + i
    assert Path("run.png").read_bytes() == Path("export.png").read_bytes()


def test_an_interpolation_starts_and_ends_at_the_images_of_its_seeds(smoke):
    run, _ = smoke
    ends = sample_gan.run(sample_gan.Config(run=str(run.path), n=2, seed=5, out="ends.png")).astype(int)
    walk = sample_gan.run(sample_gan.Config(run=str(run.path), n=7, seed=5, out="walk.gif", interpolate=True)).astype(
        int
    )
    assert np.abs(walk[[0, -1]] - ends).max() <= 1  # drawn in a batch of another size: rounding
    assert Image.open("walk.gif").n_frames >= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Give one of --run DIR, --saved-model DIR and --server URL"),
        ({"run": "a", "saved_model": "b"}, "Give one of"),
        ({"run": "missing"}, "--run missing holds no run"),
        ({"saved_model": "missing"}, "--saved-model missing holds no SavedModel"),
        ({"run": "a", "n": 0}, "-n must be above 0"),
        ({"run": "a", "out": "grid.bmp"}, "--out must end in .png or .gif"),
        ({"run": "a", "out": "file/grid.png"}, "--out file cannot be written"),
        ({"run": "a", "seed": 2**64}, "--seed must be below 2 ** 62"),
    ],
)
def test_sampling_refuses_wrong_flags(changes, message, capsys):
    Path("file").touch()
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        sample_gan.run(sample_gan.Config(**changes))
    assert caught.value.code == 2 and message in capsys.readouterr().err


def test_the_folder_of_a_grid_is_made_but_no_folder_is_replaced(smoke, capsys):
    config = sample_gan.Config(run=str(smoke[0].path), n=1, out="new/folder/grid.png")
    sample_gan.run(config)
    assert Path(config.out).is_file()
    Path("folder.png").mkdir()
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        sample_gan.run(dataclasses.replace(config, out="folder.png"))
    assert caught.value.code == 2 and "--out folder.png cannot be written" in capsys.readouterr().err


def test_a_damaged_export_is_named(smoke, capsys):
    shutil.copytree(smoke[1], "damaged")
    pb = Path("damaged/saved_model.pb")
    pb.write_bytes(pb.read_bytes()[:1000])
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        sample_gan.run(sample_gan.Config(saved_model="damaged"))
    assert caught.value.code == 2 and "--saved-model damaged cannot be loaded" in capsys.readouterr().err


def test_a_finished_run_is_not_trained_or_exported_again(smoke):
    run, saved_model = smoke
    newest = max(path.stat().st_mtime_ns for path in run.checkpoints.rglob("*"))
    config = dataclasses.replace(SMOKE, run=str(run.path), export_dir=str(saved_model.parents[1]))
    assert train_gan.run(config).metadata()["saved_model"] == str(saved_model)
    assert max(path.stat().st_mtime_ns for path in run.checkpoints.rglob("*")) == newest
    assert [path.name for path in saved_model.parent.iterdir()] == ["1"]


@pytest.mark.slow
def test_two_replicas_train_the_same_preset():
    run = train_gan.run(dataclasses.replace(SMOKE, strategy="mirrored", run="run", export_dir="models"))
    assert run.metadata()["device"].startswith("2 x CPU")


def test_a_batch_that_the_replicas_do_not_divide_is_refused(capsys):
    assert "multiple of 2; received 7" in refusal("smoke", "--strategy", "mirrored", "--batch-size", "7", capsys=capsys)


def test_a_folder_of_images_needs_one_flag():
    images_of(size=70, count=6)
    Path("images/broken.jpg").write_text("no image")
    words = ["--data", "images", "--epochs", "1", "--batch-size", "3", "--run", "run"]
    words += ["--filters", "4", "4", "4", "4", "--discriminator-filters", "4", "4"]
    run = train_gan.run(config_of(*words))
    assert np.asarray(Image.open(run.samples / "epoch-00001.png")).shape == (512, 512, 3)
    assert "broken.jpg" in run.metadata()["data"]["skipped"][0]
    assert run.metadata()["saved_model"] == "saved_models/residual_gan_images/1"
    assert run.read_config()["augment"] == "diffaugment"  # a small set
    again = train_gan.run(config_of(*words))  # the same command finds that it has ended
    assert again.read_metrics() == run.read_metrics()


def test_large_sets_are_not_augmented_unless_asked_for(capsys):
    config = config_of("images")
    assert resolve_augmentation(config, 20_000).augment == "none"
    assert resolve_augmentation(config, 19_999).augment == "diffaugment"
    assert "diffaugment, by the number of images" in capsys.readouterr().out
    assert resolve_augmentation(config_of("images", "--augment", "ada"), 100).augment == "ada"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "missing"], "--data missing: there is no such folder"),
        (["smoke", "--batch-size", "1798"], "--batch-size 1798 is larger than the training split: 1797 images"),
        (["smoke", "--base-size", "16"], r"--base-size 8 --filters 8 8"),
        (["smoke", "--run", "file/run"], "--run"),
        (["smoke", "--export-dir", "file/models"], "--export-dir"),
    ],
)
def test_wrong_input_is_answered_in_one_sentence_and_writes_nothing(words, message, capsys):
    Path("file").touch()
    assert message in refusal(*words, capsys=capsys)


def test_images_too_small_for_the_model_are_refused_with_flags_that_fit(capsys):
    images_of(size=20)
    assert "smaller than the model's 64x64; what fits: --base-size 5 --filters 32 16" in refusal(
        "--data", "images", capsys=capsys
    )


def test_a_diverging_run_stops_and_keeps_its_last_checkpoint(capsys, monkeypatch):
    config = dataclasses.replace(SMOKE, run="run", export_dir="models", epochs=3)

    def poison(self, epoch, logs=None):
        if epoch == 1:
            kernel = self.model.discriminator.trainable_variables[0]
            kernel.assign(np.full(kernel.shape, np.inf))

    monkeypatch.setattr("karpa_tf.training.callbacks.watch.DiscriminatorWatch.on_epoch_begin", poison)
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        train_gan.run(config)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert "At step 29" in error and "the last good checkpoint is run/checkpoints/step-00000028-epoch-00001" in error
    assert not Path("models/dcgan_smoke").exists()


def test_a_dry_run_writes_nothing(capsys):
    assert train_gan.run(dataclasses.replace(SMOKE, dry_run=True)) is None
    assert "Would write" in capsys.readouterr().out
    assert list(Path().iterdir()) == []


def weights_and_lines(folder):
    result = programs.run_program("apps.train_gan", "smoke", "--deterministic", "--run", folder, "--dropout", "0.3")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""  # none of TensorFlow's messages
    trainer = next(Path(folder, "checkpoints").glob("*/trainer.weights.h5"))
    import h5py

    arrays = {}
    with h5py.File(trainer) as file:
        file.visititems(lambda name, item: arrays.update({name: item[()]}) if hasattr(item, "shape") else None)
    return arrays


@pytest.mark.slow
def test_the_same_seed_gives_bit_identical_weights_without_messages_or_network():
    one, other = weights_and_lines("one"), weights_and_lines("other")
    assert len(one) > 20 and one.keys() == other.keys()
    for name, value in one.items():
        assert value.tobytes() == other[name].tobytes(), name


@pytest.mark.slow
def test_verbose_shows_tensorflows_messages():
    result = programs.run_program("apps.train_gan", "smoke", "--dry-run", "--verbose")
    assert result.returncode == 0 and "oneDNN" in result.stderr


@pytest.mark.parametrize("loss", losses.GAN_LOSSES)
def test_the_trainer_has_the_loss_of_the_flag(loss):
    trainer = make_trainer(config_of("smoke", "--loss", loss))
    assert tuple(trainer.gan_losses) == tuple(losses.GAN_LOSSES[loss])


def test_label_smoothing_with_another_loss_is_refused():
    with pytest.raises(UserError, match="--label-smoothing needs --loss non_saturating; received --loss hinge"):
        config_of("smoke", "--loss", "hinge", "--label-smoothing", "0.1")


def test_a_run_in_mixed_precision_is_exported_and_sampled_alike():
    run = train_gan.run(dataclasses.replace(SMOKE, precision="mixed_bfloat16", run="run", export_dir="models"))
    saved = tf.saved_model.load(run.metadata()["saved_model"]).signatures["serving_default"]
    drawn = sample_gan.run(sample_gan.Config(run="run", n=4, out="a.png"))
    np.testing.assert_array_equal(saved(seed=tf.range(4, dtype=tf.int64))["images"], drawn)


@pytest.fixture(scope="module")
def projection(tmp_path_factory):
    """The run of the smoke preset of a conditional GAN, with a distance after every epoch."""
    folder = tmp_path_factory.mktemp("projection")
    paths = ["--run", str(folder / "run"), "--export-dir", str(folder / "models")]
    flags = ["--evaluate-every", "2", "--evaluated-images", "100", "--epochs", "4", "--batch-size", "128"]
    flags += ["--filters", "4", "4", "--discriminator-filters", "4", "4", "--spectral-norm", "discriminator"]
    return train_gan.run(config_of("smoke_projection", *flags, *paths))


def test_a_conditional_run_draws_the_class_that_is_asked_for(projection):
    saved_model = projection.metadata()["saved_model"]
    rows = sample_gan.run(sample_gan.Config(run=str(projection.path), n=30, out="rows.png"))
    assert Image.open("rows.png").size == (3 * 48, 10 * 48) and len(rows) == 30  # a row for every class
    sevens = sample_gan.run(sample_gan.Config(saved_model=saved_model, n=3, label="7", out="sevens.png"))
    np.testing.assert_array_equal(sevens, rows[21:24])
    assert (Path(saved_model) / "assets.extra" / "labels.txt").read_text().split() == list("0123456789")
    assert Image.open(projection.samples / "epoch-00001.png").size == (8 * 48, 10 * 48)


def test_the_best_epoch_by_the_distance_is_used(projection):
    rows = [row for row in projection.read_metrics() if "frechet_distance" in row]
    assert [row["epoch"] for row in rows] == [2, 4]
    best = min(rows, key=lambda row: row["frechet_distance"])
    record = json.loads((projection.checkpoints / "best.json").read_text())
    assert (record["epoch"], record["frechet_distance"]) == (best["epoch"], pytest.approx(best["frechet_distance"]))
    weights = find_weights(projection)
    assert (weights.kind, weights.epoch) == ("best", best["epoch"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"label": "x"}, "--label x: the model has no such class"),
        ({"walk": 2}, "--walk needs 3 seeds or more"),
        ({"walk": 3, "interpolate": True}, "and no --interpolate"),
        ({"truncation": -1.0}, "--truncation must be at least 0"),
        ({"run": None, "server": "http://127.0.0.1:1", "truncation": 1.0}, "need --run or --saved-model"),
    ],
)
def test_sampling_refuses_wrong_flags_of_conditional_runs(changes, message, projection, capsys):
    flags = {"run": str(projection.path)} | changes
    assert message in programs.refusal(capsys, lambda: sample_gan.run(sample_gan.Config(**flags)))


def test_labels_are_refused_by_a_gan_without_classes(smoke, capsys):
    config = sample_gan.Config(run=str(smoke[0].path), label="7")
    assert "--label needs a conditional GAN" in programs.refusal(capsys, lambda: sample_gan.run(config))


def test_cut_noise_and_walks_are_drawn_alike_by_run_and_export(smoke):
    run, saved_model = smoke
    for changes in ({"truncation": 0.5}, {"walk": 4, "truncation": 1.0}):
        from_run = sample_gan.run(sample_gan.Config(run=str(run.path), n=8, **changes)).astype(int)
        from_export = sample_gan.run(sample_gan.Config(saved_model=str(saved_model), n=8, **changes)).astype(int)
        assert np.abs(from_run - from_export).max() <= 1
    plain = sample_gan.run(sample_gan.Config(run=str(run.path), n=64)).astype(float)
    cut = sample_gan.run(sample_gan.Config(run=str(run.path), n=64, truncation=0.1)).astype(float)
    assert cut.std(0).mean() < plain.std(0).mean()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--penalty", "gradient"], "--penalty gradient needs --critic-steps of at least 1"),
        (["--penalty-every", "4"], "--penalty-every needs --penalty r1; received --penalty none"),
        (["--critic-steps", "-1"], "--critic-steps must be at least 0"),
        (["--evaluated-images", "19"], "--evaluated-images must be at least 20; received 19"),
        (["--evaluate-every", "1", "--features", "inception"], "--features inception is too slow for training"),
        (["--evaluate-every", "1", "--features", "none"], "expected pixels, inception, or the run folder"),
        (["--critic-steps", "40"], "--batch-size 64 times 40 is larger than the training split: 1797 images"),
    ],
)
def test_settings_that_do_not_fit_are_refused(words, message, capsys):
    assert message in programs.refusal(capsys, lambda: train_gan.run(config_of("smoke", *words)))
    assert not Path("runs").exists()


def test_a_folder_without_classes_is_refused_for_a_conditional_gan(capsys):
    images_of(size=64, count=3)
    assert "--data images has no subfolders; expected one folder of images per class" in refusal(
        "projection_64", "--data", "images", capsys=capsys
    )


def write_classes(counts, size=16):
    """Writes a folder of images for each class, and returns nothing."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        Path("classes", name).mkdir(parents=True)
        for index in range(count):
            Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(f"classes/{name}/{index}.png")


TINY_CLASSES = ("smoke_projection", "--data", "classes", "--batch-size", "8", "--evaluated-images", "20")


def test_all_classes_of_sorted_folders_are_measured_and_empty_ones_are_named(capsys):
    write_classes({"a": 30, "b": 30, "c": 0})
    Path("classes/c/x.png").write_text("no image")
    config = config_of(*TINY_CLASSES, "--evaluate-every", "1")
    image_set = load_data(config)
    assert "The train split has no images of c." in capsys.readouterr().err
    distance = make_gan_callbacks(config, Run("run", writes=False), image_set)[1]
    noise, labels = distance.inputs
    assert noise.shape == (20, 8) and set(labels.tolist()) == {0, 1}
    np.testing.assert_array_equal(labels, image_set.sample(20).labels)  # those of the images that are compared


def test_a_run_without_classes_cannot_replace_a_conditional_one_and_says_so_before_training(projection, capsys):
    models = str(Path(projection.metadata()["saved_model"]).parents[1])
    words = ("smoke_projection", "--no-conditional", "--export-dir", models)
    assert "other classes" in refusal(*words, capsys=capsys)
    assert not Path("runs").exists()


def test_features_of_a_changed_classifier_are_refused_and_those_of_a_moved_one_are_not():
    old = {"fingerprint": "1", "count": 3, "features": {"fingerprint": "a"}}
    assert find_changed_data(old, old) == []
    assert find_changed_data(old, old | {"features": {"fingerprint": "b"}}) == ["features differs"]
    assert find_differences({"features": "here"}, {"features": "there"}) == []
    # A setting that did not exist yet had its default; within other settings too.
    new = {"epochs": 1, "new": 2, "model": {"size": 3, "newer": 4}}
    old = {"epochs": 1, "model": {"size": 3}}
    assert find_differences(old, new, {"epochs": 9, "new": 2, "model": {"size": 9, "newer": 4}}) == []
    assert find_differences(old, new, {"new": 1, "model": {"newer": 4}}) == ["new was 1, now 2"]
    assert find_differences(old, new) == ["model.newer was None, now 4", "new was None, now 2"]
