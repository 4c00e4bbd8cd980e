"""``python -m trio_rio monitor``: a program that is under way, live in a terminal."""
