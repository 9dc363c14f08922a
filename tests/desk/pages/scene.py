"""A Sunday afternoon at the hotline, made through the services: for pictures, and to see every page with something on it."""

import uuid
from datetime import timedelta

from bot.cases import dispatch, follow_ups, store, supervision, workflow
from bot.cases.calendar import local_date
from bot.cases.models import CaseType
from bot.conversations import log, ownership
from bot.conversations.models import CallBack, HandOver, Rating
from bot.desk import tallies
from bot.desk.models import CopilotOutcome, Note, Review
from bot.staff import roster
from bot.staff.models import Role

CASES = [
    ("T", "家和电器（桂林路店）", "11月19日买的电热水壶，用了两天底座冒烟，店里说人为损坏不给退。", "退货退款268元", -3, False),
    ("J", "康乐老年公寓食堂", "食堂给老人用过期的酱油，库房里还有二十多桶，保质期到今年6月。", "", -1, True),
    ("S", "南关区某物业公司", "物业按每度1.6元收转供电电费，供电公司的是0.9元左右，商户都在交。", "按规定收费，多收的退回", -6, False),
    ("T", "悦动健身俱乐部", "办了两年卡3980元，健身房上月闭店，负责人电话不接。", "退还剩余18个月会费", -12, False),
    ("J", "兴旺超市", "卖的鸡蛋秤不准，买五斤回家称只有四斤二两，好几个邻居都遇到了。", "", -4, False),
    ("Y", "", "建议办照窗口中午也留人值班，我们小店走不开。", "", -9, False),
    ("T", "鑫源二手车行", "买车时说没有大事故，过户后查出换过前梁。", "退车或赔偿差价", -15, False),
    ("S", "宽城区政务大厅", "食品经营许可变更材料交了三次，每次说的都不一样。", "一次说清要什么材料", -2, False),
]  # fmt: skip


def _call(session, at, number):
    conversation, _ = log.open_conversation(session, "widget", at)
    return conversation, f"m-{number}"


def cases(room):
    """Cases in different stages; their numbers."""
    made = []
    now = room.clock()
    for index, (kind, respondent, facts, request, days, urgent) in enumerate(CASES):
        at = now + timedelta(days=days, minutes=-index * 17)
        with room.sessions.begin() as session:
            conversation, message_id = _call(session, at, index)
            draft = store.open_draft(session, conversation.id, now=at, type=CaseType(kind))
            fields = {
                "respondent": respondent,
                "facts": facts,
                "request": request,
                "name": "韩雪梅",
                "phone": f"1390432{1100 + index}",
            }
            if kind == "S":
                fields["company"] = "小韩鲜面馆"
            fields = {k: v for k, v in fields.items() if v}
            part = store.Part(type=CaseType(kind), fields=fields, anonymous=False, urgent=urgent)
            case = store.submit(
                session, draft, parts=[part], message_id=message_id, channel="widget", now=at
            )[0]
            made.append(case.number)
    agent = {"actor": "staff:agent"}
    with room.sessions.begin() as session:
        day = timedelta(days=1)
        number = made[0]
        dispatch.do_dispatch(
            session,
            number,
            lead="消费者权益保护",
            support=["产品质量监督"],
            opinion="请核实热水壶质量和退货情况，依法处理。",
            due_on=local_date(now) + timedelta(days=4),
            now=now - 2 * day,
            **agent,
        )
        dispatch.do_accept(session, number, now=now - day, **agent)
        supervision.do_supervise(
            session,
            number,
            opinion="涉及用电安全，请优先办理。",
            actor="staff:lead",
            now=now - timedelta(hours=5),
        )
        session.add(
            Note(
                case_number=number,
                staff_id=room.agent.id,
                body="市民家里有老人，方便时间是晚上七点后。",
                at=now - timedelta(hours=4),
            )
        )
        number = made[3]
        dispatch.do_dispatch(
            session,
            number,
            lead="消费者权益保护",
            opinion="预付卡闭店，请联系负责人。",
            due_on=local_date(now) - day,
            now=now - 11 * day,
            **agent,
        )
        number = made[4]
        dispatch.do_dispatch(
            session, number, lead="计量", opinion="请现场检查计量器具。", now=now - 3 * day, **agent
        )
        dispatch.do_accept(session, number, now=now - 2 * day, **agent)
        dispatch.do_answer(
            session, number, result="已责令更换电子秤并检定，经营者已整改。", now=now - day, **agent
        )
        number = made[2]
        dispatch.do_dispatch(
            session,
            number,
            lead="价格监督和反不正当竞争",
            opinion="请核查转供电加价。",
            now=now - 5 * day,
            **agent,
        )
        dispatch.do_return(
            session,
            number,
            reason="地址不详",
            explanation="请补充物业公司全称和商场地址。",
            now=now - 3 * day,
            **agent,
        )
        workflow.do_status(session, made[6], "待受理", actor="staff:agent", now=now - 10 * day)
        number = made[5]
        dispatch.do_answer(
            session, number, result="窗口中午已安排轮值，感谢建议。", now=now - 2 * day, **agent
        )
        follow_ups.do_follow_up(
            session,
            number,
            follow_ups.Call(reached=True, solved=True, satisfaction="非常满意"),
            now=now - day,
            **agent,
        )
    return made


def people(room):
    """Colleagues and a week's roster with one gap."""
    staff = [
        room.agent,
        room.colleague("liu", "刘洋"),
        room.colleague("chen", "陈晓东"),
        room.colleague("sun", "孙丽"),
    ]
    day = local_date(room.clock())
    with room.sessions.begin() as session:
        for offset in range(7):
            for index, period in enumerate(roster.PERIODS):
                for post, who in (
                    ("主班", staff[(offset + index) % 4]),
                    ("副班", staff[(offset + index + 1) % 4]),
                    ("带班领导", room.lead),
                ):
                    if (offset, period, post) != (5, "夜", "副班"):
                        roster.assign(
                            session,
                            day + timedelta(days=offset),
                            period,
                            post,
                            who,
                            by=room.lead,
                            now=room.clock(),
                        )
    return staff


def talks(room, liu):
    """Citizens who wait, one in the agent's hands and one in a colleague's; their ids by role."""
    room.engine.script["人工"] = [{"compose": "handoff"}]
    start = room.clock()
    ids = {}
    room.clock.advance(minutes=-19)
    for name, words in (
        ("held", "我在桂林路家和电器买的电热水壶冒烟了，电话13904321187，店里不给退"),
        ("other", "办照材料交了三次了"),
        ("late", "电梯维保费涨了，通知里有减免吗"),
        ("early", "我要查上周的投诉"),
    ):
        citizen = room.citizen()
        citizen.say(words)
        citizen.say("人工")
        ids[name] = citizen
        room.clock.advance(minutes=4)
    room.clock.now = start - timedelta(minutes=1, seconds=40)
    danger = room.citizen()
    danger.say("我们小区3号楼电梯困人了，里面有老人")
    ids["danger"] = danger
    room.clock.now = start - timedelta(minutes=6)
    with room.sessions.begin() as session:
        ownership.claim(session, ids["held"].id, room.agent, now=room.clock())
        ownership.claim(session, ids["other"].id, liu, now=room.clock())
        ownership.say(
            session,
            ids["held"].id,
            room.agent,
            "您好，前面您说的我都看到了。水壶和小票还在吗？",
            client_message_id="scene-1",
            now=start - timedelta(minutes=4),
        )
        ownership.say(
            session,
            ids["other"].id,
            liu,
            "我帮您把三次的要求记下来。",
            client_message_id="scene-2",
            now=start - timedelta(minutes=3),
        )
    room.clock.now = start - timedelta(minutes=1)
    ids["held"].say("都在，小票也拍照了。我不要换货，就要退钱，268元，再不退我就去举报他们卖假货")
    with room.sessions.begin() as session:
        session.add(
            CallBack(
                id="call-1",
                conversation_id=ids["early"].id,
                phone="13904320055",
                state="open",
                created_at=start,
                due_at=start + timedelta(minutes=22),
            )
        )
        hand_over = session.query(HandOver).filter_by(conversation_id=ids["early"].id).one()
        hand_over.state = "closed"
        session.add(
            Note(
                conversation_id=ids["held"].id,
                staff_id=room.agent.id,
                body="店名和小票核对过，是桂林路店。",
                at=start - timedelta(minutes=3),
            )
        )
        hand_over = session.query(HandOver).filter_by(conversation_id=ids["late"].id).one()
        hand_over.level = 1
    room.clock.now = start
    return ids


def figures(room):
    """Eight days of counts."""
    now = room.clock()
    keys = {
        "policy": 52,
        "complaint": 14,
        "report": 9,
        "status": 12,
        "chitchat": 8,
        "clarify": 6,
        "fallback": 5,
        "handoff": 7,
        "emergency": 1,
    }
    busy = [2, 1, 1, 0, 1, 2, 5, 9, 22, 34, 38, 30, 18, 21, 33, 36, 29, 20, 12, 11, 9, 7, 4, 3]
    with room.sessions.begin() as session:
        counts = {}
        for back in range(8):
            for hour, size in enumerate(busy):
                at = (now - timedelta(days=back)).replace(hour=hour)
                if at <= now:
                    share = 0.55 if at.weekday() >= 5 else 1
                    counts[tallies.Key(tallies.hour_of(at), "message", "", "widget")] = round(size * share)
                    counts[tallies.Key(tallies.hour_of(at), "message", "", "sms")] = round(size * share / 4)
            at = tallies.hour_of(now - timedelta(days=back))
            for kind, size in keys.items():
                counts[tallies.Key(at, "answer", kind, "widget")] = size + back
            for number, size in (
                (1, 9),
                (4, 7),
                (9, 12),
                (10, 6),
                (2, 5),
                (13, 4),
                (14, 8),
                (15, 5),
                (11, 3),
            ):
                counts[tallies.Key(at, "measure", str(number), "widget")] = size
        tallies.add(session, counts)
        for index, score in enumerate((5, 5, 4, 5, 3, 4, 5, 2, 5, 4, 1, 5)):
            conversation, _ = log.open_conversation(session, "widget", now - timedelta(hours=index * 9))
            conversation.next_seq = 4
            session.add(
                Rating(
                    conversation_id=conversation.id, score=score, created_at=now - timedelta(hours=index * 9)
                )
            )
        for index, outcome in enumerate(["accepted"] * 9 + ["edited"] * 4 + ["dropped"] * 3):
            session.add(
                CopilotOutcome(
                    staff_id=room.agent.id,
                    kind="say" if index % 3 else "question",
                    outcome=outcome,
                    suggestion={"text": "…"},
                    at=now - timedelta(hours=index),
                )
            )


def reviews(room):
    """Missed messages."""
    room.engine.script["开饭店要啥证来着"] = [
        {"compose": "ready", "kind": "fallback", "text": "这个问题我没有把握。"}
    ]
    citizen = room.citizen()
    citizen.say("开饭店要啥证来着")
    with room.sessions.begin() as session:
        message = log.after(session, citizen.id, 0)[1]
        session.add(
            Review(
                source="fallback",
                message_id=message.id,
                text="开饭店要啥证来着",
                reading={
                    "intent": "oos",
                    "confidence": 0.52,
                    "acts": {"oos": 0.52, "policy": 0.41},
                    "scores": {"2": 0.31, "1": 0.12},
                    "reason": "out of scope",
                },
                state="open",
                created_at=room.clock(),
            )
        )
    return citizen


def fill(room):
    """Everything; `{"cases": numbers, "talks": citizens}`."""
    staff = people(room)
    numbers = cases(room)
    reviews(room)
    figures(room)
    return {"cases": numbers, "talks": talks(room, staff[1])}


def tag():
    """A short unique word."""
    return uuid.uuid4().hex[:6]


__all__ = ["Role", "cases", "figures", "fill", "people", "reviews", "tag", "talks"]
