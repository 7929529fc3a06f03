// pali: PaliGemma and PaliGemma 2 in C++. Umbrella header for inference. Drawing is in pali/draw.hpp, result files are in pali/formats.hpp.
#pragma once

#include <pali/config/registry.hpp>
#include <pali/image/read.hpp>
#include <pali/model.hpp>
#include <pali/model/memory_of.hpp>
#include <pali/version.hpp>
