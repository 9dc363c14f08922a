"""Who may what: the whole matrix, written out a second time by hand."""

import pytest

from bot.staff.models import Role, Staff
from bot.staff.permissions import PERMISSIONS, Permission, may

MATRIX = {
    #                    值班员 班长 管理员
    "answer":            (1, 1, 1),
    "claim":             (1, 1, 1),
    "see_cases":         (1, 1, 1),
    "see_personal_data": (1, 1, 1),
    "edit_case":         (1, 1, 1),
    "dispatch":          (1, 1, 1),
    "review":            (1, 1, 1),
    "supervise":         (0, 1, 1),
    "merge":             (0, 1, 1),
    "export":            (0, 1, 1),
    "roster":            (0, 1, 1),
    "switches":          (0, 1, 1),
    "figures":           (0, 1, 1),
    "dead_letters":      (0, 1, 1),
    "audit":             (0, 0, 1),
    "staff":             (0, 0, 1),
    "erase":             (0, 0, 1),
}  # fmt: skip


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize(("place", "role"), list(enumerate(Role)))
def test_the_matrix(permission, place, role):
    staff = Staff(role=role.value, active=True)
    assert may(staff, permission) is bool(MATRIX[permission.value][place])


def test_the_matrix_is_whole_and_each_role_has_the_one_below():
    assert set(MATRIX) == {p.value for p in Permission}
    assert PERMISSIONS[Role.AGENT] < PERMISSIONS[Role.LEAD] < PERMISSIONS[Role.ADMIN] == set(Permission)


@pytest.mark.parametrize("permission", Permission)
def test_a_closed_account_may_nothing(permission):
    assert not may(Staff(role="admin", active=False), permission)
