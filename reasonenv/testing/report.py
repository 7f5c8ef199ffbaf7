"""What came of the laws, to be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What came of one law. `error` is None where it was not tried, and `note` says why."""

    law: str
    claim: str
    error: float | None
    limit: float
    note: str = ""

    @property
    def broken(self) -> bool:
        return self.error is not None and not self.error <= self.limit

    def __str__(self) -> str:
        state, measured = "skipped", self.note
        if self.error is not None:
            state = "BROKEN" if self.broken else "holds"
            measured = f"{self.error:.3g} (limit {self.limit:g}) {self.note}"
        return f"{state:<8} {self.law:<14} {self.claim}: {measured.rstrip()}"


@dataclass(frozen=True)
class Report:
    """All laws, one a line."""

    agent: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        return tuple(f.law for f in self.findings if f.broken)

    @property
    def skipped(self) -> tuple[str, ...]:
        return tuple(f.law for f in self.findings if f.error is None)

    def __str__(self) -> str:
        verdict = f"breaks {', '.join(self.broken)}" if self.broken else "obeys its laws"
        return "\n  ".join((f"{self.agent} {verdict}", *map(str, self.findings)))


class LawBroken(AssertionError):
    """An agent breaks a law; the message is the report."""

    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report
