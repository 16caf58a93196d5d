"""Asking a model: over REST, over gRPC, or in this process; of the development server or of the real TF Serving.

All three have `signatures` and `ask`. What they are asked and what they answer are arrays by name. REST needs no more
than the standard library and NumPy.
"""

import base64
import http.client
import json
import socket
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from karpa_tf.errors import UserError, nearest

NUMPY = {"float": "float32", "double": "float64", "string": "object", "half": "float16"}
"""NumPy's names of types where they are not TensorFlow's in small letters."""


class Spec(NamedTuple):
    """Which model is asked."""

    name: str
    version: int | None = None
    label: str | None = None


class Info(NamedTuple):
    """An input or an output: NumPy's name of its type ("object" for strings), its shape (-1 for any size) or None."""

    dtype: str
    shape: tuple[int, ...] | None


class Signature(NamedTuple):
    """Inputs and outputs, dicts of `Info` by name."""

    inputs: dict[str, Info]
    outputs: dict[str, Info]


class Answer(NamedTuple):
    """Outputs, dict of arrays by name (strings are `bytes`), and a function that returns the whole answer as JSON."""

    outputs: dict[str, np.ndarray]
    raw: Callable[[], str]


class RestClient:
    """Asks over HTTP/1.1, keeping its connection.

    Args:
        url: such as "http://127.0.0.1:8501".
        timeout: seconds that an answer may take.
    """

    def __init__(self, url, timeout=60):
        parts = urllib.parse.urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise UserError(f"--server must be like http://127.0.0.1:8501; received {url}.")
        self.url, self.prefix, self.timeout = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"), timeout
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(parts.hostname, port, timeout=timeout)

    def signatures(self, spec):
        """Returns dict of `Signature` by name.

        Raises:
            UserError: the server or the model is not there.
        """
        document = self._json("GET", f"{_path(spec)}/metadata", spec)
        try:
            return read_signatures(document["metadata"]["signature_def"]["signature_def"])
        except (KeyError, TypeError, AttributeError, ValueError):
            raise self._stranger(json.dumps(document)) from None

    def ask(self, spec, name, signature, inputs):
        """Returns the `Answer` of a signature.

        Args:
            spec: a `Spec`.
            name: of the signature.
            signature: the `Signature`.
            inputs: dict of arrays by name; strings are arrays of objects, of `bytes`.

        Raises:
            UserError: the server or the model is not there, or the server refuses.
        """
        path, body = self.request(spec, name, inputs)
        document = self._json("POST", path, spec, body)
        if "outputs" not in document:
            raise self._stranger(json.dumps(document))
        outputs = document["outputs"]
        if len(signature.outputs) == 1:
            outputs = {next(iter(signature.outputs)): outputs}
        arrays = {key: _from_json(value, signature.outputs[key].dtype) for key, value in outputs.items()}
        return Answer(arrays, lambda: json.dumps(document, ensure_ascii=False, indent=2))

    def request(self, spec, name, inputs):
        """Returns the path and the body with which `ask` asks."""
        columns = {key: _to_json(value) for key, value in inputs.items()}
        return f"{self.prefix}{_path(spec)}:predict", json.dumps({"signature_name": name, "inputs": columns}).encode()

    def models(self):
        """Returns the names of the models that the server has, or None where it does not tell, as TF Serving."""
        try:
            status, body = self._send("GET", "/page/models")
            return [model["name"] for model in json.loads(body)["models"]] if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    def _json(self, method, path, spec, body=None):
        status, text = self._send(method, path, body)
        try:
            document = json.loads(text)
        except ValueError:
            raise self._stranger(text[:80].decode(errors="replace")) from None
        if not isinstance(document, dict) or (status != 200 and "error" not in document):
            raise self._stranger(text[:80].decode(errors="replace"))
        if status == 404:
            raise UserError(missing(self.url, spec, document["error"], self.models()))
        if status != 200:
            raise UserError(f"{self.url} refuses: {document['error']} (HTTP {status})")
        return document

    def _send(self, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        for attempt in (1, 2):
            try:
                if self.connection.sock is None:
                    self.connection.connect()
                    self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.connection.request(method, self.prefix + path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except TimeoutError:
                self.connection.close()
                raise UserError(f"{self.url} gave no answer within {self.timeout:g} s (--timeout).") from None
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
                # A server may close a connection that was kept; once more on a new one.
                self.connection.close()
                if attempt == 2:
                    raise UserError(f"{self.url} broke the connection off ({type(error).__name__}).") from None
            except http.client.HTTPException as error:
                self.connection.close()
                raise self._stranger(str(error) or type(error).__name__) from None
            except OSError as error:
                self.connection.close()
                raise not_there(self.url, error.strerror or error, "--server URL") from None
        return None

    def _stranger(self, text):
        return UserError(f"{self.url} does not answer as TF Serving does: {text!r:.100}. Is it another kind of server?")


def not_there(address, reason, flag):
    """Returns the error for a server that cannot be reached."""
    return UserError(
        f"No server answers at {address} ({reason}). Start one with `python -m apps.serve --model-base-path "
        f"saved_models`, or name yours with {flag}."
    )


def missing(address, spec, message, models):
    """Returns the sentence for a model or a version that a server does not have."""
    asked = f"{spec.name!r}" + (f" version {spec.version}" if spec.version is not None else "")
    asked += f" label {spec.label}" if spec.label else ""
    there = ""
    if models is not None and spec.name not in models:
        there = f" Its models: {', '.join(models) or 'none'}{nearest(spec.name, models)}"
    return f"{address} has no model {asked}: {message.rstrip('.')}.{there}"


def read_signatures(signatures):
    """Returns dict of `Signature` by name from the JSON form of a SignatureDefMap; those without outputs are left out.

    Raises:
        KeyError, ValueError, TypeError: it is none.
    """

    def infos(entries):
        return {name: Info(_dtype(entry["dtype"]), _shape(entry.get("tensor_shape", {}))) for name, entry in entries}

    return {
        name: Signature(infos(entry.get("inputs", {}).items()), infos(entry.get("outputs", {}).items()))
        for name, entry in signatures.items()
        if not name.startswith("__")
    }


def _dtype(name):
    small = name.removeprefix("DT_").lower()
    return NUMPY.get(small, small)


def _shape(shape):
    return None if shape.get("unknown_rank") else tuple(int(dim.get("size", 0)) for dim in shape.get("dim", []))


def _path(spec):
    path = f"/v1/models/{urllib.parse.quote(spec.name, safe='')}"
    if spec.version is not None:
        path += f"/versions/{spec.version}"
    return path + (f"/labels/{urllib.parse.quote(spec.label, safe='')}" if spec.label else "")


def _to_json(array):
    return [_string(x) for x in array.tolist()] if array.dtype.kind == "O" else array.tolist()


def _string(value):
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _from_json(value, dtype):
    if dtype != "object":
        return np.asarray(value, "float32" if dtype == "bfloat16" else dtype)

    def strings(value):
        if isinstance(value, list):
            return [strings(item) for item in value]
        return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()

    return np.asarray(strings(value), object)
