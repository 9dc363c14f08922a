"""The intake dialogue: whole dialogues as data (intake_dialogues.yml), and the rules one by one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cases.intake import Draft, Step, Turn, advance, begin, missing, parts, question

DIALOGUES: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("intake_dialogues.yml").read_text("utf-8")
)


def turn_of(data: dict[str, Any]) -> Turn:
    keys = ("entity", "value", "start", "end")
    entities = [dict(zip(keys, e, strict=True)) for e in data.get("e", [])]
    return Turn(text=data["t"], act=data.get("a", "inform"), field=data.get("f", ""), entities=entities)


def check(step: Step, expected: dict[str, Any]) -> None:
    spoken = "\n".join(step.say)
    for words in expected.get("says", []):
        assert words in spoken, f"{words} not in {spoken}"
    if "asks" in expected and "outcome" not in expected:
        assert step.question is not None
        assert step.question.field == expected["asks"], (step.say, step.question, step.draft)
        assert step.outcome == ("review" if expected["asks"] == "review" else "ask")
    if "outcome" in expected:
        assert step.outcome == expected["outcome"], (step.say, step.question)
        assert step.question is None
    for words in expected.get("question", []):
        assert step.question and words in step.question.text
    for words in expected.get("choices", []):
        assert step.question and words in step.question.choices


@pytest.mark.parametrize("dialogue", DIALOGUES, ids=lambda d: d["name"])
def test_dialogue(dialogue: dict[str, Any]) -> None:
    first, *others = dialogue["turns"]
    step = begin(dialogue["type"], turn_of(first), dialogue.get("also_report", False))
    steps = [step]
    check(step, first)
    for data in others:
        draft = step.draft
        if dialogue.get("reload"):
            draft = Draft.model_validate_json(draft.model_dump_json())
            assert question(draft) == step.question
        step = advance(draft, turn_of(data))
        steps.append(step)
        check(step, data)
    draft = step.draft
    for name, value in dialogue.get("fields", {}).items():
        found = draft.fields.get(name)
        assert (found or "").replace("-", "") == value.replace("-", ""), (name, draft)
    for name, value in dialogue.get("contains", {}).items():
        assert value in draft.fields.get(name, ""), (name, draft)
    for name in dialogue.get("absent", []):
        assert name not in draft.fields
    if "anonymous" in dialogue:
        assert draft.anonymous is dialogue["anonymous"]
    assert draft.type == dialogue.get(
        "final_type", dialogue["type"] if "final_type" not in dialogue else draft.type
    )
    if "parts" in dialogue:
        assert [part.type for part in parts(draft)] == dialogue["parts"]
    for words in dialogue.get("never", []):
        for one in steps:
            assert words not in json.dumps(one.draft.model_dump(), ensure_ascii=False), words


# -- single rules -----------------------------------------------------------------------------------

FULL = Draft(
    type="complaint",
    fields={
        "respondent": "卓展",
        "respondent_address": "重庆路",
        "facts": "表停了，3月5号买的",
        "request": "退款",
        "name": "张月",
        "phone": "13904321187",
    },
    step="review",
    asked="review",
    privacy_shown=True,
)


def at_review(text: str, act: str = "inform", entities: list[dict[str, Any]] | None = None) -> Step:
    return advance(FULL, Turn(text=text, act=act, entities=entities or []))


@pytest.mark.parametrize(
    "text",
    [
        "确认提交",
        "对",
        "嗯都对",
        "没问题",
        "提交吧",
        "ok",
        "没错没错",
        "全对",
        "对，谢谢你",
        "是的 提交",
        "👌对",
    ],
)
@pytest.mark.parametrize("act", ["affirm", "inform", "chitchat", "oos"])
def test_an_explicit_yes_submits(text: str, act: str) -> None:
    step = at_review(text, act)
    assert step.outcome == "submit"
    assert step.question is None
    assert step.draft.fields == FULL.fields


@pytest.mark.parametrize(
    "text",
    [
        *["不对", "先别提交", "等等", "提交了吗", "确认提交吗？", "谢谢", "对了还有，他骂人"],
        *[
            "对，再加一条，他家还卖假烟",
            "电话错了",
            "不提交了",
            "改一处",
            "嗯？",
            "卓展",
            "13904321189",
            "不行",
            "算了",
        ],
        *["", "👍"],
    ],
)
def test_nothing_else_submits_even_if_the_classifier_hears_a_yes(text: str) -> None:
    step = at_review(text, "affirm")
    assert step.outcome in ("ask", "review")


@pytest.mark.parametrize(
    "text",
    [
        "行，就按这个递上去",
        "嗯呐，没问题，交吧",
        "对了，都写好了",
        "没啥要改的了，交吧",
        "妥，麻烦您给登记上吧",
        "这下没错了，报上去吧",
        "没什么问题，发吧",
    ],
)
def test_a_natural_yes_submits(text: str) -> None:
    assert at_review(text).outcome == "submit"


@pytest.mark.parametrize(
    "text",
    [
        "对方",
        "好像还差点啥",
        "可以，不过地址换一下",
        "行，但是名字错了",
        "没提交吧",
        "这么报行吗",
        "可以，电话是13804321180",
        "先别报，我再看看",
        "对面那家",
        "中午去的",
        "就这样他也不退",
        "电话写的对不对",
    ],
)
@pytest.mark.parametrize("act", ["inform", "affirm"])
def test_a_yes_with_something_else_does_not_submit(text: str, act: str) -> None:
    entities = [{"entity": "phone", "value": "13804321180", "start": 6, "end": 17}] if "138" in text else []
    assert at_review(text, act, entities).outcome in ("ask", "review")


@pytest.mark.parametrize("text", ["不对，你记错了", "不对", "错了，你听错了"])
def test_a_no_without_a_field_asks_which(text: str) -> None:
    step = at_review(text)
    assert step.question and step.question.field == "which"
    assert step.draft.fields == FULL.fields


def test_the_summary_is_not_said_twice_in_a_row() -> None:
    step = at_review("谢谢啊")
    assert step.question and "1." not in step.question.text and "确认提交" in step.question.text
    changed = advance(step.draft, Turn(text="店名改成国商百货"))
    assert changed.question and "国商百货" in changed.question.text


def test_a_wish_told_later_completes_the_first_one() -> None:
    step = at_review("还要赔我误工的损失")
    assert step.draft.fields["request"] == "退款；还要赔我误工的损失"


def test_the_whole_name_after_a_surname() -> None:
    draft = FULL.model_copy(update={"fields": FULL.fields | {"name": "柳"}})
    step = advance(draft, Turn(text="柳青青，全名"))
    assert step.draft.fields == draft.fields | {"name": "柳青青"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("最后两位说错了，是五五", "13904321155"),
        ("电话末三位应该是902", "13904321902"),
        ("最后一位是9", "13904321189"),
    ],
)
def test_as_many_last_digits_as_were_named(text: str, value: str) -> None:
    assert at_review(text, "correct").draft.fields["phone"] == value


def test_a_corrected_amount_points_at_the_request() -> None:
    draft = FULL.model_copy(update={"fields": FULL.fields | {"request": "退我三百二"}})
    text = "经过不对，当时花的是三百六"
    step = advance(
        draft,
        Turn(
            text=text,
            act="correct",
            entities=[{"entity": "amount", "value": "三百六", "start": 10, "end": 13}],
        ),
    )
    assert step.draft.fields["facts"].endswith(text)
    assert "退我三百二" in "".join(step.say)


# -- what is told is put where it belongs, whatever was asked ---------------------------------------


def asked(field: str, **fields: str) -> Draft:
    """A complaint whose fields before `field` are filled."""
    order = ["respondent", "respondent_address", "facts", "request", "name", "phone"]
    known = {name: FULL.fields[name] for name in order[: order.index(field)]}
    return Draft(type="complaint", fields=known | fields, asked=field, privacy_shown=True)


def entity(kind: str, value: str, text: str) -> dict[str, Any]:
    return {"entity": kind, "value": value, "start": text.index(value), "end": text.index(value) + len(value)}


def test_a_finer_place_instead_of_a_wish() -> None:
    text = "南关区重庆路步行街那家，门牌是56号"
    place = [entity("address", "南关区重庆路步行街那家", text)]
    step = advance(asked("request"), Turn(text=text, entities=place))
    assert step.draft.fields["respondent_address"] == "南关区重庆路步行街56号"
    assert step.draft.fields["facts"] == FULL.fields["facts"]
    assert step.draft.asked == "request"


def test_a_district_completes_the_place_that_was_told() -> None:
    text = "桦甸市红石镇那边的早市"
    draft = asked("request", respondent_address="东头早市里头")
    step = advance(draft, Turn(text=text, entities=[entity("address", "桦甸市红石镇那边", text)]))
    assert step.draft.fields["respondent_address"] == "桦甸市红石镇那边的早市，东头早市里头"


def test_a_story_instead_of_a_wish_is_asked_again_in_other_words() -> None:
    text = "腊月二十提的车，花了九万，开了俩月就烧机油"
    dated = [entity("date", "腊月二十", text), entity("amount", "九万", text)]
    first = advance(asked("request"), Turn(text="你好", act="chitchat"))
    step = advance(asked("request"), Turn(text=text, entities=dated))
    assert step.draft.fields["facts"] == f"{FULL.fields['facts']}\n{text}"
    assert "request" not in step.draft.fields and step.draft.asked == "request"
    assert first.question == step.question and "比如" not in step.question.text  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "把钱退我就行",
        "退剩的五百",
        "给我换台新的",
        "按规定赔我",
        "多收的退给我",
        "让他把尾款结清",
        "还有误工费赔二百",
        "你们去查处他",
    ],
)
@pytest.mark.parametrize("field", ["respondent", "respondent_address", "facts", "request"])
def test_a_wish_is_a_wish_whenever_it_is_said(text: str, field: str) -> None:
    step = advance(asked(field), Turn(text=text))
    assert step.draft.fields["request"] == text
    assert text not in step.draft.fields.get("facts", "") + step.draft.note


@pytest.mark.parametrize(
    "text",
    [
        "修的时候给我划伤了",
        "他们把车拉走了",
        "退款三天没到",
        "换的屏幕不好使",
        "我要投诉装修公司",
        "赔了我五十",
        "钱一直不退",
    ],
)
def test_what_happened_is_no_wish(text: str) -> None:
    assert "request" not in advance(asked("facts"), Turn(text=text)).draft.fields


def test_a_date_is_no_place_and_the_place_is_not_asked_again() -> None:
    text = "正月初六订的，一千六"
    dated = [entity("date", "正月初六", text), entity("amount", "一千六", text)]
    step = advance(asked("respondent_address"), Turn(text=text, entities=dated))
    assert "respondent_address" not in step.draft.fields
    assert step.draft.fields["facts"] == text
    assert step.draft.asked == "request"


@pytest.mark.parametrize(
    "text",
    [
        "没问题了",
        "确认",
        "好了好了",
        "都要",
        "把钱放了",
        "退五百",
        "没毛病",
        "这回对",
        "谢谢啊",
        "那我就投诉",
        "三百块",
        "急死了",
    ],
)
def test_no_name(text: str) -> None:
    assert "name" not in advance(asked("name"), Turn(text=text)).draft.fields


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("李想", "李想"),
        ("那英", "那英"),
        ("毛小雨", "毛小雨"),
        ("钱丽华", "钱丽华"),
        ("喊我老李就行", "老李"),
        ("免贵姓王", "王"),
        ("联系人金在俊", "金在俊"),
    ],
)
def test_a_name_as_an_answer(text: str, value: str) -> None:
    assert advance(asked("name"), Turn(text=text)).draft.fields["name"] == value


def test_the_contact_of_a_firm_is_not_the_other_side() -> None:
    text = "我是业务员小董"
    draft = Draft(
        type="request",
        fields={"respondent": "甲", "facts": "压货款", "request": "结清", "company": "乙"},
        asked="name",
    )
    step = advance(draft, Turn(text=text, entities=[entity("name", "小董", text)]))
    assert step.draft.fields["name"] == "小董"
    assert step.draft.fields["facts"] == "压货款"


@pytest.mark.parametrize(
    ("text", "entities", "respondent", "place"),
    [
        ("东关市场里头有家老孙豆腐坊", [("address", "东关市场里头")], "老孙豆腐坊", "东关市场里头"),
        ("集上那个老周山货摊", [], "老周山货摊", None),
        ("蛟河市的兴旺汽配", [("address", "蛟河市")], "兴旺汽配", "蛟河市"),
        ("楼下那个卖菜的", [], "楼下那个卖菜的", None),
    ],
)
def test_a_firm_without_its_place(
    text: str, entities: list[tuple[str, str]], respondent: str, place: str | None
) -> None:
    marked = [entity(kind, value, text) for kind, value in entities]
    fields = advance(asked("respondent"), Turn(text=text, entities=marked)).draft.fields
    assert (fields["respondent"], fields.get("respondent_address")) == (respondent, place)


def test_a_report_keeps_what_is_wished_without_asking_for_it() -> None:
    draft = Draft(
        type="report",
        fields={"respondent": "甲", "respondent_address": "乙路", "facts": "掺假"},
        asked="evidence",
    )
    step = advance(draft, Turn(text="你们赶紧查封他"))
    assert step.draft.fields["request"] == "你们赶紧查封他"
    assert step.draft.asked == "evidence"
    told = advance(step.draft, Turn(text="每天半夜往里兑水，照片我都留着"))
    assert told.draft.fields["evidence"] == "照片我都留着"
    assert told.draft.fields["facts"] == "掺假\n每天半夜往里兑水"
    assert told.draft.asked == "anonymous"
    assert "您的要求" in "".join(parts(told.draft)[0].fields) or parts(told.draft)[0].fields["request"]


def test_proof_told_too_late_for_its_question_is_kept() -> None:
    fields = {"respondent": "甲", "respondent_address": "乙路", "facts": "掺假"}
    draft = Draft(type="report", fields=fields, asked="anonymous", skipped=["evidence"])
    step = advance(draft, Turn(text="小票我还留着呢"))
    assert step.draft.fields["evidence"] == "小票我还留着呢"


def test_the_shop_on_a_platform() -> None:
    draft = asked("respondent_address", respondent="京东")
    step_question = question(draft)
    assert "京东上的哪家店" in step_question.text
    step = advance(draft, Turn(text="店铺叫山货坊"))
    assert step.draft.fields["respondent"] == "山货坊"
    assert step.draft.fields["respondent_address"] == "京东"


def test_the_kind_of_firm_is_no_part_of_its_name() -> None:
    step = advance(asked("respondent"), Turn(text="开发商是恒泰地产"))
    assert step.draft.fields["respondent"] == "恒泰地产"


def test_the_place_belongs_to_ones_own_firm() -> None:
    text = "农安县丰收合作社"
    draft = Draft(
        type="request",
        fields={"respondent": "甲", "facts": "拖欠粮款", "request": "要回粮款"},
        asked="company",
    )
    marked = [entity("address", "农安县", text), entity("company", "丰收合作社", text)]
    step = advance(draft, Turn(text=text, entities=marked))
    assert step.draft.fields["company"] == text
    assert step.draft.fields["facts"] == "拖欠粮款"


def test_a_phone_that_is_said_to_be_another_s() -> None:
    text = "电话13200001111，就是那个师傅的"
    step = advance(asked("request"), Turn(text=text, entities=[entity("phone", "13200001111", text)]))
    assert "phone" not in step.draft.fields
    assert "13200001111" in step.draft.fields["facts"]


@pytest.mark.parametrize(
    ("request_", "text", "wish", "told"),
    [
        ("退我三百二", "金额错了，是三百六", "退我三百六", False),
        ("让他们道歉", "金额错了，是三百六", "让他们道歉", True),
    ],
)
def test_a_sum_alone_corrects_the_sum(request_: str, text: str, wish: str, told: bool) -> None:
    draft = FULL.model_copy(update={"fields": FULL.fields | {"request": request_}})
    fields = advance(draft, Turn(text=text, act="correct")).draft.fields
    assert fields["request"] == wish
    assert (text in fields["facts"]) is told


@pytest.mark.parametrize(("text", "request_"), [("三百块", "三百块"), ("三百块，拖了我半年", None)])
def test_a_sum_is_a_wish_only_without_a_story(text: str, request_: str | None) -> None:
    step = advance(asked("request"), Turn(text=text, entities=[entity("amount", "三百块", text)]))
    assert step.draft.fields.get("request") == request_


def test_what_is_accused_is_no_proof() -> None:
    step = begin("report", Turn(text="我要举报一家没有许可却拍卖古董合同的公司"))
    assert "evidence" not in step.draft.fields


def test_a_place_without_what_leads_to_it() -> None:
    text = "地址就在西安大路"
    step = advance(
        asked("respondent_address"), Turn(text=text, entities=[entity("address", "西安大路", text)])
    )
    assert step.draft.fields["respondent_address"] == "西安大路"


# -- asides -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["先别急", "等等，我找找小票", "谢谢你啊", "那我就投诉", "行，接着说", "好的"]
)
@pytest.mark.parametrize("field", ["respondent", "facts", "request", "name"])
def test_an_aside_changes_nothing_and_is_no_miss(text: str, field: str) -> None:
    before = asked(field)
    step = advance(before, Turn(text=text))
    assert step.draft.fields == before.fields and not step.draft.note
    assert step.draft.misses == 0
    assert step.draft.asked == field
    assert "没听明白" not in "".join(step.say)


def test_another_case_is_not_written_into_this_one() -> None:
    before = asked("respondent")
    step = advance(before, Turn(text="我上回报的JL202609180021到哪步了", act="status"))
    assert step.draft.fields == before.fields and not step.draft.note
    assert "另一件" in "".join(step.say)


def test_submitting_too_early_says_what_is_missing() -> None:
    step = advance(asked("name"), Turn(text="没问题了，提交吧"))
    assert "还差姓名、电话" in "".join(step.say)


def test_giving_up_with_the_reason() -> None:
    for text in ("算了，老板赔我了，不投了", "他给我退了，不投诉了"):
        assert advance(asked("request"), Turn(text=text)).draft.asked == "cancel", text
    for text in ("算了，就退我一半吧", "他说不投诉了就退，到现在没给"):
        assert advance(asked("request"), Turn(text=text)).draft.asked != "cancel", text


def test_a_wrong_phone_before_its_turn_is_asked_for_at_once() -> None:
    text = "我电话1390432118"
    step = advance(asked("request"), Turn(text=text, entities=[entity("phone_invalid", "1390432118", text)]))
    assert step.question and step.question.field == "phone"
    right = advance(step.draft, Turn(text="少说一位，13904321187"))
    assert right.draft.fields["phone"] == "13904321187"
    assert right.draft.fields["facts"] == FULL.fields["facts"]
    assert right.draft.asked == "request"


def test_one_yes_is_enough_for_a_joint_record() -> None:
    draft = FULL.model_copy(update={"also_report": True, "asked": "anonymous", "step": "collecting"})
    asked_for = question(draft)
    assert asked_for.field == "anonymous" and "卓展" in asked_for.text
    step = advance(draft, Turn(text="是的，两件都报"))
    assert step.outcome == "submit"
    assert [(part.type, part.anonymous) for part in parts(step.draft)] == [
        ("complaint", False),
        ("report", False),
    ]
    hidden = advance(draft, Turn(text="举报的匿名"))
    assert hidden.outcome == "review" and hidden.draft.anonymous
    wrong = advance(draft, Turn(text="不对"))
    assert wrong.question and wrong.question.field == "which"


def test_both_at_review_lodges_both() -> None:
    step = at_review("对，两件都报")
    assert step.outcome == "submit"
    assert [part.type for part in parts(step.draft)] == ["complaint", "report"]


def test_an_announced_suggestion_is_not_yet_one() -> None:
    step = begin("suggestion", Turn(text="我给你们提个建议"))
    assert step.question and step.question.field == "facts"
    told = advance(step.draft, Turn(text="叫号屏字太小，换大点"))
    assert "叫号屏字太小，换大点" in told.draft.fields["facts"]
    assert told.draft.asked == "name"


def test_an_announcement_said_again_is_no_suggestion_either() -> None:
    step = begin("suggestion", Turn(text="我给你们提个建议"))
    again = advance(step.draft, Turn(text="我想提个意见建议"))
    assert (again.draft.asked, again.draft.fields) == ("facts", {})


def test_hm_is_a_yes_only_where_the_classifier_hears_one() -> None:
    assert at_review("嗯", "affirm").outcome == "submit"
    assert at_review("嗯", "inform").outcome == "review"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("电话说错了是1188", "phone", "13904321188"),
        ("后四位是1188，写错了", "phone", "13904321188"),
        ("前三位错了，是138", "phone", "13804321187"),
        ("电话不是13904321187，是13904321188", "phone", "13904321188"),
        ("手机号最后四位写错了，应该是一一八八", "phone", "13904321188"),
        ("名字，是喜悦的悦，不是月亮的月", "name", "张悦"),
        ("姓错了，是立早章", "name", "章月"),
        ("我叫张悦", "name", "张悦"),
        ("不是卓展是欧亚", "respondent", "欧亚"),
        ("店名改成卓展购物中心", "respondent", "卓展购物中心"),
        ("地址说错了，在红旗街", "respondent_address", "红旗街"),
        ("要求不是退款，是换货", "request", "换货"),
        ("改成换一块新的", "request", "换一块新的"),
        ("退款三千也行", "request", "退款三千也行"),
    ],
)
def test_corrections_at_review(text: str, field: str, value: str) -> None:
    step = at_review(text, "correct")
    assert step.draft.fields == FULL.fields | {field: value}
    assert step.outcome == "review"


def test_a_corrected_story_keeps_both() -> None:
    step = at_review("经过说错了，是3月6号买的不是3月5号")
    assert step.draft.fields["facts"] == "表停了，3月5号买的\n经过说错了，是3月6号买的不是3月5号"


@pytest.mark.parametrize(
    "text", ["电话写错了是1390432118", "电话改成139043211888", "手机号不对，是29904321187"]
)
def test_a_correction_to_an_invalid_phone_keeps_the_old_one_and_asks(text: str) -> None:
    step = at_review(text, "correct")
    assert step.draft.fields == FULL.fields
    assert step.question and step.question.field == "phone"
    assert "11位" in "".join(step.say)


def test_a_number_of_the_summary_names_the_field() -> None:
    step = at_review("第六项不对")
    assert step.question and step.question.field == "phone"
    assert advance(step.draft, Turn(text="不改了，继续登记", act="resume")).outcome == "review"


def test_every_button_leads_somewhere() -> None:
    asked = question(FULL)
    assert asked.choices == ["确认提交", "改一处", "不提交了"]
    which = at_review("改一处")
    assert which.question
    for label in which.question.choices:
        step = advance(which.draft, Turn(text=label, act="oos"))
        assert step.question and step.question.field != "which", label
    stop = at_review("不提交了")
    assert stop.question and stop.question.choices == ["不登记了", "继续登记"]
    assert advance(stop.draft, Turn(text="不登记了", act="oos")).outcome == "cancelled"
    assert advance(stop.draft, Turn(text="继续登记", act="oos")).outcome == "review"


def test_a_story_that_mentions_giving_up_does_not_cancel() -> None:
    draft = Draft(
        type="complaint", fields={"respondent": "卓展", "respondent_address": "重庆路"}, asked="facts"
    )
    step = advance(draft, Turn(text="老板娘求我算了不投诉了，答应退一半，到现在也没给", act="cancel"))
    assert step.draft.asked == "request"
    assert "不投诉了" in step.draft.fields["facts"]


def test_the_wrong_act_does_not_swallow_a_value() -> None:
    draft = Draft(type="suggestion", fields={"facts": "多装路灯"}, asked="name")
    for act in ("skip", "cancel", "deny", "resume", "affirm", "oos", "policy"):
        assert advance(draft, Turn(text="崔成浩", act=act)).draft.fields["name"] == "崔成浩"


def test_privacy_notice_comes_with_the_first_question_only() -> None:
    step = begin("complaint", Turn(text="我要投诉"))
    assert step.privacy and step.privacy.short in step.say
    assert step.draft.privacy_shown and step.draft.privacy_version == step.privacy.version
    for words in ("谁", "为什么", "收集哪些", "转给谁", "保存多久", "权利", "12315"):
        assert words in step.privacy.full
    assert advance(step.draft, Turn(text="卓展")).privacy is None


def test_the_given_draft_is_left_as_it_is() -> None:
    before = FULL.model_dump_json()
    at_review("电话说错了是1188")
    at_review("改按企业诉求登记")
    assert FULL.model_dump_json() == before


def test_unknown_and_odd_entities_do_no_harm() -> None:
    odd = [
        {"entity": "phone", "value": "13596001234"},
        {"entity": "colour", "value": "红", "start": 0, "end": 1},
        {"entity": "name", "value": "", "start": 5, "end": 900},
        {"value": "x"},
    ]
    draft = Draft(type="suggestion", fields={"facts": "多装路灯", "name": "李强"}, asked="phone")
    assert advance(draft, Turn(text="打13596001234", entities=odd)).draft.fields["phone"] == "13596001234"


def test_without_the_engines_entities_the_asked_field_is_still_taken() -> None:
    step = begin("complaint", Turn(text="我要投诉"))
    for text in (
        "百惠乐超市，二道那边",
        "酸奶过期半个月了",
        "退钱，退三千",
        "孙月",
        "１９９ ０４３１ ７４２８",
    ):
        step = advance(step.draft, Turn(text=text))
    assert step.outcome == "review"
    assert step.draft.fields == {
        "respondent": "百惠乐超市",
        "respondent_address": "二道那边",
        "facts": "酸奶过期半个月了",
        "request": "退钱，退三千",
        "name": "孙月",
        "phone": "19904317428",
    }


def test_anonymous_part_tells_nothing_about_the_citizen() -> None:
    draft = FULL.model_copy(update={"also_report": True, "anonymous": True})
    draft.fields = FULL.fields | {
        "facts": "我叫张月，电话139****1187，住红旗街9号，买的表是假的",
        "address": "红旗街9号",
    }
    complaint, report = parts(draft)
    assert complaint.fields == draft.fields and not complaint.anonymous
    assert report.anonymous and report.type == "report"
    assert not {"name", "phone", "address", "request"} & set(report.fields)
    for secret in ("张月", "1187", "红旗街9号"):
        assert secret not in json.dumps(report.fields, ensure_ascii=False)
    assert "买的表是假的" in report.fields["facts"]


def test_a_suggestion_without_a_phone_is_an_anonymous_part() -> None:
    (part,) = parts(Draft(type="suggestion", fields={"facts": "多装路灯"}))
    assert part == ("suggestion", {"facts": "多装路灯"}, True)


def test_farmers_supplies_are_no_business() -> None:
    draft = FULL.model_copy(deep=True)
    draft.fields["facts"] = "我们家进的种子不出芽，春天批发的"
    assert "改按企业诉求登记" not in question(draft).choices
    draft.fields["facts"] = "我们公司批发的桌子坏了"
    assert "改按企业诉求登记" in question(draft).choices


def test_injury_is_asked_once_and_only_whether() -> None:
    draft = Draft(
        type="complaint", fields={"respondent": "卓展", "respondent_address": "重庆路"}, asked="facts"
    )
    hurt = advance(draft, Turn(text="吃完上吐下泻"))
    assert hurt.question and hurt.question.field == "injury" and "不用说病情" in hurt.question.text
    treated = advance(draft, Turn(text="吃完上吐下泻，去医院挂水了"))
    assert treated.question and treated.question.field == "request"


def test_wording_promises_nothing() -> None:
    text = (Path(__file__).parents[2] / "bot" / "cases" / "intake.yml").read_text("utf-8")
    for forbidden in ("已受理", "一定", "保证", "您有权", "私下", "协商解决", "马上处理", "尽快"):
        assert forbidden not in text, forbidden


ACTS = [
    "affirm",
    "deny",
    "cancel",
    "correct",
    "resume",
    "skip",
    "complaint",
    "report",
    "oos",
    "policy",
    "chitchat",
    "inform",
]
PIECES = [
    *[
        "我叫孙月",
        "13904321187",
        "1390432118",
        "不对",
        "对",
        "算了",
        "不知道",
        "百惠乐超市",
        "红旗街",
        "退钱",
        "电话错了",
    ],
    *["匿名", "😀", "第2个", "是", "不是", "改成", "，", "。", " ", "\n", "1188", "卓展", "的", "也要举报"],
    *["改按企业诉求登记", "220102198503121234"],
]


@settings(max_examples=150, deadline=None)
@given(
    type_=st.sampled_from(["complaint", "request", "report", "suggestion"]),
    turns=st.lists(
        st.tuples(
            st.one_of(st.text(max_size=30), st.lists(st.sampled_from(PIECES), max_size=5).map("".join)),
            st.sampled_from(ACTS),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_any_dialogue_goes_on(type_: Any, turns: list[tuple[str, str]]) -> None:
    step = begin(type_, Turn(text=turns[0][0], act=turns[0][1]))
    for text, act in turns[1:]:
        if step.question is None:
            break
        assert question(step.draft) == step.question
        step = advance(Draft.model_validate_json(step.draft.model_dump_json()), Turn(text=text, act=act))
        phone = step.draft.fields.get("phone", "13904321187")
        assert len(phone) >= 10 and phone.replace("-", "").isdigit()
        if step.draft.type == "report" and step.draft.anonymous:
            assert not {"name", "phone"} & set(step.draft.fields)
    assert (step.question is None) == (step.outcome in ("submit", "cancelled"))
    if step.outcome == "submit":
        assert missing(step.draft) == []
    assert all(line.strip() for line in step.say)
