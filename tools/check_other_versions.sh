#!/usr/bin/env bash
# Builds every header, the pali program and the tests that use xtensor or xsimd against other releases of xtensor, xsimd, xtl and
# nlohmann/json than the installed ones, and runs the tests. With ALL=1 in the environment: all tests.
#
# usage: check_other_versions.sh FOLDER...      the root of each unpacked release, which contains include/<package>/
#   e.g. check_other_versions.sh xtensor-0.27.1 xsimd-14.3.0 xtl-0.8.2
# Environment: ALL, CXX (default g++), BUILD (default: a temporary folder, removed at the end), JOBS (default 2).
set -euo pipefail
[ $# -gt 0 ] || { sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 2; }

source=$(cd "$(dirname "$0")/.." && pwd)
build=${BUILD:-}
if [ -z "$build" ]; then
    build=$(mktemp -d)
    trap 'rm -rf "$build"' EXIT
fi

# -isystem takes precedence over /usr/include, so the releases need not be installed and their CMake files are not used.
includes="" found=""
for folder in "$@"; do
    folder=$(cd "$folder" && pwd)
    known=""
    for package in xtensor xsimd xtl nlohmann; do
        [ -d "$folder/include/$package" ] && known+=" $package"
    done
    [ -n "$known" ] || { echo "$folder: no include/xtensor, include/xsimd, include/xtl or include/nlohmann in it" >&2; exit 2; }
    includes+=" -isystem $folder/include"
    found+="$known"
done
echo "other versions of:$found"
printf '%s\n' '#include <pali/core/compat_xsimd.hpp>' '#include <pali/core/compat_xtensor.hpp>' \
    'xsimd_version: XSIMD_VERSION_MAJOR.XSIMD_VERSION_MINOR.XSIMD_VERSION_PATCH' \
    'xtensor_version: XTENSOR_VERSION_MAJOR.XTENSOR_VERSION_MINOR.XTENSOR_VERSION_PATCH' |
    "${CXX:-g++}" -std=c++20 -march=native $includes -I"$source/include" -E -P -x c++ - | grep _version: | tr -d ' '

cmake -S "$source" -B "$build" -G Ninja -DCMAKE_CXX_COMPILER="${CXX:-g++}" -DCMAKE_CXX_FLAGS="$includes -O1" -DCMAKE_BUILD_TYPE=None >/dev/null
if [ -n "${ALL:-}" ]; then
    cmake --build "$build" -j "${JOBS:-2}"
    ctest --test-dir "$build" --output-on-failure
else
    cmake --build "$build" -j "${JOBS:-2}" --target pali_headers_alone pali_program test_core test_kernels test_weights test_generate
    ctest --test-dir "$build" --output-on-failure -R '^(core|kernels|weights|generate|programs\.pali|programs\.goldens)$'
fi
