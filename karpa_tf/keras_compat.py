"""Where Keras has no public name for what is needed; each with the versions that it was tested on."""

import tensorflow as tf


def variable_index(optimizer, variable):
    """Returns the place of a variable, or of one replica's copy of it, in the list that `optimizer.build` was given.

    Keras' own guide to writing optimizers uses this name (3.12 to 3.15); there is no public one.
    """
    return optimizer._get_variable_index(variable)


class AlreadyBuilt:
    """For trainers whose models, optimizers and metrics are built when they are made; stands before `keras.Model`.

    Keras 3.12 to 3.15 under a strategy averages the first batch over the replicas to learn its shapes, even of a model
    that is built: booleans and strings fail, and so does a batch that the replicas do not divide (keras#19246,
    keras#20329).
    """

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Leaves out what has been done."""

    def _make_function(self, step_function):
        """Makes one reduction of what a step reports over several workers, and one that succeeds.

        Keras 3.12 to 3.15 reduces each number over its first axis, which a scalar has not (keras#20585). Here all of
        them travel as one row of a matrix; a Keras that reduces over the replicas alone leaves it a matrix of one row.
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
