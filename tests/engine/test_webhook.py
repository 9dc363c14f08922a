"""Answers of the action webhook: the same are right and wrong as by Rasa's own check."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import ValidationError, validate
from rasa.core.actions.action import RemoteAction

from bot.engine import webhook

RIGHT: list[dict[str, Any]] = [
    {"events": [], "responses": []},
    {"events": [{"event": "slot", "name": "intake", "value": "done", "timestamp": None}], "responses": []},
    {"responses": [{"text": None, "custom": {"compose": "ready"}}]},
    {"events": [{"event": "action", "name": "action_listen", "timestamp": 1.0}]},
]
WRONG: list[Any] = [
    [], "text", {"events": "none"}, {"events": [{"name": "no event"}]}, {"responses": ["text"]},
    {"events": [{"event": "slot"}]},
]  # fmt: skip


@pytest.mark.parametrize("answer", RIGHT)
def test_what_is_right(answer: dict[str, Any]) -> None:
    validate(answer, RemoteAction.action_response_format_spec())
    assert webhook.check(answer)


@pytest.mark.parametrize("answer", WRONG)
def test_what_is_wrong(answer: Any) -> None:
    with pytest.raises(ValidationError):
        validate(answer, RemoteAction.action_response_format_spec())
    with pytest.raises(ValidationError, match="action webhook"):
        webhook.check(answer)


def test_remote_actions_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteAction, "_validate_action_result", RemoteAction._validate_action_result)
    webhook.install()
    action = RemoteAction("action_ask_status", None)
    assert action._validate_action_result(RIGHT[0])
    with pytest.raises(ValidationError, match="action webhook"):
        action._validate_action_result(WRONG[2])
