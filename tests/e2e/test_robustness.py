"""Bad input, repeated deliveries, long conversations: an answer or a clear error, and nothing is lost."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest


def message(text: str) -> dict[str, str]:
    return {"client_message_id": uuid.uuid4().hex, "text": text}


@pytest.mark.parametrize(
    "text",
    [
        "/restart", "/policy", "/intake_form", "/session_start", '/affirm{"intake": "done"}',
        "'; DROP TABLE messages; --", "<script>alert(1)</script>", "\u200b\u200d", "😀😀😀", "。。。！！", "\x07",
        "a" * 2000, "好" * 2000, "1" * 2000, "ﷺ" * 100, "{intake}", "{{7*7}}", "%s%n", "http://a.b/c?d=e",
    ],
)  # fmt: skip
def test_odd_texts_are_answered(talk, text: str) -> None:
    response = talk.http.post(f"{talk.path}/messages", json=message(text), headers=talk.headers)
    assert response.status_code == 200, response.text
    replies = response.json()["replies"]
    assert replies
    assert all(reply["text"] for reply in replies)
    # The engine has understood something: this is no failure told politely.
    assert "系统没能处理" not in replies[0]["text"]
    assert talk.log()[1]["text"] == text.strip()
    assert talk.say("你好")[0]["answer"]["kind"] == "chitchat"


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "malformed"),
        (b"{", 422, "malformed"),
        (b"\x00\xff\xfe", 422, "malformed"),
        (b"[1, 2]", 422, "malformed"),
        (b"x" * 100_000, 413, "too_large"),
        (b'{"client_message_id": "message-1", "text": "' + b"a" * 2001 + b'"}', 413, "too_long"),
        (b'{"client_message_id": "message-1", "text": ""}', 422, "empty"),
    ],
    ids=["empty", "broken", "binary", "list", "100 kB", "2001 characters", "empty text"],
)
def test_bad_bodies_get_a_clear_error(talk, content: bytes, status: int, code: str) -> None:
    headers = talk.headers | {"Content-Type": "application/json"}
    response = talk.http.post(f"{talk.path}/messages", content=content, headers=headers)
    assert (response.status_code, response.json()["error"]["code"]) == (status, code)
    assert len(talk.log()) == 1


def test_a_large_body_of_unknown_length_is_refused(talk) -> None:
    chunks = (b"x" * 10_000 for _ in range(20))
    response = talk.http.post(f"{talk.path}/messages", content=chunks, headers=talk.headers)
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


def test_an_unknown_conversation(talk) -> None:
    response = talk.http.post(
        f"/api/v1/conversations/{uuid.uuid4()}/messages", json=message("a"), headers=talk.headers
    )
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_conversation")


def test_a_repeated_delivery_is_one_turn(talk) -> None:
    with ThreadPoolExecutor(5) as pool:
        responses = list(pool.map(lambda _: talk.send("电梯维保能延长吗", "message-1"), range(5)))
    assert {response.status_code for response in responses} == {200}
    assert all(response.json() == responses[0].json() for response in responses)
    assert talk.send("电梯维保能延长吗", "message-1").json() == responses[0].json()
    assert [m["author"] for m in talk.log()] == ["bot", "user", "bot"]


def test_messages_at_once_are_answered_each_and_in_order(talk) -> None:
    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(talk.send, [f"第{n}条讲什么" for n in range(1, 17)]))
    for number, response in enumerate(responses, 1):
        [reply] = response.json()["replies"]
        assert reply["answer"]["measures"] == [number]
    assert [m["seq"] for m in talk.log()] == list(range(1, 34))


def test_three_hundred_turns_change_nothing(talk) -> None:
    texts = ["你好", "电梯维保能延长吗", "那要交钱吗", "谢谢", "许可证快到期了怎么换", "今天天气怎么样"]
    for n in range(299):
        assert talk.say(texts[n % len(texts)])
    [reply] = talk.say("电梯维保能延长吗")
    assert reply["answer"]["measures"] == [9]
    [reply] = talk.say("那要交钱吗")
    assert (reply["answer"]["kind"], reply["answer"]["measures"]) == ("policy", [9])
    log = talk.log()
    assert [m["seq"] for m in log] == list(range(1, len(log) + 1))
    assert len([m for m in log if m["author"] == "user"]) == 301


def test_engine_and_webhook_are_not_for_everybody(instance) -> None:
    engine = f"http://127.0.0.1:{instance.config.engine_port}"
    body = {"conversation_id": "c1", "message_id": "m1", "text": "你好"}
    assert instance.http.post(f"{engine}/webhooks/turn/webhook", json=body).status_code == 401
    assert (
        instance.http.post(
            f"{engine}/webhooks/rest/webhook", json={"sender": "a", "message": "b"}
        ).status_code
        == 404
    )
    assert instance.http.get(f"{engine}/conversations/c1/tracker").status_code in (401, 404)
    webhook = f"http://127.0.0.1:{instance.config.actions_port}/webhook"
    assert instance.http.post(f"{webhook}/guess", json={}).status_code == 401
