#!/bin/sh
# Without a build system.
set -eu
$CC -std=c99 ../ask.c -o "$1" $(pkg-config --cflags --libs pali-c)
