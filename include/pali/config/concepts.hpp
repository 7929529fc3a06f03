// What a model is: the numbers that every configuration type has, fixed at compile time or read at run time.
#pragma once

#include <pali/core/macros.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI {

namespace config_detail {

/// False for a configuration whose sizes are known when it is compiled and cannot be: `dynamic` has ordinary members, which are checked
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

/// A SigLIP vision tower: `static constexpr` members, or ordinary ones (`dynamic_vision`). Widths are elements of a vector. A type has a
/// patch of a pixel or more that fits in the image, and hidden % heads == 0.
template <class C>
concept vision_config = std::copyable<C> && requires(const C c) {
    { c.image_size } -> std::convertible_to<std::size_t>;   // pixels a side
    { c.patch_size } -> std::convertible_to<std::size_t>;   // pixels a side
    { c.hidden } -> std::convertible_to<std::size_t>;       // width of a patch
    { c.layers } -> std::convertible_to<std::size_t>;       // blocks
    { c.intermediate } -> std::convertible_to<std::size_t>; // width of the MLP
    { c.heads } -> std::convertible_to<std::size_t>;        // hidden % heads == 0
    { c.norm_eps } -> std::convertible_to<float>;           // added to the variance in layer norms
} && config_detail::has_possible_vision<C>();

/// A Gemma decoder of the first or second generation. A type has heads % kv_heads == 0 and an even head_dim.
template <class C>
concept decoder_config = std::copyable<C> && requires(const C c, std::size_t layer) {
    { c.vocab } -> std::convertible_to<std::size_t>;           // rows of the embedding table
    { c.hidden } -> std::convertible_to<std::size_t>;          // width of a token
    { c.layers } -> std::convertible_to<std::size_t>;          // blocks
    { c.intermediate } -> std::convertible_to<std::size_t>;    // width of the gated MLP
    { c.heads } -> std::convertible_to<std::size_t>;           // of queries
    { c.kv_heads } -> std::convertible_to<std::size_t>;        // heads % kv_heads == 0
    { c.head_dim } -> std::convertible_to<std::size_t>;        // width of a head; even: RoPE rotates halves
    { c.query_pre_attn_scalar } -> std::convertible_to<float>; // queries are scaled by its ^-1/2
    { c.attention_softcap } -> std::convertible_to<float>;     // 0: none
    { c.final_softcap } -> std::convertible_to<float>;         // 0: none
    { c.rope_theta } -> std::convertible_to<float>;            // base of the rotary frequencies
    { c.norm_eps } -> std::convertible_to<float>;              // added to the mean square in norms
    { c.post_norms } -> std::convertible_to<bool>;             // Gemma 2: a norm after attention and MLP too
    { c.window(layer) } -> std::convertible_to<std::size_t>;   // sliding window of a layer, tokens; 0: none
} && config_detail::has_possible_decoder<C>();

/// A PaliGemma: a decoder whose `vision` member describes the tower that feeds it.
template <class C>
concept model_config = decoder_config<C> && requires(const C c) { requires vision_config<std::remove_cvref_t<decltype(c.vision)>>; };

}} // namespace pali::PALI_ABI
