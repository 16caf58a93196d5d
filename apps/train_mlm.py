"""Pretrains a masked language model on raw text, measures it on held-out text and exports it for TF Serving.

$ python -m apps.train_mlm                        Python's own documentation, no network, 3 minutes on 2 cores
$ python -m apps.train_mlm small --data FOLDER    your own: text files, a glob, .jsonl, or a TFDS set
$ python -m apps.fill_mask --run RUN "Return the [MASK] of the list."
"""

import dataclasses
import functools
from pathlib import Path

from karpa_tf import cli
from karpa_tf.configs import bert
from karpa_tf.configs.masked_lm import MaskedLMConfig

# Sooner learned than BERT's own norms and positions; a short run has no use for dropout.
EASY = functools.partial(dataclasses.replace, norm="pre", positions="rotary", dropout=0.0)

TINY = MaskedLMConfig(
    name="bert_tiny", epochs=12, batch_size=32, learning_rate=4e-3, vocabulary_size=4000, model=EASY(bert.TINY)
)

PRESETS = {
    "tiny": TINY,
    "smoke": dataclasses.replace(
        TINY,
        name="bert_smoke",
        epochs=1,
        vocabulary_size=600,
        model=EASY(
            bert.BERTConfig(max_sequence_length=32, hidden_dim=16, num_layers=1, num_heads=2, intermediate_dim=32)
        ),
    ),
    "mini": dataclasses.replace(
        TINY, name="bert_mini", learning_rate=2e-3, vocabulary_size=8000, model=EASY(bert.MINI)
    ),
    "small": dataclasses.replace(
        TINY, name="bert_small", epochs=8, learning_rate=1e-3, vocabulary_size=8000, model=EASY(bert.SMALL)
    ),
    "base_size": dataclasses.replace(
        TINY,
        name="bert_base",
        epochs=40,
        batch_size=256,
        learning_rate=1e-4,
        vocabulary_size=30_522,
        optimization=dataclasses.replace(TINY.optimization, gradient_accumulation_steps=8),
        model=bert.BASE,
    ),
}

CURVES = {
    "Loss (nats)": ("loss", "val_loss", "unigram_loss"),
    "Accuracy of the hidden tokens": ("accuracy", "val_accuracy", "unigram_accuracy"),
    "Second segment follows the first": ("next_accuracy", "val_next_accuracy"),
    "Tokens per second": ("tokens_per_second",),
}


def run(config):
    """Pretrains, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    import functools
    import math

    from karpa_tf import plots
    from karpa_tf.data.text import batches as text_batches
    from karpa_tf.data.text.masking import make_masking
    from karpa_tf.distribution import collectives as workers
    from karpa_tf.distribution import strategy
    from karpa_tf.evaluation import language as language_report
    from karpa_tf.export import examples
    from karpa_tf.system import files
    from karpa_tf.system.console import warn
    from karpa_tf.tasks import masked_lm as masked_lm_runs
    from karpa_tf.tasks import run_export as run_exports
    from karpa_tf.training import checkpoints, optimizers, precision
    from karpa_tf.training import fit as fitting
    from karpa_tf.training import run as runs
    from karpa_tf.training.callbacks.perplexity import Perplexity
    from karpa_tf.training.trainers.masked_lm import MaskedLM, Pretraining

    # Data
    strategy.seed_everything(config)
    devices = strategy.make_strategy(config.strategy)
    config = precision.resolve_precision(config, "train_mlm")
    strategy.require_divisible(config.batch_size, devices, config.optimization.gradient_accumulation_steps)
    text = masked_lm_runs.load_text(config)
    print(text.summary())
    length = config.row_length
    masking = make_masking(text.vocabulary, length, config.mask_rate, config.mask_units)
    make_batches, make_held_out = text_batches.masked_batches, text_batches.held_out_batches
    if config.nsp:
        make_batches, make_held_out = text_batches.pair_batches, text_batches.held_out_pairs
    held_out = None
    if text_batches.count_rows(text.held_out, length):
        held_out = make_held_out(text.held_out, length, masking, config.batch_size)
    else:
        warn("Nothing is held out, so nothing is measured; raise --held-out-fraction or name --validation-data.")
    steps_per_epoch = text_batches.count_rows(text.train, length) // config.batch_size
    steps = config.epochs * steps_per_epoch

    # Model
    with devices.scope():
        model = masked_lm_runs.make_network(config, len(text.vocabulary))
        if config.init:
            masked_lm_runs.load_init_weights(model, text.vocabulary, config)
        trainer = (Pretraining if config.nsp else MaskedLM)(model, config.optimization.ema)
        trainer.compile(
            optimizers.make_optimizer_groups(
                config.optimization,
                config.learning_rate,
                [optimizers.ParameterGroup(model.trainable_variables)],
                steps,
                steps_per_epoch,
                scale_loss=config.precision == "mixed_float16",
            ),
            config.optimization.global_clipnorm,
            config.optimization.gradient_accumulation_steps,
            jit_compile=strategy.jit_compile(config.jit, devices),
        )
    print(f"{model.name}: {model.count_params():,} weights; rows of {length} tokens, {masking.predictions} to guess")
    print(
        f"{config.epochs} epochs of {steps_per_epoch} steps of {config.batch_size} on {strategy.describe_devices(devices)}"
    )
    files.require_writable(config.export_dir, "--export-dir")
    if config.dry_run:
        print(f"Would write {runs.planned_folder(config, 'train_mlm')}, {Path(config.export_dir, config.name)}")
        return None

    # Fit
    run = runs.open_run(config, "train_mlm")
    if run.writes:
        text.vocabulary.save(run.path / masked_lm_runs.VOCABULARY_FILE)
        if not run.examples.exists():
            examples.save_texts(run, text.sentences())
    run.update_metadata(data=text.metadata(), device=strategy.describe_devices(devices))
    state = checkpoints.restore_latest(trainer, run, warn)
    runs.print_resume_command(run, "train_mlm", state.step, steps_per_epoch)
    fitting.fit(
        trainer,
        functools.partial(make_batches, text.train, length, masking, config.batch_size, config.seed),
        run,
        config,
        state,
        steps_per_epoch,
        [Perplexity()] if held_out else [],
        held_out,
        units=config.batch_size * length,
        unit="tokens",
    )
    if not run.writes:
        workers.barrier()
        return run

    # Evaluate
    rows = run.read_metrics()
    best, *_ = masked_lm_runs.load_pretrained(run.path)
    if held_out:
        measured = type(trainer)(best)
        measured.compile([])
        report = language_report.save_report(run.eval, measured, held_out, text.train.counts, text.vocabulary)
        guess, share = report["unigram_perplexity"], report["unigram_accuracy"]
        rows = [row | {"unigram_loss": math.log(guess), "unigram_accuracy": share} for row in rows]
        print(f"Held out    {report['count']:,} hidden tokens")
        print(f"            perplexity {report['perplexity']:.2f}, accuracy {report['accuracy']:.2%}")
        print(f"            {guess:.2f} and {share:.2%} for one who always guesses by frequency")
        print(f"Examples    {run.eval / 'examples.txt'}")
    plots.save_curves(run.curves_file, rows, CURVES)

    # Export
    base = Path(config.export_dir, config.name)
    saved_model = run_exports.write_once(run, masked_lm_runs.make_export, base, config.keep_versions)
    print(f"Curves      {run.curves_file}\nSavedModel  {saved_model}")
    workers.barrier()
    return run


def main():
    with cli.errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
