"""Throughput and latency of the development server over REST and gRPC, and of calls within the process.

$ python -m benchmarks.serving

Exports two untrained models, which take as long as trained ones: a classifier of 32x32 color images (ResNet-20), and a
masked language model with the sizes of preset tiny. The server runs in a process of its own. 8 concurrent clients send
the same request, one image as a PNG file or one sentence, for 20 s in each of the three ways, in turn. Prints medians
over the rounds of requests per second and of latency percentiles, and the number of failed requests.
"""

import base64
import contextlib
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import load
from karpa_tf.system import console

ROUNDS = 2
SECONDS = 20
CLIENTS = 8
ROOT = Path(__file__).parents[1]


def main():
    console.hide_tensorflow_messages()
    with tempfile.TemporaryDirectory() as folder:
        requests = _export(Path(folder))
        for name, inputs in requests.items():
            loads = {way: [] for way in ("in the process", "REST", "gRPC")}
            for _ in range(ROUNDS):
                loads["in the process"].append(_measure_in_process(Path(folder, name, "1"), inputs))
                with _start_server(folder) as (rest, grpc):
                    loads["REST"].append(_measure_server("rest", rest, name, inputs))
                    loads["gRPC"].append(_measure_server("grpc", grpc, name, inputs))
            for way, rounds in loads.items():
                print(f"{name:<12}{way:<16}{_summarize(rounds)}", flush=True)


def _export(folder):
    """Exports the models, and returns a dict from their names to the inputs of a request."""
    import numpy as np
    from PIL import Image

    from karpa_tf.configs import classifier_presets
    from karpa_tf.configs import masked_lm as masked_lm_configs
    from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
    from karpa_tf.export import classifier, masked_lm, versions
    from karpa_tf.models.bert import make_encoder, make_masked_lm
    from karpa_tf.models.classifiers import make_classifier

    config = classifier_presets.PRESETS["cifar10_resnet20"]
    model = make_classifier(config.model, (config.image_size, config.image_size, config.channels), 10)
    classes = [f"class {number}" for number in range(10)]
    export = classifier.make_classifier_export(model, classes, task="classifier")
    versions.write(folder / "classifier", export)

    tiny = masked_lm_configs.PRESETS["tiny"]
    words = (f"word{number}" for number in range(tiny.vocabulary_size - len(SPECIAL)))
    vocabulary = Vocabulary((*SPECIAL, *words))
    model = make_masked_lm(tiny.model, make_encoder(tiny.model, len(vocabulary)))
    export = masked_lm.make_masked_lm_export(model, vocabulary, tiny.row_length, task="masked_lm")
    versions.write(folder / "masked_lm", export)

    pixels = np.random.default_rng(0).integers(0, 256, (config.image_size, config.image_size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return {
        "classifier": {"image_bytes": _string_batch(file.getvalue())},
        "masked_lm": {"text": _string_batch(b"word1 word2 [MASK] word3 word4 word5 word6 word7 word8 word9 word10")},
    }


def _string_batch(value):
    import numpy as np

    return np.array([value], object)


@contextlib.contextmanager
def _start_server(folder):
    """Starts a server, and returns a context manager of its REST and gRPC addresses that ends it."""
    command = [sys.executable, "-m", "apps.serve", "--model_base_path", folder, "--port=-1", "--rest_api_port=-1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        output = _wait_until_ready(server)
        yield re.search(r"REST: (http://[^/]+)", output)[1], re.search(r"gRPC: (\S+)", output)[1]
    finally:
        server.terminate()
        server.wait()


def _wait_until_ready(server):
    output = ""
    while "page:" not in output:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("The server did not start.")
        output += line
    return output


def _measure_server(kind, address, name, inputs):
    make_request = _make_rest_request if kind == "rest" else _make_grpc_request
    return load.measure_server(kind, address, *make_request(name, inputs), CLIENTS, SECONDS)


def _make_rest_request(name, inputs):
    """Returns the path and the body of a predict request in column format."""
    columns = {key: [_to_json(value) for value in array] for key, array in inputs.items()}
    body = json.dumps({"signature_name": "serving_default", "inputs": columns})
    return f"/v1/models/{name}:predict", body.encode()


def _to_json(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _make_grpc_request(name, inputs):
    """Returns the full name of the method and the message of a predict request."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    tensors = {key: tf.make_tensor_proto(array) for key, array in inputs.items()}
    spec = {"name": name, "signature_name": "serving_default"}
    request = predict_pb2.PredictRequest(model_spec=spec, inputs=tensors)
    return "/tensorflow.serving.PredictionService/Predict", request.SerializeToString()


def _measure_in_process(folder, inputs):
    from karpa_tf.serving.servable import Servable

    servable = Servable(folder.parent.name, folder)

    def call():
        servable.run("serving_default", inputs)

    return load.measure_function(call, CLIENTS, SECONDS)


def _summarize(loads):
    rates = [load.per_second for load in loads]
    p50, p99 = ([1000 * load.percentile(fraction) for load in loads] for fraction in (0.5, 0.99))
    failed = sum(sum(load.errors.values()) for load in loads)
    return (
        f"{statistics.median(rates):6.0f} requests/s ({min(rates):.0f} to {max(rates):.0f})  "
        f"p50 {statistics.median(p50):.1f} ms  p99 {statistics.median(p99):.1f} ms  "
        f"{sum(len(load.latencies) for load in loads)} succeeded, {failed} failed"
    )


if __name__ == "__main__":
    main()
