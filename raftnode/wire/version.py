"""The version of the protocol, in its own module so that printing it loads nothing else."""

from typing import Final

PROTOCOL_VERSION: Final = 1
