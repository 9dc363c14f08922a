import csv
import io
import shutil
import subprocess
from datetime import date, timedelta

import openpyxl
import pytest

from bot.cases import dispatch, exports
from bot.cases.display import clock_colour, line, whole
from bot.cases.models import Case
from tests.cases.filing import ANONYMOUS, COMPLAINT, FIELDS, REPORT, file
from tests.cases.filing import quick_sessions as sessions
from tests.cases.test_workflow import act, answered, get

__all__ = ["sessions"]
TODAY = date(2026, 11, 22)
FORMULAS = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "  =1",
    "＝1+1",
    "\r\n=1",
    "|cmd",
    "%0A=1",
]


def rows(sessions, *numbers, unmasked=False):
    return [exports.row(get(sessions, number), TODAY, {}, unmasked) for number in numbers]


def read_csv(data):
    return list(csv.reader(io.StringIO(b"".join(data).decode("utf-8-sig"))))


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text(text):
    assert exports.cell(text).startswith("'")


@pytest.mark.parametrize("text", ["退款40元", "JL-T-1", "139****1187", "a=b", "", "3.5", "(-1)"])
def test_plain_text_stays(text):
    assert exports.cell(text) == text


@pytest.mark.parametrize("formula", FORMULAS)
def test_files_hold_no_formula(sessions, now, formula):
    (number,) = file(sessions, now, respondent=formula + "店", facts=formula + "质量问题")
    made = rows(sessions, number, unmasked=True)
    (_, one) = read_csv(exports.as_csv(made))
    assert not [value for value in one if value[:1] in "=+-@\t\r\n|%＝" and value]
    sheet = openpyxl.load_workbook(io.BytesIO(exports.as_xlsx(made))).active
    assert {cell.data_type for row in sheet.iter_rows() for cell in row if cell.value} == {"s"}
    assert [cell.value for cell in sheet[1]] == list(exports.HEADER)


def test_contact_is_masked_unless_asked_for_and_never_told_of_a_report(sessions, now):
    complaint, report = file(sessions, now, COMPLAINT, REPORT)
    (nameless,) = file(sessions, now, ANONYMOUS, conversation="x")
    for unmasked in (False, True):
        said = ["\n".join(row) for row in rows(sessions, complaint, report, nameless, unmasked=unmasked)]
        assert ("13904321187" in said[0] and "韩梅梅" in said[0]) is unmasked
        for text in said[1:]:
            assert "13904321187" not in text and "139 0432 1187" not in text and "韩梅梅" not in text
        assert said[2].count("匿名") == 3


def test_control_characters_do_not_break_a_workbook(sessions, now):
    (number,) = file(sessions, now, facts="质量问题\x00\x07\x1b[31m")
    made = rows(sessions, number)
    assert openpyxl.load_workbook(io.BytesIO(exports.as_xlsx(made))).active.max_row == 2


def test_lines_and_whole_case_are_masked(sessions, now):
    complaint, report = file(sessions, now, COMPLAINT, REPORT)
    answered(sessions, complaint, now)
    act(sessions, dispatch.do_dispatch, report, lead="计量", opinion="来电13904321187韩梅梅", now=now)
    with sessions() as session:
        for number in (complaint, report):
            case = session.get(Case, number)
            hidden = str(line(case, TODAY)) + str(whole(session, case, now=now))
            open_ = str(whole(session, case, now=now, unmasked=True))
            for secret in ("13904321187", "139 0432 1187", "韩梅梅", "红旗街88号"):
                assert secret not in hidden
            assert "韩*" in hidden and "139****1187" in hidden
            assert "13904321187" in open_ and "韩梅梅" in open_


@pytest.mark.parametrize(
    ("days", "colour", "words"),
    [
        (-3, "red", "超期3天"),
        (0, "amber", "今天到期"),
        (2, "amber", "剩2天"),
        (3, "green", "剩3天"),
        (None, "none", "无时限"),
    ],
)
def test_a_clock_says_its_colour_in_words_too(days, colour, words):
    due = None if days is None else TODAY + timedelta(days=days)
    assert clock_colour(due, TODAY) == (colour, words)


def pdf_of(sessions, number, now, unmasked=False):
    with sessions() as session:
        body = whole(session, session.get(Case, number), now=now, unmasked=unmasked)
    return exports.as_pdf(body, "王值班", "2026-11-22 15:04")


def test_a_pdf_of_a_case_with_a_history(sessions, now):
    (number,) = file(sessions, now, facts="<b>口罩</b> & " + "质量问题。" * 600)
    answered(sessions, number, now)
    data = pdf_of(sessions, number, now)
    assert data.startswith(b"%PDF-") and data.rstrip().endswith(b"%%EOF")
    assert b"STSong-Light" in data


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="poppler-utils is not installed")
def test_what_a_pdf_says(sessions, now, tmp_path):
    (number,) = file(sessions, now)
    for unmasked in (False, True):
        (tmp_path / "x.pdf").write_bytes(pdf_of(sessions, number, now, unmasked))
        said = subprocess.run(
            ["pdftotext", tmp_path / "x.pdf", "-"], capture_output=True, check=True
        ).stdout.decode()
        assert number in said and "王值班" in said and "不表示已受理" in said
        assert (FIELDS["phone"] in said) is unmasked
