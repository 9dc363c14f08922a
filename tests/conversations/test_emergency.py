"""Danger by rule: what fires, what must not, and that it comes before everything else."""

import re

import pytest
import yaml
from sqlalchemy import select

from bot.conversations import emergency
from bot.conversations.engine import Decision, EngineFailed
from bot.conversations.languages import language_of
from bot.conversations.models import Conversation, HandOver
from bot.engine.examples import read
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
    ("injury", "我爸没气了"),
    ("injury", "货架倒了压着人了"),
    ("injury", "有人触电了"),
    ("violence", "有人拿刀在店里"),
    ("violence", "他们正打我"),
    ("suicide", "我不想活了"),
    ("suicide", "去年赔光了，投诉也没人管，我想跳楼"),
    ("suicide", "药我都准备好了，走了以后别找我"),
    ("suicide", "我坐在楼顶边上呢"),
    ("injury", "老爷子摔卫生间里起不来了"),
    ("injury", "雪把棚顶压塌了，里面还有人"),
    ("gas", "家里生着炉子，早起头疼恶心站不住"),
    ("poisoning", "宝宝嘴唇发青，不喘气了"),
    ("poisoning", "打药没戴口罩，瞳孔变小，直哆嗦"),
    ("violence", "有人在撬我家门，我躲在里屋不敢出声"),
    ("violence", "他拿着碎酒瓶子对着我"),
    ("explosion", "锅炉咔咔响，没人敢过去"),
    ("missing", "我家孩子在商场走散了"),
    # Past, supposition or a claim beside it, but it goes on.
    ("fire", "去年着过一回，现在又起火了，快来人"),
    ("violence", "我去退货，老板不退还打人，正打着呢"),
    ("elevator", "万一出事咋办，电梯里关着俩人，还没出来"),
    # From something else to a danger.
    ("gas", "本来想问证书顺延，但是冷库氨气漏了"),
    ("fire", "这可不是演习，仓库真着火了"),
    ("violence", "要账的坐店里，说不给五万就动手"),
    ("explosion", "锅炉水位看不见了，还烧着"),
    ("suicide", "想从这个世界上消失"),
]


FOREIGN = [
    ("elevator", "We are trapped in the elevator", "en"),
    ("fire", "Our kitchen is on fire!", "en"),
    ("gas", "가스 냄새가 너무 심해요", "ko"),
    ("injury", "従業員が倒れて意識がありません", "ja"),
    ("violence", "На меня напал человек с ножом", "ru"),
    ("poisoning", "食完飯個個又嘔又屙，有人暈咗", "yue"),
    ("suicide", "wo zhende bu xiang huo le", "pinyin"),
    ("elevator", "dianti li kun le liang ge ren", "pinyin"),
]


@pytest.mark.parametrize(("topic", "text", "language"), FOREIGN)
def test_danger_in_another_language_fires_and_its_first_line_gives_the_numbers_in_it(topic, text, language):
    found = emergency.check(text)
    assert found is not None
    assert (found.topic.name, found.certain) == (topic, True)
    first, chinese = found.topic.say.split("\n", 1)
    assert chinese == emergency.topics()[topic].say
    assert all(number in first for number in found.topic.call)
    assert language_of(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "last year there was a fire in our warehouse, how do I claim insurance",
        "I want to complain, I had food poisoning a week ago and need compensation",
        "작년에 공장에 불이 났는데 보험 처리를 알고 싶어요",
        "qu nian dianti kun le ren, xiang tousu",
    ],
)
def test_what_is_past_in_another_language_needs_the_engine(text):
    found = emergency.check(text)
    assert found is None or not found.certain


@pytest.mark.parametrize(
    "text",
    [
        "can I fire my worker",
        "which fire extinguisher do we need",
        "our sales collapsed",
        "elevator maintenance",
    ],
)
def test_english_words_that_only_look_like_danger(text):
    assert emergency.check(text) is None


@pytest.mark.parametrize(("topic", "text"), NOW)
def test_danger_now_fires(topic, text):
    found = emergency.check(text)
    assert found is not None
    assert (found.topic.name, found.certain) == (topic, True)


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
        "建议在电梯里贴个救援电话，省得困了人找不着",
        "你再不回我我就想自杀了，开玩笑的",
    ],
)
def test_stories_suppositions_and_claims_need_the_engine(text):
    found = emergency.check(text)
    assert found is not None
    assert not found.certain


@pytest.mark.parametrize(
    "text",
    [
        "公司搞消防演练，假装着火了",
        "火已经灭了，没事了",
        "电梯里的人都救出来了",
        "压力容器许可证快到头了，给的是延期还是重发",
        "压力容器头一回取证能网上报吗",
        "企业问手持额温枪可否上门检定",
        "气炸了，叫个活人来跟我说",
        "急死我了，条码到底啥时候给",
        "资金链都要炸了，设备能抵押不",
        "喂不是电梯困人啊，没人困里头，我想问维保",
        "燃气灶买回来打不着火，要换一个",
        "怕漏，先问问检测费免不免",
        "电梯维保能延长吗",
        "火锅店生意火爆",
        "气得我要炸了",
        "着急上火，嗓子都冒烟了",
        "孩子丢了学生证咋补",
        "",
        "😀",
    ],
)
def test_figures_of_speech_plain_questions_and_what_is_over_are_no_signal(text):
    assert emergency.check(text) is None


@pytest.mark.parametrize(
    ("text", "probability", "topic"),
    [
        ("着火了", 0.0, "fire"),
        ("着火了", None, "fire"),
        ("去年着火了", 0.1, "fire"),
        ("去年着火了", 0.099, None),
        ("去年着火了", None, "fire"),
        ("你好", 1.0, None),
        ("你好", None, None),
    ],
)
def test_a_possible_signal_is_acted_on_when_likely_enough_or_the_engine_is_down(text, probability, topic):
    found = emergency.decide(emergency.check(text), probability)
    assert (found and found.name) == topic


def measure_questions():
    for path in sorted((ROOT / "tests" / "measures").glob("*.yml")):
        yield from (question["ask"] for question in yaml.safe_load(path.read_text("utf-8"))["questions"])
    for path in sorted((ROOT / "nlu_data" / "measures").glob("*.yml")):
        for block in yaml.safe_load(path.read_text("utf-8"))["nlu"]:
            yield from (line[2:] for line in block["examples"].splitlines() if line.startswith("- "))


def test_no_question_about_a_measure_is_taken_for_danger():
    signals = [(text, emergency.check(text)) for text in measure_questions()]
    assert len(signals) > 1500
    assert [text for text, signal in signals if signal and signal.certain] == []
    # When the engine is down these would be answered with a number to call.
    assert sum(signal is not None for _, signal in signals) < 0.03 * len(signals)


def test_words_alone_find_nearly_all_dangers_of_the_training_data():
    """What the service has when the engine is down."""
    dangers = [e for e in read(ROOT / "nlu_data") if e.act == "emergency"]
    assert len(dangers) > 600
    signals = [emergency.check(e.text) for e in dangers]
    assert sum(s is not None for s in signals) >= 0.97 * len(signals)
    assert sum(s is not None and s.certain for s in signals) >= 0.65 * len(signals)


def test_hardly_anything_else_in_the_training_data_is_a_certain_signal():
    others = [e for e in read(ROOT / "nlu_data") if e.act != "emergency"]
    signals = [emergency.check(e.text) for e in others]
    assert sum(s is not None and s.certain for s in signals) < 0.001 * len(signals)


def test_every_topic_that_the_engine_learns_has_words_of_its_own():
    learned = {e.topic for e in read(ROOT / "nlu_data") if e.act == "emergency" and e.topic}
    assert learned <= set(emergency.topics())


def test_what_is_said_names_public_numbers_before_the_question_and_promises_nothing():
    for topic in emergency.topics().values():
        assert set(topic.call) <= {"110", "119", "120"}
        assert topic.call
        assert set(re.findall(r"\d+", topic.say + topic.ask)) <= {"110", "119", "120"}
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


def reading(kind, text, probability):
    """A decision of the engine that says `text` and gives an emergency this probability."""
    return Decision([ready(text, kind)], {"acts": {"oos": 1 - probability, "emergency": probability}}, [])


async def test_a_possible_danger_is_left_to_the_engine(hotline):
    talk = await hotline.open()
    hotline.engine.script["去年电梯困过人"] = reading("fallback", "这个不归我们管", 0.05)
    [reply] = await talk.say("去年电梯困过人")
    assert reply["text"] == "这个不归我们管"
    assert await waiting(hotline) == []


async def test_a_possible_danger_that_the_engine_holds_for_likely_is_answered_as_one(hotline):
    talk = await hotline.open()
    hotline.engine.script["上回那电梯又困人"] = reading("fallback", "这个不归我们管", 0.2)
    [reply] = await talk.say("上回那电梯又困人")
    assert (reply["answer"]["kind"], reply["card"]) == ("emergency", {"call": ["119", "110"]})
    assert await waiting(hotline) == [("险情：elevator", True, "waiting")]


async def test_a_possible_danger_is_taken_for_one_when_the_engine_is_down(hotline):
    talk = await hotline.open()
    hotline.engine.script["去年电梯困过人"] = EngineFailed("down")
    [reply] = await talk.say("去年电梯困过人")
    assert reply["answer"]["kind"] == "emergency"
    hotline.engine.script["执照怎么办"] = EngineFailed("down")
    [reply] = await talk.say("执照怎么办")
    assert reply["answer"]["kind"] == "handoff"


async def test_an_intake_that_the_engine_began_goes_on_behind_the_number(hotline):
    talk = await hotline.open()
    hotline.engine.script["退货被他打了，要他赔"] = reading("complaint", "哪一家？", 0.4)
    replies = await talk.say("退货被他打了，要他赔")
    assert [r["answer"]["kind"] for r in replies] == ["emergency", "complaint"]
    assert replies[0]["card"] == {"call": ["110", "120"]}


async def test_a_danger_that_the_engine_answers_is_said_once(hotline):
    talk = await hotline.open()
    decision = Decision([{"compose": "emergency"}], {"acts": {"emergency": 0.9}}, [])
    hotline.engine.script["去年电梯困过人，这回又来了"] = decision
    [reply] = await talk.say("去年电梯困过人，这回又来了")
    # The engine named no topic: the words do.
    assert reply["card"] == {"call": ["119", "110"]}
