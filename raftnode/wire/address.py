"""Addresses ("host:port") and names of nodes: the one grammar of both programs."""

import re
from collections.abc import Iterable
from typing import Final

ADDRESS_RULE: Final = 'must be "host:port" with a port from 1 to 65535, such as "10.0.0.1:7001" or "[::1]:7001"'

MEMBER_ADDRESS_RULE: Final = (
    "must be an address that the other nodes can dial; 0.0.0.0 and [::] stand for all interfaces of the machine itself"
)

NAME_RULE: Final = "must be 1 to 63 letters, digits, '.', '_' or '-', begin with a letter or digit, and not be a number"

# Compiled on first use: every command loads this module, and few parse a name.
_ADDRESS: Final = r"(\[[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._-]+)?\]|[^\s:\[\]]+):([0-9]{1,5})"
_UNSPECIFIED: Final = r"(0x)?0+(\.(0x)?0+){0,3}"
_NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"


def parse_address(value: object) -> tuple[str, int]:
    """Return (host, port) from "host:port" or "[ipv6]:port". Raises ValueError with ADDRESS_RULE."""
    match = re.fullmatch(_ADDRESS, value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[2]) < 65536:
        raise ValueError(ADDRESS_RULE)
    return match[1].strip("[]"), int(match[2])


def parse_member_address(value: object) -> tuple[str, int]:
    """Return (host, port) of a member's address, which the others dial. Raises ValueError with the rule it breaks."""
    host, port = parse_address(value)
    if re.fullmatch(_UNSPECIFIED, host, re.IGNORECASE) or normal_address(str(value))[0] in ("0.0.0.0", "::"):
        raise ValueError(MEMBER_ADDRESS_RULE)
    return host, port


def normal_address(address: str) -> tuple[str, int]:
    """Return (host, port) in the form that all spellings of one address share. Raises ValueError.

    No name is resolved: two names of one machine remain two. `localhost` is 127.0.0.1.
    """
    host, port = parse_address(address)
    host = host.lower().removesuffix(".")
    if ":" in host or host.replace(".", "").isdigit():
        # Every command loads this module, and few compare addresses.
        import ipaddress

        try:
            ip = ipaddress.ip_address(host)
        except ValueError:
            return host, port
        mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
        return str(mapped or ip), port
    return ("127.0.0.1" if host == "localhost" else host), port


def same_address(one: str, other: str) -> bool:
    """Whether two addresses are one, however they are spelled. One that cannot be read is like no other."""
    try:
        return one == other or normal_address(one) == normal_address(other)
    except ValueError:
        return False


def parse_node_name(value: object) -> str:
    """Return the name of a node or a cluster. Raises ValueError with NAME_RULE.

    A number is not a name, because operators identify a member by its name or its id.
    """
    if not isinstance(value, str) or not re.fullmatch(_NAME, value) or value.isdigit():
        raise ValueError(NAME_RULE)
    return value


def split_endpoints(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses in `texts`, each of which may hold several with commas between them; each once.

    They are not checked: `parse_address()` does that.
    """
    return tuple(dict.fromkeys(part.strip() for text in texts for part in text.split(",") if part.strip()))
