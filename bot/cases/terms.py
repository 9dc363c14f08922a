"""The blind index (盲索引): words of a case as keyed hashes, so that they are found while the case lies encrypted.

One row (term, code) for each distinct word of at least two characters in the facts, for the respondent's whole name
and for the national platform's number; never for name, phone or address of the citizen. docs/adr/0006-blind-index.md
says what this gives away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import jieba
from sqlalchemy import delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bot.cases.models import Case, CaseTerm
from bot.crypto import data_key
from bot.engine.text import normalise
from bot.settings import settings

CONTACT = frozenset({"name", "phone", "address"})
MOST_WORDS = 400  # of one case; a text of 2,000 characters has fewer
_WORD = re.compile(r"[a-z0-9一-鿿]{2,}")
_DIGITS = re.compile(r"[0-9]+")


@lru_cache(maxsize=1)
def _tokenizer() -> jieba.Tokenizer:
    jieba.setLogLevel(30)
    tokenizer = jieba.Tokenizer()
    tokenizer.tmp_dir = str(settings().home_dir)  # its cache does not belong into the shared temporary folder
    return tokenizer


def warm() -> None:
    """Load the dictionary (half a second) before the first case needs it."""
    _tokenizer().initialize()


def _kept(words: Iterable[str]) -> list[str]:
    # Bare digits are phone numbers, sums and dates: nobody looks for those as words, and they can be guessed through.
    return [word for word in dict.fromkeys(words) if _WORD.fullmatch(word) and not _DIGITS.fullmatch(word)]


def words_of(text: str) -> list[str]:
    """Distinct words of at least two characters; a long word also gives the words inside it."""
    return _kept(_tokenizer().cut_for_search(normalise(text)))


def query_words(text: str) -> list[str]:
    """The words a search text asks for: the longest ones, so that 食品安全 does not look for 食品 and 安全 as well."""
    return _kept(_tokenizer().cut(normalise(text)))


def term(use: str, text: str) -> int:
    """63 bits of the keyed hash of `text` under `use` (`word`, `name` or `platform`)."""
    return int(data_key().keyed_hash(f"case-term/{use}", text)[:16], 16) >> 1


def whole_name(text: str) -> str:
    """A firm's name in the form in which whole names are compared."""
    return re.sub(r"\W", "", normalise(text))


def _strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in _strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in _strings(item)]
    return [value] if isinstance(value, str) else []


def terms_of(fields: dict[str, Any], platform_reg_no: str | None = None) -> set[int]:
    """The terms of a case with these fields."""
    facts = [text for key, value in fields.items() if key not in CONTACT for text in _strings(value)]
    # Each by itself and sorted: the same fields must give the same words in whatever order they are read.
    words = sorted({word for text in facts for word in words_of(text)})[:MOST_WORDS]
    found = {term("word", word) for word in words}
    respondent = fields.get("respondent")
    if isinstance(respondent, str) and (name := whole_name(respondent)):
        found.add(term("name", name))
    if platform_reg_no:
        found.add(term("platform", platform_reg_no))
    return found


def index_case(session: Session, case: Case, before: set[int] | None = None) -> None:
    """Write the terms of `case`; `before` are the terms it had, of which those that are gone are deleted."""
    code, now = int(case.sms_code), terms_of(case.fields, case.platform_reg_no)
    if before and (gone := before - now):
        session.execute(delete(CaseTerm).where(CaseTerm.code == code, CaseTerm.term.in_(gone)))
    if new := now - (before or set()):
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        rows = [{"term": value, "code": code} for value in sorted(new)]
        session.execute(insert(CaseTerm).on_conflict_do_nothing(), rows)


def unindex_case(session: Session, case: Case) -> None:
    """Delete the terms of `case`, computed from what it still holds: call it before its fields are erased."""
    found = terms_of(case.fields, case.platform_reg_no)
    session.execute(
        delete(CaseTerm).where(CaseTerm.code == int(case.sms_code), CaseTerm.term.in_(sorted(found)))
    )
