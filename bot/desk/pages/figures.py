"""统计: the figures of a period as numbers, plots and tables. The plots are drawn by the library NiceGUI ships."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from fastapi import Request
from nicegui import ui

from bot.cases.calendar import local_date
from bot.desk import figures as counted
from bot.desk.copilot_words import act_label
from bot.desk.pages.elements import box, button, field, section, select
from bot.desk.pages.frame import enter
from bot.desk.pages.seat import Seat, polite, say
from bot.desk.pages.words import channel, render
from bot.policy import load
from bot.staff.permissions import Permission

PERIODS = {1: "今天", 7: "近7天", 30: "近30天", 90: "近90天"}
INK, SOFT, LINE, ACCENT = "#16202b", "#52606e", "#d3dae2", "#0b5cab"
KINDS = {
    "policy": "政策咨询", "notice": "通知本身", "complaint": "投诉诉求", "report": "举报", "suggestion": "意见建议", "status": "查进度",
    "handoff": "转人工", "emergency": "险情", "chitchat": "寒暄", "clarify": "反问", "fallback": "没有答上", "intake": "登记中",
    "receipt": "回执",
}  # fmt: skip
OUTCOMES = {"accepted": "采用", "edited": "改后用", "dropped": "不用"}
SUGGESTIONS = {"say": "答复", "question": "问题", "measure": "措施", "notice": "通知", "case": "登记表"}


def percent(share: float | None) -> str:
    """84%, a dash for nothing."""
    return "—" if share is None else f"{share:.0%}"


def seconds(value: float | None) -> str:
    """1分20秒, a dash for nothing."""
    if value is None:
        return "—"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes}分{rest:02d}秒" if minutes else f"{rest}秒"


@ui.page("/figures", response_timeout=20)
async def figures(request: Request) -> None:
    """The page."""
    seat = await enter(request, "统计", Permission.FIGURES)
    if seat is not None:
        await FiguresPage(seat).build()


class FiguresPage:
    """Numbers, six plots, three tables."""

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.plots: dict[str, Any] = {}

    async def build(self) -> None:
        """Draw it."""
        today = local_date(self.seat.desk.now())
        with self.seat.main:
            with box("filters").style("max-width:40rem;margin-bottom:.75rem"):
                self.period = select("时段", PERIODS, 7).on_value_change(self._chosen)
                self.first = field("从", (today - timedelta(days=6)).isoformat()).props("type=date")
                self.last = field("到", today.isoformat()).props("type=date")
                button("看这段", self._load, kind="primary")
            self.tiles = ui.html("", sanitize=False)
            with box("plots"):
                for name, title in (
                    ("hour", "来话时段"), ("day", "每天来话"), ("kind", "来话内容"), ("measure", "问到的措施"),
                    ("type", "工单类型"), ("score", "满意度打分"),
                ):  # fmt: skip
                    with section(title):
                        self.plots[name] = ui.echart({}).classes("plot")
                        self.plots[name]._props["role"] = "img"
            with box("columns"):
                with section("没答好最多的"):
                    self.misses = ui.html("", sanitize=False)
                with section("时限"):
                    self.clocks = ui.html("", sanitize=False)
                    with box().style("margin-top:1rem"):
                        self.copilot = ui.html("", sanitize=False)
        await self._load()

    async def _chosen(self) -> None:
        today = local_date(self.seat.desk.now())
        self.first.set_value((today - timedelta(days=int(self.period.value) - 1)).isoformat())
        self.last.set_value(today.isoformat())
        await self._load()

    async def _load(self) -> None:
        try:
            start, end = counted.day_bounds(
                date.fromisoformat(self.first.value), date.fromisoformat(self.last.value)
            )
        except (ValueError, TypeError):
            say("请选1到366天的时段。", "warning")
            return
        with polite():
            found = await self.seat.read(lambda s, now: counted.figures(s, start, end, now=now))
            self._show(found)

    def _show(self, f: dict[str, Any]) -> None:
        self.tiles.set_content(render("figures", f=f, pct=percent, secs=seconds))
        self.misses.set_content(render("misses", misses=f["misses"]))
        self.clocks.set_content(render("clock_figures", clocks=f["clocks"]))
        used = {
            f"{SUGGESTIONS.get(kind, kind)}": "，".join(f"{OUTCOMES.get(o, o)} {n}" for o, n in some.items())
            for kind, some in f["copilot"].items()
        }
        self.copilot.set_content(render("copilot_figures", used=used))
        volume = f["volume"]
        pack = load()
        measures = {
            f"{n} {pack.measures[n].short}": count
            for n, count in volume["by_measure"].items()
            if n in pack.measures
        }
        self._plot("hour", columns([f"{n}时" for n in range(24)], volume["by_hour"]))
        self._plot(
            "day",
            columns([d[5:].replace("-", "/") for d in volume["by_day"]], list(volume["by_day"].values())),
        )
        self._plot("kind", bars({KINDS.get(k, act_label(k)): n for k, n in volume["by_kind"].items()}))
        self._plot("measure", bars(measures))
        by_type = {f"{name}": count for name, count in f["cases"]["by_type"].items()}
        by_type |= {f"来自{channel(name)}": count for name, count in f["cases"]["by_channel"].items()}
        self._plot("type", bars(by_type))
        self._plot(
            "score", columns([f"{n}分" for n in range(1, 6)], list(f["satisfaction"]["by_score"].values()))
        )

    def _plot(self, name: str, options: dict[str, Any]) -> None:
        plot = self.plots[name]
        plot.options.clear()
        plot.options.update(options)
        values = options["series"][0]["data"]
        plot._props["aria-label"] = (
            "，".join(f"{k} {v}" for k, v in zip(_names(options), values) if v) or "没有数据"
        )
        plot.update()


def _names(options: dict[str, Any]) -> list[str]:
    axis = options["xAxis"] if options["xAxis"]["type"] == "category" else options["yAxis"]
    names: list[str] = axis["data"]
    return names


def _axes(names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    category = {
        "type": "category", "data": names, "axisTick": {"show": False}, "axisLine": {"lineStyle": {"color": LINE}},
        "axisLabel": {"color": SOFT, "fontSize": 12},
    }  # fmt: skip
    value = {
        "type": "value", "minInterval": 1, "axisLabel": {"color": SOFT}, "splitLine": {"lineStyle": {"color": "#eef1f5"}},
    }  # fmt: skip
    return category, value


def columns(names: list[str], values: list[int]) -> dict[str, Any]:
    """A plot of columns over time or a scale."""
    category, value = _axes(names)
    return {
        "animation": False, "grid": {"left": 40, "right": 12, "top": 16, "bottom": 28}, "xAxis": category, "yAxis": value,
        "tooltip": {"trigger": "axis"},
        "series": [{"type": "bar", "data": values, "itemStyle": {"color": ACCENT, "borderRadius": [3, 3, 0, 0]}, "barMaxWidth": 28}],
    }  # fmt: skip


def bars(counts: dict[str, int], most: int = 9) -> dict[str, Any]:
    """A plot of lying bars, the longest on top, each with its number."""
    some = sorted(counts.items(), key=lambda pair: -pair[1])[:most][::-1]
    category, value = _axes([name for name, _ in some])
    return {
        "animation": False, "grid": {"left": 8, "right": 44, "top": 8, "bottom": 8, "containLabel": True},
        "xAxis": value | {"axisLabel": {"show": False}, "splitLine": {"show": False}}, "yAxis": category, "tooltip": {},
        "series": [
            {
                "type": "bar", "data": [n for _, n in some], "barMaxWidth": 18,
                "itemStyle": {"color": ACCENT, "borderRadius": [0, 3, 3, 0]},
                "label": {"show": True, "position": "right", "color": INK},
            }
        ],
    }  # fmt: skip
