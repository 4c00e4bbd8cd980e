"""Registered I/O by itself, usable without Trio: the function table, its providers, and the choice of one."""
