"""The plain pages: log-in, account (password, one-time codes), log-out. No NiceGUI, no script.

A program logs in with a JSON body at the same address and gets a bearer token.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader

from bot.channels.addresses import client_of
from bot.desk.auth import COOKIE, CurrentStaff, held, refusal, same_site
from bot.errors import HotlineError, Problem
from bot.settings import Settings
from bot.staff import accounts, passwords
from bot.staff.models import Role, Staff
from bot.storage import StorageError

FOLDER = Path(__file__).parent / "login"
FORM_COOKIE = "hotline_desk_form"
PAGES = Environment(loader=FileSystemLoader(FOLDER), autoescape=True)

router = APIRouter(include_in_schema=False)


def safe_next(target: str) -> str:
    """A path of this desk to go on to; anything that could lead elsewhere becomes the start page."""
    plain = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if plain and target not in ("/login", "/logout") else "/"


def _page(name: str, request: Request, status: int = 200, **values: Any) -> HTMLResponse:
    form = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    response = HTMLResponse(PAGES.get_template(name).render(form=form, **values), status)
    response.set_cookie(
        FORM_COOKIE, form, httponly=True, samesite="strict", secure=_secure(request), path="/"
    )
    return response


def _form_fits(request: Request, form: dict[str, str]) -> bool:
    """The hidden value equals the cookie: another site can set off a log-in, but knows neither."""
    cookie = request.cookies.get(FORM_COOKIE, "")
    return bool(cookie) and secrets.compare_digest(cookie.encode(), form.get("form", "").encode())


async def _fields(request: Request) -> dict[str, str]:
    if request.headers.get("content-type", "").startswith("application/json"):
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise HotlineError(Problem.MALFORMED) from None
        if not isinstance(body, dict) or not all(isinstance(v, str) for v in body.values()):
            raise HotlineError(Problem.MALFORMED)
        return body
    form = await request.form(max_files=0, max_fields=8)
    return {key: value for key, value in form.items() if isinstance(value, str)}


@router.get("/login.css")
async def css() -> FileResponse:
    """The one style sheet."""
    return FileResponse(FOLDER / "login.css", media_type="text/css")


@router.get("/login")
async def log_in_page(request: Request, next: str = "/") -> HTMLResponse:
    """The form."""
    return _page("login.html", request, title="登录", next=safe_next(next), username="")


@router.post("/login")
async def log_in(request: Request) -> Response:
    """Log in. A form becomes a cookie and a redirect, JSON `{"username", "password", "code"}` a bearer token."""
    program = request.headers.get("content-type", "").startswith("application/json")
    fields = await _fields(request)
    username, password = fields.get("username", ""), fields.get("password", "")
    wait = request.app.state.log_ins.take(client_of(request))
    try:
        if wait:
            raise HotlineError(Problem.TOO_MANY, retry_after=wait)
        if not program and not (_form_fits(request, fields) and same_site(request)):
            raise HotlineError(Problem.CROSS_SITE)
        kind = "program" if program else "page"
        try:
            staff, token = await _checked(request, username, password, fields.get("code", ""), kind)
        except StorageError:
            raise HotlineError(Problem.NOT_STORED, retry_after=5) from None
    except HotlineError as error:
        if program:
            return refusal(error)
        message = "页面已过期，请重新登录。" if error.problem is Problem.CROSS_SITE else error.problem.message
        return _page(
            "login.html", request, error.problem.status,
            title="登录", next=safe_next(fields.get("next", "/")), username=username[:64], error=message,
        )  # fmt: skip
    if program:
        who = {
            "token": token,
            "name": staff.name,
            "role": staff.role,
            "must_change_password": staff.must_change_password,
        }
        return JSONResponse(who)
    response = RedirectResponse(safe_next(fields.get("next", "/")), 303)
    _set_cookie(response, token, request)
    return response


async def _checked(request: Request, username: str, password: str, code: str, kind: str) -> tuple[Staff, str]:
    state = request.app.state

    def compare() -> accounts.Checked:
        with state.readers() as session:
            return accounts.check(session, username, password)

    def enter(checked: accounts.Checked) -> tuple[Staff, str]:
        with state.sessions.begin() as session:
            return accounts.log_in(
                session, username, password, code, now=state.now(), kind=kind, checked=checked
            )

    # Each comparison takes 64 MiB and a core: a flood of them must not take the desk down.
    async with state.hashing:
        checked = await asyncio.to_thread(compare)
    return await asyncio.to_thread(enter, checked)


def _secure(request: Request) -> bool:
    """Whether cookies must travel over HTTPS only: by the setting, and wherever the log-in itself did."""
    config: Settings = request.app.state.config
    return config.desk_cookie_secure or request.url.scheme == "https"


def _set_cookie(response: Response, token: str, request: Request) -> None:
    config: Settings = request.app.state.config
    response.set_cookie(
        COOKIE,
        token,
        max_age=config.desk_session_hours * 3600,
        httponly=True,
        samesite="strict",
        secure=_secure(request),
        path="/",
    )


@router.post("/logout")
async def log_out(request: Request) -> RedirectResponse:
    """End this log-in."""

    def end() -> None:
        with request.app.state.sessions.begin() as session:
            accounts.log_out(session, request.state.token, now=request.app.state.now())

    await asyncio.to_thread(end)
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return response


@router.get("/account")
async def account(request: Request, staff: CurrentStaff) -> HTMLResponse:
    """Own password and one-time codes."""
    return _account(request, staff)


def _account(
    request: Request, staff: Staff, *, status: int = 200, error: str = "", notice: str = ""
) -> HTMLResponse:
    secret, _ = accounts.new_totp(staff)
    problem = held(staff, request.app.state.config)
    return _page(
        "account.html", request, status,
        title=f"{staff.name}（{Role(staff.role).label}）", staff=staff, secret=secret, held=problem,
        secret_shown=" ".join(secret[i : i + 4] for i in range(0, len(secret), 4)),
        error=error, notice=notice or (problem.message if problem and not error else ""),
    )  # fmt: skip


@router.post("/account/password")
async def change_password(request: Request, staff: CurrentStaff) -> Response:
    """Replace the password; every other session of the account ends."""
    fields = await _fields(request)
    state = request.app.state
    new = fields.get("new", "")

    def change() -> Staff:
        with state.readers() as session:
            right = accounts.check(session, staff.username, fields.get("old", "")).right
        if not right:
            raise HotlineError(Problem.LOG_IN_REFUSED)
        passwords.check_policy(staff.username, new)
        with state.sessions.begin() as session:
            accounts.change_password(session, staff, new, now=state.now(), keep=request.state.token)
            return accounts.staff_by_id(session, staff.id)

    if not _form_fits(request, fields):
        return _account(request, staff, status=403, error="页面已过期，请再试一次。")
    if new != fields.get("again"):
        return _account(request, staff, status=422, error="两次输入的新密码不一样。")
    try:
        # A stolen log-in must not become a way of guessing the password.
        if wait := state.log_ins.take(f"own:{staff.id}"):
            raise HotlineError(Problem.TOO_MANY, retry_after=wait)
        async with state.hashing:
            changed = await asyncio.to_thread(change)
    except HotlineError as error:
        wrong = error.problem is Problem.LOG_IN_REFUSED
        message = "当前密码不对。" if wrong else error.problem.message
        return _account(request, staff, status=error.problem.status, error=message)
    return _account(request, changed, notice="密码已修改，其他设备上的登录已退出。")


@router.post("/account/totp")
async def enrol(request: Request, staff: CurrentStaff) -> Response:
    """Switch on one-time codes, once a first code shows that the authenticator has the secret."""
    fields = await _fields(request)
    state = request.app.state

    def switch_on() -> Staff:
        with state.sessions.begin() as session:
            accounts.set_totp(
                session, staff, fields.get("secret", ""), now=state.now(), code=fields.get("code", "")
            )
            return accounts.staff_by_id(session, staff.id)

    # Whoever finds an open desk must not be able to move the codes to a phone of their own.
    if not _form_fits(request, fields) or staff.totp_secret:
        return _account(request, staff, status=403, error="页面已过期，请再试一次。")
    try:
        changed = await asyncio.to_thread(switch_on)
    except HotlineError as error:
        return _account(request, staff, status=error.problem.status, error=error.problem.message)
    return _account(request, changed, notice="动态验证码已启用，下次登录时要填。")
