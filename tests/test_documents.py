"""What README.md and the examples say is true: links, commands, the Python snippet, the picture, the bootstrap."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import typer

from raftctl.cli import registry
from raftctl.cli.parser import fill_bare, leading_options, parse
from raftnode import main as raftnode_main
from tests.support.processes import READY_SECONDS, ProcessCluster, free_ports, python_module, running_cluster

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
OPERATIONS = ROOT / "man" / "raft-operations.7"
THREE_NODE = ROOT / "examples" / "clusters" / "three-node"
BOOTSTRAP = THREE_NODE / "bootstrap.sh"
SCRIPTS = sorted(ROOT.glob("examples/**/*.sh"))

COMMAND = re.compile(r"(?<![\w.-])(raftctl|raftnode) ([^|;&)`\n]*)")
"""A command line up to where the shell's own signs begin."""
REDIRECTION = re.compile(r"\d?>&?\s*\S+")
SUBSTITUTION = re.compile(r"\$\(\(?[^)]*\)?\)")


def blocks(language: str) -> list[str]:
    """Return the README's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def readme_commands() -> Iterator[tuple[str, list[str]]]:
    """Give each command line that the README shows: in a block of shell, or as code in a sentence."""
    for line in "\n".join(blocks("sh")).splitlines():
        yield from commands_in(line)
    prose = re.sub(r"^```.*?^```$", "", README, flags=re.MULTILINE | re.DOTALL)
    for code in re.findall(r"`([^`\n]+)`", prose):
        if code.startswith(("raftctl ", "raftnode ")):
            yield from commands_in(code)


def page_text(page: Path) -> str:
    """Return a manual page's source without its fonts and escapes."""
    text = re.sub(r"\\f[BIR]", "", page.read_text())
    return text.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def page_lines(page: Path) -> list[str]:
    """Return the lines of a manual page that are to be typed: those between .nf and .fi."""
    found = re.findall(r"^\.nf\n\.RS 4\n(.*?)^\.RE\n\.fi$", page_text(page), re.MULTILINE | re.DOTALL)
    return [line for block in found for line in block.splitlines()]


def script_commands(script: Path) -> Iterator[tuple[str, list[str]]]:
    """Give each command line in a shell script, without its comments and what it says in sentences."""
    for line in script.read_text().splitlines():
        if not line.lstrip().startswith(("#", "say ", "fail ", "Description=")):
            yield from commands_in(line)


def commands_in(line: str) -> Iterator[tuple[str, list[str]]]:
    """Give (program, arguments) for each command in a line of shell."""
    for program, rest in COMMAND.findall(SUBSTITUTION.sub("$it", REDIRECTION.sub("", line))):
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:
            # The line's own quotes stand around the command.
            words = shlex.split(rest.rstrip().rstrip("\"'"), comments=True)
        yield program, words


def check_command(program: str, arguments: list[str]) -> None:
    """Fail unless the program knows the command and its options. Nothing is run."""
    if program == "raftctl":
        first, rest = leading_options(arguments)
        found = registry.find(rest)
        assert found is not None, f"raftctl has no command {rest}"
        command = registry.load(found[0])
        raw = parse(command, fill_bare(command, [*first, *found[1]]))
        assert raw is not None, f"raftctl {found[0]} does not take {found[1]}"
        if not any("$" in word for word in arguments):
            command.bind(raw)
        return
    known: Any = typer.main.get_command(raftnode_main.app)
    with known.make_context("raftnode", list(arguments)) as context:
        rest = [*context._protected_args, *context.args]
        while hasattr(known, "resolve_command"):
            name, known, rest = known.resolve_command(context, rest)
            if not hasattr(known, "resolve_command"):
                known.make_context(name, rest, parent=context)


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md"])
def test_every_relative_link_leads_somewhere(document: str) -> None:
    """A link to a file of the checkout names one that is there; a link to a heading, one of the page."""
    text = (ROOT / document).read_text()
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in headings, f"{document} links to {target}"
        elif not target.startswith("https://"):
            assert (ROOT / target).exists(), f"{document} links to {target}"


def test_every_path_that_the_readme_names_is_there() -> None:
    """Code that looks like a path of the checkout is one."""
    paths = re.findall(r"`((?:examples|tests|man|raftctl|raftnode)/[\w./-]*)", README)
    paths += re.findall(r"^((?:examples|tests)/[\w./-]+)", "\n".join(blocks("sh")), re.MULTILINE)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_modules_that_the_readme_runs_are_there() -> None:
    """`python -m tests.benchmarks...` names a module of the checkout, or a package that can be run."""
    modules = re.findall(r"python -m (tests[\w.]+)", README)
    assert modules
    files = [[ROOT / f"{name.replace('.', '/')}{end}" for end in (".py", "/__main__.py")] for name in modules]
    assert [name for name, found in zip(modules, files, strict=True) if not any(map(Path.is_file, found))] == []


def test_every_command_in_the_readme_is_one_that_the_programs_take() -> None:
    """A command line that a reader copies has a known command, known options and their arguments."""
    commands = list(readme_commands())
    assert len(commands) > 10
    for program, arguments in commands:
        check_command(program, arguments)


def test_every_command_in_the_operators_manual_is_one_that_the_programs_take() -> None:
    """The same for raft-operations(7)."""
    commands = [found for line in page_lines(OPERATIONS) for found in commands_in(line)]
    assert len(commands) > 30
    for program, arguments in commands:
        check_command(program, arguments)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_every_command_in_the_examples_is_one_that_the_programs_take(script: Path) -> None:
    """The same for the example scripts, and for what they print as the next step."""
    for program, arguments in script_commands(script):
        check_command(program, arguments)


@pytest.mark.parametrize("line", ["raftctl kv got a", "raftctl status --jsn", "raftnode run", "raftnode jion -h"])
def test_a_command_that_does_not_exist_is_noticed(line: str) -> None:
    """The check of the commands is one: it refuses an unknown command, an unknown option, a missing argument."""
    ((program, arguments),) = commands_in(line)
    with pytest.raises(Exception, match=r"no command|does not take|Missing parameter|No such command"):
        check_command(program, arguments)


def test_the_python_snippet_prints_what_the_readme_says() -> None:
    """The example of embedding runs as it stands, and the block after it is its output."""
    (snippet,) = (block for block in blocks("python") if "RaftNode" in block)
    (promised,) = blocks("text")
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == promised


@pytest.mark.processes
def test_the_client_snippet_runs_against_a_real_cluster(tmp_path: Path) -> None:
    """The example of a client runs as it stands, with the addresses of a cluster that is there."""
    (snippet,) = (block for block in blocks("python") if "Client(" in block)
    with running_cluster(tmp_path) as cluster:
        cluster.wait_leader()
        endpoints = ",".join(cluster.endpoints)
        code = re.sub(r'Client\("[^"]*"\)', f'Client("{endpoints}")', snippet)
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    value, results, item = done.stdout.splitlines()
    assert (value, results) == ("b'hello'", "True 1")
    assert re.fullmatch(r"b'greeting' \d+", item)


def bootstrap(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run bootstrap.sh without its installation."""
    return subprocess.run(
        [str(BOOTSTRAP), *arguments, "--python", sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture
def cluster_file(tmp_path: Path) -> Path:
    """Return a copy of the example's cluster.toml with ports of this machine."""
    document = tomllib.loads((THREE_NODE / "cluster.toml").read_text())
    for node, port in zip(document["node"], free_ports(3), strict=True):
        node["address"] = f"127.0.0.1:{port}"
    path = tmp_path / "cluster.toml"
    path.write_text(tomli_w.dumps(document))
    return path


@pytest.mark.processes
def test_bootstrap_forms_a_cluster_of_three_machines(tmp_path: Path, cluster_file: Path) -> None:
    """Three runs, each under its own prefix as on its own machine, prepare nodes that elect a leader."""
    names = [node["name"] for node in tomllib.loads(cluster_file.read_text())["node"]]
    endpoints = ",".join(node["address"] for node in tomllib.loads(cluster_file.read_text())["node"])
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for name in names:
            prefix = tmp_path / f"machine {name}"
            done = bootstrap(name, "--prefix", str(prefix), "--cluster-file", str(cluster_file))
            assert done.returncode == 0, done.stderr
            assert f"export RAFTCTL_ENDPOINTS={endpoints}" in done.stdout
            (start,) = [line for line in done.stdout.splitlines() if " run --data-dir " in line]
            with (tmp_path / f"{name}.log").open("wb") as log:
                processes.append(subprocess.Popen(shlex.split(start), stdin=subprocess.DEVNULL, stderr=log))
        for check in (["wait", "--leader", "--voters", "3"], ["wait", "--health", "healthy"], ["status"]):
            last = subprocess.run(
                python_module("raftctl.main", *check, "-e", endpoints), capture_output=True, text=True, timeout=60
            )
            assert last.returncode == 0, last.stderr
        assert last.stdout.startswith("cluster prod  HEALTHY  3/3 voters up, quorum 2, tolerates 1 more failure\n")
    finally:
        for process in processes:
            process.terminate()
        codes = [process.wait(READY_SECONDS) for process in processes]
    assert codes == [0, 0, 0]


def test_bootstrap_may_run_again(tmp_path: Path, cluster_file: Path) -> None:
    """A second run changes nothing in the data directory; a corrected file is taken until the node is formatted."""
    prefix = tmp_path / "prefix"
    shutil.copy(THREE_NODE / "cluster.toml", tmp_path / "other.toml")
    wrong = bootstrap("n7", "--prefix", str(prefix), "--cluster-file", str(tmp_path / "other.toml"))
    assert wrong.returncode == 3
    assert "has no node 'n7'" in wrong.stderr
    arguments = ("n1", "--prefix", str(prefix), "--cluster-file", str(cluster_file))
    first, second = bootstrap(*arguments), bootstrap(*arguments)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "changed: true" in first.stderr
    assert "changed: false" in second.stderr
    assert first.stdout == second.stdout
    refused = bootstrap("n1", "--prefix", str(prefix), "--cluster-file", str(tmp_path / "other.toml"))
    assert refused.returncode == 2
    assert "n1 is formatted already" in refused.stderr
    assert sorted(path.name for path in prefix.iterdir()) == ["cluster.toml", "data"]


def test_bootstrap_prints_a_unit_and_does_nothing_else(tmp_path: Path) -> None:
    """--print-unit is a systemd unit on standard output; the prefix is not even made."""
    prefix = tmp_path / "pre fix"
    done = subprocess.run(
        [str(BOOTSTRAP), "n2", "--prefix", str(prefix), "--print-unit"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert f'ExecStart="{prefix}/venv/bin/raftnode" run --data-dir "{prefix}/data/n2"\n' in done.stdout
    assert re.findall(r"^\[(\w+)\]$", done.stdout, re.MULTILINE) == ["Unit", "Service", "Install"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", ["", "n1 n2", "--prefix", "n1 --frob", "n1 --cluster-file /no", "n1 --prefix %h"])
def test_bootstrap_refuses_what_makes_no_sense(arguments: str) -> None:
    """A wrong command line is exit code 2, with what to do, before anything is made."""
    done = subprocess.run([str(BOOTSTRAP), *arguments.split()], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("bootstrap.sh: ")


@pytest.mark.processes
def test_the_picture_of_a_status_table_is_what_status_prints(tmp_path: Path) -> None:
    """With one of three nodes dead, the real table has the picture's first line, header and states."""
    picture = [line.split() for line in re.findall(r"^    ([^$].+)$", README, re.MULTILINE)[:5]]
    with running_cluster(tmp_path) as cluster:
        leader = cluster.wait_leader()
        cluster.kill(next(name for name in cluster.names if name != leader))
        cluster.raftctl("wait", "--leader", "--health", "degraded")
        real = [line.split() for line in cluster.raftctl("status").stdout.splitlines()]
    assert real[0][2:] == picture[0][2:]
    assert real[1] == picture[1]
    assert len(real) == len(picture)
    assert sorted(row[2:4] for row in real[2:]) == sorted(row[2:4] for row in picture[2:])


@pytest.mark.processes
def test_a_backup_restores_into_a_new_cluster_as_the_manual_says(tmp_path: Path) -> None:
    """Backup and restore: the section's own lines, run one after the other, end in a cluster with the old keys."""
    section = page_text(OPERATIONS).split("\n.SH BACK UP AND RESTORE\n", 1)[1].split("\n.SH ", 1)[0]
    lines = re.findall(r"^raftctl (snapshot .+)$", section, re.MULTILINE)
    assert [line.split()[1] for line in lines] == ["save", "verify", "inspect", "restore"]
    with running_cluster(tmp_path) as cluster:
        cluster.raftctl("kv", "put", "greeting", "hello")
        for line in lines[:3]:
            run_in(tmp_path, cluster, line)
    document = tomllib.loads(cluster.cluster_file.read_text())
    document["cluster"] |= {"name": "restored", "id": "11b1f0de-6a0b-4a52-9d3a-2d5d3f4b7a10"}
    cluster.cluster_file.write_text(tomli_w.dumps(document))
    for name in cluster.names:
        shutil.rmtree(cluster.data_dir(name))
        directory = shlex.quote(str(cluster.data_dir(name)))
        line = lines[3].replace("--name n1", f"--name {name}").replace("/var/lib/raftnode", directory)
        run_in(tmp_path, cluster, line)
        assert (cluster.data_dir(name) / "node.toml").exists()
    try:
        cluster.start()
        cluster.wait_leader()
        assert cluster.raftctl("kv", "get", "greeting").stdout == "hello\n"
        cluster.raftctl("wait", "--health", "healthy")
        assert cluster.raftctl("status").stdout.startswith("cluster restored  HEALTHY  3/3 voters up")
    finally:
        cluster.kill()


def run_in(folder: Path, cluster: ProcessCluster, line: str) -> None:
    """Run a line for raftctl in a folder, against a cluster. It must succeed."""
    done = subprocess.run(
        python_module("raftctl.main", *shlex.split(line)),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"RAFTCTL_ENDPOINTS": ",".join(cluster.endpoints), "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"


PAGES = sorted(path.name for path in (ROOT / "man").iterdir())


def test_the_readme_lists_every_manual_page() -> None:
    """A page that nobody is told of is not read."""
    assert [page for page in PAGES if f"](man/{page})" not in README] == []


@pytest.mark.parametrize("page", PAGES)
def test_a_manual_page_refers_to_all_others(page: str) -> None:
    """SEE ALSO names each other page once, in the order of sections and names, and none that is not there."""
    see_also = (ROOT / "man" / page).read_text().replace("\\-", "-").split(".SH SEE ALSO\n", 1)[1]
    found = [f"{name}.{section}" for name, section in re.findall(r"^\.BR (\S+) \((\d)\),?$", see_also, re.MULTILINE)]
    assert found == sorted((other for other in PAGES if other != page), key=lambda other: (other[-1], other))
