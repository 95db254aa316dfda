#!/bin/sh
# Prints the Python of a virtual environment with PyTorch and transformers: $TENTH_VENV, or .cache/venv, which is made
# where it is missing (gigabytes of download). The versions are those that made the golden fixtures.
set -eu
if [ -n "${TENTH_VENV:-}" ]; then
  echo "$TENTH_VENV/bin/python"
  exit 0
fi
venv=$PWD/.cache/venv
if [ ! -f "$venv/ready" ]; then
  python3 -c 'import ensurepip' 2> /dev/null || {
    root=""
    [ "$(id -u)" = 0 ] || root="sudo"
    { $root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq python3-venv; } > /dev/null
  }
  mkdir -p .cache
  python3 -m venv "$venv"
  echo "downloading PyTorch and transformers into .cache/venv" >&2
  "$venv/bin/pip" install -q torch==2.15.0 transformers==5.23.0 safetensors==0.8.0 tokenizers==0.23.3 numpy==2.4.6 \
    Jinja2==3.1.6 tensorboard==2.21.0 "lm_eval[api]==0.4.13" accelerate==1.15.0 >&2
  touch "$venv/ready"
fi
echo "$venv/bin/python"
