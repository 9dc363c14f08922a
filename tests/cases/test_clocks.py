from datetime import date

import pytest
import yaml

from bot.cases import clocks
from bot.cases.clocks import (
    LEGAL,
    LegalError,
    due_phrase,
    figures,
    load_figures,
    met_by,
    start_clock,
    start_clocks,
)
from bot.cases.models import CaseType

SUNDAY = date(2026, 11, 22)


def one(event, type, day=SUNDAY, **options):
    (clock,) = start_clocks(event, type, day, **options)
    return clock


def test_a_complaint_starts_with_seven_working_days_that_may_be_shown():
    clock = one("receipt", CaseType.COMPLAINT)
    assert (clock.key, clock.days, clock.unit, clock.mark) == ("accept_complaint", 7, "工作日", "A")
    assert (clock.from_date, clock.due_on) == (SUNDAY, date(2026, 12, 1))
    assert (clock.verified, clock.provisional, clock.showable) == (False, False, True)
    assert clock.basis == "消费者权益保护法第四十六条"
    assert due_phrase(clock) == "最晚12月1日"


def test_a_report_starts_with_fifteen_working_days_for_staff_only():
    clock = one("receipt", CaseType.REPORT)
    assert (clock.key, clock.days, clock.unit, clock.mark) == ("verify_report", 15, "工作日", "M")
    assert clock.due_on == date(2026, 12, 11)
    assert not clock.showable
    assert due_phrase(clock) is None


@pytest.mark.parametrize("type", [CaseType.REQUEST, CaseType.SUGGESTION])
def test_requests_and_suggestions_have_no_statutory_clock(type):
    for event in ("receipt", "acceptance", "termination", "decision"):
        assert start_clocks(event, type, SUNDAY) == []


def test_acceptance_starts_sixty_calendar_days_of_mediation():
    clock = one("acceptance", CaseType.COMPLAINT, date(2026, 9, 24))
    assert (clock.days, clock.unit, clock.due_on, clock.mark) == (60, "日", date(2026, 11, 23), "B+")
    # B+ rests on a transcription: not for the public before staff has checked it.
    assert not clock.showable


def test_termination_starts_seven_working_days():
    clock = one("termination", CaseType.COMPLAINT)
    assert (clock.key, clock.days, clock.unit, clock.showable) == ("tell_termination", 7, "工作日", False)


def test_only_named_informants_are_told_of_a_decision():
    clock = one("decision", CaseType.REPORT)
    assert (clock.key, clock.days, clock.due_on) == ("tell_informant", 5, date(2026, 11, 27))
    assert start_clocks("decision", CaseType.REPORT, SUNDAY, real_name=False) == []


def test_staff_start_some_by_hand():
    assert start_clock("competence_dispute", SUNDAY).due_on == date(2026, 12, 1)
    for key in ("mediation", "nothing"):
        with pytest.raises(KeyError, match=key):
            start_clock(key, SUNDAY)


def test_wording_names_another_year_and_says_what_is_provisional():
    clock = one("receipt", CaseType.COMPLAINT, date(2026, 12, 24))
    assert due_phrase(clock) == "最晚2027年1月4日，暂按周末推算"


def test_status_words_meet_clocks():
    assert met_by("已受理") == met_by("不予受理") == {"accept_complaint"}
    assert "mediation" in met_by("达成调解")
    assert met_by("已登记") == set()


def test_every_figure_has_a_basis_and_nobody_has_verified_one_yet():
    assert {figure.verified_by for figure in figures()} == {None}
    assert all(figure.basis for figure in figures())
    assert {figure.key for figure in figures() if figure.showable} == {
        "accept_complaint",
        "payment_forwarding",
        "payment_result",
        "payment_longest",
    }


def test_a_repealed_rule_is_never_the_basis_of_what_is_shown():
    assert [figure.key for figure in figures() if figure.showable and "第20号" in figure.basis] == []


def changed(tmp_path, key, /, **values):
    content = yaml.safe_load(LEGAL.read_text("utf-8"))
    next(entry for entry in content["figures"] if entry["key"] == key).update(values)
    path = tmp_path / "legal.yml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return path


def test_staff_make_a_figure_showable_by_verifying_it(tmp_path):
    path = changed(tmp_path, "mediation", verified_by="王工", verified_on="2026-11-23")
    clock = one("acceptance", CaseType.COMPLAINT, known=load_figures(path))
    assert (clock.verified, clock.showable) == (True, True)
    assert due_phrase(clock) == "最晚2027年1月21日"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mark": "D"}, "mediation"),
        ({"unit": "周"}, "mediation"),
        ({"days": 0}, "mediation"),
        ({"days": None}, "days and unit go together"),
        ({"days": None, "unit": None}, "a clock needs days"),
        ({"verified_by": "王工"}, "verified_by and verified_on go together"),
        ({"ended_by": ["已通过"]}, "unknown status"),
        ({"key": "accept_complaint"}, "stands twice"),
        ({"surprise": 1}, "mediation"),
        ({"types": []}, "mediation"),
    ],
)
def test_a_wrong_figure_is_named(tmp_path, values, message):
    with pytest.raises(LegalError, match=message):
        load_figures(changed(tmp_path, "mediation", **values))


def test_every_status_that_is_an_event_belongs_to_a_type():
    words = {word for statuses in clocks.STATUSES.values() for word in statuses}
    assert set(clocks.EVENT_OF_STATUS) <= words
