"""The prefix cache on disk: kept over a restart, and over kill -9 whole or not used."""

import json
import random
import signal
import subprocess
import threading
import time
import unittest
import urllib.error
import urllib.request

from harness import BINARY, Server, temporary_folder, tiny_run


def ask(url, prompt):
    """What it says, with log-probabilities, and how many tokens of the prompt were cached; None where nothing answers."""
    body = {"prompt": prompt, "max_tokens": 12, "temperature": 0, "logprobs": 1, "ignore_eos": True}
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        reply = json.load(urllib.request.urlopen(request, timeout=60))
    except (OSError, urllib.error.URLError, json.JSONDecodeError):
        return None
    return reply["choices"][0]["logprobs"], reply["usage"].get("prompt_tokens_details", {}).get("cached_tokens", 0)


def metric(url, name):
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name + "{"))


class PrefixCache(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.random = random.Random(3)
        cls.prompts = [cls.prompt() for _ in range(4)]
        with Server(tiny_run()) as server:
            cls.want = [ask(server.url, prompt)[0] for prompt in cls.prompts]

    @classmethod
    def prompt(cls):
        return [cls.random.randrange(5, 15) for _ in range(200)]

    def check(self, server, cached=None):
        for prompt, want in zip(self.prompts, self.want):
            said, found = ask(server.url, prompt)
            self.assertEqual(said, want)
            if cached is not None:
                self.assertEqual(found, cached)

    def test_a_restart_finds_what_was_computed(self):
        folder = temporary_folder() / "cache"
        with Server(tiny_run(), "--prefix-cache", str(folder)) as server:
            self.check(server)
            self.assertEqual(metric(server.url, "tenth_prefix_disk_restored_blocks_total"), 0)
            model = str(tiny_run() / "model")
            second = subprocess.run([BINARY, "serve", "--port", "0", model, "--prefix-cache", str(folder)], capture_output=True, text=True)
            self.assertEqual(second.returncode, 1)
            self.assertIn(f"process {server.pid} is at work here", second.stderr)
        with Server(tiny_run(), "--prefix-cache", str(folder)) as server:
            self.assertEqual(metric(server.url, "tenth_prefix_disk_blocks"), 12)
            self.check(server, cached=192)
            self.assertEqual(metric(server.url, "tenth_prefix_disk_restored_blocks_total"), 12)

    def test_kill_9_leaves_nothing_wrong(self):
        folder = temporary_folder() / "cache"
        for _ in range(8):
            server = Server(tiny_run(), "--prefix-cache", str(folder), "--prefix-cache-size", "1M")
            self.check(server)
            clients = [threading.Thread(target=ask, args=(server.url, self.prompt())) for _ in range(40)]
            for client in clients:
                client.start()
            time.sleep(self.random.uniform(0, 0.3))
            server.process.send_signal(signal.SIGKILL)
            for client in clients:
                client.join()
            server.stop()
        with Server(tiny_run(), "--prefix-cache", str(folder)) as server:
            self.check(server)
        self.assertTrue(list(folder.glob("*.kv")))
        self.assertFalse(list(folder.glob("*partial*")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
