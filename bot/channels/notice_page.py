"""The demo page: a notice page that embeds the chat with one script tag. Its text is the pack's own."""

from __future__ import annotations

from functools import lru_cache
from html import escape
from pathlib import Path
from string import Template

from bot.policy import load
from bot.policy.answers import chinese_number, clause_name
from bot.policy.pack import Measure

PAGE = Path(__file__).parent / "page"

_MEASURE = Template(
    '<section class="measure"><h2>$head</h2><p>$body</p>'
    '<button type="button" class="ask" data-hotline-open="$question">问问这一条</button></section>'
)


def _measure(measure: Measure) -> str:
    return _MEASURE.substitute(
        head=escape(f"{chinese_number(measure.number)}、{measure.title}"),
        body=escape(measure.text),
        question=escape(f"{clause_name(measure)}讲的是什么", quote=True),
    )


@lru_cache
def notice_page() -> str:
    """The HTML of `/`."""
    pack = load()
    notice = pack.notice
    dated = notice.dated
    return Template((PAGE / "index.html").read_text("utf-8")).substitute(
        title=escape(notice.title),
        issuer=escape(notice.issuer),
        number=escape(notice.number),
        dated=f"{dated.year}年{dated.month}月{dated.day}日",
        validity=escape(notice.validity.sentences[notice.validity.state]),
        measures="\n      ".join(_measure(m) for _, m in sorted(pack.measures.items())),
        end=escape(pack.text.strip().splitlines()[-3]),
    )
