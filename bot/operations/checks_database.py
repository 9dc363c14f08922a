"""What the doctor reads in the database: schema, clock, promises, people, the audit chain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from bot import audit
from bot.cases.calendar import local_date
from bot.cases.models import Case, CaseClock
from bot.conversations import log
from bot.conversations.models import CallBack, Conversation, HandOver, Message
from bot.conversations.switches import snapshot
from bot.operations.finding import BROKEN, LOOK, Finding, Findings, broken, look, minutes, well
from bot.outbox.models import Delivery
from bot.staff import roster
from bot.staff.models import Role, Staff
from bot.storage import MIGRATIONS

ROSTER_DAYS = 7
SKEW, BAD_SKEW = timedelta(seconds=2), timedelta(seconds=30)


def revision(session: Session, now: datetime) -> Findings:
    """The schema is the program's."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    newest = ScriptDirectory.from_config(config).get_current_head()
    here = session.scalar(text("SELECT version_num FROM alembic_version"))
    if here == newest:
        yield well("数据库", f"结构是最新的（{here}）。")
    else:
        yield broken(
            "数据库", f"结构是 {here}，程序需要 {newest}。", "读写会出错，来信存不下。",
            "备份后运行 hotline db upgrade，再重启服务。",
        )  # fmt: skip


def clock(session: Session, now: datetime) -> Findings:
    """This machine's clock against the database's, or against what is stored."""
    if session.get_bind().dialect.name == "postgresql":
        there = session.scalar(text("SELECT clock_timestamp()"))
        apart = abs(datetime.now(timezone.utc) - there) if there else timedelta(0)
        compared = "数据库服务器"
    else:
        newest = session.scalar(select(func.max(Conversation.updated_at)))
        apart = max(timedelta(0), newest - now) if newest else timedelta(0)
        compared = "库里最新的记录"
    if apart <= SKEW:
        yield well("时钟", f"和{compared}一致。")
    else:
        yield Finding(
            BROKEN if apart > BAD_SKEW else LOOK, "时钟",
            f"和{compared}相差 {apart.total_seconds():.0f} 秒。",
            "排队时间、法定时限和动态验证码都会算错。", "打开时间同步（timedatectl set-ntp true）。",
        )  # fmt: skip


def unanswered(session: Session, now: datetime) -> Findings:
    """Citizens' messages without an answer (promises 1 and 3)."""
    oldest = session.scalar(select(func.min(Message.created_at)).where(log.WAITS))
    age = minutes(oldest, now)
    if age >= 2:
        yield broken(
            "会话", f"有群众来信 {age} 分钟没有得到答复。", "群众以为没有人管。",
            "看网关和引擎日志；网关重启后会接着回答。",
        )  # fmt: skip
    else:
        yield well("会话", "没有积压未答的消息。")


def waiting(session: Session, now: datetime) -> Findings:
    """Citizens who wait for a person, and promised call-backs (promise 9)."""
    oldest, count = session.execute(
        select(func.min(HandOver.created_at), func.count()).where(HandOver.state == "waiting")
    ).one()
    if count:
        age = minutes(oldest, now)
        yield Finding(
            LOOK if age < 10 else BROKEN, "转人工", f"{count} 人在等值班员，最久 {age} 分钟。",
            "群众在等真人。", "请值班员在值班台接入；没有人在岗时联系带班领导。",
        )  # fmt: skip
    overdue = session.scalar(
        select(func.count()).select_from(CallBack).where(CallBack.state == "open", CallBack.due_at < now)
    )
    if overdue:
        yield broken(
            "回电",
            f"{overdue} 个答应的回电已经超时。",
            "告诉过群众时间，没有做到。",
            "现在就回电，并说明原因。",
        )


def clocks(session: Session, now: datetime) -> Findings:
    """Statutory clocks of open cases."""
    missed = session.scalar(
        select(func.count())
        .select_from(CaseClock)
        .join(Case, Case.number == CaseClock.case_number)
        .where(CaseClock.met_on.is_(None), Case.closed_at.is_(None), CaseClock.due_on < local_date(now))
    )
    if missed:
        yield broken(
            "时限",
            f"{missed} 个法定时限已经超期。",
            "违反规定的办理期限。",
            "在值班台工单列表里按“超期”处理。",
        )


def outbox(session: Session, now: datetime) -> Findings:
    """What must leave and does not."""
    dead = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "dead"))
    if dead:
        yield broken(
            "发件箱", f"{dead} 条发不出去。", "对方没有收到，系统不会自己再发。", "在值班台“死信”里处理。"
        )
    oldest = session.scalar(
        select(func.min(Delivery.next_at)).where(Delivery.state == "pending", Delivery.next_at < now)
    )
    age = minutes(oldest, now)
    if age >= 5:
        yield look(
            "发件箱", f"最久一条已等 {age} 分钟。", "短信、微信或派单送达晚了。",
            "看网关日志 delivery_failed；核对短信网关和部门地址。",
        )  # fmt: skip
    else:
        yield well("发件箱", "没有积压。")


def people(session: Session, now: datetime) -> Findings:
    """Accounts and the roster of the coming days."""
    active = [s for s in session.scalars(select(Staff)) if s.active]
    if not active:
        yield broken(
            "账号",
            "没有一个可以登录的账号。",
            "没有人能打开值班台。",
            "运行 hotline staff add 用户名 --role admin。",
        )
    elif not any(s.role == Role.ADMIN.value for s in active):
        yield broken(
            "账号",
            "没有管理员账号。",
            "没有人能管理账号和值班表。",
            "运行 hotline staff add 用户名 --role admin。",
        )
    elif first := [s.username for s in active if s.must_change_password]:
        yield look(
            "账号",
            f"{len(first)} 个账号还在用首次密码。",
            "首次密码经过别人的手。",
            "请本人登录一次并改密码。",
        )
    else:
        yield well("账号", f"{len(active)} 个账号可以登录。")
    if all(staff is None for staff in roster.on_duty(session, now).values()):
        yield broken(
            "值班表", "现在这一班没有排任何人。", "群众转人工时没有人会被叫到，24小时值班没有做到。",
            "在值班台“值班表”里排上主班、副班和带班领导。",
        )  # fmt: skip
    holes = roster.gaps(session, local_date(now), ROSTER_DAYS)
    if holes:
        first_hole = holes[0]
        yield look(
            "值班表",
            f"今后{ROSTER_DAYS}天有 {len(holes)} 个岗位没有排人，"
            f"最早是 {first_hole.day} {first_hole.period}班{first_hole.post}。",
            "没有人的岗位叫不到人。", "在值班台“值班表”里补上。",
        )  # fmt: skip
    else:
        yield well("值班表", f"今后{ROSTER_DAYS}天都排了人。")


def chain(session: Session, now: datetime) -> Findings:
    """The audit log was not touched."""
    if found := audit.verify(session):
        yield broken(
            "审计", f"审计链断了：{found}", "有人绕过程序改过审计日志，或数据库坏了。",
            "保留现场，不要清理；和最近一次备份对照（docs/deployment.md）。",
        )  # fmt: skip
    else:
        yield well("审计", f"审计链完整，共到第 {audit.head(session)[0]} 条。")


def switches(session: Session, now: datetime) -> Findings:
    """Emergency switches that are on."""
    on = snapshot(session)
    why, do = "这是值班人员打开的，用完常常忘了关。", "不再需要时在值班台“应急开关”里关上。"
    if on.bot_off:
        yield look("开关", "机器人已停用，所有来访都在排队等人工。", why, do)
    if on.people_first:
        yield look("开关", "人工优先模式开着。", why, do)
    if on.withdrawn:
        yield look("开关", f"已撤下第 {'、'.join(map(str, sorted(on.withdrawn)))} 条的解答。", why, do)


Check = Callable[[Session, datetime], Findings]
CHECKS: tuple[Check, ...] = (
    revision, clock, unanswered, waiting, clocks, outbox, people, chain, switches,
)  # fmt: skip
SEALED: tuple[Check, ...] = (people, chain, switches)
"""Those that need the data key."""
