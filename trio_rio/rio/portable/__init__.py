"""RIO on readiness."""
