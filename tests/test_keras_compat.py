import keras
import tensorflow as tf

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
