"""proxyd with a credential whose token is minted: by a token server (peers.token_server), for an API that looks at it."""

import contextlib
import json
import os
import signal
import subprocess

from . import evidence
from .config import get, problem
from .grants import Known
from .keystile import PROGRAMS, clean_environment, wait_for
from .serving import begun
from .token_server import Api, TokenServer
from .wire import Client, Closed

ODD = ":b%41+c d é&=/"  # what a form encodes, in ids and keys


def credential(name, upstream, inject, secrets, **more):
    """An entry of `credentials:`; `secrets` is the whole line."""
    lines = "".join(f"    {key}: {value}\n" for key, value in more.items())
    variable = name.upper()
    return (f"  {name}:\n    upstream: {upstream}\n    {secrets}\n    inject: {inject}\n"
            f"    env: {{ base_url: {variable}_URL, token: {variable}_TOKEN }}\n{lines}")


def config_of(*credentials, hosts="[]", more=""):
    names = ", ".join(text.split(":")[0].strip() for text in credentials)
    return f"credentials:\n{''.join(credentials)}profiles:\n  agent:\n    hosts: {hosts}\n    credentials: [{names}]\n{more}"


def secrets_of(*names):
    return "secrets: { " + ", ".join(f"{name}: vault:{name}" for name in names) + " }"


def oauth2(token_url, **more):
    pairs = "".join(f', {key}: "{value}"' for key, value in more.items())
    return f'{{ oauth2: {{ token_url: "{token_url}"{pairs} }} }}'


def checked(keystile, *credentials, head=None):
    """What `proxyd --check` says to a configuration with these, which may be wrong, where no secret is there yet."""
    one = keystile("profiles: { agent: {} }\n", head={"vault": None, **(head or {})}, start=False)
    vault = "" if head and "vault" in head else 'vault: { file: secrets.vault, key: "file:vault.key" }\n'
    one.config.write_text(one.text.replace("profiles: { agent: {} }\n", vault + config_of(*credentials)))
    return one.check()


def revealed(proxy, name):
    """The vault's entry, which is no evidence of a leak."""
    argv = [PROGRAMS / "creds/creds", "--config", proxy.config, "reveal", name]
    return subprocess.run(argv, capture_output=True, check=True, env=clean_environment(), cwd=proxy.folder, timeout=60).stdout.decode()


def admin(proxy, path):
    with Client(("127.0.0.1", proxy.admin_port), "admin client", proxy.network) as client:
        return client.ask(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{proxy.admin_port}\r\nConnection: close\r\n\r\n")


def waiting(proxy):
    """Why what waits does, by credential, as /readyz?all tells, whose status says the same as its list."""
    answer = admin(proxy, "/readyz?all")
    told = {one["credential"]: one["why"] for one in json.loads(answer.body)["waiting"]}
    assert answer.status == (503 if told else 200), answer
    return told


def not_ready(response):
    """Its words, where it is a 503 that has the client come again."""
    told = problem(response, 503)
    assert response.get("Retry-After").isdigit() and int(response.get("Retry-After")) >= 1, response
    return told["detail"]


class Minting:
    """`refresh`: with a refresh token. `key`: None for a public client. `api` is the server behind the credential, `upstream` its
    address where that is another. More goes to the credential, `head` and `env` to proxyd."""

    def __init__(self, keystile, serving, auth=None, refresh=False, key=True, scope=None, life=3600, grace=False, rotates=True, head=None,
                 start=True, env=None, server=None, api=None, upstream=None, token_url=None, network=None, tail="", **more):
        self.server = server or serving(TokenServer, life, grace, rotates)
        self.api = api or serving(Api, self.server.store.find)
        self.store = self.server.store
        method = "none" if not key else {"body": "client_secret_post"}.get(auth, "client_secret_basic")
        self.client = self.store.add(Known(evidence.secret("id") + ODD, evidence.secret("key") + ODD if key else None, method))
        self.secrets = {"id": self.client.client_id}
        if key:
            self.secrets["key"] = self.client.key
        if refresh:
            self.secrets["refresh"] = self.store.grant(self.client)
        said = {name: value for name, value in (("auth", auth), ("scope", scope)) if value}
        self.inject = oauth2(token_url or self.server.token_url, **said)
        self.entry = credential("api", upstream or self.api.url, self.inject, secrets_of(*self.secrets), **more)
        self.proxy = keystile(config_of(self.entry) + tail, self.secrets, head, start=False, network=network)
        self.env = env
        if start:
            self.start()

    def start(self):
        self.proxy.start(env=self.env)
        self.token = self.proxy.token()
        return self

    def ask(self, path="/x", *fields, method="GET", body=b"", token=None):
        """A request to the endpoint of `api`, on a connection of its own."""
        if body or method == "POST":
            fields = (*fields, f"Content-Length: {len(body)}")
        return self.proxy.ask(get("/api" + path, token or self.token, begun(), *fields, method=method).encode() + body, method)

    def at_once(self, count, between=lambda: None, path="/x"):
        """The responses to as many requests, each on a connection of its own, all sent before `between()` and the first response."""
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(self.proxy.client(f"client {number}")) for number in range(count)]
            for client in clients:
                client.send(get("/api" + path, self.token, begun()))
            between()
            return [client.response() for client in clients]

    def try_to_ask(self):
        """The status, or None where proxyd is not there."""
        with contextlib.suppress(OSError, Closed):
            return self.ask().status
        return None

    def works(self, patience=60):
        """Waits until requests are answered again."""
        return wait_for(lambda: self.ask().status == 200, "an answer with 200", patience)

    def asks_until(self, condition, what, patience=60):
        """Asks until `condition()` is true; every answer is 200."""
        def answered():
            response = self.ask()
            assert response.status == 200, response
            return condition()

        return wait_for(answered, what, patience)

    def wait_until_expired(self):
        """Asks until the token's end is told; every answer before that is 200."""
        def over():
            response = self.ask()
            assert response.status in (200, 503), response
            return response if response.status == 503 else None

        return wait_for(over, "the end of a token that cannot be renewed", 60)

    @property
    def chain(self):
        """Of the refresh token that was the first."""
        return self.store.refresh[self.secrets["refresh"]].chain

    def newest(self):
        """The refresh token that came last."""
        return self.chain.tokens[-1].refresh


def kill(minting):
    os.kill(minting.proxy.process.pid, signal.SIGKILL)
    minting.proxy.stop()
