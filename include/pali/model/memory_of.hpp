// Calculates the memory of a model from its sizes: weights, KV cache and scratch memory. Usable in constant expressions if the
// configuration is a type.
#pragma once

#include <pali/config/siglip_config.hpp>
#include <pali/core/error.hpp>
#include <pali/decoder/kv_cache.hpp>
#include <pali/decoder/kv_type.hpp>
#include <pali/model/can_serve.hpp>
#include <pali/model/scratch_passes.hpp>
#include <pali/weights/storage.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>

namespace pali { inline namespace PALI_ABI {

/// The inputs of memory_of() other than the sizes of the model and the number of tokens.
struct memory_options {
    kv_type kv_cache = kv_type::f32; ///< as in load_options
    std::size_t answer = 0;          ///< how many of the tokens are generated; they do not add to the scratch memory of the prefill
    std::size_t threads = 8;         ///< number of threads, the caller's included; each has its own part of scratch memory
    bool tied = true;                ///< whether embedding and head are one matrix, as in all released models
    std::optional<model_detail::memory_kernels>
        kernels{}; ///< if std::nullopt, assumes the kernels that need the most scratch memory: an upper bound
};

/// Memory of one model that answers one request at a time, in bytes.
struct memory_size {
    std::size_t weights = 0;  ///< all tensors as loaded; mapped tensors are pages of the file
    std::size_t kv_cache = 0; ///< keys and values of all tokens
    std::size_t scratch = 0;  ///< the arena after one image, one prefill and one decode step

    /// Weights, KV cache and scratch memory together.
    [[nodiscard]] constexpr std::size_t total() const noexcept { return weights + kv_cache + scratch; }

    friend bool operator==(const memory_size&, const memory_size&) = default;
};

namespace model_detail {

/// Throws. In a constant expression the call does not compile, and the name of this function appears in the compiler's message.
[[noreturn]] inline void more_tokens_than_the_model_has_positions(std::size_t tokens, std::size_t positions) {
    throw error(errc::invalid_argument, {"a sequence of ", tokens, " tokens is longer than the ", positions, " positions of the model"});
}

/// Bytes of a matrix in its storage type, rounded up to whole cache lines as in binder. The last strip of a quantized matrix is padded.
template <class Matrix>
[[nodiscard]] constexpr std::size_t matrix_bytes(std::size_t count, std::size_t width) noexcept {
    if constexpr (requires { Matrix::strip; }) {
        const std::size_t elements = Matrix::padded(count) * width;
        return round_up(Matrix::bytes_of(elements) + elements / Matrix::group * sizeof(bfloat16), 64);
    } else {
        return round_up(count * width * sizeof(*Matrix::data), 64);
    }
}
/// Bytes of a vector, which is always float32.
[[nodiscard]] constexpr std::size_t vector_bytes(std::size_t n) noexcept { return round_up(n * sizeof(float), 64); }

/// Bytes of all tensors that network_modules::bind() visits.
template <class Weights, class Config>
[[nodiscard]] constexpr std::size_t weight_bytes(const Config& config, bool tied) noexcept {
    using tower = typename Weights::tower::matrix;
    using matrix = typename Weights::matrix;
    const auto with_bias = [](std::size_t out, std::size_t in) { return matrix_bytes<tower>(out, in) + vector_bytes(out); };
    const auto without = [](std::size_t out, std::size_t in) { return matrix_bytes<matrix>(out, in); };

    const auto& vision = config.vision;
    const std::size_t width = vision.hidden, side = vision.patch_size;
    const std::size_t tower_layer = 4 * vector_bytes(width) + 4 * with_bias(width, width) + with_bias(vision.intermediate, width) +
                                    with_bias(width, vision.intermediate);
    const std::size_t tower_bytes = with_bias(width, 3 * side * side) + matrix_bytes<tower>(patch_count(vision), width) +
                                    vision.layers * tower_layer + 2 * vector_bytes(width);

    const std::size_t hidden = config.hidden, queries = config.heads * config.head_dim, keys = config.kv_heads * config.head_dim;
    const std::size_t layer = (config.post_norms ? 4 : 2) * vector_bytes(hidden) + without(queries, hidden) + 2 * without(keys, hidden) +
                              without(hidden, queries) + 2 * without(config.intermediate, hidden) + without(hidden, config.intermediate);
    const std::size_t decoder_bytes = (tied ? 1 : 2) * without(config.vocab, hidden) + config.layers * layer + vector_bytes(hidden);

    return tower_bytes + with_bias(hidden, width) + decoder_bytes;
}

/// Bytes of the arena after an image, a prefill and the last decode step.
template <class Weights, class Config>
[[nodiscard]] constexpr std::size_t scratch_bytes(const Config& config, std::size_t tokens, const memory_options& options,
                                                  const memory_kernels& with) {
    const std::size_t answer = std::min(options.answer, tokens);
    scratch_passes<Weights> passes(with, std::max<std::size_t>(1, options.threads));
    passes.image(config);
    passes.decoder(config, tokens - answer, tokens - answer, options.kv_cache, pass::prefill);
    if (answer > 0) passes.decoder(config, 1, tokens, options.kv_cache, pass::step);
    return passes.bytes();
}

/// One entry per kind of kernel, each with the properties for which it needs the most scratch memory.
inline constexpr memory_kernels all_kernels[] = {
    {.lanes = 4, .bytes = false},       {.lanes = 8, .bytes = false}, {.lanes = 8}, {.lanes = 16},
    {.lanes = 16, .avx512_bf16 = true}, {.lanes = 16, .amx = true},
};

} // namespace model_detail

/**
 * Calculates the memory of a model with the sizes of `config` that answers one request at a time. `tokens` is the length of the sequence:
 * image tokens of all images, prompt and answer. A batch needs one KV cache per sequence.
 *
 * Not included: images and their features, the vocabulary (some 50 MB), the mask decoder, and the program itself.
 *
 * Without memory_options::kernels, the scratch memory is that of the kernels that need the most, which is an upper bound for all kernels.
 * Throws errc::invalid_argument if `tokens` is greater than Config::positions, where the type has that member.
 */
template <model_config Config, weight_storage Weights = bf16>
[[nodiscard]] constexpr memory_size memory_of(const Config& config, std::size_t tokens, const memory_options& options = {}) {
    if constexpr (requires { Config::positions; })
        if (tokens > Config::positions) model_detail::more_tokens_than_the_model_has_positions(tokens, Config::positions);
    std::size_t scratch = 0;
    if (options.kernels) scratch = model_detail::scratch_bytes<Weights>(config, tokens, options, *options.kernels);
    else
        for (const model_detail::memory_kernels& with : model_detail::all_kernels)
            scratch = std::max(scratch, model_detail::scratch_bytes<Weights>(config, tokens, options, with));
    return {.weights = model_detail::weight_bytes<Weights>(config, options.tied),
            .kv_cache = config.layers * nn::kv_cache::layer_bytes(config, tokens, options.kv_cache),
            .scratch = scratch};
}

/// Same, for a configuration type: `constexpr auto memory = pali::memory_of<pali::paligemma2_3b_224, pali::int4>(300);`. For `dynamic`,
/// call the function above with the sizes read from config.json.
template <compiled_config Config, weight_storage Weights = bf16>
    requires(can_store<Config, Weights>)
[[nodiscard]] constexpr memory_size memory_of(std::size_t tokens, const memory_options& options = {}) {
    return memory_of<Config, Weights>(Config{}, tokens, options);
}

}} // namespace pali::PALI_ABI
