"""A classifier as a SavedModel: from image files, from pixels, and from `tf.Example`."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import decode_square, normalize
from karpa_tf.export.versions import Call, Export

FEATURE = "image_bytes"
"""Where a serialized `tf.Example` holds the image file."""


def make_classifier_export(model, classes, images=None):
    """Returns the `Export` of a classifier.

    Signatures; outputs are `classes`, string (batch, classes), the same in every row, and `scores`, float32
    (batch, classes), probabilities in that order:
        serving_default: `image_bytes`, string (batch,): JPEG, PNG, GIF, BMP or WebP files of any size.
        images: `images`, uint8 (batch, height, width, channels).
        classify: `inputs`, string (batch,): `tf.Example` with the file as bytes feature `image_bytes`.

    Args:
        model: images, float32 (batch, height, width, channels) in [-1, 1], to logits.
        classes: their names, in the order of the logits.
        images: examples from real data, uint8 (n, height, width, channels), or None.
    """
    functions = classifier_functions(model, classes)
    height, width, _ = shape = model.input_shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)

    @tf.function(autograph=False, input_signature=functions["images"].input_signature)
    def scores(images):
        return {"scores": functions["images"](images)["scores"]}

    return Export(
        task="image_classification",
        functions=functions,
        examples=_requests(noise if images is None else images),
        real_examples=images is not None,
        edge_cases=_requests(noise) | {"serving_default": [{"image_bytes": _strings([_jpeg(shape), *_files(noise)])}]},
        convertible=scores,
        convertible_examples=_requests(noise if images is None else images)["images"],
        files={"labels.txt": "".join(f"{name}\n" for name in classes)},
        details={"classes": list(classes), "shape": list(shape)},
        about=f"It says which of {len(classes)} classes an image shows, with a probability for each.",
        limits=(
            f"It knows {len(classes)} classes and nothing else; an image of something else gets one of them too.",
            f"Of an image the central square is taken and brought to {height}x{width} pixels.",
            "How it does on images unlike those of its data was not measured.",
            "One file that is no image fails all that are asked for together with it.",
        ),
        calls=_calls(shape),
    )


def _calls(shape):
    image = 'open("image.jpg", "rb").read()'
    feature = f"tf.train.Feature(bytes_list=tf.train.BytesList(value=[{image}]))"
    in_base64 = """{"b64": "'$(base64 -w0 image.jpg)'"}"""
    return {
        "serving_default": Call(
            "`image_bytes` are JPEG, PNG, GIF, BMP or WebP files of any size. `classes` names the columns of `scores`, "
            "which are probabilities.",
            f"image_bytes=tf.constant([{image}])",
            f'"instances": [{{"image_bytes": {in_base64}}}]',
        ),
        "images": Call("Pixels from 0 to 255.", f"images=tf.zeros({(1, *shape)}, tf.uint8)"),
        "classify": Call(
            f"`inputs` are serialized `tf.Example`s with an image file as bytes feature `{FEATURE}`: TensorFlow "
            "Serving's Classify makes them of what it is sent.",
            f"inputs=tf.constant([tf.train.Example(features=tf.train.Features(\n"
            f'    feature={{"{FEATURE}": {feature}}}\n)).SerializeToString()])',
            f'"examples": [{{"{FEATURE}": {in_base64}}}]',
            "classify",
        ),
    }


def classifier_functions(model, classes):
    """Returns the signatures' functions by name, as `make_classifier_export` describes them; the default first."""
    height, _, channels = model.input_shape[1:]
    names = tf.constant(list(classes))

    def answer(pixels):
        logits = model(normalize(pixels), training=False)
        scores = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    def decoded(files):
        one = tf.TensorSpec((height, height, channels), tf.uint8)
        return tf.map_fn(lambda file: decode_square(file, height, channels), files, fn_output_signature=one)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def from_files(image_bytes):
        return answer(decoded(image_bytes))

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="images")]
    )
    def from_images(images):
        return answer(images)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def from_examples(inputs):
        features = tf.io.parse_example(inputs, {FEATURE: tf.io.FixedLenFeature((), tf.string)})
        return answer(decoded(features[FEATURE]))

    return {"serving_default": from_files, "images": from_images, "classify": from_examples}


def _requests(images):
    """Returns requests to every signature: all images, uint8 (n, height, width, channels), and the first alone."""
    files = _files(images)
    examples = [
        tf.train.Example(
            features=tf.train.Features(feature={FEATURE: tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))})
        ).SerializeToString()
        for file in files
    ]
    inputs = {
        "serving_default": ("image_bytes", _strings(files)),
        "images": ("images", images),
        "classify": ("inputs", _strings(examples)),
    }
    return {name: [{key: values}, {key: values[:1]}] for name, (key, values) in inputs.items()}


def _files(images):
    return [tf.io.encode_png(image).numpy() for image in images]


def _jpeg(shape):
    """Returns a JPEG file of another size and form than the model's."""
    height, width, channels = shape
    return tf.io.encode_jpeg(
        np.random.default_rng(1).integers(0, 256, (height + 5, width + 9, channels), np.uint8)
    ).numpy()


def _strings(values):
    """Returns bytes as an array that keeps zeros at their ends."""
    return np.array(values, object)
