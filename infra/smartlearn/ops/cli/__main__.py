"""`python -m smartlearn.ops.cli` is the `smartlearn` command."""

from smartlearn.ops.cli import main

main()
