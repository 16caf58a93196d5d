import dataclasses
import json
import shlex
from pathlib import Path

import pytest
import yaml

from karpa_tf.configs.dcgan import TINY, DCGANConfig
from karpa_tf.configs.run import RunConfig
from karpa_tf.errors import UserError
from karpa_tf.system.files import require_writable
from karpa_tf.training.run import Run, describe_init, export_once, open_run, planned_folder, print_resume_command


@dataclasses.dataclass(frozen=True)
class Config(RunConfig):
    model: DCGANConfig = TINY


def test_a_run_folder_holds_its_config_and_its_metadata(tmp_path):
    run = open_run(Config(run=str(tmp_path / "a" / "run"), epochs=3), "app")
    config = yaml.safe_load(run.config_file.read_text())
    assert config["epochs"] == 3 and config["model"]["filters"] == [8, 8]
    assert not {"run", "resume", "dry_run", "verbose"} & set(config)
    run.update_metadata(device="1 x CPU")
    metadata = json.loads(run.metadata_file.read_text())
    assert metadata["app"] == "app" and metadata["device"] == "1 x CPU" and "keras" in metadata["versions"]


def test_the_default_folder_is_named_after_app_and_time():
    folder = planned_folder(Config(name="model"), "train_gan")
    assert folder.parts[:2] == ("runs", "train_gan") and folder.name.endswith("-model")


def test_a_restarted_cluster_finds_its_folder(monkeypatch):
    monkeypatch.setenv("KARPA_STARTED", "2026-01-02-030405")
    assert str(planned_folder(Config(name="model"), "train_gan")) == "runs/train_gan/2026-01-02-030405-model"


def test_the_same_run_can_be_opened_again(tmp_path):
    config = Config(run=str(tmp_path / "run"))
    (open_run(config, "app").checkpoints / "step-00000001").mkdir()
    again = open_run(dataclasses.replace(config, verbose=True), "app")
    assert [path.name for path in again.checkpoints.iterdir()] == ["step-00000001"]


def test_a_run_of_another_config_is_refused_with_the_differences(tmp_path):
    config = Config(run=str(tmp_path / "run"))
    open_run(config, "app")
    other = dataclasses.replace(config, epochs=9, model=dataclasses.replace(TINY, filters=(4, 8)))
    with pytest.raises(UserError, match=r"epochs was 1, now 9; model\.filters was \[8, 8\], now \[4, 8\]"):
        open_run(other, "app")


def test_a_run_that_is_not_to_be_resumed_is_moved_aside(tmp_path):
    config = Config(run=str(tmp_path / "run"), resume="never")
    for _ in range(3):
        run = open_run(config, "app")
        (run.samples / "grid.png").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.1", "run.2"]
    assert (tmp_path / "run.1" / "samples" / "grid.png").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UserError, match="not empty and holds no run"):
        open_run(Config(run=str(tmp_path)), "app")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_was_killed_before_it_had_a_config_starts_again(tmp_path):
    for name in (".lock", ".config.yaml.writing"):
        (tmp_path / name).touch()
    assert open_run(Config(run=str(tmp_path)), "app").read_config()["name"] == "model"


def test_what_a_killed_program_was_writing_or_removing_is_gone_after_the_next_start(tmp_path):
    run = open_run(Config(run=str(tmp_path)), "app")
    left = [
        run.path / ".writing-1234567_",
        run.checkpoints / ".writing-abcdefgh",
        run.checkpoints / ".retired-abcdefgh",
    ]
    for folder in left:
        (folder / "folder").mkdir(parents=True)
    open_run(Config(run=str(tmp_path)), "app")
    assert not any(folder.exists() for folder in left)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="--run"):
        open_run(Config(run=str(tmp_path / "file" / "run")), "app")
    with pytest.raises(UserError, match="--export-dir"):
        require_writable(tmp_path / "file" / "models", "--export-dir")
    require_writable(tmp_path / "not" / "yet" / "there", "--export-dir")
    assert not (tmp_path / "not").exists()


def test_the_printed_command_resumes_the_run(tmp_path, capsys):
    run = open_run(Config(run=str(tmp_path / "run")), "train_x")
    print_resume_command(run, "train_x", 0, 10)
    print_resume_command(run, "train_x", 73, 10)
    first, line, second, same = capsys.readouterr().out.splitlines()
    assert (first, second) == (f"Run folder {run.path}", f"Run folder {run.path}, resumed after epoch 7 and 3 steps")
    config_file = run.path / "config.yaml"
    assert line == same == f"To resume after a stop: python -m apps.train_x --config {config_file} --run {run.path}"


def test_a_run_is_exported_once_and_again_if_the_export_was_removed(tmp_path):
    run, made = open_run(Config(run=str(tmp_path / "run")), "train_x"), []

    def export():
        made.append(tmp_path / "models" / str(len(made) + 1))
        made[-1].mkdir(parents=True)
        return made[-1]

    assert export_once(run, export) == export_once(run, export) == str(made[0])
    assert run.metadata()["saved_model"] == str(made[0]) and len(made) == 1
    made[0].rmdir()
    assert export_once(run, export) == run.metadata()["saved_model"] == str(made[1])


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        Run(tmp_path).read_config()


DATA = {"splits": {"train": {"count": 36, "fingerprint": "a"}, "test": {"count": 9, "fingerprint": "b"}}}


def test_a_run_goes_on_with_the_same_data_elsewhere_and_says_where_it_is_now(tmp_path):
    config = Config(run=str(tmp_path / "run"), data="images")
    open_run(config, "app", data=DATA)
    for data in ("images/", "/moved/images"):
        run = open_run(dataclasses.replace(config, data=data), "app", data=DATA)
        assert run.read_config()["data"] == data


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": {"count": 24, "fingerprint": "c"}, "test": DATA["splits"]["test"]}, "train: count 36, now 24"),
        ({"train": {"count": 36, "fingerprint": "c"}, "test": DATA["splits"]["test"]}, "train: count 36, now 36"),
        ({"train": DATA["splits"]["train"]}, "test is missing now"),
        (DATA["splits"] | {"validation": {"count": 1, "fingerprint": "d"}}, "validation is new"),
    ],
)
def test_a_run_is_not_resumed_on_changed_data(tmp_path, changed, message):
    config = Config(run=str(tmp_path / "run"))
    run = open_run(config, "app", data=DATA)
    with pytest.raises(UserError, match=rf"other data or weights than the flags name now \(.*{message}"):
        open_run(config, "app", data={"splits": changed})
    assert run.metadata()["data"] == DATA


def test_a_run_that_was_killed_before_it_recorded_its_data_starts_with_any(tmp_path):
    config = Config(run=str(tmp_path / "run"))
    open_run(config, "app", data={"train": {"fingerprint": "a", "count": 1}}).metadata_file.unlink()
    data = {"train": {"fingerprint": "b", "count": 1}}
    assert open_run(config, "app", data=data).metadata()["data"] == data


def test_a_run_goes_on_with_moved_pretrained_weights_but_not_with_others(tmp_path):
    for name, values in (("old", {"id": "1"}), ("moved", {"id": "1"}), ("other", {"id": "2"})):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(values))
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    config = Config(run=str(tmp_path / "run"))
    open_run(config, "app", data=DATA | describe_init(tmp_path / "old"))
    open_run(config, "app", data=DATA | describe_init(tmp_path / "moved"))
    for init in (describe_init(tmp_path / "other"), describe_init(tmp_path / "old", tmp_path / "a"), {}):
        with pytest.raises(UserError, match="init (differs|is missing now)"):
            open_run(config, "app", data=DATA | init)
    assert describe_init("VGG16", tmp_path / "a") != describe_init("VGG16", tmp_path / "b") != describe_init("VGG16")


def test_runs_of_the_same_second_get_folders_of_their_own(monkeypatch):
    monkeypatch.setattr("karpa_tf.training.run.planned_folder", lambda config, app: Path("runs", app, "now-model"))
    names = [open_run(Config(), "app").path.name for _ in range(3)]
    assert names == ["now-model", "now-model-2", "now-model-3"]


def test_the_printed_command_is_quoted(tmp_path, capsys):
    run = open_run(Config(run=str(tmp_path / "my run (1)")), "train_x")
    print_resume_command(run, "train_x", 0, 10)
    words = shlex.split(capsys.readouterr().out.splitlines()[-1].partition(": ")[2])
    assert words == ["python", "-m", "apps.train_x", "--config", str(run.config_file), "--run", str(run.path)]
