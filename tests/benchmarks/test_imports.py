"""Imports among the benchmarks, and that karpa_tf imports none of what it is compared with."""

import graphlib

import pytest
from source import FILES, ROOT, imports_of


def make_import_graph(root, package):
    """Returns a dict from every module of a package to the modules of it that it imports, within functions too."""
    files = {".".join(file.relative_to(root).with_suffix("").parts): file for file in root.glob(f"{package}/**/*.py")}
    return {name: files.keys() & set(imports_of(file)) for name, file in files.items()}


def test_the_benchmarks_import_each_other_without_a_cycle():
    graph = make_import_graph(ROOT, "benchmarks")
    assert "benchmarks.workloads" in graph["benchmarks.contender"]
    assert "benchmarks.ours.gan" in graph["benchmarks.workloads"]  # imported within a function
    assert "benchmarks.program" in graph["benchmarks.keras_programs"]
    graphlib.TopologicalSorter(graph).prepare()  # Raises CycleError.


def test_an_import_within_a_function_closes_a_cycle(tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "one.py").write_text("def run():\n    import package.two\n")
    (tmp_path / "package" / "two.py").write_text("from package.one import run\n")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(make_import_graph(tmp_path, "package")).prepare()


def test_karpa_tf_does_not_import_what_it_is_compared_with():
    imported = {module.split(".")[0] for file in FILES for module in imports_of(file)}
    assert "keras" in imported and imported.isdisjoint({"torch", "transformers", "benchmarks"})
