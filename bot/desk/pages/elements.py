"""Building blocks of the pages: plain HTML elements with keyboard shortcuts, dialogs that ask, lists that keep focus.

`key` names a shortcut: `desk.js` presses the element when the key is pressed outside a text field. Function keys work
everywhere. The help (?) lists what the page offers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Generic, TypeVar

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

Handler = Callable[[], Any]
Item = TypeVar("Item")
KEY_NAMES = {"Enter": "回车", "Escape": "Esc"}


class Text(TextElement):
    """An element with nothing but text."""

    def __init__(self, tag: str, text: str) -> None:
        super().__init__(tag=tag, text=text)


def text(tag: str, content: str, classes: str = "") -> Text:
    """`<tag class=…>content</tag>`."""
    return Text(tag, content).classes(classes)


def box(classes: str = "", tag: str = "div", **attributes: str) -> ui.element:
    """A container; `label` becomes `aria-label`."""
    element = ui.element(tag).classes(classes)
    for name, value in attributes.items():
        element._props["aria-label" if name == "label" else name.replace("_", "-")] = value
    return element


def section(title: str, classes: str = "") -> ui.element:
    """A titled part of the page."""
    element = box(f"panel {classes}", "section", label=title)
    with element:
        text("h2", title)
    return element


def shortcut(element: ui.element, key: str, name: str) -> None:
    """Let a key press the element."""
    element._props["data-key"] = key
    element._props["data-keyname"] = name
    element._props["aria-keyshortcuts"] = key if len(key) > 1 else key.upper()


def button(
    label: str, on_click: Handler, *, key: str = "", kind: str = "", name: str = "", classes: str = ""
) -> ui.element:
    """A button. `kind`: `primary`, `danger`, `quiet` or nothing; `name` is the spoken name when the label is short."""
    element = ui.element("button").classes(f"btn {kind} {classes}")
    element._props["type"] = "button"
    if name:
        # Whoever speaks to the computer says what they read (WCAG 2.5.3).
        element._props["aria-label"] = name if label in name else f"{label}：{name}"
    with element:
        text("span", label)
        if key:
            text("kbd", KEY_NAMES.get(key, key.upper() if len(key) == 1 else key)).props("aria-hidden=true")
    if key:
        shortcut(element, key, name or label)
    return element.on("click.stop", on_click, [])


def link(label: str, to: str, *, key: str = "", classes: str = "") -> ui.element:
    """A link inside the desk."""
    element = ui.element("a").classes(classes)
    element._props["href"] = to
    with element:
        text("span", label)
    if key:
        shortcut(element, key, label)
    return element


def field(label: str, value: str = "", *, long: bool = False, hint: str = "") -> Any:
    """A text field with its label."""
    element = (ui.textarea if long else ui.input)(label=label, value=value).props(
        "outlined dense stack-label"
    )
    if long:
        element.props("autogrow")
    if hint:
        element.props(f'hint="{hint}"')
    return element.classes("field")


def select(label: str, options: Any, value: Any = None, *, many: bool = False) -> ui.select:
    """A choice from a list."""
    element = ui.select(options, label=label, value=value, multiple=many)
    return element.props("outlined dense stack-label options-dense").classes("field")


def focus(element: ui.element, chosen: tuple[int, int] | None = None) -> None:
    """Put the cursor into a field, once the browser has drawn what came with it; `chosen` marks characters."""
    mark = f"field.setSelectionRange({chosen[0]}, {chosen[1]});" if chosen else ""
    # Quasar hands id and attributes on to the inner field.
    act = (
        f"const field = document.getElementById('{element.html_id}'); if (field) {{ field.focus(); {mark} }}"
    )
    ui.run_javascript(f"setTimeout(() => {{ {act} }}, 60)")


class Ask:
    """A dialog that asks for something: fill it inside `with ask:`. Its main button calls `done`, which says whether the
    dialog may close. `once`: it is thrown away when it closes."""

    def __init__(
        self,
        title: str,
        action: str,
        done: Callable[[], Awaitable[bool]],
        *,
        kind: str = "primary",
        once: bool = False,
    ) -> None:
        self._dialog = ui.dialog().props(f'aria-label="{title}"')
        self._done = done
        with self._dialog, ui.element("form").classes("ask") as form:
            text("h2", title)
            self._body = box("ask-body")
            with box("ask-buttons"):
                button("取消", self.close, kind="quiet")
                with ui.element("button").classes(f"btn {kind}").props("type=submit"):
                    text("span", action)
            form.on("submit.prevent", self._submit, [])
        if once:
            self._dialog.on("hide", self._dialog.delete)

    async def _submit(self) -> None:
        if await self._done():
            self._dialog.close()

    def __enter__(self) -> Ask:
        self._body.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._body.__exit__(*error)

    def open(self) -> None:
        """Show it."""
        self._dialog.open()

    def close(self) -> None:
        """Hide it."""
        self._dialog.close()


class Rows(Generic[Item]):
    """A list that follows its data without being drawn anew: rows that stay keep the focus.

    `build` makes a row in the current slot and returns the function that shows another state of the item.
    """

    def __init__(
        self, container: ui.element, build: Callable[[Item], Callable[[Item], Any]], empty: str
    ) -> None:
        with container:
            self._empty = text("p", empty, "empty")
            self._container = box("list", role="list")
        self._build = build
        self._rows: dict[str, tuple[ui.element, Callable[[Item], Any], Item]] = {}

    def show(self, items: Iterable[tuple[str, Item]]) -> None:
        """Show these items, by key, in this order."""
        wanted = dict(items)
        for key in [key for key in self._rows if key not in wanted]:
            self._rows.pop(key)[0].delete()
        for index, (key, item) in enumerate(wanted.items()):
            if key in self._rows:
                row, change, shown = self._rows[key]
                if shown != item:
                    change(item)
                    self._rows[key] = (row, change, item)
            else:
                with self._container:
                    row = box("row-slot", role="listitem")
                    with row:
                        change = self._build(item)
                self._rows[key] = (row, change, item)
            if self._container.default_slot.children.index(row) != index:
                row.move(self._container, index)
        self._empty.set_visibility(not wanted)
        self._container.set_visibility(bool(wanted))
