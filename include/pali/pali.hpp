// pali: PaliGemma and PaliGemma 2 in C++. Everything that inference needs.
#pragma once

#include <pali/config/registry.hpp>
#include <pali/image/read.hpp>
#include <pali/image/write.hpp>
#include <pali/model.hpp>
#include <pali/version.hpp>
