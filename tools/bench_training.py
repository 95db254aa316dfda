"""Training steps of tenth beside PyTorch's, one after the other on this machine: forward, backward and AdamW of 2,048
tokens, in the shapes and with the programs of shared/peers/training. A line of JSON for each program and for each ratio;
the peer is the fastest program of its type.

usage: bench_training.py [SHAPE …] [--dtype f32 bf16] [--steps N] [--threads 2]    with a Python that has PyTorch
shapes: dsv3a dsv3b dense10m dense124m. $TENTH: the binary (build/tenth). $TENTH_SHARED: the shared folder (../shared).

Figures are medians of the steps. Other work on the machine disturbs both sides; run it on an idle one.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TENTH = os.environ.get("TENTH", "build/tenth")
PEERS = pathlib.Path(os.environ.get("TENTH_SHARED", ROOT.parent / "shared")) / "peers" / "training"

HAND, LIBRARY = "moe_peer.py", "train_peer.py"
PROGRAMS = {
    "f32": {"moe": [(HAND, "--impl gpad --dtype f32"), (LIBRARY, "--experts grouped_mm --dtype f32")],
            "dense": [(LIBRARY, "--impl nano --dtype f32 --compile"), (LIBRARY, "--impl hf --dtype f32 --compile")]},
    "bf16": {"moe": [(HAND, "--impl gpad --dtype bf16"), (HAND, "--impl gpad --dtype autocast"),
                     (HAND, "--impl bmm --dtype autocast"), (LIBRARY, "--experts grouped_mm --dtype bf16"),
                     (LIBRARY, "--experts grouped_mm --dtype autocast")],
             "dense": [(LIBRARY, "--impl nano --dtype bf16 --compile"), (LIBRARY, "--impl hf --dtype bf16 --compile")]},
}


def last_object(command, **environment):
    """Runs the command; the JSON object on its last line, or None where it failed (said on the terminal)."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode or not done.stdout.strip():
        print(f"{' '.join(map(str, command))}: exit code {done.returncode}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout.strip().splitlines()[-1])


def ours(shape, dtype, options):
    return last_object([TENTH, "bench", "step", "--shape", shape, "--dtype", dtype, "--steps", options.steps,
                        "--threads", options.threads, "--json"])


def peers(shape, dtype, options):
    kind = "dense" if shape.startswith("dense") else "moe"
    for program, arguments in PROGRAMS[dtype][kind]:
        figures = last_object([sys.executable, PEERS / program, "train", "--model", shape, *arguments.split(),
                               "--steps", options.steps, "--budget", 90], PEER_THREADS=str(options.threads))
        if figures:
            yield f"{program} {arguments}", figures["tokens_per_s"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("shapes", nargs="*", default=["dsv3a", "dsv3b", "dense10m", "dense124m"])
    parser.add_argument("--dtype", nargs="+", default=["f32", "bf16"], choices=["f32", "bf16"])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if not PEERS.is_dir():
        sys.exit(f"{PEERS} is not there: no peer to compare with (set TENTH_SHARED)")
    for shape in options.shapes:
        for dtype in options.dtype:
            own, best = ours(shape, dtype, options), ("none", 0)
            if own is None:
                sys.exit(1)
            for program, speed in peers(shape, dtype, options):
                print(json.dumps({"bench": "training_peer", "shape": shape, "program": program, "tokens_per_s": speed}),
                      flush=True)
                best = max(best, (program, speed), key=lambda pair: pair[1])
            speed = round(own["tokens"] / own["step_median_ms"] * 1e3, 1)
            print(json.dumps({"bench": "training_ratio", "shape": shape, "dtype": dtype, "threads": options.threads,
                              "tokens_per_s": speed, "share_of_peak": own["share_of_peak"], "peer": best[0],
                              "peer_tokens_per_s": best[1],
                              "ratio": round(speed / best[1], 2) if best[1] else None}), flush=True)


main()
