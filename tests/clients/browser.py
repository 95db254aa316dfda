"""What the tests of the page share: a browser, the real server, and what no test may leave behind: a request that goes
elsewhere, an error in the browser's console, a breach of the page's policy."""

import os
import shutil
import sys
import unittest

from harness import Server, tiny_run

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sys.exit(77)

CHROMIUM = shutil.which("chromium")

SLOW_ANSWER = """
const real = window.fetch;
window.fetch = (path, options) => {
  if (!window.answer || !String(path).endsWith("/v1/chat/completions")) return real(path, options);
  window.asked = JSON.parse(options.body);
  const stop = new DOMException("stopped", "AbortError");
  let ended = false;
  const body = new ReadableStream({async start(controller) {
    options.signal.addEventListener("abort", () => { ended = true; controller.error(stop); });
    const text = (json) => "data: " + (json === "[DONE]" ? json : JSON.stringify(json)) + "\\n\\n";
    const send = (json) => ended || controller.enqueue(new TextEncoder().encode(text(json)));
    for (const part of window.answer) {
      if (typeof part === "number") await new Promise((go) => setTimeout(go, part));
      else send({choices: [{index: 0, delta: part, finish_reason: null}], usage: null});
    }
    send({choices: [{index: 0, delta: {}, finish_reason: "stop"}]});
    send({choices: [], usage: {prompt_tokens: 7, completion_tokens: 5, prompt_tokens_details: {cached_tokens: 3}}});
    send("[DONE]");
    if (!ended) controller.close();
  }});
  return Promise.resolve(new Response(body, {status: 200, headers: {"Content-Type": "text/event-stream"}}));
};
"""

WATCH_POLICY = """addEventListener("securitypolicyviolation", (e) =>
  console.error(`policy: ${e.violatedDirective} ${e.blockedURI} ${e.sample}`))"""

# What no text of a model may leave on the page.
FOREIGN = """(element) => [...element.querySelectorAll("*")].filter((e) =>
  /^(script|img|iframe|object|embed|style|link|form|video|audio|svg|base|meta)$/.test(e.localName) && !e.closest("button") ||
  e.id || e.getAttribute("style") || [...e.attributes].some((a) => /^on/i.test(a.name)) ||
  e.hasAttribute("href") && !/^(https?|mailto):/.test(e.getAttribute("href"))).map((e) => e.outerHTML)"""

HOSTILE = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "![picture](http://elsewhere.invalid/a.png) and ![b][r]\n\n[r]: http://elsewhere.invalid/b.png",
    "[click](javascript:window.pwned=1) [data](data:text/html,<script>window.pwned=1</script>) [x](vbscript:x)",
    "[file](file:///etc/passwd) <a href='javascript:window.pwned=1'>x</a><svg onload='window.pwned=1'></svg>",
    "<math><mtext><script>window.pwned=1</script></mtext></math>",
    "<style>body { display: none }</style><link rel=stylesheet href=http://elsewhere.invalid/x.css>",
    "<form action=http://elsewhere.invalid><input name=a><button>b</button></form>",
    "<iframe src=http://elsewhere.invalid></iframe>",
    "<div id=question style='position:fixed;inset:0'>overlay</div><p class=trouble>styled</p>",
    "$\\href{javascript:window.pwned=1}{x}$ $\\includegraphics{http://elsewhere.invalid/c.png}$",
    "$\\htmlStyle{position:fixed}{x}$ $\\url{http://elsewhere.invalid}$",
    "$\\def\\a{\\a\\a}\\a$ and $\\rule{99999em}{99999em}$ and $$\\color{red}{\\colorbox{blue}{x}}$$",
    "</div></article><h1>out</h1>",
    "`<script>`\n\n```html\n<script>window.pwned = 1</script>\n```",
    "<noscript><p title='</noscript><img src=x onerror=window.pwned=1>'>",
    "<svg></p><style><a id='</style><img src=1 onerror=window.pwned=1>'>",
    "<br onclick=window.pwned=1><sub onmouseover=window.pwned=1>x</sub>",
    ">" * 20000 + "deep",
    "[" * 6000,
    "$" * 6001,
    "\\[" * 6000,
    "*" * 6001,
    "- " * 3000 + "x",
    "$a$ " * 6000,
    "| a " * 5000 + "\n" + "|-" * 5000 + "\n" + ("| a " * 50 + "\n") * 500,
    "|" * 6000 + "\n" + "|-" * 3000,
    "\\(" * 6000,
    "<" * 6000,
    "`" * 6001,
]


class PageCase(unittest.TestCase):
    """A browser and a server of the tiny model for each class of tests."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(tiny_run()))
        cls.browsers = cls.enterClassContext(sync_playwright())
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        cls.browser = cls.browsers.chromium.launch(executable_path=CHROMIUM, args=arguments)
        cls.addClassCleanup(cls.browser.close)
        expect.set_options(timeout=30000)  # of a machine that does other things too

    def setUp(self):
        self.troubles = []
        self.expected_errors = 0  # of requests that the server refuses, which the browser logs

    def tearDown(self):
        refused = [t for t in self.troubles if "Failed to load resource" in t]
        self.assertEqual([t for t in self.troubles if t not in refused], [])
        self.assertLessEqual(len(refused), self.expected_errors, refused)

    def open(self, view="", url=None, before=lambda page: None, **context):
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self.addCleanup(context.close)
        context.set_default_timeout(30000)
        page = context.new_page()
        before(page)
        return self.watch(page, (url or self.server.url) + "/" + view)

    def watch(self, page, url):
        def requested(request):
            if not request.url.startswith((url.split("/#")[0].rstrip("/"), "blob:", "data:")):
                self.troubles.append(f"a request to {request.url}")

        page.on("request", requested)
        page.on("console", lambda m: self.troubles.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.troubles.append(f"{e}\n{e.stack}"))
        page.on("dialog", lambda d: (self.troubles.append(f"a dialog: {d.message}"), d.dismiss()))
        page.add_init_script(SLOW_ANSWER)
        page.add_init_script(WATCH_POLICY)
        page.goto(url)
        page.locator(".welcome h2:visible, .runs .panel:visible, .server .panel:visible").first.wait_for()
        return page

    def ask(self, page, text):
        page.get_by_label("Your question").fill(text)
        page.keyboard.press("Enter")

    def answers(self, page):
        return page.locator(".message.assistant")

    def finished(self, page, count=1):
        """Waits until so many answers are shown and the last is over."""
        last = self.answers(page).nth(count - 1)
        last.get_by_label("Another answer").wait_for()
        return last


def main():
    if not CHROMIUM:
        print("skipped: chromium is not installed (tools/install.sh)")
        sys.exit(77)
    unittest.main()
