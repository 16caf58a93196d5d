import keras
import keras_hub
import numpy as np
import pytest

from karpa_tf.layers.embeddings import SinePositionEncoding


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_sine_position_encoding_is_that_of_keras_hub_in_float32_at_any_length(precision):
    keras.config.set_dtype_policy(precision)
    dtype = keras.config.dtype_policy().compute_dtype
    ours = SinePositionEncoding()(keras.ops.zeros((2, 600, 6), dtype))
    theirs = keras_hub.layers.SinePositionEncoding(dtype="float32")(keras.ops.zeros((2, 600, 6)))
    assert ours.dtype == dtype and ours.shape == theirs.shape
    # KerasHub computes the angles in the dtype of the layer: from 257 on, bfloat16 has every second position only.
    tolerance = {"float32": 1e-4, "mixed_float16": 1e-3, "mixed_bfloat16": 5e-3}[precision]
    np.testing.assert_allclose(keras.ops.cast(ours, "float32"), theirs, atol=tolerance)
