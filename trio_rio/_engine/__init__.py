"""The engine of a run: requests, memory, channels, completions, notifier."""
