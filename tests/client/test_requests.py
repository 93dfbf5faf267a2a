"""The requests of the client protocol: their bytes, what answers each, and which failures pass."""

from typing import Any, get_args

import pytest

from raftnode.wire.client import (
    ANSWERED_BY,
    AnyRequest,
    ChangeMembers,
    Consistency,
    ErrorCode,
    EvaluateWrite,
    GetEvents,
    GetLog,
    GetStatus,
    ListSnapshots,
    MemberAction,
    MemberOperation,
    OpenSession,
    Read,
    ReadSnapshot,
    Request,
    TransferLeadership,
    TriggerSnapshot,
    Watch,
    Write,
    decode_request,
)
from raftnode.wire.frame import encode_frame

FIXED: list[tuple[Request[Any], str]] = [
    (OpenSession(7), "921407"),
    (Write(7, 1, 2, 1, b"command"), "961507010201c407636f6d6d616e64"),
    (Read(7, b"query"), "941607c4057175657279ac6c696e656172697a61626c65"),
    (Read(7, b"query", Consistency.LOCAL), "941607c4057175657279a56c6f63616c"),
    (Watch(7, b"query", 10_000), "941707c4057175657279cd2710"),
    (EvaluateWrite(7, b"command"), "931807c407636f6d6d616e64"),
    (GetStatus(7), "921e07"),
    (GetLog(7, 1, 9), "971f07010900cd03e8ce00100000"),
    (GetLog(7, 1, 9, 5, 10, 100), "971f070109050a64"),
    (GetEvents(7), "962007a0a0cd03e800"),
    (GetEvents(7, "1:4411", "member.*", 5, 1000), "962007a6313a34343131a86d656d6265722e2a05cd03e8"),
    (
        ChangeMembers(7, [MemberOperation(MemberAction.ADD_LEARNER, 0, "n4", "h:1")], True, True),
        "9728079194ab6164645f6c6561726e657200a26e34a3683a31c3c300a0",
    ),
    (ChangeMembers(7, [MemberOperation(MemberAction.REMOVE, 3)]), "9728079194a672656d6f766503a0a0c2c200a0"),
    (
        ChangeMembers(7, [MemberOperation(MemberAction.PROMOTE, 4)], wait_ms=1000),
        "9728079194a770726f6d6f746504a0a0c2c2cd03e8a0",
    ),
    (TransferLeadership(7), "94290700c2"),
    (TransferLeadership(7, 2, True), "94290702c3"),
    (TriggerSnapshot(7), "922a07"),
    (ListSnapshots(7), "922b07"),
    (ReadSnapshot(7), "962c07000000ce00040000"),
    (ReadSnapshot(7, 1, 2, 3, 4), "962c0701020304"),
]


@pytest.mark.parametrize(("request_", "body"), FIXED)
def test_a_request_has_the_bytes_that_it_always_had(request_: Request[Any], body: str) -> None:
    """The wire format is fixed: an old node reads what a new client writes, and the other way round."""
    assert encode_frame(request_)[4:].hex() == body
    assert decode_request(bytes.fromhex(body)) == request_


def test_every_request_is_in_the_table_of_fixed_bytes_and_has_an_answer() -> None:
    """A new request cannot be forgotten in either place."""
    every = set(get_args(AnyRequest))
    assert {type(request) for request, _ in FIXED} == every == set(ANSWERED_BY)


def test_what_answers_a_request_is_what_its_type_says() -> None:
    """Both come from the one place where the request is declared."""
    assert ANSWERED_BY[Write].__name__ == "Written"
    assert ANSWERED_BY[Watch] is ANSWERED_BY[Read]
    assert ANSWERED_BY[GetStatus].__name__ == "StatusResult"


def test_a_failure_is_temporary_where_the_same_request_may_succeed_later() -> None:
    """The others are refusals: the same request would be refused again."""
    lasting = {code for code in ErrorCode if not code.is_temporary}
    assert lasting == {
        ErrorCode.BAD_REQUEST,
        ErrorCode.TOO_LARGE,
        ErrorCode.SESSION_EXPIRED,
        ErrorCode.REFUSED,
        ErrorCode.NOT_FOUND,
        ErrorCode.COMPACTED,
        ErrorCode.NO_SPACE,
        ErrorCode.INTERNAL,
    }
