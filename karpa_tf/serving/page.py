"""The page at `/` of the development server: its models, and a form to ask each of them.

The page is plain HTML, CSS and JavaScript modules from this package. It asks `GET /page/models` for what there is to
see and the server's own REST interface for answers; nothing comes from another host.
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
"""What is served below `/page/`, and as what. No path of a request is ever looked up on the disk."""

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A browser asks anew after an update of this package.
    "Cache-Control": "no-cache",
}

FORMS = (
    ("image_classification", {"image_bytes": "string"}, {"classes", "scores"}),
    ("image_generation", {"seed": "int64"}, {"image_bytes"}),
    ("masked_lm", {"text": "string"}, {"tokens", "scores"}),
    ("text_classification", {"text": "string"}, {"classes", "scores"}),
)
"""Tasks that the page has a form for: the inputs of such a signature, each of shape (batch,), and its outputs."""

CARD_BYTES = 1 << 20
"""A `card.json` that is longer is not read."""

CARD_KEYS = ("task", "created", "seed", "formats", "metrics", "data", "versions")
"""What the page shows of a card."""


def routes(manager):
    """Returns the aiohttp routes of the page: `/`, its files below `/page/`, and `/page/models`.

    Args:
        manager: the server's `Manager`.
    """

    async def models(request):
        # Statuses wait for locks, cards for the disk: not in the loop that answers all the others.
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
    """Returns what the page shows of a model, ready for JSON.

    Returns:
        Its `name`, `labels` (dict, label to version), `versions` (newest first) and `error` (why nothing is known of
        them, mostly ""). A version has `version` (a string, since JavaScript rounds large integers), `state` (a name of
        `ModelVersionStatus.State`) and `error`; where it can be used also `signatures`, `form` and `card`, as
        `describe_signatures`, `form_of` and `read_card` return them.
    """
    try:
        statuses, labels = manager.status(name), manager.labels(name)
    except ServingError as error:  # it has gone since the names were read, or nothing of it was ever found
        return {"name": name, "labels": {}, "versions": [], "error": error.message}
    versions = [_version(manager, name, status) for status in statuses]
    return {"name": name, "labels": {k: str(v) for k, v in sorted(labels.items())}, "versions": versions, "error": ""}


def _version(manager, name, status):
    seen = {
        "version": str(status.version),
        "state": ModelVersionStatus.State.Name(status.state),
        "error": status.status.error_message,
    }
    if status.state != ModelVersionStatus.AVAILABLE:
        return seen
    try:
        with manager.use(name, status.version) as servable:
            signatures = describe_signatures(servable.signatures)
            path = servable.path
    except ServingError:  # it has been unloaded since
        return seen
    return seen | {"signatures": signatures, "form": form_of(signatures), "card": read_card(path)}


def describe_signatures(signatures):
    """Returns the inputs and outputs of signatures, as `card.json` has them.

    Args:
        signatures: dict of `SignatureDef` by name.

    Returns:
        {name: {"inputs": {name: {"dtype", "shape"}}, "outputs": the same}}, with shapes as lists that have None for any
        size, or None for any rank. Signatures for TensorFlow's own use are left out.
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


def form_of(signatures):
    """Returns the task that signatures are for and the signature to ask, {"task", "signature"}, or None.

    Args:
        signatures: as `describe_signatures` returns them.
    """
    for name, signature in signatures.items():
        for task, inputs, outputs in FORMS:
            wanted = {key: {"dtype": dtype, "shape": [None]} for key, dtype in inputs.items()}
            if signature["inputs"] == wanted and outputs <= signature["outputs"].keys():
                return {"task": task, "signature": name}
    return None


def read_card(version):
    """Returns the parts `CARD_KEYS` of a version's `assets.extra/card.json`; {} where there is no such card.

    Whoever can write into the folder of models can write anything into a card, so: no link out of the version's folder,
    no long file, no pipe that blocks, no number that JSON does not have.
    """
    folder = Path(version).resolve()
    try:
        path = (folder / "assets.extra" / "card.json").resolve(strict=True)
        found = path.stat()
        if not path.is_relative_to(folder) or not stat.S_ISREG(found.st_mode) or found.st_size > CARD_BYTES:
            return {}
        text = path.read_text(encoding="utf-8")
        card = json.loads(text, parse_constant=str, parse_float=_finite)
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: card[key] for key in CARD_KEYS if key in card} if isinstance(card, dict) else {}


def _finite(text):
    number = float(text)
    return number if math.isfinite(number) else text
