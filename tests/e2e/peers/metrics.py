"""What proxyd tells on its admin listener: metrics as numbers, /status as data."""

import json
import re

from .wire import Client

SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def admin(proxy, path, *fields, host=None, method="GET"):
    """One request to the admin listener."""
    with Client(("127.0.0.1", proxy.admin_port), "admin client") as client:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{proxy.admin_port}'}", *fields, "Connection: close"]
        return client.ask("\r\n".join(lines) + "\r\n\r\n", method)


def admin_token(proxy):
    return proxy.envgen("admin").out.strip().split("=")[1]


def status(proxy):
    answer = admin(proxy, "/status", f"Authorization: Bearer {admin_token(proxy)}")
    assert answer.status == 200, answer
    return json.loads(answer.body)


class Metrics(dict):
    """By name and labels: metrics["keystile_requests_total", "api", "200"], labels in their order."""

    def __init__(self, text):
        self.labels = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = SAMPLE.fullmatch(line).groups()
            pairs = LABEL.findall(labels or "")
            self[(name, *(value for _, value in pairs))] = float(value)
            self.labels.setdefault(name, []).append(dict(pairs))

    def get(self, *key):
        return dict.get(self, key, 0)


def scrape(proxy):
    answer = admin(proxy, "/metrics")
    assert answer.status == 200 and answer.get("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    return Metrics(answer.text)


def moves(before, after):
    """What changed, of all that only counts and of gauges that tell of now."""
    return {key: after[key] - before.get(*key) for key in after if after[key] != before.get(*key) and not key[0].startswith("process_")}
