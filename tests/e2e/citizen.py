"""A citizen at the public API."""

from __future__ import annotations

import uuid
from typing import Any

import httpx


class Talk:
    """A conversation through the public API."""

    def __init__(self, http: httpx.Client) -> None:
        opened = http.post("/api/v1/conversations", json={"channel": "widget"})
        assert opened.status_code == 201, opened.text
        self.http = http
        self.id: str = opened.json()["conversation_id"]
        self.path = f"/api/v1/conversations/{self.id}"
        self.headers = {"Authorization": f"Bearer {opened.json()['token']}"}

    def send(self, text: str, message_id: str = "") -> httpx.Response:
        """The response to a text."""
        body = {"client_message_id": message_id or uuid.uuid4().hex, "text": text}
        return self.http.post(f"{self.path}/messages", json=body, headers=self.headers)

    def say(self, text: str) -> list[dict[str, Any]]:
        """The replies to a text that must be answered."""
        response = self.send(text)
        assert response.status_code == 200, response.text
        replies: list[dict[str, Any]] = response.json()["replies"]
        assert replies
        assert all(reply["text"] and reply["answer"]["kind"] for reply in replies)
        return replies

    def log(self, after: int = 0) -> list[dict[str, Any]]:
        """The log after a seq."""
        messages: list[dict[str, Any]] = []
        while True:
            response = self.http.get(f"{self.path}/messages", params={"after": after}, headers=self.headers)
            assert response.status_code == 200, response.text
            if not (page := response.json()["messages"]):
                return messages
            messages += page
            after = page[-1]["seq"]

    def fill(self, replies: list[dict[str, Any]], answers: dict[str, str]) -> dict[str, Any]:
        """Answer what the intake asks until the summary; gives the message that shows it."""
        for _ in range(12):
            asked = asked_in(replies)
            if asked == "review":
                return replies[-1]
            replies = self.say(answers[asked])
        raise AssertionError(f"no summary after twelve answers: {replies}")


def asked_in(replies: list[dict[str, Any]]) -> str:
    """Which field the intake asks for."""
    return str(replies[-1]["card"]["intake"]["asked"])
