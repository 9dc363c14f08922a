"""The real processes as a careless operator starts them: open to every address, with secrets in the environment."""

from __future__ import annotations

import base64
import os
import secrets
import threading
from collections.abc import Iterator
from datetime import datetime, timezone

import httpx
import pytest

from bot.crypto import DataKey, set_data_key
from bot.processes import Supervisor, train
from bot.settings import ROOT, Settings
from bot.staff import accounts
from bot.storage import make_engine, make_sessions, upgrade
from tests.e2e.conftest import Instance, free_port

PASSWORD = "Mei-Hua 2026 xue"
ACCOUNT = "hotline-admin"


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """Engine, gateway and desk on 0.0.0.0, limits on but high, one staff account."""
    if os.environ.get("HOTLINE_SKIP_E2E") == "1":
        pytest.skip("HOTLINE_SKIP_E2E=1")
    home = tmp_path_factory.mktemp("open") / "home"
    ports = {name: free_port() for name in ("port", "engine_port", "actions_port", "desk_port")}
    config = Settings(
        home=home, model=os.environ.get("HOTLINE_MODEL") or ROOT / "models", database_url="", engine_url="",
        key=base64.b64encode(secrets.token_bytes(32)).decode(), host="0.0.0.0", rate_limits="on",
        messages_per_minute=10**6, conversations_per_minute=10**6, requests_per_minute=10**6,
        sms_gateway="kannel", sms_url="http://127.0.0.1:9/", sms_user="hotline", sms_password=secrets.token_hex(12),
        sms_secret=secrets.token_hex(12), **ports,
    )  # fmt: skip
    set_data_key(DataKey.from_base64(config.key))
    upgrade(config.database)
    database = make_engine(config.database)
    sessions = make_sessions(database)
    with sessions.begin() as session:
        accounts.add_staff(session, ACCOUNT, "赵静", "admin", PASSWORD, now=datetime.now(timezone.utc))
    supervisor = Supervisor(config, train(config))
    supervisor.start()
    watching = threading.Thread(target=supervisor.watch)
    watching.start()
    http = httpx.Client(base_url=f"http://127.0.0.1:{config.port}", trust_env=False, timeout=60)
    try:
        made = Instance(config, supervisor, http, make_sessions(database, read_only=True))
        made.sessions = sessions  # type: ignore[attr-defined]
        yield made
    finally:
        http.close()
        database.dispose()
        set_data_key(None)
        supervisor.stop()
        watching.join()


@pytest.fixture
def talk(instance: Instance):
    """A new conversation."""
    return instance.talk()


@pytest.fixture(autouse=True)
def deployment() -> None:
    """The processes have their own; see `instance`."""


@pytest.fixture(autouse=True)
def logged() -> None:
    """The processes log to files."""


@pytest.fixture(autouse=True)
def cheap_hashes() -> None:
    """The processes have their own hasher."""
