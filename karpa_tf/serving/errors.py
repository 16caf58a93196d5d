"""What a request is refused with: TF Serving's codes, which are gRPC's, and the HTTP codes that it maps them to."""

import grpc

HTTP = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""HTTP status by the name of a code, as TF Serving's http_server.cc has it."""

CODES = {code.value[0]: code for code in grpc.StatusCode}
"""`grpc.StatusCode` by its number, which TensorFlow's errors carry."""

LONGEST = 500
"""Characters of one of TensorFlow's errors that are passed on."""


class ServingError(Exception):
    """A request that cannot be answered: `code`, a `grpc.StatusCode`, and `message`, for whoever asked."""

    def __init__(self, code, message):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self):
        return HTTP[self.code.name]


def invalid(message):
    """Returns the error for a request that is wrong in itself."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def from_tensorflow(error):
    """Returns the `ServingError` of a `tf.errors.OpError`, with its code and the first line of what it says."""
    lines = [line for line in str(error.message or error).splitlines() if line and line != "Graph execution error:"]
    # Some errors repeat a string of the request, of any length.
    return ServingError(CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), lines[0][:LONGEST] if lines else "")
