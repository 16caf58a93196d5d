"""Asks a model of a server over TF Serving's REST interface; with the standard library and NumPy alone."""

import base64
import functools
import http.client
import json
import re
import ssl
import urllib.parse
from typing import NamedTuple

import numpy as np

from karpa_tf.errors import Refused, UserError, nearest

ADDRESS = re.compile(r"(?:(https?)://)?(\[[\da-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?((?:/[\w.~-]+)*)/?", re.IGNORECASE)
"""Scheme, host, port and, behind a proxy, a path."""

DTYPES = {"float": "float32", "bfloat16": "float32", "double": "float64", "half": "float16", "string": "object"}
"""NumPy's names of dtypes where they are not TensorFlow's in lower case."""


def connect(source):
    """Returns the `Client` of a `ModelSource`."""
    return Client(source.server, source.model, source.version, source.timeout)


class Signature(NamedTuple):
    """Shapes of the inputs, lists with -1 for a variable size, and NumPy's dtypes of the outputs, by name."""

    inputs: dict[str, list[int]]
    outputs: dict[str, str]


class Client:
    """A model on a server.

    Args:
        server: such as "http://127.0.0.1:8501"; without a scheme it is http.
        model: name of the model; None is the only one of a development server. TF Serving does not list its models.
        version: number of the version; None is the newest.
        timeout: seconds to wait for an answer.

    Attributes:
        signatures: dict of `Signature` by name.

    Raises:
        UserError: no such server, model or version, or the server is of another kind. So do the methods.
    """

    def __init__(self, server, model=None, version=None, timeout=60):
        match = ADDRESS.fullmatch(server)
        if not match or int(match[3] or 0) > 65535 or "/v1" in match[4]:
            raise UserError(f"--server must be like http://127.0.0.1:8501, without /v1/models/...; received {server}.")
        scheme, host, self._path = (match[1] or "http").lower(), match[2], match[4]
        port = int(match[3] or (443 if scheme == "https" else 80))
        self.url = f"{scheme}://{host}:{port}{self._path}"
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        self._connect = functools.partial(kind, host.strip("[]"), port, timeout=timeout)
        self.version, self.timeout = version, timeout
        self.model = model or self._find_only_model()
        self._model_path = f"/v1/models/{urllib.parse.quote(self.model, safe='')}"
        self.signatures = self._read_signatures()

    def function(self, kind, inputs, outputs):
        """Returns `predict` of a signature with exactly these inputs and at least these outputs.

        Args:
            kind: what the model should be, for the error.
            inputs: list of names.
            outputs: list of names.
        """
        described = []
        for name in sorted(self.signatures, key=lambda name: (name != "serving_default", name)):
            signature = self.signatures[name]
            if set(signature.inputs) == set(inputs) and set(outputs) <= set(signature.outputs):
                return functools.partial(self.predict, name)
            described.append(f"{name} from {', '.join(signature.inputs)} to {', '.join(signature.outputs)}")
        raise UserError(f"{self.model} on {self.url} is no {kind}; its signatures: {'; '.join(described) or 'none'}.")

    def predict(self, signature, **inputs):
        """Returns the outputs of a signature, dict of arrays by name; strings are `bytes` in an array of objects.

        Args:
            signature: its name.
            **inputs: lists or arrays of equal length; strings are `str` or `bytes`.
        """
        columns = {name: _to_json(values) for name, values in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
        document = self._ask("POST", ":predict", body)
        dtypes = self.signatures[signature].outputs
        try:
            outputs = document["outputs"]
            if len(dtypes) == 1:  # then TF Serving leaves the name out
                outputs = dict.fromkeys(dtypes, outputs)
            return {name: _from_json(outputs[name], dtype) for name, dtype in dtypes.items()}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._other_server(document) from None

    def _find_only_model(self):
        models = self._list_models()
        if models is None or len(models) != 1:
            known = "does not list its models" if models is None else f"has {', '.join(models) or 'none'}"
            raise UserError(f"Name the model with --model; {self.url} {known}.")
        return models[0]

    def _list_models(self):
        """Returns the names of the models of a development server, or None: TF Serving does not list them."""
        status, document = self._request("GET", "/page/models")
        return [model["name"] for model in document["models"]] if status == 200 and "models" in document else None

    def _read_signatures(self):
        document = self._ask("GET", "/metadata")
        try:
            signatures = document["metadata"]["signature_def"]["signature_def"].items()
            return {name: _read_signature(entry) for name, entry in signatures if not name.startswith("__")}
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._other_server(document) from None

    def _ask(self, method, action, body=None):
        """Returns the JSON document with which the server answers a request to the model."""
        version = "" if self.version is None else f"/versions/{self.version}"
        status, document = self._request(method, f"{self._model_path}{version}{action}", body)
        if status == 200:
            return document
        message = " ".join(str(document["error"]).split()).rstrip(".")
        if status == 404:
            what = self.model if self.version is None else f"{self.model} of version {self.version}"
            raise UserError(f"{self.url} has no model {what}: {message}. {self._describe_known()}")
        raise Refused(f"{self.url} refuses the request to {self.model}: {message} (HTTP {status}).")

    def _describe_known(self):
        """Returns a sentence about the versions of the model, or else about the models that there are."""
        status, document = self._request("GET", self._model_path)
        if versions := status == 200 and document.get("model_version_status"):
            return f"Its versions: {', '.join('{version} {state}'.format(**version) for version in versions)}."
        models = self._list_models()
        return f"Its models: {', '.join(models)}{nearest(self.model, models)}" if models else "Correct --model."

    def _request(self, method, path, body=None):
        """Returns the status and the JSON document of an answer; it has an "error" unless the status is 200."""
        status, text = self._send(method, self._path + path, body)
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            raise self._other_server(text.decode(errors="replace")) from None
        if not isinstance(document, dict) or (status != 200 and "error" not in document):
            raise self._other_server(document)
        return status, document

    def _send(self, method, path, body):
        connection = self._connect()
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            return response.status, response.read()
        except TimeoutError:
            raise UserError(f"{self.url} gave no answer within {self.timeout:g} s (--timeout).") from None
        except (ConnectionResetError, BrokenPipeError):
            reasons = "it has stopped, does not speak HTTP, or the request is too large for it"
            raise UserError(f"{self.url} closed the connection: {reasons}.") from None
        except http.client.HTTPException as error:
            raise self._other_server(error) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or error.reason
            raise UserError(f"{self.url} cannot be reached over TLS ({reason}); is it http://?") from None
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            advice = "correct --server, whose port is usually 8501, or start `python -m apps.serve`"
            raise UserError(f"No server answers at {self.url} ({reason}); {advice}.") from None
        finally:
            connection.close()

    def _other_server(self, answer):
        message = f"does not answer as TF Serving's REST interface does: {str(answer)[:80]!r}"
        return UserError(f"{self.url} {message}. Is it another kind of server, or another port?")


def _read_signature(entry):
    shapes = {key: info.get("tensor_shape", {}).get("dim", []) for key, info in entry.get("inputs", {}).items()}
    dtypes = {key: info["dtype"].removeprefix("DT_").lower() for key, info in entry.get("outputs", {}).items()}
    return Signature(
        {key: [int(dim["size"]) for dim in shape] for key, shape in shapes.items()},
        {key: DTYPES.get(dtype, dtype) for key, dtype in dtypes.items()},
    )


def _to_json(values):
    values = values.tolist() if isinstance(values, np.ndarray) else values
    return [{"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value for value in values]


def _from_json(values, dtype):
    def strings(value):
        if isinstance(value, list):
            return [strings(item) for item in value]
        return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()

    return np.array(strings(values) if dtype == "object" else values, dtype)
