"""The databases of the case store's tests, for the outbox."""

from tests.cases.conftest import NOW, database_url, engine, now, postgres, sessions

__all__ = ["NOW", "database_url", "engine", "now", "postgres", "sessions"]
