import json

import pytest

from karpa_tf.distribution import cluster, collectives
from karpa_tf.errors import UserError

SLURM = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_NODELIST": "gpu[9-10],login",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_PROCID": "3",
    "SLURMD_NODENAME": "gpu10",
}


@pytest.fixture
def variables(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)

    def set_variables(values):
        for name, value in values.items():
            monkeypatch.setenv(name, value if isinstance(value, str) else json.dumps(value))

    return set_variables


def task(kind, index, **jobs):
    return {"TF_CONFIG": {"cluster": jobs, "task": {"type": kind, "index": index}}}


def test_without_a_cluster_a_process_is_the_chief_and_collectives_return_their_argument(variables):
    assert cluster.current() is None
    assert (cluster.worker_count(), cluster.worker_index(), cluster.is_chief()) == (1, 0, True)
    assert collectives.all_reduce_max(3) == 3
    assert collectives.broadcast_object({"step": 1}) == {"step": 1}
    collectives.broadcast_variables([])


def test_tf_config_names_the_workers(variables):
    variables(task("worker", 1, worker=["a:1", "b:2"]))
    assert cluster.current() == cluster.Cluster(("a:1", "b:2"), 1, "TF_CONFIG")
    assert (cluster.worker_count(), cluster.worker_index(), cluster.is_chief()) == (2, 1, False)


def test_a_chief_of_tf_config_comes_before_its_workers(variables):
    variables(task("worker", 0, worker=["a:1"], chief=["c:1"]))
    assert cluster.current() == cluster.Cluster(("c:1", "a:1"), 1, "TF_CONFIG")
    variables(task("chief", 0, worker=["a:1"], chief=["c:1"]))
    assert cluster.is_chief() and cluster.worker_count() == 2


def test_one_worker_is_not_a_cluster(variables):
    variables(task("worker", 0, worker=["a:1"]))
    assert cluster.current() is None
    variables({"TF_CONFIG": {"task": {"type": "worker", "index": 0}}})
    assert cluster.current() is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"TF_CONFIG": "{"}, 'TF_CONFIG must be like {"cluster"'),
        ({"TF_CONFIG": [1]}, "TF_CONFIG must be like"),
        (task("ps", 0, worker=["a:1", "b:1"], ps=["c:1"]), "a chief or a worker, the two that train; received ps"),
        (task("worker", 2, worker=["a:1", "b:1"]), "says that this is worker 2, but names 2 of that kind"),
        (task("worker", 0, worker=["a:1", "b"]), "as a different host:port; received 'b'"),
        (task("worker", 0, worker=["a:1", "a:1"]), "received one address twice in a:1, a:1"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "2(x2)"}, "Slurm's variables are not understood .*; set TF_CONFIG"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "2(x3)"}, "Slurm started 5 tasks and names 6 on its nodes"),
        (SLURM | {"SLURMD_NODENAME": "gpu9"}, "Task 3 should run on gpu10 and runs on gpu9; start with srun -m block"),
    ],
)
def test_an_invalid_cluster_is_refused_in_one_sentence(variables, values, message):
    variables(values)
    with pytest.raises(UserError, match=message):
        cluster.current()


def test_slurm_names_the_tasks_of_a_step_in_the_order_of_its_hosts(variables):
    variables(SLURM)
    current = cluster.current()
    port = int(current.addresses[0].split(":")[1])
    assert current.addresses == (
        f"gpu9:{port}",
        f"gpu9:{port + 1}",
        f"gpu10:{port}",
        f"gpu10:{port + 1}",
        f"login:{port}",
    )
    assert current.index == 3 and 12000 <= port < 31200


def test_a_slurm_batch_script_is_not_a_step(variables):
    variables({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_JOB_NODELIST": "n[1-4]"})
    assert cluster.current() is None


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        ("n1", ["n1"]),
        ("n[08-10],m", ["n08", "n09", "n10", "m"]),
        ("a[1,3-4]-ib,b2", ["a1-ib", "a3-ib", "a4-ib", "b2"]),
    ],
)
def test_host_lists_are_expanded(hosts, names):
    assert cluster.expand_hosts(hosts) == names
