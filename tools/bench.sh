#!/bin/sh
# What `make bench` runs: the machine's bounds, kernels, a training step, rollouts; the figures also to <build>/bench.csv
# (machine, date, bench, figure, value). Beside transformers' generate where there is an environment with PyTorch.
set -eu
build=$1
machine=$("$build/tenth" bench machine --json)
csv=$build/bench.csv
[ -f "$csv" ] || echo "machine,date,bench,figure,value" > "$csv"

record() {  # record NAME JSON: one row a number
  python3 - "$csv" "$machine" "$1" "$2" <<'PY'
import csv, datetime, json, sys
path, machine, bench, figures = sys.argv[1:]
with open(path, "a", newline="") as file:
    rows = csv.writer(file)
    for name, value in json.loads(figures).items():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            rows.writerow([json.loads(machine).get("machine", "?"), datetime.date.today(), bench, name, value])
PY
}

"$build/tenth" bench machine
record machine "$machine"
"$build/tenth" bench step
record step "$("$build/tenth" bench step --json)"
"$build/tenth" bench rollouts
record rollouts "$("$build/tenth" bench rollouts --json)"
for bench in "$build"/*_bench; do "$bench" --benchmark_min_time=0.1; done
if [ -n "${TENTH_VENV:-}" ] || [ -f .cache/venv/ready ]; then
  TENTH=$build/tenth "$(tools/venv.sh)" tools/bench_rollouts.py
else
  echo "transformers' generate was not run beside: no .cache/venv (make interop makes it) and no TENTH_VENV"
fi
