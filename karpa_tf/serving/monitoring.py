"""Counts and latencies for Prometheus, under the names that TF Serving gives them."""

import collections
import threading

import prometheus_client
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from prometheus_client.core import Metric

from karpa_tf.serving.model_config import read_message

DEFAULT_PATH = "/monitoring/prometheus/metrics"
LATENCY = ":tensorflow:serving:request_latency"
REQUESTS = ":tensorflow:serving:request_count"
LOADS = ":tensorflow:cc:saved_model:load_attempt_count"
LOAD_LATENCY = ":tensorflow:cc:saved_model:load_latency"
BUCKETS = [10 * 1.8**power for power in range(33)]
"""Bounds in microseconds, TF Serving's."""

COUNTERS = {
    REQUESTS: ("The total number of requests.", ("model_name", "status")),
    LOADS: ("The number of times a SavedModel was requested to be loaded.", ("model_path", "status")),
    LOAD_LATENCY: ("Latency in microseconds for SavedModels that were successfully loaded.", ("model_path",)),
}


def path_of(file):
    """Returns the path at which a MonitoringConfig file asks for metrics, or None if it does not enable them.

    Raises:
        UserError: the file cannot be read.
    """
    config = read_message(file, _config_class()(), "--monitoring_config_file").prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None


class Metrics:
    """What has been counted.

    Args:
        known_models: function that returns the names of the models; requests for others count for none, so that made-up
            names cannot fill the memory.
    """

    def __init__(self, known_models):
        self._known_models = known_models
        self._lock = threading.Lock()
        self._counts = {name: collections.Counter() for name in COUNTERS}
        self._registry = prometheus_client.CollectorRegistry()
        self._latency = prometheus_client.Histogram(
            LATENCY,
            "Distribution of wall time (in microseconds) for Tensorflow Serving request.",
            ("model_name", "API", "entrypoint", "status"),
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._registry.register(self)

    def on_request(self, model, api, entrypoint, code, seconds):
        """Counts a request; `code` is a `grpc.StatusCode`."""
        model = model if model in self._known_models() else ""
        self._add(REQUESTS, (model, code.name))
        self._latency.labels(model, api, entrypoint, code.name).observe(seconds * 1e6)

    def on_load(self, path, seconds, succeeded):
        """Counts the loading of a version."""
        self._add(LOADS, (str(path), "success" if succeeded else "fail"))
        if succeeded:
            self._add(LOAD_LATENCY, (str(path),), int(seconds * 1e6))

    def text(self):
        """Returns everything in Prometheus' text format."""
        # The library would add _total to the names of counters, which TF Serving does not.
        text = prometheus_client.generate_latest(self._registry).decode()
        return text.replace(" untyped\n", " counter\n")

    def collect(self):
        """Gives the counters to the library."""
        with self._lock:
            for name, (about, labels) in COUNTERS.items():
                metric = Metric(name, about, "unknown")
                for values, count in self._counts[name].items():
                    metric.add_sample(name, dict(zip(labels, values, strict=True)), count)
                yield metric

    def _add(self, name, labels, amount=1):
        with self._lock:
            self._counts[name][labels] += amount


def _config_class():
    """Returns the class of TF Serving's MonitoringConfig, which the package of its protos leaves out."""
    file = descriptor_pb2.FileDescriptorProto(
        name="karpa_tf/monitoring_config.proto", package="karpa_tf.serving", syntax="proto3"
    )
    prometheus = file.message_type.add(name="PrometheusConfig")
    kinds = descriptor_pb2.FieldDescriptorProto
    prometheus.field.add(name="enable", number=1, type=kinds.TYPE_BOOL, label=kinds.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config",
        number=1,
        type=kinds.TYPE_MESSAGE,
        label=kinds.LABEL_OPTIONAL,
        type_name=".karpa_tf.serving.PrometheusConfig",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("karpa_tf.serving.MonitoringConfig"))
