"""TF Serving's methods: request proto in, response proto out; errors with its codes and texts.

The REST interface and the gRPC services both end here. As in TF Serving's default, the `method_name` of a signature is
not looked at: what counts is its inputs and outputs. All raise `ServingError`: NOT_FOUND for an unknown model or
version, INVALID_ARGUMENT for what the request has wrong, and the code of TensorFlow where a graph fails.
"""

import contextlib

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from karpa_tf.serving import examples
from karpa_tf.serving.errors import ServingError, invalid
from karpa_tf.serving.tensors import array_of, proto_of

DEFAULT = "serving_default"
"""Signature of a request that names none."""

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"
METADATA = "signature_def"
"""The only field of metadata that there is."""


def predict(manager, request):
    """Runs a signature on named tensors; returns a PredictResponse for a PredictRequest.

    A signature that the model does not have is FAILED_PRECONDITION.
    """
    with _use(manager, request) as servable:
        name = request.model_spec.signature_name or DEFAULT
        signature = servable.signatures.get(name)
        if signature is None:
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        _check_names(signature, request.inputs)
        wanted = _wanted(signature, request.output_filter)
        given = {
            key: (request.inputs if key in request.inputs else signature.defaults)[key] for key in signature.inputs
        }
        answer = servable.run(name, {key: array_of(proto, key) for key, proto in given.items()}, wanted)
        response = predict_pb2.PredictResponse()
        _fill(response.model_spec, request.model_spec, servable)
    for key in wanted:
        response.outputs[key].CopyFrom(proto_of(answer[key]))
    return response


def classify(manager, request):
    """Names and scores the classes of `tf.Example`s; returns a ClassificationResponse for a ClassificationRequest."""
    response = classification_pb2.ClassificationResponse()
    with _use(manager, request) as servable:
        examples.classification_outputs(_found(servable, request.model_spec, "No signature was found with the name: "))
        spec = _fill(response.model_spec, request.model_spec, servable)
        examples.classify(servable, spec.signature_name, examples.serialized(request.input), response.result)
    return response


def regress(manager, request):
    """Gives a number for each `tf.Example`; returns a RegressionResponse for a RegressionRequest."""
    response = regression_pb2.RegressionResponse()
    with _use(manager, request) as servable:
        examples.check_regression(_found(servable, request.model_spec, "No signature was found with the name: "))
        spec = _fill(response.model_spec, request.model_spec, servable)
        examples.regress(servable, spec.signature_name, examples.serialized(request.input), response.result)
    return response


def multi_inference(manager, request):
    """Asks several signatures of a model about the same `tf.Example`s.

    Returns:
        A MultiInferenceResponse for a MultiInferenceRequest, its results in the order of the tasks.
    """
    response = inference_pb2.MultiInferenceResponse()
    with _use(manager, request.tasks[0] if request.tasks else inference_pb2.InferenceTask(model_spec={})) as servable:
        _check_tasks(request.tasks, servable)
        given = examples.serialized(request.input)
        for task in request.tasks:
            result = response.results.add()
            name = _fill(result.model_spec, task.model_spec, servable).signature_name
            if task.method_name == CLASSIFY:
                examples.classify(servable, name, given, result.classification_result)
            else:
                examples.regress(servable, name, given, result.regression_result)
    return response


def get_model_metadata(manager, request):
    """Returns a GetModelMetadataResponse, which holds the signatures of a version, for a GetModelMetadataRequest."""
    _require_spec(request)
    if not request.metadata_field:
        raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != METADATA:
            raise invalid(f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with _use(manager, request) as servable:
        for name, signature in servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
    response.metadata[METADATA].Pack(signatures)
    return response


def get_model_status(manager, request):
    """Returns a GetModelStatusResponse, with the states of versions, newest first, for a GetModelStatusRequest."""
    _require_spec(request)
    states = manager.status(request.model_spec.name, *_version(request.model_spec))
    return get_model_status_pb2.GetModelStatusResponse(model_version_status=states)


def handle_reload_config(manager, request):
    """Replaces the served models by those of a ReloadConfigRequest; returns a ReloadConfigResponse."""
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest."
            " Only ModelConfigList is currently supported"
        )
    manager.reload(request.config)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.error_message = ""  # a status that is there, and OK
    return response


def _require_spec(request):
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")


@contextlib.contextmanager
def _use(manager, request):
    """Keeps the version that a request asks for alive, and gives it."""
    _require_spec(request)
    if not request.model_spec.name:
        raise invalid("ModelSpec has no name specified.")
    with manager.use(request.model_spec.name, *_version(request.model_spec)) as servable:
        yield servable


def _version(spec):
    """Returns (version, label) of a ModelSpec, of which one or both are None."""
    choice = spec.WhichOneof("version_choice")
    return (spec.version.value if choice == "version" else None), (
        spec.version_label if choice == "version_label" else None
    )


def _fill(answered, asked, servable):
    answered.name = asked.name
    answered.signature_name = asked.signature_name or DEFAULT
    answered.version.value = servable.version
    return answered


def _found(servable, spec, otherwise):
    name = spec.signature_name or DEFAULT
    if name not in servable.signatures:
        raise invalid(otherwise + name)
    return servable.signatures[name]


def _check_tasks(tasks, servable):
    names, fed = set(), set()
    for task in tasks:
        if not task.model_spec.name:
            raise invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != tasks[0].model_spec.name:
            raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT
        if name in names:
            raise invalid(f"Duplicate evaluation of signature: {name}")
        names.add(name)
        signature = _found(servable, task.model_spec, "Requested signature not found in model graph: ")
        if task.method_name == CLASSIFY:
            examples.classification_outputs(signature)
        elif task.method_name == REGRESS:
            examples.check_regression(signature)
        else:
            message = f"Unsupported signature method_name: {task.method_name}"
            raise ServingError(grpc.StatusCode.UNIMPLEMENTED, message)
        fed.add(signature.inputs[examples.INPUTS].name)
        if len(fed) > 1:
            raise invalid("Input tensor must be the same for all Signatures.")


def _set(names):
    return ",".join(sorted(names))


def _check_names(signature, inputs):
    sent, known = set(inputs), set(signature.inputs)
    if len(sent) > len(known) or (len(sent) < len(known) and not signature.defaults):
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(known)} len({{{_set(sent)}}}) != "
            f"len({{{_set(known)}}}). Sent extra: {{{_set(sent - known)}}}. "
            f"Missing but required: {{{_set(known - sent)}}}."
        )
    for alias in sorted(known - sent - set(signature.defaults)):
        raise invalid(
            f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and no "
            f"default value provided. Inputs expected to be in the request {{{_set(sent)}}}, or default input alias "
            f"set: {_set(signature.defaults)}"
        )
    if sent - known:
        raise invalid(
            f"Inputs contains invalid name. Used request inputs: {_set(sent & known)}, request input: {_set(sent)}"
        )


def _wanted(signature, output_filter):
    """Returns the names of the outputs to give, all where the filter is empty."""
    for index, alias in enumerate(output_filter):
        if alias not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_set(signature.outputs)}}}."
            )
        if alias in output_filter[:index]:
            raise invalid(f"duplicate output tensor alias: {alias}")
    return tuple(output_filter) or tuple(sorted(signature.outputs))
