"""Versions: discovery, loading, switching under load, refusal, unloading; labels and configs."""

import shutil
import struct
import threading

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from served_models import ask, digits, publish, serving, until
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from karpa_tf.errors import UserError
from karpa_tf.serving.errors import ServingError
from karpa_tf.serving.manager import Manager

PATH = "/v1/models/digits"
POLL = {"file_system_poll_wait_seconds": 0.02}


@pytest.fixture
def models(tmp_path):
    """A folder with version 1 of the model digits."""
    publish(digits(1), tmp_path / "models" / "digits", 1)
    return tmp_path / "models"


def states(server, name="digits"):
    """Returns the state of each version by its number."""
    answer = ask(server, f"/v1/models/{name}")[1]
    return {int(status["version"]): status["state"] for status in answer.get("model_version_status", ())}


def generate(server, version=None):
    """Returns the image that a version generates from seed 1, or None if there is no answer."""
    path = PATH if version is None else f"{PATH}/versions/{version}"
    code, answer = ask(server, f"{path}:predict", {"instances": [1]})
    return answer["predictions"] if code == 200 else None


def remove(folder):
    """Removes a version atomically."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}")))


def config(base, policy="", labels=()):
    """Returns a ModelServerConfig for the model digits in the folder `base`."""
    text = "".join(f"version_labels {{ key: '{label}' value: {number} }}" for label, number in labels)
    model = f"name: 'digits' base_path: '{base}' model_platform: 'tensorflow' {policy} {text}"
    return text_format.Parse(
        f"model_config_list {{ config {{ {model} }} }}", model_server_config_pb2.ModelServerConfig()
    )


def write_config(path, message):
    """Writes a config file atomically and returns its name."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_text(text_format.MessageToString(message))
    return str(hidden.rename(path))


def test_a_new_version_takes_over_under_load_without_a_failed_request(models):
    with serving(model_base_path=str(models), **POLL) as server:
        first, answers, stop = generate(server), [], threading.Event()

        def send():
            while not stop.is_set():
                answers.append(ask(server, f"{PATH}:predict", {"instances": [1]}))

        clients = [threading.Thread(target=send) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            until(lambda: len(answers) > 20)
            publish(digits(2), models / "digits", 2)
            until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})
            switched = len(answers)
            until(lambda: len(answers) > switched + 20)
        finally:
            stop.set()
            for client in clients:
                client.join()
        assert {code for code, _ in answers} == {200}
        second = generate(server)
        images = [answer["predictions"] for _, answer in answers]
        assert first != second
        assert images[0] == first
        assert images[-1] == second
        assert all(image in (first, second) for image in images)
        assert generate(server, 1) is None


def damage_graph(version):
    (version / "saved_model.pb").write_bytes(b"no SavedModel")


def damage_variables(version):
    shutil.rmtree(version / "variables")


def damage_values(version):
    file = next((version / "variables").glob("variables.data*"))
    file.write_bytes(file.read_bytes()[:100])


def damage_warm_up(version):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "digits"
    log.predict_log.request.inputs["other"].dtype = 1
    write_warm_up(version, [log.SerializeToString()])


def write_warm_up(version, records):
    folder = version / "assets.extra"
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as file:
        for record in records:
            file.write(record)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (damage_graph, "SavedModel"),
        (damage_variables, "variables/variables"),
        (damage_values, "Read less bytes than requested"),
        (damage_warm_up, "Warm-up request 1 of"),
    ],
)
def test_a_damaged_version_is_refused_once_and_served_after_its_repair(models, tmp_path, damage, words):
    broken = publish(digits(2), tmp_path / "elsewhere", 2)
    damage(broken)
    with serving(model_base_path=str(models), **POLL) as server:
        first = generate(server)
        publish(broken, models / "digits", 2)
        until(lambda: states(server).get(2) == "END")
        server.manager.poll()
        server.manager.poll()
        assert generate(server) == first
        assert states(server) == {2: "END", 1: "AVAILABLE"}
        status = ask(server, f"{PATH}/versions/2")[1]["model_version_status"][0]["status"]
        assert status["error_code"] != "OK"
        assert words in status["error_message"]
        assert len([line for line in server.lines if line.startswith("Refused digits version 2")]) == 1
        remove(models / "digits" / "2")
        publish(digits(2), models / "digits", 2)
        until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})


def test_a_removed_version_is_unloaded_and_can_come_back(models):
    with serving(model_base_path=str(models), **POLL) as server:
        until(lambda: states(server) == {1: "AVAILABLE"})
        remove(models / "digits" / "1")
        until(lambda: states(server) == {1: "END"})
        code, answer = ask(server, f"{PATH}:predict", {"instances": [1]})
        assert (code, answer) == (404, {"error": "Servable not found for request: Latest(digits)"})
        publish(digits(1), models / "digits", 1)
        until(lambda: states(server) == {1: "AVAILABLE"})


def test_nothing_is_unloaded_while_the_models_folder_cannot_be_read(models):
    with serving(model_base_path=str(models / "digits"), model_name="digits", **POLL) as server:
        (models / "digits").rename(models / "away")
        until(lambda: any("cannot be read" in line for line in server.lines))
        assert states(server) == {1: "AVAILABLE"}
        (models / "away").rename(models / "digits")
        publish(digits(2), models / "digits", 2)
        until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})


def test_new_models_are_found_and_removed_ones_are_unloaded(tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    with serving(model_base_path=str(folder), **POLL) as server:
        assert len([line for line in server.lines if "No model" in line]) == 1
        publish(digits(1), folder / "digits", 1)
        publish(digits(2), folder / "others", 7)
        until(lambda: states(server, "others") == {7: "AVAILABLE"})
        until(lambda: states(server) == {1: "AVAILABLE"})
        shutil.rmtree((folder / "others").rename(folder / ".others"))
        until(lambda: states(server, "others") == {7: "END"})
        assert server.manager.models() == ["digits"]


def test_folders_whose_names_are_not_numbers_are_no_versions(models):
    for name in ("x", "1.5", "-2", "+3", " 4", "5 ", "٦", ".7", "8_0", "0x9", str(2**63)):
        (models / "digits" / name).mkdir()
    (models / "digits" / "9").touch()
    with serving(model_base_path=str(models)) as server:
        assert states(server) == {1: "AVAILABLE"}
        assert not [line for line in server.lines if line.startswith("Refused")]


@pytest.mark.parametrize(
    "link",
    [
        lambda outside, folder: (folder / "2").symlink_to(outside),
        lambda outside, folder: relink(publish(outside, folder, 2) / "assets.extra", outside / "assets.extra"),
        lambda outside, folder: relink(publish(outside, folder, 2) / "saved_model.pb", outside / "saved_model.pb"),
    ],
    ids=["version", "assets.extra", "file"],
)
def test_links_out_of_the_models_folder_are_refused(models, tmp_path, link):
    outside = publish(digits(2), tmp_path / "outside", 2)
    link(outside, models / "digits")
    with serving(model_base_path=str(models / "digits"), model_name="digits") as server:
        assert states(server) == {2: "END"}
        message = ask(server, PATH)[1]["model_version_status"][0]["status"]["error_message"]
        assert "leads out of the model's folder" in message


def relink(path, target):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(target)


def test_a_link_to_a_model_is_served_only_within_the_folder(models, tmp_path):
    publish(digits(2), tmp_path / "outside", 2)
    (models / "others").symlink_to(tmp_path / "outside")
    (models / "same").symlink_to(models / "digits")
    with serving(model_base_path=str(models)) as server:
        assert server.manager.models() == ["digits", "same"]
        assert any("leads out of" in line for line in server.lines)


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", {5}),
        ("model_version_policy { latest { num_versions: 2 } }", {3, 5}),
        ("model_version_policy { all {} }", {1, 3, 5}),
        ("model_version_policy { specific { versions: 1 versions: 3 versions: 8 } }", {1, 3}),
    ],
)
def test_version_policies(models, policy, served):
    for number in (3, 5):
        publish(digits(2), models / "digits", number)
    manager = Manager(config(models / "digits", policy), poll_seconds=0, log=lambda line: None)
    manager.start()
    try:
        assert {status.version for status in manager.status("digits") if status.state == 30} == served
        with manager.use("digits") as servable:
            assert servable.version == max(served)
    finally:
        manager.stop()


def test_labels_name_available_versions_and_a_new_config_moves_them(models, tmp_path):
    publish(digits(2), models / "digits", 2)
    every = "model_version_policy { all {} }"
    base = models / "digits"
    with serving(model_config_file=write_config(tmp_path / "a", config(base, every)), **POLL) as server:
        server.manager.reload(config(base, every, {"stable": 1, "canary": 2}.items()))
        labeled = [ask(server, f"{PATH}/labels/{label}:predict", {"instances": [1]}) for label in ("stable", "canary")]
        assert [answer["predictions"] for _, answer in labeled] == [generate(server, 1), generate(server, 2)]
        assert server.manager.labels("digits") == {"stable": 1, "canary": 2}
        status = ask(server, f"{PATH}/labels/canary")[1]["model_version_status"]
        assert [found["version"] for found in status] == ["2"]
        with pytest.raises(ServingError, match="Request to assign label to version 3 of model digits") as error:
            server.manager.reload(config(base, every, {"stable": 3}.items()))
        assert error.value.code.name == "FAILED_PRECONDITION"
        assert server.manager.labels("digits") == {"stable": 1, "canary": 2}


def test_labels_of_the_first_config_need_the_flag(models, tmp_path):
    file = write_config(tmp_path / "config", config(models / "digits", labels={"stable": 1}.items()))
    flag = "--allow_version_labels_for_unavailable_models"
    with pytest.raises(UserError, match=flag), serving(model_config_file=file):
        pass
    with serving(model_config_file=file, allow_version_labels_for_unavailable_models=True) as server:
        assert ask(server, f"{PATH}/labels/stable:predict", {"instances": [1]})[0] == 200
        # A label in use does not move to a missing version, even with the flag.
        with pytest.raises(ServingError, match="not currently available"):
            server.manager.reload(config(models / "digits", labels={"stable": 2}.items()))
        server.manager.reload(config(models / "digits", labels={"new": 2}.items()))
        code, answer = ask(server, f"{PATH}/labels/new:predict", {"instances": [1]})
        assert (code, answer["error"]) == (404, "Servable not found for request: Specific(digits, 2)")


def test_the_config_file_is_read_again(models, tmp_path):
    file = tmp_path / "config"
    write_config(file, config(models / "digits"))
    poll = POLL | {"model_config_file_poll_wait_seconds": 0.02}
    with serving(model_config_file=str(file), **poll) as server:
        file.write_text("nonsense")
        until(lambda: any("The config file was not taken" in line for line in server.lines))
        assert states(server) == {1: "AVAILABLE"}
        publish(digits(2), models / "others", 4)
        both = config(models / "digits")
        both.model_config_list.config.add(name="b", base_path=str(models / "others"), model_platform="tensorflow")
        write_config(file, both)
        until(lambda: states(server, "b") == {4: "AVAILABLE"})
        del both.model_config_list.config[0]
        write_config(file, both)
        until(lambda: states(server) == {1: "END"})
        assert server.manager.models() == ["b"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda models: models.add().CopyFrom(models[0]), "Illegal to list model digits multiple times in config list"),
        (
            lambda models: setattr(models[0], "base_path", "models"),
            "have an absolute path or URI; got base_path()=models",
        ),
        (
            lambda models: setattr(models[0], "model_platform", ""),
            "Illegal setting neither ModelServerConfig::",
        ),
        (lambda models: setattr(models[0], "model_platform", "x"), "Model digits requests unsupported platform x"),
        (
            lambda models: models.add(name="b", base_path="/none", model_platform="tensorflow"),
            "not become available: {b}",
        ),
    ],
)
def test_an_invalid_config_is_refused_with_tf_servings_message(models, change, words):
    with serving(model_base_path=str(models)) as server:
        wrong = config(models / "digits")
        change(wrong.model_config_list.config)
        with pytest.raises(ServingError) as error:
            server.manager.reload(wrong)
        assert words in error.value.message
        assert states(server) == {1: "AVAILABLE"}


def test_a_version_in_use_is_unloaded_after_its_last_request(models):
    with serving(model_base_path=str(models), file_system_poll_wait_seconds=0) as server:
        with server.manager.use("digits") as servable:
            publish(digits(2), models / "digits", 2)
            server.manager.poll()
            assert states(server) == {2: "AVAILABLE", 1: "UNLOADING"}
            assert "images" in servable.run("", {"seed": np.array([1])})
            with server.manager.use("digits") as newer:
                assert newer.version == 2
        assert states(server) == {2: "AVAILABLE", 1: "END"}


def test_up_to_a_thousand_warm_up_requests_are_replayed(models):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "any"
    log.predict_log.request.inputs["seed"].dtype = 9
    log.predict_log.request.inputs["seed"].tensor_shape.dim.add(size=1)
    log.predict_log.request.inputs["seed"].int64_val.append(1)
    record = log.SerializeToString()
    write_warm_up(models / "digits" / "1", [record, b"", record])
    with serving(model_base_path=str(models), file_system_poll_wait_seconds=0) as server:
        assert any("3 warm-up requests" in line for line in server.lines)
        for number, records, words in (
            (2, [b""] * 1001, "Number of warmup records exceeds the maximum (1000)"),
            (3, [b"\xff"], "Failed to parse warmup record"),
        ):
            write_warm_up(publish(digits(2), models / ".made", number), records)
            publish(models / ".made" / str(number), models / "digits", number)
            server.manager.poll()
            assert words in ask(server, PATH)[1]["model_version_status"][0]["status"]["error_message"]
        torn = publish(digits(2), models / ".made", 4)
        write_warm_up(torn, [record])
        file = torn / "assets.extra" / "tf_serving_warmup_requests"
        file.write_bytes(struct.pack("<Q", 5) + file.read_bytes()[8:])
        publish(torn, models / "digits", 4)
        server.manager.poll()
        assert "TFRecord format" in ask(server, PATH)[1]["model_version_status"][0]["status"]["error_message"]
        assert states(server)[1] == "AVAILABLE"
