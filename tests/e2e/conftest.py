"""The real processes on free ports, with a home of their own; started once for all end-to-end tests."""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bot.cases.models import Case
from bot.crypto import DataKey, set_data_key
from bot.processes import Child, Supervisor, train
from bot.settings import ROOT, Settings
from bot.storage import make_engine, make_sessions, upgrade
from tests.e2e.citizen import Talk


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Instance:
    """A running instance and its database."""

    config: Settings
    supervisor: Supervisor
    http: httpx.Client
    readers: sessionmaker[Session]
    phones: list[str] = field(default_factory=list)  # every phone number that a test has sent

    def talk(self) -> Talk:
        """A new conversation."""
        return Talk(self.http)

    def phone(self) -> str:
        """A number that no other test uses."""
        self.phones.append(f"139{uuid.uuid4().int % 10**8:08d}")
        return self.phones[-1]

    def cases(self, talk: Talk) -> list[Case]:
        """The cases of a conversation."""
        with self.readers() as session:
            return list(
                session.scalars(select(Case).where(Case.conversation_id == talk.id).order_by(Case.part))
            )

    def kill(self, child: Child) -> None:
        """kill -9 one process."""
        assert child.process is not None
        child.restarts.clear()  # Or else each one would wait twice as long as the last.
        child.process.kill()
        child.process.wait()

    def wait_until_ready(self, patience: float = 90.0) -> None:
        """Until engine and database answer again."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            try:
                if self.http.get("/readyz").status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready again after {patience} seconds")


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Engine and gateway under a supervisor that restarts them. Fails where they cannot be had."""
    if os.environ.get("HOTLINE_SKIP_E2E") == "1":
        pytest.skip("HOTLINE_SKIP_E2E=1")
    home: Path = tmp_path_factory.mktemp("home")
    config = Settings(
        home=home, model=Path(os.environ.get("HOTLINE_MODEL") or ROOT / "models"), database_url="", key="", engine_url="", rate_limits="off", debug=False,
        port=free_port(), engine_port=free_port(), actions_port=free_port(), desk_port=free_port(),
    )  # fmt: skip
    model = train(config)
    upgrade(config.database)
    supervisor = Supervisor(config, model)
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    database = make_engine(config.database)
    http = httpx.Client(base_url=f"http://127.0.0.1:{config.port}", trust_env=False, timeout=30)
    try:
        set_data_key(DataKey.from_file(home / config.key_file))
        yield Instance(config, supervisor, http, make_sessions(database, read_only=True))
    finally:
        http.close()
        database.dispose()
        set_data_key(None)
        supervisor.stop()
        watching.join()


@pytest.fixture
def talk(instance: Instance) -> Talk:
    """A new conversation."""
    return instance.talk()


@pytest.fixture(autouse=True)
def deployment() -> None:
    """The processes have their own; see `instance`."""


@pytest.fixture(autouse=True)
def logged() -> None:
    """The processes log to files."""
