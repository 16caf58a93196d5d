"""Versions of a tiny model, made once, and a server in this process, for the tests of the development server."""

import atexit
import base64
import contextlib
import functools
import json
import shutil
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import exported_models

from karpa_tf.configs.serving import ServingConfig
from karpa_tf.serving.server import Server


@functools.cache
def digits(number):
    """Returns the folder of a version of a tiny generator; those of other numbers draw other images."""
    folder = Path(tempfile.mkdtemp(prefix="karpa_digits_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    version = exported_models.export_tiny_generator(folder, seed=number)
    return version.rename(folder / str(number))


def publish(version, folder, number):
    """Copies a version to `folder` under a number, in one step, as an export does; returns its folder."""
    folder.mkdir(exist_ok=True, parents=True)
    hidden = folder / f".{number}"
    shutil.copytree(version, hidden)
    return hidden.rename(folder / str(number))


@contextlib.contextmanager
def serving(**config):
    """Gives a started `Server` on free ports, whose `lines` holds what it has logged."""
    lines = []
    server = Server(ServingConfig(**{"port": None, "rest_api_port": 0} | config), log=lines.append)
    server.lines = lines
    server.start()
    try:
        yield server
    finally:
        server.stop(5)


def ask(server, path, body=None, **headers):
    """Returns HTTP code and JSON of a GET, or of a POST of `body`: bytes, or what is to be sent as JSON."""
    if body is not None and not isinstance(body, bytes):
        body = json.dumps(body).encode()
    url = f"http://127.0.0.1:{server.rest_port}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def until(condition, seconds=30):
    """Waits for a condition and returns what it gave; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s there is still no {condition}")
        time.sleep(0.01)
    return found


def b64(content):
    """Returns what stands for bytes in the JSON of the REST interface."""
    return {"b64": base64.b64encode(content).decode()}
