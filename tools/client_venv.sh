#!/bin/sh
# Prints the Python of a virtual environment with the clients that the tests call the server with: $TENTH_CLIENT_VENV, or
# .cache/client-venv, which is made where it is missing (about 60 MB of download). Fails where it cannot be made.
set -eu
if [ -n "${TENTH_CLIENT_VENV:-}" ]; then
  echo "$TENTH_CLIENT_VENV/bin/python"
  exit 0
fi
cd "$(dirname "$0")/.."
venv=$PWD/.cache/client-venv
mkdir -p .cache
# Tests run side by side: one of them makes it.
exec 9> .cache/client-venv.lock
flock 9
if [ ! -f "$venv/ready" ]; then
  python3 -c 'import ensurepip' 2> /dev/null || {
    root=""
    [ "$(id -u)" = 0 ] || root="sudo"
    { $root apt-get update -qq && DEBIAN_FRONTEND=noninteractive $root apt-get install -y -qq python3-venv; } > /dev/null
  }
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --retries 1 openai==3.54.0 anthropic==2.12.0 prometheus-client==0.26.0 \
    playwright==1.65.2 >&2
  touch "$venv/ready"
fi
echo "$venv/bin/python"
