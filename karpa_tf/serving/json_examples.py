"""REST's classify and regress: `tf.Example`s from JSON, and the JSON of the answers, by TF Serving's rules."""

import json

import numpy as np
from tensorflow_serving.apis import classification_pb2, regression_pb2

from karpa_tf.serving import json_answers, json_requests
from karpa_tf.serving.errors import invalid
from karpa_tf.serving.json_tensors import from_base64, is_base64, kind, show, utf8


def classification_request(document):
    """Returns the ClassificationRequest, without its model, of a request's JSON.

    Raises:
        ServingError: INVALID_ARGUMENT; there are no examples, or something that is none.
    """
    return _fill(document, classification_pb2.ClassificationRequest())


def regression_request(document):
    """Returns the RegressionRequest, without its model, of a request's JSON; raises as `classification_request`."""
    return _fill(document, regression_pb2.RegressionRequest())


def write_classification(response):
    """Returns the JSON text of a ClassificationResponse: for each example a list of [label, score]."""
    if not response.result.classifications:
        raise invalid("Cannot convert empty ClassificationResults to JSON")
    lines = []
    for row in response.result.classifications:
        scores = json_answers.floats([found.score for found in row.classes], np.float32)
        pairs = zip((found.label for found in row.classes), scores, strict=True)
        texts = [f"[{json.dumps(label, ensure_ascii=False)}, {score}]" for label, score in pairs]
        lines.append(f"[{', '.join(texts)}]")
    return '{"results": [\n' + ",\n".join(lines) + "\n]}\n"


def write_regression(response):
    """Returns the JSON text of a RegressionResponse: a number for each example."""
    if not response.result.regressions:
        raise invalid("Cannot convert empty RegressionResults to JSON")
    values = json_answers.floats([found.value for found in response.result.regressions], np.float32)
    return '{"results": [' + ", ".join(values) + "]}\n"


def _fill(document, request):
    request.model_spec.signature_name = json_requests.signature_name(document, "")
    context, examples = document.get("context"), document.get("examples")
    if "context" in document:
        _fill_example(context, request.input.example_list_with_context.context)
    if "examples" not in document:
        raise invalid(
            f"JSON Value: {show(document)} When method is classify, key 'examples' is expected and was not found"
        )
    if not isinstance(examples, list):
        raise invalid(f"JSON Value: {show(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid(f"JSON Value: {show(document)} 'examples' value is an empty array")
    given = request.input
    filled = given.example_list_with_context if "context" in document else given.example_list
    for example in examples:
        _fill_example(example, filled.examples.add())
    return request


def _fill_example(value, example):
    if not isinstance(value, dict):
        raise invalid(f"Example must be JSON object but got JSON {kind(value)}")
    for name, content in value.items():
        feature = example.features.feature[utf8(name).decode()]
        for element in content if isinstance(content, list) else [content]:
            _add(element, name, feature)


def _add(element, name, feature):
    if element is None or isinstance(element, list) or (isinstance(element, dict) and not is_base64(element)):
        raise invalid(f"Feature: {name} has element with unexpected JSON type: {kind(element)}")
    if isinstance(element, (str, dict)):
        _values(feature, "bytes_list", name).append(utf8(element) if isinstance(element, str) else from_base64(element))
    elif isinstance(element, int) and -(2**63) <= element < 2**63:
        _values(feature, "int64_list", name).append(int(element))
    elif isinstance(element, int) and 0 <= element < 2**64:
        raise invalid(f"Feature: {name} has uint64 element. Only int64 is supported.")
    else:
        _values(feature, "float_list", name).append(_float(element))


def _float(number):
    try:
        with np.errstate(over="raise"):
            return float(np.float32(number)) if np.isfinite(float(number)) else float(number)
    except (OverflowError, FloatingPointError):
        raise invalid(f"Cannot convert JSON value: {show(number)} to float without loss of precision.") from None


def _values(feature, wanted, name):
    """Returns the list of values of a feature, whose elements must be all of one kind."""
    there = feature.WhichOneof("kind")
    if there not in (None, wanted):
        raise invalid(f"Unexpected element type in feature: {name} expecting type: {there.removesuffix('_list')}")
    return getattr(feature, wanted).value
