"""Trains an image classifier, evaluates it and exports it for TF Serving.

$ python -m apps.train_classifier                      1,797 handwritten digits, no network needed
$ python -m apps.train_classifier mnist                a data set of TensorFlow Datasets
$ python -m apps.train_classifier --data ~/images      your own: one folder per class, or train/<class>/...
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.classifier_presets import PRESETS

CURVES = {
    "Loss (nats)": ("loss", "val_loss"),
    "Accuracy": ("accuracy", "val_accuracy"),
    "Images per second": ("images_per_second",),
}


def run(config):
    """Trains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf.data.images.augmentation import make_augmentation, separate_crops
    from karpa_tf.data.images.batches import make_evaluation_batches, make_labeled_batches
    from karpa_tf.evaluation import baselines
    from karpa_tf.evaluation.classification import compute_probabilities, save_image_report
    from karpa_tf.export.examples import save_images
    from karpa_tf.system.console import warn
    from karpa_tf.tasks import classifier
    from karpa_tf.training import frozen_features, pretrained_images
    from karpa_tf.training.callbacks.unfreeze import Unfreeze
    from karpa_tf.training.job import Job
    from karpa_tf.training.trainers.classifier import describe_weights

    job = Job(classifier.TASK, classifier.resolve_init(config))
    config = job.config
    splits = classifier.load_data(config)
    print(splits.summary())
    for message in classifier.list_warnings(config, splits):
        warn(message)
    steps_per_epoch = job.count_steps(len(splits.train.images), "images")
    validate_on = config.select_validation(splits.as_dict())

    with job.scope():
        trainer = classifier.make_trainer(config, splits, steps_per_epoch, job.jit_compile)
    shape = trainer.network.input_shape[1:]
    print(f"{trainer.network.name} for {'x'.join(map(str, shape))}: {describe_weights(trainer)}")
    init = pretrained_images.describe(config, job.task.app)
    run = job.open_run(trainer, steps_per_epoch, splits.metadata() | init, details={"shape": list(shape)})
    if run is None:
        return None
    save_images(run, (splits.test or splits.validation or splits.train).images)

    inputs = splits
    if config.transfer.cache_features:
        inputs = frozen_features.replace_images(splits, ("train", validate_on), trainer.network, config.cache_dir)
    augmentation, crop_scale = separate_crops(config.augmentation, inputs.train.images)
    augment = make_augmentation(augmentation, shape) if augmentation.is_active else None
    batches = functools.partial(make_labeled_batches, inputs.train, config.batch_size, config.seed, augment, crop_scale)
    validation = make_evaluation_batches(inputs.as_dict()[validate_on], config.batch_size) if validate_on else None
    job.fit(batches, [Unfreeze(steps_per_epoch)], validation)

    name = config.select_for_report(splits.as_dict())
    if name and run.writes:
        split, model = splits.as_dict()[name], classifier.load(run).model
        figures = baselines.measure_image_baselines(splits.train, split, config) if config.baseline else []
        report = save_image_report(run.eval, split, compute_probabilities(model, split.images), figures)
        accuracy = f"{name.capitalize()} accuracy {report['accuracy']:.2%}"
        print(f"{accuracy} of {report['count']:,} images; see {run.eval}")
        baselines.print_comparison(report)
    return job.finish(CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__, implied="images"))


if __name__ == "__main__":
    main()
