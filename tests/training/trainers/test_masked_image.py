"""The step of masked image modeling: its loss, one replica and two, and what it draws."""

import dataclasses

import keras
import numpy as np
import pytest
from tiny_masked_images import CONFIG, make_images, make_trainer

from karpa_tf.data.images.masked_batches import make_held_out_batches, make_masked_batches

RAW = dataclasses.replace(CONFIG, normalize_targets=False)


def cut(images, masked):
    """The masked patches by NumPy, (batch, patches, pixels)."""
    patches = [
        image[2 * (index // 4) : 2 * (index // 4) + 2, 2 * (index % 4) : 2 * (index % 4) + 2].ravel()
        for image, positions in zip(images, masked, strict=True)
        for index in positions
    ]
    return np.reshape(patches, (*masked.shape, -1))


@pytest.mark.parametrize("config", [CONFIG, RAW])
def test_the_loss_is_the_mean_squared_error_of_the_masked_pixels_without_padding(config):
    trainer, held_out = make_trainer(config), make_held_out_batches(make_images(19), config)
    errors = []
    for batch in held_out.as_numpy_iterator():
        drawn = trainer.network({name: batch[name] for name in ("images", "visible", "masked")}).numpy()
        targets = cut(batch["images"], batch["masked"])
        if config.normalize_targets:
            targets = (targets - targets.mean(-1, keepdims=True)) / np.sqrt(targets.var(-1, keepdims=True) + 1e-6)
        errors += np.square(drawn - targets)[batch["weights"] > 0].tolist()
    assert np.shape(errors) == (19, 12, 12)
    found = trainer.evaluate(held_out, verbose=0, return_dict=True)
    assert found == {"loss": pytest.approx(np.mean(errors), rel=1e-5)}


@pytest.mark.parametrize("parts", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_two_replicas_take_the_same_steps_as_one(parts, two_replicas):
    images = make_images()
    optimization = dataclasses.replace(CONFIG.optimization, global_clipnorm=1.0, ema=0.5)
    alone = make_trainer(dataclasses.replace(CONFIG, optimization=optimization))
    history = alone.fit(make_masked_batches(images, CONFIG), steps_per_epoch=3, epochs=2, verbose=0).history
    optimization = dataclasses.replace(optimization, gradient_accumulation_steps=parts)
    with two_replicas.scope():
        together = make_trainer(dataclasses.replace(CONFIG, optimization=optimization))
    both = together.fit(make_masked_batches(images, CONFIG), steps_per_epoch=3, epochs=2, verbose=0).history
    np.testing.assert_allclose(both["loss"], history["loss"], atol=1e-5)
    for model, other in ((alone.network, together.network), (alone.exported, together.exported)):
        for weight, same in zip(model.weights, other.weights, strict=True):
            np.testing.assert_allclose(weight, same, atol=1e-5, err_msg=weight.path)
    assert history["loss"][1] < history["loss"][0]


def test_it_draws_masked_patches_alone_and_with_the_colors_of_the_image():
    trainer = make_trainer()
    (batch,) = make_held_out_batches(make_images(8), CONFIG)
    hidden, drawn = (images.numpy() for images in trainer.reconstruct(batch))
    visible, masked = batch["visible"].numpy(), batch["masked"].numpy()
    for images in (hidden, drawn):
        np.testing.assert_array_equal(cut(images, visible), cut(batch["images"].numpy(), visible))
    assert not cut(hidden, masked).any()
    # The output is the patch's own where the network is right, and its mean where it draws 0.
    last = trainer.network.get_layer("decoder_pixels")
    last.set_weights([np.zeros_like(value) for value in last.get_weights()])
    means = cut(batch["images"].numpy(), masked).mean(-1, keepdims=True)
    np.testing.assert_allclose(cut(trainer.reconstruct(batch)[1].numpy(), masked), means + np.zeros(12), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_as_float32_does(policy):
    losses = []
    for name in ("float32", policy):
        keras.config.set_dtype_policy(name)
        trainer = make_trainer()
        losses.append(trainer.fit(make_masked_batches(make_images(), CONFIG), steps_per_epoch=6, verbose=0).history)
    assert losses[1]["loss"] == pytest.approx(losses[0]["loss"], rel=0.03)
