"""What holds for every test: signals act as they do at a terminal."""

import signal
from collections.abc import Iterator

import pytest


def use_default_signals() -> None:
    """Undo what the program that started this one ignores; the processes that tests start inherit it.

    A shell without job control starts `command &` with SIGINT and SIGQUIT ignored, nohup adds SIGHUP. A command that
    a test ends with SIGINT would then run forever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


use_default_signals()


@pytest.fixture(autouse=True)
def signals_stay_as_they_are() -> Iterator[None]:
    """Fail a test that leaves a handler behind: a later one of the same worker would wait for its SIGINT in vain."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    after = {number: signal.getsignal(number) for number in before}
    use_default_signals()
    assert after == before
