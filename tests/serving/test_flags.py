"""Command lines of TensorFlow Serving."""

import dataclasses

import pytest

from karpa_tf.configs import serving_flags as flags
from karpa_tf.configs.serving import ServingConfig
from karpa_tf.errors import UserError


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        ("--port=1 --model_base_path x", "--port=1 --model_base_path x"),
        ("--enable_batching --port 1", "--port 1"),
        ("--enable_batching=true --port 1", "--port 1"),
        ("--enable_batching false --port 1", "--port 1"),
        ("--grpc_max_threads 8 --port 1", "--port 1"),
        ("--grpc_channel_arguments=a=1,b=2 --verbose=true", "--verbose"),
        ("--verbose False x", "--no-verbose x"),
        ("--unknown=1 -x", "--unknown=1 -x"),
    ],
)
def test_flags_of_tf_serving_without_effect_are_left_out_and_named(words, kept, capsys):
    assert flags.read(words.split()) == kept.split()
    named = capsys.readouterr().err
    assert named.count("\n") == (words != kept and "verbose F" not in words)
    assert ("--enable_batching" in named) == ("--enable_batching" in words)


@pytest.mark.parametrize("words", ["--ssl_config_file=x", "--use_alts_credentials", "--grpc_max_threads"])
def test_encryption_and_a_missing_value_are_refused(words):
    with pytest.raises(UserError):
        flags.read(words.split())


def test_no_flag_with_an_effect_is_in_the_lists():
    without_effect = flags.SWITCHES.split() + flags.VALUES.split()
    assert len(set(without_effect)) == len(without_effect)
    assert not {field.name for field in dataclasses.fields(ServingConfig)} & set(without_effect)
