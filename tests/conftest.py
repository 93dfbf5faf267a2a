"""What holds for every test: signals act as they do at a terminal."""

import signal


def use_default_signals() -> None:
    """Undo what the program that started this one ignores; the processes that tests start inherit it.

    A shell without job control starts `command &` with SIGINT and SIGQUIT ignored, nohup adds SIGHUP. A command that
    a test ends with SIGINT would then run forever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


use_default_signals()
