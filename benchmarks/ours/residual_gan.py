"""karpa_tf's residual GANs, trained on uint8 images with alternating updates."""

import collections
import re

import tensorflow as tf

from benchmarks import shared_weights, synthetic
from benchmarks.keras_programs import configure_keras, make_fit_program
from karpa_tf.data.images.batches import NoiseBatches
from karpa_tf.layers.image_attention import ImageAttention
from karpa_tf.tasks.gan import make_trainer
from karpa_tf.training.trainers.gan import FRACTION


def make_program(folder, precision, config):
    """Returns the `Program` of the step of `AlternatingGAN`, on `NoiseBatches`.

    Args:
        folder: path, as for `shared_weights`; the shared batch is one of `NoiseBatches`.
        precision: "float32" or "bfloat16".
        config: a `ResidualGAN`, not conditional, with the penalty "none" or "gradient".
    """
    configure_keras(precision)
    trainer = make_trainer(config)
    images = synthetic.make_images(config.model.image_size, config.model.channels)
    batches = NoiseBatches(
        images,
        config.batch_size,
        config.model.latent_dim,
        critic_steps=config.critic_steps,
        uniforms=0 if config.penalty == "none" else FRACTION + 1,
    ).make(seed=0)
    networks = {"0": trainer.generator, "1": trainer.discriminator}
    variables = {
        f"{number}/{name}": variable
        for number, network in networks.items()
        for name, variable in name_variables(network).items()
    }
    batch = shared_weights.assign_weights(folder, variables, next(batches.as_numpy_iterator()))
    return make_fit_program(
        trainer,
        batches,
        _compute_loss(trainer, batch),
        trainer.generator.trainable_variables + trainer.discriminator.trainable_variables,
        images.nbytes,
    )


def name_variables(model):
    """Returns a dict of a model's variables by name, as `shared_weights.name_variables` does, with the layers of GANs.

    Layers with spectral normalization are of the kind of those without it. The convolutions within attention follow the
    others.
    """
    # Keras numbers the layers of a class in the order of their creation, not of their connection.
    layers = sorted(model.layers, key=lambda layer: int(re.search(r"\d*$", layer.name)[0] or 0))
    attentions = [layer for layer in layers if isinstance(layer, ImageAttention)]
    variables = {f"ImageAttention/{index}/gamma": attention.gamma for index, attention in enumerate(attentions)}
    layers = [layer for layer in layers if layer.weights and layer not in attentions]
    for attention in attentions:
        layers += [getattr(attention, f"{name}_convolution") for name in ("query", "key", "value", "output")]
    counts = collections.Counter()
    for layer in layers:
        kind = type(layer).__name__.removeprefix("Spectral")
        variables |= {f"{kind}/{counts[kind]}/{weight.name}": weight for weight in layer.weights}
        counts[kind] += 1
    return variables


def _compute_loss(trainer, batch):
    """Returns the loss of the discriminator, with its penalty, minus that of the generator, in inference mode, a float.

    In a sum the logits of generated images would cancel.
    """
    # In eager mode Keras would keep the outputs of all layers until the end, which would be the peak memory.
    values = tf.function(trainer.test_step)(batch)
    trainer.reset_metrics()
    penalty = trainer.penalty_weight * values.get("penalty", 0.0)
    return float(values["d_loss_real"] + values["d_loss_fake"] + penalty - values["g_loss"])
