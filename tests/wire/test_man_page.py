"""raftnode-protocol(7) describes the whole protocol, and describes it correctly."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

import raftnode
from raftnode.machine.kv import history
from raftnode.machine.sessions import machine as sessions
from raftnode.replica.requests import members, polls
from raftnode.wire import client, frame, hello, kv
from tests.wire.strategies import wire_structs

PAGE = Path(raftnode.__file__).parent.parent / "man" / "raftnode-protocol.7"
NOT_ON_THE_WIRE = {"HardState", "SnapshotMeta", "SnapshotPoint", "ConfChange", "Request"}


def _text() -> str:
    """Return the page without its fonts and escapes."""
    text = re.sub(r"\\f[BIR]", "", PAGE.read_text())
    return text.replace("\\-", "-")


@pytest.mark.parametrize(
    "struct",
    [struct for struct in wire_structs() if struct.__name__ not in NOT_ON_THE_WIRE],
    ids=lambda struct: f"{struct.__module__}.{struct.__name__}",
)
def test_every_struct_is_on_the_page_with_its_tag_and_its_fields_in_order(struct: type[msgspec.Struct]) -> None:
    """A client in another language is written from the page: a field that is missing there breaks it."""
    tag = struct.__struct_config__.tag
    heading = struct.__name__ if tag is None else f"{tag} {struct.__name__}"
    found = re.search(rf"^\.B {re.escape(heading)}\n\[(.*?)\]\n\.br$", _text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"no entry for {heading}"
    fields = [field.strip() for field in found.group(1).split(",\n")]
    first = [] if tag is None else [str(tag)]
    assert [field.split()[0] for field in fields] == [*first, *struct.__struct_fields__]
    required = [field for field in fields[len(first) :] if " = " not in field]
    assert len(required) == len(fields) - len(first) - len(struct.__struct_defaults__)


def test_the_page_describes_no_struct_that_does_not_exist() -> None:
    """What was removed from the wire leaves the page."""
    described = re.findall(r"^\.B (?:\d+ )?([A-Z]\w+)\n\[", _text(), re.MULTILINE)
    assert sorted(described) == sorted(
        struct.__name__ for struct in wire_structs() if struct.__name__ not in NOT_ON_THE_WIRE
    )


def test_every_code_is_on_the_page() -> None:
    """Each error code, each reason to refuse a connection, each outcome and consistency."""
    text = _text()
    rejects = [value for name, value in vars(hello).items() if name.startswith("REJECT_")]
    for code in [*(code.value for code in client.ErrorCode), *rejects]:
        assert f"\n.TP\n.B {code}\n" in text, code
    actions = [action.value for action in client.MemberAction]
    consistencies = [consistency.value for consistency in client.Consistency]
    for word in (client.NOT_DONE, client.UNKNOWN, *actions, *consistencies):
        assert f'"{word}"' in text, word


def test_the_numbers_on_the_page_are_those_of_the_code() -> None:
    """A limit that changes in the code changes on the page."""
    text = re.sub(r"\s+", " ", _text())
    mebi = 1024 * 1024
    for sentence in (
        f"protocol_version is {hello.PROTOCOL_VERSION}",
        f"above {frame.FRAME_BYTES_MAX} (16 MiB)",
        f"so is one above {frame.HELLO_BYTES_MAX} in the first frame that a node receives",
        f"Keys are 1 to {kv.KEY_BYTES_MAX} bytes, values 0 to {kv.VALUE_BYTES_MAX} (8 MiB)",
        f"({polls.LOG_ENTRIES_MAX} at most), and at about bytes_max bytes of data ({polls.LOG_BYTES_MAX} at most)",
        f"waits up to wait_ms for it ({polls.WAIT_MS_MAX} at most)",
        f"or that is more than {members.TRANSFER_LAG_MAX} entries behind, is refused",
        f"(limit, {kv.LIST_ITEMS_MAX} pairs, or about {kv.ANSWER_BYTES_MAX // mebi} MiB)",
        f"keeps the last {history.CHANGES_MAX} changes, {history.CHANGES_BYTES_MAX // mebi} MiB of them at most",
        f"It is below sequence, by {sessions.RESULTS_MAX} at most",
        f"remembers {sessions.SESSIONS_MAX} sessions, and {sessions.RESULTS_BYTES_MAX // mebi} MiB of results",
        f"of which {sessions.SESSION_BYTES_MAX // mebi} MiB in one session",
    ):
        assert sentence in text


def test_the_example_is_what_the_code_sends() -> None:
    """Each line of bytes on the page decodes to the message that it stands for."""
    example = _text().split("\n.SH EXAMPLE\n")[1].split(".nf\n")[1].split("\n.fi")[0]
    steps = re.findall(r"^(to|from) the node, (\w+):\n((?:    .*\n?)+)", example, re.MULTILINE)
    assert [name for _, name, _ in steps] == ["Hello", "Welcome", "Write", "Written", "Read", "ReadResult"]
    exchange: list[Callable[[bytes], msgspec.Struct]] = [client.decode_request, client.decode_answer]
    decoders = [hello.decode_hello, hello.decode_hello_answer, *exchange, *exchange]
    for (_, name, digits), decode in zip(steps, decoders, strict=True):
        (body,) = frame.FrameDecoder().feed(bytes.fromhex(digits))
        message = decode(body)
        assert type(message).__name__ == name
        assert frame.encode_frame(message)[4:] == body
        match message:
            case client.Write(command=command):
                assert kv.decode_command(command) == kv.Put(b"k", b"v")
            case client.Read(query=query):
                assert kv.decode_query(query) == kv.Get(b"k")
            case client.Written(result=result) | client.ReadResult(result=result):
                assert isinstance(kv.decode_result(result), kv.PutResult | kv.GetResult)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_page_formats_without_a_warning() -> None:
    """Plain man(7)."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(PAGE)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stderr == ""
