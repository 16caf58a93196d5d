"""Asking a model over gRPC, as `client.RestClient` asks over HTTP; TensorFlow is not imported."""

import json

from karpa_tf.errors import UserError
from karpa_tf.serving.client import Answer, missing, not_there, read_signatures
from karpa_tf.serving.protos import without_tensorflow

PREDICT = "/tensorflow.serving.PredictionService/Predict"


class GrpcClient:
    """Asks over gRPC.

    Args:
        address: such as "127.0.0.1:8500" or "unix:/run/models.sock".
        timeout: seconds that an answer may take.

    Raises:
        UserError: grpcio or tensorflow-serving-api is not installed.
    """

    def __init__(self, address, timeout=60):
        with without_tensorflow():
            import grpc
            from google.protobuf import json_format
            from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

            from karpa_tf.serving import tensors
        self.grpc, self.json_format, self.tensors = grpc, json_format, tensors
        self.predict_pb2, self.metadata_pb2 = predict_pb2, get_model_metadata_pb2
        self.address, self.timeout = address, timeout
        self.channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
        self.stub = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    def signatures(self, spec):
        """Returns dict of `Signature` by name, as `RestClient.signatures` does."""
        request = self.metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        self._fill(request.model_spec, spec)
        response = self._call(self.stub.GetModelMetadata, request, spec)
        signatures = self.metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return read_signatures(self._to_dict(signatures)["signature_def"])

    def ask(self, spec, name, signature, inputs):
        """Returns the `Answer` of a signature, as `RestClient.ask` does."""
        response = self._call(self.stub.Predict, self._request(spec, name, inputs), spec)
        outputs = {key: self.tensors.array_of(proto, key, 2**40) for key, proto in response.outputs.items()}
        return Answer(outputs, lambda: json.dumps(self._to_dict(response), ensure_ascii=False, indent=2))

    def request(self, spec, name, inputs):
        """Returns the name of the method and the message with which `ask` asks."""
        return PREDICT, self._request(spec, name, inputs).SerializeToString()

    def models(self):
        """Returns None: the interface does not tell which models there are."""
        return None

    def _request(self, spec, name, inputs):
        request = self.predict_pb2.PredictRequest()
        self._fill(request.model_spec, spec)
        request.model_spec.signature_name = name
        for key, value in inputs.items():
            request.inputs[key].CopyFrom(self.tensors.proto_of(value))
        return request

    def _fill(self, model_spec, spec):
        model_spec.name = spec.name
        if spec.version is not None:
            model_spec.version.value = spec.version
        elif spec.label:
            model_spec.version_label = spec.label

    def _call(self, method, request, spec):
        codes = self.grpc.StatusCode
        try:
            return method(request, timeout=self.timeout)
        except self.grpc.RpcError as error:
            if error.code() == codes.UNAVAILABLE:
                raise not_there(self.address, error.details().rsplit(": ", 1)[-1], "--grpc HOST:PORT") from None
            if error.code() == codes.DEADLINE_EXCEEDED:
                raise UserError(f"{self.address} gave no answer within {self.timeout:g} s (--timeout).") from None
            if error.code() == codes.NOT_FOUND:
                raise UserError(missing(self.address, spec, error.details(), None)) from None
            raise UserError(f"{self.address} refuses: {error.details()} ({error.code().name})") from None

    def _to_dict(self, message):
        return self.json_format.MessageToDict(message, preserving_proto_field_name=True)
