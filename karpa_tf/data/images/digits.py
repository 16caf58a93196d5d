"""The handwritten digits of scikit-learn, which need no download."""

import numpy as np
from PIL import Image

from karpa_tf.data.cache import compute_fingerprint
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.errors import UserError

NATIVE_SIZE = 8
MAX_SIZE = 32


def load_digits(image_format, split="train"):
    """Returns the 1,797 digits, white on black, as an `ImageSet`; None for any split but "train".

    The original images have 8x8 pixels, 17 gray levels and no border. For image sizes above 8 they are padded by one
    pixel on each side and resized (bicubic).

    Args:
        image_format: an `ImageFormat`.
        split: "train", "validation" or "test".

    Raises:
        UserError: files are asked for; the image size is less than 8; or more than 32, and `small_images` is "refuse".
    """
    import sklearn.datasets

    if split != "train":
        return None
    if image_format.image_cache == "files":
        raise UserError("--image-cache files needs image files, which digits does not have; leave the flag out.")
    size = image_format.image_size
    if size < NATIVE_SIZE or (size > MAX_SIZE and image_format.small_images == "refuse"):
        valid = NATIVE_SIZE if size < NATIVE_SIZE else MAX_SIZE
        raise image_format.too_small(f"The images of digits (8x8, resized to at most {MAX_SIZE}x{MAX_SIZE}) are", valid)
    digits = sklearn.datasets.load_digits()
    levels = digits.images  # float64 (1797, 8, 8), 0 to 16
    if size > NATIVE_SIZE:
        levels = np.stack([_resize(image, size) for image in np.pad(levels, ((0, 0), (1, 1), (1, 1)))])
    images = (levels * (255 / 16)).clip(0, 255).round().astype(np.uint8)[..., None]
    return ImageSet(
        "digits",
        np.repeat(images, image_format.channels, axis=-1),
        compute_fingerprint("digits", size, image_format.channels),
        labels=digits.target.astype(np.int32),
        classes=tuple("0123456789"),
    )


def _resize(image, size):
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC))
