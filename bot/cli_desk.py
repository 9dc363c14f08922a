"""`hotline staff`, `hotline audit`, `hotline retention`: the desk's commands for operators.

Whoever can run them can read the data key; they ask for no log-in and are in the audit log as "system".
"""

from __future__ import annotations

import json
import sys
from datetime import datetime, timedelta, timezone
from typing import Annotated

import typer
from sqlalchemy.orm import Session

from bot import audit
from bot.database import readers, sessions
from bot.errors import HotlineError
from bot.operations import records
from bot.settings import Settings, settings
from bot.staff import accounts, passwords
from bot.staff.models import Role
from bot.storage import StorageError, make_engine, make_sessions

staff_app = typer.Typer(no_args_is_help=True, help="Accounts of the duty desk (值班台).")
audit_app = typer.Typer(no_args_is_help=True, help="The audit log (审计日志).")
retention_app = typer.Typer(no_args_is_help=True, help="Erasure of personal data when its time is over.")


def add_to(app: typer.Typer) -> None:
    """Put the groups into the main command."""
    app.add_typer(staff_app, name="staff")
    app.add_typer(audit_app, name="audit")
    app.add_typer(retention_app, name="retention")


def first_log_in(config: Settings) -> str | None:
    """A line with the first account and its password, when there are no accounts; made here and shown once."""
    database = make_engine(config.database)
    try:
        with make_sessions(database).begin() as session:
            made = accounts.first_admin(session, now=_now())
    finally:
        database.dispose()
    return f"首次登录（只显示这一次）  用户名 {made[0]}  密码 {made[1]}" if made else None


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _fail(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)


def _password(given_on_input: bool) -> tuple[str, bool]:
    """A password and whether it was generated: from standard input, or a new one."""
    if given_on_input:
        return sys.stdin.readline().rstrip("\n"), False
    return passwords.generate(), True


STDIN = Annotated[bool, typer.Option("--stdin", help="read the password from standard input, one line")]


@staff_app.command("add")
def staff_add(
    username: str,
    name: Annotated[str, typer.Option(help="the name that citizens and colleagues see")] = "",
    role: Annotated[Role, typer.Option(help="agent 值班员, lead 班长, admin 管理员")] = Role.AGENT,
    stdin: STDIN = False,
) -> None:
    """Make an account; without --stdin its first password is generated, and must be replaced at the first log-in."""
    password, generated = _password(stdin)
    try:
        with sessions().begin() as session:
            staff = accounts.add_staff(
                session, username, name or username, role, password, now=_now(), must_change=generated
            )
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo(f"{staff.username}  {role.label}" + (f"  首次密码 {password}" if generated else ""))


@staff_app.command("list")
def staff_list() -> None:
    """List the accounts."""
    with readers()() as session:
        for staff in accounts.list_staff(session):
            state = "" if staff.active else "  停用"
            code = "  动态验证码" if staff.totp_secret else ""
            typer.echo(f"{staff.username:<20} {Role(staff.role).label}  {staff.name}{code}{state}")


@staff_app.command("password")
def staff_password(username: str, stdin: STDIN = False) -> None:
    """Set another password (a generated one must be replaced) and lift a lock; every log-in of the account ends."""
    password, generated = _password(stdin)
    try:
        with sessions().begin() as session:
            staff = accounts.find_staff(session, username)
            accounts.change_password(session, staff, password, now=_now(), by="system", must_change=generated)
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo(f"{staff.username}" + (f"  新密码 {password}" if generated else "  已修改"))


@staff_app.command("totp")
def staff_totp(
    username: str, off: Annotated[bool, typer.Option("--off", help="switch it off")] = False
) -> None:
    """Switch one-time codes on (prints the secret for the authenticator) or off."""
    try:
        with sessions().begin() as session:
            staff = accounts.find_staff(session, username)
            secret, address = (None, "") if off else accounts.new_totp(staff)
            accounts.set_totp(session, staff, secret, now=_now(), by="system")
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo("动态验证码已停用" if off else f"密钥 {secret}\n{address}")


@staff_app.command("token")
def staff_token(
    username: str, days: Annotated[int, typer.Option(min=1, max=365, help="how long it lasts")] = 1
) -> None:
    """Print a bearer token for a program that works on behalf of an account."""
    try:
        with sessions().begin() as session:
            staff = accounts.find_staff(session, username)
            token = accounts.open_session(
                session, staff, now=_now(), kind="program", lasts=timedelta(days=days)
            )
            audit.record(session, "system", "staff.token", accounts.actor(staff), {"days": days}, now=_now())
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo(token)


@staff_app.command("close")
def staff_close(username: str) -> None:
    """Close an account and end its log-ins; nothing it did is removed."""
    _set_active(username, False)


@staff_app.command("open")
def staff_open(username: str) -> None:
    """Open a closed account again."""
    _set_active(username, True)


def _set_active(username: str, active: bool) -> None:
    try:
        with sessions().begin() as session:
            staff = accounts.find_staff(session, username)
            accounts.set_active(session, staff, active, now=_now())
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo(f"{staff.username} {'已启用' if active else '已停用'}")


@audit_app.command("verify")
def audit_verify(
    expect: Annotated[
        str, typer.Option(help="NUMBER:HASH that an earlier verify printed and that was kept elsewhere")
    ] = "",
) -> None:
    """Recompute the chain; exit status 1 and the broken entry when it does not hold."""
    with readers()() as session:
        broken = audit.verify(session)
        if broken is None and expect:
            broken = _unexpected(session, expect)
        number, last = audit.head(session)
    told = str(broken) if broken else None
    records.note(settings().home_dir, records.AUDIT, _now(), broken=told)
    if broken:
        raise _fail(RuntimeError(str(broken)))
    typer.echo(f"The chain holds: {number} entries, head {number}:{last}")


def _unexpected(session: Session, expect: str) -> audit.Broken | None:
    number, _, value = expect.partition(":")
    if not number.isdigit() or not value:
        raise typer.BadParameter("--expect takes NUMBER:HASH")
    entry = session.get(audit.AuditEntry, int(number))
    if entry is None:
        return audit.Broken(int(number), "it is missing, and was there when its hash was noted")
    return None if entry.hash == value else audit.Broken(int(number), "its hash is not the one noted")


@retention_app.command("run")
def retention_run(
    preview: Annotated[bool, typer.Option("--preview", help="only say what would be erased")] = False,
) -> None:
    """Erase personal data whose period is over (docs/settings.md); numbers, dates and types stay."""
    from bot.desk import retention

    try:
        if preview:
            with readers()() as session:
                plan = retention.preview(session, now=_now())
        else:
            plan = retention.run(sessions(), now=_now(), actor="system")
    except StorageError as error:
        raise _fail(error) from error
    typer.echo(json.dumps(plan.as_json(), ensure_ascii=False, indent=2))


@retention_app.command("export")
def retention_export(phone: str) -> None:
    """Print everything that is stored about one person, found by phone number, as JSON (个人信息保护法 Art 45)."""
    from bot.desk import retention

    try:
        with sessions().begin() as session:
            found = retention.export_person(session, phone, actor="system", now=_now())
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo(json.dumps(found, ensure_ascii=False, indent=2))


@retention_app.command("erase")
def retention_erase(
    phone: str, reason: Annotated[str, typer.Option(help="why; kept in the audit log")]
) -> None:
    """Erase one person's closed matters, found by phone number (个人信息保护法 Art 47); open cases stay."""
    from bot.desk import retention

    try:
        done = retention.erase_person(sessions(), phone, reason=reason, actor="system", now=_now())
    except (HotlineError, StorageError) as error:
        raise _fail(error) from error
    typer.echo(json.dumps(done.as_json(), ensure_ascii=False, indent=2))
