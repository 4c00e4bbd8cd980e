"""RIO of Windows itself."""
