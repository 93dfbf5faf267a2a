"""Every function of the two packages that reads foreign bytes or takes them apart, and the target that feeds it.

`calls()` finds them in the code, so that a new one without a row here is noticed; a test also sees each target call
the functions in its rows.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import raftnode

ROOT = Path(raftnode.__file__).parent.parent

METHODS = frozenset(
    {
        "decode",
        "feed",
        "file_digest",
        "fromhex",
        "loads",
        "pread",
        "read_bytes",
        "read_text",
        "readline",
        "readlines",
        "recv",
        "recv_into",
        "unpack",
        "unpack_from",
    }
)
FUNCTIONS = frozenset({"_unpack_length", "decode_as", "read_whole"})
FILES = frozenset({"buffer", "file", "os", "stdin", "stream"})
PARSERS = frozenset({"json", "tomllib"})
"""`read()` of one of those and `load()` of one of these: other things have methods of these names, too."""

REAL_NODE = "a real node"
"""Not a target: real_node.py feeds processes."""

READERS = {
    "raftnode.core.membership:decode_configuration": "stored configurations",
    "raftnode.machine.stream:read_frames": "a snapshot's state",
    "raftnode.client.connection:Connection.advance": "nodes, to a client",
    "raftnode.client.protocol:ClientProtocol.receive_data": "the client's protocol",
    "raftnode.daemon.connections:FramedConnection.data_received": REAL_NODE,
    "raftnode.config.settings:read_toml": "node.toml",
    "raftnode.storage.data_dir:_decode": "identity.json, sealed",
    "raftnode.storage.data_dir:_read_content": "identity.json",
    "raftnode.storage.filesystem:RealFile.pread": "raftctl log, of a segment",
    "raftnode.storage.filesystem:RealFilesystem.lock": "LOCK",
    "raftnode.storage.filesystem:read_whole": "boots.json",
    "raftnode.storage.segment:Window.read": "the newest segment",
    "raftnode.storage.segment:SegmentScan._later_sync": "the newest segment",
    "raftnode.storage.segment:decode_batch": "log records, sealed",
    "raftnode.storage.segment:decode_batch_header": "batch headers, sealed",
    "raftnode.storage.segment:decode_head": "segment heads, sealed",
    "raftnode.storage.segment:read_batch": "log records, sealed",
    "raftnode.storage.snapshots:SnapshotReceiver.write": "a snapshot that arrives",
    "raftnode.storage.snapshots:SnapshotStore.read_raw": "a replica and its clients",
    "raftnode.storage.snapshot_file:BlockReader._decode_head": "a snapshot's head, sealed",
    "raftnode.storage.snapshot_file:BlockReader._next_block": "a snapshot's file",
    "raftnode.storage.snapshot_file:_read_end": "a snapshot's time, sealed",
    "raftnode.storage.snapshot_file:read_chunks": "a snapshot's first chunk, sealed",
    "raftnode.storage.snapshot_file:read_head": "a snapshot's file",
    "raftnode.storage.wal_open:LogOpening.repair": "the newest segment",
    "raftnode.storage.wal_open:LogOpening._replay_segment": "segment heads, sealed",
    "raftnode.wire.client:decode_answer": "answers",
    "raftnode.wire.client:decode_request": "requests",
    "raftnode.wire.entries:decode_entry": "entries",
    "raftnode.wire.frame:FrameDecoder.feed": "frames",
    "raftnode.wire.frame:decode_as": "peer messages",
    "raftnode.wire.hello:decode_hello": "hellos",
    "raftnode.wire.hello:decode_hello_answer": "hellos",
    "raftnode.wire.kv:decode_command": "entries",
    "raftnode.wire.kv:decode_query": "entries",
    "raftnode.wire.kv:decode_result": "entries",
    "raftnode.wire.peer:decode_member_context": "member contexts",
    "raftnode.wire.peer:decode_message": "peer messages",
    "raftnode.wire.snapshot:decode_kv_part": "a snapshot's state",
    "raftnode.wire.snapshot:decode_part": "a snapshot's state",
    "raftctl.commands.kv.values:_read_file": "a value's file",
    "raftctl.commands.snapshot.restore:_sha256": "raftctl snapshot",
    "raftctl.local.processes:Child.log_tail": "raftnode.log",
    "raftctl.local.processes:running_pid": "LOCK",
    "raftctl.local.contexts:load_contexts": "contexts.toml",
    "raftctl.inspect.snapshot_contents:_StoreReader.feed": "raftctl snapshot, of a sealed state",
    "raftctl.inspect.snapshot_contents:_parts": "raftctl snapshot, of a sealed state",
    "raftctl.inspect.snapshot_contents:read_contents": "raftctl snapshot, of a sealed state",
    "raftctl.output.text:bytes_field": "raftctl log, of sealed records",
    "raftctl.output.text:escape_bytes": "raftctl snapshot, of a sealed state",
}

NO_READERS = {
    "raftctl.cli.manual:page": "reads a template that comes with the program, when the page is made",
    "raftctl.commands.kv.values:decode_text": "reads a word of the command line",
    "raftctl.cli.options:confirm": "reads a person's yes or no",
}
"""Functions that only look like readers, or that read what the person says who runs them."""


def calls(root: Path = ROOT) -> list[str]:
    """Return the functions that call what reads, as "module:Class.function", in order."""
    found: list[str] = []
    for package in ("raftnode", "raftctl"):
        for path in sorted((root / package).rglob("*.py")):
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            found += [f"{module}:{name}" for name in dict.fromkeys(_functions(ast.parse(path.read_bytes()), ()))]
    return found


def _functions(node: ast.AST, inside: tuple[str, ...]) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        match child:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield from _functions(child, (*inside, child.name))
                continue
            case ast.Call(func=ast.Attribute(attr="decode", value=value)) if _is_own(value):
                pass
            case ast.Call(func=ast.Attribute(attr=name)) if name in METHODS:
                yield ".".join(inside)
            case ast.Call(func=ast.Attribute(attr=name, value=ast.Name(id=of) | ast.Attribute(attr=of))) if (
                name == "read" and of in FILES
            ) or (name == "load" and of in PARSERS):
                yield ".".join(inside)
            case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
                yield ".".join(inside)
        yield from _functions(child, inside)


def _is_own(value: ast.expr) -> bool:
    """Return whether a text is made of bytes that this program wrote: a constant, or base64."""
    match value:
        case ast.Name(id=name):
            return name.isupper()
        case ast.Call(func=ast.Name(id=name)):
            return name == "b64encode"
        case _:
            return False
