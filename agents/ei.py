"""Expert Iteration: sample, keep what is correct and new, imitate it from the initial policy, repeat.

    R_n = distinct({(Q, S_k) : S_k ~ pi_(n-1)(. | Q), S_k correct, k <= K}),     D_n = R_n u D_(n-1)
    pi_n = argmin_theta  - sum_(Q, S in D_n) sum_t log pi_theta(S_t | Q, S_<t),   theta starting at the INITIAL policy

Source: 2403.04642 (also RFT, 2308.01825; ReST-EM, 2312.06585). Two solutions are the same if their sequence of
arithmetic operations is. An iteration is a round: K samples of every problem, then SFT. Differences: solutions of a
problem are capped, or the easy problems would be most of D; the cap keeps the first ones found.
"""

from __future__ import annotations

from reasonenv.core import Trajectory
from reasonenv.learn.rounds import Rounds, RoundsConfig


class ExpertIteration(Rounds):
    """Imitates its own correct, distinct samples, each round from the initial policy. 2403.04642."""

    Config = RoundsConfig

    def keeps(self, trajectory: Trajectory) -> bool:
        return trajectory.verdict.correct
