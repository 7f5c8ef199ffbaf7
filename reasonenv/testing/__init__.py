"""What a user needs to prove an agent: `check_agent(MyAgent)` runs its laws, in one call.

Beneath it are the gradient that an agent takes, and a process small enough to know all of it.
"""

from reasonenv.testing.gradients import gradients, scored
from reasonenv.testing.laws import check_agent
from reasonenv.testing.report import LawBroken, Report
from reasonenv.testing.tiny import TabularPolicy, TinyMDP, expected_update

__all__ = ["LawBroken", "Report", "TabularPolicy", "TinyMDP", "check_agent", "expected_update", "gradients", "scored"]
