"""Evaluates a pretrained masked language model on text: perplexity, accuracy and bits per byte of masked tokens.

$ python -m apps.evaluate_mlm --run runs/train_mlm/...                  the text that the run has held out
$ python -m apps.evaluate_mlm --run runs/train_mlm/... --data FOLDER    other text, all of it
$ python -m apps.evaluate_mlm --run RUN --mask-rate 0.15                to compare runs that mask differently

Writes report.json and examples.txt.
"""

from karpa_tf import cli
from karpa_tf.configs.masked_lm_evaluation import MaskedLMEvaluationConfig
from karpa_tf.errors import UserError


def run(config):
    """Writes the report and returns the content of `report.json`."""
    if config.run is None:
        raise UserError("Give --run DIR: the masked language model to evaluate.")

    from karpa_tf.data.text.masking import make_masking
    from karpa_tf.data.text.pretraining import load_evaluation_text
    from karpa_tf.evaluation.language import save_report, summarize
    from karpa_tf.system.text_files import make_folder
    from karpa_tf.tasks import masked_lm
    from karpa_tf.training.run import Run

    finished = masked_lm.load(Run(config.run))
    changed, vocabulary = config.apply(finished.config), finished.vocabulary
    known = None if config.data else finished.run.metadata()["data"]
    tokens, counts = load_evaluation_text(changed, vocabulary, known)
    masking = make_masking(vocabulary, changed.row_length, changed.mask_rate, changed.mask_units)
    batches = masked_lm.make_held_out_batches(changed, tokens, masking)
    if batches is None:
        raise UserError("No token is masked: use more text, or a higher --mask-rate.")
    folder = make_folder(config.report_folder(finished.run.eval, finished.config), "--out")
    evaluator = masked_lm.make_evaluator(finished)
    report = save_report(folder, evaluator, batches, counts, vocabulary, **config.describe(finished.config))
    print(f"{summarize(report, 'Evaluated' if config.data else 'Held out')}\nEvaluation  {folder}")
    masked_lm.TASK.save_page(finished.run)
    return report


def main():
    with cli.handle_errors():
        run(cli.parse(MaskedLMEvaluationConfig(), __doc__))


if __name__ == "__main__":
    main()
