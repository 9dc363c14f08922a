"""Limits that several gateways share, against a real Redis; and what happens without it."""

import shutil
import socket
import subprocess
import time

import pytest
import redis

from bot.channels import limits
from bot.channels.limits import SharedBuckets, TokenBuckets, limiter

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")


@pytest.fixture(scope="module")
def server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    client = redis.Redis(port=port)
    for _ in range(100):
        try:
            client.ping()
            break
        except redis.RedisError:
            time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait()


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    # The machine that tests may be slow; that a hanging Redis is not waited for has a test of its own.
    monkeypatch.setattr(limits, "REDIS_SECONDS", 2.0)


def test_two_gateways_count_together(server):
    one, two = (limiter("together", 3, None, server) for _ in range(2))
    assert [one.take("a"), two.take("a"), one.take("a")] == [0, 0, 0]
    assert two.take("a") == 20 and one.take("a") == 20
    assert one.take("b") == 0


def test_tokens_come_back(server):
    buckets = limiter("back", 60, 1, server)
    assert buckets.take("a") == 0
    assert buckets.take("a") == 1
    time.sleep(1.1)
    assert buckets.take("a") == 0


def test_a_bucket_that_is_full_again_is_forgotten_by_redis(server):
    limiter("gone", 60, 1, server).take("a")
    left = redis.Redis.from_url(server).pttl("hotline:gone:a")
    assert 0 < left <= 2000


def test_without_redis_each_counts_for_itself_and_does_not_ask_every_time(logged):
    now = [0.0]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"redis://127.0.0.1:{probe.getsockname()[1]}/0"
    clock = lambda: now[0]  # noqa: E731
    buckets = SharedBuckets(nobody, "down", TokenBuckets(2, clock=clock), clock=clock)
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 30]
    assert [entry["event"] for entry in logged] == ["redis_down"]
    now[0] = 6.0
    buckets.take("a")
    assert [entry["event"] for entry in logged] == ["redis_down"] * 2


def test_a_redis_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(limits, "REDIS_SECONDS", 0.05)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        buckets = limiter("hangs", 2, None, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        begun = time.monotonic()
        assert buckets.take("a") == 0
        assert time.monotonic() - begun < 1


def test_without_a_setting_nothing_is_shared():
    assert isinstance(limiter("own", 3), TokenBuckets)
