"""A batch full of groups that teach: those that do not are replaced by sampling further problems."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reasonenv.core import Group
from reasonenv.learn.filters import nonconstant, usable
from reasonenv.learn.policy_gradient import PolicyGradient


class DynamicSampling(PolicyGradient):
    """Learns from N groups that are not constant, N being `problems_per_iteration` (DAPO, 2503.14476, equation 11).

    Whether a group is constant is decided by its verdicts, whatever the reward. Those first sampled are kept, and the
    surplus is cut. Where N is every problem of the task there is nothing to replace a group with.
    """

    def keep(self, groups: Sequence[Group]) -> Sequence[Group]:
        return nonconstant(groups)[: self.config.problems_per_iteration]

    def groups_missing(self, groups: Sequence[Group]) -> int:
        """As many as will fill the batch if they yield what the problems so far have yielded."""
        count, target = len(nonconstant(usable(groups))), self.config.problems_per_iteration or 0
        return max(0, math.ceil((target - count) * len(groups) / max(count, 1)))
