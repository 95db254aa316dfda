"""The rest of the page in Debian's Chromium: text of the model, keys, themes, a phone, the runs, the server's load."""

import json
import re
import shutil

from browser import FOREIGN, HOSTILE, PageCase, expect, main
from harness import tiny_run


class ViewsTest(PageCase):
    # ---- text of the model

    def show(self, page, text):
        """The element that shows the text as Markdown, after milliseconds."""
        return page.evaluate(
            """async (text) => {
          const { showMarkdown } = await import("/web/markdown.js");
          document.getElementById("probe")?.remove();
          const probe = Object.assign(document.createElement("div"), {id: "probe", className: "markdown"});
          document.body.append(probe);
          const began = performance.now();
          showMarkdown(probe, text);
          return performance.now() - began;
        }""",
            text,
        )

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
        self.show(
            page,
            "# Title\n\nPrices of $5 and $10; $x^2$ and \\(\\boxed{42}\\).\n\n"
            "$$\\sum_{k=1}^n k = \\frac{n(n+1)}{2}$$\n\n| a | b |\n|---|---:|\n| 1 | 2 |\n\n1. one\n   - [x] two\n\n"
            "```python\nx = 1\n```\n\n[site](https://example.com/)",
        )
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
            name = page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
              
                 if (e === document.body) return "";
                 const name = e.getAttribute("aria-label") || e.innerText || e.labels?.[0]?.innerText;
                 return (name || "nameless " + e.outerHTML) + (s.outlineStyle === "none" ? " without outline" : ""); }"""
            )
            if not name:
                break
            seen.add(name)
        self.assertFalse([name for name in seen if "nameless" in name or "without outline" in name], seen)
        self.assertLessEqual(
            {"Chat", "Runs", "Server", "New conversation", "Your question", "Send", "Settings (Alt S)"}, seen
        )

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
        page.evaluate(
            """window.answer = [{content: '| a | b |\\n|---|---|\\n| ' + 'x'.repeat(300) + ' | y |\\n\\n```\\n' +
              'z '.repeat(300) + '\\n```\\n$$' + 'a+'.repeat(200) + 'b$$\\n\\n' + 'w'.repeat(500)}]"""
        )
        self.ask(page, "Wide " + "q" * 300)
        self.finished(page)
        for view in ["chat", "runs", "server"]:
            page.goto(f"{self.server.url}/#{view}")
            page.wait_for_timeout(300)
            self.assertEqual(
                page.evaluate(
                    "[document.documentElement.scrollWidth, document.querySelector('.view:not([hidden])').scrollWidth]"
                ),
                [360, 360],
                view,
            )
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
        (live / "samples.jsonl").write_text(
            "".join(
                json.dumps(
                    {
                        "stage": "rl",
                        "step": step,
                        "prompt": "1+1=?",
                        "completion": f"<b>{step}</b>",
                        "expected": "2",
                        "right": step > 0,
                    }
                )
                + "\n"
                for step in (0, 2)
            )
        )
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
            file.write(
                '{"step":5,"stage":"rl","wall":9.5,"time":1,"reward":77.5}\n'
                '{"step":6,"stage":"rl","wall":9.6,"time":1,"rew'
            )
        expect(page.locator(".facts").first).to_contain_text("step 5")
        expect(reward.locator("svg")).to_have_attribute("aria-label", re.compile("to 77.5"))
        # Begun anew: what was there is forgotten.
        (live / "metrics.jsonl").write_text(
            '{"step":1,"stage":"train","wall":0.1,"time":5,"loss":3.25}\n'
            '{"step":2,"stage":"train","wall":0.2,"time":6,"loss":2.5}\n'
        )
        expect(page.locator(".facts").first).to_contain_text("Training, step 2")
        # Beside another one.
        page.get_by_label("Compare with").select_option("tiny")
        expect(page.locator(".run-name")).to_have_text(["live run ☂", "tiny"])
        loss = page.locator("[data-id=stage-train] figure").first
        expect(loss.locator("path.c1")).not_to_have_count(0)
        loss.locator(".plot").hover()
        expect(loss.locator(".cursor circle")).to_have_count(2)
        # What a real run leaves of its evaluations.
        options = page.locator(".section-head select").nth(1).locator("option")
        expect(options).to_have_text(["rl, step 4", "rl, step 2", "rl, step 0"])
        expect(page.locator(".columns > div").nth(1).locator(".samples li")).to_have_count(6)

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
            self.assertEqual(
                page.evaluate("async (q) => (await fetch(`/api/runs/tiny/metrics?${q}`)).status", query), 400, query
            )
        beyond = page.evaluate("""async () => {
              const r = await fetch("/api/runs/tiny/metrics?from=999999999");
              return [r.status, await r.text(), r.headers.get("X-Next-Offset")];
            }""")
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
        text = (
            'h_bucket{m="a\\"b",le="1"} 2\nh_bucket{le="2"} 6\nh_bucket{le="+Inf"} 8\nh_sum 3\nh_count 8\n'
            'c{x="1"} 2\nc{x="2"} 3\n# HELP c d'
        )
        values = page.evaluate(
            """async (text) => {
              const { Snapshot } = await import("/web/prometheus.js");
              const a = new Snapshot(text, 1), b = new Snapshot('c 9\\nh_bucket{le="+Inf"} 8', 3);
              return [a.value("c"), a.quantile("h", 0.5, null), a.quantile("h", 0.99, null), b.rate("c", a),
                      Number.isNaN(a.value("none"))];
            }""",
            text,
        )
        self.assertEqual(values, [5, 1.5, 2, 2, True])


if __name__ == "__main__":
    main()
