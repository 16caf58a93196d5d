"""Classify, Regress and MultiInference on a small TensorFlow 1 graph whose signatures share their inputs."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, get_model_status_pb2, inference_pb2, predict_pb2, regression_pb2
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.serving import inference
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.manager import Manager

v1 = tf.compat.v1
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def write_model(folder, factor):
    """Writes a model of examples with numbers x and y: its classes are low and high, its regression factor * x + y."""
    with tf.Graph().as_default(), v1.Session() as session:
        inputs, other = (v1.placeholder(tf.string, [None], name) for name in ("inputs", "other"))
        number = tf.io.FixedLenFeature([], tf.float32, 0.0)
        x, y = (tf.io.parse_example(inputs, {"x": number, "y": number})[name] for name in "xy")
        classes = tf.tile([["low", "high"]], [tf.shape(inputs)[0], 1])
        scores = tf.stack([-x, x], axis=1)
        value = factor * x + y
        unrelated = tf.strings.length(other)

        def signature(given, **outputs):
            infos = {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()}
            given = {name: v1.saved_model.build_tensor_info(tensor) for name, tensor in given.items()}
            return v1.saved_model.build_signature_def(given, infos, "")

        shared = {"inputs": inputs}
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            signature_def_map={
                "serving_default": signature(shared, classes=classes, scores=scores),
                "names": signature(shared, classes=classes),
                "scores": signature(shared, scores=scores),
                "regress": signature(shared, outputs=value),
                "column": signature(shared, outputs=value[:, None]),
                "wide": signature(shared, outputs=scores),
                "integers": signature(shared, outputs=tf.cast(x, tf.int32)),
                "one": signature(shared, outputs=value[:1]),
                "flat": signature(shared, scores=value),
                "integer scores": signature(shared, scores=tf.cast(scores, tf.int32)),
                "numbered": signature(shared, classes=scores),
                "uneven": signature(shared, classes=classes[:, :1], scores=scores),
                "named otherwise": signature({"x": inputs}, scores=scores, classes=classes),
                "elsewhere": signature({"inputs": other}, outputs=tf.cast(unrelated, tf.float32)),
                "two inputs": signature({"inputs": inputs, "other": other}, outputs=value),
                "three outputs": signature(shared, classes=classes, scores=scores, outputs=value),
                "neither": signature(shared, outputs=value),
            },
        )
        builder.save()


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "line"
    write_model(folder / "1", factor=10)
    write_model(folder / "2", factor=100)
    config = model_server_config_pb2.ModelServerConfig()
    model = config.model_config_list.config.add(name="line", base_path=str(folder), model_platform="tensorflow")
    model.model_version_policy.all.SetInParent()
    model.version_labels["stable"] = 1
    manager = Manager(config, labels_for_unavailable=True)
    manager.start()
    yield manager
    manager.stop()


def example(**numbers):
    features = {name: {"float_list": {"value": [number]}} for name, number in numbers.items()}
    return tf.train.Example(features={"feature": features})


def make_request(kind, signature="", **spec):
    request = kind(model_spec={"name": "line", "signature_name": signature} | spec)
    request.input.example_list.examples.extend([example(x=1, y=2), example(x=3)])
    return request


def numbers(response):
    return [found.value for found in response.result.regressions]


def test_classify_returns_classes_and_scores_of_every_example(manager):
    response = inference.classify(manager, make_request(classification_pb2.ClassificationRequest))
    pairs = [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]
    assert pairs == [[("low", -1), ("high", 1)], [("low", -3), ("high", 3)]]
    assert response.model_spec.signature_name == "serving_default" and response.model_spec.version.value == 2


@pytest.mark.parametrize(("signature", "pair"), [("names", ("low", 0)), ("scores", ("", -1))])
def test_a_signature_may_return_only_classes_or_only_scores(manager, signature, pair):
    response = inference.classify(manager, make_request(classification_pb2.ClassificationRequest, signature))
    first = response.result.classifications[0].classes[0]
    assert (first.label, first.score) == pair


@pytest.mark.parametrize("signature", ["regress", "column"])
def test_regress_returns_a_number_for_every_example(manager, signature):
    assert numbers(inference.regress(manager, make_request(regression_pb2.RegressionRequest, signature))) == [102, 300]


def test_the_context_is_merged_into_every_example_whose_features_win(manager):
    request = regression_pb2.RegressionRequest(model_spec={"name": "line", "signature_name": "regress"})
    listed = request.input.example_list_with_context
    listed.context.CopyFrom(example(x=1, y=7))
    listed.examples.extend([example(x=2), example(y=0)])
    assert numbers(inference.regress(manager, request)) == [207, 100]


@pytest.mark.parametrize(
    ("spec", "version", "value"),
    [({}, 2, 102), ({"version": {"value": 1}}, 1, 12), ({"version_label": "stable"}, 1, 12)],
)
def test_a_request_selects_a_version_by_number_or_label(manager, spec, version, value):
    response = inference.regress(manager, make_request(regression_pb2.RegressionRequest, "regress", **spec))
    assert numbers(response)[0] == value and response.model_spec.version.value == version
    request = predict_pb2.PredictRequest(model_spec={"name": "line", "signature_name": "regress"} | spec)
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([example(x=1, y=2).SerializeToString()]))
    response = inference.predict(manager, request)
    assert tf.make_ndarray(response.outputs["outputs"]) == value and response.model_spec.version.value == version


def test_the_status_lists_all_versions_newest_first_or_the_requested_one(manager):
    request = get_model_status_pb2.GetModelStatusRequest(model_spec={"name": "line"})
    assert [s.version for s in inference.get_model_status(manager, request).model_version_status] == [2, 1]
    request.model_spec.version.value = 1
    (status,) = inference.get_model_status(manager, request).model_version_status
    assert (status.version, status.state, status.status.error_code) == (1, status.AVAILABLE, 0)


WRONG = [
    ("classify", "no", "No signature was found with the name: no"),
    ("classify", "two inputs", "Expected one input Tensor."),
    ("classify", "three outputs", "Expected one or two output Tensors, found 3"),
    ("classify", "named otherwise", "No classification inputs found in SignatureDef: "),
    ("classify", "neither", 'to contain at least one of "classes" or "scores". Signature was: '),
    ("classify", "flat", "Expected Tensor shape: [batch_size num_classes] but got [2]"),
    ("classify", "integer scores", "Expected scores Tensor of DT_FLOAT. Got: DT_INT32"),
    ("classify", "numbered", "Expected classes Tensor of DT_STRING. Got: DT_FLOAT"),
    ("classify", "uneven", "Tensors class and score should match in dim_size(1). Got 1 vs. 2"),
    ("regress", "no", "No signature was found with the name: no"),
    ("regress", "serving_default", "Expected one output Tensor."),
    ("regress", "scores", "No regression outputs found in SignatureDef: "),
    ("regress", "wide", "either [batch_size] or [batch_size, 1] but got [2,2]"),
    ("regress", "integers", "Expected output Tensor of DT_FLOAT.  Got: DT_INT32"),
    ("regress", "one", "Input batch size did not match output batch size: 2 vs. 1"),
]


@pytest.mark.parametrize(("function", "signature", "text"), WRONG)
def test_a_wrong_signature_is_refused_with_tf_servings_message(manager, function, signature, text):
    kind = {"classify": classification_pb2.ClassificationRequest, "regress": regression_pb2.RegressionRequest}
    with pytest.raises(ServingError) as caught:
        getattr(inference, function)(manager, make_request(kind[function], signature))
    assert caught.value.code.name == "INVALID_ARGUMENT" and text in caught.value.message


@pytest.mark.parametrize("given", [{}, {"example_list": {}}, {"example_list_with_context": {"context": example(x=1)}}])
def test_a_request_without_examples_is_refused(manager, given):
    request = classification_pb2.ClassificationRequest(model_spec={"name": "line"}, input=given)
    with pytest.raises(ServingError, match=r"Input is empty\."):
        inference.classify(manager, request)


def tasks(*wanted, model="line"):
    request = inference_pb2.MultiInferenceRequest()
    for method, signature in wanted:
        request.tasks.add(method_name=method, model_spec={"name": model, "signature_name": signature})
    request.input.example_list.examples.extend([example(x=1, y=2), example(x=3)])
    return request


def test_results_are_in_the_order_of_the_tasks(manager):
    response = inference.multi_inference(manager, tasks((REGRESS, "regress"), (CLASSIFY, "")))
    number, named = response.results
    assert [found.value for found in number.regression_result.regressions] == [102, 300]
    assert [row.classes[1].score for row in named.classification_result.classifications] == [1, 3]
    assert [found.model_spec.signature_name for found in response.results] == ["regress", "serving_default"]
    assert {found.model_spec.version.value for found in response.results} == {2}


UNFIT = [
    ([], "INVALID_ARGUMENT", "ModelSpec has no name specified."),
    ([(REGRESS, "regress"), (REGRESS, "regress")], "INVALID_ARGUMENT", "Duplicate evaluation of signature: regress"),
    ([(REGRESS, "no")], "INVALID_ARGUMENT", "Requested signature not found in model graph: no"),
    ([("dance", "regress")], "UNIMPLEMENTED", "Unsupported signature method_name: dance"),
    ([(CLASSIFY, "regress")], "INVALID_ARGUMENT", "to contain at least one of"),
    ([(REGRESS, "regress"), (REGRESS, "elsewhere")], "INVALID_ARGUMENT",
     "Input tensor must be the same for all Signatures."),
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "code", "text"), UNFIT)
def test_incompatible_tasks_are_refused(manager, wanted, code, text):
    with pytest.raises(ServingError) as caught:
        inference.multi_inference(manager, tasks(*wanted))
    assert caught.value.code.name == code and text in caught.value.message


def test_all_tasks_must_name_the_same_model(manager):
    request = tasks((REGRESS, "regress"), (CLASSIFY, ""))
    request.tasks[1].model_spec.name = "other"
    with pytest.raises(ServingError, match="must access the same model name"):
        inference.multi_inference(manager, request)
    request.tasks[1].model_spec.name = ""
    with pytest.raises(ServingError, match="Found ModelSpec with an empty model name"):
        inference.multi_inference(manager, request)


def test_an_invalid_example_is_an_invalid_argument(manager):
    request = predict_pb2.PredictRequest(model_spec={"name": "line", "signature_name": "regress"})
    request.inputs["inputs"].CopyFrom(tf.make_tensor_proto(np.array([b"\xff\xff"], object)))
    with pytest.raises(ServingError, match="Could not parse example input") as caught:
        inference.predict(manager, request)
    assert caught.value.code.name == "INVALID_ARGUMENT"
