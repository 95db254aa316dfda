"""The page in Debian's Chromium, against the real server. Every test also fails on a request that leaves the server, on
an error in the browser's console, and on a breach of the page's policy."""
import json
import os
import re
import shutil
import sys
import unittest

from harness import Server, tiny_run

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:
    sys.exit(77)

CHROMIUM = shutil.which("chromium")

# Stands for the server's answer where a test needs a slow one, or one of its own words: window.answer = [chunks], each
# a number of milliseconds to wait, or the delta of a chunk. The rest of the page does not know.
SLOW_ANSWER = """
const real = window.fetch;
window.fetch = (path, options) => {
  if (!window.answer || !String(path).endsWith("/v1/chat/completions")) return real(path, options);
  window.asked = JSON.parse(options.body);
  const stop = new DOMException("stopped", "AbortError");
  let ended = false;
  const body = new ReadableStream({async start(controller) {
    options.signal.addEventListener("abort", () => { ended = true; controller.error(stop); });
    const send = (json) => ended || controller.enqueue(new TextEncoder().encode("data: " + (json === "[DONE]" ? json : JSON.stringify(json)) + "\\n\\n"));
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

# What no text of a model may leave on the page.
FOREIGN = """(element) => [...element.querySelectorAll("*")].filter((e) =>
  ["script", "img", "iframe", "object", "embed", "style", "link", "form", "video", "audio", "svg", "base", "meta"].includes(e.localName) &&
    !e.closest("button") ||
  e.id || e.getAttribute("style") || [...e.attributes].some((a) => /^on/i.test(a.name)) ||
  e.hasAttribute("href") && !/^(https?|mailto):/.test(e.getAttribute("href"))).map((e) => e.outerHTML)"""

HOSTILE = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "![picture](http://elsewhere.invalid/a.png) and ![b][r]\n\n[r]: http://elsewhere.invalid/b.png",
    "[click](javascript:window.pwned=1) [data](data:text/html,<script>window.pwned=1</script>) [x](vbscript:x) [file](file:///etc/passwd)",
    "<a href='javascript:window.pwned=1'>x</a><svg onload='window.pwned=1'></svg><math><mtext><script>window.pwned=1</script></mtext></math>",
    "<style>body { display: none }</style><link rel=stylesheet href=http://elsewhere.invalid/x.css>",
    "<form action=http://elsewhere.invalid><input name=a><button>b</button></form><iframe src=http://elsewhere.invalid></iframe>",
    "<div id=question style='position:fixed;inset:0'>overlay</div><p class=trouble>styled</p>",
    "$\\href{javascript:window.pwned=1}{x}$ $\\includegraphics{http://elsewhere.invalid/c.png}$ $\\htmlStyle{position:fixed}{x}$ $\\url{http://elsewhere.invalid}$",
    "$\\def\\a{\\a\\a}\\a$ and $\\rule{99999em}{99999em}$ and $$\\color{red}{\\colorbox{blue}{x}}$$",
    "</div></article><h1>out</h1>", "`<script>`\n\n```html\n<script>window.pwned = 1</script>\n```",
    "<noscript><p title='</noscript><img src=x onerror=window.pwned=1>'>", "<svg></p><style><a id='</style><img src=1 onerror=window.pwned=1>'>",
    "<br onclick=window.pwned=1><sub onmouseover=window.pwned=1>x</sub>",
    ">" * 20000 + "deep", "[" * 20000, "$" * 20001, "\\[" * 20000, "*" * 20001, "- " * 3000 + "x", "$a$ " * 20000, "| a " * 5000 + "\n" + "|-" * 5000 + "\n" + ("| a " * 50 + "\n") * 500, "|" * 20000 + "\n" + "|-" * 10000, "\\(" * 20000, "<" * 20000, "`" * 20001,
]


class PageTest(unittest.TestCase):
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

    def open(self, view="", url=None, **context):
        context = self.browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
        self.addCleanup(context.close)
        context.set_default_timeout(30000)
        page = context.new_page()
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
        page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample))")
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

    # ---- chat

    def test_a_question_is_answered_and_kept(self):
        page = self.open()
        expect(page.locator(".welcome h2")).to_have_text(f"Talk to {self.server.model}")
        page.keyboard.press("Alt+s")
        page.get_by_label("Temperature").fill("0")
        page.keyboard.press("Escape")
        self.ask(page, "3+4=?")
        answer = self.finished(page)
        expect(answer.locator(".figures")).to_contain_text(re.compile(r"\d+ tokens · prompt \d+"))
        text = answer.locator("> .markdown").inner_text()
        self.assertTrue(text)
        page.reload()
        expect(page.locator(".message.user .text")).to_have_text("3+4=?")
        expect(page.locator(".list li a")).to_have_text("3+4=?")
        expect(page.locator(".message.assistant > .markdown")).to_have_text(text)

    def test_an_answer_streams_stops_and_has_alternatives(self):
        page = self.open()
        page.evaluate("window.answer = [{reasoning_content: 'hm'}, 300, {reasoning_content: ' yes'}, 100, {content: 'one **two'}, {content: '** three'}, 60000]")
        self.ask(page, "Count")
        summary = page.locator(".message.assistant summary")
        expect(summary).to_have_text(re.compile("Thinking"))
        self.assertFalse(page.locator("details.thought").evaluate("e => e.open"))
        expect(summary).to_have_text(re.compile(r"Thought for 0\.[3-9] s|Thought for [1-9]"))
        expect(page.locator(".message.assistant strong")).to_have_text("two")
        page.get_by_label("Stop").click()
        answer = self.finished(page)
        expect(answer.locator(".figures")).to_contain_text("stopped")
        expect(answer.locator("> .markdown")).to_have_text("one two three")
        # Another answer stands beside it.
        page.evaluate("window.answer = [{content: 'second'}]")
        answer.get_by_label("Another answer").click()
        answer = self.finished(page)
        expect(answer.locator("> .markdown")).to_have_text("second")
        expect(answer.locator(".branches")).to_have_text("2/2")
        expect(answer.locator(".figures")).to_contain_text("5 tokens · prompt 7 (3 cached)")
        answer.get_by_label("Previous alternative").click()
        expect(self.answers(page).locator("> .markdown")).to_have_text("one two three")
        self.answers(page).get_by_label("Next alternative").click()
        # The question is edited: a branch from the beginning.
        page.evaluate("window.answer = [{content: 'third'}]")
        page.locator(".message.user").hover()
        page.get_by_label("Edit the question").click()
        page.get_by_label("The question", exact=True).fill("Count again")
        page.keyboard.press("Enter")
        expect(self.finished(page).locator("> .markdown")).to_have_text("third")
        expect(page.locator(".message.user .branches")).to_have_text("2/2")
        page.locator(".message.user").get_by_label("Previous alternative").click()
        expect(page.locator(".message.user .text")).to_have_text("Count")
        expect(self.answers(page).locator("> .markdown")).to_have_text("second")
        # What is sent is what is shown.
        self.ask(page, "Go on")
        self.finished(page, 2)
        roles = page.evaluate("window.asked.messages.map((m) => m.role + ':' + m.content)")
        self.assertEqual(roles, ["user:Count", "assistant:second", "user:Go on"])

    def test_the_settings_are_sent(self):
        page = self.open()
        page.evaluate("window.answer = [{content: 'x'}]")
        page.get_by_label("Settings (Alt S)").click()
        for label, value in {"Temperature": "0.5", "Top p": "0.9", "Top k": "40", "Min p": "0.05", "Most tokens": "33", "Seed": "7",
                             "System prompt": "Be brief."}.items():
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_label("Thinking").select_option("disabled")
        page.get_by_label("Top p", exact=True).fill("7")  # not possible: what was there before holds
        self.ask(page, "Q")
        self.finished(page)
        asked = page.evaluate("window.asked")
        wanted = {"temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "max_tokens": 33, "seed": 7, "thinking": {"type": "disabled"},
                  "stream": True, "stream_options": {"include_usage": True}, "model": self.server.model,
                  "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q"}]}
        self.assertEqual(asked, wanted)
        page.get_by_role("button", name="Back to the defaults").click()
        self.ask(page, "Q")
        self.finished(page, 2)
        self.assertNotIn("temperature", page.evaluate("window.asked"))

    def test_errors_are_shown_and_can_be_tried_again(self):
        page = self.open()
        self.expected_errors = 1
        page.keyboard.press("Alt+s")
        page.get_by_label("System prompt").fill("This model takes no system prompt.")
        self.ask(page, "1+1=?")
        expect(page.locator(".message .trouble")).to_contain_text("expected role user or assistant, got system")
        page.get_by_label("System prompt").fill("")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator(".message .trouble")).to_be_hidden()
        expect(self.finished(page).locator(".figures")).to_contain_text("tokens")
        expect(page.locator(".message.assistant .branches")).to_have_count(0)

    def test_a_server_that_goes_away(self):
        with Server(tiny_run()) as server:
            page = self.open(url=server.url)
        self.expected_errors = 5
        self.ask(page, "1+1=?")
        expect(page.locator(".message .trouble")).to_contain_text("The server does not answer")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()

    def test_a_key_is_asked_for_and_not_kept(self):
        with Server(tiny_run(), env={"TENTH_API_KEY": "open-sesame"}) as server:
            page = self.open(url=server.url)
            self.expected_errors = 2
            page.get_by_role("button", name="Enter the API key").click()
            expect(page.get_by_label("API key")).to_be_focused()
            page.keyboard.type("open-sesame")
            page.keyboard.press("Enter")
            expect(page.locator("#model")).to_have_text(server.model)
            self.ask(page, "1+2=?")
            self.finished(page)
            self.assertNotIn("sesame", page.evaluate("JSON.stringify(localStorage)"))
            page.context.close()

    def test_conversations_go_to_a_file_and_come_back(self):
        page = self.open()
        self.ask(page, "2+2=?")
        self.finished(page)
        with page.expect_download() as download:
            page.get_by_role("button", name="Export all").click()
        path = download.value.path()
        exported = json.loads(path.read_text())
        self.assertEqual(exported["tenth"], 1)
        self.assertEqual([n["role"] for n in exported["conversations"][0]["nodes"]], ["user", "assistant"])
        other = self.open()
        expect(other.locator(".list li")).to_have_count(0)
        other.get_by_label("File of conversations").set_input_files(path)
        other.locator(".list li a").click()
        expect(other.locator(".message.user .text")).to_have_text("2+2=?")
        # Files that are none, or not whole.
        for bad in ["", "{", "[]", '{"conversations": [{"id": "a", "nodes": [{"parent": 5, "role": "user", "content": "x"}]}]}',
                    '{"conversations": [{"id": "a", "nodes": [{"parent": -1, "role": "system", "content": {}}]}]}', "[" * 100000]:
            other.get_by_label("File of conversations").set_input_files({"name": "x.json", "mimeType": "application/json", "buffer": bad.encode()})
            expect(other.locator(".note")).to_contain_text("This file")
            expect(other.locator(".list li")).to_have_count(1)
        # One whose text is hostile.
        evil = {"id": "evil", "title": "<img src=x onerror=window.pwned=1>", "nodes": [
            {"parent": -1, "role": "user", "content": "<img src=x onerror=window.pwned=1>"},
            {"parent": 0, "role": "assistant", "content": HOSTILE[1], "error": HOSTILE[1], "model": HOSTILE[1], "tokens": [[HOSTILE[1], -1, [[HOSTILE[0], -2]]]]}]}
        other.get_by_label("File of conversations").set_input_files(
            {"name": "x.json", "mimeType": "application/json", "buffer": json.dumps({"tenth": 1, "conversations": [evil]}).encode()})
        other.locator(".list li a").first.click()
        expect(other.locator(".message.user .text")).to_have_text("<img src=x onerror=window.pwned=1>")
        self.assertIsNone(other.evaluate("window.pwned ?? null"))
        # Removed, and back.
        other.locator(".list li").first.hover()
        other.locator(".list li").first.get_by_label("Remove").click()
        expect(other.locator(".list li")).to_have_count(1)
        other.get_by_role("button", name="Undo").click()
        expect(other.locator(".list li")).to_have_count(2)

    def test_probabilities_of_tokens(self):
        page = self.open()
        page.keyboard.press("Alt+s")
        page.get_by_label("Ask for the probability of each token").check()
        page.get_by_label("Temperature").fill("0")
        page.route("**/v1/chat/completions", lambda route: route.fulfill(
            status=200, content_type="text/event-stream", body="".join("data: " + line + "\n\n" for line in [
                json.dumps({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, "logprobs": {"content": [
                    {"token": text, "logprob": logprob, "bytes": [], "top_logprobs": [
                        {"token": text, "logprob": logprob, "bytes": []}, {"token": " <b>", "logprob": -2.3, "bytes": []}]}]}}]})
                for text, logprob in [("The", -0.01), (" sky", -1.2), ("\n", -4)]] + ["[DONE]"])))
        self.ask(page, "Sky?")
        answer = self.finished(page)
        self.assertEqual(page.evaluate("JSON.parse(localStorage['tenth.settings'])"), {"tokens": True, "temperature": 0})
        answer.get_by_label("Probabilities of the tokens").click()
        tokens = answer.locator(".token")
        expect(tokens).to_have_count(3)
        tokens.nth(1).hover()
        expect(page.locator("#chances tr").nth(0)).to_contain_text("␣sky")
        expect(page.locator("#chances tr").nth(0)).to_contain_text("30.1 %")
        expect(page.locator("#chances tr").nth(1)).to_contain_text("␣<b>")
        tokens.first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        expect(page.locator("#chances tr").nth(0)).to_contain_text("⏎")
        answer.get_by_label("Probabilities of the tokens").click()
        expect(answer.locator("> .markdown")).to_have_text("The sky")

    # ---- text of the model

    def show(self, page, text):
        """The element that shows the text as Markdown, after milliseconds."""
        return page.evaluate("""async (text) => {
          const { showMarkdown } = await import("/web/markdown.js");
          document.getElementById("probe")?.remove();
          const probe = Object.assign(document.createElement("div"), {id: "probe", className: "markdown"});
          document.body.append(probe);
          const began = performance.now();
          showMarkdown(probe, text);
          return performance.now() - began;
        }""", text)

    def test_hostile_text_stays_text(self):
        page = self.open()
        for text in HOSTILE:
            with self.subTest(text=text[:80]):
                self.show(page, text)
                self.assertEqual(page.locator("#probe").evaluate(FOREIGN), [])
        page.wait_for_timeout(100)
        self.assertIsNone(page.evaluate("window.pwned ?? null"))

    def test_markdown_and_formulas(self):
        page = self.open()
        self.show(page, "# Title\n\nPrices of $5 and $10; $x^2$ and \\(\\boxed{42}\\).\n\n$$\\sum_{k=1}^n k = \\frac{n(n+1)}{2}$$\n\n"
                        "| a | b |\n|---|---:|\n| 1 | 2 |\n\n1. one\n   - [x] two\n\n```python\nx = 1\n```\n\n[site](https://example.com/)")
        probe = page.locator("#probe")
        expect(probe.locator("h1")).to_have_text("Title")
        expect(probe.locator("math")).to_have_count(3)
        expect(probe.locator("math[display=block]")).to_have_count(1)
        expect(probe.locator("menclose")).to_have_count(1)
        expect(probe).to_contain_text("$5 and $10")
        expect(probe.locator("td[align=right]")).to_have_text("2")
        expect(probe.locator("input[type=checkbox]")).to_be_disabled()
        expect(probe.locator("pre")).to_have_text("x = 1")
        expect(probe.locator("a")).to_have_attribute("rel", "noopener noreferrer nofollow")
        # While a text grows, blocks that are done stay the same elements.
        same = page.evaluate("""async () => {
          const { showMarkdown } = await import("/web/markdown.js");
          const probe = document.getElementById("probe");
          showMarkdown(probe, "first\\n\\nsecond");
          const first = probe.firstChild;
          showMarkdown(probe, "first\\n\\nsecond and more\\n\\nthird");
          return probe.firstChild === first && probe.innerText;
        }""")
        self.assertEqual(re.sub(r"\n+", "|", same), "first|second and more|third")

    # ---- the frame

    def test_keyboard_alone(self):
        page = self.open()
        page.keyboard.press("Alt+2")
        expect(page.locator("#view-runs")).to_be_visible()
        page.keyboard.press("Alt+3")
        expect(page.locator("#view-server h1")).to_have_text("Server")
        page.keyboard.press("Alt+1")
        expect(page.get_by_label("Your question")).to_be_focused()
        page.keyboard.type("5+1=?")
        page.keyboard.press("Enter")
        self.finished(page)
        page.keyboard.press("Alt+r")
        expect(page.locator(".message.assistant .branches")).to_have_text("2/2")
        self.finished(page)
        page.get_by_label("Your question").focus()
        page.keyboard.press("ArrowUp")
        expect(page.get_by_label("The question", exact=True)).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.get_by_label("Edit the question")).to_be_focused()
        page.keyboard.press("Alt+k")
        expect(page.get_by_role("dialog")).to_contain_text("send the question")
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)
        page.keyboard.press("Alt+n")
        expect(page.locator(".welcome")).to_be_visible()
        # Everything that can be pressed is reached by Tab, has a name, and shows the focus.
        page.evaluate("document.getElementById('skip').focus()")
        seen = set()
        for _ in range(40):
            page.keyboard.press("Tab")
            name = page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e);
              return e === document.body ? "" : (e.getAttribute("aria-label") || e.innerText || e.labels?.[0]?.innerText || "nameless " + e.outerHTML) + (s.outlineStyle === "none" ? " without outline" : ""); }""")
            if not name:
                break
            seen.add(name)
        self.assertFalse([name for name in seen if "nameless" in name or "without outline" in name], seen)
        self.assertLessEqual({"Chat", "Runs", "Server", "New conversation", "Your question", "Send", "Settings (Alt S)"}, seen)

    def test_light_dark_and_a_choice(self):
        ground = "getComputedStyle(document.body).backgroundColor"
        dark = self.open(color_scheme="dark").evaluate(ground)
        page = self.open(color_scheme="light")
        light = page.evaluate(ground)
        self.assertNotEqual(light, dark)
        for _ in range(2):
            page.get_by_label("Theme").click()
        self.assertEqual(page.evaluate(ground), dark)
        page.reload()
        self.assertEqual(page.evaluate(ground), dark)

    def test_a_phone(self):
        page = self.open(viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
        page.evaluate("window.answer = [{content: '| a | b |\\n|---|---|\\n| ' + 'x'.repeat(300) + ' | y |\\n\\n```\\n' + 'z '.repeat(300) + '\\n```\\n$$' + 'a+'.repeat(200) + 'b$$\\n\\n' + 'w'.repeat(500)}]")
        self.ask(page, "Wide " + "q" * 300)
        self.finished(page)
        for view in ["chat", "runs", "server"]:
            page.goto(f"{self.server.url}/#{view}")
            page.wait_for_timeout(300)
            self.assertEqual(page.evaluate("[document.documentElement.scrollWidth, document.querySelector('.view:not([hidden])').scrollWidth]"), [360, 360], view)
        page.goto(f"{self.server.url}/#chat")
        page.get_by_label("Conversations (Alt L)").tap()
        page.locator(".list li a").first.tap()
        expect(page.locator(".chat .list")).to_be_hidden()

    # ---- runs, server

    def test_runs_grow_before_the_eyes(self):
        runs = tiny_run().parent
        live = runs / "live run ☂"
        shutil.copytree(tiny_run(), live, ignore=shutil.ignore_patterns("model*", "events*"))
        self.addCleanup(shutil.rmtree, live)
        (live / "report.md").write_text("# Report\n\n" + "\n\n".join(HOSTILE[:9]))
        (live / "samples.jsonl").write_text("".join(json.dumps({"stage": "rl", "step": step, "prompt": "1+1=?", "completion": f"<b>{step}</b>", "expected": "2", "right": step > 0}) + "\n" for step in (0, 2)))
        page = self.open("#runs/" + "live%20run%20%E2%98%82")
        reward = page.locator("figure", has_text="Reward")
        expect(reward.locator(".value")).to_be_visible()
        expect(page.locator("figure", has_text="Load of the experts").first).to_be_visible()
        self.assertEqual(page.locator(".heat").first.locator("rect").count(), 2 * 4)
        expect(page.locator(".samples pre")).to_have_text("<b>2</b>")
        page.locator(".section-head select").select_option("rl, step 0")
        expect(page.locator(".samples .wrong")).to_have_text("wrong")
        page.locator(".report-fold summary").click()
        expect(page.locator(".report h1").first).to_have_text("Report")
        self.assertEqual(page.locator(".report").evaluate(FOREIGN), [])
        with open(live / "metrics.jsonl", "a") as file:
            file.write('{"step":5,"stage":"rl","wall":9.5,"time":1,"reward":77.5}\n{"step":6,"stage":"rl","wall":9.6,"time":1,"rew')
        expect(page.locator(".facts").first).to_contain_text("step 5")
        expect(reward.locator("svg")).to_have_attribute("aria-label", re.compile("to 77.5"))
        # Begun anew: what was there is forgotten.
        (live / "metrics.jsonl").write_text('{"step":1,"stage":"train","wall":0.1,"time":5,"loss":3.25}\n{"step":2,"stage":"train","wall":0.2,"time":6,"loss":2.5}\n')
        expect(page.locator(".facts").first).to_contain_text("Training, step 2")
        # Beside another one.
        page.get_by_label("Compare with").select_option("tiny")
        expect(page.locator(".run-name")).to_have_text(["live run ☂", "tiny"])
        loss = page.locator("[data-id=stage-train] figure").first
        expect(loss.locator("path.c1")).not_to_have_count(0)
        loss.locator(".plot").hover()
        expect(loss.locator(".cursor circle")).to_have_count(2)

    def test_no_path_leads_out_of_the_runs(self):
        page = self.open()
        self.expected_errors = 20
        secret = tiny_run().parent / "linked"
        secret.mkdir()
        self.addCleanup(shutil.rmtree, secret)
        (secret / "metrics.jsonl").write_text('{"step":1,"stage":"train","wall":0.1,"time":5}\n')
        (secret / "report.md").symlink_to("/etc/passwd")
        for path in ["..", ".", "%2e%2e", "..%2ftiny", "tiny%2f..", "nothing", "", "tiny%00", "/etc", "%2fetc"]:
            for file in ["metrics", "report"]:
                status = page.evaluate("async (p) => (await fetch(p)).status", f"/api/runs/{path}/{file}")
                self.assertEqual(status, 404, path)
        for path in ["linked/report", "tiny/recipe.toml", "tiny/model/config.json", "tiny/", "tiny"]:
            self.expected_errors += 1
            self.assertEqual(page.evaluate("async (p) => (await fetch(p)).status", f"/api/runs/{path}"), 404, path)
        for query in ["from=-1", "from=", "from=1x", "from=99999999999999999999999", "x=1"]:
            self.expected_errors += 1
            self.assertEqual(page.evaluate("async (q) => (await fetch(`/api/runs/tiny/metrics?${q}`)).status", query), 400, query)
        beyond = page.evaluate("async () => { const r = await fetch('/api/runs/tiny/metrics?from=999999999'); return [r.status, await r.text(), r.headers.get('X-Next-Offset')]; }")
        self.assertEqual(beyond, [200, "", str((tiny_run() / "metrics.jsonl").stat().st_size)])

    def test_the_server_view_counts(self):
        page = self.open("#server")
        answers = page.locator("dl div", has_text="Answers so far").locator("dd")
        before = int(answers.inner_text())
        page.evaluate("""fetch('/v1/chat/completions', {method: 'POST', headers: {'Content-Type': 'application/json'},
          body: JSON.stringify({messages: [{role: 'user', content: '1+1=?'}], max_tokens: 4})})""")
        expect(answers).to_have_text(str(before + 1))
        expect(page.locator(".facts").last).to_have_text("It answers.")
        expect(page.locator("figure", has_text="Tokens/s").locator("path").first).to_be_attached()

    def test_quantiles_of_histograms(self):
        page = self.open()
        text = 'h_bucket{m="a\\"b",le="1"} 2\\nh_bucket{le="2"} 6\\nh_bucket{le="+Inf"} 8\\nh_sum 3\\nh_count 8\\nc{x="1"} 2\\nc{x="2"} 3\\n# HELP c d'
        values = page.evaluate(f"""async () => {{
          const {{ Snapshot }} = await import("/web/prometheus.js");
          const a = new Snapshot('{text}'.replaceAll('m="a"b",', ''), 1), b = new Snapshot("c 9\\nh_bucket{{le=\\"+Inf\\"}} 8", 3);
          return [a.value("c"), a.quantile("h", 0.5, null), a.quantile("h", 0.99, null), b.rate("c", a), Number.isNaN(a.value("none"))];
        }}""")
        self.assertEqual(values, [5, 1.5, 2, 2, True])


if __name__ == "__main__":
    if not CHROMIUM:
        print("skipped: chromium is not installed (tools/install.sh)")
        sys.exit(77)
    unittest.main()
