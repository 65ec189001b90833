"""The `smartlearn` command.

Exit codes: 0 all is well; 1 a check failed or nothing runs; 2 a flag, setting, file or query is wrong; 3 the
broker or the store cannot be reached; 130 interrupted.
"""

from smartlearn.ops.cli.main import main, run

__all__ = ["main", "run"]
