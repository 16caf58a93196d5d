"""How many requests the development server answers and how fast, over REST and gRPC, beside a call in the process.

$ python -m benchmarks.serving

Exports a classifier of 32x32 color images (ResNet-20) and a masked language model of the preset tiny's shape, both
not trained, whose answers take as long; serves both in a process of its own; and sends the same request, one image as
a PNG file or one sentence, from 8 clients at a time for 20 s in each way, in turn. Prints the medians over the rounds
of requests per second and of the latencies' percentiles, and how many requests were lost.
"""

import contextlib
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from karpa_tf.system import console as quiet

ROUNDS = 2
SECONDS = 20
CLIENTS = 8
ROOT = Path(__file__).parents[1]


def main():
    quiet.hide_tensorflow_messages()
    with tempfile.TemporaryDirectory() as folder:
        requests = _export(Path(folder))
        for name, inputs in requests.items():
            measured = {way: [] for way in ("in the process", "REST", "gRPC")}
            for _ in range(ROUNDS):
                measured["in the process"].append(_in_process(Path(folder, name, "1"), inputs))
                with _server(folder) as (rest, grpc):
                    measured["REST"].append(_over("rest", rest, name, inputs))
                    measured["gRPC"].append(_over("grpc", grpc, name, inputs))
            for way, loads in measured.items():
                print(f"{name:<12}{way:<16}{_summary(loads)}", flush=True)


def _export(folder):
    """Exports the models and returns the inputs of a request to each, by name."""
    import numpy as np
    from PIL import Image

    from apps.train_classifier import PRESETS
    from apps.train_mlm import TINY
    from karpa_tf.data.text.vocabulary import SPECIAL, Vocabulary
    from karpa_tf.export import classifier, masked_lm, versions
    from karpa_tf.models.bert import make_encoder, make_masked_lm
    from karpa_tf.models.classifiers import make_classifier

    config = PRESETS["cifar10_resnet20"]
    model = make_classifier(config.model, (config.image_size, config.image_size, config.channels), 10)
    export = classifier.make_classifier_export(model, [f"class {number}" for number in range(10)])
    versions.write(folder / "classifier", export)

    words = Vocabulary((*SPECIAL, *(f"word{number}" for number in range(TINY.vocabulary_size - len(SPECIAL)))))
    model = make_masked_lm(TINY.model, make_encoder(TINY.model, len(words)))
    versions.write(folder / "masked_lm", masked_lm.make_masked_lm_export(model, words, TINY.row_length))

    pixels = np.random.default_rng(0).integers(0, 256, (config.image_size, config.image_size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return {
        "classifier": {"image_bytes": _strings(file.getvalue())},
        "masked_lm": {"text": _strings(b"word1 word2 [MASK] word3 word4 word5 word6 word7 word8 word9 word10")},
    }


def _strings(value):
    import numpy as np

    return np.array([value], object)


@contextlib.contextmanager
def _server(folder):
    """Gives the addresses of both interfaces of a server of its own process."""
    command = [sys.executable, "-m", "apps.serve", "--model_base_path", folder, "--port=-1", "--rest_api_port=-1"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        said = _until_ready(server)
        yield re.search(r"REST: (http://[^/]+)", said)[1], re.search(r"gRPC: (\S+)", said)[1]
    finally:
        server.terminate()
        server.wait()


def _until_ready(server):
    said = ""
    while "page:" not in said:
        line = server.stdout.readline()
        if not line:
            raise SystemExit("The server did not start.")
        said += line
    return said


def _over(kind, address, name, inputs):
    from karpa_tf.serving import load
    from karpa_tf.serving.client import RestClient, Spec
    from karpa_tf.serving.grpc_client import GrpcClient

    client = RestClient(address) if kind == "rest" else GrpcClient(address)
    path, body = client.request(Spec(name), "serving_default", inputs)
    return load.measure_server(kind, address, path, body, CLIENTS, SECONDS)


def _in_process(folder, inputs):
    from karpa_tf.serving import load
    from karpa_tf.serving.local_client import LocalClient

    client = LocalClient(folder)

    def ask():
        client.run("serving_default", inputs)

    return load.measure_function(ask, CLIENTS, SECONDS)


def _summary(loads):
    rates = [load.per_second for load in loads]
    p50, p99 = ([1000 * load.percentile(share) for load in loads] for share in (0.5, 0.99))
    lost = sum(sum(load.errors.values()) for load in loads)
    return (
        f"{statistics.median(rates):6.0f} requests/s ({min(rates):.0f} to {max(rates):.0f})  "
        f"p50 {statistics.median(p50):.1f} ms  p99 {statistics.median(p99):.1f} ms  "
        f"{sum(len(load.latencies) for load in loads)} answered, {lost} lost"
    )


if __name__ == "__main__":
    main()
