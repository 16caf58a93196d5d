"""The writing of versions: what is in them, what is refused, and what several exporters do to each other."""

import contextlib
import dataclasses
import fcntl
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.errors import UserError
from karpa_tf.export import comparison, housekeeping, versions
from karpa_tf.export.meta_graph import list_versions, read_meta_graph
from karpa_tf.export.operations import custom_ops
from karpa_tf.export.versions import Export, load_version, write


def of_function(function, **changes):
    """Returns the `Export` of a function from `any`, float32 (batch,), to a dict."""
    function = tf.function(function, input_signature=[tf.TensorSpec((None,), tf.float32, name="any")])
    requests = [{"any": np.zeros(1, np.float32)}]
    made = Export("image_classification", {"serving_default": function}, {"serving_default": requests})
    return dataclasses.replace(made, **changes)


def constant(number):
    """Returns the `Export` of a model that answers always the same."""
    return of_function(lambda any: {"number": tf.constant(number)})


def answer_of(path):
    return int(load_version(path)["serving_default"](any=tf.zeros(1))["number"])


def names(base):
    """Everything below a base, the hidden too."""
    return sorted(path.name for path in base.iterdir())


def test_versions_count_up_and_a_published_one_is_not_touched(tmp_path):
    base = tmp_path / "model"
    (base / "7").mkdir(parents=True)
    (base / "notes").mkdir()
    assert write(base, constant(1)) == base / "8"
    assert write(base, constant(2)) == base / "9"
    assert answer_of(base / "8") == 1 and answer_of(base) == 2
    assert list_versions(base) == [7, 8, 9]
    assert names(base) == ["7", "8", "9", "notes"]


def test_a_version_taken_meanwhile_is_left_alone_and_the_card_says_the_next(tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "file").write_text("other")
    numbers = iter([[], [1]])  # the other process has not published yet when the number is chosen
    monkeypatch.setattr(versions, "list_versions", lambda base: next(numbers) if base == tmp_path else [])
    assert write(tmp_path, constant(1)) == tmp_path / "2"
    assert (tmp_path / "1" / "file").read_text() == "other" and answer_of(tmp_path / "2") == 1
    assert json.loads((tmp_path / "2" / "assets.extra" / "card.json").read_text())["version"] == 2
    assert "version 2" in (tmp_path / "2" / "assets.extra" / "MODEL_CARD.md").read_text()


def test_nothing_is_visible_before_it_is_complete_and_a_failure_leaves_nothing(tmp_path, monkeypatch):
    def refuse(export, signatures):
        assert int(signatures["serving_default"](any=tf.zeros(1))["number"]) == 1
        assert [name[0] for name in names(tmp_path)] == ["."], "visible before it is complete"
        raise ZeroDivisionError

    monkeypatch.setattr(versions, "compare", refuse)
    with pytest.raises(ZeroDivisionError):
        write(tmp_path, constant(1))
    assert names(tmp_path) == []


def test_a_version_that_answers_otherwise_than_its_model_is_not_published(tmp_path):
    other = load_version(write(tmp_path, constant(2)))
    with pytest.raises(RuntimeError, match="serving_default answers another number than its model: .* off by 1"):
        comparison.compare(constant(1), other)


@pytest.mark.parametrize(
    ("expected", "answer", "tolerance", "said"),
    [
        (np.float32([1, 2]), np.float32([1, 2 + 1e-5]), 0, None),
        (np.float32([0, 2]), np.float32([3e-5, 2]), 0, "off by 3e-05"),
        (np.float32([1000]), np.float32([1000.005]), 0, None),
        (np.float32([np.nan]), np.float32([np.nan]), 0, None),
        (np.float32([np.nan]), np.float32([0]), 0, "off by"),
        (np.uint8([0, 255]), np.uint8([255, 0]), 1, "off by 255"),
        (np.uint8([7, 8]), np.uint8([8, 8]), 1, None),
        (np.uint8([7, 8]), np.uint8([8, 8]), 0, "off by 1"),
        (np.array([b"a\0", b"b"], object), np.array([b"a\0", b"b"], object), 0, None),
        (np.array([b"a", b"b"], object), np.array([b"a", b"c"], object), 0, "1 of 2 values differ"),
        (np.float32([[1]]), np.float32([1]), 0, "float32 (1,), not float32 (1, 1)"),
        (np.zeros((2, 0), np.int32), np.zeros((2, 0), np.int32), 0, None),
    ],
)
def test_answers_are_the_same_within_a_tolerance_of_their_kind(expected, answer, tolerance, said):
    found = comparison.difference(expected, answer, tolerance)
    assert (found is None) == (said is None)
    if said:
        assert said in found


def test_edge_cases_are_compared_too(tmp_path):
    made = of_function(
        lambda any: {"sum": tf.reduce_sum(any)}, edge_cases={"serving_default": [{"any": np.ones(5, np.float32)}]}
    )
    with pytest.raises(RuntimeError, match="off by 5"):
        comparison.compare(made, {"serving_default": lambda any: {"sum": tf.zeros(())}})


def write_anyway(base, export):
    """Writes a version with custom ops and returns those that are found in it, with the reasons."""
    return custom_ops(read_meta_graph(write(base, export, allow_custom_ops=True)))


def refusal(base, export):
    with pytest.raises(UserError, match="--allow-custom-ops") as caught:
        write(base, export)
    assert names(base) == []
    return str(caught.value)


def test_a_call_of_python_is_refused(tmp_path):
    def answer(any):
        return {"out": tf.ensure_shape(tf.py_function(lambda x: x + 1, [any], tf.float32), (None,))}

    said = refusal(tmp_path, of_function(answer))
    assert "EagerPyFunc calls Python (function __inference_" in said


def test_numpy_functions_are_refused(tmp_path):
    def answer(any):
        return {"out": tf.ensure_shape(tf.numpy_function(lambda x: x + 1, [any], tf.float32), (None,))}

    assert "PyFunc calls Python" in refusal(tmp_path, of_function(answer))


def test_what_must_be_compiled_by_xla_is_refused(tmp_path):
    compiled = tf.function(lambda x: x + 1, jit_compile=True)
    said = refusal(tmp_path, of_function(lambda any: {"out": compiled(any)}))
    assert "_XlaMustCompile asks for XLA" in said and "jit_compile=True" in said


def test_ops_of_other_libraries_are_refused_though_they_are_loaded_here(tmp_path):
    text = pytest.importorskip("tensorflow_text")

    def answer(any):
        return {"out": text.WhitespaceTokenizer().tokenize(tf.strings.as_string(any)).to_tensor()}

    made = of_function(answer)
    assert "TFText>WhitespaceTokenize" in refusal(tmp_path, made)
    assert [op for op in write_anyway(tmp_path, made) if op.startswith("TFText>")]
    assert json.loads((tmp_path / "1" / "assets.extra" / "card.json").read_text())["custom_ops"]


def test_ordinary_control_flow_and_tables_are_core(tmp_path):
    def answer(any):
        table = tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x + 1), [0, any])[1]
        return {"out": tf.cond(tf.size(any) > 2, lambda: table, lambda: tf.map_fn(tf.square, table))}

    assert custom_ops(read_meta_graph(write(tmp_path, of_function(answer)))) == {}


def test_old_versions_are_retired(tmp_path):
    for number in range(3):
        write(tmp_path, constant(number))
    write(tmp_path, constant(3), keep=2)
    assert names(tmp_path) == ["3", "4"] and answer_of(tmp_path) == 3
    write(tmp_path, constant(4), keep=1)
    assert names(tmp_path) == ["5"]
    write(tmp_path, constant(5), keep=0)
    assert names(tmp_path) == ["5", "6"]


def test_a_version_is_out_of_sight_before_any_of_its_files_goes(tmp_path, monkeypatch):
    for number in range(2):
        write(tmp_path, constant(number))
    remove, seen = housekeeping.shutil.rmtree, []

    def watched(path, **options):
        seen.append(list_versions(tmp_path))
        remove(path, **options)

    monkeypatch.setattr(housekeeping.shutil, "rmtree", watched)
    write(tmp_path, constant(2), keep=1)
    assert [3] in seen and all(1 not in listed or len(listed) == 3 for listed in seen)


def test_neither_the_new_version_nor_a_later_one_is_retired(tmp_path):
    for number in range(1, 5):
        (tmp_path / str(number)).mkdir()
    housekeeping.retire(tmp_path, 1, tmp_path / "3")  # 4 was published by another process
    assert names(tmp_path) == ["3", "4"]


def test_what_a_killed_exporter_left_is_removed_but_not_what_another_is_writing(tmp_path):
    left = tmp_path / ".writing-killed"
    left.mkdir()
    (tmp_path / ".retired-killed" / "3").mkdir(parents=True)
    (tmp_path / ".mine").mkdir()
    another = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(another, fcntl.LOCK_SH)
    write(tmp_path, constant(1))
    assert left.exists()
    os.close(another)
    write(tmp_path, constant(2))
    assert names(tmp_path) == [".mine", "1", "2"]


def test_an_exporter_at_work_holds_the_lock_until_it_has_published(tmp_path, monkeypatch):
    alone = []

    def look(export, signatures):
        other = os.open(tmp_path, os.O_RDONLY)
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alone.append(True)
        os.close(other)

    monkeypatch.setattr(versions, "compare", look)
    write(tmp_path, constant(1))
    assert not alone


def test_a_base_that_cannot_be_written_is_an_error_for_users(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="No version can be written to .*file"):
        write(tmp_path / "file", constant(1))


@pytest.mark.slow
def test_a_disk_that_is_full_leaves_nothing_and_is_named(tmp_path):
    program = """
import resource, signal, sys
import numpy as np, tensorflow as tf
from karpa_tf.configs.errors import UserError
from karpa_tf.export.versions import Export, write

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
variable = tf.Variable(np.zeros(10**6, np.float32))
function = tf.function(lambda any: {"out": any + variable[0]}, input_signature=[tf.TensorSpec((None,), name="any")])
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
try:
    requests = {"serving_default": [{"any": np.zeros(1, np.float32)}]}
    write(sys.argv[1], Export("image_classification", {"serving_default": function}, requests))
except UserError as error:
    print("said", error)
"""
    words = [sys.executable, "-c", program, str(tmp_path / "base_size")]
    done = subprocess.run(
        words, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    )
    assert done.stdout.startswith(f"said No version can be written to {tmp_path / 'base'} ("), done.stderr[-2000:]
    assert names(tmp_path / "base_size") == []
