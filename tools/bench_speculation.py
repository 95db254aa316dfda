"""Speculation in the server: tokens a second with and without, on text that repeats its prompt and on text that does not.

usage: python3 tools/bench_speculation.py WITHOUT_URL WITH_URL [--clients 1,8] [--tokens 96] [--rounds 3] [--temperature 0]

Two servers of one model, the first started with --lookup 0; they are asked in turn. Exit 1 where their answers differ.
"""
import argparse
import concurrent.futures
import json
import re
import statistics
import sys
import time
import urllib.request

NAMES = "\n".join(["Anna Schmidt, Berlin", "Bruno Costa, Porto", "Claire Dubois, Lyon", "David Novak, Prague", "Elena Rossi, Milan",
                   "Felix Weber, Vienna", "Grace Murphy, Dublin", "Hugo Larsen, Oslo"])
CODE = """def area_of_circle(radius):
    return 3.14159 * radius * radius

def area_of_square(side):
    return side * side

def area_of_rectangle(width, height):
    return width * height

def perimeter_of_rectangle(width, height):
    return 2 * (width + height)
"""
TEXTS = {
    "repeats": [f"Repeat this list exactly:\n{NAMES}", f"Print this code again, unchanged:\n```python\n{CODE}```",
                f"Add a comment line above each function and print the whole code:\n```python\n{CODE}```",
                f"Write this list again, in the same order, with a number before each line:\n{NAMES}"],
    "does not": ["Tell me a story about a fisherman and a storm.", "Explain how rain forms.",
                 "Write a letter to a friend about a journey through the mountains.", "Why do leaves change colour in autumn?"],
}


def ask(url, prompt, seed, args):
    body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": args.tokens, "temperature": args.temperature,
            "seed": seed}
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request))


def guesses(url):
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    return [int(re.search(rf"^tenth_spec_decode_num_{name}_tokens_total\S* (\d+)", text, re.M)[1]) for name in ("accepted", "draft")]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("urls", nargs=2)
    parser.add_argument("--clients", default="1,8")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0)
    args = parser.parse_args()
    for clients in map(int, args.clients.split(",")):
        for kind, prompts in TEXTS.items():
            jobs = [(prompt, seed) for seed in range(max(1, clients // 2)) for prompt in prompts]
            speeds, answers, counts = ([], []), [None, None], None
            for _ in range(args.rounds):
                for which, url in enumerate(args.urls):
                    before, begin = guesses(url), time.monotonic()
                    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
                        replies = list(pool.map(lambda job: ask(url, *job, args), jobs))
                    tokens = sum(reply["usage"]["completion_tokens"] for reply in replies)
                    speeds[which].append(tokens / (time.monotonic() - begin))
                    answers[which] = [reply["choices"][0]["message"]["content"] for reply in replies]
                    counts = [b - a for a, b in zip(before, guesses(url))] + [tokens]
            if answers[0] != answers[1]:
                sys.exit(f"{clients} clients, a text that {kind}: the answers differ")
            without, with_ = map(statistics.median, speeds)
            print(f"{clients} clients, a text that {kind}: {without:.0f} -> {with_:.0f} tokens/s ({with_ / without:.2f}; best "
                  f"{max(speeds[1]) / max(speeds[0]):.2f}), {counts[0]} of {counts[1]} guesses right in {counts[2]} tokens", flush=True)


if __name__ == "__main__":
    main()
