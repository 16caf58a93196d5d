"""Exports of every task in programs without karpa_tf: the outputs of each signature are those of its model."""

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


class Case(NamedTuple):
    """A request to a signature and the outputs of the model in Python."""

    folder: Path
    signature: str
    request: dict
    expected: dict
    tolerance: int
    """Maximum difference of integers."""


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """A list of `Case`s, one for every signature of every task."""
    base = tmp_path_factory.mktemp("models")
    cases = []
    for name, make_export in exported_models.EXPORTS.items():
        export = make_export()
        folder = write(base / name, export)
        for signature, function in export.functions.items():
            request = export.examples[signature][0]
            outputs = function(**{key: tf.constant(value) for key, value in request.items()})
            expected = {key: value.numpy() for key, value in outputs.items()}
            cases.append(Case(folder, signature, request, expected, export.tolerances.get(signature, 0)))
    assert len(cases) == 3 + 3 + 3 + 3 + 3 + 1 + 1 + 1 + 1 + 1
    return cases


@pytest.fixture(scope="module")
def cases_file(cases, tmp_path_factory):
    """The cases as a file of plain dicts, for another process."""
    file = tmp_path_factory.mktemp("cases") / "cases.pickle"
    file.write_bytes(pickle.dumps([case._asdict() | {"folder": str(case.folder)} for case in cases]))
    return file


def assert_close(expected, received, tolerance):
    """Compares dicts of arrays: floats to 1e-5, integers to `tolerance`, strings to the byte."""
    assert expected.keys() == received.keys()
    for key, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(received[key], value, rtol=1e-5, atol=1e-5)
        elif value.dtype.kind in "iu":
            np.testing.assert_allclose(received[key].astype(int), value.astype(int), rtol=0, atol=tolerance)
        else:
            np.testing.assert_array_equal(received[key], value)


def run_python(*arguments):
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


TENSORFLOW_PROGRAM = """
import pickle, sys
sys.modules["keras"] = sys.modules["karpa_tf"] = sys.modules["tensorflow_text"] = None  # importing them fails
import tensorflow as tf

cases, results = pickle.load(open(sys.argv[1], "rb")), []
version_2, version_1 = {}, {}
for folder in {case["folder"] for case in cases}:
    version_2[folder] = tf.saved_model.load(folder)
    session = tf.compat.v1.Session(graph=tf.Graph())
    with session.graph.as_default():
        version_1[folder] = session, tf.compat.v1.saved_model.loader.load(session, ["serve"], folder).signature_def
for case in cases:
    tensors = {key: tf.constant(value) for key, value in case["request"].items()}
    outputs = version_2[case["folder"]].signatures[case["signature"]](**tensors)
    session, signatures = version_1[case["folder"]]
    signature = signatures[case["signature"]]
    names = {key: info.name for key, info in signature.outputs.items()}
    feed = {signature.inputs[key].name: value for key, value in case["request"].items()}
    results.append(({key: value.numpy() for key, value in outputs.items()}, session.run(names, feed)))
pickle.dump(results, open(sys.argv[2], "wb"))
"""


@pytest.fixture(scope="module")
def tensorflow_outputs(cases_file):
    """For every case the outputs in `tf.saved_model.load` and in TensorFlow 1's loader, in a process without Keras."""
    file = cases_file.with_name("outputs.pickle")
    run_python("-c", TENSORFLOW_PROGRAM, cases_file, file)
    return pickle.loads(file.read_bytes())


@pytest.mark.parametrize("loader", [0, 1], ids=["tf.saved_model.load", "tf.compat.v1"])
def test_a_process_that_imports_tensorflow_only_computes_the_outputs_of_the_model(cases, tensorflow_outputs, loader):
    for case, outputs in zip(cases, tensorflow_outputs, strict=True):
        assert_close(case.expected, outputs[loader], case.tolerance)


CLI_PROGRAM = """
import pickle, sys
from pathlib import Path
import numpy as np
from tensorflow.python.tools import saved_model_cli

def cli(*arguments):
    sys.argv[1:] = arguments
    try:
        saved_model_cli.main()
    except SystemExit as error:
        assert not error.code, arguments

cases, base, signatures = pickle.load(open(sys.argv[1], "rb")), *sys.argv[2:]
for number, case in enumerate(cases):
    arguments = ("--dir", case["folder"], "--tag_set", "serve", "--signature_def", case["signature"])
    cli("show", *arguments)
    if case["signature"] not in signatures.split(","):
        continue
    folder = Path(base, str(number))
    folder.mkdir()
    inputs = []
    for key, value in case["request"].items():
        np.save(folder / f"in-{key}.npy", value)
        inputs.append(f"{key}={folder}/in-{key}.npy")
    cli("run", *arguments, "--inputs", ";".join(inputs), "--outdir", str(folder))
"""


def test_saved_model_cli_shows_every_signature_and_runs_exports_of_every_task(cases, cases_file, tmp_path):
    signatures = ("serving_default", "token_ids")  # not all, since it loads the model each time
    printed = run_python("-c", CLI_PROGRAM, cases_file, tmp_path, ",".join(signatures))
    for number, case in enumerate(cases):
        assert all(f"inputs['{key}']" in printed for key in case.request)
        if case.signature in signatures:
            folder = tmp_path / str(number)
            outputs = {key: np.load(folder / f"{key}.npy", allow_pickle=True) for key in case.expected}
            assert_close(case.expected, outputs, case.tolerance)


def test_a_keras_layer_of_an_export_computes_the_outputs_of_the_model(cases):
    for case in cases:
        if case.signature == "serving_default":
            layer = keras.layers.TFSMLayer(case.folder, call_endpoint=case.signature)
            inputs = {name: tf.constant(value) for name, value in case.request.items()}
            first = next(iter(inputs))  # The layer has one input without a name.
            outputs = layer(inputs.pop(first), **inputs)
            outputs = {key: value.numpy() for key, value in outputs.items()}
            assert_close(case.expected, outputs, case.tolerance)


DTYPES = {"float32": 1, "int32": 3, "uint8": 4, "string": 7, "int64": 9, "bool": 10}
"""Numbers of TensorFlow's dtypes."""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C program `run_model`, built with the library of the installed package."""
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    program, library = tmp_path_factory.mktemp("c") / "run_model", Path(tf.__file__).parent
    source = Path(__file__).parents[1] / "helpers" / "run_model.c"
    linker = ["-fuse-ld=gold"] if shutil.which("ld.gold") else []  # faster for the library's many symbols
    libraries = [*linker, "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2", f"-Wl,-rpath,{library}"]
    command = ["gcc", "-std=gnu11", "-Wall", "-Werror", f"-I{library}/include", source, "-o", program, f"-L{library}"]
    subprocess.run([*command, *libraries], check=True)
    return program


def write_array(folder, array):
    """Writes an array in the format of `run_model` and returns the file."""
    file = folder / f"{len(list(folder.iterdir()))}.bin"
    if array.dtype == object:
        strings = [text.encode() if isinstance(text, str) else text for text in array.ravel()]
        file.write_bytes(b"".join(struct.pack("=q", len(text)) + text for text in strings))
    else:
        file.write_bytes(array.tobytes())
    return file


def read_array(lines):
    """Returns the next array in the output of `run_model`, an iterator over lines."""
    dtype, *shape = map(int, next(lines).split())
    values = [next(lines) for _ in range(int(np.prod(shape, dtype=int)))]
    name = next(name for name, number in DTYPES.items() if number == dtype)
    if name == "string":
        return np.array([bytes.fromhex(value) for value in values], object).reshape(shape)
    return np.array([float(value) for value in values]).astype(name).reshape(shape)


def test_a_c_program_computes_the_outputs_of_the_model(cases, program, tmp_path):
    command = [program]
    for folder, group in itertools.groupby(cases, lambda case: case.folder):
        signatures = read_meta_graph(folder).signature_def
        command.append(folder)
        for case in group:
            for key, array in case.request.items():
                dtype = DTYPES["string" if array.dtype == object else array.dtype.name]
                shape = ",".join(map(str, array.shape))
                name = signatures[case.signature].inputs[key].name
                command += ["-i", name, str(dtype), shape, write_array(tmp_path, array)]
            for key in case.expected:
                command += ["-o", signatures[case.signature].outputs[key].name]
            command.append("-r")
        command.append("-m")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = iter(done.stdout.splitlines())
    for case in cases:
        assert_close(case.expected, {key: read_array(lines) for key in case.expected}, case.tolerance)
    assert next(lines, None) is None
