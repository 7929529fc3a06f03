#!/bin/sh
# Installs the dependencies, builds the program and runs the embedded model on its sample image. Boxes and masks are drawn to build/found.
# For Debian 12 or later, or Ubuntu. Needs root or sudo. Takes five minutes on two cores.
set -eu
cd "$(dirname "$0")/.."
tools/packages.sh ask
cmake --preset release -DPALI_BUILD_TESTS=OFF
cmake --build --preset release --target pali_program
./build/release/pali caption
./build/release/pali segment --prompt "shape" --draw --out build/found
echo "drawing: build/found/cross_and_ring.drawn.png"
