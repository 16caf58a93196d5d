"""Exports of every task in one folder, and a server in its own process."""

import fcntl
import io
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import tensorflow as tf
from exported_models import (
    IMAGE_SIZE,
    export_tiny_classifier,
    export_tiny_generator,
    export_tiny_masked_lm,
    export_tiny_text_classifier,
    make_tiny_conditional_generator,
    make_tiny_embedder,
    make_tiny_pair_classifier,
    make_tiny_tagger,
    make_tiny_text_regressor,
)
from PIL import Image
from tensorflow_serving.apis import predict_pb2

from karpa_tf.export.versions import write
from karpa_tf.system.files import publish_folder

ROOT = Path(__file__).parents[2]


def tiny_models(tmp_path_factory):
    """Returns the folder of the models images, drawings, labeled_drawings, words and opinions.

    They are exported once per session: all processes of pytest-xdist use the same.
    """

    def export(folder):
        export_tiny_classifier(folder / "images")
        export_tiny_generator(folder / "drawings")
        write(folder / "labeled_drawings", make_tiny_conditional_generator())
        export_tiny_masked_lm(folder / "words")
        export_tiny_text_classifier(folder / "opinions")

    return _export_once(tmp_path_factory, "served_models", export)


def more_text_models(tmp_path_factory):
    """Returns the folder of the models names, pairs, ratings and meanings, as `tiny_models`; few servers need them."""

    def export(folder):
        write(folder / "names", make_tiny_tagger())
        write(folder / "pairs", make_tiny_pair_classifier())
        write(folder / "ratings", make_tiny_text_regressor())
        write(folder / "meanings", make_tiny_embedder())

    return _export_once(tmp_path_factory, "more_text_models", export)


def _export_once(tmp_path_factory, name, export):
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    base = root / name
    with open(root / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not base.exists():
            with publish_folder(base) as folder:
                export(folder)
    return base


def image_files(count, size=IMAGE_SIZE):
    """Returns PNG files as a list of bytes."""
    pixels = np.random.default_rng(1).integers(0, 256, (count, size, size, 3), np.uint8)
    return [png(image) for image in pixels]


def png(pixels):
    """Returns uint8 pixels (height, width, 3) as a PNG file, bytes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def example(content):
    """Returns an image file as a `tf.train.Example`."""
    value = tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))
    return tf.train.Example(features=tf.train.Features(feature={"image_bytes": value}))


def request_of(model, signature, inputs):
    """Returns a PredictRequest; `inputs` is a dict of arrays, or of values for `tf.make_tensor_proto`, by name."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def strings(values):
    """Returns bytes as an array of objects."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


class ServerProcess:
    """`python -m apps.serve` on free ports. Use `with`.

    Attributes:
        rest_port, grpc: ports.
        process: the `subprocess.Popen`.
        log: file with its standard error.
    """

    def __init__(self, folder, log, *flags):
        self.log = Path(log)
        words = ["-m", "apps.serve", "--model_base_path", str(folder), "--port", "-1", "--rest_api_port", "-1", *flags]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE, stderr=self.log.open("wb"), text=True, env=environment
        )

    def __enter__(self):
        try:
            pattern = r"gRPC: \S+:(\d+)\n(?:gRPC: unix:.*\n)?REST: \S+:(\d+)/"
            self.grpc, self.rest_port = map(int, self._read_until(pattern))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def _read_until(self, pattern, seconds=120):
        text, end = "", time.monotonic() + seconds
        while not (found := re.search(pattern, text)):
            ready, _, _ = select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))
            line = os.read(self.process.stdout.fileno(), 4096).decode() if ready else ""
            assert line, f"the server printed {text!r}, {self.log.read_text()[-2000:]}"
            text += line
        return found.groups()
