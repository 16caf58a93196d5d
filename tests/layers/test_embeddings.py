import keras
import keras_hub
import numpy as np
import pytest

from karpa_tf.layers.embeddings import SinePositionEncoding


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sine_position_encoding_matches_keras_hub(precision):
    keras.config.set_dtype_policy(precision)
    x = keras.ops.zeros((2, 40, 6), keras.config.dtype_policy().compute_dtype)
    ours, theirs = SinePositionEncoding()(x), keras_hub.layers.SinePositionEncoding()(x)
    assert ours.dtype == theirs.dtype and ours.shape == x.shape
    np.testing.assert_array_equal(keras.ops.cast(ours, "float32"), keras.ops.cast(theirs, "float32"))
