"""`reasonenv list`: environments, agents, policies and suites by name."""

from __future__ import annotations

from typing import Annotated

import typer

from reasonenv import catalog
from reasonenv.commands.command import AsJson, application
from reasonenv.errors import unknown
from reasonenv.terminal import show, show_json

app = application()


@app.command("list", epilog="example: reasonenv list agents")
def list_names(
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="envs, agents, policies or suites (left out: everything)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what there is."""
    from reasonenv.experiment.suite import suites
    from reasonenv.policy.pretrained import KNOWN

    names = {
        "envs": dict.fromkeys(catalog.environment_ids(), ""),
        "agents": {name: catalog.agent_summary(name) for name in sorted(catalog.AGENTS)},
        "policies": dict.fromkeys(KNOWN, ""),
        "suites": suites(),
    }
    if kind is not None:
        if kind not in names:
            raise unknown("kind", kind, names)
        names = {kind: names[kind]}
    if as_json:
        show_json(names, indent=1)
        return
    for title, rows in names.items():
        show(title)
        for name, text in rows.items():
            show(f"  {name:<32} {text}".rstrip())
