"""The rules of DESIGN.md that a script can hold: who may include whom, how long a file may be, how it is formatted.

usage: python3 tools/check_layout.py          (exit 1 and a line for each breach)
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LONGEST = 600

# room -> the rooms whose headers it may include, itself apart
SEES = {
    "base": "",
    "tensor": "base",
    "backend": "base tensor",
    "autograd": "base tensor backend",
    "ops": "base tensor backend autograd",
    "nn": "base tensor backend autograd ops",
    "optim": "base tensor backend autograd nn",
    "checkpoint": "base tensor backend autograd nn",
    "tokenizer": "base",
    "jinja": "base",
    "grammar": "base",
    "chat": "base jinja tokenizer",
    "hub": "base",
    "data": "base tokenizer",
    "problems": "base",
    "train": "base tensor backend autograd ops nn optim checkpoint tokenizer data",
    "engine": "base tensor backend ops nn checkpoint grammar",
    "serve": "base engine grammar tokenizer chat",
    "eval": "base tensor backend autograd ops nn engine tokenizer data problems train",
    "rl": "base tensor backend autograd ops nn optim checkpoint tokenizer data problems train engine eval",
    "run": "base tensor backend autograd ops nn optim checkpoint tokenizer data problems train engine eval rl",
    "cli": "base tensor backend autograd ops nn optim checkpoint tokenizer chat hub data problems train engine eval rl run serve",
}


def includes(path):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = re.match(r'\s*#include "([^"/]+)/', line)
        if match:
            yield number, match.group(1)


def main():
    breaches = []
    sources = [ROOT / name for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.h", "*.cpp", "web/*.js"], cwd=ROOT, capture_output=True, text=True,
        check=True).stdout.split()]
    sources = [path for path in sources if path.exists()]
    for path in sources:
        name = path.relative_to(ROOT)
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST:
            breaches.append(f"{name}: {lines} lines, expected at most {LONGEST}: is it one idea?")
        if name.parts[0] != "src":
            continue
        room = name.parts[1]
        if room not in SEES:
            breaches.append(f"{name}: room {room} is not in the table of tools/check_layout.py")
            continue
        for number, other in includes(path):
            if other != room and other not in SEES[room].split():
                breaches.append(f"{name}:{number}: {room} must not include {other}")
    if not sources:
        breaches.append("no sources found")
    formatted = subprocess.run(["clang-format", "--dry-run", "-Werror", *map(str, sources)], capture_output=True, text=True)
    breaches += sorted({line.split(":")[0].replace(f"{ROOT}/", "") + ": not formatted (make format)"
                        for line in formatted.stderr.splitlines() if "error:" in line})
    for breach in breaches:
        print(breach)
    print(f"{len(sources)} files, {len(breaches)} breaches")
    sys.exit(1 if breaches else 0)


main()
