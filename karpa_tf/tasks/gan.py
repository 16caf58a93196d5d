"""GANs that have been trained: a run folder's generator."""

import keras

from karpa_tf.configs.gan import DCGANConfig
from karpa_tf.configs.run import from_dict
from karpa_tf.errors import UserError
from karpa_tf.export.generator import make_generator_export
from karpa_tf.models.dcgan import make_generator
from karpa_tf.training.run import Run
from karpa_tf.training.weights import find_weights


def load_generator(path, kind=None):
    """Returns the generator of a run of train_gan, noise to images in [-1, 1], and its `Weights`.

    It computes in float32 whatever it was trained in.

    Args:
        path: the run folder.
        kind: which weights, as for `find_weights`.
    """
    run = Run(path)
    config = run.read_config()
    if (app := run.metadata().get("app", "train_gan")) != "train_gan":
        raise UserError(f"--run {path} holds a run of {app}; expected one of train_gan.")
    weights = find_weights(run, kind)
    if weights is None:
        raise UserError(f"--run {path} has no checkpoint yet; one is written after every epoch at the latest.")
    keras.config.set_dtype_policy("float32")
    generator = make_generator(from_dict(DCGANConfig, config["model"]))
    weights.load(generator)
    return generator, weights


def make_export(run, kind=None):
    """Returns the `Export` of a `Run` of train_gan and its `Weights`; arguments as for `load_generator`."""
    generator, weights = load_generator(run.path, kind)
    return make_generator_export(generator), weights
