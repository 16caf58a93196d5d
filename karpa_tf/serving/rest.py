"""TF Serving's REST interface: /v1/models/NAME[/versions/N|/labels/L][/metadata|:predict|:classify|:regress]."""

import asyncio
import concurrent.futures
import re
import time
from urllib.parse import unquote

import grpc
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from karpa_tf.errors import first_line
from karpa_tf.serving import inference, json_answers, json_examples, json_requests
from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.web_guard import error_response

MODEL_PATH = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
ASK = re.compile(MODEL_PATH + ":(classify|regress|predict)", re.IGNORECASE)
LOOK = re.compile(MODEL_PATH + "(?:/(metadata))?", re.IGNORECASE)


class Rest:
    """Answers requests of the REST interface.

    Args:
        manager: `Manager` of the models.
        on_request: takes model, API, entry point, `grpc.StatusCode` and seconds of every request to a model.
    """

    def __init__(self, manager, on_request=None):
        self._manager, self._limits = manager, manager.limits
        self._on_request = on_request or (lambda *_: None)
        self._draining = False
        self._workers = concurrent.futures.ThreadPoolExecutor(
            self._limits.config.max_concurrent, thread_name_prefix="rest"
        )

    def routes(self):
        """Returns the routes for an application of aiohttp."""
        return [web.route("*", "/v1/{rest:.*}", self._answer)]

    async def drain(self, seconds):
        """Takes no more requests and waits, `seconds` at most, until those that are there have been answered."""
        self._draining = True
        end = time.monotonic() + seconds
        while self._limits.inside and time.monotonic() < end:
            await asyncio.sleep(0.02)

    def close(self):
        """Ends the threads, without waiting for what they are at."""
        self._workers.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, request):
        if request.method != "POST":  # whether the server lives can be asked when it is full, too
            return await self._answered(request)
        try:
            if self._draining:
                raise ServingError(grpc.StatusCode.UNAVAILABLE, "The server is about to stop.")
            self._limits.enter()
        except ServingError as error:
            return error_response(error.http_status, error.message)
        try:
            return await self._answered(request)
        finally:
            self._limits.leave()

    async def _answered(self, request):
        try:
            text = await self._route(request, request.raw_path.split("?", 1)[0])
            response = web.Response(text=text, content_type="application/json")
        except ServingError as error:
            response = error_response(error.http_status, error.message)
        return await self._sent(request, response)

    async def _sent(self, request, response):
        """Sends an answer; a client that does not read it is cut off."""
        try:
            async with asyncio.timeout(self._limits.config.client_timeout_seconds):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            request.transport.abort()
        return response

    async def _route(self, request, path):
        if request.method == "GET" and (match := LOOK.fullmatch(path)):
            return self._look(*_spec(match), match[4])
        if request.method == "POST" and (match := ASK.fullmatch(path)):
            return await self._ask(request, *_spec(match), match[4].lower())
        if request.method == "GET" and re.fullmatch("/v1/models/?", path, re.IGNORECASE):
            raise invalid("Missing model name in request.")
        raise invalid(f"Malformed request: {request.method} {path}")

    def _look(self, name, version, label, metadata):
        if not metadata:
            request = _addressed(get_model_status_pb2.GetModelStatusRequest(), name, version, label)
            return _to_json(inference.get_model_status(self._manager, request))
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=[inference.METADATA])
        response = inference.get_model_metadata(self._manager, _addressed(request, name, version, label))
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata[inference.METADATA].Unpack(signatures)
        # TF Serving writes the two messages one by one, without the type of the second.
        spec, signatures = _to_json(response.model_spec), _to_json(signatures)
        return f'{{\n"model_spec": {spec},\n"metadata": {{"signature_def": {signatures}}}\n}}\n'

    async def _ask(self, request, name, version, label, method):
        started = time.perf_counter()
        code = grpc.StatusCode.INTERNAL
        try:
            body = await self._body(request)
            work = getattr(self, f"_{method}")
            loop = asyncio.get_running_loop()
            text = await loop.run_in_executor(self._workers, work, name, version, label, body)
            code = grpc.StatusCode.OK
            return text
        except ServingError as error:
            code = error.code
            raise
        except web.HTTPException as error:  # of a body that is too large, too slow or damaged
            code = grpc.StatusCode.INVALID_ARGUMENT if error.status == 400 else grpc.StatusCode.RESOURCE_EXHAUSTED
            raise
        finally:
            self._on_request(name, method.capitalize(), "REST", code, time.perf_counter() - started)

    async def _body(self, request):
        """Returns the body; aiohttp refuses one that is found to be too large as it comes in."""
        size, most = request.content_length or 0, self._limits.body_bytes
        if size > most:
            raise web.HTTPRequestEntityTooLarge(most, size)
        try:
            async with asyncio.timeout(self._limits.config.client_timeout_seconds):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None
        except web.RequestPayloadError as error:  # chunks or a compression that are none
            raise web.HTTPBadRequest(text=f"The body cannot be read: {first_line(error.__cause__ or error)}") from None

    def _classify(self, name, version, label, body):
        request = json_examples.classification_request(json_requests.parse(body))
        response = inference.classify(self._manager, _addressed(request, name, version, label))
        return json_examples.write_classification(response)

    def _regress(self, name, version, label, body):
        request = json_examples.regression_request(json_requests.parse(body))
        response = inference.regress(self._manager, _addressed(request, name, version, label))
        return json_examples.write_regression(response)

    def _predict(self, name, version, label, body):
        with self._manager.use(name, version, label) as servable:
            document = json_requests.parse(body)
            signature_name = json_requests.signature_name(document)
            signature = servable.signatures.get(signature_name)
            if signature is None:
                raise invalid(f'Serving signature name: "{signature_name}" not found in signature def')
            inputs, rows = json_requests.read_inputs(document, signature.inputs)
            del document
            return json_answers.write(servable.run(signature_name, inputs), rows)


def _spec(match):
    """Returns name, version and label of a path."""
    version = match[2]
    if version is not None and int(version) >= 2**63:
        raise invalid(f"Failed to convert version: {version} to numeric.")
    return unquote(match[1]), None if version is None else int(version), match[3] and unquote(match[3])


def _addressed(request, name, version, label):
    """Returns a request that asks the model."""
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    if label:
        request.model_spec.version_label = label
    return request


def _to_json(message):
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True, indent=1
    )
