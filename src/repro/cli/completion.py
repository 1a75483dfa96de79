"""Shell completion: `repro` as a function of the shell that runs this checkout, with its words completed by typer.

typer's own scripts complete a program on the PATH. Here there is none: the command is `python -m repro`, and a shell
completes by first words. So each script defines the function, too. What typer answers, and the variables that ask it,
are its own (typer's _completion_shared.py has its scripts).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from repro import layout
from repro import system as platforms
from repro.errors import ConfigError

SHOW, INSTALL = "--show-completion", "--install-completion"
VARIABLE = "_REPRO_COMPLETE"
"""Set by the scripts; typer then answers what may come next instead of running the command."""

_BASH = """repro() {{ {run} "$@"; }}
_repro_completion() {{
    local IFS=$'\\n'
    COMPREPLY=( $(COMP_WORDS="${{COMP_WORDS[*]}}" COMP_CWORD=$COMP_CWORD {variable}=complete_bash repro) )
}}
complete -o default -F _repro_completion repro
"""
_ZSH = """repro() {{ {run} "$@" }}
_repro_completion() {{
    eval "$(_TYPER_COMPLETE_ARGS="${{words[1,$CURRENT]}}" {variable}=complete_zsh repro)"
}}
(( $+functions[compdef] )) || {{ autoload -Uz compinit && compinit }}
compdef _repro_completion repro
"""
_FISH = """function repro; {run} $argv; end
function _repro_completion
    set -lx _TYPER_COMPLETE_ARGS (commandline -cp)
    set -lx _TYPER_COMPLETE_FISH_ACTION $argv[1]
    set -lx {variable} complete_fish
    repro
end
complete --command repro --no-files --arguments "(_repro_completion get-args)" --condition "_repro_completion is-args"
"""
_POWERSHELL = """function repro {{ {run} @args }}
Register-ArgumentCompleter -CommandName repro -Native -ScriptBlock {{
    param($wordToComplete, $commandAst, $cursorPosition)
    $Env:_TYPER_COMPLETE_ARGS = $commandAst.ToString()
    $Env:_TYPER_COMPLETE_WORD_TO_COMPLETE = $wordToComplete
    $Env:{variable} = "complete_powershell"
    repro | ForEach-Object {{
        $word, $help = $_ -Split ":::"
        if (-not $help) {{ $help = $word }}
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $help)
    }}
    Remove-Item Env:{variable}, Env:_TYPER_COMPLETE_ARGS, Env:_TYPER_COMPLETE_WORD_TO_COMPLETE
}}
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH, "powershell": _POWERSHELL, "pwsh": _POWERSHELL}
_LOAD = {
    "bash": 'eval "$({command})"', "zsh": 'eval "$({command})"', "fish": "{command} | source",
    "powershell": "{command} | Out-String | Invoke-Expression", "pwsh": "{command} | Out-String | Invoke-Expression",
}  # fmt: skip


def asked(arguments: Sequence[str]) -> str | None:
    """What to print where the arguments ask for completion; None where they do not. Raises ConfigError."""
    if not arguments or arguments[0] not in (SHOW, INSTALL):
        return None
    shell = arguments[1] if len(arguments) > 1 else platforms.users_shell()
    if shell not in SCRIPTS:
        raise ConfigError(f"no completion for the shell {shell!r}; name one of: {', '.join(SCRIPTS)}")
    if arguments[0] == INSTALL:
        command = f"{_run(shell)} {SHOW} {shell}"
        return f"put this line where {shell} starts:\n{_LOAD[shell].format(command=command)}\n"
    return SCRIPTS[shell].format(run=_run(shell), variable=VARIABLE)


def _run(shell: str) -> str:
    """The command that runs this checkout with this Python, whatever the folder."""
    source, python = str(layout.ROOT / "src"), sys.executable
    if SCRIPTS[shell] is _POWERSHELL:
        quoted = ["'" + text.replace("'", "''") + "'" for text in (source, python)]
        return f"$Env:PYTHONPATH = {quoted[0]}; & {quoted[1]} -m repro"
    return f"env PYTHONPATH={shlex.quote(source)} {shlex.quote(python)} -m repro"
