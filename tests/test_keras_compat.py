import keras
import numpy as np
import pytest
import tensorflow as tf
from counting_trainers import Counter, Repaired, RepairedLetters
from tensorflow.core.protobuf import config_pb2

from karpa_tf import keras_compat


def test_the_index_of_a_variable_is_that_of_each_replicas_copy(two_replicas):
    with two_replicas.scope():
        variables = [keras.Variable([float(i)]) for i in range(3)]
        optimizer = keras.optimizers.SGD()
        optimizer.build(variables)
    for index, variable in enumerate(variables):
        assert keras_compat.variable_index(optimizer, variable) == index
        for copy in two_replicas.experimental_local_results(variable.value):
            assert isinstance(copy, tf.Variable) and keras_compat.variable_index(optimizer, copy) == index


def counted(kind, strategy):
    with strategy.scope():
        trainer = kind()
        trainer.compile(optimizer=None)
    truths = tf.data.Dataset.from_tensor_slices(np.array([True, False, True])).batch(3)
    return trainer.fit(truths, shuffle=False, verbose=0).history["found"]


def test_boolean_batches_that_the_replicas_do_not_divide_are_trained_on(two_replicas):
    assert counted(Repaired, two_replicas) == [2.0]


def test_dicts_of_strings_that_the_replicas_do_not_divide_are_trained_on(two_replicas):
    with two_replicas.scope():
        trainer = RepairedLetters()
        trainer.compile(optimizer=None)
    texts = tf.data.Dataset.from_tensor_slices({"text": ["a", "bc", "def", "gh", "i"]}).batch(3)
    assert trainer.fit(texts, shuffle=False, verbose=0).history["found"] == [9.0]


def test_keras_still_needs_the_repair(two_replicas):
    # The day this fails `AlreadyBuilt` can go.
    with pytest.raises((tf.errors.InvalidArgumentError, TypeError, ValueError)):
        counted(Counter, two_replicas)


def test_a_tensor_seed_generator_counts_from_its_tensor():
    start = tf.constant([7, 2**40 + 5], tf.int64)
    expected = [[7, 5 + count] for count in (1, 2)]
    generator = keras_compat.TensorSeedGenerator(start)
    assert [generator.next().numpy().tolist() for _ in range(2)] == expected
    generator = keras_compat.TensorSeedGenerator(start)
    for seed in expected:
        np.testing.assert_array_equal(
            keras.random.uniform((4,), seed=generator), tf.random.stateless_uniform((4,), seed=seed)
        )


def rand_augment(layer, images, start):
    """Returns images augmented with the seeds of a `TensorSeedGenerator`."""
    generator = keras_compat.TensorSeedGenerator(tf.constant(start, tf.int64))
    transformation = layer.get_random_transformation(images, training=True, seed=generator)
    return layer.transform_images(images, transformation, training=True).numpy()


def make_rand_augment(layer_class):
    layer = layer_class(factor=0.5, value_range=(0, 255), seed=0)
    layer.build((None, 12, 12, 3))
    return layer, tf.constant(np.random.default_rng(0).uniform(0, 255, (16, 12, 12, 3)), tf.float32)


def test_seeded_rand_augment_depends_on_the_seed_only():
    layer, images = make_rand_augment(keras_compat.SeededRandAugment)
    first, repeated, other = (rand_augment(layer, images, (1, number)) for number in (2, 2, 3))
    np.testing.assert_array_equal(first, repeated)
    assert np.abs(first - images).mean() > 1 and np.abs(first - other).mean() > 1


def test_keras_rand_augment_still_ignores_the_seed():
    # `SeededRandAugment` can be removed when this fails.
    layer, images = make_rand_augment(keras.layers.RandAugment)
    first, repeated = (rand_augment(layer, images, (1, 2)) for _ in range(2))
    assert np.abs(first - repeated).mean() > 1


def test_a_frozen_function_keeps_the_values_of_its_variables():
    variable = tf.Variable([1.0, 2.0])
    function = tf.function(lambda x: {"y": x * variable}, input_signature=[tf.TensorSpec((2,), name="x")])
    frozen = keras_compat.freeze_variables(function.get_concrete_function())
    variable.assign([0.0, 0.0])
    assert frozen.variables == () and [tensor.name for tensor in frozen.inputs] == ["x:0"]
    (output,) = frozen(tf.constant([3.0, 4.0]))
    assert output.numpy().tolist() == [3.0, 8.0]


def test_a_trace_of_the_profiler_is_parsed(tmp_path):
    with tf.profiler.experimental.Profile(str(tmp_path)), tf.profiler.experimental.Trace("step", step_num=0):
        tf.constant(1.0) + 1.0
    (file,) = tmp_path.rglob("*.xplane.pb")
    planes = {plane.name: plane for plane in keras_compat.parse_trace(file.read_bytes()).planes}
    assert "step" in [event.name for event in planes["/host:CPU"].event_metadata.values()]


def test_no_bytes_are_an_empty_trace():
    assert len(keras_compat.parse_trace(b"").planes) == 0


def test_a_session_callable_leaves_shapes_to_the_graph():
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 1], name="x")
        doubled = tf.multiply(x, 2.0, name="doubled")
        vector = np.array([1, 2], np.float32)
        call = keras_compat.make_session_callable(session, ["x:0"], ["doubled:0"], config_pb2.RunOptions())
        np.testing.assert_array_equal(call(vector)[0], [2, 4])
        with pytest.raises(ValueError, match="Cannot feed value of shape"):  # otherwise Session.run would do
            session.run(doubled, {x: vector})
