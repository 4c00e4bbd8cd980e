"""The Windows lane: CPython for Windows under Wine, a RIO table for Wine, and the tests that run there."""
