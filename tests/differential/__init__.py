"""Random short programs on stock Trio and on trio_rio: what stock never does, trio_rio must not do either.

Facts. A program of a few tasks and sockets has many right outcomes: Trio leaves open which of two tasks is first, and
the system how much a call moves. Waiting for the machine makes no outcome certain.

Consequence. One trace of stock is no standard for each other trace; and a trace that differs once may have been slow.

Decision. A program goes in phases: each task that has a step in the phase starts it, then everything runs until all
tasks are blocked, and then what ended, and how, is noted. Most phases have one step, so that stock leaves one trace. A
trace that differs is played again, slowly, on both sides: it is a difference if stock leaves none like it in many
plays. What differs by design is a row of the table in ``rules.py``, with its reason.

The parts: ``program`` (what a program is), ``generate`` (a program from a seed), ``world`` and ``calls`` (its sockets,
and what a step does), ``play`` (its trace), ``modes`` and ``rules`` (what is compared with what), ``compare`` (the
verdict), ``shrink`` (a smaller program with the same verdict). ``python -m tests.differential --help`` runs it.
"""
