"""Random malformed HTTP requests as bytes, and malformed images for both interfaces, from a `random.Random`."""

import base64
import copy
import gzip
import json
import struct
import zlib
from typing import NamedTuple

from served import example, image_files, request_of, strings

IMAGE = image_files(1)[0]
PREDICTION = "/tensorflow.serving.PredictionService/"


class Http(NamedTuple):
    """Bytes for the REST port; with `must_answer` the server may not close the connection without an answer."""

    label: str
    data: bytes
    must_answer: bool = True


class Grpc(NamedTuple):
    """A message for a gRPC method."""

    label: str
    method: str
    data: bytes


def post(path, body, *headers):
    """Returns a POST request as bytes."""
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def bomb(width, height, chunk=b""):
    """Returns a PNG file with the header of a large image and the compressed pixels `chunk`."""

    def piece(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", header) + piece(b"IDAT", chunk) + piece(b"IEND", b"")


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


VALID = [
    ("images", {"instances": [{"image_bytes": b64(IMAGE)}]}),
    ("images", {"inputs": {"image_bytes": [b64(IMAGE)] * 2}}),
    ("images", {"signature_name": "images", "inputs": [[[[1, 2, 3]] * 12] * 12]}),
    ("drawings", {"instances": [1, 2]}),
    ("drawings", {"signature_name": "noise", "inputs": {"noise": [[0.5] * 8] * 2}}),
    ("words", {"inputs": {"text": ["the [MASK] of a list."]}}),
    ("words", {"signature_name": "token_ids", "instances": [{"token_ids": [1] * 16, "mask_positions": [1, 2]}]}),
    ("opinions", {"instances": ["a list", "the list"]}),
]

JUNK = [
    None, True, False, -1, 0, 1, 255, 256, 300, 2**31, 2**63, 2**64, 10**400, -(10**30), 0.5, 1e300, 1e-300,
    float("nan"), float("inf"), "", "x", "[MASK]" * 500, "\0", "\ud800", "é" * 5000, "😀", "serving_default",
    [], {}, [[]], [None], [[[[[[]]]]]], [1, "a"], [1, [2]], [0] * 5000, [{}] * 300, ["a"] * 2000, {"": {}},
    {"b64": 1}, {"b64": ""}, {"b64": "%%%"}, {"b64": "QUJ"}, {"b64": "QUJD", "x": 1},
]  # fmt: skip


def json_case(rng):
    """Returns a valid document with some of its values replaced, removed, duplicated or renamed."""
    model, document = rng.choice(VALID)
    document = json.loads(json.dumps(document))
    for _ in range(rng.randint(1, 3)):
        _corrupt(rng, document)
    method = rng.choice(["predict"] * 6 + ["classify", "regress"])
    body = json.dumps(document, allow_nan=True).encode("utf-8", "surrogatepass")
    return Http("JSON", post(f"/v1/models/{model}:{method}", body))


def _corrupt(rng, node):
    """Changes a random value below a list or a dict."""
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
            node.insert(key, copy.deepcopy(rng.choice(JUNK)))
        else:
            node[key] = copy.deepcopy(rng.choice(JUNK))
        return


HEADS = {
    "jpeg": b"\xff\xd8\xff\xe0",
    "gif": b"GIF89a\xff\xff\xff\xff",
    "bmp": b"BM",
    "webp": b"RIFF\0\0\0\0WEBP",
}


def image_case(rng):
    """Returns an image file that is truncated, corrupt, of another format or enormous, in a random kind of request."""
    content = bytearray(IMAGE)
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
        content = b"" if what == "empty" else HEADS.get(what, b"") + rng.randbytes(rng.randrange(2000))
    content, way = bytes(content), rng.randrange(3)
    if way == 0:
        body = json.dumps({"instances": [{"image_bytes": b64(content)}, {"image_bytes": b64(IMAGE)}]}).encode()
        return Http(f"image, {what}", post("/v1/models/images:predict", body))
    if way == 1:
        request = request_of("images", "", {"image_bytes": strings([content, IMAGE])})
        return Grpc(f"image, {what}", PREDICTION + "Predict", request.SerializeToString())
    inputs = {"inputs": strings([example(content).SerializeToString()])}
    request = request_of("images", "classify", inputs)
    return Grpc(f"image in an example, {what}", PREDICTION + "Predict", request.SerializeToString())


def bytes_case(rng):
    """Returns a body that is invalid or unusual JSON."""
    model, document = rng.choice(VALID)
    text = json.dumps(document)
    index = rng.randrange(len(text))
    body = rng.choice([
        lambda: text[:index],
        lambda: text[:index] + chr(rng.randrange(1, 0x300)) + text[index + 1 :],
        lambda: text + rng.choice(["}", ",", "null", text, "\0"]),
        lambda: rng.choice(["", " ", "null", "[]", "1", '"a"', "{}", "nan", "{'a': 1}", "\ufeff" + text, "-", "1e"]),
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


PATHS = [
    "/", "//", "/v1", "/v1/models", "/v1/models/", "/v1/models/no", "/v1/models/words/versions/9:predict",
    "/v1/models/words/versions/99999999999999999999999:predict", "/v1/models/words/versions/-1:predict",
    "/v1/models/words/versions/1/metadata/x", "/v1/models/words/labels/no:predict", "/v1/models/words:dance",
    "/v1/models/words/versions/x/metadata", "/v1/models/../../../../etc/passwd", "/v1/models/%2e%2e%2f/metadata",
    "/v1/models/words%00:predict", "/v1/models/%ff%fe:predict", "/v1/models/" + "a" * 5000, "/etc/passwd",
    "/v1/models/words/../images", "/page/../../apps/serve.py", "/page/%2e%2e/page.py", "/v1/models/é", "*",
    "/v1/models/words:classify", "/v1/models/words:predict?a=b#c", "http://example.com/",
]  # fmt: skip


def path_case(rng):
    """Returns a request with a method or a path that does not exist."""
    path = rng.choice(PATHS)
    method = rng.choice(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "TRACE", "PATCH", "FOO"])
    body = rng.choice([b"", b"{}", b'{"instances": ["a"]}'])
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
    # These are not HTTP and may get another kind of answer.
    http = path.isascii() and path != "*" and method != "FOO"
    return Http(f"{method} {path[:60]}", head.encode() + body, must_answer=http)


PATH, BODY = "/v1/models/opinions:predict", b'{"instances": ["a list"]}'
START = f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
LENGTHS = [b"-1", b"abc", b"1e3", b"0x10", b"9" * 30, b" ", b"5\r\nContent-Length: 7", b"+5"]
CHUNKS = [b"zz\r\n", b"-5\r\nhello\r\n", b"f" * 20 + b"\r\n", b"5\r\nhel", b"2\r\nhello\r\n0\r\n\r\n", b"\r\n"]
HEADERS = [b"X\r\n", b": a\r\n", b"X: \0\r\n", b"X : a\r\n", b" X: a\r\n", b"X: a\r\n" * 200, b"X: a\r\n" * 20_000,
           b"X: " + b"a" * 9000 + b"\r\n", b"X: " + b"a" * 10**5 + b"\r\n"]  # fmt: skip
HOSTS = [b"", b"evil.example", b"[", b":", b"a b", b"\xff"]
VERSIONS = [b"9.9", b"0.9", b"x", b"1.10", b""]


def wire_case(rng):
    """Returns bytes that are not HTTP, violate it or are compressed."""
    kind = rng.choice(["random", "TLS", "HTTP/2", "cut off", "length", "both", "chunks", "compressed", "bad encoding",
                       "other encoding", "header", "host", "version", "continue", "upgrade"])  # fmt: skip
    chunked = START + b"Transfer-Encoding: chunked\r\n"
    data = {
        "random": lambda: rng.randbytes(rng.randrange(1, 3000)),
        "TLS": lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
        "HTTP/2": lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + rng.randbytes(50),
        "cut off": lambda: post(PATH, BODY)[: rng.randrange(1, 120)],
        "length": lambda: START + b"Content-Length: " + rng.choice(LENGTHS) + b"\r\n\r\n" + BODY,
        "both": lambda: chunked + b"Content-Length: 4\r\n\r\n0\r\n\r\n",
        "chunks": lambda: chunked + b"\r\n" + rng.choice(CHUNKS),
        "compressed": lambda: post(PATH, gzip.compress(BODY), "Content-Encoding: gzip"),
        "bad encoding": lambda: post(PATH, rng.randbytes(99), f"Content-Encoding: {rng.choice(['gzip', 'deflate'])}"),
        "other encoding": lambda: post(PATH, rng.randbytes(99), f"Content-Encoding: {rng.choice(['br', 'zstd', 'x'])}"),
        "header": lambda: START + rng.choice(HEADERS) + b"\r\n",
        "host": lambda: b"GET /v1/models/words HTTP/1.1\r\nHost: " + rng.choice(HOSTS) + b"\r\n\r\n",
        "version": lambda: b"GET /v1/models/words HTTP/" + rng.choice(VERSIONS) + b"\r\n\r\n",
        "continue": lambda: post(PATH, BODY, f"Expect: {rng.choice(['100-continue', 'x'])}"),
        "upgrade": lambda: post(PATH, BODY, "Connection: Upgrade", "Upgrade: websocket"),
    }[kind]()
    return Http(f"HTTP, {kind}", data, must_answer=kind in ("compressed", "bad encoding"))
