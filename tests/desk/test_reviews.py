"""What was missed: gathered once, masked, labelled as nlu_data allows, exported as proposals and nowhere else."""

import asyncio
import json
import re
from datetime import timedelta

import pytest
import yaml
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from bot.audit import AuditEntry
from bot.cases import store
from bot.cases.models import CaseType
from bot.cli import app
from bot.conversations.models import Feedback, Message
from bot.desk import labels, proposals, reviews
from bot.desk.models import CopilotOutcome, Review
from bot.desk.scrub import personal, scrub
from bot.desk.tallies import Mark, Tally
from bot.engine.examples import read
from bot.errors import HotlineError, Problem
from bot.policy.pack import FACETS
from bot.settings import ROOT
from tests.desk.talked import open_one, say

PHONE = "13904321187"
LATER = timedelta(minutes=5)


@pytest.fixture
def gather(desk):
    """Gathers at the clock's time."""

    def gather():
        with desk.sessions.begin() as session:
            return reviews.gather(session, desk.clock())

    return gather


@pytest.fixture
def missed(desk):
    """Stores a missed message, lets it be gathered, returns the review's id."""

    def missed(text="证快到期了咋整", kind="fallback", **answer):
        with desk.sessions.begin() as session:
            message = say(session, open_one(session, desk.clock()), text, desk.clock(), kind, **answer)
        desk.clock.advance(minutes=5)
        reviews.gather_all(desk.sessions, desk.clock)
        with desk.readers() as session:
            return session.scalar(select(Review.id).where(Review.message_id == message.id))

    return missed


def rows(desk, table=Review):
    with desk.readers() as session:
        return list(session.scalars(select(table)))


# -- gathering ------------------------------------------------------------------------------------------


def test_misses_are_gathered_once_with_their_reading(desk, gather):
    reviews.gather_all(desk.sessions, desk.clock)
    with desk.sessions.begin() as session:
        talk = open_one(session, desk.clock())
        say(session, talk, "今天天气咋样", desk.clock(), "fallback")
        say(
            session, talk, "证到期了", desk.clock(), "clarify", options=[{"measures": [4]}, {"measures": [5]}]
        )
        say(session, talk, "哪条适合我", desk.clock(), "clarify")  # a question of the walk
        say(session, talk, "电梯维保能延吗", desk.clock(), "policy", measures=[9])
        say(session, talk, "还没答的", desk.clock(), "")
    desk.clock.advance(minutes=5)
    assert gather() == reviews.Gathered(2, 5, done=True)
    found = {row.source: row for row in rows(desk)}
    assert {source: row.text for source, row in found.items()} == {
        "fallback": "今天天气咋样",
        "clarify": "证到期了",
    }
    assert found["clarify"].reading["options"] == [{"measures": [4]}, {"measures": [5]}]
    assert (
        found["fallback"].reading["scores"] == {"9": 0.3, "4": 0.1}
        and "text" not in found["fallback"].reading
    )
    before = {(t.what, t.key): t.count for t in rows(desk, Tally)}
    assert before == {
        ("message", ""): 5, ("answer", "fallback"): 1, ("answer", "clarify"): 2, ("answer", "policy"): 1,
        ("measure", "9"): 1,
    }  # fmt: skip
    desk.clock.advance(minutes=5)
    assert gather() == reviews.Gathered(0, 0, done=True)
    assert {(t.what, t.key): t.count for t in rows(desk, Tally)} == before


def test_going_back_over_the_same_time_makes_no_second_review(desk, missed, gather):
    missed()
    with desk.sessions.begin() as session:
        session.execute(update(Mark).values(at=desk.clock() - timedelta(hours=1)))
    assert gather().reviews == 0 and len(rows(desk)) == 1


def test_what_is_younger_than_the_lag_waits_for_the_next_time(desk, gather):
    gather()
    with desk.sessions.begin() as session:
        say(session, open_one(session, desk.clock()), "天气", desk.clock(), "fallback")
    desk.clock.advance(seconds=59)
    reviews.gather_all(desk.sessions, desk.clock)
    assert rows(desk) == []
    desk.clock.advance(seconds=3)
    assert reviews.gather_all(desk.sessions, desk.clock) == 1


def test_a_month_back_is_gathered_day_by_day_and_no_further(desk):
    for days in (29, 12, 40):
        with desk.sessions.begin() as session:
            at = desk.clock() - timedelta(days=days)
            say(session, open_one(session, at), f"{days}天前", at, "fallback")
    assert reviews.gather_all(desk.sessions, desk.clock) == 2
    assert {row.text for row in rows(desk)} == {"29天前", "12天前"}


def test_thumbs_down_puts_the_question_up_not_the_answer(desk, gather):
    gather()
    with desk.sessions.begin() as session:
        talk = open_one(session, desk.clock())
        question = say(session, talk, "电梯年检能延吗", desk.clock(), "policy", measures=[9])
        good = say(session, talk, "电梯维保能延吗", desk.clock(), "policy", measures=[9])
        for message, helpful in ((question, False), (good, True)):
            seq = session.scalar(select(Message.seq).where(Message.reply_to == message.id))
            given = {"helpful": helpful, "created_at": desk.clock()}
            session.add(Feedback(conversation_id=talk.id, seq=seq, **given))
        session.add(Feedback(conversation_id=talk.id, seq=1, helpful=False, created_at=desk.clock()))
    desk.clock.advance(minutes=5)
    reviews.gather_all(desk.sessions, desk.clock)
    [row] = rows(desk)
    assert (row.source, row.message_id, row.text) == ("thumbs_down", question.id, "电梯年检能延吗")
    assert row.reading["said_measures"] == [9]


async def test_an_agents_correction_puts_the_message_up(desk):
    with desk.sessions.begin() as session:
        talk = open_one(session, desk.clock())
        message = say(session, talk, "证要换了", desk.clock(), "policy", measures=[4])
    body = {
        "kind": "measure", "outcome": "edited", "suggestion": {"measure": 4}, "conversation_id": talk.id,
        "message_seq": message.seq, "corrected": {"act": "policy", "measures": [8], "facet": "time"},
    }  # fmt: skip
    client = desk.client(desk.agent)
    assert (await client.post("/api/v1/copilot/outcomes", json=body)).status_code == 201
    accepted = body | {"outcome": "accepted", "corrected": None}
    assert (await client.post("/api/v1/copilot/outcomes", json=accepted)).status_code == 201
    nowhere = {"kind": "say", "outcome": "dropped", "suggestion": {}}
    assert (await client.post("/api/v1/copilot/outcomes", json=nowhere)).status_code == 201
    desk.clock.advance(minutes=5)
    reviews.gather_all(desk.sessions, desk.clock)
    [row] = rows(desk)
    assert (row.source, row.message_id) == ("correction", message.id)
    assert row.reading["corrected"] == {"act": "policy", "measures": [8], "facet": "time"}


def test_personal_data_is_gone_before_a_review_is_stored(desk):
    text = f"我叫王建国，{PHONE}，鸿达锅炉厂的，孙女士让我问，单号20261122000017，证到期咋办"
    with desk.sessions.begin() as session:
        talk = open_one(session, desk.clock())
        draft = store.open_draft(session, talk.id, now=desk.clock(), type=CaseType.REQUEST)
        fields = {"company": "鸿达锅炉厂", "name": "王建国", "phone": PHONE}
        store.save_draft(session, draft, now=desk.clock(), data={"type": "request", "fields": fields})
        say(session, talk, text, desk.clock(), "fallback")
    desk.clock.advance(minutes=5)
    reviews.gather_all(desk.sessions, desk.clock)
    [row] = rows(desk)
    for secret in ("王建国", PHONE, "鸿达", "孙女士", "20261122000017"):
        assert secret not in row.text and secret not in json.dumps(row.reading, ensure_ascii=False)
    assert row.text == "我叫某某，某号码，某单位的，某某女士让我问，单号某号码，证到期咋办"


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("电梯维保\n能延吗", "电梯维保 能延吗"),
        ("打0431-88901234也行", "打某号码也行"),
        ("找王师傅，邮箱a.b@qq.com", "找某某师傅，邮箱某号码"),
        ("联系人：赵敏，电话１３９０４３２１１８７", "联系人：某某，电话某号码"),
        ("12315能投诉吗，2020年的26号文", "12315能投诉吗，2020年的26号文"),
        ("我姓李，免贵姓欧阳", "我姓某某，免贵姓某某"),
    ],
)
def test_scrubbing_takes_out_what_is_personal_and_nothing_else(text, scrubbed):
    assert scrub(text) == scrubbed
    assert personal(scrubbed) == []


@pytest.mark.parametrize(
    "text",
    ["3号楼2单元501室", "微信号 wxid_88abc", f"电话{PHONE}", "139****1187", "我叫李四，问证", "李女士问的"],
)
def test_what_is_left_over_is_found(text):
    assert personal(text)


async def test_the_loop_goes_on_after_a_failure(desk, monkeypatch, logged):
    monkeypatch.setattr(reviews, "EVERY", 0.01)
    calls = []

    def fail(sessions, now):
        calls.append(now())
        raise RuntimeError("once")

    monkeypatch.setattr(reviews, "gather_all", fail)
    task = asyncio.create_task(reviews.keep_gathering(desk.sessions, desk.clock))
    while len(calls) < 3:
        await asyncio.sleep(0.01)
    task.cancel()
    assert [event["event"] for event in logged][:2] == ["not_gathered"] * 2


async def test_the_desk_gathers_while_it_runs(desk, missed):
    with desk.sessions.begin() as session:
        say(session, open_one(session, desk.clock()), "天气", desk.clock(), "fallback")
    desk.clock.advance(minutes=5)
    async with desk.app.router.lifespan_context(desk.app):
        for _ in range(3000):
            if rows(desk):
                break
            await asyncio.sleep(0.01)
    assert [row.text for row in rows(desk)] == ["天气"]


# -- labelling ------------------------------------------------------------------------------------------


def test_the_labels_are_those_of_nlu_data():
    readme = (ROOT / "nlu_data" / "README.md").read_text("utf-8")
    table = readme.split("| intent |", 1)[1].split("\n\n", 1)[0]
    named = {word.strip() for line in table.splitlines()[2:] for word in line.split("|")[1].split(",")}
    assert named == set(labels.acts())
    facets = re.findall(r"^\| (\w+) \|", readme.split("| facet |", 1)[1].split("\n\n", 1)[0], re.M)
    assert tuple(sorted(set(facets) - {"facet"})) == tuple(sorted(FACETS))
    topics = re.search(r"facet: (number.*?) \|", readme)[1].split(", ")
    assert set(topics) == set(labels.facets_of("notice"))
    for act in ("emergency", "chitchat"):
        row = next(line for line in table.splitlines() if line.startswith(f"| {act} |"))
        assert set(row.split("topic: ")[1].rstrip(" |").split(", ")) == set(labels.facets_of(act))


GOOD = [
    ("policy", [9], "time", {}), ("policy", [4, 14], "what", {"specified": False}),
    ("policy", [4, 5, 8], None, {"ambiguous": True}), ("notice", [], "validity", {}),
    ("emergency", [], "fire", {}), ("chitchat", [], "greet", {}), ("oos", [], None, {}),
    ("complaint", [], None, {}), ("followup", [], "cost", {}), ("followup", [], None, {}),
]  # fmt: skip


@pytest.mark.parametrize(("act", "measures", "facet", "more"), GOOD)
def test_a_label_that_nlu_data_can_hold(desk, missed, act, measures, facet, more):
    review_id = missed()
    with desk.sessions.begin() as session:
        row = reviews.label(
            session, review_id, desk.agent, act=act, measures=measures, facet=facet, now=desk.clock(), **more
        )
        assert (row.state, row.decided_by, row.act, row.facet) == ("labelled", desk.agent.id, act, facet)


@pytest.mark.parametrize(
    ("act", "measures", "facet", "more"),
    [
        ("policy", [], "time", {}),
        ("policy", [17], "time", {}),
        ("policy", [9, 9], "time", {}),
        ("policy", [9], None, {}),
        ("policy", [9], "weather", {}),
        ("policy", [9], None, {"ambiguous": True}),
        ("complaint", [9], None, {}),
        ("complaint", [], "time", {}),
        ("notice", [], "time", {}),
        ("notice", [], None, {}),
        ("emergency", [], "flood", {}),
        ("oos", [], None, {"ambiguous": True}),
        ("ask_back", [], None, {}),
        ("inform", [], None, {}),
        ("weather", [], None, {}),
        ("oos", [], None, {"text": f"我电话是{PHONE}，住3号楼2单元"}),
        ("oos", [], None, {"text": "  "}),
    ],
)
def test_a_label_that_nlu_data_cannot_hold(desk, missed, act, measures, facet, more):
    review_id = missed()
    with desk.sessions.begin() as session:
        with pytest.raises(HotlineError) as error:
            reviews.label(
                session,
                review_id,
                desk.agent,
                act=act,
                measures=measures,
                facet=facet,
                now=desk.clock(),
                **more,
            )
        assert error.value.problem is Problem.WRONG_LABEL
    assert rows(desk)[0].state == "open"


async def test_the_calls_list_label_and_dismiss(desk, missed):
    ids = [missed(f"第{n}句没听懂", "fallback") for n in range(3)]
    client = desk.client(desk.agent)
    assert (await desk.client().get("/api/v1/reviews")).status_code == 401
    first = (await client.get("/api/v1/reviews", params={"limit": 2})).json()
    assert [row["id"] for row in first["reviews"]] == [ids[2], ids[1]] and first["next"] == ids[1]
    second = (await client.get("/api/v1/reviews", params={"limit": 2, "after": first["next"]})).json()
    assert [row["id"] for row in second["reviews"]] == [ids[0]] and second["next"] is None
    row = first["reviews"][0]
    assert row["seq"] == 2 and row["conversation_id"] and row["channel"] == "widget"
    assert {"acts", "facets", "measures"} == set(first["choices"])
    label = {"act": "policy", "measures": [9], "facet": "time", "specified": False, "text": "维保能拖几个月"}
    done = await client.post(f"/api/v1/reviews/{ids[0]}", json=label)
    assert (done.status_code, done.json()["text"], done.json()["specified"]) == (200, "维保能拖几个月", False)
    assert (await client.post(f"/api/v1/reviews/{ids[1]}", json={"dismiss": True})).json()[
        "state"
    ] == "dismissed"
    left = (await client.get("/api/v1/reviews", params={"source": "fallback"})).json()["reviews"]
    assert [row["id"] for row in left] == [ids[2]]
    assert (await client.get("/api/v1/reviews", params={"source": "clarify"})).json()["reviews"] == []
    entries = [e for e in rows(desk, AuditEntry) if e.action == "review.decide"]
    assert [(e.actor, e.subject) for e in entries] == [("staff:agent", f"review:{i}") for i in ids[:2]]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("1", {"act": "policy", "measures": [99], "facet": "time"}, 422, "wrong_label"),
        ("1", {}, 422, "malformed"),
        ("1", {"dismiss": True, "act": "oos"}, 422, "malformed"),
        ("1", {"act": "oos", "more": 1}, 422, "malformed"),
        ("99", {"dismiss": True}, 404, "unknown_review"),
        ("0", {"dismiss": True}, 422, "malformed"),
        ("99999999999", {"dismiss": True}, 422, "malformed"),
    ],
)
async def test_what_the_calls_refuse(desk, missed, path, body, status, code):
    missed()
    answer = await desk.client(desk.agent).post(f"/api/v1/reviews/{path}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert rows(desk)[0].state == "open"


# -- proposals ------------------------------------------------------------------------------------------


@pytest.fixture
def labelled(desk, missed):
    """Labels a message of these words."""

    def labelled(text, act="policy", measures=(9,), facet="time", **more):
        review_id = missed(text)
        with desk.sessions.begin() as session:
            reviews.label(
                session,
                review_id,
                desk.agent,
                act=act,
                measures=measures,
                facet=facet,
                now=desk.clock(),
                **more,
            )
        return review_id

    return labelled


@pytest.fixture
def export(desk, tmp_path):
    """Exports to a file of this name."""

    def export(name="proposed.yml"):
        with desk.sessions.begin() as session:
            return proposals.export(session, tmp_path / name, now=desk.clock())

    return export


def test_proposals_are_read_back_as_the_training_data_would_be(labelled, export, tmp_path, desk):
    texts = {
        "维保最长能拖多少个月呀亲": labelled("维保最长能拖多少个月呀亲", specified=False),
        "/那维保(上门)[每回]能隔{多久}": labelled("/那维保(上门)[每回]能隔{多久}", specified=False),
        "本子到期了咋弄我不懂": labelled(
            "本子到期了咋弄我不懂", measures=(4, 5, 8), facet=None, ambiguous=True
        ),
        "这文件现在作不作数呀您说": labelled("这文件现在作不作数呀您说", "notice", (), "validity"),
        "教我做酸菜饺子馅吧老铁": labelled("教我做酸菜饺子馅吧老铁", "oos", (), None),
    }
    done = export()
    assert set(done.written) == set(texts.values()) and not done.refused
    assert done.path.stat().st_mode & 0o777 == 0o600
    found = {e.text: e for e in read(tmp_path)}
    assert set(found) == {
        "维保最长能拖多少个月呀亲", "那维保（上门）（每回）能隔（多久）", "本子到期了咋弄我不懂",
        "这文件现在作不作数呀您说", "教我做酸菜饺子馅吧老铁",
    }  # fmt: skip
    example = found["维保最长能拖多少个月呀亲"]
    assert (example.act, example.measures, example.facet, example.given) == ("policy", (9,), "time", False)
    ambiguous = found["本子到期了咋弄我不懂"]
    assert ambiguous.ambiguous and ambiguous.measures == (4, 5, 8)
    assert (
        found["这文件现在作不作数呀您说"].facet == "validity"
        and found["教我做酸菜饺子馅吧老铁"].topic == "misc"
    )
    assert yaml.safe_load(done.path.read_text("utf-8"))["version"] == "3.1"
    assert {row.state for row in rows(desk)} == {"exported"}
    again = export("again.yml")
    assert again.written == () and not (tmp_path / "again.yml").exists()


def test_an_exported_review_stays_as_it_is(desk, labelled, export):
    review_id = labelled("维保最长能拖多少个月呀亲")
    export()
    with desk.sessions.begin() as session:
        for change in (
            lambda: reviews.dismiss(session, review_id, desk.agent, now=desk.clock()),
            lambda: reviews.label(session, review_id, desk.agent, act="oos", now=desk.clock()),
        ):
            with pytest.raises(HotlineError) as error:
                change()
            assert error.value.problem is Problem.ALREADY_EXPORTED


def test_a_text_with_personal_data_is_refused_and_stays_labelled(desk, labelled, export):
    bad, good = labelled("住3号楼2单元501室，维保咋延"), labelled("维保一拖能拖几个月哈")
    done = export()
    assert done.written == (good,) and done.refused == {bad: ["门牌"]}
    assert "501室" not in done.path.read_text("utf-8")
    assert {row.id: row.state for row in rows(desk)} == {bad: "labelled", good: "exported"}


def test_a_name_told_after_the_message_is_taken_out_at_the_export(desk, labelled, export):
    review_id = labelled("鸿达厂的维保能拖几个月")
    with desk.sessions.begin() as session:
        review = session.get_one(Review, review_id)
        talk = session.get_one(Message, review.message_id).conversation_id
        draft = store.open_draft(session, talk, now=desk.clock(), type=CaseType.REQUEST)
        data = {"type": "request", "fields": {"company": "鸿达厂"}}
        store.save_draft(session, draft, now=desk.clock(), data=data)
    assert "某单位的维保能拖几个月" in export().path.read_text("utf-8")


def test_what_the_training_data_holds_already_is_not_proposed_again(desk, labelled, export):
    known = next(e.text for e in read(ROOT / "nlu_data") if e.act == "policy" and len(e.text) > 8)
    first, second = labelled(known), labelled("维保一拖能拖几个月哈")
    twice = labelled("维保一拖能拖几个月哈")
    done = export()
    assert done.written == (second,) and set(done.known) == {first, twice}


@pytest.mark.parametrize(
    "name", ["nlu_data/proposed.yml", "nlu_data/more/x.yml", "data/x.yml", "bot/../nlu_data/x.yml"]
)
def test_proposals_never_go_into_the_training_data(desk, labelled, name):
    labelled("维保一拖能拖几个月哈")
    with desk.sessions.begin() as session, pytest.raises(proposals.ExportRefused, match="nlu_data"):
        proposals.export(session, ROOT / name, now=desk.clock())
    assert not (ROOT / name).exists() and rows(desk)[0].state == "labelled"


def test_no_file_is_written_over(desk, labelled, export, tmp_path):
    labelled("维保一拖能拖几个月哈")
    (tmp_path / "proposed.yml").write_text("mine")
    with pytest.raises(proposals.ExportRefused, match="exists already"):
        export()
    assert (tmp_path / "proposed.yml").read_text() == "mine" and rows(desk)[0].state == "labelled"


def test_a_write_that_fails_marks_nothing(desk, labelled, export, monkeypatch):
    labelled("维保一拖能拖几个月哈")

    def full(*_):
        raise OSError("no space")

    monkeypatch.setattr(proposals, "_write", full)
    with pytest.raises(OSError, match="no space"):
        export()
    assert rows(desk)[0].state == "labelled"


def test_the_command_gathers_exports_and_says_what_it_refused(desk, labelled, tmp_path, monkeypatch):
    monkeypatch.setattr("bot.conversations.turns.utc_now", desk.clock)
    labelled("维保一拖能拖几个月哈")
    out = tmp_path / "out.yml"
    done = CliRunner().invoke(app, ["export", "reviewed", "--out", str(out)])
    assert done.exit_code == 0 and "1 proposed examples" in done.output
    assert [e.text for e in read(tmp_path)] == ["维保一拖能拖几个月哈"]
    again = CliRunner().invoke(app, ["export", "reviewed"])
    assert again.exit_code == 0 and "nothing to export" in again.output
    bad = labelled("住3号楼2单元501室，维保咋延")
    refused = CliRunner().invoke(app, ["export", "reviewed"])
    assert refused.exit_code == 1 and f"review {bad} not written, still holds: 门牌" in refused.output
    into = CliRunner().invoke(app, ["export", "reviewed", "--out", str(ROOT / "nlu_data" / "x.yml")])
    assert into.exit_code == 1 and "never go into nlu_data" in into.output
    exports = [e.subject for e in rows(desk, AuditEntry) if e.action == "reviews.export"]
    assert exports[0] == "file:out.yml" and len(exports) == 3


def test_an_accepted_suggestion_is_no_correction(desk, gather):
    gather()
    with desk.sessions.begin() as session:
        message = say(session, open_one(session, desk.clock()), "你好", desk.clock(), "chitchat")
        row = {"staff_id": desk.agent.id, "kind": "say", "outcome": "accepted", "at": desk.clock()}
        session.add(CopilotOutcome(suggestion={"message_id": message.id}, **row))
    desk.clock.advance(minutes=5)
    reviews.gather_all(desk.sessions, desk.clock)
    with desk.readers() as session:
        assert session.scalar(select(func.count(Review.id))) == 0
