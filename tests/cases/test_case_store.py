import sqlite3
import threading
from datetime import date, timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError
from stdnum import luhn

from bot.cases import routing, store
from bot.cases.models import Case, CaseClock, CaseDraft, CaseEvent, CaseType, ReceiptCounter
from bot.cases.store import (
    CaseError,
    DraftClosed,
    InvalidPart,
    Part,
    add_event,
    cancel_draft,
    case_status_text,
    current_draft,
    find_case,
    open_draft,
    save_draft,
    submit,
)
from bot.crypto import Tampered
from bot.storage import DatabaseBusy, make_engine, make_sessions

CARD = "622202000000000" + luhn.calc_check_digit("622202000000000")
FIELDS = {
    "name": "韩梅",
    "phone": "13904321187",
    "address": "长春市朝阳区",
    "respondent": "鑫隆旺超市",
    "facts": "口罩一撕就破，质量问题",
    "request": "退款40元",
}
COMPLAINT = Part(CaseType.COMPLAINT, FIELDS)
REPORT = Part(CaseType.REPORT, FIELDS)
ANONYMOUS = Part(CaseType.REPORT, FIELDS, anonymous=True)


def file(session, now, *parts, conversation="c1"):
    draft = open_draft(session, conversation, now=now)
    return submit(session, draft, parts=parts or [COMPLAINT], message_id="m9", channel="widget", now=now)


def count(sessions, *models):
    with sessions() as session:
        return [session.scalar(select(func.count()).select_from(model)) for model in models]


def together(number, work):
    """Run `work(i)` in `number` threads at the same moment; results, or the first error."""
    barrier, results, failures = threading.Barrier(number), [None] * number, []

    def run(index):
        barrier.wait()
        try:
            results[index] = work(index)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results


# drafts


def test_a_draft_survives_between_turns(sessions, now):
    with sessions.begin() as session:
        assert current_draft(session, "c1") is None
        draft = open_draft(session, "c1", now=now)
        save_draft(session, draft, now=now, type=CaseType.COMPLAINT, privacy_notice_version="2026-11")
    later = now + timedelta(minutes=3)
    with sessions.begin() as session:
        draft = current_draft(session, "c1")
        save_draft(session, draft, now=later, data={"phone": "13904321187"}, asked="address")
    with sessions() as session:
        draft = current_draft(session, "c1")
        assert (draft.type, draft.data, draft.asked) == ("T", {"phone": "13904321187"}, "address")
        assert (draft.privacy_notice_version, draft.privacy_notice_at) == ("2026-11", now)
        assert (draft.created_at, draft.updated_at) == (now, later)


def test_a_change_made_inside_the_data_is_saved(sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
        save_draft(session, draft, now=now, data={"phone": "13904321187"})
    with sessions.begin() as session:
        draft = current_draft(session, "c1")
        draft.data["phone"] = "13904321188"
        save_draft(session, draft, now=now, data=draft.data)
    with sessions() as session:
        assert current_draft(session, "c1").data == {"phone": "13904321188"}


def test_a_draft_from_an_earlier_session_can_be_saved(sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
    with sessions.begin() as session:
        assert save_draft(session, draft, now=now, asked="phone").asked == "phone"
    with sessions.begin() as session:
        assert save_draft(session, draft, now=now, asked=None).asked is None


def test_opening_again_gives_the_same_draft(sessions, now):
    with sessions.begin() as session:
        first = open_draft(session, "c1", now=now, type=CaseType.REPORT).id
    with sessions.begin() as session:
        again = open_draft(session, "c1", now=now + timedelta(hours=1))
        assert (again.id, again.type, again.created_at) == (first, "J", now)
        assert open_draft(session, "c2", now=now).id != first


def test_opened_by_many_at_once_it_is_one_draft(sessions, now):
    def work(_):
        with sessions.begin() as session:
            return open_draft(session, "c1", now=now).id

    assert len(set(together(6, work))) == 1
    assert count(sessions, CaseDraft) == [1]


def test_identity_and_card_numbers_are_masked_before_they_are_stored(sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
        save_draft(session, draft, now=now, data={"phone": "13904321187", "facts": [f"卡号{CARD}"], "n": 40})
    with sessions() as session:
        data = current_draft(session, "c1").data
    assert (data["phone"], data["n"]) == ("13904321187", 40)
    assert data["facts"] == [f"卡号{'*' * 12}{CARD[-4:]}"]


def test_a_cancelled_draft_forgets_and_stays_closed(sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
        save_draft(session, draft, now=now, data=FIELDS, asked="address")
        cancel_draft(session, draft, now=now)
        cancel_draft(session, draft, now=now)
    with sessions.begin() as session:
        assert current_draft(session, "c1") is None
        stored = session.get(CaseDraft, draft.id)
        assert (stored.state, stored.data, stored.asked) == ("cancelled", {}, None)
        with pytest.raises(DraftClosed, match="is cancelled"):
            save_draft(session, stored, now=now, asked="phone")
        with pytest.raises(DraftClosed, match="is cancelled"):
            submit(session, stored, parts=[COMPLAINT], message_id="m", channel="widget", now=now)
        assert open_draft(session, "c1", now=now).id != draft.id
    assert count(sessions, Case, ReceiptCounter) == [0, 0]


def test_a_submitted_draft_can_be_neither_saved_nor_cancelled(sessions, now):
    with sessions.begin() as session:
        file(session, now)
        draft = session.scalar(select(CaseDraft))
        with pytest.raises(DraftClosed, match="is submitted"):
            save_draft(session, draft, now=now, data={})
        with pytest.raises(DraftClosed, match="is submitted"):
            cancel_draft(session, draft, now=now)


def test_a_draft_that_does_not_exist_is_an_error(sessions, now):
    ghost = CaseDraft(id="ghost", conversation_id="c1")
    with sessions.begin() as session, pytest.raises(CaseError, match="no draft ghost"):
        save_draft(session, ghost, now=now, asked="phone")


# submission


def test_a_submitted_complaint_is_all_there(sessions, now):
    with sessions.begin() as session:
        (filed,) = file(session, now)
    with sessions() as session:
        case = session.get(Case, filed.number)
        assert case.number.startswith("JL-T-261122-00001-")
        assert (case.type, case.status, case.part, case.twin_number) == ("T", "已登记", 0, None)
        assert (case.channel, case.confirmed_by_message, case.conversation_id) == ("widget", "m9", "c1")
        assert case.fields == FIELDS
        assert (case.anonymous, case.confidential, case.query_code_hash) == (False, False, None)
        assert (filed.query_code, store.query_code_of(case)) == (None, None)
        assert (case.created_at, case.platform_reg_no, case.duplicate_of) == (now, None, None)
        assert (case.department, case.routing_reason) == ("产品质量监督", "命中：质量问题、一撕就破")
        event = session.scalars(select(CaseEvent)).one()
        assert (event.case_number, event.kind, event.actor, event.status) == (
            case.number,
            "registered",
            "citizen",
            "已登记",
        )
        assert event.detail["message_id"] == "m9"
        clock = session.scalars(select(CaseClock)).one()
        assert (clock.key, clock.due_on, clock.showable) == ("accept_complaint", date(2026, 12, 1), True)
        draft = session.get(CaseDraft, case.draft_id)
        assert (draft.state, draft.data) == ("submitted", {})


def test_a_message_that_holds_both_becomes_two_linked_cases(sessions, now):
    with sessions.begin() as session:
        complaint, report = file(session, now, COMPLAINT, Part(CaseType.REPORT, FIELDS, confidential=True))
    with sessions() as session:
        complaint, report = session.get(Case, complaint.number), session.get(Case, report.number)
        assert (complaint.type, report.type) == ("T", "J")
        assert (complaint.twin_number, report.twin_number) == (report.number, complaint.number)
        assert (complaint.part, report.part, report.confidential) == (0, 1, True)
        assert complaint.draft_id == report.draft_id
        assert [complaint.sms_code[6:11], report.sms_code[6:11]] == ["00001", "00002"]
        clocks = dict(session.execute(select(CaseClock.case_number, CaseClock.key)).all())
        assert clocks == {complaint.number: "accept_complaint", report.number: "verify_report"}


@pytest.mark.parametrize("type", [CaseType.REQUEST, CaseType.SUGGESTION])
def test_requests_and_suggestions_have_no_clock(sessions, now, type):
    with sessions.begin() as session:
        (case,) = file(session, now, Part(type, FIELDS))
        assert session.scalars(select(CaseClock)).all() == []
        assert case.number[3] == type.value


def test_routing_reads_the_facts_and_not_the_address(sessions, now):
    fields = {"phone": "13904321187", "address": "电梯厂家属楼", "facts": {"what": ["秤不准"]}}
    with sessions.begin() as session:
        (by_facts,) = file(session, now, Part(CaseType.REPORT, fields))
        (by_text,) = file(session, now, Part(CaseType.REPORT, fields, text="锅炉"), conversation="c2")
    assert (by_facts.department, by_text.department) == ("计量", "特种设备安全监察")


def test_submitting_again_gives_the_same_cases(sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
    results = []
    for minutes in range(3):
        with sessions.begin() as session:
            cases = submit(
                session,
                draft,
                parts=[COMPLAINT, ANONYMOUS],
                message_id=f"m{minutes}",
                channel="widget",
                now=now + timedelta(minutes=minutes),
            )
            results.append([(case.number, case.query_code, case.confirmed_by_message) for case in cases])
    assert results[0] == results[1] == results[2]
    assert count(sessions, Case, CaseEvent, CaseClock) == [2, 2, 2]


def test_a_raced_submission_is_one_case(sessions, now):
    for turn in range(5):
        with sessions.begin() as session:
            draft = open_draft(session, f"c{turn}", now=now)

        def work(_, draft=draft):
            with sessions.begin() as session:
                cases = submit(session, draft, parts=[COMPLAINT], message_id="m", channel="widget", now=now)
                return [case.number for case in cases]

        first, second = together(2, work)
        assert first == second
        assert len(first) == 1
    assert count(sessions, Case, CaseEvent, CaseClock) == [5, 5, 5]
    with sessions() as session:
        assert session.scalar(select(ReceiptCounter.last)) == 5


def test_a_submission_races_a_cancellation(sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)

    def work(index):
        try:
            with sessions.begin() as session:
                if index:
                    cancel_draft(session, draft, now=now)
                else:
                    submit(session, draft, parts=[COMPLAINT], message_id="m", channel="widget", now=now)
            return "won"
        except DraftClosed:
            return "lost"

    assert sorted(together(2, work)) == ["lost", "won"]


def test_eight_at_once_file_two_hundred_consecutive_numbers(sessions, now):
    def work(index):
        filed = []
        for turn in range(25):
            with sessions.begin() as session:
                filed += [case.sms_code for case in file(session, now, conversation=f"c{index}-{turn}")]
        return filed

    codes = [code for filed in together(8, work) for code in filed]
    assert len(set(codes)) == 200
    assert sorted(int(code[6:11]) for code in codes) == list(range(1, 201))
    assert count(sessions, Case, CaseEvent, CaseClock) == [200, 200, 200]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "one case, or two"),
        ([COMPLAINT, COMPLAINT], "of different types"),
        ([COMPLAINT, REPORT, Part(CaseType.REQUEST, FIELDS)], "one case, or two"),
        ([Part(CaseType.COMPLAINT, FIELDS, anonymous=True)], "投诉 cannot be anonymous"),
        ([Part(CaseType.REQUEST, FIELDS, anonymous=True)], "诉求 cannot be anonymous"),
        ([Part(CaseType.COMPLAINT, {"facts": "x"})], "needs a phone"),
        ([Part(CaseType.REPORT, {"phone": "没有"})], "needs a phone"),
        ([Part(CaseType.SUGGESTION, {"phone": None})], "needs a phone"),
    ],
)
def test_what_cannot_become_a_case(sessions, now, parts, message):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
    with pytest.raises(InvalidPart, match=message), sessions.begin() as session:
        submit(session, draft, parts=parts, message_id="m", channel="widget", now=now)
    assert count(sessions, Case, ReceiptCounter) == [0, 0]
    with sessions() as session:
        assert current_draft(session, "c1") is not None


def test_a_failure_in_the_second_part_leaves_nothing_not_even_a_number(sessions, now, monkeypatch):
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
    propose = routing.propose

    def failing(type, text):
        if type is CaseType.REPORT:
            raise RuntimeError("power cut")
        return propose(type, text)

    monkeypatch.setattr(routing, "propose", failing)
    with pytest.raises(RuntimeError, match="power cut"), sessions.begin() as session:
        submit(session, draft, parts=[COMPLAINT, REPORT], message_id="m", channel="widget", now=now)
    assert count(sessions, Case, CaseEvent, CaseClock, ReceiptCounter) == [0, 0, 0, 0]
    monkeypatch.undo()
    with sessions.begin() as session:
        cases = submit(session, draft, parts=[COMPLAINT, REPORT], message_id="m", channel="widget", now=now)
    assert [case.sms_code[6:11] for case in cases] == ["00001", "00002"]


def test_a_naive_time_is_refused(sessions, now):
    with pytest.raises((ValueError, StatementError), match="no time zone"), sessions.begin() as session:
        file(session, now.replace(tzinfo=None))


def test_a_locked_database_is_busy_and_leaves_nothing_half_written(engine, database_url, now, tmp_path):
    sessions = make_sessions(engine)
    with sessions.begin() as session:
        draft = open_draft(session, "c1", now=now)
    impatient = make_engine(database_url, busy_timeout=0.3)
    if engine.dialect.name == "sqlite":
        other = sqlite3.connect(tmp_path / "cases.db")
        other.execute("BEGIN IMMEDIATE")
    else:
        other = engine.connect()
        other.exec_driver_sql("LOCK TABLE cases IN EXCLUSIVE MODE")
    with pytest.raises(DatabaseBusy, match="nothing was stored"), make_sessions(impatient).begin() as session:
        submit(session, draft, parts=[COMPLAINT], message_id="m", channel="widget", now=now)
    other.rollback()
    other.close()
    assert count(sessions, Case, CaseEvent, CaseClock, ReceiptCounter) == [0, 0, 0, 0]
    with make_sessions(impatient).begin() as session:
        (case,) = submit(session, draft, parts=[COMPLAINT], message_id="m", channel="widget", now=now)
    assert case.sms_code[6:11] == "00001"
    impatient.dispose()


# privacy


def test_an_anonymous_report_keeps_no_contact(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now, ANONYMOUS)
    with sessions() as session:
        stored = session.get(Case, case.number)
        assert set(stored.fields) == {"respondent", "facts", "request"}
        assert (stored.phone_hash, stored.anonymous) == (None, True)
        assert stored.query_code_hash not in (None, case.query_code)
        assert stored.query_code is None
        assert store.query_code_of(stored) == case.query_code
    assert len(case.query_code) == 6 and case.query_code.isdigit()


def test_nothing_personal_is_readable_in_the_database(engine, sessions, now):
    with sessions.begin() as session:
        draft = open_draft(session, "c2", now=now)
        save_draft(session, draft, now=now, data=FIELDS)
        file(session, now, COMPLAINT, REPORT)
    with engine.connect() as connection:
        for table in ("case_drafts", "cases", "case_events", "case_clocks", "receipt_counters"):
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}"):
                content = b"|".join(
                    bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode()
                    for value in row
                )
                for secret in ("13904321187", "韩梅", "长春市朝阳区", "鑫隆旺"):
                    assert secret.encode() not in content, table


def test_a_card_number_in_the_facts_is_masked(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now, Part(CaseType.REPORT, {"phone": "13904321187", "facts": f"打到{CARD}"}))
        assert CARD not in case.fields["facts"]


def test_tampered_fields_fail_clearly(engine, sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now)
    with engine.begin() as connection:
        connection.execute(Case.__table__.update().values(phone_hash="0"))
        sealed = bytes(connection.exec_driver_sql("SELECT fields FROM cases").scalar())
        changed = sealed[:-1] + bytes([sealed[-1] ^ 1])
        marker = "?" if engine.dialect.name == "sqlite" else "%s"
        connection.exec_driver_sql(f"UPDATE cases SET fields = {marker}", (changed,))
    with sessions() as session, pytest.raises(Tampered, match=r"cases\.fields"):
        session.get(Case, case.number)


def test_a_part_never_shows_what_it_holds():
    assert "13904321187" not in repr(COMPLAINT)


# looking up


def test_a_case_is_found_by_number_and_phone(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now)
        for number in (case.number, case.sms_code, f"我的编号是{case.number.lower()}"):
            for phone in ("13904321187", "+86 139-0432-1187", "１３９０４３２１１８７"):
                assert find_case(session, number, phone) is case


def test_without_the_right_proof_nothing_is_found(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now)
        wrong = case.sms_code[:11] + str((int(case.sms_code[11]) + 1) % 10)
        assert find_case(session, case.number, "13904321188") is None
        assert find_case(session, case.number, "") is None
        assert find_case(session, case.number, "没有电话") is None
        assert find_case(session, wrong, "13904321187") is None
        assert find_case(session, "", "13904321187") is None
        assert find_case(session, case.number.replace("-T-", "-J-"), "13904321187") is None
        assert find_case(session, "13904321187", "13904321187") is None


def test_an_anonymous_case_is_found_by_its_query_code_only(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now, ANONYMOUS)
        wrong = f"{(int(case.query_code) + 1) % 1_000_000:06d}"
        assert find_case(session, case.number, case.query_code) is case
        assert find_case(session, case.sms_code, f" {case.query_code[:3]} {case.query_code[3:]} ") is case
        for proof in (wrong, "", "13904321187", case.query_code_hash):
            assert find_case(session, case.number, proof) is None


def test_two_anonymous_cases_have_codes_of_their_own(sessions, now):
    with sessions.begin() as session:
        codes = {file(session, now, ANONYMOUS, conversation=f"c{n}")[0].query_code for n in range(20)}
    assert len(codes) >= 19


# status and events


def status(session, case):
    return case_status_text(session, case)


def test_what_was_only_saved_is_registered_and_never_accepted(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now)
        said = status(session, case)
    assert (said.status, said.number, said.type) == ("已登记", case.number, CaseType.COMPLAINT)
    assert said.text == (
        f"投诉 {case.number}：已登记。登记时间 11月22日 15:04。已登记表示我们收到了，不表示已受理。"
        "是否受理由有处理权限的部门在7个工作日内决定并告知您（最晚12月1日）。"
    )


def test_a_figure_that_is_not_verified_is_not_told(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now, REPORT)
        said = status(session, case)
    assert said.deadlines == ()
    assert "15" not in said.text.replace("15:04", "")


def test_an_anonymous_report_and_its_named_twin_do_not_lead_to_each_other(sessions, now):
    with sessions.begin() as session:
        for case in file(session, now, COMPLAINT, ANONYMOUS):
            assert status(session, case).twin_number is None
        named = file(session, now, COMPLAINT, REPORT, conversation="c2")
        assert [status(session, case).twin_number for case in named] == [named[1].number, named[0].number]


def change(session, case, word, now, actor="staff:wang"):
    return add_event(session, case, "status", actor=actor, now=now, status=word, detail={"note": "见文书"})


def test_acceptance_meets_one_clock_and_starts_another(sessions, now):
    later = now + timedelta(days=2)
    with sessions.begin() as session:
        (case,) = file(session, now)
        change(session, case, "已受理", later)
    with sessions() as session:
        case = session.get(Case, case.number)
        assert case.status == "已受理"
        clocks = {clock.key: clock for clock in session.scalars(select(CaseClock))}
        assert clocks["accept_complaint"].met_on == date(2026, 11, 24)
        assert (clocks["mediation"].from_date, clocks["mediation"].due_on) == (
            date(2026, 11, 24),
            date(2027, 1, 23),
        )
        assert clocks["mediation"].met_on is None
        said = status(session, case)
        assert (said.meaning, said.deadlines) == ("", ())
        events = session.scalars(select(CaseEvent).order_by(CaseEvent.id)).all()
        assert [(event.kind, event.actor, event.status) for event in events] == [
            ("registered", "citizen", "已登记"),
            ("status", "staff:wang", "已受理"),
        ]
        assert events[1].detail == {"note": "见文书"}


def test_accepting_twice_starts_the_clock_once(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now)
        change(session, case, "已受理", now)
        change(session, case, "已受理", now + timedelta(days=1))
        assert len(session.scalars(select(CaseClock).where(CaseClock.key == "mediation")).all()) == 1


@pytest.mark.parametrize(("part", "told"), [(REPORT, ["tell_informant"]), (ANONYMOUS, [])])
def test_a_decision_is_told_to_named_informants(sessions, now, part, told):
    with sessions.begin() as session:
        (case,) = file(session, now, part)
        change(session, case, "不予立案", now)
        running = session.scalars(select(CaseClock.key).where(CaseClock.met_on.is_(None))).all()
    assert running == told


def test_an_event_without_a_status_changes_none(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now)
        event = add_event(session, case, "note", actor="bot", now=now, detail={"text": f"卡{CARD}"})
        assert (case.status, event.status) == ("已登记", None)
        assert CARD not in event.detail["text"]


@pytest.mark.parametrize("actor", ["bot", "citizen", "system"])
def test_only_staff_set_a_status(sessions, now, actor):
    with sessions.begin() as session:
        (case,) = file(session, now)
        with pytest.raises(CaseError, match=f"'{actor}' may not set"):
            change(session, case, "已受理", now, actor=actor)
        assert case.status == "已登记"
    assert count(sessions, CaseEvent) == [1]


@pytest.mark.parametrize(("part", "word"), [(REPORT, "已受理"), (COMPLAINT, "立案"), (COMPLAINT, "搞定了")])
def test_a_status_word_belongs_to_its_type(sessions, now, part, word):
    with sessions.begin() as session:
        (case,) = file(session, now, part)
        with pytest.raises(CaseError, match="is no status of"):
            change(session, case, word, now)


def test_a_provisional_date_says_so(sessions, now):
    with sessions.begin() as session:
        (case,) = file(session, now.replace(month=12, day=24))
        assert "（最晚2027年1月4日，暂按周末推算）" in status(session, case).text


def test_the_store_offers_what_callers_need():
    assert all(hasattr(store, name) for name in store.__all__)
