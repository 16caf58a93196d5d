"""TF Serving's REST interface: /v1/models/NAME[/versions/N|/labels/L][/metadata|:predict|:classify|:regress]."""

import asyncio
import concurrent.futures
import json
import re
import sys
import time
import traceback
from urllib.parse import unquote

from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from karpa_tf.serving import json_answers, json_requests
from karpa_tf.serving.errors import HTTP, ServingError, invalid

PLACE = r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?"
ASK = re.compile(PLACE + ":(classify|regress|predict)", re.IGNORECASE)
LOOK = re.compile(PLACE + "(?:/(metadata))?", re.IGNORECASE)


class Rest:
    """Answers requests of the REST interface.

    Args:
        manager: `Manager` of the models.
        on_request: takes model, API, entry point, name of the code and seconds of every request to a model.
    """

    def __init__(self, manager, on_request=None):
        self._manager, self._limits = manager, manager.limits
        self._on_request = on_request or (lambda *_: None)
        self._workers = concurrent.futures.ThreadPoolExecutor(
            self._limits.config.max_concurrent, thread_name_prefix="rest"
        )

    def routes(self):
        """Returns the routes for an application of aiohttp."""
        return [web.route("*", "/v1/{rest:.*}", self._answer)]

    def close(self):
        """Ends the threads; no request may be running."""
        self._workers.shutdown()

    async def _answer(self, request):
        path = request.raw_path.split("?", 1)[0]
        try:
            text = await self._route(request, path)
            return web.Response(text=text, content_type="application/json")
        except ServingError as error:
            return error_response(error.http_status, error.message)

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
            response = get_model_status_pb2.GetModelStatusResponse(
                model_version_status=self._manager.status(name, version, label)
            )
            return _to_json(response)
        return self._metadata(name, version, label)

    def _metadata(self, name, version, label):
        with self._manager.use(name, version, label) as servable:
            signatures = get_model_metadata_pb2.SignatureDefMap()
            for key, signature in servable.signatures.items():
                signatures.signature_def[key].CopyFrom(signature)
            spec = {"name": name, "signature_name": "", "version": str(servable.version)}
        return json.dumps(
            {"model_spec": spec, "metadata": {"signature_def": json.loads(_to_json(signatures))}}, indent=1
        )

    async def _ask(self, request, name, version, label, method):
        started = time.perf_counter()
        code = "INTERNAL"
        self._limits.enter()
        try:
            body = await self._body(request)
            work = getattr(self, f"_{method}")
            loop = asyncio.get_running_loop()
            text = await loop.run_in_executor(self._workers, work, name, version, label, body)
            code = "OK"
            return text
        except ServingError as error:
            code = error.code.name
            raise
        finally:
            self._limits.leave()
            self._on_request(name, method.capitalize(), "REST", code, time.perf_counter() - started)

    async def _body(self, request):
        """Returns the body; aiohttp answers 413 for one that is too large."""
        try:
            async with asyncio.timeout(self._limits.config.request_timeout_seconds):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout from None

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


def _to_json(message):
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True, indent=1
    )


def error_response(status, message):
    """Returns the answer {"error": message}."""
    return web.json_response({"error": message}, status=status)


@web.middleware
async def errors_as_json(request, handler):
    """Answers every refusal and every defect as TF Serving's interface does; a traceback goes to standard error only."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return error_response(error.status, error.text)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return error_response(HTTP["INTERNAL"], f"Internal error: {type(error).__name__}")
