"""Which weights of a run are used, for every trainer, and the errors of runs that lack them."""

import dataclasses
import json

import numpy as np
import pytest
import tiny_classifier
import tiny_masked_lm
from tiny_gan import make_dcgan_trainer

from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.run import RunConfig
from karpa_tf.errors import UserError
from karpa_tf.models.bert import make_masked_lm, make_pretraining
from karpa_tf.system.files import digest
from karpa_tf.tasks.task import FinishedRun, Task
from karpa_tf.training import checkpoints
from karpa_tf.training import run as runs
from karpa_tf.training.trainers.masked_lm import MaskedLM, Pretraining
from karpa_tf.training.trainers.updates import make_moving_average
from karpa_tf.training.weights import find_weights, require_weights


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    """Of a program that keeps moving averages."""

    ema: float = 0.9
    early_stopping: int = 0


def run_of(**changes):
    return runs.open_run(Config(run="run", **changes), "test")


def saved(trainer, step=7, per_epoch=5):
    """Returns a run with one checkpoint of a trainer whose weights are all different."""
    run = run_of()
    for seed, weight in enumerate(trainer.weights):
        weight.assign(np.random.default_rng(seed).normal(size=weight.shape))
    checkpoints.save(trainer, run, checkpoints.TrainingState(step), per_epoch)
    return run


TRAINERS = {
    "gan": lambda: make_dcgan_trainer(),
    "classifier": lambda: tiny_classifier.make_trainer(OptimizerConfig(ema=0.9)),
    "masked_lm": lambda: tiny_masked_lm.make_trainer(MaskedLM, make_masked_lm, ema=0.9),
    "pretraining": lambda: tiny_masked_lm.make_trainer(Pretraining, make_pretraining, ema=0.9),
}


@pytest.mark.parametrize("kind", TRAINERS)
def test_the_trained_weights_and_their_average_are_in_different_files(kind):
    trainer = TRAINERS[kind]()
    run = saved(trainer)
    trained = trainer.generator if kind == "gan" else trainer.network
    assert trained is not trainer.exported
    model = make_moving_average(trained)
    for which, expected in (("last", trained), ("ema", trainer.exported), (None, trainer.exported)):
        weights = find_weights(run, which)
        model.load_weights(weights.file)
        for ours, theirs in zip(model.weights, expected.weights, strict=True):
            np.testing.assert_array_equal(ours, theirs, err_msg=f"{which} {ours.path}")
        assert weights.averaged == (which != "last")


def test_weights_say_when_they_were_saved():
    weights = find_weights(saved(make_dcgan_trainer()), "last")
    assert (weights.kind, weights.step, weights.epoch) == ("last", 7, None)
    assert str(weights) == "step 7, the newest"
    checkpoints.save(make_dcgan_trainer(), run_of(), checkpoints.TrainingState(10), 5)
    weights = find_weights(run_of())
    assert (weights.kind, weights.step, weights.epoch) == ("ema", 10, 2)
    assert str(weights) == "epoch 2, the newest, as a moving average"


TASK = Task("x", "train_x", "tests", False, "new examples", load=None, describe=lambda _: "tiny", make_export=None)


def metadata(run, weights):
    return TASK.metadata(FinishedRun(run, None, None, weights))


def keep_best(trainer, run):
    weights = run.checkpoints / "best.weights.h5"
    trainer.exported.save_weights(weights)
    (run.checkpoints / "best.json").write_text(json.dumps({"epoch": 3, "val_loss": 0.5, "sha256": digest(weights)}))


def test_the_best_epoch_is_used_on_request_or_with_early_stopping():
    trainer = make_dcgan_trainer()
    run = saved(trainer)
    with pytest.raises(UserError, match="--best: run has no best epoch"):
        find_weights(run, "best")
    keep_best(trainer, run)
    assert find_weights(run).kind == "ema"
    assert find_weights(run, "best").file.name == "best.weights.h5"
    run.config_file.write_text(run.config_file.read_text().replace("early_stopping: 0", "early_stopping: 2"))
    assert str(find_weights(run)) == "epoch 3, the best, as a moving average"
    assert find_weights(run, "last").file.name == "network.weights.h5"


def test_weights_of_other_networks_are_an_error():
    trainer = make_dcgan_trainer()
    weights = find_weights(saved(trainer))
    other = tiny_classifier.make_trainer(OptimizerConfig()).network
    with pytest.raises(UserError, match=r"does not have the weights of \w+; was it written by another version"):
        weights.load(other)
    weights.load(trainer.generator)


def test_a_run_without_averages_or_checkpoints_says_so():
    run = run_of(ema=0)
    with pytest.raises(UserError, match="--ema: run keeps no moving average"):
        find_weights(run, "ema")
    assert find_weights(run) is None and find_weights(run, "last") is None
    checkpoints.save(make_dcgan_trainer(), run, checkpoints.TrainingState(5), 5)
    assert find_weights(run, "last") == find_weights(run)
    assert find_weights(run).file.name == "exported.weights.h5" and not find_weights(run).averaged


def test_a_damaged_newest_checkpoint_is_named_with_what_is_used_instead(capsys):
    run = saved(make_dcgan_trainer())
    checkpoints.save(make_dcgan_trainer(), run, checkpoints.TrainingState(10), 5)
    require_weights(run)
    assert capsys.readouterr().err == ""
    (checkpoints.latest(run) / "exported.weights.h5").unlink()
    assert require_weights(run).step == 7
    newest = "run/checkpoints/step-00000010-epoch-00002, is damaged (exported.weights.h5 is missing)"
    assert capsys.readouterr().err == f"warning: The newest checkpoint, {newest}; that of step 7 is used instead.\n"
    (run.checkpoints / "step-00000007" / "checksums.json").unlink()
    with pytest.raises(
        UserError, match="--run run has no intact checkpoint: the newest of 2, run/checkpoints/step-0000"
    ):
        require_weights(run)


def test_metadata_has_the_metrics_of_the_weights_or_none():
    trainer = make_dcgan_trainer()
    run = saved(trainer)
    keep_best(trainer, run)
    report = run.eval / "report.json"
    report.write_text(json.dumps({"accuracy": 0.5, "classes": {"a": {"f1": 1.0}}}))
    assert metadata(run, find_weights(run))["metrics"] == {"accuracy": 0.5}
    assert metadata(run, find_weights(run, "last"))["metrics"] == {}
    assert metadata(run, find_weights(run, "best"))["metrics"] == {"val_loss": 0.5}
    assert "after epoch 3" in metadata(run, find_weights(run, "best"))["measured"]
    checkpoints.save(trainer, run, checkpoints.TrainingState(10), 5)  # since the report was made
    assert metadata(run, find_weights(run))["metrics"] == {}


def test_metadata_names_the_run_but_no_skipped_files():
    run = saved(make_dcgan_trainer())
    run.update_metadata(
        app="train_gan", data={"name": "images", "splits": {"train": {"skipped": ["private.jpg: broken"]}}}
    )
    values = metadata(run, find_weights(run))
    assert values["app"] == "train_gan" and values["run"]["id"] == run.metadata()["id"] and values["seed"] == 0
    assert values["data"] == {"name": "images", "splits": {"train": {"skipped": 1}}}
    assert values["config"]["ema"] == 0.9 and values["weights"]["step"] == 7
    assert "private" not in json.dumps(values)
