"""raftctl completion: the script that a shell loads, and the words that it asks for."""

from typing import Annotated, Final

from raftctl.cli import registry
from raftctl.cli.command import Arg, Command, Opt, command
from raftctl.cli.context import CommandContext

BASH: Final = """\
_raftctl() {
  local words=("${COMP_WORDS[@]:1:COMP_CWORD}")
  local found="$(raftctl completion words -- "${words[@]}" 2>/dev/null)"
  COMPREPLY=($(compgen -W "$found" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _raftctl raftctl
"""

ZSH: Final = """\
#compdef raftctl
_raftctl() {
  local -a found
  found=(${(f)"$(raftctl completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  compadd -a found
  (( ${#found} )) || _files
}
compdef _raftctl raftctl
"""

FISH: Final = """\
complete -c raftctl -f -a '(raftctl completion words -- (commandline -opc)[2..] (commandline -ct)
2>/dev/null)'
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}


@command("completion", prints=False)
def completion(
    ctx: CommandContext,
    shell: Annotated[str, Arg("SHELL", "The shell; or `words`, which the scripts use.", (*SCRIPTS, "words"))],
    words: Annotated[tuple[str, ...], Arg("WORDS", "With `words`: the command line so far.")] = (),
) -> None:
    """Print a script that lets the shell complete raftctl's commands and options.

    Example: source <(raftctl completion bash)
    """
    if shell != "words":
        ctx.output.emit_text(SCRIPTS[shell].rstrip("\n"))
        return
    for word in candidates(list(words)):
        ctx.output.emit_text(word)


def candidates(words: list[str]) -> list[str]:
    """Return what the last of `words` could become."""
    *before, last = words or [""]
    found = registry.find(before)
    if found is None:
        depth = len(before)
        paths = [p.split() for p in registry.COMMANDS]
        return sorted({p[depth] for p in paths if len(p) > depth and p[:depth] == before and p[depth].startswith(last)})
    chosen = registry.load(found[0])
    previous = before[-1]
    options = {n: p.declaration for p in chosen.params if isinstance(p.declaration, Opt) for n in p.declaration.names}
    if previous in options and options[previous].choices:
        return [c for c in options[previous].choices if c.startswith(last)]
    if last.startswith("-"):
        return sorted(n for n in [*_flags(chosen), "--help"] if n.startswith("--") and n.startswith(last))
    return []


def _flags(chosen: Command) -> list[str]:
    return [
        n
        for p in chosen.params
        if isinstance(p.declaration, Opt)
        for n in [*p.declaration.names, *([p.declaration.negative] if p.declaration.negative else [])]
    ]
