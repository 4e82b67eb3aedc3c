"""What README and examples show is true: commands, links, configurations, the CI script."""

import os
import pathlib
import re
import subprocess

import pytest

from peers import evidence
from peers.evidence import EVIDENCE
from peers.keystile import PROGRAMS, clean_environment, free_port
from peers.wire import note

TOP = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = TOP / "examples"
PAGES = sorted(path for path in TOP.rglob("*.md") if not {"build", "node_modules"} & set(path.relative_to(TOP).parts))
SCRIPTS = [f"examples/github-actions/{name}" for name in ("with-keys", "start-proxy", "as-agent", "stop-proxy")]
UNREACHABLE = 65534  # who the CI script runs a command as


def test_readme_begins_with_demo_and_test():
    blocks = re.findall(r"^```sh\n(.*?)^```", (TOP / "README.md").read_text(), re.M | re.S)
    assert blocks[:2] == ["./setup demo\n", "./setup test\n"]


def test_architecture_names_every_file():
    """By its own name, or by that of its room: config_*.c."""
    named = [re.compile(name.replace(".", r"\.").replace("*", ".*"))
             for name in re.findall(r"`([\w*]+\.c)`", (TOP / "ARCHITECTURE.md").read_text())]
    for folder in ("common", "proxyd", "envgen", "creds"):
        for path in (TOP / folder).glob("*.c"):
            assert any(name.fullmatch(path.name) for name in named), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(TOP)))
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)", page.read_text()):
        assert link.startswith("https://") or (page.parent / link).exists(), f"{page}: {link}"


def test_paths_of_examples_are_there():
    """What stands in text and manifests, with no link that the test above would follow."""
    for path in [*PAGES, *EXAMPLES.rglob("*.yaml"), *EXAMPLES.rglob("*ontainerfile*")]:
        for named in re.findall(r"(?<![\w./-])examples/[\w./-]*\w", path.read_text()):
            assert (TOP / named).exists() or path.name.endswith("ignore"), f"{path}: {named}"


def example(folder, tmp_path):
    """A copy of an example's keystile.yaml, its paths led to where a test may write."""
    text = (EXAMPLES / folder / "keystile.yaml").read_text()
    for path in ("/var/lib/keystile", "/var/log/keystile"):
        text = text.replace(path, str(tmp_path))
    (tmp_path / "keystile.yaml").write_text(text)
    return tmp_path / "keystile.yaml"


def run(*command, **more):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, **more)
    note(" ".join(map(str, command)), "said", done.stdout + done.stderr)
    EVIDENCE.add("example output", (done.stdout + done.stderr).encode())
    return done


@pytest.mark.parametrize("folder", ["claude-code", "docker/config", "systemd", "vault", "github-actions"])
def test_configuration_is_good(folder, tmp_path):
    config = example(folder, tmp_path)
    done = run(PROGRAMS / "proxyd/proxyd", "--config", config, "--check", env=clean_environment(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = [line for line in done.stderr.splitlines() if not re.search("answers 503|CREDENTIALS_DIRECTORY is not set", line)]
    assert not [line for line in told if re.search(r"keystile\.yaml:\d+:\d+: ", line)], done.stderr


def test_docker_needs_advertise(tmp_path):
    config = example("docker/config", tmp_path)
    config.write_text(re.sub(r"^advertise:.*\n", "", config.read_text(), flags=re.M))
    for program, *options in (["proxyd", "--check"], ["envgen"]):
        done = run(PROGRAMS / program / program, "--config", config, *options, env=clean_environment())
        assert done.returncode == 1 and "advertise: " in done.stderr, done.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_parse(script):
    assert run("/bin/sh", "-n", TOP / script).returncode == 0
    assert os.access(TOP / script, os.X_OK)


def local_actions(origin, tmp_path):
    """The configuration for GitHub Actions, at free ports, and a server of ours in the place of deploy.example.com."""
    server = origin()
    config = example("github-actions", tmp_path)
    text = config.read_text().replace("https://deploy.example.com", f"http://127.0.0.1:{server.port}")
    config.write_text(text.replace(":8180", f":{free_port()}").replace(":8181", f":{free_port()}"))
    return config, server


def search_path(*before):
    """$PATH with our programs, behind other folders."""
    return ":".join([*map(str, before), *(str(PROGRAMS / program) for program in ("proxyd", "envgen", "creds")), "/usr/sbin:/usr/bin:/sbin:/bin"])


@pytest.fixture
def job(origin, tmp_path):
    """job(COMMAND, DEPLOY_TOKEN) runs the CI script, with a server of ours in the place of deploy.example.com."""
    config, server = local_actions(origin, tmp_path)
    path = search_path()

    def start(command, key, **more):
        environment = {**clean_environment(PATH=path), **({"DEPLOY_TOKEN": key} if key else {}), **more}
        return run(EXAMPLES / "github-actions/with-keys", config, "sh", "-c", command, env=environment, cwd="/"), server

    return start


CURL = 'curl -sS -X POST -d v=1 -H "Authorization: Bearer $DEPLOY_TOKEN" "$DEPLOY_URL/v1/releases"'
root = pytest.mark.skipif(os.geteuid() != 0, reason="runs a command as another user")


@root
def test_ci_command_uses_the_key_and_has_it_not(job):
    secret = evidence.secret("ci")
    done, server = job(f"{CURL}; echo; id -u; env; tr '\\0' '\\n' </proc/$PPID/environ; exit 7", secret)
    assert done.returncode == 7, done.stderr
    assert [request.get("Authorization") for request in server.requests] == [f"Bearer {secret}"]
    assert secret not in done.stdout + done.stderr
    assert f"\n{UNREACHABLE}\n" in done.stdout
    assert re.search(r'"credential":"deploy".*"verdict":"allow"', done.stdout), "the audit is in the job's log"


@root
def test_ci_without_the_key_ends_at_once(job):
    done, server = job("echo ran", None)
    assert done.returncode == 125 and "ran" not in done.stdout
    assert "DEPLOY_TOKEN: not set" in done.stderr and "a key is missing" in done.stderr, done.stderr
    assert server.connections == []


@root
def test_ci_never_as_root(job):
    done, _ = job("echo ran", evidence.secret("ci"), KEYSTILE_UID="0")
    assert done.returncode == 125 and "ran" not in done.stdout and "KEYSTILE_UID" in done.stderr
