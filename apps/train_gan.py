"""Trains a GAN on a set of images and exports its generator for TF Serving.

$ python -m apps.train_gan                      1,797 handwritten digits, no network needed
$ python -m apps.train_gan mnist --epochs 3     a data set of TensorFlow Datasets
$ python -m apps.train_gan --data ~/images      a folder of your own images, 64x64 in color
$ python -m apps.train_gan projection_64 --data ~/images       one folder per class; a class can then be asked for
"""

import functools
import json

from karpa_tf import cli
from karpa_tf.configs.gan_presets import PRESETS

CURVES = {
    "Losses": ("g_loss", "d_loss_real", "d_loss_fake"),
    "Sigmoid of the discriminator's output": ("D(x)", "D(G(z))"),
    "Penalty on the gradient": ("penalty",),
    "Probability of augmentation": ("augment_probability",),
    "Frechet distance": ("frechet_distance",),
}


def run(config):
    """Trains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf import plots
    from karpa_tf.tasks import gan
    from karpa_tf.training.callbacks.gan import make_gan_callbacks
    from karpa_tf.training.job import Job

    job = Job(gan.TASK, config)
    config = job.config
    image_set = gan.load_data(config)
    print(image_set.summary())
    config = job.config = gan.resolve_augmentation(config, len(image_set.images))
    measure = gan.make_measure(config, image_set)
    steps_per_epoch = job.count_steps(len(image_set.images), "images", config.images_per_step)

    with job.scope():
        classes, steps = image_set.classes, config.epochs * steps_per_epoch
        trainer = gan.make_trainer(config, len(classes), steps, job.jit_compile)
    details = {"latent_dim": config.model.latent_dim, "shape": list(trainer.generator.output_shape[1:])}
    generator, discriminator = (f"{net.count_params():,}" for net in (trainer.generator, trainer.discriminator))
    shape = "x".join(map(str, details["shape"]))
    print(f"{shape}: generator with {generator} weights, discriminator with {discriminator}")
    run = job.open_run(trainer, steps_per_epoch, gan.describe_data(image_set, measure), details=details)
    if run is None:
        return None

    batches = gan.make_batches(config, image_set)
    callbacks = make_gan_callbacks(config, run, image_set, measure)
    job.fit(functools.partial(batches.make, config.seed), callbacks, units_per_step=config.images_per_step)

    gan.restore_best(trainer, run)
    held_out = batches.make(config.seed + 1)
    report = trainer.evaluate(held_out, steps=min(steps_per_epoch, 50), verbose=0, return_dict=True)
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
