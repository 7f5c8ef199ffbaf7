"""What a suite file asks for: every packaged one is accepted, and each cell comes after those that it needs."""

from __future__ import annotations

import tomllib
from collections import defaultdict
from pathlib import Path

import pytest

from reasonenv.catalog import find_agent
from reasonenv.cli import main
from reasonenv.errors import UserError
from reasonenv.experiment.cells import BASE_SAMPLES, BASELINE, ORM, REFERENCES, Cell
from reasonenv.experiment.scheduler import in_order
from reasonenv.experiment.suite import Suite, read_suite, suite_path, suites

PACKAGED = [
    (name, scale)
    for name in suites()
    for scale in tomllib.loads(suite_path(name).read_text()).get("scales", {None: None})
]

FILE = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [1, 4]
keys = { rollouts = 64, problems_per_iteration = 4, samples_per_problem = 4 }
[inits]
sft = { iterations = 3 }
[agents]
ppo = { lr = 1e-3, beta = 0 }
"dense ppo" = { agent = "ppo", beta = 1, reward = "dense" }
"""
JUDGED = """
"orm ppo" = { agent = "ppo", orm = "orm" }
"orm rcrl" = { agent = "rcrl", labels = "orm" }
[orm]
samples_per_problem = 8
"""


def read(folder: Path, text: str) -> Suite:
    (folder / "suite.toml").write_text(text)
    return read_suite(folder / "suite.toml")


def by_agent(suite: Suite) -> dict[str, Cell]:
    return {cell.agent: cell for cell in suite.cells if cell.shown}


@pytest.mark.parametrize(("name", "scale"), PACKAGED)
def test_every_packaged_suite_is_accepted_and_its_cells_stand_in_order(name: str, scale: str | None) -> None:
    suite = read_suite(suite_path(name), scale)
    before: set[str] = set()
    for cell in suite.cells:
        assert before.issuperset(cell.needs)
        before.add(cell.name)
    agents = {cell.agent for cell in suite.cells if cell.shown}
    assert agents > {BASELINE, *REFERENCES}


@pytest.mark.parametrize(("name", "scale"), PACKAGED)
def test_agents_of_a_table_have_equal_rollouts(name: str, scale: str | None) -> None:
    budgets = defaultdict(set)
    for cell in read_suite(suite_path(name), scale).cells:
        config = find_agent(cell.run.agent).Config(**cell.run.agent_keys)
        if cell.shown and cell.agent not in (BASELINE, *REFERENCES) and cell.run.agent != "sft":
            each = config.problems_per_iteration * config.samples_per_problem
            budgets[cell.run.env, cell.init, cell.variant].add(cell.run.iterations * each)
    assert {len(budget) for budget in budgets.values()} == {1}


@pytest.mark.parametrize("name", suites())
def test_a_suite_can_be_read_in_a_terminal_and_its_first_scale_is_small(name: str) -> None:
    text = suite_path(name).read_text()
    assert max(map(len, text.splitlines())) <= 120
    assert next(iter(tomllib.loads(text).get("scales", {"tiny": None}))) == "tiny"


@pytest.mark.parametrize("name", [name for name in suites() if name != "quickstart"])  # which has to end soon
def test_a_suite_about_algorithms_has_five_training_seeds(name: str) -> None:
    suite = read_suite(suite_path(name))
    agents = [cell for cell in suite.cells if cell.agent not in (BASELINE, ORM, *REFERENCES)]
    assert all(len({c.run.seed for c in agents if c.agent == cell.agent}) >= 5 for cell in agents)


def test_a_form_of_an_agent_has_its_settings_and_its_own(tmp_path: Path) -> None:
    cells = by_agent(read(tmp_path, FILE))
    assert cells["dense ppo"].run.agent == "ppo"
    assert cells["dense ppo"].run.env_keys == {"reward": "dense"}
    numbers = {name: cells[name].run.agent_keys for name in ("ppo", "dense ppo")}
    assert numbers["dense ppo"] == {**numbers["ppo"], "beta": 1.0}


def test_the_reward_model_of_a_suite_ranks_rewards_and_labels(tmp_path: Path) -> None:
    suite = read(tmp_path, FILE + JUDGED)
    prior, judge = suite.cells[:2]
    assert (prior.run.agent, judge.run.agent, prior.shown, judge.shown) == ("sft", "orm", False, False)
    assert judge.run.policy == prior.name
    cells = by_agent(suite)
    assert {cells[a].run.rank for a in (BASELINE, "ppo", "orm ppo", "orm rcrl")} == {judge.name}
    assert (cells["ppo"].run.orm, cells["orm ppo"].run.orm) == (None, judge.name)
    assert cells["orm rcrl"].run.agent_keys["labels"] == judge.name
    assert set(cells["orm ppo"].needs) == {prior.name, judge.name}


def test_ceilings_choose_among_the_answers_of_the_initial_policy(tmp_path: Path) -> None:
    cells = by_agent(read(tmp_path, FILE))
    for name in ("majority", "best_of_k"):
        assert cells[name].answers == cells[BASELINE].name
        assert cells[name].run.agent_keys == {"samples_per_problem": 4}
    assert cells["random_tokens"].answers is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ('"orm ppo" = { agent = "ppo", orm = "orm" }', 'orm = "orm": the suite has no table [orm]'),
        ('ei = { orm = "orm", agent = "ei" }' + JUDGED, "ei does not learn from rewards"),
        (
            'maxrl = { orm = "orm", reward = "potential" }' + JUDGED,
            "reward is 'potential'; with orm= it must be one of",
        ),
        ("[orm]\nlrr = 1", "orm: unknown key 'lrr'"),
    ],
)
def test_a_reward_model_that_cannot_be_is_refused_before_any_work(tmp_path: Path, change: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, FILE + change)
    assert message in str(raised.value)
    assert "suite.toml" in str(raised.value)


def test_the_base_budget_is_that_of_the_initial_policy_alone(tmp_path: Path) -> None:
    def budgets(text: str) -> dict[str, int]:
        return {cell.agent: cell.run.base_samples for cell in read(tmp_path, text).cells if cell.run.base_samples}

    assert budgets(FILE) == {BASELINE: BASE_SAMPLES}
    assert budgets(FILE.replace("rollouts = 64", "rollouts = 64, base_samples = 32")) == {BASELINE: 32}
    assert budgets(FILE.replace("rollouts = 64", "rollouts = 64, base_samples = 0")) == {}


def test_where_it_is_measured_anew_in_every_variant_the_initial_policy_has_a_base_budget_in_each(
    tmp_path: Path,
) -> None:
    suite = read(tmp_path, FILE + '[variants.plain]\n[variants.noisy]\nstochastic = "sticky:0.1"\n')
    budgets = [(cell.agent, cell.variant, cell.shown) for cell in suite.cells if cell.run.base_samples]
    assert budgets == [(BASELINE, "plain", True), (BASELINE, "noisy", True)]


def test_every_seed_of_every_agent_starts_from_one_initial_policy(tmp_path: Path) -> None:
    seeds = list(range(5))
    suite = read(tmp_path, FILE.replace("seeds = [0]", f"seeds = {seeds}") + JUDGED)
    agents = [cell for cell in suite.cells if cell.agent not in (BASELINE, "orm", *REFERENCES)]
    start, judge, *_ = suite.cells
    for label in ("ppo", "dense ppo", "orm ppo", "orm rcrl"):
        assert [cell.run.seed for cell in agents if cell.agent == label] == seeds
    assert {cell.run.policy for cell in agents} == {start.name}
    assert {cell.run.rank for cell in agents} == {judge.name}
    # besides: the policy, its reward model, its row, and the references, each once
    assert len(suite.cells) - len(agents) == 3 + len(REFERENCES)
    assert {cell.run.seed for cell in suite.cells if cell not in agents} == {0}


def test_several_initial_policies_are_several_tables_with_seeds_of_their_own(tmp_path: Path) -> None:
    two = "sft = { iterations = 3 }\nother = { iterations = 3, seed = 7 }"
    suite = read(tmp_path, FILE.replace("sft = { iterations = 3 }", two))
    starts = {cell.init: cell for cell in suite.cells if cell.agent == BASELINE}
    assert {init: cell.run.seed for init, cell in starts.items()} == {"sft": 0, "other": 7}
    for cell in suite.cells:
        assert cell.agent in (BASELINE, "majority", "best_of_k") or cell.run.policy == starts[cell.init].name
    with pytest.raises(UserError, match=r"inits\.sft: seed is 'one'; it must be int"):
        read(tmp_path, FILE.replace("iterations = 3", 'iterations = 3, seed = "one"'))
    with pytest.raises(UserError, match="asks twice for"):  # one policy under two names
        read(tmp_path, FILE.replace("sft = { iterations = 3 }", two.replace(", seed = 7", "")))


def test_the_longest_cells_that_can_start_come_first(tmp_path: Path) -> None:
    # ppo draws 64 answers and learns from each 4 times, its dense form of 640 answers as often, sft of 3 x 4 once
    more = FILE.replace('reward = "dense"', 'reward = "dense", rollouts = 640')
    suite = read(tmp_path, more + "sft = { iterations = 3 }\n")
    names = [cell.agent for cell in in_order(suite.cells)]
    assert names[0] == BASELINE
    assert names.index("dense ppo") < names.index("ppo") < names.index("sft")
    before: set[str] = set()
    for cell in in_order(suite.cells):
        assert before.issuperset(cell.needs)
        before.add(cell.name)


def test_a_dry_run_counts_cells_and_answers_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(FILE.replace("seeds = [0]", "seeds = [0, 1]"))
    assert main(["bench", "run", "small.toml", "--dry-run"]) == 0
    rows = {row.rpartition("  ")[0].split("  ")[0]: row.split() for row in capsys.readouterr().out.splitlines()}
    # 64 rollouts of each of two seeds; 4 iterations: greedy answers before, after and 4 samples to 200 problems
    assert rows["ppo"][-3:] == ["2", "128", "2,400"]
    assert rows["majority"][-3:] == ["1", "0", "0"]  # among answers that the initial policy has given
    assert rows["all"][-3] == "8"
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]


@pytest.mark.parametrize("label", [BASELINE, *REFERENCES, ORM])
def test_no_agent_has_the_name_of_a_row_that_the_suite_makes_itself(tmp_path: Path, label: str) -> None:
    with pytest.raises(UserError, match=rf"suite.toml: agents.{label} has the name of a row"):
        read(tmp_path, FILE + f'{label} = {{ agent = "grpo" }}\n')


def test_an_agent_of_a_reference_line_may_have_another_name(tmp_path: Path) -> None:
    text = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
ks = [4]
inits.sft = { iterations = 3 }
agents.vote = { agent = "majority", iterations = 0 }
"""
    cells = by_agent(read(tmp_path, text))
    assert cells["vote"].run.agent == cells["majority"].run.agent == "majority"
    assert cells["vote"].name != cells["majority"].name


def test_rollouts_of_the_suite_are_none_of_an_agent_that_learns_nothing(tmp_path: Path) -> None:
    text = """
envs = ["reasonenv/Chain-Response-v0"]
seeds = [0]
keys = { rollouts = 64 }
inits.sft = { iterations = 3 }
agents.grpo = { problems_per_iteration = 8, samples_per_problem = 4 }
agents.searched = { search = "tree", search_tokens = 64 }
"""
    cells = by_agent(read(tmp_path, text))
    assert cells["grpo"].run.iterations == 2  # 64 / (8 * 4)
    assert (cells["searched"].run.iterations, cells["searched"].planned) == (1, 0)


def test_settings_of_the_command_line_stand_above_the_table_of_the_suite(tmp_path: Path) -> None:
    (tmp_path / "small.toml").write_text(FILE + "[scales.tiny.keys]\neval_problems = 4\n")
    plain = read_suite(tmp_path / "small.toml")
    changed = read_suite(tmp_path / "small.toml", keys={"eval_problems": "3", "operands": "2", "lr": "5e-4"})
    assert {cell.run.eval_problems for cell in plain.cells} == {4}
    assert {cell.run.eval_problems for cell in changed.cells} == {3}
    assert {cell.run.env_keys["operands"] for cell in changed.cells} == {2}
    assert {cell.name for cell in plain.cells}.isdisjoint(cell.name for cell in changed.cells)
    assert by_agent(changed)[BASELINE].run.agent_keys["lr"] == 5e-4
    assert by_agent(changed)["ppo"].run.agent_keys["lr"] == 1e-3  # what an agent says itself holds
    # what is stored is what was run, at the same scale
    (tmp_path / "suite.toml").write_text(changed.source)
    again = read_suite(tmp_path / "suite.toml", changed.scale)
    assert [cell.name for cell in again.cells] == [cell.name for cell in changed.cells]


def test_a_setting_of_the_command_line_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    text = FILE.replace("iterations = 3", "iterations = 3, lr = 1e-3")
    (tmp_path / "small.toml").write_text(text)
    with pytest.raises(UserError, match="lr is set by every initial policy and agent of the suite"):
        read_suite(tmp_path / "small.toml", keys={"lr": "1e-2"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("seeds = [0]", "seeds = [0.5]"), "seeds.0 is 0.5; it must be a valid integer"),
        (("seeds = [0]", "seeds = true"), "seeds is True; it must be a list of int"),
        (("ks = [1, 4]", 'ks = "1"'), "ks is '1'; it must be a list of int"),
        (("ks = [1, 4]", "ks = [1]\nmargin = '2'"), "margin is '2'; it must be float"),
        (("sft = { iterations = 3 }", "sft = 3"), "inits.sft is 3; it must be a table"),
        (("[inits]\nsft = { iterations = 3 }", ""), "inits is missing"),
        (("[inits]", "[scales]\ntiny = 3\n[inits]"), "scales is {'tiny': 3}; it must be tables [scales.NAME]"),
        (("{ lr = 1e-3, beta = 0 }", "{ lr = 'much' }"), "ppo: lr is 'much'; it must be float"),
        (("{ lr = 1e-3, beta = 0 }", "{ lr = -1 }"), "ppo: lr is -1.0; it must be greater than 0"),
    ],
)
def test_a_wrong_type_is_told_with_the_file_and_the_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, FILE.replace(*change))
    assert message in str(raised.value)
    assert str(tmp_path / "suite.toml") in str(raised.value)
