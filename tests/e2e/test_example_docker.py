"""examples/docker as its README has it: the image of Containerfile, and the topology of compose.yaml, run by podman."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from peers import evidence
from peers.containers import Containers, debian, missing, program_entry
from peers.keystile import PROGRAMS, wait_for
from peers.wire import Origin
from test_examples import EXAMPLES, TOP

DOCKER = EXAMPLES / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text())
CONTAINERFILE = (DOCKER / "Containerfile").read_text()
GATEWAY = "10.77.0.1"
WHY = missing() if os.geteuid() == 0 else "takes root"
if WHY is None and b"san_init" in (PROGRAMS / "proxyd/proxyd").read_bytes():
    WHY = "the programs want a sanitizer's library, which Containerfile does not install"
podman = pytest.mark.skipif(WHY is not None, reason=WHY or "")


def check_schema(kind, path):
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{kind}", str(path)]
    done = subprocess.run(tool, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_compose_file_is_one():
    check_schema("compose-spec", DOCKER / "compose.yaml")


def test_only_keystile_has_the_secrets_and_a_way_out():
    proxy, agent = COMPOSE["services"]["keystile"], COMPOSE["services"]["agent"]
    mounted = {volume.split(":")[0]: volume.split(":")[1:] for volume in proxy["volumes"]}
    assert mounted["./private/secrets"] == ["/run/secrets", "ro"] and mounted["./config"] == ["/etc/keystile", "ro"]
    assert COMPOSE["networks"]["inside"] == {"internal": True} and agent["networks"] == ["inside"]
    assert agent["volumes"] == ["./work:/work", "ca:/var/lib/keystile-ca:ro"]
    assert set(agent["environment"]) == {"NO_PROXY", "no_proxy"}
    assert not {"privileged", "network_mode", "extra_hosts", "devices"} & set(agent)
    for service in (proxy, agent):
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert proxy["read_only"] is True and "ports" not in proxy


def test_nothing_in_the_image_needs_a_shell():
    last = CONTAINERFILE.rsplit("FROM", 1)[1]
    for word in ("CMD", "HEALTHCHECK"):
        assert re.search(rf"{word}[^\n]*\[\"", last), f"{word} is a list, which no shell reads"
    assert "USER 10001" in last


def test_what_is_secret_goes_into_no_image_or_commit():
    ignored = (DOCKER / "Containerfile.dockerignore").read_text().split()
    for name in (DOCKER / ".gitignore").read_text().split():
        assert f"examples/docker/{name.rstrip('/')}" in ignored


def built_already(text):
    """The Containerfile, its first stage in the place of which stands an image that has the programs in /out."""
    done, count = re.subn(r"^FROM \$\{BASE\} AS build\n(?:[A-Z].*\n)+", "FROM localhost/programs AS build\n", text, flags=re.M)
    assert count == 1
    return done


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Podman with `keystile`, made by the Containerfile from programs that are built already, and the base for an agent."""
    one = Containers(tmp_path_factory.mktemp("containers"))
    try:
        named = re.search(r"--no-install-recommends (.*?)&&", CONTAINERFILE, re.S)[1].replace("\\", " ").split()
        one.image("base", debian(named))
        one.image("programs", [program_entry(f"out/usr/local/bin/{name}", PROGRAMS / name / name)
                               for name in ("proxyd", "envgen", "creds")])
        file = one.folder / "Containerfile"
        file.write_text(built_already(CONTAINERFILE))
        one.podman("build", "-q", "-t", "keystile", "--format", "docker", "--isolation", "chroot", "-f", file,
                   "--ignorefile", DOCKER / "Containerfile.dockerignore", "--build-arg", "BASE=localhost/base", TOP / "examples")
        yield one
    finally:
        one.close()


def podman_arguments(service, folder, name):
    """What `podman run` takes for what compose.yaml says of a service; what is not known here fails."""
    known = {
        "image": lambda value: [],
        "build": lambda value: [],
        "depends_on": lambda value: [],
        "restart": lambda value: [],
        "command": lambda value: [],
        "stop_grace_period": lambda value: [f"--stop-timeout={value.rstrip('s')}"],
        "networks": lambda value: ["--network=" + ",".join(value)],
        "volumes": lambda value: [f"--volume={folder / one if one.startswith('.') else one}" for one in value],
        "read_only": lambda value: [f"--read-only={str(value).lower()}", "--read-only-tmpfs=false"],
        "tmpfs": lambda value: [f"--tmpfs={one}" for one in value],
        "cap_drop": lambda value: [f"--cap-drop={one}" for one in value],
        "security_opt": lambda value: [f"--security-opt={one.split(':')[0]}" for one in value],
        "ulimits": lambda value: [],  # to raise one takes CAP_SYS_RESOURCE, which root may not have here
        "init": lambda value: [],
        "healthcheck": lambda value: ["--no-healthcheck"],  # podman has systemd run it; the test does
        "env_file": lambda value: [f"--env-file={folder / one}" for one in value],
        "environment": lambda value: [f"--env={name}={text}" for name, text in value.items()],
        "working_dir": lambda value: [f"--workdir={value}"],
    }
    return [f"--name={name}", *(argument for key, value in service.items() for argument in known[key](value))]


@pytest.fixture(scope="module")
def composed(images, tmp_path_factory, authority):
    """The README followed: a folder, the containers of both services, and a server of ours for api.anthropic.com."""
    folder = tmp_path_factory.mktemp("docker")
    shutil.copytree(DOCKER / "config", folder / "config")
    key = evidence.secret("docker")
    (folder / "work").mkdir()
    (folder / "private").mkdir(mode=0o700)
    (folder / "private/secrets").mkdir()
    (folder / "private/secrets/anthropic").write_text(key + "\n")
    server = Origin(context=authority.server_context("docker", [f"IP:{GATEWAY}"]), host="0.0.0.0", network=images)
    shutil.copy(authority.ca, folder / "config/ca.pem")
    (folder / "config/ca.pem").chmod(0o644)
    config = folder / "config/keystile.yaml"
    config.write_text(config.read_text().replace("    preset: anthropic\n", (
        f"    preset: anthropic\n    upstream: https://{GATEWAY}:{server.port}\n    ca: ca.pem\n")))
    images.podman("network", "create", "--internal", "inside")
    images.podman("network", "create", "--subnet=10.77.0.0/24", "outside")
    images.podman("run", "--detach", *podman_arguments(COMPOSE["services"]["keystile"], folder, "keystile"), "keystile")
    healthy = COMPOSE["services"]["keystile"]["healthcheck"]["test"]
    assert healthy[0] == "CMD"
    wait_for(lambda: images.podman("exec", "keystile", *healthy[1:], check=False).returncode == 0, "a healthy keystile")
    shown = images.podman("exec", "keystile", "envgen", "--format", "docker")
    (folder / "agent.env").write_text(shown.stdout)
    agent = COMPOSE["services"]["agent"]
    images.podman("run", "--detach", *podman_arguments(agent, folder, "agent"), "base", *agent["command"])
    yield images, server, key, folder
    server.close()


def inside(images, command):
    return images.podman("exec", "agent", "sh", "-c", command, check=False)


def asked(images):
    return inside(images, 'curl -sS -d "{}" -H "x-api-key: $ANTHROPIC_API_KEY" -w " %{http_code}" "$ANTHROPIC_BASE_URL/v1/messages"').stdout


@podman
def test_agents_request_works(composed):
    images, server, key, _ = composed
    said = asked(images)
    assert said.endswith(" 200"), said
    assert server.requests[-1].get("x-api-key") == key
    assert key not in images.podman("logs", "keystile").stdout


@podman
def test_agent_has_no_secret(composed):
    images, _, key, _ = composed
    seen = inside(images, "env; cat /proc/1/environ; find / -xdev \\( -name 'anthropic*' -o -name '*.key' -o -name keystile.yaml \\) "
                          "-not -path '/proc/*' -not -path '/usr/*'; ls -la /run /var/lib").stdout
    assert "ANTHROPIC_API_KEY=sk-ant-" in seen and key not in seen
    assert not re.search(r"session\.key|keystile\.yaml|secrets", seen), seen
    assert key not in images.podman("inspect", "agent").stdout + images.podman("inspect", "keystile").stdout


@podman
def test_agent_has_no_route_but_the_proxy(composed):
    images, server, _, _ = composed
    routes = inside(images, "cat /proc/net/route").stdout.splitlines()[1:]
    assert routes and all(line.split()[1] != "00000000" for line in routes), "there is a default route"
    before = len(server.connections)
    done = inside(images, f"curl -sS -k --noproxy '*' --max-time 3 https://{GATEWAY}:{server.port}/")
    assert done.returncode != 0 and len(server.connections) == before, done.stdout


@podman
def test_connect_elsewhere_gets_403(composed):
    images, *_ = composed
    done = inside(images, "curl -sS --max-time 5 https://example.com/")
    assert done.returncode == 56 and "403" in done.stderr, done.stderr
    line = r'"host":"example\.com".*"verdict":"deny"'
    wait_for(lambda: re.search(line, images.podman("logs", "keystile").stdout), "its line")


@podman
def test_new_key_and_rules_are_in_use_at_once(composed):
    """The key written over the old one, as by `cat >`; the configuration replaced, as editors do. Nothing is signalled."""
    images, server, _, folder = composed
    newer = evidence.secret("docker-newer")
    (folder / "private/secrets/anthropic").write_text(newer + "\n")
    wait_for(lambda: asked(images).endswith(" 200") and server.requests[-1].get("x-api-key") == newer, "the new key")
    config = folder / "config/keystile.yaml"
    before = config.read_text()
    (folder / "config/new").write_text(before.replace('"allow POST /v1/messages", ', ""))
    (folder / "config/new").rename(config)
    wait_for(lambda: asked(images).endswith(" 403"), "the new rules")
    config.write_text(before)
    wait_for(lambda: asked(images).endswith(" 200"), "the old rules")


@podman
def test_keystile_is_held_as_compose_says(composed):
    images, *_ = composed
    status = images.podman("exec", "keystile", "cat", "/proc/1/status").stdout
    assert re.search(r"^Uid:\s+10001\s+10001", status, re.M) and re.search(r"^NoNewPrivs:\s+1$", status, re.M), status
    assert all(int(value, 16) == 0 for value in re.findall(r"^Cap(?:Prm|Eff|Bnd):\s+(\w+)", status, re.M)), status
    assert images.podman("exec", "keystile", "touch", "/etc/x", check=False).returncode != 0
    shown = json.loads(images.podman("image", "inspect", "keystile").stdout)[0]
    assert shown["HealthCheck" if "HealthCheck" in shown else "Healthcheck"]["Test"] == COMPOSE["services"]["keystile"]["healthcheck"]["test"]
