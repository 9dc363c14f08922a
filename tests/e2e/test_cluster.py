"""The scaled-out form for real: PostgreSQL, Redis, nginx, two engines, two gateways, a desk."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bot.operations.cluster import Cluster, free_port
from bot.processes import train
from bot.settings import ROOT, Settings

PROGRAMS = ("nginx", "redis-server", "psql")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A running cluster with a home that PostgreSQL's own user can reach."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if missing := [name for name in PROGRAMS if not shutil.which(name, path=path)]:
        pytest.skip(f"not installed: {missing}")
    home = Path(tempfile.mkdtemp(prefix="hotline-cluster-"))
    home.chmod(0o711)
    config = Settings(
        home=home, model=Path(os.environ.get("HOTLINE_MODEL") or ROOT / "models"), database_url="", key="",
        engine_url="", rate_limits="off", port=free_port(), desk_port=free_port(),
    )  # fmt: skip
    made = Cluster(config, train(config))
    made.start()
    yield made
    made.stop()
    shutil.rmtree(home)


@pytest.fixture
def http(cluster: Cluster) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=cluster.url, trust_env=False, timeout=30) as client:
        yield client


class Citizen:
    """A conversation through nginx; each request may reach another gateway."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        opened = http.post("/api/v1/conversations", json={"channel": "widget"})
        assert opened.status_code == 201, opened.text
        self.path = f"/api/v1/conversations/{opened.json()['conversation_id']}"
        self.headers = {"Authorization": f"Bearer {opened.json()['token']}"}

    def send(self, text: str) -> httpx.Response:
        body = {"client_message_id": uuid.uuid4().hex, "text": text}
        return self.http.post(f"{self.path}/messages", json=body, headers=self.headers)

    def log(self) -> list[dict]:
        return self.http.get(f"{self.path}/messages", headers=self.headers).json()["messages"]


def test_a_conversation_needs_no_certain_gateway(http: httpx.Client) -> None:
    citizen = Citizen(http)
    kinds = [
        citizen.send(text).json()["replies"][0]["answer"]["kind"]
        for text in ("电梯维保能延长吗", "那要交钱吗")
    ]
    assert kinds == ["policy", "policy"]
    log = citizen.log()
    assert [m["seq"] for m in log] == list(range(1, len(log) + 1))


def test_a_stream_on_one_gateway_hears_what_the_other_one_answers(cluster: Cluster) -> None:
    ports = [cluster.port_of(f"gateway{n}") for n in range(2)]
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", trust_env=False, timeout=30) as one,
        httpx.Client(base_url=f"http://127.0.0.1:{ports[1]}", trust_env=False, timeout=30) as two,
    ):
        citizen = Citizen(one)
        heard: list[tuple[float, str]] = []
        listening = threading.Event()

        def listen() -> None:
            with two.stream("GET", f"{citizen.path}/events", headers=citizen.headers) as response:
                listening.set()
                for line in response.iter_lines():
                    if line.startswith("data: ") and '"author": "bot"' in line:
                        heard.append((time.monotonic(), json.loads(line[6:]).get("text", "")))
                        if len(heard) == 2:
                            return

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        assert listening.wait(10)
        time.sleep(0.5)
        replies = citizen.send("你好").json()["replies"]
        answered = time.monotonic()
        thread.join(5)
        assert heard[-1][1] == replies[0]["text"]
        # By NOTIFY, not by the look that a stream takes from time to time.
        assert heard[-1][0] - answered < 2


def test_nothing_but_citizens_doors_answers_outside(http: httpx.Client) -> None:
    for path in (
        "/metrics", "/api/v1/cases", "/api/v1/queue", "/api/v1/copilot/suggest", "/webhooks/turn/webhook",
        "/webhooks/rest/webhook", "/model/parse", "/conversations/x/tracker", "/webhook/x", "/status", "/domain",
    ):  # fmt: skip
        for method in ("GET", "POST"):
            assert http.request(method, path).status_code in (404, 405), (method, path)


def test_rolling_replacement_of_everything_loses_no_request(cluster: Cluster) -> None:
    stop = threading.Event()
    failed: list[str] = []
    counted = [0] * 4

    def talk(number: int) -> None:
        with httpx.Client(base_url=cluster.url, trust_env=False, timeout=30) as client:
            citizen = Citizen(client)
            while not stop.is_set():
                answer = citizen.send("电梯维保能延长吗")
                if answer.status_code != 200:
                    failed.append(f"{answer.status_code} {answer.text}")
                elif answer.json()["replies"][0]["answer"]["kind"] != "policy":
                    failed.append(answer.json()["replies"][0]["text"])
                counted[number] += 1
                time.sleep(0.2)
            seqs = [m["seq"] for m in citizen.log()]
            if seqs != list(range(1, len(seqs) + 1)):
                failed.append(f"gaps or doubles: {seqs}")

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(len(counted))]
    for thread in threads:
        thread.start()
    time.sleep(1)
    # Another file of the same model: what a model replacement is to the processes.
    copy = cluster.folder / "other-model.tar.gz"
    shutil.copy(cluster.model, copy)
    cluster.roll(copy)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert set(failed) == set()
    assert min(counted) > 5


def test_without_redis_citizens_are_still_answered(cluster: Cluster, http: httpx.Client) -> None:
    redis = cluster.children["redis"]
    redis.stop()
    try:
        assert Citizen(http).send("你好").status_code == 200
    finally:
        redis.start()


def test_a_killed_engine_is_passed_over(cluster: Cluster, http: httpx.Client) -> None:
    engine = cluster.children["engine0"]
    assert engine.process is not None
    engine.process.kill()
    engine.process.wait()
    citizen = Citizen(http)
    kinds = [citizen.send("电梯维保能延长吗").json()["replies"][0]["answer"]["kind"] for _ in range(4)]
    assert kinds == ["policy"] * 4
    engine.start()


def test_a_killed_gateway_costs_nobody_an_answer(cluster: Cluster, http: httpx.Client) -> None:
    gateway = cluster.children["gateway0"]
    assert gateway.process is not None
    citizen = Citizen(http)
    gateway.process.kill()
    gateway.process.wait()
    assert [citizen.send("你好").status_code for _ in range(4)] == [200] * 4
    gateway.start()
