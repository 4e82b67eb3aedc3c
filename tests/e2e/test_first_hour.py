"""The mistakes of a first hour, each with its message: what was wrong, where, and what to do.

Two tables: what a program says on standard error, and what a client of proxyd is told (detail and hint of the problem).
In a message "…" stands for anything; FOLDER for the folder of the configuration. A row begins with a good configuration,
a vault and a session key, and makes one mistake."""

import os
import pathlib
import re
import shlex
import shutil
import socket
import subprocess
import tempfile

import pytest

from peers import evidence
from peers.authority import Authority
from peers.config import BEARER, basic, get, problem
from peers.evidence import EVIDENCE
from peers.keystile import PATIENCE, PROGRAMS, Keystile, clean_environment, free_port
from peers.wire import Origin, note
from test_ways import proxied

GOOD = """version: 1
listen: 127.0.0.1:{port}
vault: { file: secrets.vault, key: "file:vault.key" }
session: { key: "file:session.key" }
credentials:
  api:
    upstream: https://api.example.com
    secret: vault:api
    inject: { header: Authorization, value: "Bearer {secret}" }
    env: { base_url: API_URL, token: API_TOKEN }
profiles:
  agent:
    hosts: [pypi.org]
    credentials: [api]
"""
PATH = ":".join([*(str(PROGRAMS / name) for name in ("proxyd", "envgen", "creds")), os.environ["PATH"], "/usr/sbin:/sbin"])
ANOTHER = "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all"
ROOT = os.geteuid() == 0


def matches(pattern, text):
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("…")), text, re.DOTALL)


class Said:
    """A mistake that a program answers on standard error.

    `edit`: pairs of what is replaced in GOOD. `before`: commands of the shell. `run`: the command. `says`: a line that it
    says, or several. `code`: its exit status; None: proxyd serves, says it in its log, and is ended. `root`: takes root,
    to be another user; `port`: takes a system where that user may not listen there."""

    def __init__(self, did, says, edit=(), before="", run="proxyd --check", code=1, root=False, port=None):
        self.did, self.edit, self.before, self.run, self.code, self.root = did, edit, before, run, code, root
        self.port = port
        self.says = [says] if isinstance(says, str) else says


def secret(source):
    return ("secret: vault:api", f"secret: {source}")


def option(line):
    """One more line in the entry of the credential; it is line 10."""
    return ("    env:", f"    {line}\n    env:")


def top(line):
    """One more line at the top; it is line 3."""
    return ("vault:", f"{line}\nvault:")


NO_SESSION = ('session: { key: "file:session.key" }', "session: none")
LISTEN = "listen: 127.0.0.1:{port}"
UNREADY = "proxyd: warning: ./keystile.yaml:8:13: credential api is not ready and answers 503: "
SHUT = "./secrets.vault: does not open: this is not its key, or the file is damaged; check the key, or put a backup back"
WRONG = SHUT.replace("its key", "its passphrase").replace("check the key", "check the passphrase")
OLDER = (
    "generation 2 is older than 3, the last one seen: an older copy was put in its place; if that is meant, do: "
    "creds accept-older"
)
NOWHERE = (
    "error: no configuration: there is no ./keystile.yaml, no FOLDER/home/.config/keystile/keystile.yaml and no "
    "/etc/keystile/keystile.yaml; name one with --config FILE or KEYSTILE_CONFIG"
)
ADVERTISE = (
    'error: ./keystile.yaml:1:1: "advertise" is missing here: 0.0.0.0 is every address of this machine, so write the one '
    "that agents use, such as advertise: keystile:…"
)
LIST = '; a list stands in [ ], or each item in a line of its own after "- "'
SOURCES = "a secret is named by vault:NAME, file:PATH, env:NAME, systemd:NAME or exec:COMMAND"

CONFIGURATION = [
    # Keys and indentation
    Said("a wrong key", 'proxyd: error: ./keystile.yaml:2:1: unknown key "lisen"; did you mean "listen"? (known here: …)',
         ("listen:", "lisen:")),
    Said("a wrong key in a credential", [
        'proxyd: error: ./keystile.yaml:7:5: "secret" is missing here; write secret: vault:NAME, or …',
        'proxyd: error: ./keystile.yaml:8:5: unknown key "secrt"; did you mean "secret"? (known here: …)',
    ], ("secret: vault", "secrt: vault")),
    Said("a wrong key, told by envgen", 'envgen: error: ./keystile.yaml:2:1: unknown key "lisen"; did you mean "listen"? …',
         ("listen:", "lisen:"), run="envgen"),
    Said("a wrong key, told by creds", [
        'creds: error: ./keystile.yaml:2:1: unknown key "lisen"; did you mean "listen"? …',
        "creds: error: mend ./keystile.yaml, or name the vault: --vault FILE --key SOURCE",
    ], ("listen:", "lisen:"), run="creds list", code=2),
    Said("a line that is indented too little", "proxyd: error: ./keystile.yaml:8:4: no key where one is expected; is this "
         "line indented like its neighbours?", ("    secret:", "   secret:")),
    Said("a line that is indented too much", 'proxyd: error: ./keystile.yaml:8:12: a ":" that is not expected here…this line '
         "or the one before is indented wrongly…", ("    secret:", "     secret:")),
    Said("a tab", "proxyd: error: ./keystile.yaml:8:1: a tab; YAML is indented with spaces", ("    secret:", "\tsecret:")),
    Said("a key twice", 'proxyd: error: ./keystile.yaml:10:5: duplicate key "secret"; it stands at line 8 already',
         option("secret: vault:other")),
    Said("a merge key", 'proxyd: error: ./keystile.yaml:10:5: "<<" is not used here; a profile takes over another with '
         '"extends"', option("<<: {}")),
    Said("no version", 'proxyd: error: ./keystile.yaml:1:1: "version" is missing here; write version: 1', ("version: 1\n", "")),
    Said("an empty file", "proxyd: error: ./keystile.yaml:1:1: the file is empty", before=": >keystile.yaml"),
    # Values
    Said("yes for true", "proxyd: error: ./keystile.yaml:10:20: expected true or false; did you mean true, without quotes?",
         option("encoded_slash: yes")),
    Said("true in quotes", "proxyd: error: ./keystile.yaml:10:20: expected true or false; did you mean true, without "
         "quotes?", option('encoded_slash: "true"')),
    Said("text for a list", 'proxyd: error: ./keystile.yaml:13:12: expected hosts such as [pypi.org, "*.example.com"] (a '
         "list), found text" + LIST, ("[pypi.org]", "pypi.org")),
    Said("a wildcard without quotes", 'proxyd: error: ./keystile.yaml:13:13: text that starts with "*" goes in quotes, such '
         'as "*.example.com"', ("[pypi.org]", "[*.pypi.org]")),
    Said("a denial without quotes", 'proxyd: error: ./keystile.yaml:13:13: text that starts with "!" goes in quotes, such as '
         '"!name"', ("[pypi.org]", "[!pypi.org]")),
    Said("a URL for a host", "proxyd: error: ./keystile.yaml:13:13: `https://pypi.org/simple` has a `/` and is no network; "
         "leave out scheme and path; …", ("[pypi.org]", "[https://pypi.org/simple]")),
    Said("a limit without a unit", "proxyd: error: ./keystile.yaml:3:17: `60` is not a time; write a number and ms, s, m, h "
         "or d, like 30s", top("limits: { idle: 60 }")),
    # Credentials
    Said("no upstream", 'proxyd: error: ./keystile.yaml:7:5: "upstream" is missing here; write upstream: '
         "https://api.example.com, or preset: NAME", ("    upstream: https://api.example.com\n", "")),
    Said("an upstream without a scheme", "proxyd: error: ./keystile.yaml:7:15: expected a URL that starts with https:// or "
         "http://, such as https://api.example.com", ("https://api", "api")),
    Said("an upstream in the open", "proxyd: warning: ./keystile.yaml:7:15: the secret goes to api.example.com over plain "
         "http, where everyone on the way can read it; is there an https:// address?", ("https://api", "http://api"), code=0),
    Said("a misspelt preset", 'proxyd: error: ./keystile.yaml:7:13: no preset has the name "opena"; did you mean "openai"? '
         "(proxyd --presets lists them)", ("upstream: https://api.example.com", "preset: opena")),
    Said("an unknown preset", 'proxyd: error: ./keystile.yaml:7:13: no preset has the name "wolfram" (proxyd --presets lists '
         "them)", ("upstream: https://api.example.com", "preset: wolfram")),
    Said("no inject", 'proxyd: error: ./keystile.yaml:7:5: "inject" is missing here; write inject: { header: Authorization, '
         'value: "Bearer {secret}" }, or preset: NAME', ('    inject: { header: Authorization, value: "Bearer {secret}" }\n', "")),
    Said("a value without quotes", 'proxyd: error: ./keystile.yaml:9:45: expected text such as "Bearer {secret}" (text), '
         'found a mapping; text that starts with "{" goes in quotes', ('"Bearer {secret}"', "{secret}")),
    Said("a misspelt {secret}", "proxyd: error: ./keystile.yaml:9:…: {secrt} is no secret of this credential, which has "
         "{secret}", ("{secret}", "{secrt}")),
    Said("a value without {secret}", "proxyd: error: ./keystile.yaml:9:…: no secret goes anywhere: a value needs {secret} or "
         "…", ("Bearer {secret}", "Bearer")),
    Said("a rule without allow or deny", "proxyd: error: ./keystile.yaml:10:13: rule `GET /v1/**` begins with neither `allow` "
         "nor `deny`; a rule is like `allow GET,POST /v1/**` or `deny * /v1/admin/**`", option("rules: [GET /v1/**]")),
    Said("one variable for two credentials", 'proxyd: error: ./keystile.yaml:13:3: profile "agent": API_TOKEN would get two '
         'values, from credential "api" (line 6) and from "other" (line 11)…', (
             "profiles:", "  other: { upstream: 'https://b.test', secret: vault:b, inject: { query: k }, env: { token: "
             "API_TOKEN } }\nprofiles:", "[api]", "[api, other]")),
    Said("a ca: that is not there", "proxyd: warning: ./keystile.yaml:6:3: the ca: of credential api does not load, so its "
         "upstream is not verified and not reached: cannot read ./nope.pem: No such file or directory", option("ca: nope.pem"),
         code=0),
    # Profiles
    Said("an undefined credential", 'proxyd: error: ./keystile.yaml:14:19: no credential has the name "apo"; did you mean '
         '"api"?', ("credentials: [api]", "credentials: [apo]")),
    Said("an undefined parent", 'proxyd: error: ./keystile.yaml:13:14: no profile has the name "bas"…',
         ("  agent:\n", "  agent:\n    extends: bas\n")),
    Said("a cycle", 'proxyd: error: ./keystile.yaml:16:21: a cycle: profile "agent" extends itself, by itself or through '
         "others", ("  agent:\n", "  agent:\n    extends: [other]\n"),
         before="printf '  other: { extends: agent }\\n' >>keystile.yaml"),
    Said("the host of a credential as an allowed host", "proxyd: warning: ./keystile.yaml:13:13: api.example.com is the host "
         'of credential "api", so this entry has no effect: only a profile with that credential reaches it',
         ("[pypi.org]", "[api.example.com]"), code=0),
    # Listeners
    Said("a name to listen on", 'proxyd: error: ./keystile.yaml:2:9: expected an address, found the name "localhost"; write '
         "127.0.0.1", ("listen: 127.0.0.1", "listen: localhost")),
    Said("a port to listen on", "proxyd: error: ./keystile.yaml:2:9: expected ADDRESS:PORT such as 127.0.0.1:8180, [ADDRESS]:PORT, or "
         "unix:PATH, found a number alone; if it is the port, write 127.0.0.1:8190", (LISTEN, "listen: 8190")),
    Said("a listener without a port", "proxyd: error: ./keystile.yaml:2:9: a port is missing; write ADDRESS:PORT such as "
         "127.0.0.1:8180, [ADDRESS]:PORT, or unix:PATH", (LISTEN, "listen: 127.0.0.1")),
    Said("admin where the proxy listens", "proxyd: error: ./keystile.yaml:3:8: the listener of line 2 already listens there…",
         top("admin: 127.0.0.1:{port}")),
    Said("a container without advertise", "proxyd: " + ADVERTISE, (LISTEN, "listen: 0.0.0.0:{port}")),
    Said("a container without advertise, told by envgen", "envgen: " + ADVERTISE, (LISTEN, "listen: 0.0.0.0:{port}"),
         run="envgen"),
    Said("advertise: the wildcard", "proxyd: error: ./keystile.yaml:3:12: nobody can connect to 0.0.0.0; write the name or "
         "address that agents use", top("advertise: 0.0.0.0:8180")),
    Said("session: none for everybody", "proxyd: error: ./keystile.yaml:3:9: with `session: none` every client is let in, so a "
         "listener is a unix socket or on loopback, such as 127.0.0.1:…",
         (*NO_SESSION, LISTEN, "advertise: keystile:1\nlisten: 0.0.0.0:{port}")),
    Said("session: none for two profiles", "proxyd: error: ./keystile.yaml:4:10: `session: none` goes with exactly one "
         "profile, there are 2: without tokens nothing tells clients apart", (*NO_SESSION, "  agent:", "  other: {}\n  agent:")),
]

FILES = [
    # The configuration itself
    *(Said(f"no configuration, {run}", f"{run.split()[0]}: {NOWHERE}", before="rm keystile.yaml", run=run)
      for run in ("proxyd", "proxyd --check", "envgen")),
    Said("a configuration that is not there", "proxyd: error: nope.yaml: No such file or directory; name the "
         "configuration with --config FILE or KEYSTILE_CONFIG",
         run="proxyd --config nope.yaml"),
    Said("a configuration that may not be read", "proxyd: error: ./keystile.yaml: Permission denied; let the user "
         "who runs this read it",
         before="chmod 600 keystile.yaml; chmod 755 .", run=f"{ANOTHER} proxyd --check", root=True),
    Said("exec: in a file that was only found here", "proxyd: error: ./keystile.yaml:8:13: exec: is refused in a file that "
         "was only found as ./keystile.yaml, since any folder may hold one; name the file with --config or KEYSTILE_CONFIG if "
         "you trust it", secret("exec:/bin/date")),
    # The vault and its key
    Said("vault: is not in the file", "proxyd: error: ./keystile.yaml:7:13: there is no vault in this file; add vault: { file: "
         'secrets.vault, key: "file:vault.key" }', ('vault: { file: secrets.vault, key: "file:vault.key" }\n', "")),
    Said("the vault was not made", UNREADY + "vault:api: ./secrets.vault: there is no such vault; make it with: creds init, "
         "then: creds set api", before="rm secrets.vault vault.key", code=0),
    Said("the vault was not made, and proxyd serves", "proxyd: warning: credential api is not ready and answers 503: …make it "
         "with: creds init, then: creds set api", before="rm secrets.vault vault.key", run="proxyd", code=None),
    Said("a secret for a vault that was not made", "creds: error: ./secrets.vault: there is no such vault; make it with: creds "
         "init", before="rm secrets.vault vault.key", run="creds set api"),
    Said("the secret is not in the vault", UNREADY + "vault:api: not in the vault ./secrets.vault; put it there: creds set api",
         before="creds rm api", code=0),
    Said("the vault's key is gone", UNREADY + "vault:api: ./secrets.vault: its key: ./vault.key: No such file or directory; "
         "put it back, or name the key that opens the vault", before="rm vault.key", code=0),
    Said("the vault's key is gone, and init", "creds: error: ./secrets.vault is there, but its key ./vault.key is not, and a "
         "new key would not open it; put the key back, or move the vault away to begin anew", before="rm vault.key",
         run="creds init"),
    Said("the key of another vault", UNREADY + "vault:api: " + SHUT, before="rm vault.key; creds keygen vault.key", code=0),
    Said("the key of another vault, told by creds", "creds: error: " + SHUT, before="rm vault.key; creds keygen vault.key",
         run="creds list"),
    Said("a wrong passphrase", "creds: error: " + WRONG, ('"file:vault.key"', '"passphrase:file:phrase"'),
         before="echo wrong >phrase; chmod 600 phrase", run="creds list"),
    Said("a wrong passphrase, told by proxyd", UNREADY + "vault:api: " + WRONG,
         ('"file:vault.key"', '"passphrase:file:phrase"'), before="echo wrong >phrase; chmod 600 phrase", code=0),
    Said("a passphrase that nobody can be asked for", UNREADY + "vault:api: ./secrets.vault: its key: the vault's key is a "
         "passphrase, and there is no terminal to ask on; write passphrase:file:PATH or file:PATH as the key",
         ('"file:vault.key"', "passphrase"), code=0),
    Said("a vault key of a wrong size", UNREADY + "vault:api: ./secrets.vault: its key: ./vault.key: a key file holds 32 "
         "bytes, this one 2; make one with: creds keygen FILE", before="echo x >vault.key", code=0),
    Said("a vault key that others may read", "proxyd: warning: ./vault.key: others may read this key (mode 0644); do: chmod "
         "600 ./vault.key", before="chmod 644 vault.key", code=0),
    Said("a vault key that proxyd may not read", UNREADY + "vault:api: ./secrets.vault: its key: ./vault.key: Permission "
         "denied; let user 65534 read it", before="chown 65534 session.key keystile.yaml; chmod 755 .",
         run=f"{ANOTHER} proxyd --check", code=0, root=True),
    Said("an older copy of the vault", UNREADY + "vault:api: ./secrets.vault: " + OLDER,
         before="cp secrets.vault old; printf y | creds set api; cp old secrets.vault", code=0),
    Said("a state folder that cannot be made", "proxyd: warning: ./secrets.vault: an older copy put in its place would not be "
         "noticed, since its generation cannot be kept: cannot make the folder /proc/none: …", top("state: /proc/none"), code=0),
    # The session key
    Said("a session key of a wrong size", "proxyd: error: session key: ./session.key: a key file holds 32 bytes, this one 2; "
         "make one with: creds keygen FILE", before="echo x >session.key", run="proxyd"),
    Said("a session key of a wrong size, told by envgen", "envgen: error: session key: ./session.key: a key file holds 32 "
         "bytes, this one 2; make one with: creds keygen FILE", before="echo x >session.key", run="envgen"),
    Said("a session key that others may read", "envgen: warning: ./session.key: others may read this key (mode 0644); do: "
         "chmod 600 ./session.key", before="chmod 644 session.key", run="envgen -o agent.env", code=0),
    Said("a session key of another user", "envgen: error: session key: ./session.key: Permission denied; let user 65534 read "
         "it", before="chmod 755 .", run=f"{ANOTHER} envgen", root=True),
    # Secrets from elsewhere
    Said("the key itself in the file", "proxyd: error: ./keystile.yaml:8:13: this names no source; " + SOURCES,
         secret("sk-live-0123456789")),
    Said("a misspelt source", "proxyd: error: ./keystile.yaml:8:13: this names no source; " + SOURCES, secret("valt:api")),
    Said("a secret file that is not there", UNREADY + "file:./nope: No such file or directory; once it is there, it "
         "is used", secret("file:nope"), code=0),
    Said("a secret file that may not be read", UNREADY + "file:./f: Permission denied; let user 65534, who runs proxyd, read "
         "it", secret("file:f"), before="echo x >f; chmod 600 f; chown 65534 session.key; chmod 755 .",
         run=f"{ANOTHER} proxyd --check", code=0, root=True),
    Said("an empty secret file", UNREADY + "file:f is empty; the secret must stand there alone, on one line",
         secret("file:f"), before=": >f", code=0),
    Said("what Vault Agent writes for a missing key", UNREADY + "file:f is <no value>; the secret must stand there alone, on "
         "one line", secret("file:f"), before="echo '<no value>' >f", code=0),
    Said("a secret file with two lines", UNREADY + "file:f has a line break in it; the secret must stand there alone, on one "
         "line", secret("file:f"), before="printf 'a\\nb\\n' >f", code=0),
    Said("a secret with blanks", "proxyd: warning: ./keystile.yaml:8:13: the secret `secret` of api begins or ends with a "
         "blank, and is sent that way", secret("file:f"), before="printf ' a\\n' >f", code=0),
    Said("a secret that has the prefix already", "proxyd: warning: ./keystile.yaml:9:13: the secret `secret` of api begins "
         "with `Bearer ` already, which is put in front of it once more", secret("file:f"), before="echo 'Bearer a' >f", code=0),
    Said("a variable that is not set", UNREADY + "env:NOPE: not set; set it where proxyd is started", secret("env:NOPE"), code=0),
    Said("a credential of systemd outside of a unit", UNREADY + "systemd:api: $CREDENTIALS_DIRECTORY is not set; add "
         "LoadCredential=api:PATH to the unit", secret("systemd:api"), code=0),
    # Places
    Said("a port in use", "proxyd: error: cannot listen on 127.0.0.1:{busy}: the address is in use by another process; stop "
         "it, or choose another address in `listen:` or `admin:`", (LISTEN, "listen: 127.0.0.1:{busy}"), run="proxyd"),
    Said("an admin port in use", "proxyd: error: cannot listen on 127.0.0.1:{busy}: the address is in use by another process; "
         "stop it, or choose another address in `listen:` or `admin:`", top("admin: 127.0.0.1:{busy}"), run="proxyd"),
    Said("a unix socket in use", "proxyd: error: cannot listen on unix:{socket}: another process accepts there; stop it, or "
         "choose another path in `listen:` or `admin:`", (LISTEN, "listen: unix:{socket}"), run="proxyd"),
    Said("a file where the unix socket goes", "proxyd: error: cannot listen on unix:./vault.key: that is there, and no "
         "socket; remove it, or choose another path in `listen:` or `admin:`", (LISTEN, "listen: unix:vault.key"), run="proxyd"),
    Said("a unix socket in no folder", "proxyd: error: cannot listen on unix:./no/p.sock: its folder is not there; make it, or "
         "choose another path in `listen:` or `admin:`", (LISTEN, "listen: unix:no/p.sock"), run="proxyd"),
    Said("a port below 1024", "proxyd: error: cannot listen on 127.0.0.1:80: Permission denied; a port below 1024 takes root "
         "or CAP_NET_BIND_SERVICE: choose a higher one, or let systemd pass the socket in", (LISTEN, "listen: 127.0.0.1:80"),
         before="chown -R 65534 .", run=f"{ANOTHER} proxyd", root=True, port=80),
    Said("an address of another machine", "proxyd: error: cannot listen on 203.0.113.7:8180: this machine does not have that "
         "address; choose one that it has, or 127.0.0.1", (LISTEN, "listen: 203.0.113.7:8180"), run="proxyd"),
    Said("an audit file in no folder", "proxyd: error: audit file ./no/audit.jsonl: No such file or directory; let proxyd write "
         "there, or name another file in `audit:`", top("audit: { file: no/audit.jsonl }"), run="proxyd"),
]

COMMANDS = [
    Said("proxyd with the file as an argument", ["proxyd: unexpected argument: keystile.yaml",
                                                 "usage: proxyd [-v] [--config FILE] [--log-format text|json]"], run="proxyd keystile.yaml", code=2),
    Said("an unknown option of proxyd", ["proxyd: unrecognized option '--chek'", "usage: proxyd [-v] [--config FILE] [--log-format text|json]"],
         run="proxyd --chek", code=2),
    Said("an unknown profile", "envgen: error: --profile agnt: ./keystile.yaml has no such profile; it has: agent",
         run="envgen --profile agnt"),
    Said("two profiles and no --profile", "envgen: error: ./keystile.yaml has several profiles; choose one with --profile: "
         "other, agent", ("  agent:", "  other: {}\n  agent:"), run="envgen"),
    Said("no profile at all", "envgen: error: ./keystile.yaml has no profile; write one under `profiles:`",
         ("profiles:\n  agent:\n    hosts: [pypi.org]\n    credentials: [api]\n", ""), run="envgen"),
    Said("a unix socket alone, for envgen", "envgen: error: ./keystile.yaml: proxyd listens on no TCP port, so nobody knows "
         "where the program reaches it; say so with `advertise: HOST:PORT` there, or --advertise HOST:PORT",
         (LISTEN, "listen: unix:p.sock"), run="envgen"),
    Said("a URL for --advertise", "envgen: error: --advertise http://keystile:8180: write HOST:PORT, without scheme and path",
         run="envgen --advertise http://keystile:8180"),
    Said("--advertise without a port", "envgen: error: --advertise keystile: the port is missing; write HOST:PORT",
         run="envgen --advertise keystile"),
    Said("--advertise of the wildcard", "envgen: error: --advertise: 0.0.0.0 is an address to listen on, not one to connect "
         "to; say where the program reaches proxyd: …", run="envgen --advertise 0.0.0.0:8180"),
    Said("a format that there is not", "envgen: error: --format csh: there is no such format; there is: sh, dotenv, docker, "
         "systemd, github, json, fish, k8s", run="envgen --format csh"),
    Said("a file in no folder", "envgen: error: cannot write no/agent.env: its folder no: No such file or directory",
         run="envgen -o no/agent.env"),
    Said("a secret as an argument", "creds: error: a secret is never an argument, since others could see it; usage: creds set "
         "NAME [--from-file FILE] [--expires WHEN]", run="creds set api sk-live-0123456789", code=2),
    Said("an empty secret", "creds: error: standard input: the secret is empty; nothing was changed", run="creds set api",
         code=2),
    Said("a secret that is not there", "creds: error: apo: no such secret in ./secrets.vault; see: creds list",
         run="creds reveal apo"),
    Said("a command that is not there", "creds: error: sett: there is no such command; see: creds --help",
         run="creds sett api", code=2),
]
SAID = [*CONFIGURATION, *FILES, *COMMANDS]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What stands in the way: a port and a unix socket at which somebody listens."""
    path = tmp_path_factory.mktemp("busy") / "p.sock"
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(path))
    local.listen()
    with socket.create_server(("127.0.0.1", 0)) as listener, local:
        yield {"{busy}": str(listener.getsockname()[1]), "{socket}": str(path)}


def environment(folder):
    path = f"{folder.parent / 'programs'}:{PATH}"
    return clean_environment(PATH=path, HOME=str(folder / "home"), XDG_STATE_HOME=str(folder / "state"))


@pytest.fixture(scope="module")
def good_folder(tmp_path_factory):
    """GOOD's vault, with a secret in it, and both keys."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "keystile.yaml").write_text(GOOD.replace("{port}", "8180"))
    subprocess.run(["sh", "-ec", "creds init; printf x | creds set api"], cwd=folder, env=environment(folder), check=True,
                   stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
def open_folder():
    """One that every user can reach, with copies of the programs beside it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="keystile-test-"))
    path.chmod(0o755)
    (path / "programs").mkdir()
    for name in ("proxyd", "envgen"):
        shutil.copy(PROGRAMS / name / name, path / "programs")
    yield path / "folder"
    shutil.rmtree(path)


@pytest.fixture
def mistake(request, good_folder, places, tmp_path):
    """mistake(ROW) makes it, in a folder of its own."""

    def make(row):
        folder = request.getfixturevalue("open_folder") if row.root else tmp_path / "folder"
        shutil.copytree(good_folder, folder)
        text = GOOD
        for old, new in zip(row.edit[::2], row.edit[1::2], strict=True):
            assert old in text, f"{row.did}: {old!r} is not in the configuration"
            text = text.replace(old, new, 1)
        text = fill(text, {**places, "{port}": str(free_port())})
        (folder / "keystile.yaml").write_text(text)
        note("keystile.yaml", "is", text)
        subprocess.run(["sh", "-c", row.before], cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, check=True)
        return folder

    return make


def fill(text, values):
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def run_serving(folder, command):
    """proxyd until it is ready, then ended: its status and what it said."""
    process = subprocess.Popen(["timeout", "30", *shlex.split(command)], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    said = ""
    for line in process.stderr:
        said += line
        if line == "proxyd: ready\n":
            process.terminate()
    return process.wait(PATIENCE), said


def run_to_its_end(folder, command):
    done = subprocess.run(shlex.split(command), cwd=folder, env=environment(folder), input="", capture_output=True, text=True,
                          timeout=30, start_new_session=True)
    return done.returncode, done.stderr


@pytest.mark.parametrize("row", SAID, ids=[row.did for row in SAID])
def test_said(row, mistake, places):
    if row.root and not ROOT:
        pytest.skip("takes root")
    if row.port and row.port >= int(pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()):
        pytest.skip(f"everybody may listen on port {row.port} here")
    folder = mistake(row)
    code, said = (run_serving if row.code is None else run_to_its_end)(folder, row.run)
    said = said.replace(str(folder), "FOLDER")
    note(row.run, "said", f"{said}[{code}]")
    EVIDENCE.add("first hour", said)
    assert code == (row.code or 0), f"{row.run} ended with {code}, should be {row.code or 0}; it said:\n{said}"
    for wanted in row.says:
        wanted = fill(wanted, places)
        assert any(matches(wanted, line) for line in said.splitlines()), f"should say:\n{wanted}\nsaid:\n{said}"
    assert "sk-live" not in said, "what may be a secret is not repeated"


class Told:
    """A mistake that a client of proxyd is told. `request` makes it of the tokens by name; `says`: detail and hint."""

    def __init__(self, did, request, status, detail, hint):
        self.did, self.request, self.status, self.detail, self.hint = did, request, status, detail, hint


def credential(name, upstream, inject=BEARER, **more):
    lines = {"upstream": upstream, "secret": "vault:api", "inject": inject, **more}
    lines.setdefault("env", f"{{ token: {name.upper()} }}")
    return f"  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in lines.items())


def reverse(path, token="api", *fields, method="GET"):
    return lambda tokens: get(path, tokens.get(token, token), *fields, method=method)


def forward(url, token="proxy"):
    return lambda tokens: proxied(url, tokens.get(token, token))


PLACE = "send the token that envgen writes where the secret goes, in `Authorization: Bearer {secret}`"
PROXY_PLACE = (
    "set http_proxy to what envgen writes: the token is the password in it, and goes into Proxy-Authorization"
)
STALE = "; source envgen's output again: a new session.key or token_version makes old tokens void"
ENDPOINTS = "profile agent has /api/, /other/, /bot/, /unready/, …"
CERTIFICATE = (
    "`upstream:` must have the scheme and the name that the server has; a CA that is no public one goes into the "
    "credential's `ca:`"
)

TOLD = [
    # The token
    Told("no token", reverse("/api/v1/x", None), 401, "no session token came with the request", PLACE),
    Told("the real key in the token's place", reverse("/api/v1/x", "sk-live-0123456789"), 401,
         "what came in the token's place is not a token of credential api", PLACE + STALE),
    Told("the token of another credential", reverse("/api/v1/x", "other"), 401,
         "what came is the token of credential other in profile agent, not a token of credential api", PLACE),
    Told("the proxy's token at an endpoint", reverse("/api/v1/x", "proxy"), 401,
         "what came is the proxy token of profile agent, not a token of credential api", PLACE),
    Told("the token in another header", lambda tokens: get("/api/v1/x", None, f"X-Api-Key: {tokens['api']}"), 401,
         "a session token came in the field X-Api-Key, where it is not looked for", PLACE),
    Told("the token without its Bearer", lambda tokens: get("/api/v1/x", None, f"Authorization: {tokens['api']}"), 401,
         "a session token came in the field Authorization, where it is not looked for", PLACE),
    Told("no token in the path", reverse("/bot/getMe", None), 401, "no session token came with the request",
         "send the token that envgen writes where the secret goes, in `/bot/bot{secret}`, or as `Authorization: Bearer "
         "{secret}`"),
    Told("the proxy without a token", forward("http://pypi.org/", None), 407, "no session token came with the request",
         PROXY_PLACE),
    Told("a credential's token for the proxy", forward("http://pypi.org/", "api"), 407,
         "what came is the token of credential api in profile agent, not a profile's proxy token", PROXY_PLACE),
    # The endpoint
    Told("a misspelt endpoint", reverse("/apo/v1/x"), 404, "there is no credential `apo`", ENDPOINTS),
    Told("a path without the credential's name", reverse("/v1/x"), 404, "there is no credential `v1`", ENDPOINTS),
    Told("a misspelt endpoint and no token", reverse("/apo/v1/x", None), 404, "there is no credential `apo`",
         "the path begins with the name of a credential: /NAME/path"),
    Told("the endpoint of an upstream with a wildcard", reverse("/wild/x", "wild"), 404,
         "credential wild has a wildcard upstream, so it has no endpoint of its own",
         "send the request for the host itself through the proxy: http_proxy, absolute-form"),
    # What is allowed
    Told("a path that no rule has", reverse("/api/v2/x"), 403, "no rule of credential api allows GET /v2/x",
         "a rule that would allow it: `allow GET /v2/x`"),
    Told("a path that a rule denies", reverse("/api/v1/admin/x"), 403,
         "rule `deny * /v1/admin/**` of credential api denies GET /v1/admin/x",
         "a rule that would allow it: `allow GET /v1/admin/x`, in front of that one"),
    Told("a host that is not allowed", forward("http://example.com/"), 403, "profile agent does not allow example.com:80",
         'to allow it, add "example.com" to `hosts:` of profile agent'),
    Told("a port that is not allowed", forward("http://pypi.org:8080/"), 403, "profile agent does not allow pypi.org:8080",
         'to allow it, add "pypi.org:8080" to `hosts:` of profile agent'),
    Told("a host that is denied", forward("http://bad.pypi.org/"), 403,
         "`!bad.pypi.org` in `hosts:` of profile agent denies bad.pypi.org:80",
         "a denial holds whatever else allows the host: take it out to allow it"),
    Told("an address for a name", forward("http://203.0.113.7/"), 403,
         "profile agent does not allow 203.0.113.7:80, an address: the client may have resolved a name by itself",
         "let the client send the host's name; an address is reached only where `hosts:` names it"),
    # Tunnels
    Told("a tunnel to a credential's host", lambda tokens: tunnel("api.example.com:443", tokens["proxy"]), 403,
         "api.example.com:443 is the host of credential api, whose secret goes in where proxyd reads the request, and in a "
         "tunnel it does not", "use the endpoint of credential api, http://{address}/api/, which API_URL carries"),
    Told("a tunnel without a token", lambda tokens: tunnel("api.example.com:443", "none"), 407,
         "what came in the token's place is not a profile's proxy token", PROXY_PLACE + STALE),
    Told("a tunnel to a host that is not allowed", lambda tokens: tunnel("example.com:443", tokens["proxy"]), 403,
         "profile agent does not allow example.com:443", 'to allow it, add "example.com" to `hosts:` of profile agent'),
    Told("a tunnel to a port that is not allowed", lambda tokens: tunnel("pypi.org:22", tokens["proxy"]), 403,
         "profile agent does not allow pypi.org:22", 'to allow it, add "pypi.org:22" to `hosts:` of profile agent'),
    Told("a tunnel to an address", lambda tokens: tunnel("203.0.113.7:443", tokens["proxy"]), 403,
         "profile agent does not allow 203.0.113.7:443, an address: the client may have resolved a name by itself",
         "let the client send the host's name; an address is reached only where `hosts:` names it"),
    # The secret and the upstream
    Told("a secret that is not there yet", reverse("/unready/x", "unready"), 503,
         "the secret of credential unready is not ready: vault:unready: not in the vault FOLDER/secrets.vault; put it there: "
         "creds set unready", "once the secret is there it works, within a second; /readyz on the admin listener lists what waits"),
    Told("an upstream whose name does not resolve", reverse("/nowhere/x", "nowhere"), 502, "cannot resolve nowhere.invalid",
         "see whether the name is right, and whether proxyd's host can resolve it"),
    Told("an upstream that is not up", reverse("/down/x", "down"), 502,
         "cannot connect to 127.0.0.1 port {down}: Connection refused", "see whether the upstream is up and listens there"),
    Told("http:// to an upstream that speaks TLS", reverse("/open/x", "open"), 502,
         "127.0.0.1 answers in TLS; should the URL start with https://?",
         "if the upstream speaks TLS on this port, write https:// in `upstream:`"),
    Told("https:// to an upstream that does not", reverse("/shut/x", "shut"), 502,
         "127.0.0.1: the server does not answer in TLS; should the URL start with http://?", CERTIFICATE),
    Told("a self-signed certificate", reverse("/selfsigned/x", "selfsigned"), 502,
         "127.0.0.1: the certificate is self-signed; put its CA into `ca:`", CERTIFICATE),
    Told("a certificate of an unknown CA", reverse("/unknown/x", "unknown"), 502,
         '127.0.0.1: the certificate is signed by "CN=Keystile test CA", which is not trusted here; put that CA into `ca:`',
         CERTIFICATE),
    Told("the wrong CA in ca:", reverse("/wrongca/x", "wrongca"), 502,
         '127.0.0.1: the certificate is signed by "CN=Keystile test CA", which is not trusted here; put that CA into `ca:`',
         CERTIFICATE),
    Told("a ca: that does not load, asked for", reverse("/noca/x", "noca"), 503,
         "the upstream's certificate cannot be verified: cannot read FOLDER/nope.pem: No such file or directory",
         "mend `ca:` of the credential, or its file; then it works, within a second"),
    Told("a certificate for another name", reverse("/misnamed/x", "misnamed"), 502,
         "127.0.0.1: the certificate is for elsewhere.test, not for 127.0.0.1", CERTIFICATE),
]


def tunnel(authority, token):
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: {basic('agent', token)}\r\n\r\n"


def alert(connection):
    """What a TLS server answers to plain HTTP."""
    connection.receive()
    connection.send(b"\x15\x03\x01\x00\x02\x02\x46")


@pytest.fixture(scope="module")
def upstreams(tmp_path_factory, authority):
    """The ports of upstreams, good and bad."""
    other = Authority(tmp_path_factory.mktemp("other"), "Another CA")
    origins = {
        "up": Origin(),
        "tls": Origin(context=authority.server_context()),
        "alert": Origin(alert),
        "misnamed": Origin(context=authority.server_context("elsewhere", ["DNS:elsewhere.test"])),
        "selfsigned": Origin(context=other.self_signed()),
    }
    yield {**{name: origin.port for name, origin in origins.items()}, "down": free_port(), "ca": authority.ca,
           "other_ca": other.ca}
    for origin in origins.values():
        origin.close()


@pytest.fixture(scope="module")
def serving(tmp_path_factory, upstreams, shared_nginx):
    """A proxyd with one credential for each mistake, and the tokens of its profile by name."""
    up = {name: f"127.0.0.1:{port}" for name, port in upstreams.items()}
    rules = '["deny * /v1/admin/**", "allow GET,POST /v1/**"]'
    text = "credentials:\n" + "".join([
        credential("api", "https://api.example.com", rules=rules, env="{ base_url: API_URL, token: API, token_prefix: sk- }"),
        credential("other", f"http://{up['up']}", '{ header: x-api-key, value: "{secret}" }'),
        credential("bot", f"http://{up['up']}/bot", "{ path: '/bot{secret}' }"),
        credential("wild", "https://*.wild.test"),
        credential("unready", f"http://{up['up']}", secret="vault:unready"),
        credential("nowhere", "http://nowhere.invalid"),
        credential("down", f"http://{up['down']}"),
        credential("open", f"http://{up['alert']}"),
        credential("shut", f"https://127.0.0.1:{shared_nginx.port}"),
        credential("selfsigned", f"https://{up['selfsigned']}"),
        credential("unknown", f"https://{up['tls']}"),
        credential("wrongca", f"https://{up['tls']}", ca=upstreams["other_ca"]),
        credential("noca", f"https://{up['tls']}", ca="nope.pem"),
        credential("misnamed", f"https://{up['misnamed']}", ca=upstreams["ca"]),
    ])
    names = re.findall(r"^  (\w+):$", text, re.MULTILINE)
    text += f'profiles:\n  agent:\n    hosts: [pypi.org, "!bad.pypi.org"]\n    credentials: [{", ".join(names)}]\n'
    proxy = Keystile(tmp_path_factory.mktemp("serving"), text, {"api": evidence.secret("api")}).start()
    tokens = {name: proxy.environment()[name.upper()] for name in names}
    tokens["proxy"] = proxy.proxy_token()
    yield proxy, tokens
    assert proxy.stop() == 0


@pytest.mark.parametrize("row", TOLD, ids=[row.did for row in TOLD])
def test_told(row, serving, upstreams):
    proxy, tokens = serving
    told = problem(proxy.ask(row.request(tokens)), row.status)
    values = {"{address}": f"127.0.0.1:{proxy.port}", "FOLDER": str(proxy.folder),
              **{f"{{{name}}}": str(value) for name, value in upstreams.items()}}
    for member, wanted in (("detail", row.detail), ("hint", row.hint)):
        wanted = fill(wanted, values)
        assert matches(wanted, told.get(member, "")), f"{member} should be:\n{wanted}\nis:\n{told.get(member)}"


def test_each_mistake_stands_once():
    names = [row.did for row in SAID] + [row.did for row in TOLD]
    assert len(names) == len(set(names)), [name for name in names if names.count(name) > 1]


def test_every_error_of_a_file_in_one_run(mistake):
    row = Said("", [], ("listen:", "lisen:", "secret: vault:api", "secret: api", "[api]", "[apo]"))
    _, said = run_to_its_end(mistake(row), "proxyd --check")
    places_told = re.findall(r"keystile\.yaml:(\d+):\d+: ", said)
    assert places_told == ["2", "8", "14"], said
