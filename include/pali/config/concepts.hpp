// Concepts of configuration types. They name the members of a configuration, which are constants at compile time or are read at run time.
#pragma once

#include <pali/core/macros.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

namespace config_detail {

/// Returns false if the sizes are compile-time constants and invalid. The members of `dynamic_vision` are not constants; they are checked
/// when they are read.
template <class C>
[[nodiscard]] consteval bool has_possible_vision() {
    if constexpr (!std::is_member_object_pointer_v<decltype(&C::patch_size)> && !std::is_member_object_pointer_v<decltype(&C::heads)>)
        return C::patch_size > 0 && C::image_size >= C::patch_size && C::heads > 0 && C::hidden > 0 && C::hidden % C::heads == 0;
    return true;
}
template <class C>
[[nodiscard]] consteval bool has_possible_decoder() {
    if constexpr (!std::is_member_object_pointer_v<decltype(&C::kv_heads)> && !std::is_member_object_pointer_v<decltype(&C::heads)>)
        return C::kv_heads > 0 && C::heads > 0 && C::heads % C::kv_heads == 0 && C::head_dim > 0 && C::head_dim % 2 == 0;
    return true;
}

} // namespace config_detail

/// Configuration of a SigLIP vision tower, with `static constexpr` members or ordinary ones (`dynamic_vision`). At least one patch must fit
/// into the image.
template <class C>
concept vision_config = std::copyable<C> && requires(const C c) {
    { c.image_size } -> std::convertible_to<std::size_t>;   // side in pixels
    { c.patch_size } -> std::convertible_to<std::size_t>;   // side in pixels
    { c.hidden } -> std::convertible_to<std::size_t>;       // embedding width of a patch
    { c.layers } -> std::convertible_to<std::size_t>;       // number of layers
    { c.intermediate } -> std::convertible_to<std::size_t>; // width of the MLP
    { c.heads } -> std::convertible_to<std::size_t>;        // hidden % heads == 0
    { c.norm_eps } -> std::convertible_to<float>;           // epsilon of LayerNorm, added to the variance
} && config_detail::has_possible_vision<C>();

/// Configuration of a Gemma decoder, first or second generation.
template <class C>
concept decoder_config = std::copyable<C> && requires(const C c, std::size_t layer) {
    { c.vocab } -> std::convertible_to<std::size_t>;           // rows of the embedding table
    { c.hidden } -> std::convertible_to<std::size_t>;          // embedding width of a token
    { c.layers } -> std::convertible_to<std::size_t>;          // number of layers
    { c.intermediate } -> std::convertible_to<std::size_t>;    // width of the gated MLP
    { c.heads } -> std::convertible_to<std::size_t>;           // query heads
    { c.kv_heads } -> std::convertible_to<std::size_t>;        // key and value heads; heads % kv_heads == 0
    { c.head_dim } -> std::convertible_to<std::size_t>;        // width of a head; even, because RoPE rotates halves
    { c.query_pre_attn_scalar } -> std::convertible_to<float>; // attention scores are scaled by this^-1/2
    { c.attention_softcap } -> std::convertible_to<float>;     // 0: none
    { c.final_softcap } -> std::convertible_to<float>;         // 0: none
    { c.rope_theta } -> std::convertible_to<float>;            // base of the RoPE frequencies
    { c.norm_eps } -> std::convertible_to<float>;              // epsilon of RMSNorm, added to the mean square
    { c.post_norms } -> std::convertible_to<bool>;             // Gemma 2: norms after attention and MLP as well
    { c.window(layer) } -> std::convertible_to<std::size_t>;   // sliding window of a layer in tokens; 0: none
} && config_detail::has_possible_decoder<C>();

/// Configuration of a PaliGemma: a decoder with a `vision` member for its vision tower.
template <class C>
concept model_config = decoder_config<C> && requires(const C c) { requires vision_config<std::remove_cvref_t<decltype(c.vision)>>; };

}} // namespace pali::PALI_ABI
