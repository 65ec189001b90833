"""The roof: the `smartlearn` command and the stack that it runs."""
