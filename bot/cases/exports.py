"""Cases as files: CSV and xlsx of a list, PDF of one case for printing.

A cell that a spreadsheet would take for a formula is made text (CSV injection, CWE-1236). Contact data is masked unless
the caller has a reason; a 举报人's never leaves in a list.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any
from xml.sax.saxutils import escape

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table, TableStyle

from bot.cases.display import moment, shown
from bot.cases.fields import CONTACT
from bot.cases.models import Case, CaseType
from bot.cases.push import tells_nobody
from bot.cases.workflow import Stage

MOST = 10_000  # rows of one file
HEADER = (
    "编号",
    "全国平台登记编号",
    "类型",
    "状态",
    "阶段",
    "紧急",
    "督办",
    "部门",
    "经办人",
    "渠道",
    "登记时间",
    "到期日",
    "是否超期",
    "涉及主体",
    "涉及主体地址",
    "事情经过",
    "要求",
    "姓名",
    "电话",
    "通讯地址",
    "并入编号",
)
_FORMULA = re.compile(r"^[\s\x00-\x1f]*[=+\-@＝＋－＠|%]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def cell(text: str) -> str:
    """`text` as a spreadsheet may show it: no control characters, an apostrophe before what looks like a formula."""
    text = _CONTROL.sub("", text).replace("\r", " ").replace("\t", " ")
    return f"'{text}" if _FORMULA.match(text) else text


def row(case: Case, today: date, staff: Mapping[str, str], unmasked: bool) -> list[str]:
    """One case in the order of `HEADER`."""
    contact = unmasked and not tells_nobody(case)
    values = [
        case.number,
        case.platform_reg_no or "",
        CaseType(case.type).label,
        case.status,
        Stage(case.stage).label,
        "是" if case.urgent else "否",
        "是" if case.supervised else "否",
        case.department,
        staff.get(case.assignee_id or "", ""),
        case.channel,
        (moment(case.created_at) or "")[:16].replace("T", " "),
        case.due_on.isoformat() if case.due_on else "",
        "是" if case.due_on and case.due_on < today and case.closed_at is None else "否",
        shown(case, "respondent", contact),
        shown(case, "respondent_address", contact),
        shown(case, "facts", contact),
        shown(case, "request", contact),
        *("匿名" if case.anonymous else shown(case, field, contact) for field in CONTACT),
        case.duplicate_of or "",
    ]
    return [cell(value) for value in values]


def as_csv(rows: Iterable[list[str]]) -> Iterator[bytes]:
    """The file in pieces: UTF-8 with a byte order mark, as the spreadsheets of offices expect it."""
    yield b"\xef\xbb\xbf"
    for values in (list(HEADER), *rows):
        line = io.StringIO()
        csv.writer(line, quoting=csv.QUOTE_ALL).writerow(values)
        yield line.getvalue().encode()


def as_xlsx(rows: Iterable[list[str]]) -> bytes:
    """The file; every cell is text, so that nothing is a formula and no number loses its digits."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("工单")
    sheet.freeze_panes = "B2"
    for values in (list(HEADER), *rows):
        cells = []
        for value in values:
            made = WriteOnlyCell(sheet, value=value[:32_000])
            made.data_type = "s"
            made.number_format = "@"
            cells.append(made)
        sheet.append(cells)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


# -- PDF --------------------------------------------------------------------------------------------

_FONT = "STSong-Light"
_BODY = ParagraphStyle("body", fontName=_FONT, fontSize=10, leading=15, wordWrap="CJK")
_SMALL = ParagraphStyle("small", parent=_BODY, fontSize=8, leading=11, textColor=HexColor("#444444"))
_TITLE = ParagraphStyle("title", parent=_BODY, fontSize=15, leading=22, spaceAfter=4)
_HEAD = ParagraphStyle("head", parent=_BODY, fontSize=11, leading=16, spaceBefore=8, spaceAfter=3)


def _table(rows: list[list[str]], widths: list[float]) -> Table:
    cells = [[Paragraph(escape(text).replace("\n", "<br/>"), _BODY) for text in line] for line in rows]
    style = [("GRID", (0, 0), (-1, -1), 0.4, HexColor("#999999")), ("VALIGN", (0, 0), (-1, -1), "TOP")]
    return Table(cells, colWidths=[width * mm for width in widths], style=TableStyle(style), splitInRow=1)


def as_pdf(case: Mapping[str, Any], printed_by: str, printed_at: str) -> bytes:
    """The work order for printing, from `bot.cases.display.whole`; who printed it and when stands on every page.

    The font is the CID font that every viewer with Chinese support brings along; none is embedded.
    """
    pdfmetrics.registerFont(UnicodeCIDFont(_FONT))
    story: list[Flowable] = [Paragraph(f"吉林12315工单 {escape(case['number'])}", _TITLE)]
    facts = [
        ["类型", f"{case['type_label']}（{case['status']}，{case['stage_label']}）"],
        ["登记时间", case["created_at"].replace("T", " ")[:16]],
        ["部门", case["department"]],
        ["全国平台登记编号", case["platform_reg_no"] or "未登记"],
        ["紧急 / 督办", f"{'是' if case['urgent'] else '否'} / {'是' if case['supervised'] else '否'}"],
    ]
    if case["anonymous"]:
        facts.append(["来件人", "匿名"])
    story.append(_table(facts + [[f["label"], f["value"]] for f in case["fields"]], [36, 138]))
    _section(
        story,
        "时限",
        [
            [
                c["name"],
                f"{c['due_on']}{'（暂按周末推算）' if c['provisional'] else ''}",
                c["text"],
                f"{c['basis']}{'' if c['verified'] else '（未经工作人员核对）'}",
            ]
            for c in case["clocks"]
        ],
        [40, 30, 24, 80],
    )
    _section(
        story,
        "派单",
        [
            [
                f"{d['part']} {d['department']}",
                d["at"].replace("T", " ")[:16],
                "\n".join(filter(None, [d["opinion"], d["returned_reason"] or "", d["result"] or ""])),
            ]
            for d in case["dispatches"]
        ],
        [50, 34, 90],
    )
    _section(
        story,
        "回访",
        [
            [
                c["at"].replace("T", " ")[:16],
                (c["satisfaction"] or "未接通") + ("，已解决" if c["solved"] else ""),
                c["reason"] or "",
            ]
            for c in case["follow_ups"]
        ],
        [34, 40, 100],
    )
    _section(
        story,
        "经过",
        [
            [
                e["at"].replace("T", " ")[:16],
                e["label"] + (f"：{e['status']}" if e["status"] else ""),
                e["actor"],
            ]
            for e in case["events"]
        ],
        [34, 90, 50],
    )
    story += [Spacer(1, 6), Paragraph("“已登记”表示已收到，不表示已受理。", _SMALL)]
    kept = "个人信息已遮盖" if case["masked"] else "含个人信息，按规定保管和销毁"
    foot = f"{case['number']}　{printed_by} 打印于 {printed_at}　{kept}"

    def footer(canvas: Any, document: Any) -> None:
        canvas.setFont(_FONT, 8)
        canvas.drawString(18 * mm, 10 * mm, f"{foot}　第{document.page}页")

    stream = io.BytesIO()
    margins = {f"{side}Margin": 18 * mm for side in ("left", "right", "top", "bottom")}
    document = SimpleDocTemplate(stream, pagesize=A4, title=case["number"], author="吉林12315", **margins)
    document.build(story, onFirstPage=footer, onLaterPages=footer)
    return stream.getvalue()


def _section(story: list[Flowable], title: str, rows: list[list[str]], widths: list[float]) -> None:
    if rows:
        story += [Paragraph(title, _HEAD), _table(rows, widths)]
