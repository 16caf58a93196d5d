"""The processes that train one model together, as TF_CONFIG or Slurm names them. Standard library only."""

import dataclasses
import json
import os
import re

from karpa_tf.errors import UserError

FIRST_PORT, PORTS = 12000, 19200
"""Where workers listen whom Slurm starts: below the ports that Linux gives to whoever asks for any."""

STARTED = "KARPA_STARTED"
"""Environment variable that gives a cluster that is started again the time of its first start: it names run folders."""

EXAMPLE = '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Processes that train one model together."""

    addresses: tuple[str, ...]
    """host:port of every worker; the first is the chief."""

    index: int
    """Which of them this process is."""

    source: str
    """Who says so: TF_CONFIG or Slurm."""


def current():
    """Returns the `Cluster` of this process, or None if it works alone: TF_CONFIG's, or else that of Slurm's step.

    Raises:
        UserError: the environment describes no cluster that can be.
    """
    cluster = _from_tf_config(os.environ["TF_CONFIG"]) if os.environ.get("TF_CONFIG") else _from_slurm(os.environ)
    return cluster if cluster and len(cluster.addresses) > 1 else None


def worker_count():
    """Returns how many processes train together; 1 without a cluster."""
    cluster = current()
    return len(cluster.addresses) if cluster else 1


def worker_index():
    """Returns which of them this process is; 0 without a cluster."""
    cluster = current()
    return cluster.index if cluster else 0


def is_chief():
    """Returns whether this process writes what is written once: it is worker 0, or alone."""
    return worker_index() == 0


def mark():
    """Returns "worker 1: ", for the start of a line, or nothing without a cluster."""
    try:
        workers = current()
    except UserError:
        return ""
    return f"worker {workers.index}: " if workers else ""


def _from_tf_config(text):
    try:
        config = json.loads(text)
        jobs = config.get("cluster", {})
        task = config.get("task", {"type": "worker", "index": 0})
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
        addresses = {job: [str(address) for address in jobs.get(job, [])] for job in ("chief", "worker")}
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG must be like {EXAMPLE}; received {text}") from error
    if not jobs:
        return None
    if kind not in addresses:
        raise UserError(f"TF_CONFIG may make of a process a chief or a worker, the two that train; received {kind}.")
    if not 0 <= index < len(addresses[kind]):
        raise UserError(f"TF_CONFIG says that this is {kind} {index}, but names {len(addresses[kind])} of that kind.")
    everyone = (*addresses["chief"], *addresses["worker"])
    odd = [address for address in everyone if not re.fullmatch(r".+:\d+", address)]
    if odd or len(set(everyone)) < len(everyone):
        what = f"{odd[0]!r}" if odd else f"one address twice in {', '.join(everyone)}"
        raise UserError(f"TF_CONFIG must name every worker as host:port, each its own; received {what}.")
    return Cluster(everyone, index + (len(addresses["chief"]) if kind == "worker" else 0), "TF_CONFIG")


def _from_slurm(variables):
    """Returns the `Cluster` of a step that `srun` has started, from what it tells each task; None outside of a step.

    TensorFlow's SlurmClusterResolver sorts the hosts by letter (n10 before n9; Slurm does not) and cannot do without
    GPUs.
    """
    names = ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID")
    if any(name not in variables for name in names):
        return None
    try:
        count, index = int(variables[names[0]]), int(variables[names[3]])
        tasks = [
            (host, place)
            for host, number in zip(expanded_hosts(variables[names[1]]), _task_counts(variables[names[2]]), strict=True)
            for place in range(number)
        ]
        job = int(variables.get("SLURM_JOB_ID", 0))
    except ValueError as error:
        values = ", ".join(f"{name}={variables[name]}" for name in names)
        raise UserError(f"Slurm's variables cannot be understood ({values}); set TF_CONFIG instead.") from error
    if len(tasks) != count or not 0 <= index < count:
        raise UserError(f"Slurm started {count} tasks and names {len(tasks)} on its nodes; set TF_CONFIG instead.")
    own = variables.get("SLURMD_NODENAME", tasks[index][0])
    if count > 1 and own != tasks[index][0]:
        raise UserError(f"Task {index} should run on {tasks[index][0]} and runs on {own}; start with srun -m block.")
    first = FIRST_PORT + job * 64 % PORTS
    return Cluster(tuple(f"{host}:{first + place}" for host, place in tasks), index, "Slurm")


def expanded_hosts(hosts):
    """Returns the names in Slurm's list of hosts, in its order: "n[08-10],m" is n08, n09, n10 and m.

    Raises:
        ValueError: it is no such list.
    """
    names = []
    for part in re.findall(r"(?:\[[^\]]*\]|[^,\[])+", hosts):
        match = re.fullmatch(r"([^\[\]]*)(?:\[([^\[\]]+)\]([^\[\]]*))?", part)
        if not match:
            raise ValueError(hosts)
        before, ranges, after = match.groups()
        if ranges is None:
            names.append(before)
            continue
        for bounds in ranges.split(","):
            first, _, last = bounds.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            names += [f"{before}{number:0{len(first)}d}{after}" for number in numbers]
    return names


def _task_counts(text):
    """Returns the numbers in Slurm's list of tasks per node: "2(x3),1" is 2, 2, 2 and 1."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise ValueError(text)
        counts += [int(match[1])] * int(match[2] or 1)
    return counts
