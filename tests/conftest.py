"""What every test of the service gets; tests/engine and tests/e2e put their own in its place."""

import os

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
    set_data_key(DataKey(bytes(range(32))))
    yield tmp_path / "home"
    set_data_key(None)
    for cache in caches:
        cache.cache_clear()
