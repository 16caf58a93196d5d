"""The page at `/` of the development server: its models, and a form for requests to each of them.

The page is plain HTML, CSS and JavaScript modules from this package. It reads `GET /page/models` for the models and
sends requests to the server's own REST interface; nothing is loaded from another host.
"""

import asyncio
import json
import math
import stat
from pathlib import Path

import tensorflow as tf
from aiohttp import web
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from karpa_tf.serving.errors import ServingError

FOLDER = Path(__file__).with_name("page")
FILES = {
    "icon.svg": "image/svg+xml",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "model.js": "text/javascript",
    "form.js": "text/javascript",
    "image_form.js": "text/javascript",
    "seed_form.js": "text/javascript",
    "text_forms.js": "text/javascript",
    "json_form.js": "text/javascript",
    "elements.js": "text/javascript",
}
"""Files below `/page/` and their content types. A path in a request is never looked up on the disk."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A browser asks anew after an update of this package.
    "Cache-Control": "no-cache",
}

FORMS = {
    "image": ({"image_bytes": "string"}, {"classes", "scores"}),
    "seed": ({"seed": "int64"}, {"image_bytes"}),
    "masked_text": ({"text": "string"}, {"tokens", "scores"}),
    "text": ({"text": "string"}, {"classes", "scores"}),
}
"""Forms of the page: inputs of a signature that such a form can call, each of shape (batch,), and its outputs."""

CARD_BYTES = 1 << 20
"""Maximum size of a `card.json`."""

CARD_KEYS = ("form", "task", "created", "seed", "formats", "metrics", "data", "versions")
"""Entries of a card that the page shows."""


def routes(manager):
    """Returns the aiohttp routes of the page: `/`, its files below `/page/`, and `/page/models`.

    Args:
        manager: the server's `Manager`.
    """

    async def models(request):
        # Statuses wait for locks and cards for the disk, so that they do not belong in the event loop.
        described = await asyncio.to_thread(lambda: [describe(manager, name) for name in manager.models()])
        text = json.dumps({"models": described}, allow_nan=False)
        return web.Response(text=text, content_type="application/json", headers=HEADERS)

    return [
        web.get("/", _file("index.html", "text/html")),
        web.get("/page/models", models),
        *(web.get(f"/page/{name}", _file(name, kind)) for name, kind in FILES.items()),
    ]


def _file(name, kind):
    body = (FOLDER / name).read_bytes()

    async def answer(request):
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return answer


def describe(manager, name):
    """Returns what the page shows of a model, a dict ready for JSON.

    Returns:
        `name`, `labels` (dict, label to version), `versions` (newest first) and `error` (why there are no versions, or
        ""). A version has `version` (a string, since JavaScript rounds large integers), `state` (a name of
        `ModelVersionStatus.State`) and `error`; if it is available also `signatures`, `form` and `card`, as
        `describe_signatures`, `select_form` and `read_card` return them.
    """
    try:
        statuses, labels = manager.status(name), manager.labels(name)
    except ServingError as error:  # removed since the names were read, or never found
        return {"name": name, "labels": {}, "versions": [], "error": error.message}
    versions = [_version(manager, name, status) for status in statuses]
    return {"name": name, "labels": {k: str(v) for k, v in sorted(labels.items())}, "versions": versions, "error": ""}


def _version(manager, name, status):
    described = {
        "version": str(status.version),
        "state": ModelVersionStatus.State.Name(status.state),
        "error": status.status.error_message,
    }
    if status.state != ModelVersionStatus.AVAILABLE:
        return described
    try:
        with manager.use(name, status.version) as servable:
            signatures = describe_signatures(servable.signatures)
            path = servable.path
    except ServingError:  # unloaded since
        return described
    card = read_card(path)
    form = select_form(signatures, card.pop("form", None))
    return described | {"signatures": signatures, "form": form, "card": card}


def describe_signatures(signatures):
    """Returns the inputs and outputs of signatures in the format of `card.json`.

    Args:
        signatures: dict of `SignatureDef` by name.

    Returns:
        {name: {"inputs": {name: {"dtype", "shape"}}, "outputs": the same}}. A shape is a list with None for a variable
        size, or None for an unknown rank. TensorFlow's internal signatures are left out.
    """
    return {
        name: {"inputs": _tensors(signature.inputs), "outputs": _tensors(signature.outputs)}
        for name, signature in sorted(signatures.items(), key=lambda item: (item[0] != "serving_default", item[0]))
        if not name.startswith("__saved_model_")
    }


def _tensors(infos):
    def shape(info):
        sizes = [None if dim.size < 0 else dim.size for dim in info.tensor_shape.dim]
        return None if info.tensor_shape.unknown_rank else sizes

    return {
        name: {"dtype": tf.dtypes.as_dtype(info.dtype).name, "shape": shape(info)}
        for name, info in sorted(infos.items())
    }


def select_form(signatures, form=None):
    """Returns the form for a model and the signature that it calls, {"kind", "signature"}, or None.

    Args:
        signatures: as `describe_signatures` returns them.
        form: the form that the model's card names, a key of `FORMS`. Anything else (a model without a card, say) leaves
            the choice to the signatures.
    """
    kinds = [form] if isinstance(form, str) and form in FORMS else FORMS
    for name, signature in signatures.items():
        for kind in kinds:
            inputs, outputs = FORMS[kind]
            expected = {key: {"dtype": dtype, "shape": [None]} for key, dtype in inputs.items()}
            if signature["inputs"] == expected and outputs <= signature["outputs"].keys():
                return {"kind": kind, "signature": name}
    return None


def read_card(version):
    """Returns the entries `CARD_KEYS` of a version's `assets.extra/card.json`; {} if there is no such card.

    A card is untrusted: links out of the version's folder, large files and pipes are not read, and numbers that JSON
    does not have become strings.
    """
    folder = Path(version).resolve()
    try:
        path = (folder / "assets.extra" / "card.json").resolve(strict=True)
        status = path.stat()
        if not path.is_relative_to(folder) or not stat.S_ISREG(status.st_mode) or status.st_size > CARD_BYTES:
            return {}
        text = path.read_text(encoding="utf-8")
        card = json.loads(text, parse_constant=str, parse_float=_finite)
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: card[key] for key in CARD_KEYS if key in card} if isinstance(card, dict) else {}


def _finite(text):
    number = float(text)
    return number if math.isfinite(number) else text
