"""Evaluates a trained classifier on a data set.

$ python -m apps.evaluate_classifier --run runs/train_classifier/...              the run's own test split
$ python -m apps.evaluate_classifier --run runs/train_classifier/... --data DIR   other images, a folder per class
$ python -m apps.evaluate_classifier --saved-model saved_models/cnn_digits/1 --data digits

Writes report.json, confusion.csv and .png, reliability.png, mistakes.csv and .png.
"""

from karpa_tf import cli
from karpa_tf.configs.classifier_evaluation import ClassifierEvaluationConfig
from karpa_tf.errors import UserError


def run(config):
    """Writes the report and returns the content of `report.json`."""
    if (config.run is None) == (config.saved_model is None):
        raise UserError("Give one of --run DIR and --saved-model DIR: the classifier to evaluate.")
    if config.saved_model and not config.data:
        raise UserError("--saved-model needs --data: a data set, or a folder with a folder of images per class.")

    from karpa_tf.evaluation import baselines, classification
    from karpa_tf.system.text_files import make_folder
    from karpa_tf.tasks import classifier
    from karpa_tf.training.run import Run

    compute_probabilities, classes, image_format, trained = classifier.load_scorer(config.run, config.saved_model)
    split = classifier.load_split(config, image_format, trained).with_classes(classes)
    print(split.summary())
    figures = _measure_baselines(trained, split)
    folder = make_folder(config.report_folder(), "--out")
    report = classification.save_image_report(folder, split, compute_probabilities(split.images), figures)
    for name in (name for name, value in report.items() if isinstance(value, float)):
        print(f"{name.replace('_', ' '):16} {report[name]:.4f}")
    baselines.print_comparison(report)
    print(f"Evaluation       {folder}")
    if config.run:
        classifier.TASK.save_page(Run(config.run))
    return report


def _measure_baselines(trained, split):
    """Returns the baselines of a run's config on an `ImageSet`; [] without a run, or if its data is gone."""
    from karpa_tf.evaluation.baselines import measure_image_baselines
    from karpa_tf.tasks.classifier import load_data

    try:
        train = load_data(trained).train if trained and trained.baseline else None
    except UserError:
        return []
    return measure_image_baselines(train, split, trained) if train and train.classes == split.classes else []


def main():
    with cli.handle_errors():
        run(cli.parse(ClassifierEvaluationConfig(), __doc__))


if __name__ == "__main__":
    main()
