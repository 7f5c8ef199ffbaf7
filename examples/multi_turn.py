"""A game in turns, trained: three guesses at a digit. Whoever halves what is left wins 7 of 9; it begins at 3 of 10."""

import reasonenv


def guided(text, problem, session):  # the last turn of the policy, and a dict that lasts as long as the episode
    session["guesses"] = session.get("guesses", 0) + 1
    if text == problem.answer or session["guesses"] == 3:
        return text == problem.answer  # a verdict ends the episode; a text is the environment's turn
    return "higher" if text < problem.answer else "lower"


def game(*, split="train"):
    digits = [reasonenv.Problem(f"{split}/{n}", "?", str(n), meta={"answer_form": "{}"}) for n in range(1, 10)]
    return reasonenv.Task("Game", split, digits, lambda text, problem: False, max_tokens=30, replies=(guided,))


prior = reasonenv.train("sft", game, iterations=10, lr=3e-3, quiet=True)  # writes a digit and ends its turn
run = reasonenv.train("grpo", game, policy=prior, iterations=50, lr=1e-3, beta=0, problems_per_iteration=18, quiet=True)
assert run.metrics()["reward"].iloc[-5:].mean() > 0.4, run.metrics()["reward"].tolist()
