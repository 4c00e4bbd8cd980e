"""Benchmarks: what a message costs a server, measured against stock Trio and against C.

Facts. Machines that run benchmarks are shared and drift by tens of percent within minutes. The load generator
competes with the server for the CPU unless it is far cheaper. CPU time per message repeats to about 5 %;
messages per second do not.

Consequence. Only opponents that are measured alternately in one run can be compared, and only by the ratio
within a round. The generator is a process of its own, in C.

Decision. ``python -m tests.bench`` (see ``docs/maintainers/benchmarks.md``). Three kinds of data: workloads
(:mod:`.workloads`), opponents (one file each in :mod:`.opponents`), and the samples of a run
(:mod:`.rounds`), from which ratios (:mod:`.ratios`) and reports (:mod:`.report`) are made. A new opponent is
one new file.
"""
