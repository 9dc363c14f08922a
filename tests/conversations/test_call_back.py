"""Nobody free: an honest word, a call-back with a time, no loop."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select

from bot.conversations import call_back
from bot.conversations.models import CallBack
from bot.staff.models import Staff, StaffSession


def at_the_desk(hotline, minutes_ago=0):
    with hotline.sessions.begin() as session:
        now = hotline.clock()
        staff = Staff(
            id=str(uuid.uuid4()),
            username="wang",
            name="王芳",
            role="agent",
            password_hash="!",
            created_at=now,
        )
        session.add(staff)
        session.flush()
        session.add(
            StaffSession(
                token_hash=uuid.uuid4().hex,
                staff_id=staff.id,
                kind="page",
                created_at=now,
                last_used_at=now - timedelta(minutes=minutes_ago),
                expires_at=now + timedelta(hours=1),
            )
        )


def promised(hotline):
    with hotline.readers() as session:
        return [(c.phone, c.state, c.due_at) for c in session.scalars(select(CallBack))]


@pytest.fixture
async def talk(hotline):
    hotline.engine.script["人工"] = [{"compose": "handoff"}]
    return await hotline.open()


def labels(reply):
    return [c["label"] for c in reply["choices"]]


async def test_nobody_at_the_desk_is_said_and_a_call_back_offered(hotline, talk):
    [reply] = await talk.say("人工")
    assert "没有空闲的值班人员" in reply["text"]
    assert labels(reply) == ["登记回电", "接着等"]


async def test_somebody_at_the_desk_is_waited_for(hotline, talk):
    at_the_desk(hotline)
    [reply] = await talk.say("人工")
    assert "没有空闲" not in reply["text"] and labels(reply) == []


async def test_who_left_the_desk_an_hour_ago_is_not_there(hotline, talk):
    at_the_desk(hotline, minutes_ago=60)
    [reply] = await talk.say("人工")
    assert labels(reply) == ["登记回电", "接着等"]


async def test_a_call_back_has_a_number_and_a_time(hotline, talk):
    await talk.say("人工")
    assert (await talk.say("登记回电"))[0]["text"] == "请留下方便接听的电话号码。"
    [reply] = await talk.say("13904321187")
    assert reply["text"].startswith("好的，我们会在今天15:34前给139****1187回电。")
    assert promised(hotline) == [("13904321187", "open", hotline.clock() + timedelta(minutes=30))]
    # The intake form and the engine were not asked about any of it.
    assert hotline.engine.texts == ["人工"]


async def test_a_second_number_replaces_the_first(hotline, talk):
    await talk.say("登记回电")
    await talk.say("13904321187")
    hotline.clock.advance(minutes=5)
    await talk.say("登记回电 0431-88991234")
    [(phone, state, due)] = promised(hotline)
    assert (phone, state) == ("043188991234", "open")
    assert due == hotline.clock() + timedelta(minutes=25)


async def test_digits_that_are_no_number_are_asked_for_once_more(hotline, talk):
    await talk.say("登记回电")
    assert "没看清号码" in (await talk.say("139043211"))[0]["text"]
    assert (await talk.say("139043211"))[0]["text"] == "收到：139043211"
    assert promised(hotline) == []


async def test_another_question_is_answered_and_the_call_back_forgotten(hotline, talk):
    await talk.say("登记回电")
    assert (await talk.say("电梯维保能延长吗"))[0]["text"] == "收到：电梯维保能延长吗"
    assert (await talk.say("13904321187"))[0]["text"] == "收到：13904321187"
    assert promised(hotline) == []


async def test_no_call_back_is_wanted_after_all(hotline, talk):
    await talk.say("登记回电")
    assert "不登记回电了" in (await talk.say("算了"))[0]["text"]
    assert promised(hotline) == []


async def test_the_number_of_a_running_intake_is_offered(hotline, talk):
    from bot.cases.store import open_draft, save_draft

    with hotline.sessions.begin() as session:
        draft = open_draft(session, talk.id, now=hotline.clock())
        save_draft(session, draft, data={"fields": {"phone": "13904321187"}}, now=hotline.clock())
    [reply] = await talk.say("登记回电")
    assert "139****1187" in reply["text"] and labels(reply) == ["是这个号码"]
    await talk.say("是这个号码")
    assert promised(hotline)[0][0] == "13904321187"


async def test_who_waits_three_minutes_is_told_how_it_stands_once(hotline, talk, monkeypatch):
    at_the_desk(hotline)
    await talk.say("人工")
    hotline.clock.advance(minutes=2, seconds=59)
    assert hotline.turns._offer_call_backs() == []
    hotline.clock.advance(seconds=1)
    assert hotline.turns._offer_call_backs() == [talk.id]
    last = (await talk.log())[-1]
    assert last["answer"]["kind"] == "handoff" and labels(last) == ["登记回电", "接着等"]
    hotline.clock.advance(minutes=10)
    assert hotline.turns._offer_call_backs() == []
    assert (await talk.send(choice=last["choices"][0]["id"])).status_code == 200
    assert (await talk.log())[-1]["text"] == "请留下方便接听的电话号码。"


async def test_the_gateway_tells_them_by_itself(hotline, talk, monkeypatch):
    monkeypatch.setattr("bot.conversations.turns.SWEEP_SECONDS", 0.05)
    at_the_desk(hotline)
    await talk.say("人工")
    hotline.clock.advance(minutes=4)
    async with hotline.served():
        async with asyncio.timeout(20):
            while "让您久等" not in (await talk.log())[-1]["text"]:
                await asyncio.sleep(0.02)


async def test_a_kept_promise_is_noted(hotline, talk):
    await talk.say("登记回电")
    await talk.say("13904321187")
    with hotline.sessions.begin() as session:
        [row] = session.scalars(select(CallBack))
        call_back.done(session, row.id, by="staff-1", note="已答复", given_up=False, now=hotline.clock())
    with hotline.readers() as session:
        [row] = session.scalars(select(CallBack))
        assert (row.state, row.note, row.done_at) == ("done", "已答复", hotline.clock())


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("打我手机139 0432 1187吧", "13904321187"),
        ("+86 13904321187", "13904321187"),
        ("座机0431-88991234", "043188991234"),
        ("１３９０４３２１１８７", "13904321187"),
        ("12345", ""),
        ("明天下午三点", ""),
    ],
)
def test_numbers_are_found_however_they_are_written(text, phone):
    assert call_back.phone_in(text) == phone
