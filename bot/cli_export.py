"""`hotline export …`: what leaves the database as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

export_app = typer.Typer(no_args_is_help=True, help="What leaves the database as a file.")


@export_app.callback()
def _group() -> None:
    """Keeps `reviewed` a command of its own while it is the only one."""


@export_app.command()
def reviewed(
    out: Annotated[
        Path | None, typer.Option(help="file to write; default: a new one in the home; never in nlu_data")
    ] = None,
) -> None:
    """Write what staff labelled as proposed examples for nlu_data, without personal data."""
    from bot import audit
    from bot.conversations.turns import utc_now
    from bot.database import sessions
    from bot.desk import proposals, reviews
    from bot.settings import settings

    now = utc_now()
    reviews.gather_all(sessions(), utc_now)
    path = out or settings().home_dir / f"reviewed-{now:%Y%m%d-%H%M%S}.yml"
    try:
        with sessions().begin() as session:
            done = proposals.export(session, path, now=now)
            detail = {"written": len(done.written), "refused": len(done.refused)}
            audit.record(session, "system", "reviews.export", f"file:{path.name}", detail, now=now)
    except proposals.ExportRefused as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    for review_id, kinds in done.refused.items():
        typer.echo(f"review {review_id} not written, still holds: {'、'.join(kinds)}", err=True)
    if done.known:
        typer.echo(f"{len(done.known)} are in nlu_data or among these already")
    if done.written:
        typer.echo(f"{len(done.written)} proposed examples in {done.path}")
    else:
        typer.echo("nothing to export: no review is labelled that can be written")
    raise typer.Exit(1 if done.refused else 0)
