import keras
import numpy as np

from karpa_tf.models.classifiers import average_views


def test_views_are_averaged_over_logits():
    layers = keras.layers
    images = keras.Input((4, 4, 1), name="images")
    weights = np.random.default_rng(0).normal(size=(16, 2))
    model = keras.Model(images, layers.Dense(2, kernel_initializer=lambda *_, **__: weights)(layers.Flatten()(images)))
    x = np.random.default_rng(1).normal(size=(3, 4, 4, 1)).astype(np.float32)

    def logits(pixels):
        return pixels.reshape(3, 16) @ weights

    flipped = (logits(x) + logits(x[:, :, ::-1])) / 2
    np.testing.assert_allclose(average_views(model, "flip")(x), flipped, atol=1e-5)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    corners = [padded[:, :4, :4], padded[:, 2:, 2:]]
    shifted = sum((logits(c) + logits(c[:, :, ::-1])) / 2 for c in corners) / 2
    np.testing.assert_allclose(average_views(model, "flip_shift")(x), (flipped + shifted) / 2, atol=1e-5)
    assert average_views(model, "one") is model
