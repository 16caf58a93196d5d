"""What a trace by TensorFlow's profiler says of where the time went."""

import collections
import dataclasses
import re

# TensorFlow has no public name for the format that its profiler writes.
from tensorflow.tsl.profiler.protobuf import xplane_pb2

WAITING = "waiting for input"
QUICK = "scheduling, and operations too quick to be traced"
IDLE = "nothing ran but Python (callbacks, the next call)"
OPTIMIZER = "optimizer updates and moving averages"
NORMALISATION = "normalization"
OTHER = "other"

BACKGROUND = (QUICK, WAITING, IDLE)
"""What counts while no operation is known to run, in this order."""

KINDS = (
    ("matrix products and convolutions", r"(Batch)?MatMul|Einsum|(Depthwise)?Conv\d?D?|Conv[23]D"),
    (NORMALISATION, r"FusedBatchNorm|L2Normal|LRN"),
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
"""Kinds of operations, by what the name of their type begins with; the first that fits counts."""

_PREFIX = re.compile(r"^_?(Mkl)?(Native)?(Fused(?!BatchNorm))?")


@dataclasses.dataclass(frozen=True)
class Operation:
    """Calls of one operation of a graph."""

    name: str
    """Its name, without what wraps the whole step."""

    type: str
    """The kind of kernel, Conv2D for example."""

    kind: str
    """One of `KINDS`, or OTHER."""


@dataclasses.dataclass(frozen=True)
class Breakdown:
    """Where the time of traced steps went, in seconds of the clock on the wall."""

    steps: int
    """How many were traced."""

    seconds: float
    """From the beginning of the first to the end of the last."""

    kinds: dict
    """Seconds by kind, WAITING, QUICK and IDLE included; they add up to `seconds`."""

    operations: dict
    """(seconds, calls) by `Operation`."""

    pipeline: float
    """Seconds for which the input pipeline worked, on threads of its own, beside all this."""


def read(path):
    """Returns the traces in an .xplane.pb file."""
    space = xplane_pb2.XSpace()
    space.ParseFromString(path.read_bytes())
    return space


def breakdown(space, step_name, optimizers=()):
    """Returns the `Breakdown` of the steps in a trace.

    Where several operations run at once, each gets an equal part of that time. Of those that have proved quick, of some
    microseconds, TensorFlow 2.21 keeps no trace. On a GPU or TPU its own lines count, not the threads that feed it.

    Args:
        space: what `read` returned.
        step_name: name of the `tf.profiler.experimental.Trace` around every step.
        optimizers: names of optimizers, under which their operations are found.
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
    clock, calls = _share_out(pieces, start, end), collections.Counter()
    calls.update(name for line in computing for a, _, name in line.operations() if start <= a < end)
    kinds, operations = collections.Counter(), {}
    for name, seconds in clock.items():
        if name in BACKGROUND:
            kinds[name] = seconds
            continue
        operation = describe(name, optimizers)
        kinds[operation.kind] += seconds
        known = operations.get(operation, (0.0, 0))
        operations[operation] = (known[0] + seconds, known[1] + calls[name])
    worked = sum(b - a for line in pipeline for a, b, _ in line.innermost_operations() if start <= a < end)
    return Breakdown(len(steps), end - start, dict(kinds), operations, worked)


def describe(name, optimizers=()):
    """Returns the `Operation` of an event's name, "path/of/the/operation:Type"."""
    path, _, kernel = name.rpartition(":")
    kernel = _PREFIX.sub("", kernel)
    parts = [_unnumbered(part) for part in path.split("/")]
    optimizers = {_unnumbered(optimizer) for optimizer in optimizers}
    fitting = (kind for kind, types in KINDS if re.match(rf"({types})", kernel))
    kind = next(fitting, OTHER)
    if any(part in optimizers or part in ("global_norm", "clip_by_norm") for part in parts):
        kind = OPTIMIZER
    elif kind != KINDS[0][0] and any(re.search(r"norm(alization)?$", part) for part in parts):
        kind = NORMALISATION
    path = re.sub(r"(StatefulPartitionedCall|PartitionedCall|while|body)(_\d+)?/", "", path)
    path = re.sub(r"^(replica_\d+/)?(.*?)gradient_tape/", r"gradient of ", path)
    return Operation(path or kernel, kernel, kind)


def _unnumbered(name):
    """Returns a name without what keeps it apart from others of its kind: adam_1_2 is adam."""
    return re.sub(r"(_\d+)+$", "", name)


class _Line:
    """One thread, or one stream of a device, with times in seconds."""

    def __init__(self, plane, line):
        self.name = line.name
        kinds = {number: stat.name for number, stat in plane.stat_metadata.items()}
        self.events = []
        for event in line.events:
            start = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
            name = plane.event_metadata[event.metadata_id].name
            # A kernel of a device is named in its own words, and its operation in a note; so is what XLA has compiled.
            for stat in event.stats:
                if kinds[stat.metadata_id] == "tf_op":
                    name = stat.str_value or plane.stat_metadata[stat.ref_value].name or name
                elif kinds[stat.metadata_id] == "hlo_op" and ":" not in name:
                    is_product = re.match(r"conv|dot|Conv|MatMul", name)
                    name += ":Convolution" if is_product else ":XlaFusion"
            self.events.append((start, start + event.duration_ps * 1e-12, name))

    def operations(self):
        """Returns (start, end, name) of what runs an operation."""
        if re.match(r"Stream|XLA Ops", self.name):
            return [(a, b, name if ":" in name else f"{name}:{name}") for a, b, name in self.events]
        return [event for event in self.events if re.fullmatch(r"[^:]+:\w+", event[2])]

    def innermost_operations(self):
        """Returns pieces of time (start, end, name), in each of which one operation runs and none within it."""
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


def _share_out(pieces, start, end):
    """Returns the seconds between two times by name, shared equally by the pieces that overlap.

    While no operation runs, the time is that of the first of `BACKGROUND` that fits.
    """
    borders = []
    for a, b, name in pieces:
        a, b = max(a, start), min(b, end)
        if a < b:
            borders += [(a, 1, name), (b, -1, name)]
    clock, running, now = collections.Counter(), collections.Counter(), start
    for time, change, name in [*sorted(borders), (end, 0, IDLE)]:
        busy = {other: count for other, count in running.items() if other not in BACKGROUND}
        if not busy:
            busy = {next((other for other in BACKGROUND if other in running), IDLE): 1}
        for other, count in busy.items():
            clock[other] += (time - now) * count / sum(busy.values())
        running[name] += change
        if not running[name]:
            del running[name]
        now = time
    return clock
