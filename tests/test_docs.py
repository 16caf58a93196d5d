"""What README.md and the pages in docs/ say: their links, and the commands that they show."""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from documents import PAGES, ROOT, find_commands, read_prose

from karpa_tf.system import console

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def read_anchors(page):
    """Returns the anchors that GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", read_prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_links(page):
    """Returns the targets of the links and images of a page within the repository."""
    return [target for target in LINK.findall(read_prose(page)) if not target.startswith(("http://", "https://"))]


def is_broken(page, target):
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    return not file.exists() or (anchor != "" and anchor not in read_anchors(file))


COMMANDS = [command for page in PAGES for command in find_commands(page)]
MODULES = [command[2:] for command in COMMANDS if command[:2] == ["python", "-m"]]
PROGRAMS = {shlex.join(command): command for command in MODULES if command[0].startswith("apps.")}


def read_config(monkeypatch, name, *flags):
    """Returns the config that the program `name` reads from a command line."""
    program = importlib.import_module(name)
    configs = []
    monkeypatch.setattr(program, "run", configs.append)
    monkeypatch.setattr(console, "hide_tensorflow_messages", lambda: None)
    monkeypatch.setattr("sys.argv", [name, *flags])
    Path("RUN").mkdir(exist_ok=True)
    Path("RUN/config.yaml").write_text("seed: 3\n")
    program.main()
    return configs[0]


def test_the_readme_is_one_page():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 150
    assert max(map(len, lines)) <= 110


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    assert [target for target in find_links(page) if is_broken(page, target)] == []


def test_every_page_is_reached_from_the_readme():
    reached, new = set(), {ROOT / "README.md"}
    while new:
        reached |= new
        targets = {(page.parent / target.partition("#")[0]).resolve() for page in new for target in find_links(page)}
        new = targets & set(PAGES) - reached
    assert reached == set(PAGES)


def test_a_link_to_a_missing_file_or_heading_is_found():
    readme = ROOT / "README.md"
    assert is_broken(readme, "docs/missing.md") and is_broken(readme, "docs/speed.md#missing")
    assert not is_broken(readme, "docs/speed.md#precision") and not is_broken(readme, "#quick-start")


@pytest.mark.parametrize("command", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_accepts_the_command_of_a_page(command, monkeypatch):
    assert read_config(monkeypatch, *command) is not None


def test_every_program_is_in_a_command_of_a_page():
    programs = {f"apps.{path.stem}" for path in ROOT.glob("apps/*.py")} - {"apps.__init__"}
    assert programs == {command[0] for command in PROGRAMS.values()}


def test_a_command_with_an_unknown_flag_is_refused(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        read_config(monkeypatch, "apps.train_gan", "digits", "--epoch-count", "3")


@pytest.mark.parametrize(
    "module", sorted({command[0] for command in MODULES} - {"pip", *(c[0] for c in PROGRAMS.values())})
)
def test_a_module_that_a_page_runs_exists(module, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    spec = importlib.util.find_spec(module)
    if spec.submodule_search_locations:
        spec = importlib.util.find_spec(f"{module}.__main__")
    assert "__main__" in Path(spec.origin).read_text() or spec.name.endswith("__main__")


def test_files_that_commands_name_exist():
    words = {word for command in COMMANDS for word in command}
    files = {word for word in words if re.match(r"(deploy|tests|benchmarks)/", word)}
    assert "deploy/slurm.sh" in files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text()
    rules = set(re.findall(r"^([\w./-]+):", makefile, re.MULTILINE))
    texts = [shlex.join(command) for command in COMMANDS]
    texts += [span for page in PAGES for span in re.findall(r"`(make [^`]+)`", read_prose(page))]
    targets = {text.split()[1] for text in texts if text.startswith("make ")}
    assert {"demo", "test"} <= targets <= rules
