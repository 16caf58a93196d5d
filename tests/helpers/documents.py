"""README.md and the pages in docs/: their prose, and the commands that they show."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/*.md")),
    ROOT / "deploy/README.md",
    ROOT / "saved_models/README.md",
]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_prose(page):
    """Returns the text of a page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def find_lines(page):
    """Returns the commands of a page as they stand there: lines of its blocks of shell, and programs in the text."""
    blocks = "".join(code for language, code in FENCE.findall(page.read_text()) if language == "sh")
    lines = [re.sub(r"\s+# .*", "", line) for line in blocks.replace("\\\n", " ").splitlines()]
    return [line for line in lines + re.findall(r"`(python -m [^`]+)`", read_prose(page)) if line.strip()]


def find_commands(page):
    """Returns the commands of a page as lists of words."""
    commands = [shlex.split(line) for line in find_lines(page)]
    for command in list(commands):
        if "--" in command:  # a program that starts another one
            commands.append(command[command.index("--") + 1 :])
    return commands
