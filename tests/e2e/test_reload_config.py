"""keystile.yaml changes while proxyd runs (SPEC §11): in use with no restart, however it was replaced; no good, and refused with its reason."""

import contextlib
import json
import os
import re
import shutil
import threading

import pytest

from peers import evidence
from peers.config import get, one_api, problem
from peers.keystile import wait_for
from peers.metrics import admin, scrape, status
from peers.replacing import by_rename, in_volume, lead

# As HEAD of peers.keystile has them, from wherever keystile.yaml is.
ABSOLUTE = {
    "vault": '{{ file: {folder}/secrets.vault, key: "file:{folder}/vault.key" }}', "session": '{{ key: "file:{folder}/session.key" }}',
    "audit": "{{ file: {folder}/audit.jsonl }}", "state": "{folder}/state",
}


@pytest.fixture
def serve(keystile, origin):
    """serve(…) gives proxyd and the origin behind its credential `api`."""

    def start(script=None, head=None, start=True, **more):
        server = origin(script)
        proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", **more), {"api": evidence.secret("reload")}, head, start=start)
        return proxy, server

    return start


def beside(proxy, name="extra"):
    """The configuration with one credential more, that is like `api`."""
    start = proxy.text.index("  api:\n")
    entry = proxy.text[start : proxy.text.index("profiles:")].replace("api:\n", f"{name}:\n").replace("API_", f"{name.upper()}_")
    return (proxy.text[:start] + entry + proxy.text[start:]).replace("credentials: [api]", f"credentials: [api, {name}]")


def works(proxy, name="api"):
    return proxy.ask(get(f"/{name}/x", proxy.token(f"{name.upper()}_TOKEN"))).status == 200


def wait_until_there(proxy, name="extra"):
    """In use, and told of: that it was taken is told last."""
    wait_for(lambda: any(one["credential"] == name and one["ready"] for one in credentials(proxy)), f"the credential {name}")
    wait_for(lambda: scrape(proxy)["keystile_reloads_total", "configuration", "success"], "the reload to be counted")
    assert works(proxy, name) and works(proxy)


def credentials(proxy):
    return [{"credential": one["name"], "ready": one["ready"]} for one in status(proxy)["credentials"]]


def readyz(proxy, query=""):
    answer = admin(proxy, "/readyz" + query)
    return answer.status, json.loads(answer.body)


# However it is replaced: where it is at first, and how it is changed


def swap_folders(path, text):
    fresh = path.parent.with_name("fresh")
    fresh.mkdir()
    (fresh / path.name).write_text(text)
    os.rename(path.parent, path.parent.with_name("old"))
    os.rename(fresh, path.parent)


def lead_file(path, text):
    (path.parent / "second.yaml").write_text(text)
    lead(path, "second.yaml")


def replace_target(path, text):
    by_rename(path.resolve(), text)


def lead_folder(path, text):
    second = path.parent.with_name("second")
    second.mkdir()
    (second / path.name).write_text(text)
    lead(path.parent, "second")


def write_anew(path, text):
    path.unlink()
    path.write_text(text)


def link_folder(path, text):
    first = path.parent.with_name("first")
    first.mkdir()
    (first / path.name).write_text(text)
    path.parent.symlink_to("first")


def link_file(path, text):
    path.parent.mkdir()
    target = path.parent.with_name("target")
    target.mkdir()
    (target / "first.yaml").write_text(text)
    path.symlink_to("../target/first.yaml")


def write(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def volume(path, text):
    in_volume(path.parent, {path.name: text})


WAYS = {
    "by rename": (write, by_rename), "in place": (write, write), "taken away and written anew": (write, write_anew),
    "its folder by another": (write, swap_folders), "a link led elsewhere": (link_file, lead_file), "what a link leads to": (link_file, replace_target),
    "its folder's link led elsewhere": (link_folder, lead_folder), "..data": (volume, volume),
}


@pytest.mark.parametrize("way", WAYS)
def test_replaced(serve, way):
    """A credential more, with no restart and nobody who tells."""
    put, change = WAYS[way]
    proxy, _ = serve(head=ABSOLUTE, start=False)
    proxy.config = proxy.folder / "etc/keystile.yaml"
    put(proxy.config, proxy.text)
    proxy.start()
    assert works(proxy)
    change(proxy.config, beside(proxy))
    wait_until_there(proxy)
    assert proxy.log().count("keystile.yaml: taken") == 1


@contextlib.contextmanager
def restless(path):
    """Something moves all the time, so that the file is never still."""
    stop = threading.Event()

    def touch():
        while not stop.wait(0.05):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_at_once_by_sighup(serve):
    """It does not wait until the file is still."""
    proxy, _ = serve()
    with restless(proxy.config):
        by_rename(proxy.config, beside(proxy))
        proxy.hang_up()
        wait_until_there(proxy)


def test_audit_file_cannot_be_opened_anew(serve):
    """SIGHUP says so, does the rest, and does not say that it was."""
    proxy, _ = serve(head={"audit": "{{ file: logs/audit.jsonl }}"}, start=False)
    (proxy.folder / "logs").mkdir()
    proxy.start()
    (proxy.folder / "logs").rename(proxy.folder / "gone")
    by_rename(proxy.config, beside(proxy))
    proxy.hang_up()
    wait_until_there(proxy)
    assert re.search(r"the audit file stays the old one: audit file \S*logs/audit.jsonl: No such file", proxy.log())
    assert "SIGHUP: configuration, secrets and files read" in proxy.log() and "reopened" not in proxy.log()
    (proxy.folder / "gone").rename(proxy.folder / "logs")
    proxy.hang_up()
    assert "SIGHUP: audit file reopened, configuration, secrets and files read" in proxy.log()


def test_nothing_new(serve):
    """What was only touched, or written as it was, is no reload: of three writings one is."""
    proxy, _ = serve()
    before = scrape(proxy)
    os.utime(proxy.config)
    by_rename(proxy.config, proxy.text)
    proxy.hang_up()
    proxy.hang_up()
    after = scrape(proxy)
    names = [key for key in after if key[0] in ("keystile_reloads_total", "keystile_loaded_timestamp_seconds")]
    assert len(names) == 6 and [key for key in names if after[key] != before[key]] == []
    by_rename(proxy.config, beside(proxy))
    wait_until_there(proxy)
    assert scrape(proxy)["keystile_reloads_total", "configuration", "success"] == 1


def test_a_relative_path(keystile, origin):
    """A configuration that is found from the working folder is the same at every look, and so are the files that it names."""
    text = one_api(f"http://127.0.0.1:{origin().port}").replace("vault:api", "file:api.secret")
    head = {"session": "none", "listen": '["127.0.0.1:{port}", "unix:p.sock"]', "vault": None}
    proxy = keystile(text, head=head, start=False)
    secret = proxy.folder / "api.secret"
    secret.write_text(evidence.secret("relative"))
    proxy.start("--config", "keystile.yaml")
    secret.unlink()
    wait_for(lambda: readyz(proxy, "?all")[1]["stale"], "what is told of the file")
    by_rename(proxy.config, beside(proxy))
    wait_for(lambda: "keystile.yaml: taken" in proxy.log(), "the configuration")
    assert proxy.ask(get("/api/x", None)).status == 200, "the last good value"
    assert "counts once proxyd is started again" not in proxy.log() and "is refused" not in proxy.log()


def test_changed_while_it_starts(keystile, origin):
    """What is written while a command takes its time is in use soon after, with nobody who tells of it again."""
    text = one_api(f"http://127.0.0.1:{origin().port}").replace("vault:api", "exec:{folder}/slow")
    proxy = keystile(text, start=False)
    proxy.take(proxy.text.replace("{folder}", str(proxy.folder)))
    os.mkfifo(proxy.folder / "gate")
    script = proxy.folder / "slow"
    script.write_text(f"#!/bin/sh\nread line <{proxy.folder}/gate\necho {evidence.secret('slow')}\n")
    script.chmod(0o755)
    proxy.start(wait=False)
    with open(proxy.folder / "gate", "w") as gate: # once the command reads
        by_rename(proxy.config, beside(proxy))
        gate.write("go\n")
    proxy.wait_ready()
    wait_until_there(proxy)


# What is no good

GIVEN = "tls: { ca_cert: no/ca.crt, ca_key: no/ca.key }\n"
# What becomes of the good one, and what is told of it.
BAD = {
    "syntax": (lambda text: text.replace("credentials:\n", "credentials: [\n"), "keystile.yaml:"),
    "an unknown key": (lambda text: text.replace("    env:", "    sercet: x\n    env:"), 'keystile.yaml:14:5: unknown key "sercet"'),
    "an unknown name": (lambda text: text.replace("credentials: [api]", "credentials: [apy]"), "keystile.yaml:18:"),
    "a CA that is not there": (lambda text: text.replace("hosts: []", "hosts: [{ host: a.test, intercept: true }]") + GIVEN, "tls.ca_cert: "),
    "an audit file that cannot be": (lambda text: text.replace("audit.jsonl", "no/audit.jsonl"), "no/audit.jsonl"),
    "another listener without tokens": (lambda text: text.replace('{ key: "file:session.key" }', "none").replace("listen: 127.0.0.1", "listen: 127.0.0.2"),
                                        "`session: none` together with another `listen`"),
    "nothing in it": (lambda text: "", "keystile.yaml:"),
    "not there": (None, "No such file"),
}


def refuse(proxy, bad, told):
    """Everything that tells of it, and nothing else, says so; all goes on as it was."""
    failures = scrape(proxy)["keystile_reloads_total", "configuration", "failure"]
    lines = proxy.log().count("is refused, and the last good one stays in use")
    by_rename(proxy.config, bad(proxy.text)) if bad else proxy.config.unlink()
    wait_for(lambda: scrape(proxy)["keystile_reloads_total", "configuration", "failure"] > failures, "the refusal to be counted")
    code, ready = readyz(proxy)
    why = ready["refused_configuration"]["why"]
    assert code == 200 and "refused" in why and told not in why and readyz(proxy, "?all")[0] == 200
    metrics = scrape(proxy)
    assert metrics["keystile_last_reload_successful", "configuration"] == 0 and metrics["keystile_last_reload_successful", "secrets"] == 1
    assert metrics["keystile_reloads_total", "configuration", "failure"] == failures + 1
    assert told in proxy.log() and proxy.log().count("is refused, and the last good one stays in use") == lines + 1


def test_refused(serve):
    """Each reason; what was good stays in use, and good is good again. A SIGHUP tries once more."""
    proxy, _ = serve()
    token, show = proxy.token(), f"Authorization: Bearer {proxy.envgen('admin').out.strip().split('=')[1]}"
    with proxy.client() as client:
        for what, (bad, told) in BAD.items():
            refuse(proxy, bad, told)
            assert client.ask(get("/api/x", token)).status == 200, what
            failed = json.loads(admin(proxy, "/status", show).body)["configuration"]["failed"]
            assert told in failed["why"] and failed["why"] in proxy.log() and failed["time"], what
        failures = scrape(proxy)["keystile_reloads_total", "configuration", "failure"]
        proxy.hang_up()
        assert proxy.log().rstrip().endswith("; the configuration is one that is refused, as told before")
        assert scrape(proxy)["keystile_reloads_total", "configuration", "failure"] == failures + 1
        by_rename(proxy.config, beside(proxy))
        wait_until_there(proxy)
        assert client.ask(get("/api/x", token)).status == 200
    assert "refused_configuration" not in readyz(proxy)[1] and status(proxy)["configuration"]["failed"] is None
    assert scrape(proxy)["keystile_last_reload_successful", "configuration"] == 1


def test_good_as_it_was(serve):
    """The last good one again, byte for byte, ends the refusal, with nobody who tells."""
    proxy, _ = serve()
    request = get("/api/x", proxy.token())
    by_rename(proxy.config, "version: 2\n")
    wait_for(lambda: "refused_configuration" in readyz(proxy)[1], "the refusal")
    assert proxy.ask(request).status == 200
    by_rename(proxy.config, proxy.text)
    wait_for(lambda: "refused_configuration" not in readyz(proxy)[1], "the refusal's end")
    assert proxy.ask(request).status == 200


def test_refused_leaves_nothing_behind(serve, authority):
    """Clients have the CA that is in use, though another one was good, and what it stood beside was not."""
    proxy, _ = serve(hosts="[{ host: a.test, intercept: true }]")
    ca = proxy.folder / "state/ca.pem"
    first, given = ca.read_text(), f"tls: {{ ca_cert: {authority.ca}, ca_key: {authority.folder}/ca.key }}\n"
    refuse(proxy, lambda text: text.replace("audit.jsonl", "no/audit.jsonl") + given, "no/audit.jsonl")
    assert ca.read_text() == first and audit_files(proxy) == ["audit.jsonl"]
    by_rename(proxy.config, proxy.text + given)
    wait_for(lambda: ca.read_text() == authority.ca.read_text(), "the CA")


def test_a_file_that_it_names_comes_later(serve, authority):
    """It is refused for that file, told of once, and tried again once the file is there."""
    proxy, _ = serve()
    refuse(proxy, *BAD["a CA that is not there"])
    shutil.copytree(authority.folder, proxy.folder / "more")
    (proxy.folder / "more/ca.pem").rename(proxy.folder / "more/ca.crt")
    os.rename(proxy.folder / "more", proxy.folder / "no")
    wait_for(lambda: "refused_configuration" not in readyz(proxy)[1], "the CA")
    assert works(proxy) and (proxy.folder / "state/ca.pem").read_text() == authority.ca.read_text()
    assert proxy.log().count("is refused, and the last good one stays in use") == 1


def test_a_ca_of_one_credential_comes_later(serve, authority):
    """As at start: that credential waits, and all others work."""
    proxy, server = serve()
    text = beside(proxy).replace("  extra:\n", f"  extra:\n    ca: {proxy.folder}/late.pem\n").replace(
        "http://127.0.0.1", "https://127.0.0.1", 1)
    by_rename(proxy.config, text)
    wait_for(lambda: {"credential": "extra", "ready": False} in credentials(proxy), "the credential")
    code, ready = readyz(proxy, "?all")
    assert code == 503 and [one["credential"] for one in ready["waiting"]] == ["extra"] and "late.pem" in ready["waiting"][0]["why"]
    assert works(proxy) and "late.pem" in problem(proxy.ask(get("/extra/x", proxy.token("EXTRA_TOKEN"))), 503)["detail"]
    by_rename(proxy.folder / "late.pem", authority.ca.read_text())
    wait_for(lambda: readyz(proxy, "?all")[0] == 200, "the CA")


# What is new in it


def test_what_takes_a_restart(serve):
    """Is told, each by its name, and the rest is taken."""
    proxy, _ = serve()
    port, admin_port = proxy.port, proxy.admin_port
    text = beside(proxy).replace(f"listen: 127.0.0.1:{port}", f'listen: ["127.0.0.1:{port}", "127.0.0.2:{port}"]\nadvertise: 127.0.0.1:{port}')
    text = text.replace(f"admin: 127.0.0.1:{admin_port}", f"admin: 127.0.0.2:{admin_port}").replace("state: state", "state: other")
    by_rename(proxy.config, text.replace("workers: ", "workers: 1"))
    wait_until_there(proxy)
    for key in ("listen", "admin", "workers", "state"):
        assert proxy.log().count(f"`{key}` has changed, which counts once proxyd is started again") == 1, key
    assert scrape(proxy)["keystile_workers",] == int(text.split("workers: ")[1].split("\n")[0])
    assert not (proxy.folder / "other").exists() and readyz(proxy)[0] == 200


def test_limits(serve):
    """Of a connection that was there before, too."""
    proxy, _ = serve()
    token, body = proxy.token(), "b" * 100
    request = get("/api/x", token, "Content-Length: 100", method="POST") + body
    with proxy.client() as client:
        assert client.ask(request).status == 200
        by_rename(proxy.config, proxy.text + "limits: { body: 99 }\n")
        wait_for(lambda: scrape(proxy)["keystile_limit", "body", "bytes"] == 99, "the limit")
        assert problem(client.ask(request), 413)
    by_rename(proxy.config, proxy.text + "limits: { body: 100 }\n")
    wait_for(lambda: scrape(proxy)["keystile_limit", "body", "bytes"] == 100, "the limit")
    assert proxy.ask(request).status == 200


def test_limit_of_a_head_that_has_begun(serve):
    """More of it had been looked at than is looked at now."""
    proxy, _ = serve()
    with proxy.client() as client:
        client.send(get("/api/x", proxy.token(), "X-Pad: " + "a" * 9000)[:-4])
        wait_for(lambda: scrape(proxy)["keystile_client_connections",] == 1, "the connection")
        status(proxy)  # goes through the worker's loop, behind what was sent
        by_rename(proxy.config, proxy.text + "limits: { head: 1KiB }\n")
        wait_for(lambda: scrape(proxy)["keystile_limit", "head", "bytes"] == 1024, "the limit")
        client.send("a")
        assert problem(client.response(), 431)
    assert works(proxy)


def test_rules_and_profiles(serve):
    """The next request of a connection is judged by the new rules; a profile's token is good once the profile is there."""
    proxy, _ = serve()
    token = proxy.token()
    with proxy.client() as client:
        assert client.ask(get("/api/x", token)).status == 200
        ruled = proxy.text.replace("    secret: vault:api\n", '    secret: vault:api\n    rules: ["allow GET /y"]\n')
        by_rename(proxy.config, ruled + "  other: { credentials: [api] }\n")
        wait_for(lambda: "other" in [one["name"] for one in status(proxy)["profiles"]], "the profile")
        assert problem(client.ask(get("/api/x", token)), 403)
        assert client.ask(get("/api/y", token)).status == 200
    assert proxy.ask(get("/api/y", proxy.token(profile="other"))).status == 200
    assert [line.get("profile") for line in proxy.audit(4)].count("other") == 1


def audit_files(proxy):
    links = []
    for name in os.listdir(f"/proc/{proxy.process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            links.append(os.readlink(f"/proc/{proxy.process.pid}/fd/{name}"))
    return [os.path.basename(link) for link in links if link.endswith(".jsonl")]


def test_audit_file(serve):
    """Another one has the lines from then on, and the old one is closed; and none."""
    proxy, _ = serve()
    assert works(proxy) and len(proxy.audit(1)) == 1
    by_rename(proxy.config, proxy.text.replace("audit.jsonl", "second.jsonl"))
    wait_for(lambda: audit_files(proxy) == ["second.jsonl"], "the second file")
    assert works(proxy)
    wait_for(lambda: (proxy.folder / "second.jsonl").read_text().count("\n") == 1, "a line in it")
    by_rename(proxy.config, proxy.text.replace("audit: { file: audit.jsonl }\n", ""))
    wait_for(lambda: audit_files(proxy) == [], "no file")
    assert works(proxy) and len(proxy.audit()) == 1
