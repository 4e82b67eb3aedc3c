"""The admin page: what it shows of a status, and how it goes on asking for one."""

import base64
import hashlib
import json
import pathlib
import re
import subprocess

import pytest

from peers import evidence
from peers.admin import AdminSocket
from peers.browser import Tab
from peers.config import get, one_api
from peers.keystile import wait_for
from peers.statuses import at, credential, live, refusal, status

TOP = pathlib.Path(__file__).resolve().parents[2]
WAITS = credential("anthropic", ready=False, why="/vault/secrets/anthropic: there is no such file")
NOT_SEEN = "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
LOOKED_AT = "document.dispatchEvent(new Event('visibilitychange'))"


def digest(text):
    return "sha256-" + base64.b64encode(hashlib.sha256(text).digest()).decode()


def test_what_comes_with_it(admin_page):
    """One file, under a policy that knows its style and its script, and nothing else."""
    body, fields = admin_page
    assert body == (TOP / "proxyd/page.html").read_bytes()
    (style,), (script,) = (re.findall(rf"<{tag}>(.*?)</{tag}>".encode(), body, re.DOTALL) for tag in ("style", "script"))
    assert fields["Content-Security-Policy"] == (
        f"default-src 'none'; style-src '{digest(style)}'; script-src '{digest(script)}'; connect-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
    assert fields["Content-Type"] == "text/html; charset=utf-8" and int(fields["Content-Length"]) == len(body)
    assert (fields["Cache-Control"], fields["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert (fields["Referrer-Policy"], fields["X-Frame-Options"]) == ("no-referrer", "DENY")


@pytest.mark.parametrize("page", ["", "<style>\n</style>\n", "<style>\n</style>\n<script>\n</script>\n<script>\n</script>\n",
                                  '<style>\n</style>\n<script src="x">\n</script>\n', "<style>\n</style>\n<script>\n"])
def test_a_page_without_a_policy_is_not_built(tmp_path, page):
    (tmp_path / "page.html").write_text(page)
    done = subprocess.run(["sh", TOP / "proxyd/page.sh", tmp_path / "page.html"], capture_output=True, text=True)
    assert done.returncode == 1 and "on a line of its own" in done.stderr and done.stdout == ""


def test_every_hint_is_for_a_reason_that_there_is():
    """Those that the audit may have stand in its table."""
    table = re.findall(r'\{"([a-z_0-9]+)", TALLY_', (TOP / "proxyd/tally_names.c").read_text().split("tally_reasons[", 1)[1])
    hints = re.search(r"const HINTS = \{(.*?)\n\};", (TOP / "proxyd/page.html").read_text(), re.DOTALL)[1]
    names = re.findall(r"^\t(\w+): ", hints, re.MULTILINE)
    assert len(names) > 30 and [name for name in names if name not in table] == []


def test_all_is_well(page):
    tab = page(**status([credential("openai", requests=18231, denied=3), credential("github")]))
    tab.until("document.title === 'Keystile'")
    assert tab.text("#state") == "serving" and tab.text("#verdict") == "All 2 credentials are ready"
    assert tab.rows("credentials")[0] == ["openai", "ready", "https://api.openai.example /openai/", "coder", "2 h ago", "", "18,231", "3", "0"]
    assert tab.rows("profiles") == [["coder", "9", "openai, github"]]
    assert "12 of 4,096" in tab.text("#facts") and "1 d 2 h" in tab.text("#facts")
    assert tab.text("#live + p") == "Nothing is under way." and tab.text("#attention") == ""
    assert tab.text("#banner") == ""


def test_nothing_is_ready(page):
    """What waits comes first, says why, and is counted in the title; the page tells when it is over."""
    tab = page(faster=20, **status([WAITS, credential("openai", ready=False, why="its token is being asked for")],
                                   parent={"proxy": "proxy.corp:3128", "ready": False, "why": "there is no entry corp", "stale": None}))
    tab.until("document.title === '(3) Keystile'")
    assert tab.text("#verdict") == "3 wait, and answer 503 until they are ready"
    assert "anthropic" in tab.text("#attention li") and "there is no such file" in tab.text("#attention li")
    assert "proxy.corp:3128" in tab.text("#attention")
    tab.server.status = status([{**WAITS, "ready": True, "why": None}])
    tab.until("document.title === 'Keystile'")
    assert tab.text("#verdict") == "The one credential is ready" and tab.text("#attention") == ""


# What a status has, and what the page says of it at the top
TOLD = {
    "stale": ({"credentials": [credential("github", stale="file:/vault/github has gone")]},
              "stale github It works with what it had: file:/vault/github has gone", "stale"),
    "expires": ({"credentials": [credential("github", expires=at(3 * 86400 + 60), changed=at(-80 * 86400))]}, "expires github in 3 d", "expires soon"),
    "expired": ({"credentials": [credential("github", expires=at(-60), changed=at(-60))]}, "expires github expired", "expired"),
    "a token that is renewed": ({"credentials": [credential("github", expires=at(1800), changed=at(-1800))]}, "", "ready"),
    "later": ({"credentials": [credential("github", expires=at(30 * 86400), changed=None)]}, "", "ready"),
    "draining": ({"draining": True}, "draining proxyd It takes no new connections, and ends once what is under way has ended.", "ready"),
    "not serving": ({"serving": False}, "not serving proxyd It takes no requests yet.", "ready"),
    "refused": ({"configuration": {"file": "k.yaml", "loaded": at(-60), "reloads": 1, "failed": {"time": at(-120), "why": "k.yaml:7:3: unknown key"}}},
                "refused configuration k.yaml:7:3: unknown key; the last good one stays. Tried 2 min ago", "ready"),
    "stale parent": ({"parent": {"proxy": "proxy.corp:3128", "ready": True, "why": None, "stale": "file:/auth has gone"}},
                     "stale parent proxy proxy.corp:3128 It works with what it had: file:/auth has gone", "ready"),
    "stale key": ({"stale_parts": [{"part": "session_key", "why": "session key: k holds 31 bytes"}]},
                  "stale session key The last good one stays in use: session key: k holds 31 bytes", "ready"),
    "stale CA": ({"stale_parts": [{"part": "ca", "why": "tls.ca_cert: ca.crt has gone"}]},
                 "stale CA of interception The last good one stays in use: tls.ca_cert: ca.crt has gone", "ready"),
    "warning": ({"warnings": ["memory is not locked"]}, "warning memory is not locked", "ready"),
}


@pytest.mark.parametrize("name", TOLD)
def test_what_needs_a_look(page, name):
    more, told, state = TOLD[name]
    tab = page(**{**status([credential("github")]), **more})
    tab.until("document.querySelector('#credentials tbody tr')")
    assert " ".join(tab.text("#attention").split()) == told
    assert tab.rows("credentials")[0][1].split("\n")[0].strip().startswith(state)
    assert tab.text("#state") == (name if name in ("draining", "not serving") else "serving")


def test_refusals_say_what_helps(page):
    tab = page(refusals=[
        refusal(1), refusal(2, path="/**"), refusal(3, reason="host_not_allowed", host="evil.example", method="CONNECT", path=None, port=8443),
        refusal(4, verdict="fail", reason="upstream_certificate", status=502), refusal(5, reason="first_byte_0x00", status=None),
        refusal(6, reason="constructor"), refusal(7, reason="rule", rule="deny * /v1/**"),
        refusal(8, verdict="fail", reason="dns", status=502), refusal(9, verdict="fail", reason="connect", status=502),
        refusal(10, reason="connect", method="CONNECT", path=None, status=501),
    ])
    tab.until("document.querySelectorAll('#refusals tbody tr').length === 10")
    told = [" ".join(row[5].split()) for row in tab.rows("refusals")]
    assert told[0] == "no_rule If it is meant, a rule: allow DELETE /v1/files/1"
    assert told[1] == "no_rule If it is meant, add a rule that allows it.", "what an agent sent must not become a pattern"
    assert told[2] == "host_not_allowed If it is meant, add evil.example:8443 to hosts: of the profile."
    assert "ca:" in told[3] and "name the port in hosts:" in told[4] and told[5] == "constructor"
    assert told[6].startswith("rule rule: deny * /v1/** ")
    assert "does not resolve" in told[7] and "listens there" in told[8] and "first request" in told[9]
    answers = [" ".join(row[4].split()) for row in tab.rows("refusals")]
    assert answers[0] == "denied 403" and answers[3] == "failed 502" and answers[4] == "denied"


def test_times_are_local_and_utc(page):
    """The browser is in Berlin."""
    tab = page(refusals=[refusal(1), refusal(9000)])
    tab.until("document.querySelector('#refusals time')")
    assert [row[0] for row in tab.rows("refusals")] == ["12:59:50", "Nov 26, 12:00:00"]
    assert tab.run("document.querySelector('#refusals time').title") == "2026-11-27T11:59:50Z"


def test_ages_go_on_between_answers(page):
    tab = page(live=[live(57)], live_total=1)
    tab.until("document.querySelector('#live time')")
    tab.server.gate.clear()
    tab.until("/^1 min/.test(document.querySelector('#live time').textContent)")


def test_no_answer(page):
    """It says so, asks more and more seldom, and goes on when proxyd is back."""
    tab = page(faster=100, **status([WAITS]))
    tab.until("document.title === '(1) Keystile'")
    tab.server.down()
    tab.until("document.title === '! (1) Keystile'")
    assert tab.text("#state") == "no answer" and "proxyd does not answer" in tab.text("#banner")
    assert "anthropic" in tab.text("#credentials"), "what was known stays"
    tab.until("waits.at(-1) === 30000 && waits.at(-2) === 30000")
    slower = [wait for wait in tab.run("waits") if wait != 10000]
    assert slower[:slower.index(30000) + 1][-5:] == [2000, 4000, 8000, 16000, 30000]
    tab.server.up()
    tab.until("document.title === '(1) Keystile'")
    assert tab.text("#state") == "serving" and tab.text("#banner") == ""
    tab.until("waits.at(-1) === 2000")


def test_no_answer_is_asked_again_at_once(page):
    tab = page()
    tab.until("document.querySelector('#credentials tbody tr')")
    tab.server.answer = None
    tab.run(LOOKED_AT)
    tab.until("document.title === '! Keystile'")
    assert re.search(r"What is shown is \d+ s old\. Asking again in \d+ s\.", tab.text("#banner"))
    tab.server.answer = ()
    assert "Asking." in tab.run("(document.querySelector('#again').click(), document.querySelector('#banner').innerText)")
    tab.until("document.title === 'Keystile'")


@pytest.mark.parametrize("answer,told", [
    ((401, "{}"), "Run envgen admin, and open the URL that it prints."), ((500, "oh"), "not proxyd's status"), ((200, "<html>"), "not proxyd's status"),
    ((200, "[]"), "not proxyd's status"), ((200, "null"), "not proxyd's status"),
])
def test_another_answer(page, answer, told):
    """From the start, where nothing was known, and with the cookie back."""
    tab = page(faster=100)
    tab.server.answer = answer
    tab.until("document.title === '! Keystile'")
    assert told in tab.text("#banner") and tab.text("#state") == ("session over" if answer[0] == 401 else "no answer")
    tab.server.answer = ()
    tab.until("document.title === 'Keystile'")
    assert tab.text("#banner") == ""


def test_it_rests_while_nobody_looks(page):
    tab = page(faster=100)
    tab.until("document.querySelector('#credentials tbody tr')")
    tab.run(f"{NOT_SEEN}; {LOOKED_AT}")
    wait_for(lambda: tab.server.running == 0, "the last answer")
    seen = tab.server.count()
    assert tab.run("new Promise(done => requestAnimationFrame(() => setInterval(() => done(true), 300)))") and tab.server.count() <= seen + 1
    seen = tab.server.count()
    tab.run(f"delete document.hidden; {LOOKED_AT}")
    wait_for(lambda: tab.server.count() > seen, "a look once somebody looks")


def test_pause(page):
    """Nothing is asked, and ages stand still, until it is resumed."""
    tab = page(faster=10, live=[live(10)], live_total=1)
    tab.until("document.querySelector('#live time')")
    tab.run("document.querySelector('#pause').click()")
    tab.until("document.title === 'Paused: Keystile'")
    tab.until("/as of [1-9] s ago/.test(document.querySelector('#heard').textContent)")
    wait_for(lambda: tab.server.running == 0, "the answer to a question that was on its way")
    seen, age = tab.server.count(), tab.text("#live time")
    tab.until("/as of ([3-9]|\\d\\d) s ago/.test(document.querySelector('#heard').textContent)")
    assert (tab.server.count(), tab.text("#live time"), tab.text("#state"), tab.text("#pause")) == (seen, age, "paused", "Resume")
    tab.run("document.querySelector('#pause').click()")
    wait_for(lambda: tab.server.count() > seen, "a look")
    tab.until("document.title === 'Keystile'")


def test_one_question_at_a_time(page):
    tab = page(faster=100)
    tab.until("document.querySelector('#credentials tbody tr')")
    tab.server.gate.clear()
    wait_for(lambda: tab.server.running == 1, "a question")
    for _ in range(10):
        tab.run(f"{LOOKED_AT}; document.querySelector('#pause').click(); document.querySelector('#pause').click(); document.querySelector('#again').click()")
    tab.server.gate.set()
    seen = tab.server.count()
    wait_for(lambda: tab.server.count() > seen + 3, "more questions")
    assert tab.server.most_running == 1


def test_rows_are_changed_and_not_made_anew(page):
    """What is focused, unfolded and scrolled to stays so, while rows come and go around it."""
    long = "/" + "x" * 2000
    refusals = [refusal(number, path=long if number == 30 else "/x") for number in range(1, 60)]
    tab = page(height=600, faster=20, refusals=refusals, live=[live(20), live(10)], live_total=2)
    tab.until("document.querySelectorAll('#refusals tbody tr').length === 59")
    tab.run("const fold = document.querySelector('#refusals details'); fold.open = true; fold.firstChild.focus(); fold.scrollIntoView({block: 'center'});"
            "document.querySelector('#live tbody tr:nth-child(2)').mine = true")
    place = "Math.round(document.querySelector('#refusals details').getBoundingClientRect().top)"
    before = tab.run(f"new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done({place}))))")
    tab.server.change(refusals=[refusal(0, path="/new"), refusal(-1, path="/new"), *refusals[:50]], live=[live(10, bytes_down=7), live(2), live(1)], live_total=3)
    tab.until("document.querySelectorAll('#live tbody tr').length === 3")
    assert tab.run("document.querySelector('#live tbody tr').mine") and tab.rows("live")[0][6] == "7 B"
    assert tab.run("document.querySelector('#refusals details').open && document.activeElement === document.querySelector('#refusals summary')")
    assert abs(tab.run(place) - before) <= 2


def test_filter(page):
    tab = page(**status(
        [credential("openai"), credential("github", profiles=["coder", "reader"])],
        profiles=[{"name": "coder", "connections": 1, "credentials": ["openai", "github"]}, {"name": "reader", "connections": 0, "credentials": ["github"]}],
        live=[live(2), live(1, profile="reader", credential="github")], live_total=2,
        refusals=[refusal(1), refusal(2, profile=None, credential=None, reason="no_token"), refusal(3, profile="reader", credential="github", path="/Repos")]))
    tab.until("document.querySelectorAll('#refusals tbody tr').length === 3")

    def shown(**wanted):
        for name in ("profile", "credential", "reason", "text"):
            tab.run(f"document.querySelector('#by-{name}').value = {json.dumps(wanted.get(name, ''))}")
        tab.run("document.querySelector('#filter').dispatchEvent(new Event('input', {bubbles: true}))")
        return [tab.run(f"document.querySelectorAll('#{table} tbody tr').length") for table in ("credentials", "profiles", "live", "refusals")]

    assert tab.run("[...document.querySelector('#by-profile').options].map(option => option.text)") == ["any", "none", "coder", "reader"]
    assert shown() == [2, 2, 2, 3] and not tab.run("document.querySelector('#clear').checkVisibility()")
    assert shown(profile="reader") == [1, 1, 1, 1]
    assert shown(profile="-") == [0, 0, 0, 1]
    assert tab.text("#live + p") == "None of the live requests is what you look for."
    assert shown(credential="openai") == [1, 1, 1, 1]
    assert shown(reason="no_token") == [2, 2, 2, 1]
    assert shown(text="rEPOS")[3] == 1 and "1 of 3 kept" in tab.text("#refusals caption")
    tab.server.change(refusals=[])
    tab.run(LOOKED_AT)
    tab.until("document.querySelector('#refusals').hidden")
    tab.run("document.querySelector('#clear').click()")
    assert [tab.run(f"document.querySelectorAll('#{table} tbody tr').length") for table in ("credentials", "live")] == [2, 2]


def test_memory_does_not_grow(page):
    """Hundreds of answers with other rows in each."""
    tab = page(faster=1e6)
    tab.look("light", calm=True)

    def after(looks):
        for step in range(10):
            tab.server.change(live=[live(number) for number in range(step * 15, step * 15 + 20)], live_total=20,
                              refusals=[refusal(number, path="/" + "x" * 500) for number in range(step * 10, step * 10 + 30)])
            seen = tab.server.count()
            wait_for(lambda: tab.server.count() >= seen + looks // 10, "looks")
        tab.run("document.querySelector('#pause').click()")
        wait_for(lambda: tab.server.running == 0, "the last answer")
        tab.call("HeapProfiler.collectGarbage")
        found = {metric["name"]: metric["value"] for metric in tab.call("Performance.getMetrics")["metrics"]}
        tab.run("document.querySelector('#pause').click(); waits.length = 0")
        return found["Nodes"], found["JSHeapUsedSize"], found["JSEventListeners"]

    after(20)
    first, last = after(20), after(150)
    # What the engine keeps for itself differs by some hundred KiB; 130 looks that were kept would be several MiB.
    assert last[0] <= first[0] * 1.2 and last[1] <= first[1] + (1 << 20) and last[2] == first[2], (first, last)


def test_of_proxyd_itself(browser, keystile, origin):
    """The page of a running proxyd, by the URL that envgen admin prints."""
    server = origin()
    proxy = keystile(one_api(f"http://127.0.0.1:{server.port}", rules='["allow GET /good/**"]'), {"api": evidence.secret("page")}, start=False)
    also = keystile(one_api(f"http://127.0.0.1:{server.port}"), head={"admin": "unix:admin.sock"})
    if AdminSocket(also).ask("/status").status == 404:
        pytest.skip("proxyd has no /status yet")
    proxy.start()
    tab = Tab(browser)
    tab.open(proxy.envgen("admin").out.strip())
    tab.until("document.title === 'Keystile' && document.querySelector('#credentials tbody tr')")
    proxy.ask(get("/api/good/1", proxy.token()))
    proxy.ask(get("/api/bad/<b>", proxy.token()))
    tab.until("document.querySelector('#refusals').textContent.includes('no_rule')")
    assert "/bad/" in tab.text("#refusals") and tab.run("document.querySelector('#refusals b')") is None
    assert proxy.stop() == 0
    tab.until("document.title === '! Keystile'")
    assert tab.complaints == [] and "token" not in tab.run("location.href")
    tab.close()
