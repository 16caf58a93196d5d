"""Fine-tunes a pretrained encoder for named entities, or other spans and tags, evaluates it and exports it.

$ python -m apps.finetune_tagger --init runs/train_mlm/... --data conll2003      a folder of eng.train, eng.testa, ...
$ python -m apps.finetune_tagger --init RUN --data train.jsonl                   texts with spans, or tokens with tags
$ python -m apps.finetune_tagger --init DIR --data FOLDER       DIR: a published BERT of Hugging Face or KerasHub
$ python -m apps.finetune_tagger --init RUN --data FOLDER --scratch   the same architecture without pretrained weights
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.tagger import PRESETS

CURVES = {
    "Loss per word (nats)": ("loss", "val_loss"),
    "Accuracy of words": ("accuracy", "val_accuracy"),
    "Texts per second": ("texts_per_second",),
}


def run(config):
    """Fine-tunes, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf.data.text import tagged_batches
    from karpa_tf.data.text.tagged import load_tagged_splits
    from karpa_tf.data.text.tags import count_tags
    from karpa_tf.evaluation import tagging
    from karpa_tf.evaluation.span_baselines import predict_baselines
    from karpa_tf.export.examples import save_texts
    from karpa_tf.tasks import masked_lm, tagger
    from karpa_tf.training.callbacks.unfreeze import Unfreeze
    from karpa_tf.training.job import Job
    from karpa_tf.training.trainers.classifier import describe_weights

    job = Job(tagger.TASK, config)
    config = job.config = masked_lm.require_init(job.config)
    columns = {name: getattr(config, name) for name in ("encoding", "tag_column", "token_column")}
    splits = load_tagged_splits(config.data, columns, config.held_out_for_validation, config.test_fraction)
    train, vocabulary = splits["train"], masked_lm.open_init(config.init).vocabulary
    rows = tagger.tokenize(splits, vocabulary, config.max_tokens)
    steps_per_epoch = job.count_steps(len(train), "texts")
    validate_on = config.select_validation(splits)

    with job.scope():
        trainer = tagger.make_trainer(config, rows, vocabulary, train.classes, steps_per_epoch)
    names = ", ".join(train.classes[:10])
    print(f"{len(train.classes)} types of spans: {names}; {describe_weights(trainer)}")
    run = job.open_run(trainer, steps_per_epoch, tagger.describe_data(config, splits), vocabulary)
    if run is None:
        return None
    masked_lm.save_vocabulary(run, vocabulary)
    save_texts(run, (splits.get("test") or splits.get("validation") or train).texts)
    sizes = count_tags(len(train.classes)), config.batch_size
    batches = functools.partial(tagged_batches.make_tagged_batches, rows["train"], *sizes, config.seed)
    evaluation_batches = {
        name: tagged_batches.make_evaluation_tagged_batches(split_rows, *sizes) for name, split_rows in rows.items()
    }
    job.fit(batches, [Unfreeze(steps_per_epoch)], evaluation_batches.get(validate_on), "texts")

    name = config.select_for_report(splits)
    if name and run.writes:
        logits = tagging.compute_word_logits(tagger.load(run).model, evaluation_batches[name])
        predicted = tagging.decode(logits, rows[name], train.classes)
        pairs = ((splits[part], rows[part]) for part in ("train", name))
        baselines = predict_baselines(*pairs, config.seed) if config.baseline else {}
        print(tagging.summarize(tagging.save_report(run.eval, splits[name], predicted, baselines), name))
    return job.finish(CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
