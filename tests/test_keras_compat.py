import keras
import numpy as np
import pytest
import tensorflow as tf
from counting_trainers import Counter, Repaired, RepairedLetters

from karpa_tf import keras_compat


def test_a_variable_and_each_replicas_copy_of_it_are_found(two_replicas):
    with two_replicas.scope():
        variables = [keras.Variable([float(i)]) for i in range(3)]
        optimizer = keras.optimizers.SGD()
        optimizer.build(variables)
    for place, variable in enumerate(variables):
        assert keras_compat.variable_index(optimizer, variable) == place
        for copy in two_replicas.experimental_local_results(variable.value):
            assert isinstance(copy, tf.Variable) and keras_compat.variable_index(optimizer, copy) == place


def counted(kind, strategy):
    with strategy.scope():
        trainer = kind()
        trainer.compile(optimizer=None)
    truths = tf.data.Dataset.from_tensor_slices(np.array([True, False, True])).batch(3)
    return trainer.fit(truths, shuffle=False, verbose=0).history["found"]


def test_batches_of_truths_that_the_replicas_do_not_divide_are_trained_on(two_replicas):
    assert counted(Repaired, two_replicas) == [2.0]


def test_texts_in_a_dict_in_batches_that_the_replicas_do_not_divide_are_trained_on(two_replicas):
    with two_replicas.scope():
        trainer = RepairedLetters()
        trainer.compile(optimizer=None)
    texts = tf.data.Dataset.from_tensor_slices({"text": ["a", "bc", "def", "gh", "i"]}).batch(3)
    assert trainer.fit(texts, shuffle=False, verbose=0).history["found"] == [9.0]


def test_keras_still_needs_the_repair(two_replicas):
    # The day this fails `AlreadyBuilt` can go.
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        counted(Counter, two_replicas)
