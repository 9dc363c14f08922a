"""工单: one case, all of it, and what may be done to it now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import Request
from nicegui import ui
from sqlalchemy.orm import Session

from bot.cases import workflow
from bot.cases.fields import label, optional
from bot.desk.pages import conversation_acts
from bot.desk.pages.case_acts import ACTS, Act, Doing, Entry
from bot.desk.pages.case_view import read_case
from bot.desk.pages.elements import Ask, box, button, field, section, select, text
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import render, show
from bot.errors import HotlineError, Problem
from bot.staff.models import Staff
from bot.staff.permissions import Permission

POLL = 5.0  # seconds: a colleague or a department may change it
PARTS = ("case_head", "case_fields", "case_clocks", "case_dispatches", "case_follow_ups", "case_history")
TYPES = {"T": "complaint", "J": "report", "S": "request", "Y": "suggestion"}


@ui.page("/cases/{number}", response_timeout=20)
async def case(request: Request, number: str) -> None:
    """One case."""
    seat = await enter(request, "工单", Permission.SEE_CASES)
    if seat is None:
        return
    try:
        colleagues = await conversation_acts.colleagues(seat)
        view = await seat.read(lambda s, now: read_case(s, number, now, unmasked=False))
    except HotlineError as error:
        ui.context.client.status_code = error.problem.status
        with seat.main:
            text("p", error.message, "empty")
        return
    CasePage(seat, view["number"], {seat.staff.id: seat.staff.name} | colleagues).build(view)


class CasePage:
    """The page's parts."""

    def __init__(self, seat: Seat, number: str, colleagues: dict[str, str]) -> None:
        self.seat, self.number, self.colleagues = seat, number, colleagues
        self.parts: dict[str, ui.html] = {}
        self.shown: dict[str, Any] = {}
        self.unmasked = False
        self.view: dict[str, Any] = {}

    def build(self, view: dict[str, Any]) -> None:
        """Draw it and keep it fresh."""
        with self.seat.main:
            with box("panel"):
                self._part("case_head")
            self.acts = box("btns no-print").style("margin-bottom:1rem")
            with box("columns wide-left"):
                with box("stack"):
                    with section("内容"):
                        self._part("case_fields")
                        self.field_acts = box("btns no-print").style("margin-top:.5rem")
                    with section("时限"):
                        self._part("case_clocks")
                    with section("经过"):
                        self._part("case_history")
                with box("stack"):
                    with section("派单"):
                        self._part("case_dispatches")
                    with section("回访"):
                        self._part("case_follow_ups")
                    with section("附件"):
                        self.files = box()
                    with section("内部备注"):
                        self.notes = show("notes", notes=[])
            self.dialogs = box()
        self._dialogs()
        self._show(view)
        ui.timer(POLL, self._refresh)

    def _part(self, name: str) -> None:
        self.parts[name] = ui.html("", sanitize=False)

    def _show(self, view: dict[str, Any]) -> None:
        view["colleagues"] = {"": "（不指定）"} | self.colleagues
        self.view = view
        now = self.seat.desk.now()
        for name, html in self.parts.items():
            self._once(name, render(name, v=view, now=now), html.set_content)
        self._once("notes", render("notes", notes=view["notes"], now=now), self.notes.set_content)
        self._once(
            "acts", (view["actions"], view["supervised"], view["urgent"], view["dispatches"]), self._buttons
        )
        self._once("files", view["files"], self._files)

    def _once(self, name: str, state: Any, draw: Any) -> None:
        """Draw a part when it is another one: what stays keeps focus and selection."""
        if self.shown.get(name) != state:
            self.shown[name] = state
            draw(state)

    def _possible(self) -> list[Act]:
        return [
            act
            for act in ACTS
            if act.name in (*self.view["actions"], "note")
            and self.seat.may(act.permission)
            and act.shown(self.view)
        ]

    def _buttons(self, _: Any) -> None:
        self.acts.clear()
        with self.acts:
            possible = self._possible()
            for act in (one for one in possible if one.group == "main"):
                button(act.label, lambda act=act: self._ask(act), key=act.key, kind=act.kind)  # type: ignore[misc]
            more = button("更多", lambda: self._toggle(more))
            more._props["aria-expanded"] = "false"
            button("打印", lambda: ui.run_javascript("window.print()"), key="p")
            pdf = ui.element("a").classes("btn")
            pdf._props["href"] = f"/api/v1/cases/{self.number}.pdf"
            with pdf:
                text("span", "PDF（已遮盖）")
            self.folded = box("btns more-acts")
            with self.folded:
                for act in (one for one in possible if one.group == "more"):
                    button(act.label, lambda act=act: self._ask(act), key=act.key, kind=act.kind)  # type: ignore[misc]

    def _toggle(self, more: ui.element) -> None:
        self.folded.classes(toggle="open")
        more._props["aria-expanded"] = str("open" in self.folded.classes).lower()
        more.update()

    def _files(self, files: Any) -> None:
        self.files.clear()
        with self.files:
            if not files:
                text("p", "没有附件。", "empty")
            for one in files:
                with box("suggest-row"):
                    text("p", f"{one['name']}（{one['size']}）")
                    if self.seat.may(Permission.SEE_PERSONAL_DATA):
                        button("打开", lambda one=one: self._ask_file(one["id"]))  # type: ignore[misc]

    def _dialogs(self) -> None:
        with self.dialogs:
            with Ask("显示完整信息", "显示", self._unmask) as self.ask_unmask:
                text("p", "姓名、电话和地址将完整显示。谁在什么时候、因为什么看过，会留下记录。")
                self.unmask_reason = field("原因（必填）")
            with Ask("打开附件", "打开", self._open_file) as self.ask_file:
                text("p", "附件里可能有个人信息，查看会留下记录。")
                self.file_reason = field("原因（必填）")
        with self.field_acts:
            if self.seat.may(Permission.SEE_PERSONAL_DATA):
                self.look = button("看完整信息", self.ask_unmask.open, key="m")
                self.hide = button("遮盖", self._mask, key="m")
                self.hide.set_visibility(False)
            if self.seat.may(Permission.EDIT_CASE):
                button("更正内容", self._ask_correction, key="e")

    # -- acting ---------------------------------------------------------------------------------

    def _ask(self, act: Act) -> None:
        inputs: dict[str, Any] = {}

        async def done() -> bool:
            values = {name: entry.value for name, entry in inputs.items()}
            return await self._do(act.permission, lambda do: act.run(do, values), act.label)

        with self.dialogs, Ask(act.label, act.label, done, kind=act.kind or "primary", once=True) as ask:
            if act.label == "回访":
                text("p", "先报身份、说明来意；问清问题是否解决、是否满意。")
            if not act.asks:
                text("p", f"确定{act.label}？")
            for entry in act.asks:
                inputs[entry.name] = self._input(entry)
        ask.open()

    def _input(self, entry: Entry) -> Any:
        options = entry.options(self.view) if entry.options else []
        value = entry.value(self.view) if entry.value else None
        if entry.kind == "choice":
            return select(entry.label, options, value if value in options else None)
        if entry.kind == "choices":
            return select(entry.label, options, [], many=True).props("use-chips")
        if entry.kind == "free":
            made = select(entry.label, options, value)
            return made.props("use-input input-debounce=0 new-value-mode=add-unique hide-selected fill-input")
        made = field(entry.label, value or "", long=entry.kind == "long")
        return made.props("type=date") if entry.kind == "date" else made

    async def _do(self, permission: Permission, work: Any, label: str) -> bool:
        def go(session: Session, now: datetime, staff: Staff) -> None:
            work(Doing(session, self.number, self.seat.actor, staff, now))

        with polite():
            await self.seat.write(permission, go)
            say(f"{label}：已完成。")
            await self._refresh()
            return True
        return False

    def _ask_correction(self) -> None:
        kind = TYPES[self.view["type"]]
        values = {one["field"]: one["value"] for one in self.view["fields"]}
        contact = ("name", "phone", "address")
        inputs: dict[str, Any] = {}

        async def done() -> bool:
            # A masked value that was not touched is no correction.
            changed = {
                name: entry.value or ""
                for name, entry in inputs.items()
                if (entry.value or "")
                != (values.get(name, "") if self.unmasked or name not in contact else "")
            }
            return await self._do(
                Permission.EDIT_CASE,
                lambda do: workflow.do_correct(
                    do.session, do.number, changed, reason=reason.value or "", **do.more
                ),
                "更正",
            )

        with self.dialogs, Ask("更正内容", "保存", done, once=True) as ask:
            if not self.unmasked:
                text(
                    "p",
                    "姓名、电话、地址留空表示不改；内容里的号码已遮盖，先“看完整信息”再改。",
                    "soft small",
                )
            for name in workflow.fields_for(self.view["case"]):
                shown = values.get(name, "") if self.unmasked or name not in contact else ""
                mark = "" if optional(kind, name) else " *"
                entry = field(
                    f"{label(name, kind)}{mark}", shown, long=name in ("facts", "request", "evidence")
                )
                masked = "*" in shown and not self.unmasked
                inputs[name] = entry.props("readonly") if masked else entry
            reason = field("更正的原因（必填）")
        ask.open()

    async def _unmask(self) -> bool:
        reason = (self.unmask_reason.value or "").strip()
        with polite():
            if len(reason) < 2:
                raise HotlineError(Problem.REASON_NEEDED)
            await self.seat.write(
                Permission.SEE_PERSONAL_DATA,
                lambda s, now, staff: self.seat.record(
                    s, "case.unmask", f"case:{self.number}", now, reason=reason[:200]
                ),
            )
            await self._redraw(True)
            return True
        return False

    async def _mask(self) -> None:
        await self._redraw(False)

    async def _redraw(self, unmasked: bool) -> None:
        self.unmasked = unmasked
        self.look.set_visibility(not unmasked)
        self.hide.set_visibility(unmasked)
        await self._refresh()

    def _ask_file(self, file_id: str) -> None:
        self.file_id = file_id
        self.ask_file.open()

    async def _open_file(self) -> bool:
        reason = (self.file_reason.value or "").strip()
        with polite():
            if len(reason) < 2:
                raise HotlineError(Problem.REASON_NEEDED)
            # The call itself checks and audits.
            query = urlencode({"unmask": reason})
            ui.navigate.to(f"/api/v1/cases/{self.number}/attachments/{self.file_id}?{query}", new_tab=True)
            return True
        return False

    async def _refresh(self) -> None:
        with polite():
            unmasked = self.unmasked
            view = await self.seat.read(lambda s, now: read_case(s, self.number, now, unmasked=unmasked))
            if unmasked == self.unmasked:
                self._show(view)
