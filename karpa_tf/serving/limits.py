"""What a request may cost: its rows, and the pixels of its images, looked at before the model sees them."""

import contextlib
import threading

import grpc

from karpa_tf.configs.serving import LimitsConfig
from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.images import pixels


class Limits:
    """The limits of a server, and how many requests are in it.

    Attributes:
        config: the `LimitsConfig`.
        body_bytes: largest body of a request or size of a gRPC message.
        inside: number of requests of the REST interface that are running or waiting.
    """

    def __init__(self, config=None):
        self.config = config = config or LimitsConfig()
        self.body_bytes = config.max_body_mb * 10**6
        self._most_pixels = config.max_image_megapixels * 10**6
        self._lock = threading.Lock()
        self.inside = 0
        self._decoded, self._room = 0, threading.Condition()

    def check_inputs(self, inputs):
        """Refuses arrays of too many rows, or with too many pixels in encoded images; returns the number of pixels.

        Args:
            inputs: dict of arrays by name.

        Raises:
            ServingError: INVALID_ARGUMENT.
        """
        for name, value in inputs.items():
            if value.ndim and value.shape[0] > self.config.max_batch:
                raise invalid(
                    f"Input {name} has {value.shape[0]} rows; this server takes {self.config.max_batch} at most "
                    "(--max_batch)."
                )
        return check_images(inputs, self._most_pixels)

    @contextlib.contextmanager
    def decoding(self, count):
        """Waits until no more pixels are being decoded than one request may have, these `count` among them."""
        with self._room:
            self._room.wait_for(lambda: self._decoded + count <= self._most_pixels)
            self._decoded += count
        try:
            yield
        finally:
            with self._room:
                self._decoded -= count
                self._room.notify_all()

    def enter(self):
        """Counts a request in.

        Raises:
            ServingError: RESOURCE_EXHAUSTED, as many are there as may wait.
        """
        most = self.config.max_concurrent + self.config.max_queue
        with self._lock:
            if self.inside >= most:
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"{most} requests are running or waiting, which is all this server takes (--max_queue).",
                )
            self.inside += 1

    def leave(self):
        """Counts a request out."""
        with self._lock:
            self.inside -= 1


def check_images(inputs, most_pixels):
    """Refuses encoded images that have more pixels together than `most_pixels`; returns how many they have.

    Args:
        inputs: dict of arrays; every value of those of bytes is looked at, images in serialized `tf.Example`s too.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    total = 0
    for value in inputs.values():
        if value.dtype.kind == "O":
            total += sum(map(pixels, value.ravel()))
    if total > most_pixels:
        raise invalid(
            f"The request's images have {total} pixels; this server takes {most_pixels} at most "
            "(--max_image_megapixels)."
        )
    return total
