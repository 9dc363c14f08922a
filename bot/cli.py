"""`hotline`: the commands of the contract. `python -m bot.cli --help` lists them."""

from __future__ import annotations

import json
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from bot import cli_desk, cli_export, cli_operations
from bot.crypto import CryptoError, DataKey
from bot.processes import ENGINE_BIN, QUIET, SetupError, Supervisor, model_path
from bot.processes import train as train_model
from bot.settings import ROOT, Settings, settings
from bot.storage import upgrade
from bot.widget_build import build_widget

app = typer.Typer(no_args_is_help=True, add_completion=False, help="吉林12315智能助手")
notice_app = typer.Typer(no_args_is_help=True, help="The notice as data.")
db_app = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(notice_app, name="notice")
app.add_typer(db_app, name="db")
cli_desk.add_to(app)
app.add_typer(cli_export.export_app, name="export")
app.add_typer(cli_operations.app)


def _fail(error: Exception) -> typer.Exit:
    typer.echo(str(error), err=True)
    return typer.Exit(1)


def _ready(config: Settings) -> bool:
    try:
        return (
            httpx.get(f"http://127.0.0.1:{config.port}/readyz", trust_env=False, timeout=3).status_code == 200
        )
    except httpx.HTTPError:
        return False


@contextmanager
def _instance(config: Settings) -> Iterator[str]:
    """The URL of a running instance, or of one that runs as long as the block."""
    url = f"http://127.0.0.1:{config.port}"
    if _ready(config):
        yield url
        return
    os.environ |= {"HOTLINE_RATE_LIMITS": "off", "HOTLINE_DEBUG": "true", "HOTLINE_DESK": "off"}
    config = Settings()  # Read again: the children get the settings of this object.
    upgrade(config.database)
    supervisor = Supervisor(config, train_model(config))
    supervisor.start()
    try:
        yield url
    finally:
        supervisor.stop()


@app.command()
def up() -> None:
    """Train if needed, prepare the database and run engine, gateway and desk until Ctrl-C."""
    config = settings()
    if _ready(config):
        raise _fail(
            SetupError(f"Something already answers on port {config.port}; set HOTLINE_PORT to another.")
        )
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    supervisor: Supervisor | None = None
    try:
        DataKey.load(config)  # Nothing is begun with a key that others can read.
        build_widget()
        model = train_model(config)
        typer.echo("== database")
        upgrade(config.database)
        typer.echo("== starting engine, gateway and desk (about 15 seconds)")
        supervisor = Supervisor(config, model)
        supervisor.start()
        typer.echo(f"\n吉林12315智能助手  http://{config.host}:{config.port}/")
        if config.desk == "on":
            typer.echo(f"值班台            http://{config.desk_host}:{config.desk_port}/")
            # Made only now: a password that a failed start swallowed would be lost.
            if first := cli_desk.first_log_in(config):
                typer.echo(first)
        typer.echo(f"日志 {config.home_dir / 'logs'}    Ctrl-C 停止")
        sys.stdout.flush()
        supervisor.watch()
    except (SetupError, CryptoError) as error:
        raise _fail(error) from error
    except KeyboardInterrupt:
        typer.echo("\n== stopping")
    finally:
        if supervisor:
            supervisor.stop()


@app.command()
def train(force: Annotated[bool, typer.Option(help="train even if nothing has changed")] = False) -> None:
    """Train the engine's model, if anything it depends on has changed."""
    try:
        typer.echo(f"model {train_model(settings(), force=force)}")
    except SetupError as error:
        raise _fail(error) from error


@app.command()
def shell() -> None:
    """Talk to the engine alone (`rasa shell`)."""
    os.chdir(ROOT)
    environment = {**os.environ, **QUIET}
    rasa = str(ENGINE_BIN / "rasa")
    os.execve(rasa, [rasa, "shell", "--model", str(model_path(settings()))], environment)


@app.command()
def ask(text: str) -> None:
    """Ask one question and print the replies."""
    with _instance(settings()) as url, httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        opened = client.post("/api/v1/conversations", json={"channel": "widget"}).json()
        answer = client.post(
            f"/api/v1/conversations/{opened['conversation_id']}/messages",
            json={"client_message_id": str(uuid.uuid4()), "text": text},
            headers={"Authorization": f"Bearer {opened['token']}"},
        ).json()
    if "error" in answer:
        raise _fail(RuntimeError(answer["error"]["message"]))
    for reply in answer["replies"]:
        typer.echo(reply["text"])
        typer.echo(json.dumps(reply.get("answer", {}), ensure_ascii=False), err=True)


@app.command("eval")
def evaluate(
    files: Annotated[list[Path], typer.Argument(help="message or facet TSV, dialogues YAML")],
    url: Annotated[
        str | None, typer.Option(help="a running instance; default: this machine's, or an own one")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
    html: Annotated[Path | None, typer.Option(help="write a page with figures and failed rows")] = None,
    floors: Annotated[Path | None, typer.Option(help="fail when a figure falls under its floor")] = None,
    raise_floors: Annotated[
        bool, typer.Option(help="lift the floors to what was measured; never lower")
    ] = False,
) -> None:
    """Measure accuracy on files in the format of ../shared/eval/README.md."""
    from bot.evaluation import command, samples

    def go(target: str) -> int:
        if raise_floors and floors:
            for line in command.raise_floors(command.measure(files, url=target), floors):
                typer.echo(line)
        return command.run(files, url=target, as_json=as_json, html=html, floors=floors)

    try:
        for path in files:
            samples.read(path)  # A wrong file is told before a model is loaded for it.
        if url:
            raise typer.Exit(go(url))
        with _instance(settings()) as own:
            raise typer.Exit(go(own))
    except (SetupError, command.EvaluationError) as error:
        raise _fail(error) from error


@notice_app.command("check")
def notice_check() -> None:
    """Check that every quote of the policy pack is verbatim in its clause."""
    from bot.policy import PackError, load

    try:
        pack = load()
    except PackError as error:
        raise _fail(error) from error
    cells = sum(len(m.facets) + len(m.points) for m in pack.measures.values())
    typer.echo(f"{pack.notice.number}: {len(pack.measures)} measures, {cells} cells, all quotes verbatim")


@db_app.command("upgrade")
def db_upgrade() -> None:
    """Bring the database to the newest schema."""
    upgrade(settings().database)
    typer.echo("database is up to date")


if __name__ == "__main__":
    app()
