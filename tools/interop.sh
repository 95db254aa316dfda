#!/bin/sh
# The proof from outside, by software that nobody here wrote: golden/check.py on the shared fixtures, then the demo's
# model opened by transformers (interop.py). Exit code 1 on any difference.
#   TENTH_SHARED  the shared folder (../shared)      TENTH_VENV  an environment with PyTorch, to save the download
#   TENTH_LLAMA_VENV  an environment with xllamacpp (llama.cpp from PyPI), numpy and safetensors
set -eu
cd "$(dirname "$0")/.."
export TENTH="${TENTH:-$PWD/build/tenth}"
shared=${TENTH_SHARED:-../shared}
python=$(tools/venv.sh)
run=runs/demo
failed=""
mkdir -p .cache

# What tenth does not open.
not_yet="deepseek_v4"

if [ -d "$shared/golden" ]; then
  for model in $(ls "$shared/golden/models"); do
    case " $not_yet " in *" $model "*) echo "$model: not yet there" && continue ;; esac
    for backend in cpu reference; do
      for what in score grad greedy; do
        "$python" "$shared/golden/check.py" $what --only "$model" --backend $backend > .cache/check.txt ||
          { failed="$failed $what:$model:$backend" && cat .cache/check.txt; }
        sed "s/^/$what $backend: /; \$d" .cache/check.txt
      done
    done
  done
  "$python" "$shared/golden/check.py" tokenizer || failed="$failed tokenizer"
  llama=${TENTH_LLAMA_VENV:-.cache/venv-llama}
  if [ ! -x "$llama/bin/python" ]; then
    python3 -m venv "$llama"
    "$llama/bin/pip" install -q xllamacpp==2026.10.11549 numpy==2.4.6 safetensors==0.8.0
  fi
  "$llama/bin/python" tools/interop_llama.py "$shared" || failed="$failed llama.cpp"
  "$python" tools/interop_folders.py "$shared"/golden/gguf/*-F32.gguf || failed="$failed folders"
  "$python" tools/interop_attention.py || failed="$failed attention"
else
  echo "$shared/golden is not there: golden fixtures not checked (set TENTH_SHARED)"
fi

if [ ! -f $run/model/config.json ]; then
  run=.cache/quick
  if [ ! -f $run/model/config.json ]; then
    echo "runs/demo/model is not there (make demo): a few steps of its recipe instead, in $run"
    "$TENTH" train recipes/demo.toml --out $run --set train.steps=60 --set sft.steps=20 --set rl.steps=2 \
      --set run.eval_problems=50 > .cache/quick.log 2>&1 || { cat .cache/quick.log; exit 1; }
  fi
fi
"$python" tools/interop.py $run || failed="$failed interop"
"$python" tools/interop_harness.py "$TENTH" $run/model > .cache/harness.txt 2>&1 || { failed="$failed harness" && cat .cache/harness.txt; }
tail -1 .cache/harness.txt

[ -z "$failed" ] && echo "interop: all equal" && exit 0
echo "interop: differences in$failed"
exit 1
