"""The desk's calls on conversations, beside a gateway on the same database."""

import asyncio

import pytest
from sqlalchemy import select

from bot.audit import AuditEntry
from bot.conversations.models import Conversation
from bot.desk import conversations_api
from bot.settings import ROOT
from bot.staff import accounts
from bot.staff.models import Role
from tests.desk.conftest import PASSWORD


@pytest.fixture
async def waiting(desk, hotline):
    """A citizen who told the story and asked for a person."""
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    talk = await hotline.open()
    await talk.say("口罩质量有问题，我电话13904321187")
    await talk.say("人工")
    return talk


def path(talk, call):
    return f"/api/v1/conversations/{talk.id}/{call}"


def audited(desk):
    with desk.readers() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id))
        return [(r.actor, r.action) for r in rows if r.action.startswith("conversation.")]


async def test_twenty_agents_claim_at_once(desk, waiting):
    with desk.sessions.begin() as session:
        people = [
            accounts.add_staff(session, f"agent{n}", f"值班员{n}", Role.AGENT, PASSWORD, now=desk.clock())
            for n in range(20)
        ]
    clients = [desk.client(staff) for staff in people]
    answers = await asyncio.gather(*(c.post(path(waiting, "claim")) for c in clients))
    assert sorted(a.status_code for a in answers) == [200] + [409] * 19
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"taken"}
    won = next(a.json() for a in answers if a.status_code == 200)
    with desk.readers() as session:
        assert session.get_one(Conversation, waiting.id).owner_name == won["owner_name"]
    assert len(audited(desk)) == 1


async def test_from_the_queue_to_the_end(desk, waiting):
    agent = desk.client(desk.agent)
    queue = (await agent.get("/api/v1/queue")).json()
    assert [(w["conversation_id"], w["reason"], w["urgent"]) for w in queue["waiting"]] == [
        (waiting.id, "要求人工", False)
    ]
    assert (await agent.post(path(waiting, "claim"))).json()["owner_name"] == "王敏"
    queue = (await agent.get("/api/v1/queue")).json()
    assert (queue["waiting"], [c["conversation_id"] for c in queue["mine"]]) == ([], [waiting.id])
    body = {"client_message_id": "desk-0001", "text": "您好，请讲。"}
    said = await agent.post(path(waiting, "staff-messages"), json=body)
    again = await agent.post(path(waiting, "staff-messages"), json=body)
    assert (said.status_code, said.json()) == (201, again.json())
    assert [m["text"] for m in await waiting.log() if m["author"] == "staff"] == ["您好，请讲。"]
    assert (await agent.post(path(waiting, "typing"))).status_code == 204
    assert (await agent.post(path(waiting, "close"))).json()["owner"] == "bot"
    assert [action for _, action in audited(desk)] == ["conversation.claim", "conversation.close"]


async def test_the_transcript_is_masked_until_asked_for_and_the_look_is_audited(desk, waiting):
    agent = desk.client(desk.agent)
    shown = (await agent.get(path(waiting, "log"))).json()
    assert "139****1187" in shown["messages"][1]["text"] and "13904321187" not in str(shown)
    assert shown["messages"][1]["reading"]["text"]
    assert audited(desk) == []
    shown = (await agent.get(path(waiting, "log"), params={"unmask": "回电核实"})).json()
    assert "13904321187" in shown["messages"][1]["text"]
    assert audited(desk) == [("staff:agent", "conversation.unmask")]


async def test_only_the_owner_speaks_lets_go_and_hands_on(desk, waiting):
    await desk.client(desk.agent).post(path(waiting, "claim"))
    other = desk.client(desk.lead)
    for call, body in (
        ("staff-messages", {"client_message_id": "desk-0001", "text": "我来"}),
        ("release", {"to": "queue"}),
        ("close", {}),
        ("transfer", {"to": "lead"}),
    ):
        answer = await other.post(path(waiting, call), json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_yours"), call


async def test_a_colleague_takes_over_and_gives_back(desk, waiting):
    agent, lead = desk.client(desk.agent), desk.client(desk.lead)
    await agent.post(path(waiting, "claim"))
    assert (await agent.post(path(waiting, "transfer"), json={"to": "nobody"})).status_code == 422
    assert (await agent.post(path(waiting, "transfer"), json={"to": "lead"})).json()["owner_name"] == "李强"
    assert (await lead.post(path(waiting, "release"), json={"to": "queue"})).json()["owner"] == "bot"
    assert len((await agent.get("/api/v1/queue")).json()["waiting"]) == 1
    await agent.post(path(waiting, "claim"))
    assert (await agent.post(path(waiting, "release"))).json()["owner"] == "bot"
    assert (await agent.get("/api/v1/queue")).json()["waiting"] == []


async def test_notes_are_for_staff_only(desk, waiting):
    agent = desk.client(desk.agent)
    assert (await agent.post(path(waiting, "notes"), json={"body": "来电人着急"})).status_code == 201
    [note] = (await agent.get(path(waiting, "log"))).json()["notes"]
    assert (note["by"], note["body"]) == ("王敏", "来电人着急")
    assert "来电人着急" not in str(await waiting.log())


async def test_a_call_back_is_listed_rung_and_done(desk, hotline):
    talk = await hotline.open()
    await talk.say("登记回电")
    await talk.say("13904321187")
    agent = desk.client(desk.agent)
    [row] = (await agent.get("/api/v1/queue")).json()["call_backs"]
    assert (row["phone"], row["overdue"]) == ("139****1187", False)
    desk.clock.advance(minutes=31)
    assert (await agent.get("/api/v1/queue")).json()["call_backs"][0]["overdue"] is True
    assert (await agent.get(f"/api/v1/call-backs/{row['id']}/phone")).json() == {"phone": "13904321187"}
    assert audited(desk) == [("staff:agent", "conversation.call_back_phone")]
    assert (await agent.post(f"/api/v1/call-backs/{row['id']}", json={"note": "已答复"})).status_code == 200
    assert (await agent.get("/api/v1/queue")).json()["call_backs"] == []


@pytest.mark.parametrize("call", ["claim", "notes", "log"])
async def test_what_does_not_exist_is_said(desk, call):
    agent = desk.client(desk.agent)
    url = f"/api/v1/conversations/nowhere/{call}"
    answer = await (agent.get(url) if call == "log" else agent.post(url, json={"body": "x"}))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_conversation")


async def test_bad_words_are_refused(desk, waiting):
    agent = desk.client(desk.agent)
    await agent.post(path(waiting, "claim"))
    for body, code in (
        ({"client_message_id": "desk-0001", "text": "  \x00 "}, "empty"),
        ({"client_message_id": "desk-0001", "text": "长" * 2001}, "malformed"),
        ({"client_message_id": "x", "text": "好"}, "malformed"),
        ({"text": "好"}, "malformed"),
    ):
        answer = await agent.post(path(waiting, "staff-messages"), json=body)
        assert answer.json()["error"]["code"] == code
    assert [m for m in await waiting.log() if m["author"] == "staff"] == []


def test_every_call_is_in_the_document():
    told = (ROOT / "docs" / "desk.md").read_text("utf-8")
    for route in conversations_api.router.routes:
        for method in route.methods:
            assert f"`{method} {route.path}`" in told
