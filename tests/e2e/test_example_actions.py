"""examples/github-actions: the workflow is one by its published schema, and its steps run here as they stand."""

import re

import pytest
import yaml

from peers import envfiles, evidence
from peers.keystile import clean_environment
from test_example_docker import check_schema
from test_examples import EXAMPLES, local_actions, root, run, search_path

FOLDER = EXAMPLES / "github-actions"
WORKFLOW = yaml.safe_load((FOLDER / "workflow.yml").read_text())
STEPS = {step["name"]: step for step in WORKFLOW["jobs"]["agent"]["steps"] if "name" in step}
START, UNTRUSTED, TRUSTED, END = list(STEPS)[1:]
# A stand-in for sudo as the runner has it: root already, it only keeps what it is told to.
SUDO = """#!/bin/sh
keep=
case $1 in --preserve-env=*) keep=${1#*=}; shift ;; esac
for name in $(printf %s "$keep" | tr , ' '); do eval "value=\\${$name-}"; set -- "$name=$value" "$@"; done
exec env -i PATH="$PATH" "$@"
"""


@pytest.mark.parametrize("kind, file", [("github-workflows", "workflow.yml"), ("gitlab-ci", "gitlab-ci.yml")])
def test_schema(kind, file):
    check_schema(kind, FOLDER / file)


def test_one_step_has_the_secrets_and_it_comes_before_what_is_not_trusted():
    text = (FOLDER / "workflow.yml").read_text()
    assert re.findall(r"secrets\.\w+", text) == ["secrets.DEPLOY_TOKEN"]
    assert [name for name, step in STEPS.items() if "secrets." in str(step)] == [START]
    assert list(STEPS).index(START) < list(STEPS).index(UNTRUSTED)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in text and "${{" not in "".join(step["run"] for step in STEPS.values()), "no template in a script"
    for step in WORKFLOW["jobs"]["agent"]["steps"]:
        assert step.get("with", {}).get("persist-credentials", False) is False, step


@pytest.fixture
def job(origin, tmp_path):
    """job(STEP, **SECRETS) runs a step as the runner does: its script in bash -e, with what $GITHUB_ENV has so far."""
    _, server = local_actions(origin, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sudo").write_text(SUDO)
    (tools / "sudo").chmod(0o755)
    (tmp_path / "keystile/examples").mkdir(parents=True)
    (tmp_path / "keystile/examples/github-actions").symlink_to(FOLDER)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o711)  # the command's user is another one
    path = search_path(tools)
    shared = tmp_path / "github-env"
    shared.write_text("")
    folder = tmp_path / "job"

    def step(name, **secrets):
        script = re.sub(r"sudo (--preserve-env=\S+ )?(env )?", rf"sudo \1env KEYSTILE_FOLDER={folder} ", STEPS[name]["run"])
        environment = {**clean_environment(PATH=path), "GITHUB_ENV": str(shared), "CI": "true", **WORKFLOW["env"],
                       **envfiles.github(shared.read_bytes()), **secrets}
        return run("bash", "-e", "-c", script, env=environment, cwd=tmp_path)

    (tmp_path / "ci.sh").write_text(
        'curl -sS -X POST -d v=1 -H "Authorization: Bearer $DEPLOY_TOKEN" "$DEPLOY_URL/v1/releases"; echo; id -u; env\n'
        f"for file in /proc/[0-9]*/environ; do tr '\\0' '\\n' <$file; done 2>/dev/null; cat {folder}/proxy/* {shared}; ls {folder}/proxy\n"
        "exit 7\n")
    step.server, step.shared, step.folder = server, shared, folder
    yield step
    if folder.exists():
        run(FOLDER / "stop-proxy", env=clean_environment(PATH=path, KEYSTILE_FOLDER=str(folder)))


@root
def test_steps(job):
    secret = evidence.secret("github")
    started = job(START, DEPLOY_TOKEN=secret)
    assert started.returncode == 0, started.stderr
    tokens = re.findall(r"^::add-mask::(\S+)$", started.stdout, re.M)
    assert tokens and secret not in started.stdout + started.stderr + job.shared.read_text()

    untrusted = job(UNTRUSTED)
    assert untrusted.returncode == 7, untrusted.stderr
    assert job.server.requests[-1].get("Authorization") == f"Bearer {secret}"
    assert "\n65534\n" in untrusted.stdout and secret not in untrusted.stdout + untrusted.stderr
    assert "Permission denied" in untrusted.stderr

    trusted = job(TRUSTED)
    assert trusted.returncode == 0 and job.server.requests[-1].get("Authorization") == f"Bearer {secret}", trusted.stderr
    assert any(token in job.shared.read_text() for token in tokens), "what later steps have is masked"

    ended = job(END)
    assert ended.returncode == 0 and not job.folder.exists()
    assert ended.stdout.count('"credential":"deploy"') == 2 and secret not in ended.stdout + ended.stderr


@root
def test_without_the_key_the_job_ends_at_once(job):
    done = job(START)
    assert done.returncode == 125 and "DEPLOY_TOKEN is empty" in done.stderr and "a key is missing" in done.stderr, done.stderr
    assert not job.folder.exists() and job.server.connections == []


@root
@pytest.mark.parametrize("name, value, says", [
    ("KEYSTILE_PROXY_UID", "0", "a user of its own"), ("KEYSTILE_PROXY_UID", "65534", "a user of its own"),
])
def test_users_that_hold_nothing_back(job, tmp_path, name, value, says):
    done = run(FOLDER / "start-proxy", tmp_path / "keystile.yaml", env=clean_environment(**{name: value}))
    assert done.returncode == 125 and says in done.stderr
