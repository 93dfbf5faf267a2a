"""The one grammar of addresses and names."""

import pytest

from raftnode.wire.address import parse_address, parse_node_name, split_endpoints


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "h:",
        ":1",
        "h:x",
        "h:0",
        "h:65536",
        "h:\u0661",
        "a b:1",
        "::1:70",
        "h:1\n",
        "[foo]:1",
        "host_[x]:1",
        "[]:1",
        "[::1]",
        "n1:" + "9" * 5000,
        7,
        None,
    ],
)
def test_what_is_no_address_is_refused(text: object) -> None:
    """An IPv6 address needs its brackets, and only it; the port is a port."""
    with pytest.raises(ValueError, match="host:port"):
        parse_address(text)


def test_addresses_are_split() -> None:
    """host:port, and [ipv6]:port without its brackets."""
    assert parse_address("10.0.0.1:7001") == ("10.0.0.1", 7001)
    assert parse_address("node_1.example:65535") == ("node_1.example", 65535)
    assert parse_address("[fe80::1%eth0]:1") == ("fe80::1%eth0", 1)


@pytest.mark.parametrize("name", ["", "7", "-a", "a b", "a:b", "a" * 64, "\u00e9", "n1\n", 3, None])
def test_a_name_that_could_be_taken_for_something_else_is_refused(name: object) -> None:
    """A member is named by name, id or address: a name is none of the other two."""
    with pytest.raises(ValueError, match="letters"):
        parse_node_name(name)


def test_endpoints_may_be_listed_with_commas_and_repeated() -> None:
    """Each once, in their order."""
    assert split_endpoints(["a:1, b:2,", "b:2,c:3", ""]) == ("a:1", "b:2", "c:3")
