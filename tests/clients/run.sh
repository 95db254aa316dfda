#!/bin/sh
# Runs one test file of this folder in the environment of the clients: tests/clients/run.sh page_test.py [test name].
# Exit code 77 (ctest: skipped) where the environment is not there and cannot be made, for want of a network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../../tools/client_venv.sh") || {
  echo "skipped: the clients' environment cannot be made here (see above)"
  exit 77
}
file=$1
shift
exec "$python" -B "$here/$file" "$@"
