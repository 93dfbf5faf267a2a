"""Rules 17 and 18: the command table, the help, the man page and the tests hold together."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from raftctl.cli import registry
from raftctl.cli import typer_app as app
from raftctl.cli.command import Opt
from raftctl.main import run
from raftnode.config.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted(registry.COMMANDS)


@pytest.mark.parametrize("path", ALL)
def test_every_function_takes_what_its_table_says(path: str) -> None:
    """Each parameter is annotated; a wrong value is a usage error, never a traceback."""
    command = registry.load(path)
    assert command.path == path
    names = list(inspect.signature(command.function).parameters)[1:]
    assert names == [p.name for p in command.own_params]
    for param in command.params:
        if param.declaration.choices:
            with pytest.raises(UsageError):
                param.convert("not a choice")


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_an_example_in_its_help(path: str) -> None:
    """Rule 18. The example calls the command itself."""
    text = app.help_text(registry.load(path))
    head, mark, example = text.partition("Example:\n")
    assert mark
    assert head.strip()
    assert f"raftctl {path}" in example


@pytest.mark.parametrize("path", ALL)
def test_every_command_and_option_is_in_the_man_page(path: str) -> None:
    """Rule 18: each command has its paragraph there, which names its arguments and options; common ones stand once."""
    page = (ROOT / "man" / "raftctl.1").read_text(encoding="utf-8").replace("\\-", "-")
    page = re.sub(r"\\f[BIR]", "", page)
    sections = dict(re.findall(r"^\.SS raftctl (.+)\n((?:(?!^\.S[SH] ).*\n?)*)", page, re.MULTILINE))
    assert path in sections
    command = registry.load(path)
    for params, text in ((command.own_params, sections[path]), (command.common_params, page)):
        for param in params:
            if isinstance(param.declaration, Opt):
                names = [*param.declaration.names, *filter(None, [param.declaration.negative])]
            else:
                names = [param.declaration.metavar]
            for name in names:
                assert re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text), f"{path}: {name}"


def test_every_command_has_a_test_that_names_it() -> None:
    """Rule 18."""
    text = "".join(
        p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py") if p.name != Path(__file__).name
    )
    assert [path for path in ALL if not re.search(rf'cli\(f?"{path}', text)] == []


@pytest.mark.parametrize(
    "line",
    [
        "version",
        "kv get k -e 127.0.0.1:1",
        "kv put k v -e 127.0.0.1:1",
        "status -o json -e 127.0.0.1:1",
        "wait --leader --timeout 0.1s -e 127.0.0.1:1",
        "completion words kv",
    ],
)
def test_script_commands_start_without_typer_rich_and_asyncio(line: str) -> None:
    """Rule 17: what is run in loops does not pay for help and colors."""
    program = (
        "import sys; from raftctl.main import run; run(sys.argv[1:]); "
        "print(*sorted({'typer', 'rich', 'asyncio', 'raftnode.replica', 'raftnode.daemon'} & set(sys.modules)), "
        "file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *line.split()], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""


@pytest.mark.parametrize("line", ["version", "completion words kv", "completion bash"])
def test_what_asks_no_node_starts_without_the_wire(line: str) -> None:
    """Rule 17: a third of what a conversation needs is msgspec."""
    program = (
        "import sys; from raftctl.main import run; run(sys.argv[1:]); "
        "print(*sorted({'msgspec', 'socket', 'json'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program, *line.split()], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == ""


def test_the_program_collects_garbage_again_when_its_command_runs() -> None:
    """It is off only while modules are loaded; a command may run for days."""
    program = (
        "import gc, sys; from raftctl.cli import context as invocation; from raftctl import __main__; "
        "before = invocation.run_command; "
        "from raftctl import main; "
        "main.run_command = lambda c, v: (before(c, v), print(gc.isenabled(), file=sys.stderr)); "
        "sys.argv[1:] = ['version']; __main__.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "True\n"
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["raftctl"] == (
        "raftctl.__main__:main"
    )


@pytest.mark.parametrize("group", ["", *sorted(registry.GROUPS)])
def test_no_list_of_commands_breaks_a_sentence_off(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What a command does is said to the end of its first sentence."""
    assert run([*group.split(), "--help"]) == 0
    listed = " ".join(capsys.readouterr().out.partition("Commands:\n")[2].split())
    assert "..." not in listed
    for path in ALL:
        head, _, name = path.rpartition(" ")
        if head == group:
            sentence = registry.load(path).help.strip().partition("\n")[0].partition(". ")[0].rstrip(".")
            assert f"{name} {sentence}" in listed


def texts(file: Path) -> list[str]:
    """Return every text in a module that is not documentation, with an x for what is filled in when it runs."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            values = [str(v.value) if isinstance(v, ast.Constant) else "x" for v in node.values]
            found.append("".join(values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            found.append(node.value)
    return found


def test_every_command_that_a_text_names_is_there_and_has_these_options() -> None:
    """Rule 5: what an error or a message tells to type can be typed."""
    checked = 0
    for file in sorted((ROOT / "raftctl").rglob("*.py")):
        for text in texts(file):
            for line in re.findall(r"(?<![\w.-])raftctl ((?:[a-z]|-)[^;:,`()&|\n]*)", text):
                found = registry.find([word.rstrip(".") for word in line.split()])
                if found is None:
                    # The script for fish, and the version.
                    assert line.startswith(("-f -a", "x ")), f"{file.name}: raftctl {line}"
                    continue
                params = registry.load(found[0]).params
                known = {n for p in params if isinstance(p.declaration, Opt) for n in p.declaration.names}
                given = {word.partition("=")[0] for word in found[1] if len(word) > 1 and word.startswith("-")}
                assert given <= known | {"--"}, f"{file.name}: raftctl {line}"
                checked += 1
    assert checked > 80
