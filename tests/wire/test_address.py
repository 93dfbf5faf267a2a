"""The one grammar of addresses and names."""

import pytest

from raftnode.wire.address import (
    normal_address,
    parse_address,
    parse_member_address,
    parse_node_name,
    same_address,
    split_endpoints,
)


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


ALL_INTERFACES = [
    "0.0.0.0:7001",
    "[::]:7001",
    "[0:0::0]:7001",
    "0:7001",
    "0x0:7001",
    "00.0.0.0:7001",
    "[::ffff:0.0.0.0]:7001",
]


@pytest.mark.parametrize("text", ALL_INTERFACES)
def test_all_interfaces_of_a_machine_are_no_members_address(text: str) -> None:
    """A node may listen there, but nobody can dial it: each would reach itself."""
    assert parse_address(text)
    with pytest.raises(ValueError, match="the other nodes can dial"):
        parse_member_address(text)


@pytest.mark.parametrize("text", ["10.0.0.1:7001", "[::1]:7001", "n0:7001", "0.example:7001", "127.0.0.1:1"])
def test_an_address_that_can_be_dialed_is_a_members(text: str) -> None:
    """As host and port."""
    assert parse_member_address(text) == parse_address(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("localhost:7001", "127.0.0.1:7001"),
        ("LOCALHOST:7001", "localhost:7001"),
        ("n1.example:7001", "N1.Example.:7001"),
        ("[::1]:7001", "[0:0:0:0:0:0:0:1]:7001"),
        ("[::FFFF:10.0.0.1]:7001", "10.0.0.1:7001"),
        ("10.0.0.1:7001", "10.0.0.1:07001"),
    ],
)
def test_two_spellings_of_one_address_are_the_same(one: str, other: str) -> None:
    """And another port or host is another address."""
    assert same_address(one, other)
    assert normal_address(one) == normal_address(other)
    assert not same_address(one, other.replace("7001", "7002"))
    assert not same_address(one, "10.9.9.9:7001")


def test_an_address_that_cannot_be_read_is_like_no_other() -> None:
    """A member's context may hold anything."""
    assert same_address("?", "?")
    assert not same_address("?", "10.0.0.1:7001")
    assert not same_address("10.0.0.1:7001", "")
