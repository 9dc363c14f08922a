"""Databases for the case store's tests: SQLite always, PostgreSQL where its programs are installed."""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from bot.cases.calendar import SHANGHAI
from bot.storage import make_engine, make_sessions, upgrade

NOW = datetime(2026, 11, 22, 15, 4, tzinfo=SHANGHAI)


@pytest.fixture(scope="session")
def postgres():
    """URL of a PostgreSQL server: HOTLINE_TEST_POSTGRES, or one started here from installed programs."""
    if url := os.environ.get("HOTLINE_TEST_POSTGRES"):
        yield url.rstrip("/")
        return
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb") or (programs and str(programs[-1] / "initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed")
    folder = Path(found).resolve().parent
    home = Path(tempfile.mkdtemp(prefix="hotline-pg-"))
    account = {}
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")
        account = {"user": "postgres", "group": "postgres", "cwd": "/"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(program, *arguments):
        subprocess.run(
            [folder / program, *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **account,
        )

    data = str(home / "data")
    try:
        call("initdb", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D", data)
        options = f"-h 127.0.0.1 -p {port} -k {home} -c fsync=off"
        call("pg_ctl", "-w", "-D", data, "-l", str(home / "log"), "-o", options, "start")
        yield f"postgresql://postgres@127.0.0.1:{port}"
        call("pg_ctl", "-w", "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextlib.contextmanager
def own_database(server):
    """The URL of an empty database on a PostgreSQL server, dropped afterwards."""
    name = f"test_{os.urandom(6).hex()}"
    admin = make_engine(f"{server}/postgres").execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield f"{server}/{name}"
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """An empty database, once of each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'cases.db'}"
        return
    with own_database(request.getfixturevalue("postgres")) as url:
        yield url


@pytest.fixture
def engine(database_url, migrated):
    """An engine on a database at the newest migration."""
    if database_url.startswith("sqlite"):
        shutil.copy(migrated, database_url.removeprefix("sqlite:///"))
    else:
        upgrade(database_url)
    engine = make_engine(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sessions(engine):
    return make_sessions(engine)


@pytest.fixture
def now():
    """Sunday 2026-11-22, 15:04 in Jilin."""
    return NOW
