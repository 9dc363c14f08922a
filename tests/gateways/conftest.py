"""A real Kannel with its simulator before the real processes of this project; all on free ports, all ended here."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from bot.conversations.models import Message
from bot.crypto import DataKey, set_data_key
from bot.outbox.models import Delivery
from bot.processes import Supervisor, train
from bot.settings import ROOT, Settings
from bot.storage import make_engine, make_sessions, upgrade

KANNEL = ROOT / "deploy" / "kannel"
FAKESMSC = Path("/usr/lib/kannel/test/fakesmsc")
PASSWORD, KEY = "a-password", "a-key-of-the-test"


def _simulator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kannel_simulator", KANNEL / "simulator.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses looks it up there.
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(check: Callable[[], Any], patience: float = 30.0, what: str = "") -> Any:
    """What `check` gives as soon as it is true."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := check():
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {patience:.0f} seconds: {what or check}")


class Kannel:
    """bearerbox and smsbox on the shipped configuration, with other ports, passwords and shorter waits."""

    def __init__(self, folder: Path, hotline_port: int) -> None:
        self.folder = folder
        self.ports = {name: free_port() for name in ("13000", "13001", "13013", "10000")}
        text = (KANNEL / "kannel.conf").read_text("utf-8")
        for old, new in self.ports.items():
            text = re.sub(rf"(port = ){old}\b", rf"\g<1>{new}", text)
        for old, new in (
            ("127.0.0.1:8000", f"127.0.0.1:{hotline_port}"),
            ("change-this-key", KEY),
            ("change-me", PASSWORD),
            ("/var/spool/kannel/store", str(folder / "store")),
            ("http-queue-delay = 10", "http-queue-delay = 1"),
        ):
            assert old in text
            text = text.replace(old, new)
        self.conf = folder / "kannel.conf"
        self.conf.write_text(text, "utf-8")
        self.boxes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['13013']}/cgi-bin/sendsms"

    def start(self) -> None:
        for box, port in (("bearerbox", "13001"), ("smsbox", "13013")):
            with (self.folder / f"{box}.log").open("ab") as out:
                self.boxes[box] = subprocess.Popen(
                    [shutil.which(box) or f"/usr/sbin/{box}", str(self.conf)],
                    stdout=out,
                    stderr=out,
                    cwd=self.folder,
                )
            until(lambda port=self.ports[port]: _listens(port), 20, f"{box} listening")

    def stop(self) -> None:
        for box in reversed(list(self.boxes.values())):
            box.terminate()
            try:
                box.wait(5)
            except subprocess.TimeoutExpired:
                box.kill()
                box.wait()
        self.boxes = {}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Town:
    """The hotline, Kannel and phones."""

    config: Settings
    supervisor: Supervisor
    kannel: Kannel
    phones: Any
    readers: sessionmaker[Session]
    http: httpx.Client

    def number(self) -> str:
        """A phone that no other test uses."""
        return f"139{uuid.uuid4().int % 10**8:08d}"

    def ask(self, number: str, text: str, patience: float = 30.0) -> str:
        """Send an SMS and wait for the next one that comes back."""
        before = len(self.phones.texts(number))
        self.phones.send(number, text)
        return str(self.answer(number, before, patience))

    def answer(self, number: str, before: int, patience: float = 30.0) -> str:
        """The SMS after the first `before` ones of a number."""
        return str(
            until(lambda: self.phones.texts(number)[before : before + 1], patience, f"answer {before}")[0]
        )

    def rows(self, number: str, table: type[Message] | type[Delivery] = Message) -> list[Any]:
        """Messages or deliveries of a number's conversations."""
        from bot.conversations.addresses import address_hash
        from bot.conversations.models import Conversation

        with self.readers() as session:
            mine = select(Conversation.id).where(Conversation.token_hash == address_hash("sms", number))
            return list(
                session.scalars(select(table).where(table.conversation_id.in_(mine)).order_by(table.id))
            )

    def bodies(self, number: str) -> list[str]:
        """What the citizen wrote, as stored, in order."""
        found = sorted((m for m in self.rows(number) if m.author == "user"), key=lambda m: m.created_at)
        return [m.body for m in found]

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """A process of ours stops and goes on."""
        process = getattr(self.supervisor, name).process
        os.kill(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGCONT)

    def kill_gateway(self) -> None:
        child = self.supervisor.gateway
        child.restarts.clear()
        child.process.kill()
        child.process.wait()

    def wait_until_ready(self) -> None:
        until(self._ready, 60, "ready")

    def _ready(self) -> bool:
        try:
            return self.http.get("/readyz").status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """Everything started once; skipped only where the engine or Kannel is missing (in CI a skip fails)."""
    if os.environ.get("HOTLINE_SKIP_E2E") == "1":
        pytest.skip("HOTLINE_SKIP_E2E=1")
    if not FAKESMSC.exists() or not shutil.which("smsbox", path="/usr/sbin:/usr/bin"):
        pytest.skip("Debian's kannel and kannel-extras are not installed")
    home: Path = tmp_path_factory.mktemp("home")
    port = free_port()
    kannel = Kannel(tmp_path_factory.mktemp("kannel"), port)
    config = Settings(
        home=home, model=Path(os.environ.get("HOTLINE_MODEL") or ROOT / "models"), database_url="", key="", engine_url="",
        rate_limits="off", debug=False, port=port, engine_port=free_port(), actions_port=free_port(),
        sms_gateway="kannel", sms_url=kannel.url, sms_user="hotline", sms_password=PASSWORD, sms_secret=KEY, quiet_hours="", desk="off",
    )  # fmt: skip
    model = train(config)
    upgrade(config.database)
    supervisor = Supervisor(config, model)
    phones: Any = None
    watching: threading.Thread | None = None
    database = make_engine(config.database)
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)
    try:
        kannel.start()
        phones = _simulator().Phones(kannel.ports["10000"])
        supervisor.start()
        watching = threading.Thread(target=supervisor.watch)
        watching.start()
        set_data_key(DataKey.from_file(home / config.key_file))
        yield Town(config, supervisor, kannel, phones, make_sessions(database, read_only=True), http)
    finally:
        supervisor.stop()
        if watching is not None:
            watching.join()
        if phones is not None:
            phones.close()
        kannel.stop()
        http.close()
        database.dispose()
        set_data_key(None)


@pytest.fixture(autouse=True)
def deployment() -> None:
    """The processes have their own; see `town`."""


@pytest.fixture(autouse=True)
def logged() -> None:
    """The processes log to files."""
