"""复核: what the bot missed, for a person to say what was meant. Nothing is trained from here by itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from sqlalchemy import func
from sqlalchemy import select as query
from sqlalchemy.orm import Session

from bot.desk import labels
from bot.desk import reviews as missed
from bot.desk.models import Review
from bot.desk.pages.elements import box, button, field, select, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.understood import understood
from bot.desk.pages.words import show
from bot.staff.permissions import Permission

SOURCES = {"fallback": "没有答上", "clarify": "反问", "thumbs_down": "市民点踩", "correction": "值班员更正"}
STATES = {"open": "待复核", "labelled": "已标注", "dismissed": "不采用", "exported": "已导出"}
PAGE = 10


@ui.page("/reviews", response_timeout=20)
async def reviews(request: Request) -> None:
    """The page."""
    seat = await enter(request, "复核", Permission.REVIEW)
    if seat is not None:
        await ReviewPage(seat).build()


class ReviewPage:
    """A page of missed messages."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.after: int | None = None
        self.choices = labels.choices()

    async def build(self) -> None:
        """Draw it."""
        with self.seat.main:
            text("p", "给机器人没答好的话标上意思。标好的先导出成建议，由人看过才进训练数据。", "soft")
            with box("filters").style("max-width:26rem;margin:.75rem 0"):
                self.state = select("状态", STATES, "open").on_value_change(self._first)
                self.source = select("来源", SOURCES).props("clearable").on_value_change(self._first)
            self.counts = text("p", "", "soft")
            self.list = box()
            with box("btns"):
                button("更早的", self._more, key="]")
        await self._load()

    async def _first(self) -> None:
        self.after = None
        await self._load()

    async def _more(self) -> None:
        await self._load(more=True)

    async def _load(self, *, more: bool = False) -> None:
        state, source, after = self.state.value, self.source.value, self.after if more else None

        def work(session: Session, now: datetime) -> tuple[list[dict[str, Any]], int]:
            rows = missed.list_reviews(session, state=state, source=source, after=after, limit=PAGE)
            waiting = (
                session.scalar(query(func.count()).select_from(Review).where(Review.state == "open")) or 0
            )
            return missed.as_json(session, rows), waiting

        with polite():
            found, waiting = await self.seat.read(work)
            self.after = found[-1]["id"] if found else self.after
            self.counts.set_text(f"待复核 {waiting} 条")
            self.list.clear()
            with self.list:
                if not found:
                    text("p", "没有了。", "empty")
                for one in found:
                    self._row(one)

    def _row(self, one: dict[str, Any]) -> None:
        reading = one["reading"]
        with box("panel row-slot") as row:
            row._props["data-row-group"] = "1"
            row._props["tabindex"] = "0"
            row._props["data-row"] = "1"
            show(
                "review",
                r=one,
                u=understood(reading),
                source=SOURCES.get(one["source"], one["source"]),
                now=self.seat.desk.now(),
            )
            if one["state"] == "exported":
                text("p", f"标为：{one['act']}，已导出。", "soft")
                return
            with box("filters wide"):
                acts = {a["act"]: a["label"] for a in self.choices["acts"]}
                guess = one["act"] or (reading.get("intent") if reading.get("intent") in acts else None)
                act = select("意思", acts, guess)
                numbers = {m["measure"]: f"第{m['measure']}条 {m['label']}" for m in self.choices["measures"]}
                measures = select("措施", numbers, one["measures"] or [], many=True).props("use-chips")
                facet = select("问的是", {}, None).props("clearable")
            with box("btns"):
                specified = ui.checkbox("通知里写了", value=one["specified"])
                ambiguous = ui.checkbox("说的不止一条", value=one["ambiguous"])
            words = field("改写（去掉个人信息，可不改）", one["text"], long=True)
            names = {f["facet"]: f["label"] for f in self.choices["facets"]}
            by_act = {a["act"]: a["facets"] for a in self.choices["acts"]}

            def facets(value: str | None = one["facet"]) -> None:
                options = {name: names.get(name, name) for name in by_act.get(act.value or "", [])}
                facet.set_options(options, value=value if value in options else None)
                facet.set_visibility(bool(options))
                for shown in (measures, specified, ambiguous):
                    shown.set_visibility(act.value == "policy")

            act.on_value_change(lambda: facets(facet.value))
            facets()

            async def save() -> None:
                policy = act.value == "policy"
                with polite():
                    await self.seat.write(
                        Permission.REVIEW,
                        lambda s, now, staff: missed.label(
                            s, one["id"], staff, act=act.value or "", measures=measures.value if policy else (),
                            facet=None if policy and ambiguous.value else facet.value,
                            specified=specified.value, ambiguous=policy and ambiguous.value,
                            text=words.value if words.value != one["text"] else None, now=now,
                        ),
                    )  # fmt: skip
                    say("已标注。")
                    row.delete()

            with box("btns"):
                button("保存标注", save, key="s", kind="primary")
                button("不采用", self._dismiss(one["id"], row), key="x")

    def _dismiss(self, review_id: int, row: ui.element) -> Callable[[], Any]:
        async def dismiss() -> None:
            with polite():
                await self.seat.write(
                    Permission.REVIEW, lambda s, now, staff: missed.dismiss(s, review_id, staff, now=now)
                )
                say("已记为不采用。")
                row.delete()

        return dismiss
