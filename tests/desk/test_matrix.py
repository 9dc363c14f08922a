"""Who may make which call, over all routers of the desk: a table, and the proof that it names every route."""

import re

import pytest
from fastapi.routing import APIRoute

from bot.desk import cases_api, conversations_api, copilot_api
from bot.staff.models import Role
from bot.staff.permissions import PERMISSIONS, Permission

ROUTERS = (conversations_api.router, cases_api.router, copilot_api.router)

# `tests/desk/test_admin_api.py` does the same for the calls of administrators.
CALLS = """
GET  /queue                                          -
POST /conversations/{conversation_id}/claim          claim
POST /conversations/{conversation_id}/release        claim
POST /conversations/{conversation_id}/close          claim
POST /conversations/{conversation_id}/transfer       claim
POST /conversations/{conversation_id}/staff-messages answer
POST /conversations/{conversation_id}/typing         answer
GET  /conversations/{conversation_id}/log            answer
POST /conversations/{conversation_id}/notes          answer
GET  /call-backs/{call_back_id}/phone                answer
POST /call-backs/{call_back_id}                      answer
GET  /cases                                          see_cases
GET  /cases/counts                                   see_cases
GET  /cases/terms                                    see_cases
GET  /cases/export.csv                               export
GET  /cases/export.xlsx                              export
GET  /cases/{number}.pdf                             see_cases
GET  /cases/{number}                                 see_cases
PATCH /cases/{number}                                edit_case
POST /cases/{number}/events                          edit_case
POST /cases/{number}/dispatch                        dispatch
POST /cases/{number}/return                          dispatch
POST /cases/{number}/merge                           merge
POST /cases/{number}/link                            merge
POST /cases/{number}/follow-up                       dispatch
POST /cases/{number}/supervise                       supervise
GET  /cases/{number}/attachments                     see_cases
GET  /cases/{number}/attachments/{attachment_id}     see_cases
GET  /dead-letters                                   dead_letters
POST /dead-letters/{letter_id}/revive                dead_letters
POST /copilot/suggest                                answer
POST /copilot/outcomes                               answer
GET  /reviews                                        review
POST /reviews/{review_id}                            review
GET  /figures                                        figures
GET  /metrics                                        figures
"""
TABLE = {(m, p): n for m, p, n in (line.split() for line in CALLS.strip().splitlines())}


def test_every_route_stands_in_the_table():
    there = {
        (method, route.path.removeprefix("/api/v1"))
        for router in ROUTERS
        for route in router.routes
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert there == set(TABLE)


@pytest.mark.parametrize("role", Role)
async def test_a_role_does_what_it_may_and_nothing_else(desk, role):
    client = desk.client({Role.AGENT: desk.agent, Role.LEAD: desk.lead, Role.ADMIN: desk.admin}[role])
    for (method, path), needed in TABLE.items():
        response = await client.request(method, "/api/v1" + re.sub(r"{\w+}", "1", path), json={})
        refused = response.status_code == 403 and response.json()["error"]["code"] == "forbidden"
        may = needed == "-" or Permission(needed) in PERMISSIONS[role]
        assert refused != may, (role.label, method, path, response.status_code)
        assert response.status_code < 500, (method, path, response.text)
