"""What is saved and when, and how damage is handled."""

import dataclasses
import functools
import json
import os
import resource
import signal

import keras
import numpy as np
import pytest
import tiny_classifier
import tiny_variants
from tiny_gan import FULL_CONFIG, get_weights, make_dcgan_trainer

from karpa_tf.configs.run import RunConfig
from karpa_tf.data.images.batches import NoiseBatches, make_evaluation_batches, make_labeled_batches
from karpa_tf.errors import Stopped, UserError
from karpa_tf.training import checkpoints
from karpa_tf.training import run as runs
from karpa_tf.training.checkpoints import TrainingState
from karpa_tf.training.fit import Plan, fit
from karpa_tf.training.weights import find_weights

STEPS = 5
CONFIG = RunConfig(batch_size=8, epochs=4, save_minutes=0, log_every=2)


def run_of(name, **changes):
    return runs.open_run(dataclasses.replace(CONFIG, run=name, **changes), "test")


def train(trainer, run, images, callbacks=(), warn=pytest.fail, batches=None, **changes):
    """Resumes a `Run` of a GAN and trains it to its end."""
    state = checkpoints.restore_latest(trainer, run, warn)
    batches = functools.partial((batches or NoiseBatches(images, 8, 4)).make, 1)
    fit(trainer, batches, Plan(run, dataclasses.replace(CONFIG, **changes), state, STEPS), callbacks)
    return trainer


def classify(trainer, run, images, callbacks=()):
    """Resumes a `Run` of a classifier and trains it to its end."""
    data = tiny_classifier.make_image_set(images)
    state = checkpoints.restore_latest(trainer, run, pytest.fail)
    batches = functools.partial(make_labeled_batches, data, 8, 1, None)
    fit(trainer, batches, Plan(run, CONFIG, state, STEPS), callbacks, make_evaluation_batches(data, 8))
    return trainer


class Signal(keras.callbacks.Callback):
    """Sends this process a signal when a step, or a step of validation, of that number begins."""

    def __init__(self, number, train_step=None, test_step=None):
        super().__init__()
        self.number, self.train_step, self.test_step = number, train_step, test_step
        self.train_steps = self.test_steps = 0

    def on_train_batch_begin(self, batch, logs=None):
        self.train_steps += 1
        if self.train_steps == self.train_step:
            os.kill(os.getpid(), self.number)

    def on_test_batch_begin(self, batch, logs=None):
        self.test_steps += 1
        if self.test_steps == self.test_step:
            os.kill(os.getpid(), self.number)


def everything(trainer):
    """All numbers that the rest of a run depends on."""
    optimizers = [trainer.generator_optimizer, trainer.discriminator_optimizer]
    return get_weights(trainer) + [variable.numpy() for optimizer in optimizers for variable in optimizer.variables]


def rows_of(run):
    return [{key: value for key, value in row.items() if "per_second" not in key} for row in run.read_metrics()]


def assert_same_rows(one, other):
    assert [row.keys() for row in rows_of(one)] == [row.keys() for row in rows_of(other)]
    for first, second in zip(rows_of(one), rows_of(other), strict=True):
        np.testing.assert_allclose(list(first.values()), list(second.values()), atol=1e-5)


def names(run):
    return [path.name for path in checkpoints.list_checkpoints(run.checkpoints)]


@pytest.mark.parametrize(
    ("precision", "number"),
    [("float32", signal.SIGTERM), ("mixed_float16", signal.SIGUSR1), ("mixed_bfloat16", signal.SIGINT)],
)
def test_a_signal_saves_after_the_step_and_the_run_resumes_within_the_epoch(precision, number, images):
    keras.config.set_dtype_policy(precision)
    whole = train(make_dcgan_trainer(config=FULL_CONFIG), run_of("whole"), images)
    run = run_of("stopped")
    with pytest.raises(Stopped, match=rf"{number.name} after step 8\. Nothing is lost.*step-00000008"):
        train(make_dcgan_trainer(config=FULL_CONFIG), run, images, [Signal(number, 8)])
    assert names(run) == ["step-00000005-epoch-00001", "step-00000008"]
    resumed = train(make_dcgan_trainer(config=FULL_CONFIG, seed=99), run, images)
    assert int(resumed.generator_optimizer.iterations.numpy()) == 4 * STEPS
    for one, other in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert_same_rows(run_of("whole"), run)


@pytest.mark.parametrize("name", ["wgan_gp", "sagan", "ada"])
@pytest.mark.slow
def test_a_stopped_run_of_every_variant_resumes_within_the_epoch(name, images):
    batches, images = tiny_variants.make_batches(name, np.tile(images, (2, 1, 1, 1))), None
    whole = train(tiny_variants.make_trainer(name), run_of("whole"), images, batches=batches)
    run = run_of("stopped")
    with pytest.raises(Stopped, match="after step 8"):
        train(tiny_variants.make_trainer(name), run, images, [Signal(signal.SIGTERM, 8)], batches=batches)
    resumed = train(tiny_variants.make_trainer(name, seed=99), run, images, batches=batches)
    for one, other in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    assert_same_rows(run_of("whole"), run)


@pytest.mark.parametrize(
    ("when", "saved"),
    [({"train_step": 5}, "step-00000005"), ({"test_step": 2}, "step-00000005"), ({"test_step": 8}, "step-00000010")],
)
def test_a_run_stopped_before_or_during_validation_repeats_it(when, saved, images):
    whole = classify(tiny_classifier.make_trainer(), run_of("whole"), images)
    run = run_of("stopped")
    with pytest.raises(Stopped):
        classify(tiny_classifier.make_trainer(), run, images, [Signal(signal.SIGTERM, **when)])
    assert names(run)[-1] == saved
    resumed = classify(tiny_classifier.make_trainer(seed=99), run, images)
    tiny_classifier.assert_same_weights(whole, resumed)
    assert_same_rows(run_of("whole"), run)
    best = [json.loads((run_of(name).checkpoints / "best.json").read_text())["epoch"] for name in ("whole", "stopped")]
    assert best[0] == best[1]


def test_a_run_on_two_replicas_resumes_within_an_epoch(images, two_replicas):
    whole = classify(tiny_classifier.make_trainer(), run_of("whole"), images)
    run = run_of("stopped")
    with two_replicas.scope():
        first, second = tiny_classifier.make_trainer(), tiny_classifier.make_trainer(seed=99)
    with pytest.raises(Stopped):
        classify(first, run, images, [Signal(signal.SIGTERM, 8)])
    tiny_classifier.assert_same_weights(whole, classify(second, run, images))
    assert_same_rows(run_of("whole"), run)


def test_a_second_ctrl_c_ends_the_program_at_once(images):
    class Impatient(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    run = run_of("run")
    with pytest.raises(KeyboardInterrupt):
        train(make_dcgan_trainer(), run, images, [Impatient()])
    assert names(run) == []


def test_checkpoints_are_saved_by_steps_and_by_time_and_the_newest_are_kept(images):
    by_steps, by_clock = run_of("steps"), run_of("clock")
    train(make_dcgan_trainer(), by_steps, images, epochs=2, save_steps=2, keep_checkpoints=4)
    train(make_dcgan_trainer(), by_clock, images, epochs=1, save_minutes=1e-9, keep_checkpoints=99)
    assert names(by_steps) == [
        "step-00000005-epoch-00001",
        *(f"step-{i:08d}" for i in (6, 8)),
        "step-00000010-epoch-00002",
    ]
    assert names(by_clock) == [*(f"step-{i:08d}" for i in (1, 2, 3, 4)), "step-00000005-epoch-00001"]


def test_a_finished_run_is_not_changed(images):
    run = run_of("run")
    before = everything(train(make_dcgan_trainer(), run, images))
    after = everything(train(make_dcgan_trainer(seed=99), run, images, [Signal(signal.SIGTERM, train_step=1)]))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_exported_generator_is_saved_in_a_file_of_its_own(images):
    run = run_of("run")
    trainer, other = train(make_dcgan_trainer(), run, images), make_dcgan_trainer(seed=5)
    other.generator.load_weights(find_weights(run).file)
    for saved, loaded in zip(trainer.exported.weights, other.generator.weights, strict=True):
        np.testing.assert_array_equal(saved.numpy(), loaded.numpy())


def truncate(path):
    file = path / "trainer.weights.h5"
    file.write_bytes(file.read_bytes()[:-100])


def flip_a_bit(path):
    file = path / "random_states.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def remove_a_file(path):
    (path / "exported.weights.h5").unlink()


def replace_the_checksums(path):
    (path / "checksums.json").write_text("[]")


def replace_by_another_runs(path):
    other = run_of("other", seed=1)
    newest = checkpoints.save(make_dcgan_trainer(seed=7), other, TrainingState(20), STEPS)
    for file in newest.iterdir():
        (path / file.name).write_bytes(file.read_bytes())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "is damaged (trainer.weights.h5 has changed since it was written)"),
        (flip_a_bit, "is damaged (random_states.npz has changed since it was written)"),
        (remove_a_file, "is damaged (exported.weights.h5 is missing)"),
        (replace_the_checksums, "is damaged (checksums.json cannot be read)"),
        (replace_by_another_runs, "belongs to another run"),
    ],
)
def test_a_damaged_checkpoint_is_named_and_the_previous_one_is_used(damage, message, images):
    run, messages = run_of("run"), []
    whole = train(make_dcgan_trainer(), run, images)
    damage(checkpoints.latest(run))
    before = run.checkpoints / "step-00000015-epoch-00003"
    assert find_weights(run).file == before / "exported.weights.h5"
    resumed = train(make_dcgan_trainer(seed=99), run, images, warn=messages.append)
    assert len(messages) == 1 and f"run/checkpoints/step-00000020-epoch-00004 {message}" in messages[0]
    assert (
        names(run)[-1] == "step-00000020-epoch-00004" and checkpoints.find_damage(checkpoints.latest(run), run) is None
    )
    for one, other in zip(everything(whole), everything(resumed), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_damaged_weights_of_the_best_epoch_are_not_silently_replaced(images):
    run = run_of("run")
    classify(tiny_classifier.make_trainer(), run, images)
    assert find_weights(run).file.parent.name == "step-00000020-epoch-00004"
    run.config_file.write_text(run.config_file.read_text() + "early_stopping: 2\n")
    best = find_weights(run).file
    assert best.name == "best-epoch-00004.weights.h5"
    best.write_bytes(best.read_bytes()[:-10])
    with pytest.raises(
        UserError, match="best-epoch-00004.weights.h5 is damaged; remove .*best.json to use the weights of the newest"
    ):
        find_weights(run)


def test_a_run_whose_checkpoints_are_all_damaged_does_not_start_again_by_itself(images):
    run = run_of("run")
    train(make_dcgan_trainer(), run, images)
    for path in checkpoints.list_checkpoints(run.checkpoints):
        truncate(path)
    with pytest.raises(
        UserError, match="None of the 3 checkpoints in run/checkpoints can be used. With --resume never"
    ):
        checkpoints.restore_latest(make_dcgan_trainer(), run, lambda message: None)


def test_weights_that_are_not_finite_are_not_saved():
    run, trainer = run_of("run"), make_dcgan_trainer()
    checkpoints.save(trainer, run, TrainingState(5), STEPS)
    weight = trainer.generator.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(
        UserError, match="step 10 the weights of .* not finite.*last good checkpoint is .*step-00000005"
    ):
        checkpoints.save(trainer, run, TrainingState(10), STEPS)
    assert names(run) == ["step-00000005-epoch-00001"]


@pytest.mark.parametrize("room", [10, 30000])
def test_a_full_disk_is_reported_and_earlier_checkpoints_stay_intact(room):
    run, trainer = run_of("run"), make_dcgan_trainer()
    newest = checkpoints.save(trainer, run, TrainingState(5), STEPS)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(
            UserError, match=r"step 10 cannot be written .*step-00000005-epoch-00001 is intact.*Free some space"
        ):
            checkpoints.save(trainer, run, TrainingState(10), STEPS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in run.checkpoints.iterdir()] == [newest.name]
    assert checkpoints.find_damage(newest, run) is None


def test_without_any_checkpoint_a_run_starts_from_the_beginning():
    run, trainer = run_of("run"), make_dcgan_trainer()
    start = everything(trainer)
    assert checkpoints.restore_latest(trainer, run, pytest.fail) == TrainingState()
    for one, other in zip(everything(trainer), start, strict=True):
        np.testing.assert_array_equal(one, other)
    assert checkpoints.latest(run) is None and find_weights(run) is None
