"""Clients that no server likes, against a running one: what they leave behind is read from /metrics.

usage: python3 tools/abuse_server.py http://127.0.0.1:8080 [--aborts 100000] [--idle 2000] [--overload SECONDS]

  --aborts N    requests whose client goes away: before the headers end, within the body, in the queue, in mid-stream
  --idle N      streams that are open at once while one token a second or less reaches each; resident memory before and with
  --overload S  ten times as many clients as places, for S seconds: refusals, their latency, time to first token of the others

Exit 1 where blocks, descriptors or threads are left at idle.
"""
import argparse
import asyncio
import json
import random
import re
import sys
import time
import urllib.request


def metrics(url):
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    return {m[1]: float(m[2]) for m in re.finditer(r"^([a-z_:]+)(?:\{model_name=[^}]*\})? (\S+)$", text, re.M)}


def state(url):
    m = metrics(url)
    return {"blocks": m["tenth_kv_cache_blocks_used"], "open": m["tenth_requests_open"], "running": m["tenth_num_requests_running"],
            "waiting": m["tenth_num_requests_waiting"], "descriptors": m["process_open_fds"], "threads": m["process_threads"],
            "resident MB": round(m["process_resident_memory_bytes"] / 1e6, 1)}


def at_idle(url, seconds=30):
    for _ in range(seconds * 10):
        now = state(url)
        if now["open"] == now["running"] == now["waiting"] == now["blocks"] == 0:
            break
        time.sleep(0.1)
    time.sleep(0.5)  # connections that are being closed
    return state(url)


def request_text(host, tokens, prompt=(5, 6, 7), more=""):
    body = json.dumps({"prompt": list(prompt), "max_tokens": tokens, "ignore_eos": True, "stream": True})
    return (f"POST /v1/completions HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"{more}Content-Length: {len(body)}\r\n\r\n{body}").encode()


async def abort_once(host, port, rng, tokens):
    reader, writer = await asyncio.open_connection(host, port)
    text = request_text(host, tokens)
    try:
        how = rng.random()
        if how < 0.1:
            writer.write(text[: rng.randrange(len(text))])
        else:
            writer.write(text)
            if how > 0.4:
                await reader.read(rng.randrange(1, 2000))
    finally:
        writer.transport.abort() if rng.random() < 0.5 else writer.close()


async def aborts(host, port, count, tokens):
    rng, left = random.Random(1), count

    async def worker():
        nonlocal left
        while left > 0:
            left -= 1
            try:
                await abort_once(host, port, rng, tokens)
            except OSError:
                pass

    await asyncio.gather(*(worker() for _ in range(64)))


async def idle_streams(host, port, count, url, tokens):
    before = state(url)
    streams = []
    for i in range(count):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(request_text(host, tokens))
        streams.append((reader, writer))
        if i % 100 == 99:
            await asyncio.sleep(0.05)
    heads = [(await asyncio.wait_for(r.readline(), 60)).decode() for r, _ in streams]
    during = await asyncio.to_thread(state, url)
    for _, writer in streams:
        writer.close()
    accepted = sum(" 200 " in head for head in heads)
    print(f"idle: {accepted} of {count} streams open; resident {before['resident MB']} -> {during['resident MB']} MB, "
          f"descriptors {during['descriptors']:.0f}, threads {during['threads']:.0f}")


async def overload(host, port, seconds, clients, tokens):
    end, first, refused = time.monotonic() + seconds, [], []

    async def client(number):
        rng = random.Random(number)
        while time.monotonic() < end:
            began = time.monotonic()
            try:
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(request_text(host, tokens, [rng.randrange(5, 50) for _ in range(8)],
                                          "Connection: close\r\n"))
                head = await reader.readline()
                if b" 200 " not in head:
                    refused.append(time.monotonic() - began)
                    writer.close()
                    await asyncio.sleep(0.05)
                    continue
                while b"data: " not in await reader.readline():
                    pass
                first.append(time.monotonic() - began)
                while await reader.read(65536):
                    pass
                writer.close()
            except OSError:
                pass

    await asyncio.gather(*(client(i) for i in range(clients)))
    mid = lambda values, share: sorted(values)[int(share * (len(values) - 1))] * 1e3 if values else float("nan")
    print(f"overload: {clients} clients, {seconds} s: {len(first)} answered, first token p50 {mid(first, .5):.0f} ms, p99 "
          f"{mid(first, .99):.0f} ms; {len(refused)} refused, p50 {mid(refused, .5):.1f} ms, p99 {mid(refused, .99):.1f} ms")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--aborts", type=int, default=0)
    parser.add_argument("--idle", type=int, default=0)
    parser.add_argument("--overload", type=float, default=0)
    parser.add_argument("--clients", type=int, default=80)
    parser.add_argument("--tokens", type=int, default=200, help="new tokens that each request asks for")
    options = parser.parse_args()
    url = options.url.rstrip("/")
    host, port = re.fullmatch(r"http://(.+):(\d+)", url).groups()
    urllib.request.urlopen(urllib.request.Request(  # all buffers of the first request are there now
        url + "/v1/completions", json.dumps({"prompt": [5], "max_tokens": 8}).encode(), {"Content-Type": "application/json"})).read()
    before = at_idle(url)
    print("before", before)
    if options.aborts:
        began = time.monotonic()
        asyncio.run(aborts(host, port, options.aborts, options.tokens))
        print(f"aborts: {options.aborts} in {time.monotonic() - began:.0f} s")
    if options.idle:
        asyncio.run(idle_streams(host, port, options.idle, url, options.tokens))
    if options.overload:
        asyncio.run(overload(host, port, options.overload, options.clients, options.tokens))
    after = at_idle(url)
    print("after ", after)
    left = [key for key in ("blocks", "open", "running", "waiting", "descriptors", "threads") if after[key] > before[key]]
    if left:
        sys.exit(f"left behind: {', '.join(left)}")


main()
