"""Flags of a program: defaults < preset < --config FILE < flags. The only file that imports tyro."""

import contextlib
import dataclasses
import errno
import io
import os
import sys
from pathlib import Path

import tyro
import yaml

from karpa_tf.configs.run import flag
from karpa_tf.distribution import cluster
from karpa_tf.errors import STOPPED, Stopped, UserError, nearest
from karpa_tf.system import console as quiet
from karpa_tf.system import signals

MARKERS = (tyro.conf.OmitArgPrefixes,)


def parse(presets, doc, implied=None, args=None, words=None):
    """Returns the config that the command line asks for; hides TensorFlow's messages unless --verbose asks for them.

    The first word may name a preset; else the first of `presets` is taken, or the one that --data implies. A help
    screen ends the program with code 0.

    Args:
        presets: configs, frozen dataclasses of one class, by name, the default first; or one config for a program
            without presets.
        doc: the program's module doc, shown by --help.
        implied: preset to take for a --data that names no preset, where none is named.
        args: the command line without the program's name; None is `sys.argv`'s.
        words: name of the field, a tuple, for words that follow no flag.

    Raises:
        UserError: something unknown was named, or a value is of the wrong type or range.
    """
    rest = list(sys.argv[1:] if args is None else args)
    config = presets
    if isinstance(presets, dict):
        preset = _take_preset(presets, rest, implied)
        file = _take_value(rest, "--config")
        values = _read(Path(file)) if file else {}
        if file and preset is None:
            preset = _preset_of(presets, values)
        preset = preset or next(iter(presets))
        doc = f"{doc}\nPresets, to be named first: {', '.join(presets)}. Defaults below are those of {preset}."
        doc += "\n\nAdd --config FILE to take what a run's config.yaml says; flags win over it."
        config = presets[preset]
        if file:
            config = _from_values(config, values, file)
    else:
        presets = {}
    if words:
        rest = _gathered(rest, config, words)
    config = _from_flags(config, _long(rest), doc, presets)
    if not cluster.is_chief():
        sys.stdout = open(os.devnull, "w")  # the chief says it
    if not getattr(config, "verbose", True):  # a program without the flag need not use TensorFlow
        quiet.hide_tensorflow_messages()
    return config


@contextlib.contextmanager
def errors():
    """Turns what ends a program into one sentence and an exit code.

    A `UserError`, and a full disk, is 2; a signal `STOPPED`, Ctrl-C 130, a closed pipe 141.
    """
    try:
        with signals.raise_on_signals():
            yield
    except UserError as error:
        print(f"{cluster.mark()}error: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(f"{cluster.mark()}{stopped}", file=sys.stderr)
        sys.exit(STOPPED)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has had enough (`--help | head`); nor can Python flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        print(f"error: The disk is full: {error.strerror} ({error.filename or 'a file of the run'}).", file=sys.stderr)
        sys.exit(2)


def _take_preset(presets, rest, implied):
    if rest and not rest[0].startswith("-"):
        name = rest.pop(0)
        if name not in presets:
            raise UserError(f"There is no preset {name}; the presets are {', '.join(presets)}{nearest(name, presets)}")
        return name
    data = _take_value(list(rest), "--data")
    if data in presets:
        return data
    return implied if data and implied else None


def _take_value(rest, flag):
    """Removes `flag VALUE` or `flag=VALUE` from `rest` and returns the value, or None; the last one wins."""
    value = None
    while (i := next((i for i, word in enumerate(rest) if word.split("=")[0] == flag), None)) is not None:
        word = rest.pop(i)
        if "=" in word:
            value = word.split("=", 1)[1]
        elif i < len(rest):
            value = rest.pop(i)
        else:
            raise UserError(f"{flag} needs a value.")
    return value


def _long(words):
    """Spells -n as --n, which is how tyro knows a field of one letter."""
    return ["-" + word if len(word) == 2 and word[0] == "-" and word[1] in "no" else word for word in words]


def _gathered(rest, config, field):
    """Moves the words that follow no flag behind the flag of `field`; every other flag takes one word, or none."""
    alone = [flag(name) for name, value in dataclasses.asdict(config).items() if isinstance(value, bool)] + [
        "--help",
        "-h",
    ]
    flags, words, takes = [], [], None
    for word in rest:
        if word.startswith("-"):
            takes = None if word in alone or "=" in word else word
            if word != flag(field):
                flags.append(word)
        elif takes in (None, flag(field)):
            words.append(word)
        else:
            flags.append(word)
            takes = None
    return [*flags, flag(field), *words] if words else flags


def _read(file):
    try:
        values = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"--config {file} cannot be read: {error}.".replace("\n", " ")) from error
    if not isinstance(values, dict):
        raise UserError(f"--config {file} must hold names and values, as the config.yaml of a run does.")
    return values


def _preset_of(presets, values):
    """Returns the first preset whose network is of the family that a file names, or None where it names none."""
    families = {key: value["family"] for key, value in values.items() if isinstance(value, dict) and "family" in value}
    for name, config in presets.items():
        if families and all(getattr(getattr(config, key, None), "family", "") == families[key] for key in families):
            return name
    return None


def _from_values(config, values, file):
    try:
        _require_known(config, values)
        return _from_flags(config, _as_flags(values), "", {})
    except UserError as error:
        raise UserError(f"In --config {file}: {error}") from error


def _require_known(config, values, prefix=""):
    known = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for key, value in values.items():
        if key not in known:
            raise UserError(f"there is no {prefix}{key}{nearest(str(key), known)}")
        if dataclasses.is_dataclass(known[key]) != isinstance(value, dict):
            raise UserError(f"{prefix}{key} cannot be {value!r}.")
        if isinstance(value, dict):
            _require_known(known[key], value, f"{prefix}{key}.")


def _as_flags(values):
    """Returns the flags that say what a YAML mapping says, so that one parser checks the types of both."""
    flags = []
    for key, value in values.items():
        name = flag(str(key))
        if isinstance(value, dict):
            flags += _as_flags(value)
        elif isinstance(value, bool):
            flags.append(name if value else name.replace("--", "--no-", 1))
        elif isinstance(value, list):
            flags += [name, *map(str, value)]
        else:
            flags += [name, str(value)]
    return flags


def _from_flags(config, flags, doc, presets):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(
                type(config),
                default=config,
                args=flags,
                description=doc,
                prog=f"python -m {_program()}",
                config=MARKERS,
                return_unknown_args=True,
            )
    except SystemExit as exit:
        if exit.code == 0:
            raise
        raise UserError(f"{_first_paragraph(said.getvalue()).rstrip('.')}.") from None
    if unknown:
        raise UserError(_unknown(unknown[0].split("=")[0], config, presets))
    return parsed


def _unknown(word, config, presets):
    if word in presets:
        return f"The preset comes first: python -m {_program()} {word} ..."
    if not word.startswith("-"):
        return f"{word} belongs to no flag; see python -m {_program()} --help."
    return f"There is no flag {word}{nearest(word, _flags(config))}"


def _flags(config):
    names = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        names += _flags(value) if dataclasses.is_dataclass(value) else [flag(field.name)]
    return names


def _first_paragraph(box):
    """Returns what tyro says in the first part of its box, as one line."""
    lines = [line.strip("│╭╮╰╯ ") for line in box.splitlines()[1:]]
    end = next((i for i, line in enumerate(lines) if set(line) <= {"─"}), len(lines))
    return " ".join(lines[:end]).strip()


def _program():
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else Path(sys.argv[0]).stem
