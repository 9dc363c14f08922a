"""`hotline doctor`: looks at a deployment and says in plain words what is wrong, why it matters and what to do.

Each check is a function that yields findings; one that cannot look (the database is down) says so and the others
go on. Levels: 正常, 注意 (works, but somebody should look), 故障 (citizens or staff are affected).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from bot.crypto import CryptoError
from bot.operations import checks_database, checks_processes, checks_setup, records
from bot.operations.checks_processes import answers, doors
from bot.operations.finding import BROKEN, LOOK, OK, Finding, Findings, broken
from bot.settings import Settings
from bot.storage import StorageError, make_engine, make_sessions

STORES_NOTHING = "没有数据库就存不下来信，群众会被请求稍后再发。"


def examine(config: Settings, now: datetime) -> list[Finding]:
    """All findings. Never raises for what is wrong with the deployment."""
    found: list[Finding] = []
    setup = checks_setup
    for check in (
        setup.settings_of, setup.tokens, setup.key, setup.disk, setup.model, setup.sms, setup.wechat,
        setup.departments,
    ):  # fmt: skip
        found += check(config)
    found += setup.backups(config, now)
    found += setup.notice(config, now)
    processes = checks_processes
    for ask in (processes.gateway, processes.engines, processes.desk, processes.shared_limits):
        found += ask(config)
    return [*found, *_database(config, now)]


def _database(config: Settings, now: datetime) -> Findings:
    parsed = make_url(config.database)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        yield broken(
            "数据库", f"没有 {parsed.database}。", STORES_NOTHING, "运行 hotline db upgrade 或 make run。"
        )
        return
    engine = make_engine(config.database, busy_timeout=3)
    try:
        with make_sessions(engine, read_only=True)() as session:
            for check in checks_database.CHECKS:
                if check in checks_database.SEALED and not checks_setup.has_key(config):
                    continue  # Looking would make a new key.
                yield from _checked(check, session, config, now)
        if not checks_setup.has_key(config):
            yield broken(
                "密钥", "数据库在，数据密钥不在。", "已存的个人信息都读不出来；生成新密钥会更糟。",
                "把原来的密钥文件放回去，再启动服务。",
            )  # fmt: skip
    except StorageError as error:
        yield broken("数据库", f"打不开：{error}", STORES_NOTHING, "启动数据库，核对 HOTLINE_DATABASE_URL。")
    except Exception as error:
        yield broken(
            "数据库", f"不是本系统的数据库，或结构太旧（{type(error).__name__}）。", STORES_NOTHING,
            "核对 HOTLINE_DATABASE_URL；是旧版本的话先备份，再运行 hotline db upgrade。",
        )  # fmt: skip
    finally:
        engine.dispose()


def _checked(check: checks_database.Check, session: Session, config: Settings, now: datetime) -> Findings:
    try:
        for finding in check(session, now):
            if check is checks_database.chain:
                told = None if finding.level == OK else finding.says
                records.note(config.home_dir, records.AUDIT, now, broken=told)
            yield finding
    except CryptoError:
        yield broken(
            "密钥", "数据密钥打不开库里的数据。", "这不是存数据时用的那把密钥，个人信息都读不出来。",
            "放回原来的密钥文件，重启服务。",
        )  # fmt: skip


__all__ = ["BROKEN", "LOOK", "OK", "Finding", "answers", "doors", "examine"]
