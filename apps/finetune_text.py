"""Fine-tunes a pretrained encoder for classes or numbers of texts, or pairs of texts, evaluates and exports it.

$ python -m apps.finetune_text --init runs/train_mlm/... --data reviews.csv
$ python -m apps.finetune_text --init RUN --data FOLDER             train.tsv, dev.tsv, test.tsv, or a folder per class
$ python -m apps.finetune_text --init DIR --data reviews.csv        DIR: a published BERT of Hugging Face or KerasHub
$ python -m apps.finetune_text --init RUN --data pairs.tsv --pair-field hypothesis     --regression: labels are numbers
$ python -m apps.finetune_text --init RUN --data FOLDER --scratch   the same architecture without pretrained weights
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.text_classifier import PRESETS


def run(config):
    """Fine-tunes, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf.data.text import labeled_batches
    from karpa_tf.data.text.labeled import load_text_splits
    from karpa_tf.data.text.tables import Columns
    from karpa_tf.export.examples import save_texts
    from karpa_tf.export.text_inputs import list_names
    from karpa_tf.tasks import masked_lm, text_classifier, text_regressor
    from karpa_tf.training.callbacks.unfreeze import Unfreeze
    from karpa_tf.training.job import Job
    from karpa_tf.training.trainers.classifier import describe_weights

    task = text_regressor if config.regression else text_classifier
    job = Job(task.TASK, config)
    config = job.config = masked_lm.require_init(job.config)
    columns = Columns(config.text_field, config.label_field, config.pair_field, config.encoding)
    fractions = config.held_out_for_validation, config.test_fraction
    splits = load_text_splits(config.data, columns, *fractions, has_classes=not config.regression)
    train, vocabulary = splits["train"], masked_lm.open_init(config.init).vocabulary
    rows = text_classifier.tokenize(splits, vocabulary, config.max_tokens)
    steps_per_epoch = job.count_steps(len(train), "texts")
    validate_on = config.select_validation(splits)

    details = {"inputs": list_names(config.pair_field is not None)}
    with job.scope():
        trainer = task.make_trainer(config, train, vocabulary, steps_per_epoch, job.jit_compile)
    print(f"{task.describe_labels(train)}; {describe_weights(trainer)}")
    run = job.open_run(trainer, steps_per_epoch, task.describe_data(config, splits), vocabulary, details)
    if run is None:
        return None
    masked_lm.save_vocabulary(run, vocabulary)
    examples = splits.get("test") or splits.get("validation") or train
    save_texts(run, examples.texts, examples.pairs)
    sizes = len(train.classes), config.batch_size
    make_batches = labeled_batches.make_labeled_text_batches
    batches = functools.partial(make_batches, rows["train"], train.labels, *sizes, config.seed)
    evaluation_batches = {
        name: labeled_batches.make_evaluation_text_batches(rows[name], split.labels, *sizes)
        for name, split in splits.items()
    }
    job.fit(batches, [Unfreeze(steps_per_epoch)], evaluation_batches.get(validate_on), "texts")

    name = config.select_for_report(splits)
    if run.writes and not config.regression:
        text_classifier.add_ngrams(run, rows, splits, evaluation_batches, config)
    if name and run.writes:
        task.evaluate(run, splits, name, evaluation_batches[name], config)
    return job.finish(task.CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
