import keras
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.distribution import reductions, strategy
from karpa_tf.errors import UserError


def test_mirrored_uses_all_devices_and_is_made_once():
    first = strategy.make_strategy("mirrored")
    assert first.num_replicas_in_sync == 2
    assert strategy.make_strategy("mirrored") is first


def test_several_workers_need_a_cluster_and_a_cluster_needs_several_workers(monkeypatch):
    with pytest.raises(UserError, match="--strategy multiworker needs several workers"):
        strategy.make_strategy("multiworker")
    monkeypatch.setenv("TF_CONFIG", '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}')
    for name in ("none", "mirrored", "tpu"):
        with pytest.raises(UserError, match=f"--strategy {name} trains in one process, but TF_CONFIG names 2 workers"):
            strategy.make_strategy(name)


def test_a_missing_tpu_is_reported():
    with pytest.raises(UserError, match="--strategy tpu finds no TPU on this machine: "):
        strategy.make_strategy("tpu")


def test_without_gpus_auto_and_none_use_one_device():
    assert strategy.make_strategy("auto").num_replicas_in_sync == 1
    assert strategy.make_strategy("none").num_replicas_in_sync == 1


@pytest.mark.parametrize("values_of_replicas", [([1.0, 2.0], [6.0, 7.0]), ([1.0, 2.0, 3.0], [10.0])])
def test_the_contributions_of_the_replicas_sum_to_the_mean(two_replicas, values_of_replicas):
    values = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.constant(values_of_replicas[context.replica_id_in_sync_group])
    )
    contributions = two_replicas.run(reductions.mean_over_replicas, args=(values,))
    total = two_replicas.reduce("SUM", contributions, axis=None)
    np.testing.assert_allclose(total, np.mean(np.concatenate(values_of_replicas)))


def test_floats_are_averaged_over_the_replicas_and_counters_are_not(two_replicas):
    with two_replicas.scope():
        statistics = keras.Variable([0.0, 0.0], trainable=False)
        counter = keras.Variable([5, 5], dtype="int32", trainable=False)

    @tf.function
    def step():
        replica = tf.cast(tf.distribute.get_replica_context().replica_id_in_sync_group, tf.float32)
        statistics.assign([replica, 10 * replica])
        reductions.average_over_replicas([statistics, counter])

    two_replicas.run(step)
    for local in two_replicas.experimental_local_results(statistics.value):
        np.testing.assert_allclose(local, [0.5, 5.0])
    assert counter.numpy().tolist() == [5, 5]


def test_the_replicas_must_divide_a_batch(two_replicas):
    strategy.require_divisible(8, two_replicas)
    with pytest.raises(UserError, match="divided among 2 devices and must be a multiple of 2; received 7"):
        strategy.require_divisible(7, two_replicas)


@pytest.mark.parametrize(("name", "expected"), [("auto", False), ("on", True), ("off", False)])
def test_xla_is_off_on_a_cpu_unless_requested(name, expected):
    assert strategy.jit_compile(name, strategy.make_strategy("none")) is expected
