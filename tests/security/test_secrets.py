"""Secrets: from the environment or from files that only their owner reads; never on a command line, never printed."""

import base64
import os
import stat
import subprocess
import sys

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from bot.processes import Child, Supervisor, environment, for_engine
from bot.settings import ROOT, Settings
from bot.storage import make_engine

SECRET_SETTINGS = (
    "key", "sms_password", "sms_secret", "wechat_token", "wechat_app_secret", "wechat_aes_key", "database_url", "redis_url",
)  # fmt: skip


def run(*command, home, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HOTLINE_", "NICEGUI", "PYTEST"))}
    given = {
        "HOTLINE_HOME": str(home),
        "HOTLINE_ENGINE_TOKEN": "a" * 20,
        "HOTLINE_ACTIONS_TOKEN": "b" * 20,
    } | more
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=clean | given,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize(
    "command", [("-m", "bot.cli", "up"), ("-m", "bot.channels.serve"), ("-m", "bot.desk.serve")]
)
@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_that_others_can_read_stops_the_start_with_one_sentence(tmp_path, command, mode):
    home = tmp_path / "home"
    home.mkdir()
    key = home / "data.key"
    key.write_bytes(base64.b64encode(os.urandom(32)))
    key.chmod(mode)
    done = run(*command, home=home, HOTLINE_PORT="1", HOTLINE_DESK_PORT="1")
    said = (done.stdout + done.stderr).strip()
    assert done.returncode == 1
    assert said == f"{key} has mode {mode:03o}; others can reach it. Run: chmod 600 {key}"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"HOTLINE_KEY": "not-base64!"}, "HOTLINE_KEY is not base64 of a 32-byte key."),
        ({"HOTLINE_KEY": "c2hvcnQ="}, "HOTLINE_KEY must be base64 of 32 bytes, it holds 5."),
        ({"HOTLINE_ALLOWED_ORIGINS": "*"}, "HOTLINE_ALLOWED_ORIGINS: '*' is no origin"),
    ],
)
def test_a_wrong_setting_stops_the_gateway_with_one_sentence(tmp_path, more, says):
    done = run("-m", "bot.channels.serve", home=tmp_path / "home", HOTLINE_PORT="1", **more)
    assert done.returncode == 1
    assert done.stderr.strip().startswith(says) and "Traceback" not in done.stderr


def test_a_refused_value_and_a_shown_setting_are_not_printed(monkeypatch):
    monkeypatch.setenv("HOTLINE_WECHAT_AES_KEY", "hunter2-too-short")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hunter2" not in str(refused.value) and "wechat_aes_key" in str(refused.value).lower()
    monkeypatch.delenv("HOTLINE_WECHAT_AES_KEY")
    shown = repr(Settings(**dict.fromkeys(SECRET_SETTINGS, "h" * 43)))
    assert "hhhh" not in shown and "port=8000" in shown


def test_every_secret_setting_is_one_of_those():
    """A new one whose name says what it is must be hidden as well."""
    named = {
        n
        for n in Settings.model_fields
        if n.endswith(("_password", "_secret", "_token", "_key")) or n == "key"
    }
    assert named <= set(SECRET_SETTINGS)
    assert all(Settings.model_fields[name].repr is False for name in SECRET_SETTINGS)


def test_children_get_secrets_by_environment_only_and_the_engine_gets_none(tmp_path):
    config = Settings(**dict.fromkeys(SECRET_SETTINGS, "s3cret" * 7 + "x"), home=tmp_path)
    supervisor = Supervisor(config, tmp_path / "model.tar.gz")
    for child in supervisor.children:
        line = " ".join(map(str, child.command))
        assert "s3cret" not in line
        assert not any(
            token in line
            for token in (
                child.environment.get("HOTLINE_ENGINE_TOKEN", "?"),
                child.environment.get("HOTLINE_ACTIONS_TOKEN", "?"),
            )
        )
    assert supervisor.gateway.environment["HOTLINE_KEY"] == "s3cret" * 7 + "x"
    assert "s3cret" * 7 + "x" not in supervisor.engine.environment.values()
    others = for_engine(environment(config, "", ""))
    assert {name for name in others if name.startswith("HOTLINE_")} == {
        "HOTLINE_ENGINE_TOKEN",
        "HOTLINE_ACTIONS_URL",
    }


def test_passwords_of_commands_come_by_standard_input_or_are_made():
    """No option of `hotline` takes a secret: a command line is read by every neighbour and kept in a history."""
    import typer.main

    from bot.cli import app

    def walk(command, path=""):
        for parameter in command.params:
            yield f"{path} {' '.join(parameter.opts)}".lower()
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{path} {name}")

    options = list(walk(typer.main.get_command(app)))
    assert len(options) > 20
    assert not [
        o for o in options if any(word in o.split()[-1] for word in ("password", "secret", "token", "--key"))
    ]


def test_logs_and_files_of_children_are_private(tmp_path):
    before = os.umask(0o022)
    try:
        child = Child(
            "x",
            ["sh", "-c", f"umask; touch {tmp_path}/made; mkdir {tmp_path}/folder"],
            dict(os.environ),
            tmp_path / "x.log",
        )
        child.start()
        child.process.wait(60)
    finally:
        os.umask(before)
    assert (tmp_path / "x.log").read_text().strip() == "0077"
    for name, mode in (("x.log", 0o600), ("made", 0o600), ("folder", 0o700)):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == mode


def test_a_new_database_is_its_owners(tmp_path):
    before = os.umask(0o022)
    try:
        home = Settings(home=tmp_path / "home").home_dir
        path = home / "hotline.db"
        engine = make_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE a (b INTEGER)"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in home.iterdir()}
        engine.dispose()
    finally:
        os.umask(before)
    assert modes and set(modes.values()) == {0o600}
    assert stat.S_IMODE(home.stat().st_mode) == 0o711
