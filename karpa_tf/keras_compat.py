"""Private API of Keras and TensorFlow where there is no public one, with the versions it was tested on."""

import keras
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def variable_index(optimizer, variable):
    """Returns the index of a variable, or of one replica's copy of it, in the list passed to `optimizer.build`.

    Keras' guide to writing optimizers uses this method (3.12 to 3.15); there is no public one.
    """
    return optimizer._get_variable_index(variable)


def flatten_layers(model):
    """Returns all layers of a model, also those within its layers, which Keras 3.15 has no public name for."""
    return list(model._flatten_layers(include_self=False))


class AlreadyBuilt:
    """Mixin, before `keras.Model`, for trainers that build their models, optimizers and metrics on construction.

    Under a strategy, Keras 3.12 to 3.15 averages the first batch over the replicas to infer its shapes, even if the
    model is built. This fails for booleans, strings, and batches that the replicas do not divide (keras#19246,
    keras#20329).
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Does nothing: everything is built."""

    def _make_function(self, step_function):
        """Packs the scalars that a step returns into a matrix of one row, for `MultiWorkerMirroredStrategy`.

        Keras 3.12 to 3.15 reduces each of them over its first axis, which scalars do not have (keras#20585). The matrix
        is reduced once, and also correctly by a Keras that reduces over replicas only.
        """
        strategy = self.distribute_strategy
        if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return super()._make_function(step_function)
        names = []

        def packed_step(data):
            report = step_function(data)
            names[:] = report
            return tf.stack([tf.cast(value, tf.float32) for value in report.values()])[None]

        run = super()._make_function(packed_step)

        def function(iterator):
            return dict(zip(names, tf.unstack(tf.reshape(run(iterator), [-1])), strict=True))

        return function


class TensorSeedGenerator(keras.random.SeedGenerator):
    """Returns the seeds `start + [0, 1]`, `start + [0, 2]`, ... for a tensor, so that random numbers depend on it only.

    Keras 3.12 to 3.15 accepts ints and generators as seeds, but no tensors. The constructor of the parent class is not
    called because it creates the variable that holds the state; `next` is the only method that Keras calls.

    Args:
        start: int64 (2,).
    """

    def __init__(self, start):
        self.start, self.count = tf.cast(start % 2**31, tf.int32), 0

    def next(self, ordered=True):
        self.count += 1
        return self.start + tf.constant([0, self.count], tf.int32)


class SeededRandAugment(keras.layers.RandAugment):
    """`keras.layers.RandAugment` that uses the `seed` of `get_random_transformation`.

    Keras 3.12 to 3.15 ignores the argument and uses the layer's own seed generator.
    """

    def get_random_transformation(self, data, training=True, seed=None):
        self._get_seed_generator = lambda backend=None: seed
        return super().get_random_transformation(data, training)


def freeze_variables(function):
    """Returns a `ConcreteFunction` that computes the same as another one, with constants instead of its variables.

    TensorFlow 2.21 has no public function for this.
    """
    return convert_variables_to_constants_v2(function)


def parse_trace(content):
    """Returns the message `XSpace` of an .xplane.pb file, which TensorFlow's profiler writes.

    Args:
        content: bytes of the file. TensorFlow 2.21 has no public name for its format.
    """
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    return xplane_pb2.XSpace.FromString(content)


def make_session_callable(session, feeds, fetches, options):
    """Returns a function of arrays, one for each name of a tensor in `feeds`, that returns the arrays of `fetches`.

    It feeds a `tf.compat.v1.Session` as TensorFlow's C++ sessions are fed; `Session.run` and `Session.make_callable`
    compare each array with the static shape of its placeholder first (TensorFlow 2.21).

    Args:
        options: `RunOptions` of every call.
    """
    return session._make_callable_from_options(
        config_pb2.CallableOptions(feed=feeds, fetch=fetches, run_options=options)
    )
