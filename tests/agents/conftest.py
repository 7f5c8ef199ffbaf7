"""Real groups for the laws: those of the tests of learning."""

from tests.learn.conftest import groups, mdp, policy
