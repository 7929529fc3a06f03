// pali: PaliGemma and PaliGemma 2 in C++. Umbrella header with everything that inference needs.
#pragma once

#include <pali/config/registry.hpp>
#include <pali/image/read.hpp>
#include <pali/image/write.hpp>
#include <pali/model.hpp>
#include <pali/version.hpp>
