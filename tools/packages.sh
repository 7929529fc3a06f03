#!/bin/sh
# Installs the Debian or Ubuntu packages to build the program (ask) or to build and test everything (test). Needs root or sudo, unless all
# are installed already.
# usage: packages.sh ask|test...
set -eu

ask="g++ cmake ninja-build pkg-config ccache
     libxtensor-dev libxsimd-dev nlohmann-json3-dev libsentencepiece-dev libstb-dev zlib1g-dev libcli11-dev
     libjpeg-dev libpng-dev libwebp-dev libheif-dev libtiff-dev libedit-dev"
test="python3 libboost-test-dev clang-19 meson doxygen dpkg-dev file parallel openmpi-bin"

packages=""
for part in "$@"; do
    case $part in
    ask) packages="$packages $ask" ;;
    test) packages="$packages $ask $test" ;;
    *) echo "packages.sh: unknown part $part; expected ask or test" >&2 && exit 2 ;;
    esac
done

# If nothing is missing, neither root nor a network is needed.
missing=""
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "packages.sh: run as root, or install sudo. Missing packages:$missing" >&2 && exit 1; }
    as_root=sudo
fi
$as_root apt-get update
# shellcheck disable=SC2086 # word splitting is intended
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
