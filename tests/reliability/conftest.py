"""The two deployments, started once each; and the check that docs/reliability.md shows what this run has shown."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from bot.crypto import DataKey, set_data_key
from bot.operations.cluster import Cluster, free_port
from bot.processes import Supervisor, train
from bot.settings import ROOT, Settings
from bot.storage import upgrade
from tests.reliability import table
from tests.reliability.cells import MARK, cell_of
from tests.reliability.deployments import DEPARTMENT, HOOK_SECRET, SMS_KEY, Alone, Desk, Many, Records
from tests.reliability.disk import Disk
from tests.reliability.outside import Outside

FOLDER = Path(__file__).parent
RUN = pytest.StashKey[table.Run]()


def _model() -> Path:
    return Path(os.environ.get("HOTLINE_MODEL") or ROOT / "models")


@pytest.fixture(scope="session")
def model() -> Path:
    """The trained model."""
    if os.environ.get("HOTLINE_SKIP_E2E") == "1":
        pytest.skip("HOTLINE_SKIP_E2E=1")
    return train(Settings(model=_model()))


@pytest.fixture(scope="session")
def key() -> Iterator[str]:
    """One data key for both deployments, so that this process can read what either has stored."""
    secret = os.urandom(32)
    set_data_key(DataKey(secret))
    yield base64.b64encode(secret).decode()
    set_data_key(None)


@pytest.fixture(scope="session")
def alone(model: Path, key: str) -> Iterator[Alone]:
    """One machine, on a disk of its own and with its own copy of the model."""
    home = Path(tempfile.mkdtemp(prefix="hotline-alone-"))
    disk = Disk(home)
    sms, hook = Outside(), Outside()
    own_model = home / "model.tar.gz"
    shutil.copy(model, own_model)
    (home / "hook.secret").write_text(HOOK_SECRET, "utf-8")
    reached = {"departments": {DEPARTMENT: {"url": hook.url + "/push", "secret_file": "hook.secret"}}}
    (home / "departments.yml").write_text(yaml.safe_dump(reached, allow_unicode=True), "utf-8")
    config = Settings(
        home=home, model=own_model, database_url="", key=key, engine_url="", rate_limits="off", debug=False,
        port=free_port(), engine_port=free_port(), actions_port=free_port(), desk_port=free_port(),
        sms_gateway="kannel", sms_url=sms.url + "/cgi-bin/sendsms", sms_user="u", sms_password="p",
        sms_secret=SMS_KEY, quiet_hours="",
    )  # fmt: skip
    upgrade(config.database)
    supervisor = Supervisor(config, own_model)
    watching = threading.Thread(target=supervisor.watch)
    records: Records | None = None
    http = httpx.Client(base_url=f"http://127.0.0.1:{config.port}", trust_env=False, timeout=40)
    try:
        sms.start()
        hook.start()
        supervisor.start()
        watching.start()
        records = Records(config.database)
        desk = records.staff(f"http://127.0.0.1:{config.desk_port}", "alone")
        yield Alone(config, supervisor, http, records, desk, disk, sms, hook)
    finally:
        supervisor.stop()
        if watching.ident:
            watching.join()
        http.close()
        if records:
            records.close()
        sms.stop()
        hook.stop()
        disk.unmount()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def many(model: Path, key: str) -> Iterator[Many]:
    """The scaled-out form, with a home that PostgreSQL's own user can reach."""
    home = Path(tempfile.mkdtemp(prefix="hotline-many-"))
    home.chmod(0o711)
    config = Settings(
        home=home, model=model, database_url="", key=key, engine_url="", rate_limits="on",
        conversations_per_minute=100_000, port=free_port(), desk_port=free_port(),
    )  # fmt: skip
    cluster = Cluster(config, model)
    records: Records | None = None
    clients: list[httpx.Client] = []
    try:
        cluster.start()
        records = Records(cluster.database_url)
        ports = [config.port, *(cluster.port_of(f"gateway{n}") for n in range(2))]
        clients = [httpx.Client(base_url=f"http://127.0.0.1:{p}", trust_env=False, timeout=40) for p in ports]
        desk: Desk = records.staff(f"http://127.0.0.1:{config.desk_port}", "many")
        yield Many(cluster, clients[0], clients[1:], records, desk)
    finally:
        for client in clients:
            client.close()
        if records:
            records.close()
        cluster.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(autouse=True)
def deployment() -> None:
    """The processes have their own; see `alone` and `many`."""


@pytest.fixture(autouse=True)
def logged() -> None:
    """The processes log to files."""


# -- the document --------------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", f"{MARK}(row, column, promise): a cell of the failure matrix")
    config.stash[RUN] = table.Run()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if FOLDER in item.path.parents:
            # The first test of a row does the whole outage, and that of a deployment starts it as well.
            item.add_marker(pytest.mark.timeout(600))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = (yield).get_result()
    if (cell := cell_of(item)) and (report.when == "call" or report.outcome != "passed"):
        item.config.stash[RUN].note(cell, report.outcome)


def pytest_sessionfinish(session: pytest.Session) -> None:
    run = session.config.stash[RUN]
    if not run.outcomes:
        return
    run.write(table.RESULTS)
    if session.config.option.collectonly or session.exitstatus not in (0, 1):
        return
    if trouble := table.differences(table.DOCUMENT.read_text("utf-8"), run):
        reporter = session.config.pluginmanager.get_plugin("terminalreporter")
        for line in trouble:
            reporter.write_line(f"docs/reliability.md: {line}", red=True)
        session.exitstatus = 1
