"""What users may decide about equality: how close numbers must be, and what units and percent signs mean."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction

from reasonenv.errors import UserError, check_known
from reasonenv.verify.numeric import Quantity

UNITS = ("ignored", "same")
PERCENT = ("either", "number", "fraction")


@dataclass(frozen=True)
class Rules:
    """How two answers are compared; `docs/verifier.md` has the reasons for the defaults.

    tolerance: largest difference of two numbers, relative to the larger one; 0 compares exactly.
    units: `ignored`, or `same`: both have the same unit, or none.
    percent: what n% is beside a number without the sign. `number`: n. `fraction`: n/100. `either`: n/100, or n where
        that is above 1, because questions that ask for percent have golds without the sign.
    """

    tolerance: float = 0.0
    units: str = "ignored"
    percent: str = "either"

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < 1:
            raise UserError(f"tolerance={self.tolerance} must be at least 0 and below 1; 0.001 accepts 0.1 percent")
        check_known("units", str(self.units), UNITS)
        check_known("percent", str(self.percent), PERCENT)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Rules:
        return Rules(**json.loads(text)) if text else DEFAULT

    def same(self, a: Quantity, b: Quantity) -> bool:
        """Whether two numbers are equal under these rules. Symmetric."""
        if a.percent == b.percent or self.percent == "number":
            equal = self.close(a.value, b.value)
        else:
            equal = self._percent(*((a.value, b.value) if a.percent else (b.value, a.value)))
        if not equal or (a.name and b.name and a.name != b.name):  # x = 5 is not y = 5
            return False
        return self.units == "ignored" or a.unit == b.unit

    def _percent(self, percent: Fraction, number: Fraction) -> bool:
        """Whether a percentage is a number without the sign."""
        if self.close(percent / 100, number):
            return True
        return self.percent == "either" and abs(number) > 1 and self.close(percent, number)

    def close(self, a: Fraction, b: Fraction) -> bool:
        """Whether two exact numbers differ by no more than the tolerance."""
        if self.tolerance == 0:
            return a == b
        return abs(a - b) <= Fraction(self.tolerance) * max(abs(a), abs(b))


DEFAULT = Rules()
