"""Best-of-n distillation: draw n responses, imitate the best, draw again from what came of it.

    pi_(i+1) moves along  E_Q E_(S_1..S_n ~ pi_i) [ grad log pi(S* | Q) ],   S* = argmax_k R(S_k)

The mean is the gradient of sum_S pi_n(S | Q) log pi(S | Q), where pi_n is the distribution of best-of-n answers:
pi_n(S) = P(R <= R(S))^n - P(R < R(S))^n where all rewards differ. R is the environment's reward, or with `orm=` that of
a reward model; with rewards 0 and 1 a problem with a right answer teaches one of them.

Source: RAFT, 2304.06767 (SFT on the best of K); BOND, 2407.14622, distils the same distribution. Differences: RAFT
makes several steps on its set, here an iteration is one step, so the samples are always of today's policy; a response
that earned nothing is not imitated, even if it is the best; of equals a lot decides that depends on their tokens alone.
RSO (2309.06657) accepts samples in proportion to exp(R / beta), to approach the optimum under a KL constraint, where
this takes the best. BOND adds a backward KL and an anchor that moves.
"""

from __future__ import annotations

from collections.abc import Sequence

from reasonenv.core import Group, Trajectory
from reasonenv.learn.agent import Budget, Config, Metrics
from reasonenv.learn.filters import usable
from reasonenv.learn.imitation import Imitation
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.seeding import derive_seed
from reasonenv.settings import record, setting


@record
class BestOfNConfig(Config):
    """One iteration is one optimiser step."""

    lr: float = setting(1e-4, "learning rate")
    samples_per_problem: int = setting(8, "n: samples of which the best is imitated (RAFT: 8)")
    temperature: float = setting(1.0, "of the samples", gt=0)


class BestOfN(Imitation):
    """Imitates the best of n samples of each problem. 2304.06767."""

    Config = BestOfNConfig
    config: BestOfNConfig
    learns_from_rewards = True

    def learn(self, groups: Sequence[Group], budget: Budget, observer: Observer = SILENT) -> Metrics:
        best = []
        for group in usable(groups):
            sample = self.best(group.trajectories)
            if sample.ret > 0:
                best.append(Group(group.problem, (sample,)))
        share = {"groups/kept": len(best) / len(groups)}
        if not best:
            return share | {"updates": 0.0}  # nothing is worth imitating: the policy stays as it is
        return share | self.imitate(best, self.config.lr, observer)

    def best(self, samples: Sequence[Trajectory]) -> Trajectory:
        """The sample that earned most."""
        return max(samples, key=lambda t: (t.ret, derive_seed(self.seed, "lot", *t.tokens.tolist())))
