"""Export of a finished run."""

import dataclasses
import json
from pathlib import Path

import pytest
from tiny_gan import make_dcgan_trainer

from karpa_tf.configs.run import RunConfig
from karpa_tf.tasks import gan
from karpa_tf.training import checkpoints
from karpa_tf.training.run import open_run
from karpa_tf.training.weights import find_weights


@pytest.fixture
def run():
    run = open_run(RunConfig(run="run"), "train_gan")
    checkpoints.save(make_dcgan_trainer(), run, checkpoints.TrainingState(5), 5)
    return run


def publish(version, run_id, weights):
    extra = Path("models", str(version), "assets.extra")
    extra.mkdir(parents=True)
    (extra / "card.json").write_text(json.dumps({"run": {"id": run_id}, "weights": weights.metadata()}))


def test_a_version_that_the_run_did_not_come_to_note_is_found(run):
    assert gan.TASK.find_export(run, "models") is None
    publish(9, run.metadata()["id"], find_weights(run))
    publish(10, run.metadata()["id"], find_weights(run))
    assert gan.TASK.find_export(run, "models") == Path("models/10")
    publish(11, "another run", find_weights(run))
    assert gan.TASK.find_export(run, "models") is None


def test_a_version_of_other_weights_of_the_run_is_not_used(run):
    publish(1, run.metadata()["id"], dataclasses.replace(find_weights(run), step=4))
    assert gan.TASK.find_export(run, "models") is None
