"""What a request is refused with: a gRPC code, the HTTP status that stands for it, and a sentence."""

import grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}
"""`grpc.StatusCode` by its number, which TensorFlow's errors carry."""

HTTP = {3: 400, 9: 400, 11: 400, 7: 403, 5: 404, 8: 429, 12: 501, 14: 503, 4: 504}
"""HTTP status by the number of a code, as TF Serving maps them; 500 for every other code."""

MAX_LENGTH = 500
"""Characters of a message that are passed on; some of TensorFlow's repeat a string of the request."""


class ServingError(Exception):
    """A request that cannot be answered: `code`, a `grpc.StatusCode`, and `message`, for the client."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message[:MAX_LENGTH]
        self.http_status = HTTP.get(code.value[0], 500)


def invalid(message):
    """Returns the error for a request that is wrong in itself."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_tensorflow(error):
    """Returns the `ServingError` of a `tf.errors.OpError`: its code, and the first line of its message."""
    lines = [line for line in str(error.message or error).splitlines() if line and line != "Graph execution error:"]
    return ServingError(CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), lines[0] if lines else "")
