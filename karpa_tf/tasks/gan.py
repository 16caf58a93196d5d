"""GANs: making the trainer, and loading, describing and exporting a finished run."""

import keras
import tensorflow as tf

from karpa_tf.configs.gan import GANConfig
from karpa_tf.errors import UserError
from karpa_tf.export.generator import make_generator_export, make_generator_functions
from karpa_tf.export.versions import load_version
from karpa_tf.layers.batch_norm import synchronize_batch_norm
from karpa_tf.models import sampling
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.tasks.task import FinishedRun, Task, read_config
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.gan import GAN
from karpa_tf.training.weights import require_weights

NAME, APP, TITLE = "gan", "train_gan", "image generation"


def make_trainer(config, jit_compile=False):
    """Returns the compiled trainer of a `GANConfig`; call it in the scope of the strategy."""
    networks = [make_generator(config.model), make_discriminator(config.model)]
    if config.sync_batch_norm:
        networks = [synchronize_batch_norm(network) for network in networks]
    trainer = GAN(*networks, config.ema)
    trainer.compile(
        keras.optimizers.Adam(config.learning_rate, config.beta_1),
        keras.optimizers.Adam(config.discriminator_learning_rate or config.learning_rate, config.beta_1),
        jit_compile=jit_compile,
    )
    return trainer


def load(run, kind=None):
    """Returns the `FinishedRun` of a run; its model maps noise to images in [-1, 1]."""
    config = read_config(run, NAME, APP, GANConfig)
    weights = require_weights(run, kind)
    with policy_scope("float32"):
        generator = make_generator(config.model)
    generator.load_weights(weights.file)
    return FinishedRun(run, config, generator, weights)


def describe(finished):
    """Returns a line about the generator of a `FinishedRun`."""
    shape = "x".join(map(str, finished.model.output_shape[1:]))
    return f"generator of {shape} images, {finished.model.count_params():,} weights"


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    return make_generator_export(finished.model, task=TITLE)


def sample(run, saved_model, count, seed, interpolate=False):
    """Returns generated images, uint8 (count, height, width, channels).

    Args:
        run: path of a run folder, or None.
        saved_model: path of an exported generator, instead of a run.
        count: number of images.
        seed: seed of the first image; image i is that of seed + i.
        interpolate: interpolate from the image of the seed to that of seed + 1 instead.
    """
    if run:
        generator = load(Run(run)).model
        functions, latent_dim = make_generator_functions(generator), generator.input_shape[-1]
    else:
        functions = load_version(saved_model)
        if not {"serving_default", "noise"} <= set(functions):
            raise UserError(f"--saved-model {saved_model} is no generator; its signatures are {', '.join(functions)}.")
        latent_dim = functions["noise"].structured_input_signature[1]["noise"].shape[-1]
    if not interpolate:
        seeds = tf.range(seed, seed + count, dtype=tf.int64)
        return functions["serving_default"](seed=seeds)["images"].numpy()
    noise = sampling.interpolate_seeds(seed, latent_dim, count)
    return functions["noise"](noise=noise)["images"].numpy()


TASK = Task(
    name=NAME,
    app=APP,
    title=TITLE,
    bfloat16=True,
    evaluated_on="training images, with new noise",
    load=load,
    describe=describe,
    make_export=make_export,
    usage="python -m apps.sample_gan --saved-model {saved_model} -n 64 --seed 0 --out grid.png",
)
