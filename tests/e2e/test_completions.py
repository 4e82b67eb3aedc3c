"""What bash, zsh and fish complete, asked of the shells themselves, and that they offer just what --help has."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from peers.keystile import PROGRAMS, clean_environment

TOP = pathlib.Path(__file__).resolve().parents[2]
FILES = TOP / "packaging/completions"
CONFIG = """\
version: 1
listen: 127.0.0.1:8180
vault: { file: secrets.vault, key: passphrase }
session: { key: "file:session.key" }
credentials:
  openai: { preset: openai, secret: vault:openai-key }
  github: { preset: github, secret: vault:github-key }
profiles:
  coder: { credentials: [openai] }
  reader: { credentials: [github] }
"""
FORMATS = "sh dotenv docker systemd github json fish k8s"
COMMANDS = "explain run verify names admin"
SECRETS = "github-key openai-key"
VAULT = "init set list show reveal rm import rekey key verify accept-older keygen"

# A line, and what its last word may become, in every shell.
TABLE = [
    ("proxyd --ch", "--check"),
    ("proxyd --pre", "--presets"),
    ("proxyd --log", "--log-format"),
    ("proxyd --log-format ", "text json"),
    ("proxyd --log-format j", "json"),
    ("proxyd --config key", "keystile.yaml"),
    ("envgen ", COMMANDS),
    ("envgen --form", "--format"),
    ("envgen --format ", FORMATS),
    ("envgen --format d", "dotenv docker"),
    ("envgen --profile ", "coder reader"),
    ("envgen --profile c", "coder"),
    ("envgen --config other.yaml --profile ", "elsewhere"),
    ("envgen verify --profile ", "coder reader"),
    ("envgen names ", "profiles credentials secrets"),
    ("envgen explain --js", "--json"),
    ("envgen run --conf", "--confine --config"),
    ("envgen run --best", "--best-effort"),
    ("envgen run --profile ", "coder reader"),
    ("envgen run --clean keyst-pro", "keyst-program"),
    ("creds ", VAULT),
    ("creds se", "set"),
    ("creds set ", SECRETS),
    ("creds reveal o", "openai-key"),
    ("creds --config other.yaml set ", "else-key"),
    ("creds set openai-key --from", "--from-file"),
    ("creds key ", "add rm list"),
    ("creds --config other.yaml rm ", "else-key"),
    ("creds rekey --dr", "--drop"),
    ("creds keygen keyst", "keystile.yaml"),
]


@pytest.fixture
def here(tmp_path):
    """A folder with configurations whose vault asks for a passphrase, and our programs in the path."""
    (tmp_path / "keystile.yaml").write_text(CONFIG)
    (tmp_path / "other.yaml").write_text(re.sub(r"  reader.*\n", "", CONFIG).replace("  coder:", "  elsewhere:")
                                         .replace("openai-key", "else-key").replace("  github: { preset: github, secret: vault:github-key }\n", ""))
    (tmp_path / "bin").mkdir()
    for program in ("proxyd", "envgen", "creds"):
        (tmp_path / "bin" / program).symlink_to(PROGRAMS / program / program)
    (tmp_path / "bin/keyst-program").write_text("#!/bin/sh\n")
    (tmp_path / "bin/keyst-program").chmod(0o755)
    return tmp_path


def environment(here):
    return clean_environment(PATH=f"{here}/bin:/usr/bin:/bin", HOME=str(here), TERM="dumb")


BASH = r"""
set +o histexpand
[ -z "$LIBRARY" ] || . /usr/share/bash-completion/bash_completion
. "$FILES/keystile.bash"
COMP_LINE=$LINE COMP_POINT=${#LINE} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"${LINE//=/ = }"
[[ $LINE != *" " ]] || COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
"_${COMP_WORDS[0]}" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def bash(here, line, library=""):
    done = subprocess.run(["bash", "--norc", "-c", BASH], cwd=here, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
                          env={**environment(here), "LINE": line, "LIBRARY": library, "FILES": str(FILES)})
    told = [row for row in done.stderr.splitlines() if "not currently executing completion function" not in row]
    assert told == [], done.stderr
    return set(done.stdout.split())


# What zsh would offer goes by compadd, which is asked what of it fits.
ZSH = r"""
PS1=; unsetopt prompt_cr prompt_sp zle_bracketed_paste 2>/dev/null
fpath=("$FILES" $fpath)
autoload -Uz compinit && compinit -u -D
zstyle ':completion:*' completer _complete
compadd() {
	if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return; fi
	local -a fit
	builtin compadd -O fit "$@"
	(( ! $#fit )) || print -rl -- $fit >>"$OUT"
	builtin compadd "$@"
}
zle -C offered complete-word _main_complete
ask() { zle offered; print END >>"$OUT"; zle .kill-buffer; zle .send-break }
zle -N ask
bindkey '^G' ask
print BEGIN >>"$OUT"
"""


def zsh(here, line):
    out = here / "offered"
    out.write_text("")
    (here / ".zshrc").write_text(ZSH)
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(here)
        os.execvpe("zsh", ["zsh", "-i", "-o", "no_global_rcs"], {**environment(here), "ZDOTDIR": str(here), "FILES": str(FILES), "OUT": str(out)})
    sent, deadline = False, time.monotonic() + 30
    try:
        while "END" not in out.read_text().split() and time.monotonic() < deadline:
            if not sent and "BEGIN" in out.read_text().split():
                os.write(terminal, line.encode() + b"\x07")
                sent = True
            if select.select([terminal], [], [], 0.05)[0]:
                os.read(terminal, 4096)
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    offered = out.read_text().split()
    assert "END" in offered, f"zsh has not answered: {offered}"
    return {word for word in offered if word not in ("BEGIN", "END")}


def fish(here, line):
    script = "set -g fish_complete_path $FILES $fish_complete_path; complete -C \"$LINE\""
    done = subprocess.run(["fish", "--no-config", "-c", script], cwd=here, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=30,
                          env={**environment(here), "LINE": line, "FILES": str(FILES)})
    assert done.stderr == "", done.stderr
    return {row.split("\t")[0] for row in done.stdout.splitlines()}


SHELLS = {"bash": bash, "bash with its library": lambda here, line: bash(here, line, "yes"), "zsh": zsh, "fish": fish}
LIBRARY = "/usr/share/bash-completion/bash_completion"


def shell_named(name):
    if not shutil.which(name.split()[0]) or ("library" in name and not os.path.exists(LIBRARY)):
        pytest.skip(f"{name} is not installed")
    return SHELLS[name]


@pytest.mark.parametrize("shell", SHELLS)
def test_what_is_offered(here, shell):
    ask, wrong = shell_named(shell), []
    for line, wanted in TABLE:
        offered = {word.rstrip("=") for word in ask(here, line)}
        if offered != set(wanted.split()):
            wrong.append(f"{line!r}: {sorted(offered)}, not {wanted}")
    assert not wrong, "\n".join(wrong)


def helped(program):
    """Long options and commands, as --help has them."""
    text = subprocess.run([PROGRAMS / program / program, "--help"], capture_output=True, text=True, env=clean_environment()).stdout
    text = text.split("Formats:")[0]
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) | {"--help", "--version"}
    commands = re.findall(r"^  ([a-z][a-z-]+) .*", text, re.M) if program != "proxyd" else []
    return options, set(commands)


LEVELS = {  # where each program's options are offered
    "proxyd": ["proxyd --"],
    "envgen": ["envgen --"] + [f"envgen {command} --" for command in COMMANDS.split()],
    "creds": ["creds --"] + [f"creds {command} --" for command in VAULT.split()] + ["creds key list --"],
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("program", LEVELS)
def test_options_are_those_of_help(here, shell, program):
    options, commands = helped(program)
    offered = set().union(*({word.rstrip("=") for word in shell_named(shell)(here, line)} for line in LEVELS[program]))
    assert {word for word in offered if word.startswith("--")} == options
    wanted = {"envgen": COMMANDS, "creds": VAULT, "proxyd": ""}[program]
    assert set(wanted.split()) == commands


def test_names_need_no_key_and_no_vault(here):
    """There is neither here, and nobody to ask for the passphrase."""
    for kind, wanted in (("profiles", "coder reader"), ("credentials", "openai github"), ("secrets", "openai-key github-key")):
        done = subprocess.run([PROGRAMS / "envgen/envgen", "names", kind], cwd=here, capture_output=True, text=True, env=clean_environment(),
                              stdin=subprocess.DEVNULL, start_new_session=True)
        assert (done.returncode, done.stdout.split(), done.stderr) == (0, wanted.split(), "")
    assert not (here / "session.key").exists()
    done = subprocess.run([PROGRAMS / "envgen/envgen", "names", "keys"], cwd=here, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 1 and "profiles, credentials or secrets" in done.stderr
