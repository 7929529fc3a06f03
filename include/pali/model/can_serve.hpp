// Compile-time checks of what a variant can do. Uses that would fail with every checkpoint do not compile.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/config/siglip_config.hpp>
#include <pali/weights/storage.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

/// A configuration whose sizes are constants of the type; not `dynamic`.
template <class Config>
concept compiled_config = model_config<Config> && requires { typename std::bool_constant<(Config::hidden > 0 && Config::vocab > 0)>; };

namespace model_detail {

/// The vocabulary needs at least BOS, EOS and newline. Besides the image, a sequence needs at least BOS, newline and one token of an
/// answer. Both counts are 3.
inline constexpr std::size_t own_tokens = 3;

template <class Config, class Weights>
[[nodiscard]] consteval bool matrices_fit() {
    if constexpr (!compiled_config<Config> || !requires { Weights::matrix::group; }) return true;
    else {
        using matrix = typename Weights::matrix;
        const Config config{};
        const std::size_t queries = config.heads * config.head_dim, keys = config.kv_heads * config.head_dim;
        return matrix::fits(queries, config.hidden) && matrix::fits(keys, config.hidden) && matrix::fits(config.hidden, queries) &&
               matrix::fits(config.intermediate, config.hidden) && matrix::fits(config.hidden, config.intermediate);
    }
}
template <class Config>
[[nodiscard]] consteval bool has_tokens(std::size_t count) {
    if constexpr (compiled_config<Config>) return Config::vocab >= own_tokens + count;
    else return true;
}
template <class Config>
[[nodiscard]] consteval bool has_positions(std::size_t images) {
    if constexpr (compiled_config<Config> && requires { Config::positions; })
        return images * patch_count(Config{}.vision) + own_tokens <= Config::positions;
    else return true;
}

} // namespace model_detail

/// Whether the decoder's matrices consist of whole strips and groups of a quantized type. Their rows must be a multiple of 8, and their
/// columns a multiple of 64 (int8) or 32 (int4). True for `dynamic`, whose sizes are checked when a checkpoint is loaded.
template <class Config, class Weights>
concept can_store = model_detail::matrices_fit<Config, Weights>();

/// Whether `Images` images, BOS, a newline and one token of an answer fit into the positions of the variant. True for a configuration
/// without a member `positions`, such as `dynamic`.
template <class Config, std::size_t Images>
concept can_see = model_detail::has_positions<Config>(Images);

/// Whether the vocabulary has room for the 1024 `<loc>` tokens that boxes are made of. True for `dynamic`.
template <class Config>
concept can_detect = model_detail::has_tokens<Config>(1024);

/// Whether the vocabulary has room for `<loc>` tokens and for the 128 `<seg>` tokens that masks are made of. True for `dynamic`.
template <class Config>
concept can_segment = model_detail::has_tokens<Config>(1024 + 128);

}} // namespace pali::PALI_ABI
