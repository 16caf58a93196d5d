"""Exported image classifiers: every signature against the Python pipeline."""

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
IMAGE_SIZE = 12


def make_gradient(width, height):
    """Returns an image whose channels are gradients, uint8 (height, width, 3)."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([7 * rows, 5 * columns, 3 * rows + 2 * columns], -1).astype(np.uint8)


def make_images():
    """Returns (image, options for saving) of every kind of image file, by file name."""
    photo = Image.fromarray(make_gradient(40, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    alpha = photo.convert("RGBA")
    alpha.putalpha(Image.fromarray(make_gradient(40, 30)[..., 0]))
    return {
        "plain.jpg": (photo, {}),
        "rotated.jpg": (photo, {"exif": exif}),
        "cmyk.jpg": (photo.convert("CMYK"), {}),
        "gray.jpg": (photo.convert("L"), {}),
        "plain.png": (photo, {}),
        "rgba.png": (alpha, {}),
        "gray_alpha.png": (alpha.convert("LA"), {}),
        "16_bit.png": (Image.fromarray(make_gradient(40, 30)[..., 0].astype(np.uint16) * 257), {}),
        "1_bit.png": (photo.convert("1"), {}),
        "palette.png": (photo.quantize(4), {}),
        "plain.webp": (photo, {"lossless": True}),
        "alpha.webp": (alpha, {"lossless": True}),
        "plain.gif": (photo.quantize(16), {}),
        "plain.bmp": (photo, {}),
        "tiny.png": (photo.resize((5, 3)), {}),
        "wide.jpg": (photo.resize((300, 20)), {}),
        "exact.png": (photo.resize((IMAGE_SIZE, IMAGE_SIZE)), {}),
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(folder of the version, model, list of image files)."""
    keras.utils.set_random_seed(0)
    folder = tmp_path_factory.mktemp("exported")
    model = make_classifier(ResNetConfig(blocks=(1, 1), filters=(4, 8)), (IMAGE_SIZE, IMAGE_SIZE, 3), 3)
    for weight in model.trainable_variables:  # so that the outputs for different images differ
        weight.assign(weight + 0.4 * keras.random.normal(weight.shape, seed=1))
    model = average_views(model, "flip_shift")
    files = []
    for name, (image, options) in make_images().items():
        image.save(folder / name, **options)
        files.append(folder / name)
    export = make_classifier_export(model, CLASSES, task="image classification")
    return write(folder / "models" / "small", export), model, files


def test_there_are_three_signatures_with_named_inputs_and_outputs(exported):
    signatures = load_version(exported[0])
    inputs = {name: list(signature.structured_input_signature[1]) for name, signature in signatures.items()}
    assert inputs == {"serving_default": ["image_bytes"], "images": ["images"], "classify": ["inputs"]}
    for signature in signatures.values():
        outputs = signature.structured_outputs
        assert {name: spec.dtype for name, spec in outputs.items()} == {"classes": tf.string, "scores": tf.float32}


@pytest.mark.parametrize("batch_size", [1, 3, 17])
def test_every_signature_returns_the_probabilities_of_the_python_pipeline(exported, batch_size):
    version, model, files = exported
    pixels = np.stack([read_square(file, IMAGE_SIZE, 3) for file in files[:batch_size]])
    expected = evaluation.compute_probabilities(model, pixels)
    assert batch_size == 1 or np.ptp(expected, axis=0).max() > 0.01
    data = tf.constant([file.read_bytes() for file in files[:batch_size]])
    features = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[file])) for file in data.numpy()]
    examples = [tf.train.Example(features=tf.train.Features(feature={"image_bytes": f})) for f in features]
    signatures = load_version(version)
    outputs = {
        "serving_default": signatures["serving_default"](image_bytes=data),
        "images": signatures["images"](images=tf.constant(pixels)),
        "classify": signatures["classify"](inputs=tf.constant([e.SerializeToString() for e in examples])),
    }
    for output in outputs.values():
        np.testing.assert_allclose(output["scores"], expected, atol=1e-5)
        assert [[name.decode() for name in row] for row in output["classes"].numpy()] == [list(CLASSES)] * batch_size


def test_the_loaded_classifier_scores_images_and_has_class_names(exported):
    version, model, files = exported
    function, classes, image_format = evaluation.load_exported(load_version(version.parent))
    assert classes == CLASSES and image_format == (IMAGE_SIZE, 3)
    pixels = np.stack([read_square(file, IMAGE_SIZE, 3) for file in files])
    np.testing.assert_allclose(function(pixels), evaluation.compute_probabilities(model, pixels), atol=1e-5)


def test_a_file_that_is_not_an_image_is_refused(exported):
    classify = load_version(exported[0])["serving_default"]
    with pytest.raises(tf.errors.InvalidArgumentError):
        classify(image_bytes=tf.constant([b"text"]))


def test_a_saved_model_without_the_signatures_of_a_classifier_is_refused():
    with pytest.raises(UserError, match="is no classifier; its signatures are other"):
        evaluation.load_exported({"other": None})
