"""Sharpening or discovery: the section that says what the initial policy knew of what an agent solves."""

from __future__ import annotations

from reasonenv.measures.discovery import Origin, upper_bound
from reasonenv.report.findings import Setting
from reasonenv.report.sections import Section
from reasonenv.report.text_table import claims_at_k, discoveries

ORIGIN_COLOURS = {Origin.LIKELY: "--base", Origin.SUPPORT: "--c1", Origin.UNSEEN: "--c2"}


def discovery(setting: Setting) -> Section | None:
    """Of the questions that each agent solves, how the initial policy stood to them, and what the placebo shows."""
    claims = [*discoveries(setting), *claims_at_k(setting)]
    known = setting.discovery
    if not setting.findings or (known is None and not claims):
        return None
    data = {"known": known, "claims": claims, "colours": ORIGIN_COLOURS, "upper_bound": upper_bound}
    return Section("Sharpening or discovery?", "discovery", data, "discovery.html.j2")
