"""The intake's actions in a gateway: saved at every turn, lodged once, told again after a death (promise 7)."""

import uuid

import pytest
from sqlalchemy import select

from bot.cases.models import Case, CaseDraft
from bot.conversations import log, ownership
from bot.conversations.engine import Decision, EngineFailed
from bot.conversations.models import HandOver
from bot.database import sessions
from bot.staff.models import Staff

STORY = "我在万家福超市买的米有虫子，朝阳区永昌路，要求退款，我叫王丽，13904321187"
SHOP, STREET, NAME, PHONE = "万家福超市", "朝阳区永昌路", "王丽", "13904321187"


def entity(kind, value, text=STORY):
    return {"entity": kind, "value": value, "start": text.index(value), "end": text.index(value) + len(value)}


ENTITIES = [entity("company", SHOP), entity("address", STREET), entity("name", NAME), entity("phone", PHONE)]


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture
def acting(hotline, webhook):
    """Makes the engine run the form's actions as Rasa does; `die` ends the process after the actions."""

    class Acting:
        die = False

        async def __call__(self, call):
            running = bool(call.context["intake"])
            payloads, events = await webhook(
                "validate_intake_form",
                call.conversation_id,
                call.text,
                call.message_id,
                intent="inform" if running else "complaint",
                entities=ENTITIES if call.text == STORY else [],
                topic={"确认提交": "affirm", "算了不投诉了": "cancel"}.get(call.text, "inform"),
                loop="intake_form" if running else None,
            )
            if {"event": "slot", "name": "intake", "value": None, "timestamp": None} in events:
                payloads += (await webhook("action_ask_intake", call.conversation_id))[0]
            if self.die:
                raise Killed
            return Decision(payloads, {"intent": "inform"}, [])

    step = Acting()
    for text in (
        STORY,
        "我要投诉",
        "确认提交",
        "电话错了，是13904321188",
        "不登记了",
        "算了不投诉了",
        "百惠乐超市，二道那边",
    ):
        hotline.engine.script[text] = step
    return step


def cases(hotline):
    with hotline.readers() as session:
        return list(session.scalars(select(Case)))


def draft(hotline, talk):
    with hotline.readers() as session:
        return session.scalar(select(CaseDraft).where(CaseDraft.conversation_id == talk.id))


async def dies(hotline, acting, talk, text):
    """The process is killed after the actions of `text` have committed and before the reply is stored."""
    with hotline.sessions.begin() as session:
        log.accept(
            session, log.InboundMessage(talk.id, "widget", f"{talk.id}:{uuid.uuid4()}", text), hotline.clock()
        )
    acting.die = True
    with pytest.raises(Killed):
        await hotline.turns.run(talk.id)
    acting.die = False
    hotline.restart()
    return await hotline.reopened(talk)


async def test_a_whole_intake_ends_in_one_case_with_the_confirmed_fields(hotline, acting):
    talk = await hotline.open()
    [first] = await talk.say(STORY)
    assert first["answer"]["kind"] == "complaint"
    assert "隐私" in first["card"]["privacy"]
    assert PHONE not in first["text"]
    assert "139****1187" in first["text"]
    assert "确认提交" in [c["label"] for c in first["choices"]]
    [receipt] = await talk.say("确认提交")
    [case] = cases(hotline)
    assert receipt["answer"]["kind"] == "receipt"
    assert receipt["answer"]["case"] == case.number
    assert case.number in receipt["text"]
    assert "不表示已受理" in receipt["text"]
    assert case.fields["respondent"] == SHOP
    assert case.fields["respondent_address"] == STREET
    assert (case.fields["name"], case.fields["phone"]) == (NAME, PHONE)
    assert case.conversation_id == talk.id


async def test_the_draft_is_saved_at_every_turn(hotline, acting):
    talk = await hotline.open()
    await talk.say("我要投诉")
    assert (draft(hotline, talk).asked, draft(hotline, talk).type) == ("respondent", "T")
    hotline.restart()
    talk = await hotline.reopened(talk)
    await talk.say("百惠乐超市，二道那边")
    assert "百惠乐超市" in str(draft(hotline, talk).data["fields"])
    assert hotline.engine.calls[-1].context["intake"] == "T"
    assert hotline.engine.calls[-1].context["asked"] == "respondent"


async def test_a_receipt_is_told_again_when_the_process_died_before_the_reply(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)
    talk = await dies(hotline, acting, talk, "确认提交")
    [case] = cases(hotline)
    assert (await talk.log())[-1]["author"] == "user"
    assert await hotline.turns.resume() == 1
    receipt = (await talk.log())[-1]
    assert receipt["answer"]["case"] == case.number
    assert case.number in receipt["text"]
    assert cases(hotline)[0].number == case.number
    assert len(cases(hotline)) == 1


async def test_a_receipt_is_told_when_only_the_engine_died_behind_the_action(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)

    async def dies_behind(call):
        await acting(call)
        raise EngineFailed("gone")

    hotline.engine.script["确认提交"] = dies_behind
    [receipt] = await talk.say("确认提交")
    [case] = cases(hotline)
    assert (receipt["answer"]["kind"], receipt["answer"]["case"]) == ("receipt", case.number)


async def test_a_turn_that_another_engine_begins_again_lodges_no_second_case(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)

    async def twice(call):
        await acting(call)
        return await acting(call)

    hotline.engine.script["确认提交"] = twice
    [receipt] = await talk.say("确认提交")
    [case] = cases(hotline)
    assert receipt["answer"]["case"] == case.number
    with hotline.readers() as session:
        assert [d.state for d in session.scalars(select(CaseDraft))] == ["submitted"]


async def test_a_turn_that_ends_behind_its_bound_takes_nothing_in(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)
    late = []

    async def too_slow(call):
        late.append(call)
        raise EngineFailed("TimeoutError")

    hotline.engine.script["确认提交"] = too_slow
    hotline.engine.script["电话错了，是13904321188"] = too_slow
    for text in ("电话错了，是13904321188", "确认提交"):
        [reply] = await talk.say(text)
        assert reply["answer"]["kind"] == "handoff"
    before = draft(hotline, talk).data
    for call in late:
        await acting(call)  # The engine goes on although nobody listens any more.
    assert cases(hotline) == []
    assert (draft(hotline, talk).state, draft(hotline, talk).data) == ("open", before)


async def test_a_case_lodged_while_its_failure_was_being_told_is_told_instead(hotline, acting, monkeypatch):
    talk = await hotline.open()
    await talk.say(STORY)

    async def just_too_slow(call):
        await acting(call)
        raise EngineFailed("TimeoutError")

    hotline.engine.script["确认提交"] = just_too_slow
    # The action commits after the gateway has looked for a receipt and before it stores the failure.
    monkeypatch.setattr(hotline.turns, "_receipt", lambda message: None)
    [receipt] = await talk.say("确认提交")
    [case] = cases(hotline)
    assert (receipt["answer"]["kind"], receipt["answer"]["case"]) == ("receipt", case.number)
    with hotline.readers() as session:
        assert session.scalar(select(HandOver)) is None


async def test_a_receipt_is_told_although_a_person_came_when_the_process_had_died(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)
    talk = await dies(hotline, acting, talk, "确认提交")
    with hotline.sessions.begin() as session:
        wang = Staff(
            id="wang",
            username="wang",
            name="王芳",
            role="agent",
            password_hash="!",
            created_at=hotline.clock(),
        )
        session.add(wang)
        session.flush()
        ownership.claim(session, talk.id, wang, now=hotline.clock())
    await hotline.turns.resume()
    [case] = cases(hotline)
    assert (await talk.log())[-1]["answer"]["case"] == case.number


async def test_words_are_taken_in_once_when_the_process_died_before_the_reply(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)
    talk = await dies(hotline, acting, talk, "电话错了，是13904321188")
    before = draft(hotline, talk).data
    await hotline.turns.resume()
    reply = (await talk.log())[-1]
    assert "139****1188" in reply["text"]
    assert draft(hotline, talk).data == before
    await talk.say("确认提交")
    assert cases(hotline)[0].fields["phone"] == "13904321188"


async def test_an_intake_begun_by_a_process_that_died_is_begun_once(hotline, acting):
    talk = await hotline.open()
    talk = await dies(hotline, acting, talk, STORY)
    before = draft(hotline, talk).data
    await hotline.turns.resume()
    [reply] = (await talk.log())[2:]
    assert reply["answer"]["kind"] == "complaint"
    assert "隐私" in reply["card"]["privacy"]
    assert draft(hotline, talk).data == before


async def test_an_intake_is_cancelled_after_one_question(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)
    await talk.say("算了不投诉了")
    [reply] = await talk.say("不登记了")
    assert "没有登记" in reply["text"]
    row = draft(hotline, talk)
    assert (row.state, row.data) == ("cancelled", {})
    assert cases(hotline) == []


async def test_nothing_on_disk_shows_the_phone_number(hotline, acting):
    talk = await hotline.open()
    await talk.say(STORY)
    [receipt] = await talk.say("确认提交")
    await talk.say(f"查{receipt['answer']['case']} {PHONE}")
    hotline.close()
    sessions().kw["bind"].dispose()
    stored = b"".join(path.read_bytes() for path in hotline.config.home_dir.iterdir() if path.is_file())
    assert talk.id.encode() in stored
    for secret in (PHONE, PHONE[3:], NAME, SHOP, STREET):
        assert secret.encode() not in stored
        assert secret.encode("utf-16-le") not in stored


async def test_an_interruption_leaves_the_draft_alone(hotline, acting, webhook):
    talk = await hotline.open()
    await talk.say(STORY)
    before = draft(hotline, talk).data
    payloads, events = await webhook(
        "validate_intake_form", talk.id, "电梯维保能延长吗", "m9", intent="policy", loop="intake_form"
    )
    assert (payloads, events) == ([], [])
    assert draft(hotline, talk).data == before
    [question], _ = await webhook("action_ask_intake", talk.id)
    assert question["kind"] == "intake"
    assert "139****1187" in question["text"]


async def test_asking_without_a_draft_says_nothing(webhook):
    assert await webhook("action_ask_intake", "nobody") == ([], [])


async def test_a_complaint_that_wants_the_shop_punished_becomes_two_cases(hotline, webhook):
    talk = await hotline.open()
    text = "在万家福超市买的米有虫子，我要投诉他退钱，还要举报让你们查处"
    [payload], _ = await webhook(
        "validate_intake_form",
        talk.id,
        text,
        "m1",
        intent="complaint",
        entities=[entity("company", SHOP, text)],
    )
    assert "分开办理" in payload["text"]
    assert draft(hotline, talk).data["also_report"] is True


@pytest.mark.parametrize("act", ["cancel", "deny", "skip", "affirm", "inform"])
async def test_a_pressed_button_is_the_answer_whatever_the_classifier_reads(hotline, webhook, act):
    talk = await hotline.open()
    await webhook("validate_intake_form", talk.id, "我想提个意见建议", "m1", intent="suggestion")
    story = "建议把办证要的材料贴在大厅门口，省得来回跑"
    await webhook(
        "validate_intake_form", talk.id, story, "m2", intent="inform", topic="suggestion", loop="intake_form"
    )
    assert draft(hotline, talk).asked == "name"
    await webhook(
        "validate_intake_form", talk.id, "不留了", "m3", intent="inform", topic=act, loop="intake_form"
    )
    assert draft(hotline, talk).asked == "review"


@pytest.mark.parametrize(
    ("label", "asked"), [("确认提交", None), ("改一处", "which"), ("不提交了", "cancel")]
)
async def test_the_buttons_of_the_summary_do_what_they_say(hotline, webhook, acting, label, asked):
    talk = await hotline.open()
    [summary] = await talk.say(STORY)
    assert label in [choice["label"] for choice in summary["choices"]]
    await webhook(
        "validate_intake_form", talk.id, label, "m2", intent="inform", topic="oos", loop="intake_form"
    )
    assert draft(hotline, talk).asked == asked
    assert len(cases(hotline)) == (label == "确认提交")
