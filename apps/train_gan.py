"""Trains a DCGAN on a set of images and exports its generator for TF Serving.

$ python -m apps.train_gan                      1,797 handwritten digits, no network needed
$ python -m apps.train_gan mnist --epochs 3     a data set of TensorFlow Datasets
$ python -m apps.train_gan --data ~/images      a folder of your own images, 64x64 in color
"""

import functools
import json

from karpa_tf import cli
from karpa_tf.configs.gan import PRESETS

CURVES = {
    "Losses": ("g_loss", "d_loss_real", "d_loss_fake"),
    "Sigmoid of the discriminator's output": ("D(x)", "D(G(z))"),
}


def run(config):
    """Trains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    import tensorflow as tf

    from karpa_tf import plots
    from karpa_tf.data.images.batches import make_noise_batches
    from karpa_tf.data.images.loaders import load_images
    from karpa_tf.models.sampling import noise_from_seeds
    from karpa_tf.tasks import gan
    from karpa_tf.training.callbacks.sample_grids import SampleGrids, diversity
    from karpa_tf.training.callbacks.watch import DiscriminatorWatch
    from karpa_tf.training.job import Job

    job = Job(gan.TASK, config)
    config, latent_dim = job.config, config.model.latent_dim
    image_set = load_images(config.data, config.image_format)
    print(image_set.summary())
    steps_per_epoch = job.count_steps(len(image_set.images), "images")

    with job.scope():
        trainer = gan.make_trainer(config, job.jit_compile)
    shape = "x".join(map(str, trainer.generator.output_shape[1:]))
    generator, discriminator = (f"{net.count_params():,}" for net in (trainer.generator, trainer.discriminator))
    print(f"{shape}: generator with {generator} weights, discriminator with {discriminator}")
    run = job.open_run(trainer, steps_per_epoch, image_set.metadata())
    if run is None:
        return None

    noise, real_diversity = (
        noise_from_seeds(tf.range(64, dtype=tf.int64), latent_dim),
        diversity(image_set.images[:1000]),
    )
    callbacks = [DiscriminatorWatch(), *([SampleGrids(run, noise, real_diversity)] if run.writes else [])]
    batches = functools.partial(make_noise_batches, image_set.images, config.batch_size, latent_dim)
    job.fit(functools.partial(batches, config.seed), callbacks)

    report = trainer.evaluate(batches(config.seed + 1), steps=min(steps_per_epoch, 50), verbose=0, return_dict=True)
    if run.writes:
        (run.eval / "report.json").write_text(json.dumps(report, indent=2) + "\n")
        grids, animation = sorted(run.samples.glob("epoch-*.png")), run.samples / "training.gif"
        plots.save_animation(animation, grids)
        print(f"Samples     {grids[-1]}\nAnimation   {animation}")
    return job.finish(CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__, implied="images"))


if __name__ == "__main__":
    main()
