"""Commands for whoever runs the hotline: back-up, restore, doctor."""

from __future__ import annotations

import signal
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from bot.operations import doctor as medicine
from bot.operations.backup import BackupError, backup, restore
from bot.settings import settings

app = typer.Typer()


@app.command("backup")
def backup_command(
    target: Annotated[Path, typer.Argument(help="an existing folder, or the file to write")],
) -> None:
    """Back up database and attachments into one file, while the service runs. The data key is not in it."""
    try:
        path = backup(settings(), target, datetime.now(timezone.utc))
    except (BackupError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{path}  {path.stat().st_size:,} bytes")


@app.command("restore")
def restore_command(
    path: Annotated[Path, typer.Argument(help="a back-up")],
    force: Annotated[bool, typer.Option(help="replace a database that holds conversations")] = False,
) -> None:
    """Check a back-up and put it in place of the database. Stop the service first."""
    from bot.cli import _ready

    config = settings()
    if _ready(config):
        typer.echo(f"The service runs on port {config.port}: stop it first.", err=True)
        raise typer.Exit(1)
    try:
        manifest = restore(config, path, force=force)
    except (BackupError, OSError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    counts = manifest["counts"]
    typer.echo(
        f"restored the back-up of {manifest['created_at']}: {counts['conversations']} conversations, "
        f"{counts['messages']} messages, {counts['cases']} cases; the audit chain holds"
    )


@app.command()
def doctor() -> None:
    """Look at this deployment and say what is wrong; exits with 1 if something is broken."""
    found = medicine.examine(settings(), datetime.now(timezone.utc))
    for finding in found:
        typer.echo(f"[{finding.level}] {finding.about}：{finding.says}")
    broken = sum(f.level == medicine.BROKEN for f in found)
    typer.echo(f"共 {len(found)} 项，{broken} 项故障。")
    raise typer.Exit(1 if broken else 0)


@app.command("cluster")
def cluster_command() -> None:
    """PostgreSQL, Redis, nginx, two engines, two gateways and a desk on this machine, until Ctrl-C."""
    from bot.operations.cluster import Cluster
    from bot.processes import SetupError, train

    config = settings()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    running: Cluster | None = None
    try:
        running = Cluster(config, train(config))
        typer.echo("== starting the cluster (about half a minute)")
        running.start()
        typer.echo(
            f"\n吉林12315智能助手  {running.url}/\n值班台            http://127.0.0.1:{config.desk_port}/"
        )
        typer.echo(f"日志 {running.folder / 'logs'}    Ctrl-C 停止")
        sys.stdout.flush()
        running.watch()
    except SetupError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("\n== stopping")
    finally:
        if running:
            running.stop()
