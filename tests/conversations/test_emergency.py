"""Danger by rule: what fires, what must not, and that it comes before everything else."""

import pytest
import yaml
from sqlalchemy import select

from bot.conversations import emergency
from bot.conversations.engine import Decision, EngineFailed
from bot.conversations.models import Conversation, HandOver
from bot.settings import ROOT
from tests.harness import ready

NOW = [
    ("elevator", "电梯困人了"),
    ("elevator", "商场电梯里关俩人"),
    ("elevator", "電梯困人了"),
    ("elevator", "電  梯\u200b困 人 了！！！！"),
    ("elevator", "我妈困在商场的货梯里快二十分钟了，电替困住人了"),
    ("fire", "着火了"),
    ("fire", "仓库里堆的酒精烧起来了，咋整啊"),
    ("explosion", "锅炉压力表顶到头了"),
    ("explosion", "气罐要炸了快跑"),
    ("gas", "煤气漏了"),
    ("gas", "满屋子液化气味儿大得很"),
    ("poisoning", "吃完席一直上吐下泻，好像食物中毒了"),
    ("poisoning", "孩子把84喝了一口，现在上不来气"),
    ("poisoning", "我爸没气了"),
    ("injury", "货架倒了压着人了"),
    ("injury", "有人触电了"),
    ("violence", "有人拿刀在店里"),
    ("violence", "他们正打我"),
    ("suicide", "我不想活了"),
    ("suicide", "去年赔光了，投诉也没人管，我想跳楼"),
]


@pytest.mark.parametrize(("topic", "text"), NOW)
def test_danger_now_fires(topic, text):
    found = emergency.check(text)
    assert found is not None
    assert found.name == topic


def test_every_topic_is_tried():
    assert {topic for topic, _ in NOW} == set(emergency.topics())


@pytest.mark.parametrize(
    "text",
    [
        "去年电梯困过人",
        "昨天着火了，想问保险",
        "听说那家锅炉爆炸了",
        "电影里着火了",
        "万一电梯困人怎么办",
        "我要投诉，电梯夹了人要他赔钱",
        "公司搞消防演练，假装着火了",
        "压力容器许可证快到头了，给的是延期还是重发",
        "压力容器头一回取证能网上报吗",
        "企业问手持额温枪可否上门检定",
        "气炸了，叫个活人来跟我说",
        "喂不是电梯困人啊，没人困里头，我想问维保",
        "燃气灶买回来打不着火，要换一个",
        "建议在电梯里贴个救援电话，省得困了人找不着",
        "电梯维保能延长吗",
        "火锅店生意火爆",
        "",
        "😀",
    ],
)
def test_stories_suppositions_and_plain_questions_do_not_fire(text):
    assert emergency.check(text) is None


def measure_questions():
    for path in sorted((ROOT / "tests" / "measures").glob("*.yml")):
        yield from (question["ask"] for question in yaml.safe_load(path.read_text("utf-8"))["questions"])
    for path in sorted((ROOT / "nlu_data" / "measures").glob("*.yml")):
        for block in yaml.safe_load(path.read_text("utf-8"))["nlu"]:
            yield from (line[2:] for line in block["examples"].splitlines() if line.startswith("- "))


def test_no_question_about_a_measure_is_taken_for_danger():
    texts = list(measure_questions())
    assert len(texts) > 1500
    assert [text for text in texts if emergency.check(text)] == []


def test_what_is_said_names_public_numbers_before_the_question_and_promises_nothing():
    for topic in emergency.topics().values():
        assert set(topic.call) <= {"110", "119", "120"}
        assert topic.call
        assert any(number in topic.say for number in topic.call)
        assert "？" in topic.ask
        assert not any(word in topic.say + topic.ask for word in ("已派", "马上到", "赶来", "已报警"))


# -- in a conversation ------------------------------------------------------------------------------


async def waiting(hotline):
    with hotline.readers() as session:
        return [(h.reason, h.urgent, h.state) for h in session.scalars(select(HandOver))]


async def test_danger_is_answered_without_the_engine_and_a_person_is_called(hotline):
    talk = await hotline.open()
    hotline.engine.script["商场电梯里关俩人"] = EngineFailed("down")
    [reply] = await talk.say("商场电梯里关俩人")
    assert reply["answer"]["kind"] == "emergency"
    assert reply["card"] == {"call": ["119", "110"]}
    assert reply["text"].index("119") < reply["text"].index("？")
    assert hotline.engine.calls == []
    assert await waiting(hotline) == [("险情：elevator", True, "waiting")]


async def test_danger_comes_before_a_running_intake_which_goes_on_afterwards(hotline):
    talk = await hotline.open()
    hotline.engine.script["我要投诉"] = [ready("哪一家？", "complaint")]
    await talk.say("我要投诉")
    [reply] = await talk.say("着火了")
    assert reply["answer"]["kind"] == "emergency"
    await talk.say("百惠乐超市")
    assert hotline.engine.texts == ["我要投诉", "百惠乐超市"]


async def test_danger_is_answered_although_a_person_owns_the_conversation(hotline):
    talk = await hotline.open()
    with hotline.sessions.begin() as session:
        session.get_one(Conversation, talk.id).owner = "person"
    [reply] = await talk.say("有人触电了")
    assert reply["answer"]["kind"] == "emergency"


async def test_danger_read_by_the_engine_is_the_second_net(hotline):
    talk = await hotline.open()
    hotline.engine.script["救命"] = Decision([{"compose": "emergency"}], {"topic": "violence"}, [])
    [reply] = await talk.say("救命")
    assert (reply["answer"]["kind"], reply["card"]) == ("emergency", {"call": ["110", "120"]})
    hotline.engine.script["快来人"] = Decision([{"compose": "emergency"}], {"topic": "unheard of"}, [])
    [reply] = await talk.say("快来人")
    assert reply["card"] == {"call": ["120", "119"]}
    assert [urgent for _, urgent, _ in await waiting(hotline)] == [True]
