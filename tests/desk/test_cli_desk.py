"""`hotline staff`, `hotline audit`, `hotline retention` as operators type them."""

import json

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from bot import cli, cli_desk
from bot.audit import AuditEntry
from bot.cases.models import CaseDraft
from bot.cases.store import open_draft, save_draft
from bot.database import sessions
from bot.settings import settings
from bot.staff import accounts
from bot.storage import upgrade


@pytest.fixture(autouse=True)
def database(deployment):
    upgrade(settings().database)


def run(*arguments, given=None):
    return CliRunner().invoke(cli.app, arguments, input=given)


def log_in(username, password, code=None):
    with sessions().begin() as session:
        return accounts.log_in(session, username, password, code, now=cli_desk._now())[0]


def test_the_first_log_in_is_made_and_shown_once_and_works():
    line = cli_desk.first_log_in(settings())
    assert cli_desk.first_log_in(settings()) is None
    words = line.split()
    assert log_in(words[words.index("用户名") + 1], words[words.index("密码") + 1]).role == "admin"


def test_an_account_with_a_generated_password_must_replace_it():
    result = run("staff", "add", "wang", "--name", "王敏", "--role", "lead")
    assert (result.exit_code, "班长" in result.output) == (0, True)
    staff = log_in("wang", result.output.split()[-1])
    assert (staff.name, staff.role, staff.must_change_password) == ("王敏", "lead", True)


def test_a_password_can_come_from_standard_input():
    result = run("staff", "add", "wang", "--stdin", given="Mei-Hua 2026 xue\n")
    assert (result.exit_code, "Mei" in result.output) == (0, False)
    assert log_in("wang", "Mei-Hua 2026 xue").must_change_password is False
    weak = run("staff", "password", "wang", "--stdin", given="weak\n")
    assert (weak.exit_code, "密码不合要求" in weak.output) == (1, True)


def test_a_new_password_replaces_the_old_one():
    run("staff", "add", "wang")
    password = run("staff", "password", "wang").output.split()[-1]
    assert log_in("wang", password).must_change_password


def test_accounts_are_listed_closed_and_opened():
    run("staff", "add", "wang", "--name", "王敏")
    run("staff", "add", "sun", "--role", "admin")
    assert run("staff", "close", "wang").exit_code == 0
    shown = run("staff", "list").output.splitlines()
    assert [line.split()[0] for line in shown] == ["sun", "wang"]
    assert "停用" in shown[1] and "值班员" in shown[1]
    assert "已启用" in run("staff", "open", "wang").output
    last = run("staff", "close", "sun")
    assert (last.exit_code, "管理员" in last.output) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("staff", "password", "nobody"),
        ("staff", "totp", "nobody"),
        ("staff", "token", "nobody"),
        ("staff", "close", "nobody"),
        ("staff", "add", "a b"),
        ("retention", "export", "no number"),
        ("retention", "erase", "13904321187", "--reason", " "),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments):
    result = run(*arguments)
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1 and "Traceback" not in result.output


def test_codes_are_switched_on_and_off():
    password = run("staff", "add", "wang").output.split()[-1]
    shown = run("staff", "totp", "wang").output
    assert "otpauth://totp/" in shown
    with pytest.raises(accounts.LogInRefused):
        log_in("wang", password)
    assert "停用" in run("staff", "totp", "wang", "--off").output
    log_in("wang", password)


def test_a_token_opens_a_programs_session():
    run("staff", "add", "wang")
    token = run("staff", "token", "wang", "--days", "2").output.strip()
    with sessions().begin() as session:
        assert accounts.session_of(session, token, now=cli_desk._now()).username == "wang"


def test_verify_prints_the_head_and_checks_a_noted_one():
    run("staff", "add", "wang")
    shown = run("audit", "verify")
    assert shown.exit_code == 0
    noted = shown.output.split()[-1]
    run("staff", "add", "li")
    assert run("audit", "verify", "--expect", noted).exit_code == 0
    wrong = run("audit", "verify", "--expect", f"1:{'0' * 64}")
    assert (wrong.exit_code, "entry 1" in wrong.output) == (1, True)
    gone = run("audit", "verify", "--expect", f"99:{'0' * 64}")
    assert (gone.exit_code, "entry 99" in gone.output) == (1, True)
    assert run("audit", "verify", "--expect", "nonsense").exit_code == 2


def test_verify_names_an_entry_that_was_changed_behind_the_triggers():
    for name in ("wang", "li", "sun"):
        run("staff", "add", name)
    with sessions().begin() as session:
        session.execute(text("DROP TRIGGER audit_log_no_update"))
        session.execute(text("UPDATE audit_log SET actor = 'staff:sun' WHERE id = 2"))
    result = run("audit", "verify")
    assert (result.exit_code, "entry 2" in result.output) == (1, True)


def test_retention_is_previewed_and_run():
    from datetime import timedelta

    then = cli_desk._now() - timedelta(days=40)
    with sessions().begin() as session:
        draft = open_draft(session, "c1", now=then)
        save_draft(session, draft, now=then, data={"name": "韩梅"})
    assert json.loads(run("retention", "run", "--preview").output)["drafts"] == 1
    assert json.loads(run("retention", "run").output)["drafts"] == 1
    assert json.loads(run("retention", "run", "--preview").output)["drafts"] == 0
    with sessions()() as session:
        assert session.scalars(select(CaseDraft)).one().data == {}


def test_export_and_erasure_are_on_record_as_the_systems():
    assert json.loads(run("retention", "export", "13904321187").output)["cases"] == []
    assert json.loads(run("retention", "erase", "13904321187", "--reason", "本人申请").output)["cases"] == 0
    with sessions()() as session:
        assert [e.actor for e in session.scalars(select(AuditEntry))] == ["system", "system"]


def test_a_locked_database_is_one_sentence(monkeypatch):
    from bot.storage import DatabaseBusy

    def busy(*_, **__):
        raise DatabaseBusy("The database is locked by another process; nothing was stored.")

    monkeypatch.setattr(accounts, "add_staff", busy)
    result = run("staff", "add", "wang")
    assert (result.exit_code, result.output.strip()) == (
        1,
        "The database is locked by another process; nothing was stored.",
    )
