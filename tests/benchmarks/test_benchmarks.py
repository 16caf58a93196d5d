"""Rounds of several contenders, checks that they do the same work, ratios of rates, the table of docs/results.md."""

import dataclasses
import io
import json
import sys

import pytest

from benchmarks import results, rounds, table
from benchmarks.contender import serve
from benchmarks.program import Contender, Program, Workload, repeat
from benchmarks.workloads import WORKLOADS, select_workloads
from karpa_tf.errors import UserError

FAKE_CONTENDER = """
import io
import sys
from benchmarks.contender import serve
from benchmarks.program import Program, repeat

name, loss = sys.argv[1:]
if name == "fails at start":
    sys.exit("There is no more room.")
if name == "fails later":
    serve(Program(lambda after_step: after_step(), 7, 1.0), io.StringIO("1"), sys.stdout)
    sys.exit("There is no more room.")
count = 400_000 if name == "slow" else 40_000
serve(Program(repeat(lambda: sum(range(count))), 7, float(loss)), sys.stdin, sys.stdout)
"""


def make_workload(*names):
    return Workload("Sums", "images", 10, {name: Contender(None, "ours") for name in names}, seconds=0.1)


@pytest.fixture
def losses(monkeypatch):
    """Losses that fake contenders report, by name; the default is 1."""
    values = {}

    def make_command(workload, name, folder):
        return [sys.executable, "-c", FAKE_CONTENDER, name, str(values.get(name, 1.0))]

    monkeypatch.setattr(rounds, "make_command", make_command)
    return values


def test_a_contender_runs_as_many_steps_as_requested():
    steps, replies = [], io.StringIO()
    program = Program(repeat(lambda: steps.append(len(steps))), 7, 0.5, data_bytes=100, peak_bytes=lambda: 1000)
    serve(program, io.StringIO("2\n3\n"), replies)
    metadata, *seconds, peak = (json.loads(line) for line in replies.getvalue().splitlines())
    assert len(steps) == 1 + 2 + 3
    assert (metadata["parameters"], metadata["loss"]) == (7, 0.5)
    assert len(seconds) == 2 and all(second > 0 for second in seconds)
    assert peak == 900


def test_contenders_run_in_turn_in_processes_of_their_own(losses):
    lines = []
    record = rounds.compare("sums", make_workload("slow", "fast"), 3, say=lines.append)
    slow, fast = (record["contenders"][name] for name in ("slow", "fast"))
    assert len(slow["rates"]) == len(fast["rates"]) == len(lines) == 3
    assert results.rate_ratios(fast["rates"], slow["rates"])[0] > 3
    assert 0.001 < slow["peak_gb"] < 1
    assert "3 of 3" in lines[-1]


@pytest.mark.parametrize(("loss", "printed"), [(1.002, "1.002000"), (float("nan"), "nan")])
def test_a_different_loss_on_the_same_batch_stops_the_benchmark(losses, loss, printed):
    losses["fast"] = loss
    with pytest.raises(UserError, match=f"loss of fast is {printed} and that of slow 1.000000"):
        rounds.compare("sums", make_workload("slow", "fast"), 1)


def test_the_loss_in_bfloat16_may_be_rounded():
    contenders = {"a": Contender(None, "ours"), "b": Contender(None, "ours", "bfloat16")}
    workload = Workload("Sums", "images", 1, contenders)
    metadata = {"a": {"parameters": 7, "loss": 1.0}, "b": {"parameters": 7, "loss": 1.01}}
    rounds.require_same_work("sums", workload, metadata)
    with pytest.raises(UserError, match="trains 8 weights and a 7"):
        rounds.require_same_work("sums", workload, metadata | {"b": {"parameters": 8, "loss": 1.0}})


@pytest.mark.parametrize("name", ["fails at start", "fails later"])
def test_the_error_of_a_failed_contender_has_its_name_and_last_output(losses, name):
    with pytest.raises(UserError, match=f"{name} stopped with code 1; its last output:\nThere is no more room."):
        rounds.compare("sums", make_workload("slow", name), 1)


def test_a_contender_whose_package_is_not_installed_is_left_out_with_a_message():
    lines, workload = [], make_workload("slow", "absent")
    workload.contenders["absent"] = dataclasses.replace(workload.contenders["absent"], needs=("no_such_module",))
    assert rounds.select_contenders(workload, quick=False, say=lines.append) == ["slow"]
    assert "absent is left out: no_such_module" in lines[0]


def test_workloads_are_selected_by_prefix():
    assert select_workloads(["resnet"]) == ["resnet20", "resnet18"]
    assert select_workloads([]) == list(WORKLOADS)
    assert "inputs_noise" not in select_workloads([], quick=True)
    assert select_workloads(["inputs_noise"], quick=True) == ["inputs_noise"]
    with pytest.raises(UserError, match="did you mean resnet20"):
        select_workloads(["resnt20"])


def test_ratios_are_computed_within_rounds():
    # The machine is half as fast in the second round; one contender is twice as fast as the other in each.
    assert results.rate_ratios([20, 10, 22], [10, 5, 10]) == (2, 2, 2.2)


def test_saving_the_results_of_a_workload_keeps_those_of_others(tmp_path):
    path = results.results_path({"cpu": "AMD EPYC 9B45 (x)", "cores": 2}, folder=tmp_path / "results")
    assert path.name == "amd-epyc-9b45-x-2-cores.json"
    results.save_results(path, {"cpu": "a"}, {"one": 1, "two": 2})
    results.save_results(path, {"cpu": "a"}, {"two": 3})
    assert results.load_results(path) == {"machine": {"cpu": "a"}, "workloads": {"one": 1, "two": 3}}


def test_the_results_of_the_repository_are_those_of_the_workloads():
    for path in results.FOLDER.glob("*-cores.json"):
        for name, record in results.load_results(path)["workloads"].items():
            assert record["title"] == WORKLOADS[name].title
            assert record["contenders"].keys() <= WORKLOADS[name].contenders.keys()


def make_contender_record(kind, rates):
    return {"kind": kind, "rates": rates, "peak_gb": 0.5, "parameters": 7, "loss": 1.0}


@pytest.fixture
def measured():
    """Results of a workload with a contender of every kind."""
    contenders = {
        "karpa_tf float32": make_contender_record("ours", [200, 100, 300]),
        "karpa_tf bfloat16": make_contender_record("ours", [400, 200, 600]),
        "Theirs": make_contender_record("published", [100, 100, 100]),
        "Theirs, bfloat16": make_contender_record("precision", [200, 250, 150]),
        "Theirs, changed": make_contender_record("altered", [400, 400, 600]),
        "Keras": make_contender_record("keras", [100, 50, 100]),
    }
    record = {"title": "Sums, batch 10", "unit": "images", "date": "2026-01-02", "rounds": 3, "quick": False}
    machine = {"cpu": "A", "cores": 2, "memory_gb": 8.0, "python": "3.11"}
    return {"machine": machine, "workloads": {"sums": record | {"versions": {"keras": "3"}, "contenders": contenders}}}


def test_the_table_compares_with_every_kind_of_contender(measured):
    row = table.format_markdown(measured).splitlines()[-1].split(" | ")
    assert row == [
        "| Sums, batch 10",
        "200, 400 images/s",
        "4.00 (2.00 to 6.00): Theirs",
        "2.00 (0.80 to 4.00): Theirs, bfloat16",
        "1.00 (0.50 to 1.00): Theirs, changed",
        "4.00 (4.00 to 6.00): Keras",
        "0.50, 0.50 GB |",
    ]


def test_the_rows_of_the_table_are_in_the_order_of_the_workloads(measured):
    record = measured["workloads"]["sums"]
    measured["workloads"] |= {"resnet20": record | {"title": "R"}, "dcgan_64": record | {"title": "D"}}
    titles = [row.split(" | ")[0] for row in table.format_markdown(measured).splitlines()[-3:]]
    assert titles == ["| D", "| R", "| Sums, batch 10"]


def test_the_table_is_written_between_the_markers_of_the_page(measured, tmp_path):
    page = tmp_path / "results.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    text = table.format_markdown(measured)
    for _ in range(2):
        table.update_page(page, text)
        assert page.read_text() == f"before\n{table.BEGIN}\n{text}\n{table.END}\nafter\n"
    page.write_text("no markers\n")
    with pytest.raises(UserError, match="needs one line <!-- benchmarks: begin -->"):
        table.update_page(page, text)
