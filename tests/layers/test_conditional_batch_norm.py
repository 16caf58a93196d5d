import keras
import numpy as np

from karpa_tf.layers.batch_norm import BatchNormalization, synchronize_batch_norm
from karpa_tf.layers.conditional_batch_norm import ConditionalBatchNormalization

INPUTS = np.random.default_rng(0).normal(3, 2, (6, 4, 4, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 0, 2, 1])


def test_a_new_layer_is_batch_normalization():
    layer, plain = ConditionalBatchNormalization(3), BatchNormalization(scale=False, center=False)
    for training in (True, False):
        np.testing.assert_allclose(
            layer(INPUTS, LABELS, training=training), plain(INPUTS, training=training), rtol=1e-5, atol=1e-6
        )


def test_every_class_has_a_scale_and_an_offset_of_its_own():
    layer = ConditionalBatchNormalization(3)
    before = layer(INPUTS, LABELS, training=True).numpy()
    layer.gamma.assign(np.array([[1, 1, 1], [2, 3, 4], [1, 1, 1]]))
    layer.beta.assign(np.array([[0, 0, 0], [0, 0, 0], [5, 6, 7]]))
    after = layer(INPUTS, LABELS, training=True).numpy()
    np.testing.assert_allclose(after[LABELS == 0], before[LABELS == 0])
    np.testing.assert_allclose(after[LABELS == 1], before[LABELS == 1] * [2, 3, 4], rtol=1e-6)
    np.testing.assert_allclose(after[LABELS == 2], before[LABELS == 2] + [5, 6, 7], rtol=1e-6)


def test_it_is_synchronized_like_batch_normalization():
    images, labels = keras.Input((4, 4, 3)), keras.Input((), dtype="int32")
    model = keras.Model([images, labels], ConditionalBatchNormalization(3)(images, labels))
    layer = synchronize_batch_norm(model).layers[-1]
    assert layer.synchronized and layer.batch_norm.synchronized
