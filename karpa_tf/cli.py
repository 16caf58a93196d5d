"""Command lines: defaults < preset < `--config FILE` < flags. The only file that imports tyro."""

import argparse
import contextlib
import dataclasses
import errno
import os
import sys
from pathlib import Path

import tyro
import yaml

from karpa_tf.configs.run import adapt_name, flag
from karpa_tf.distribution import cluster
from karpa_tf.errors import STOPPED, Stopped, UserError, nearest
from karpa_tf.system import console, signals

Positional = tyro.conf.Positional
"""`Positional[T]` is the type of a config's field that is given without its flag."""

Short = tyro.conf.arg
"""`Annotated[T, Short(aliases=("-n",))]` is the type of a field that `-n` sets too."""

MARKERS = (tyro.conf.OmitArgPrefixes,)


def parse(presets, doc, implied=None, args=None):
    """Returns the config for a command line; TensorFlow's log messages are hidden unless --verbose is given.

    The first word may name a preset. Otherwise it is the first preset of the family in --config, that which --data
    names, `implied` if --data names none, or the first preset. A help screen ends the program with exit code 0, and a
    wrong flag with exit code 2.

    Args:
        presets: dict of configs, frozen dataclasses, the default first; or one config for a program without presets.
        doc: docstring of the program, shown by --help.
        implied: name of the preset for other --data.
        args: the command line without the program's name; None is that of the process.

    Raises:
        UserError: a value is out of range, or --config cannot be used.
    """
    args = list(sys.argv[1:] if args is None else args)
    if isinstance(presets, dict):
        config = _parse_preset(presets, doc, implied, args)
    else:
        config = _parse_flags(presets, args, doc)
    if not cluster.is_chief():
        console.mute()
    # A program without this flag, or that asks a server, may not need TensorFlow.
    if not getattr(config, "verbose", True) and not getattr(config, "server", None):
        console.hide_tensorflow_messages()
    return config


@contextlib.contextmanager
def handle_errors():
    """Ends the program with a message and an exit code instead of a traceback, where the user can do something.

    `UserError` and a full disk: 2; `Stopped`: `STOPPED`; Ctrl-C: 130; closed pipe: 141.
    """
    console.repair_streams()
    try:
        with signals.raise_on_signals():
            yield
    except UserError as error:
        print(f"{cluster.prefix()}error: {error}", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(f"{cluster.prefix()}{stopped}", file=sys.stderr)
        sys.exit(STOPPED)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Python would fail to flush standard output at exit, after `--help | head` for example.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        print(f"error: The disk is full: {error.strerror} ({error.filename or 'a file of the run'}).", file=sys.stderr)
        sys.exit(2)


def _parse_preset(presets, doc, implied, args):
    early = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    early.add_argument("--config")
    early.add_argument("--data")
    early.add_argument("--name")
    try:
        known, rest = early.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise UserError(f"{error.argument_name} needs a value.") from None
    values = _read_file(known.config) if known.config else {}
    if not rest or rest[0].startswith("-"):
        by_data = known.data if known.data in presets else implied if known.data else None
        rest.insert(0, _find_family(presets, values) or by_data or next(iter(presets)))
    for field in ("data", "name"):
        if getattr(known, field) is not None:
            rest += [f"--{field}", getattr(known, field)]
    name = rest.pop(0)
    if name not in presets:
        raise UserError(f"There is no preset {name}; the presets are {', '.join(presets)}{nearest(name, presets)}")
    config = _update(presets[name], values, known.config) if values else presets[name]
    doc += f"\nPresets, given first: {', '.join(presets)}. Defaults below are those of {name}.\n\n"
    doc += "With --config FILE, values of a run's config.yaml replace these defaults; flags take precedence."
    config, preset = _parse_flags(config, rest, doc), presets[name]
    if known.name is None and "name" not in values and config.data != preset.data:
        config = dataclasses.replace(config, name=adapt_name(preset.name, preset.data, config.data))
    return config


def _parse_flags(config, args, doc):
    prog = f"python -m {_program()}"
    args = [_expand_home(word, previous) for previous, word in zip(["", *args], args, strict=False)]
    return tyro.cli(type(config), default=config, args=args, description=doc, prog=prog, config=MARKERS)


def _expand_home(word, previous):
    """Returns a word of a command line with `~` expanded in a flag's value, which a shell does not do in --flag=~/x."""
    name, equals, value = word.partition("=")
    if word.startswith("--") and equals:
        return name + equals + (os.path.expanduser(value) if value == "~" or value.startswith("~/") else value)
    if previous.startswith("--") and (word == "~" or word.startswith("~/")):
        return os.path.expanduser(word)
    return word


def _program():
    spec = sys.modules["__main__"].__spec__
    return spec.name if spec else Path(sys.argv[0]).stem


def _read_file(file):
    try:
        values = yaml.safe_load(Path(file).read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"--config {file} cannot be read: {error}.".replace("\n", " ")) from error
    if not isinstance(values, dict):
        raise UserError(f"--config {file} must hold names and values, as the config.yaml of a run does.")
    return values


def _find_family(presets, values):
    """Returns the first preset whose model is of the family that a config file names, or None if it names none."""
    families = {key: value["family"] for key, value in values.items() if isinstance(value, dict) and "family" in value}
    for name, config in presets.items():
        if families and all(getattr(getattr(config, key, None), "family", "") == families[key] for key in families):
            return name
    return None


def _update(config, values, file):
    """Returns a config with the values of a file; they are parsed as flags, which checks their types."""
    try:
        _require_fields(config, values)
        return _parse_flags(config, _to_flags(values), "")
    except UserError as error:
        raise UserError(f"In --config {file}: {error}") from error
    except SystemExit:
        raise UserError(f"The value above is from --config {file}.") from None


def _require_fields(config, values, prefix=""):
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for key, value in values.items():
        if key not in fields:
            raise UserError(
                f"there is no {prefix}{key}{nearest(str(key), fields)} Was it written by another version of karpa_tf?"
            )
        if dataclasses.is_dataclass(fields[key]) != isinstance(value, dict):
            raise UserError(f"{prefix}{key} cannot be {value!r}.")
        if isinstance(value, dict):
            _require_fields(fields[key], value, f"{prefix}{key}.")


def _to_flags(values):
    """Returns the flags for a mapping read from YAML."""
    flags = []
    for key, value in values.items():
        name = flag(str(key))
        if isinstance(value, dict):
            flags += _to_flags(value)
        elif isinstance(value, bool):
            flags.append(name if value else name.replace("--", "--no-", 1))
        elif isinstance(value, list):
            flags += [name, *map(str, value)]
        else:
            flags += [name, str(value)]
    return flags
