"""cli: the commands. Each parses, calls an app and prints; docs/cli.md is the contract.

``main`` is the entry point and answers --help without loading anything;
``commands`` is the table of commands, each loaded when it is used;
``options`` are those that several commands share; ``output`` is what is
printed, for people (`--plain`) or programs (`--json`); ``lines`` reads stdin.
"""
