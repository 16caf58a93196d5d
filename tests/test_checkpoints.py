import keras
import numpy as np
import pytest
from test_gan import WITH_EVERYTHING, dcgan_trainer, fit, weights_of

from karpa_tf import checkpoints
from karpa_tf.configs.errors import UserError


def everything(trainer):
    """All numbers that decide how a run goes on."""
    optimizers = [trainer.generator_optimizer, trainer.discriminator_optimizer]
    return weights_of(trainer) + [variable.numpy() for optimizer in optimizers for variable in optimizer.variables]


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(precision, pictures, tmp_path):
    keras.config.set_dtype_policy(precision)
    whole = dcgan_trainer(config=WITH_EVERYTHING)
    fit(whole, pictures, epochs=4)

    first = dcgan_trainer(config=WITH_EVERYTHING)
    fit(first, pictures, epochs=2, callbacks=[checkpoints.Checkpoint(tmp_path, 5)])
    second = dcgan_trainer(config=WITH_EVERYTHING, seed=99)
    state = checkpoints.restore(second, checkpoints.latest(tmp_path))
    assert state == {"epoch": 2, "step": 10}
    fit(second, pictures, epochs=4, initial_epoch=state["epoch"], first_step=state["step"])

    assert int(second.generator_optimizer.iterations.numpy()) == 20
    for one, other in zip(everything(whole), everything(second), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_the_exported_generator_is_saved_for_those_who_only_draw(pictures, tmp_path):
    trainer = dcgan_trainer()
    fit(trainer, pictures, epochs=1, callbacks=[checkpoints.Checkpoint(tmp_path, 5)])
    other = dcgan_trainer(seed=5)
    other.generator.load_weights(checkpoints.latest(tmp_path) / "exported.weights.h5")
    for saved, loaded in zip(trainer.exported.weights, other.generator.weights, strict=True):
        np.testing.assert_array_equal(saved.numpy(), loaded.numpy())


def test_the_newest_few_are_kept(pictures, tmp_path):
    fit(dcgan_trainer(), pictures, epochs=4, callbacks=[checkpoints.Checkpoint(tmp_path, 5, keep=2)])
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["epoch-00003", "epoch-00004"]


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    trainer = dcgan_trainer()
    checkpoints.save(trainer, tmp_path / "epoch-00001", {"epoch": 1, "step": 5})
    weight = trainer.generator.trainable_variables[0]
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(UserError, match="step 10 the weights of .* not finite.*last good checkpoint is .*epoch-00001"):
        checkpoints.save(trainer, tmp_path / "epoch-00002", {"epoch": 2, "step": 10})
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-00001"]


def test_the_newest_is_restored_and_without_any_the_run_is_at_its_start(pictures, tmp_path):
    trainer = dcgan_trainer()
    start = everything(trainer)
    assert checkpoints.restore_latest(trainer, tmp_path) == {"epoch": 0, "step": 0}
    for one, other in zip(everything(trainer), start, strict=True):
        np.testing.assert_array_equal(one, other)
    fit(trainer, pictures, epochs=3, callbacks=[checkpoints.Checkpoint(tmp_path, 5)])
    again = dcgan_trainer(seed=99)
    assert checkpoints.restore_latest(again, tmp_path) == {"epoch": 3, "step": 15}
    for one, other in zip(everything(trainer), everything(again), strict=True):
        np.testing.assert_array_equal(one, other)


def test_there_is_no_latest_without_any(tmp_path):
    assert checkpoints.latest(tmp_path) is None
    assert checkpoints.latest(tmp_path / "missing") is None
