import contextlib
import csv
import dataclasses
import math
import time
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_classifier
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_gan import fit, make_dcgan_trainer

from karpa_tf.configs.run import RunConfig
from karpa_tf.data.images.batches import make_evaluation_batches, make_labeled_batches
from karpa_tf.data.pipeline import InputMeter
from karpa_tf.errors import UserError
from karpa_tf.training.callbacks import best_epoch
from karpa_tf.training.callbacks.best_epoch import BestEpoch
from karpa_tf.training.callbacks.input_watch import InputWatch
from karpa_tf.training.callbacks.metrics_log import MetricsLog
from karpa_tf.training.callbacks.perplexity import Perplexity
from karpa_tf.training.callbacks.progress import Progress
from karpa_tf.training.callbacks.sample_grids import SampleGrids, diversity
from karpa_tf.training.callbacks.watch import DiscriminatorWatch, StopIfNotFinite
from karpa_tf.training.callbacks.window_means import MetricWindows, WindowMeans
from karpa_tf.training.run import open_run
from karpa_tf.training.weights import find_weights


@pytest.fixture
def run(tmp_path):
    return open_run(RunConfig(run=str(tmp_path / "run")), "test")


def test_window_means_are_the_means_of_their_steps():
    values = np.random.default_rng(0).normal(size=(2, 10))  # two epochs of ten steps
    window = WindowMeans()
    for epoch in values:
        window.start_epoch()
        for start, end in ((0, 1), (1, 4), (4, 10)):
            means = window.close(end, {"loss": epoch[:end].mean()})
            np.testing.assert_allclose(means["loss"], epoch[start:end].mean(), rtol=1e-12)


def test_metric_windows_are_exact_for_unequal_weights_of_steps_and_replicas(two_replicas):
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(2, 10, 4)).astype("float32"), rng.integers(0, 5, (2, 10, 4)).astype("float32")
    with two_replicas.scope():
        metric = keras.metrics.Mean(name="loss")
    window = MetricWindows()
    for epoch, counts in zip(values, weights, strict=True):
        window.start_epoch()
        metric.reset_state()
        for start, end in ((0, 1), (1, 4), (4, 10)):
            data = tf.data.Dataset.from_tensor_slices((epoch[start:end].ravel(), counts[start:end].ravel())).batch(4)
            for batch in two_replicas.experimental_distribute_dataset(data):
                two_replicas.run(lambda values, weights: metric.update_state(values, weights), batch)
            expected = np.average(epoch[start:end], weights=counts[start:end])
            assert window.close([metric])["loss"] == pytest.approx(expected, abs=1e-5)


def read_events(directory):
    """Returns {tag: [(step, value or None)]} from all TensorBoard files in a folder."""
    events = {}
    for file in sorted(directory.iterdir()):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                number = tf.make_ndarray(value.tensor) if value.tensor.dtype == tf.float32.as_datatype_enum else None
                events.setdefault(value.tag, []).append((event.step, number))
    return events


def test_metrics_are_written_to_the_table_and_to_tensorboard(run, images):
    trainer = make_dcgan_trainer()
    history = fit(trainer, images, epochs=2, callbacks=[MetricsLog(run, units_per_step=8, every=2)])
    with open(run.metrics_file, newline="") as file:
        rows = list(csv.DictReader(file))
    names = ["g_loss", "d_loss_real", "d_loss_fake", "D(x)", "D(G(z))"]
    assert list(rows[0]) == ["step", "epoch", *names, "images_per_second"]
    assert [int(row["step"]) for row in rows] == [2, 4, 5, 6, 8, 10]  # 5 and 10 end an epoch
    assert [float(row["epoch"]) for row in rows] == [0.4, 0.8, 1.0, 1.2, 1.6, 2.0]
    for name in names:
        first_epoch = np.average([float(row[name]) for row in rows[:3]], weights=[2, 2, 1])
        np.testing.assert_allclose(first_epoch, history[name][0], rtol=1e-4)
    events = read_events(run.tensorboard)
    assert set(names) <= set(events)
    for name in names:
        assert [step for step, _ in events[name]] == [2, 4, 5, 6, 8, 10]
        np.testing.assert_allclose([v for _, v in events[name]], [float(row[name]) for row in rows], rtol=1e-4)


def test_rows_after_the_checkpoint_are_removed_on_resume(run, images):
    fit(make_dcgan_trainer(), images, epochs=2, callbacks=[MetricsLog(run, units_per_step=8, every=2)])
    before = run.metrics_file.read_text().splitlines()
    log = MetricsLog(run, 8, every=2, first_step=5)
    log.resume(None)
    fit(make_dcgan_trainer(), images, epochs=2, initial_epoch=1, callbacks=[log])
    after = run.metrics_file.read_text().splitlines()
    assert after[:4] == before[:4]
    assert [line.split(",")[0] for line in after] == ["step", "2", "4", "5", "6", "8", "10"]


def test_a_row_that_was_written_although_its_epoch_was_not_finished_is_removed_on_resume(run, images):
    fit(make_dcgan_trainer(), images, epochs=1, callbacks=[MetricsLog(run, units_per_step=8, every=2)])
    MetricsLog(run, 8, every=2, first_step=5).resume({"sums": {}, "last_row": {"step": 5}})
    assert [row["step"] for row in run.read_metrics()] == [2, 4]


def test_tensorboard_shows_every_step_once_after_a_resume(run, images):
    noise = np.zeros((4, 4), np.float32)

    def callbacks(first_step):
        log = MetricsLog(run, 8, every=2, first_step=first_step)
        log.resume(None)
        return [SampleGrids(run, [noise], real_diversity=0.0), log]

    fit(make_dcgan_trainer(), images, epochs=2, callbacks=callbacks(0))
    for file in run.tensorboard.iterdir():
        file.write_bytes(file.read_bytes() + b"no complete record")
    fit(make_dcgan_trainer(), images, epochs=3, initial_epoch=1, callbacks=callbacks(5))
    events = EventAccumulator(str(run.tensorboard), {"tensors": 0})
    events.Reload()
    steps = {tag: [event.step for event in events.Tensors(tag)] for tag in ("g_loss", "samples")}
    assert steps == {"g_loss": [2, 4, 5, 6, 8, 10, 12, 14, 15], "samples": [5, 10, 15]}


def test_grids_are_drawn_from_the_same_noise_at_every_epoch(run, images):
    noise = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    grids = SampleGrids(run, [noise], real_diversity=1.0)
    trainer = make_dcgan_trainer(ema=0.999999)
    trainer.ema = 0  # The exported generator does not change, so the grids are equal.
    fit(trainer, images, epochs=3, callbacks=[grids])
    files = sorted(run.samples.iterdir())
    assert [file.name for file in files] == ["epoch-00001.png", "epoch-00002.png", "epoch-00003.png"]
    assert files[0].read_bytes() == files[2].read_bytes()
    assert [step for step, _ in read_events(run.tensorboard)["samples"]] == [5, 10, 15]


def test_the_diversity_within_classes_is_that_of_images_of_the_same_label():
    images = np.array([[[[10]]], [[[20]]], [[[200]]], [[[200]]]], np.uint8)
    assert diversity(images) > 80
    assert diversity(images, np.array([0, 0, 1, 1])) == pytest.approx((5 + 0) / 2)


def test_a_collapsed_generator_is_reported_once(run, images, capsys):
    trainer = make_dcgan_trainer(ema=0)
    kernel = trainer.generator.layers[1].kernel
    kernel.assign(np.zeros(kernel.shape))  # The generator ignores its noise.
    noise = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    grids = SampleGrids(run, [noise], real_diversity=diversity(images), warn_after=10)
    trainer.compile(keras.optimizers.SGD(1e-20), keras.optimizers.SGD(1e-20))
    fit(trainer, images, epochs=4, callbacks=[grids])
    assert capsys.readouterr().err.count("collapsed to nearly one image after 10 steps") == 1


def test_samples_that_differ_are_not_reported(run, images, capsys):
    noise = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    fit(make_dcgan_trainer(), images, epochs=3, callbacks=[SampleGrids(run, [noise], real_diversity=0.1, warn_after=1)])
    assert "collapsed" not in capsys.readouterr().err


def run_steps(callback, values_of_steps, epoch_length):
    """Calls a callback as `fit` does: after every step with the means over the epoch so far."""
    for start in range(0, len(values_of_steps), epoch_length):
        callback.on_epoch_begin(0)
        epoch = np.array(values_of_steps[start : start + epoch_length])
        for step in range(len(epoch)):
            real, fake = epoch[: step + 1].mean(axis=0)
            callback.on_train_batch_end(step, {"D(x)": real, "D(G(z))": fake, "g_loss": 1.0})


@pytest.mark.parametrize("epoch_length", [7, 1000])
def test_a_discriminator_that_wins_is_reported_once(epoch_length, capsys):
    run_steps(DiscriminatorWatch(window=20), [(0.5, 0.5)] * 20 + [(0.99, 0.01)] * 100, epoch_length)
    assert capsys.readouterr().err.count("won for 20 steps (D(x) 0.990, D(G(z)) 0.010)") == 1


def test_a_discriminator_that_answers_the_same_to_all_images_is_reported_once(capsys):
    run_steps(DiscriminatorWatch(window=20), [(0.6, 0.4)] * 20 + [(0.502, 0.502)] * 100, 30)
    assert capsys.readouterr().err.count("all images the same answer for 20 steps (D(x) 0.502, D(G(z)) 0.502)") == 1


@pytest.mark.parametrize("step", [(0.99, 0.5), (0.5, 0.01), (0.9, 0.04), (0.5, 0.499)])
def test_a_discriminator_that_does_not_win_is_not_reported(step, capsys):
    run_steps(DiscriminatorWatch(window=20), [step] * 100, 30)
    assert capsys.readouterr().err == ""


def test_a_loss_that_is_not_finite_ends_the_run_at_that_step(images, tmp_path):
    trainer = make_dcgan_trainer()
    stop = StopIfNotFinite(lambda: tmp_path / "step-00000015", first_step=15)
    kernel = trainer.generator.trainable_variables[0]

    class Poison(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                kernel.assign(np.full(kernel.shape, np.nan))

    with pytest.raises(UserError, match="At step 18 .* is nan.*nothing exported.*step-00000015"):
        fit(trainer, images, callbacks=[Poison(), stop])


@pytest.mark.parametrize(("epochs", "lines"), [(1, 1), (3, 3), (100, 40)])
def test_a_log_file_has_a_line_per_epoch_but_not_too_many(epochs, lines, capsys):
    progress = Progress(32)
    progress.set_params({"epochs": epochs, "steps": 1})
    progress.set_model(make_dcgan_trainer())
    progress.on_train_begin()
    for epoch in range(epochs):
        progress.on_epoch_begin(epoch)
        progress.on_train_batch_end(0, {})
        progress.on_epoch_end(epoch, {"g_loss": 0.25, "D(x)": 0.5})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == lines
    assert printed[-1].startswith(f"epoch {epochs}/{epochs}") and printed[-1].endswith("g_loss 0.250  D(x) 0.500")


@pytest.fixture
def clock(monkeypatch):
    """The clock of the callbacks, a list of one number, which the test sets."""
    seconds = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: seconds[0])
    return seconds


def run_epoch(callback, clock, seconds_of_steps, validation_seconds=0.0):
    """Calls a callback for an epoch whose steps and validation take this long."""
    logs = {"g_loss": 0.25}
    callback.set_params({"epochs": 1, "steps": len(seconds_of_steps)})
    callback.set_model(make_dcgan_trainer())
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for step, seconds in enumerate(seconds_of_steps):
        clock[0] += seconds
        callback.on_train_batch_end(step, logs)
    clock[0] += validation_seconds
    callback.on_epoch_end(0, logs)


def test_a_line_shows_the_throughput(clock, capsys):
    run_epoch(Progress(100), clock, [0.5, 1.5, 2.0], validation_seconds=60)
    run_epoch(Progress(4096, "tokens"), clock, [0.5, 0.5])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["epoch 1/1  64.0 s  75 images/s  g_loss 0.250", "epoch 1/1  1.0 s  8,192 tokens/s  g_loss 0.250"]


def test_the_bar_shows_the_throughput_of_the_epoch_so_far(clock, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with Progress(100, first_step=0) as progress:
        run_epoch(progress, clock, [0.5, 1.5])
        (task,) = progress.bar.tasks
    assert task.fields["rate"] == "100 images/s"


def test_a_line_shows_the_fraction_of_time_spent_waiting_for_input(clock, capsys):
    watch = InputWatch(InputMeter())
    progress = Progress(100, watch=watch)
    for wait_seconds in (0.0, 0.5):
        for callback in (watch, progress):
            callback.on_epoch_begin(0)
        for batch in range(8):
            watch.on_train_batch_begin(batch)
            watch.meter.wait_seconds += wait_seconds
            clock[0] += 2
            watch.on_train_batch_end(batch)
            progress.set_params({"epochs": 1, "steps": 8})
            progress.set_model(make_trainer_without_metrics())
            progress.on_train_batch_end(batch, {})
        clock[0] += 60  # validation
        progress.on_epoch_end(0, {})
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "epoch 1/1  76.0 s  50 images/s, 0% waiting for input",
        "epoch 1/1  76.0 s  50 images/s, 25% waiting for input",
    ]


def make_trainer_without_metrics():
    return types.SimpleNamespace(metrics=[])


def test_waiting_is_not_shown_while_a_run_starts(clock):
    watch = InputWatch(InputMeter())
    for batch in range(4):
        watch.on_train_batch_begin(batch)
        clock[0] += 1
        watch.on_train_batch_end(batch)
        assert watch.epoch_fraction is None


def test_the_throughput_column_is_named_after_its_unit(run, clock):
    log = MetricsLog(run, units_per_step=4096, every=1, unit="tokens")
    run_epoch(log, clock, [0.5, 2.0], validation_seconds=60)
    log.on_train_end()
    assert [row["tokens_per_second"] for row in run.read_metrics()] == [8192, 2048]


def make_classifier_and_batches(images):
    trainer = tiny_classifier.make_trainer()
    return trainer, make_evaluation_batches(tiny_classifier.make_image_set(images[:11]), 8)


def test_validation_is_written_in_the_last_row_of_every_epoch(run, images):
    trainer, validation = make_classifier_and_batches(images)
    log = MetricsLog(run, 8, every=2, validation=("val_loss", "val_accuracy"))
    history = tiny_classifier.fit(trainer, images, epochs=2, validation_data=validation, callbacks=[log])
    rows = run.read_metrics()
    assert [row["step"] for row in rows if "val_loss" in row] == [5, 10]
    assert [row["val_loss"] for row in rows if "val_loss" in row] == pytest.approx(history["val_loss"], rel=1e-5)
    assert [row["step"] for row in rows] == [2, 4, 5, 6, 8, 10]
    assert read_events(run.tensorboard)["val_loss"][-1][0] == 10


@pytest.mark.parametrize(("wait_seconds", "fraction"), [(0.0, 0.0), (0.5, 0.25), (2.0, 1.0), (2.5, 1.0)])
def test_the_waiting_fraction_leaves_out_the_first_steps(wait_seconds, fraction, clock):
    watch = InputWatch(InputMeter())
    assert watch.fraction == 0
    for step in range(20):
        clock[0] += 7  # between steps, as for validation
        watch.on_train_batch_begin(step)
        watch.meter.wait_seconds += wait_seconds if step >= 4 else 60
        clock[0] += 2 if step >= 4 else 60
        watch.on_train_batch_end(step)
    assert watch.fraction == fraction


class SlowImages:
    """Images on a disk that takes 0.1 s for every read."""

    def __init__(self, images):
        self.images, self.shape, self.dtype = images, images.shape, images.dtype

    def __len__(self):
        return len(self.images)

    def __getitem__(self, indices):
        time.sleep(0.1)
        return self.images[indices]


class SlowStep(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.02)


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("bound_by", ["data", "steps"])
def test_a_run_reports_whether_it_is_input_bound(images, two_replicas, replicas, bound_by):
    with two_replicas.scope() if replicas == 2 else contextlib.nullcontext():
        trainer = tiny_classifier.make_trainer()
    data = tiny_classifier.make_image_set(images)
    if bound_by == "data":
        data = dataclasses.replace(data, images=SlowImages(images))
    watch = InputWatch(InputMeter())
    callbacks = [watch] if bound_by == "data" else [SlowStep(), watch]
    batches = make_labeled_batches(data, 8, seed=1, meter=watch.meter)
    trainer.fit(batches, epochs=3, steps_per_epoch=5, shuffle=False, verbose=0, callbacks=callbacks)
    assert watch.fraction > 0.7 if bound_by == "data" else watch.fraction < 0.1


def test_the_best_epoch_is_kept_on_disk_across_restarts(run, images):
    trainer = tiny_classifier.make_trainer()
    losses = [3.0, 2.0, 2.5, 2.2]

    def run_epochs(callback, epochs):
        callback.set_model(trainer)
        is_stopped = []
        for epoch in epochs:
            kernel = trainer.exported.trainable_variables[0]
            kernel.assign(np.full(kernel.shape, epoch))
            trainer.stop_training = False
            callback.on_epoch_end(epoch, {"val_loss": losses[epoch]})
            is_stopped.append(trainer.stop_training)
        return is_stopped

    assert run_epochs(BestEpoch(run, patience=2), range(3)) == [False, False, False]
    restarted = BestEpoch(run, patience=2)
    assert (restarted.best["epoch"], restarted.best["val_loss"]) == (2, 2.0)
    assert not restarted.is_over(3) and restarted.is_over(4)
    assert run_epochs(restarted, range(3, 4)) == [True]
    trainer.exported.load_weights(run.checkpoints / "best-epoch-00002.weights.h5")
    assert (trainer.exported.trainable_variables[0].numpy() == 1).all()


@pytest.mark.parametrize("killed_in", ["replace", "write_text"])
def test_a_kill_while_the_best_epoch_is_written_leaves_the_one_before(killed_in, run, monkeypatch):
    def save_epoch(callback, epoch, loss):
        callback.set_model(tiny_classifier.make_trainer())
        callback.on_epoch_end(epoch, {"val_loss": loss})

    def kill(*args):
        raise ZeroDivisionError

    save_epoch(BestEpoch(run), 0, 2.0)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(best_epoch, killed_in, kill)
        save_epoch(BestEpoch(run), 1, 1.0)
    assert (find_weights(run, "best").epoch, find_weights(run, "best").file.name) == (1, "best-epoch-00001.weights.h5")
    BestEpoch(run)
    assert [file.name for file in run.checkpoints.glob("*.h5")] == ["best-epoch-00001.weights.h5"]


def test_perplexity_is_the_exponential_of_the_validation_loss_and_finite():
    for loss, expected in ((2.0, math.exp(2)), (1e9, math.exp(700))):
        logs = {"val_loss": loss}
        Perplexity().on_epoch_end(0, logs)
        assert logs["val_perplexity"] == expected
