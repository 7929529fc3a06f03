#!/bin/sh
# Without a build system.
set -eu
$CXX -std=c++20 $CXXFLAGS ../main.cpp -o "$1" $(pkg-config --cflags --libs pali)
