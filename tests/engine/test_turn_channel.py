"""The engine's channel: only with the token, only whole turns, and a failure is told."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from rasa.core.channels.channel import UserMessage

from bot.engine.channel import TurnInput
from bot.engine.tracker_store import TURN

GOOD = {"conversation_id": "c1", "message_id": "m1", "text": "电梯维保能延长吗", "context": {"focus": [9]}}


class Agent:
    """Takes the message as Rasa would."""

    def __init__(self, fails: Exception | None = None, says: Any = ({"compose": "policy"},)) -> None:
        self.fails, self.says = fails, says
        self.messages: list[UserMessage] = []
        self.turns: list[Any] = []

    async def __call__(self, message: UserMessage) -> None:
        self.messages.append(message)
        turn = TURN.get()
        self.turns.append(turn)
        if self.fails:
            raise self.fails
        for payload in self.says:
            if isinstance(payload, str):
                await message.output_channel.send_text_message(message.sender_id, payload)
            else:
                await message.output_channel.send_custom_json(message.sender_id, payload)
        parsed = {"reading": {"intent": "policy"}, "entities": [{"entity": "phone"}]}
        turn.tracker = SimpleNamespace(latest_message=SimpleNamespace(parse_data=parsed))


def routes(agent: Agent, token: str | None = "secret") -> dict[str, Any]:
    """Sanic's handlers of the blueprint by name."""
    channel = TurnInput.from_credentials({"token": token} if token is not None else None)
    blueprint = channel.blueprint(agent)
    return {route.handler.__name__: route.handler for route in blueprint._future_routes}


def post(agent: Agent, body: Any, token: str = "secret", expected: str | None = "secret") -> tuple[int, Any]:
    request = SimpleNamespace(headers={"x-hotline-token": token}, json=body)
    response = asyncio.run(routes(agent, expected)["receive"](request))
    return response.status, json.loads(response.body)


def test_a_turn() -> None:
    agent = Agent()
    status, body = post(agent, GOOD)
    assert (status, body) == (
        200,
        {
            "replies": [{"compose": "policy"}],
            "reading": {"intent": "policy"},
            "entities": [{"entity": "phone"}],
        },
    )
    [message] = agent.messages
    assert (message.text, message.sender_id, message.message_id) == (GOOD["text"], "c1", "m1")
    assert message.metadata == {"context": {"focus": [9]}, "message_id": "m1", "text": GOOD["text"]}
    assert agent.turns[0].intake is False
    assert TURN.get() is None


@pytest.mark.parametrize(
    ("given", "expected"), [("wrong", "secret"), ("", "secret"), ("", ""), ("", None), ("ä", "secret")]
)
def test_without_the_token_nothing_runs(given: str, expected: str | None) -> None:
    agent = Agent()
    assert post(agent, GOOD, given, expected) == (401, {"error": "token"})
    assert agent.messages == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {**GOOD, "text": ""},
        {**GOOD, "text": 5},
        {**GOOD, "conversation_id": None},
        {"text": "你好"},
    ],
)
def test_what_is_no_turn_is_refused(body: Any) -> None:
    agent = Agent()
    assert post(agent, body) == (400, {"error": "malformed"})
    assert agent.messages == []


def test_a_failure_is_told_and_no_empty_answer() -> None:
    assert post(Agent(fails=RuntimeError("电话13904321187")), GOOD) == (500, {"error": "RuntimeError"})
    assert TURN.get() is None


@pytest.mark.parametrize("text", ["/restart", "/policy", "//x", "/"])
def test_nobody_names_an_intent(text: str) -> None:
    agent = Agent()
    assert post(agent, {**GOOD, "text": text})[0] == 200
    assert not agent.messages[0].text.startswith("/")
    assert agent.messages[0].metadata["text"] == text


@pytest.mark.parametrize(("intake", "runs"), [("T", True), ("", False), (None, False)])
def test_the_context_says_whether_an_intake_runs(intake: Any, runs: bool) -> None:
    agent = Agent()
    post(agent, {**GOOD, "context": {"intake": intake}})
    assert agent.turns[0].intake is runs


@pytest.mark.parametrize("context", [None, [], "x"])
def test_a_context_of_the_wrong_shape_is_empty(context: Any) -> None:
    agent = Agent()
    assert post(agent, {**GOOD, "context": context})[0] == 200
    assert agent.messages[0].metadata["context"] == {}


def test_only_payloads_are_replies() -> None:
    assert post(Agent(says=("bare text", {"compose": "unclear"})), GOOD)[1]["replies"] == [
        {"compose": "unclear"}
    ]


class Processor:
    """Reads as Rasa's processor would; nothing else of Rasa is there to be called."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails
        self.messages: list[UserMessage] = []

    async def parse_message(self, message: UserMessage) -> dict[str, Any]:
        self.messages.append(message)
        if self.fails:
            raise self.fails
        return {"reading": {"intent": "complaint"}, "entities": [{"entity": "phone"}], "intent": {}}


def read_only(processor: Processor, agent: Agent, text: str = "我要投诉") -> tuple[int, Any]:
    body = {**GOOD, "text": text, "context": {"read_only": True, "focus": [9]}}
    app = SimpleNamespace(ctx=SimpleNamespace(agent=SimpleNamespace(processor=processor)))
    request = SimpleNamespace(headers={"x-hotline-token": "secret"}, json=body, app=app)
    response = asyncio.run(routes(agent)["receive"](request))
    return response.status, json.loads(response.body)


def test_reading_only_runs_no_turn() -> None:
    processor, agent = Processor(), Agent()
    assert read_only(processor, agent) == (
        200,
        {"replies": [], "reading": {"intent": "complaint"}, "entities": [{"entity": "phone"}]},
    )
    assert agent.messages == []
    assert processor.messages[0].metadata["context"]["focus"] == [9]


def test_reading_only_names_no_intent_either_and_tells_a_failure() -> None:
    processor = Processor(fails=RuntimeError("电话13904321187"))
    assert read_only(processor, Agent(), "/restart") == (500, {"error": "RuntimeError"})
    assert not processor.messages[0].text.startswith("/")


def test_health() -> None:
    response = asyncio.run(routes(Agent())["health"](SimpleNamespace()))
    assert (response.status, json.loads(response.body)) == (200, {"status": "ok"})
