"""The demonstration: a server under load, measured against stock Trio."""
