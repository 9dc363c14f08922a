"""座席助手: the copilot beside a conversation or a call. It suggests; the agent accepts, edits or drops.

Nothing is sent or filed by it. What became of a suggestion is recorded: accepted when it was used as it stood, edited
when the agent changed it, dropped when the agent put it away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from nicegui import ui

from bot.channels.metrics import COPILOT_OUTCOMES
from bot.desk import copilot, copilot_api
from bot.desk.pages.elements import box, button, field, section, shortcut, text
from bot.desk.pages.seat import Seat, polite
from bot.desk.pages.words import show
from bot.errors import HotlineError, Problem
from bot.staff.permissions import Permission

EARLIER = 5  # citizen's messages that can be asked about together
PAUSE = 0.35  # seconds without a key before the copilot is asked


class CopilotPanel:
    """The panel. `insert` takes a sentence to say and whether it is to be edited first; `filled` takes a suggested case
    and the words it was found in (电话登记)."""

    def __init__(
        self,
        seat: Seat,
        conversation_id: str | None,
        *,
        insert: Callable[[str, bool], None],
        filled: Callable[[dict[str, Any], str], None] | None = None,
        label: str = "市民说了什么（边听边打，或者粘贴）",
    ) -> None:
        self.seat, self.conversation_id = seat, conversation_id
        self.insert, self.filled = insert, filled
        self._asked = 0
        self._own_words = False  # the agent typed here: the citizen's next message must not overwrite it
        self._line = ""
        self._said: list[str] = []
        self._used: dict[str, dict[str, Any]] = {}  # inserted sentence -> what was suggested
        with section("座席助手", "copilot"):
            self.words = field(label, long=True)
            self.words.on("keydown", self._typed_here, [], throttle=1.0)
            self.words.on_value_change(self._changed)
            shortcut(self.words, "F4", "到座席助手的输入框")
            self.earlier = button("带上前面的话", self._take_earlier, key="F6")
            self.earlier.set_visibility(False)
            self.result = box("copilot-result")
            self.result._props["aria-live"] = "polite"
            with self.result:
                text("p", "这里会给出可以说的话、对应的措施和要问的问题。", "empty")

    def heard(self, words: str) -> None:
        """The citizen's newest words; asked about unless the agent is typing their own."""
        self._said = [*self._said, words][-EARLIER:]
        self.earlier.set_visibility(len(self._said) > 1)
        if self._own_words or words == self.words.value:
            return
        if ui.context.client.has_socket_connection:
            self.words.set_value(words)
        else:
            # A value set while the page is being built makes NiceGUI send the page before it is complete.
            ui.timer(0.05, lambda: self.words.set_value(self._said[-1]), once=True)

    def _take_earlier(self) -> None:
        """What was said before belongs to the same matter: ask about all of it."""
        self.words.set_value("\n".join(self._said)[-copilot.MAX_CHARACTERS :])

    def _typed_here(self) -> None:
        self._own_words = True

    async def _changed(self) -> None:
        self._asked += 1
        mine = self._asked
        words = (self.words.value or "").strip()
        if not words:
            self._own_words = False
            self.result.clear()
            return
        await asyncio.sleep(PAUSE)
        if mine != self._asked:
            return
        desk = self.seat.desk
        try:
            found = await copilot.suggest(
                desk.engine,
                desk.readers,
                words[: copilot.MAX_CHARACTERS],
                self.conversation_id,
                now=desk.now(),
            )
        except HotlineError as error:
            if error.problem is not Problem.EMPTY:
                with self.result:
                    text("p", error.problem.message, "warn-text")
            return
        # An older answer must not replace a newer one.
        if mine == self._asked:
            self._draw(found, words)

    def _draw(self, r: dict[str, Any], words: str) -> None:
        self.result.clear()
        self._line = r["say"]["text"]
        with self.result:
            show("copilot", r=r)
            if self._line:
                self._sentence(r["say"])
            if r["notice"]:
                with box("suggest-row"):
                    text("p", r["notice"]["say"])
                    button("采用", lambda: self._use("notice", r["notice"], r["notice"]["say"]))
            if r["questions"]:
                text("h3", "可以问")
                for question in r["questions"]:
                    self._row("question", question, question["text"], question["reason"])
            if r["measures"]:
                text("h3", "对应的措施")
                for measure in r["measures"]:
                    with box("suggest-row"):
                        show("copilot_measure", m=measure)
                        if not measure["withdrawn"]:
                            kept = {k: measure[k] for k in ("measure", "facet", "score", "say")}
                            button("采用", lambda kept=kept: self._use("measure", kept, kept["say"]))  # type: ignore[misc]
            if r["case"]:
                text("h3", "可以登记的工单")
                show("copilot_case", c=r["case"])
                if self.filled is not None:
                    filled = self.filled
                    button("填入登记表", lambda: filled(r["case"], words), key="F7", kind="primary")
                elif self.seat.may(Permission.EDIT_CASE):
                    button(
                        "放到登记表",
                        lambda: ui.navigate.to(f"/phone?conversation={self.conversation_id or ''}"),
                        key="f",
                    )
            show("copilot_rest", r=r)

    def _sentence(self, line: dict[str, Any]) -> None:
        text("h3", "可以这样说")
        with box("sentence"):
            text("p", line["text"])
            text("p", f"{line['reason']} · {line['source']}", "why")
        with box("btns"):
            button(
                "采用",
                lambda: self._use("say", line, line["text"]),
                key="F2",
                kind="primary",
                name="采用助手的话",
            )
            button(
                "改一改",
                lambda: self._use("say", line, line["text"], edit=True),
                key="F8",
                name="放进答复框再改",
            )
            button("不用", lambda: self._drop("say", line), key="F9", kind="quiet", name="不用助手的话")

    def _row(self, kind: str, suggestion: dict[str, Any], words: str, reason: str) -> None:
        with box("suggest-row"):
            with box():
                text("p", words)
                text("p", reason, "why")
            button("采用", lambda: self._use(kind, suggestion, words))

    def _use(self, kind: str, suggestion: dict[str, Any], words: str, *, edit: bool = False) -> None:
        self._used[words] = {"kind": kind, "suggestion": suggestion}
        self.insert(words, edit)

    async def _drop(self, kind: str, suggestion: dict[str, Any]) -> None:
        await self.record(kind, "dropped", suggestion)
        self.result.clear()

    async def sent(self, words: str) -> None:
        """What was sent: says which inserted sentences went out as they stood. The next message is suggested anew."""
        for line, used in self._used.items():
            await self.record(used["kind"], "accepted" if line in words else "edited", used["suggestion"])
        self._used = {}
        self._own_words = False

    async def record(self, kind: str, outcome: str, suggestion: dict[str, Any]) -> None:
        """Note what became of a suggestion."""
        body = copilot_api.OutcomeRequest(
            kind=kind,
            outcome=outcome,
            suggestion=suggestion,
            conversation_id=self.conversation_id,  # type: ignore[arg-type]
        )
        with polite():
            await self.seat.write(
                Permission.ANSWER, lambda s, now, staff: copilot_api.record(s, staff, body, now=now)
            )
            COPILOT_OUTCOMES.labels(kind, outcome).inc()
