"""Limits of requests: body, batch size, pixels, concurrency and time; and the metrics."""

import contextlib
import io
import json
import re
import socket
import struct
import threading
import time
import urllib.request
import zlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from served import example, request_of, tiny_models
from served_models import ask, b64, serving, until
from tensorflow_serving.apis import classification_pb2, prediction_service_pb2_grpc

from karpa_tf.configs.serving import LimitsConfig
from karpa_tf.errors import UserError
from karpa_tf.serving import images
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.limits import Limits

IMAGES, DRAWINGS = "/v1/models/images", "/v1/models/drawings:predict"
LIMITS = LimitsConfig(max_image_megapixels=1, max_concurrent=2, max_queue=1, client_timeout_seconds=1)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    file = tmp_path_factory.mktemp("monitoring") / "config"
    file.write_text("prometheus_config { enable: true }")
    models = tiny_models(tmp_path_factory)
    with serving(model_base_path=str(models), limits=LIMITS, port=0, monitoring_config_file=str(file)) as server:
        yield server


def encoded(kind, size=(40, 30), **options):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)).save(file, kind, **options)
    return file.getvalue()


def bomb(width, height):
    """Returns a PNG file of a few hundred bytes with an arbitrary size in its header."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(99999)))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0" + bytes(20)}),
    ],
    ids=str,
)
def test_the_number_of_pixels_is_read_from_the_header(kind, options):
    content = encoded(kind, **options)
    assert images.pixels(content) == 1200
    assert images.pixels(content[:200] if kind == "PNG" else content) == 1200
    assert images.pixels(example(content).SerializeToString()) == 1200
    # An unknown field of `tf.Example` before the others hides nothing.
    assert images.pixels(b"\x42\x02BM" + example(content).SerializeToString()) == 1200


def test_every_frame_of_a_gif_counts_and_texts_do_not():
    frames = [Image.fromarray(np.full((30, 40), 60 * shade, np.uint8)) for shade in range(4)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert images.pixels(file.getvalue()) == 4800
    assert images.pixels("GIF89a ÿÀ BM RIFF WEBPVP8 a text".encode()) == 0
    assert images.pixels(b"") == 0


def test_truncated_and_endless_headers_are_read_quickly():
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    for kind in ("PNG", "JPEG", "GIF", "WEBP"):
        content = encoded(kind)
        for _ in range(300):
            cut = bytearray(content[: rng.integers(0, len(content))])
            for index in rng.integers(0, max(len(cut), 1), 3 if cut else 0):
                cut[index] = rng.integers(0, 256)
            assert images.pixels(bytes(cut)) >= 0
    endless = b"GIF89a" + bytes(7) + b"\x21\x00\x00" * 2_000_000
    assert images.pixels(endless) > 10**12
    assert time.perf_counter() - start < 10


def test_image_bombs_are_refused_before_they_are_decoded(server):
    content = bomb(50_000, 50_000)
    words = "The request's images have 2500000000 pixels; this server takes 1000000 at most (--max_image_megapixels)."
    assert ask(server, f"{IMAGES}:predict", {"instances": [b64(content)]}) == (400, {"error": words})
    body = {"signature_name": "classify", "examples": [{"image_bytes": b64(content)}]}
    assert ask(server, f"{IMAGES}:classify", body) == (400, {"error": words})
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = classification_pb2.ClassificationRequest()
        request.model_spec.name, request.model_spec.signature_name = "images", "classify"
        request.input.example_list.examples.append(example(content))
        for ask_it, asked in (
            (stub.Predict, request_of("images", "", {"image_bytes": [content]})),
            (stub.Classify, request),
        ):
            with pytest.raises(grpc.RpcError) as error:
                ask_it(asked, timeout=30)
            assert (error.value.code(), error.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, words)
    many = [b64(encoded("PNG", (600, 600)))] * 3
    assert ask(server, f"{IMAGES}:predict", {"instances": many[:2]})[0] == 200
    assert "1080000 pixels" in ask(server, f"{IMAGES}:predict", {"instances": many})[1]["error"]


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        yield connection


def start_of_request(length, path=DRAWINGS):
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def test_a_request_above_the_queue_limit_is_refused_and_the_status_still_answers(server):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(server)) for _ in range(3)]
        for connection in slow:
            connection.sendall(start_of_request(18) + b"{")
        until(lambda: server.limits.inside == 3)
        code, answer = ask(server, DRAWINGS, {"instances": [1]})
        assert (code, set(answer)) == (429, {"error"})
        assert "--max_queue" in answer["error"]
        assert ask(server, "/v1/models/drawings")[0] == 200
        for connection in slow:
            connection.sendall(b'"instances": [1]}')
        for connection in slow:
            assert connection.recv(12) == b"HTTP/1.1 200"
    until(lambda: server.limits.inside == 0)
    assert ask(server, DRAWINGS, {"instances": [1]})[0] == 200


def test_a_client_that_does_not_send_its_body_gets_408(server):
    with connected(server) as connection:
        connection.sendall(start_of_request(100) + b"{")
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b'{"error": ' in answer


def test_a_client_that_does_not_read_its_answer_is_disconnected(server):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.rest_port))
        body = json.dumps({"instances": list(range(256))}).encode()
        for _ in range(40):
            with contextlib.suppress(OSError):
                connection.sendall(start_of_request(len(body)) + body)
        until(lambda: server.limits.inside == 1)
        until(lambda: server.limits.inside == 0)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x01garbage\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/models/drawings HTTP/1.1\r\n\r\n",
        b"POST /v1/models/drawings:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        start_of_request(10**8) + b"{",
    ],
    ids=range(7),
)
def test_invalid_http_gets_an_answer_without_a_traceback(server, sent, capfd, caplog):
    with connected(server) as connection:
        connection.sendall(sent)
        answer = connection.recv(10_000)
    assert re.match(rb"HTTP/1.[01] 4\d\d ", answer)
    assert b"Traceback" not in answer
    assert "Traceback" not in capfd.readouterr().err
    assert not caplog.records
    assert ask(server, "/v1/models/drawings")[0] == 200


def test_a_model_that_exceeds_the_time_limit_is_stopped(tmp_path):
    class Slow(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="steps")])
        def count(self, steps):
            return {
                "steps": tf.while_loop(lambda i: i < steps[0], lambda i: [i + 1], [tf.constant(0, tf.int64)])[0][None]
            }

    slow = Slow()
    tf.saved_model.save(slow, str(tmp_path / "slow" / "1"), signatures=slow.count)
    limits = LimitsConfig(run_timeout_seconds=1)
    with serving(model_base_path=str(tmp_path / "slow"), limits=limits) as server:
        assert ask(server, "/v1/models/slow:predict", {"instances": [3]}) == (200, {"predictions": [3]})
        code, answer = ask(server, "/v1/models/slow:predict", {"instances": [2**60]})
        assert (code, set(answer)) == (504, {"error"})
        assert ask(server, "/v1/models/slow:predict", {"instances": [4]}) == (200, {"predictions": [4]})


def test_the_number_of_threads_is_limited(server):
    for _ in range(20):
        ask(server, DRAWINGS, {"instances": [1]})
    names = [thread.name for thread in threading.enumerate()]
    assert len([name for name in names if name.startswith("rest_")]) <= 2


def test_requests_are_counted_under_tf_servings_names_and_unknown_models_are_not_named(server):
    def metrics():
        with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
            text = answer.read().decode()
        return text, dict(line.rsplit(" ", 1) for line in text.splitlines() if line[0] != "#")

    count = ':tensorflow:serving:request_count{model_name="words",status="INVALID_ARGUMENT"}'
    latency = (
        ':tensorflow:serving:request_latency_count{API="Predict",entrypoint="REST",model_name="words",status="OK"}'
    )
    before = metrics()[1]
    ask(server, "/v1/models/words:predict", {"instances": [1]})
    ask(server, "/v1/models/words:predict", {"instances": ["a [MASK]"]})
    ask(server, "/v1/models/made_up:predict", {"instances": ["a [MASK]"]})
    text, after = metrics()
    assert float(after[count]) == float(before.get(count, 0)) + 1
    assert float(after[latency]) == float(before.get(latency, 0)) + 1
    assert "made_up" not in text
    assert "# TYPE :tensorflow:serving:request_count counter" in text
    assert any(name.startswith(":tensorflow:cc:saved_model:load_attempt_count{") for name in after)


def test_metrics_are_off_by_default_and_an_invalid_file_is_a_user_error(tmp_path, tmp_path_factory):
    models = str(tiny_models(tmp_path_factory) / "drawings")
    file = tmp_path / "monitoring"
    file.write_text("prometheus_config { path: '/m' }")
    with serving(model_base_path=models, monitoring_config_file=str(file)) as server:
        assert ask(server, "/m")[0] == 404
    for text in ("x", "prometheus_config { enabled: true }"):
        file.write_text(text)
        with (
            pytest.raises(UserError, match="is no MonitoringConfig"),
            serving(model_base_path=models, monitoring_config_file=str(file)),
        ):
            pass


def test_the_number_of_requests_is_limited_until_they_leave():
    limits = Limits(LimitsConfig(max_concurrent=1, max_queue=1))
    limits.enter()
    limits.enter()
    with pytest.raises(ServingError) as error:
        limits.enter()
    assert error.value.http_status == 429
    limits.leave()
    limits.enter()
