"""The programs that use a model answer the same from a server as from the export that it serves."""

import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from exported_models import CLASSES
from PIL import Image
from programs import ROOT, refusal
from served import ServerProcess, image_files, tiny_models

from apps import classify, fill_mask, sample_gan
from karpa_tf.errors import UserError

pytestmark = pytest.mark.slow

TEXTS = ("a good 😀 list", "", "the cat\nof a list")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="module")
def server(models, tmp_path_factory):
    with ServerProcess(models, tmp_path_factory.mktemp("server") / "log") as process:
        yield f"http://127.0.0.1:{process.rest_port}"


@pytest.fixture
def ask_both(server, models):
    """Runs a program with a model of the server and with the same export, and returns both results."""
    return lambda app, model, **flags: (
        app.run(app.Config(server=server, model=model, **flags)),
        app.run(app.Config(saved_model=str(models / model), **flags)),
    )


def write_images(folder):
    for number, content in enumerate(image_files(2)):
        Path(folder, f"{number}.png").write_bytes(content)
    Image.open(Path(folder, "1.png")).save(Path(folder, "2.webp"), lossless=True)
    Image.open(Path(folder, "1.png")).save(Path(folder, "3.bmp"))
    Path(folder, "4.jpg").write_text("no image")


def assert_same_classes(one, other):
    assert [name for name, _ in one] == [name for name, _ in other]
    for (_, best), (_, same) in zip(one, other, strict=True):
        assert [label for label, _ in best] == [label for label, _ in same]
        np.testing.assert_allclose([p for _, p in best], [p for _, p in same], atol=1e-5)


def test_a_server_classifies_a_folder_of_images_and_a_broken_one_is_named(ask_both, tmp_path, capsys):
    write_images(tmp_path)
    served, loaded = ask_both(classify, "images", images=(str(tmp_path),), top=2)
    assert [Path(name).name for name, _ in served] == ["0.png", "1.png", "2.webp", "3.bmp"]
    assert_same_classes(served, loaded)
    said = capsys.readouterr()
    assert said.err.splitlines()[0] == said.err.splitlines()[-1] and "4.jpg: cannot identify" in said.err
    assert said.out.splitlines()[:4] == said.out.splitlines()[4:]


def test_an_image_that_the_server_refuses_is_skipped(server, tmp_path, capsys):
    good, odd = tmp_path / "good.png", tmp_path / "odd.gif"
    good.write_bytes(image_files(1)[0])
    Image.open(good).save(odd)
    odd.write_bytes(odd.read_bytes().replace(b"GIF87a", b"GIF86a"))  # Pillow reads any version of GIF
    results = classify.run(classify.Config(server=server, model="images", images=(str(odd), str(good))))
    assert [name for name, _ in results] == [str(good)]
    assert "odd.gif: " in capsys.readouterr().err


def test_a_server_classifies_texts(ask_both, capsys):
    Path("texts.txt").write_text("a list\n\nthe list!\n")
    served, loaded = ask_both(classify, "opinions", text=TEXTS, file="texts.txt", out="out.csv")
    assert [name for name, _ in served] == [*TEXTS, "a list", "the list!"]
    assert_same_classes(served, loaded)
    assert Path("out.csv").read_text().startswith("text,rank,class,probability\na good 😀 list,1,")


def test_a_server_fills_masks_of_texts_with_different_numbers_of_them(ask_both, capsys):
    served, loaded = ask_both(fill_mask, "words", texts=("the [MASK] of a [MASK].", "no mask", "😀 [MASK]"), top=2)
    assert [len(masks) for _, masks in served] == [2, 1]
    for (_, one), (_, other) in zip(served, loaded, strict=True):
        assert_same_classes(enumerate(one), enumerate(other))
    out = capsys.readouterr().out.splitlines()
    assert out[: len(out) // 2] == out[len(out) // 2 :]


def test_a_server_draws_the_images_of_more_seeds_than_one_request_has(ask_both):
    served, loaded = ask_both(sample_gan, "drawings", n=70, seed=3)
    np.testing.assert_array_equal(served, loaded)


def test_a_server_interpolates(ask_both):
    served, loaded = ask_both(sample_gan, "drawings", n=5, seed=3, interpolate=True, out="walk.gif")
    assert np.abs(served.astype(int) - loaded.astype(int)).max() <= 1


@pytest.mark.parametrize("flags", [{}, {"interpolate": True}])
def test_a_server_draws_a_class_by_its_index(server, models, flags):
    folder = models / "labeled_drawings"
    served = sample_gan.run(sample_gan.Config(server=server, model="labeled_drawings", n=5, label="2", **flags))
    loaded = sample_gan.run(sample_gan.Config(saved_model=str(folder), n=5, label=CLASSES[2], **flags))
    assert np.abs(served.astype(int) - loaded.astype(int)).max() <= (1 if flags else 0)


@pytest.mark.parametrize(
    ("model", "label", "message"),
    [
        ("labeled_drawings", None, "labeled_drawings draws classes, whose names a server does not tell; give --label"),
        ("labeled_drawings", "cat", "--label must be the index of a class, from 0, with --server; received cat"),
        ("labeled_drawings", "99", "refuses the request to labeled_drawings: indices[0] = 99 is not in [0, 3)"),
        ("drawings", "0", "--label needs a conditional GAN; drawings was trained without classes."),
    ],
)
def test_a_class_that_a_server_cannot_draw_is_an_error(server, model, label, message):
    with pytest.raises(UserError, match=re.escape(message)):
        sample_gan.run(sample_gan.Config(server=server, model=model, n=2, label=label))


def test_tensorflow_is_not_imported_to_ask_a_server(server, tmp_path):
    (tmp_path / "a.png").write_bytes(image_files(1)[0])
    code = """
import sys
from apps import classify, fill_mask, sample_gan
from karpa_tf import cli
for app, words in ((classify, "images a.png"), (classify, "opinions --text a"), (fill_mask, "words [MASK]"), (sample_gan, "drawings")):
    app.run(cli.parse(app.Config(), "", args=["--server", sys.argv[1], "--model", *words.split()]))
loaded = {name.split(".")[0] for name in sys.modules} & {"tensorflow", "keras"}
assert not loaded, loaded
"""  # noqa: E501
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}", server]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


WRONG = [
    ({"model": "opinion"}, "has no model opinion: "),
    (
        {"model": "opinion"},
        "Its models: drawings, images, labeled_drawings, opinions, words; did you mean opinions?",
    ),
    ({"model": "opinions", "version": 9}, "has no model opinions of version 9: "),
    ({"model": "opinions", "version": 9}, "Its versions: 1 AVAILABLE."),
    ({}, "Name the model with --model; http://127.0.0.1:"),
    ({}, " has drawings, images, labeled_drawings, opinions, words."),
    ({"model": "words"}, "is no text classifier; its signatures: serving_default from text to "),
    ({"model": "opinions", "text": ("\udcff",)}, "The text '\\udcff' is not UTF-8."),
    ({"server": "ftp://x"}, "--server must be like http://127.0.0.1:8501, without /v1/models/...; received ftp://x."),
    ({"server": "http://x/v1/models/a"}, "without /v1/models/...; received http://x/v1/models/a."),
    ({"server": "127.0.0.1:99999"}, "--server must be like"),
    ({"server": "127.0.0.1:9", "model": "a"}, "No server answers at http://127.0.0.1:9 (Connection refused); correct"),
    ({"server": "a..b", "model": "a"}, "No server answers at http://a..b:80 ("),
    ({"server": None, "run": "a", "model": "b"}, "--model and --version are of a model on --server"),
    ({"run": "a"}, "Give one of --run DIR, --saved-model DIR and --server URL"),
    ({"images": ("a.png",)}, "or else texts, with --text or --file."),
    ({"timeout": 0}, "--timeout must be above 0"),
]


@pytest.mark.parametrize(("flags", "message"), WRONG, ids=[message for _, message in WRONG])
def test_wrong_flags_are_answered_in_one_sentence(server, capsys, flags, message):
    flags = {"server": server, "text": ("a",)} | flags
    assert message in refusal(capsys, lambda: classify.run(classify.Config(**flags)))


def test_a_server_without_tls_and_a_silent_one_are_reported(server, capsys):
    flags = {"model": "a", "text": ("a",)}
    secure = server.replace("http:", "https:")
    error = refusal(capsys, lambda: classify.run(classify.Config(server=secure, **flags)))
    assert "cannot be reached over TLS" in error
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = f"127.0.0.1:{listener.getsockname()[1]}"
        error = refusal(capsys, lambda: classify.run(classify.Config(server=silent, timeout=0.2, **flags)))
    assert f"http://{silent} gave no answer within 0.2 s (--timeout)." in error


def answer_with(text):
    """Starts a server that answers every request with a text, and returns its address."""
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


OTHERS = [b"<html>Hello</html>", b"[]", b"{}", b"\xff", b'{"metadata": 1}', b'{"metadata": {"signature_def": {}}}']


@pytest.mark.parametrize("body", OTHERS)
def test_a_server_of_another_kind_is_reported(capsys, body):
    address = answer_with(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    config = classify.Config(server=address, model="a", text=("a",))
    error = refusal(capsys, lambda: classify.run(config))
    assert "does not answer as TF Serving's REST interface does" in error


def test_a_server_that_lists_no_models_needs_a_name(capsys):
    body = b'{"error": "Malformed request: GET /page/models"}'
    address = answer_with(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    error = refusal(capsys, lambda: classify.run(classify.Config(server=address, text=("a",))))
    assert f"Name the model with --model; {address} does not list its models." in error
