"""Versions on disk: loaded, exchanged under load, refused, unloaded, warmed up."""

import shutil
import threading

import numpy as np
import pytest
import tensorflow as tf
from served_models import ask, digits, publish, save_line, serving, until
from tensorflow_serving.apis import prediction_log_pb2

from karpa_tf.errors import UserError

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


def generate(server):
    """Returns the image that the newest version generates from seed 1."""
    return ask(server, f"{PATH}:predict", {"instances": [1]})[1]["predictions"]


def remove(folder):
    """Removes a version atomically."""
    shutil.rmtree(folder.rename(folder.with_name(f".{folder.name}")))


def test_no_request_is_lost_while_versions_are_exchanged(tmp_path):
    folder = tmp_path / "line"
    for number in range(1, 6):
        save_line(tmp_path / str(number), number)
    publish(tmp_path / "1", folder, 1)
    with serving(model_base_path=str(folder), **POLL) as server:
        answers, stop = [], threading.Event()

        def send():
            while not stop.is_set():
                answers.append(ask(server, "/v1/models/line:predict", {"inputs": [0]}))

        clients = [threading.Thread(target=send) for _ in range(4)]
        for client in clients:
            client.start()
        try:
            for number in range(2, 6):
                publish(tmp_path / str(number), folder, number)
                until(lambda number=number: states(server, "line").get(number - 1) == "END")
                sent = len(answers)
                until(lambda sent=sent: len(answers) > sent + 20)
        finally:
            stop.set()
            for client in clients:
                client.join()
    assert {code for code, _ in answers} == {200}
    values = [answer["outputs"][0] for _, answer in answers]
    assert values[0] == 1 and values[-1] == 5 and set(values) == {1, 2, 3, 4, 5}


def write_warm_up(version, records):
    folder = version / "assets.extra"
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as file:
        for record in records:
            file.write(record)


def warm_up_request(name, value):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


DAMAGES = {
    "SavedModel": lambda version: (version / "saved_model.pb").write_bytes(b"no SavedModel"),
    "variables/variables": lambda version: shutil.rmtree(version / "variables"),
    "Warm-up request 1 of": lambda version: write_warm_up(version, [warm_up_request("other", [1.0])]),
    "Error parsing message": lambda version: write_warm_up(version, [b"\xff"]),
}


@pytest.mark.parametrize("words", DAMAGES)
def test_a_damaged_version_is_refused_once_and_served_after_its_repair(models, tmp_path, words):
    broken = publish(digits(2), tmp_path / "elsewhere", 2)
    DAMAGES[words](broken)
    with serving(model_base_path=str(models), **POLL) as server:
        first = generate(server)
        publish(broken, models / "digits", 2)
        until(lambda: states(server).get(2) == "END")
        server.manager.poll()
        server.manager.poll()
        assert generate(server) == first
        assert states(server) == {2: "END", 1: "AVAILABLE"}
        status = ask(server, f"{PATH}/versions/2")[1]["model_version_status"][0]["status"]
        assert status["error_code"] != "OK" and words in status["error_message"]
        assert len([line for line in server.lines if line.startswith("Refused digits version 2")]) == 1
        remove(models / "digits" / "2")
        publish(digits(2), models / "digits", 2)
        until(lambda: states(server) == {2: "AVAILABLE", 1: "END"})


def test_models_and_versions_come_and_go_with_their_folders(models):
    with serving(model_base_path=str(models), **POLL) as server:
        publish(digits(2), models / "others", 7)
        until(lambda: states(server, "others") == {7: "AVAILABLE"})
        remove(models / "others")
        until(lambda: states(server, "others") == {7: "END"})
        assert server.manager.names() == ["digits"] and states(server) == {1: "AVAILABLE"}
        remove(models / "digits" / "1")
        until(lambda: states(server) == {1: "END"})
        assert ask(server, f"{PATH}:predict", {"instances": [1]})[0] == 404
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


def test_folders_whose_names_are_not_numbers_are_no_versions(models):
    for name in ("x", "1.5", "-2", "+3", " 4", "5 ", "٦", ".7", "8_0", "0x9", str(2**63)):
        (models / "digits" / name).mkdir()
    (models / "digits" / "9").touch()
    with serving(model_base_path=str(models)) as server:
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


def test_the_warm_up_requests_are_replayed(tmp_path):
    save_line(tmp_path / "line" / "1", 1)
    write_warm_up(tmp_path / "line" / "1", [warm_up_request("x", np.float32([[1]]))] * 3)
    with serving(model_base_path=str(tmp_path)) as server:
        assert "with 3 warm-up requests" in server.lines[0]


def test_the_config_file_names_the_models(models, tmp_path):
    save_line(tmp_path / "line" / "3", 1)
    file = tmp_path / "models.config"
    entry = "config {{ name: '{}' base_path: '{}' model_platform: 'tensorflow' {} }}"
    policy = "model_version_policy { all {} }"
    entries = entry.format("a", models / "digits", "") + entry.format("b", tmp_path / "line", policy)
    file.write_text(f"model_config_list {{ {entries} }}")
    with serving(model_config_file=str(file)) as server:
        assert states(server, "a") == {1: "AVAILABLE"}
        assert ask(server, "/v1/models/b:predict", {"inputs": [0]}) == (200, {"outputs": [1.0]})
        assert any("policies and labels have no effect" in line for line in server.lines)
    for text in ("nonsense", "", "model_config_list { config { name: 'a' } }"):
        file.write_text(text)
        with pytest.raises(UserError, match=str(file)):
            serving(model_config_file=str(file)).__enter__()
