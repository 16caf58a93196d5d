"""Scikit-learn's handwritten digits: real, and in every installation."""

import numpy as np
from PIL import Image

from karpa_tf.data.cache import fingerprint
from karpa_tf.data.images.image_set import ImageSet

NATIVE_SIDE = 8
LARGEST_SIDE = 32


def load_digits(image_format, split="train"):
    """Returns the 1,797 digits as an `ImageSet`, white on black; they are one training split, any other is None.

    The originals have 8x8 pixels of 17 gray levels and touch the border. A model of 8 pixels gets them as they are;
    for a larger one they are given a border of one pixel and scaled up (bicubic), to 32 pixels at most unless
    `image_format` enlarges.
    """
    import sklearn.datasets

    if split != "train":
        return None
    side = image_format.side
    if side < NATIVE_SIDE or (side > LARGEST_SIDE and image_format.small_images == "refuse"):
        fits = NATIVE_SIDE if side < NATIVE_SIDE else LARGEST_SIDE
        raise image_format.too_small(
            f"The images of digits (8x8, scaled up to {LARGEST_SIDE}x{LARGEST_SIDE}) are", fits
        )
    digits = sklearn.datasets.load_digits()
    levels = digits.images  # float64 (1797, 8, 8), 0 to 16
    if side > NATIVE_SIDE:
        levels = np.stack([_scale_up(image, side) for image in np.pad(levels, ((0, 0), (1, 1), (1, 1)))])
    images = (levels * (255 / 16)).clip(0, 255).round().astype(np.uint8)[..., None]
    return ImageSet(
        "digits",
        np.repeat(images, image_format.channels, axis=-1),
        fingerprint("digits", side, image_format.channels),
        labels=digits.target.astype(np.int32),
        classes=tuple("0123456789"),
    )


def _scale_up(image, side):
    return np.asarray(Image.fromarray(image.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC))
