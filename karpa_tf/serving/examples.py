"""Signatures that take `tf.Example`s: what Classify and Regress ask of them, and their answers as protos."""

import numpy as np

from karpa_tf.serving.errors import invalid

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
"""Names of the input and the outputs that such signatures have."""


def serialized(given):
    """Returns the examples of an `Input` proto, with their context merged in, as an array of `bytes`, (batch,).

    Raises:
        ServingError: INVALID_ARGUMENT where there are none.
    """
    kind = given.WhichOneof("kind")
    examples = getattr(given, kind).examples if kind else ()
    if not examples:
        raise invalid("Input is empty.")
    # Two messages one after the other are read as one, and a feature of the second wins.
    context = given.example_list_with_context.context.SerializeToString() if kind != "example_list" else b""
    array = np.empty(len(examples), object)
    array[:] = [context + example.SerializeToString() for example in examples]
    return array


def classification_outputs(signature):
    """Returns which of `classes` and `scores` a signature gives; raises INVALID_ARGUMENT where it cannot classify."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if INPUTS not in signature.inputs:
        raise invalid(f"No classification inputs found in SignatureDef: {signature}")
    outputs = tuple(name for name in (CLASSES, SCORES) if name in signature.outputs)
    if not outputs:
        raise invalid(
            "Expected classification signature outputs to contain at least one of "
            f'"{CLASSES}" or "{SCORES}". Signature was: {signature}'
        )
    return outputs


def check_regression(signature):
    """Raises INVALID_ARGUMENT for a signature that cannot regress."""
    if len(signature.inputs) != 1:
        raise invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid("Expected one output Tensor.")
    if INPUTS not in signature.inputs:
        raise invalid(f"No regression inputs found in SignatureDef: {signature}")
    if OUTPUTS not in signature.outputs:
        raise invalid(f"No regression outputs found in SignatureDef: {signature}")


def classify(servable, name, examples, result):
    """Fills a ClassificationResult with what the signature `name` says of `examples`, bytes (batch,)."""
    outputs = classification_outputs(servable.signatures[name])
    answer = servable.run(name, {INPUTS: examples}, outputs)
    for key, kind, title in ((CLASSES, object, "DT_STRING"), (SCORES, np.float32, "DT_FLOAT")):
        if key not in answer:
            continue
        if answer[key].ndim != 2:
            raise invalid(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(answer[key])}")
        if answer[key].dtype != kind:
            raise invalid(f"Expected {key} Tensor of {title}. Got: {_kind(answer[key])}")
        if len(answer[key]) != len(examples):
            raise invalid(f"Expected {key} output batch size of {len(examples)}. Got: {len(answer[key])}")
    classes, scores = answer.get(CLASSES), answer.get(SCORES)
    if len(answer) == 2 and classes.shape[1] != scores.shape[1]:
        raise invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    width = answer[outputs[0]].shape[1]
    for row in range(len(examples)):
        named = result.classifications.add().classes
        for column in range(width):
            entry = named.add()
            if classes is not None:
                entry.label = _text(classes[row, column])
            if scores is not None:
                entry.score = scores[row, column]


def regress(servable, name, examples, result):
    """Fills a RegressionResult with what the signature `name` says of `examples`, bytes (batch,)."""
    values = servable.run(name, {INPUTS: examples}, (OUTPUTS,))[OUTPUTS]
    if values.ndim != 1 and not (values.ndim == 2 and values.shape[1] == 1):
        raise invalid(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(values)}"
        )
    if len(values) != len(examples):
        raise invalid(f"Input batch size did not match output batch size: {len(examples)} vs. {len(values)}")
    if values.dtype != np.float32:
        raise invalid(f"Expected output Tensor of DT_FLOAT.  Got: {_kind(values)}")
    for value in values.ravel().tolist():
        result.regressions.add().value = value


def _shape(array):
    return "[" + ",".join(map(str, array.shape)) + "]"


def _kind(array):
    return "DT_STRING" if array.dtype == object else f"DT_{array.dtype.name.upper()}"


def _text(label):
    # A proto's string is UTF-8; TF Serving would fail to send anything else.
    return label.decode(errors="replace") if isinstance(label, bytes) else str(label)
