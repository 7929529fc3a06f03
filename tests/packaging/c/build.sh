#!/bin/sh
# No build system at all.
set -eu
$CC -std=c99 ../ask.c -o "$1" $(pkg-config --cflags --libs pali-c)
