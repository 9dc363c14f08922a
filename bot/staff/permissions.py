"""What each role may do. One table: the pages hide by it, the calls refuse by it, a test walks all of it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from bot.staff.models import Role, Staff


class Permission(str, Enum):
    """One thing that somebody may be allowed to do at the desk."""

    ANSWER = "answer"  # write to citizens, notes
    CLAIM = "claim"  # take over a conversation, hand it on or back
    SEE_CASES = "see_cases"  # lists and cases, personal data masked
    SEE_PERSONAL_DATA = "see_personal_data"  # unmasked, each look audited
    EDIT_CASE = "edit_case"
    DISPATCH = "dispatch"  # 派单, 回访
    REVIEW = "review"  # label what was missed
    SUPERVISE = "supervise"  # 督办
    MERGE = "merge"  # 并单
    EXPORT = "export"  # lists as files
    ROSTER = "roster"  # 值班表
    SWITCHES = "switches"  # notice, people first, bot off, answers withdrawn
    FIGURES = "figures"
    DEAD_LETTERS = "dead_letters"  # send again what could not be sent
    AUDIT = "audit"  # read and verify the audit log
    STAFF = "staff"  # accounts
    ERASE = "erase"  # retention, erasure, one person's data


_AGENT = frozenset(
    {
        Permission.ANSWER,
        Permission.CLAIM,
        Permission.SEE_CASES,
        Permission.SEE_PERSONAL_DATA,
        Permission.EDIT_CASE,
        Permission.DISPATCH,
        Permission.REVIEW,
    }
)
_LEAD = _AGENT | {
    Permission.SUPERVISE,
    Permission.MERGE,
    Permission.EXPORT,
    Permission.ROSTER,
    Permission.SWITCHES,
    Permission.FIGURES,
    Permission.DEAD_LETTERS,
}
_ADMIN = _LEAD | {Permission.AUDIT, Permission.STAFF, Permission.ERASE}

PERMISSIONS: Mapping[Role, frozenset[Permission]] = {
    Role.AGENT: _AGENT,
    Role.LEAD: _LEAD,
    Role.ADMIN: _ADMIN,
}
"""Role to permissions; a role has all of the one below it."""


def may(staff: Staff, permission: Permission) -> bool:
    """Whether somebody's role allows it; nothing is allowed to a deactivated account."""
    return staff.active and permission in PERMISSIONS[Role(staff.role)]
