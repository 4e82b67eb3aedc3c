"""Changes under a running proxyd beside those of a file or two: many secrets, the vault, no watches; and what the page shows."""

import signal
import time

import pytest

from peers import evidence, names
from peers.browser import Tab
from peers.keystile import wait_for
from peers.living import WAYS, Pulse, answer_marks, clear, config_for, lay, mark, tells_the_same, told
from peers.replacing import by_rename


def test_many_at_once(keystile, origin, tmp_path):
    """Kubernetes swaps a folder with 200 secrets: one look, and all are new."""
    folder = WAYS["data"](tmp_path / "many").folder
    files = {f"key{number}": folder / f"key{number}" for number in range(200)}

    def swap():
        values = {name: evidence.secret(name) for name in files}
        fresh = folder / f"..{evidence.secret()}"
        fresh.mkdir()
        for name, path in files.items():
            (fresh / name).write_text(values[name])
            if not path.is_symlink():
                path.symlink_to(f"..data/{name}")
        (folder / "..data_tmp").symlink_to(fresh.name)
        (folder / "..data_tmp").rename(folder / "..data")
        return time.monotonic(), values

    swap()
    proxy = keystile(config_for(origin(answer_marks).port, files))
    pulse = Pulse(proxy, ["key0", "key99", "key199"])
    for looks in (1, 2):
        since, values = swap()
        for name in pulse.names:
            pulse.until(name, values[name], since)
        wait_for(lambda: proxy.log().count("files and secrets read again") >= looks, "the end of the look")
        assert proxy.log().count("files and secrets read again") == looks
    pulse.close()
    whole = Pulse(proxy, list(files))
    wait_for(lambda: whole.error or whole.came["key199"], "an answer for each")
    whole.close()
    assert all(whole.runs(name) == [mark(values[name])] for name in files)


def test_the_vault(keystile, origin):
    """What creds writes is used; what it takes out is not, and its file's end is no such wish."""
    values = [evidence.secret("vault") for _ in range(4)]
    text = config_for(origin(answer_marks).port, {"api": "x", "other": "y"})
    for name in ("api", "other"):
        text = text.replace(f"file:{'x' if name == 'api' else 'y'}", f"vault:{name}")
    proxy = keystile(text, {"other": evidence.secret("other")})
    pulse = Pulse(proxy, ["api", "other"])
    assert "creds set api" in pulse.beats("api")[2]

    def put(value):
        proxy.creds("set", "api", input=value)
        pulse.until("api", value, time.monotonic())

    put(values[0])
    put(values[1])
    proxy.creds("rm", "api")
    wait_for(lambda: "not in the vault" in told(proxy)[0].get("api", ""), "/readyz to tell that it waits")
    assert pulse.beats("api")[1] is None
    put(values[2])
    vault, kept = proxy.folder / "secrets.vault", (proxy.folder / "secrets.vault").read_bytes()
    for bad in (None, kept[:-1], bytes([kept[0] ^ 1]) + kept[1:]):
        if bad is None:
            clear(vault)
        else:
            by_rename(vault, bad)
        wait_for(lambda: set(told(proxy)[1]) == {"api", "other"}, f"/readyz to tell that {bad and bad[:8]} is none")
        waiting, stale = told(proxy)
        tells_the_same(proxy, pulse.names, waiting, stale)
        assert pulse.beats("api")[1] == mark(values[2])
        vault.write_bytes(kept)
        wait_for(lambda: told(proxy) == ({}, {}), "/readyz to tell that all is well")
    put(values[3])
    pulse.close()
    assert pulse.runs("api") == [None, mark(values[0]), mark(values[1]), None, mark(values[2]), mark(values[3])]
    assert len(pulse.runs("other")) == 1


@pytest.mark.parametrize("limit", ["watches", "instances"])
def test_no_watches(keystile, origin, tmp_path, limit):
    """Where the system has no more of them a warning says how late changes are seen; SIGHUP is as quick as ever."""
    if not names.can_enter():
        pytest.skip("namespaces cannot be made here")
    file, value = tmp_path / "secret", evidence.secret("late")
    file.write_text(evidence.secret("early"))
    none_left = ["unshare", "--user", "--map-root-user", "sh", "-c", f'echo 0 >/proc/sys/user/max_inotify_{limit} && exec "$@"', "sh"]
    proxy = keystile(config_for(origin(answer_marks).port, {"api": file}), launcher=none_left)
    warnings = [line for line in proxy.log().splitlines() if f"max_user_{limit}" in line]
    assert len(warnings) == 2 and all("warning" in line and "within 30 s" in line for line in warnings), proxy.log()
    pulse = Pulse(proxy, ["api"])
    first = pulse.beats("api")[1]
    file.write_text(value)
    since = time.monotonic()
    proxy.process.send_signal(signal.SIGHUP)
    pulse.until("api", value, since)
    proxy.process.send_signal(signal.SIGHUP)
    wait_for(lambda: proxy.log().count("SIGHUP: ") == 2, "a second reload")
    pulse.close()
    assert pulse.runs("api") == [first, mark(value)] and first != mark(value)
    assert proxy.log().count(f"max_user_{limit}") == 2, "it was said"


def test_the_page(keystile, origin, tmp_path, browser):
    """What waits, what goes on with what it had, and nothing once all is well, with no more than the page itself asking."""
    file = tmp_path / "secret"
    proxy = keystile(config_for(origin(answer_marks).port, {"late": file}))
    tab = Tab(browser)
    tab.before("const later = setTimeout; window.setTimeout = (what, time) => later(what, time / 10)")
    tab.open(proxy.envgen("admin").out.strip())
    row = "[...document.querySelectorAll('#credentials tbody tr')].find(row => row.innerText.includes('late'))?.innerText ?? ''"
    seen = [(None, "waits", "No such file"), (b"one", "ready", ""), (b"", "stale", "is empty"), (None, "stale", "No such file"),
            (b"two", "ready", "")]
    for what, state, why in seen:
        clear(file)
        lay(file, what)
        tab.until(f"({row}).includes('{state}') && document.querySelector('#attention').innerText.includes('{why}')")
        assert why or tab.text("#attention") == ""
    assert tab.complaints == []
    tab.close()
