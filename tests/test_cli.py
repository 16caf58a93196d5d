import dataclasses
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import pytest

from karpa_tf import cli
from karpa_tf.configs.classifier_presets import PRESETS as CLASSIFIERS
from karpa_tf.configs.dcgan import TINY, DCGANConfig
from karpa_tf.configs.evaluation import report_name
from karpa_tf.configs.run import RunConfig
from karpa_tf.errors import UserError

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    model: DCGANConfig = TINY


PRESETS = {
    "digits": Config(epochs=5),
    "mnist": Config(epochs=20, data="mnist", deterministic=True),
    "images": Config(epochs=50, data="images"),
}


def parse(*words, presets=PRESETS):
    return cli.parse(presets, "What it does.", implied="images", args=list(words))


@pytest.mark.parametrize(
    ("words", "epochs"),
    [
        ([], 5),
        (["mnist"], 20),
        (["--seed", "3"], 5),
        (["--data", "mnist"], 20),  # a data set that has a preset
        (["--data=mnist"], 20),
        (["--data", "~/holidays"], 50),  # any other data: the preset for images
        (["digits", "--data", "~/holidays"], 5),
        (["mnist", "--epochs", "7"], 7),
    ],
)
def test_the_preset_is_the_one_named_or_implied(words, epochs):
    assert parse(*words).epochs == epochs


def test_flags_win_over_the_file_and_the_file_over_the_preset(tmp_path):
    (tmp_path / "config.yaml").write_text(
        "epochs: 30\nbatch_size: 8\nrun: null\ndeterministic: false\nmodel:\n  filters: [4, 2]\n  init_stddev: 0.5\n"
    )
    config = parse("mnist", "--config", str(tmp_path / "config.yaml"), "--batch-size", "16", "--filters", "9")
    assert (config.epochs, config.batch_size, config.data) == (30, 16, "mnist")
    assert config.deterministic is False
    assert config.model == dataclasses.replace(TINY, filters=(9,), init_stddev=0.5)


def test_a_written_config_can_be_read_again(tmp_path):
    from karpa_tf.training.run import config_text

    config = parse("mnist", "--epochs", "3", "--filters", "4", "5", "6", "--no-deterministic", "--data-dir", "a b")
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert parse("--config", str(tmp_path / "config.yaml")) == config


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mnits"], "no preset mnits.*did you mean mnist"),
        (["--batch-size", "0"], "--batch-size must be above 0; received 0"),
        (["--batch-size", "-8"], "--batch-size must be above 0; received -8"),
        (["--learning-rate", "-0.1"], "--learning-rate must be above 0; received -0.1"),
        (["--learning-rate", "nan"], "--learning-rate must be above 0; received nan"),
        (["--epochs", "0"], "--epochs must be above 0"),
        (["--seed", "-1"], "--seed must be from 0"),
        (["--name", "../x"], "--name must be a plain folder name"),
        (["--filters"], "--filters needs one or more"),
        (["--config"], "--config needs a value"),
        (["--config", "missing.yaml"], "--config missing.yaml cannot be read"),
    ],
)
def test_a_wrong_value_is_answered_in_one_sentence(words, message):
    with pytest.raises(UserError, match=message) as caught:
        parse(*words)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epcohs", "3"], "--epcohs.*--epochs"),
        (["--latent-dmi=3"], "--latent-dmi.*--latent-dim"),
        (["--epochs", "many"], "--epochs.*'many'"),
        (["--epochs"], "--epochs"),
        (["--epochs", "1.5"], "--epochs.*'1.5'"),
        (["--strategy", "magic"], "magic.*--strategy.*mirrored"),
        (["--epochs", "3", "mnist"], "mnist"),
        (["digits", "more"], "more"),
    ],
)
def test_a_wrong_flag_ends_with_code_2_and_is_named(words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epocs: 3", "no epocs; did you mean epochs"),
        ("model:\n  filtres: [3]", "no model.filtres; did you mean filters"),
        ("epochs: many", "The value above is from --config"),
        ("epochs: 0", "--epochs must be above 0"),
        ("model: 3", "model cannot be 3"),
        ("epochs: {a: 1}", "epochs cannot be"),
        ("- epochs", "must hold names and values"),
        ("a: [", "cannot be read"),
    ],
)
def test_the_values_of_a_config_file_are_checked_too(tmp_path, text, message):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        parse("--config", str(tmp_path / "c.yaml"))
    assert "c.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_a_config_of_an_older_version_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "config.yaml").write_text("epochs: 3\nvalidation_share: 0.1\n")
    with pytest.raises(UserError, match="there is no validation_share.*written by another version"):
        parse("--config", str(tmp_path / "config.yaml"))


def test_a_flag_can_have_a_short_form():
    @dataclasses.dataclass(frozen=True)
    class Small:
        n: Annotated[int, cli.Short(aliases=("-n",))] = 64
        out: str = "grid.png"

    assert parse("-n", "3", presets=Small()) == parse("--n", "3", presets=Small()) == Small(n=3)


def test_a_user_error_ends_with_code_2_and_one_line(capsys):
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        raise UserError("Too small.")
    assert caught.value.code == 2 and capsys.readouterr().err == "error: Too small.\n"


def test_interrupting_ends_with_code_130(capsys):
    with pytest.raises(SystemExit) as caught, cli.handle_errors():
        raise KeyboardInterrupt
    assert caught.value.code == 130 and "Traceback" not in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), cli.handle_errors():
        raise ZeroDivisionError


@pytest.mark.parametrize("app", sorted(file.stem for file in ROOT.glob("apps/*.py") if file.stem != "__init__"))
def test_help_answers_in_two_seconds_and_imports_nothing_heavy(app):
    program = (
        "import runpy, sys\n"
        f"sys.argv = ['{app}', '--help']\n"
        f"try: runpy.run_module('apps.{app}', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'PIL', 'matplotlib', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert f"usage: python -m apps.{app} " in result.stdout and "--help" in result.stdout
    assert time.perf_counter() - start < 2


def test_closed_standard_output_is_no_error():
    program = f"{sys.executable} -m apps.train_gan --help | head -n 1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert result.stdout.startswith("usage:") and result.stderr == ""


def test_only_programs_that_write_a_config_take_one(capsys):
    for presets, offered in ((PRESETS, True), (Config(), False)):
        with pytest.raises(SystemExit):
            parse("--help", presets=presets)
        assert ("--config FILE" in capsys.readouterr().out) == offered


@dataclasses.dataclass(frozen=True)
class Shape:
    family: Literal["round", "square"] = "round"
    size: int = 1


@dataclasses.dataclass(frozen=True)
class Shaped(RunConfig):
    model: Shape = Shape()


def test_a_config_file_selects_the_preset_of_its_family(tmp_path):
    presets = {"ball": Shaped(epochs=5), "box": Shaped(epochs=7, model=Shape("square"))}
    file = tmp_path / "config.yaml"
    file.write_text("model:\n  family: square\n  size: 3\n")
    assert parse("--config", str(file), presets=presets) == Shaped(epochs=7, model=Shape("square", 3))
    file.write_text("epochs: 3\n")
    assert parse("--config", str(file), presets=presets) == Shaped(epochs=3)


@dataclasses.dataclass(frozen=True)
class Tool:
    files: cli.Positional[tuple[str, ...]] = ()
    run: str | None = None
    loud: bool = False


@pytest.mark.parametrize(
    "words", [("a", "b", "--run", "r", "--loud"), ("--run", "r", "--loud", "a", "b"), ("--loud", "a", "b", "--run=r")]
)
def test_positional_arguments_stand_before_or_after_flags(words):
    assert cli.parse(Tool(), "", args=list(words)) == Tool(("a", "b"), "r", True)


def test_a_program_without_positional_arguments_refuses_them(capsys):
    with pytest.raises(SystemExit) as caught:
        cli.parse(PRESETS["digits"], "", args=["word"])
    assert caught.value.code == 2 and "word" in capsys.readouterr().err


def test_a_config_file_selects_the_preset_before_the_data(tmp_path):
    family = CLASSIFIERS["digits"].model.family
    assert family != CLASSIFIERS["images"].model.family
    (tmp_path / "config.yaml").write_text(f"epochs: 30\nmodel:\n  family: {family}\n")
    config = parse("--config", str(tmp_path / "config.yaml"), "--data", "moved", presets=CLASSIFIERS)
    assert (config.model.family, config.epochs, config.data) == (family, 30, "moved")


@pytest.mark.parametrize("words", [["--data=~/images"], ["--data", "~/images"], ["--export-dir=~/images"]])
def test_a_tilde_in_the_value_of_a_flag_is_the_home_folder(words, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    config = parse(*words)
    assert "/home/ada/images" in (config.data, config.export_dir)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_program_runs_with_closed_streams_and_keeps_its_files_apart_from_what_it_prints(closed):
    program = (
        "from karpa_tf import cli\nwith cli.handle_errors():\n"
        "    file = open('file', 'w')\n    print('to stdout', flush=True)\n    file.write('content')"
    )
    command = f'PYTHONPATH="{ROOT}" "{sys.executable}" -c "{program}" {closed}'
    assert subprocess.run(command, shell=True, timeout=60).returncode == 0
    assert Path("file").read_text() == "content"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_what_a_stream_cannot_encode_is_printed_as_escapes(encoding):
    program = (
        "from karpa_tf import cli\nwith cli.handle_errors():\n"
        "    print(b'caf\\xe9'.decode('utf-8', 'surrogateescape'), '\u732b')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0
    assert done.stdout == b"caf\\udce9 " + ("猫".encode() if encoding == "utf-8" else b"\\u732b") + b"\n"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("", "resnet_images"),
        ("--data images", "resnet_images"),
        ("--data ~/flowers/", "resnet_flowers"),
        ("--data reviews.csv", "resnet_reviews"),
        ("--data 'corpus v1.2/*.txt'", "resnet_corpus_v1_2"),
        ("--data a/.hidden", "resnet_hidden"),
        ("--data a/b\udce4r", "resnet_b_r"),
        ("--data / --epochs 2", "resnet_data"),
        ("--data flowers --name resnet_images", "resnet_images"),
        ("paper --data flowers", "resnet_flowers_paper"),
        ("small --data=flowers", "small_flowers"),
    ],
)
def test_the_default_name_is_made_of_the_preset_and_the_data(words, name):
    presets = {
        "images": RunConfig(name="resnet_images", data="images"),
        "paper": RunConfig(name="resnet_images_paper", data="images"),
        "small": RunConfig(name="small", data="images"),
    }
    assert cli.parse(presets, "", args=shlex.split(words)).name == name


def test_the_name_in_a_config_file_stays(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("name: mine\ndata: flowers\n")
    presets = {"images": RunConfig(name="resnet_images", data="images")}
    assert cli.parse(presets, "", args=["--config", str(file), "--data", "elsewhere"]).name == "mine"


def test_the_folder_of_a_report_on_other_data_is_never_that_of_the_run():
    names = [report_name(data) for data in (".", "..", "a/b/", "x/*.txt", "validation", "held_out", "/")]
    assert names == [Path.cwd().name, Path.cwd().parent.name, "b", "_.txt", "data_validation", "data_held_out", "data_"]
