"""What docs/design.md says about files, imports and names."""

import ast
import re
import sys

import pytest
from source import FILES, PATHS, ROOT, folder_of, imports_of, strings_of

from karpa_tf.tasks import TASKS, load_task

FLOORS = (
    ("errors", "keras_compat"),
    ("configs", "distribution", "system", "layers", "metrics", "losses", "plots"),
    ("data", "models", "cli"),
    ("training", "evaluation", "export", "search", "serving"),
    ("tasks",),
    ("apps",),
)
FLOOR = {folder: number for number, folders in enumerate(FLOORS) for folder in folders}

APPS = [path for path in PATHS if path.startswith("apps/") and not path.endswith("__init__.py")]


def is_allowed(here, there):
    if here == there:
        return here != "apps"
    return FLOOR[there] < FLOOR[here]


@pytest.mark.parametrize("path", [path for path in PATHS if path != "karpa_tf/__init__.py"])
def test_imports_only_from_a_lower_floor_or_its_own_folder(path):
    here = folder_of(path.removesuffix(".py").replace("/", "."))
    assert here in FLOOR, f"{here} is on no floor"
    for module in imports_of(ROOT / path):
        there = folder_of(module)
        assert there is None or is_allowed(here, there), f"{path} imports {module}"
        assert there != "cli" or here == "apps", f"{path}: only apps read flags"


def test_the_floors_refuse_what_they_should():
    assert not is_allowed("models", "data") and not is_allowed("data", "models")
    assert not is_allowed("configs", "models") and not is_allowed("export", "training")
    assert not is_allowed("apps", "apps") and not is_allowed("training", "tasks")
    assert is_allowed("training", "losses") and is_allowed("tasks", "export") and is_allowed("data", "data")


def test_the_package_has_five_loose_files_and_the_folders_of_the_design():
    folder = ROOT / "karpa_tf"
    loose = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert loose == {"errors", "cli", "keras_compat", "losses", "plots"}
    folders = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert folders | loose == set(FLOOR) - {"apps"}


@pytest.mark.parametrize(("package", "home"), [("tyro", "karpa_tf/cli.py"), ("matplotlib", "karpa_tf/plots.py")])
def test_a_package_is_imported_in_one_file(package, home):
    importers = [
        path
        for path, file in zip(PATHS, FILES, strict=True)
        if package in {module.split(".")[0] for module in imports_of(file)}
    ]
    assert importers == [home]


def test_configs_import_the_standard_library_only():
    for file in ROOT.glob("karpa_tf/configs/*.py"):
        for module in imports_of(file):
            own = module.startswith("karpa_tf.configs") or module == "karpa_tf.errors"
            assert own or module.split(".")[0] in sys.stdlib_module_names, f"{file} imports {module}"


def test_private_modules_of_keras_and_tensorflow_are_imported_in_keras_compat_only():
    private = re.compile(r"(keras\.src|tensorflow\.(python|tsl|compiler))\b")
    importers = {
        path
        for path, file in zip(PATHS, FILES, strict=True)
        if any(private.match(module) for module in imports_of(file))
    }
    assert importers <= {"karpa_tf/keras_compat.py"}


def test_files_have_at_most_250_lines_and_apps_at_most_80():
    lengths = {path: len(file.read_text().splitlines()) for path, file in zip(PATHS, FILES, strict=True)}
    assert {path for path, length in lengths.items() if length > (80 if path in APPS else 250)} == set()


def test_functions_have_at_most_seven_arguments():
    long = []
    for path, file in zip(PATHS, FILES, strict=True):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len([name for name in names if name not in ("self", "cls")]) > 7:
                    long.append(f"{path}: {node.name}")
    assert long == []


@pytest.mark.parametrize("path", APPS)
def test_an_app_names_itself_at_most_once(path):
    name = path.removeprefix("apps/").removesuffix(".py")
    assert sum(bool(re.search(rf"^{name}$|\bapps.{name}\b", text)) for text in strings_of(ROOT / path)) <= 1


@pytest.mark.parametrize("name", TASKS)
def test_the_name_of_a_task_stands_in_its_own_file_and_in_the_list_only(name):
    task = load_task(name)
    of_same_app = [other for other in TASKS if load_task(other).app == task.app]
    own = {f"apps/{task.app}.py", *(f"karpa_tf/configs/{other}.py" for other in of_same_app)}
    own |= {TASKS[other].replace(".", "/") + ".py" for other in of_same_app}
    assert task.name == name and (ROOT / f"apps/{task.app}.py").exists()
    for path, file in zip(PATHS, FILES, strict=True):
        if path in own:
            continue
        strings = [text for text in strings_of(file) if text in (name, task.app)]
        assert strings == ([name] if path == "karpa_tf/tasks/__init__.py" else []), path
    for file in (ROOT / "karpa_tf/serving/page").glob("*.js"):
        assert not re.search(rf"[\"'`]({name}|{task.app})[\"'`]|^\s*{name}:", file.read_text(), re.MULTILINE), file


def test_the_tasks_files_are_those_of_the_list():
    files = {path.stem for path in (ROOT / "karpa_tf/tasks").glob("*.py")} - {"__init__", "task"}
    assert {module.rpartition(".")[2] for module in TASKS.values()} == files == set(TASKS)


WORDS = r"\b(pictures?|places?|shares?|thaw|settle|announce|brought to|guess(es|ed)?|spared|learned from|colour|grey)\b"


def test_words_are_those_of_the_field():
    found = [
        f"{path}: {line.strip()}"
        for path, file in zip(PATHS, FILES, strict=True)
        for line in file.read_text().splitlines()
        if re.search(WORDS, line, re.IGNORECASE)
    ]
    assert found == []
