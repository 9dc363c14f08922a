"""Databases of both kinds for the tests of operations."""

from tests.cases.conftest import database_url, engine, postgres, sessions  # noqa: F401
