"""deploy/serving/: the files for TensorFlow Serving match the exports, the flags of `apps.serve` and each other."""

import dataclasses
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
from google.protobuf import text_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.configs import serving_flags
from karpa_tf.configs.run import RunConfig
from karpa_tf.configs.serving import ServingConfig

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "serving"

COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())["services"]["serving"]
MANIFESTS = {document["kind"]: document for document in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
KUSTOMIZATION = yaml.safe_load((DEPLOY / "kustomization.yaml").read_text())
DEPLOYMENT = MANIFESTS["Deployment"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
(CONTAINER,) = POD["containers"]
CLAIM = yaml.safe_load((ROOT / "deploy" / "kubernetes-claim.yaml").read_text())


def flags_of(words):
    """Returns the values of flags by name; TensorFlow's parser expects each as one argument."""
    flags = dict(re.fullmatch(r"--(\w+)=(\S+)", word).groups() for word in words)
    assert len(flags) == len(words)
    return {name: int(value) if value.isdigit() else value for name, value in flags.items()}


SERVERS = {"compose": COMPOSE["command"], "kubernetes": CONTAINER["args"]}
each_server = pytest.mark.parametrize("words", SERVERS.values(), ids=SERVERS.keys())


def models(uncomment=False):
    """Returns the models of models.config; with `uncomment` including its indented comments."""
    text = (DEPLOY / "models.config").read_text()
    if uncomment:
        text = re.sub(r"^  # (config {|  |})", r"  \1", text, flags=re.MULTILINE)
    return list(text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config)


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


# Flags


@each_server
def test_the_flags_are_known_and_name_the_files_of_this_folder(words):
    flags = flags_of(words)
    fields = {field.name for field in dataclasses.fields(ServingConfig)}
    assert flags.keys() <= fields | {*serving_flags.SWITCHES.split(), *serving_flags.VALUES.split()}
    files = {value for name, value in flags.items() if name.endswith("_file")}
    assert files == {f"/config/{path.name}" for path in DEPLOY.glob("*.config")}
    # Labels are assigned before versions are loaded; batching parameters without batching are an error.
    assert flags["allow_version_labels_for_unavailable_models"] == flags["enable_batching"] == "true"
    # Otherwise one client's invalid image would fail the requests of others.
    assert flags["enable_per_model_batching_parameters"] == "true"
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


def test_a_server_without_an_available_model_is_not_healthy(health):
    assert health(200, status("END", "LOADING")) != 0 and health(404, '{"error": "AVAILABLE"}'[:10]) != 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert health.check(free.getsockname()[1]) != 0


# Kubernetes


LABELS = {"app.kubernetes.io/name": "karpa-tf", "app.kubernetes.io/component": "serving"}


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


@pytest.mark.parametrize("name", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_a_probe_requests_a_served_model(name):
    request = CONTAINER[name]["httpGet"]
    assert request["port"] == "rest"
    assert request["path"].removeprefix("/v1/models/") in {model.name for model in models()}


def test_requests_end_before_the_server_is_killed_and_one_server_always_runs():
    assert POD["terminationGracePeriodSeconds"] * 1000 > flags_of(CONTAINER["args"])["rest_api_timeout_in_ms"]
    assert DEPLOYMENT["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert 0 < MANIFESTS["PodDisruptionBudget"]["spec"]["minAvailable"] < DEPLOYMENT["replicas"]


def test_the_config_files_come_from_this_folder():
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    assert volumes[mounts["/config"]["name"]]["configMap"] == {"name": generator["name"]}
    assert set(generator["files"]) == {path.name for path in DEPLOY.glob("*.config")}


def test_the_models_are_mounted_read_only_from_the_claim_of_the_training_jobs():
    volumes = {volume["name"]: volume for volume in POD["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in CONTAINER["volumeMounts"]}
    models_mount = mounts["/models"]
    assert models_mount["readOnly"] is True and models_mount["subPath"] == RunConfig().export_dir
    claim = volumes[models_mount["name"]]["persistentVolumeClaim"]
    assert claim == {"claimName": CLAIM["metadata"]["name"], "readOnly": True}
    assert {mount["name"] for mount in mounts.values()} == volumes.keys()


# Paths


@pytest.mark.parametrize("file", [*sorted(DEPLOY.iterdir()), ROOT / "deploy" / "README.md"], ids=lambda file: file.name)
def test_paths_in_commands_exist(file):
    paths = [path.rstrip(".") for path in re.findall(r"(?<![\w/])deploy/[\w./-]+", file.read_text())]
    assert all((ROOT / path).exists() for path in paths), paths
    assert paths or file.name in ("kubernetes.yaml", "models.config", "monitoring.config")
