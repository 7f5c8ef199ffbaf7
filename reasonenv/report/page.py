"""One self-contained HTML page from a suite: no request leaves it, and nothing a policy wrote can run in it."""

from __future__ import annotations

import base64
import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError

from reasonenv.errors import UserError
from reasonenv.report.findings import Setting
from reasonenv.report.formats import FILTERS, visible
from reasonenv.report.load import Suite
from reasonenv.report.pairs import across
from reasonenv.report.sections import Section, sections

FOLDER = Path(__file__).parent
EMBEDDED = 1_000_000  # bytes of a file that the page offers for download; a longer one lies beside it


def render(suite: Suite, settings: Sequence[Setting], tables: Mapping[str, str]) -> str:
    """The page, which offers the files `tables` for download.

    A pure function of its arguments: the same suite gives the same bytes.
    """
    parts = [_part([across(settings)])]
    for number, setting in enumerate(settings, start=1):
        if len(settings) == 1:
            parts.append(_part(sections(setting)))
        else:  # with anchors that no other setting has
            shown = [replace(each, anchor=f"{each.anchor}-{number}") for each in sections(setting)]
            parts.append(_part(shown, setting.name, f"setting-{number}"))
    parts.append(_part([suite_file(suite), environment(suite)]))
    script = text_of("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return template("page.html.j2").render(
        suite=suite,
        parts=parts,
        missing=_missing(settings),
        downloads={name: _data_url(content) for name, content in tables.items()},
        style=text_of("report.css"),
        script=script,
        digest=f"sha256-{digest}",  # by which a Content-Security-Policy lets this script run and no other
    )


@cache
def text_of(name: str) -> str:
    """`report.css` or `report.js`, which stand in the page itself."""
    return (FOLDER / name).read_text(encoding="utf-8")


@cache
def _templates() -> Environment:
    """Knows the templates of the package and opens no other file."""
    loader = FileSystemLoader(FOLDER / "templates")
    templates = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    templates.filters |= FILTERS
    templates.globals["infinity"] = math.inf
    templates.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return templates


def _finalize(value: Any) -> Any:
    """What a template writes: a text that is no HTML of ours is made visible, and escaped after that."""
    return visible(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def template(source: str | Path) -> Template:
    """A template of the package by its name, or the one in the file of a plug-in."""
    if isinstance(source, Path):
        return _templates().from_string(source.read_text(encoding="utf-8"))
    return _templates().get_template(source)


def _part(shown: Sequence[Section | None], title: str = "", anchor: str = "") -> dict[str, Any]:
    """Sections under a common heading, if it has one, with their HTML."""
    level = 3 if title else 2
    rendered = []
    for section in shown:
        if section is not None:
            data = {**section.data, "level": level, "anchor": section.anchor}
            try:
                html = template(section.template).render(data)
            except (TemplateError, OSError, TypeError, ValueError) as error:
                raise UserError(f"section {section.title!r}: its template and its data do not fit: {error}") from error
            rendered.append((section, html))
    return {"title": title, "anchor": anchor, "sections": rendered, "level": level}


def _data_url(table: str) -> str:
    """A link that holds the file; empty if it is too long."""
    content = table.encode(errors="replace")
    if len(content) > EMBEDDED:
        return ""
    return f"data:text/csv;base64,{base64.b64encode(content).decode()}"


def _missing(settings: Sequence[Setting]) -> list[str]:
    lines = []
    for setting in settings:
        for item in setting.missing:
            lines.append(item if len(settings) == 1 else f"{setting.name}: {item}")
    return lines


def suite_file(suite: Suite) -> Section | None:
    """The suite as its author has written it."""
    if not suite.source:
        return None
    return Section("Suite file", "suite-file", {"source": suite.source}, "source.html.j2")


def environment(suite: Suite) -> Section:
    """What the numbers were made with."""
    record, seeds, cells = suite.record, set[int](), []
    for cell in suite.cells:
        seeds.add(cell.seed)
        cells.append(f"{cell.name} ({cell.status})")
    time = "not ended"
    if record.seconds is not None:
        time = f"{record.seconds / 60:.1f} minutes ({record.seconds:.0f} s)"
    entries = {
        "command": record.command,
        "hardware": record.hardware,
        "seeds": ", ".join(map(str, sorted(seeds))),
        "time": time,
        **record.versions,
        **_machines(suite),
    }
    return Section("Environment", "environment", {"entries": entries, "cells": cells}, "environment.html.j2")


def _machines(suite: Suite) -> dict[str, str]:
    """What the cells ran on; where they differ, which value how many of them had."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for cell in suite.cells:
        for key, value in cell.manifest.items():
            counts[key][value] += 1
    described = {}
    for key, values in counts.items():
        described[key] = "; ".join(values)
        if len(values) > 1:
            described[key] = "; ".join(f"{value} ({count} cells)" for value, count in values.items())
    return described
