"""apps.query asks a server over REST and gRPC, and a SavedModel in the process, and says the same each time."""

import json
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from programs import ROOT, refusal
from served import image_files, png, tiny_models

from apps import query
from karpa_tf.configs.serving import ServingConfig
from karpa_tf.serving import load
from karpa_tf.serving.server import Server


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def server(models):
    server = Server(ServingConfig(model_base_path=str(models), port=0, rest_api_port=0))
    server.start()
    yield server
    server.stop(0)


@pytest.fixture(params=["REST", "gRPC", "here"])
def ask(request, server, models):
    """Runs the program about a model of the server's, over one of the three ways, and returns what it returns."""

    def ask(model, **flags):
        way = {
            "REST": {"server": f"http://127.0.0.1:{server.rest_port}", "model": model},
            "gRPC": {"grpc": f"127.0.0.1:{server.grpc_port}", "model": model},
            "here": {"saved_model": str(models / model)},
        }
        return query.run(query.Config(**way[request.param], **flags))

    return ask


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(image_files(1)[0])
    return str(path)


EXPECTED = {}


def same_every_way(key, value):
    """The three ways are asked one after the other: what the first one said is what the others have to say."""
    assert EXPECTED.setdefault(key, value) == value


def test_images_are_classified(ask, image, capsys):
    ask("images", images=(image,), top=2)
    said = capsys.readouterr().out
    label, *rest = said.rstrip("\n").split("  ")
    assert label == image and len(rest) == 2 and all(part.endswith("%") for part in rest)
    same_every_way("images", said.replace(image, ""))


@pytest.mark.parametrize("signature", ["images", "classify"])
def test_an_image_can_be_sent_as_pixels_and_as_an_example(ask, image, signature):
    (by_bytes,) = ask("images", images=(image,))
    (other,) = ask("images", images=(image,), signature=signature)
    np.testing.assert_allclose(other["scores"], by_bytes["scores"], atol=1e-5)


def test_the_images_of_a_folder_are_sent_one_by_one_and_a_broken_one_is_named(ask, tmp_path, capsys):
    for number, content in enumerate(image_files(3)):
        (tmp_path / f"{number}.png").write_bytes(content)
    (tmp_path / "1.jpg").write_text("no image")
    Image.open(tmp_path / "2.png").save(tmp_path / "3.webp", lossless=True)
    (outputs,) = ask("images", images=(str(tmp_path),))
    said = capsys.readouterr()
    assert re.findall(r"/(\d\.\w+) ", said.out) == ["0.png", "1.png", "2.png", "3.webp"]
    assert said.err == f"warning: {tmp_path / '1.jpg'} is no image, or of an unknown format.\n"
    np.testing.assert_allclose(outputs["scores"][3], outputs["scores"][2], atol=1e-5)


def test_masked_words_are_predicted(ask, capsys):
    (outputs,) = ask("words", text="the [MASK] of a [MASK].", top=2)
    first, *masks = capsys.readouterr().out.splitlines()
    words = [row[0].decode() for row in outputs["tokens"][0]]
    assert first == f"the {words[0]} of a {words[1]}."
    assert [mask.split(":")[0].strip() for mask in masks] == ["1", "2"]
    same_every_way("words", masks)


def test_texts_are_classified_and_embedded(ask, capsys):
    ask("opinions", text="a list")
    same_every_way("opinion", capsys.readouterr().out)
    (outputs,) = ask("words", text="a list", signature="embed")
    assert capsys.readouterr().out.startswith("a list  embedding: float32 [8]: ")
    assert outputs["embedding"].shape == (1, 8)


def test_generated_images_are_saved_as_a_grid_an_animation_and_files(ask, tmp_path, capsys):
    (outputs,) = ask("drawings", seed=3, n=5, out="new/grid.png")
    assert capsys.readouterr().out == "5 images of 16x16\nThe images are in new/grid.png.\n"
    same_every_way("grid", Path("new/grid.png").read_bytes())
    ask("drawings", seed=3, n=5, out="walk.gif")
    assert Image.open("walk.gif").n_frames == 5
    ask("drawings", seed=3, n=2, out="folder")
    assert Path("folder/seed_3.png").read_bytes() == outputs["image_bytes"][0]
    assert Path("folder/seed_4.png").read_bytes() == outputs["image_bytes"][1]
    (pixels,) = ask("drawings", seed=4, signature="serving_default", out="one.png")
    assert png(np.repeat(pixels["images"][0], 3, 2)) == png(np.asarray(Image.open("folder/seed_4.png").convert("RGB")))


def test_the_complete_answer_is_printed_and_saved_as_json(ask, capsys):
    ask("opinions", text="a list", json=True, out="answer.json")
    said = capsys.readouterr().out
    document, end = json.JSONDecoder().raw_decode(said)
    assert "outputs" in document and said[end:] == "\nThe answer is in answer.json.\n"
    assert json.loads(Path("answer.json").read_text()) == document


def test_many_seeds_are_sent_in_several_requests(ask):
    assert [len(outputs["image_bytes"]) for outputs in ask("drawings", seed=0, n=70)] == [64, 6]


def test_load_is_measured(ask, capsys):
    measured = ask("opinions", text="a list", load=0.3, clients=2)
    assert measured.errors == {} and measured.seconds >= 0.3
    assert len(measured.latencies) > 2 and measured.latencies == sorted(measured.latencies)
    assert 0 < measured.percentile(0.5) <= measured.percentile(0.99) < measured.seconds
    said = capsys.readouterr().out
    assert "2 clients" in said and f"{len(measured.latencies)} requests in " in said and "p99 " in said


def test_percentiles_are_the_nearest_rank():
    measured = load.Load(list(range(1, 101)), {}, 10)
    assert [measured.percentile(fraction) for fraction in (0, 0.5, 0.9, 0.99, 1)] == [1, 50, 90, 99, 100]
    assert measured.per_second == 10


def test_load_counts_what_the_server_refuses(server):
    address = f"http://127.0.0.1:{server.rest_port}"
    measured = load.measure_server("rest", address, "/v1/models/no:predict", b"{}", clients=1, seconds=0.1)
    assert measured.latencies == [] and [text[:9] for text in measured.errors] == ["HTTP 404:"]
    address = f"127.0.0.1:{server.grpc_port}"
    path = "/tensorflow.serving.PredictionService/Predict"
    measured = load.measure_server("grpc", address, path, b"", clients=1, seconds=0.1)
    assert list(measured.errors) == ["INVALID_ARGUMENT: Missing ModelSpec"]


@pytest.mark.slow
def test_a_server_is_queried_without_importing_tensorflow(server, image):
    code = """
import sys
from apps import query
query.run(query.Config(server=sys.argv[1], model="images", images=(sys.argv[3],)))
query.run(query.Config(grpc=sys.argv[2], model="images", images=(sys.argv[3],)))
loaded = [name for name in sys.modules if name.split(".")[0] in ("tensorflow", "keras") and "_pb2" not in name]
assert not loaded, loaded
import tensorflow  # which finds its messages there already
query.run(query.Config(grpc=sys.argv[2], model="images", images=(sys.argv[3],)))
from tensorflow.core.framework import tensor_pb2
assert type(tensorflow.make_tensor_proto(1)) is tensor_pb2.TensorProto
"""
    addresses = f"http://127.0.0.1:{server.rest_port}", f"127.0.0.1:{server.grpc_port}"
    done = subprocess.run([sys.executable, "-c", code, *addresses, image], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(set(done.stdout.splitlines())) == 1 and len(done.stdout.splitlines()) == 3


NOWHERE = "127.0.0.1:9"
WRONG = [
    ({"model": "image"}, "has no model 'image': Servable not found for request: Latest(image)."),
    ({"model": "images", "version": 9}, "has no model 'images' version 9: Servable not found"),
    ({"model": "images", "label": "no"}, "Unrecognized servable version label: no"),
    ({"model": "images", "signature": "imges"}, "There is no signature imges; there are "),
    ({"model": "images", "signature": "imges"}, "did you mean images?"),
    ({"model": "words"}, "No signature takes images. What the model takes: serving_default: text string (any) (--te"),
    ({"model": "images", "text": "a", "images": ()}, "No signature takes --text."),
    ({"model": "words", "signature": "token_ids"}, "token_ids: mask_positions int32 (any, any), token_ids int32"),
    ({"model": "images", "out": "a.txt"}, "--out must end in .json, .png or .gif, or be a folder; received a.txt."),
    ({"model": "images", "out": "a.png"}, "the answer holds no images; a file that ends in .json takes"),
    ({"images": ("no.png",)}, "There is no image or folder no.png."),
    ({"images": ()}, "Ask about one of: images, --text TEXT, --seed NUMBER."),
    ({"text": "a"}, "Ask about one of: images, --text TEXT, --seed NUMBER."),
    ({"images": (), "seed": 2**63 - 1}, "--seed must be an integer of 64 bits"),
    ({"version": 1, "label": "a"}, "Name one of --version and --label."),
    ({"server": "a", "grpc": "b"}, "Name one of --server URL, --grpc HOST:PORT and --saved-model DIR."),
    ({"server": "ftp://x"}, "--server must be like http://127.0.0.1:8501; received ftp://x."),
    ({"server": f"http://{NOWHERE}", "model": "a"}, "No server answers at http://127.0.0.1:9 (Connection refused)."),
    ({"server": None, "grpc": NOWHERE, "model": "a"}, "No server answers at 127.0.0.1:9 (Connection refused)."),
    ({"server": None, "grpc": NOWHERE}, "Name the model with --model; the server does not tell which ones it has."),
    ({"server": None, "saved_model": "no"}, "--saved-model no holds no SavedModel; expected saved_models/<name>"),
    ({"server": None, "saved_model": "no", "version": 3}, "--saved-model no has no version 3; its versions: none."),
    ({"server": None, "saved_model": "no", "label": "a"}, "--label is known to servers only; name a --version."),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "text"), WRONG, ids=[text[:50] for _, text in WRONG])
def test_wrong_flags_are_answered_in_one_sentence(server, image, capsys, flags, text):
    flags = {"server": f"http://127.0.0.1:{server.rest_port}", "images": (image,)} | flags
    error = refusal(capsys, lambda: query.run(query.Config(**flags)))
    assert text in error


def test_other_kinds_of_servers_and_silent_ones_are_reported(server, capsys):
    flags = {"model": "a", "text": "a"}
    grpc_port = f"http://127.0.0.1:{server.grpc_port}"
    error = refusal(capsys, lambda: query.run(query.Config(server=grpc_port, **flags)))
    assert "does not answer as TF Serving does" in error
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"127.0.0.1:{listener.getsockname()[1]}"
        error = refusal(capsys, lambda: query.run(query.Config(server=silent, timeout=0.2, **flags)))
        assert f"http://{silent} gave no answer within 0.2 s (--timeout)." in error
        error = refusal(capsys, lambda: query.run(query.Config(grpc=silent, timeout=0.2, **flags)))
        assert f"{silent} gave no answer within 0.2 s (--timeout)." in error


def answering_with(text):
    """A server that answers every request with a text; returns its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(10**6)
                    connection.sendall(text)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


OTHERS = [b"<html>Hello</html>", b"[]", b"{}", b'{"metadata": 1}', b'{"metadata": {"signature_def": {}}}']


@pytest.mark.parametrize("body", OTHERS)
def test_answers_of_another_kind_are_shown(capsys, body):
    address = answering_with(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    error = refusal(capsys, lambda: query.run(query.Config(server=address, model="a", text="a")))
    assert "does not answer as TF Serving does" in error
