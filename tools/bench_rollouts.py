"""Rollouts of tenth beside transformers' generate, one after the other on this machine: the same shape (dsv3a of
shared/peers/training), batch 64, 32 prompt tokens, 96 sampled tokens. A line of JSON a figure.

usage: bench_rollouts.py [--dtype f32 bf16] [--runs N] [--threads 2]     with the Python of an environment that has PyTorch
$TENTH: the binary (build/tenth). $TENTH_SHARED: the shared folder (../shared).

Both sides give the median of their runs, warmed up. Other work on the machine disturbs both; run it on an idle one.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

TENTH = os.environ.get("TENTH", "build/tenth")
SHARED = pathlib.Path(os.environ.get("TENTH_SHARED", pathlib.Path(__file__).resolve().parent.parent.parent / "shared"))
BATCH, NEW = 64, 96


def last_object(command, **environment):
    """Runs the command; the JSON object on its last line."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{command[0]}: exit code {done.returncode}: {done.stderr.strip()[-400:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer(dtype, runs, threads):
    script = SHARED / "peers" / "training" / "train_peer.py"
    # Of its ways to run the experts the fastest on both types (shared/peers/training/README.md).
    command = [sys.executable, script, "gen", "--model", "dsv3a", "--dtype", dtype, "--experts", "grouped_mm"]
    return last_object([*command, "--steps", runs, "--budget", 240], PEER_THREADS=str(threads))


def ours(dtype, runs, threads):
    return last_object([TENTH, "bench", "rollouts", "--threads", threads, "--dtype", dtype, "--batch", BATCH,
                        "--new-tokens", NEW, "--runs", runs, "--json"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not (SHARED / "peers").is_dir():
        sys.exit(f"{SHARED}/peers is not there: no peer to compare with (set TENTH_SHARED)")
    for dtype in options.dtype:
        a, b = ours(dtype, 2 * options.runs, options.threads), peer(dtype, options.runs, options.threads)
        print(json.dumps({"bench": "rollouts_ratio", "model": "dsv3a", "dtype": dtype, "threads": options.threads,
                          "tokens_per_s": a["tokens_per_s_median"], "transformers_tokens_per_s": b["tokens_per_s"],
                          "ratio": round(a["tokens_per_s_median"] / b["tokens_per_s"], 2)}), flush=True)


main()
