"""Limits of requests: pixels, concurrency and time; and what is no HTTP."""

import contextlib
import io
import json
import re
import socket
import threading

import numpy as np
import pytest
import tensorflow as tf
from fuzzing import bomb
from PIL import Image
from served import example, tiny_models
from served_models import ask, b64, serving, until

from karpa_tf.serving.images import count_pixels

DRAWINGS = "/v1/models/drawings:predict"
LIMITS = {"max_image_megapixels": 1, "max_concurrent": 2, "max_queue": 1, "rest_api_timeout_in_ms": 1000}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    others = threading.enumerate()
    with serving(model_base_path=str(tiny_models(tmp_path_factory)), **LIMITS) as server:
        server.other_threads = others  # such as those of the server of other tests
        yield server


def encoded(kind, **options):
    file = io.BytesIO()
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_the_number_of_pixels_is_read_from_the_header(kind):
    content = encoded(kind)
    assert count_pixels(content) == count_pixels(example(content).SerializeToString()) == 1200
    assert count_pixels(content[: len(content) // 20]) == 0 and count_pixels(b"GIF89a text") == 0
    assert count_pixels(bomb(50_000, 50_000)) > 10**8


def test_every_frame_of_a_gif_counts():
    frames = [Image.fromarray(np.full((30, 40), 60 * shade, np.uint8)) for shade in range(1, 4)]
    assert count_pixels(encoded("GIF", save_all=True, append_images=frames)) == 4 * 1200


def test_an_image_bomb_is_refused_before_it_is_decoded(server):
    code, answer = ask(server, "/v1/models/images:predict", {"instances": [b64(bomb(2000, 1000))]})
    assert code == 400 and "2000000 pixels" in answer["error"] and "--max_image_megapixels" in answer["error"]


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.rest_port), timeout=20) as connection:
        yield connection


def start_of_request(length):
    return f"POST {DRAWINGS} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n".encode()


def test_a_request_above_the_queue_limit_is_refused_and_the_status_still_answers(server):
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connected(server)) for _ in range(3)]
        for connection in slow:
            connection.sendall(start_of_request(18) + b"{")
        until(lambda: ask(server, DRAWINGS, {"instances": [1]})[0] == 429)
        assert ask(server, "/v1/models/drawings")[0] == 200
        for connection in slow:
            connection.sendall(b'"instances": [1]}')
        assert all(connection.recv(12) == b"HTTP/1.1 200" for connection in slow)
    until(lambda: ask(server, DRAWINGS, {"instances": [1]})[0] == 200)


def test_a_client_that_does_not_send_its_body_gets_408(server):
    with connected(server) as connection:
        connection.sendall(start_of_request(100) + b"{")
        answer = connection.recv(10_000)
    assert answer.startswith(b"HTTP/1.1 408") and b'{"error": ' in answer


def test_a_client_that_does_not_read_its_answer_is_disconnected(server):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.rest_port))
        # Few images each, so that drawing them never takes the second after which there is an error instead.
        body = json.dumps({"instances": list(range(64))}).encode()
        for _ in range(160):
            with contextlib.suppress(OSError):
                connection.sendall(start_of_request(len(body)) + body)
        until(lambda: server._rest.running == 1)
        until(lambda: server._rest.running == 0)


SENT = [
    b"\x00\x01garbage\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /v1/models/drawings HTTP/1.1\r\n\r\n",
    b"POST /v1/models/drawings:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    start_of_request(10**8) + b"{",
]


@pytest.mark.parametrize("sent", SENT, ids=range(len(SENT)))
def test_invalid_http_gets_an_answer_without_a_traceback(server, sent, capfd, caplog):
    with connected(server) as connection:
        connection.sendall(sent)
        answer = connection.recv(10_000)
    assert re.match(rb"HTTP/1.[01] 4\d\d ", answer) and b"Traceback" not in answer
    assert "Traceback" not in capfd.readouterr().err and not caplog.records


def test_a_model_that_exceeds_the_time_limit_is_stopped(tmp_path):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="steps")])
    def count(steps):
        return {"steps": tf.while_loop(lambda i: i < steps[0], lambda i: [i + 1], [tf.constant(0, tf.int64)])[0][None]}

    tf.saved_model.save(tf.Module(), str(tmp_path / "slow" / "1"), signatures=count)
    with serving(model_base_path=str(tmp_path / "slow"), rest_api_timeout_in_ms=1000) as server:
        assert ask(server, "/v1/models/slow:predict", {"instances": [2**60]})[0] == 504
        assert ask(server, "/v1/models/slow:predict", {"instances": [4]}) == (200, {"predictions": [4]})


def test_the_number_of_threads_is_limited(server):
    for _ in range(20):
        ask(server, DRAWINGS, {"instances": [1]})
    names = [thread.name for thread in threading.enumerate() if thread not in server.other_threads]
    assert 1 <= len([name for name in names if name.startswith("rest_")]) <= 2
