"""The program: what it prints, where it listens, how it ends."""

import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from served import ROOT
from served_models import digits, publish, serving, until

from karpa_tf.configs.serving import ServingConfig
from karpa_tf.errors import UserError
from karpa_tf.serving import serve


class Program:
    """`python -m apps.serve` with flags, its output in `out` and `err` as it comes. Use `with`."""

    def __init__(self, *flags):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "apps.serve", *flags],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.out, self.err = [], []

    def __enter__(self):
        for lines, stream in ((self.out, self.process.stdout), (self.err, self.process.stderr)):
            threading.Thread(target=lambda lines=lines, stream=stream: lines.extend(stream), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()

    def says(self, pattern):
        """Waits until a line of the output has the pattern, and returns its groups."""

        def found():
            assert self.process.poll() is None, self.err
            return re.search(pattern, "".join(self.out))

        return until(found, seconds=120).groups()


@pytest.mark.slow
def test_sigterm_lets_the_running_request_finish_and_takes_no_more(tmp_path):
    publish(digits(1), tmp_path / "digits", 1)
    with Program("--model_base_path", str(tmp_path), "--port=0", "--rest_api_port=-1") as program:
        port = int(program.says(r"REST: http://127.0.0.1:(\d+)/v1/models/NAME")[0])
        assert "model digits: version 1\n" in program.out
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            body = b'{"instances": [1]}'
            connection.sendall(
                b"POST /v1/models/digits:predict HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"  # so it has begun
            program.process.send_signal(signal.SIGTERM)
            until(lambda: not listens("127.0.0.1", port))
            assert program.process.poll() is None
            connection.sendall(body)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert program.process.wait(60) == 0
        assert any("SIGTERM: finishing what is running" in line for line in program.err)
        assert not any("Traceback" in line for line in program.err)


def listens(address, port):
    try:
        socket.create_connection((address, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize(("host", "elsewhere"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_it_listens_on_loopback_unless_told_otherwise(tmp_path, host, elsewhere):
    publish(digits(1), tmp_path / "digits", 1)
    named = {} if host == ServingConfig().host else {"host": host}
    with serving(model_base_path=str(tmp_path), port=-1, **named) as server:
        for port in (server.rest_port, server.grpc_port):
            assert listens("127.0.0.1", port)
            assert listens("127.0.0.2", port) == elsewhere  # as good as another machine's address


def test_a_host_other_than_loopback_prints_a_warning(tmp_path, capsys):
    publish(digits(1), tmp_path / "digits", 1)
    server = serve.start(ServingConfig(model_base_path=str(tmp_path), host="0.0.0.0", port=0, rest_api_port=-1))
    server.stop(0)
    assert "warning: --host 0.0.0.0 lets other machines in" in capsys.readouterr().err


def test_a_port_in_use_is_reported(tmp_path):
    publish(digits(1), tmp_path / "digits", 1)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"cannot listen on 127.0.0.1, port {port}"):
            serving(model_base_path=str(tmp_path), rest_api_port=port).__enter__()
        with pytest.raises(UserError, match="gRPC cannot listen on"):
            serving(model_base_path=str(tmp_path), port=port).__enter__()
    with pytest.raises(UserError, match="cannot listen on no.such.host.invalid"):
        serving(model_base_path=str(tmp_path), host="no.such.host.invalid").__enter__()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({}, "Name --model_base_path FOLDER"),
        ({"model_base_path": "none"}, "--model_base_path none is no folder"),
        ({"model_base_path": "digits/1"}, "digits/1 is a version; expected the folder of"),
        ({"model_config_file": "none"}, "--model_config_file none cannot be read"),
        ({"model_config_file": "digits/1/saved_model.pb"}, "cannot be read as a ModelServerConfig"),
    ],
    ids=str,
)
def test_folders_that_cannot_be_served_are_answered_in_one_sentence(tmp_path, config, words):
    publish(digits(1), tmp_path / "digits", 1)
    with pytest.raises(UserError, match=re.escape(words)):
        serving(**config).__enter__()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max_concurrent": 0}, "--max-concurrent must be above 0; received 0."),
        ({"file_system_poll_wait_seconds": -1}, "--file-system-poll-wait-seconds must"),
        ({"port": 0, "rest_api_port": 0}, "Every interface is off"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(changes, words):
    with pytest.raises(UserError, match=re.escape(words)):
        ServingConfig(**changes)


def test_a_missing_package_is_named_with_its_extra():
    program = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "from karpa_tf.serving import serve\n"
        "from karpa_tf import cli; from karpa_tf.configs.serving import ServingConfig\n"
        "with cli.handle_errors(): serve.start(ServingConfig(model_base_path='x'))"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == "error: aiohttp is not installed; pip install 'karpa_tf[serve]' brings it.\n"
