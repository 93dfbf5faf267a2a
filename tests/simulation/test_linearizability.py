"""The checker finds every kind of planted violation, and nothing in correct histories."""

import random
import time
from dataclasses import dataclass
from itertools import permutations

import msgspec
import pytest

from tests.simulation.history import Operation, OperationName, Outcome, read_history, write_history
from tests.simulation.linearizability import apply, check_key, violations


def op(
    name: OperationName,
    call: int,
    end: int | None,
    arg: str | int | None = None,
    output: str | int | bool | None = None,
    expected: str | None = None,
    outcome: Outcome = "ok",
    key: str = "k",
    client: str = "c",
) -> Operation:
    return Operation(
        client=client,
        key=key,
        op=name,
        arg=arg,
        expected=expected,
        output=output,
        outcome=outcome,
        call_ns=call,
        return_ns=end,
    )


PLANTED = {
    "stale read": [op("put", 0, 1, "a"), op("put", 2, 3, "b"), op("get", 4, 5, output="a")],
    "lost write": [op("put", 0, 1, "a"), op("get", 2, 3)],
    "lost delete": [op("put", 0, 1, "a"), op("delete", 2, 3, output=True), op("get", 4, 5, output="a")],
    "doubled increment": [op("incr", 0, 1, 1, 1), op("incr", 2, 3, 1, 3)],
    "lost increment": [op("incr", 0, 1, 1, 1), op("incr", 2, 3, 1, 1)],
    "two increments with one sum": [op("incr", 0, 9, 1, 1), op("incr", 0, 9, 1, 1)],
    "an unknown increment counted twice": [op("incr", 0, None, 1, outcome="unknown"), op("get", 4, 5, output="2")],
    "cas that succeeded wrongly": [op("put", 0, 1, "a"), op("cas", 2, 3, "c", True, expected="b")],
    "cas that failed wrongly": [op("put", 0, 1, "a"), op("cas", 2, 3, "c", False, expected="a")],
    "two winners of one cas": [op("cas", 0, 9, "a", True), op("cas", 0, 9, "b", True)],
    "cas that succeeded without effect": [op("cas", 0, 1, "a", True), op("get", 2, 3)],
    "read from the future": [op("get", 0, 1, output="a"), op("put", 2, 3, "a")],
    "unknown write read before its call": [op("get", 0, 1, output="a"), op("put", 2, None, "a", outcome="unknown")],
    "value that nobody wrote": [op("put", 0, 1, "a"), op("get", 2, 3, output="z")],
    "effect of a failed write": [op("put", 0, 1, "a", outcome="fail"), op("get", 2, 3, output="a")],
    "reordered writes": [
        op("put", 0, 1, "a"), op("put", 2, 3, "b"), op("get", 4, 5, output="b"), op("get", 6, 7, output="a"),
    ],
    "two readers that see concurrent writes in two orders": [
        op("put", 0, 99, "a"), op("put", 0, 99, "b"), op("get", 1, 2, output="a"), op("get", 3, 4, output="b"),
        op("get", 5, 6, output="a"),
    ],
    "delete of what was not there": [op("delete", 0, 1, output=True)],
    "delete that found nothing": [op("put", 0, 1, "a"), op("delete", 2, 3, output=False)],
    "value that came back": [
        op("put", 0, 1, "a"), op("put", 2, None, "b", outcome="unknown"), op("get", 4, 5, output="b"),
        op("get", 6, 7, output="a"),
    ],
}  # fmt: skip

CORRECT = {
    "nothing": [],
    "concurrent writes in either order": [
        op("put", 0, 9, "a"), op("put", 0, 9, "b"), op("get", 10, 11, output="a"), op("get", 12, 13, output="a"),
    ],
    "an unknown write that never happened": [op("put", 0, None, "a", outcome="unknown"), op("get", 4, 5)],
    "an unknown write that happened late": [
        op("put", 0, None, "a", outcome="unknown"), op("get", 4, 5), op("get", 6, 7, output="a"),
    ],
    "a failed write": [op("put", 0, 1, "a", outcome="fail"), op("get", 4, 5)],
    "a read during a write sees either": [op("put", 0, 9, "a"), op("get", 1, 2), op("get", 3, 4, output="a")],
    "two unknown increments": [
        op("incr", 0, None, 1, outcome="unknown"), op("incr", 0, None, 1, outcome="unknown"),
        op("get", 4, 5, output="2"),
    ],
    "an unknown write that others ran over": [
        op("put", 0, 1, "a"), op("put", 2, None, "b", outcome="unknown"), op("cas", 4, 5, "c", False, expected="a"),
        op("delete", 6, 7, output=True), op("cas", 8, 9, "d", True),
    ],
    "keys of their own": [op("put", 0, 1, "a"), op("get", 2, 3, key="other")],
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_violation_is_found(kind: str) -> None:
    """Every kind, also inside a long correct history of the same key and of others."""
    planted = PLANTED[kind]
    assert [violation.key for violation in violations(planted)] == ["k"]
    before = [moved(o, -10_000_000) for o in random_history(random.Random(1), 300)]
    others = [msgspec.structs.replace(o, key="other") for o in random_history(random.Random(2), 300)]
    before.append(op("delete", -5, -4, output=final_value(before) is not None))
    assert [violation.key for violation in violations([*before, *others, *planted])] == ["k"]


@pytest.mark.parametrize("kind", CORRECT)
def test_a_correct_history_passes(kind: str) -> None:
    """What has an order is never called wrong."""
    assert violations(CORRECT[kind]) == []


def moved(operation: Operation, by: int) -> Operation:
    end = operation.return_ns
    return msgspec.structs.replace(
        operation, call_ns=operation.call_ns + by, return_ns=None if end is None else end + by
    )


def final_value(history: list[Operation]) -> str | None:
    """Return what the key has after a history that ends with a read alone."""
    last = max(history, key=lambda operation: operation.call_ns)
    assert last.op == "get"
    assert last.output is None or isinstance(last.output, str)
    return last.output


@dataclass
class Moment:
    at: int
    operation: Operation


def random_history(rng: random.Random, count: int, clients: int = 6, unknown: float = 0.0) -> list[Operation]:
    """Return what clients saw of one register: each operation took effect at a moment between call and return."""
    moments: list[Moment] = []
    for client in range(clients):
        now = 0
        for number in range(count // clients):
            call = now + rng.randrange(1, 30)
            at = call + rng.randrange(50)
            now = at + rng.randrange(50)
            name: OperationName = rng.choice(["put", "get", "get", "delete", "cas", "cas", "incr"])
            arg: str | int | None = {"incr": 1, "get": None, "delete": None}.get(name, str(rng.randrange(3)))
            expected = rng.choice([None, "0", "1", "2"]) if name == "cas" else None
            lost = rng.random() < unknown
            # An unknown one may take effect long after its client has gone on, or never.
            at += rng.randrange(2000) if lost else 0
            outcome: Outcome = "unknown" if lost else "ok"
            end = None if lost else now
            moments.append(Moment(at, op(name, call, end, arg, None, expected, outcome, client=f"{client}.{number}")))
    value: str | None = None
    history: list[Operation] = []
    for moment in sorted(moments, key=lambda m: m.at):
        operation = moment.operation
        if operation.outcome == "unknown" and rng.random() < 0.5:
            history.append(operation)
            continue
        value, output = apply(value, operation)
        shown = output if operation.outcome == "ok" else None
        history.append(msgspec.structs.replace(operation, output=shown))
    end = max(moment.at for moment in moments) + 1000
    history.append(op("get", end, end + 1, output=value))
    rng.shuffle(history)
    return history


def test_random_correct_histories_pass_quickly() -> None:
    """Also long ones with many unknown outcomes: a few hundred operations take well under a second each."""
    begin = time.process_time()
    for seed in range(40):
        history = random_history(random.Random(seed), 400, unknown=0.1 if seed % 2 else 0.0)
        assert check_key("k", history) is None, f"seed {seed}"
    assert time.process_time() - begin < 20


def test_a_long_history_of_one_key_is_judged_whole() -> None:
    """As many operations as a counter sees in minutes: the last one's wrong output is found behind all the others."""
    history = random_history(random.Random(3), 30_000)
    assert check_key("k", history) is None
    last = max(history, key=lambda operation: operation.call_ns)
    history[history.index(last)] = msgspec.structs.replace(last, output="nobody wrote this")
    violation = check_key("k", history)
    assert violation is not None
    assert violation.stuck[-1].output == "nobody wrote this"


def explained(operations: list[Operation]) -> bool:
    """Say by trying every order and every choice of unknown operations whether a small history is linearizable."""
    known = [operation for operation in operations if operation.outcome == "ok"]
    unknown = [operation for operation in operations if operation.outcome == "unknown"]
    for bits in range(1 << len(unknown)):
        chosen = known + [operation for number, operation in enumerate(unknown) if bits >> number & 1]
        if any(_fits(order) for order in permutations(chosen)):
            return True
    return False


def _fits(order: tuple[Operation, ...]) -> bool:
    value: str | None = None
    latest_call = -1
    for operation in order:
        latest_call = max(latest_call, operation.call_ns)
        if operation.outcome == "ok" and (operation.return_ns or 0) < latest_call:
            return False
        value, output = apply(value, operation)
        if operation.outcome == "ok" and output != operation.output:
            return False
    return True


def test_small_histories_are_judged_as_by_trying_every_order() -> None:
    """Outputs at random: about half of the histories are wrong, and the two agree on each."""
    verdicts = {True: 0, False: 0}
    for seed in range(1500):
        rng = random.Random(seed)
        history: list[Operation] = []
        for operation in random_history(rng, 5, clients=5, unknown=0.3):
            if operation.outcome == "ok" and rng.random() < 0.3:
                operation = msgspec.structs.replace(operation, output=_other_output(rng, operation))
            history.append(operation)
        expected = explained(history)
        verdicts[expected] += 1
        assert (check_key("k", history) is None) == expected, f"seed {seed}"
    assert min(verdicts.values()) > 200, verdicts


def _other_output(rng: random.Random, operation: Operation) -> str | int | bool | None:
    match operation.op:
        case "get":
            return rng.choice([None, "0", "1", "2"])
        case "put":
            return None
        case "delete" | "cas":
            return rng.random() < 0.5
        case "incr":
            return rng.randrange(1, 4)


def test_a_history_survives_its_file() -> None:
    """One line an operation, whatever its values are."""
    history = [*random_history(random.Random(1), 100, unknown=0.2), op("put", 0, 1, 'line\n"quote" \u00fc')]
    text = write_history(history)
    assert read_history(text) == history
    assert text.count(b"\n") == len(history)


@pytest.mark.parametrize(
    "line",
    [
        b"nothing",
        b"{}",
        b'{"client":"c","key":"k","op":"pop","outcome":"ok","call_ns":1,"return_ns":2}',
        b'{"client":"c","key":"k","op":"get","outcome":"ok","call_ns":1}',
        b'{"client":"c","key":"k","op":"get","outcome":"ok","call_ns":3,"return_ns":2}',
        b'{"client":"c","key":"k","op":"incr","arg":"1","outcome":"ok","call_ns":1,"return_ns":2}',
        b'{"client":"c","key":"k","op":"get","outcome":"ok","call_ns":1,"return_ns":2,"more":1}',
    ],
)
def test_a_line_that_is_no_operation_is_refused_with_its_number(line: bytes) -> None:
    """A checker that skips lines would pass what it never saw."""
    good = write_history([op("get", 0, 1)])
    with pytest.raises(ValueError, match=r"^line 2: "):
        read_history(good + line + b"\n")
