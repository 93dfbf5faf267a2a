"""The version of the protocol, for those who only want to say it: nothing else is loaded for it."""

from typing import Final

PROTOCOL_VERSION: Final = 1
