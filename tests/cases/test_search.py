from datetime import date, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import event, select

from bot.cases import dispatch, search, terms, workflow
from bot.cases.models import Case, CaseTerm
from bot.cases.search import Filters, WrongCursor, cases, counts, look_up, platform_number
from tests.cases.filing import ANONYMOUS, COMPLAINT, FIELDS, REPORT, REQUEST, file
from tests.cases.test_workflow import PLATFORM, act, get

TODAY = date(2026, 11, 22)
EVERYTHING = Filters()


def found(sessions, text, filters=EVERYTHING, **more):
    """(how it was found, numbers)"""
    with sessions() as session:
        page = look_up(session, text, filters, today=TODAY, **more)
        return page.by, [case.number for case in page.cases]


def walk(sessions, limit, filters=EVERYTHING, **more):
    """All numbers, page by page."""
    numbers, after, pages = [], None, 0
    while True:
        with sessions() as session:
            page = (
                look_up(session, more["q"], filters, today=TODAY, after=after, limit=limit)
                if "q" in more
                else cases(session, filters, today=TODAY, after=after, limit=limit, **more)
            )
        assert len(page.cases) <= limit
        numbers += [case.number for case in page.cases]
        pages, after = pages + 1, page.after
        if after is None:
            return numbers, pages


@pytest.fixture
def many(sessions, now):
    """Nine cases over three days: urgent ones, some without a due date, one closed."""
    made = []
    for index in range(9):
        part = (COMPLAINT, REPORT, REQUEST)[index % 3]
        at = now - timedelta(days=index // 3)
        (number,) = file(sessions, at, part, conversation=f"c{index}", facts=f"第{index}件，电饭锅漏电冒烟")
        made.append(number)
    for number in (made[4], made[8]):
        act(sessions, workflow.do_urgency, number, True, now=now, reason="多人反映")
    act(sessions, dispatch.do_withdraw, made[0], reason="和解", now=now)
    return made


# pages


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 9, 50])
def test_pages_hold_every_case_once_newest_first(sessions, many, limit):
    numbers, pages = walk(sessions, limit)
    by_code = sorted(many, key=lambda number: number[5:], reverse=True)
    assert numbers == by_code
    assert pages == -(-9 // limit)


@pytest.mark.parametrize("limit", [1, 2, 5, 50])
def test_open_cases_by_due_date_those_without_one_last(sessions, many, limit):
    numbers, _ = walk(sessions, limit, order="due")
    assert sorted(numbers) == sorted(set(many) - {many[0]})
    due = [get(sessions, number).due_on for number in numbers]
    assert due == sorted(due, key=lambda day: (day is None, day or TODAY))
    assert due.count(None) == 3


@pytest.mark.parametrize("limit", [1, 2, 5, 50])
def test_open_cases_urgent_first_then_oldest(sessions, many, limit):
    numbers, _ = walk(sessions, limit, order="urgent")
    assert numbers[:2] == [many[8], many[4]]
    rest = [get(sessions, number).created_at for number in numbers[2:]]
    assert len(numbers) == 8 and rest == sorted(rest)


def test_a_case_that_comes_in_between_moves_no_page(sessions, many, now):
    with sessions() as session:
        first = cases(session, EVERYTHING, today=TODAY, limit=4)
    file(sessions, now, conversation="later")
    with sessions() as session:
        second = cases(session, EVERYTHING, today=TODAY, limit=50, after=first.after)
    got = [case.number for case in first.cases + second.cases]
    assert sorted(got) == sorted(many)


@pytest.mark.parametrize(
    "after", ["", "x", "W10", "bnVsbA", "WyJkdWUiLCAiMjAyNiIsICIxIl0", "ｘ", "e30", "NQ"]
)
@pytest.mark.parametrize("order", ["newest", "due", "urgent"])
def test_a_mark_of_nowhere_is_refused(sessions, order, after):
    with sessions() as session:
        if after:
            with pytest.raises(WrongCursor):
                cases(session, EVERYTHING, today=TODAY, order=order, after=after)
        else:
            assert cases(session, EVERYTHING, today=TODAY, order=order, after=after).cases == []


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(type="J"), {1, 4, 7}),
        (Filters(open=False), {0}),
        (Filters(open=True, type="T"), {3, 6}),
        (Filters(urgent=True), {4, 8}),
        (Filters(stage="withdrawn"), {0}),
        (Filters(status="已登记", type="S"), {2, 5, 8}),
        (Filters(status="已受理"), set()),
        (Filters(department="特种设备安全监察"), set()),
        (Filters(channel="widget"), set(range(9))),
        (Filters(channel="sms"), set()),
        (Filters(assignee="s1"), set()),
        (Filters(overdue=True), set()),
        (Filters(overdue=False, urgent=False), {0, 1, 2, 3, 5, 6, 7}),
        (Filters(supervised=True), set()),
    ],
)
def test_filters(sessions, many, filters, expected):
    assert set(walk(sessions, 50, filters)[0]) == {many[index] for index in expected}


def test_overdue_counts_from_the_day_after(sessions, many):
    due = get(sessions, many[6]).due_on
    for day, late in ((due, set()), (due + timedelta(days=1), {many[3], many[6]})):  # Friday and Saturday
        with sessions() as session:
            page = cases(session, Filters(overdue=True), today=day)
        assert {case.number for case in page.cases} == late


def test_live_counts(sessions, many, now):
    act(sessions, dispatch.do_dispatch, many[1], lead="计量", opinion="请办", now=now)
    with sessions() as session:
        assert vars(counts(session, TODAY)) == {"waiting": 7, "open": 8, "overdue": 0, "urgent": 2}
        assert counts(session, date(2027, 3, 1)).overdue == 5


def test_a_page_reads_no_more_rows_for_a_deep_place(sessions, engine, many):
    statements = []
    event.listen(engine, "before_cursor_execute", lambda c, cur, s, p, ctx, m: statements.append(s))
    walk(sessions, 2)
    selects = [s for s in statements if "FROM cases" in s]
    assert len(selects) == 5 and not any(
        "OFFSET" in s.upper().replace("LIMIT", "") for s in selects if "?" not in s
    )


# look-ups


@pytest.mark.parametrize("form", ["{}", "{}".lower(), "  {} ", "编号{}的", "{digits}", "{digits} 查一下"])
def test_by_number_in_any_way_of_writing(sessions, many, form):
    number = many[3]
    written = form.format(number, digits=number[5:].replace("-", ""))
    assert found(sessions, written) == ("number", [number])
    assert found(sessions, number.lower()) == ("number", [number])


def test_a_number_with_the_wrong_type_letter_or_check_digit_finds_nothing(sessions, many):
    assert found(sessions, many[3].replace("-T-", "-J-"))[1] == []
    wrong = many[3][:-1] + str((int(many[3][-1]) + 1) % 10)
    assert many[3] not in found(sessions, wrong)[1]


@pytest.mark.parametrize(
    "written", ["13904321187", "139 0432 1187", "+86-139-0432-1187", "１３９０４３２１１８７"]
)
def test_by_phone_exactly(sessions, many, now, written):
    (other,) = file(sessions, now, conversation="x", phone="13804321187")
    file(sessions, now, ANONYMOUS, conversation="y")
    by, numbers = found(sessions, written)
    assert by == "phone" and set(numbers) == set(many)
    assert found(sessions, "13804321187") == ("phone", [other])
    assert found(sessions, "13704321187") == ("phone", [])
    assert found(sessions, "1390432118")[1] == []  # a part of a number is no number


def test_phones_come_in_pages(sessions, many):
    assert walk(sessions, 4, q="13904321187") == (sorted(many, key=lambda n: n[5:], reverse=True), 3)


def test_by_words_all_of_which_must_occur(sessions, now):
    (first,) = file(sessions, now, conversation="1", facts="电饭锅漏电冒烟", respondent="鑫隆旺超市")
    (second,) = file(sessions, now, conversation="2", facts="羽绒服钻绒，商家不退款", respondent="红旗商场")
    (third,) = file(sessions, now, REPORT, conversation="3", facts="電飯鍋爆炸", respondent="鑫隆旺百货")
    assert found(sessions, "电饭锅") == ("words", [third, first])
    assert found(sessions, "電飯鍋 漏电")[1] == [first]
    assert found(sessions, "羽绒服，退款")[1] == [second]
    assert found(sessions, "羽绒服 冒烟")[1] == []
    assert found(sessions, "鑫隆旺超市")[1] == [first]
    assert found(sessions, "电饭锅", Filters(type="J"))[1] == [third]
    assert found(sessions, "吃")[1] == found(sessions, "")[1] == found(sessions, "。，！")[1] == []


def test_words_come_in_pages_with_a_filter_too(sessions, many):
    assert walk(sessions, 2, q="电饭锅")[0] == sorted(many, key=lambda n: n[5:], reverse=True)
    assert set(walk(sessions, 2, Filters(type="S"), q="电饭锅 漏电")[0]) == {many[2], many[5], many[8]}


def test_a_rare_filter_among_many_hits_still_ends(sessions, many, monkeypatch):
    monkeypatch.setattr(search, "_STEP", 2)
    monkeypatch.setattr(search, "_STEPS", 2)
    numbers, pages = walk(sessions, 5, Filters(open=False), q="电饭锅")
    assert numbers == [many[0]] and pages > 1


@pytest.mark.parametrize("limit", [1, 2, 50])
def test_frequent_words_are_looked_for_among_the_filtered_cases(sessions, many, monkeypatch, limit):
    expected = walk(sessions, limit, Filters(type="T"), q="电饭锅 冒烟")[0]
    monkeypatch.setattr(search, "_FREQUENT", 1)
    assert walk(sessions, limit, Filters(type="T"), q="电饭锅 冒烟")[0] == expected
    assert expected == sorted({many[0], many[3], many[6]}, key=lambda n: n[5:], reverse=True)
    assert walk(sessions, limit, Filters(type="T"), q="电饭锅 钻绒")[0] == []


def test_who_it_was_is_not_in_the_index(sessions, now):
    (number,) = file(
        sessions, now, name="欧阳震华", address="长春市绿园区锦西路", facts="口罩质量问题", company=""
    )
    assert found(sessions, "口罩")[1] == [number]
    for word in ("欧阳震华", "欧阳", "绿园区", "锦西路"):
        assert found(sessions, word)[1] == []


def test_the_index_holds_no_word_in_clear_and_no_bare_number(sessions, now):
    file(sessions, now, facts="花了3980元，2026年11月买的电饭锅，电话13904321187")
    with sessions() as session:
        stored = set(session.scalars(select(CaseTerm.term)))
    assert terms.term("word", "电饭锅") in stored
    assert all(0 <= value < 2**63 for value in stored)
    for word in ("3980", "2026", "13904321187"):
        assert terms.term("word", word) not in stored
    assert terms.term("word", "电饭锅") != terms.term("name", "电饭锅")


def test_corrected_words_are_found_and_the_old_ones_not(sessions, now):
    (number,) = file(sessions, now, facts="电饭锅漏电")
    act(sessions, workflow.do_correct, number, {"facts": "空气炸锅漏电"}, now=now, reason="口误")
    assert found(sessions, "电饭锅")[1] == []
    assert found(sessions, "炸锅")[1] == found(sessions, "漏电")[1] == [number]


def test_erasing_takes_the_words_out(sessions, now):
    (number,) = file(sessions, now, facts="电饭锅漏电")
    (other,) = file(sessions, now, conversation="2", facts="电饭锅漏电")
    with sessions.begin() as session:
        case = session.get(Case, number)
        terms.unindex_case(session, case)
        assert session.scalars(select(CaseTerm).where(CaseTerm.code == int(case.sms_code))).all() == []
    assert found(sessions, "电饭锅")[1] == [other]


def test_by_the_national_platforms_number(sessions, now):
    (number,) = file(sessions, now)
    act(sessions, workflow.do_platform, number, PLATFORM, now=now)
    assert found(sessions, f"登记编号 {PLATFORM[:6]} {PLATFORM[6:]}") == ("platform", [number])
    later = PLATFORM[:-1] + "8"
    act(sessions, workflow.do_platform, number, later, now=now)
    assert found(sessions, PLATFORM)[1] == []
    assert found(sessions, later)[1] == [number]


@pytest.mark.parametrize("text", ["", "123", "3" * 24, "3" * 26])
def test_other_lengths_are_no_platform_number(text):
    assert platform_number(text) is None


def test_words_of_a_long_text_are_bounded(sessions, now):
    text = "".join(f"{a}{b}" for a, b in pairwise("电饭锅漏电冒烟羽绒服钻绒充值卡关门跑路" * 40))
    assert len(terms.terms_of({"facts": text})) <= terms.MOST_WORDS
    assert FIELDS["name"] not in terms.words_of("口罩质量问题")
