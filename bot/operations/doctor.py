"""`hotline doctor`: looks at a deployment and says in plain words what is wrong and what to do.

Each check is a function that returns findings; one that cannot look (the database is down) says so and the others
go on. Levels: 正常, 注意 (works, but somebody should look), 故障 (citizens or staff are affected).
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import httpx
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from bot import audit
from bot.cases.calendar import SHANGHAI, calendar
from bot.cases.models import CaseClock
from bot.conversations.models import CallBack, HandOver, Message
from bot.conversations.switches import snapshot
from bot.crypto import CryptoError, DataKey
from bot.outbox.models import Delivery
from bot.policy import load
from bot.processes import model_path
from bot.settings import Settings
from bot.staff import roster
from bot.storage import MIGRATIONS, StorageError, make_engine, make_sessions

OK, LOOK, BROKEN = "正常", "注意", "故障"
LOCAL = ("127.0.0.1", "localhost", "::1")
FREE_BYTES = 1 << 30
ROSTER_DAYS = 3


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    level: str
    about: str
    says: str


def _minutes(since: datetime | None, now: datetime) -> int:
    return 0 if since is None else int((now - since).total_seconds() // 60)


def settings_of(config: Settings) -> Iterator[Finding]:
    """Settings that work but should not be used in public."""
    public = config.host not in LOCAL
    level = BROKEN if public else LOOK
    if config.debug:
        yield Finding(level, "设置", "HOTLINE_DEBUG 开着：回复里带有识别细节，对外服务前请关闭。")
    if config.rate_limits == "off":
        yield Finding(level, "设置", "HOTLINE_RATE_LIMITS=off：没有限流，只适合压测。")
    if config.desk_host not in LOCAL and not config.desk_cookie_secure:
        yield Finding(
            BROKEN, "设置", "值班台对外监听但登录凭据没有限定 HTTPS：请设 HOTLINE_DESK_COOKIE_SECURE=true。"
        )
    if config.desk_totp != "required":
        yield Finding(LOOK, "设置", "值班台没有强制动态验证码，建议设 HOTLINE_DESK_TOTP=required。")


def key(config: Settings) -> Iterator[Finding]:
    """The data key, and who can read it."""
    try:
        DataKey.load(config)
    except CryptoError as error:
        yield Finding(BROKEN, "密钥", f"数据密钥不能用：{error}")
        return
    path = config.home_dir / config.key_file
    if not config.key and path.exists():
        mode = stat.S_IMODE(path.stat().st_mode)
        yield Finding(OK, "密钥", f"数据密钥可用（{path}，权限 {mode:03o}）。请另存一份，没有它备份打不开。")
    else:
        yield Finding(OK, "密钥", "数据密钥可用（来自环境变量）。")


def disk(config: Settings) -> Iterator[Finding]:
    """Room for the database and logs."""
    free = shutil.disk_usage(config.home_dir).free
    level = OK if free > FREE_BYTES else BROKEN
    yield Finding(level, "磁盘", f"{config.home_dir} 所在磁盘剩余 {free / (1 << 30):.1f} GB。")


def model(config: Settings) -> Iterator[Finding]:
    """The model that belongs to the sources."""
    path = model_path(config)
    if path.exists():
        yield Finding(OK, "模型", f"{path.name}（{path.stat().st_size / (1 << 20):.0f} MB）。")
    else:
        yield Finding(LOOK, "模型", "没有与当前语料和代码对应的模型，下次启动会先训练（约一分半钟）。")


def processes(config: Settings) -> Iterator[Finding]:
    """Gateway, engine and desk answer."""
    with httpx.Client(trust_env=False, timeout=3.0) as client:
        try:
            ready = client.get(f"http://127.0.0.1:{config.port}/readyz")
            for name, good in ready.json().items():
                label = {"database": "数据库", "engine": "识别引擎"}.get(name, name)
                yield Finding(OK if good else BROKEN, "网关", f"{label}{'可用' if good else '不可用'}。")
        except (httpx.HTTPError, ValueError):
            yield Finding(BROKEN, "网关", f"端口 {config.port} 没有应答：服务没有启动，或端口设置不对。")
        if config.desk == "on":
            try:
                good = client.get(f"http://127.0.0.1:{config.desk_port}/healthz").status_code == 200
            except httpx.HTTPError:
                good = False
            says = "可以打开。" if good else f"端口 {config.desk_port} 没有应答。"
            yield Finding(OK if good else BROKEN, "值班台", says)


def _revision(session: Session) -> Iterator[Finding]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    newest = ScriptDirectory.from_config(config).get_current_head()
    here = session.scalar(text("SELECT version_num FROM alembic_version"))
    if here == newest:
        yield Finding(OK, "数据库", f"结构是最新的（{here}）。")
    else:
        yield Finding(BROKEN, "数据库", f"结构是 {here}，程序需要 {newest}：请运行 hotline db upgrade。")


def _promises(session: Session, now: datetime) -> Iterator[Finding]:
    waiting = session.scalar(
        select(func.min(Message.created_at)).where(Message.author == "user", Message.answered_at.is_(None))
    )
    age = _minutes(waiting, now)
    yield Finding(
        BROKEN if age >= 2 else OK,
        "会话",
        f"有群众来信 {age} 分钟没有得到答复，请看网关和引擎日志。" if age >= 2 else "没有积压未答的消息。",
    )
    oldest, count = session.execute(
        select(func.min(HandOver.created_at), func.count()).where(HandOver.state == "waiting")
    ).one()
    if count:
        age = _minutes(oldest, now)
        yield Finding(LOOK if age < 10 else BROKEN, "转人工", f"{count} 人在等值班员，最久 {age} 分钟。")
    overdue = session.scalar(
        select(func.count()).select_from(CallBack).where(CallBack.state == "open", CallBack.due_at < now)
    )
    if overdue:
        yield Finding(BROKEN, "回电", f"{overdue} 个答应的回电已经超时。")
    missed = session.scalar(
        select(func.count())
        .select_from(CaseClock)
        .where(CaseClock.met_on.is_(None), CaseClock.due_on < now.astimezone(SHANGHAI).date())
    )
    if missed:
        yield Finding(BROKEN, "时限", f"{missed} 个法定时限已经超期。")


def _outbox(session: Session, now: datetime) -> Iterator[Finding]:
    dead = session.scalar(select(func.count()).select_from(Delivery).where(Delivery.state == "dead"))
    if dead:
        yield Finding(BROKEN, "发件箱", f"{dead} 条发不出去，请在值班台“死信”里处理。")
    oldest = session.scalar(
        select(func.min(Delivery.next_at)).where(Delivery.state == "pending", Delivery.next_at < now)
    )
    age = _minutes(oldest, now)
    yield Finding(
        LOOK if age >= 5 else OK, "发件箱", f"最久一条已等 {age} 分钟。" if age >= 5 else "没有积压。"
    )


def _people(session: Session, now: datetime) -> Iterator[Finding]:
    today = now.astimezone(SHANGHAI).date()
    holes = len(roster.gaps(session, today, ROSTER_DAYS))
    if holes:
        yield Finding(LOOK, "值班表", f"今后{ROSTER_DAYS}天有 {holes} 个岗位没有排人。")
    else:
        yield Finding(OK, "值班表", f"今后{ROSTER_DAYS}天都排了人。")


def _chain(session: Session, now: datetime) -> Iterator[Finding]:
    broken = audit.verify(session)
    if broken:
        yield Finding(BROKEN, "审计", f"审计链断了：{broken}")
    else:
        yield Finding(OK, "审计", f"审计链完整，共到第 {audit.head(session)[0]} 条。")


def _switches(session: Session, now: datetime) -> Iterator[Finding]:
    on = snapshot(session)
    if on.bot_off:
        yield Finding(LOOK, "开关", "机器人已停用，所有来访都在排队等人工。")
    if on.people_first:
        yield Finding(LOOK, "开关", "人工优先模式开着。")
    if on.withdrawn:
        yield Finding(LOOK, "开关", f"已撤下第 {'、'.join(map(str, sorted(on.withdrawn)))} 条的解答。")


def notice(config: Settings, now: datetime) -> Iterator[Finding]:
    """The notice's validity and the working-day calendar."""
    validity = load().notice.validity
    if validity.reviewed_on is None:
        yield Finding(LOOK, "通知", "通知的现行有效性没有人复核过，对外一律提示“可能已不再执行”。")
    ahead = (now + timedelta(days=90)).astimezone(SHANGHAI).date()
    if ahead.year not in calendar().years:
        yield Finding(
            LOOK, "日历", f"没有{ahead.year}年的工作日安排，跨年时限暂按周末推算，国务院公布后请补上。"
        )


def examine(config: Settings, now: datetime) -> list[Finding]:
    """All findings. Never raises for what is wrong with the deployment."""
    found: list[Finding] = []
    for check in (settings_of, key, disk, model, processes):
        found += check(config)
    found += notice(config, now)
    looks: tuple[Callable[[Session, datetime], Iterator[Finding]], ...]
    looks = (lambda s, _: _revision(s), _promises, _outbox, _people, _chain, _switches)
    parsed = make_url(config.database)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return [
            *found,
            Finding(BROKEN, "数据库", f"没有 {parsed.database}：请先运行 hotline db upgrade 或 make run。"),
        ]
    engine = make_engine(config.database, busy_timeout=3)
    try:
        with make_sessions(engine, read_only=True)() as session:
            for look in looks:
                found += look(session, now)
    except StorageError as error:
        found.append(Finding(BROKEN, "数据库", f"打不开：{error}"))
    except Exception as error:
        found.append(
            Finding(
                BROKEN,
                "数据库",
                f"不是本系统的数据库，或结构太旧（{type(error).__name__}）：请运行 hotline db upgrade。",
            )
        )
    finally:
        engine.dispose()
    return found
