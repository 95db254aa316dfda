"""The page's chat in Debian's Chromium."""

import json
import re

from browser import HOSTILE, PageCase, expect, main
from harness import Server, tiny_run


class ChatTest(PageCase):
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
        page.evaluate("""window.answer = [{reasoning_content: 'hm'}, 300, {reasoning_content: ' yes'}, 100,
                                {content: 'one **two'}, {content: '** three'}, 60000]""")
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
        for label, value in {
            "Temperature": "0.5",
            "Top p": "0.9",
            "Top k": "40",
            "Min p": "0.05",
            "Most tokens": "33",
            "Seed": "7",
            "System prompt": "Be brief.",
        }.items():
            page.get_by_label(label, exact=True).fill(value)
        page.get_by_label("Thinking").select_option("disabled")
        page.get_by_label("Top p", exact=True).fill("7")  # not possible: what was there before holds
        self.ask(page, "Q")
        self.finished(page)
        asked = page.evaluate("window.asked")
        wanted = {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 40,
            "min_p": 0.05,
            "max_tokens": 33,
            "seed": 7,
            "thinking": {"type": "disabled"},
            "stream": True,
            "stream_options": {"include_usage": True},
            "model": self.server.model,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Q"}],
        }
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

    def test_a_model_that_is_still_loading(self):
        asked = []

        def loading(route):
            asked.append(route.request.url)
            if len(asked) > 2:
                return route.continue_()
            body = '{"error": {"message": "the model is being loaded", "type": "service_unavailable"}}'
            route.fulfill(status=503, headers={"Retry-After": "1"}, content_type="application/json", body=body)

        page = self.open(before=lambda page: page.route("**/v1/models", loading))
        self.expected_errors = 2
        expect(page.get_by_role("heading", name="The model is loading")).to_be_visible()
        expect(page.locator("#model")).to_have_text(self.server.model)
        expect(page.get_by_role("heading", name="The model is loading")).to_be_hidden()
        self.assertEqual(len(asked), 3)

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
        for bad in [
            "",
            "{",
            "[]",
            '{"conversations": [{"id": "a", "nodes": [{"parent": 5, "role": "user", "content": "x"}]}]}',
            '{"conversations": [{"id": "a", "nodes": [{"parent": -1, "role": "system", "content": {}}]}]}',
            "[" * 100000,
        ]:
            other.get_by_label("File of conversations").set_input_files(
                {"name": "x.json", "mimeType": "application/json", "buffer": bad.encode()}
            )
            expect(other.locator(".note")).to_contain_text("This file")
            expect(other.locator(".list li")).to_have_count(1)
        # One whose text is hostile.
        evil = {
            "id": "evil",
            "title": "<img src=x onerror=window.pwned=1>",
            "nodes": [
                {"parent": -1, "role": "user", "content": "<img src=x onerror=window.pwned=1>"},
                {
                    "parent": 0,
                    "role": "assistant",
                    "content": HOSTILE[1],
                    "error": HOSTILE[1],
                    "model": HOSTILE[1],
                    "tokens": [[HOSTILE[1], -1, [[HOSTILE[0], -2]]]],
                },
            ],
        }
        other.get_by_label("File of conversations").set_input_files(
            {
                "name": "x.json",
                "mimeType": "application/json",
                "buffer": json.dumps({"tenth": 1, "conversations": [evil]}).encode(),
            }
        )
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
        page.route(
            "**/v1/chat/completions",
            lambda route: route.fulfill(
                status=200,
                content_type="text/event-stream",
                body="".join(
                    "data: " + line + "\n\n"
                    for line in [
                        json.dumps(
                            {
                                "choices": [
                                    {
                                        "index": 0,
                                        "delta": {"content": text},
                                        "finish_reason": None,
                                        "logprobs": {
                                            "content": [
                                                {
                                                    "token": text,
                                                    "logprob": logprob,
                                                    "bytes": [],
                                                    "top_logprobs": [
                                                        {"token": text, "logprob": logprob, "bytes": []},
                                                        {"token": " <b>", "logprob": -2.3, "bytes": []},
                                                    ],
                                                }
                                            ]
                                        },
                                    }
                                ]
                            }
                        )
                        for text, logprob in [("The", -0.01), (" sky", -1.2), ("\n", -4)]
                    ]
                    + ["[DONE]"]
                ),
            ),
        )
        self.ask(page, "Sky?")
        answer = self.finished(page)
        self.assertEqual(
            page.evaluate("JSON.parse(localStorage['tenth.settings'])"), {"tokens": True, "temperature": 0}
        )
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


if __name__ == "__main__":
    main()
