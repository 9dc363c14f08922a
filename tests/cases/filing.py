"""Cases for the tests of the work order."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from bot.cases.models import CaseType
from bot.cases.store import Part, open_draft, submit
from bot.storage import make_engine, make_sessions

FIELDS = {
    "name": "韩梅梅",
    "phone": "13904321187",
    "address": "长春市朝阳区红旗街88号",
    "company": "长春净源日化厂",
    "respondent": "鑫隆旺超市",
    "respondent_address": "红旗街12号",
    "facts": "我叫韩梅梅，口罩一撕就破，质量问题，电话139 0432 1187，退款没人理",
    "request": "退款40元",
}
COMPLAINT = Part(CaseType.COMPLAINT, FIELDS)
REPORT = Part(CaseType.REPORT, FIELDS)
# As the intake leaves it (bot.cases.record.parts): nothing that tells who it was, also not in the story.
NAMELESS = {
    "respondent": "鑫隆旺超市",
    "respondent_address": "红旗街12号",
    "facts": "我叫〔不记〕，口罩一撕就破，质量问题，电话139 0432 1187，退款没人理",
}
ANONYMOUS = Part(CaseType.REPORT, NAMELESS, anonymous=True)
REQUEST = Part(CaseType.REQUEST, FIELDS)
SUGGESTION = Part(CaseType.SUGGESTION, FIELDS)
PARTS = {"T": COMPLAINT, "J": REPORT, "S": REQUEST, "Y": SUGGESTION}
ACTOR = "staff:wang"


@pytest.fixture
def quick_sessions(migrated, tmp_path):
    """A SQLite database of the test's own, copied: for rules that do not depend on the database."""
    shutil.copy(migrated, tmp_path / "cases.db")
    engine = make_engine(f"sqlite:///{tmp_path / 'cases.db'}")
    yield make_sessions(engine)
    engine.dispose()


def file(sessions, now, *parts, conversation="c1", **fields):
    """Numbers of the cases of one draft; keywords replace fields of the first part."""
    chosen = list(parts or [COMPLAINT])
    if fields:
        chosen[0] = replace(chosen[0], fields=chosen[0].fields | fields)
    with sessions.begin() as session:
        draft = open_draft(session, conversation, now=now)
        cases = submit(session, draft, parts=chosen, message_id="m9", channel="widget", now=now)
        return [case.number for case in cases]
