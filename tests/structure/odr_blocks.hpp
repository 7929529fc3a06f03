// What each source of test_odr_blocks works out; see odr_blocks_main.cpp.
#pragma once

#include <pali/core/context.hpp>

#include <vector>

/// Layers and the steps around them, run by code compiled with one set of flags.
struct block_answers {
    std::vector<float> vision_layer;  ///< two patches of ones, through a layer whose attention gives 2 and whose MLP gives 3
    std::vector<float> decoder_layer; ///< two tokens of ones, through a layer whose weights are zeros
    std::vector<float> embedding;     ///< an embedding of sixteen ones, scaled
    std::vector<float> patches;       ///< of a 5 x 5 image of 0, 1, 2 ..., with a side of 2
};

block_answers plain_blocks(pali::core::context& ctx);
block_answers avx2_blocks(pali::core::context& ctx);
