"""raftctl kv put, delete, cas and incr: writes, each applied once however often it has to be sent."""

from typing import Annotated, Any, TypeVar

from raftctl.cli.command import Arg, Opt, command
from raftctl.cli.context import Invocation
from raftctl.commands.kv.values import (
    FILE,
    HEX_IN,
    decode_key,
    decode_text,
    key_record,
    kv_result,
    take_value,
)
from raftctl.output.report import Report
from raftctl.output.text import escape_bytes
from raftnode.config.errors import NotFound, UsageError
from raftnode.wire import kv

R = TypeVar("R")

DRY_RUN = Opt("--dry-run", "Say what it would do to the key as a linearizable read shows it, and write nothing.")
EXPECTED = Opt("--expected-revision", "Only where the key is at this revision (0: does not exist).", "N")


@command("kv put", connects=True)
def put(
    run: Invocation,
    key: Annotated[str, Arg("KEY", "The key.")],
    value: Annotated[str | None, Arg("VALUE", "The value; or give --file.")] = None,
    *,
    file: Annotated[str | None, FILE] = None,
    hex_: Annotated[bool, HEX_IN] = False,
    expected_revision: Annotated[int | None, EXPECTED] = None,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Set a key to a value, and show the revision that this made.

    A condition that does not hold is exit code 8; an outcome that cannot be known in time is exit code 7.

    Example: raftctl kv put greeting hello
    """
    name = decode_key(key, hex_=hex_)
    content = take_value(value, file, hex_=hex_)
    result = _write(run, kv.Put(name, content, expected_revision), kv.PutResult, dry_run=dry_run)
    _emit(
        run,
        "kv.put",
        name,
        changes=True,
        dry_run=dry_run,
        revision=result.revision,
        previous_revision=result.previous_revision,
    )


@command("kv cas", connects=True)
def cas(
    run: Invocation,
    key: Annotated[str, Arg("KEY", "The key.")],
    expected: Annotated[str | None, Arg("EXPECTED", "The value that the key must have.")] = None,
    value: Annotated[str | None, Arg("VALUE", "The value to set; or give --file.")] = None,
    *,
    absent: Annotated[bool, Opt("--absent", "The key must not exist; leave EXPECTED out.")] = False,
    file: Annotated[str | None, FILE] = None,
    hex_: Annotated[bool, HEX_IN] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Set a key only where its present value is EXPECTED, or where it is absent. Otherwise exit code 8.

    Example: raftctl kv cas lock --absent held
      raftctl kv cas lock held free
    """
    name = decode_key(key, hex_=hex_)
    if absent:
        if expected is not None and value is not None:
            raise UsageError(
                "--absent takes no EXPECTED", f"{expected!r} was given", "write: raftctl kv cas KEY --absent VALUE"
            )
        value, expected = expected, None
    elif expected is None:
        raise UsageError(
            "give the EXPECTED value, or --absent",
            "neither was given",
            "write: raftctl kv cas KEY EXPECTED VALUE, or: raftctl kv cas KEY --absent VALUE",
        )
    content = take_value(value, file, hex_=hex_)
    wanted = None if expected is None else decode_text(expected, hex_=hex_, what="expected value")
    result = _write(run, kv.CompareAndSet(name, wanted, content), kv.PutResult, dry_run=dry_run)
    _emit(
        run,
        "kv.cas",
        name,
        changes=True,
        dry_run=dry_run,
        revision=result.revision,
        previous_revision=result.previous_revision,
    )


@command("kv delete", connects=True)
def delete(
    run: Invocation,
    key: Annotated[str, Arg("KEY", "The key.")],
    *,
    if_exists: Annotated[bool, Opt("--if-exists", "A key that is not there is no error.")] = False,
    expected_revision: Annotated[int | None, EXPECTED] = None,
    hex_: Annotated[bool, Opt("--hex", "The key is given in hexadecimal.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Remove a key. A key that is not there is exit code 3, or `changed: false` with --if-exists.

    Example: raftctl kv delete greeting --if-exists
    """
    name = decode_key(key, hex_=hex_)
    result = _write(run, kv.Delete(name, expected_revision), kv.DeleteResult, dry_run=dry_run)
    if not result.deleted and not if_exists:
        raise NotFound(
            f"there is no key {escape_bytes(name)!r}",
            f"at revision {result.revision}",
            "where that is fine, give --if-exists",
        )
    _emit(run, "kv.delete", name, changes=result.deleted, dry_run=dry_run, revision=result.revision)


@command("kv incr", connects=True)
def incr(
    run: Invocation,
    key: Annotated[str, Arg("KEY", "The key; an absent one counts as 0.")],
    *,
    by: Annotated[int, Opt("--by", "How much to add; may be negative.", "N")] = 1,
    hex_: Annotated[bool, Opt("--hex", "The key is given in hexadecimal.")] = False,
    dry_run: Annotated[bool, DRY_RUN] = False,
) -> None:
    """Add to the decimal number at a key and print the new number.

    Example: raftctl kv incr visits --by 5
    """
    name = decode_key(key, hex_=hex_)
    result = _write(run, kv.Increment(name, by), kv.IncrementResult, dry_run=dry_run)
    text = f"; the number would be {result.value}" if dry_run else ""
    record, title = _outcome(name, changes=True, dry_run=dry_run, revision=result.revision, text=text)
    run.output.emit(
        Report(
            "kv.incr",
            {**record, "value": result.value},
            title if dry_run else str(result.value),
            names=[escape_bytes(name)],
        )
    )


def _write(run: Invocation, change: kv.KvCommand, expected: type[R], *, dry_run: bool) -> R:
    if dry_run:
        from raftctl.commands.kv.dry_run import would

        return would(run, change, expected)
    with run.cluster() as cluster:
        return kv_result(cluster.write(kv.encode(change)).result, expected, change.key)


def _outcome(
    key: bytes, *, changes: bool, dry_run: bool, revision: int, text: str, **numbers: int
) -> tuple[dict[str, Any], str]:
    """Return what a write did, or would do, as JSON and as a line."""
    record: dict[str, Any] = {**key_record(key), "changed": changes and not dry_run, "revision": revision, **numbers}
    if not dry_run:
        return record, f"changed: {'true' if changes else 'false'}  revision {revision}"
    record |= {"dry_run": True, "would_change": changes}
    return record, (
        f"changed: false  would change: {'true' if changes else 'false'}{text}\n  by a linearizable read "
        f"at revision {revision}; another write may still come first"
    )


def _emit(
    run: Invocation, schema: str, key: bytes, *, changes: bool, dry_run: bool, revision: int, **numbers: int
) -> None:
    record, title = _outcome(key, changes=changes, dry_run=dry_run, revision=revision, text="", **numbers)
    run.output.emit(Report(schema, record, title, names=[escape_bytes(key)]))
