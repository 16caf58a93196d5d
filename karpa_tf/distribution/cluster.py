"""The processes that train one model together, as described by TF_CONFIG or Slurm. Standard library only."""

import dataclasses
import json
import os
import re

from karpa_tf.errors import UserError

FIRST_PORT, PORTS = 12000, 19200
"""Range of ports for workers started by Slurm, below Linux's ephemeral ports."""

STARTED = "KARPA_STARTED"
"""Environment variable with the time of a cluster's first start, which names run folders, for restarts."""

EXAMPLE = '{"cluster": {"worker": ["host-a:2222", "host-b:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Processes that train one model together."""

    addresses: tuple[str, ...]
    """host:port of every worker; the first is the chief."""

    index: int
    """Index of this process."""

    source: str
    """TF_CONFIG or Slurm."""


def current():
    """Returns the `Cluster` of this process from TF_CONFIG or, without it, Slurm's step; None if there is one process.

    Raises:
        UserError: the environment describes an invalid cluster.
    """
    cluster = _from_tf_config(os.environ["TF_CONFIG"]) if os.environ.get("TF_CONFIG") else _from_slurm(os.environ)
    return cluster if cluster and len(cluster.addresses) > 1 else None


def worker_count():
    """Returns how many processes train together; 1 without a cluster."""
    cluster = current()
    return len(cluster.addresses) if cluster else 1


def worker_index():
    """Returns the index of this process; 0 without a cluster."""
    cluster = current()
    return cluster.index if cluster else 0


def is_chief():
    """Returns whether this process writes files and messages: it is worker 0, or alone."""
    return worker_index() == 0


def prefix():
    """Returns a prefix for messages, such as "worker 1: ", or "" without a cluster."""
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
        raise UserError(f"TF_CONFIG's task must be a chief or a worker, the two that train; received {kind}.")
    if not 0 <= index < len(addresses[kind]):
        raise UserError(f"TF_CONFIG says that this is {kind} {index}, but names {len(addresses[kind])} of that kind.")
    all_addresses = (*addresses["chief"], *addresses["worker"])
    invalid = [address for address in all_addresses if not re.fullmatch(r".+:\d+", address)]
    if invalid or len(set(all_addresses)) < len(all_addresses):
        received = f"{invalid[0]!r}" if invalid else f"one address twice in {', '.join(all_addresses)}"
        raise UserError(f"TF_CONFIG must name every worker as a different host:port; received {received}.")
    return Cluster(all_addresses, index + (len(addresses["chief"]) if kind == "worker" else 0), "TF_CONFIG")


def _from_slurm(variables):
    """Returns the `Cluster` of a job step started by `srun`, from its environment variables; None outside of a step.

    TensorFlow's SlurmClusterResolver sorts hosts alphabetically (n10 before n9; Slurm does not) and needs GPUs.
    """
    names = ("SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST", "SLURM_STEP_TASKS_PER_NODE", "SLURM_PROCID")
    if any(name not in variables for name in names):
        return None
    try:
        count, index = int(variables[names[0]]), int(variables[names[3]])
        tasks = [
            (host, local_index)
            for host, count_on_host in zip(
                expand_hosts(variables[names[1]]), _task_counts(variables[names[2]]), strict=True
            )
            for local_index in range(count_on_host)
        ]
        job = int(variables.get("SLURM_JOB_ID", 0))
    except ValueError as error:
        values = ", ".join(f"{name}={variables[name]}" for name in names)
        raise UserError(f"Slurm's variables are not understood ({values}); set TF_CONFIG instead.") from error
    if len(tasks) != count or not 0 <= index < count:
        raise UserError(f"Slurm started {count} tasks and names {len(tasks)} on its nodes; set TF_CONFIG instead.")
    own = variables.get("SLURMD_NODENAME", tasks[index][0])
    if count > 1 and own != tasks[index][0]:
        raise UserError(f"Task {index} should run on {tasks[index][0]} and runs on {own}; start with srun -m block.")
    first = FIRST_PORT + job * 64 % PORTS
    return Cluster(tuple(f"{host}:{first + local_index}" for host, local_index in tasks), index, "Slurm")


def expand_hosts(hosts):
    """Returns the names in a Slurm host list, in its order: "n[08-10],m" is n08, n09, n10 and m.

    Raises:
        ValueError: the list is invalid.
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
    """Returns the numbers in a Slurm list of tasks per node: "2(x3),1" is 2, 2, 2 and 1."""
    counts = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise ValueError(text)
        counts += [int(match[1])] * int(match[2] or 1)
    return counts
