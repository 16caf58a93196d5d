"""Malformed requests, the same ones for the same seed: HTTP as it goes over the wire, and gRPC messages."""

import base64
import gzip
import json
import random
import struct
import zlib
from typing import NamedTuple

import numpy as np
from served import example, picture_files, request_of, strings
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    regression_pb2,
)

PICTURE = picture_files(1)[0]
PREDICTION, MODEL = "/tensorflow.serving.PredictionService/", "/tensorflow.serving.ModelService/"


class Http(NamedTuple):
    """What is written to the REST port; `must_answer`: an answer has to come, the connection may not just be closed."""

    label: str
    data: bytes
    must_answer: bool = True


class Grpc(NamedTuple):
    """A message for a method."""

    label: str
    method: str
    data: bytes


def cases(seed, count):
    """Yields `count` of them; number i does not depend on `count`."""
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        make = rng.choices([_json, _picture, _bytes, _place, _wire, _tensor, _message], [6, 3, 3, 2, 3, 6, 4])[0]
        case = make(rng)
        yield case._replace(label=f"seed {seed}, case {number}: {case.label}")


def post(path, body, *headers):
    """Returns a POST request as it goes over the wire."""
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def bomb(width, height, chunk=b""):
    """Returns a PNG file with the header of a large picture, and whatever compressed pixels are given."""

    def piece(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", chunk) + piece(b"IEND", b"")


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


VALID = [
    ("pictures", {"instances": [{"image_bytes": b64(PICTURE)}]}),
    ("pictures", {"inputs": {"image_bytes": [b64(PICTURE)] * 2}}),
    ("pictures", {"signature_name": "images", "inputs": [[[[1, 2, 3]] * 12] * 12]}),
    ("drawings", {"instances": [1, 2]}),
    ("drawings", {"signature_name": "noise", "inputs": {"noise": [[0.5] * 8] * 2}}),
    ("words", {"inputs": {"text": ["the [MASK] of a list."]}}),
    ("words", {"signature_name": "token_ids", "instances": [{"token_ids": [1] * 16, "mask_positions": [1, 2]}]}),
    ("opinions", {"instances": ["a list", "the list"]}),
]
EXAMPLES = {"signature_name": "classify", "context": {"a": 1}, "examples": [{"image_bytes": b64(PICTURE)}]}

JUNK = [None, True, False, -1, 0, 1, 255, 256, 300, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, 1e300, 1e-300,
        float("nan"), float("inf"), "", "x", "[MASK]" * 500, "\0", "\ud800", "é" * 5000, "😀", "serving_default", [], {},
        [[]], [None], [[[[[[]]]]]], [1, "a"], [1, [2]], {"b64": 1}, {"b64": ""}, {"b64": "%%%"}, {"b64": "QUJ"},
        {"b64": "QUJD", "x": 1}, {"": {}}, [0] * 5000, [{}] * 300, ["a"] * 2000]  # fmt: skip


def _json(rng):
    """A valid document with some of its parts replaced, removed, doubled or renamed."""
    model, document = rng.choice([*VALID, ("pictures", EXAMPLES)])
    document = json.loads(json.dumps(document))
    for _ in range(rng.randint(1, 3)):
        _spoil(rng, document)
    method = rng.choice(["predict"] * 6 + ["classify", "regress"])
    body = json.dumps(document, allow_nan=True).encode("utf-8", "surrogatepass")
    return Http("JSON", post(f"/v1/models/{model}:{method}", body))


def _spoil(rng, node):
    """Changes something below a list or a dict."""
    while node and isinstance(node, (dict, list)):
        key = rng.choice(list(node)) if isinstance(node, dict) else rng.randrange(len(node))
        if isinstance(node[key], (dict, list)) and rng.random() < 0.7:
            node = node[key]
            continue
        what = rng.randrange(5)
        if what == 0:
            del node[key]
        elif what == 1 and isinstance(node, dict):
            node[rng.choice(["", "x", "inputs", "instances", "b64", key + " "])] = node.pop(key)
        elif what == 2 and isinstance(node, list):
            node.insert(key, rng.choice(JUNK))
        else:
            node[key] = rng.choice(JUNK)
        return


def _picture(rng):
    """Picture files that are cut off, corrupt, of another kind or enormous, in every way that they can be sent."""
    content = bytearray(PICTURE)
    what = rng.choice(["cut", "corrupt", "size", "random", "jpeg", "gif", "bomb", "empty", "bmp", "webp"])
    if what == "cut":
        content = content[: rng.randrange(len(content))]
    elif what == "corrupt":
        for _ in range(rng.randint(1, 20)):
            content[rng.randrange(len(content))] = rng.randrange(256)
    elif what == "size":
        content[16:24] = struct.pack(">II", rng.choice([0, 1, 13, 2**16, 2**31 - 1, 2**32 - 1]), rng.randrange(2**32))
    elif what == "bomb":
        content = bomb(rng.choice([50_000, 2**31 - 1]), 50_000, zlib.compress(bytes(10**5)))
    else:
        heads = {
            "jpeg": b"\xff\xd8\xff\xe0",
            "gif": b"GIF89a\xff\xff\xff\xff",
            "bmp": b"BM",
            "webp": b"RIFF\0\0\0\0WEBP",
        }
        content = b"" if what == "empty" else heads.get(what, b"") + rng.randbytes(rng.randrange(2000))
    content, way = bytes(content), rng.randrange(4)
    if way == 0:
        body = json.dumps({"instances": [{"image_bytes": b64(content)}, {"image_bytes": b64(PICTURE)}]}).encode()
        return Http(f"picture, {what}", post("/v1/models/pictures:predict", body))
    if way == 1:
        body = json.dumps({"signature_name": "classify", "examples": [{"image_bytes": b64(content)}]}).encode()
        return Http(f"picture in an example, {what}", post("/v1/models/pictures:classify", body))
    if way == 2:
        request = request_of("pictures", "", {"image_bytes": strings([content, PICTURE])})
        return Grpc(f"picture, {what}", PREDICTION + "Predict", request.SerializeToString())
    inputs = {"inputs": strings([example(content).SerializeToString()])}
    request = request_of("pictures", "classify", inputs)
    return Grpc(f"picture in an example, {what}", PREDICTION + "Predict", request.SerializeToString())


def _bytes(rng):
    """Bodies that are no JSON, or hardly."""
    model, document = rng.choice(VALID)
    text = json.dumps(document)
    place = rng.randrange(len(text))
    body = rng.choice([
        lambda: text[:place],
        lambda: text[:place] + chr(rng.randrange(1, 0x300)) + text[place + 1 :],
        lambda: text + rng.choice(["}", ",", "null", text, "\0"]),
        lambda: rng.choice(["", " ", "null", "[]", "1", '"a"', "{}", "nan", "{'a': 1}", "\ufeff" + text, "-", "1e", "tru"]),
        lambda: '{"instances": ' + "[" * 10 ** rng.randint(1, 5),
        lambda: '{"instances": ' + "[" * (n := 10 ** rng.randint(1, 4)) + "]" * n + "}",
        lambda: '{"a":' * 10 ** rng.randint(1, 4),
        lambda: '{"instances": [' + rng.choice("19") * 10 ** rng.randint(2, 5) + "]}",
        lambda: '{"instances": [1e' + "9" * rng.randint(3, 99) + "]}",
        lambda: '{"instances": [1], "instances": [2, "x"]}',
        lambda: '{"instances": [' + "1," * 10 ** rng.randint(2, 5) + "1]}",
        lambda: '{"instances": ["' + "a [MASK] " * 10 ** rng.randint(2, 5) + '"]}',
        lambda: '{"instances": ["\\ud800\\u0000\\udc00"]}',
    ])()  # fmt: skip
    body = body.encode("utf-8", "replace")
    if rng.random() < 0.2:
        body = rng.choice([b"\xff\xfe" + body, body.replace(b"a", b"\xc3"), rng.randbytes(rng.randrange(1, 3000))])
    return Http("bytes", post(f"/v1/models/{model}:predict", body))


def _place(rng):
    """Methods and paths that are not there."""
    path = rng.choice([
        "/", "//", "/v1", "/v1/models", "/v1/models/", "/v1/models/no", "/v1/models/words/versions/9:predict",
        "/v1/models/words/versions/99999999999999999999999:predict", "/v1/models/words/versions/-1:predict",
        "/v1/models/words/versions/1/metadata/x", "/v1/models/words/labels/no:predict", "/v1/models/words:dance",
        "/v1/models/words/versions/x/metadata", "/v1/models/../../../../etc/passwd", "/v1/models/%2e%2e%2f%2e%2e/metadata",
        "/v1/models/words%00:predict", "/v1/models/%ff%fe:predict", "/v1/models/" + "a" * rng.choice([100, 5000]),
        "/v1/models/words/../pictures", "/page/../../apps/serve.py", "/page/%2e%2e/page.py", "/etc/passwd",
        "/monitoring/prometheus/metrics", "/v1/models/words:predict?a=b#c", "/v1/models/é", "*", "http://example.com/",
    ])  # fmt: skip
    method = rng.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PATCH", "FOO"])
    body = rng.choice([b"", b"{}", b'{"instances": ["a"]}'])
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    return Http(f"{method} {path[:60]}", head.encode() + body, must_answer=path.isascii())


def _wire(rng):
    """What is no HTTP, or breaks its rules, or is packed."""
    path, body = "/v1/models/opinions:predict", b'{"instances": ["a list"]}'
    start = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    return rng.choice([
        lambda: Http("random bytes", rng.randbytes(rng.randrange(1, 3000)), False),
        lambda: Http("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500), False),
        lambda: Http("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50), False),
        lambda: Http("cut off", post(path, body)[: rng.randrange(1, 120)], False),
        lambda: Http("length", start + b"Content-Length: " + rng.choice(
            [b"-1", b"abc", b"1e3", b"0x10", b"9" * 30, b" ", b"5\r\nContent-Length: 7", b"+5"]) + b"\r\n\r\n" + body, False),
        lambda: Http("length and chunks", start + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        lambda: Http("chunks", start + b"Transfer-Encoding: chunked\r\n\r\n" + rng.choice(
            [b"zz\r\n", b"-5\r\nhello\r\n", b"ffffffffffffffffffff\r\n", b"5\r\nhel", b"2\r\nhello\r\n0\r\n\r\n", b"\r\n"]), False),
        lambda: Http("packed", post(path, gzip.compress(body), "Content-Encoding: gzip"), False),
        lambda: Http("packed badly", post(path, rng.randbytes(99), "Content-Encoding: " + rng.choice(
            ["gzip", "deflate", "br", "zstd", "x"])), False),
        lambda: Http("a long header", start + b"X: " + b"a" * rng.choice([9000, 10**5]) + b"\r\n\r\n", False),
        lambda: Http("many headers", start + b"X: a\r\n" * rng.choice([200, 20_000]) + b"\r\n", False),
        lambda: Http("a bad header", start + rng.choice([b"X\r\n", b": a\r\n", b"X: \0\r\n", b"X : a\r\n", b" X: a\r\n"])
                     + b"\r\n", False),
        lambda: Http("host", f"GET /v1/models/words HTTP/1.1\r\nHost: {rng.choice(['', 'evil.example', '[', ':', 'a b'])}"
                     "\r\n\r\n".encode(), False),
        lambda: Http("version", f"GET /v1/models/words HTTP/{rng.choice(['9.9', '0.9', 'x', '1.10', ''])}\r\n\r\n".encode(),
                     False),
        lambda: Http("continue", post(path, body, "Expect: " + rng.choice(["100-continue", "x"])), False),
        lambda: Http("upgrade", post(path, body, "Connection: Upgrade", "Upgrade: websocket"), False),
    ])()  # fmt: skip


GRPC_VALID = [
    ("pictures", "", {"image_bytes": strings([PICTURE])}),
    ("pictures", "images", {"images": np.zeros((1, 12, 12, 3), np.uint8)}),
    ("drawings", "", {"seed": np.array([1, 2])}),
    ("drawings", "noise", {"noise": np.zeros((1, 8), np.float32)}),
    ("words", "", {"text": strings([b"the [MASK] of a list."])}),
    ("words", "token_ids", {"token_ids": np.ones((1, 16), np.int32), "mask_positions": np.ones((1, 2), np.int32)}),
    ("opinions", "", {"text": strings([b"a list"])}),
]


def _tensor(rng):
    """A valid request whose tensor has another shape, type, content, number of values or name."""
    model, signature, inputs = rng.choice(GRPC_VALID)
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


def _message(rng):
    """Requests of all methods with fields that make no sense, and bytes that are no message."""
    spec = {"name": rng.choice(["", "no", "words", "pictures", "é", "a" * 5000, "../x"])}
    spec |= rng.choice([{}, {"version": {"value": rng.choice([-1, 0, 1, 9, 2**63 - 1])}}, {"version_label": "no"}])
    spec |= rng.choice([{}, {"signature_name": rng.choice(["no", "classify", "", "token_ids", "\0"])}])
    predict = request_of("words", "", {"text": [b"a"]})
    predict.output_filter.extend(rng.choice([["no"], ["scores"] * 2, ["scores", ""], ["a" * 9000], [""] * 3000]))
    data = [example(PICTURE), example(b"no picture")]
    given = rng.choice([{}, {"example_list": {}}, {"example_list": {"examples": data}},
                        {"example_list_with_context": {"context": data[0], "examples": data[1:] * rng.choice([1, 600])}}])  # fmt: skip
    tasks = [{"model_spec": spec, "method_name": rng.choice(["", "no", "tensorflow/serving/classify"])}]
    reload = rng.choice([{}, {"config": {"custom_model_config": {}}},
                         {"config": {"model_config_list": {"config": [{"name": "words", "model_platform": "tensorflow"}]}}},
                         {"config": {"model_config_list": {"config": [{"base_path": "/", "model_platform": "no"}]}}}])  # fmt: skip
    method, message = rng.choice([
        (PREDICTION + "Predict", predict),
        (PREDICTION + "Classify", classification_pb2.ClassificationRequest(model_spec=spec, input=given)),
        (PREDICTION + "Regress", regression_pb2.RegressionRequest(model_spec=spec, input=given)),
        (PREDICTION + "MultiInference", inference_pb2.MultiInferenceRequest(tasks=tasks * rng.randrange(3), input=given)),
        (PREDICTION + "GetModelMetadata", get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=spec, metadata_field=rng.choice([[], ["no"], ["signature_def"] * 2, [""]]))),
        (MODEL + "GetModelStatus", get_model_status_pb2.GetModelStatusRequest(model_spec=spec)),
        (MODEL + "HandleReloadConfigRequest", model_management_pb2.ReloadConfigRequest(**reload)),
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
        method = rng.choice([PREDICTION + "No", "/no.Service/Predict", "/", "/" + "a" * 3000])
    return Grpc(f"{method[-40:]}, {what}", method, bytes(data))
