"""docs/keystile.schema.json against the parser: the same keys, the same verdict on files good and bad (SPEC §2)."""

import copy
import itertools
import json
import pathlib
import re
import subprocess

import jsonschema
import pytest
import yaml

from peers.fragments import BAD, BEYOND, GOOD
from peers.keystile import PROGRAMS, clean_environment
from peers.wire import note

TOP = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((TOP / "docs/keystile.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
PRESETS = sorted((TOP / "presets").glob("*.yaml"))
SOURCES = {path.name: path.read_text() for path in (TOP / "common").glob("config*.c")}


class Loader(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors read it: only true and false are booleans, and 1:20 is no number."""

    yaml_implicit_resolvers = {}


for tag, pattern, first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), list(first))


def load(text):
    return yaml.load(text, Loader)


BASE = load("""
version: 1
vault: { file: secrets.vault, key: "file:vault.key" }
credentials:
  api: { upstream: "https://api.test", secret: "vault:api", inject: { header: X-Key, value: "{secret}" } }
profiles:
  agent: { hosts: [pypi.org], credentials: [api] }
""")


# Where the keys of a fragment go.
PLACES = {
    "top": lambda config: config,
    "credential": lambda config: config["credentials"]["api"],
    "env": lambda config: config["credentials"]["api"].setdefault("env", {}),
    "profile": lambda config: config["profiles"]["agent"],
    "limits": lambda config: config.setdefault("limits", {}),
}


def whole(where, text):
    """BASE with a fragment in it. Its keys are merged in, null takes one away; an injection or a host stands alone."""
    config, fragment = copy.deepcopy(BASE), load(text)
    if where == "inject":
        config["credentials"]["api"]["inject"] = fragment
    elif where == "host":
        config["profiles"]["agent"]["hosts"] = [fragment]
    else:
        place = PLACES[where](config)
        for key, value in fragment.items():
            if value is None:
                del place[key]
            else:
                place[key] = value
    return config


def ask_schema(config):
    """What the schema has against it."""
    return [f"{error.json_path}: {error.message[:200]}" for error in VALIDATOR.iter_errors(config)]


def ask_parser(config, folder):
    """What the parser has against it."""
    path = folder / "keystile.yaml"
    path.write_text(config if isinstance(config, str) else json.dumps(config, indent=1))
    done = subprocess.run(
        [PROGRAMS / "proxyd/proxyd", "--config", path, "--check"], capture_output=True, text=True, timeout=60,
        env=clean_environment(), cwd=folder,
    )
    note("proxyd --check", "said", done.stdout + done.stderr)
    errors = [line for line in done.stderr.splitlines() if line.startswith("proxyd: error: ")]
    assert (done.returncode == 0) == (not errors), done.stderr
    assert (done.returncode == 0) == done.stdout.startswith(f"{path}: good: "), done.stdout
    return errors


def rows(table):
    lines = [(where, line) for where, text in table.items() for line in text.strip().splitlines()]
    return [pytest.param(where, line, id=f"{where}: {line}") for where, line in lines]


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_base(tmp_path):
    assert (ask_schema(BASE), ask_parser(BASE, tmp_path)) == ([], [])


@pytest.mark.parametrize("where,fragment", rows(GOOD))
def test_good(tmp_path, where, fragment):
    config = whole(where, fragment)
    assert (ask_schema(config), ask_parser(config, tmp_path)) == ([], [])


@pytest.mark.parametrize("where,fragment", rows(BAD))
def test_bad(tmp_path, where, fragment):
    config = whole(where, fragment)
    assert ask_schema(config), "the schema takes it"
    assert ask_parser(config, tmp_path), "the parser takes it"


@pytest.mark.parametrize("why,where,fragment", BEYOND, ids=[row[0] + ": " + row[2] for row in BEYOND])
def test_beyond(tmp_path, why, where, fragment):
    config = whole(where, fragment)
    assert ask_parser(config, tmp_path), "the parser takes it"
    assert ask_schema(config) == [], f"the schema knows of it ({why}): the row belongs to BAD"


@pytest.mark.parametrize("inject,secrets", [
    ("{ aws_sigv4: { region: eu-central-1, service: s3 } }", ["id", "key", "session"]),
    ("{ oauth2: { token_url: 'https://auth.test/token', scope: read, auth: body } }", ["id", "key"]),
    ("{ oauth2: { token_url: 'https://auth.test/token', auth: basic } }", ["id", "refresh"]),
])
def test_signers(tmp_path, inject, secrets):
    """These need several secrets."""
    config = whole("inject", inject)
    del config["credentials"]["api"]["secret"]
    config["credentials"]["api"]["secrets"] = {name: f"vault:{name}" for name in secrets}
    assert (ask_schema(config), ask_parser(config, tmp_path)) == ([], [])


def strings_of(name):
    """The words of a list of strings in the parser's source."""
    found = [re.search(rf"\b{name}\[\] = \{{(.*?)\}};", text, re.S) for text in SOURCES.values()]
    words = [re.findall(r'"([^"]+)"', match[1]) for match in found if match]
    assert len(words) == 1 and words[0], f"{name} is not found once"
    return words[0]


@pytest.mark.parametrize("spell", [str, str.upper, str.lower], ids=["as written", "upper case", "lower case"])
@pytest.mark.parametrize("name,where,fragment", [
    ("refused_headers", "inject", '{{ header: {0}, value: "{{secret}}" }}'), ("reserved", "env", "{{ token: {0} }}"),
])
def test_refused_words(tmp_path, name, where, fragment, spell):
    for word in strings_of(name):
        config = whole(where, fragment.format(spell(word)))
        assert ask_schema(config), f"the schema takes {spell(word)}"
        assert ask_parser(config, tmp_path), f"the parser takes {spell(word)}"


# The parser's tables of keys, and what each is in the schema.
TABLES = {
    "top": SCHEMA, "transparent": "transparent", "admin": "admin", "vault": "vault", "session": "session",
    "limit": "limits", "tls": "tls", "parent": "parent", "audit": "audit", "credential": "credential",
    "client": "client", "inject": "injection", "sigv4": "aws_sigv4", "oauth2": "oauth2", "jwt": "jwt", "env": "env",
    "profile": "profile", "host": "host",
}


def tables_of_parser():
    found = {}
    for text in SOURCES.values():
        for name, body in re.findall(r"struct config_key (\w+)_keys\[\] = \{\n(.*?)\n\};", text, re.S):
            found[name] = re.findall(r'^\t(?:\{"(\w+)"|LIMIT\((\w+))', body, re.M)
    return {name: {one or other for one, other in keys} for name, keys in found.items()}


def test_same_keys():
    parser = tables_of_parser()
    assert set(parser) == set(TABLES), "a table of keys that TABLES does not know, or the other way around"
    for name, schema in TABLES.items():
        mapping = schema if isinstance(schema, dict) else SCHEMA["$defs"][schema]
        assert parser[name] == set(mapping["properties"]), f"keys of {name}"
        assert mapping["additionalProperties"] is False, name


def test_every_mapping_is_a_table():
    """No mapping of the schema has keys that no table of the parser stands behind."""
    known = [SCHEMA if name == "top" else SCHEMA["$defs"][schema] for name, schema in TABLES.items()]
    mappings = [value for value in SCHEMA["$defs"].values() if "properties" in value]
    assert [value for value in mappings if value not in known] == []


def test_every_name_is_used():
    text = json.dumps(SCHEMA)
    for name in SCHEMA["$defs"]:
        assert f'"#/$defs/{name}"' in text, f"$defs/{name} is used nowhere"


def test_same_presets():
    assert SCHEMA["$defs"]["credential"]["properties"]["preset"]["enum"] == [path.stem for path in PRESETS]


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_preset(tmp_path, path):
    """A preset is a credential without its secret."""
    preset = load(path.read_text())
    assert "secret" not in preset and "secrets" not in preset
    config = copy.deepcopy(BASE)
    config["credentials"]["api"] = {**preset, "secret": "vault:api"}
    assert (ask_schema(config), ask_parser(config, tmp_path)) == ([], [])
    config["credentials"]["api"] = {"preset": path.stem, "secret": "vault:api"}
    assert (ask_schema(config), ask_parser(config, tmp_path)) == ([], [])


@pytest.mark.parametrize("path", sorted((TOP / "examples").rglob("keystile.yaml")), ids=lambda path: str(path.parent.relative_to(TOP)))
def test_example(tmp_path, path):
    ports = itertools.count(18180)  # what stands between two @ in the demo's
    text = re.sub(r"@\w+@", lambda _: str(next(ports)), path.read_text())
    assert (ask_schema(load(text)), ask_parser(text, tmp_path)) == ([], [])
