#!/bin/sh
# Installs the dependencies of the tests, builds everything and runs all tests. For Debian 12 or later, or Ubuntu. Needs root or sudo. Takes
# 15 to 30 minutes on two cores.
set -eu
cd "$(dirname "$0")/.."
tools/packages.sh test
cmake --preset release -DPALI_BUILD_TESTS=ON
cmake --build --preset release
ctest --preset release
