"""What is drawn of a curve, and how much of the page that takes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from reasonenv.errors import UserError
from reasonenv.report import write_report
from reasonenv.report.charts import POINTS, thinned
from reasonenv.report.findings import Setting
from reasonenv.report.sections import SECTIONS, Section


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 50))
def test_a_thinned_line_keeps_its_ends_and_its_extremes(values: list[float], most: int) -> None:
    points = [(float(i), value) for i, value in enumerate(values)]
    line = thinned(points, most)
    assert len(line) <= most or line == points
    assert (line[0], line[-1]) == (points[0], points[-1])
    assert line == sorted(set(line))  # points of the line in their order, none twice
    assert set(line) <= set(points)
    heights = [height for _, height in line]
    assert (min(heights), max(heights)) == (min(values), max(values))


def test_ten_thousand_rows_make_a_page_of_two_megabytes(small_suite: Callable[..., Path]) -> None:
    folder = small_suite()
    for path in (folder / "cells").glob("*/metrics.jsonl"):
        if path.read_text():
            rows = []
            for step in range(1, 10_001):
                used = {"rollouts": 8 * step, "tokens": 90 * step, "updates": step, "seconds": 0.5 * step}
                values = {"reward": (step * 7919 % 997) / 997, "entropy": 1 / step, "eval/greedy_accuracy": 0.5}
                rows.append(json.dumps({"iteration": step, **used, **values}))
            path.write_text("\n".join(rows) + "\n")
    page = write_report(folder).read_text(encoding="utf-8")
    assert len(page) < 2_000_000
    assert "curves.csv lies beside this page" in page  # it has every point, and is too long for a link
    for path in re.findall(r'<path class="line" [^>]*? d="M([^"]*)"', page):
        assert len(path.split("L")) <= POINTS


def test_a_section_is_a_function_and_may_bring_its_template(
    small_suite: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "mine.html.j2"
    template.write_text("<p>{{ words }}, level {{ level }}</p>")

    def new(setting: Setting) -> Section:
        return Section("A new section", "new", {"words": f"<{setting.env}>"}, template)

    monkeypatch.setattr(SECTIONS, "_entries", {**SECTIONS._entries})
    SECTIONS.register("new", new)
    page = write_report(small_suite()).read_text(encoding="utf-8")
    assert '<section id="new"><h2>A new section</h2>' in page
    assert "<p>&lt;reasonenv/Chain-Response-v0&gt;, level 2</p>" in page
    assert '<a href="#new">A new section</a>' in page
    # behind those of the package, in their order
    order = re.findall(r'<section id="([\w-]+)"><h2>', page)
    assert order == ["results", "curves", "pairs", "discovery", "diversity", "verdicts", "cost", "answers", "new",
                     "environment"]  # fmt: skip


def test_a_name_opens_no_file_outside_the_templates(
    small_suite: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "outside.html.j2"
    template.write_text("<p>outside</p>")
    monkeypatch.setattr(SECTIONS, "_entries", {**SECTIONS._entries})
    SECTIONS.register("outside", lambda setting: Section("Outside", "outside", {}, str(template)))
    with pytest.raises(UserError, match="section 'Outside': its template"):
        write_report(small_suite())


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (lambda setting: 1 / 0, "section 'mine' failed: ZeroDivisionError"),
        (lambda setting: "text", "section 'mine' is 'text'; it must be a Section"),
        (
            lambda setting: Section("Mine", "mine", {"tables": [("a", "b")]}),
            "section 'Mine': its template and its data",
        ),
    ],
)
def test_a_section_of_a_user_that_fails_is_named(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, section: Any, message: str
) -> None:
    monkeypatch.setattr(SECTIONS, "_entries", {**SECTIONS._entries, "mine": section})
    with pytest.raises(UserError, match=message):
        write_report(finished, out=tmp_path / "out")
