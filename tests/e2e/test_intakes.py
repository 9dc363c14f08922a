"""Whole intakes: from the first sentence to a receipt that is in the database once, and back by its number."""

from __future__ import annotations

from tests.e2e.citizen import asked_in


def receipt_of(replies) -> str:
    """The number that the citizen is told."""
    [reply] = replies
    assert reply["answer"]["kind"] == "receipt", reply["text"]
    number = reply["answer"]["case"]
    assert number in reply["text"]
    assert "不表示已受理" in reply["text"]
    return str(number)


def test_a_complaint(instance, talk) -> None:
    phone = instance.phone()
    first = talk.say("我要投诉")
    assert first[0]["answer"]["kind"] == "complaint"
    assert first[0]["card"]["privacy"]
    summary = talk.fill(
        first,
        {
            "respondent": "百惠乐超市，在二道区东盛大街",
            "respondent_address": "二道区东盛大街",
            "facts": "二月二十六号买的酸奶，回家一看都过期半个月了",
            "request": "退钱，退三十",
            "name": "孙月",
            "phone": phone,
        },
    )
    assert phone not in summary["text"]
    assert f"{phone[:3]}****{phone[-4:]}" in summary["text"]
    number = receipt_of(talk.say("确认提交"))
    [case] = instance.cases(talk)
    assert (case.number, case.type, case.status) == (number, "T", "已登记")
    assert (case.fields["name"], case.fields["phone"]) == ("孙月", phone)
    assert "百惠乐超市" in case.fields["respondent"]
    assert "酸奶" in case.fields["facts"]

    # How far it is: the number alone says nothing, a wrong phone neither.
    asking = instance.talk()
    assert "手机号" in asking.say(f"查一下{number}办得怎么样了")[0]["text"]
    assert "没有查到" in asking.say("13900000001")[0]["text"]
    [found] = asking.say(f"{number} {phone}")
    assert (found["answer"]["kind"], found["answer"]["case"]) == ("status", number)
    assert "已登记" in found["text"]

    # The intake is over: the next message is a question like any other.
    assert talk.say("电梯维保能延长吗")[0]["answer"]["kind"] == "policy"


def test_an_anonymous_report(instance, talk) -> None:
    first = talk.say("我要匿名举报")
    assert first[0]["answer"]["kind"] == "report"
    talk.fill(
        first,
        {
            "respondent": "九台区东湖街的一家小作坊，叫福满堂",
            "respondent_address": "九台区东湖街",
            "facts": "半夜往白桶里兑工业酒精，贴消毒酒精的标往外卖",
            "evidence": "没有，跳过",
            "anonymous": "匿名",
        },
    )
    [reply] = talk.say("确认提交")
    number = receipt_of([reply])
    assert "口令" in reply["text"]
    [case] = instance.cases(talk)
    assert (case.number, case.type, case.anonymous, case.phone_hash) == (number, "J", True, None)
    assert not {"name", "phone", "address"} & set(case.fields)


def test_a_request_of_a_small_firm(instance, talk) -> None:
    phone = instance.phone()
    first = talk.say("我们是小微企业，有个诉求想反映")
    talk.fill(
        first,
        {
            "respondent": "说不清，跳过",
            "facts": "检定所积压了，我们的压力表送检一个月没出证书，耽误开工",
            "request": "希望尽快给我们检定出证",
            "company": "长春市宏达机械加工厂",
            "name": "王强",
            "phone": phone,
        },
    )
    number = receipt_of(talk.say("确认提交"))
    [case] = instance.cases(talk)
    assert (case.number, case.type) == (number, "S")
    assert "宏达机械加工厂" in case.fields["company"]
    assert case.fields["phone"] == phone


def test_a_suggestion(instance, talk) -> None:
    first = talk.say("我想提个意见建议")
    assert first[0]["answer"]["kind"] == "suggestion"
    talk.fill(
        first, {"facts": "建议把办证要的材料贴在大厅门口，省得来回跑", "name": "不留了", "phone": "不留了"}
    )
    number = receipt_of(talk.say("确认提交"))
    [case] = instance.cases(talk)
    assert (case.number, case.type) == (number, "Y")
    assert "大厅门口" in case.fields["facts"]


def test_a_question_in_the_middle_is_answered_and_the_intake_goes_on(instance, talk) -> None:
    asked = asked_in(talk.say("我要投诉"))
    replies = talk.say("电梯维保周期能不能延长")
    assert [r["answer"]["kind"] for r in replies] == ["policy", "intake"]
    assert replies[0]["answer"]["measures"] == [9]
    assert asked_in(replies) == asked
    assert asked_in(talk.say("百惠乐超市，在二道区东盛大街")) != asked
    assert instance.cases(talk) == []


def test_danger_in_the_middle_comes_first_and_the_intake_goes_on(talk) -> None:
    asked = asked_in(talk.say("我要投诉"))
    [reply] = talk.say("等等，电梯里困人了")
    assert reply["answer"]["kind"] == "emergency"
    assert "119" in reply["text"]
    assert asked_in(talk.say("百惠乐超市，在二道区东盛大街")) != asked


def test_a_person_on_the_first_word(instance, talk) -> None:
    [reply] = talk.say("人工")
    assert reply["answer"]["kind"] == "handoff"
    assert "排队" in reply["text"]


def test_an_intake_is_cancelled_and_leaves_nothing(instance, talk) -> None:
    talk.say("我要投诉")
    talk.say("算了，不投诉了")
    [reply] = talk.say("不登记了")
    assert "没有登记" in reply["text"]
    assert instance.cases(talk) == []
    assert talk.say("电梯维保能延长吗")[0]["answer"]["kind"] == "policy"
