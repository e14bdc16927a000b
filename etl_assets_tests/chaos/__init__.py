"""Faults on purpose: `make test` runs a short form of each suite, `make chaos` the long one."""
