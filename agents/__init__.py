"""The agents that ship with reasonenv, one algorithm a file. Their import name is `reasonenv.agents`."""

if (
    __name__ == "agents"
):  # the bare name belongs to another well-known package; two modules of one file also disagree on classes
    raise ImportError(
        "this folder is the package reasonenv.agents; write `import reasonenv.agents`, not `import agents`"
    )
