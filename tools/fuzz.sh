#!/bin/sh
# Fuzzes each parser of what comes from outside for SECONDS_EACH seconds (60) with clang's libFuzzer, address and
# undefined-behaviour sanitizers. Inputs that were found stay in .cache/fuzz; one that breaks a target is named, and the
# exit code is 1.      tools/fuzz.sh [target …]: only these, for example recipe_fuzz
set -eu
cd "$(dirname "$0")/.."
seconds=${SECONDS_EACH:-60}
build=${FUZZ_BUILD:-build-fuzz}
jobs=${JOBS:-$(nproc)}

if ! command -v clang++ > /dev/null || [ -z "$(find /usr/lib -name 'libclang_rt.fuzzer-*' 2> /dev/null | head -n 1)" ]; then
  root=""
  [ "$(id -u)" = 0 ] || root="sudo"
  echo "installing: clang libclang-rt-dev"
  { $root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq clang libclang-rt-dev; } > /dev/null
fi
[ -f "$build/build.ninja" ] || cmake --preset release -B "$build" -DTENTH_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ > /dev/null

targets=$*
[ -n "$targets" ] || targets=$(cd tests/fuzz && ls *_fuzz.cpp | sed 's/\.cpp$//')
ninja -C "$build" -j "$jobs" $targets

python3 tools/fuzz_seeds.py .cache/fuzz/seeds
failed=""
for target in $targets; do
  found=.cache/fuzz/found/$target
  mkdir -p "$found" ".cache/fuzz/seeds/$target"
  echo "$target: $seconds s"
  # Ten seconds, 2 GiB in all or 256 MiB at once for one input is a hang or a bomb: inputs are at most 64 KiB.
  "$build/$target" -max_total_time="$seconds" -max_len=65536 -timeout=10 -rss_limit_mb=2048 -malloc_limit_mb=256 \
    -print_final_stats=1 -artifact_prefix=".cache/fuzz/$target-" "$found" ".cache/fuzz/seeds/$target" > ".cache/fuzz/$target.log" 2>&1 ||
    failed="$failed $target"
  grep -E 'number_of_executed_units|SUMMARY|Test unit written|unexpected error' ".cache/fuzz/$target.log" || true
done
[ -z "$failed" ] && echo "fuzz: nothing found" && exit 0
echo "fuzz: broken by an input:$failed (see .cache/fuzz/*.log)"
exit 1
