"""The fields of a record (登记内容): which a type needs, their names, how a value is checked and shown.

Data and wording stand in `intake.yml`. Required fields follow 总局令第121号 Art 10(1); ID numbers are never
collected (个人信息保护法 Art 6). Pure: no database, no clock.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from bot.crypto import mask_phone, mask_text

CONTACT = ("name", "phone", "address")
SHOWN_FACTS = 300  # Characters of the story that the summary repeats.

Entity = dict[str, Any]


@lru_cache(maxsize=1)
def wording() -> dict[str, Any]:
    """All of `intake.yml`."""
    loaded: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("intake.yml").read_text("utf-8"))
    return loaded


def say(key: str, **values: Any) -> str:
    """A sentence of the section `say`."""
    return str(wording()["say"][key]).format(**values)


def choice(key: str) -> str:
    """The label of a button."""
    return str(wording()["choices"][key])


def type_name(type: str) -> str:
    """complaint → 投诉."""
    return str(wording()["types"][type]["name"])


def fields_of(type: str) -> list[str]:
    """Fields of a type in the order in which they are asked."""
    return list(wording()["types"][type]["fields"])


def told_of(type: str) -> list[str]:
    """Fields of a type that are taken when they are told and never asked for."""
    return list(wording()["types"][type].get("told", []))


def optional(type: str, field: str) -> bool:
    """True if the record may do without the field."""
    return field in wording()["types"][type]["optional"] or field not in fields_of(type)


def of_field(field: str, key: str, type: str) -> Any:
    """`label`, `ask`, `why` or `choices` of a field for a type; None if there is nothing."""
    found = wording()["fields"][field].get(key)
    return found.get(type, found.get("any")) if isinstance(found, dict) else found


def label(field: str, type: str) -> str:
    """The field's name for people."""
    return str(of_field(field, "label", type))


def display(field: str, value: str) -> str:
    """A value as it may stand in a message: phone numbers masked, a bare surname made polite."""
    if field == "phone":
        return mask_phone(value)
    if field == "name":
        return f"{value}先生/女士" if len(value) == 1 else value
    shown = mask_text(value)
    if field == "facts" and len(shown) > SHOWN_FACTS:
        return shown[:SHOWN_FACTS] + str(wording()["review"]["cut"]).format(n=len(value))
    return shown


# -- phone numbers ----------------------------------------------------------------------------------

_CHINESE_DIGITS = str.maketrans("零〇一幺二两三四五六七八九", "0011223456789")
_RUN = re.compile(r"[0-9零〇一幺二两三四五六七八九](?:[ \-–—·,，.、]{0,2}[0-9零〇一幺二两三四五六七八九])*")
_MOBILE = re.compile(r"1[3-9]\d{9}")
_LAND_LINE = re.compile(r"0(?:10|2\d|[3-9]\d{2})[2-8]\d{6,7}")


@dataclass(frozen=True)
class PhoneCheck:
    """`value` is a usable number, or empty; `problem` is the helpful second question, or empty."""

    value: str = ""
    problem: str = ""


def digit_runs(text: str) -> list[str]:
    """Runs of digits in `text`, also in full width and Chinese numerals, without what stands between."""
    flat = unicodedata.normalize("NFKC", text)
    runs = (re.sub(r"\D", "", m[0].translate(_CHINESE_DIGITS)) for m in _RUN.finditer(flat))
    return [run for run in runs if len(run) >= 3]


def check_phone(text: str) -> PhoneCheck:
    """The phone number in `text`: a mobile number of 11 digits, or a land line with its area code."""
    runs = digit_runs(text)
    for run in reversed(runs):
        run = re.sub(r"^(?:00)?86(?=1[3-9]\d{9}$)", "", run)
        if _MOBILE.fullmatch(run) or _LAND_LINE.fullmatch(run):
            return PhoneCheck(run)
    if not runs:
        return PhoneCheck()
    words = wording()["phone"]
    n = len(longest := max(runs, key=len))
    if n in (7, 8) and longest[0] != "1":
        return PhoneCheck(problem=words["local"].format(n=n))
    if n == 11:
        return PhoneCheck(problem=words["prefix"])
    key = "short" if n < 11 else "long"
    return PhoneCheck(problem=words[key].format(n=n, diff=abs(11 - n)))


_LAST = re.compile("[后末尾]([一两二三四1-4])(?:位|个数)(.{0,14}?)(?:是|为|成)(.{1,8})$")


def _last_digits(text: str) -> str:
    """最后两位说错了，是五五 → 55: as many digits as were named, or empty."""
    found = _LAST.search(unicodedata.normalize("NFKC", text).strip("。！! "))
    if not found:
        return ""
    said = re.sub(r"\D", "", found[3].translate(_CHINESE_DIGITS))
    count = int(found[1].translate(_CHINESE_DIGITS))
    return said if len(said) == count else ""


def corrected_phone(old: str, text: str) -> PhoneCheck:
    """`old` corrected by `text`: a whole number, or the last (后四位) or first (前三位) digits of it."""
    whole = check_phone(text)
    runs = digit_runs(text)
    if not whole.value and old and (last := _last_digits(text)):
        return check_phone(old[: -len(last)] + last)
    if whole.value or not runs:
        return whole
    part = runs[-1]
    if len(part) >= 9:
        return whole
    if not old:
        return PhoneCheck(problem=wording()["phone"]["fragment"])
    first = re.search(r"前[三四3-7五六七]位|开头|打头", text)
    joined = part + old[len(part) :] if first else old[: -len(part)] + part
    return check_phone(joined)


# -- what must not be stored ------------------------------------------------------------------------


def without_documents(text: str, entities: list[Entity]) -> tuple[str, list[Entity], bool]:
    """`text` with ID and bank card numbers masked, its other entities, and whether there were any.

    What the engine marked is masked also when its check digit is wrong: people mistype their own numbers.
    """
    masked = list(text)
    for entity in entities:
        if entity["entity"] in ("id_card", "bank_card"):
            masked[entity["start"] : entity["end"]] = "*" * (entity["end"] - entity["start"])
    result = mask_text("".join(masked), phones=False)
    kept = []
    for entity in entities:
        if entity["entity"] in ("id_card", "bank_card"):
            continue
        piece = text[entity["start"] : entity["end"]]
        at = result.find(piece, max(0, entity["start"] - (len(text) - len(result))))
        if at >= 0 and piece:
            kept.append({**entity, "start": at, "end": at + len(piece)})
    return result, kept, result != text


_OWN_WORDS = re.compile(
    r"(我叫|我姓|免贵姓|本人姓?|我的名字是|姓名[是为：:]?)[一-鿿]{1,3}?(?=[，,。；;\s]|电话|手机|$)"
)
_MASKED = re.compile(r"\d{3}\*{4}\d{4}")


def redacted(text: str, fields: dict[str, str]) -> str:
    """`text` without the citizen's name, phone and address, for an anonymous report (匿名举报)."""
    for field, mark in (("name", "〔姓名不记〕"), ("phone", "〔电话不记〕"), ("address", "〔地址不记〕")):
        value = fields.get(field, "")
        if len(value) >= 2:
            text = text.replace(value, mark)
    text = _OWN_WORDS.sub(lambda m: f"{m[1]}〔不记〕", text)
    return _MASKED.sub("〔电话不记〕", text)
