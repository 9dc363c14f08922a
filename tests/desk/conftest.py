"""The desk in this process: a database, a clock, a scripted engine, one account a role."""

import shutil
from dataclasses import dataclass, field

import httpx
import pytest
from argon2 import PasswordHasher

from bot.desk.app import create_desk_app
from bot.settings import Settings
from bot.staff import accounts, passwords
from bot.staff.models import Role, Staff
from bot.storage import make_engine, make_sessions
from tests.cases.conftest import database_url, engine, postgres, sessions  # noqa: F401
from tests.harness import Clock, ScriptedEngine

PASSWORD = "Mei-Hua 2026 xue"
ORIGIN = "http://desk.test"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch):
    """Argon2 at its smallest: a test that logs in is no benchmark."""
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    passwords._decoy.cache_clear()
    yield
    passwords._decoy.cache_clear()


@dataclass
class Desk:
    """The desk's application and what it stands on. `agent`, `lead` and `admin` are accounts."""

    config: Settings
    clock: Clock
    engine: ScriptedEngine = field(default_factory=ScriptedEngine)

    def __post_init__(self):
        self.databases = [make_engine(self.config.database) for _ in range(2)]
        self.sessions = make_sessions(self.databases[0])
        self.readers = make_sessions(self.databases[1], read_only=True)
        with self.sessions.begin() as session:
            made = {
                role: accounts.add_staff(
                    session, role.value, {"agent": "王敏", "lead": "李强", "admin": "赵静"}[role.value],
                    role, PASSWORD, now=self.clock(),
                )
                for role in Role
            }  # fmt: skip
        self.agent, self.lead, self.admin = (made[role] for role in Role)
        self.app = self.make_app()

    def make_app(self):
        """Another application on the same database, as after a restart."""
        return create_desk_app(
            self.config,
            self.engine,
            sessions=self.sessions,
            readers=self.readers,
            now=self.clock,
            pages=False,
        )

    def client(self, staff: Staff | None = None, *, app=None, **headers: str) -> httpx.AsyncClient:
        """A client; of a staff member it carries a bearer token."""
        if staff is not None:
            with self.sessions.begin() as session:
                token = accounts.open_session(session, staff, now=self.clock(), kind="program")
            headers["Authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app or self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)

    def close(self):
        for database in self.databases:
            database.dispose()


@pytest.fixture
def make_desk(deployment, migrated, clock):
    """Makes a desk; keywords are settings."""
    made = []

    def make(**settings):
        config = Settings(**({"rate_limits": "off"} | settings))
        if not (config.home_dir / "hotline.db").exists():
            shutil.copy(migrated, config.home_dir / "hotline.db")
        made.append(Desk(config, clock))
        return made[-1]

    yield make
    for desk in made:
        desk.close()


@pytest.fixture
def desk(make_desk):
    """A desk with one account a role."""
    return make_desk()
