"""A headless Chromium, driven by its DevTools protocol over a pair of pipes: no port, no driver, nothing that it may fetch."""

import base64
import itertools
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading

from .keystile import PATIENCE, clean_environment, wait_for

NAMES = ("chromium-headless-shell", "chromium", "chromium-shell")
PROGRAM = next((path for name in NAMES if (path := shutil.which(name))), None)
OPTIONS = (
    "--headless", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--disable-background-networking", "--disable-extensions", "--disable-sync", "--no-default-browser-check", "--mute-audio",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--no-proxy-server", "--js-flags=--expose-gc",
)


class Browser:
    """One process, for many tabs."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="keystile-browser-")
        commands, self.write = os.pipe()
        self.read, answers = os.pipe()
        # As root it has no sandbox to put itself into.
        options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={self.folder}"]
        # It reads from 3 and writes to 4. What comes there must not overwrite what has yet to: both go to free numbers first.
        line = 'exec {from}<&"$1" {to}>&"$2"; exec 3<&"$from" 4>&"$to"; shift 2; exec "$@"'
        self.process = subprocess.Popen(
            ["/bin/bash", "-c", line, "browser", str(commands), str(answers), PROGRAM, *options], pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**clean_environment(), "HOME": self.folder, "TZ": "Europe/Berlin"}, start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self.numbers = itertools.count(1)
        self.answers = {}  # by number: a queue of one
        self.tabs = {}     # by session
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        rest = b""
        while data := os.read(self.read, 1 << 20):
            *messages, rest = (rest + data).split(b"\0")
            for message in map(json.loads, messages):
                if "id" in message:
                    self.answers.pop(message["id"]).put(message)
                elif tab := self.tabs.get(message.get("sessionId")):
                    tab.happened(message["method"], message["params"])

    def call(self, method, session=None, **parameters):
        number, answer = next(self.numbers), queue.Queue(1)
        self.answers[number] = answer
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self.write, json.dumps(message).encode() + b"\0")
        came = answer.get(timeout=PATIENCE * 2)
        assert "error" not in came, f"{method} {parameters}: {came['error']}"
        return came["result"]

    def close(self):
        self.call("Browser.close")
        self.process.wait(PATIENCE)
        os.close(self.write)
        shutil.rmtree(self.folder, ignore_errors=True)


class Tab:
    """A tab with cookies of its own. `complaints` are what the page threw, what went to its console, what its policy refused."""

    def __init__(self, browser, width=1280, height=900, dark=False):
        self.browser = browser
        self.complaints = []
        self.context = browser.call("Target.createBrowserContext")["browserContextId"]
        target = browser.call("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        browser.tabs[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network", "Performance", "Accessibility", "DOM"):
            self.call(f"{domain}.enable")
        self.size(width, height)
        self.look("dark" if dark else "light")

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def happened(self, method, parameters):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(parameters["exceptionDetails"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append([argument.get("value", argument.get("description")) for argument in parameters["args"]])
        elif method == "Log.entryAdded" and parameters["entry"]["source"] != "network":  # a request that failed is no fault of the page
            self.complaints.append(parameters["entry"]["text"])

    def ignore(self):
        """What it complained of, and will, was meant."""
        self.browser.tabs.pop(self.session, None)
        self.complaints = []

    def size(self, width, height=900):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def look(self, scheme, calm=False):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        features += [{"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def before(self, script):
        """Runs in every page, before all else."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, script):
        """The value of an expression, a promise's too."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, f"{script}: {done['exceptionDetails']}"
        return done["result"].get("value")

    def until(self, script, patience=PATIENCE):
        try:
            wait_for(lambda: self.run(f"Boolean({script})"), script, patience)
        except AssertionError as error:
            raise AssertionError(f"{error}; there is: {self.text()[:2000]}") from None

    def text(self, selector="body"):
        """What a reader sees of the first element that fits; "" where that is hidden, or there is none."""
        return self.run(f"(one => one?.checkVisibility() ? one.innerText : '')(document.querySelector({json.dumps(selector)}))")

    def rows(self, table):
        """The cells of each row, with single blanks."""
        rows = self.run(f"[...document.querySelectorAll('#{table} tbody tr')].map(row => [...row.cells].map(cell => cell.innerText))")
        return [[" ".join(cell.split()) for cell in row] for row in rows]

    def press(self, key, **more):
        for kind in ("keyDown" if "text" in more else "rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **more)

    def picture(self, path):
        shot = self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        self.browser.tabs.pop(self.session, None)
        self.browser.call("Target.disposeBrowserContext", browserContextId=self.context)
