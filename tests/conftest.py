"""What every test of the service gets; tests/engine and tests/e2e put their own in its place."""

import os
import shutil
import sys

import pytest


@pytest.fixture(autouse=True)
def deployment(tmp_path, monkeypatch):
    """A home, a key and settings of the test's own; the path of the home."""
    from bot import database
    from bot.crypto import DataKey, set_data_key
    from bot.settings import settings

    for name in [name for name in os.environ if name.startswith("HOTLINE_") and "TEST" not in name]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOTLINE_HOME", str(tmp_path / "home"))
    caches = (settings, database.sessions, database.readers)
    for cache in caches:
        cache.cache_clear()
    if status := sys.modules.get("actions.status"):
        status._guesses.cache_clear()  # Every test's first case has the same number.
    set_data_key(DataKey(bytes(range(32))))
    yield tmp_path / "home"
    set_data_key(None)
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(autouse=True)
def logged():
    """What is logged through structlog, as a list of events; nothing is printed."""
    import structlog
    from structlog.testing import LogCapture

    capture = LogCapture()
    structlog.configure(processors=[capture], cache_logger_on_first_use=False)
    yield capture.entries
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def listeners():
    """Nobody hears of a test's cases but who it appointed itself: a gateway or desk of an earlier test is gone."""
    from bot.cases.store import STATUS_LISTENERS

    STATUS_LISTENERS.clear()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    """An empty SQLite file at the newest migration, to be copied."""
    from bot.storage import upgrade

    path = tmp_path_factory.mktemp("migrated") / "hotline.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def clock():
    """A clock at Sunday 2026-11-22, 15:04 in Jilin."""
    from tests.harness import Clock

    return Clock()


@pytest.fixture
def make_hotline(deployment, migrated, clock):
    """Makes a gateway on a scripted engine and a database of its own; keywords are settings."""
    from bot.settings import Settings
    from tests.harness import Hotline

    made = []

    def make(busy_timeout=5.0, **settings):
        config = Settings(**({"rate_limits": "off"} | settings))
        if not (config.home_dir / "hotline.db").exists():
            shutil.copy(migrated, config.home_dir / "hotline.db")
        made.append(Hotline(config, clock, busy_timeout=busy_timeout))
        return made[-1]

    yield make
    for hotline in made:
        hotline.close()


@pytest.fixture
def hotline(make_hotline):
    """A gateway on a scripted engine and a database of its own."""
    return make_hotline()


def pytest_sessionfinish(session, exitstatus):
    """In CI a skipped test is a missing package, not a choice: it fails the run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") == "true" and exitstatus == 0 and reporter and reporter.stats.get("skipped"):
        reporter.write_line("CI skips nothing: install what the skipped tests name", red=True)
        session.exitstatus = 1
