"""The page at `/` of the development server: its models, and a form for requests to each of them.

The page is plain HTML, CSS and JavaScript modules from this package. It reads `GET /page/models` for the models and
sends requests to the server's own REST interface; nothing is loaded from another host.
"""

import asyncio
import contextlib
import json
import math
from pathlib import Path

import tensorflow as tf
from aiohttp import web
from tensorflow_serving.apis.get_model_status_pb2 import ModelVersionStatus

from karpa_tf.serving.errors import ServingError

FOLDER = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # A browser asks anew after an update of this package.
}
FORMS = {
    "image": ({"image_bytes": "string"}, {"classes", "scores"}),
    "seed": ({"seed": "int64"}, {"image_bytes"}),
    "labeled_seed": ({"seed": "int64", "labels": "int64"}, {"image_bytes"}),
    "masked_text": ({"text": "string"}, {"tokens", "scores"}),
    "text": ({"text": "string"}, {"classes", "scores"}),
    "text_pair": ({"text": "string", "text_pair": "string"}, {"classes", "scores"}),
    "value": ({"text": "string"}, {"values"}),
    "value_of_pair": ({"text": "string", "text_pair": "string"}, {"values"}),
    "spans": ({"text": "string"}, {"starts", "ends", "types", "scores"}),
    "embedding": ({"text": "string"}, {"embedding"}),
}
"""Forms of the page: the dtypes of the inputs, of shape (batch,), of a signature that the form can call, and its
outputs."""

MAX_CARD_BYTES = 1 << 20
CARD_KEYS = ("form", "task", "created", "seed", "formats", "metrics", "data", "versions", "details")


def routes(manager):
    """Returns the aiohttp routes of the page: `/`, its files below `/page/`, and `/page/models`."""

    async def models(request):
        # Statuses wait for locks and cards for the disk, so that they do not belong in the event loop.
        described = await asyncio.to_thread(lambda: [describe(manager, name) for name in manager.names()])
        return web.json_response({"models": described}, headers=HEADERS)

    paths = {"/" if path.name == "index.html" else f"/page/{path.name}": path for path in FOLDER.iterdir()}
    return [web.get("/page/models", models), *(web.get(url, _answer(path)) for url, path in paths.items())]


def _answer(path):
    body = path.read_bytes()

    async def answer(request):
        return web.Response(body=body, content_type=TYPES[path.suffix], charset="utf-8", headers=HEADERS)

    return answer


def describe(manager, name):
    """Returns what the page shows of a model: {"name", "versions"}, the newest version first.

    If a version is available, it has `signatures`, `form` and `card`. JavaScript rounds large integers: numbers of
    versions are strings.
    """
    versions = []
    for status in manager.statuses(name):
        state = ModelVersionStatus.State.Name(status.state)
        versions.append({"version": str(status.version), "state": state, "error": status.status.error_message})
        with contextlib.suppress(ServingError), manager.use(name, status.version) as servable:
            signatures, card = describe_signatures(servable.signatures), read_card(servable.path)
            form = select_form(signatures, card.pop("form", None), card.pop("details", None))
            versions[-1] |= {"signatures": signatures, "form": form, "card": card}
    return {"name": name, "versions": versions}


def describe_signatures(signatures):
    """Returns {name: {"inputs": {name: {"dtype", "shape"}}, "outputs": the same}}, serving_default first.

    A shape is a list with None for a variable size, or None for an unknown rank.
    """

    def tensor(info):
        shape = tf.TensorShape(info.tensor_shape)
        return {"dtype": tf.as_dtype(info.dtype).name, "shape": None if shape.rank is None else shape.as_list()}

    def tensors(infos):
        return {name: tensor(info) for name, info in sorted(infos.items())}

    ordered = sorted(signatures.items(), key=lambda item: (item[0] != "serving_default", item[0]))
    return {name: {"inputs": tensors(each.inputs), "outputs": tensors(each.outputs)} for name, each in ordered}


def select_form(signatures, form=None, details=None):
    """Returns the form for a model and the signature that it calls, {"kind", "signature"}, or None.

    The model's card may name the form, a key of `FORMS`; anything else leaves the choice to the signatures. A form that
    asks for a label has the names of the classes, `classes`, if the details of the card list them.
    """
    for name, signature in signatures.items():
        for kind in [form] if isinstance(form, str) and form in FORMS else FORMS:
            inputs, outputs = FORMS[kind]
            expected = {key: {"dtype": dtype, "shape": [None]} for key, dtype in inputs.items()}
            if signature["inputs"] == expected and outputs <= signature["outputs"].keys():
                classes = details.get("classes") if isinstance(details, dict) and "labels" in inputs else None
                named = {"classes": [str(name) for name in classes]} if isinstance(classes, list) else {}
                return {"kind": kind, "signature": name} | named
    return None


def read_card(version):
    """Returns the `CARD_KEYS` of a version's card, NaN and infinity as strings; {} if there is no valid card."""
    path = Path(version) / "assets.extra" / "card.json"
    try:
        if not path.is_file() or path.stat().st_size > MAX_CARD_BYTES:
            return {}
        card = json.loads(path.read_text(encoding="utf-8"), parse_constant=str, parse_float=_finite)
    except (OSError, ValueError, RecursionError):
        return {}
    return {key: card[key] for key in CARD_KEYS if key in card} if isinstance(card, dict) else {}


def _finite(text):
    return float(text) if math.isfinite(float(text)) else text
