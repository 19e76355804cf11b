"""checks.py DIRECTORY: what must hold of the reports in it; a line for each check."""

import http.server
import os
import sys
import threading
import traceback

from browser import Browser
from volumes import HOSTILE

directory = sys.argv[1]
port = int(open(f"{directory}/port", encoding="utf-8").read())
asked = []


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves the reports, and remembers what is asked for."""

    def __init__(self, *arguments):
        super().__init__(*arguments, directory=f"{directory}/reports")

    def do_GET(self):
        asked.append(self.path)
        super().do_GET()

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *_):
        pass


def page(name):
    asked.clear()
    browser.open(f"http://127.0.0.1:{port}/{name}.html")


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"found {found!r}, expected {expected!r}")


def texts(selector):
    return browser.value(f"[...document.querySelectorAll({selector!r})].map((found) => found.textContent)")


def shown():
    """The titles of the attempts that are seen."""
    return browser.value("[...document.querySelectorAll('.attempt')].filter((one) => one.checkVisibility())"
                         ".map((one) => one.querySelector('.title').textContent)")


def search(words):
    browser.value(f"""new Promise((done) => {{
        const input = document.getElementById('search'), output = document.getElementById('found');
        const look = () => output.value === 'waiting' ? setTimeout(look, 20) : done();
        output.value = 'waiting';
        input.value = {words!r};
        input.dispatchEvent(new Event('input', {{bubbles: true}}));
        look();
    }})""")


def the_newest_attempt_comes_first_and_is_open():
    page("vote")
    equal(texts(".attempt .title"), ["vote 4, run a4d01e7, attempt 1", "vote 3, run 77cc9e0, attempt 1",
                                     "vote 2, run 5bb1c2d, attempt 2", "vote 2, run 5bb1c2d, attempt 1",
                                     "vote 1, run 3f2a9c1, attempt 1"])
    equal(texts(".attempt .result"), ["succeeded", "succeeded", "command (3)", "command (3)", "succeeded"])
    equal(browser.value("[...document.querySelectorAll('.attempt')].map((one) => one.open)"), [True] + [False] * 4)
    equal(texts("header p")[0].split(";")[0], "4 runs, 5 attempts, 2 failed")


def each_step_has_a_bar_where_it_was_at_work():
    page("vote")
    bars = browser.value("""[...document.querySelectorAll('#a2 .steps tr')].map((row) => {
        const bar = row.querySelector('rect').getBoundingClientRect(), box = row.querySelector('svg').getBoundingClientRect();
        return [row.className, row.cells[1].firstChild.textContent, bar.left - box.left, bar.right - box.left, box.width];
    })""") if browser.value("document.getElementById('a2').open = true") else []
    equal([bar[1] for bar in bars[:2]], ["copy app to data", "wait for file:data/index.html"])
    equal([bar[0] for bar in bars], ["ok", "ok", "failed"])
    for before, after in zip(bars, bars[1:]):
        assert before[2] <= after[2] and after[3] <= after[4] + 1, bars
    assert abs(bars[-1][3] - bars[-1][4]) < bars[-1][4] / 50, f"the last one ends where the attempt ends: {bars}"


def a_bar_of_the_timeline_leads_to_its_attempt():
    page("vote")
    equal(browser.value("[...document.querySelectorAll('#timeline a')].map((one) => one.getAttribute('class'))"),
          ["ok", "failed", "failed", "ok", "ok"])
    browser.value("document.querySelector('#timeline a.failed').dispatchEvent(new MouseEvent('click', {bubbles: true}))")
    equal(browser.value("new Promise((done) => setTimeout(() => done(document.getElementById('a3').open), 100))"), True)


def changes_are_told_and_conflicts_come_first():
    page("vote")
    rows = browser.value("""[...document.querySelectorAll('#a3 .changes tr')].map(
        (row) => [row.className, row.cells[0].textContent, row.cells[1].firstChild.textContent])""")
    equal(rows, [["conflict", "*conflict  ", "options.txt"], ["", ">fcst......", "index.html"],
                 ["", "*deleting  ", "old.css"], ["", ">f+++++++++", "results.html"]])


def the_log_has_its_colours():
    page("vote")
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    color = "getComputedStyle([...document.querySelectorAll('pre span')].find((one) => one.textContent === {!r})).color"
    equal(browser.value(color.format("warm")), "rgb(255, 135, 0)")
    browser.scheme("light")
    equal(browser.value(color.format("error")), "rgb(179, 38, 30)")
    equal(browser.value(color.format("error").replace(".color", ".fontWeight")), "700")
    assert "\x1b" not in "".join(texts("pre"))


def search_shows_the_attempts_that_match_and_marks_each_place():
    page("vote")
    search('relation "votes" does')  # across three elements
    equal(shown(), ["vote 2, run 5bb1c2d, attempt 2", "vote 2, run 5bb1c2d, attempt 1"])
    equal(browser.value("CSS.highlights.get('found').size"), 2)
    equal(browser.value("[...CSS.highlights.get('found')].map(String)"), ['relation "votes" does'] * 2)
    equal(browser.value("document.getElementById('found').value"), "2 found in 2 of 5 attempts")
    browser.value("document.getElementById('search').dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter'}))")
    equal(browser.value("document.getElementById('found').value"), "1 of 2")
    place = browser.value("[...CSS.highlights.get('here')][0].getBoundingClientRect().top")
    assert 0 < place < browser.value("window.innerHeight"), place
    search("RELATION")
    equal(len(shown()), 2)
    search("(no such words")
    equal(shown(), [])
    search("")
    equal(len(shown()), 5)


def only_failures_are_shown_when_asked_for():
    page("vote")
    browser.value("document.getElementById('failed').click()")
    equal(shown(), ["vote 2, run 5bb1c2d, attempt 2", "vote 2, run 5bb1c2d, attempt 1"])


def nothing_of_a_log_is_executed_and_all_of_it_is_seen():
    page("hostile")
    browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    browser.value("new Promise((done) => setTimeout(done, 500))")
    equal(browser.value("typeof window.hacked"), "undefined")
    equal(browser.dialogues(), [])
    equal(browser.value("document.querySelectorAll('img, iframe, base, main script, main style, main a, meta[http-equiv=refresh]').length"), 0)
    equal(browser.value("document.querySelectorAll('script').length"), 1)
    log = texts("#a1 pre")[0]
    for line in HOSTILE.replace("{port}", str(port)).split("\n"):
        if "\x1b" not in line and "\u2028" not in line and line:
            assert line in log, f"{line!r} is not in {log!r}"
    for line in ["a link ", "\\u{2028}separator\\u{2029}window.hacked=10 \\u{202e}reversed", "nul\u2400byte \ufffd\ufffd not UTF-8", "last line"]:
        assert line in log, f"{line!r} is not in {log!r}"
    assert "onerror=hacked=12" in texts("#a1 .title")[0]


def no_request_leaves_the_page():
    for name in ["vote", "hostile"]:
        page(name)
        browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        browser.value("new Promise((done) => setTimeout(done, 500))")
        equal(browser.requests(), [f"http://127.0.0.1:{port}/{name}.html"])
        equal(asked, [f"/{name}.html"])


def the_policy_holds_even_if_escaping_did_not():
    text = open(f"{directory}/reports/hostile.html", encoding="utf-8").read()
    raw = HOSTILE.replace("{port}", str(port)).replace("http-equiv=\"refresh\"", "")
    with open(f"{directory}/reports/raw.html", "w", encoding="utf-8") as file:
        file.write(text.replace("last line", "last line" + raw))
    page("raw")
    browser.value("new Promise((done) => setTimeout(done, 500))")
    equal(browser.value("typeof window.hacked"), "undefined")
    equal(asked, ["/raw.html"])
    equal(browser.value("fetch('/raw.html').then(() => 'sent', () => 'refused')"), "refused")
    equal(browser.value("""(() => {
        try { document.body.innerHTML = '<b>x</b>'; return 'written'; } catch { return 'refused'; }
    })()"""), "refused")


def luminance(color):
    parts = [int(part) / 255 for part in color[color.index("(") + 1:-1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def everything_can_be_read_in_light_and_dark():
    for scheme, is_dark in [("light", False), ("dark", True)]:
        browser.scheme(scheme)
        page("vote")
        paper = browser.value("getComputedStyle(document.body).backgroundColor")
        assert (luminance(paper) < 0.2) == is_dark, f"{scheme}: {paper}"
        box = browser.value("getComputedStyle(document.querySelector('pre')).backgroundColor")
        for selector in ["h1", "header p", ".result", ".attempt.failed .result", ".cause", "dt", "dd", "summary time", "footer"]:
            color = browser.value(f"getComputedStyle(document.querySelector({selector!r})).color")
            assert contrast(color, paper) >= 4.5, f"{scheme}: {selector} {color} on {paper}"
        # WCAG 1.4.3: 4.5 for text; what a program prints in white or grey on a terminal's black is given 3.
        for number in range(16):
            color = browser.value(f"""(() => {{
                const made = document.createElement('span');
                made.className = 't{number}';
                document.querySelector('pre').append(made);
                return getComputedStyle(made).color;
            }})()""")
            assert contrast(color, box) >= (3 if number in (0, 7, 8, 15) else 4.5), f"{scheme}: colour {number}, {color} on {box}"
    browser.scheme("light")


def a_phone_shows_it_without_scrolling_sideways():
    browser.size(360, 740, mobile=True)
    for name in ["vote", "hostile"]:
        page(name)
        browser.value("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert browser.value("document.documentElement.scrollWidth") <= 360, name
        assert browser.value("parseFloat(getComputedStyle(document.querySelector('pre')).fontSize)") >= 12
    browser.size(1000, 800)


def paper_gets_all_of_it():
    page("vote")
    browser.scheme("light", media="print")
    browser.value("window.dispatchEvent(new Event('beforeprint'))")
    equal(browser.value("[...document.querySelectorAll('.attempt')].every((one) => one.open)"), True)
    equal(browser.value("document.getElementById('tools').checkVisibility()"), False)
    equal(browser.value("getComputedStyle(document.querySelector('pre')).maxHeight"), "none")
    browser.value("window.dispatchEvent(new Event('afterprint'))")
    equal(browser.value("[...document.querySelectorAll('.attempt')].filter((one) => one.open).length"), 1)
    browser.scheme("light")


def five_hundred_runs_are_at_most_ten_mebibytes_and_keep_every_failure():
    size = os.path.getsize(f"{directory}/reports/large.html")
    assert size <= 10 << 20, f"{size} bytes"
    page("large")
    equal(browser.value("document.querySelectorAll('.attempt').length"), 500)
    equal(browser.value("document.querySelectorAll('.attempt.failed').length"), 166)
    ends = browser.value("[...document.querySelectorAll('.attempt pre')].filter((one) => one.textContent.includes('row 003400:')).length")
    equal(ends, 500)
    search("run-1300")
    equal(shown(), ["vote 1, run run-1300, attempt 1"])


checks = [one for name, one in list(globals().items()) if callable(one) and name.count("_") >= 2 and one.__module__ == "__main__"]
server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
browser = Browser(f"{directory}/browser")
try:
    for check in checks:
        browser.size(1000, 800)
        browser.scheme("light")
        try:
            check()
            print(f"ok\t{check.__name__.replace('_', ' ')}", flush=True)
        except Exception:
            print(f"bad\t{check.__name__.replace('_', ' ')}", flush=True)
            print("    " + traceback.format_exc().replace("\t", " ").replace("\n", "\n    "), flush=True)
finally:
    browser.close()
