"""Every command of README.md and of the other pages, run in one folder, in the order of the pages.

The folder holds what the commands name: `image.jpg`, `~/images`, `reviews.csv`, ... Of a command only placeholders such
as RUN are replaced; programs that train get flags for a tiny network after the documented ones, and the documentation
of Python is a few texts.
"""

import importlib
import itertools
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from documents import FENCE, PAGES, ROOT, find_lines
from PIL import Image
from served import ServerProcess

pytestmark = pytest.mark.slow

NOT_RUN = {
    "make": "installs packages and runs programs of minutes; tests/test_docs.py checks the targets",
    "python -m pip": "installs packages from a network",
    "docker": "needs Docker",
    "kubectl": "needs Kubernetes",
    "sbatch": "needs Slurm; tests/deploy runs the script with a fake srun",
    "python -m karpa_tf.distribution.launch": "starts several processes; tests/apps/test_workers.py runs it",
    "python -m apps.compare sweep": "compares what a sweep has trained",
    "python -m apps.sweep": "trains several times; tests/apps/test_sweep.py runs it",
    "python -m benchmarks": "takes minutes to hours; tests/benchmarks tests their parts",
    "python tests/helpers/kill_": "takes minutes; tests/apps/test_kill.py runs what it has",
    "python -m apps.search --index named.index": "needs a tagger; tests/apps/test_finetune_embedder.py has one",
    "python -m apps.train_classifier transfer": "downloads weights trained on ImageNet",
}
"""Beginnings of commands that are not run, with the reason."""

TINY_BERT = "--hidden-dim 8 --num-layers 1 --num-heads 2 --intermediate-dim 8 --vocabulary-size 60"
TINY = {
    "train_classifier": "--epochs 1 --batch-size 16",
    "train_classifier --data ~/images": "--image-size 32 --blocks 1 1 1 1",
    "train_classifier --data DIR --init": "--allow-incompatible",
    "train_classifier images": "--allow-incompatible",
    "train_classifier images_vit": "--batch-size 8 --allow-incompatible",
    "pretrain_images": "--epochs 1 --batch-size 8 --hidden-dim 8 --num-layers 1 --num-heads 2 --intermediate-dim 8",
    "pretrain_images cifar10": "--allow-incompatible",
    "train_gan": "--epochs 1 --batch-size 16 --filters 8 4 --discriminator-filters 4 8",
    "train_gan projection_64": "--critic-steps 1",
    "evaluate_gan": "-n 40",
    "train_mlm": f"--epochs 1 --batch-size 8 --sequence-length 16 {TINY_BERT}",
    "finetune_text": "--epochs 1 --batch-size 16 --sequence-length 16",
    "finetune_tagger": "--epochs 1 --batch-size 16 --sequence-length 16",
    "finetune_embedder": "--epochs 1 --batch-size 16 --sequence-length 16",
}
"""Flags after those of the documents, for commands that begin with these words."""

DRY_RUN = ("mnist", "cifar10", "lm1b", "small", "table.csv", "--scratch", "--precision", "--seed", "classifier smoke",
           "train_mlm --init", "train_mlm adapt", "--init RUN --data DIR", "--freeze", "train_gan --data ~",
           "projection_64", "titles.tsv", "rural.txt")  # fmt: skip
"""Commands that train and have these words differ in data or settings only from one that trains to its end, so they get
--dry-run too: it loads the data and the weights, and builds the networks."""

RUNS = {
    "classify": ("train_classifier", 0),
    "evaluate_classifier": ("train_classifier", 1),
    "evaluate_gan": ("train_gan", 0),
    "sample_gan": ("train_gan", 0),
    "fill_mask": ("train_mlm", 0),
    "evaluate_mlm": ("train_mlm", 0),
    "finetune_text": ("train_mlm", 0),
    "finetune_tagger": ("train_mlm", 0),
    "tag_text": ("finetune_tagger", 0),
    "finetune_embedder": ("train_mlm", 0),
    "index_texts": ("finetune_embedder", 0),
    "rate_text": ("finetune_text", "text_regressor_ratings"),
    "train_gan": ("train_gan", 0),
    "train_mlm": ("train_mlm", 0),
}
"""Which RUN a program gets: one of those that another program has made. Others get the first of a classifier."""

LINES = list(dict.fromkeys(line for page in PAGES for line in find_lines(page)))
TO_RUN = [line for line in LINES if not line.startswith(tuple(NOT_RUN))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Returns a folder, which is also the home folder, with all data that the documents name."""
    folder = tmp_path_factory.mktemp("documents")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 64, 64, 3), dtype=np.uint8)
    for index, image in enumerate(images):
        path = folder / "images" / ("cats", "dogs")[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    shutil.copytree(folder / "images" / "cats", folder / "folder" / "of" / "images")
    for name in ("image.jpg", "image.png"):
        Image.fromarray(images[0]).save(folder / name)
    words = ["the", "list", "of", "a", "good", "film", "is", "not", "bad", "and", "long", "return", "value"]
    texts = [" ".join(rng.choice(words, 12)) + "." for _ in range(200)]
    labels = [("bad", "good")[index % 2] for index in range(200)]
    pairs = list(zip(texts, labels, strict=True))
    files = {
        "texts/a/text.txt": texts,
        "lines.txt": [f"{text} [MASK]." for text in texts[:3]],
        "lines.jsonl": [f'{{"body": "{text}"}}' for text in texts],
        "reviews.csv": ["review,sentiment", *(f"{text},{label}" for text, label in pairs)],
        "pairs.tsv": [
            "premise\thypothesis\tlabel",
            *(f"{a}\t{b}\t{c}" for a, b, c in zip(texts, texts[1:], labels, strict=False)),
        ],
        "titles.tsv": ["title\tbody", *(f"{a[:20]}\t{a}" for a in texts)],
        "rural.txt": texts,
        "faq.csv": ["question,answer", *(f"what {a},{b}" for a, b in itertools.pairwise(texts))],
        "ratings.csv": ["text,rating", *(f"{text},{index % 7}" for index, text in enumerate(texts))],
        "table.csv": [f"{label},7,{text}" for text, label in pairs],
        "entities/train.conll": [f"{text.replace(' ', ' O' + chr(10))} B-X\n" for text in texts],
        "sentences/train.tsv": ["sentence\tlabel", *(f"{text}\t{label}" for text, label in pairs)],
    }
    for name, lines in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("\n".join(lines) + "\n")
    image, label = tfds.features.Image(shape=(28, 28, 1)), tfds.features.ClassLabel(num_classes=10)
    digits = {"image": images[:, :28, :28, :1].repeat(4, 0), "label": np.arange(160) % 10}
    prepare(folder, "mnist", {"image": image, "label": label}, train=digits, test=digits)
    prepare(folder, "lm1b", {"text": tfds.features.Text()}, train={"text": texts})
    return folder


def prepare(folder, name, features, **splits):
    """Writes a data set as TensorFlow Datasets prepares it; `splits` are dicts of columns."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: tf.data.Dataset.from_tensor_slices(columns) for split, columns in splits.items()},
        data_dir=str(folder / "tensorflow_datasets"),
    )


@pytest.fixture(scope="module")
def serve(folder):
    """Returns a function that starts the server once and returns it."""
    servers = []

    def start():
        if not servers:
            servers.append(ServerProcess(folder / "saved_models", folder / "log").__enter__())
        return servers[0]

    yield start
    for server in servers:
        server.__exit__()


def find_run(app, which=0):
    """Returns the path of a run in the default place, by the order of their starts, or by the end of its name."""
    runs = sorted(Path("runs", app).iterdir(), key=lambda path: path.name)
    return str(runs[which] if isinstance(which, int) else next(run for run in runs if run.name.endswith(which)))


def fill_in(app, words):
    """Returns words of a command with names that exist instead of placeholders."""
    trained, number = RUNS.get(app, ("train_classifier", 0))
    if app == "classify" and "--text" in words:
        trained, number = "finetune_text", "text_classifier_pairs" if "--text-pair" in words else 0
    folder = {"finetune_text": "sentences", "finetune_tagger": "entities"}.get(app, "images")
    folder = "texts" if app in ("train_mlm", "evaluate_mlm", "finetune_embedder", "index_texts") else folder
    if app == "compare":
        return [find_run(trained, number) for number, _ in enumerate(words)]
    filled = []
    for word in words:
        run = ("train_classifier", 1) if filled[-1:] == ["--features"] else (trained, number)
        word = "RUN" if filled[-1:] == ["--init"] and word == "DIR" else word  # A run does for published weights.
        word = re.sub(r"\bRUN\b", find_run(*run), word) if "RUN" in word else word
        word = find_run("finetune_tagger") if word == "TAGGER" else word
        word = find_run("pretrain_images", "mae_images") if word == "MAE" else word
        word = re.sub(r"\bDIR\b", "tensorflow_datasets" if filled[-1:] == ["--data-dir"] else folder, word)
        name = "tagger_entities" if app == "tag_text" else "cnn_digits"
        filled.append(re.sub(r"\bNAME\b", name, word).replace("FOLDER", folder))
    return filled


def shrink(line, words):
    """Returns words of a command with flags for seconds of work, if it trains or measures; resuming gets none."""
    command = line.removeprefix("python -m apps.")
    flags = [flag for start, flags in TINY.items() if command.startswith(start) for flag in shlex.split(flags)]
    if not flags or ("--config" in words and "--run" in words):
        return words
    dry = ["--dry-run"] if any(word in command for word in DRY_RUN) else []
    return [*words, *flags, *dry]


def run_program(line, serve, monkeypatch):
    app, *words = shlex.split(line)[2:]
    app = app.removeprefix("apps.")
    words = shrink(line, fill_in(app, words))
    if "--server" in words:
        words = [word.replace("8501", str(serve().rest_port)) for word in words]
    monkeypatch.setattr(sys, "argv", [app, *words])
    texts = Path("texts/a/text.txt").read_text().splitlines()
    monkeypatch.setattr("karpa_tf.data.text.corpus._read_python_docs", lambda: iter(texts))
    importlib.import_module(f"apps.{app}").main()
    for flag, value in itertools.pairwise(words):
        assert flag not in ("--out", "--run") or Path(value).exists(), value
        assert flag != "--name" or Path("saved_models", value, "1").is_dir()


@pytest.mark.parametrize("line", TO_RUN)
def test_a_command_of_the_documents_runs(line, folder, serve, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("KARPA_CACHE", str(folder / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    if line.startswith("curl") and not shutil.which("curl"):
        pytest.skip("curl is missing")
    elif line.startswith("curl"):
        command = line.replace("localhost:8501", f"127.0.0.1:{serve().rest_port}")
        answer = subprocess.run(["sh", "-c", f"{command} --fail -sS"], capture_output=True, text=True)
        assert re.search('"(predictions|model_version_status)"', answer.stdout), answer.stderr
    elif "apps.serve" in line:
        assert "python -m apps.serve --model_base_path saved_models".startswith(line)  # what `serve` starts
        assert serve().process.poll() is None
    else:
        run_program(line, serve, monkeypatch)


def test_reasons_not_to_run_a_command_are_of_commands_that_exist():
    assert [start for start in NOT_RUN if not any(line.startswith(start) for line in LINES)] == []
    assert {line.split()[0] for line in TO_RUN} <= {"python", "curl"}


@pytest.mark.parametrize("page", ["training.md", "gans.md"])
def test_run_folders_have_the_files_that_a_page_lists(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (listing,) = [code for kind, code in FENCE.findall((ROOT / "docs" / page).read_text()) if not kind]
    names = re.findall(r"(?<!\S)[\w/]+(?:\.(?:json|yaml|csv|png|html)|/)(?=\s)", listing)
    assert len(names) >= 2
    runs = [find_run(app) for app in ("train_classifier", "train_gan")]
    assert [name for name in names if not any(Path(run, name).exists() for run in runs)] == []


def test_an_evaluation_has_the_files_that_the_page_lists(folder, monkeypatch):
    monkeypatch.chdir(folder)
    table = re.search(r"\| file \|.*?\n\n", (ROOT / "docs/classification.md").read_text(), re.DOTALL)[0]
    names = re.findall(r"`([\w.]+\.(?:json|csv|png))`", table)
    assert len(names) >= 6
    assert [name for name in names if not Path(find_run("train_classifier"), "eval", name).exists()] == []
