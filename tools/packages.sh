#!/bin/sh
# Installs the packages of Debian or Ubuntu that a part of the work needs. usage: packages.sh ask|test...
# Needs root: by sudo, or because we are root, as in a container.
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
    *) echo "packages.sh: there is no part $part; there are ask and test" >&2 && exit 2 ;;
    esac
done

# What is there already needs neither root nor a network.
missing=""
for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "packages.sh: run as root, or install sudo. Packages that are missing:$missing" >&2 && exit 1; }
    as_root=sudo
fi
$as_root apt-get update
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
