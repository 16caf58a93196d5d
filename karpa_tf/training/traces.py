"""Where the time of traced steps went, from a trace of TensorFlow's profiler."""

import collections
import dataclasses
import re

from karpa_tf import keras_compat

WAITING = "waiting for input"
QUICK = "scheduling, and operations too quick to be traced"
IDLE = "nothing ran but Python (callbacks, the next call)"
OPTIMIZER = "optimizer updates and moving averages"
NORMALIZATION = "normalization"
OTHER = "other"

BACKGROUND = (QUICK, WAITING, IDLE)
"""Kinds of the time while no operation is known to run; the first that applies."""

KINDS = (
    ("matrix products and convolutions", r"(Batch)?MatMul|Einsum|(Depthwise)?Conv\d?D?|Conv[23]D"),
    (NORMALIZATION, r"FusedBatchNorm|L2Normal|LRN"),
    ("random numbers", r"Stateless(Random|Truncated|Multinomial)|Random|Philox"),
    ("sums over devices", r"Collective|Nccl|AllReduce"),
    ("compiled by XLA", r"_?Xla"),
    (OPTIMIZER, r"ResourceApply|Assign(Add|Sub)?VariableOp"),
    (
        "copies and casts",
        r"Transpose|Reshape|Concat|Split|Slice|StridedSlice|Pad|MirrorPad|Gather|Scatter|Tile|Pack|Unpack|Cast|Bitcast"
        r"|ReadVariableOp|ResourceGather|Identity|Fill|Broadcast|Reverse|Squeeze|ExpandDims|Shape|Memcpy|Memset|Copy"
        r"|_?Send|_?Recv|OneHot|UnsortedSegment|ExtractImagePatches|HostSend|Zeros|Ones|Range|Dequantize|Quantize",
    ),
    (
        "element-wise operations and reductions",
        r"Mul|Add|AddN|AddV2|Sub|RealDiv|Div|Neg|Square|SquaredDifference|Sqrt|Rsqrt|Pow|Exp|Log|Erf|Tanh|Sigmoid"
        r"|Soft|Relu|LeakyRelu|Elu|Selu|Swish|Gelu|Select|Where|Maximum|Minimum|Greater|Less|Equal|NotEqual|Logical"
        r"|Sum|Mean|Max|Min|Prod|Any|All|ArgMax|ArgMin|L2Loss|BiasAdd|Clip|Abs|Sign|Round|Floor|Is|SparseSoftmax"
        r"|Reciprocal|Inv|UnaryOps|AvgPool|TopK|InTopK|Bitwise|Sin|Cos",
    ),
)
"""Kinds of operations, by regular expressions for the start of their kernel's name; the first that matches."""

_PREFIX = re.compile(r"^_?(Mkl)?(Native)?(Fused(?!BatchNorm))?")


@dataclasses.dataclass(frozen=True)
class Operation:
    """An operation of a graph."""

    name: str
    """Its name, without the scopes around the whole step."""

    type: str
    """The kernel, for example Conv2D."""

    kind: str
    """One of `KINDS`, or OTHER."""


@dataclasses.dataclass(frozen=True)
class Breakdown:
    """Where the time of traced steps went, in seconds of wall-clock time."""

    steps: int
    """Number of traced steps."""

    seconds: float
    """From the start of the first step to the end of the last."""

    kinds: dict
    """Seconds by kind, WAITING, QUICK and IDLE included; they add up to `seconds`."""

    operations: dict
    """(seconds, calls) by `Operation`."""

    pipeline: float
    """Seconds of work of the input pipeline, on threads of its own."""


def load_trace(path):
    """Returns the trace in an .xplane.pb file, an `XSpace`."""
    return keras_compat.parse_trace(path.read_bytes())


def compute_breakdown(space, step_name, optimizers=()):
    """Returns the `Breakdown` of the steps in a trace.

    While several operations run at once, the time is divided equally among them. TensorFlow 2.21 does not trace
    operations of a few microseconds. On a GPU or TPU the lines of the device count, not the threads that feed it.

    Args:
        space: result of `load_trace`.
        step_name: name of the `tf.profiler.experimental.Trace` around every step.
        optimizers: names of optimizers, which are scopes of their operations.
    """
    host = [_Line(plane, line) for plane in space.planes if plane.name == "/host:CPU" for line in plane.lines]
    devices = [
        _Line(plane, line)
        for plane in space.planes
        if re.match(r"/device:(GPU|TPU)", plane.name)
        for line in plane.lines
        if re.match(r"Stream|XLA Ops", line.name)
    ]
    steps = sorted((start, end) for line in host for start, end, name in line.events if name == step_name)
    start, end = steps[0][0], max(last for _, last in steps)
    pipeline = [line for line in host if line.name.startswith("tf_data")]
    computing = [line for line in devices or host if line not in pipeline]
    pieces = [piece for line in computing for piece in line.innermost_operations()]
    pieces += [(a, b, WAITING) for line in host for a, b, name in line.events if "IteratorGetNext" in name]
    if not devices:
        pieces += [
            (a, b, QUICK) for line in computing for a, b, name in line.events if name == "ExecutorState::Process"
        ]
    seconds_by_name, calls = _divide_time(pieces, start, end), collections.Counter()
    calls.update(name for line in computing for a, _, name in line.operations() if start <= a < end)
    kinds, operations = collections.Counter(), {}
    for name, seconds in seconds_by_name.items():
        if name in BACKGROUND:
            kinds[name] = seconds
            continue
        operation = parse_operation(name, optimizers)
        kinds[operation.kind] += seconds
        total, count = operations.get(operation, (0.0, 0))
        operations[operation] = (total + seconds, count + calls[name])
    worked = sum(b - a for line in pipeline for a, b, _ in line.innermost_operations() if start <= a < end)
    return Breakdown(len(steps), end - start, dict(kinds), operations, worked)


def parse_operation(name, optimizers=()):
    """Returns the `Operation` of an event named "path/of/the/operation:Type"."""
    path, _, kernel = name.rpartition(":")
    kernel = _PREFIX.sub("", kernel)
    parts = [_strip_numbers(part) for part in path.split("/")]
    optimizers = {_strip_numbers(optimizer) for optimizer in optimizers}
    kind = next((kind for kind, types in KINDS if re.match(rf"({types})", kernel)), OTHER)
    if any(part in optimizers or part in ("global_norm", "clip_by_norm") for part in parts):
        kind = OPTIMIZER
    elif kind != KINDS[0][0] and any(re.search(r"norm(alization)?$", part) for part in parts):
        kind = NORMALIZATION
    path = re.sub(r"(StatefulPartitionedCall|PartitionedCall|while|body)(_\d+)?/", "", path)
    path = re.sub(r"^(replica_\d+/)?(.*?)gradient_tape/", r"gradient of ", path)
    return Operation(path or kernel, kernel, kind)


def _strip_numbers(name):
    """Returns a name without numeric suffixes: adam_1_2 is adam."""
    return re.sub(r"(_\d+)+$", "", name)


class _Line:
    """The events of a thread, or of a stream of a device, with times in seconds."""

    def __init__(self, plane, line):
        self.name = line.name
        kinds = {number: stat.name for number, stat in plane.stat_metadata.items()}
        self.events = []
        for event in line.events:
            start = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
            name = plane.event_metadata[event.metadata_id].name
            # Events of devices and of XLA name the kernel; the operation is in a statistic.
            for stat in event.stats:
                if kinds[stat.metadata_id] == "tf_op":
                    name = stat.str_value or plane.stat_metadata[stat.ref_value].name or name
                elif kinds[stat.metadata_id] == "hlo_op" and ":" not in name:
                    is_product = re.match(r"conv|dot|Conv|MatMul", name)
                    name += ":Convolution" if is_product else ":XlaFusion"
            self.events.append((start, start + event.duration_ps * 1e-12, name))

    def operations(self):
        """Returns (start, end, name) of the events that run an operation."""
        if re.match(r"Stream|XLA Ops", self.name):
            return [(a, b, name if ":" in name else f"{name}:{name}") for a, b, name in self.events]
        return [event for event in self.events if re.fullmatch(r"[^:]+:\w+", event[2])]

    def innermost_operations(self):
        """Returns intervals (start, end, name) of operations without the operations nested in them."""
        pieces, open_events = [], []

        def close(until):
            while open_events and open_events[-1][1] <= until:
                start, end, name = open_events.pop()
                pieces.append((start, end, name))
                if open_events:
                    open_events[-1][0] = end

        for start, end, name in sorted(self.operations(), key=lambda event: (event[0], -event[1])):
            close(start)
            if open_events:
                pieces.append((open_events[-1][0], start, open_events[-1][2]))
            open_events.append([start, end, name])
        close(float("inf"))
        return [piece for piece in pieces if piece[1] > piece[0]]


def _divide_time(pieces, start, end):
    """Returns the seconds between two times by name, divided equally among overlapping intervals.

    While no operation runs, the time belongs to the first of `BACKGROUND` that applies.
    """
    borders = []
    for a, b, name in pieces:
        a, b = max(a, start), min(b, end)
        if a < b:
            borders += [(a, 1, name), (b, -1, name)]
    seconds, running, now = collections.Counter(), collections.Counter(), start
    for time, change, name in [*sorted(borders), (end, 0, IDLE)]:
        busy = {other: count for other, count in running.items() if other not in BACKGROUND}
        if not busy:
            busy = {next((other for other in BACKGROUND if other in running), IDLE): 1}
        for other, count in busy.items():
            seconds[other] += (time - now) * count / sum(busy.values())
        running[name] += change
        if not running[name]:
            del running[name]
        now = time
    return seconds
