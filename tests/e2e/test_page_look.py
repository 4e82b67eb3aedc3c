"""The admin page: what agents wrote is text in it, and everybody can read it: on a phone, in the dark, by keyboard, by ear."""

import re

import pytest

from peers.keystile import wait_for
from peers.statuses import at, credential, live, refusal, status

HOSTILE = [
    "<img src=x onerror=\"window.hacked=1\">", "</script><script>window.hacked=1</script>", "javascript:window.hacked=1", "\"'><b onclick=hacked()>",
    "{{constructor.constructor('hacked')()}}", "/\u202egnp.exe", "a\u200bb\u00adc\ufeffd", "\u0000\u001b[2J\r\n\t", "\ud800", "e\u0301\u0301\u0301\u0301", "\u3164\u2800\u00a0", "",
    "\u05d0\u05d1/a", "x" * 2048, "\u202e" * 2048, "constructor", "__proto__", "toString",
]
MEMBERS = ("id", "profile", "client", "way", "credential", "method", "host", "path", "state", "verdict", "rule", "reason")


def everything(**more):
    """A status in which every part of the page has something."""
    return {**status(
        [credential("openai", requests=10), credential("anthropic", ready=False, why="there is no such file", profiles=["coder", "reader"]),
         credential("github", stale="its file is gone"), credential("n" * 63, upstream="https://" + "u" * 200 + ".example", expires=at(86400))],
        profiles=[{"name": "coder", "connections": 1, "credentials": ["openai"]}, {"name": "p" * 63, "connections": 0, "credentials": []}],
        parent={"proxy": "proxy.corp:3128", "ready": False, "why": "it has no password"}, warnings=["w" * 300, "memory is not locked"], draining=True,
        configuration={"file": "/" + "k" * 200, "loaded": at(-60), "reloads": 1, "failed": {"time": at(-5), "why": "k.yaml:7:3: unknown key"}},
        live=[live(number, path="/" + "x" * (2040 if number % 50 == 0 else 12), client="[2001:db8:1234:5678:9abc:def0:1234:5678]:65535") for number in range(200, 0, -1)], live_total=731,
        refusals=[refusal(number, path="/" + "%41" * (680 if number % 25 == 0 else 3), verdict=["deny", "fail"][number % 2], rule="deny * /" + "r" * 100) for number in range(100)],
    ), **more}


def full(tab):
    tab.until("document.querySelectorAll('#refusals tbody tr').length === 100")
    return tab


def test_what_agents_wrote_is_text(page):
    """In every member, in every order: no element, no script, no mark that shows nothing."""
    values = [{member: HOSTILE[(row + column) % len(HOSTILE)] for column, member in enumerate(MEMBERS)} for row in range(len(HOSTILE))]
    tab = page(faster=50, **status([credential(text or "empty", why=text, ready=False, upstream=text) for text in HOSTILE], live=[live(1, **value) for value in values],
                                   live_total=len(values), refusals=[refusal(1, **value) for value in values], warnings=HOSTILE, version=HOSTILE[0]))
    tab.until(f"document.querySelectorAll('#refusals tbody tr').length === {len(values)}")
    tab.until("waits.length > 6")
    assert tab.run("window.hacked") is None and tab.run("document.querySelectorAll('img, b, [onclick], [onerror]').length + document.scripts.length") == 1
    names = set(tab.run("[...document.querySelectorAll('main *')].map(one => one.localName)"))
    assert names <= {"a", "nav", "button", "caption", "details", "fieldset", "h2", "input", "label", "li", "noscript", "option", "p", "section", "select",
                     "span", "strong", "summary", "table", "tbody", "td", "th", "thead", "time", "tr", "ul"}, names
    assert HOSTILE[0] in tab.text("#refusals") and HOSTILE[1] in tab.text("#live")
    shown = tab.run("document.body.textContent")
    assert re.findall("[\u0000-\u0008\u001b\u00ad\u0300-\u036f\u200b-\u200f\u202a-\u202e\u2800\u3164\ufeff\ud800\u00a0]", shown) == []
    assert "/U+202Egnp.exe" in shown and "aU+200BbU+00ADcU+FEFFd" in shown and "U+001B[2J" in shown and "U+D800" in shown
    assert tab.run("getComputedStyle([...document.querySelectorAll('#live .said')].find(one => one.textContent.includes('\\u05d0'))).unicodeBidi") == "isolate-override"


def test_what_is_long_is_folded(page):
    tab = page(live=[live(1, path="/" + "x" * 2047)], live_total=1)
    tab.until("document.querySelector('#live details')")
    height = "document.querySelector('#live tbody tr').offsetHeight"
    assert "(2075 characters)" in tab.text("#live summary") and tab.run(height) < 200
    tab.run("document.querySelector('#live summary').click()")
    assert tab.run("document.querySelector('#live details > .said').checkVisibility()") and tab.run(height) < 500


# What somebody who got a mark into the page would try, and whether it went
TRIES = {
    "a script": "new Promise(done => { const s = document.createElement('script'); s.textContent = 'window.got = 1'; document.body.append(s); done(!!window.got) })",
    "a handler": "new Promise(done => { document.body.insertAdjacentHTML('beforeend', '<p id=t onclick=\"window.got = 1\">'); t.click(); done(!!window.got) })",
    "a style": "new Promise(done => { document.body.insertAdjacentHTML('beforeend', '<p id=t style=\"color: red\">'); done(getComputedStyle(t).color === 'rgb(255, 0, 0)') })",
    "an image": "new Promise(done => { const i = new Image(); i.onload = () => done(true); i.onerror = () => done(false); i.src = '/image' })",
    "a request elsewhere": "fetch('http://127.0.0.1:9/').then(() => true, () => false)",
    "a frame": "new Promise(done => { const f = document.createElement('iframe'); f.onload = () => done(f.contentDocument !== null); f.src = '/status'; document.body.append(f) })",
}


@pytest.mark.parametrize("name", TRIES)
def test_the_policy_holds(page, name):
    tab = page()
    tab.until("document.querySelector('#credentials tbody tr')")
    asked = len([path for path in tab.server.asked if path not in ("/", "/status")])
    assert tab.run(TRIES[name]) is False
    assert len([path for path in tab.server.asked if path not in ("/", "/status")]) == asked
    wait_for(lambda: any("Content Security Policy" in str(complaint) for complaint in tab.complaints), "the policy's word")
    tab.ignore()


@pytest.mark.parametrize("width", [320, 360, 600, 601, 768, 900, 901, 1024, 1151, 1280, 1920])
def test_nothing_is_wider_than_the_screen(page, width):
    """With the most that a status has, and the longest names."""
    tab = full(page(width=width, height=740, **everything()))
    assert tab.run("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    assert tab.text("#live caption") == "200 of 731 under way; the 200 oldest are known here"
    out = tab.run("""[...document.querySelectorAll('main *')].filter(one => one.checkVisibility() && !one.closest('thead, details > .said')).filter(one => {
        const cell = one.closest('td, th, li, h2, label') ?? document.body;
        return one.getBoundingClientRect().right > cell.getBoundingClientRect().right + 1 }).map(one => one.outerHTML.slice(0, 200))""")
    assert out == []
    assert tab.run("getComputedStyle(document.querySelector('#live tbody tr')).display") == ("block" if width <= 900 else "table-row")


CONTRAST = """(() => {
    const parse = text => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a] };
    const light = ([r, g, b]) => [r, g, b].map(x => x / 255).map(x => x <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
        .reduce((sum, x, at) => sum + x * [.2126, .7152, .0722][at], 0);
    const behind = one => { for (; one; one = one.parentElement) { const c = parse(getComputedStyle(one).backgroundColor); if (c[3] === 1) return c; if (c[3] > 0) throw one.outerHTML } };
    const found = [];
    for (const one of document.querySelectorAll('body *')) {
        const own = [...one.childNodes].some(node => node.nodeType === 3 && node.data.trim()) || one.localName === 'select' || one.localName === 'input';
        if (!own || !one.checkVisibility() || one.closest('script, style, noscript'))
            continue;
        const [a, b] = [light(parse(getComputedStyle(one).color)), light(behind(one))].sort((x, y) => y - x);
        found.push([(a + .05) / (b + .05), one.outerHTML.slice(0, 120)]);
    }
    return found.sort((x, y) => x[0] - y[0]);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(page, scheme):
    """Of all text, in every kind that there is: at least 4.5."""
    tab = full(page(**everything(refusals=[refusal(number, path="/\u202e") for number in range(100)])))
    tab.look(scheme, calm=True)
    tab.server.down()
    tab.run("document.querySelector('#again').click()")
    tab.until("document.title.startsWith('!')")
    found = tab.run(CONTRAST)
    assert len(found) > 500 and found[0][0] >= 4.5, found[:3]
    assert (tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(19, 22, 24)") == (scheme == "dark")


def test_by_keyboard(page):
    """Every control is reached, shows that it is, and does what it does."""
    tab = page(height=600, live=[live(1, path="/" + "x" * 2047)], live_total=1)
    tab.until("document.querySelector('#live details')")
    seen = []
    for _ in range(11):
        tab.press("Tab", windowsVirtualKeyCode=9)
        seen.append(tab.run("document.activeElement.id || document.activeElement.localName"))
        style = tab.run("(s => [s.outlineStyle, parseFloat(s.outlineWidth)])(getComputedStyle(document.activeElement))")
        assert style[0] == "solid" and style[1] >= 2, (seen, style)
        assert tab.run("(r => r.left >= 0 && r.top >= 0 && r.bottom <= innerHeight)(document.activeElement.getBoundingClientRect())"), seen
    assert seen == ["a", "pause", *["a"] * 4, "by-profile", "by-credential", "by-reason", "by-text", "summary"]
    tab.press("Enter", windowsVirtualKeyCode=13, text="\r")
    tab.until("document.querySelector('#live details').open")
    tab.run("document.querySelector('#pause').focus()")
    tab.press("Enter", windowsVirtualKeyCode=13, text="\r")
    tab.until("document.title.startsWith('Paused')")


@pytest.mark.parametrize("width", [360, 1280])
def test_by_ear(page, width):
    """Tables stay tables for those who hear them, also as cards; controls have names; what changes is told."""
    tab = page(width=width, refusals=[refusal(1)], live=[live(1)], live_total=1)
    tab.until("document.querySelector('#refusals tbody tr')")
    nodes = [node for node in tab.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
    roles = [node["role"]["value"] for node in nodes]
    names = {(node["role"]["value"], node.get("name", {}).get("value")) for node in nodes}
    assert roles.count("table") == 4 and roles.count("row") == 9 and roles.count("rowheader") == 5 and roles.count("columnheader") == 25, sorted(set(roles))
    tagged = "[...document.querySelectorAll('table, caption, thead, tbody, tr, th, td')].filter(one => !one.hasAttribute('role')).length"
    assert tab.run(tagged) == 0, "Chromium guesses the roles of what is displayed otherwise; not all browsers do"
    assert {("heading", "Keystile"), ("heading", "Credentials"), ("heading", "Live requests"), ("heading", "Refused and failed"), ("table", "Refused and failed"),
            ("combobox", "Profile"), ("combobox", "Credential"), ("combobox", "Reason"), ("searchbox", "Text"), ("button", "Pause")} <= names
    assert roles.count("status") >= 1 and roles.count("main") == 1 and roles.count("banner") == 1
    assert tab.run("document.documentElement.lang") == "en"


def test_nothing_moves_for_those_who_want_calm(page):
    tab = page(faster=20, live=[live(1)], live_total=1)
    tab.until("document.querySelector('#live tbody tr')")
    for calm, number, name in ((False, 2, "fresh"), (True, 3, "none")):
        tab.look("light", calm)
        tab.server.change(live=[live(1), live(number)], live_total=2)
        tab.until(f"document.querySelector('#live tbody').textContent.includes(':{40000 + number}')")
        assert tab.run("getComputedStyle(document.querySelector('#live tbody tr:last-child td')).animationName") == name
