"""Where the raftctl program begins."""

import gc


def main() -> None:
    """Run raftctl with the process's arguments and exit."""
    # Loading modules makes thousands of objects but no garbage: looking for it takes a tenth of a short command.
    # run_command() enables the collector again.
    gc.disable()
    from raftctl.main import main as start

    start()


if __name__ == "__main__":
    main()
