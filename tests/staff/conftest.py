"""Databases of both kinds and cheap hashes for the tests of staff."""

from datetime import timedelta

import pytest

from bot.staff import accounts
from bot.storage import make_engine, make_sessions
from tests.cases.conftest import database_url, engine, postgres, sessions  # noqa: F401
from tests.desk.conftest import PASSWORD, cheap_hashes  # noqa: F401


@pytest.fixture
def at(clock):
    """The time after some minutes: `at(5)`."""
    return lambda minutes=0.0: clock.now + timedelta(minutes=minutes)


@pytest.fixture
def sqlite(migrated, tmp_path):
    """Writing sessions of a SQLite database at the newest migration."""
    import shutil

    shutil.copy(migrated, tmp_path / "staff.db")
    made = make_engine(f"sqlite:///{tmp_path / 'staff.db'}")
    yield make_sessions(made)
    made.dispose()


@pytest.fixture
def people(sqlite, clock):
    """Accounts by user name."""
    with sqlite.begin() as session:
        return {
            username: accounts.add_staff(session, username, name, role, PASSWORD, now=clock())
            for username, name, role in (
                ("wang", "王敏", "agent"),
                ("li", "李强", "agent"),
                ("zhao", "赵静", "lead"),
                ("sun", "孙悦", "admin"),
            )
        }


@pytest.fixture
def now(clock):
    """Sunday 2026-11-22, 15:04 in Jilin."""
    return clock()
