"""examples/kubernetes: manifests that Kubernetes' own schemas take, and what no schema knows of; replicas that share a key."""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest
import yaml

from peers import evidence
from peers.config import problem
from peers.keystile import PROGRAMS, clean_environment, wait_for
from peers.wire import Client, note

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples/kubernetes"
FILES = sorted(EXAMPLE.glob("*/*.yaml"))
KUBECONFORM = pathlib.Path(os.environ.get("KEYSTILE_TOOLS", "/nonexistent")).absolute() / "versions/go/kubeconform"
SHAPES = {"shared": "proxy.yaml", "sidecar": "sidecar.yaml"}  # where each has its proxyd
DRAIN = 30  # seconds that proxyd takes at most to end
AGENT_MAY_MOUNT = {"agent-env", "work", "tmp"}
INJECTOR = "vault.hashicorp.com/"


def documents(path):
    return [one for one in yaml.safe_load_all(path.read_text()) if one]


def of_kind(shape, *kinds):
    return [one for path in FILES if path.parent.name == shape for one in documents(path) if one["kind"] in kinds]


def pods(shape):
    return [one["spec"]["template"] for one in of_kind(shape, "Deployment")]


def all_containers(pod):
    return pod["spec"].get("initContainers", []) + pod["spec"]["containers"]


def proxy_pod(shape):
    """The pod that has proxyd, and its container."""
    (found,) = [(pod, one) for pod in pods(shape) for one in all_containers(pod) if one["name"] == "keystile"]
    return found


def configuration(shape):
    (found,) = of_kind(shape, "ConfigMap")
    return found["data"]["keystile.yaml"]


def port_of(address):
    return int(address.rsplit(":", 1)[1])


# Schemas


@pytest.fixture(scope="module")
def conform(tmp_path_factory):
    """conform(VERSION, FILE…): what Kubernetes of that version has against them, by the schemas that kubernetes-validate carries."""
    package = pathlib.Path(importlib.util.find_spec("kubernetes_validate").origin).parent
    folder = tmp_path_factory.mktemp("schemas")

    def make(version):
        """They name each other by addresses on the internet; here, by file."""
        (folder / version).mkdir()
        for path in (package / f"kubernetes-json-schema/v{version}-local-strict").glob("*.json"):
            schema = json.loads(path.read_text())
            schema.pop("$id", None)
            (folder / version / path.name).write_text(json.dumps(schema).replace('"/api/_definitions.json', '"_definitions.json'))

    def check(version, *files):
        if not (folder / version).exists():
            make(version)
        place = f"{folder}/{version}/{{{{ .ResourceKind }}}}{{{{ .KindSuffix }}}}.json"
        done = subprocess.run([KUBECONFORM, "-strict", "-output", "json", "-verbose", "-kubernetes-version", version, "-schema-location", place,
                               *files], capture_output=True, text=True, timeout=60)
        note("kubeconform", "said", done.stdout + done.stderr)
        found = json.loads(done.stdout)["resources"]
        assert len(found) == sum(len(documents(path)) for path in files)
        return [f"{one['kind']} {one['name']}: {one['msg']}" for one in found if one["status"] != "statusValid"]

    return check


has_kubeconform = pytest.mark.skipif(not KUBECONFORM.exists(), reason="setup has no Go toolchain for this machine, and so no kubeconform")


@has_kubeconform
@pytest.mark.parametrize("version", ["1.31.0", "1.37.0"])
def test_manifests_are_what_kubernetes_takes(conform, version):
    assert conform(version, *FILES) == []


@has_kubeconform
@pytest.mark.parametrize("old,new,told", [
    ("readOnlyRootFilesystem:", "readonlyRootFilesystem:", "readonlyRootFilesystem"),
    ("replicas: 2", "replicas: two", "replicas"),
    ("periodSeconds: 1\n", "periodSeconds: 1s\n", "periodSeconds"),
])
def test_an_error_in_a_manifest_is_found(conform, tmp_path, old, new, told):
    """The check above is no decoration."""
    text = (EXAMPLE / "shared/proxy.yaml").read_text()
    assert old in text
    (tmp_path / "bad.yaml").write_text(text.replace(old, new))
    (found,) = conform("1.37.0", tmp_path / "bad.yaml")
    assert told in found


# What no schema knows


@pytest.mark.parametrize("shape", SHAPES)
def test_configuration_is_good(shape, tmp_path):
    """As it stands; that no secret is there yet is all that may be said of it."""
    text = re.sub(r"(/run/keystile|/var/lib/keystile|/vault)\b", rf"{tmp_path}\1", configuration(shape))
    (tmp_path / "keystile.yaml").write_text(text)
    done = subprocess.run([PROGRAMS / "proxyd/proxyd", "--config", tmp_path / "keystile.yaml", "--check"], capture_output=True, text=True,
                          env=clean_environment(), timeout=60)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if re.search(r"yaml:\d+:\d+: ", line) and "answers 503" not in line], done.stderr


@pytest.mark.parametrize("shape", SHAPES)
def test_ports_are_those_of_the_configuration(shape):
    config = yaml.safe_load(configuration(shape))
    _, container = proxy_pod(shape)
    admin = config["admin"]["listen"] if isinstance(config["admin"], dict) else config["admin"]
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports["admin"] == port_of(admin) and admin.startswith("0.0.0.0:"), "the kubelet asks by the pod's address"
    assert ports.get("proxy", port_of(config["listen"])) == port_of(config["listen"])
    for name, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")):
        assert container[name]["httpGet"] == {"path": path, "port": "admin"}


def test_the_service_is_what_agents_are_told():
    config = yaml.safe_load(configuration("shared"))
    services = {one["metadata"]["name"]: one for one in of_kind("shared", "Service")}
    pod, _ = proxy_pod("shared")
    for one in services.values():
        assert one["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    name, namespace = (services["keystile"]["metadata"][key] for key in ("name", "namespace"))
    (port,) = services["keystile"]["spec"]["ports"]
    assert config["advertise"] == f"{name}.{namespace}.svc:{port['port']}" and port["targetPort"] == "proxy"
    (scraped,) = services["keystile-admin"]["spec"]["ports"]
    assert scraped["targetPort"] == "admin" and config["admin"]["hosts"] == [f"keystile-admin.{namespace}.svc"]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(scraped["port"]) == str(port_of(config["admin"]["listen"]))


def test_the_network_leaves_agents_the_proxy_alone():
    policies = {one["metadata"]["name"]: one for one in of_kind("shared", "NetworkPolicy")}
    pod, container = proxy_pod("shared")
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    agents = [one for one in policies.values() if one["metadata"]["namespace"] == "agents"]
    assert all(one["spec"]["podSelector"] == {} and "Egress" in one["spec"]["policyTypes"] for one in agents)
    ways = [(way["to"], [one["port"] for one in way["ports"]]) for one in agents for way in one["spec"]["egress"]]
    (to, reached), (_, names) = ways
    assert reached == [ports["proxy"]] and names == [53, 53]
    assert to[0]["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    spec = policies["keystile"]["spec"]
    assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert [[one["port"] for one in way["ports"]] for way in spec["ingress"]] == [[ports["proxy"]], [ports["admin"]]]
    assert yaml.safe_load(configuration("shared"))["profiles"]["coder"]["direct"] is False


def test_replicas_are_never_gone_together():
    (deployment,) = [one for one in of_kind("shared", "Deployment") if one["metadata"]["name"] == "keystile"]
    (budget,) = of_kind("shared", "PodDisruptionBudget")
    assert deployment["spec"]["replicas"] >= 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["spec"]["selector"] == deployment["spec"]["selector"] and budget["spec"]["maxUnavailable"] < deployment["spec"]["replicas"]


@pytest.mark.parametrize("shape", SHAPES)
def test_there_is_time_to_drain(shape):
    pod, container = proxy_pod(shape)
    before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    assert pod["spec"]["terminationGracePeriodSeconds"] > before + DRAIN


@pytest.mark.parametrize("shape", SHAPES)
def test_every_container_is_confined(shape):
    for pod in pods(shape):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False and not spec.get("shareProcessNamespace") and not spec.get("hostNetwork")
        assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in all_containers(pod):
            security = {**spec["securityContext"], **one["securityContext"]}
            assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]} and security["runAsUser"] > 0
            assert one["resources"]["requests"] and one["resources"]["limits"]["memory"]
            assert one["image"] == ("keystile:latest" if one["name"].startswith("keystile") else "debian:12-slim")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_agent_has_no_secret(shape):
    (pod,) = [pod for pod in pods(shape) if "agent" in [one["name"] for one in pod["spec"]["containers"]]]
    agent = next(one for one in pod["spec"]["containers"] if one["name"] == "agent")
    others = [one for one in all_containers(pod) if one is not agent]
    assert {one["name"] for one in agent["volumeMounts"]} <= AGENT_MAY_MOUNT
    assert [list(one.values())[0]["name"] for one in agent.get("envFrom", [])] in ([], ["agent-env"])
    assert all(one["name"].lower() == "no_proxy" and "valueFrom" not in one for one in agent.get("env", []))
    assert all(one["securityContext"]["runAsUser"] != 10002 for one in others)
    secret = [one["name"] for one in pod["spec"]["volumes"] if {"secret", "projected"} & set(one)]
    assert not {one["name"] for one in agent["volumeMounts"]} & set(secret)


def test_the_injector_gives_the_agent_nothing():
    """By vault-k8s 1.7.6: the secrets go to the containers that are named, and to every init container; what Vault's agent logs in
    with is mounted where the volume's name is said, else taken from what all containers have."""
    (pod,) = pods("sidecar")
    said = {name.removeprefix(INJECTOR): value for name, value in pod["metadata"]["annotations"].items() if name.startswith(INJECTOR)}
    assert "agent" not in said["agent-inject-containers"].split(",")
    assert [one["name"] for one in pod["spec"]["initContainers"]] == ["keystile-env", "keystile"]
    login = said["agent-service-account-token-volume-name"]
    (volume,) = [one for one in pod["spec"]["volumes"] if one["name"] == login]
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["path"] and source["serviceAccountToken"]["audience"] == "vault"
    assert login not in [mount["name"] for one in all_containers(pod) for mount in one["volumeMounts"]]
    assert said["agent-share-process-namespace"] == "false" and "agent-run-as-same-user" not in said and "agent-cache-enable" not in said
    assert int(said["agent-run-as-user"]) == proxy_pod("sidecar")[1]["securityContext"]["runAsUser"]
    for name in yaml.safe_load(configuration("sidecar"))["credentials"]:
        source = yaml.safe_load(configuration("sidecar"))["credentials"][name]["secret"]
        assert source == f"file:/vault/secrets/{name}" and said[f"agent-inject-secret-{name}"] in said[f"agent-inject-template-{name}"]
        assert said[f"error-on-missing-key-{name}"] == "true" and said[f"agent-inject-perms-{name}"] == "0640"
    assert proxy_pod("sidecar")[1]["restartPolicy"] == "Always"


# Run


def volume(folder, files, generation):
    """A folder as the kubelet lays it: what a file holds changes with one rename, of the link `..data`."""
    folder.mkdir(exist_ok=True)
    (folder / generation).mkdir()
    for name, content in files.items():
        (folder / generation / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..data_tmp").symlink_to(generation)
    (folder / "..data_tmp").rename(folder / "..data")


def in_place(text, folder):
    """A manifest's paths, under `folder`."""
    return re.sub(r"(?<![\w.])(/run/keystile|/var/lib/keystile|/vault)\b", rf"{folder}\1", text)


class Replica:
    """One proxyd with the ConfigMap's configuration; what differs is the ports, the upstream and where the paths start."""

    def __init__(self, keystile, volumes, upstream):
        self.proxy = keystile("", head={"vault": None, "session": None}, start=False)
        config = yaml.safe_load(in_place(configuration("shared"), volumes))
        config["listen"] = f"127.0.0.1:{self.proxy.port}"
        config["admin"]["listen"] = f"127.0.0.1:{self.proxy.admin_port}"
        config["state"] = "state"
        config["credentials"]["anthropic"]["upstream"] = upstream
        self.proxy.take(yaml.safe_dump(config))
        self.proxy.start()

    def ask(self, token):
        return self.proxy.ask(f"GET /anthropic/v1/models/x HTTP/1.1\r\nHost: keystile.keystile.svc:8180\r\nX-Api-Key: {token}\r\n\r\n")

    def admin(self, path, host):
        with Client(("127.0.0.1", self.proxy.admin_port), "prober") as client:
            return client.ask(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")


@pytest.fixture
def replicas(keystile, origin, tmp_path):
    """replicas(N) gives so many that share the two Secrets, with the value of one, and the API behind them."""

    def make(count):
        run = tmp_path / "run/keystile"
        run.mkdir(parents=True)
        value = evidence.secret("replicas")
        volume(run / "session", {"session.key": os.urandom(32)}, "..2026_1")
        volume(run / "secrets", {"anthropic": value}, "..2026_1")
        api = origin()
        return [Replica(keystile, tmp_path, f"http://127.0.0.1:{api.port}") for _ in range(count)], value, api, run

    return make


def test_replicas_take_each_others_tokens(replicas):
    both, value, api, run = replicas(2)
    tokens = [one.proxy.token("ANTHROPIC_API_KEY", "coder") for one in both]
    assert tokens[0] == tokens[1]
    for one in both:
        assert one.ask(tokens[0]).status == 200 and api.requests[-1].get("X-Api-Key") == value
    assert len(api.requests) == 2
    volume(run / "session", {"session.key": os.urandom(32)}, "..2026_2")
    stranger = both[0].proxy.token("ANTHROPIC_API_KEY", "coder")
    assert stranger != tokens[0], "the key makes the token, and nothing else does"


def test_a_changed_secret_reaches_every_replica(replicas):
    both, value, api, run = replicas(2)
    token = both[0].proxy.token("ANTHROPIC_API_KEY", "coder")
    new = evidence.secret("changed")
    volume(run / "secrets", {"anthropic": new}, "..2026_2")
    for one in both:
        wait_for(lambda: one.ask(token).status == 200 and api.requests[-1].get("X-Api-Key") == new, "the new value")


def test_agents_are_told_the_service(replicas):
    (one,), *_ = replicas(1)
    told = dict(line.split("=", 1) for line in one.proxy.envgen("--profile", "coder", "--format", "k8s").out.splitlines()
                if line and not line.startswith("#"))
    assert told["ANTHROPIC_BASE_URL"] == "http://keystile.keystile.svc:8180/anthropic"
    assert told["HTTPS_PROXY"].endswith("@keystile.keystile.svc:8180")
    assert told["NO_PROXY"] in ("", "localhost,127.0.0.1"), "no way but the proxy"


def test_whose_host_the_admin_listener_admits(replicas):
    (one,), *_ = replicas(1)
    for host in (f"127.0.0.1:{one.proxy.admin_port}", "keystile-admin.keystile.svc:8181", f"localhost:{one.proxy.admin_port}"):
        assert one.admin("/readyz", host).status == 200, host
    problem(one.admin("/readyz", "rebound.example"), 403)


def test_the_init_container_makes_key_and_environment(tmp_path):
    """Its own script; a second run, as of a pod that the kubelet starts anew, keeps the key."""
    (pod,) = pods("sidecar")
    shell, option, script = next(one for one in pod["spec"]["initContainers"] if one["name"] == "keystile-env")["command"]
    for folder in ("run/keystile-env", "var/lib/keystile"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "keystile.yaml").write_text(in_place(configuration("sidecar"), tmp_path))
    environment = clean_environment(KEYSTILE_CONFIG=str(tmp_path / "keystile.yaml"), PATH=f"{PROGRAMS / 'envgen'}:{os.environ['PATH']}")
    env_file, key = tmp_path / "run/keystile-env/agent.env", tmp_path / "var/lib/keystile/session.key"
    made = []
    for _ in range(2):
        done = subprocess.run([shell, option, in_place(script, tmp_path)], capture_output=True, text=True, env=environment, timeout=60)
        assert done.returncode == 0, done.stderr
        made.append((env_file.read_text(), key.read_bytes()))
    assert made[0] == made[1]
    assert key.stat().st_mode & 0o077 == 0 and env_file.stat().st_mode & 0o004, "for proxyd alone; for the agent, who is another user"
    shown = subprocess.run(["sh", "-euc", f". {shlex.quote(str(env_file))}; env"], capture_output=True, text=True, check=True)
    assert "ANTHROPIC_BASE_URL=http://127.0.0.1:8180/anthropic" in shown.stdout
