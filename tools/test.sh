#!/bin/sh
# Installs what the tests need, builds everything, and runs every test. Debian 12 or later, or Ubuntu; as root, or with sudo. A quarter to half an hour on two cores.
set -eu
cd "$(dirname "$0")/.."
tools/packages.sh test
cmake --preset release -DPALI_BUILD_TESTS=ON
cmake --build --preset release
ctest --preset release
