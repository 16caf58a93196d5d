import numpy as np
import pytest

from karpa_tf.layers.image_attention import ImageAttention


@pytest.mark.parametrize("spectral_norm", [False, True])
def test_a_new_layer_returns_its_inputs(spectral_norm):
    inputs = np.random.default_rng(0).normal(size=(2, 4, 6, 16)).astype(np.float32)
    np.testing.assert_array_equal(ImageAttention(spectral_norm)(inputs), inputs)


def test_the_layer_is_that_of_the_paper():
    inputs = np.random.default_rng(0).normal(size=(2, 4, 6, 16)).astype(np.float32)
    layer = ImageAttention()
    layer.build(inputs.shape)
    layer.gamma.assign(0.7)
    kernels = {name: getattr(layer, f"{name}_convolution").kernel.numpy()[0, 0] for name in ("query", "key", "value")}
    assert {name: kernel.shape for name, kernel in kernels.items()} == {
        "query": (16, 2),
        "key": (16, 2),
        "value": (16, 8),
    }

    def pool(x):
        return x.reshape(2, 2, 2, 3, 2, -1).max((2, 4)).reshape(2, 6, -1)

    query = (inputs @ kernels["query"]).reshape(2, 24, 2)
    key, value = (pool(inputs @ kernels[name]) for name in ("key", "value"))
    scores = np.exp(np.einsum("bqc,bkc->bqk", query, key))
    scores /= scores.sum(-1, keepdims=True)
    context = np.einsum("bqk,bkc->bqc", scores, value) @ layer.output_convolution.kernel.numpy()[0, 0]
    np.testing.assert_allclose(layer(inputs), inputs + 0.7 * context.reshape(inputs.shape), rtol=1e-4, atol=1e-5)


def test_a_feature_map_of_odd_size_is_refused():
    with pytest.raises(ValueError, match=r"even height and width. Received: 3x4"):
        ImageAttention()(np.zeros((1, 3, 4, 8), np.float32))
