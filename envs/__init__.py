"""The tasks that ship with reasonenv, one family a file. Their import name is `reasonenv.envs`."""

if __name__ == "envs":  # imported under two names, one class would become two
    raise ImportError("this folder is the package reasonenv.envs; write `import reasonenv.envs`")
