"""The desk's process: it starts, lets staff in, runs its timers, and ends cleanly when it is told to."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
from sqlalchemy import select

from bot.conversations import log
from bot.crypto import DataKey, set_data_key
from bot.desk.models import Page
from bot.settings import ROOT, Settings
from bot.staff import accounts
from bot.storage import make_engine, make_sessions, upgrade
from tests.desk.conftest import PASSWORD


@pytest.fixture
def process(deployment, clock):
    """A running desk: (base URL, sessions, process)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = Settings(desk_port=port)
    upgrade(config.database)
    set_data_key(DataKey.from_file(config.home_dir / config.key_file))
    database = make_engine(config.database)
    sessions = make_sessions(database)
    with sessions.begin() as session:
        accounts.add_staff(session, "wang", "王敏", "agent", PASSWORD, now=clock())
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NICEGUI", "PYTEST", "HOTLINE_"))}
    environment |= {"HOTLINE_HOME": str(deployment), "HOTLINE_DESK_PORT": str(port)}
    running = subprocess.Popen(
        [sys.executable, "-m", "bot.desk.serve"], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{url}/healthz", trust_env=False).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()[0]
        time.sleep(0.1)
    yield url, sessions, running
    if running.poll() is None:
        running.kill()
    running.communicate()
    database.dispose()


def test_the_process_lets_staff_in_calls_on_duty_and_ends_when_told(process):
    url, sessions, running = process
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as client:
        assert client.get("/", follow_redirects=False).headers["location"] == "/login"
        page = client.get("/login").text
        form = page.split('name="form" value="')[1].split('"')[0]
        entered = client.post(
            "/login", data={"username": "wang", "password": PASSWORD, "form": form}, headers={"Origin": url}
        )
        assert entered.status_code == 303 and entered.headers["location"] == "/"
        assert client.get("/account").status_code == 200
        assert "server" not in client.get("/account").headers
    with sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", cli_now())
        log.queue_hand_over(session, opened.id, "用户要求", urgent=True, now=cli_now())
    deadline = time.monotonic() + 30
    while True:
        with sessions() as session:
            if session.scalar(select(Page)) is not None:
                break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    began = time.monotonic()
    running.send_signal(signal.SIGTERM)
    assert running.wait(15) in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 10
    assert "Traceback" not in running.stdout.read()


def cli_now():
    from bot.cli_desk import _now

    return _now()
