#!/bin/sh
# Installs what the program needs, builds it, and asks the embedded model about its sample image: boxes and masks are drawn into build/found.
# Debian 12 or later, or Ubuntu; as root, or with sudo. Five minutes on two cores.
set -eu
cd "$(dirname "$0")/.."
tools/packages.sh ask
cmake --preset release -DPALI_BUILD_TESTS=OFF
cmake --build --preset release --target pali_program
./build/release/pali caption
./build/release/pali segment --prompt "shape" --draw --out build/found
echo "drawn: build/found/cross_and_ring.drawn.png"
