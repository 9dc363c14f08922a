"""The command line, as far as it needs no engine."""

import socket

import pytest
from sqlalchemy import inspect
from typer.testing import CliRunner

from bot import cli
from bot.policy import PackError
from bot.processes import SetupError
from bot.settings import settings
from bot.storage import make_engine

COMMANDS = ("up", "train", "eval", "ask", "notice", "db", "shell")


def run(*arguments):
    return CliRunner().invoke(cli.app, arguments)


def test_help_lists_the_commands_of_the_contract():
    shown = run("--help").output
    assert all(command in shown for command in COMMANDS)


def test_notice_check_counts_what_it_checked():
    result = run("notice", "check")
    assert (result.exit_code, "16 measures" in result.output) == (0, True)


def test_notice_check_names_a_wrong_quote(monkeypatch):
    def wrong():
        raise PackError("measure 9, facet cost: the quote is not in the clause")

    monkeypatch.setattr("bot.policy.load", wrong)
    result = run("notice", "check")
    assert (result.exit_code, "measure 9" in result.output) == (1, True)


def test_db_upgrade_makes_the_tables():
    assert run("db", "upgrade").exit_code == 0
    engine = make_engine(settings().database)
    assert {"conversations", "messages", "hand_overs", "cases"} <= set(inspect(engine).get_table_names())
    engine.dispose()


def test_a_training_that_fails_is_one_sentence(monkeypatch):
    def fails(*_, **__):
        raise SetupError("The engine's environment is missing: run `make setup`.")

    monkeypatch.setattr(cli, "train_model", fails)
    result = run("train")
    assert (result.exit_code, result.output.strip()) == (
        1,
        "The engine's environment is missing: run `make setup`.",
    )


def test_up_does_not_start_beside_a_running_one(monkeypatch):
    monkeypatch.setattr(cli, "_ready", lambda _: True)
    result = run("up")
    assert (result.exit_code, "HOTLINE_PORT" in result.output) == (1, True)


@pytest.fixture
def started(monkeypatch):
    """Supervisors that are made, not run."""
    made = []

    class Fake:
        def __init__(self, config, model):
            self.config, self.stopped = config, False
            made.append(self)

        def start(self):
            pass

        def stop(self):
            self.stopped = True

    monkeypatch.setattr(cli, "Supervisor", Fake)
    monkeypatch.setattr(cli, "train_model", lambda _: None)
    monkeypatch.setenv("HOTLINE_RATE_LIMITS", "on")
    monkeypatch.setenv("HOTLINE_DEBUG", "false")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HOTLINE_PORT", str(probe.getsockname()[1]))
    settings.cache_clear()
    return made


def test_an_own_instance_measures_without_limits_and_is_stopped(started):
    with pytest.raises(ZeroDivisionError), cli._instance(settings()) as url:
        assert url.endswith(str(settings().port))
        raise ZeroDivisionError
    [supervisor] = started
    assert (supervisor.config.rate_limits, supervisor.config.debug) == ("off", True)
    assert supervisor.stopped
