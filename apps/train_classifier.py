"""Trains an image classifier, evaluates it in full and exports it for TF Serving.

$ python -m apps.train_classifier                      1,797 handwritten digits, no network
$ python -m apps.train_classifier mnist                a set of TensorFlow Datasets
$ python -m apps.train_classifier --data ~/images    your own: one folder per class, or train/<class>/...
"""

import functools
from pathlib import Path

from karpa_tf import cli
from karpa_tf.configs.classifier_presets import PRESETS
from karpa_tf.errors import UserError

CURVES = {
    "Loss (nats)": ("loss", "val_loss"),
    "Accuracy": ("accuracy", "val_accuracy"),
    "Images per second": ("images_per_second",),
}


def run(config):
    """Trains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    import numpy as np

    from karpa_tf import plots
    from karpa_tf.configs.image_format import ImageFormat
    from karpa_tf.data.images.augmentation import make_augmentation
    from karpa_tf.data.images.batches import evaluation_batches, labeled_batches
    from karpa_tf.data.images.splits import load_splits
    from karpa_tf.distribution import collectives as workers
    from karpa_tf.distribution import strategy
    from karpa_tf.evaluation.classification import save_image_report, scores
    from karpa_tf.export import examples
    from karpa_tf.layers.batch_norm import synchronize_batch_norm
    from karpa_tf.models import classifiers
    from karpa_tf.system import files
    from karpa_tf.system.console import warn
    from karpa_tf.tasks import classifier as classifier_runs
    from karpa_tf.tasks import run_export as run_exports
    from karpa_tf.training import checkpoints, optimizers, precision
    from karpa_tf.training import fit as fitting
    from karpa_tf.training import run as runs
    from karpa_tf.training.callbacks.unfreeze import Unfreeze
    from karpa_tf.training.trainers.classifier import Classifier

    # Data
    config = classifier_runs.resolve_init(config)
    strategy.seed_everything(config)
    devices = strategy.make_strategy(config.strategy)
    config = precision.resolve_precision(config, "train_classifier")
    strategy.require_divisible(config.batch_size, devices, config.optimization.gradient_accumulation_steps)
    image_format = ImageFormat(
        image_size=config.image_size,
        channels=config.channels,
        data_dir=config.data_dir,
        cache_dir=config.cache_dir,
        small_images=config.small_images,
        advice="--image-size {} or --small-images enlarge".format,
    )
    validation_fraction = config.validation_fraction if config.validate_on == "validation" else 0
    splits = load_splits(config.data, image_format, validation_fraction, config.test_fraction)
    if len(set(splits.train.labels.tolist())) < 2:
        only = splits.classes[splits.train.labels[0]]
        raise UserError(f"--data {config.data} has images of one class only ({only}); expected two.")
    print(splits.summary())
    for sentence in splits.warnings():
        warn(sentence)
    steps_per_epoch = len(splits.train.images) // config.batch_size
    if not steps_per_epoch:
        raise UserError(
            f"--batch-size {config.batch_size} is larger than the training part: {len(splits.train.images)} images."
        )
    steps = config.epochs * steps_per_epoch
    watched = None if config.validate_on == "none" else splits.as_dict().get(config.validate_on)
    if config.early_stopping and watched is None:
        raise UserError("--early-stopping needs a validation part; raise --validation-fraction.")

    # Model
    shape = (config.image_size, config.image_size, config.channels)
    with devices.scope():
        model = classifiers.make_classifier(config.model, shape, len(splits.classes))
        if config.sync_batch_norm:
            model = synchronize_batch_norm(model)
        if config.transfer.init:
            classifier_runs.load_init_weights(model, config)
        else:
            classifiers.initialize_from_images(model, config.model, splits.train.images)
        if config.transfer.freeze == "features":
            classifiers.freeze_batch_norm(model)
        weights = splits.class_weights() if config.class_weights == "balanced" else None
        trainer = Classifier(model, config.label_smoothing, weights, config.optimization.ema)
        trainer.compile(
            optimizers.make_optimizer_groups(
                config.optimization,
                config.learning_rate,
                optimizers.make_parameter_groups(classifiers.split_by_depth(model), config.transfer, steps_per_epoch),
                steps,
                steps_per_epoch,
                scale_loss=config.precision == "mixed_float16",
            ),
            config.optimization.global_clipnorm,
            config.optimization.gradient_accumulation_steps,
            jit_compile=strategy.jit_compile(config.jit, devices),
        )
    counts = [sum(int(np.prod(v.shape)) for v in some) for some in (model.weights, trainer.active_variables)]
    print(f"{model.name} for {'x'.join(map(str, shape))}: {counts[0]:,} weights, of which {counts[1]:,} learn")
    print(
        f"{config.epochs} epochs of {steps_per_epoch} steps of {config.batch_size} on {strategy.describe_devices(devices)}"
    )
    files.require_writable(config.export_dir, "--export-dir")
    if config.dry_run:
        print(f"Would write {runs.planned_folder(config, 'train_classifier')}, {Path(config.export_dir, config.name)}")
        return None

    # Fit
    run = runs.open_run(config, "train_classifier")
    run.update_metadata(data=splits.metadata(), device=strategy.describe_devices(devices))
    examples.save_images(run, (splits.test or splits.validation or splits.train).images)
    state = checkpoints.restore_latest(trainer, run, warn)
    runs.print_resume_command(run, "train_classifier", state.step, steps_per_epoch)
    augment = make_augmentation(config.augmentation, shape) if config.augmentation.is_active else None
    fitting.fit(
        trainer,
        functools.partial(labeled_batches, splits.train, config.batch_size, config.seed, augment),
        run,
        config,
        state,
        steps_per_epoch,
        [Unfreeze(steps_per_epoch)],
        evaluation_batches(watched, config.batch_size) if watched else None,
        config.early_stopping,
    )
    if not run.writes:
        workers.barrier()
        return run

    # Evaluate
    plots.save_curves(run.curves_file, run.read_metrics(), CURVES)
    best, *_ = classifier_runs.load_classifier(run)
    name = next((name for name in ("test", "validation") if name in splits.as_dict()), None)
    if name:
        part = splits.as_dict()[name]
        report = save_image_report(run.eval, part, scores(best, part.images))
        print(f"{name.capitalize()} accuracy {report['accuracy']:.2%} of {report['count']:,} images; see {run.eval}")

    # Export
    base = Path(config.export_dir, config.name)
    saved_model = run_exports.write_once(run, classifier_runs.make_export, base, config.keep_versions)
    print(f"Curves      {run.curves_file}\nSavedModel  {saved_model}")
    workers.barrier()
    return run


def main():
    with cli.errors():
        run(cli.parse(PRESETS, __doc__, implied="images"))


if __name__ == "__main__":
    main()
