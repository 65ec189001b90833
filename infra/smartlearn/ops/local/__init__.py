"""The stack as supervised processes on this machine: what `smartlearn up` runs."""
