"""The documents for operators and callers name everything that there is, and nothing that there is not."""

import re

from prometheus_client.metrics import MetricWrapperBase

from bot.channels import metrics
from bot.conversations.compose import simple
from bot.errors import Problem
from bot.settings import ROOT, Settings

API = (ROOT / "docs" / "api.md").read_text("utf-8")
SETTINGS = (ROOT / "docs" / "settings.md").read_text("utf-8")
OF_PROCESSES = {"HOTLINE_ENGINE_TOKEN", "HOTLINE_ACTIONS_TOKEN", "HOTLINE_ACTIONS_URL"}
OF_TESTS = {"HOTLINE_TEST_POSTGRES", "HOTLINE_SKIP_E2E", "HOTLINE_CRASH_SECONDS"}


def rows(document, heading):
    """The rows of the first table under a heading."""
    section = f"\n{document}".split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n?)+", section, re.M)[0]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[2:]]


def test_every_error_is_documented_with_its_status():
    documented = {code.strip("`"): int(status) for code, status, _ in rows(API, "## Errors")}
    assert documented == {problem.code: problem.status for problem in Problem}


def test_every_error_says_something_to_people():
    assert all(re.search("[\u4e00-\u9fff]", problem.message) for problem in Problem)
    assert len({problem.message for problem in Problem}) == len(Problem)


def test_every_setting_is_documented_with_its_default():
    documented = {name.strip("`"): default.strip("`") for name, default, _ in rows(SETTINGS, "# Settings")}
    assert documented == {
        f"HOTLINE_{name.upper()}": str(field.default) for name, field in Settings.model_fields.items()
    }


def test_every_other_variable_that_the_document_names_exists():
    known = OF_PROCESSES | OF_TESTS | {f"HOTLINE_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"HOTLINE_[A-Z0-9_]+", SETTINGS + API)) == known


async def test_every_endpoint_is_documented_with_a_curl(hotline):
    paths = [*hotline.app.openapi()["paths"], "/healthz", "/readyz", "/metrics"]
    for path, methods in hotline.app.openapi()["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in API
    curls = "\n".join(
        line for block in re.findall(r"```sh\n(.*?)```", API, re.S) for line in block.splitlines()
    )
    for path in paths:
        assert path.replace("{conversation_id}", "$ID") in curls


def test_every_metric_is_documented():
    documented = {re.match(r"`(\w+)", name)[1] for name, _ in rows(API, "## Operation")}
    families = [f for m in vars(metrics).values() if isinstance(m, MetricWrapperBase) for f in m.collect()]
    assert documented == {f.name + ("_total" if f.type == "counter" else "") for f in families}


def test_every_key_of_an_answer_is_in_the_example():
    example = re.search(r"```json\n(.*?)```", API, re.S)[1]
    assert all(f'"{key}"' in example for key in simple("chitchat", "").answer)
