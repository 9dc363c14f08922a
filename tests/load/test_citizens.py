"""The scripted citizens themselves: they send again what was not accepted, and see what does not fit."""

from __future__ import annotations

import random

import httpx
import pytest

from tests.load import checks, citizens
from tests.load.citizens import Citizen, NotAccepted, Stopped, Tally


class Flaky(httpx.AsyncBaseTransport):
    """Hands requests to the gateway; the next `lost` responses never arrive, the next `refused` requests get a 503."""

    def __init__(self, app) -> None:
        self.inner = httpx.ASGITransport(app, raise_app_exceptions=False)
        self.lost = self.refused = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.refused:
            self.refused -= 1
            return httpx.Response(503, headers={"Retry-After": "5"}, request=request)
        response = await self.inner.handle_async_request(request)
        if self.lost:
            self.lost -= 1
            raise httpx.ReadError("gone", request=request)
        return response


@pytest.fixture
def flaky(hotline):
    return Flaky(hotline.app)


@pytest.fixture
async def citizen(flaky, monkeypatch):
    monkeypatch.setattr(citizens, "LONGEST_PAUSE", 0.01)
    made = Citizen("http://hotline.test", Tally(), chance=random.Random(1), think=(0.0, 0.0), transport=flaky)
    yield made
    await made.close()


async def test_a_lost_response_is_asked_for_again_and_nothing_is_doubled(citizen, flaky):
    talk = await citizen.open()
    flaky.lost = 2
    [reply] = await citizen.say("电梯维保能延长吗")
    assert reply["author"] == "bot"
    assert citizen.tally.troubles == {"ReadError": 2}
    server = await citizen.whole_log(talk)
    assert [m["author"] for m in server] == ["bot", "user", "bot"]
    assert checks.of_log(talk, server) == checks.of_responses(talk) == []


async def test_what_was_refused_for_now_is_sent_again(citizen, flaky):
    talk = await citizen.open()
    flaky.refused = 3
    assert await citizen.say("你好")
    assert citizen.tally.troubles == {"HTTP 503": 3}
    assert len(talk.sent) == 1


async def test_what_is_refused_for_good_is_a_failure(citizen):
    await citizen.open()
    with pytest.raises(NotAccepted, match="HTTP 413"):
        await citizen.send("好" * 2001)


async def test_a_service_that_never_accepts_is_a_failure(citizen, flaky, monkeypatch):
    await citizen.open()
    monkeypatch.setattr(citizens, "GIVE_UP", 0.05)
    flaky.refused = 10**6
    with pytest.raises(NotAccepted, match="not accepted"):
        await citizen.send("你好")


async def test_the_log_is_read_from_what_is_known(citizen):
    talk = await citizen.open()
    await citizen.say("你好")
    kept = dict(talk.messages)
    for seq in (2, 3):
        del talk.messages[seq]
    assert talk.cursor == 1
    await citizen.pull(talk)
    assert talk.messages == kept
    assert citizen.tally.faults == []


async def test_a_message_that_changes_is_a_fault(citizen):
    talk = await citizen.open()
    talk.messages[1] = talk.messages[1] | {"text": "别的话"}
    citizen._take(talk, await citizen.whole_log(talk))
    [fault] = citizen.tally.faults
    assert "seq 1 was shown as" in fault


async def test_nothing_is_begun_when_the_run_is_over(citizen):
    await citizen.open()
    citizen.gone.set()
    with pytest.raises(Stopped):
        await citizen.say("你好")
