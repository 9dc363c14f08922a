"""The supervisor and the model's name, with small children in place of engine and gateway."""

import json
import os
import signal
import sys
import threading
import time

import pytest

from bot import processes
from bot.processes import Child, SetupError, Supervisor, model_path, train
from bot.settings import Settings

PRINT = "import json, os; print(json.dumps(dict(os.environ)), flush=True)"
STAY = "import time; time.sleep(60)"


@pytest.fixture
def config(deployment):
    return Settings(home=deployment, port=1, engine_port=2, actions_port=3, desk_port=4)


def child(tmp_path, code, name="child", **environment):
    return Child(name, [sys.executable, "-c", code], environment, tmp_path / f"{name}.log")


def until(condition, patience=10.0):
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A project of two inputs."""
    monkeypatch.setattr(processes, "ROOT", tmp_path)
    monkeypatch.setattr(processes, "MODEL_INPUTS", ("config.yml", "nlu_data"))
    (tmp_path / "nlu_data").mkdir()
    (tmp_path / "config.yml").write_text("a")
    (tmp_path / "nlu_data" / "x.yml").write_text("b")
    return tmp_path


def test_a_model_belongs_to_its_sources(inputs):
    config = Settings(model="models")
    first = model_path(config)
    assert (first.parent, first.name[-7:]) == (inputs / "models", ".tar.gz")
    (inputs / "nlu_data" / "notes.md").write_text("no input")
    assert model_path(config) == first
    (inputs / "nlu_data" / "x.yml").write_text("c")
    changed = model_path(config)
    assert changed != first
    (inputs / "nlu_data" / "x.yml").rename(inputs / "nlu_data" / "y.yml")
    assert model_path(config) not in (first, changed)


def test_a_named_model_file_is_used_as_it_is(tmp_path):
    path = tmp_path / "own.tar.gz"
    path.touch()
    assert train(Settings(model=path)) == path


def test_training_without_the_engines_environment_says_what_to_do(inputs, config, monkeypatch):
    monkeypatch.setattr(processes, "ENGINE_BIN", inputs / "nowhere")
    with pytest.raises(SetupError, match="make setup"):
        train(config)


def test_a_training_that_fails_shows_the_end_of_its_log(inputs, config, monkeypatch):
    (inputs / "rasa").write_text("#!/bin/sh\necho wrong facet in 09_elevator.yml\nexit 1\n")
    (inputs / "rasa").chmod(0o755)
    monkeypatch.setattr(processes, "ENGINE_BIN", inputs)
    with pytest.raises(SetupError, match=r"wrong facet in 09_elevator\.yml"):
        train(config)


def test_children_get_the_settings_of_the_supervisor(config, tmp_path):
    supervisor = Supervisor(config, tmp_path / "model.tar.gz")
    environment = supervisor.gateway.environment
    assert environment == supervisor.desk.environment
    # The engine understands; it needs neither the data key nor anybody's password.
    told = {name for name in supervisor.engine.environment if name.startswith("HOTLINE_")}
    assert told == {"HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_URL"}
    assert all(environment[name] == supervisor.engine.environment[name] for name in told)
    assert supervisor.children == [supervisor.gateway, supervisor.desk, supervisor.engine]
    assert (environment["HOTLINE_PORT"], environment["HOTLINE_HOME"]) == ("1", str(config.home))
    assert (
        environment["HOTLINE_ACTIONS_URL"]
        == f"http://127.0.0.1:3/webhook/{environment['HOTLINE_ACTIONS_TOKEN']}"
    )
    assert len({environment["HOTLINE_ACTIONS_TOKEN"], environment["HOTLINE_ENGINE_TOKEN"], ""}) == 3
    assert environment["RASA_TELEMETRY_ENABLED"] == "false"
    assert supervisor.engine.command[supervisor.engine.command.index("--interface") + 1] == "127.0.0.1"
    other = Supervisor(config, tmp_path / "model.tar.gz")
    assert other.gateway.environment["HOTLINE_ENGINE_TOKEN"] != environment["HOTLINE_ENGINE_TOKEN"]


def test_a_childs_settings_are_the_same_when_it_reads_them(config, tmp_path, monkeypatch):
    for name, value in Supervisor(config, tmp_path / "m").gateway.environment.items():
        if name.startswith("HOTLINE_"):
            monkeypatch.setenv(name, value)
    assert Settings() == config


def test_a_child_writes_to_its_log_and_stops(tmp_path):
    one = child(tmp_path, f"{PRINT}; {STAY}", NAME="x")
    one.start()
    until(lambda: one.log.read_text().endswith("}\n"))
    assert json.loads(one.log.read_text())["NAME"] == "x"
    assert one.alive()
    one.stop()
    assert not one.alive()
    one.stop()  # Nothing happens to what has ended.


def test_a_child_that_does_not_listen_is_ended(tmp_path):
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    one = child(tmp_path, deaf)
    one.start()
    until(lambda: one.log.read_text() == "1\n")
    one.stop(patience=0.2)
    assert not one.alive()


def test_what_dies_is_started_again_until_it_is_stopped(config, tmp_path, capsys):
    supervisor = Supervisor(config, tmp_path / "m")
    supervisor.gateway, supervisor.engine = child(tmp_path, STAY, "gateway"), child(tmp_path, STAY, "engine")
    supervisor.children = [supervisor.gateway, supervisor.engine]
    for one in supervisor.children:
        one.start()
    first = supervisor.engine.process.pid
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    supervisor.engine.process.kill()
    until(lambda: supervisor.engine.process.pid != first and supervisor.engine.alive())
    assert "the engine ended" in capsys.readouterr().out
    assert len(supervisor.engine.restarts) == 1
    supervisor.stop()
    watching.join(5)
    assert not watching.is_alive()
    assert not any(one.alive() for one in supervisor.children)


def test_a_start_that_fails_shows_why_and_leaves_nothing_running(config, tmp_path):
    supervisor = Supervisor(config, tmp_path / "m")
    supervisor.children = [
        child(tmp_path, STAY, "gateway"),
        child(tmp_path, "raise SystemExit('no such model')", "engine"),
    ]
    with pytest.raises(SetupError, match=r"The engine did not start(?s:.*)no such model"):
        supervisor.start(patience=20)
    assert not any(one.alive() for one in supervisor.children)


def test_a_start_that_takes_too_long_is_given_up(config, tmp_path):
    supervisor = Supervisor(config, tmp_path / "m")
    supervisor.children = [child(tmp_path, STAY, "gateway")]
    with pytest.raises(SetupError, match="Not ready after"):
        supervisor.start(patience=0.3)
    assert not supervisor.children[0].alive()


SERVE = """
import http.server, sys
class Door(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == sys.argv[2] else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Door).serve_forever()
"""


def door(tmp_path, name, port, path):
    one = child(tmp_path, SERVE, name)
    one.command += [str(port), path]
    return one


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_ready_means_that_the_desk_answers_too(deployment, tmp_path):
    config = Settings(home=deployment, port=free_port(), desk_port=free_port())
    supervisor = Supervisor(config, tmp_path / "m")
    gateway = door(tmp_path, "gateway", config.port, "/readyz")
    supervisor.desk = child(tmp_path, STAY, "desk")
    supervisor.children = [gateway, supervisor.desk]
    with pytest.raises(SetupError, match="Not ready"):
        supervisor.start(patience=1.5)
    supervisor = Supervisor(config, tmp_path / "m")
    supervisor.desk = door(tmp_path, "desk", config.desk_port, "/healthz")
    supervisor.children = [gateway, supervisor.desk]
    supervisor.start(patience=20)
    supervisor.stop()
    assert not any(one.alive() for one in supervisor.children)


def test_the_desk_can_be_left_out(deployment, tmp_path):
    supervisor = Supervisor(Settings(home=deployment, desk="off"), tmp_path / "m")
    assert supervisor.children == [supervisor.gateway, supervisor.engine]


def test_what_hangs_is_ended_and_started_again(deployment, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(processes, "LOOK_EVERY", 0.1)
    monkeypatch.setattr(processes, "LOOK_PATIENCE", 0.5)
    config = Settings(home=deployment, port=free_port(), engine_port=free_port())
    supervisor = Supervisor(config, tmp_path / "m")
    supervisor.gateway = door(tmp_path, "gateway", config.port, "/healthz")
    supervisor.gateway.health = f"http://127.0.0.1:{config.port}/healthz"
    # Still starting: it has never answered, so that its silence means nothing yet.
    supervisor.engine = child(tmp_path, STAY, "engine")
    supervisor.engine.health = f"http://127.0.0.1:{config.engine_port}/"
    supervisor.children = [supervisor.gateway, supervisor.engine]
    supervisor.hung_after = 1.0
    for one in supervisor.children:
        one.start()
    pids = [one.process.pid for one in supervisor.children]
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    until(lambda: supervisor.gateway.answered, 30)
    os.kill(pids[0], signal.SIGSTOP)
    until(lambda: supervisor.gateway.process.pid != pids[0] and supervisor.gateway.answered, 30)
    assert supervisor.engine.process.pid == pids[1]
    monkeypatch.setattr(processes, "STUCK_AFTER", 0.5)
    until(lambda: supervisor.engine.process.pid != pids[1], 30)
    assert "the gateway does not answer" in capsys.readouterr().out
    supervisor.stop()
    watching.join(5)
    assert not watching.is_alive()


def test_one_that_cannot_start_does_not_keep_the_others_waiting(config, tmp_path):
    supervisor = Supervisor(config, tmp_path / "m")
    broken, sound = child(tmp_path, "raise SystemExit(1)", "engine"), child(tmp_path, STAY, "gateway")
    broken.health = sound.health = ""
    supervisor.children = [broken, sound]
    broken.restarts = [time.monotonic()] * 8  # so that the next start is half a minute away
    for one in supervisor.children:
        one.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    until(lambda: broken.due is not None)
    first = sound.process.pid
    sound.process.kill()
    until(lambda: sound.process.pid != first and sound.alive(), 15)
    assert not broken.alive()
    supervisor.stop()
    watching.join(5)
