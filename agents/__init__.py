"""The agents that ship with reasonenv, one algorithm a file. Their import name is `reasonenv.agents`."""

if __name__ == "agents":  # that name belongs to another well-known package
    raise ImportError("this folder is the package reasonenv.agents; write `import reasonenv.agents`")
