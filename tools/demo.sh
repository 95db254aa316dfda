#!/bin/sh
# What `make demo` runs once the binary is built: the recipe (or nothing, if it has run), then the model.
set -eu
tenth=build/tenth
run=runs/demo

if [ -f $run/summary.json ]; then
  echo "$run is there already (make demo works once; remove the folder to train again)"
else
  resume=""
  [ -d $run/checkpoints ] && resume="--resume"
  $tenth train recipes/demo.toml --out $run $resume
fi

echo "  or:   $tenth serve $run/model      a page to talk to it, and OpenAI's API"
if [ -t 0 ]; then
  echo
  exec $tenth chat --model $run/model
fi
printf '3+5+4+6-1=?\n9+8-7+6-5+4=?\n' | $tenth chat --model $run/model
