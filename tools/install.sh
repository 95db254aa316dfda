#!/bin/sh
# Installs the Debian packages that building needs, with "test" those of the tests too; does nothing where all are there.
set -eu
packages="g++ cmake ninja-build ccache mold pkg-config clang-format git python3
libfmt-dev nlohmann-json3-dev libtomlplusplus-dev libcli11-dev libboost1.81-dev libpcre2-dev libutf8proc-dev libedit-dev
libjs-marked node-dompurify libjs-katex
libssl-dev libcurl4-openssl-dev libxxhash-dev libzstd-dev
libgtest-dev libbenchmark-dev libvalijson-dev"
[ "${1:-}" = test ] && packages="$packages chromium"

missing=""
for package in $packages; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

root=""
[ "$(id -u)" = 0 ] || root="sudo"
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq
$root apt-get install -y -qq --no-install-recommends $missing > /dev/null
