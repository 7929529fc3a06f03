#!/usr/bin/env bash
# Downloads the arm64 packages of the libraries that pali links and unpacks them to a folder, for cmake/toolchains/aarch64-linux-gnu.cmake.
# Uses its own package lists: nothing is installed and dpkg needs no foreign architecture. With one, installing sentencepiece for arm64
# would replace the host's packages.
#
# usage: aarch64_packages.sh [FOLDER]           default: build/aarch64-packages
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/aarch64-packages}
[ -e "$folder/complete" ] && exit 0

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
apt=$(mktemp -d)
trap 'rm -rf "$apt"' EXIT
chmod 755 "$apt"
mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
: >"$apt/status"
cat >"$apt/apt.conf" <<EOF
APT::Architecture "arm64";
APT::Architectures { "arm64"; };
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
EOF
export APT_CONFIG="$apt/apt.conf"
apt-get -q update >/dev/null
cd "$apt"
boost=$(apt-cache depends libboost-test-dev | sed -n 's/.*Depends: \(libboost-test[0-9.]*\)-dev$/\1/p')
release=$(apt-cache depends "$boost-dev" | sed -n 's/.*Depends: \(libboost-test[0-9.]*\)$/\1/p')
apt-get -q download libsentencepiece0 libsentencepiece-dev zlib1g zlib1g-dev "$boost-dev" "$release" >/dev/null
for package in ./*.deb; do dpkg-deb -x "$package" "$folder"; done
touch "$folder/complete"
