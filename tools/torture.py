"""Kills a training run again and again and looks at what it leaves: there must always be a whole state to go on from, no
more steps are lost than checkpoint.every, however long a state takes to be written, and the run that was killed ends in
the same bits as one that was left alone.

usage: python3 tools/torture.py [--kills 1000] [--seconds 0] [--strace] [--binary build/tenth] [--seed 1]

--seconds: stop after so long; 0: after so many kills.   --strace: in place of random times, kill at every write, fsync,
rename and renameat2 of each thread in turn (needs strace).   States are checked here with hashlib, apart from the binary.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

EVERY = 3
STAGES = ["train", "sft", "rl"]
RECIPE = pathlib.Path(__file__).resolve().parent.parent / "tests/tiny.toml"
STEPS = (60, 12, 6)  # of the stages
CHANGES = [f"checkpoint.every={EVERY}", "run.eval_problems=4", "rl.samples=4", "rl.eval_every=0",
           *(f"{stage}.steps={count}" for stage, count in zip(STAGES, STEPS))]


def whole(folder):
    """Whether the state matches its manifest; an implementation of its own."""
    try:
        text = (folder / "manifest.json").read_bytes()
        covered = text[:text.rindex(b'  "sha256"')]
        manifest = json.loads(text)
        if hashlib.sha256(covered).hexdigest() != manifest["sha256"]:
            return False
        return all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]
                   for name, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError):
        return False


def place(stage, step):
    return sum(STEPS[:STAGES.index(stage)]) + step


def states(run):
    """(place in the run, folder), newest first."""
    found = []
    for folder in (run / "checkpoints").glob("step-*"):
        parts = folder.name.split("-")
        if len(parts) == 3 and parts[2].isdigit():
            found.append((place(parts[1], int(parts[2])), folder))
    return sorted(found, reverse=True)


def steps_done(run):
    last = 0
    try:
        for line in (run / "metrics.jsonl").read_text().splitlines():
            record = json.loads(line)
            last = place(record["stage"], record["step"])
    except (OSError, ValueError, KeyError):
        pass
    return last


class Torture:
    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="tenth-torture-"))
        self.kills = self.runs = self.most_lost = self.half = 0
        self.problems = []

    def command(self, run):
        resume = ["--resume"] if (run / "metrics.jsonl").exists() else []
        changes = [word for change in CHANGES for word in ("--set", change)]
        return [self.options.binary, "train", str(RECIPE), *changes, "--out", str(run), *resume]

    def model(self, run):
        return hashlib.sha256((run / "model" / "model.safetensors").read_bytes()).hexdigest()

    def look(self, run):
        """After a kill."""
        done, found = steps_done(run), states(run)
        self.half += any(".partial-" in path.name for path in (run / "checkpoints").glob("*"))
        if (run / "summary.json").exists():
            return
        if found and not whole(found[0][1]):
            self.problems.append(f"{found[0][1]} is not whole")
        lost = done - (found[0][0] if found else 0)
        self.most_lost = max(self.most_lost, lost)
        if lost > EVERY:
            self.problems.append(f"{run}: {lost} steps lost")

    def killed(self, run, delay):
        """True where the run was killed, False where it ended by itself."""
        process = subprocess.Popen(self.command(run), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        error = process.stderr.read().decode(errors="replace")
        if process.returncode == -signal.SIGKILL:
            return True
        if process.returncode != 0 or "skipped:" in error:
            self.problems.append(f"{run}: exit {process.returncode}: {error[-300:]}")
        return False

    def random_kills(self, expected, seconds_whole):
        draw = random.Random(self.options.seed)
        end = time.time() + self.options.seconds if self.options.seconds else float("inf")
        while self.kills < self.options.kills and time.time() < end and not self.problems:
            run = self.folder / f"run{self.runs}"
            for _ in range(1000):
                # The start of the process is not what is to be tried: most kills fall into its steps.
                if not self.killed(run, 0.02 + draw.random() * min(max(1.0, seconds_whole / 4), seconds_whole)):
                    break
                self.kills += 1
                self.look(run)
                self.line()
                if self.problems or (run / "summary.json").exists():
                    break
            self.end_of(run, expected)

    def strace_kills(self, expected):
        for call in ("write", "fsync", "rename", "renameat2"):
            number = 1
            while not self.problems:
                run = self.folder / f"run{self.runs}"
                traced = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                          f"inject={call}:signal=SIGKILL:when={number}", *self.command(run), "--stop-at", "7"]
                subprocess.run(traced, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
                ended = states(run)[:1] and states(run)[0][0] == 7
                self.kills += not ended
                self.look(run)
                self.line(f"{call} {number}")
                self.end_of(run, expected)
                if ended:
                    break
                number += 1

    def end_of(self, run, expected):
        """Lets the run end, and compares."""
        if not (run / "summary.json").exists() and not self.problems:
            self.killed(run, None)
        if not self.problems and self.model(run) != expected:
            self.problems.append(f"{run}: another model than the run that was left alone")
        self.runs += 1
        if not self.problems:
            shutil.rmtree(run)

    def line(self, more=""):
        print(f"\r{self.kills} kills, {self.runs} runs ended, {self.half} in the middle of a state, at most "
              f"{self.most_lost} steps lost (of {EVERY} allowed) {more}   ", end="", flush=True)

    def main(self):
        began = time.time()
        left_alone = self.folder / "whole"
        if self.killed(left_alone, None) or self.problems:
            sys.exit(f"the run that is left alone failed: {self.problems}")
        expected = self.model(left_alone)
        if self.options.strace:
            self.strace_kills(expected)
        else:
            self.random_kills(expected, time.time() - began)
        self.line()
        print(f"in {time.time() - began:.0f} s")
        if self.problems:
            sys.exit("\n".join(self.problems) + f"\nleft in {self.folder}")
        shutil.rmtree(self.folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--strace", action="store_true")
    parser.add_argument("--binary", default="build/tenth")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    Torture(options).main()


main()
