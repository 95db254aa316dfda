"""The SDKs of OpenAI and Anthropic, and Prometheus' parser, against a served model."""

import concurrent.futures
import json
import pathlib
import unittest
import urllib.request

import anthropic
import openai
from harness import Server, tiny_run
from prometheus_client.parser import text_string_to_metric_families

QUESTION = [{"role": "user", "content": "3+5=?"}]


class Sdks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(tiny_run()))
        cls.openai = openai.OpenAI(base_url=cls.server.url + "/v1", api_key="none", max_retries=0)
        cls.anthropic = anthropic.Anthropic(base_url=cls.server.url, api_key="none", max_retries=0)
        cls.model = cls.server.model

    def chat(self, **more):
        fields = {"model": self.model, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
        return self.openai.chat.completions.create(**{**fields, **more})

    def test_models(self):
        self.assertEqual([m.id for m in self.openai.models.list()], [self.model])
        self.assertEqual(self.openai.models.retrieve(self.model).id, self.model)

    def test_chat_streams_what_it_says_whole(self):
        whole = self.chat().choices[0]
        content = reasoning = ""
        usage = finish = None
        for chunk in self.chat(stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                content += choice.delta.content or ""
                reasoning += getattr(choice.delta, "reasoning_content", None) or ""
                finish = choice.finish_reason or finish
        self.assertEqual(content, whole.message.content)
        self.assertEqual(reasoning, getattr(whole.message, "reasoning_content", ""))
        self.assertEqual(finish, whole.finish_reason)
        self.assertEqual(usage.prompt_tokens, 7)
        self.assertGreater(usage.completion_tokens, 0)

    def test_choices_logprobs_and_seeds(self):
        reply = self.chat(n=3, temperature=1, seed=5, logprobs=True, top_logprobs=3)
        again = self.chat(n=3, temperature=1, seed=5, logprobs=True, top_logprobs=3)
        self.assertEqual([c.index for c in reply.choices], [0, 1, 2])
        for a, b in zip(reply.choices, again.choices):
            self.assertEqual(a.message, b.message)
        for choice in reply.choices:
            for token in (choice.logprobs.content if choice.logprobs else []):
                self.assertEqual(len(token.top_logprobs), 3)
                self.assertLessEqual(token.logprob, token.top_logprobs[0].logprob)
                self.assertEqual(bytes(token.bytes).decode(), token.token)

    def test_completions(self):
        reply = self.openai.completions.create(model=self.model, prompt=["3+5", "4"], max_tokens=4, echo=True, logprobs=2, temperature=0,
                                                extra_body={"ignore_eos": True})
        self.assertTrue(reply.choices[0].text.startswith("3+5"))
        self.assertIsNone(reply.choices[1].logprobs.token_logprobs[0])
        self.assertEqual(len(reply.choices[1].logprobs.tokens), 5)
        streamed = self.openai.completions.create(model=self.model, prompt="3+5", max_tokens=4, temperature=0, stream=True, extra_body={"ignore_eos": True})
        self.assertEqual("3+5" + "".join(c.choices[0].text for c in streamed), reply.choices[0].text)

    def test_structured_output(self):
        # The tiny model has no letters: its JSON is of digits.
        for temperature in (0, 1):
            text = self.chat(temperature=temperature, max_tokens=12, extra_body={"grammar": 'root ::= [0-9] "+" [0-9] "=" [0-9]', "thinking_budget": 0})
            self.assertRegex(text.choices[0].message.content, r"^\d\+\d=\d$")
        with self.assertRaises(openai.BadRequestError) as refused:
            self.chat(response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "array", "contains": {}}}})
        self.assertIn("contains", str(refused.exception))

    def test_responses(self):
        whole = self.openai.responses.create(model=self.model, input="3+5=?", temperature=0, max_output_tokens=40)
        events, text = [], ""
        for event in self.openai.responses.create(model=self.model, input=QUESTION, temperature=0, max_output_tokens=40, stream=True):
            events.append(event.type)
            text += event.delta if event.type == "response.output_text.delta" else ""
            self.assertEqual(event.sequence_number, len(events) - 1)
        self.assertEqual(text, whole.output_text)
        self.assertEqual(events[0], "response.created")
        self.assertEqual(events[-1], "response." + whole.status)

    def test_messages(self):
        ask = {"model": self.model, "max_tokens": 40, "messages": QUESTION, "extra_body": {"temperature": 0}}
        whole = self.anthropic.messages.create(**ask)
        with self.anthropic.messages.stream(**ask) as stream:
            final = stream.get_final_message()
        self.assertEqual([b.model_dump() for b in final.content], [b.model_dump() for b in whole.content])
        self.assertEqual(final.stop_reason, whole.stop_reason)
        count = self.anthropic.messages.count_tokens(model=self.model, messages=QUESTION)
        self.assertEqual(count.input_tokens, whole.usage.input_tokens + (whole.usage.cache_read_input_tokens or 0))

    def test_errors(self):
        with self.assertRaises(openai.NotFoundError):
            self.chat(model="other")
        with self.assertRaises(openai.BadRequestError) as wrong:
            self.chat(temperature=9)
        self.assertEqual(wrong.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as long:
            self.chat(max_tokens=100000)
        self.assertEqual(long.exception.code, "context_length_exceeded")
        with self.assertRaises(anthropic.BadRequestError):
            self.anthropic.messages.create(model=self.model, max_tokens=5, messages=[])
        with Server(tiny_run(), env={"TENTH_API_KEY": "secret"}) as locked:
            client = openai.OpenAI(base_url=locked.url + "/v1", api_key="wrong", max_retries=0)
            with self.assertRaises(openai.AuthenticationError):
                client.models.list()
            self.assertEqual(len(client.with_options(api_key="secret").models.list().data), 1)

    def test_many_at_once_get_what_one_gets(self):
        def ask(seed):
            return self.chat(temperature=1, seed=seed).choices[0].message

        alone = [ask(seed) for seed in range(12)]
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            self.assertEqual(list(pool.map(ask, range(12))), alone)

    def test_metrics(self):
        self.chat()
        text = urllib.request.urlopen(self.server.url + "/metrics").read().decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds"):
            self.assertEqual(families["tenth_" + name].type, "histogram")
            self.assertIn("vllm:" + name, families)
        running = families["tenth_num_requests_running"].samples[0]
        self.assertEqual(running.labels["model_name"], self.model)
        self.assertGreater(families["tenth_generation_tokens"].samples[0].value, 0)
        dashboard = json.loads((pathlib.Path(__file__).resolve().parents[2] / "docs/grafana.json").read_text())
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                used = [w for w in target["expr"].replace("(", " ").replace("{", " ").split() if w.startswith(("tenth_", "process_", "http_"))]
                self.assertTrue(used, target)
                for name in used:
                    base = name.removesuffix("_bucket").removesuffix("_total")
                    self.assertIn(base, families, f"the dashboard asks for {name}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
