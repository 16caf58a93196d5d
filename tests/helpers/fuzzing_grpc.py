"""Random malformed gRPC messages, from a `random.Random`."""

import numpy as np
from fuzzing import IMAGE, PREDICTION, Grpc
from served import request_of, strings
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

MODEL = "/tensorflow.serving.ModelService/"

VALID = [
    ("images", "", {"image_bytes": strings([IMAGE])}),
    ("images", "images", {"images": np.zeros((1, 12, 12, 3), np.uint8)}),
    ("drawings", "", {"seed": np.array([1, 2])}),
    ("drawings", "noise", {"noise": np.zeros((1, 8), np.float32)}),
    ("words", "", {"text": strings([b"the [MASK] of a list."])}),
    ("words", "token_ids", {"token_ids": np.ones((1, 16), np.int32), "mask_positions": np.ones((1, 2), np.int32)}),
    ("opinions", "", {"text": strings([b"a list"])}),
]


def tensor_case(rng):
    """Returns a valid request whose tensor has another shape, type, content, number of values or name."""
    model, signature, inputs = rng.choice(VALID)
    request = request_of(model, signature, inputs)
    name = rng.choice(sorted(inputs))
    tensor = request.inputs[name]
    what = rng.choice(["shape", "type", "content", "values", "name", "more", "float", "rank", "strings"])
    if what == "shape":
        for dim in tensor.tensor_shape.dim:
            if rng.random() < 0.7:
                dim.size = rng.choice([-(2**63), -1, 0, 1, 2, 255, 10**4, 10**6, 10**12, 2**62, 2**63 - 1])
        if rng.random() < 0.3:
            tensor.tensor_shape.dim.extend([tensor.tensor_shape.dim.add(size=rng.choice([0, 1, 2, 10**6]))])
    elif what == "type":
        tensor.dtype = rng.choice([*types_pb2.DataType.values(), 99, -1, 2**31 - 1])
    elif what == "content":
        tensor.tensor_content = rng.randbytes(rng.randrange(2000))
    elif what == "values":
        field = rng.choice(["float_val", "int_val", "int64_val", "string_val", "bool_val", "half_val", "uint64_val"])
        values = [b"a"] if field == "string_val" else [1]
        getattr(tensor, field).extend(values * rng.choice([1, 7, 5000]))
    elif what == "name":
        request.inputs[rng.choice(["", "x", name + "\0", "é"])].CopyFrom(request.inputs.pop(name))
    elif what == "more":
        request.inputs["x"].CopyFrom(tensor)
    elif what == "float":
        tensor.Clear()
        tensor.dtype = types_pb2.DT_FLOAT
        tensor.tensor_shape.dim.add(size=3)
        tensor.float_val.extend([float("nan"), float("inf"), 1e30])
    elif what == "rank":
        tensor.tensor_shape.unknown_rank = True
    else:
        tensor.Clear()
        tensor.dtype = types_pb2.DT_STRING
        tensor.tensor_shape.dim.add(size=rng.choice([1, 2, 3000]))
        tensor.string_val.extend([rng.randbytes(rng.randrange(100)) for _ in range(rng.randrange(4))])
    return Grpc(f"tensor, {what}", PREDICTION + "Predict", request.SerializeToString())


def message_case(rng):
    """Returns a request of any method with meaningless fields, or bytes that are no message."""
    spec = {"name": rng.choice(["", "no", "words", "images", "é", "a" * 5000, "../x"])}
    spec |= rng.choice([{}, {"version": {"value": rng.choice([-1, 0, 1, 9, 2**63 - 1])}}, {"version_label": "no"}])
    spec |= rng.choice([{}, {"signature_name": rng.choice(["no", "classify", "", "token_ids", "\0"])}])
    predict = request_of("words", "", {"text": [b"a"]})
    predict.output_filter.extend(rng.choice([["no"], ["scores"] * 2, ["scores", ""], ["a" * 9000], [""] * 3000]))
    method, message = rng.choice([
        (PREDICTION + "Predict", predict),
        (PREDICTION + "GetModelMetadata", get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=rng.choice([[], ["no"], ["signature_def"] * 2, [""]]))),
        (MODEL + "GetModelStatus", get_model_status_pb2.GetModelStatusRequest(model_spec=spec)),
    ])  # fmt: skip
    data = bytearray(message.SerializeToString())
    what = rng.choice(["fields", "cut", "flipped", "random", "nested", "method"])
    if what == "cut":
        data = data[: rng.randrange(len(data) + 1)]
    elif what == "flipped" and data:
        for _ in range(rng.randint(1, 5)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif what == "random":
        data = rng.randbytes(rng.randrange(1, 2000))
    elif what == "nested":
        data = b"\x0b" * rng.choice([50, 5000])
    elif what == "method":
        method = rng.choice([PREDICTION + "No", PREDICTION + "Classify", "/no.Service/Predict", "/", "/" + "a" * 3000])
    return Grpc(f"{method[-40:]}, {what}", method, bytes(data))
