"""A batch full of groups that teach: those that do not are replaced by sampling further problems."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reasonenv.core import Group
from reasonenv.learn.filters import mixed, sound
from reasonenv.learn.policy_gradient import PolicyGradient


class DynamicSampling(PolicyGradient):
    """Learns from N mixed groups, N being `problems_per_iteration` (DAPO, 2503.14476, equation 11).

    Whether a group is mixed is decided by its verdicts, whatever the reward. Those first sampled are kept, and the
    surplus is cut. Where N is every problem of the task there is nothing to replace a group with.
    """

    def keep(self, groups: Sequence[Group]) -> Sequence[Group]:
        return mixed(groups)[: self.config.problems_per_iteration]

    def wanted(self, groups: Sequence[Group]) -> int:
        """As many as will fill the batch if they yield what the problems so far have yielded."""
        found, target = len(mixed(sound(groups))), self.config.problems_per_iteration or 0
        return math.ceil((target - found) * len(groups) / max(found, 1)) if found < target else 0
