"""Fine-tunes a pretrained encoder so that embeddings of texts that belong together are near, evaluates and exports it.

$ python -m apps.finetune_embedder --init runs/train_mlm/... --data FOLDER     texts alone: parts of one belong together
$ python -m apps.finetune_embedder --init RUN --data faq.csv --text-field question --pair-field answer
$ python -m apps.finetune_embedder --init RUN --data FOLDER --positives dropout       as SimCSE does
$ python -m apps.finetune_embedder --init RUN --data FOLDER --scratch   the same architecture without pretrained weights
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.embedder import PRESETS


def run(config):
    """Fine-tunes, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf.data.text.related import load_related_splits
    from karpa_tf.data.text.related_batches import make_evaluation_pair_batches, make_pair_batches
    from karpa_tf.export.examples import save_texts
    from karpa_tf.tasks import embedder, masked_lm
    from karpa_tf.training.job import Job
    from karpa_tf.training.trainers.classifier import describe_weights

    job = Job(embedder.TASK, config)
    config = job.config = masked_lm.require_init(job.config)
    splits = load_related_splits(config)
    train, vocabulary = splits["train"], masked_lm.open_init(config.init).vocabulary
    rows = embedder.tokenize(splits, vocabulary, config.max_tokens)
    steps_per_epoch = job.count_steps(len(train), "texts")
    validate_on = config.select_validation(splits)

    with job.scope():
        trainer = embedder.make_trainer(config, vocabulary, steps_per_epoch)
    print(describe_weights(trainer))
    run = job.open_run(trainer, steps_per_epoch, embedder.describe_data(config, splits), vocabulary)
    if run is None:
        return None
    masked_lm.save_vocabulary(run, vocabulary)
    save_texts(run, (splits.get("test") or splits.get("validation") or train).texts)
    names = {name: (split.texts, split.pairs or split.texts) for name, split in splits.items()}
    first, second = rows["train"]
    second = first if config.contrasts_dropout else second  # the masks of dropout differ
    batches = functools.partial(make_pair_batches, first, second, names["train"], config.batch_size, config.seed)
    evaluation_batches = {
        name: make_evaluation_pair_batches(*rows[name], names[name], config.batch_size)
        for name, split in splits.items()
        if split.pairs
    }
    job.fit(batches, (), evaluation_batches.get(validate_on), "texts")

    name = config.select_for_report(evaluation_batches)
    if run.writes:
        embedder.weigh_words(run, splits, evaluation_batches)
    if name and run.writes:
        embedder.evaluate(run, splits, name, evaluation_batches[name], config)
    return job.finish(embedder.CURVES)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
