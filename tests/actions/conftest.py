"""Actions as the engine calls them: through the webhook, on the database of a gateway."""

from datetime import datetime

import httpx
import pytest

from bot.cases import store
from bot.cases.calendar import SHANGHAI
from bot.cases.models import CaseType
from bot.channels.actions_app import create_actions_app
from bot.conversations.models import Conversation

NOW = datetime(2026, 11, 22, 15, 4, tzinfo=SHANGHAI)
PHONE = "13904321187"
FIELDS = {
    "name": "韩梅",
    "phone": PHONE,
    "respondent": "鑫隆旺超市",
    "respondent_address": "红旗街",
    "facts": "口罩一撕就破",
    "request": "退款40元",
}


@pytest.fixture
def webhook(hotline):
    """Calls an action and gives its payloads and events; what it says is kept as the gateway would."""
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_actions_app("t")), base_url="http://actions.test"
    )

    async def call(
        name, conversation_id, text="", message_id="m1", intent="", entities=(), topic="", loop=None
    ):
        latest = {
            "text": text.lower(),
            "metadata": {"text": text, "message_id": message_id},
            "entities": list(entities),
            "reading": {"intent": intent, "topic": topic, "extra": {}},
        }
        tracker = {
            "sender_id": conversation_id, "slots": {}, "latest_message": latest, "events": [], "paused": False,
            "followup_action": None, "active_loop": {"name": loop} if loop else {}, "latest_action_name": None,
        }  # fmt: skip
        body = {"next_action": name, "sender_id": conversation_id, "tracker": tracker, "domain": {}}
        response = await http.post("/webhook/t", json=body)
        assert response.status_code == 200, response.text
        result = response.json()
        return [r["custom"] for r in result["responses"]], result["events"]

    return call


@pytest.fixture
def lodge(hotline):
    """Lodges a case and gives its number."""

    def make(conversation_id="elsewhere", anonymous=False, **fields):
        kind = CaseType.REPORT if anonymous else CaseType.COMPLAINT
        with hotline.sessions.begin() as session:
            draft = store.open_draft(session, conversation_id, now=NOW)
            part = store.Part(kind, FIELDS | fields, anonymous=anonymous)
            [case] = store.submit(session, draft, parts=[part], message_id="m0", channel="widget", now=NOW)
            return case

    return make


@pytest.fixture
def remember(hotline):
    """Stores a conversation's state, as the turn does with a payload's `state`."""

    def keep(conversation_id, payload):
        with hotline.sessions.begin() as session:
            conversation = session.get_one(Conversation, conversation_id)
            conversation.state = dict(conversation.state) | payload.get("state", {})

    return keep
