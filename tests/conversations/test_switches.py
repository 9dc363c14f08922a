"""What staff switch is in force within seconds, on record, and undone as easily."""

import pytest

from bot.conversations import switches
from bot.conversations.models import HandOver
from bot.conversations.switches import Switchboard, set_switch
from bot.errors import HotlineError, Problem
from bot.storage import DatabaseDown
from tests.harness import policy

REASON = "测试"


def switch(hotline, key, value, reason=REASON):
    with hotline.sessions.begin() as session:
        set_switch(session, key, value, reason=reason, by="staff:wang", now=hotline.clock())
    # Seconds later, in every process.
    hotline.turns.switchboard._read_at = float("-inf")


async def test_a_notice_is_said_once_before_the_next_answer(hotline):
    talk = await hotline.open()
    switch(hotline, "notice", "今晚22点至24点系统维护。")
    assert [r["text"] for r in await talk.say("你好")] == ["今晚22点至24点系统维护。", "收到：你好"]
    assert [r["text"] for r in await talk.say("在吗")] == ["收到：在吗"]
    switch(hotline, "notice", "维护推迟到明晚。")
    assert (await talk.say("好"))[0]["text"] == "维护推迟到明晚。"
    switch(hotline, "notice", "")
    assert [r["text"] for r in await (await hotline.open()).say("你好")] == ["收到：你好"]


async def test_a_new_conversation_begins_with_the_notice(hotline):
    switch(hotline, "notice", "今晚22点至24点系统维护。")
    talk = await hotline.open()
    assert [m["text"] for m in await talk.log()][1:] == ["今晚22点至24点系统维护。"]
    assert [r["text"] for r in await talk.say("你好")] == ["收到：你好"]


async def test_with_the_bot_off_everybody_waits_for_a_person(hotline):
    talk = await hotline.open()
    switch(hotline, "bot_off", True)
    [reply] = await talk.say("电梯维保能延长吗")
    assert reply["answer"]["kind"] == "handoff" and "机器人服务暂停" in reply["text"]
    assert hotline.engine.calls == []
    with hotline.readers() as session:
        assert [h.reason for h in session.query(HandOver)] == ["机器人停用"]
    assert (await talk.say("救命 着火了 我们被困在厂房里"))[0]["answer"]["kind"] == "emergency"
    switch(hotline, "bot_off", False)
    assert (await talk.say("你好"))[0]["text"] == "收到：你好"


async def test_people_first_calls_a_person_before_the_bot_answers(hotline):
    switch(hotline, "people_first", True)
    talk = await hotline.open()
    [reply] = await talk.say("电梯维保能延长吗")
    assert reply["answer"]["kind"] == "handoff"
    # While waiting, the bot may help.
    assert (await talk.say("你好"))[0]["text"] == "收到：你好"


async def test_a_withdrawn_answer_is_not_given_and_its_reason_not_told(hotline):
    talk = await hotline.open()
    hotline.engine.script |= {"电梯": policy(9), "电梯和条码": policy(9, 12)}
    switch(hotline, "withdrawn:9", True, "国家出了新规定")
    [reply] = await talk.say("电梯")
    assert (reply["answer"]["kind"], reply["answer"]["measures"]) == ("fallback", [])
    assert (
        "第九条" in reply["text"]
        and "新规定" not in reply["text"]
        and "电梯维保企业可以" not in reply["text"]
    )
    both = await talk.say("电梯和条码")
    assert [r["answer"]["measures"] for r in both] == [[12], []]
    switch(hotline, "withdrawn:9", False)
    assert (await talk.say("电梯"))[0]["answer"]["measures"] == [9]


async def test_validity_changes_for_one_measure_or_for_the_whole_notice(hotline):
    talk = await hotline.open()
    hotline.engine.script |= {"电梯": policy(9), "条码": policy(12), "都问": policy(9, 12)}

    async def state(text):
        return (await talk.say(text))[0]["answer"]["validity"]

    assert await state("电梯") == "unknown"
    switch(hotline, "validity:9", "lapsed")
    assert (await state("电梯"), await state("条码")) == ("lapsed", "unknown")
    # What is not true of both is not said.
    assert await state("都问") == "unknown"
    switch(hotline, "validity", "in_force")
    assert (await state("电梯"), await state("条码")) == ("lapsed", "in_force")
    switch(hotline, "validity:9", "")
    assert await state("电梯") == "in_force"


async def test_a_switch_works_within_five_seconds_without_a_restart(hotline):
    now = [0.0]
    board = Switchboard(hotline.readers, monotonic=lambda: now[0])
    assert board.current().bot_off is False
    with hotline.sessions.begin() as session:
        set_switch(session, "bot_off", True, reason=REASON, by="staff:wang", now=hotline.clock())
    now[0] = 4.9
    assert board.current().bot_off is True


def test_the_last_known_switches_hold_while_the_database_is_down(hotline):
    now = [0.0]

    def readers():
        if now[0] > 0:
            raise DatabaseDown("down")
        return hotline.readers()

    with hotline.sessions.begin() as session:
        set_switch(session, "bot_off", True, reason=REASON, by="staff:wang", now=hotline.clock())
    board = Switchboard(readers, monotonic=lambda: now[0])
    assert board.current().bot_off is True
    now[0] = 60.0
    assert board.current().bot_off is True


def test_every_change_stays_on_record_with_its_reason(hotline):
    switch(hotline, "bot_off", True, "模型异常")
    switch(hotline, "bot_off", False, "已恢复")
    with hotline.readers() as session:
        assert [(s.value, s.reason, s.set_by) for s in switches.history(session)] == [
            (False, "已恢复", "staff:wang"),
            (True, "模型异常", "staff:wang"),
        ]
        assert [s.value for s in switches.in_force(session)] == [False]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bot_off", "yes"),
        ("notice", "长" * 301),
        ("notice", None),
        ("withdrawn", True),
        ("withdrawn:0", True),
        ("withdrawn:x", True),
        ("validity:9", "maybe"),
        ("nonsense", True),
        ("notice:3", "x"),
    ],
)
def test_a_wrong_switch_is_refused(hotline, key, value):
    with pytest.raises(HotlineError) as caught:
        switch(hotline, key, value)
    assert caught.value.problem is Problem.MALFORMED


def test_a_change_without_a_reason_is_refused(hotline):
    with pytest.raises(HotlineError) as caught:
        switch(hotline, "bot_off", True, "  ")
    assert caught.value.problem is Problem.REASON_NEEDED
