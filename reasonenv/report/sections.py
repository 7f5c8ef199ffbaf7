"""The sections of the page, in reading order.

A section is a function from the findings of one table, a `Setting`, to a `Section`, or to None where there is nothing
to say. A plug-in adds one by an entry point of the group `reasonenv.sections`; it stands behind those of the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError
from reasonenv.registry import Registry
from reasonenv.report.findings import Setting


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading of its own.

    `template` names a file in `templates/`; a plug-in may give the `Path` of its own file instead. It receives the
    fields of `data`, and `level`, the level of its heading; all text is escaped. `blocks.html.j2` draws captions,
    tables and lists.
    """

    title: str
    anchor: str  # by which a link names it
    data: Mapping[str, Any]
    template: str | Path = "blocks.html.j2"


_BUILTIN = {
    "results": "reasonenv.report.results:results",
    "curves": "reasonenv.report.curves:curves",
    "pairs": "reasonenv.report.pairs:pairs",
    "discovery": "reasonenv.report.results:discovery",
    "diversity": "reasonenv.report.results:diversity",
    "verdicts": "reasonenv.report.results:verdicts",
    "columns": "reasonenv.report.columns:columns",
    "cost": "reasonenv.report.results:cost",
    "agent_settings": "reasonenv.report.results:agent_settings",
    "answers": "reasonenv.report.answers:answers",
}
SECTIONS: Registry[Callable[[Setting], Section | None]] = Registry("section", "reasonenv.sections", _BUILTIN)


def sections(setting: Setting) -> list[Section]:
    """All that there is to say of a setting."""
    parts = []
    for name in SECTIONS:
        section = _section(name, setting)
        if section is not None:
            parts.append(section)
    return parts


def _section(name: str, setting: Setting) -> Section | None:
    """A section by its name. Raises `UserError` that names a user's one if it fails or gives anything else."""
    section: Any = SECTIONS.call(name, setting)
    if section is not None and not isinstance(section, Section):
        raise UserError(f"section {name!r} is {section!r}; it must be a Section, or None where there is nothing to say")
    return section
