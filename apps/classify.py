"""Classifies images or texts, with a run, an exported model or a model on a server.

$ python -m apps.classify --run runs/train_classifier/... image.jpg more/images     # or --saved-model saved_models/NAME
$ python -m apps.classify --server http://127.0.0.1:8501 --model cnn_digits image.png
$ python -m apps.classify --run runs/finetune_text/... --text "A good film." "A bad one."    # or --file texts.txt
$ python -m apps.classify --run RUN --text "A dog runs." --text-pair "An animal moves."      # if texts come in pairs
"""

import dataclasses

from karpa_tf import cli
from karpa_tf.configs.run import require_positive
from karpa_tf.configs.source import TextSource
from karpa_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Config(TextSource):
    """Flags of this program."""

    images: cli.Positional[tuple[str, ...]] = ()
    """Image files, and folders of images."""

    top: int = 3
    """Number of classes to print per image or text."""

    out: str | None = None
    """CSV file for the results, with one row per image or text, and class."""


def run(config):
    """Prints the most probable classes; returns a list of (path or text, [(class, probability), ...])."""
    config.require_source()
    if bool(config.images) == bool(config.text or config.file or config.text_pair or config.pair_file):
        raise UserError("Give one or more image files, or a folder of them; or else texts, with --text or --file.")
    require_positive("top", config.top)
    from karpa_tf.system.text_files import write_table

    results = []
    for name, best in _classify(config):
        results.append((name, best))
        print(f"{name}  " + "  ".join(f"{label} {p:.1%}" for label, p in best))
    if config.out:
        rows = ((n, rank, label, f"{p:.6f}") for n, best in results for rank, (label, p) in enumerate(best, 1))
        write_table(config.out, ["image" if config.images else "text", "rank", "class", "probability"], rows, "--out")
    return results


def _classify(config):
    from karpa_tf.data.images.files import list_image_files
    from karpa_tf.evaluation import predictions
    from karpa_tf.serving.client import connect

    if config.images:
        files = list_image_files(config.images)
        if config.server:
            return predictions.classify_files(connect(config).function(*predictions.IMAGES), files, config.top)
        from karpa_tf.tasks import classifier

        return classifier.classify_files(config.run, config.saved_model, files, config.top)
    texts, pairs = predictions.read_texts(config)
    if config.server:
        predict = connect(config).function(*(predictions.TEXT_PAIRS if pairs else predictions.TEXTS))
    else:
        from karpa_tf.tasks import text_classifier

        predict = text_classifier.load_function(config.run, config.saved_model, bool(pairs))
    return predictions.classify_texts(predict, texts, config.top, pairs)


def main():
    with cli.handle_errors():
        run(cli.parse(Config(), __doc__))


if __name__ == "__main__":
    main()
