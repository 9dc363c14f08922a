"""Words of the pages, and values as people read them. Jinja templates see all of it."""

from __future__ import annotations

from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from nicegui import ui

from bot.cases.calendar import SHANGHAI

CHANNELS = {"widget": "网页", "sms": "短信", "wechat": "微信", "phone": "电话"}
TOPICS = {
    "suicide": "自伤", "elevator": "电梯", "explosion": "爆炸泄漏", "fire": "火灾", "gas": "燃气", "poisoning": "食物中毒",
    "injury": "有人受伤", "violence": "暴力威胁", "missing": "有人失联",
}  # fmt: skip
WEEKDAYS = "一二三四五六日"
HTML = Path(__file__).parent / "html"


def channel(name: str) -> str:
    """The channel's Chinese name."""
    return CHANNELS.get(name, name)


def reason(words: str) -> str:
    """Why somebody is called: 险情：elevator → 险情：电梯."""
    head, colon, topic = words.partition("：")
    return f"{head}{colon}{TOPICS.get(topic, topic)}"


def clock_time(at: datetime | str | None, now: datetime | None = None) -> str:
    """15:04, with the day before it when that is not the day of `now`."""
    if at is None:
        return ""
    local = (datetime.fromisoformat(at) if isinstance(at, str) else at).astimezone(SHANGHAI)
    today = now.astimezone(SHANGHAI).date() if now else None
    return f"{local:%H:%M}" if today == local.date() else f"{local.month}月{local.day}日 {local:%H:%M}"


def full_time(at: datetime | None) -> str:
    """2026-11-22 15:04."""
    return f"{at.astimezone(SHANGHAI):%Y-%m-%d %H:%M}" if at else ""


def day(at: date | None) -> str:
    """11月22日（日）, with the year when it is not this record's year."""
    return f"{at.month}月{at.day}日（{WEEKDAYS[at.weekday()]}）" if at else ""


def iso(at: datetime | None) -> str:
    """For the ticking clocks of `desk.js`."""
    return at.isoformat() if at else ""


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(HTML),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "channel": channel,
        "reason": reason,
        "clock_time": clock_time,
        "full_time": full_time,
        "day": day,
        "iso": iso,
    }
    return env


TEMPLATES = _environment()


def render(template: str, **values: Any) -> str:
    """A fragment of HTML; values are escaped. `now` lets times of today stand without their day."""
    return TEMPLATES.get_template(f"{template}.html").render(**({"now": None} | values))


def show(template: str, *, tag: str = "div", **values: Any) -> ui.html:
    """A fragment on the page."""
    # The template escapes every value (autoescape); the browser's sanitizer would take the ticking marks away.
    return ui.html(render(template, **values), sanitize=False, tag=tag)


@lru_cache(maxsize=1)
def canned() -> list[dict[str, Any]]:
    """The canned sentences (常用语) of `canned.yml`, in groups."""
    loaded: list[dict[str, Any]] = yaml.safe_load(
        Path(__file__).parent.with_name("canned.yml").read_text("utf-8")
    )["groups"]
    return loaded
