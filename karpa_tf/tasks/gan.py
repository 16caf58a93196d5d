"""GANs: making the trainer, and loading, describing and exporting a finished run."""

import dataclasses
from pathlib import Path

import keras
import numpy as np

from karpa_tf import losses
from karpa_tf.configs.gan import DCGAN, FAMILIES
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.batches import NoiseBatches
from karpa_tf.data.images.loaders import load_images
from karpa_tf.data.images.splits import load_splits
from karpa_tf.distribution import cluster, collectives
from karpa_tf.errors import UserError
from karpa_tf.evaluation import generated_images
from karpa_tf.evaluation.image_features import INCEPTION, PIXELS, load_features
from karpa_tf.evaluation.sampling import draw_images
from karpa_tf.export import card, conditional_generator
from karpa_tf.export.generator import make_generator_export, make_generator_functions
from karpa_tf.export.versions import load_version
from karpa_tf.layers.batch_norm import synchronize_batch_norm
from karpa_tf.layers.differentiable_augmentation import AUGMENTATIONS
from karpa_tf.models import gans
from karpa_tf.system.console import warn
from karpa_tf.system.text_files import make_folder
from karpa_tf.tasks import classifier
from karpa_tf.tasks.task import FinishedRun, Task, read_config
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.alternating_gan import AlternatingGAN
from karpa_tf.training.trainers.gan import FRACTION, GAN
from karpa_tf.training.weights import find_weights, require_weights

NAME, APP, TITLE = "gan", "train_gan", "image generation"

SMALL_SET = 20_000
"""Number of images from which on `--augment auto` does not augment; only sets of 1,906 images were measured."""


def load_data(config):
    """Returns the `ImageSet` of a `GANConfig`, with labels if it is conditional."""
    if not config.conditional:
        return dataclasses.replace(load_images(config.data, config.image_format), labels=None, classes=())
    splits = load_splits(config.data, config.image_format, validation_fraction=0, test_fraction=0)
    for message in dataclasses.replace(splits, validation=None, test=None).warnings():
        warn(message)
    return splits.train


def resolve_augmentation(config, count):
    """Returns a `GANConfig` whose `augment` is not auto, for a number of images."""
    if config.augment != "auto":
        return config
    augment = "diffaugment" if count < SMALL_SET else "none"
    print(f"Augmentation {augment}, by the number of images; --augment selects another.")
    return dataclasses.replace(config, augment=augment)


def describe_data(image_set, measure=None):
    """Returns what `run.json` says about an `ImageSet` and the features of a `DistanceMeasure`, a dict."""
    features = {"features": {"fingerprint": measure.features.fingerprint}} if measure else {}
    return image_set.metadata() | {"classes": list(image_set.classes)} | features


def make_batches(config, image_set):
    """Returns the `NoiseBatches` of a `GANConfig`."""
    uses_uniforms = config.augment != "none" or config.penalty == "gradient"
    return NoiseBatches(
        image_set.images,
        config.batch_size,
        config.model.latent_dim,
        image_set.labels,
        config.critic_steps,
        FRACTION + 1 if uses_uniforms else 0,
    )


def make_trainer(config, num_classes=0, steps=1, jit_compile=False):
    """Returns the compiled trainer of a `GANConfig`; call it in the scope of the strategy.

    Args:
        config: a `GANConfig`.
        num_classes: number of classes if it is conditional, otherwise 0.
        steps: number of steps of the run, for the decay of the learning rates.
        jit_compile: whether to compile the step with XLA.
    """
    networks = [gans.make_generator(config.model, num_classes), gans.make_discriminator(config.model, num_classes)]
    if config.sync_batch_norm:
        networks = [synchronize_batch_norm(network) for network in networks]
    options = {"ema": config.ema, "augmentation": AUGMENTATIONS[config.augment]()}
    if config.critic_steps:
        penalty = {name: getattr(config, name) for name in ("penalty", "penalty_weight", "penalty_every")}
        trainer = AlternatingGAN(*networks, **options, **penalty)
    else:
        trainer = GAN(*networks, **options)
    trainer.compile(
        _make_optimizer(config, config.learning_rate, steps),
        _make_optimizer(
            config, config.discriminator_learning_rate or config.learning_rate, steps * max(config.critic_steps, 1)
        ),
        losses.smooth_labels(config.label_smoothing) if config.label_smoothing else losses.GAN_LOSSES[config.loss],
        jit_compile=jit_compile,
    )
    return trainer


def _make_optimizer(config, learning_rate, steps):
    if config.linear_decay:
        learning_rate = keras.optimizers.schedules.PolynomialDecay(learning_rate, steps, end_learning_rate=0.0)
    return keras.optimizers.Adam(learning_rate, config.beta_1, config.beta_2)


def make_measure(config, image_set):
    """Returns the `DistanceMeasure` for --evaluate-every, on the chief; otherwise None."""
    if not config.evaluate_every or not cluster.is_chief():
        return None
    if config.features == INCEPTION:
        raise UserError(f"--features {INCEPTION} is too slow for training; expected {PIXELS} or a classifier's run.")
    return generated_images.make_measure(load_features(config.features, None, load_classifier), image_set, config)


def restore_best(trainer, run):
    """Gives the exported generator of a trainer, on all replicas, the weights that the run's tools will use.

    Args:
        trainer: a `GAN` after its last step.
        run: a `Run`.
    """
    if run.writes:
        trainer.exported.load_weights(find_weights(run).file)
    collectives.broadcast_variables(trainer.exported.weights)


def load(run, kind=None):
    """Returns the `FinishedRun` of a run; its model maps noise, or [noise, labels], to images in [-1, 1]."""
    family = run.read_config().get("model", {}).get("family")
    config = read_config(run, NAME, APP, FAMILIES.get(family, DCGAN))
    classes = tuple(run.metadata()["data"]["classes"]) if config.conditional else ()
    weights = require_weights(run, kind)
    with policy_scope("float32"):
        generator = gans.make_generator(config.model, len(classes))
    weights.load(generator)
    return FinishedRun(run, config, generator, weights, classes)


def describe(finished):
    """Returns a line about the generator of a `FinishedRun`."""
    shape = "x".join(map(str, finished.model.output_shape[1:]))
    classes = f" of {len(finished.classes)} classes" if finished.classes else ""
    return f"generator of {shape} images{classes}, {finished.model.count_params():,} weights"


def make_export(finished):
    """Returns the `Export` of a `FinishedRun`."""
    if finished.classes:
        return conditional_generator.make_export(finished.model, finished.classes, task=TITLE)
    return make_generator_export(finished.model, task=TITLE)


def make_functions(finished):
    """Returns the functions of the signatures of a `FinishedRun`, by name."""
    return (conditional_generator.make_functions if finished.classes else make_generator_functions)(finished.model)


def sample(config):
    """Returns what `draw_images` does for the run or the exported generator of a `SamplingConfig` with `n`."""
    if config.run:
        finished = load(Run(config.run))
        return draw_images(make_functions(finished), finished.config.model.latent_dim, finished.classes, config)
    functions = load_version(config.saved_model)
    if not {"serving_default", "noise"} <= set(functions):
        raise UserError(
            f"--saved-model {config.saved_model} is no generator; its signatures are {', '.join(functions)}."
        )
    latent_dim = functions["noise"].structured_input_signature[1]["noise"].shape[-1]
    classes = card.read(functions.folder).get("details", {}).get("classes", ())
    return draw_images(functions, latent_dim, tuple(classes), config)


def evaluate(config):
    """Writes `report.json` and `neighbors.png`, prints a table, and returns the content of the report.

    Args:
        config: flags of the program: run, real, fake, features, weights, n, seed, image_size, channels, out, cache_dir.

    Raises:
        UserError: images, features or weights are missing, or there are too few images.
    """
    features = load_features(config.features, config.weights, load_classifier)
    reals, fakes, asked = _load_image_sets(config)
    report, neighbors = generated_images.compare(reals, fakes, features, config, asked)
    folder = make_folder(config.out or (Run(config.run).eval / "images" if config.run else Path("eval")), "--out")
    generated_images.save_report(folder, report)
    generated_images.save_neighbors(folder / "neighbors.png", fakes, reals.images, neighbors)
    generated_images.print_report(report)
    print(f"Neighbors   {folder / 'neighbors.png'}\nEvaluation  {folder}")
    if config.run:
        TASK.save_page(Run(config.run))
    return report


def load_classifier(path):
    """Returns the network of a classifier's run, images in [-1, 1] to logits, the file of its weights, and classes."""
    finished = classifier.load_network(Run(path), flag="--features")
    return finished.model, finished.weights.file, finished.classes


def _load_image_sets(config):
    """Returns what is compared.

    Returns:
        An `ImageSet` of up to 2n real images in random order; up to n generated ones, uint8; and the names of the
        classes that were asked for, one for each generated image, or None.
    """
    asked = own = None
    if config.run:
        finished = load(Run(config.run))
        image_format = finished.config.image_format
        own = None if config.real else load_data(finished.config)
        labels = np.arange(config.n) % len(finished.classes) if finished.classes else None
        if finished.classes and own:
            labels = np.resize(own.sample(config.n).labels, config.n)
        fakes = generated_images.draw(make_functions(finished), config.n, config.seed, labels)
        asked = None if labels is None else [finished.classes[label] for label in labels]
    else:
        size, channels, cache_dir = config.image_size, config.channels, config.cache_dir
        image_format = ImageFormat(size, channels, cache_dir=cache_dir, small_images="enlarge")
        fakes = np.asarray(generated_images.load_set("--fake", config.fake, image_format).images[: config.n])
    reals = own or generated_images.load_set("--real", config.real, image_format)
    print(reals.summary())
    return reals.sample(2 * config.n), fakes, asked


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
