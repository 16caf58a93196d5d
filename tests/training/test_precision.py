"""What `--precision auto` stands for."""

import json

import keras
import pytest
import tensorflow as tf

from karpa_tf.configs.run import RunConfig
from karpa_tf.distribution import collectives as workers
from karpa_tf.training import precision
from karpa_tf.training import run as runs

AUTO = RunConfig(run="run", precision="auto")


@pytest.fixture
def capable(monkeypatch):
    """A CPU with bfloat16, and a program that learns as well in it."""
    monkeypatch.setattr(precision, "AS_GOOD_IN_BFLOAT16", ("train_it",))
    monkeypatch.setattr(precision, "cpu_flags", lambda: {"fpu", "avx512_bf16"})


def test_a_named_precision_is_taken_and_nothing_said(capsys):
    config = RunConfig(precision="mixed_float16")
    assert precision.resolve_precision(config, "train_it") == config
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert capsys.readouterr().out == ""


def test_auto_is_bfloat16_where_the_hardware_has_it_and_results_are_as_good(capable, capsys):
    assert precision.resolve_precision(AUTO, "train_it").precision == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert capsys.readouterr().out == "precision: mixed_bfloat16 (the CPU has bfloat16: avx512_bf16)\n"


def test_auto_is_float32_for_a_program_that_nobody_has_measured(capable, capsys):
    assert precision.resolve_precision(AUTO, "train_that").precision == "float32"
    assert "float32 (whether train_that learns as well in bfloat16 has not been measured)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "why"),
    [({"fpu", "avx512f"}, "the CPU has no bfloat16"), (None, "what this CPU has is not known")],
)
def test_auto_is_float32_on_other_cpus(capable, monkeypatch, capsys, flags, why):
    monkeypatch.setattr(precision, "cpu_flags", lambda: flags)
    assert precision.resolve_precision(AUTO, "train_it").precision == "float32"
    assert capsys.readouterr().out == f"precision: float32 ({why})\n"
    assert keras.config.dtype_policy().name == "float32"


def test_auto_is_float32_where_onednn_is_off(capable, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert precision.resolve_precision(AUTO, "train_it").precision == "float32"


@pytest.mark.parametrize(
    ("capabilities", "expected", "why"),
    [
        ([(8, 0)], "mixed_bfloat16", "the GPU has bfloat16: compute capability 8.0"),
        ([(9, 0), (7, 5)], "float32", "the GPU has no bfloat16: compute capability 7.5"),
        ([None], "float32", "what this GPU has is not known"),
    ],
)
def test_of_gpus_the_least_capable_decides(capable, monkeypatch, capsys, capabilities, expected, why):
    gpus = list(range(len(capabilities)))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus if kind == "GPU" else [])
    known = [{"compute_capability": number} if number else {} for number in capabilities]
    monkeypatch.setattr(tf.config.experimental, "get_device_details", known.__getitem__)
    assert precision.resolve_precision(AUTO, "train_it").precision == expected
    assert capsys.readouterr().out == f"precision: {expected} ({why})\n"


def test_one_worker_without_it_keeps_all_in_float32(capable, monkeypatch, capsys):
    monkeypatch.setattr(workers, "largest", lambda number: max(number, 1))
    assert precision.resolve_precision(AUTO, "train_it").precision == "float32"
    assert "(another worker has no bfloat16)" in capsys.readouterr().out


def test_what_was_chosen_stands_in_the_run_and_is_kept_wherever_it_goes_on(capable, monkeypatch, capsys):
    run = runs.open_run(precision.resolve_precision(AUTO, "train_it"), "train_it")
    assert run.read_config()["precision"] == "mixed_bfloat16"
    assert json.loads(run.record_file.read_text())["precision"] == "mixed_bfloat16"
    capsys.readouterr()

    monkeypatch.setattr(precision, "cpu_flags", set)
    config = precision.resolve_precision(AUTO, "train_it")
    assert config.precision == "mixed_bfloat16"
    assert capsys.readouterr().out == "precision: mixed_bfloat16 (as the run began)\n"
    runs.open_run(config, "train_it")

    anew = RunConfig(run="run", precision="auto", resume="never")
    assert precision.resolve_precision(anew, "train_it").precision == "float32"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor : 0\nflags\t\t: fpu amx_bf16\n\nprocessor : 1\nflags : fpu\n", {"fpu", "amx_bf16"}),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", None),
    ],
)
def test_flags_are_read_as_linux_writes_them(text, flags, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert precision.cpu_flags(tmp_path / "cpuinfo") == flags
    assert precision.cpu_flags(tmp_path / "nothing") is None
