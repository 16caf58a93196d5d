"""GANs: making the trainer, and loading, describing and exporting a finished run."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from karpa_tf import losses
from karpa_tf.configs.gan import GANConfig
from karpa_tf.configs.image_format import ImageFormat
from karpa_tf.data.images.loaders import load_images
from karpa_tf.errors import UserError
from karpa_tf.evaluation import generated_images
from karpa_tf.evaluation.image_features import load_features
from karpa_tf.export.generator import make_generator_export, make_generator_functions
from karpa_tf.export.versions import load_version
from karpa_tf.layers.batch_norm import synchronize_batch_norm
from karpa_tf.models import sampling
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.system.console import track
from karpa_tf.system.text_files import make_folder
from karpa_tf.tasks import classifier
from karpa_tf.tasks.task import FinishedRun, Task, read_config
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.run import Run
from karpa_tf.training.trainers.gan import GAN
from karpa_tf.training.weights import require_weights

NAME, APP, TITLE = "gan", "train_gan", "image generation"

CHUNK = 512
"""Images that are generated at a time for their evaluation."""


def make_trainer(config, jit_compile=False):
    """Returns the compiled trainer of a `GANConfig`; call it in the scope of the strategy."""
    networks = [make_generator(config.model), make_discriminator(config.model)]
    if config.sync_batch_norm:
        networks = [synchronize_batch_norm(network) for network in networks]
    trainer = GAN(*networks, config.ema)
    trainer.compile(
        keras.optimizers.Adam(config.learning_rate, config.beta_1),
        keras.optimizers.Adam(config.discriminator_learning_rate or config.learning_rate, config.beta_1),
        losses.smooth_labels(config.label_smoothing) if config.label_smoothing else losses.GAN_LOSSES[config.loss],
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


def evaluate(config):
    """Writes `report.json` and `neighbors.png`, prints a table, and returns the content of the report.

    The generated images are compared with as many real ones. Beside them stand two baselines, with the same number of
    images against the same real ones: other real images, which is as good as it gets; and images from the normal
    distribution of the pixels of the real ones, see `draw_normal_images`.

    Args:
        config: flags of the program: run, real, fake, features, weights, n, seed, image_size, channels, out, cache_dir.

    Raises:
        UserError: images, features or weights are missing, or there are too few images.
    """
    features = load_features(config.features, config.weights, load_classifier)
    reals, fakes = _load_image_sets(config)
    count = min(len(fakes), len(reals.images) // 2)
    if count < generated_images.MIN_IMAGES:
        raise UserError(
            f"There are {len(fakes)} generated and {len(reals.images)} real images; expected at least "
            f"{generated_images.MIN_IMAGES} and {2 * generated_images.MIN_IMAGES}."
        )
    real = features.compute_cached(reals.images, reals.fingerprint, "Features of the real images", config.cache_dir)
    fake, probabilities = features.compute(fakes, "Features of the generated images")
    normal = generated_images.draw_normal_images(reals.images[: min(count, 2000)], count, config.seed)
    baselines = {
        "other real images": real[count : 2 * count],
        "normal distribution of pixels": features.compute(normal, "Features of the baseline")[0],
    }
    probabilities = None if probabilities is None else probabilities[:count]
    report = generated_images.measure(real[:count], fake[:count], probabilities) | {
        "data": reals.name,
        "features": features.name,
        "features_fingerprint": features.fingerprint,
        "seed": config.seed,
        "baselines": [{"name": name} | generated_images.measure(real[:count], x) for name, x in baselines.items()],
    }
    folder = make_folder(config.out or (Run(config.run).eval / "images" if config.run else Path("eval")), "--out")
    generated_images.save_report(folder, report)
    generated_images.save_neighbors(folder / "neighbors.png", fakes, reals.images, fake, real)
    print(f"{count:,} images of each kind against {count:,} of {reals.name}, by {features.name}:")
    print(generated_images.format_table([{"name": "generated images"} | report, *report["baselines"]]))
    print(f"Neighbors   {folder / 'neighbors.png'}\nEvaluation  {folder}")
    if config.run:
        TASK.save_page(Run(config.run))
    return report


def load_classifier(path):
    """Returns the network of a classifier's run, images in [-1, 1] to logits, and the file of its weights."""
    finished = classifier.load_network(Run(path), flag="--features")
    return finished.model, finished.weights.file


def _load_image_sets(config):
    """Returns an `ImageSet` of up to 2n real images in random order, and up to n generated ones, uint8 arrays."""
    if config.run:
        finished = load(Run(config.run))
        image_format, data = finished.config.image_format, config.real or finished.config.data
        seeds = np.arange(config.seed, config.seed + config.n)
        draw = make_generator_functions(finished.model)["serving_default"]
        starts = track(range(0, config.n, CHUNK), "Generated images")
        fakes = np.concatenate([draw(seed=seeds[start : start + CHUNK])["images"].numpy() for start in starts])
    else:
        size, channels, cache_dir = config.image_size, config.channels, config.cache_dir
        image_format, data = ImageFormat(size, channels, cache_dir=cache_dir, small_images="enlarge"), config.real
        fakes = np.asarray(_load_set("--fake", config.fake, image_format).images[: config.n])
    reals = _load_set("--real", data, image_format)
    print(reals.summary())
    return reals.select(np.random.default_rng(0).permutation(len(reals.images))[: 2 * config.n]), fakes


def _load_set(flag, data, image_format):
    try:
        return load_images(data, image_format)
    except UserError as error:
        raise UserError(str(error).replace("--data", flag, 1)) from error


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
