"""Exports of every task, and an exported version with a complete card."""

import exported_models
import pytest

from karpa_tf.export.versions import write

SLOW = ("pair_classification", "text_regression", "token_classification", "text_embedding")
EXPORTS = [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in exported_models.EXPORTS]


@pytest.fixture(scope="module", params=EXPORTS)
def export(request):
    """The `Export` of every task, not written."""
    export = exported_models.EXPORTS[request.param]()
    assert export.task == request.param
    return export


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """Folder of an exported generator whose card has metadata of a run."""
    metadata = {
        "config": {"learning_rate": 0.5, "data_dir": None},
        "metrics": {"g_loss": 0.123456789},
        "measured": "Measured on something.",
        "data": {"name": "digits", "count": 1797, "skipped": 2},
        "seed": 7,
        "app": "train_gan",
        "run": {"name": "a_run", "id": "1f"},
        "weights": {"kind": "last", "description": "epoch 3, the newest"},
    }
    base = tmp_path_factory.mktemp("models") / "my_gan"
    return write(base, exported_models.make_tiny_generator(), metadata)
