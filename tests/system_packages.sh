#!/bin/sh
# What the tests need beside Python: a Chromium for the browser tests. Installs it where it may, says so where not.
set -eu

if command -v chromium >/dev/null 2>&1 || [ -x /usr/bin/chromium ]; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "installing Debian's chromium for the browser tests"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null
    exit 0
fi
echo "Chromium is missing: the browser tests will fail. Install it, for example with 'sudo apt-get install chromium'." >&2
