"""Commands for whoever runs the hotline: back-up, restore, doctor."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated

import typer

from bot.crypto import CryptoError
from bot.operations import doctor as medicine
from bot.operations.backup import BackupError, backup, prune, restore
from bot.settings import settings

app = typer.Typer()


@app.command("backup")
def backup_command(
    target: Annotated[Path, typer.Argument(help="an existing folder, or the file to write")],
    keep: Annotated[
        int,
        typer.Option(min=0, help="leave the newest N back-ups in the folder and remove older ones; 0: all"),
    ] = 0,
) -> None:
    """Back up database and attachments into one file, while the service runs. The data key is not in it.

    Exits with 1 when there is no back-up, and with 2 when there is one but the audit chain does not hold.
    """
    try:
        path, manifest = backup(settings(), target, datetime.now(timezone.utc))
        removed = prune(path.parent, keep) if keep and target.is_dir() else []
    except (BackupError, CryptoError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{path}  {path.stat().st_size:,} bytes")
    for old in removed:
        typer.echo(f"removed {old}")
    if manifest["audit"]["broken"]:
        typer.echo(manifest["audit"]["broken"], err=True)
        raise typer.Exit(2)


@app.command("restore")
def restore_command(
    path: Annotated[Path, typer.Argument(help="a back-up")],
    force: Annotated[bool, typer.Option(help="replace a database that is in use")] = False,
    broken_audit: Annotated[
        bool, typer.Option("--broken-audit", help="take a back-up whose audit chain was broken already")
    ] = False,
) -> None:
    """Check a back-up and put it in place of the database. Stop the service first."""
    config = settings()
    for name, url in medicine.doors(config).items():
        if medicine.answers(url):
            typer.echo(f"The {name} answers at {url}: stop the service first.", err=True)
            raise typer.Exit(1)
    try:
        manifest = restore(config, path, force=force, broken_audit=broken_audit)
    except (BackupError, CryptoError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    counts, chain = manifest["counts"], manifest["audit"]
    holds = chain["broken"] or f"the audit chain holds up to entry {chain['last']}"
    typer.echo(
        f"restored the back-up of {manifest['created_at']}: {counts['conversations']} conversations, "
        f"{counts['messages']} messages, {counts['cases']} cases; {holds}"
    )
    typer.echo("now: hotline db upgrade, hotline doctor, and start the service")


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
    faults: Annotated[bool, typer.Option("--faults", help="leave out what is well")] = False,
) -> None:
    """Look at this deployment and say what is wrong, why it matters and what to do; exits with 1 for a fault (故障)."""
    found = medicine.examine(settings(), datetime.now(timezone.utc))
    count = {level: sum(f.level == level for f in found) for level in (medicine.BROKEN, medicine.LOOK)}
    shown = [f for f in found if not faults or f.level != medicine.OK]
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in shown], ensure_ascii=False, indent=1))
    else:
        for finding in shown:
            typer.echo(f"[{finding.level}] {finding.about}：{finding.says}")
            if finding.do:
                typer.echo(f"        影响：{finding.why}\n        处理：{finding.do}")
        typer.echo(f"共 {len(found)} 项，{count[medicine.BROKEN]} 项故障，{count[medicine.LOOK]} 项注意。")
    raise typer.Exit(1 if count[medicine.BROKEN] else 0)


@app.command("nginx")
def nginx_command(
    gateway: Annotated[list[str], typer.Option(help="HOST:PORT of a gateway; give each")],
    actions: Annotated[list[str], typer.Option(help="HOST:PORT of a gateway's action webhook; give each")],
    listen: Annotated[str, typer.Option(help="HOST:PORT for citizens")] = "0.0.0.0:443",
    actions_port: Annotated[int, typer.Option(help="loopback port that the engines call")] = 5055,
    certificate: Annotated[Path | None, typer.Option(help="PEM file with its chain; without: no TLS")] = None,
    certificate_key: Annotated[Path | None, typer.Option(help="PEM file")] = None,
    desk_listen: Annotated[str, typer.Option(help="internal HOST:PORT for staff; without: no desk")] = "",
    desk: Annotated[str, typer.Option(help="HOST:PORT of the desk's process")] = "127.0.0.1:8001",
    run: Annotated[Path, typer.Option(help="folder for pid and temporary files")] = Path(
        "/run/hotline-nginx"
    ),
) -> None:
    """Print nginx's configuration for this deployment (docs/deployment.md)."""
    from bot.operations import nginx

    if (certificate is None) != (certificate_key is None):
        raise typer.BadParameter("--certificate and --certificate-key belong together")
    tls = nginx.Tls(certificate, certificate_key) if certificate and certificate_key else None
    staff = nginx.Desk(desk_listen, desk) if desk_listen else None
    made = nginx.render(
        run, listen, gateways=gateway, actions=actions, actions_port=actions_port, tls=tls, desk=staff
    )
    typer.echo(made, nl=False)


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
