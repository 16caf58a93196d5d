"""The benchmarks measure what they say: turns, ratios, the same work for all, and the table of the README."""

import dataclasses
import importlib.util
import io
import json
import sys

import pytest
from source import FILES, imports_of
from tiny_gan import fit, get_weights, make_dcgan_trainer

from benchmarks import results, rounds, table
from benchmarks.__main__ import chosen
from benchmarks.contender import Program, repeat, take_part
from benchmarks.gan_step import two_pass
from benchmarks.works import WORKS, Contender, Work
from karpa_tf.errors import UserError
from karpa_tf.training.trainers.gan import GAN

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="PyTorch is not installed")
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="Transformers is not installed"
)

FAKE = """
import io
import sys
from benchmarks.contender import Program, repeat, take_part

name, loss = sys.argv[1:]
if name == "broken":
    sys.exit("There is no more room.")
if name == "fragile":
    take_part(Program(lambda after_step: after_step(), 7, 1.0), io.StringIO("1"), sys.stdout)
    sys.exit("There is no more room.")
count = 400_000 if name == "slow" else 40_000
take_part(Program(repeat(lambda: sum(range(count))), 7, float(loss)), sys.stdin, sys.stdout)
"""


def fake_work(*names):
    return Work("Sums", "images", 10, {name: Contender(None, "ours") for name in names}, seconds=0.1)


@pytest.fixture
def losses(monkeypatch):
    """The losses that fake contenders report; 1 where nothing else is said."""
    said = {}

    def command(work, name, folder):
        return [sys.executable, "-c", FAKE, name, str(said.get(name, 1.0))]

    monkeypatch.setattr(rounds, "command", command)
    return said


def test_a_contender_makes_as_many_steps_as_it_is_told():
    made, answers = [], io.StringIO()
    program = Program(repeat(lambda: made.append(len(made))), 7, 0.5, data_bytes=100, peak_bytes=lambda: 1000)
    take_part(program, io.StringIO("2\n3\n"), answers)
    facts, *seconds, peak = (json.loads(line) for line in answers.getvalue().splitlines())
    assert len(made) == 1 + 2 + 3
    assert (facts["parameters"], facts["loss"]) == (7, 0.5)
    assert len(seconds) == 2 and all(second > 0 for second in seconds)
    assert peak == 900


def test_contenders_take_turns_in_processes_of_their_own(losses):
    said = []
    record = rounds.compare("sums", fake_work("slow", "fast"), 3, say=said.append)
    slow, fast = (record["contenders"][name] for name in ("slow", "fast"))
    assert len(slow["rates"]) == len(fast["rates"]) == len(said) == 3
    assert results.ratio(fast["rates"], slow["rates"])[0] > 3
    assert 0.001 < slow["peak_gb"] < 1
    assert "3 of 3" in said[-1]


@pytest.mark.parametrize(("loss", "shown"), [(1.002, "1.002000"), (float("nan"), "nan")])
def test_another_loss_on_the_same_batch_stops_the_benchmark(losses, loss, shown):
    losses["fast"] = loss
    with pytest.raises(UserError, match=f"loss of fast is {shown} and that of slow 1.000000"):
        rounds.compare("sums", fake_work("slow", "fast"), 1)


def test_bfloat16_may_round_the_loss():
    work = Work("Sums", "images", 1, {"a": Contender(None, "ours"), "b": Contender(None, "ours", "bfloat16")})
    facts = {"a": {"parameters": 7, "loss": 1.0}, "b": {"parameters": 7, "loss": 1.01}}
    rounds.require_same_work("sums", work, facts)
    with pytest.raises(UserError, match="trains 8 weights and a 7"):
        rounds.require_same_work("sums", work, facts | {"b": {"parameters": 8, "loss": 1.0}})


@pytest.mark.parametrize("name", ["broken", "fragile"])
def test_a_contender_that_stops_is_named_with_its_last_words(losses, name):
    with pytest.raises(UserError, match=f"{name} stopped with code 1; its last words:\nThere is no more room."):
        rounds.compare("sums", fake_work("slow", name), 1)


def test_the_package_imports_nothing_of_what_it_is_measured_against():
    imported = {module.split(".")[0] for file in FILES for module in imports_of(file)}
    assert "keras" in imported and imported.isdisjoint({"torch", "transformers", "benchmarks"})


def test_what_is_not_installed_is_left_out_and_said():
    said, work = [], fake_work("slow", "absent")
    work.contenders["absent"] = dataclasses.replace(work.contenders["absent"], needs=("no_such_module",))
    assert rounds.choose(work, quick=False, say=said.append) == ["slow"]
    assert "absent is left out: no_such_module" in said[0]


def test_a_work_is_named_by_how_it_begins():
    assert chosen(["resnet"]) == ["resnet20", "resnet18"] and chosen([]) == list(WORKS)
    assert "inputs_noise" not in chosen([], quick=True) and chosen(["inputs_noise"], quick=True) == ["inputs_noise"]
    with pytest.raises(UserError, match="did you mean resnet20"):
        chosen(["resnt20"])


def test_ratios_are_taken_within_a_round():
    # The machine is half as fast in the second round; one contender is twice as fast as the other in each.
    assert results.ratio([20, 10, 22], [10, 5, 10]) == (2, 2, 2.2)


def test_results_of_one_work_leave_those_of_others(tmp_path):
    path = results.path_of({"cpu": "AMD EPYC 9B45 (x)", "cores": 2}, folder=tmp_path / "results")
    assert path.name == "amd-epyc-9b45-x-2-cores.json"
    results.write(path, {"cpu": "a"}, {"one": 1, "two": 2})
    results.write(path, {"cpu": "a"}, {"two": 3})
    assert results.read(path) == {"machine": {"cpu": "a"}, "works": {"one": 1, "two": 3}}


def contender(kind, rates):
    return {"kind": kind, "rates": rates, "peak_gb": 0.5, "parameters": 7, "loss": 1.0}


@pytest.fixture
def measured():
    contenders = {
        "karpa_tf float32": contender("ours", [200, 100, 300]),
        "karpa_tf bfloat16": contender("ours", [400, 200, 600]),
        "Theirs": contender("published", [100, 100, 100]),
        "Theirs, quick": contender("precision", [200, 250, 150]),
        "Theirs, changed": contender("altered", [400, 400, 600]),
        "Keras": contender("keras", [100, 50, 100]),
    }
    record = {"title": "Sums, batch 10", "unit": "images", "date": "2026-01-02", "rounds": 3, "quick": False}
    machine = {"cpu": "A", "cores": 2, "memory_gb": 8.0, "python": "3.11"}
    return {"machine": machine, "works": {"sums": record | {"versions": {"keras": "3"}, "contenders": contenders}}}


def test_the_table_compares_with_each_kind_of_program(measured):
    row = table.markdown(measured).splitlines()[-1].split(" | ")
    assert row == [
        "| Sums, batch 10",
        "200, 400 images/s",
        "4.00 (2.00 to 6.00): Theirs",
        "2.00 (0.80 to 4.00): Theirs, quick",
        "1.00 (0.50 to 1.00): Theirs, changed",
        "4.00 (4.00 to 6.00): Keras",
        "0.50, 0.50 GB |",
    ]


def test_the_table_has_the_order_of_the_works_whenever_each_was_measured(measured):
    record = measured["works"]["sums"]
    measured["works"] |= {"resnet20": record | {"title": "R"}, "dcgan_64": record | {"title": "D"}}
    titles = [row.split(" | ")[0] for row in table.markdown(measured).splitlines()[-3:]]
    assert titles == ["| D", "| R", "| Sums, batch 10"]


def test_the_table_goes_between_the_markers_of_the_readme(measured, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    text = table.markdown(measured)
    for _ in range(2):
        table.write(readme, text)
        assert readme.read_text() == f"before\n{table.BEGIN}\n{text}\n{table.END}\nafter\n"
    readme.write_text("no markers\n")
    with pytest.raises(UserError, match="needs one line <!-- benchmarks: begin -->"):
        table.write(readme, text)


def test_the_step_of_two_passes_moves_every_weight(images):
    one = make_dcgan_trainer()
    other = two_pass(GAN)(one.generator, one.discriminator, ema=0.9)
    other.compile(one.generator_optimizer, one.discriminator_optimizer)
    before = get_weights(other)
    fit(other, images, epochs=1)
    assert all((now != then).any() for now, then in zip(get_weights(other), before, strict=True))
