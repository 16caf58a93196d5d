"""What `--precision auto` stands for, and models in a dtype policy of their own."""

import json
import random
from types import SimpleNamespace

import keras
import pytest
import tensorflow as tf

from karpa_tf.configs.run import RunConfig
from karpa_tf.distribution import collectives
from karpa_tf.training import precision
from karpa_tf.training import run as runs

AUTO = RunConfig(run="run", precision="auto")
MEASURED = SimpleNamespace(app="train_it", bfloat16=True)
UNMEASURED = SimpleNamespace(app="train_that", bfloat16=False)


@pytest.fixture
def capable(monkeypatch):
    """A CPU with bfloat16."""
    monkeypatch.setattr(precision, "read_cpu_flags", lambda: {"fpu", "avx512_bf16"})


def test_an_explicit_precision_is_used_without_a_message(capsys):
    config = RunConfig(precision="mixed_float16")
    assert precision.resolve_precision(config, MEASURED) == config
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert capsys.readouterr().out == ""


def test_auto_is_bfloat16_if_the_hardware_has_it_and_the_task_was_measured(capable, capsys):
    assert precision.resolve_precision(AUTO, MEASURED).precision == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert capsys.readouterr().out == "precision: mixed_bfloat16 (the CPU has bfloat16: avx512_bf16)\n"


def test_auto_is_float32_for_a_task_that_was_not_measured(capable, capsys):
    assert precision.resolve_precision(AUTO, UNMEASURED).precision == "float32"
    assert "float32 (the quality of train_that in bfloat16 has not been measured)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "reason"),
    [({"fpu", "avx512f"}, "the CPU has no bfloat16"), (None, "the features of this CPU are not known")],
)
def test_auto_is_float32_on_other_cpus(capable, monkeypatch, capsys, flags, reason):
    monkeypatch.setattr(precision, "read_cpu_flags", lambda: flags)
    assert precision.resolve_precision(AUTO, MEASURED).precision == "float32"
    assert capsys.readouterr().out == f"precision: float32 ({reason})\n"
    assert keras.config.dtype_policy().name == "float32"


def test_auto_is_float32_if_onednn_is_off(capable, monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert precision.resolve_precision(AUTO, MEASURED).precision == "float32"


@pytest.mark.parametrize(
    ("capabilities", "expected", "reason"),
    [
        ([(8, 0)], "mixed_bfloat16", "the GPU has bfloat16: compute capability 8.0"),
        ([(9, 0), (7, 5)], "float32", "the GPU has no bfloat16: compute capability 7.5"),
        ([None], "float32", "the compute capability of this GPU is not known"),
    ],
)
def test_the_least_capable_gpu_decides(capable, monkeypatch, capsys, capabilities, expected, reason):
    gpus = list(range(len(capabilities)))
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus if kind == "GPU" else [])
    details = [{"compute_capability": number} if number else {} for number in capabilities]
    monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
    assert precision.resolve_precision(AUTO, MEASURED).precision == expected
    assert capsys.readouterr().out == f"precision: {expected} ({reason})\n"


def test_one_worker_without_bfloat16_keeps_all_in_float32(capable, monkeypatch, capsys):
    monkeypatch.setattr(collectives, "all_reduce_max", lambda number: max(number, 1))
    assert precision.resolve_precision(AUTO, MEASURED).precision == "float32"
    assert "(another worker has no bfloat16)" in capsys.readouterr().out


def test_a_resumed_run_keeps_its_precision_on_other_hardware(capable, monkeypatch, capsys):
    run = runs.open_run(precision.resolve_precision(AUTO, MEASURED), MEASURED.app)
    assert run.read_config()["precision"] == "mixed_bfloat16"
    assert json.loads(run.metadata_file.read_text())["precision"] == "mixed_bfloat16"
    capsys.readouterr()

    monkeypatch.setattr(precision, "read_cpu_flags", set)
    config = precision.resolve_precision(AUTO, MEASURED)
    assert config.precision == "mixed_bfloat16"
    assert capsys.readouterr().out == "precision: mixed_bfloat16 (as the run started)\n"
    runs.open_run(config, MEASURED.app)

    again = RunConfig(run="run", precision="auto", resume="never")
    assert precision.resolve_precision(again, MEASURED).precision == "float32"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("processor : 0\nflags\t\t: fpu amx_bf16\n\nprocessor : 1\nflags : fpu\n", {"fpu", "amx_bf16"}),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", None),
    ],
)
def test_cpu_flags_are_read_as_linux_writes_them(text, flags, tmp_path):
    (tmp_path / "cpuinfo").write_text(text)
    assert precision.read_cpu_flags(tmp_path / "cpuinfo") == flags
    assert precision.read_cpu_flags(tmp_path / "nothing") is None


def test_a_policy_scope_restores_the_policy_and_the_random_state():
    keras.config.set_dtype_policy("mixed_bfloat16")
    random.seed(5)
    expected = random.random()
    random.seed(5)
    with pytest.raises(ZeroDivisionError), precision.policy_scope("float32"):
        assert keras.layers.Dense(2).compute_dtype == "float32"
        keras.layers.Dense(2).build((None, 3))
        raise ZeroDivisionError
    assert keras.config.dtype_policy().name == "mixed_bfloat16" and random.random() == expected
