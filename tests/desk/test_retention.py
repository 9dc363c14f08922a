"""Erasure leaves no trace of the person and all that the figures need; export gives everything; both databases.

The search for traces reads every column of every table, so a table added later is searched as well.
"""

import json
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import select, text

from bot import audit
from bot.cases.models import Case, CaseDraft, CaseEvent, CaseTerm, CaseType, Dispatch, FollowUp
from bot.cases.store import Part, add_event, open_draft, save_draft, submit
from bot.conversations import addresses, log
from bot.conversations.models import Attachment, CallBack, Conversation, HandOver, Message, Rating
from bot.desk import retention
from bot.desk.erasure import ERASED
from bot.desk.models import CopilotOutcome, Note, Review
from bot.errors import HotlineError, Problem
from bot.outbox.models import Delivery
from bot.settings import Settings, settings
from bot.staff import accounts
from bot.storage import Base
from tests.desk.conftest import PASSWORD

PHONE, NAME, WORD = "13904321187", "韩梅梅", "鑫隆旺超市"
TRACES = (PHONE, NAME, WORD, "朝阳区")
YEARS = timedelta(days=1096)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8


def everything(sessions):
    """(table.column, value as text) of all that is stored, decrypted."""
    with sessions() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(select(table)):
                for column, value in row._mapping.items():
                    yield f"{table.name}.{column}", json.dumps(value, ensure_ascii=False, default=str)


def traces(sessions, *wanted):
    return sorted(
        {where for where, value in everything(sessions) if any(t in value for t in wanted or TRACES)}
    )


class Office:
    """A citizen's matter with everything that can hang on it."""

    def __init__(self, sessions, now):
        self.sessions, self.now = sessions, now
        with sessions.begin() as session:
            self.staff = accounts.add_staff(session, "wang", "王敏", "admin", PASSWORD, now=now)

    def matter(self, phone=PHONE, *, closed_after=None, sms=False, conversation=None):
        """(case number, conversation id) of a complaint with transcript, dispatch, notes, files, deliveries."""
        now = self.now
        with self.sessions.begin() as session:
            if sms:
                _, opened = addresses.conversation_of(session, "sms", phone, now=now)
            else:
                opened, _ = log.open_conversation(session, "widget", now)
            own = opened.id
            said = f"我是{NAME}，电话{phone}，{WORD}不退钱，我住朝阳区"
            inbound = log.InboundMessage(own, opened.channel, uuid.uuid4().hex, said)
            message, _ = log.accept(session, inbound, now)
            answer = {"kind": "policy", "measures": [9], "citations": [{"quote": WORD}], "case": None}
            reply = log.Reply(text=f"{NAME}您好", answer=answer)
            log.answer(session, opened, message, [reply], {"told": WORD}, now, reading={"text": said})
            draft = open_draft(session, own, now=now)
            fields = {
                "name": NAME,
                "phone": phone,
                "address": "长春市朝阳区",
                "respondent": WORD,
                "facts": said,
            }
            [case] = submit(
                session, draft, parts=[Part(CaseType.COMPLAINT, fields)], message_id=message.id,
                channel="widget", now=now,
            )  # fmt: skip
            add_event(
                session, case, "dispatch", actor="staff:wang", now=now, detail={"opinion": f"请联系{NAME}"}
            )
            session.add_all(
                [
                    Dispatch(
                        id=uuid.uuid4().hex, case_number=case.number, part="lead", department="长春局",
                        opinion=f"{NAME}的投诉", state="answered", by="wang", at=now, result=f"{WORD}已退款",
                    ),
                    FollowUp(
                        id=uuid.uuid4().hex, case_number=case.number, reached=True, solved=True,
                        satisfaction="满意", reason=f"{NAME}说可以", by="wang", at=now,
                    ),
                    Note(case_number=case.number, staff_id=self.staff.id, body=f"{NAME}很着急", at=now),
                    Note(conversation_id=own, staff_id=self.staff.id, body=f"{NAME}很着急", at=now),
                    Review(
                        source="fallback", message_id=message.id, text=WORD, reading={"x": WORD}, state="open",
                        created_at=now,
                    ),
                    CopilotOutcome(
                        staff_id=self.staff.id, conversation_id=own, kind="say", outcome="accepted",
                        suggestion={"text": WORD}, at=now,
                    ),
                    CallBack(
                        id=uuid.uuid4().hex, conversation_id=own, phone=phone, state="done", created_at=now,
                        due_at=now, note=f"{NAME}接了",
                    ),
                    Rating(conversation_id=own, score=4, comment=f"谢谢，{NAME}", created_at=now),
                    HandOver(
                        id=uuid.uuid4().hex, conversation_id=own, reason="用户要求", state="closed",
                        created_at=now,
                    ),
                ]
            )  # fmt: skip
            for number, state in enumerate(("sent", "dead", "pending")):
                session.add(
                    Delivery(
                        delivery_id=uuid.uuid4().hex, kind="department", lane="长春局",
                        dedupe_key=f"{case.number}:{number}", target={"to": "长春局"}, payload={"who": NAME},
                        conversation_id=own, case_number=case.number, state=state, created_at=now, next_at=now,
                        attempts=0, last_error=f"bad number {phone}",
                    )
                )  # fmt: skip
            folder = settings().home_dir / "attachments"
            folder.mkdir(exist_ok=True)
            for case_number in (case.number, None):
                file = Attachment(
                    id=uuid.uuid4().hex, conversation_id=own, case_number=case_number, name=f"{NAME}的小票.png",
                    media_type="image/png", size=16, sha256="x", created_at=now,
                )  # fmt: skip
                session.add(file)
                (folder / file.id).write_bytes(PNG)
            if closed_after is not None:
                session.get(Case, case.number).closed_at = now + closed_after
            return case.number, own

    def run(self, after):
        return retention.run(self.sessions, now=self.now + after, actor="system")

    def preview(self, after):
        with self.sessions() as session:
            return retention.preview(session, now=self.now + after)

    @property
    def files(self):
        return sorted((settings().home_dir / "attachments").iterdir())


@pytest.fixture
def office(sessions, clock):
    return Office(sessions, clock())


def test_the_search_for_traces_finds_them_before(office):
    office.matter()
    found = traces(office.sessions)
    assert {
        "cases.fields", "messages.body", "messages.extra", "conversations.state", "case_events.detail",
        "dispatches.opinion", "dispatches.result", "follow_ups.reason", "notes.body", "reviews.text",
        "reviews.reading", "copilot_outcomes.suggestion", "call_backs.phone", "call_backs.note",
        "ratings.comment", "outbox.payload", "outbox.last_error", "attachments.name",
    } <= set(found)  # fmt: skip


def test_after_its_time_no_trace_is_left_and_what_the_figures_need_is(office):
    number, own = office.matter(closed_after=timedelta(days=30))
    plan = office.run(YEARS + timedelta(days=30))
    assert (plan.cases, plan.conversations) == (1, 1)
    assert traces(office.sessions) == [] and office.files == []
    with office.sessions() as session:
        case = session.get(Case, number)
        assert (case.type, case.status, case.created_at, case.fields) == ("T", "已登记", office.now, {})
        assert case.erased_at == office.now + YEARS + timedelta(days=30)
        assert session.scalar(select(CaseTerm)) is None
        kinds = [e.kind for e in session.scalars(select(CaseEvent).order_by(CaseEvent.id))]
        assert kinds == ["registered", "dispatch"]
        messages = session.scalars(select(Message).order_by(Message.seq)).all()
        assert [(m.seq, m.author, m.body) for m in messages] == [(1, "user", ""), (2, "bot", "")]
        assert messages[1].extra == {"answer": {"kind": "policy", "measures": [9]}}
        assert session.get(Rating, own).score == 4
        assert session.scalars(select(FollowUp)).one().satisfaction == "满意"


def test_a_preview_says_the_same_as_the_run_and_changes_nothing(office):
    office.matter(closed_after=timedelta(days=1))
    before = list(everything(office.sessions))
    after = YEARS + timedelta(days=2)
    told = office.preview(after)
    assert list(everything(office.sessions)) == before
    done = office.run(after)
    assert (told.cases, told.conversations, told.drafts) == (done.cases, done.conversations, done.drafts)
    assert told.cases == 1
    again = office.preview(after)
    assert (again.cases, again.conversations, again.drafts) == (0, 0, 0)


def test_nothing_goes_before_its_time(office):
    office.matter(closed_after=timedelta(0))
    for days, expected in ((179, (0, 0)), (181, (0, 1)), (1094, (0, 0)), (1096, (1, 0))):
        plan = office.run(timedelta(days=days))
        assert (plan.cases, plan.conversations) == expected


def test_an_open_case_keeps_itself_and_its_conversation_for_ever(office):
    office.matter()
    plan = office.run(YEARS * 5)
    assert (plan.cases, plan.conversations) == (0, 0)
    assert "cases.fields" in traces(office.sessions) and "messages.body" in traces(office.sessions)


@pytest.mark.parametrize("hold", ["person", "waiting", "call_back"])
def test_a_conversation_that_somebody_still_works_on_stays(office, hold):
    _, own = office.matter(closed_after=timedelta(0))
    with office.sessions.begin() as session:
        if hold == "person":
            session.get(Conversation, own).owner = "person"
        elif hold == "waiting":
            session.scalars(select(HandOver)).one().state = "waiting"
        else:
            session.scalars(select(CallBack)).one().state = "open"
    assert office.run(timedelta(days=200)).conversations == 0


def test_abandoned_intakes_are_forgotten(office):
    with office.sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", office.now)
        draft = open_draft(session, opened.id, now=office.now)
        save_draft(session, draft, now=office.now, data={"name": NAME, "phone": PHONE})
    assert office.run(timedelta(days=29)).drafts == 0
    assert office.run(timedelta(days=31)).drafts == 1
    with office.sessions() as session:
        draft = session.scalars(select(CaseDraft)).one()
        assert (draft.state, draft.data) == ("cancelled", {})


def test_the_run_is_on_record_by_number_and_names_nobody(office):
    number, _ = office.matter(closed_after=timedelta(0))
    office.run(YEARS)
    with office.sessions() as session:
        told = {
            e.action: e.detail for e in session.scalars(select(audit.AuditEntry)) if "retention" in e.action
        }
        assert told["retention.cases"] == {"count": 1, "numbers": [number]}
        assert told["retention.run"]["cases"] == 1
        assert audit.verify(session) is None


def test_many_go_in_small_transactions(office, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(5):
        office.matter(f"1390432118{number}", closed_after=timedelta(0))
    assert office.run(YEARS).cases == 5
    assert traces(office.sessions) == []


def test_the_history_is_append_only_again_afterwards(office):
    office.matter(closed_after=timedelta(0))
    office.run(YEARS)
    with pytest.raises(Exception, match="append-only"), office.sessions.begin() as session:
        session.execute(text("UPDATE case_events SET kind = 'x'"))


def test_the_audit_log_is_never_pruned_before_six_months(office, monkeypatch):
    with pytest.raises(ValueError, match="184"):
        Settings(retention_audit_days=183)
    # Even a setting that slipped through.
    config = settings().model_copy(update={"retention_audit_days": 1})
    monkeypatch.setattr(retention, "settings", lambda: config)
    assert office.run(timedelta(days=183)).audit_entries == 0
    assert office.run(timedelta(days=185)).audit_entries == 1
    with office.sessions() as session:
        assert audit.verify(session) is None


def test_who_refused_messages_stays_known(office):
    """退订 must outlive the erasure; the address alone, for that alone."""
    office.matter(closed_after=timedelta(0), sms=True)
    with office.sessions.begin() as session:
        row = addresses.open_address(session, "sms", PHONE, now=office.now)
        row.opted_out_at = office.now
    office.run(YEARS)
    assert traces(office.sessions) == ["addresses.address"]


def test_a_person_gets_everything_about_them_and_nothing_of_others(office):
    mine = {office.matter()[0], office.matter(closed_after=timedelta(1))[0], office.matter(sms=True)[0]}
    other, _ = office.matter("13812345678")
    with office.sessions.begin() as session:
        found = retention.export_person(session, "+86 139-0432-1187", actor="staff:wang", now=office.now)
    assert {case["number"] for case in found["cases"]} == mine
    assert len(found["conversations"]) == 3
    told = json.dumps(found, ensure_ascii=False)
    assert other not in told and "13812345678" not in told
    assert NAME in told and "电话13904321187" in told and found["addresses"][0]["address"] == PHONE
    assert "的投诉" not in told  # a colleague's opinion
    with office.sessions() as session:
        entry = session.scalars(select(audit.AuditEntry).order_by(audit.AuditEntry.id.desc()).limit(1)).one()
        assert entry.action == "retention.export" and PHONE not in entry.subject
        assert set(entry.detail["cases"]) == mine


def test_a_call_back_alone_is_found_by_its_number(office):
    with office.sessions.begin() as session:
        opened, _ = log.open_conversation(session, "widget", office.now)
        session.add(
            CallBack(
                id="c1", conversation_id=opened.id, phone="139 0432 1187", created_at=office.now,
                due_at=office.now, state="open",
            )
        )  # fmt: skip
    with office.sessions.begin() as session:
        found = retention.export_person(session, PHONE, actor="system", now=office.now)
    assert [c["id"] for c in found["conversations"]] == [opened.id]


def test_an_erasure_on_request_takes_what_is_closed_and_names_what_is_not(office):
    closed, _ = office.matter(closed_after=timedelta(1))
    running, kept = office.matter()
    other, _ = office.matter("13812345678", closed_after=timedelta(1))
    done = retention.erase_person(
        office.sessions, PHONE, reason="本人申请", actor="staff:wang", now=office.now + timedelta(2)
    )
    assert (done.cases, done.conversations, done.kept) == (1, 1, [running])
    with office.sessions() as session:
        assert session.get(Case, closed).fields == {}
        assert session.get(Case, other).fields["name"] == NAME
        assert session.get(Case, running).fields["name"] == NAME
        erased = session.scalars(select(Conversation.id).where(Conversation.token_hash == ERASED)).all()
        assert len(erased) == 1 and kept not in erased
        entry = session.scalars(select(audit.AuditEntry).order_by(audit.AuditEntry.id.desc()).limit(1)).one()
        assert (entry.detail["reason"], entry.detail["numbers"]) == ("本人申请", [closed])
    # Nothing is found by that phone any more but what was kept.
    with office.sessions.begin() as session:
        again = retention.export_person(session, PHONE, actor="system", now=office.now)
    assert [case["number"] for case in again["cases"]] == [running]


@pytest.mark.parametrize(
    ("phone", "reason", "problem"),
    [("none", "x", Problem.MALFORMED), (PHONE, " ", Problem.REASON_NEEDED)],
)
def test_an_erasure_needs_a_number_and_a_reason(office, phone, reason, problem):
    with pytest.raises(HotlineError) as caught:
        retention.erase_person(office.sessions, phone, reason=reason, actor="system", now=office.now)
    assert caught.value.problem is problem


def test_files_go_after_the_commit_only(office, monkeypatch):
    office.matter(closed_after=timedelta(0))

    def fails(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(retention, "_record", fails)
    with pytest.raises(ZeroDivisionError):
        office.run(YEARS)
    assert len(office.files) == 2
    with office.sessions() as session:
        for one in session.scalars(select(Attachment)):
            assert (settings().home_dir / "attachments" / one.id).exists()
