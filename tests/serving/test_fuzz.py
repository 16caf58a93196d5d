"""Malformed requests neither crash nor block the server; it refuses them with a documented code."""

import gzip
import http.client
import json
import queue
import random
import re
import socket
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import fuzzing
import fuzzing_grpc
import grpc
import pytest
from served import ServerProcess, request_of, strings, tiny_models

from karpa_tf.configs.serving import LimitsConfig
from karpa_tf.serving.errors import HTTP
from karpa_tf.serving.limits import Limits

SECONDS = 60
"""Timeout of an answer on a busy machine."""

STATUSES = {200, 403, 404, 405, 408, 411, 413, 414, 417, 431, 501, 505} | set(HTTP.values()) - {500}
"""HTTP codes of the REST interface; 500 is always a defect."""

CODES = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "RESOURCE_EXHAUSTED"}

KINDS = {
    fuzzing.json_case: 6,
    fuzzing.image_case: 3,
    fuzzing.bytes_case: 3,
    fuzzing.path_case: 2,
    fuzzing.wire_case: 3,
    fuzzing_grpc.tensor_case: 6,
    fuzzing_grpc.message_case: 4,
}
"""Relative frequencies."""

TRACEBACK = re.compile(r'Traceback|File "|\.py\b')


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    flags = ("--client_timeout_seconds", "3")
    with ServerProcess(tiny_models(tmp_path_factory), tmp_path_factory.mktemp("log") / "log", *flags) as server:
        server.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc}")
        yield server
        server.channel.close()


def cases(seed, count):
    """Yields malformed requests; number i does not depend on `count`."""
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        make = rng.choices(list(KINDS), KINDS.values())[0]
        case = make(rng)
        yield case._replace(label=f"seed {seed}, case {number}: {case.label}")


def connect(server):
    return socket.create_connection(("127.0.0.1", server.rest), timeout=SECONDS)


def http_answer(connection, method="POST"):
    """Returns (status, text), or None where the connection was closed without an answer."""
    try:
        response = http.client.HTTPResponse(connection, method=method)
        response.begin()
        return response.status, response.read().decode()
    except (http.client.RemoteDisconnected, ConnectionError):
        return None


def send(server, case):
    with connect(server) as connection:
        try:
            connection.sendall(case.data)
            if not case.must_answer:
                connection.shutdown(socket.SHUT_WR)  # the end of the request
        except OSError:
            pass  # closed before everything was sent; there may be an answer
        answer = http_answer(connection, case.data[:4].decode(errors="replace").strip())
    if answer is None:
        assert not case.must_answer, "no answer"
        return "closed"
    status, text = answer
    assert status in STATUSES, f"{status} {text[:500]}"
    assert not TRACEBACK.search(text) or status == 200, text[:500]
    if status >= 400 and case.must_answer and not case.data.startswith(b"HEAD"):
        assert isinstance(json.loads(text)["error"], str)
    return status


def call(server, case):
    try:
        server.channel.unary_unary(case.method)(case.data, timeout=SECONDS)
        return "OK"
    except grpc.RpcError as error:
        name, text = error.code().name, error.details()
        unreadable = name == "INTERNAL" and text == "Exception deserializing request!"
        assert name in CODES or unreadable, f"{name} {text[:500]}"
        assert not TRACEBACK.search(text), text[:500]
        return name


def attempt(server, case):
    """Returns (code, None), or ("wrong", message) if the answer is wrong."""
    try:
        return (send if isinstance(case, fuzzing.Http) else call)(server, case), None
    except Exception as error:
        return "wrong", f"{case.label}: {type(error).__name__} {error}"


def assert_valid_requests_work(server):
    request = request_of("images", "", {"image_bytes": strings([fuzzing.IMAGE])})
    call_ = server.channel.unary_unary(fuzzing.PREDICTION + "Predict")
    call_(request.SerializeToString(), timeout=SECONDS)
    for model, document in fuzzing.VALID:
        body = fuzzing.post(f"/v1/models/{model}:predict", json.dumps(document).encode())
        assert send(server, fuzzing.Http("valid", body)) == 200


def memory(server):
    """Returns the server's memory and its peak, in MB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return tuple(int(re.search(rf"{name}:\s+(\d+) kB", status)[1]) * 1024 // 10**6 for name in ("VmRSS", "VmHWM"))


def fuzz(server, seed, count):
    assert_valid_requests_work(server)
    before, _ = memory(server)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda case: attempt(server, case), cases(seed, count)))
    wrong = [text for _, text in outcomes if text]
    assert not wrong, "\n".join(wrong[:10]) + f"\n{len(wrong)} of {count}"
    assert server.process.poll() is None
    log = server.log.read_text(errors="replace")
    assert "Traceback" not in log, log[log.index("Traceback") :][:3000]
    assert_valid_requests_work(server)
    after, peak = memory(server)
    assert after < before + 500 and peak < before + 2000, f"{before} MB, {after} MB, {peak} MB"
    assert sum(code not in (200, "OK") for code, _ in outcomes) > 0.7 * count


def test_malformed_requests_are_refused_with_documented_codes(server):
    fuzz(server, seed=0, count=300)


@pytest.mark.slow
def test_5000_malformed_requests_are_refused_with_documented_codes(server):
    fuzz(server, seed=1, count=5000)


@pytest.mark.parametrize("image_size", [50_000, 2**31 - 1])
def test_an_image_bomb_is_refused_by_its_header(server, image_size):
    content = fuzzing.bomb(image_size, image_size, zlib.compress(bytes(10**6)))
    body = json.dumps({"instances": [{"image_bytes": fuzzing.b64(content)}]}).encode()
    before, _ = memory(server)
    with connect(server) as connection:
        connection.sendall(fuzzing.post("/v1/models/images:predict", body))
        status, text = http_answer(connection)
    assert status == 400 and "pixels" in text
    request = request_of("images", "", {"image_bytes": strings([content])})
    with pytest.raises(grpc.RpcError, match="pixels"):
        server.channel.unary_unary(fuzzing.PREDICTION + "Predict")(request.SerializeToString(), timeout=SECONDS)
    assert memory(server)[0] < before + 100
    assert_valid_requests_work(server)


def stream(server, head, piece, count):
    """Sends `piece` repeatedly until the server closes the connection; returns its answer."""
    with connect(server) as connection:
        connection.sendall(b"POST /v1/models/opinions:predict HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n\r\n")
        try:
            for _ in range(count):
                connection.sendall(piece)
        except OSError:
            pass
        return http_answer(connection)


MB = bytes(10**6)


@pytest.mark.parametrize(
    ("head", "piece"),
    [(b"Content-Length: 100000000", MB), (b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n" % (len(MB), MB))],
    ids=["content length", "chunked"],
)
def test_a_body_of_100_mb_is_refused_without_buffering_it(server, head, piece):
    before, _ = memory(server)
    answer = stream(server, head, piece, 100)
    assert answer is None or answer[0] == 413
    assert memory(server)[0] < before + 100
    assert_valid_requests_work(server)


def test_a_compressed_body_of_more_than_a_gigabyte_is_refused_without_buffering_it(server):
    compressed = gzip.compress(MB * 100, 1) * 11
    before, peak_before = memory(server)
    answer = stream(server, b"Content-Encoding: gzip\r\nContent-Length: %d" % len(compressed), compressed, 1)
    assert answer is None or answer[0] in (400, 413, 415)
    assert memory(server)[1] < max(before, peak_before) + 300
    assert_valid_requests_work(server)


def test_a_message_of_100_mb_is_refused_without_buffering_it(server):
    before, _ = memory(server)
    with pytest.raises(grpc.RpcError, match="RESOURCE_EXHAUSTED"):
        server.channel.unary_unary(fuzzing.PREDICTION + "Predict")(bytes(10**8), timeout=SECONDS)
    assert memory(server)[0] < before + 100
    assert_valid_requests_work(server)


def test_a_silent_client_is_disconnected(server):
    begun = time.monotonic()
    with connect(server) as connection:
        connection.sendall(fuzzing.post("/v1/models/opinions:predict", bytes(100))[:-50])
        answer = http_answer(connection)
    assert (answer is None or answer[0] == 408) and time.monotonic() - begun < 30
    assert_valid_requests_work(server)


def test_many_concurrent_clients_get_an_answer_or_429(server):
    case = fuzzing.Http("valid", fuzzing.post("/v1/models/opinions:predict", b'{"instances": ["a list"]}'))
    with ThreadPoolExecutor(100) as pool:
        outcomes = list(pool.map(lambda _: attempt(server, case), range(400)))
    assert [text for _, text in outcomes if text] == []
    assert {code for code, _ in outcomes} <= {200, 429} and 200 in {code for code, _ in outcomes}
    assert_valid_requests_work(server)


def test_images_of_concurrent_requests_wait_for_the_pixel_limit():
    limits, order = Limits(LimitsConfig(max_image_megapixels=1)), queue.Queue()

    def decode(count):
        with limits.decoding(count):
            order.put(count)

    with ThreadPoolExecutor() as pool:
        with limits.decoding(600_000):
            waiting = pool.submit(decode, 400_001)
            pool.submit(decode, 400_000).result(timeout=30)
            assert not waiting.done()
        waiting.result(timeout=30)
    assert [order.get(), order.get()] == [400_000, 400_001]
