"""`reasonenv play`: a person takes the actions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from reasonenv import catalog
from reasonenv.commands.command import Environment, SettingsCommand, application, settings
from reasonenv.terminal import show

if TYPE_CHECKING:
    from reasonenv.mdp.env import ReasoningEnv

app = application()


@app.command("play", cls=SettingsCommand, epilog="example: reasonenv play reasonenv/Chain-Step-v0 operands=4")
def play(
    context: typer.Context,
    env: Environment,
    problem: Annotated[int, typer.Option(help="which problem")] = 0,
) -> None:
    """Type tokens, steps or a response yourself, and see what they earn."""
    from reasonenv.experiment.config import environment_keys
    from reasonenv.mdp.make import make_env

    task, granularity = catalog.parse_env_id(env)
    played = make_env(task, granularity, render_mode="ansi", **environment_keys(task, settings(context)))
    _, info = played.reset(options={"problem": problem})
    unit = {"token": "characters, each of their tokens is an action", "step": "a step", "response": "the response"}
    show(*info["question"].split("\n"), "")
    show(f"type {unit[granularity]}; an empty line ends the response; Ctrl-D leaves")
    if info["response"]:
        show(f"  so far {info['response']!r}")
    over = False
    while not over:
        try:
            text = input("> ")
        except EOFError:
            show("")
            return
        over = _act(played, text)
    show("", *str(played.render()).split("\n"))


def _act(env: ReasoningEnv, text: str) -> bool:
    """Takes what a person types as actions and shows what they led to. True when the episode is over."""
    tokenizer = env.mdp.tokenizer
    ids = tokenizer.encode(f"{text}\n") if text else [env.mdp.end_id]
    if env.granularity == "response":
        ids = tokenizer.encode(text.replace("\\n", "\n"))
    actions: list[Any] = ids if env.granularity == "token" else [ids]
    for action in actions:
        _, reward, terminated, truncated, info = env.step(action)
        if reward or terminated or truncated or env.granularity != "token":
            show(f"  reward {reward:+.3f} {info['reward_terms']}  terminated={terminated} truncated={truncated}")
        if env.mdp.stochastic:
            show(f"  so far {info['response']!r}")
        if terminated or truncated:
            verdict = info["verdict"]
            show(f"  verdict {verdict.reason}: found {verdict.extracted!r}, gold {verdict.gold!r}")
            return True
    return False
