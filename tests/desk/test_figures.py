"""Figures and metrics: counted rightly on both databases, honest about what is not known, named as documented."""

import json
import re
import uuid
from datetime import date, datetime, timedelta

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.metrics import MetricWrapperBase

from bot.cases import store
from bot.cases.calendar import SHANGHAI
from bot.cases.models import CaseClock, CaseType, FollowUp
from bot.channels import metrics
from bot.channels.promises import CACHED, GAUGES, Promises, registry_of
from bot.conversations.models import CallBack, HandOver, Rating
from bot.crypto import DataKey, set_data_key
from bot.desk import figures, reviews
from bot.desk.models import CopilotOutcome, Review
from bot.outbox.models import Delivery
from bot.settings import ROOT
from bot.staff.models import Staff
from bot.storage import DatabaseDown
from tests.cases.conftest import database_url, engine, postgres, sessions  # noqa: F401
from tests.desk.talked import open_one, say

NOW = datetime(2026, 11, 22, 15, 4, tzinfo=SHANGHAI)
TODAY = figures.day_bounds(date(2026, 11, 22), date(2026, 11, 22))


@pytest.fixture(autouse=True)
def key():
    set_data_key(DataKey(bytes(range(32))))


def gathered(sessions, now=NOW):  # noqa: F811
    reviews.gather_all(sessions, lambda: now + timedelta(minutes=2))


def hand_over(session, talk, at, *, wait=None, urgent=False, state=None):
    session.add(
        HandOver(
            id=str(uuid.uuid4()), conversation_id=talk.id, reason="要求人工", urgent=urgent,
            state=state or ("waiting" if wait is None else "claimed"), created_at=at,
            claimed_at=None if wait is None else at + timedelta(seconds=wait),
        )
    )  # fmt: skip


def lodge(session, at, n, type=CaseType.COMPLAINT):
    draft = store.open_draft(session, f"case-{n}", now=at, type=type)
    part = store.Part(type, {"phone": "13904321187", "facts": "不给退"})
    [case] = store.submit(session, draft, parts=[part], message_id=f"m{n}", channel="widget", now=at)
    return case


# -- figures --------------------------------------------------------------------------------------------


def test_volume_by_hour_of_jilin_day_channel_kind_and_measure(sessions):  # noqa: F811
    early = datetime(2026, 11, 22, 0, 30, tzinfo=SHANGHAI)  # still the 21st in UTC
    with sessions.begin() as session:
        say(session, open_one(session, early), "电梯维保能延吗", early, "policy", measures=[9])
        sms = open_one(session, NOW, "sms")
        say(session, sms, "电梯和贷款", NOW, "policy", measures=[9, 14])
        say(session, sms, "天气", NOW, "fallback")
        before = early - timedelta(hours=1)
        say(session, open_one(session, before), "昨天的", before, "chitchat")
    gathered(sessions)
    with sessions() as session:
        found = figures.volume(session, *TODAY)
    assert found["messages"] == 3 and sum(found["by_hour"]) == 3
    assert (found["by_hour"][0], found["by_hour"][15], found["by_hour"][23]) == (1, 2, 0)
    assert found["by_day"] == {"2026-11-22": 3} and found["by_channel"] == {"sms": 2, "widget": 1}
    assert found["by_kind"] == {"policy": 2, "fallback": 1} and found["by_measure"] == {9: 2, 14: 1}


def test_counts_of_one_hour_add_up_over_several_gatherings(sessions):  # noqa: F811
    gathered(sessions, NOW - timedelta(minutes=4))
    for minutes in (1, 4, 7):
        at = NOW + timedelta(minutes=minutes)
        with sessions.begin() as session:
            say(session, open_one(session, at), "你好", at, "chitchat")
        gathered(sessions, at)
    with sessions() as session:
        assert figures.volume(session, *TODAY)["by_hour"][15] == 3


def test_solved_by_the_bot_alone_counts_only_who_said_something(sessions):  # noqa: F811
    with sessions.begin() as session:
        open_one(session, NOW)  # looked at and left
        for _ in range(3):
            say(session, open_one(session, NOW), "你好", NOW, "chitchat")
        handed = open_one(session, NOW)
        say(session, handed, "转人工", NOW, "handoff")
        hand_over(session, handed, NOW, state="closed")
        taken = open_one(session, NOW)
        say(session, taken, "你好", NOW, "chitchat")
        taken.claimed_at = NOW
    with sessions() as session:
        assert figures.solved(session, *TODAY) == {"conversations": 5, "bot_alone": 3, "share": 0.6}


def test_waits_are_those_that_somebody_really_waited(sessions):  # noqa: F811
    with sessions.begin() as session:
        for seconds in (10, 20, 30, 40, 50, 60, 70, 80, 90, 1000):
            hand_over(session, open_one(session, NOW), NOW, wait=seconds)
        hand_over(session, open_one(session, NOW), NOW, wait=5, urgent=True)
        hand_over(session, open_one(session, NOW), NOW)
        hand_over(session, open_one(session, NOW), NOW, state="closed")
        hand_over(session, open_one(session, NOW), NOW - timedelta(days=1), wait=9999)
    with sessions() as session:
        found = figures.hand_over_wait(session, *TODAY)
    assert (found["hand_overs"], found["waiting"], found["closed_unclaimed"]) == (13, 1, 1)
    assert found["all"] == {"claimed": 11, "median": 50, "p90": 90}
    assert found["urgent"] == {"claimed": 1, "median": 5, "p90": 5}


def test_clocks_met_late_missed_and_running(sessions):  # noqa: F811
    today = NOW.date()
    with sessions.begin() as session:
        for n, (due, met) in enumerate(
            [(0, 0), (0, -1), (0, None), (-1, 0), (-1, None), (-2, -2), (5, None)], 1
        ):
            case = lodge(session, NOW, n)
            clock = session.query(CaseClock).filter_by(case_number=case.number).one()
            clock.due_on = today + timedelta(days=due)
            clock.met_on = None if met is None else today + timedelta(days=met)
    bounds = figures.day_bounds(today - timedelta(days=2), today)
    with sessions() as session:
        found = figures.clocks(session, *bounds, today=today)
    assert found["total"] == {"in_time": 3, "late": 1, "missed": 1, "running": 1, "share": 0.6}
    assert [row["key"] for row in found["by_clock"]] == ["accept_complaint"]


def test_satisfaction_of_ratings_and_follow_up_calls(sessions):  # noqa: F811
    with sessions.begin() as session:
        for score in (5, 5, 4, 1):
            session.add(Rating(conversation_id=open_one(session, NOW).id, score=score, created_at=NOW))
        case = lodge(session, NOW, 1)
        for reached, solved, word in ((True, True, "满意"), (True, False, "不满意"), (False, None, None)):
            session.add(
                FollowUp(
                    case_number=case.number,
                    reached=reached,
                    solved=solved,
                    satisfaction=word,
                    by="staff:x",
                    at=NOW,
                )
            )
    with sessions() as session:
        found = figures.satisfaction(session, *TODAY)
    assert (found["ratings"], found["average"]) == (4, 3.75)
    assert found["by_score"] == {1: 1, 2: 0, 3: 0, 4: 1, 5: 2}
    assert (found["follow_ups"], found["reached"], found["solved"]) == (3, 2, 1)
    assert found["by_word"] == {"满意": 1, "不满意": 1}


def test_top_misses_put_alike_words_together(sessions):  # noqa: F811
    with sessions.begin() as session:
        for text in ("怎么交社保", "怎么交社保？", "怎么交社保 ", "今天天气"):
            say(session, open_one(session, NOW), text, NOW, "fallback")
    gathered(sessions)
    with sessions() as session:
        found = figures.top_misses(session, *TODAY)
    assert [(row["count"], row["open"], row["near"]) for row in found] == [(3, 3, [9, 4]), (1, 1, [9, 4])]
    assert found[0]["sources"] == {"fallback": 3} and found[0]["text"].startswith("怎么交社保")


def test_cases_and_what_agents_made_of_suggestions(sessions):  # noqa: F811
    with sessions.begin() as session:
        for n, type in enumerate((CaseType.COMPLAINT, CaseType.COMPLAINT, CaseType.REQUEST), 1):
            lodge(session, NOW, n, type)
        staff = Staff(id="s1", username="x", name="王敏", role="agent", password_hash="x", created_at=NOW)
        session.add(staff)
        session.flush()
        for outcome in ("accepted", "accepted", "dropped"):
            session.add(CopilotOutcome(staff_id="s1", kind="say", outcome=outcome, suggestion={}, at=NOW))
    with sessions() as session:
        assert figures.cases(session, *TODAY) == {
            "registered": 3, "by_type": {"投诉": 2, "诉求": 1}, "by_channel": {"widget": 3},
        }  # fmt: skip
        assert figures.copilot(session, *TODAY) == {"say": {"accepted": 2, "dropped": 1}}


def test_an_empty_hotline_has_no_shares(sessions):  # noqa: F811
    with sessions() as session:
        found = figures.figures(session, *TODAY, now=NOW)
    assert found["solved"]["share"] is None and found["satisfaction"]["average"] is None
    assert found["clocks"]["total"]["share"] is None and found["hand_over"]["all"]["median"] is None
    assert found["volume"]["by_hour"] == [0] * 24 and found["misses"] == []
    json.dumps(found)


@pytest.mark.parametrize(("first", "last"), [((2026, 2, 2), (2026, 2, 1)), ((2025, 1, 1), (2026, 6, 1))])
def test_a_period_has_one_to_366_days(first, last):
    with pytest.raises(ValueError, match="1 to 366"):
        figures.day_bounds(date(*first), date(*last))


async def test_the_call_is_for_those_who_may_see_figures(desk):
    lead = desk.client(desk.lead)
    assert (await desk.client(desk.agent).get("/api/v1/figures")).status_code == 403
    found = (await lead.get("/api/v1/figures")).json()
    assert found["from"].startswith("2026-11-16T00:00") and found["to"].startswith("2026-11-23T00:00")
    one = (await lead.get("/api/v1/figures", params={"from": "2026-11-01", "to": "2026-11-02"})).json()
    assert one["to"].startswith("2026-11-03")
    for wrong in (
        {"from": "2026-11-05", "to": "2026-11-01"},
        {"from": "x"},
        {"to": "9999-12-31"},
        {"to": "0001-01-01"},
    ):
        answer = await lead.get("/api/v1/figures", params=wrong)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "malformed"), wrong


# -- metrics --------------------------------------------------------------------------------------------


# From files in the home, see tests/operations/test_metrics.py.
NOTED = {
    "hotline_backup_age_seconds",
    "hotline_audit_verified_age_seconds",
    "hotline_audit_chain_holds",
}


def gauges(sessions, now=NOW):  # noqa: F811
    """name{labels} → value of one scrape."""
    text = generate_latest(registry_of(sessions, lambda: now)).decode()
    return {k: float(v) for k, v in re.findall(r"^(hotline_\S+) (\S+)$", text, re.M)}


def test_every_promise_has_its_gauge(sessions):  # noqa: F811
    ago = NOW - timedelta(minutes=10)
    with sessions.begin() as session:
        talk = open_one(session, ago)
        say(session, talk, "还没答的", ago, "")
        say(session, open_one(session, NOW), "你好", NOW, "chitchat")
        for wait, urgent in ((None, True), (None, False), (30, False)):
            hand_over(session, open_one(session, ago), ago, wait=wait, urgent=urgent)
        for n, (state, at, due) in enumerate(
            [
                ("pending", ago, ago),
                ("pending", ago, NOW + timedelta(hours=1)),
                ("dead", ago, ago),
                ("sent", ago, ago),
            ]
        ):
            session.add(
                Delivery(
                    delivery_id=f"d{n}", kind="sms" if n else "push", lane="x", dedupe_key=f"k{n}", target={},
                    payload={}, state=state, created_at=at, next_at=due,
                )
            )  # fmt: skip
        for due in (ago, NOW + timedelta(hours=1)):
            session.add(
                CallBack(id=str(uuid.uuid4()), conversation_id=talk.id, phone="1", created_at=ago, due_at=due)
            )
        for n, (due, closed) in enumerate(((-1, None), (0, None), (-1, NOW)), 1):
            case = lodge(session, NOW, n)
            clock = session.query(CaseClock).filter_by(case_number=case.number).one()
            clock.due_on, case.closed_at = NOW.date() + timedelta(days=due), closed
        for active, written in ((ago, NOW), (NOW, NOW)):
            owned = open_one(session, written)
            owned.owner, owned.owner_id, owned.owner_active_at = "person", "s1", active
            owned.updated_at = written
        message = say(session, open_one(session, NOW), "天气", NOW, "fallback")
        session.add(Review(source="fallback", message_id=message.id, text="天气", created_at=NOW))
    found = gauges(sessions)
    assert found == {
        "hotline_database_up": 1,
        "hotline_unanswered_messages": 1,
        "hotline_unanswered_oldest_seconds": 600,
        'hotline_outbox_waiting{kind="push"}': 1,
        'hotline_outbox_waiting{kind="sms"}': 1,
        'hotline_outbox_oldest_seconds{kind="push"}': 600,
        'hotline_outbox_dead{kind="sms"}': 1,
        'hotline_hand_overs_waiting{urgent="yes"}': 1,
        'hotline_hand_overs_waiting{urgent="no"}': 1,
        'hotline_hand_over_oldest_seconds{urgent="yes"}': 600,
        'hotline_hand_over_oldest_seconds{urgent="no"}': 600,
        "hotline_call_backs_overdue": 1,
        "hotline_clocks_missed": 1,
        "hotline_clocks_due": 1,
        "hotline_owned_conversations": 2,
        "hotline_owner_silent_seconds": 600,
        "hotline_reviews_open": 1,
    }
    assert {name.split("{")[0] for name in found} == set(GAUGES) - NOTED


def test_nothing_waiting_is_zero_not_absent(sessions):  # noqa: F811
    found = gauges(sessions)
    by_kind = {"hotline_outbox_waiting", "hotline_outbox_oldest_seconds", "hotline_outbox_dead"}
    assert {name.split("{")[0] for name in found} == set(GAUGES) - by_kind - NOTED
    assert found.pop("hotline_database_up") == 1 and set(found.values()) == {0}


def test_a_database_that_is_down_is_told_and_fails_no_scrape():
    def down():
        raise DatabaseDown("gone")

    assert gauges(down) == {"hotline_database_up": 0}


def test_scraping_often_reads_rarely(sessions):  # noqa: F811
    moment, reads = [0.0], []

    def counted():
        reads.append(moment[0])
        return sessions()

    collector = Promises(counted, lambda: NOW, lambda: moment[0])
    for moment[0] in (0.0, CACHED / 2, CACHED - 0.1, CACHED, CACHED * 1.5):
        assert list(collector.collect())
    assert reads == [0.0, CACHED]


async def test_gateway_and_desk_give_the_promises(hotline, desk):
    gateway = (await hotline.http.get("/metrics")).text
    assert "hotline_unanswered_messages 0.0" in gateway and "hotline_turn_seconds_bucket" in gateway
    assert (await desk.client(desk.agent).get("/api/v1/metrics")).status_code == 403
    lead = desk.client(desk.lead)
    assert (await lead.post("/api/v1/copilot/suggest", json={"text": "你好"})).status_code == 200
    shown = await lead.get("/api/v1/metrics")
    assert shown.headers["content-type"].startswith("text/plain") and "hotline_database_up 1.0" in shown.text
    assert float(re.search(r"^hotline_copilot_seconds_count (\S+)$", shown.text, re.M)[1]) >= 1


def known_series():
    """Every name that a query may hold."""
    names = set(GAUGES)
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            for family in metric.collect():
                if family.type == "counter":
                    names.add(f"{family.name}_total")
                elif family.type == "histogram":
                    names |= {f"{family.name}_{end}" for end in ("bucket", "sum", "count")}
    return names


def test_dashboard_and_alerts_name_only_metrics_that_exist_and_each_promise_has_an_alert():
    dashboard = json.loads((ROOT / "deploy/grafana/hotline.json").read_text("utf-8"))
    shown = {
        name
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        for name in re.findall(r"hotline_\w+", target["expr"])
    }
    alerts = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))
    rules = [rule for group in alerts["groups"] for rule in group["rules"]]
    watched = {name for rule in rules for name in re.findall(r"hotline_\w+", rule["expr"])}
    assert shown and watched
    assert shown | watched <= known_series()
    assert set(GAUGES) <= shown
    for promise in ("unanswered_oldest_seconds", "outbox_oldest_seconds", "outbox_dead", "hand_over_oldest_seconds",
                    "clocks_missed", "owner_silent_seconds", "database_up", "call_backs_overdue"):  # fmt: skip
        assert f"hotline_{promise}" in watched


def test_dashboard_and_alerts_are_well_formed():
    dashboard = json.loads((ROOT / "deploy/grafana/hotline.json").read_text("utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids)) and dashboard["uid"] and dashboard["schemaVersion"] >= 30
    taken = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and place["x"] + place["w"] <= 24
        taken |= cells
        assert panel["type"] == "row" or (panel["title"] and panel["targets"])
    rules = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["expr"] and rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf-8"))
    assert scraped["rule_files"] == ["alerts.yml"]


def test_every_gauge_is_documented():
    text = (ROOT / "docs/copilot.md").read_text("utf-8")
    section = text.split("## Metrics of the promises", 1)[1]
    assert set(re.findall(r"^\| `(hotline_\w+)", section, re.M)) == set(GAUGES)
