"""Versions of tiny models, and a server in this process."""

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
import tensorflow as tf

from karpa_tf.configs.serving import ServingConfig
from karpa_tf.serving.server import Server


@functools.cache
def digits(number):
    """Returns the folder of a version of a tiny generator; every number generates other images."""
    folder = Path(tempfile.mkdtemp(prefix="karpa_digits_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    version = exported_models.export_tiny_generator(folder, seed=number)
    return version.rename(folder / str(number))


def save_line(folder, offset):
    """Writes a version of the model y = 0.5 x + offset, whose input `x` is declared float32 (batch, 1)."""
    module = tf.Module()
    module.offset = tf.Variable(float(offset))

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def line(x):
        return {"y": 0.5 * x + module.offset}

    tf.saved_model.save(module, str(folder), signatures=line)


def publish(version, folder, number):
    """Copies a version to `folder/number` atomically, as an export does, and returns its folder."""
    folder.mkdir(exist_ok=True, parents=True)
    hidden = folder / f".{number}"
    shutil.copytree(version, hidden)
    return hidden.rename(folder / str(number))


@contextlib.contextmanager
def serving(**config):
    """Yields a started `Server`, REST on a free port; its `lines` is its log."""
    lines = []
    server = Server(ServingConfig(**{"port": 0, "rest_api_port": -1} | config), log=lines.append)
    server.lines = lines
    server.start()
    try:
        yield server
    finally:
        server.stop(5)


def ask(server, path, body=None, **headers):
    """Returns HTTP code and JSON of a GET, or of a POST of `body`: bytes, or a value to send as JSON."""
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
    """Waits until a condition is true and returns its value; fails after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"condition not true after {seconds} s: {condition}")
        time.sleep(0.01)
    return found


def b64(content):
    """Returns bytes as a JSON value of the REST interface."""
    return {"b64": base64.b64encode(content).decode()}
