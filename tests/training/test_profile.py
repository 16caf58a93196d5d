"""The profile of a run: traces written by hand, and real traces of tiny networks."""

import dataclasses
import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_gan import make_dcgan_trainer

from karpa_tf import keras_compat
from karpa_tf.configs.run import RunConfig
from karpa_tf.data.images.batches import NoiseBatches
from karpa_tf.training import checkpoints, traces
from karpa_tf.training import run as runs
from karpa_tf.training.callbacks.profile import Profile, get_optimizer_names, summarize
from karpa_tf.training.fit import Plan, fit

CONFIG = RunConfig(batch_size=4, epochs=2, save_minutes=0, run="run", precision="float32")


def make_trace(planes):
    """Returns a trace with the events {plane: {line: [(name, start, end) in milliseconds]}}."""
    space = keras_compat.parse_trace(b"")
    for plane_name, lines in planes.items():
        plane = space.planes.add(name=plane_name)
        plane.stat_metadata[1].name = "tf_op"
        for line_name, events in lines.items():
            line = plane.lines.add(name=line_name, timestamp_ns=10**9)
            for name, start, end, *operation in events:
                number = len(plane.event_metadata) + 1
                plane.event_metadata[number].name = name
                event = line.events.add(metadata_id=number, offset_ps=int(start * 1e9))
                event.duration_ps = int((end - start) * 1e9)
                for text in operation:
                    event.stats.add(metadata_id=1, str_value=text)
    return space


STEPS = [("step", 0, 40), ("step", 50, 100), ("unlike:a step", 0, 100)]


def to_milliseconds(times):
    return {name: pytest.approx(1e3 * seconds, abs=1e-6) for name, seconds in times.items()}


def test_the_time_of_overlapping_operations_is_divided_and_nothing_counts_twice():
    space = make_trace(
        {
            "/host:CPU": {
                "python": STEPS,
                "tf_Compute/1": [
                    ("before/Mul:Mul", -20, 10),  # ten of it within the steps
                    ("net/Conv2D:_MklNativeFusedConv2D", 10, 30),
                    ("adam/loop/While:While", 60, 100),
                    ("net/MatMul:MatMul", 70, 90),  # within the one above
                    ("ExecutorState::Process", 0, 32),
                    ("ExecutorState::Process", 48, 52),
                ],
                "tf_Compute/2": [("net/add/AddV2:AddV2", 20, 30)],
                "tf_data_private_threadpool/3": [("decode:DecodePng", 0, 70)],
                "tf_data_iterator_get_next/4": [("IteratorGetNextOp::DoCompute", 25, 50)],
            }
        }
    )
    breakdown = traces.compute_breakdown(space, "step", {"adam"})
    assert (breakdown.steps, breakdown.seconds, breakdown.pipeline) == (2, pytest.approx(0.1), pytest.approx(0.07))
    assert to_milliseconds(breakdown.kinds) == {
        "matrix products and convolutions": 10 + 5 + 20,
        "element-wise operations and reductions": 10 + 5,
        traces.OPTIMIZER: 20,
        traces.QUICK: 2 + 4,
        traces.WAITING: 16,  # from 32 to 48, for before and after something ran
        traces.IDLE: 8,
    }
    times = {operation.name: seconds for operation, (seconds, _) in breakdown.operations.items()}
    assert to_milliseconds(times) == {"before/Mul": 10, "net/Conv2D": 15, "adam/loop/While": 20, "net/MatMul": 20} | {
        "net/add/AddV2": 5
    }
    assert sum(breakdown.kinds.values()) == pytest.approx(breakdown.seconds)


def test_the_streams_of_a_gpu_count_by_the_operations_that_they_run():
    space = make_trace(
        {
            "/host:CPU": {"python": STEPS, "tf_Compute/1": [("net/MatMul:MatMul", 0, 100)]},
            "/device:GPU:0": {
                "Stream #14": [("sgemm_128x64", 10, 40, "net/MatMul:MatMul"), ("MemcpyH2D", 90, 100)],
                "XLA Modules": [("all of it", 0, 100)],
            },
        }
    )
    breakdown = traces.compute_breakdown(space, "step")
    assert to_milliseconds(breakdown.kinds) == {
        "matrix products and convolutions": 30,
        "copies and casts": 10,
        traces.IDLE: 60,
    }


@pytest.mark.parametrize(
    ("event", "name", "kernel", "kind"),
    [
        ("a/conv:_MklNativeConv2DBackpropFilterWithBias", "a/conv", "Conv2DBackpropFilterWithBias", "matrix products"),
        ("a/b:_FusedMatMul", "a/b", "MatMul", "matrix products"),
        ("a/b:_MklNativeFusedBatchNormEx", "a/b", "FusedBatchNormEx", "normalization"),
        ("gradient_tape/net/block_1_norm_2/mul:Mul", "gradient of net/block_1_norm_2/mul", "Mul", "normalization"),
        ("StatefulPartitionedCall/adam_1/Sqrt:Sqrt", "adam_1/Sqrt", "Sqrt", "optimizer"),
        ("global_norm/L2Loss:L2Loss", "global_norm/L2Loss", "L2Loss", "optimizer"),
        ("AssignSubVariableOp:AssignSubVariableOp", "AssignSubVariableOp", "AssignSubVariableOp", "optimizer"),
        ("x/dropout/u:StatelessRandomUniformFullIntV2", "x/dropout/u", "StatelessRandomUniformFullIntV2", "random"),
        ("a/Softmax:_MklSoftmax", "a/Softmax", "Softmax", "element-wise"),
        ("a/AddN:AddN", "a/AddN", "AddN", "element-wise"),
        ("a/MaxPool:MaxPool", "a/MaxPool", "MaxPool", "element-wise"),
        ("a/Cast:Cast", "a/Cast", "Cast", "copies"),
        ("a/strided_slice:StridedSlice", "a/strided_slice", "StridedSlice", "copies"),
        ("cluster:_XlaRun", "cluster", "XlaRun", "compiled by XLA"),
        ("CollectiveReduceV2:CollectiveReduceV2", "CollectiveReduceV2", "CollectiveReduceV2", "sums over devices"),
        ("a/b:Cholesky", "a/b", "Cholesky", "other"),
    ],
)
def test_operations_are_sorted_by_kernel_and_scope(event, name, kernel, kind):
    operation = traces.parse_operation(event, {"adam"})
    assert (operation.name, operation.type) == (name, kernel)
    assert operation.kind.startswith(kind)


IMAGES = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 1), dtype=np.uint8)


def train(run, steps, **changes):
    trainer = make_dcgan_trainer()
    state = checkpoints.restore_latest(trainer, run, pytest.fail)
    batches = functools.partial(NoiseBatches(IMAGES, 4, 4).make, 1)
    fit(trainer, batches, Plan(run, dataclasses.replace(CONFIG, **changes), state, steps))


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    run = runs.open_run(dataclasses.replace(CONFIG, run=str(tmp_path_factory.mktemp("runs") / "run")), "train_gan")
    run.update_metadata(device="1 x CPU")
    train(run, 20, profile=True)
    return run


def percentages(page, heading):
    table = page.partition(heading)[2].partition("\n\n")[0]
    return [float(number) for number in re.findall(r"([\d.]+)% \|", table)]


def test_a_run_is_profiled_and_the_summary_shows_where_the_time_went(profiled):
    page = (profiled.profile / "summary.md").read_text()
    assert "train_gan on 1 x CPU in float32: steps 8 to 13 of an epoch." in page
    *kinds, total = percentages(page, "| kind | ms per step | fraction |\n")
    assert total == 100 and sum(kinds) == pytest.approx(100, abs=0.1 * len(kinds))
    assert "| matrix products and convolutions |" in page and "| before |" in page
    operations = page.partition("## The ten most expensive operations\n\n")[2]
    assert len(percentages(page, "## The ten most expensive operations\n\n")) == 10
    assert re.search(r"\| Conv2D\w* \| 1 \|", operations)
    assert len(list(profiled.profile.glob("plugins/profile/*/*.xplane.pb"))) == 1  # what TensorBoard reads


def test_a_profile_covers_most_of_the_time(profiled):
    (path,) = profiled.profile.rglob("*.xplane.pb")
    breakdown = traces.compute_breakdown(traces.load_trace(path), "train_step", {"adam"})
    assert breakdown.steps == 6
    calls = {operation.name: calls for operation, (_, calls) in breakdown.operations.items()}
    assert {calls[name] for name in calls if name.endswith("/FusedBatchNormV3")} == {6}
    assert breakdown.kinds[traces.OPTIMIZER] > 0
    assert breakdown.kinds.get(traces.OTHER, 0) < 0.1 * breakdown.seconds


def test_without_the_flag_nothing_is_traced(monkeypatch):
    monkeypatch.setattr(tf.profiler.experimental, "start", pytest.fail)
    run = runs.open_run(CONFIG, "train_gan")
    train(run, steps=3, epochs=1)
    assert not run.profile.exists()


def test_the_flag_does_not_change_the_config_of_a_run():
    config = RunConfig(run="run")
    runs.open_run(config, "train_gan")
    run = runs.open_run(dataclasses.replace(config, profile=True), "train_gan")
    assert "profile" not in run.read_config()


@pytest.mark.parametrize(("first", "traced"), [(0, range(7, 13)), (3, range(10, 16)), (9, range(20, 26)), (38, None)])
def test_traced_steps_are_in_the_middle_of_one_epoch_wherever_a_run_resumes(first, traced, monkeypatch, capsys):
    """Of two epochs of 20 steps, from step `first` on."""
    traced_steps, now = [], []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: traced_steps.append(now[-1]))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: traced_steps.append(now[-1] + 1))
    callback = Profile(runs.Run("run"), "")
    monkeypatch.setattr(callback, "_report", lambda: None)
    callback.set_params({"steps": 20})
    callback.on_train_begin()
    for step in range(first, 40):
        now.append(step)
        if step in (first, 20):
            callback.on_epoch_begin(step // 20)
        callback.on_train_batch_begin(step % 20)
        callback.on_train_batch_end(step % 20)
    callback.on_train_end()
    assert traced_steps == ([traced.start, traced.stop] if traced else [])
    assert ("traced nothing: only 2 steps were left" in capsys.readouterr().out) == (traced is None)


def test_a_trace_without_operations_is_summarized():
    space = make_trace({"/host:CPU": {"python": [("step", 0, 10)]}})
    page = summarize(traces.compute_breakdown(space, "step"), "Nothing.")
    assert percentages(page, "| kind | ms per step | fraction |\n")[-1] == 100


def test_the_names_of_a_scaled_optimizer_and_its_inner_one_are_returned():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(name="sgd"))
    assert list(get_optimizer_names([optimizer])) == [optimizer.name, "sgd"]
