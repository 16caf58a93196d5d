"""Tunes a pretrained encoder to tell texts apart, evaluates it in full and exports it for TF Serving.

$ python -m apps.finetune_text --init runs/train_mlm/... --data reviews.csv
$ python -m apps.finetune_text --init RUN --data FOLDER             train.tsv, dev.tsv, test.tsv, or a folder per class
$ python -m apps.finetune_text --init RUN --data FOLDER --scratch   the same network, with nothing learned before
"""

from pathlib import Path

from karpa_tf import cli
from karpa_tf.configs.text_classifier import TextClassifierConfig
from karpa_tf.errors import UserError

PRESETS = {"default": TextClassifierConfig(epochs=3, batch_size=32, learning_rate=1e-3)}

CURVES = {
    "Loss (nats)": ("loss", "val_loss"),
    "Accuracy": ("accuracy", "val_accuracy"),
    "Texts per second": ("texts_per_second",),
}


def run(config):
    """Tunes, evaluates and exports; returns the `Run`, whose `run.json` names the SavedModel, or None if dry."""
    import functools

    import numpy as np

    from karpa_tf import plots
    from karpa_tf.data.text import labeled_batches as text_batches
    from karpa_tf.data.text.labeled import Columns, load_text_splits
    from karpa_tf.distribution import collectives as workers
    from karpa_tf.distribution import strategy
    from karpa_tf.evaluation import classification as evaluation
    from karpa_tf.export import examples
    from karpa_tf.models.classifiers import split_by_depth
    from karpa_tf.system import files
    from karpa_tf.system.console import warn
    from karpa_tf.tasks import masked_lm as masked_lm_runs
    from karpa_tf.tasks import run_export as run_exports
    from karpa_tf.tasks import text_classifier as text_classifier_runs
    from karpa_tf.training import checkpoints, optimizers, precision
    from karpa_tf.training import fit as fitting
    from karpa_tf.training import run as runs
    from karpa_tf.training.callbacks.unfreeze import Unfreeze
    from karpa_tf.training.trainers.classifier import Classifier

    # Data
    config = text_classifier_runs.resolve_init(config)
    strategy.seed_everything(config)
    devices = strategy.make_strategy(config.strategy)
    config = precision.resolve_precision(config, "finetune_text")
    strategy.require_divisible(config.batch_size, devices, config.optimization.gradient_accumulation_steps)
    columns = Columns(config.text_field, config.label_field, config.encoding)
    validation_fraction = config.validation_fraction if config.validate_on == "validation" else 0
    splits = load_text_splits(config.data, columns, validation_fraction, config.test_fraction)
    train, classes = splits["train"], splits["train"].classes
    vocabulary = text_classifier_runs.load_init_vocabulary(config)
    length = config.sequence_length or config.model.length
    rows = {}
    for name, part in splits.items():
        rows[name], cut = text_batches.token_rows(part.keys, vocabulary, length)
        print(f"{name:10} {len(part):,} texts" + (f", {cut:,} of them cut to {length} tokens" if cut else ""))
    steps_per_epoch = len(train) // config.batch_size
    if not steps_per_epoch:
        raise UserError(f"--batch-size {config.batch_size} is larger than the training part: {len(train)} texts.")
    watched = None if config.validate_on == "none" else splits.get(config.validate_on)
    if config.early_stopping and watched is None:
        raise UserError("--early-stopping needs a validation part; raise --validation-fraction.")

    # Model
    with devices.scope():
        model = text_classifier_runs.make_text_classifier(config.model, len(vocabulary), len(classes))
        if not config.scratch:
            text_classifier_runs.load_init_weights(model, config)
        numbers = np.bincount(train.labels, minlength=len(classes))
        weights = len(train) / (len(classes) * numbers) if config.class_weights == "balanced" else None
        trainer = Classifier(model, config.label_smoothing, weights, config.optimization.ema)
        trainer.compile(
            optimizers.make_optimizer_groups(
                config.optimization,
                config.learning_rate,
                optimizers.make_parameter_groups(split_by_depth(model), config.freezing, steps_per_epoch),
                config.epochs * steps_per_epoch,
                steps_per_epoch,
                scale_loss=config.precision == "mixed_float16",
            ),
            config.optimization.global_clipnorm,
            config.optimization.gradient_accumulation_steps,
            jit_compile=strategy.jit_compile(config.jit, devices),
        )
    counts = [sum(int(np.prod(v.shape)) for v in some) for some in (model.weights, trainer.active_variables)]
    print(f"{len(classes)} classes: {', '.join(classes[:10])}; {counts[0]:,} weights, of which {counts[1]:,} learn")
    print(
        f"{config.epochs} epochs of {steps_per_epoch} steps of {config.batch_size} on {strategy.describe_devices(devices)}"
    )
    files.require_writable(config.export_dir, "--export-dir")
    if config.dry_run:
        print(f"Would write {runs.planned_folder(config, 'finetune_text')}, {Path(config.export_dir, config.name)}")
        return None

    # Fit
    run = runs.open_run(config, "finetune_text")
    if run.writes:
        vocabulary.save(run.path / masked_lm_runs.VOCABULARY_FILE)
        part = splits.get("test") or splits.get("validation") or train
        examples.save_texts(run, part.keys)
    record = {name: {"count": len(part), "fingerprint": part.fingerprint} for name, part in splits.items()}
    run.update_metadata(data={"classes": list(classes), "splits": record}, device=strategy.describe_devices(devices))
    state = checkpoints.restore_latest(trainer, run, warn)
    runs.print_resume_command(run, "finetune_text", state.step, steps_per_epoch)
    arguments = (len(classes), config.batch_size)
    make_batches = functools.partial(
        text_batches.labeled_text_batches, rows["train"], train.labels, *arguments, config.seed
    )
    validation = None
    if watched:
        validation = text_batches.evaluation_text_batches(rows[config.validate_on], watched.labels, *arguments)
    fitting.fit(
        trainer,
        make_batches,
        run,
        config,
        state,
        steps_per_epoch,
        [Unfreeze(steps_per_epoch)],
        validation,
        config.early_stopping,
        unit="texts",
    )
    if not run.writes:
        workers.barrier()
        return run

    # Evaluate
    plots.save_curves(run.curves_file, run.read_metrics(), CURVES)
    best, *_ = text_classifier_runs.load_text_classifier(run.path)
    name = next((name for name in ("test", "validation") if name in splits), None)
    if name:
        part = splits[name]
        batches = text_batches.evaluation_text_batches(rows[name], part.labels, len(classes), config.batch_size)
        report = evaluation.save_report(run.eval, part, evaluation.text_scores(best, batches, len(part)), "text")
        print(
            f"{name.capitalize()} accuracy {report['accuracy']:.2%}, F1 {report['macro_f1']:.4f} of {len(part):,} texts"
        )
        print(f"Report      {run.eval}")

    # Export
    base = Path(config.export_dir, config.name)
    saved_model = run_exports.write_once(run, text_classifier_runs.make_export, base, config.keep_versions)
    print(f"Curves      {run.curves_file}\nSavedModel  {saved_model}")
    workers.barrier()
    return run


def main():
    with cli.errors():
        run(cli.parse(PRESETS, __doc__))


if __name__ == "__main__":
    main()
