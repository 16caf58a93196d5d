"""Pretrains a masked language model on raw text, evaluates it on held-out text and exports it for TF Serving.

$ python -m apps.train_mlm                        Python's own documentation, no network needed, 3 minutes on 2 cores
$ python -m apps.train_mlm small --data FOLDER    your own: text files, a glob, .jsonl, or a TFDS data set
$ python -m apps.fill_mask --run RUN "Return the [MASK] of the list."
"""

import functools

from karpa_tf import cli
from karpa_tf.configs.masked_lm import PRESETS

CURVES = {
    "Loss (nats)": ("loss", "val_loss", "unigram_loss"),
    "Accuracy of the masked tokens": ("accuracy", "val_accuracy", "unigram_accuracy"),
    "Next-sentence accuracy": ("next_accuracy", "val_next_accuracy"),
    "Tokens per second": ("tokens_per_second",),
}


def run(config):
    """Pretrains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    from karpa_tf.data.text import batches as text_batches
    from karpa_tf.data.text.masking import make_masking
    from karpa_tf.data.text.pretraining import load_pretraining_text
    from karpa_tf.evaluation.language import add_unigram_baseline, save_report, summarize
    from karpa_tf.export import examples
    from karpa_tf.system.console import warn
    from karpa_tf.tasks import masked_lm
    from karpa_tf.training.callbacks.perplexity import Perplexity
    from karpa_tf.training.job import Job

    job = Job(masked_lm.TASK, config)
    config = job.config = masked_lm.resolve_init(job.config)
    length = config.row_length
    text = load_pretraining_text(config, masked_lm.find_vocabulary(config))
    print(text.summary())
    masking = make_masking(text.vocabulary, length, config.mask_rate, config.mask_units)
    make_batches = text_batches.make_pair_batches if config.nsp else text_batches.make_masked_batches
    held_out = None
    if text_batches.count_rows(text.held_out, length):
        held_out = masked_lm.make_held_out_batches(config, text.held_out, masking)
    if held_out is None:
        warn(
            "No text is held out, or no token of it is masked, so nothing is evaluated; raise --held-out-fraction or "
            "--mask-rate, or use --validation-data."
        )
    steps_per_epoch = job.count_steps(text_batches.count_rows(text.train, length), "sequences")

    with job.scope():
        trainer = masked_lm.make_trainer(config, text.vocabulary, steps_per_epoch, job.jit_compile)
    weights = f"{trainer.network.count_params():,} weights"
    print(f"{trainer.network.name}: {weights}; {masking.num_predictions} predictions per sequence of {length} tokens")
    init = masked_lm.open_init(config.init).metadata() if config.init else {}
    run = job.open_run(trainer, steps_per_epoch, text.metadata() | init, text.vocabulary)
    if run is None:
        return None
    masked_lm.save_vocabulary(run, text.vocabulary)
    if not run.examples.exists():
        examples.save_texts(run, text.select_examples(examples.MAX_EXAMPLES))
    batches = functools.partial(make_batches, text.train, length, masking, config.batch_size, config.seed)
    job.fit(batches, [Perplexity()] if held_out else [], held_out, "tokens", config.batch_size * length)

    rows = None
    if held_out and run.writes:
        evaluator = masked_lm.make_evaluator(masked_lm.load(run))
        report = save_report(run.eval, evaluator, held_out, text.train.counts, text.vocabulary)
        print(f"{summarize(report)}\nExamples    {run.eval / 'examples.txt'}")
        rows = add_unigram_baseline(run.read_metrics(), report)
    return job.finish(CURVES, rows)


def main():
    with cli.handle_errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
