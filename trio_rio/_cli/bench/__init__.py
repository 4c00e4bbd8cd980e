"""``python -m trio_rio bench``: stock Trio beside trio_rio on this machine, without a compiler or a checkout."""
