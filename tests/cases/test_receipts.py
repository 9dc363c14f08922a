import threading
from datetime import date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from bot.cases.models import CaseType, ReceiptCounter
from bot.cases.receipts import NumbersExhausted, check_digit, compose, issue, parse_number

DAY = date(2026, 11, 22)
NUMBER, CODE = compose(CaseType.COMPLAINT, DAY, 17)
SERIALS = st.integers(1, 99_999)
TYPES = st.sampled_from(list(CaseType))
DATES = st.dates(date(2026, 1, 1), date(2099, 12, 31))


def test_the_shape_of_a_number():
    assert f"JL-T-261122-00017-{CODE[-1]}" == NUMBER
    assert "26112200017" + check_digit("26112200017") == CODE
    assert len(CODE) == 12


def test_the_check_digit_is_iso_7064_mod_11_10():
    # Computed by hand from the standard's recursion.
    product = 10
    for digit in "26112200017":
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    assert check_digit("26112200017") == str((11 - product) % 10) == "0"


@given(DATES, SERIALS, st.integers(0, 11), st.integers(1, 9))
def test_every_single_wrong_digit_is_found(day, serial, place, change):
    code = compose(CaseType.REPORT, day, serial).sms_code
    wrong = code[:place] + str((int(code[place]) + change) % 10) + code[place + 1 :]
    parsed = parse_number(wrong)
    # A wrong digit can also make the date impossible: then there is no number at all.
    assert parsed is None or not parsed.valid
    assert check_digit(wrong[:11]) != wrong[11]


@given(TYPES, DATES, SERIALS)
def test_a_number_is_read_back_in_both_forms(type, day, serial):
    number, code = compose(type, day, serial)
    for text, letter in ((number, type), (code, None)):
        parsed = parse_number(text)
        assert (parsed.sms_code, parsed.type, parsed.valid) == (code, letter, True)
        assert (parsed.number, parsed.written) == (number if letter else None, text)


def wide(text):
    return "".join(chr(ord(c) + 0xFEE0) if 0x21 <= ord(c) <= 0x7E else c for c in text)


@pytest.mark.parametrize(
    "text",
    [
        NUMBER,
        NUMBER.lower(),
        NUMBER.replace("-", ""),
        NUMBER.replace("-", " "),
        NUMBER.replace("-", "—"),
        NUMBER.replace("-", " - "),
        wide(NUMBER),
        NUMBER.removeprefix("JL-"),
        f"查一下{NUMBER}办到哪了",
        f"编号：{NUMBER}，手机13904321187",
        f"13904321187 {NUMBER}",
        f"T{CODE}",
        CODE,
        wide(CODE),
        f"{CODE[:10]} {CODE[10:]}",
        f"{CODE[:4]} {CODE[4:8]} {CODE[8:]}",
        f"{CODE} 13904321187",
        f"13904321187 {CODE[:10]} {CODE[10:]}",
        f"139 0432 1187，{CODE}",
        f"26112200017{(int(CODE[-1]) + 1) % 10}不对，是{CODE}",
    ],
)
def test_ways_of_writing(text):
    parsed = parse_number(text)
    assert parsed is not None
    assert (parsed.sms_code, parsed.valid) == (CODE, True)
    assert parsed.type in (CaseType.COMPLAINT, None)


@pytest.mark.parametrize("form", [NUMBER, wide(NUMBER), NUMBER.lower(), f"{CODE[:10]} {CODE[10:]}"])
def test_the_written_piece_can_be_cut_out_of_the_citizens_text(form):
    text = f"㈱查{form}，手机１３９０４３２１１８７"
    assert parse_number(text).written == form
    assert text.replace(parse_number(text).written, "") == "㈱查，手机１３９０４３２１１８７"


def test_a_mistyped_number_is_found_and_called_wrong():
    parsed = parse_number("JL-T-261122-00018-" + CODE[-1])
    assert (parsed.sms_code, parsed.type, parsed.valid) == (
        "26112200018" + CODE[-1],
        CaseType.COMPLAINT,
        False,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "没有编号",
        "13904321187",
        "139 0432 1187 2",
        "3305230000000202105312269",
        "330523000000 0202105312269",
        "JL-T-261122-00017",
        f"9{CODE}",
        f"{CODE}9",
        "JL-T-261322-00017-0",
        "吉市监注字〔2020〕26号",
        f"X{CODE}",
    ],
)
def test_what_is_no_number(text):
    assert parse_number(text) is None


@given(st.text(alphabet="jlJLTt-— 0123456789１２号"))
def test_any_text_can_be_read(text):
    parsed = parse_number(text)
    assert parsed is None or len(parsed.sms_code) == 12


@given(TYPES, DATES, SERIALS)
def test_no_number_looks_like_the_national_platforms(type, day, serial):
    for form in compose(type, day, serial):
        assert sum(c.isdigit() for c in form) == 12 != 25


@pytest.mark.parametrize("serial", [0, 100_000])
def test_a_day_has_99999_numbers(serial):
    with pytest.raises(NumbersExhausted, match="2026-11-22"):
        compose(CaseType.REQUEST, DAY, serial)


def test_the_counter_runs_over_all_types_and_begins_anew_each_day_in_jilin(sessions, now):
    with sessions.begin() as session:
        serials = [issue(session, type, now).sms_code[:11] for type in CaseType]
    assert serials == [f"2611220000{n}" for n in (1, 2, 3, 4)]
    midnight = datetime(2026, 11, 22, 16, 0, tzinfo=timezone.utc)
    with sessions.begin() as session:
        assert issue(session, CaseType.REPORT, midnight - timedelta(seconds=1)).sms_code[:11] == "26112200005"
        assert issue(session, CaseType.REPORT, midnight).sms_code[:11] == "26112300001"


def test_a_rollback_gives_the_number_back(sessions, now):
    with sessions() as session:
        first = issue(session, CaseType.REPORT, now)
        session.rollback()
    with sessions.begin() as session:
        assert issue(session, CaseType.REPORT, now) == first


def test_an_exhausted_day_raises_and_counts_no_further(sessions, now):
    with sessions.begin() as session:
        session.add(ReceiptCounter(day=DAY, last=99_999))
    with pytest.raises(NumbersExhausted), sessions.begin() as session:
        issue(session, CaseType.REPORT, now)
    with sessions() as session:
        assert session.scalar(select(ReceiptCounter.last)) == 99_999


def test_many_at_once_get_consecutive_numbers(sessions, now):
    numbers, failures = [], []

    def take():
        try:
            for _ in range(25):
                with sessions.begin() as session:
                    receipt = issue(session, CaseType.COMPLAINT, now)
                numbers.append(receipt.sms_code)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(int(code[6:11]) for code in numbers) == list(range(1, 201))
