"""deploy/serving/: the files for TensorFlow Serving match its message types, its flags and each other."""

import http.server
import importlib
import re
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import yaml
from exported_models import export_tiny_generator
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.configs.run import RunConfig

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "serving"

COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())["services"]["serving"]
MANIFESTS = {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
DEPLOYMENT = MANIFESTS["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
CLAIM = yaml.safe_load((ROOT / "deploy" / "kubernetes-claim.yaml").read_text())

FLAGS = {
    # tensorflow_serving/model_servers/main.cc; with the types of their values.
    "port": int,
    "grpc_socket_path": str,
    "rest_api_port": int,
    "rest_api_num_threads": int,
    "rest_api_timeout_in_ms": int,
    "rest_api_enable_cors_support": bool,
    "enable_batching": bool,
    "allow_version_labels_for_unavailable_models": bool,
    "batching_parameters_file": str,
    "enable_per_model_batching_parameters": bool,
    "model_config_file": str,
    "model_config_file_poll_wait_seconds": int,
    "model_name": str,
    "model_base_path": str,
    "num_load_threads": int,
    "num_unload_threads": int,
    "max_num_load_retries": int,
    "load_retry_interval_micros": int,
    "file_system_poll_wait_seconds": int,
    "flush_filesystem_caches": bool,
    "tensorflow_session_parallelism": int,
    "tensorflow_intra_op_parallelism": int,
    "tensorflow_inter_op_parallelism": int,
    "ssl_config_file": str,
    "grpc_channel_arguments": str,
    "grpc_max_threads": int,
    "enable_model_warmup": bool,
    "monitoring_config_file": str,
}


def flags_of(words):
    """Returns the values of flags by name; TensorFlow's parser expects each as one argument."""
    flags = {}
    for word in words:
        name, value = re.fullmatch(r"--(\w+)=(\S+)", word).groups()
        assert name in FLAGS, f"TensorFlow Serving has no flag --{name}"
        assert name not in flags
        flags[name] = {"true": True, "false": False}[value] if FLAGS[name] is bool else FLAGS[name](value)
    return flags


SERVERS = {"compose": COMPOSE["command"], "kubernetes": CONTAINER["args"]}
each_server = pytest.mark.parametrize("words", SERVERS.values(), ids=SERVERS.keys())


def message_types():
    """Returns the message classes that the package tensorflow-serving-api does not have.

    BatchingParameters is in tensorflow_serving/servables/tensorflow/session_bundle_config.proto, MonitoringConfig in
    tensorflow_serving/config/monitoring_config.proto.
    """
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(
        name="deploy.proto", package="deploy", syntax="proto3", dependency=[wrappers_pb2.DESCRIPTOR.name]
    )

    def add(message, *fields):
        described = file.message_type.add(name=message)
        for number, (name, kind, label) in enumerate(fields, 1):
            field = described.field.add(name=name, number=number, label=label)
            if isinstance(kind, str):
                field.type, field.type_name = kinds.TYPE_MESSAGE, kind
            else:
                field.type = kind

    one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
    add(
        "BatchingParameters",
        ("max_batch_size", ".google.protobuf.Int64Value", one),
        ("batch_timeout_micros", ".google.protobuf.Int64Value", one),
        ("max_enqueued_batches", ".google.protobuf.Int64Value", one),
        ("num_batch_threads", ".google.protobuf.Int64Value", one),
        ("thread_pool_name", ".google.protobuf.StringValue", one),
        ("allowed_batch_sizes", kinds.TYPE_INT64, many),
        ("pad_variable_length_inputs", kinds.TYPE_BOOL, one),
    )
    add("PrometheusConfig", ("enable", kinds.TYPE_BOOL, one), ("path", kinds.TYPE_STRING, one))
    add("MonitoringConfig", ("prometheus_config", ".deploy.PrometheusConfig", one))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"deploy.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    }


def read(name, uncomment=False):
    """Returns the message in a file; with `uncomment` including its indented comments."""
    kind = {
        "models.config": model_server_config_pb2.ModelServerConfig,
        "batching.config": message_types()["BatchingParameters"],
        "monitoring.config": message_types()["MonitoringConfig"],
    }[name]
    text = (DEPLOY / name).read_text()
    if uncomment:
        text = re.sub(r"^  # (config {|  |})", r"  \1", text, flags=re.MULTILINE)
    return text_format.Parse(text, kind())


def models(uncomment=False):
    return list(read("models.config", uncomment).model_config_list.config)


# Config files


def test_the_models_are_those_that_the_demo_exports():
    makefile = re.search(r"^demo:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE).group(1)
    programs = re.findall(r"-m (\S+) (\S+)", makefile)
    exported = {importlib.import_module(app).PRESETS[preset].name for app, preset in programs}
    assert {model.name for model in models()} == exported and len(exported) == 2


def test_the_models_in_comments_are_names_of_presets():
    presets = [importlib.import_module(f"apps.{app}").PRESETS for app in ("train_classifier", "train_gan", "train_mlm")]
    presets.append(importlib.import_module("apps.finetune_text").PRESETS)
    known = {config.name for configs in presets for config in configs.values()}
    names = [model.name for model in models(uncomment=True)]
    assert len(names) == len(set(names)) == len(models()) + 2
    assert set(names) <= known


@pytest.mark.parametrize("model", models(uncomment=True), ids=lambda model: model.name)
def test_a_model_is_in_the_mounted_folder_and_every_label_has_a_version(model):
    assert model.base_path == f"/models/{model.name}" and model.model_platform == "tensorflow"
    policy = model.model_version_policy
    if model.version_labels:
        assert set(model.version_labels.values()) <= set(policy.specific.versions)
    else:
        assert policy.latest.num_versions == 1


def test_an_example_shows_labels():
    assert dict(models(uncomment=True)[-1].version_labels) == {"stable": 1, "canary": 2}


def test_batching_has_limits():
    batching = read("batching.config")
    assert batching.max_batch_size.value > 1 and 0 < batching.batch_timeout_micros.value < 100_000
    assert batching.max_enqueued_batches.value > 0 and batching.num_batch_threads.value > 0
    assert batching.thread_pool_name.value and batching.pad_variable_length_inputs
    assert not batching.allowed_batch_sizes  # otherwise the last must be max_batch_size


def test_the_annotations_point_prometheus_to_the_metrics():
    metrics = read("monitoring.config").prometheus_config
    assert metrics.enable
    annotations = DEPLOYMENT["template"]["metadata"]["annotations"]
    assert annotations == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(flags_of(CONTAINER["args"])["rest_api_port"]),
        "prometheus.io/path": metrics.path,
    }


@pytest.mark.parametrize("name", ["models.config", "batching.config", "monitoring.config"])
def test_a_misspelled_field_is_detected(name):
    text = re.sub(r"^(\s*)(\w+)", r"\1\2s", (DEPLOY / name).read_text(), count=1, flags=re.MULTILINE)
    with pytest.raises(text_format.ParseError):
        text_format.Parse(text, type(read(name))())


def test_an_unknown_flag_is_detected():
    with pytest.raises(AssertionError, match="no flag --enable_batch"):
        flags_of(["--enable_batch=true"])


# Flags


@each_server
def test_the_server_reads_every_file_and_polls_for_changes(words):
    flags = flags_of(words)
    files = {name: value for name, value in flags.items() if FLAGS[name] is str}
    assert files == {
        "model_config_file": "/config/models.config",
        "batching_parameters_file": "/config/batching.config",
        "monitoring_config_file": "/config/monitoring.config",
    }
    assert flags["model_config_file_poll_wait_seconds"] > 0 and flags["file_system_poll_wait_seconds"] > 0
    # Labels are assigned before versions are loaded; batching parameters without batching are an error.
    assert flags["allow_version_labels_for_unavailable_models"] is True and flags["enable_batching"] is True
    # Otherwise one client's invalid image would fail the requests of others.
    assert flags["enable_per_model_batching_parameters"] is True
    assert flags["port"] != flags["rest_api_port"]  # Otherwise the server would not start REST.


def test_compose_and_kubernetes_use_the_same_image_and_flags():
    compose, kubernetes = (flags_of(words) for words in SERVERS.values())
    assert {name for name in compose | kubernetes if compose.get(name) != kubernetes.get(name)} == {
        "file_system_poll_wait_seconds"
    }
    assert COMPOSE["image"] == CONTAINER["image"]
    assert COMPOSE["entrypoint"] == CONTAINER["command"] == ["tensorflow_model_server"]


def test_the_image_version_is_pinned():
    name, version = COMPOSE["image"].split(":")
    assert name == "tensorflow/serving" and re.fullmatch(r"2\.\d+\.\d+", version)


def test_an_export_strips_default_attributes_for_older_servers(tmp_path):
    """The server is older than the exporting TensorFlow and may not have new attributes of ops."""
    saved_model = saved_model_pb2.SavedModel.FromString(
        (export_tiny_generator(tmp_path / "model") / "saved_model.pb").read_bytes()
    )
    (graph,) = saved_model.meta_graphs
    assert graph.meta_info_def.stripped_default_attrs is True


# Docker


def test_compose_publishes_the_ports_on_this_machine_only():
    flags = flags_of(COMPOSE["command"])
    expected = [f"127.0.0.1:{flags[name]}:{flags[name]}" for name in ("port", "rest_api_port")]
    assert COMPOSE["ports"] == expected


def test_compose_mounts_existing_folders_read_only():
    mounts = {mount["target"]: mount for mount in COMPOSE["volumes"]}
    assert all(mount["type"] == "bind" and mount["read_only"] is True for mount in mounts.values())
    assert (DEPLOY / mounts["/models"]["source"]).resolve() == ROOT / RunConfig().export_dir
    assert (DEPLOY / mounts["/config"]["source"]).resolve() == DEPLOY
    assert mounts.keys() == {"/models", "/config"}


def test_compose_gives_the_server_few_privileges():
    assert COMPOSE["read_only"] is True and COMPOSE["cap_drop"] == ["ALL"] and COMPOSE["user"] != "0:0"
    assert COMPOSE["security_opt"] == ["no-new-privileges:true"] and COMPOSE["mem_limit"]
    assert COMPOSE["init"] is True and COMPOSE["restart"] == "unless-stopped"


@pytest.fixture
def health(tmp_path):
    """Runs the health check against a fake server; returns a function of its answer that returns the exit code."""
    asked = []

    def run(code, text):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(code)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            try:
                return check(server.server_address[1])
            finally:
                server.shutdown()

    def check(port):
        kind, *command = COMPOSE["healthcheck"]["test"]
        assert kind == "CMD" and command[:2] == ["bash", "-c"]
        named = f"/dev/tcp/127.0.0.1/{flags_of(COMPOSE['command'])['rest_api_port']}"
        assert command[2].count(named) == 1
        command[2] = command[2].replace(named, f"/dev/tcp/127.0.0.1/{port}")
        return subprocess.run(command, capture_output=True, timeout=20).returncode

    run.check, run.asked = check, asked
    return run


def status(*states):
    """Returns TensorFlow Serving's status of a model with versions in these states."""
    versions = ",\n  ".join(
        f'{{\n   "version": "{number}",\n   "state": "{state}",\n   "status": {{\n    "error_code": "OK",\n'
        '    "error_message": ""\n   }\n  }'
        for number, state in enumerate(states, 1)
    )
    return f'{{\n "model_version_status": [\n  {versions}\n ]\n}}\n'


def test_a_server_with_an_available_model_is_healthy(health):
    assert health(200, status("AVAILABLE")) == 0
    assert health(200, status("END", "AVAILABLE")) == 0
    (path,) = set(health.asked)
    assert path.removeprefix("/v1/models/") in {model.name for model in models()}


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (200, status("LOADING")),
        (200, status("END", "UNLOADING")),
        (404, '{\n    "error": "Could not find any versions of model cnn_digits"\n}'),
    ],
)
def test_a_server_without_an_available_model_is_not_healthy(health, code, text):
    assert health(code, text) != 0 and health.asked


def test_a_closed_port_is_not_healthy(health):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert health.check(free.getsockname()[1]) != 0


# Kubernetes


LABELS = {"app.kubernetes.io/name": "karpa-tf", "app.kubernetes.io/component": "serving"}


def test_every_manifest_has_kind_name_and_label():
    assert {(document["apiVersion"], kind) for kind, document in MANIFESTS.items()} == {
        ("v1", "Service"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("policy/v1", "PodDisruptionBudget"),
        ("apps/v1", "Deployment"),
    }
    assert {document["metadata"]["name"] for document in MANIFESTS.values()} == {"karpa-serving"}
    assert all(document["metadata"]["labels"] == LABELS for document in MANIFESTS.values())


def test_service_policy_and_budget_select_the_pods():
    assert DEPLOYMENT["template"]["metadata"]["labels"] == LABELS
    assert MANIFESTS["Service"]["spec"]["selector"] == LABELS
    for found in (DEPLOYMENT["selector"], MANIFESTS["NetworkPolicy"]["spec"]["podSelector"]):
        assert found == {"matchLabels": LABELS}
    assert MANIFESTS["PodDisruptionBudget"]["spec"]["selector"] == {"matchLabels": LABELS}


def test_ports_agree():
    flags = flags_of(CONTAINER["args"])
    opened = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert opened == {"grpc": flags["port"], "rest": flags["rest_api_port"]}
    served = MANIFESTS["Service"]["spec"]["ports"]
    assert {port["name"]: port["port"] for port in served} == opened
    assert all(port["targetPort"] == port["name"] for port in served)
    (rule,) = MANIFESTS["NetworkPolicy"]["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} == opened.keys() and rule["from"]


def test_the_server_has_no_egress():
    policy = MANIFESTS["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_requests_a_served_model(name):
    request = CONTAINER[name]["httpGet"]
    assert request["port"] == "rest"
    assert request["path"].removeprefix("/v1/models/") in {model.name for model in models()}


def test_probes_leave_time_to_load_and_do_not_restart_a_slow_server_at_once():
    start, live = CONTAINER["startupProbe"], CONTAINER["livenessProbe"]
    assert start["periodSeconds"] * start["failureThreshold"] >= 300
    assert live["periodSeconds"] * live["failureThreshold"] >= 60 and live["timeoutSeconds"] >= 5


def test_requests_end_before_the_server_is_killed_and_one_server_always_runs():
    assert POD["terminationGracePeriodSeconds"] * 1000 > flags_of(CONTAINER["args"])["rest_api_timeout_in_ms"]
    assert DEPLOYMENT["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert 0 < MANIFESTS["PodDisruptionBudget"]["spec"]["minAvailable"] < DEPLOYMENT["replicas"]


def test_the_config_files_come_from_this_folder():
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    assert volumes[mounts["/config"]["name"]]["configMap"] == {"name": generator["name"]}
    flags = flags_of(CONTAINER["args"])
    used = {Path(value).name for name, value in flags.items() if name.endswith("_file")}
    assert used == set(generator["files"]) == {path.name for path in DEPLOY.glob("*.config")}
    assert KUSTOMIZATION["resources"] == ["kubernetes.yaml"]
    # A name with a hash would create new pods on every change, although the servers read changes.
    assert generator["options"]["disableNameSuffixHash"] is True and generator["options"]["labels"] == LABELS


def test_the_models_are_mounted_read_only_from_the_claim_of_the_training_jobs():
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    models_mount = mounts["/models"]
    assert models_mount["readOnly"] is True and models_mount["subPath"] == RunConfig().export_dir
    claim = volumes[models_mount["name"]]["persistentVolumeClaim"]
    assert claim == {"claimName": CLAIM["metadata"]["name"], "readOnly": True}
    assert {mount["name"] for mount in mounts.values()} == volumes.keys()


def test_a_pod_has_few_privileges():
    security = POD["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] > 0
    own = CONTAINER["securityContext"]
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    resources = CONTAINER["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] and resources["requests"]["cpu"]


# Paths


@pytest.mark.parametrize("file", [*sorted(DEPLOY.iterdir()), ROOT / "deploy" / "README.md"], ids=lambda file: file.name)
def test_paths_in_commands_exist(file):
    paths = [path.rstrip(".") for path in re.findall(r"(?<![\w/])deploy/[\w./-]+", file.read_text())]
    assert all((ROOT / path).exists() for path in paths), paths
    assert paths or file.name in ("kubernetes.yaml", "models.config", "monitoring.config")
