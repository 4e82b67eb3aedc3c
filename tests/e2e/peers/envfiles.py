"""Readers of env files that need a cluster, a daemon or a runner, by their documented grammars. Each takes bytes and gives a
dict, or raises ValueError."""

import re

BOM = b"\xef\xbb\xbf"
SCANNER = 64 * 1024  # of Go's bufio.Scanner, the line feed included


def lines_of_scanner(data):
    """As bufio.Scanner splits: also a CR before the LF goes."""
    for line in data.split(b"\n"):
        if len(line) + 1 > SCANNER:
            raise ValueError("token too long")
        yield line.removesuffix(b"\r")


def docker(data):
    """docker run --env-file: https://docs.docker.com/reference/cli/docker/container/run/#env"""
    found = {}
    for number, line in enumerate(lines_of_scanner(data)):
        text = (line.removeprefix(BOM) if number == 0 else line).decode().lstrip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not name or re.search(r"\s", name):
            raise ValueError(f"{name!r} has a blank")
        if equals:
            found[name] = value
    return found


def kubectl(data):
    """kubectl create configmap --from-env-file: no quotes, names of environment variables, lines under 64 KiB."""
    found = {}
    for number, line in enumerate(lines_of_scanner(data)):
        text = (line.removeprefix(BOM) if number == 0 else line).decode().lstrip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", name):
            raise ValueError(f"{name!r} is no name of a variable")
        found[name] = value
    return found


def github(data):
    """$GITHUB_ENV: NAME=value, or NAME<<DELIMITER, lines, DELIMITER."""
    found, lines = {}, data.decode().split("\n")
    while lines:
        line = lines.pop(0).removesuffix("\r")
        if not line:
            continue
        equals, here = line.find("="), line.find("<<")
        if here >= 0 and (equals < 0 or here < equals):
            name, end = line[:here], line[here + 2:]
            at = lines.index(end)
            found[name] = "\n".join(lines[:at])
            lines = lines[at + 1:]
        elif equals > 0:
            found[line[:equals]] = line[equals + 1:]
        else:
            raise ValueError(f"Invalid format '{line}'")
        if line.upper().startswith("NODE_OPTIONS="):
            raise ValueError("NODE_OPTIONS is refused")
    return found


def systemd(data):
    """EnvironmentFile=, systemd.exec(5): quotes as in a shell, "\\" before one of "\\`$ within double quotes, no filling in."""
    found, text, at = {}, data.decode(), 0

    def quoted(at, quote):
        value = ""
        while text[at] != quote:
            if quote == '"' and text[at] == "\\":
                at += 1
                value += {"\n": ""}.get(text[at], text[at] if text[at] in '"\\`$' else "\\" + text[at])
            else:
                value += text[at]
            at += 1
        return value, at + 1

    while at < len(text):
        if text[at] in "\n\r \t":
            at += 1
        elif text[at] in "#;":
            at = text.index("\n", at)
        else:
            equals = text.index("=", at)
            name, value, at, blanks = text[at:equals].strip(), "", equals + 1, ""
            while at < len(text) and text[at] != "\n":
                if text[at] in "\"'":
                    part, at = quoted(at + 1, text[at])
                elif text[at] in " \t":
                    blanks += text[at]
                    at += 1
                    continue
                elif text[at] == "\\":
                    part, at = text[at + 1], at + 2
                else:
                    part, at = text[at], at + 1
                value, blanks = value + (blanks if value else "") + part, ""
            found[name] = value
    return found


def compose(data):
    """env_file of compose: https://docs.docker.com/compose/how-tos/environment-variables/variable-interpolation/#env-file-syntax"""
    found = {}
    for line in data.decode().split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, value = line.partition("=")
        value = value.strip()
        if value[:1] in ("'", '"'):
            match = re.match(r"(?s)(['\"])((?:\\.|(?!\1).)*)\1\s*(#.*)?$", value)
            if not match:
                raise ValueError(f"{name}: unterminated quoted value")
            value = match[2].replace("\\" + match[1], match[1])
            if match[1] == '"' and re.search(r"[\\$]", value):
                raise ValueError(f"{name}: an escape or a variable in double quotes")
        elif re.search(r"[$\\'\"]|\s#", value):
            raise ValueError(f"{name}: something special without quotes")
        found[name.strip()] = value
    return found
