"""Fine-tunes a pretrained encoder for text classification, evaluates it and exports it for TF Serving.

$ python -m apps.finetune_text --init runs/train_mlm/... --data reviews.csv
$ python -m apps.finetune_text --init RUN --data FOLDER             train.tsv, dev.tsv, test.tsv, or a folder per class
$ python -m apps.finetune_text --init DIR --data reviews.csv        DIR: a published BERT of Hugging Face or KerasHub
$ python -m apps.finetune_text --init RUN --data FOLDER --scratch   the same architecture without pretrained weights
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.text_classifier import PRESETS

CURVES = {
    "Loss (nats)": ("loss", "val_loss"),
    "Accuracy": ("accuracy", "val_accuracy"),
    "Texts per second": ("texts_per_second",),
}


def run(config):
    """Fine-tunes, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf.data.text import labeled_batches
    from karpa_tf.data.text.labeled import load_text_splits
    from karpa_tf.data.text.tables import Columns
    from karpa_tf.evaluation import baselines
    from karpa_tf.evaluation.classification import compute_text_probabilities, save_report
    from karpa_tf.export.examples import save_texts
    from karpa_tf.tasks import masked_lm, text_classifier
    from karpa_tf.training.callbacks.unfreeze import Unfreeze
    from karpa_tf.training.job import Job
    from karpa_tf.training.trainers.classifier import describe_weights

    job = Job(text_classifier.TASK, config)
    config = job.config = masked_lm.require_init(job.config)
    columns = Columns(config.text_field, config.label_field, config.encoding)
    splits = load_text_splits(config.data, columns, config.held_out_for_validation, config.test_fraction)
    train, vocabulary = splits["train"], masked_lm.open_init(config.init).vocabulary
    rows = text_classifier.tokenize(splits, vocabulary, config.max_tokens)
    steps_per_epoch = job.count_steps(len(train), "texts")
    validate_on = config.select_validation(splits)

    with job.scope():
        trainer = text_classifier.make_trainer(config, train, vocabulary, steps_per_epoch, job.jit_compile)
    names = ", ".join(train.classes[:10])
    print(f"{len(train.classes)} classes: {names}; {describe_weights(trainer)}")
    run = job.open_run(trainer, steps_per_epoch, text_classifier.describe_data(config, splits), vocabulary)
    if run is None:
        return None
    masked_lm.save_vocabulary(run, vocabulary)
    save_texts(run, (splits.get("test") or splits.get("validation") or train).texts)
    sizes = len(train.classes), config.batch_size
    make_batches = labeled_batches.make_labeled_text_batches
    batches = functools.partial(make_batches, rows["train"], train.labels, *sizes, config.seed)
    evaluation_batches = {
        name: labeled_batches.make_evaluation_text_batches(rows[name], split.labels, *sizes)
        for name, split in splits.items()
    }
    job.fit(batches, [Unfreeze(steps_per_epoch)], evaluation_batches.get(validate_on), "texts")

    name = config.select_for_report(splits)
    if name and run.writes:
        split, model = splits[name], text_classifier.load(run).model
        probabilities = compute_text_probabilities(model, evaluation_batches[name], len(split))
        figures = baselines.measure_text_baselines(train, split, config) if config.baseline else []
        report = save_report(run.eval, split, probabilities, "text", figures)
        accuracy = f"{name.capitalize()} accuracy {report['accuracy']:.2%}, F1 {report['macro_f1']:.4f}"
        print(f"{accuracy} of {len(split):,} texts; see {run.eval}")
        baselines.print_comparison(report)
    return job.finish(CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
