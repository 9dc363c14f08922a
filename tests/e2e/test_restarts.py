"""Processes that are killed: nothing that a citizen said or was told is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import uuid

import httpx
import pytest

from tests.e2e.citizen import asked_in

ANSWERS = {
    "respondent": "百惠乐超市，在二道区东盛大街",
    "respondent_address": "二道区东盛大街",
    "facts": "买的酸奶过期半个月了",
    "request": "退钱",
    "name": "孙月",
}


def test_the_engine_is_killed_in_the_middle_of_an_intake(instance, talk) -> None:
    asked = asked_in(talk.say("我要投诉"))
    instance.kill(instance.supervisor.engine)
    # Meanwhile there is an answer all the same, and a person.
    [reply] = talk.say("百惠乐超市，在二道区东盛大街")
    assert reply["answer"]["kind"] == "handoff"
    assert "已转给值班人员" in reply["text"]
    assert talk.say("着火了")[0]["answer"]["kind"] == "emergency"
    instance.wait_until_ready()
    replies = talk.say("百惠乐超市，在二道区东盛大街")
    assert asked_in(replies) != asked
    talk.fill(replies, ANSWERS | {"phone": instance.phone()})
    [receipt] = talk.say("确认提交")
    [case] = instance.cases(talk)
    assert receipt["answer"]["case"] == case.number
    assert "百惠乐超市" in case.fields["respondent"]


def test_the_gateway_is_killed_between_two_turns_of_an_intake(instance, talk) -> None:
    replies = talk.say("我要投诉")
    replies = talk.say(ANSWERS["respondent"])
    before = talk.log()
    instance.kill(instance.supervisor.gateway)
    instance.wait_until_ready()
    assert talk.log() == before
    talk.fill(replies, ANSWERS | {"phone": instance.phone()})
    [receipt] = talk.say("确认提交")
    [case] = instance.cases(talk)
    assert receipt["answer"]["case"] == case.number


@pytest.mark.parametrize("delay", [0.005, 0.03, 0.08])
def test_the_gateway_is_killed_while_a_case_is_lodged(instance, talk, delay: float) -> None:
    talk.fill(talk.say("我要投诉"), ANSWERS | {"phone": instance.phone()})
    message_id = uuid.uuid4().hex

    def send() -> None:
        with httpx.Client(base_url=instance.http.base_url, trust_env=False, timeout=10) as http:
            body = {"client_message_id": message_id, "text": "确认提交"}
            # The process that should answer is dead.
            with contextlib.suppress(httpx.HTTPError):
                http.post(f"{talk.path}/messages", json=body, headers=talk.headers)

    sending = threading.Thread(target=send)
    sending.start()
    time.sleep(delay)
    instance.kill(instance.supervisor.gateway)
    sending.join()
    instance.wait_until_ready()
    # The citizen sends the same again, as the page does.
    response = talk.send("确认提交", message_id)
    assert response.status_code == 200, response.text
    [receipt] = response.json()["replies"]
    [case] = instance.cases(talk)
    assert receipt["answer"]["kind"] == "receipt"
    assert receipt["answer"]["case"] == case.number
    told = [m["answer"]["case"] for m in talk.log() if m.get("answer", {}).get("kind") == "receipt"]
    assert told == [case.number]


def test_a_message_that_was_accepted_is_answered_by_the_next_process(instance, talk) -> None:
    engine = instance.supervisor.engine.process.pid
    message_id = uuid.uuid4().hex
    # The engine is stopped, so that the message is stored and waits when the gateway dies.
    os.kill(engine, signal.SIGSTOP)
    try:

        def send() -> None:
            with contextlib.suppress(httpx.HTTPError):
                talk.send("电梯维保能延长吗", message_id)

        sending = threading.Thread(target=send)
        sending.start()
        time.sleep(0.6)
        instance.kill(instance.supervisor.gateway)
        sending.join()
    finally:
        os.kill(engine, signal.SIGCONT)
    instance.wait_until_ready()
    deadline = time.monotonic() + 15
    while len(talk.log()) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [(m["author"], m.get("answer", {}).get("kind")) for m in talk.log()[1:]] == [
        ("user", None),
        ("bot", "policy"),
    ]


def test_a_stream_does_not_hold_up_the_stop_and_resumes_without_a_gap(instance, talk) -> None:
    gateway = instance.supervisor.gateway.process
    seen: list[int] = []

    def follow(last: int, count: int) -> None:
        headers = talk.headers | {"Last-Event-ID": str(last)}
        with instance.http.stream("GET", f"{talk.path}/events", headers=headers) as response:
            for line in response.iter_lines():
                if line.startswith("id:"):
                    seen.append(int(line[3:]))
                    if len(seen) == count:
                        return

    first = threading.Thread(target=lambda: _quietly(follow, 0, 99))
    first.start()
    talk.say("你好")
    deadline = time.monotonic() + 5
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    instance.supervisor.gateway.restarts.clear()
    begun = time.monotonic()
    gateway.send_signal(signal.SIGTERM)
    gateway.wait(10)
    assert time.monotonic() - begun < 4
    first.join(10)
    instance.wait_until_ready()
    talk.say("谢谢")
    follow(seen[-1], 5)
    assert seen == [1, 2, 3, 4, 5] == [m["seq"] for m in talk.log()]


def _quietly(follow, *arguments) -> None:
    with contextlib.suppress(httpx.HTTPError):
        follow(*arguments)
