"""Exported classifiers: every signature against the pipeline in Python."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from karpa_tf.configs.resnet import ResNetConfig
from karpa_tf.data.images.folder import read_square
from karpa_tf.errors import UserError
from karpa_tf.evaluation import classification as evaluation
from karpa_tf.export.classifier import make_classifier_export
from karpa_tf.export.versions import load_version, write
from karpa_tf.models.classifiers import average_views, make_classifier

CLASSES = ("Äpfel & Birnen", "cat", "日本")
SIDE = 12


def gradient(width, height):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([7 * rows, 5 * columns, 3 * rows + 2 * columns], -1).astype(np.uint8)


def images():
    """One image of every kind that people have, by file name."""
    photo = Image.fromarray(gradient(40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = photo.convert("RGBA")
    alpha.putalpha(Image.fromarray(gradient(40, 30)[..., 0]))
    return {
        "plain.jpg": (photo, {}),
        "turned.jpg": (photo, {"exif": exif}),
        "cmyk.jpg": (photo.convert("CMYK"), {}),
        "gray.jpg": (photo.convert("L"), {}),
        "plain.png": (photo, {}),
        "rgba.png": (alpha, {}),
        "gray_alpha.png": (alpha.convert("LA"), {}),
        "deep.png": (Image.fromarray(gradient(40, 30)[..., 0].astype(np.uint16) * 257), {}),
        "one_bit.png": (photo.convert("1"), {}),
        "palette.png": (photo.quantize(4), {}),
        "plain.webp": (photo, {"lossless": True}),
        "alpha.webp": (alpha, {"lossless": True}),
        "still.gif": (photo.quantize(16), {}),
        "plain.bmp": (photo, {}),
        "tiny.png": (photo.resize((5, 3)), {}),
        "wide.jpg": (photo.resize((300, 20)), {}),
        "exact.png": (photo.resize((SIDE, SIDE)), {}),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(folder of the version, model, list of image files)."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("exported")
    model = make_classifier(ResNetConfig(blocks=(1, 1), filters=(4, 8)), (SIDE, SIDE, 3), 3)
    for weight in model.trainable_variables:  # so that images differ clearly
        weight.assign(weight + 0.4 * keras.random.normal(weight.shape, seed=1))
    model = average_views(model, "flip_shift")
    files = []
    for name, (image, options) in images().items():
        image.save(folder / name, **options)
        files.append(folder / name)
    version = write(folder / "models" / "small", make_classifier_export(model, CLASSES))
    return version, model, files


def test_there_are_three_signatures_with_named_inputs_and_outputs(exported):
    signatures = load_version(exported[0])
    inputs = {name: list(s.structured_input_signature[1]) for name, s in signatures.items()}
    assert inputs == {"serving_default": ["image_bytes"], "images": ["images"], "classify": ["inputs"]}
    for signature in signatures.values():
        outputs = signature.structured_outputs
        assert {name: spec.dtype for name, spec in outputs.items()} == {"classes": tf.string, "scores": tf.float32}


@pytest.mark.parametrize("batch", [1, 3, 17])
def test_every_signature_says_what_the_pipeline_in_python_says(exported, batch):
    version, model, files = exported
    pixels = np.stack([read_square(file, SIDE, 3) for file in files[:batch]])
    expected = evaluation.scores(model, pixels)
    assert batch == 1 or np.ptp(expected, axis=0).max() > 0.01
    data = tf.constant([file.read_bytes() for file in files[:batch]])
    feature = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[d])) for d in data.numpy()]
    examples = [tf.train.Example(features=tf.train.Features(feature={"image_bytes": f})) for f in feature]
    signatures = load_version(version)
    answers = {
        "serving_default": signatures["serving_default"](image_bytes=data),
        "images": signatures["images"](images=tf.constant(pixels)),
        "classify": signatures["classify"](inputs=tf.constant([e.SerializeToString() for e in examples])),
    }
    for answer in answers.values():
        np.testing.assert_allclose(answer["scores"], expected, atol=1e-5)
        assert [[name.decode() for name in row] for row in answer["classes"].numpy()] == [list(CLASSES)] * batch


def test_the_loaded_model_is_a_function_of_images_with_names(exported):
    version, model, files = exported
    function, classes, shape = evaluation.load_exported(load_version(version.parent))
    assert classes == CLASSES and shape == (SIDE, 3)
    pixels = np.stack([read_square(file, SIDE, 3) for file in files])
    np.testing.assert_allclose(function(pixels), evaluation.scores(model, pixels), atol=1e-5)


def test_what_is_no_image_is_refused(exported):
    serve = load_version(exported[0])["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        serve(image_bytes=tf.constant([b"text"]))


def test_a_saved_model_of_something_else_is_no_classifier(tmp_path):
    with pytest.raises(UserError, match="is no classifier; its signatures are other"):
        evaluation.load_exported({"other": None})


def test_views_are_means_over_logits(exported):
    layers = keras.layers
    images = keras.Input((4, 4, 1), name="images")
    weights = np.random.default_rng(0).normal(size=(16, 2))
    model = keras.Model(images, layers.Dense(2, kernel_initializer=lambda *_, **__: weights)(layers.Flatten()(images)))
    x = np.random.default_rng(1).normal(size=(3, 4, 4, 1)).astype(np.float32)

    def logits(pixels):
        return pixels.reshape(3, 16) @ weights

    flipped = (logits(x) + logits(x[:, :, ::-1])) / 2
    np.testing.assert_allclose(average_views(model, "flip")(x), flipped, atol=1e-5)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    corners = [padded[:, :4, :4], padded[:, 2:, 2:]]
    shifted = sum((logits(c) + logits(c[:, :, ::-1])) / 2 for c in corners) / 2
    np.testing.assert_allclose(average_views(model, "flip_shift")(x), (flipped + shifted) / 2, atol=1e-5)
    assert average_views(model, "one") is model
