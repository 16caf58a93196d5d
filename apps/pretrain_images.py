"""Pretrains a vision transformer on images without labels, by drawing masked parts of them, and exports it.

$ python -m apps.pretrain_images                      1,797 handwritten digits, no network needed
$ python -m apps.pretrain_images cifar10              a data set of TensorFlow Datasets
$ python -m apps.pretrain_images --data ~/images      a folder of your own images; if it has a folder per class, the
                                                      report says how well embeddings tell classes apart
$ python -m apps.train_classifier images_vit --init runs/pretrain_images/... --data ~/labeled       then fine-tune it
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.masked_image_presets import PRESETS

CURVES = {"Squared error of masked pixels": ("loss", "val_loss"), "Images per second": ("images_per_second",)}


def run(config):
    """Pretrains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf import plots
    from karpa_tf.data.images.augmentation import make_augmentation, separate_crops
    from karpa_tf.data.images.masked_batches import make_held_out_batches, make_masked_batches
    from karpa_tf.evaluation.reconstruction import summarize
    from karpa_tf.export.examples import save_images
    from karpa_tf.tasks import masked_image
    from karpa_tf.training.callbacks.reconstructions import MAX_IMAGES, Reconstructions
    from karpa_tf.training.job import Job

    job = Job(masked_image.TASK, config)
    config = job.config
    splits = masked_image.load_data(config)
    print(masked_image.summarize_data(splits))
    steps_per_epoch = job.count_steps(len(splits.train.images), "images")

    with job.scope():
        trainer = masked_image.make_trainer(config, steps_per_epoch, job.jit_compile)
    shape = config.input_shape
    print(
        f"{trainer.network.name} for {'x'.join(map(str, shape))}: {trainer.network.count_params():,} weights; "
        f"{config.num_masked} of {config.num_patches} patches are masked"
    )
    details = {"shape": list(shape), "dimensions": config.model.hidden_dim, "patch_size": config.model.patch_size}
    run = job.open_run(trainer, steps_per_epoch, masked_image.describe_data(splits), details=details)
    if run is None:
        return None
    shown = splits.validation or splits.train
    save_images(run, shown.images)
    held_out = make_held_out_batches(splits.validation, config) if splits.validation else None
    augmentation, crop_scale = separate_crops(config.augmentation, splits.train.images)
    augment = make_augmentation(augmentation, shape) if augmentation.is_active else None
    batches = functools.partial(make_masked_batches, splits.train, config, augment, crop_scale)
    drawn = next(iter(make_held_out_batches(shown.sample(MAX_IMAGES), config)))
    callbacks = [Reconstructions(run, drawn)] if run.writes else []
    job.fit(batches, callbacks, held_out)

    if run.writes:
        report = masked_image.save_report(masked_image.load(run), splits)
        grids, animation = sorted(run.samples.glob("epoch-*.png")), run.samples / "training.gif"
        plots.save_animation(animation, grids)
        print(*filter(None, [summarize(report), f"Samples     {grids[-1]}", f"Animation   {animation}"]), sep="\n")
    return job.finish(CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__, implied="images"))


if __name__ == "__main__":
    main()
