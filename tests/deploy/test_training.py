"""deploy/: the files for clusters agree with each other and with the programs' flags; some run without a cluster."""

import fnmatch
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from karpa_tf import cli
from karpa_tf.configs.run import RunConfig

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

MANIFESTS = {
    file.name: {document["kind"]: document for document in yaml.safe_load_all(file.read_text())}
    for file in sorted(DEPLOY.glob("*.yaml"))
}
CLAIM = MANIFESTS["kubernetes-claim.yaml"]["PersistentVolumeClaim"]
SERVICE, POLICY, JOB = (MANIFESTS["kubernetes-job.yaml"][kind] for kind in ("Service", "NetworkPolicy", "Job"))
TFJOB = MANIFESTS["kubeflow-tfjob.yaml"]["TFJob"]
WORKER = TFJOB["spec"]["tfReplicaSpecs"]["Worker"]
PODS = {"Job": JOB["spec"]["template"], "TFJob": WORKER["template"]}

each_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())


def container_of(pod):
    (container,) = pod["spec"]["containers"]
    return container


def environment_of(pod):
    return {variable["name"]: variable.get("value") for variable in container_of(pod)["env"]}


def parse_command(words):
    """Returns the config that a program parses from `apps.NAME ...`."""
    program, *rest = words
    app = importlib.import_module(program)
    presets = app.PRESETS if hasattr(app, "PRESETS") else app.Config()
    return cli.parse(presets, app.__doc__, args=rest)


def instructions():
    """Returns the Dockerfile's instructions in order, as (name, arguments)."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "train.Dockerfile").read_text(), flags=re.M).replace("\\\n", "")
    return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def arguments_of(name):
    return [rest for instruction, rest in instructions() if instruction == name]


# Docker


def test_the_dockerfile_has_only_known_instructions():
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "RUN", "USER", "VOLUME", "STOPSIGNAL", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions()} == known
    assert instructions()[0][0] == "FROM"


def test_the_image_has_the_python_of_the_tested_versions():
    (base,) = arguments_of("FROM")
    version = re.fullmatch(r"python:(\d+\.\d+)-slim", base).group(1)
    assert f"Python {version}" in (ROOT / "constraints.txt").read_text().splitlines()[0]


def test_copied_files_exist_and_are_in_the_build_context():
    lines = (DEPLOY / "train.Dockerfile.dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {word for rest in arguments_of("COPY") for word in rest.split()[:-1]}
    assert copied == sent and "*" in lines
    assert all((ROOT / path).exists() for path in copied)


def test_the_image_has_the_files_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = {word for rest in arguments_of("COPY") for word in rest.split()[:-1]}
    assert {project["project"]["readme"], *project["project"]["license-files"], "pyproject.toml"} <= copied
    for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]:
        assert any(fnmatch.fnmatch(path, pattern) for path in copied)


def test_the_image_installs_the_tested_versions_and_existing_extras():
    installs = [rest for rest in arguments_of("RUN") if "pip install" in rest]
    assert all("-c constraints.txt" in rest or "--no-deps" in rest for rest in installs)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for file in ("train.Dockerfile", "README.md"):
        named = re.findall(r"--build-arg EXTRAS=(\w+)", (DEPLOY / file).read_text())
        assert named and set(named) <= extras.keys()


@pytest.mark.parametrize(("extras", "package"), [("", "."), ("gpu", ".[gpu]"), ("gpu,test", ".[gpu,test]")])
def test_extras_may_be_none_one_or_several(extras, package):
    (word,) = re.findall(r'constraints.txt (".*?")', "\n".join(arguments_of("RUN")))
    result = subprocess.run(["sh", "-c", f"echo {word}"], env={"EXTRAS": extras}, capture_output=True, text=True)
    assert result.stdout == f"{package}\n"


def test_the_image_runs_a_module_as_a_normal_user_and_stops_with_sigterm():
    assert arguments_of("ENTRYPOINT") == ['["python", "-m"]'] and arguments_of("STOPSIGNAL") == ["SIGTERM"]
    assert arguments_of("USER") == ["1000:1000"] and "--uid 1000 " in "\n".join(arguments_of("RUN"))
    after = [name for name, _ in instructions()]
    assert after.index("USER") > max(index for index, name in enumerate(after) if name == "RUN")


def test_the_volumes_are_the_default_folders_of_the_programs():
    (volumes,) = arguments_of("VOLUME")
    home = arguments_of("WORKDIR")[-1]
    assert set(json.loads(volumes)) == {f"{home}/{folder}" for folder in ("data", "runs", RunConfig().export_dir)}


# Command lines


def command_lines():
    """Yields every command `apps.NAME ...` in the files and comments of deploy/."""
    for file in sorted(path for path in DEPLOY.rglob("*") if path.is_file()):
        text = file.read_text().replace("\\\n", " ")
        for line in re.findall(r"(?:IMAGE|karpa-tf-train:\S+|python -m) (apps\.\w+ [^`\n]*)", text):
            yield pytest.param(shlex.split(line, comments=True), id=f"{file.name}: {line[:40]}")


@pytest.mark.parametrize("words", list(command_lines()))
def test_commands_in_the_files_have_valid_flags(words):
    parse_command(words)


@each_pod
def test_a_pod_trains_on_several_workers_in_a_fixed_run_folder(pod):
    config = parse_command(container_of(pod)["args"])
    assert "--strategy=multiworker" in container_of(pod)["args"]
    assert config.run and config.batch_size % JOB["spec"]["completions"] == 0


def test_an_unknown_flag_is_detected(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_command(["apps.train_classifier", "digits", "--rnu=runs/x"])
    assert caught.value.code == 2 and "Unrecognized options: --rnu=runs/x" in capsys.readouterr().err


# Kubernetes and Kubeflow


def test_every_manifest_has_kind_name_and_label():
    assert {(document["apiVersion"], kind) for file in MANIFESTS.values() for kind, document in file.items()} == {
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Service"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("batch/v1", "Job"),
        ("kubeflow.org/v1", "TFJob"),
    }
    for file in MANIFESTS.values():
        for document in file.values():
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", document["metadata"]["name"])
            assert document["metadata"]["labels"]["app.kubernetes.io/name"] == "karpa-tf"


def test_service_and_policy_select_the_pods_of_the_job():
    label = {"batch.kubernetes.io/job-name": JOB["metadata"]["name"]}
    assert SERVICE["spec"]["selector"] == label
    assert POLICY["spec"]["podSelector"]["matchLabels"] == label
    for peers in (POLICY["spec"]["ingress"][0]["from"], POLICY["spec"]["egress"][0]["to"]):
        assert peers == [{"podSelector": {"matchLabels": label}}]


def test_the_service_is_headless_and_publishes_pods_that_are_not_ready():
    assert SERVICE["spec"]["clusterIP"] == "None" and SERVICE["spec"]["publishNotReadyAddresses"] is True
    assert JOB["spec"]["template"]["spec"]["subdomain"] == SERVICE["metadata"]["name"]


def test_the_number_of_workers_is_the_same_in_all_three_fields():
    workers = int(environment_of(PODS["Job"])["WORKERS"])
    assert workers == JOB["spec"]["completions"] == JOB["spec"]["parallelism"] > 1
    assert WORKER["replicas"] > 1


def test_ports_agree():
    (port,) = SERVICE["spec"]["ports"]
    (opened,) = container_of(PODS["Job"])["ports"]
    assert port["port"] == opened["containerPort"] == int(environment_of(PODS["Job"])["PORT"])
    assert port["name"] == opened["name"]


def test_code_75_is_retried_without_counting_and_code_2_is_final():
    rules = JOB["spec"]["podFailurePolicy"]["rules"]
    codes = {code: rule["action"] for rule in rules if "onExitCodes" in rule for code in rule["onExitCodes"]["values"]}
    assert codes == {2: "FailJob", 75: "Ignore"}
    name = container_of(PODS["Job"])["name"]
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} == {name}
    assert {rule["onExitCodes"]["operator"] for rule in rules if "onExitCodes" in rule} == {"In"}
    # Required by the API.
    assert JOB["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert JOB["spec"]["completionMode"] == "Indexed" and JOB["spec"]["backoffLimitPerIndex"] > 0


def test_kubeflow_finds_its_container_and_restarts_after_code_75():
    assert list(TFJOB["spec"]["tfReplicaSpecs"]) == ["Worker"]
    assert container_of(PODS["TFJob"])["name"] == "tensorflow"
    assert container_of(PODS["TFJob"])["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    assert WORKER["restartPolicy"] == "OnFailure" and TFJOB["spec"]["runPolicy"]["backoffLimit"] > 0
    assert "restartPolicy" not in WORKER["template"]["spec"]  # The operator overwrites it.


@each_pod
def test_a_pod_runs_as_the_user_of_the_image_with_few_privileges(pod):
    user = int(arguments_of("USER")[0].split(":")[0])
    security = pod["spec"]["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] == security["runAsGroup"] == security["fsGroup"] == user
    own = container_of(pod)["securityContext"]
    assert own["allowPrivilegeEscalation"] is False and own["capabilities"] == {"drop": ["ALL"]}
    assert own["readOnlyRootFilesystem"] is True
    assert pod["spec"]["automountServiceAccountToken"] is False


@each_pod
def test_a_pod_has_resources_and_time_to_save(pod):
    resources = container_of(pod)["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] and resources["requests"]["cpu"]
    assert pod["spec"]["terminationGracePeriodSeconds"] > 30  # Kubernetes' own


@each_pod
def test_a_pod_has_the_volumes_of_the_image_on_the_claim(pod):
    volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container_of(pod)["volumeMounts"]}
    assert {mount["name"] for mount in mounts.values()} == volumes.keys()
    for path in json.loads(arguments_of("VOLUME")[0]):
        claim = volumes[mounts[path]["name"]]["persistentVolumeClaim"]
        assert claim == {"claimName": CLAIM["metadata"]["name"]} and mounts[path]["subPath"] == Path(path).name
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"] and CLAIM["spec"]["resources"]["requests"]["storage"]
    # Other folders that are written to; the image is read-only.
    assert {"/tmp", f"{arguments_of('WORKDIR')[-1]}/.cache"} <= mounts.keys()


def test_both_kinds_of_job_use_the_image_that_the_readme_builds():
    images = {container_of(pod)["image"] for pod in PODS.values()}
    assert images == set(re.findall(r"docker build .*?-t (\S+)", (DEPLOY / "README.md").read_text()))


@pytest.mark.parametrize("index", [0, 1])
def test_the_job_sets_tf_config_and_replaces_itself_by_the_program(tmp_path, index):
    (tmp_path / "program.py").write_text("import os, sys\nprint(os.getpid(), os.environ['TF_CONFIG'], *sys.argv[1:])\n")
    python, *command = container_of(PODS["Job"])["command"]
    assert python == "python"
    name = JOB["metadata"]["name"]
    given = {name: value for name, value in environment_of(PODS["Job"]).items() if value is not None}
    given |= {"JOB_NAME": name, "JOB_COMPLETION_INDEX": str(index), "PYTHONPATH": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, *command, "program", "--epochs", "3"], env=given, stdout=subprocess.PIPE, text=True
    )
    said, _ = process.communicate(timeout=60)
    pid, rest = said.split(maxsplit=1)
    config, end = json.JSONDecoder().raw_decode(rest)
    assert config == {
        "cluster": {"worker": [f"{name}-{i}.{SERVICE['metadata']['name']}:2222" for i in (0, 1)]},
        "task": {"type": "worker", "index": index},
    }
    assert rest[end:].split() == ["--epochs", "3"]
    assert int(pid) == process.pid  # The same process: SIGTERM reaches the program.


# Slurm


@pytest.fixture
def slurm(tmp_path):
    """Runs slurm.sh with a fake `srun`; returns the result, and the arguments of srun and scontrol or None."""
    commands = tmp_path / "commands"
    commands.mkdir()

    def run(srun, *flags, **variables):
        for name, line in {"srun": srun, "scontrol": "exit ${SCONTROL:-0}"}.items():
            (commands / name).write_text(
                f"#!/usr/bin/env bash\nprintf '%s\\n' {name} \"$@\" > {tmp_path}/{name}\n{line}\n"
            )
            (commands / name).chmod(0o755)
        given = {
            "PATH": f"{commands}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "17",
            "SLURM_JOB_NAME": "karpa-train",
            "SLURM_CPUS_PER_TASK": "8",
            "SLURM_SUBMIT_DIR": str(tmp_path),
        }
        result = subprocess.run(
            ["bash", DEPLOY / "slurm.sh", *flags], env=given | variables, capture_output=True, text=True, timeout=60
        )
        logs = [(tmp_path / name) for name in ("srun", "scontrol")]
        return result, *(file.read_text().splitlines() if file.exists() else None for file in logs)

    return run


def test_the_script_is_bash():
    assert subprocess.run(["bash", "-n", DEPLOY / "slurm.sh"], capture_output=True).returncode == 0
    assert os.access(DEPLOY / "slurm.sh", os.X_OK)


def test_sbatch_options_are_valid_and_before_the_first_command():
    lines = (DEPLOY / "slurm.sh").read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if line and not line.startswith("#"))
    assert not any(line.startswith("#SBATCH") for line in lines[first:])
    options = {}
    for line in lines[:first]:
        if re.match(r"#+ ?SBATCH", line):
            name, value = re.fullmatch(r"##?SBATCH --([a-z-]+)(?:=(\S+))?", line).groups()
            assert name not in options
            options[name] = value
    assert int(options["nodes"]) > 1 and options["ntasks-per-node"] == "1"
    # Without "B:", which would signal the shell alone.
    assert re.fullmatch(r"USR1@\d+", options["signal"])
    assert options["open-mode"] == "append" and options["requeue"] is None
    assert re.fullmatch(r"\d\d:\d\d:\d\d", options["time"])


def test_the_workers_are_started_with_valid_flags(slurm):
    _, arguments, _ = slurm("exit 0", "--seed", "3")
    assert arguments[:1] == ["srun"] and "--cpus-per-task=8" in arguments and "--kill-on-bad-exit=0" in arguments
    start = arguments.index("-m")
    assert arguments[start - 1] == ".venv/bin/python"
    config = parse_command(arguments[start + 1 :])
    assert (config.run, config.seed, config.strategy) == ("runs/train_classifier/karpa-train", 3, "auto")


def test_run_folder_and_python_can_be_set(slurm):
    _, arguments, _ = slurm("exit 0", RUN="/shared/my run", PYTHON="/opt/python")
    assert "/opt/python" in arguments and arguments[arguments.index("--run") + 1] == "/shared/my run"


def test_code_75_requeues(slurm):
    result, _, arguments = slurm("exit 75")
    assert arguments == ["scontrol", "requeue", "17"] and result.returncode == 75


@pytest.mark.parametrize("code", [0, 1, 2, 137])
def test_any_other_code_ends_the_job(slurm, code):
    result, _, arguments = slurm(f"exit {code}")
    assert arguments is None and result.returncode == code


def test_a_canceled_job_does_not_come_back(slurm):
    result, _, arguments = slurm("kill -TERM $PPID; exit 75")
    assert arguments is None and result.returncode == 75


def test_a_refused_requeue_ends_the_job_as_failed(slurm):
    result, _, arguments = slurm("exit 75", SCONTROL="1")
    assert arguments is not None and result.returncode != 0
