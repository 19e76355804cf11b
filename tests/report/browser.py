"""Chromium, driven over its DevTools pipe: JSON messages that end with a zero byte, on descriptors 3 and 4."""

import json
import os
import subprocess


class Browser:
    """One page of a browser of its own, in the directory `home`."""

    def __init__(self, home):
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        words = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
                 f"--user-data-dir={home}", "--remote-debugging-pipe", "about:blank"]
        # The browser reads from 3 and writes to 4.
        script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", script, "bash", *words], pass_fds=[theirs_in, theirs_out], stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env={**os.environ, "HOME": home})
        os.close(theirs_in)
        os.close(theirs_out)
        self.reader, self.writer = os.fdopen(ours_in, "rb"), os.fdopen(ours_out, "wb", buffering=0)
        self.number, self.held, self.events, self.session = 0, b"", [], None
        pages = [target for target in self.call("Target.getTargets")["targetInfos"] if target["type"] == "page"]
        target = pages[0]["targetId"] if pages else self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ["Page", "Runtime", "Network", "Log"]:
            self.call(f"{domain}.enable")

    def message(self):
        while b"\0" not in self.held:
            read = self.reader.read1(1 << 20)
            if not read:
                raise RuntimeError("the browser has ended")
            self.held += read
        text, self.held = self.held.split(b"\0", 1)
        return json.loads(text)

    def call(self, method, **parameters):
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            asked["sessionId"] = self.session
        self.writer.write(json.dumps(asked).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.note(message)

    def note(self, message):
        self.events.append(message)
        # A dialogue holds the page until somebody answers.
        if message.get("method") == "Page.javascriptDialogOpening":
            self.number += 1
            closed = {"id": self.number, "method": "Page.handleJavaScriptDialog", "params": {"accept": False}, "sessionId": self.session}
            self.writer.write(json.dumps(closed).encode() + b"\0")

    def open(self, url):
        """Loads `url`; what happened before is forgotten."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.note(self.message())

    def requests(self):
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def dialogues(self):
        return [event for event in self.events if event.get("method") == "Page.javascriptDialogOpening"]

    def value(self, script):
        """What `script` comes to; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def scheme(self, scheme, media=""):
        self.call("Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}])

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def close(self):
        try:
            self.session = None
            self.call("Browser.close")
        except (RuntimeError, BrokenPipeError):
            pass
        self.process.wait()
