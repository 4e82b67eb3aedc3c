#!/usr/bin/env python3
"""Draws the include graph and fails on an arrow that points back (DESIGN: each step is a room).

    tests/rooms.py [--draw]

A file may include what lies in its own layer or in one further down; a foreign library's header only where ROOMS says.
"""

import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent

# From the top down, by the file's name without its ending; what is not named is a pure room.
LAYERS = {
    "proxyd": [
        ("main", r"main|check\w*|follow"),
        ("process", r"server\w*|worker|news"),
        ("ways in", r"listener|sniff|opening|connect\w*|intercept|upgrade|tunnel|front_\w+|admin|visitors|status|inquiry|linger"),
        ("exchange", r"exchange\w*|minter\w*"),
        ("upstream", r"upstream\w*|relay"),
        ("outside", r"dial\w*|endpoint|outbox|tls\w*|trusts|identities|minted|spent|steady|former|mint_\w+|secrets\w*|snapshot|exec|commands\w*|renewal|watch|watched|written|isolation\w*|content|session|audit|account|trace|reloads|metrics\w*|service|loop"),
        ("pure", r".*"),
    ],
    "envgen": [("main", r"main"), ("rooms", r".*")],
    "creds": [("main", r"main"), ("rooms", r".*")],
    "common": [("common", r".*")],
}
# Headers of the contract that the layers above and below share: they name types, and call nobody.
SHARED = {"way.h", "message.h", "problem.h", "exchange.h", "snapshot.h", "worker.h", "server.h"}

ROOMS = {
    "yaml.h": r"common/document\.c",
    "zlib.h": r"proxyd/scrub_gunzip\.c",
    "curl/curl.h": r"proxyd/(dial\w*|mint_token)\.c",
    "gnutls/.*": r"proxyd/(tls\w*|mint_\w+|jose|private_key)\.(c|h)",
    "jansson.h": r"proxyd/json\.c",
    "microhttpd.h": r"proxyd/(front_h1\w*|admin)\.(c|h)",
    "nghttp2/.*": r"proxyd/(front_h2|upstream_h2)\w*\.(c|h)",
    # ed25519, sha256: signers sign and hash with them and nothing else, so that none of them includes a library.
    "sodium.h": r"common/(secret|vault\w*|token|table|keysource|base64|ed25519|sha256)\.(c|h)",
    "seccomp.h": r"proxyd/isolation_calls\.c",
    "idn2.h": r"common/authority\.c",
}


def layer_of(path):
    for number, (_, names) in enumerate(LAYERS[path.parts[0]]):
        if re.fullmatch(names, path.stem):
            return number
    raise AssertionError(path)


def includes(path):
    for number, line in enumerate((TOP / path).read_text().splitlines(), 1):
        if match := re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line):
            yield number, match[1], match[2]


def find(name, source):
    """The file that `#include "name"` of `source` means, or None."""
    for folder in (source.parent, *map(pathlib.Path, LAYERS)):
        if (TOP / folder / name).exists():
            return folder / name
    return None


def judge(source, bracket, name):
    """What is wrong with this include, or None."""
    if bracket == "<":
        for pattern, where in ROOMS.items():
            if re.fullmatch(pattern, name) and not re.fullmatch(where, str(source)):
                return f"<{name}> stays in {where}"
        return None
    target = find(name, source)
    if target is None:
        return None  # made at build time
    here, there = source.parts[0], target.parts[0]
    if here != there:
        return None if there == "common" else f"{here} may not know {target}"
    if target.stem == source.stem or target.name in SHARED:
        return None
    if layer_of(target) < layer_of(source):
        names = [layer for layer, _ in LAYERS[here]]
        return f"{target} ({names[layer_of(target)]}) lies above {names[layer_of(source)]}"
    return None


def sources():
    for folder in LAYERS:
        for path in sorted((TOP / folder).rglob("*.[ch]")):
            yield path.relative_to(TOP)


def check():
    """Every arrow that points back, as FILE:LINE: what is wrong."""
    found = []
    for source in sources():
        for line, bracket, name in includes(source):
            wrong = judge(source, bracket, name)
            if wrong:
                found.append(f"{source}:{line}: {wrong}")
    return found


def draw():
    """The graph of rooms for `dot`, headers and sources of one name taken together."""
    arrows = set()
    for source in sources():
        for _, bracket, name in includes(source):
            target = find(name, source) if bracket == '"' else None
            if target and target.stem != source.stem and target.parts[0] != "common":
                arrows.add((str(source.with_suffix("")), str(target.with_suffix(""))))
    lines = [f'\t"{source}" -> "{target}";' for source, target in sorted(arrows)]
    return "\n".join(["digraph rooms {", *lines, "}"])


if __name__ == "__main__":
    if "--draw" in sys.argv:
        print(draw())
    else:
        wrong = check()
        print("\n".join(wrong) or "every arrow points down")
        sys.exit(bool(wrong))
