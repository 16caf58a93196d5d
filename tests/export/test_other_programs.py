"""Exports of every task in programs that know nothing of this one: each signature answers what its model answers."""

import itertools
import pickle
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import exported_models
import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.export.meta_graph import read_meta_graph
from karpa_tf.export.versions import write

pytestmark = pytest.mark.slow

TASKS = {
    "classifier": exported_models.make_tiny_classifier,
    "generator": exported_models.make_tiny_generator,
    "masked_lm": exported_models.make_tiny_masked_lm,
    "text_classifier": exported_models.make_tiny_text_classifier,
}


class Asked(NamedTuple):
    """One request to one signature, and what the model, in Python, answers."""

    folder: Path
    signature: str
    request: dict
    expected: dict
    tolerance: int
    """How far whole numbers may be off."""


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """A list of `Asked`: an example for every signature of every task."""
    base = tmp_path_factory.mktemp("models")
    found = []
    for name, make in TASKS.items():
        export = make()
        folder = write(base / name, export)
        for signature, function in export.functions.items():
            request = export.examples[signature][0]
            answer = function(**{key: tf.constant(value) for key, value in request.items()})
            expected = {key: value.numpy() for key, value in answer.items()}
            found.append(Asked(folder, signature, request, expected, export.tolerances.get(signature, 0)))
    assert len(found) == 3 + 3 + 3 + 1
    return found


@pytest.fixture(scope="module")
def asked_file(asked, tmp_path_factory):
    """The same as a file of plain dicts, for another process."""
    file = tmp_path_factory.mktemp("asked") / "asked.pickle"
    file.write_bytes(pickle.dumps([one._asdict() | {"folder": str(one.folder)} for one in asked]))
    return file


def agree(expected, answer, tolerance):
    """Raises `AssertionError` unless two dicts of arrays agree to 1e-5, strings to the byte."""
    assert expected.keys() == answer.keys()
    for key, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(answer[key], value, rtol=1e-5, atol=1e-5)
        elif value.dtype.kind in "iu":
            np.testing.assert_allclose(answer[key].astype(int), value.astype(int), rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(answer[key], value)


def run(*words):
    done = subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


IN_PYTHON = """
import pickle, sys
sys.modules["keras"] = sys.modules["karpa_tf"] = sys.modules["tensorflow_text"] = None  # importing them fails
import tensorflow as tf

asked, answers = pickle.load(open(sys.argv[1], "rb")), []
new, old = {}, {}
for folder in {one["folder"] for one in asked}:
    new[folder] = tf.saved_model.load(folder)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        old[folder] = session, tf.compat.v1.saved_model.loader.load(session, ["serve"], folder).signature_def
for one in asked:
    tensors = {key: tf.constant(value) for key, value in one["request"].items()}
    answer = {key: value.numpy() for key, value in new[one["folder"]].signatures[one["signature"]](**tensors).items()}
    session, signatures = old[one["folder"]]
    signature = signatures[one["signature"]]
    names = {key: info.name for key, info in signature.outputs.items()}
    given = {signature.inputs[key].name: value for key, value in one["request"].items()}
    answers.append((answer, session.run(names, given)))
pickle.dump(answers, open(sys.argv[2], "wb"))
"""


@pytest.fixture(scope="module")
def answers_in_python(asked_file):
    """A list of the answers of `tf.saved_model.load` and of TensorFlow 1's loader in a process without Keras."""
    out = asked_file.with_name("answers.pickle")
    run("-c", IN_PYTHON, asked_file, out)
    return pickle.loads(out.read_bytes())


@pytest.mark.parametrize("loader", [0, 1], ids=["tf.saved_model.load", "tf.compat.v1"])
def test_a_process_that_imports_tensorflow_alone_gets_the_models_answers(asked, answers_in_python, loader):
    for one, answers in zip(asked, answers_in_python, strict=True):
        agree(one.expected, answers[loader], one.tolerance)


IN_CLI = """
import pickle, sys
from pathlib import Path
import numpy as np
from tensorflow.python.tools import saved_model_cli

def cli(*words):
    sys.argv[1:] = words
    try:
        saved_model_cli.main()
    except SystemExit as end:
        assert not end.code, words

asked, out, run = pickle.load(open(sys.argv[1], "rb")), *sys.argv[2:]
for number, one in enumerate(asked):
    this = ("--dir", one["folder"], "--tag_set", "serve", "--signature_def", one["signature"])
    cli("show", *this)
    if one["signature"] not in run.split(","):
        continue
    folder = Path(out, str(number))
    folder.mkdir()
    inputs = []
    for key, value in one["request"].items():
        np.save(folder / f"in-{key}.npy", value)
        inputs.append(f"{key}={folder}/in-{key}.npy")
    cli("run", *this, "--inputs", ";".join(inputs), "--outdir", str(folder))
"""


def test_saved_model_cli_shows_every_signature_and_runs_exports_of_every_task(asked, asked_file, tmp_path):
    ran = ("serving_default", "token_ids")  # It loads the model anew for each.
    said = run("-c", IN_CLI, asked_file, tmp_path, ",".join(ran))
    for number, one in enumerate(asked):
        assert all(f"inputs['{key}']" in said for key in one.request)
        if one.signature not in ran:
            continue
        answer = {key: np.load(tmp_path / str(number) / f"{key}.npy", allow_pickle=True) for key in one.expected}
        agree(one.expected, answer, one.tolerance)


def test_a_keras_layer_made_of_an_export_answers(asked):
    for one in asked:
        if one.signature == "serving_default":
            layer = keras.layers.TFSMLayer(one.folder, call_endpoint=one.signature)
            (request,) = one.request.values()
            answer = layer(tf.constant(request))
            agree(one.expected, {key: value.numpy() for key, value in answer.items()}, one.tolerance)


TYPES = {"float32": 1, "int32": 3, "uint8": 4, "string": 7, "int64": 9}
"""Numbers of TensorFlow's data types."""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program `run_model`, built against the library of the installed package."""
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc")
    made, library = tmp_path_factory.mktemp("c") / "run_model", Path(tf.__file__).parent
    source = Path(__file__).parents[1] / "helpers" / "run_model.c"
    faster = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # The library's table of symbols is a long one.
    libraries = [*faster, "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{library}"]
    words = ["gcc", "-std=gnu11", "-Wall", "-Werror", f"-I{library}/include", source, "-o", made, f"-L{library}"]
    subprocess.run([*words, *libraries], check=True)
    return made


def written(folder, array):
    """Returns a file that holds an array as `run_model` reads it."""
    file = folder / f"{len(list(folder.iterdir()))}.bin"
    if array.dtype == object:
        strings = [text.encode() if isinstance(text, str) else text for text in array.ravel()]
        file.write_bytes(b"".join(struct.pack("=q", len(text)) + text for text in strings))
    else:
        file.write_bytes(array.tobytes())
    return file


def read(lines):
    """Returns the next array that `run_model` has printed."""
    kind, *shape = map(int, next(lines).split())
    values = [next(lines) for _ in range(int(np.prod(shape, dtype=int)))]
    name = next(name for name, number in TYPES.items() if number == kind)
    if name == "string":
        return np.array([bytes.fromhex(value) for value in values], object).reshape(shape)
    return np.array([float(value) for value in values]).astype(name).reshape(shape)


def test_a_c_program_gets_the_models_answers(asked, program, tmp_path):
    words = []
    for folder, several in itertools.groupby(asked, lambda one: one.folder):
        signatures = read_meta_graph(folder).signature_def
        words.append(folder)
        for one in several:
            for key, array in one.request.items():
                kind = TYPES["string" if array.dtype == object else array.dtype.name]
                shape = ",".join(map(str, array.shape))
                name = signatures[one.signature].inputs[key].name
                words += ["-i", name, str(kind), shape, written(tmp_path, array)]
            for key in one.expected:
                words += ["-o", signatures[one.signature].outputs[key].name]
            words.append("-r")
        words.append("-m")
    done = subprocess.run([program, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = iter(done.stdout.splitlines())
    for one in asked:
        agree(one.expected, {key: read(lines) for key in one.expected}, one.tolerance)
    assert next(lines, None) is None
