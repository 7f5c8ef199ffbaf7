"""`python -m reasonenv` is the command `reasonenv`."""

from reasonenv.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
