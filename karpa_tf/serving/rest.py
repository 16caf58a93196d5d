"""TF Serving's REST interface: /v1/models/NAME[/versions/N][/metadata|:predict]."""

import asyncio
import concurrent.futures
import json
import re
import time
import zlib
from urllib.parse import unquote

import grpc
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from karpa_tf.errors import first_line
from karpa_tf.serving import rpc
from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.tensors import from_json, is_base64, join_pieces, list_pieces, to_json, to_json_rows
from karpa_tf.serving.web_guard import error_response

PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d{1,18}))?(/metadata|:predict)?")


class Rest:
    """Answers the requests of the REST interface, with the models of a `Manager` and the limits of a `ServingConfig`.

    `running` is the number of POST requests that are running or waiting, `workers` the executor that runs them.
    """

    def __init__(self, manager, config):
        self.running = 0
        self._manager, self._config, self._draining = manager, config, False
        self._timeout = config.rest_api_timeout_in_ms / 1000
        self.workers = concurrent.futures.ThreadPoolExecutor(config.max_concurrent, thread_name_prefix="rest")

    async def drain(self, seconds):
        """Takes no more requests and waits, `seconds` at most, until the running ones have been answered."""
        self._draining = True
        end = time.monotonic() + seconds
        while self.running and time.monotonic() < end:
            await asyncio.sleep(0.02)

    async def respond(self, request):
        """Answers a request, and cuts off a client that does not read the answer."""
        self.running += request.method == "POST"
        try:
            response = await self._answer(request)
            async with asyncio.timeout(self._timeout):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            request.transport.abort()
        finally:
            self.running -= request.method == "POST"
        return response

    async def _answer(self, request):
        try:
            path = request.raw_path.split("?", 1)[0]
            match = PATH.fullmatch(path)
            if match is None or request.method != ("POST" if match[3] == ":predict" else "GET"):
                raise invalid(
                    f"{request.method} {path} is no request; expected GET /v1/models/NAME, GET .../NAME/metadata or "
                    "POST .../NAME:predict, where NAME may be followed by /versions/NUMBER."
                )
            name, number = unquote(match[1]), match[2] and int(match[2])
            answer = {None: self._status, "/metadata": self._metadata, ":predict": self._predict}[match[3]]
            body = await answer(request, name, number)
            return web.Response(body=body, content_type="application/json", charset="utf-8")
        except ServingError as error:
            return error_response(error.http_status, error.message)

    async def _status(self, request, name, number):
        version = {"value": number} if number is not None else None
        status = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": name, "version": version})
        return _to_json(rpc.answer_status(self._manager, status)).encode()

    async def _metadata(self, request, name, number):
        with self._manager.use(name, number) as servable:
            signatures = _to_json(get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signatures))
            spec = json.dumps({"name": name, "signature_name": "", "version": str(servable.version)})
        return f'{{"model_spec": {spec}, "metadata": {{"signature_def": {signatures}}}}}'.encode()

    async def _predict(self, request, name, number):
        if self._draining:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, "The server is about to stop.")
        most = self._config.max_concurrent + self._config.max_queue
        if self.running > most:
            message = f"{most} requests are running or waiting, which is this server's limit (--max_queue)."
            raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        body = await self._read_body(request)
        return await asyncio.get_running_loop().run_in_executor(self.workers, self._run, name, number, body)

    def _run(self, name, number, body):
        with self._manager.use(name, number) as servable:
            return predict(servable, body)

    async def _read_body(self, request):
        """Returns the body, decompressed; aiohttp refuses one that exceeds the limit as it comes in."""
        size, most = request.content_length or 0, self._config.max_body_mb * 10**6
        if size > most:
            raise web.HTTPRequestEntityTooLarge(most, size)
        try:
            async with asyncio.timeout(self._timeout):
                body = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except web.RequestPayloadError as error:  # invalid chunks
            raise invalid(f"The body cannot be read: {first_line(error.__cause__ or error)}") from None
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        return body if encoding == "identity" else decompress(body, encoding, most)


def decompress(body, encoding, most):
    """Returns the content of a compressed body, never more than `most` bytes of it.

    aiohttp (3.14) decompresses what has come in at once, up to a thousand times as much, before it looks at the size.

    Raises:
        ServingError: the encoding is neither gzip nor deflate, or the body is damaged.
        web.HTTPRequestEntityTooLarge: the content is larger.
    """
    if encoding not in ("gzip", "deflate"):
        raise invalid(f"Content-Encoding {encoding:.20} is not supported; expected gzip or deflate.")
    content = b""
    while body:  # gzip may have several parts.
        decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of either format, by its header
        try:
            content += decompressor.decompress(body, most + 1 - len(content))
        except zlib.error as error:
            raise invalid(f"The body cannot be read: {error}.") from None
        if len(content) > most:
            raise web.HTTPRequestEntityTooLarge(most, len(content))
        if not decompressor.eof:
            raise invalid("The body cannot be read: it ends within its compressed content.")
        body = decompressor.unused_data
    return content


def _to_json(message):
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True, indent=1
    )


def predict(servable, body):
    """Returns the JSON of a `Servable`'s answer to the body of a predict request, in rows or in columns, as bytes."""
    document = _parse(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"signature_name must be a string; received {name!r}.")
    inputs = list(servable.signature(name).inputs)
    in_rows = "instances" in document
    if in_rows == ("inputs" in document):
        raise invalid("Expected either 'instances', a list of rows, or 'inputs', the columns.")
    columns = _transpose(document["instances"], inputs) if in_rows else _columns(document["inputs"], inputs)
    dtypes = servable.dtypes(name, columns)
    outputs = servable.run(name, {key: from_json(key, value, dtypes[key]) for key, value in columns.items()})
    name, value = ("predictions", _rows(outputs)) if in_rows else ("outputs", _only_or_all(outputs))
    return join_pieces(_object([name], [value]))


def _parse(body):
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"The body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise invalid("The body must be a JSON object.")
    return document


def _transpose(rows, inputs):
    """Returns the list of values of each input, from a list of rows."""
    if not isinstance(rows, list) or not rows:
        raise invalid("'instances' must be a list of one row or more.")
    named = [isinstance(row, dict) and not is_base64(row) for row in rows]
    if not any(named):
        return _columns(rows, inputs)
    names = rows[named.index(True)].keys()
    for number, row in enumerate(rows):
        if not named[number] or row.keys() != names:
            raise invalid(f"Row {number} of 'instances' must be an object with the keys {sorted(names)}.")
    return {name: [row[name] for row in rows] for name in names}


def _columns(value, inputs):
    if isinstance(value, dict) and not is_base64(value):
        return value
    if len(inputs) != 1:
        raise invalid(f"The signature has the inputs {sorted(inputs)}; name the value of each.")
    return {inputs[0]: value}


def _rows(outputs):
    if any(value.ndim == 0 for value in outputs.values()) or len({len(value) for value in outputs.values()}) != 1:
        shapes = {key: value.shape for key, value in outputs.items()}
        raise invalid(f"The outputs have no common first dimension: {shapes}; ask with 'inputs', not 'instances'.")
    columns = [to_json_rows(key, value) for key, value in outputs.items()]
    if len(columns) == 1:
        return list_pieces(columns[0])
    return list_pieces("".join(_object(outputs, [[text] for text in row])) for row in zip(*columns, strict=True))


def _only_or_all(outputs):
    columns = [to_json(key, value) for key, value in outputs.items()]
    return columns[0] if len(columns) == 1 else _object(outputs, columns)


def _object(keys, values):
    """Yields the JSON of an object in pieces, from its keys and the JSON, in pieces, of its values."""
    for number, (key, value) in enumerate(zip(keys, values, strict=True)):
        yield f"{', ' if number else '{'}{json.dumps(key)}: "
        yield from value
    yield "}"
