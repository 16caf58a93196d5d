"""The default preset draws digits: all of them, and clear ones. Trains for minutes."""

import dataclasses
import time

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from apps import sample_gan, train_gan
from karpa_tf.data.loaders import load_images
from karpa_tf.data.pictures import Preparation


@pytest.fixture(scope="module")
def classifier():
    """A small network that has learned the first 1,400 real digits and reads the other 397, by other writers."""
    from sklearn.datasets import load_digits

    images = flat(load_images("digits", Preparation(16, 1)).images)
    labels = load_digits().target
    network = MLPClassifier((256,), max_iter=60, random_state=0).fit(images[:1400], labels[:1400])
    assert network.score(images[1400:], labels[1400:]) > 0.9
    return network


def flat(images):
    return images.reshape(len(images), -1) / 127.5 - 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_default_run_draws_all_digits_so_that_they_can_be_read(seed, classifier):
    start = time.perf_counter()
    train_gan.run(dataclasses.replace(train_gan.PRESETS["digits"], seed=seed, run="run"))
    seconds = time.perf_counter() - start
    images = sample_gan.run(sample_gan.Config(run="run", n=1000))

    probabilities = classifier.predict_proba(flat(images))
    shares = np.bincount(probabilities.argmax(axis=1), minlength=10) / 1000
    certainty = probabilities.max(axis=1).mean()
    print(
        f"\nseed {seed}: {seconds:.0f} s, mean top probability {certainty:.3f}, "
        f"digits with a share of 3 % or more: {(shares >= 0.03).sum()}, smallest share {shares.min():.3f}"
    )
    assert (shares >= 0.03).sum() >= 8
    assert certainty > 0.8
    assert seconds < 180
