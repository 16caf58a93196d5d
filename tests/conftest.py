"""Several logical CPU devices, a cache of its own, and no state that leaks from one test into the next."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.distribution import strategy

pytest.register_assert_rewrite("programs")
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * int(os.environ.get("KARPA_TEST_REPLICAS", 2)),
)


@pytest.fixture(autouse=True)
def clean_state(tmp_path, monkeypatch):
    """Each test works in a folder of its own, in float32 and with the same seed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KARPA_CACHE", str(tmp_path / "cache"))
    keras.utils.set_random_seed(0)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def two_replicas():
    """Two replicas, or as many as $KARPA_TEST_REPLICAS says."""
    return strategy.make_strategy("mirrored")


@pytest.fixture
def images():
    """uint8 (40, 16, 16, 1): random, but the same in every test."""
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)
