// pali in one file, written by tools/single_header.py from include/pali. Apache License 2.0: LICENSE beside the sources.
// Needs xtensor, xsimd, nlohmann/json, sentencepiece, stb and zlib; reads JPEG, PNG, WebP, HEIC and AVIF, and TIFF with libjpeg,
// libpng, libwebp, libheif and libtiff where it finds them.
#pragma once

#if defined(PALI_COMPILED)
#  error "the single header holds all bodies; PALI_COMPILED is for the headers of include/"
#endif

// The version of pali: the only place that states it. CMake and meson read it from here; pali.h has the numbers from it, so C reads it too.

/// @{
/// A part of the version as a number, for `#if`.
#define PALI_VERSION_MAJOR 0
#define PALI_VERSION_MINOR 1
#define PALI_VERSION_PATCH 0
/// @}

/// Whether preconditions of kernels are checked, by assert(). Headers alone follow NDEBUG. Bodies that are compiled once are not checked, whatever the sources that use
/// them do, unless the build defines this to 1 for all of them, as a Debug build of pali::compiled does.
#ifndef PALI_CHECKED
#  if defined(NDEBUG) || defined(PALI_COMPILED)
#    define PALI_CHECKED 0
#  else
#    define PALI_CHECKED 1
#  endif
#endif

/// Inline namespace of every name of the library: one per minor version, so that two of them can be linked into one program; and one of
/// its own where preconditions are checked, so that sources that check and sources that do not never share a function.
#if !PALI_CHECKED
#  define PALI_ABI PALI_VERSION_NAME(v, PALI_VERSION_MAJOR, PALI_VERSION_MINOR, )
#else
#  define PALI_ABI PALI_VERSION_NAME(v, PALI_VERSION_MAJOR, PALI_VERSION_MINOR, _checked)
#endif

/// @{
/// Not public: macros are expanded before another one joins or quotes them.
#define PALI_VERSION_NAME(v, major, minor, end) PALI_VERSION_JOIN(v, major, minor, end)
#define PALI_VERSION_JOIN(v, major, minor, end) v##major##_##minor##end
#define PALI_VERSION_TEXT(major, minor, patch) PALI_VERSION_QUOTE(major) "." PALI_VERSION_QUOTE(minor) "." PALI_VERSION_QUOTE(patch)
#define PALI_VERSION_QUOTE(number) #number
/// @}

#ifdef __cpp_inline_variables // not C, nor the older C++ that pali.h is for as well
/// The library: models, and the parts that they are made of, each of use alone.
namespace pali {
inline namespace PALI_ABI {

/// "major.minor.patch"
inline constexpr const char version[] = PALI_VERSION_TEXT(PALI_VERSION_MAJOR, PALI_VERSION_MINOR, PALI_VERSION_PATCH);

} // namespace PALI_ABI
} // namespace pali
#endif

// The few macros of the library: internal, all prefixed, none needed by a user.

// One message, and nothing after it: a missing header ends the compilation.
#if defined(_MSVC_LANG) ? _MSVC_LANG < 202002L : defined(__cplusplus) && __cplusplus < 202002L
#  error "pali needs C++20: compile with -std=c++20 (CMake: target_compile_features(TARGET PRIVATE cxx_std_20), which pali::pali sets)"
#  include <pali_needs_cxx20>
#endif

// Before any other header: a compiler that has none for 32 bits says this all the same, by #error since such a header ends it before anything is asserted.
#if defined(__SIZEOF_POINTER__) && __SIZEOF_POINTER__ != 8
#  error "pali needs a 64-bit target: checkpoints are larger than a 32-bit address space"
#endif
static_assert(sizeof(void*) == 8, "pali needs a 64-bit target: checkpoints are larger than a 32-bit address space");

#include <cassert>

/// Bodies in *.ipp files: inline by default; with PALI_COMPILED they are compiled once, in the library pali::compiled.
#if defined(PALI_COMPILED)
#  define PALI_INLINE
#else
#  define PALI_INLINE inline
#endif

/// Precondition of a kernel: checked where PALI_CHECKED is 1, free otherwise.
#if PALI_CHECKED
#  define PALI_ASSERT(condition) assert(condition)
#else
#  define PALI_ASSERT(condition) static_cast<void>(0)
#endif

/// A function compiled for instructions that the translation unit need not have been given flags for.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#  define PALI_TARGET(features) __attribute__((target(features)))
#else
#  define PALI_TARGET(features)
#endif

/// A loop whose body fills the registers, which clang would unroll and spill.
#if defined(__clang__)
#  define PALI_NO_UNROLL _Pragma("clang loop unroll(disable)")
#  define PALI_UNROLL _Pragma("clang loop unroll(full)") ///< a loop of few rounds whose counter picks registers
#  define PALI_UNROLL_EIGHT _Pragma("clang loop unroll_count(8)") ///< a loop of more rounds, eight at a time: of all of them clang would spill what they share
#elif defined(__GNUC__)
#  define PALI_NO_UNROLL
#  define PALI_UNROLL _Pragma("GCC unroll 8")
#  define PALI_UNROLL_EIGHT PALI_UNROLL
#else
#  define PALI_NO_UNROLL
#  define PALI_UNROLL
#  define PALI_UNROLL_EIGHT
#endif

/// Part of an inner loop: a call would send its registers to memory.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_ALWAYS_INLINE __attribute__((always_inline))
#else
#  define PALI_ALWAYS_INLINE
#endif

/// A function for errors only: compiled once and called, small where it is called.
#if defined(__GNUC__) || defined(__clang__)
#  define PALI_COLD __attribute__((cold, noinline))
#else
#  define PALI_COLD
#endif

/// What was read from memory before is read again after it. clang would keep it, in a register that is not there; g++ reads again by itself.
#if defined(__clang__)
#  define PALI_READ_AGAIN __asm__ volatile("" : : : "memory")
#else
#  define PALI_READ_AGAIN (void)0
#endif

/// A vector is in a register here. g++ would read it anew from memory for each of its uses, or put off the sums that make it and hold their terms in memory.
#if defined(__x86_64__) && !defined(__clang__)
#  define PALI_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#else
#  define PALI_IN_REGISTER(vector) (void)0
#endif

/// A pointer is worked out here. clang would work out one from another in each round of a loop.
#if defined(__clang__)
#  define PALI_WORKED_OUT(pointer) __asm__("" : "+r"(pointer))
#else
#  define PALI_WORKED_OUT(pointer) (void)0
#endif

// What a model is: the numbers that every configuration type has, fixed at compile time or read at run time.

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace pali::inline PALI_ABI {

namespace config_detail {

/// False for a configuration whose sizes are known when it is compiled and cannot be: `dynamic` has ordinary members, which are checked when they are read.
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

/// A SigLIP vision tower: `static constexpr` members, or ordinary ones (`dynamic_vision`). Widths are elements of a vector. A type has a patch of a pixel or more that fits in the picture,
/// and hidden % heads == 0.
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
    { c.vocab } -> std::convertible_to<std::size_t>;               // rows of the embedding table
    { c.hidden } -> std::convertible_to<std::size_t>;              // width of a token
    { c.layers } -> std::convertible_to<std::size_t>;              // blocks
    { c.intermediate } -> std::convertible_to<std::size_t>;        // width of the gated MLP
    { c.heads } -> std::convertible_to<std::size_t>;               // of queries
    { c.kv_heads } -> std::convertible_to<std::size_t>;            // heads % kv_heads == 0
    { c.head_dim } -> std::convertible_to<std::size_t>;            // width of a head; even: RoPE rotates halves
    { c.query_pre_attn_scalar } -> std::convertible_to<float>;     // queries are scaled by its ^-1/2
    { c.attention_softcap } -> std::convertible_to<float>;         // 0: none
    { c.final_softcap } -> std::convertible_to<float>;             // 0: none
    { c.rope_theta } -> std::convertible_to<float>;                // base of the rotary frequencies
    { c.norm_eps } -> std::convertible_to<float>;                  // added to the mean square in norms
    { c.post_norms } -> std::convertible_to<bool>;                 // Gemma 2: a norm after attention and MLP too
    { c.window(layer) } -> std::convertible_to<std::size_t>;       // sliding window of a layer, tokens; 0: none
} && config_detail::has_possible_decoder<C>();

/// A PaliGemma: a decoder whose `vision` member describes the tower that feeds it.
template <class C>
concept model_config = decoder_config<C> && requires(const C c) { requires vision_config<std::remove_cvref_t<decltype(c.vision)>>; };

} // namespace pali::inline PALI_ABI

// A configuration whose numbers are read from config.json when the program runs.

#include <vector>

namespace pali::inline PALI_ABI {

/// A vision tower of any size.
struct dynamic_vision {
    std::size_t image_size = 0, patch_size = 0, hidden = 0, layers = 0, intermediate = 0, heads = 0; ///< see vision_config
    float norm_eps = 1e-6f; ///< see vision_config
};

/// A model of any size: satisfies `model_config` with ordinary members. What it says costs a load where a type knows a literal.
struct dynamic {
    dynamic_vision vision; ///< the tower
    std::size_t vocab = 0, hidden = 0, layers = 0, intermediate = 0, heads = 0, kv_heads = 0, head_dim = 0; ///< see decoder_config
    float query_pre_attn_scalar = 0, attention_softcap = 0, final_softcap = 0, rope_theta = 0, norm_eps = 0; ///< see decoder_config
    bool post_norms = false;          ///< see decoder_config
    std::vector<std::size_t> windows; ///< one for each layer, tokens; 0: none

    /// The sliding window of a layer, tokens; 0: none.
    [[nodiscard]] std::size_t window(std::size_t layer) const noexcept { return windows[layer]; }
};
static_assert(model_config<dynamic>);

/// The numbers of any configuration, as they would be read.
template <model_config Config>
[[nodiscard]] dynamic sizes_of(const Config& config) {
    const auto& vision = config.vision;
    dynamic out{.vision = {.image_size = vision.image_size, .patch_size = vision.patch_size, .hidden = vision.hidden, .layers = vision.layers,
                           .intermediate = vision.intermediate, .heads = vision.heads, .norm_eps = vision.norm_eps},
                .vocab = config.vocab, .hidden = config.hidden, .layers = config.layers, .intermediate = config.intermediate, .heads = config.heads,
                .kv_heads = config.kv_heads, .head_dim = config.head_dim, .query_pre_attn_scalar = config.query_pre_attn_scalar,
                .attention_softcap = config.attention_softcap, .final_softcap = config.final_softcap, .rope_theta = config.rope_theta,
                .norm_eps = config.norm_eps, .post_norms = config.post_norms, .windows = std::vector<std::size_t>(config.layers)};
    for (std::size_t layer = 0; layer < out.layers; ++layer) out.windows[layer] = config.window(layer);
    return out;
}

} // namespace pali::inline PALI_ABI

// The Gemma and Gemma 2 decoders that PaliGemma was released with.

namespace pali::inline PALI_ABI {

/// What Gemma 1 decoders share: one norm before each half of a block, no softcaps, no windows. arXiv 2403.08295.
struct gemma_family {
    static constexpr std::size_t vocab = 257216; ///< 256000 + 1024 `<loc>` + 128 `<seg>` + `<image>`, padded to a multiple of 64
    static constexpr float attention_softcap = 0, final_softcap = 0, rope_theta = 10000, norm_eps = 1e-6f; ///< transformers GemmaConfig
    static constexpr bool post_norms = false; ///< no norms behind attention and MLP
    /// 0: no layer has one.
    [[nodiscard]] static constexpr std::size_t window(std::size_t) noexcept { return 0; }
};

/// What Gemma 2 decoders share: post norms, softcaps, and a sliding window on even layers. arXiv 2408.00118, section 2.
struct gemma2_family {
    static constexpr std::size_t vocab = 257216, sliding_window = 4096; ///< rows of the embedding, as above; tokens, in even layers
    static constexpr float attention_softcap = 50, final_softcap = 30, rope_theta = 10000, norm_eps = 1e-6f; ///< transformers Gemma2Config
    static constexpr bool post_norms = true; ///< norms behind attention and MLP
    /// Sliding window of a layer, tokens; 0: none.
    [[nodiscard]] static constexpr std::size_t window(std::size_t layer) noexcept { return layer % 2 == 0 ? sliding_window : 0; }
};

/// Gemma 2B.
struct gemma_2b : gemma_family {
    /// big_vision models/ppp/gemma.py get_config("gemma_2b").
    static constexpr std::size_t hidden = 2048, layers = 18, intermediate = 16384, heads = 8, kv_heads = 1, head_dim = 256;
    static constexpr float query_pre_attn_scalar = 256; ///< head_dim
};

/// Gemma 2 2B.
struct gemma2_2b : gemma2_family {
    /// big_vision models/ppp/gemma.py get_config("gemma2_2b").
    static constexpr std::size_t hidden = 2304, layers = 26, intermediate = 9216, heads = 8, kv_heads = 4, head_dim = 256;
    static constexpr float query_pre_attn_scalar = 256; ///< head_dim
};

/// Gemma 2 9B.
struct gemma2_9b : gemma2_family {
    /// big_vision models/ppp/gemma.py get_config("gemma2_9b").
    static constexpr std::size_t hidden = 3584, layers = 42, intermediate = 14336, heads = 16, kv_heads = 8, head_dim = 256;
    static constexpr float query_pre_attn_scalar = 256; ///< head_dim
};

/// Gemma 2 27B.
struct gemma2_27b : gemma2_family {
    /// big_vision models/ppp/gemma.py get_config("gemma2_27b").
    static constexpr std::size_t hidden = 4608, layers = 46, intermediate = 36864, heads = 32, kv_heads = 16, head_dim = 128;
    static constexpr float query_pre_attn_scalar = 144; ///< hidden / heads, not head_dim
};

static_assert(decoder_config<gemma_2b> && decoder_config<gemma2_2b> && decoder_config<gemma2_9b> && decoder_config<gemma2_27b>);

} // namespace pali::inline PALI_ABI

// SigLIP So400m/14, the vision tower of every released PaliGemma.

namespace pali::inline PALI_ABI {

/// Shape-optimised 400M ViT, patches of 14 px. arXiv 2305.13035; big_vision models/vit.py decode_variant("So400m/14").
template <std::size_t ImageSize>
struct siglip_so400m_14 {
    static_assert(ImageSize % 14 == 0, "the side of the picture is a whole number of 14 px patches: 224, 448 or 896 in the released models");
    static constexpr std::size_t image_size = ImageSize, patch_size = 14, hidden = 1152, layers = 27, intermediate = 4304, heads = 16; ///< see vision_config
    static constexpr float norm_eps = 1e-6f; ///< see vision_config
};
static_assert(vision_config<siglip_so400m_14<224>>);

/// Patches of a picture: the number of image tokens.
template <vision_config Config>
[[nodiscard]] constexpr std::size_t patch_count(const Config& config) noexcept {
    return (config.image_size / config.patch_size) * (config.image_size / config.patch_size);
}

} // namespace pali::inline PALI_ABI

// The twelve released pairs of vision tower and decoder, and the templates to make one's own.

namespace pali::inline PALI_ABI {

/// PaliGemma (arXiv 2407.07726): a Gemma decoder that reads what a SigLIP tower sees. Derive from it to change a number.
template <decoder_config Decoder, vision_config Vision>
struct paligemma : Decoder {
    [[no_unique_address]] Vision vision{}; ///< the tower
};

/// PaliGemma 2 (arXiv 2412.03555): the same with a Gemma 2 decoder.
template <decoder_config Decoder, vision_config Vision>
    requires(Decoder::post_norms)
struct paligemma2 : paligemma<Decoder, Vision> {};

/// google/paligemma-3b-pt-224 and its fine-tunes; 256 image tokens.
struct paligemma_3b_224 : paligemma<gemma_2b, siglip_so400m_14<224>> {};
/// google/paligemma-3b-pt-448 and its fine-tunes; 1024 image tokens.
struct paligemma_3b_448 : paligemma<gemma_2b, siglip_so400m_14<448>> {};
/// google/paligemma-3b-pt-896 and its fine-tunes; 4096 image tokens.
struct paligemma_3b_896 : paligemma<gemma_2b, siglip_so400m_14<896>> {};

/// google/paligemma2-3b-pt-224 and its fine-tunes; 256 image tokens.
struct paligemma2_3b_224 : paligemma2<gemma2_2b, siglip_so400m_14<224>> {};
/// google/paligemma2-3b-pt-448 and its fine-tunes; 1024 image tokens.
struct paligemma2_3b_448 : paligemma2<gemma2_2b, siglip_so400m_14<448>> {};
/// google/paligemma2-3b-pt-896 and its fine-tunes; 4096 image tokens.
struct paligemma2_3b_896 : paligemma2<gemma2_2b, siglip_so400m_14<896>> {};
/// google/paligemma2-10b-pt-224 and its fine-tunes; 256 image tokens.
struct paligemma2_10b_224 : paligemma2<gemma2_9b, siglip_so400m_14<224>> {};
/// google/paligemma2-10b-pt-448 and its fine-tunes; 1024 image tokens.
struct paligemma2_10b_448 : paligemma2<gemma2_9b, siglip_so400m_14<448>> {};
/// google/paligemma2-10b-pt-896 and its fine-tunes; 4096 image tokens.
struct paligemma2_10b_896 : paligemma2<gemma2_9b, siglip_so400m_14<896>> {};
/// google/paligemma2-28b-pt-224 and its fine-tunes; 256 image tokens.
struct paligemma2_28b_224 : paligemma2<gemma2_27b, siglip_so400m_14<224>> {};
/// google/paligemma2-28b-pt-448 and its fine-tunes; 1024 image tokens.
struct paligemma2_28b_448 : paligemma2<gemma2_27b, siglip_so400m_14<448>> {};
/// google/paligemma2-28b-pt-896 and its fine-tunes; 4096 image tokens.
struct paligemma2_28b_896 : paligemma2<gemma2_27b, siglip_so400m_14<896>> {};

static_assert(model_config<paligemma_3b_224> && model_config<paligemma2_28b_896>);

} // namespace pali::inline PALI_ABI

// The embedded demonstration model: a tiny PaliGemma 2 that names coloured shapes.

namespace pali::inline PALI_ABI {

/// Four narrow layers over a vocabulary of its own. Sizes: config.json of the model.
struct shapes_decoder : gemma2_family {
    static constexpr std::size_t vocab = 1536, hidden = 192, layers = 4, intermediate = 576, heads = 4, kv_heads = 2, head_dim = 48; ///< see decoder_config
    static constexpr float query_pre_attn_scalar = 48; ///< head_dim
};

/// Pictures of 112 px, 64 patches. Trained by tools/shapes.
struct shapes_vision {
    static constexpr std::size_t image_size = 112, patch_size = 14, hidden = 160, layers = 5, intermediate = 480, heads = 4; ///< see vision_config
    static constexpr float norm_eps = 1e-6f; ///< see vision_config
};

/// Tower and decoder together; 64 image tokens.
struct shapes : paligemma2<shapes_decoder, shapes_vision> {};
static_assert(model_config<shapes>);

} // namespace pali::inline PALI_ABI

// The text of an error, told by its parts: none is joined to another before there is something to throw.

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace pali::inline PALI_ABI {

/// A text, a number as std::to_string prints it, or parts that follow one another: {file, ": has ", n, " tensors"}. It owns nothing, so it is an argument and never a variable:
/// what it was made of ends with the expression it stands in.
class error_text {
public:
    /// A text that ends with a zero.
    error_text(const char* text) noexcept : m_literal(text), m_kind(kind::literal) {}
    /// A text, as all that follow: not copied.
    error_text(std::string_view text) noexcept : m_text(text), m_kind(kind::text) {}
    /// A text.
    error_text(const std::string& text) noexcept : m_text(text), m_kind(kind::text) {}
    /// Parts, one behind the other.
    error_text(std::initializer_list<error_text> parts) noexcept : m_parts(parts), m_kind(kind::parts) {}
    /// A number from 0.
    template <std::unsigned_integral T>
        requires(!std::same_as<T, bool> && !std::same_as<T, char>)
    error_text(T number) noexcept : m_natural(number), m_kind(kind::natural) {}
    /// A number.
    template <std::signed_integral T>
        requires(!std::same_as<T, char>)
    error_text(T number) noexcept : m_integer(number), m_kind(kind::integer) {}
    /// A number with six digits behind its point.
    template <std::floating_point T>
    error_text(T number) noexcept : m_real(number), m_kind(kind::real) {}

    /// The parts, joined.
    [[nodiscard]] std::string str() const {
        std::string out;
        append_to(out);
        return out;
    }

    /// The same, behind what `out` holds.
    PALI_COLD void append_to(std::string& out) const {
        switch (m_kind) {
        case kind::literal: out += m_literal; break;
        case kind::text: out += m_text; break;
        case kind::natural: out += std::to_string(m_natural); break;
        case kind::integer: out += std::to_string(m_integer); break;
        case kind::real: out += std::to_string(m_real); break;
        case kind::parts:
            for (const error_text& part : m_parts) part.append_to(out);
        }
    }

private:
    enum class kind { literal, text, natural, integer, real, parts };

    union {
        const char* m_literal;
        std::string_view m_text;
        std::uint64_t m_natural;
        std::int64_t m_integer;
        double m_real;
        std::initializer_list<error_text> m_parts;
    };
    kind m_kind;
};

} // namespace pali::inline PALI_ABI

// Errors: one class, stable codes, and messages that say what was found, what was needed and what to do.

#include <stdexcept>

namespace pali::inline PALI_ABI {

/// What went wrong. The numbers are stable: they are printed as "[pali.301]" and never reused.
enum class errc : int {
    invalid_argument = 101,    ///< an option or argument is outside what the call allows
    unknown_variant = 102,     ///< no configuration of that name
    capacity_exceeded = 103,   ///< a sequence is longer than its key-value cache
    cancelled = 104,           ///< a callback asked to stop
    too_few_threads = 105,     ///< the system starts no more threads
    cannot_open = 201,         ///< a file or folder is missing or cannot be read
    malformed_file = 202,      ///< the contents contradict the file's format
    unsupported_format = 203,  ///< a known format in a form that is not read (dtype, compression, …)
    cannot_write = 204,        ///< a file cannot be written
    checkpoint_mismatch = 301, ///< tensors missing or of another shape, and with load_options::strict unexpected; ten of a kind in one message
    config_mismatch = 302,     ///< config.json differs from the compiled configuration; all differences in one message
    malformed_config = 303,    ///< config.json is no JSON, lacks a field, or holds a value of the wrong kind
    unsupported_config = 304,  ///< a model that is valid but of a kind this library does not run
    malformed_image = 401,     ///< a picture that cannot be decoded
    image_too_large = 402,     ///< a picture over the limits on sides or pixels
    unsupported_image = 403,   ///< a picture in a format that this build cannot read
    malformed_tokenizer = 501, ///< tokenizer.model or tokenizer.json cannot be read
    missing_token = 502,       ///< a piece that the model needs (`<image>`, `<bos>`, …) has no id
    invalid_prompt = 503,      ///< a prompt that cannot be laid out
    unsupported_arch = 601,    ///< an instruction set was forced that this processor or build lacks
};

/// Base of all exceptions thrown by the library. `what()` reads "[pali.<code>] <message>".
class error : public std::runtime_error {
public:
    /// `message` says what was found, what was needed and what to do; the code is put in front of it: error(errc::cannot_open, {file, ": has ", n, " bytes"}).
    PALI_COLD error(errc code, const error_text& message) : std::runtime_error(error_text{"[pali.", static_cast<int>(code), "] ", message}.str()), m_code(code) {}

    /// The stable code.
    [[nodiscard]] errc code() const noexcept { return m_code; }

private:
    errc m_code;
};

} // namespace pali::inline PALI_ABI

// The table of variants: a name or a config.json in, a type out. The only switch from run time to compile time.

#include <array>
#include <optional>
#include <tuple>
#include <utility>

namespace pali::inline PALI_ABI {

/// A configuration type and the name people use for it.
template <model_config Config>
struct variant {
    using type = Config;   ///< what with_config() calls with
    std::string_view name; ///< as "paligemma2-3b-224"
};

/// Every variant that is shipped: the twelve released models and the embedded one.
inline constexpr std::tuple variants{
    variant<paligemma_3b_224>{"paligemma-3b-224"},     variant<paligemma_3b_448>{"paligemma-3b-448"},
    variant<paligemma_3b_896>{"paligemma-3b-896"},     variant<paligemma2_3b_224>{"paligemma2-3b-224"},
    variant<paligemma2_3b_448>{"paligemma2-3b-448"},   variant<paligemma2_3b_896>{"paligemma2-3b-896"},
    variant<paligemma2_10b_224>{"paligemma2-10b-224"}, variant<paligemma2_10b_448>{"paligemma2-10b-448"},
    variant<paligemma2_10b_896>{"paligemma2-10b-896"}, variant<paligemma2_28b_224>{"paligemma2-28b-224"},
    variant<paligemma2_28b_448>{"paligemma2-28b-448"}, variant<paligemma2_28b_896>{"paligemma2-28b-896"},
    variant<shapes>{"shapes"},
};

/// Rows of that table.
inline constexpr std::size_t variant_count = std::tuple_size_v<decltype(variants)>;

/// Their names, in the order of the table.
[[nodiscard]] constexpr std::array<std::string_view, variant_count> variant_names() noexcept {
    return std::apply([](const auto&... v) { return std::array<std::string_view, variant_count>{v.name...}; }, variants);
}

/// The name of a shipped type, "dynamic", or "custom" for a type of the user's.
template <model_config Config>
[[nodiscard]] constexpr std::string_view variant_name() noexcept {
    if constexpr (std::is_same_v<Config, dynamic>) return "dynamic";
    std::string_view name = "custom";
    std::apply(
        [&](const auto&... v) { ((std::is_same_v<Config, typename std::decay_t<decltype(v)>::type> ? void(name = v.name) : void()), ...); },
        variants);
    return name;
}

namespace detail {

/// '_' and '-' are the same: types are spelt with one, folders with the other.
[[nodiscard]] constexpr bool same_variant_name(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if ((a[i] == '_' ? '-' : a[i]) != (b[i] == '_' ? '-' : b[i])) return false;
    return true;
}

[[noreturn]] inline void unknown_variant(std::string_view name) {
    std::string all;
    for (const std::string_view known : variant_names()) all.append(" ").append(known);
    throw error(errc::unknown_variant, {"there is no variant '", name, "'; there are", all});
}

template <std::size_t I, class Function>
decltype(auto) with_config_from(std::string_view name, Function& f) {
    using config = typename std::tuple_element_t<I, std::decay_t<decltype(variants)>>::type;
    using result = std::invoke_result_t<Function&, paligemma_3b_224>;
    static_assert(std::is_same_v<std::invoke_result_t<Function&, config>, result>, "the function returns the same type for every variant");
    if (same_variant_name(name, std::get<I>(variants).name)) return static_cast<result>(f(config{}));
    if constexpr (I + 1 < variant_count) return static_cast<result>(with_config_from<I + 1>(name, f));
    else unknown_variant(name);
}

} // namespace detail

/// Calls f(Config{}) with the type of that name, written with '-' or '_': with_config("paligemma2-3b-224", [](auto config) { ... }).
/// `f` is instantiated for every variant and returns the same type for each. Throws errc::unknown_variant with the names there are.
template <class Function>
decltype(auto) with_config(std::string_view name, Function&& f) {
    return detail::with_config_from<0>(name, f);
}

/// The name of the variant whose every number is the one read from config.json; nothing where none is.
[[nodiscard]] std::optional<std::string_view> matching_variant(const dynamic& sizes);

} // namespace pali::inline PALI_ABI

// Where two configurations differ.

namespace pali::inline PALI_ABI {

/// One number in which two configurations differ.
struct config_difference {
    std::string field; ///< as config.json calls it: "text_config.hidden_size"
    std::string first, second; ///< its value in each, as text
};

/// All differences of two models; none: the same weights fit both and give the same numbers. What a type says is sizes_of(type{}).
[[nodiscard]] std::vector<config_difference> differences(const dynamic& a, const dynamic& b);

} // namespace pali::inline PALI_ABI

// Body of compare.hpp.

#include <sstream>

namespace pali::inline PALI_ABI {

PALI_INLINE std::vector<config_difference> differences(const dynamic& a, const dynamic& b) {
    std::vector<config_difference> out;
    const auto size = [&](const std::string& field, std::size_t first, std::size_t second) {
        if (first != second) out.push_back({field, std::to_string(first), std::to_string(second)});
    };
    const auto number = [&](const char* field, float first, float second) {
        if (first == second) return;
        std::ostringstream one, other;
        one << first;
        other << second;
        out.push_back({field, one.str(), other.str()});
    };
    const auto generation = [](const dynamic& of) { return of.post_norms ? "gemma2" : "gemma"; };
    if (a.post_norms != b.post_norms) out.push_back({"text_config.model_type", generation(a), generation(b)});
    size("text_config.vocab_size", a.vocab, b.vocab);
    size("text_config.hidden_size", a.hidden, b.hidden);
    size("text_config.num_hidden_layers", a.layers, b.layers);
    size("text_config.intermediate_size", a.intermediate, b.intermediate);
    size("text_config.num_attention_heads", a.heads, b.heads);
    size("text_config.num_key_value_heads", a.kv_heads, b.kv_heads);
    size("text_config.head_dim", a.head_dim, b.head_dim);
    number("text_config.query_pre_attn_scalar", a.query_pre_attn_scalar, b.query_pre_attn_scalar);
    number("text_config.attn_logit_softcapping", a.attention_softcap, b.attention_softcap);
    number("text_config.final_logit_softcapping", a.final_softcap, b.final_softcap);
    number("text_config.rope_theta", a.rope_theta, b.rope_theta);
    number("text_config.rms_norm_eps", a.norm_eps, b.norm_eps);
    if (a.layers == b.layers) // otherwise the layers cannot be paired
        for (std::size_t layer = 0; layer < a.layers; ++layer) {
            const std::size_t first = a.window(layer), second = b.window(layer);
            if (first == second) continue;
            size("text_config.sliding_window of layer " + std::to_string(layer), first, second);
            break; // the others differ alike
        }
    size("vision_config.image_size", a.vision.image_size, b.vision.image_size);
    size("vision_config.patch_size", a.vision.patch_size, b.vision.patch_size);
    size("vision_config.hidden_size", a.vision.hidden, b.vision.hidden);
    size("vision_config.num_hidden_layers", a.vision.layers, b.vision.layers);
    size("vision_config.intermediate_size", a.vision.intermediate, b.vision.intermediate);
    size("vision_config.num_attention_heads", a.vision.heads, b.vision.heads);
    number("vision_config.layer_norm_eps", a.vision.norm_eps, b.vision.norm_eps);
    return out;
}

} // namespace pali::inline PALI_ABI

// Body of registry.hpp: every variant is compared, which takes long to compile.

namespace pali::inline PALI_ABI {

PALI_INLINE std::optional<std::string_view> matching_variant(const dynamic& sizes) {
    std::optional<std::string_view> found;
    std::apply([&](const auto&... v) {
        const auto check = [&](const auto& one) {
            if (!found && differences(sizes_of(typename std::decay_t<decltype(one)>::type{}), sizes).empty()) found = one.name;
        };
        (check(v), ...);
    }, variants);
    return found;
}

} // namespace pali::inline PALI_ABI

// A picture: red, green and blue bytes.

namespace pali::inline PALI_ABI {

/// An RGB picture of 8 bits a channel, row by row from the top left, without padding.
struct image {
    std::size_t width = 0;  ///< pixels
    std::size_t height = 0; ///< pixels
    std::vector<std::uint8_t> pixels; ///< height * width * 3

    image() = default;
    /// A black picture.
    image(std::size_t columns, std::size_t lines) : width(columns), height(lines), pixels(columns * lines * 3) {}

    /// The three channels of the pixel at column x of row y; not checked.
    [[nodiscard]] std::uint8_t* at(std::size_t x, std::size_t y) noexcept { return pixels.data() + (y * width + x) * 3; }
    /// The same, to read.
    [[nodiscard]] const std::uint8_t* at(std::size_t x, std::size_t y) const noexcept { return pixels.data() + (y * width + x) * 3; }

    friend bool operator==(const image&, const image&) = default;
};

} // namespace pali::inline PALI_ABI

// Pictures from files and memory, told apart by what they contain and not by their name.

#include <filesystem>
#include <functional>
#include <span>

namespace pali::inline PALI_ABI {

/// How a picture is read. The limits are checked against its header, before memory is allocated for its pixels.
struct read_options {
    bool keep_exif_orientation = false; ///< leaves JPEG, PNG and WebP as stored instead of turning them upright as their metadata asks
    std::size_t max_side = 65500;       ///< pixels; the most that a JPEG can have
    std::size_t max_pixels = 178956970; ///< pixels; where Pillow warns of a decompression bomb
    /// Called with one sentence where the picture was read but may not look as intended: 16-bit grey that is clipped to white. May be empty.
    std::function<void(std::string_view)> on_warning = {};
};

/// Reads a picture from a file, recognised by its content and not by its name: JPEG, PNG, GIF (first frame), BMP, TGA, PNM (P1 to P6), and, where their libraries
/// were found, WebP (first frame), HEIC, AVIF and TIFF (first page).
/// The pixels are those of Pillow's `exif_transpose(picture).convert("RGB")`: alpha is dropped, not blended; 16-bit colour keeps its high byte; 16-bit grey is
/// clipped to 255. HEIC and AVIF are turned by their container and TIFF by its orientation tag, whatever `options` says.
/// Throws `cannot_open`, `unsupported_image` (a format or variant that this build does not read), `image_too_large` (over the limits of `options`), and
/// `malformed_image` (damaged or truncated).
[[nodiscard]] image read_image(const std::filesystem::path& path, const read_options& options = {});

/// A picture from the bytes of such a file; `name` stands for it in messages. Throws as read_image does.
[[nodiscard]] image decode_image(std::span<const std::byte> bytes, const read_options& options = {}, std::string_view name = "memory");

} // namespace pali::inline PALI_ABI

// A file or folder that has to be there. For bodies.

#include <fstream>
#include <system_error>

namespace pali::inline PALI_ABI::detail {

/// What is at `path`. Throws errc::cannot_open where there is no such `kind` ("file", "folder"), with `advice` behind it, and where nobody can tell, with what the system says: a folder on
/// the way may not be searched, links may lead in a circle.
inline std::filesystem::file_status require_path(const std::filesystem::path& path, std::string_view kind, std::string_view advice = {}) {
    std::error_code failure;
    const std::filesystem::file_status status = std::filesystem::status(path, failure); // follows links: Hugging Face's cache is made of them
    if (std::filesystem::exists(status)) return status;
    if (status.type() == std::filesystem::file_type::not_found) throw error(errc::cannot_open, {path.string(), ": there is no such ", kind, advice});
    throw error(errc::cannot_open, {path.string(), ": cannot be reached: ", failure.message()});
}

/// A regular file, open to be read. Throws errc::cannot_open.
[[nodiscard]] inline std::ifstream open_file(const std::filesystem::path& path) {
    if (!std::filesystem::is_regular_file(require_path(path, "file"))) throw error(errc::cannot_open, {path.string(), ": is no regular file"});
    std::ifstream file(path, std::ios::binary);
    if (!file) throw error(errc::cannot_open, {path.string(), ": cannot be read"});
    return file;
}

} // namespace pali::inline PALI_ABI::detail

// What every decoder is given, and how it reads and refuses untrusted bytes.

namespace pali::inline PALI_ABI::image_detail {

/// The bytes of one picture, its name for messages, and the limits it must keep.
struct source {
    std::span<const std::byte> bytes;
    std::string_view name;
    const read_options& options;

    [[nodiscard]] const unsigned char* data() const noexcept { return reinterpret_cast<const unsigned char*>(bytes.data()); }
    [[nodiscard]] std::size_t size() const noexcept { return bytes.size(); }
};

[[noreturn]] PALI_INLINE void refuse(errc code, const source& from, const error_text& why) {
    throw error(code, {from.name, ": ", why});
}

[[noreturn]] PALI_INLINE void malformed(const source& from, const error_text& why) { refuse(errc::malformed_image, from, why); }

/// The bytes end before the picture does.
[[noreturn]] PALI_INLINE void truncated(const source& from, const char* format) {
    malformed(from, {"the ", format, " is truncated: it ends after ", from.size(), " bytes, before its last pixel; copy or download it again"});
}

/// All bytes are there, but not all of them are valid.
[[noreturn]] PALI_INLINE void damaged(const source& from, const char* format, const error_text& why) {
    malformed(from, {"the ", format, " is damaged: ", why});
}

/// Throws unless a picture of this size is within the limits: called before anything is allocated for it.
PALI_INLINE void check_size(const source& from, std::size_t width, std::size_t height) {
    if (width == 0 || height == 0)
        malformed(from, {"the picture is ", width, " x ", height, " pixels; it has nothing to show"});
    const read_options& most = from.options;
    if (width > most.max_side || height > most.max_side)
        refuse(errc::image_too_large, from, {"the picture is ", width, " x ", height, " pixels; a side may have ", most.max_side, ": raise max_side if you trust the file"});
    if (width > most.max_pixels / height)
        refuse(errc::image_too_large, from, {"the picture is ", width, " x ", height, " pixels; ", most.max_pixels, " in all are allowed: raise max_pixels if you trust the file"});
}

/// Reports grey of more than 8 bits that has `above` of `pixels` values over 255: they become white, as in Pillow.
PALI_INLINE void warn_of_clipping(const source& from, std::size_t above, std::size_t pixels) {
    if (above == 0 || !from.options.on_warning) return;
    from.options.on_warning(error_text{from.name, ": grey of more than 8 bits: ", above, " of ", pixels,
                                       " pixels are above 255 and are clipped to white, as by Pillow; scale the picture to 8 bits first"}.str());
}

/// Reads numbers one after the other, and throws `malformed_image` where the bytes end.
class cursor {
public:
    cursor(const source& from, const char* format, std::size_t at = 0) : m_from(from), m_format(format) { take(at); }

    [[nodiscard]] std::size_t position() const noexcept { return m_at; }
    [[nodiscard]] std::size_t left() const noexcept { return m_from.size() - m_at; }
    [[nodiscard]] bool at_end() const noexcept { return left() == 0; }

    /// The next `count` bytes.
    const unsigned char* take(std::size_t count) {
        if (count > left()) truncated(m_from, m_format);
        const unsigned char* taken = m_from.data() + m_at;
        m_at += count;
        return taken;
    }
    std::uint8_t u8() { return *take(1); }
    std::uint16_t u16() { // little-endian
        const unsigned char* b = take(2);
        return static_cast<std::uint16_t>(b[0] | b[1] << 8);
    }
    std::uint32_t u32() { // little-endian
        const unsigned char* b = take(4);
        return b[0] | static_cast<std::uint32_t>(b[1]) << 8 | static_cast<std::uint32_t>(b[2]) << 16 | static_cast<std::uint32_t>(b[3]) << 24;
    }

private:
    const source& m_from;
    const char* m_format;
    std::size_t m_at = 0;
};

} // namespace pali::inline PALI_ABI::image_detail

// BMP: OS/2 and Windows headers, 1 to 32 bits, palettes, bit fields, RLE4 and RLE8. Truncated pixels are an error.

#include <bit>
#include <cstring>

namespace pali::inline PALI_ABI::image_detail {

/// The headers, as far as they concern the pixels.
struct bmp_header {
    std::size_t size = 0; ///< of the information header, in bytes
    std::size_t width = 0, height = 0;
    bool top_down = false;
    std::size_t bits = 0;          ///< per pixel
    std::uint32_t compression = 0; ///< 0: none, 1: RLE8, 2: RLE4, 3: bit fields
    std::size_t colours = 0;       ///< of the palette, as declared
    std::size_t palette_at = 0, pixels_at = 0;
    std::array<std::uint32_t, 3> masks{}; ///< red, green, blue; with more than 8 bits per pixel

    [[nodiscard]] std::size_t colour_size() const noexcept { return size == 12 ? 3 : 4; }
    [[nodiscard]] std::size_t stride() const noexcept { return (width * bits + 31) / 32 * 4; } ///< bytes of a row, when not run-length encoded
    [[nodiscard]] bool run_lengths() const noexcept { return compression == 1 || compression == 2; }
};

PALI_INLINE void check_bmp(const source& from, const bmp_header& h) {
    if (h.compression > 3) {
        const char* const what = h.size == 64 ? "RLE24" : h.compression == 4 ? "an embedded JPEG" : h.compression == 5 ? "an embedded PNG" : "an unknown compression";
        refuse(errc::unsupported_image, from, {"a BMP with ", what, " (compression ", h.compression, ") is not supported; uncompressed, RLE4, RLE8 and bit fields are"});
    }
    if (h.bits != 1 && h.bits != 2 && h.bits != 4 && h.bits != 8 && h.bits != 16 && h.bits != 24 && h.bits != 32)
        damaged(from, "BMP", {h.bits, " bits per pixel; 1, 2, 4, 8, 16, 24 and 32 are possible"});
    if (h.bits > 8 ? h.run_lengths() : h.compression == 3)
        refuse(errc::unsupported_image, from, {"a BMP of ", h.bits, " bits per pixel with compression ", h.compression, " is not supported"});
    if (h.bits <= 8 && h.colours > 65536) damaged(from, "BMP", {"a palette of ", h.colours, " colours"});
    for (const std::uint32_t mask : h.masks)
        if (const std::uint32_t ones = mask == 0 ? 0 : mask >> std::countr_zero(mask); (ones & (ones + 1)) != 0)
            refuse(errc::unsupported_image, from, {"a BMP with a bit field of mask ", mask, ", whose bits are not adjacent, is not supported"});
}

PALI_INLINE bmp_header read_bmp_header(const source& from) {
    cursor in(from, "BMP", 10);
    bmp_header h;
    h.pixels_at = in.u32();
    h.size = in.u32();
    if (h.size != 12 && h.size != 16 && h.size != 40 && h.size != 52 && h.size != 56 && h.size != 64 && h.size != 108 && h.size != 124)
        refuse(errc::unsupported_image, from, {"a BMP with a header of ", h.size, " bytes is not supported; 12, 16, 40, 52, 56, 64, 108 and 124 are"});
    const unsigned char* const fields = in.take(h.size - 4);
    const auto field = [&](std::size_t at, std::size_t bytes) { // at this offset in the header; 0 where the header ends before it
        std::uint32_t value = 0;
        if (at + bytes <= h.size)
            for (std::size_t i = bytes; i-- > 0;) value = value << 8 | fields[at - 4 + i];
        return value;
    };
    const bool os2 = h.size == 12;
    h.width = field(4, os2 ? 2 : 4);
    const std::uint32_t height = os2 ? field(6, 2) : field(8, 4);
    h.top_down = height >> 24 == 0xff; // negative; a picture of 2^24 rows and more is over any limit
    h.height = h.top_down ? 0u - height : height;
    check_size(from, h.width, h.height);
    h.bits = field(os2 ? 10 : 14, 2);
    h.compression = os2 ? 0 : field(16, 4);
    h.colours = os2 ? 0 : field(32, 4);
    h.palette_at = in.position();

    if (h.compression == 3 && h.bits > 8) {
        for (std::size_t i = 0; i < 3; ++i) h.masks[i] = h.size >= 52 ? field(40 + 4 * i, 4) : in.u32(); // V1 headers are followed by them
        if (h.masks == std::array<std::uint32_t, 3>{} && h.bits == 32) h.masks = {0xff0000, 0xff00, 0xff};
    } else if (h.bits > 8) {
        h.masks = h.bits == 16 ? std::array<std::uint32_t, 3>{0x7c00, 0x3e0, 0x1f} : std::array<std::uint32_t, 3>{0xff0000, 0xff00, 0xff};
    }
    check_bmp(from, h);
    if (h.colours == 0) h.colours = std::size_t{1} << h.bits;
    const std::size_t palette = h.bits <= 8 ? h.colours * h.colour_size() : 0;
    if (h.pixels_at == 0) h.pixels_at = in.position() + palette;
    else if (h.pixels_at == 14 + h.size) h.pixels_at += palette; // some writers leave the palette out of the offset
    return h;
}

/// The colours of all indices: black beyond the palette.
PALI_INLINE std::array<std::array<std::uint8_t, 3>, 256> read_bmp_palette(const source& from, const bmp_header& h) {
    std::array<std::array<std::uint8_t, 3>, 256> made{};
    bool ramp = h.bits == 8 && h.colours > 2;
    for (std::size_t i = 0; i < h.colours && i < made.size(); ++i) {
        const std::size_t at = h.palette_at + i * h.colour_size();
        if (at + h.colour_size() > from.size()) break; // the declared palette may exceed the real one and the file
        for (std::size_t c = 0; c < 3; ++c) made[i][c] = from.data()[at + 2 - c];
        ramp = ramp && made[i][0] == i && made[i][1] == i && made[i][2] == i;
    }
    if (ramp) // Pillow reads these as grey values, those beyond the palette included
        for (std::size_t i = 0; i < made.size(); ++i) made[i].fill(static_cast<std::uint8_t>(i));
    return made;
}

/// The indices of RLE4 or RLE8 data, row by row in the order of the file. What the data skips is index 0.
PALI_INLINE std::vector<std::uint8_t> read_bmp_runs(const source& from, const bmp_header& h) {
    const bool nibbles = h.compression == 2;
    const std::size_t count = h.width * h.height;
    std::vector<std::uint8_t> indices(count);
    cursor in(from, "BMP", std::min(h.pixels_at, from.size()));
    std::size_t at = 0, x = 0; // the next pixel; its column, which may be the width
    while (at < count) {
        const std::size_t length = in.u8(), code = in.u8();
        if (length > 0) { // a run; what exceeds the row is dropped
            const std::size_t pixels = std::min(length, h.width - std::min(x, h.width));
            for (std::size_t i = 0; i < pixels && at < count; ++i) indices[at++] = static_cast<std::uint8_t>(!nibbles ? code : i % 2 == 0 ? code >> 4 : code & 15);
            x += pixels;
        } else if (code == 0) { // end of the row
            if (x == 0 || at % h.width != 0) at += h.width - at % h.width;
            x = 0;
        } else if (code == 1) { // end of the picture
            break;
        } else if (code == 2) { // a step to the right and to later rows
            const std::size_t right = in.u8(), rows = in.u8();
            at += right + rows * h.width;
            x = at % h.width;
        } else { // pixels one by one, padded to 16 bits; they may go on in the next row
            const std::size_t bytes = nibbles ? (code + 1) / 2 : code;
            const unsigned char* const data = in.take(std::min(bytes, in.left()));
            const std::size_t pixels = std::min(code, count - at);
            if (static_cast<std::size_t>(from.data() + from.size() - data) < (nibbles ? (pixels + 1) / 2 : pixels)) truncated(from, "BMP");
            for (std::size_t i = 0; i < pixels; ++i) indices[at++] = static_cast<std::uint8_t>(!nibbles ? data[i] : i % 2 == 0 ? data[i / 2] >> 4 : data[i / 2] & 15);
            if (bytes % 2 != 0 && !in.at_end()) in.take(1);
            x += code;
        }
    }
    return indices;
}

/// Pillow's rounding of a bit field to 8 bits: value * 255 / largest, towards 0.
struct bmp_field {
    explicit bmp_field(std::uint32_t mask) : m_mask(mask), m_shift(std::countr_zero(mask)), m_top(mask == 0 ? 1 : mask >> std::countr_zero(mask)) {}
    [[nodiscard]] std::uint8_t operator()(std::uint32_t pixel) const noexcept {
        return m_mask == 0 ? 0 : static_cast<std::uint8_t>(std::uint64_t{(pixel & m_mask) >> m_shift} * 255 / m_top);
    }

private:
    std::uint32_t m_mask;
    int m_shift;
    std::uint32_t m_top;
};

PALI_INLINE void read_bmp_rows(const source& from, const bmp_header& h, image& to) {
    const auto palette = h.bits <= 8 ? read_bmp_palette(from, h) : std::array<std::array<std::uint8_t, 3>, 256>{};
    const bool bytes = h.bits > 16 && h.masks == std::array<std::uint32_t, 3>{0xff0000, 0xff00, 0xff};
    const bmp_field red(h.masks[0]), green(h.masks[1]), blue(h.masks[2]);
    for (std::size_t y = 0; y < h.height; ++y) {
        const unsigned char* in = from.data() + h.pixels_at + y * h.stride();
        std::uint8_t* out = to.at(0, h.top_down ? y : h.height - 1 - y);
        for (std::size_t x = 0; x < h.width; ++x, out += 3) {
            if (h.bits <= 8) {
                const std::size_t bit = x * h.bits;
                std::memcpy(out, palette[in[bit / 8] >> (8 - h.bits - bit % 8) & ((1u << h.bits) - 1)].data(), 3);
                continue;
            }
            const unsigned char* const b = in + x * (h.bits / 8);
            if (bytes) {
                out[0] = b[2], out[1] = b[1], out[2] = b[0];
                continue;
            }
            std::uint32_t pixel = 0;
            for (std::size_t i = h.bits / 8; i-- > 0;) pixel = pixel << 8 | b[i];
            out[0] = red(pixel), out[1] = green(pixel), out[2] = blue(pixel);
        }
    }
}

PALI_INLINE image decode_bmp(const source& from) {
    const bmp_header h = read_bmp_header(from);
    if (!h.run_lengths()) {
        const std::size_t needed = (h.height - 1) * h.stride() + (h.width * h.bits + 7) / 8; // the last row may lack its padding
        if (h.pixels_at > from.size() || needed > from.size() - h.pixels_at) truncated(from, "BMP");
        image made(h.width, h.height);
        read_bmp_rows(from, h, made);
        return made;
    }
    const std::vector<std::uint8_t> indices = read_bmp_runs(from, h);
    const auto palette = read_bmp_palette(from, h);
    image made(h.width, h.height);
    for (std::size_t y = 0; y < h.height; ++y)
        for (std::size_t x = 0; x < h.width; ++x)
            std::memcpy(made.at(x, h.top_down ? y : h.height - 1 - y), palette[indices[y * h.width + x]].data(), 3);
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

// Files that Git LFS has not fetched: a clone without it holds a text of three lines in place of each.

namespace pali::inline PALI_ABI {

/// Whether `contents`, a file or its first 64 bytes, is a pointer. https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
[[nodiscard]] constexpr bool is_lfs_pointer(std::string_view contents) noexcept { return contents.starts_with("version https://git-lfs.github.com/spec/"); }

/// What a message says of a pointer, behind the name of the file.
inline constexpr const char* lfs_pointer_words = ": is a pointer of Git LFS and not the file itself: run git lfs pull in the folder, or download the file";

/// Throws errc::malformed_file for a file that is a pointer. What else a file is, or that there is none, is left to its reader.
inline void refuse_lfs_pointer(const std::filesystem::path& path) {
    std::error_code unknown;
    if (!std::filesystem::is_regular_file(path, unknown)) return;
    char begin[64]{};
    std::ifstream(path, std::ios::binary).read(begin, sizeof begin);
    if (is_lfs_pointer(std::string_view(begin, sizeof begin))) throw error(errc::malformed_file, {path.string(), lfs_pointer_words});
}

} // namespace pali::inline PALI_ABI

// Which libraries this build reads pictures with: the build says so, or else the headers that are there do.

#ifndef PALI_WITH_JPEG
#  if __has_include(<jpeglib.h>)
#    define PALI_WITH_JPEG 1
#  else
#    define PALI_WITH_JPEG 0
#  endif
#endif
#ifndef PALI_WITH_PNG
#  if __has_include(<png.h>)
#    define PALI_WITH_PNG 1
#  else
#    define PALI_WITH_PNG 0
#  endif
#endif
#ifndef PALI_WITH_WEBP
#  if __has_include(<webp/decode.h>)
#    define PALI_WITH_WEBP 1
#  else
#    define PALI_WITH_WEBP 0
#  endif
#endif
#ifndef PALI_WITH_HEIF
#  if __has_include(<libheif/heif.h>)
#    define PALI_WITH_HEIF 1
#  else
#    define PALI_WITH_HEIF 0
#  endif
#endif
#ifndef PALI_WITH_TIFF
#  if __has_include(<tiffvers.h>)
#    include <tiffvers.h>
#  endif
#  if defined(TIFFLIB_VERSION) && TIFFLIB_VERSION >= 20221213 // 4.5: errors are reported for each file, and not to the process
#    define PALI_WITH_TIFF 1
#  else
#    define PALI_WITH_TIFF 0
#  endif
#endif
#ifndef PALI_WITH_STB
#  if __has_include(<stb/stb_image.h>) || __has_include(<stb_image.h>)
#    define PALI_WITH_STB 1
#  else
#    define PALI_WITH_STB 0
#  endif
#endif

// PBM, PGM and PPM, as text (P1 to P3) or bytes (P4 to P6), with any largest value up to 65535.

#include <cmath>

namespace pali::inline PALI_ABI::image_detail {

PALI_INLINE bool is_pnm_space(std::uint8_t c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

/// The next number in text; comments run from '#' to the end of the line. Takes the one white space behind it.
PALI_INLINE std::size_t read_pnm_number(const source& from, cursor& in) {
    std::uint8_t c = in.u8();
    while (is_pnm_space(c) || c == '#') {
        if (c == '#')
            while (c != '\n' && c != '\r') c = in.u8();
        c = in.u8();
    }
    std::size_t value = 0;
    for (int digits = 0;; ++digits) {
        if (c < '0' || c > '9' || digits == 10) damaged(from, "PNM", "it has something other than a number where one is due");
        value = value * 10 + (c - std::size_t{'0'});
        if (in.at_end()) return value;
        c = in.u8();
        if (is_pnm_space(c)) return value;
        if (c == '#') {
            while (c != '\n' && c != '\r' && !in.at_end()) c = in.u8();
            return value;
        }
    }
}

/// One pixel of text PBM: white space between them is optional.
PALI_INLINE bool read_pnm_bit(const source& from, cursor& in) {
    for (;;) {
        std::uint8_t c = in.u8();
        if (c == '#')
            while (c != '\n' && c != '\r') c = in.u8();
        if (is_pnm_space(c)) continue;
        if (c != '0' && c != '1') damaged(from, "PBM", "it has something other than 0 and 1");
        return c == '1';
    }
}

PALI_INLINE image decode_pnm(const source& from) {
    cursor in(from, "PNM", 1);
    const int kind = in.u8() - '0';
    const bool text = kind <= 3, bits = kind % 3 == 1;
    const std::size_t channels = kind % 3 == 0 ? 3 : 1;
    in.take(1);
    const std::size_t width = read_pnm_number(from, in), height = read_pnm_number(from, in);
    const std::size_t top = bits ? 1 : read_pnm_number(from, in);
    if (top < 1 || top > 65535) damaged(from, "PNM", {"its largest value is ", top, "; 1 to 65535 are possible"});
    check_size(from, width, height);
    // Each value takes a byte at the least (text: a bit of PBM may), so that a short file is refused before memory is taken.
    const std::size_t row = bits && !text ? (width + 7) / 8 : width * channels;
    const std::size_t value_size = !text && top > 255 ? 2 : 1;
    if (row * value_size * height > in.left()) truncated(from, "PNM");

    // Pillow keeps 16-bit grey as it is and clips it when it converts to RGB; everything else is scaled, halves to even.
    const bool clipped = channels == 1 && top > 255;
    std::size_t above = 0;
    const auto scaled = [&](std::size_t value) {
        if (text && value > top)
            damaged(from, "PNM", {"it has a value of ", value, ", above its largest of ", top});
        const double share = static_cast<double>(value) / static_cast<double>(top);
        const double level = std::nearbyint(share * (clipped ? 65535.0 : 255.0));
        if (level > 255.0) ++above;
        return static_cast<std::uint8_t>(std::min(level, 255.0));
    };
    std::array<std::uint8_t, 256> bytes{};
    if (!text && top <= 255)
        for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = scaled(i);

    image made(width, height);
    for (std::size_t y = 0; y < height; ++y) {
        const unsigned char* data = text ? nullptr : in.take(row * value_size);
        std::uint8_t* out = made.at(0, y);
        for (std::size_t i = 0; i < width * channels; ++i) {
            std::uint8_t value = 0;
            if (bits) value = (text ? read_pnm_bit(from, in) : (data[i / 8] >> (7 - i % 8) & 1) != 0) ? 0 : 255; // 1 is black
            else if (text) value = scaled(read_pnm_number(from, in));
            else if (value_size == 1) value = bytes[data[i]];
            else value = scaled(static_cast<std::size_t>(data[2 * i] << 8 | data[2 * i + 1]));
            if (channels == 3) out[i] = value;
            else out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = value;
        }
    }
    warn_of_clipping(from, above, width * height);
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

// TGA: colour-mapped, true-colour and grey, 1 to 32 bits, raw and run-length encoded. Truncated pixels are an error.

#include <algorithm>

namespace pali::inline PALI_ABI::image_detail {

struct tga_header {
    std::size_t id_size = 0; ///< bytes behind the header, not used
    bool mapped = false;     ///< a colour map follows
    unsigned kind = 0;       ///< 1: indices, 2: colours, 3: grey
    bool run_lengths = false;
    std::size_t map_first = 0, map_size = 0, map_bits = 0;
    std::size_t width = 0, height = 0, bits = 0;
    bool from_right = false, from_top = false;

    [[nodiscard]] std::size_t pixel_size() const noexcept { return (bits + 7) / 8; } ///< bytes
};

/// The header, or nothing where the fields do not fit together: TGA has no signature to tell it by.
PALI_INLINE bool read_tga_header(std::span<const std::byte> bytes, tga_header& h) {
    if (bytes.size() < 18) return false;
    const auto u8 = [&](std::size_t at) { return std::to_integer<unsigned>(bytes[at]); };
    const auto u16 = [&](std::size_t at) { return std::size_t{u8(at)} | std::size_t{u8(at + 1)} << 8; };
    h = {u8(0), u8(1) == 1, u8(2) & 7, (u8(2) & 8) != 0, u16(3), u16(5), u8(7), u16(12), u16(14), u8(16), (u8(17) & 0x10) != 0, (u8(17) & 0x20) != 0};
    if (u8(1) > 1 || u8(2) > 15 || (u8(17) & 0xc0) != 0 || h.width == 0 || h.height == 0) return false;
    const auto wide = [](std::size_t bits) { return bits == 15 || bits == 16 || bits == 24 || bits == 32; };
    if (h.mapped && !wide(h.map_bits)) return false;
    switch (h.kind) {
    case 1: return h.mapped && h.bits == 8;
    case 2: return wide(h.bits);
    case 3: return !h.mapped && (h.bits == 1 || h.bits == 8 || h.bits == 16); // 16: grey and alpha
    default: return false;
    }
}

/// A colour of 15, 16, 24 or 32 bits; fields of 5 bits are rounded as by Pillow.
PALI_INLINE void read_tga_colour(const unsigned char* in, std::size_t bits, std::uint8_t* out) noexcept {
    if (bits > 16) {
        out[0] = in[2], out[1] = in[1], out[2] = in[0];
        return;
    }
    const unsigned pixel = in[0] | static_cast<unsigned>(in[1]) << 8;
    for (unsigned c = 0; c < 3; ++c) out[c] = static_cast<std::uint8_t>((pixel >> (10 - 5 * c) & 31) * 255 / 31);
}

PALI_INLINE image decode_tga(const source& from) {
    cursor in(from, "TGA");
    in.take(18);
    tga_header h;
    (void)read_tga_header(from.bytes, h); // succeeded when the format was recognised
    check_size(from, h.width, h.height);
    in.take(h.id_size);
    std::array<std::array<std::uint8_t, 3>, 256> map{}; // indices outside are black
    if (h.mapped) {
        const std::size_t size = (h.map_bits + 7) / 8;
        const unsigned char* const colours = in.take(h.map_size * size);
        for (std::size_t i = 0; i < h.map_size && h.map_first + i < map.size(); ++i) read_tga_colour(colours + i * size, h.map_bits, map[h.map_first + i].data());
    }

    const std::size_t size = h.pixel_size(), stride = h.bits == 1 ? (h.width + 7) / 8 : h.width * size;
    const unsigned char* rows = nullptr;
    std::vector<unsigned char> unpacked;
    if (!h.run_lengths) {
        rows = in.take(stride * h.height);
    } else {
        const std::size_t total = stride * h.height;
        if (total / 128 > in.left()) truncated(from, "TGA"); // a packet of 1 + size bytes stands for 128 pixels at most
        unpacked.reserve(total);
        while (unpacked.size() < total) { // packets may cross rows
            const std::size_t packet = in.u8(), pixels = (packet & 127) + 1;
            const unsigned char* const data = in.take(packet >= 128 ? size : pixels * size);
            for (std::size_t i = 0; i < pixels && unpacked.size() < total; ++i) {
                const unsigned char* const pixel = data + (packet >= 128 ? 0 : i * size);
                unpacked.insert(unpacked.end(), pixel, pixel + size);
            }
        }
        rows = unpacked.data();
    }

    image made(h.width, h.height);
    for (std::size_t y = 0; y < h.height; ++y)
        for (std::size_t x = 0; x < h.width; ++x) {
            const unsigned char* const pixel = rows + y * stride + (h.bits == 1 ? x / 8 : x * size);
            std::uint8_t* const out = made.at(h.from_right ? h.width - 1 - x : x, h.from_top ? y : h.height - 1 - y);
            if (h.kind == 2) read_tga_colour(pixel, h.bits, out);
            else if (h.kind == 1) std::copy_n(map[*pixel].data(), 3, out);
            else std::fill_n(out, 3, h.bits == 1 ? static_cast<std::uint8_t>((*pixel >> (7 - x % 8) & 1) != 0 ? 255 : 0) : *pixel);
        }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

// Which format a file has, told by its first bytes; formats that no build reads are recognised to be named in messages.

namespace pali::inline PALI_ABI::image_detail {

enum class format { jpeg, png, webp, gif, bmp, pnm, tga, tiff, heic, avif, unknown };

/// HEIC and AVIF share a container, which begins with a box of brands: size, "ftyp", major brand, version, compatible brands.
PALI_INLINE format heif_format(const source& from) {
    const unsigned char* b = from.data();
    if (from.size() < 12 || std::memcmp(b + 4, "ftyp", 4) != 0) return format::unknown;
    const std::size_t box = static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1] << 16 | b[2] << 8 | b[3]);
    format found = format::unknown;
    for (std::size_t at = 8; at + 4 <= std::min(box, from.size()); at += at == 8 ? 8 : 4) {
        const std::string_view brand(reinterpret_cast<const char*>(b + at), 4);
        if (brand == "avif" || brand == "avis") return format::avif;
        for (const std::string_view heic : {"heic", "heix", "heim", "heis", "hevc", "hevx", "hevm", "hevs", "mif1", "msf1"})
            if (brand == heic) found = format::heic;
    }
    return found;
}

PALI_INLINE bool begins_with(const source& from, std::string_view mark, std::size_t at = 0) {
    return from.size() >= at + mark.size() && std::memcmp(from.data() + at, mark.data(), mark.size()) == 0;
}

PALI_INLINE format format_of(const source& from) {
    using namespace std::string_view_literals;
    const unsigned char* b = from.data();
    if (begins_with(from, "\xff\xd8\xff")) return format::jpeg;
    if (begins_with(from, "\x89PNG\r\n\x1a\n")) return format::png;
    if (begins_with(from, "RIFF") && begins_with(from, "WEBP", 8)) return format::webp;
    if (begins_with(from, "GIF87a") || begins_with(from, "GIF89a")) return format::gif;
    if (begins_with(from, "BM") && from.size() >= 18 && b[15] == 0 && b[16] == 0 && b[17] == 0) return format::bmp;
    if (from.size() >= 3 && b[0] == 'P' && b[1] >= '1' && b[1] <= '6' && is_pnm_space(b[2])) return format::pnm;
    for (const std::string_view mark : {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv}) // the last two: BigTIFF
        if (begins_with(from, mark)) return format::tiff;
    if (const format heif = heif_format(from); heif != format::unknown) return heif;
    tga_header h;
    return read_tga_header(from.bytes, h) ? format::tga : format::unknown;
}

/// A name for what no build reads; null where it is not known either.
PALI_INLINE const char* unread_format(const source& from) {
    using namespace std::string_view_literals;
    struct known {
        std::string_view mark;
        const char* name;
    };
    for (const known& k : {known{"\xff\x0a"sv, "JPEG XL"}, known{"\0\0\0\x0cJXL "sv, "JPEG XL"}, known{"\0\0\0\x0cjP  "sv, "JPEG 2000"},
                           known{"\xff\x4f\xff\x51"sv, "JPEG 2000"}, known{"8BPS"sv, "a Photoshop document"}, known{"%PDF-"sv, "PDF"}, known{"\0\0\1\0"sv, "ICO"},
                           known{"\x76\x2f\x31\x01"sv, "OpenEXR"}, known{"<svg"sv, "SVG"}, known{"<?xml"sv, "XML, such as SVG"}, known{"<!DOCTYPE"sv, "an HTML page"},
                           known{"<html"sv, "an HTML page"}})
        if (begins_with(from, k.mark)) return k.name;
    return nullptr;
}

/// What this build reads, for messages: "JPEG, PNG, GIF, BMP, TGA and PNM".
PALI_INLINE std::string formats_read() {
    constexpr bool jpeg = PALI_WITH_JPEG || PALI_WITH_STB, png = PALI_WITH_PNG || PALI_WITH_STB;
    std::string list = jpeg ? "JPEG, " : "";
    if (png) list += "PNG, ";
    if (PALI_WITH_WEBP) list += "WebP, ";
    if (PALI_WITH_HEIF) list += "HEIC, AVIF, ";
    if (PALI_WITH_TIFF) list += "TIFF, ";
    return list + "GIF, BMP, TGA and PNM";
}

/// A format whose library this build was made without.
[[noreturn]] PALI_INLINE void unsupported(const source& from, const char* format, const char* library) {
    refuse(errc::unsupported_image, from,
           {"the file is ", format, ", which this build of pali cannot read: it was made without ", library, ". It reads ", formats_read(), "; convert the file to one of these"});
}

[[noreturn]] PALI_INLINE void unknown_format(const source& from) {
    if (is_lfs_pointer({reinterpret_cast<const char*>(from.data()), from.size()})) throw error(errc::unsupported_image, {from.name, lfs_pointer_words});
    const char* const name = unread_format(from);
    refuse(errc::unsupported_image, from,
           {from.size() == 0 ? "the file is empty" : name == nullptr ? "not a picture of a known format" : "the file is ", name == nullptr ? "" : name,
            name == nullptr ? "" : ", which is not supported", "; pali reads ", formats_read()});
}

} // namespace pali::inline PALI_ABI::image_detail

// The first frame of a GIF, as Pillow shows it: transparent pixels have their palette's colour.

namespace pali::inline PALI_ABI::image_detail {

using gif_palette = std::array<std::array<std::uint8_t, 3>, 256>;

PALI_INLINE gif_palette grey_palette() {
    gif_palette made{};
    for (std::size_t i = 0; i < made.size(); ++i) made[i].fill(static_cast<std::uint8_t>(i));
    return made;
}

/// A palette that is the ramp of greys as far as it goes means grey; in others, an index past the end is black.
PALI_INLINE gif_palette read_gif_palette(cursor& in, unsigned flags) {
    const std::size_t count = std::size_t{2} << (flags & 7);
    const unsigned char* colours = in.take(count * 3);
    gif_palette made{};
    std::memcpy(made.data(), colours, count * 3);
    const gif_palette grey = grey_palette();
    return std::memcmp(made.data(), grey.data(), count * 3) == 0 ? grey : made;
}

/// LZW codes out of the blocks of a frame; a block that is not all there is refused, as by Pillow.
class gif_codes {
public:
    explicit gif_codes(cursor& in) : m_in(in) {}

    /// The next `size` bits, or -1 when the blocks are at their end.
    int next(int size) {
        while (m_count < size) {
            if (m_left == 0) {
                m_left = m_in.u8();
                if (m_left == 0) return -1;
                m_block = m_in.take(m_left);
            }
            m_bits |= static_cast<std::uint32_t>(*m_block++) << m_count;
            m_count += 8;
            --m_left;
        }
        const auto code = static_cast<int>(m_bits & ((1u << size) - 1u));
        m_bits >>= size;
        m_count -= size;
        return code;
    }

private:
    cursor& m_in;
    std::uint32_t m_bits = 0;
    int m_count = 0;
    const unsigned char* m_block = nullptr;
    unsigned m_left = 0; // bytes of the block
};

/// `count` palette indices. What follows the last of them is not looked at.
PALI_INLINE std::vector<std::uint8_t> read_gif_indices(const source& from, cursor& in, std::size_t count) {
    constexpr int most_codes = 4096;
    const int root = in.u8();
    if (root > 12) damaged(from, "GIF", {"codes of ", root, " bits; 0 to 12 are possible"});
    const int clear = 1 << root, end = clear + 1;
    std::array<std::uint16_t, most_codes> prefix{};
    std::array<std::uint8_t, most_codes> last{}; // of roots of over 8 bits, which no palette has, the low byte
    std::array<std::uint8_t, most_codes + 1> reversed{};
    for (int i = 0; i < clear; ++i) last[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(i);

    gif_codes codes(in);
    std::vector<std::uint8_t> indices;
    indices.reserve(count);
    int size = root + 1, next = clear + 2, before = -1;
    std::uint8_t first = 0; // of what `before` stood for
    while (indices.size() < count) {
        const int code = codes.next(size);
        if (code < 0 || code == end) damaged(from, "GIF", {"the data of its first frame ends after ", indices.size(), " of ", count, " pixels"});
        if (code == clear) {
            size = root + 1;
            next = clear + 2;
            before = -1;
            continue;
        }
        if (code > next || (code == next && next >= most_codes) || (code > end && before < 0)) damaged(from, "GIF", "it has a code that is not defined");
        // A code is a chain from its last index to its first; the one being defined is the one before and its own first.
        std::size_t length = 0;
        int at = code;
        if (code == next) {
            reversed[length++] = first;
            at = before;
        }
        while (at > end) {
            reversed[length++] = last[static_cast<std::size_t>(at)];
            at = prefix[static_cast<std::size_t>(at)];
        }
        first = last[static_cast<std::size_t>(at)];
        reversed[length++] = first;
        while (length > 0 && indices.size() < count) indices.push_back(reversed[--length]);
        if (before >= 0 && next < most_codes) {
            prefix[static_cast<std::size_t>(next)] = static_cast<std::uint16_t>(before);
            last[static_cast<std::size_t>(next)] = first;
            ++next;
            if (next == 1 << size && size < 12) ++size;
        }
        before = code;
    }
    return indices;
}

/// Row `i` as stored is this row of the picture: every 8th, every 8th from 4, every 4th from 2, every 2nd from 1.
PALI_INLINE std::size_t gif_row(std::size_t i, std::size_t height, bool interlaced) {
    if (!interlaced) return i;
    for (const auto& [start, step] : {std::array<std::size_t, 2>{0, 8}, {4, 8}, {2, 4}, {1, 2}}) {
        const std::size_t rows = start < height ? (height - start + step - 1) / step : 0;
        if (i < rows) return start + i * step;
        i -= rows;
    }
    return 0;
}

PALI_INLINE image decode_gif(const source& from) {
    cursor in(from, "GIF", 6);
    std::size_t width = in.u16(), height = in.u16();
    const unsigned screen_flags = in.u8();
    in.take(2); // background colour, pixel aspect: Pillow uses neither here
    gif_palette palette = (screen_flags & 0x80) != 0 ? read_gif_palette(in, screen_flags) : grey_palette();
    std::size_t backdrop = 0; // the index of what the frame leaves open
    for (std::uint8_t tag = in.u8(); tag != ','; tag = in.u8()) {
        if (tag == ';') damaged(from, "GIF", "it has no frame");
        if (tag != '!') continue;
        const bool control = in.u8() == 0xf9;
        bool leading = true;
        for (std::size_t size = in.u8(); size != 0; size = in.u8()) {
            const unsigned char* block = in.take(size);
            if (control && leading && size >= 4 && (block[0] & 1) != 0) backdrop = block[3];
            leading = false;
        }
    }
    const std::size_t left = in.u16(), top = in.u16(), frame_width = in.u16(), frame_height = in.u16();
    const unsigned flags = in.u8();
    if ((flags & 0x80) != 0) palette = read_gif_palette(in, flags);
    width = std::max(width, left + frame_width);
    height = std::max(height, top + frame_height);
    check_size(from, width, height);

    image made(width, height);
    const std::vector<std::uint8_t> indices = read_gif_indices(from, in, frame_width * frame_height);
    if (indices.size() != width * height)
        for (std::size_t i = 0; i < width * height; ++i) std::memcpy(made.pixels.data() + 3 * i, palette[backdrop].data(), 3);
    for (std::size_t i = 0; i < frame_height; ++i) {
        std::uint8_t* out = made.at(left, top + gif_row(i, frame_height, (flags & 0x40) != 0));
        for (std::size_t x = 0; x < frame_width; ++x, out += 3) std::memcpy(out, palette[indices[i * frame_width + x]].data(), 3);
    }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

// Orientation out of EXIF and XMP metadata, and its effect on pixels. Which bytes of a file are metadata: orientation.ipp.

namespace pali::inline PALI_ABI::image_detail {

/// The metadata of a picture that may hold its orientation.
struct picture_metadata {
    std::vector<std::byte> exif; ///< TIFF data, with or without "Exif\0\0" in front
    std::string_view xmp;        ///< XML, within the file or within `unpacked`
    std::string unpacked;        ///< XMP that was compressed
};

/// The orientation tag (0x0112) of EXIF data, 0 where its value is no whole number; nothing where the tag is absent or the data is invalid. As in Pillow the first
/// readable entry counts, and none behind an entry whose data lies outside.
PALI_INLINE std::optional<std::int64_t> exif_orientation(std::span<const std::byte> tiff) {
    for (int i = 0; i < 2 && tiff.size() >= 6 && std::memcmp(tiff.data(), "Exif\0\0", 6) == 0; ++i) tiff = tiff.subspan(6); // some writers repeat it
    if (tiff.size() < 8) return std::nullopt;
    const auto* data = reinterpret_cast<const unsigned char*>(tiff.data());
    const bool little = data[0] == 'I';
    if (std::memcmp(data, little ? "II" : "MM", 2) != 0 || (std::memcmp(data + 2, "\0*", 2) != 0 && std::memcmp(data + 2, "*\0", 2) != 0)) return std::nullopt;
    const auto number = [&](std::uint64_t at, std::size_t size) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < size; ++i) value = value << 8 | data[at + (little ? size - 1 - i : i)];
        return value;
    };
    const std::uint64_t directory = number(4, 4);
    if (directory > tiff.size() - 2) return std::nullopt;
    const std::uint64_t entries = number(directory, 2);
    constexpr std::uint64_t entry_size = 12, orientation_tag = 0x0112;
    constexpr std::array<std::uint8_t, 14> sizes{0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4}; // of a value, by type
    for (std::uint64_t i = 0; i < entries; ++i) {
        const std::uint64_t at = directory + 2 + i * entry_size;
        if (at + entry_size > tiff.size()) break;
        const std::uint64_t type = number(at + 2, 2);
        const std::uint64_t bytes = type < sizes.size() ? number(at + 4, 4) * sizes[type] : 0;
        if (bytes == 0 || bytes > tiff.size()) continue;
        const std::uint64_t values = bytes > 4 ? number(at + 8, 4) : at + 8;
        if (values + bytes > tiff.size()) break;
        if (number(at, 2) != orientation_tag) continue;
        switch (type) {
        case 3: return static_cast<std::int64_t>(number(values, 2)); // SHORT
        case 4:                                                      // LONG
        case 13: return static_cast<std::int64_t>(number(values, 4)); // IFD
        case 6: return static_cast<std::int8_t>(number(values, 1));   // SBYTE
        case 8: return static_cast<std::int16_t>(number(values, 2));  // SSHORT
        case 9: return static_cast<std::int32_t>(number(values, 4));  // SLONG
        default: return 0;
        }
    }
    return std::nullopt;
}

/// The first tiff:Orientation of XMP, as an attribute or an element, whose value is a digit.
PALI_INLINE std::optional<std::int64_t> xmp_orientation(std::string_view xmp) {
    constexpr std::string_view name = "tiff:Orientation";
    for (std::size_t at = xmp.find(name); at != xmp.npos; at = xmp.find(name, at)) {
        at += name.size();
        const std::string_view rest = xmp.substr(at);
        const std::size_t digit = rest.starts_with("=\"") ? 2 : rest.starts_with(">") ? 1 : rest.size();
        if (digit < rest.size() && rest[digit] >= '0' && rest[digit] <= '9') return rest[digit] - '0';
    }
    return std::nullopt;
}

/// 1 to 8. As in Pillow, XMP counts where EXIF has no orientation tag, and a value outside 1 to 8 means upright.
PALI_INLINE int orientation_of(const picture_metadata& from) {
    std::optional<std::int64_t> found = exif_orientation(from.exif);
    if (!found) found = xmp_orientation(from.unpacked.empty() ? from.xmp : std::string_view(from.unpacked));
    const std::int64_t value = found.value_or(1);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
}

/// Turns a picture with this orientation upright: bit 2 of (orientation - 1) transposes, the other bits mirror.
PALI_INLINE image upright(image from, int orientation) {
    if (orientation == 1) return from;
    const bool transposed = orientation >= 5;
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    image made(transposed ? from.height : from.width, transposed ? from.width : from.height);
    for (std::size_t y = 0; y < made.height; ++y)
        for (std::size_t x = 0; x < made.width; ++x) {
            const std::size_t column = transposed ? y : x, row = transposed ? x : y;
            std::memcpy(made.at(x, y), from.at(from_right ? from.width - 1 - column : column, from_bottom ? from.height - 1 - row : row), 3);
        }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

// The marker segments of a JPEG up to its first scan: frame header, EXIF, XMP, Huffman tables.

namespace pali::inline PALI_ABI::image_detail {

/// One marker segment.
struct jpeg_segment {
    unsigned marker = 0;                ///< the byte behind 0xff
    const unsigned char* data = nullptr; ///< behind the length
    std::size_t size = 0;               ///< without marker and length
};

/// Walks the segments from the start of the file. Ends before the first scan, at the end marker, and where the structure is invalid or incomplete.
class jpeg_segments {
public:
    explicit jpeg_segments(const source& from) : m_from(from) {}

    bool next(jpeg_segment& segment) {
        const unsigned char* data = m_from.data();
        while (m_from.size() - m_at >= 4 && data[m_at] == 0xff && data[m_at + 1] == 0xff) ++m_at; // fill bytes
        if (m_from.size() - m_at < 4 || data[m_at] != 0xff || data[m_at + 1] == 0xda || data[m_at + 1] == 0xd9) return false;
        const std::size_t length = static_cast<std::size_t>(data[m_at + 2] << 8 | data[m_at + 3]);
        if (length < 2 || length > m_from.size() - m_at - 2) return false;
        segment = {data[m_at + 1], data + m_at + 4, length - 2};
        m_at += 2 + length;
        return true;
    }

private:
    const source& m_from;
    std::size_t m_at = 2;
};

/// Throws `unsupported_image` for a coding process or precision that no decoder here reads, instead of leaving it to the decoder to call it damaged.
PALI_INLINE void check_jpeg_process(const source& from) {
    jpeg_segments segments(from);
    for (jpeg_segment s; segments.next(s);) {
        if (s.marker == 0xf7) refuse(errc::unsupported_image, from, "JPEG-LS is not supported; convert it to PNG");
        if (s.marker < 0xc0 || s.marker > 0xcf || s.marker == 0xc4 || s.marker == 0xc8 || s.marker == 0xcc) continue; // no frame header
        if ((s.marker & 3) == 3) refuse(errc::unsupported_image, from, "lossless JPEG is not supported; convert it to PNG");
        if ((s.marker & 4) != 0) refuse(errc::unsupported_image, from, "hierarchical JPEG is not supported; convert it to PNG");
        if (s.size > 0 && s.data[0] != 8) refuse(errc::unsupported_image, from, {"JPEG of ", unsigned{s.data[0]}, " bits per channel is not supported; 8 bits are"});
        return;
    }
}

} // namespace pali::inline PALI_ABI::image_detail

// Where JPEG, PNG and WebP keep EXIF and XMP.

#include <zlib.h>

namespace pali::inline PALI_ABI::image_detail {

PALI_INLINE int jpeg_orientation(const source& from) {
    constexpr std::string_view exif("Exif\0\0", 6), xmp("http://ns.adobe.com/xap/1.0/\0", 29);
    picture_metadata found;
    jpeg_segments segments(from);
    for (jpeg_segment s; segments.next(s);) {
        if (s.marker != 0xe1) continue;
        const std::string_view text(reinterpret_cast<const char*>(s.data), s.size);
        const auto* bytes = reinterpret_cast<const std::byte*>(s.data);
        if (text.starts_with(exif)) found.exif.insert(found.exif.end(), bytes + (found.exif.empty() ? 0 : exif.size()), bytes + s.size); // may be in several
        if (text.starts_with(xmp)) found.xmp = text.substr(xmp.size());
    }
    return orientation_of(found);
}

PALI_INLINE int webp_orientation(const source& from) {
    picture_metadata found;
    cursor in(from, "WebP", 12);
    while (in.left() >= 8) {
        const unsigned char* kind = in.take(4);
        const std::size_t length = in.u32();
        if (length > in.left()) break;
        const auto* data = reinterpret_cast<const std::byte*>(in.take(length));
        if (std::memcmp(kind, "EXIF", 4) == 0) found.exif.assign(data, data + length);
        if (std::memcmp(kind, "XMP ", 4) == 0) found.xmp = {reinterpret_cast<const char*>(data), length};
        if (length % 2 == 1 && !in.at_end()) in.take(1);
    }
    return orientation_of(found);
}

/// The text that zlib data holds; empty where the data is invalid or the text is over a MiB, as in Pillow.
PALI_INLINE std::string inflate_png_text(std::string_view packed) {
    constexpr std::size_t most = std::size_t{1} << 20;
    std::string text(most, '\0');
    z_stream stream{};
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
    stream.avail_in = static_cast<uInt>(packed.size());
    stream.next_out = reinterpret_cast<Bytef*>(text.data());
    stream.avail_out = static_cast<uInt>(most);
    if (inflateInit(&stream) != Z_OK) return {};
    const int result = inflate(&stream, Z_FINISH);
    text.resize(most - stream.avail_out);
    inflateEnd(&stream);
    return result == Z_STREAM_END ? text : std::string();
}

/// The text of a tEXt, zTXt or iTXt chunk, behind its keyword.
PALI_INLINE std::string png_text(std::string_view kind, std::string_view body) {
    if (kind == "tEXt") return std::string(body);
    if (kind == "zTXt") return body.starts_with('\0') ? inflate_png_text(body.substr(1)) : std::string();
    if (body.size() < 2) return {};
    const bool packed = body[0] == 1;
    body.remove_prefix(2);
    for (int i = 0; i < 2; ++i) { // language, translated keyword
        const std::size_t end = body.find('\0');
        if (end == body.npos) return {};
        body.remove_prefix(end + 1);
    }
    return packed ? inflate_png_text(body) : std::string(body);
}

/// What ImageMagick writes under "Raw profile type exif": three line breaks, among them a name and a length, then hexadecimal digits.
PALI_INLINE std::vector<std::byte> raw_profile(std::string_view text) {
    std::size_t at = 0;
    for (int i = 0; i < 3; ++i) {
        at = text.find('\n', at);
        if (at == text.npos) return {};
        ++at;
    }
    std::vector<std::byte> made;
    int high = -1;
    for (const char c : text.substr(at)) {
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) continue;
        if (high >= 0) made.push_back(static_cast<std::byte>(high << 4 | digit));
        high = high >= 0 ? -1 : digit;
    }
    return made;
}

PALI_INLINE int png_orientation(const source& from) {
    picture_metadata found;
    struct text_chunk {
        std::string_view kind, body;
    };
    text_chunk profile, xmp; // the last of each, decompressed once
    const unsigned char* data = from.data();
    for (std::size_t at = 8; from.size() - at >= 12;) {
        const std::size_t length =
            static_cast<std::size_t>(data[at]) << 24 | static_cast<std::size_t>(data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]);
        if (length > from.size() - at - 12) break;
        const std::string_view kind(reinterpret_cast<const char*>(data + at + 4), 4), body(reinterpret_cast<const char*>(data + at + 8), length);
        if (kind == "IEND") break;
        if (kind == "eXIf") {
            const auto exif = from.bytes.subspan(at + 8, length);
            found.exif.assign(exif.begin(), exif.end());
        } else if (kind == "tEXt" || kind == "zTXt" || kind == "iTXt") {
            const std::string_view keyword = body.substr(0, body.find('\0'));
            const std::string_view rest = body.substr(std::min(body.size(), keyword.size() + 1));
            if (keyword == "Raw profile type exif") profile = {kind, rest};
            if (keyword == "XML:com.adobe.xmp") xmp = {kind, rest};
        }
        at += length + 12;
    }
    if (found.exif.empty() && !profile.kind.empty()) found.exif = raw_profile(png_text(profile.kind, profile.body));
    if (!xmp.kind.empty()) found.unpacked = png_text(xmp.kind, xmp.body);
    return orientation_of(found);
}

} // namespace pali::inline PALI_ABI::image_detail

// Bodies of read.hpp: passes a file to the decoder of its format.

#if PALI_WITH_JPEG
// JPEG through libjpeg-turbo, with the settings that Pillow leaves at their defaults: exact DCT, smooth upsampling.

#if PALI_WITH_JPEG

#include <csetjmp>
#include <cstdio> // before jpeglib.h, which uses FILE

#include <jpeglib.h>

namespace pali::inline PALI_ABI::image_detail {

/// libjpeg with its errors led back here: it reports by longjmp, so what runs between holds nothing that needs a destructor.
class jpeg_reader {
public:
    explicit jpeg_reader(const source& from) : m_from(from) {
        m_info.err = jpeg_std_error(&m_errors);
        m_errors.error_exit = [](j_common_ptr info) { std::longjmp(of(info).m_jump, 1); };
        m_errors.output_message = [](j_common_ptr) {};
        m_info.client_data = this;
        m_progress.progress_monitor = [](j_common_ptr info) {
            // A scan costs a pass over the whole picture and may be a few bytes long; encoders write about ten.
            if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > most_scans) std::longjmp(of(info).m_jump, 1);
        };
        m_input.init_source = [](j_decompress_ptr) {};
        m_input.fill_input_buffer = [](j_decompress_ptr info) -> boolean { end_reached(info); };
        m_input.skip_input_data = [](j_decompress_ptr info, long count) {
            if (count <= 0) return;
            if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) end_reached(info);
            info->src->next_input_byte += count;
            info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
        };
        m_input.resync_to_restart = jpeg_resync_to_restart;
        m_input.term_source = [](j_decompress_ptr) {};
        m_input.next_input_byte = from.data();
        m_input.bytes_in_buffer = from.size();
    }
    jpeg_reader(const jpeg_reader&) = delete;
    jpeg_reader& operator=(const jpeg_reader&) = delete;
    ~jpeg_reader() { jpeg_destroy_decompress(&m_info); }

    image decode() {
        guard([this] {
            jpeg_create_decompress(&m_info);
            m_info.src = &m_input;
            m_info.progress = &m_progress;
            jpeg_read_header(&m_info, TRUE);
        });
        check_size(m_from, m_info.image_width, m_info.image_height);
        const int channels = m_info.num_components;
        if (channels != 1 && channels != 3 && channels != 4)
            refuse(errc::unsupported_image, m_from, {"a JPEG of ", channels, " channels; 1, 3 and 4 are read"});
        image made(m_info.image_width, m_info.image_height);
        std::vector<std::uint8_t> row(channels == 3 ? 0 : made.width * static_cast<std::size_t>(channels));
        guard([&] {
            m_info.out_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
            jpeg_start_decompress(&m_info);
            while (m_info.output_scanline < m_info.output_height) {
                std::uint8_t* const out = made.at(0, m_info.output_scanline);
                JSAMPROW to = channels == 3 ? out : row.data();
                jpeg_read_scanlines(&m_info, &to, 1);
                if (channels == 1) from_grey(to, out, made.width);
                if (channels == 4) from_inverted_cmyk(to, out, made.width);
            }
            jpeg_finish_decompress(&m_info); // reads on to the end marker: without it the file is truncated
        });
        return made;
    }

private:
    static constexpr int most_scans = 1000;

    static jpeg_reader& of(j_common_ptr info) { return *static_cast<jpeg_reader*>(info->client_data); }

    [[noreturn]] static void end_reached(j_decompress_ptr info) {
        jpeg_reader& self = of(reinterpret_cast<j_common_ptr>(info));
        self.m_ended = true;
        std::longjmp(self.m_jump, 1);
    }

    template <class Step>
    void guard(const Step& step) {
        if (setjmp(m_jump) == 0) {
            step();
            return;
        }
        if (m_ended) truncated(m_from, "JPEG");
        if (m_info.input_scan_number > most_scans)
            damaged(m_from, "JPEG", {"it has over ", most_scans, " scans"});
        char message[JMSG_LENGTH_MAX] = {};
        m_errors.format_message(reinterpret_cast<j_common_ptr>(&m_info), message);
        damaged(m_from, "JPEG", std::string_view(message));
    }

    static void from_grey(const std::uint8_t* in, std::uint8_t* out, std::size_t width) noexcept {
        for (std::size_t x = 0; x < width; ++x) out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = in[x];
    }

    /// Inks are stored inverted, as Adobe does and Pillow assumes. Pillow's Convert.c: 255 - k, less the share of the ink.
    static void from_inverted_cmyk(const std::uint8_t* in, std::uint8_t* out, std::size_t width) noexcept {
        for (std::size_t x = 0; x < width; ++x) {
            const unsigned light = in[4 * x + 3];
            for (std::size_t c = 0; c < 3; ++c) {
                const unsigned product = (255u - in[4 * x + c]) * light + 128u;
                out[3 * x + c] = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
            }
        }
    }

    const source& m_from;
    jpeg_decompress_struct m_info{};
    jpeg_error_mgr m_errors{};
    jpeg_source_mgr m_input{};
    jpeg_progress_mgr m_progress{};
    std::jmp_buf m_jump{};
    bool m_ended = false;
};

PALI_INLINE image decode_jpeg(const source& from) { return jpeg_reader(from).decode(); }

} // namespace pali::inline PALI_ABI::image_detail

#endif

#endif
#if PALI_WITH_PNG
// PNG through libpng. Bytes are pushed, so that a file that is truncated behind its last pixel still opens, as it does in Pillow.

#if PALI_WITH_PNG

#include <csetjmp>
#include <cstring>

#include <png.h>

namespace pali::inline PALI_ABI::image_detail {

/// libpng with its errors led back here: it reports by longjmp, so what runs between holds nothing that needs a destructor.
/// Rows arrive as they are stored: pass by pass when interlaced, grey and palette indices as one byte or two a pixel.
class png_reader {
public:
    explicit png_reader(const source& from) : m_from(from) {}
    png_reader(const png_reader&) = delete;
    png_reader& operator=(const png_reader&) = delete;
    ~png_reader() { png_destroy_read_struct(&m_png, &m_info, nullptr); }

    image decode() {
        read_header();
        m_image = image(m_width, m_height);
        guard([this] {
            m_png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
            m_info = m_png == nullptr ? nullptr : png_create_info_struct(m_png);
            if (m_info == nullptr) return;
            png_set_user_limits(m_png, 0x7fffffff, 0x7fffffff); // ours are checked already
            png_set_crc_action(m_png, PNG_CRC_WARN_USE, PNG_CRC_WARN_DISCARD);
            // As Pillow's: neither a header that asks for a smaller window than the data needs nor a wrong checksum is an error.
            png_set_option(m_png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
            png_set_option(m_png, PNG_IGNORE_ADLER32, PNG_OPTION_ON);
            png_set_keep_unknown_chunks(m_png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
            png_set_progressive_read_fn(
                m_png, this, [](png_structp png, png_infop) { of(png).start(); },
                [](png_structp png, png_bytep row, png_uint_32 at, int pass) { of(png).take(row, at, pass); }, [](png_structp, png_infop) {});
            png_process_data(m_png, m_info, const_cast<unsigned char*>(m_from.data()), m_from.size());
        });
        if (m_info == nullptr) throw std::bad_alloc();
        if (!complete()) incomplete("its data ends before its last pixel");
        if (m_bytes != 3) spread();
        return std::move(m_image);
    }

private:
    static png_reader& of(png_structp png) { return *static_cast<png_reader*>(png_get_progressive_ptr(png)); }

    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        png_reader& self = *static_cast<png_reader*>(png_get_error_ptr(png));
        std::strncpy(self.m_message, message, sizeof self.m_message - 1);
        std::longjmp(self.m_jump, 1);
    }

    /// A wrong checksum of pixels does not matter, one of the header or the palette does.
    static void on_warning(png_structp png, png_const_charp message) {
        constexpr png_uint_32 header_chunk = 0x49484452, palette_chunk = 0x504c5445;
        const png_uint_32 chunk = png_get_io_chunk_type(png);
        if ((chunk == header_chunk || chunk == palette_chunk) && std::strstr(message, "CRC") != nullptr) on_error(png, message);
    }

    /// Truncated where the chunks do not reach their end within the file, damaged otherwise.
    [[noreturn]] void incomplete(const char* why) const {
        for (std::size_t at = 8; m_from.size() - at >= 12;) {
            const std::size_t length = big_endian(m_from.data() + at);
            if (std::memcmp(m_from.data() + at + 4, "IEND", 4) == 0) damaged(m_from, "PNG", why);
            if (length > m_from.size() - at - 12) break;
            at += length + 12;
        }
        truncated(m_from, "PNG");
    }

    [[nodiscard]] static std::size_t big_endian(const unsigned char* b) noexcept {
        return static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1]) << 16 | static_cast<std::size_t>(b[2]) << 8 | b[3];
    }

    template <class Step>
    void guard(const Step& step) {
        if (setjmp(m_jump) == 0) {
            step();
            return;
        }
        constexpr png_uint_32 data_chunk = 0x49444154; // IDAT
        if (complete() && png_get_io_chunk_type(m_png) != data_chunk) return; // what follows the pixels does not matter
        damaged(m_from, "PNG", std::string_view(m_message));
    }

    // Before libpng sees a byte: the limits, and how many rows there will be.
    void read_header() {
        cursor in(m_from, "PNG", 8);
        const unsigned char* chunk = in.take(8);
        if (std::memcmp(chunk, "\0\0\0\x0dIHDR", 8) != 0) damaged(m_from, "PNG", "it does not begin with a header chunk");
        const unsigned char* size = in.take(8);
        m_width = big_endian(size);
        m_height = big_endian(size + 4);
        check_size(m_from, m_width, m_height);
        const bool interlaced = in.take(5)[4] == 1;
        if (!interlaced) {
            m_rows_left = m_height;
            return;
        }
        for (int pass = 0; pass < 7; ++pass)
            if (PNG_PASS_COLS(m_width, pass) > 0) m_rows_left += PNG_PASS_ROWS(m_height, pass);
    }

    void start() {
        const int type = png_get_color_type(m_png, m_info);
        m_depth = png_get_bit_depth(m_png, m_info);
        m_interlaced = png_get_interlace_type(m_png, m_info) == PNG_INTERLACE_ADAM7;
        m_palette = type == PNG_COLOR_TYPE_PALETTE;
        m_wide_grey = type == PNG_COLOR_TYPE_GRAY && m_depth == 16;
        png_set_packing(m_png);                           // 1, 2 and 4 bits: a byte each, not scaled
        if (!m_wide_grey) png_set_strip_16(m_png);        // the high byte
        if (type & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(m_png);
        png_read_update_info(m_png, m_info);
        m_bytes = (type & PNG_COLOR_MASK_COLOR) && !m_palette ? 3 : m_wide_grey ? 2 : 1;
    }

    // Pixels of one or two bytes are kept at the end of the row's three-byte pixels, and spread from there in place.
    void take(const unsigned char* row, std::size_t at, int pass) {
        if (row == nullptr || m_rows_left == 0) return;
        const std::size_t y = m_interlaced ? PNG_ROW_FROM_PASS_ROW(at, pass) : at;
        if (y >= m_height) return;
        std::uint8_t* out = m_image.at(0, y) + m_width * (3 - m_bytes);
        if (!m_interlaced) {
            std::memcpy(out, row, m_width * m_bytes);
        } else {
            for (std::size_t i = 0; i < PNG_PASS_COLS(m_width, pass); ++i)
                std::memcpy(out + PNG_COL_FROM_PASS_COL(i, pass) * m_bytes, row + i * m_bytes, m_bytes);
        }
        --m_rows_left;
    }

    [[nodiscard]] bool complete() const noexcept { return m_bytes != 0 && m_rows_left == 0; }

    void spread() {
        std::uint8_t colours[256][3] = {}; // an index past the palette is black
        if (m_palette) {
            png_colorp palette = nullptr;
            int count = 0;
            png_get_PLTE(m_png, m_info, &palette, &count);
            for (int i = 0; i < count && i < 256; ++i) {
                colours[i][0] = palette[i].red;
                colours[i][1] = palette[i].green;
                colours[i][2] = palette[i].blue;
            }
        } else {
            const int top = m_depth < 8 ? (1 << m_depth) - 1 : 255;
            for (int i = 0; i <= top; ++i) std::memset(colours[i], i * 255 / top, 3);
        }
        std::size_t above = 0;
        for (std::size_t y = 0; y < m_height; ++y) {
            std::uint8_t* const out = m_image.at(0, y);
            const std::uint8_t* const in = out + m_width * (3 - m_bytes);
            for (std::size_t x = 0; x < m_width; ++x) {
                // Pillow clips 16-bit grey to 255, but takes the high byte of 16-bit colours.
                if (m_bytes == 2) above += in[2 * x] != 0;
                const std::uint8_t index = m_bytes == 1 ? in[x] : in[2 * x] != 0 ? std::uint8_t{255} : in[2 * x + 1];
                std::memcpy(out + 3 * x, colours[index], 3);
            }
        }
        warn_of_clipping(m_from, above, m_width * m_height);
    }

    const source& m_from;
    image m_image;
    png_structp m_png = nullptr;
    png_infop m_info = nullptr;
    std::jmp_buf m_jump{};
    char m_message[128] = {};
    std::size_t m_width = 0;
    std::size_t m_height = 0;
    std::size_t m_rows_left = 0;
    std::size_t m_bytes = 0; // a pixel, as rows arrive
    int m_depth = 0;
    bool m_interlaced = false;
    bool m_palette = false;
    bool m_wide_grey = false;
};

PALI_INLINE image decode_png(const source& from) { return png_reader(from).decode(); }

} // namespace pali::inline PALI_ABI::image_detail

#endif

#endif
#if PALI_WITH_WEBP
// WebP through libwebp; of an animation, the first frame.

#if PALI_WITH_WEBP

#include <cstring>

#include <webp/decode.h>

namespace pali::inline PALI_ABI::image_detail {

/// Where a still picture, or the first frame of an animation, lies in the file.
struct webp_frame {
    const unsigned char* data = nullptr;
    std::size_t size = 0;
    std::size_t x = 0, y = 0;
    std::size_t canvas_width = 0, canvas_height = 0; // 0: as the frame
};

PALI_INLINE webp_frame find_webp_frame(const source& from) {
    cursor in(from, "WebP", 4);
    const std::size_t size = in.u32();
    if (size > from.size() - 8) truncated(from, "WebP");
    webp_frame found{from.data(), size + 8};
    cursor chunks(from, "WebP", 12);
    const auto u24 = [](const unsigned char* b) { return b[0] | static_cast<std::size_t>(b[1]) << 8 | static_cast<std::size_t>(b[2]) << 16; };
    bool animated = false;
    while (chunks.left() >= 8 && chunks.position() < size + 8) {
        const unsigned char* kind = chunks.take(4);
        const std::size_t length = chunks.u32();
        const unsigned char* body = chunks.take(length);
        if (length % 2 == 1 && !chunks.at_end()) chunks.take(1);
        if (std::memcmp(kind, "VP8X", 4) == 0 && length >= 10) {
            animated = (body[0] & 2) != 0;
            if (!animated) break;
            found.canvas_width = u24(body + 4) + 1;
            found.canvas_height = u24(body + 7) + 1;
        } else if (animated && std::memcmp(kind, "ANMF", 4) == 0) {
            if (length < 16) break;
            found.x = u24(body) * 2;
            found.y = u24(body + 3) * 2;
            found.data = body + 16;
            found.size = length - 16;
            return found;
        } else if (!animated) {
            break;
        }
    }
    if (animated) damaged(from, "WebP", "its animation has no frame");
    return found;
}

PALI_INLINE image decode_webp(const source& from) {
    const webp_frame frame = find_webp_frame(from);
    if (frame.canvas_width != 0) check_size(from, frame.canvas_width, frame.canvas_height);
    WebPBitstreamFeatures features;
    const VP8StatusCode status = WebPGetFeatures(frame.data, frame.size, &features);
    if (status == VP8_STATUS_NOT_ENOUGH_DATA) truncated(from, "WebP");
    if (status != VP8_STATUS_OK || features.has_animation) damaged(from, "WebP", "its header is invalid");
    const auto width = static_cast<std::size_t>(features.width), height = static_cast<std::size_t>(features.height);
    check_size(from, width, height);
    image made(frame.canvas_width != 0 ? frame.canvas_width : width, frame.canvas_height != 0 ? frame.canvas_height : height);
    if (frame.x + width > made.width || frame.y + height > made.height)
        damaged(from, "WebP", "its first frame does not lie within its canvas");
    std::uint8_t* const first = made.at(frame.x, frame.y);
    const std::size_t behind = static_cast<std::size_t>(first - made.pixels.data());
    if (WebPDecodeRGBInto(frame.data, frame.size, first, made.pixels.size() - behind, static_cast<int>(made.width * 3)) == nullptr)
        damaged(from, "WebP", "its data cannot be decoded");
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif

#endif
#if PALI_WITH_HEIF
// HEIC and AVIF through libheif: the primary picture, turned and cropped as its container says. EXIF orientation in these files repeats
// the container's and is not used.

#if PALI_WITH_HEIF

// Chroma of an AVIF as Pillow shows it. libheif repeats subsampled chroma where libavif, and so Pillow, interpolates it: at edges they differ by over 16 levels.

namespace pali::inline PALI_ABI::image_detail {

/// Which of columns and rows an AVIF halves: 4:2:0 both, 4:2:2 columns.
struct avif_subsampling {
    bool columns = false, rows = false;
};

/// By the first codec configuration (av1C) with colours, for which libheif has no call.
PALI_INLINE avif_subsampling find_avif_subsampling(const source& from) {
    const std::string_view bytes(reinterpret_cast<const char*>(from.data()), from.size());
    for (std::size_t at = bytes.find("av1C"); at != bytes.npos && bytes.size() - at >= 8; at = bytes.find("av1C", at + 4)) {
        const auto version = static_cast<unsigned char>(bytes[at + 4]), flags = static_cast<unsigned char>(bytes[at + 6]);
        if (version == 0x81 && (flags & 0x10) == 0) return {(flags & 0x08) != 0, (flags & 0x04) != 0}; // 0x10: grey
    }
    return {};
}

/// Replaces chroma that was repeated for pairs of columns, rows or both by interpolated chroma. `red` and `blue` are the weights in luma (Kr, Kb).
class chroma_interpolation {
public:
    chroma_interpolation(image& picture, float red, float blue) : m_picture(picture), m_red(red), m_blue(blue) {}

    void apply(avif_subsampling halved) {
        // The picture may have been turned or cropped since: pairs may begin at odd places, and be rows where they were columns.
        const axis across = find_pairs(true), down = find_pairs(false);
        const bool turned = halved.columns && !halved.rows && down.difference < across.difference;
        m_x = {halved.columns && !turned, across.first};
        m_y = {halved.rows || turned, down.first};
        const std::size_t columns = m_x.block(m_picture.width - 1) + 1, rows = m_y.block(m_picture.height - 1) + 1;
        std::vector<chroma> blocks(columns * rows);
        std::vector<float> counts(columns * rows);
        for (std::size_t y = 0; y < m_picture.height; ++y)
            for (std::size_t x = 0; x < m_picture.width; ++x) {
                const std::size_t at = m_y.block(y) * columns + m_x.block(x);
                const chroma c = chroma_of(m_picture.at(x, y));
                blocks[at].blue += c.blue, blocks[at].red += c.red;
                counts[at] += 1;
            }
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].blue /= counts[i], blocks[i].red /= counts[i];
        for (std::size_t y = 0; y < m_picture.height; ++y) {
            const std::size_t near = m_y.block(y) * columns, far = m_y.next(y, rows) * columns;
            for (std::size_t x = 0; x < m_picture.width; ++x) {
                const std::size_t left = m_x.block(x), right = m_x.next(x, columns);
                const auto mix = [&](float chroma::*c) {
                    return (9 * (blocks[near + left].*c) + 3 * (blocks[near + right].*c) + 3 * (blocks[far + left].*c) + blocks[far + right].*c) / 16;
                };
                set(m_picture.at(x, y), mix(&chroma::blue), mix(&chroma::red));
            }
        }
    }

private:
    struct chroma {
        float blue = 0, red = 0; ///< B - Y and R - Y
    };
    struct axis {
        bool halved = false;
        std::size_t first = 0;   ///< 1: the first block is half a pair
        double difference = 0;   ///< within pairs that begin there

        [[nodiscard]] std::size_t block(std::size_t at) const noexcept { return halved ? (at + first) / 2 : at; }
        /// The block on the other side of the nearer edge: samples lie in the middle of their pairs.
        [[nodiscard]] std::size_t next(std::size_t at, std::size_t blocks) const noexcept {
            if (!halved) return at;
            const std::size_t own = block(at);
            return (at + first) % 2 == 0 ? (own == 0 ? 0 : own - 1) : std::min(own + 1, blocks - 1);
        }
    };

    [[nodiscard]] float luma(const std::uint8_t* p) const noexcept {
        return m_red * static_cast<float>(p[0]) + (1 - m_red - m_blue) * static_cast<float>(p[1]) + m_blue * static_cast<float>(p[2]);
    }
    [[nodiscard]] chroma chroma_of(const std::uint8_t* p) const noexcept {
        const float y = luma(p);
        return {static_cast<float>(p[2]) - y, static_cast<float>(p[0]) - y};
    }
    void set(std::uint8_t* p, float blue, float red) const noexcept {
        const float y = luma(p), green = (m_red * red + m_blue * blue) / (1 - m_red - m_blue);
        const auto level = [](float v) { return static_cast<std::uint8_t>(std::clamp(v + 0.5f, 0.0f, 255.0f)); };
        p[0] = level(y + red), p[1] = level(y - green), p[2] = level(y + blue);
    }

    /// Where pairs of equal chroma begin, at even or at odd places.
    [[nodiscard]] axis find_pairs(bool across) const {
        std::array<double, 2> differences{};
        const std::size_t length = across ? m_picture.width : m_picture.height, lines = across ? m_picture.height : m_picture.width;
        for (std::size_t line = 0; line < lines; line += 1 + lines / 256)
            for (std::size_t i = 0; i + 1 < length; ++i) {
                const chroma a = chroma_of(across ? m_picture.at(i, line) : m_picture.at(line, i));
                const chroma b = chroma_of(across ? m_picture.at(i + 1, line) : m_picture.at(line, i + 1));
                differences[i % 2] += static_cast<double>(std::abs(a.blue - b.blue) + std::abs(a.red - b.red));
            }
        const std::size_t first = differences[1] < differences[0] ? 1 : 0;
        return {true, first, differences[first]};
    }

    image& m_picture;
    float m_red, m_blue;
    axis m_x, m_y;
};

} // namespace pali::inline PALI_ABI::image_detail

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <libheif/heif.h>

namespace pali::inline PALI_ABI::image_detail {

struct heif_deleter {
    void operator()(heif_context* p) const noexcept { heif_context_free(p); }
    void operator()(heif_image_handle* p) const noexcept { heif_image_handle_release(p); }
    void operator()(heif_image* p) const noexcept { heif_image_release(p); }
    void operator()(heif_decoding_options* p) const noexcept { heif_decoding_options_free(p); }
};
template <class T>
using heif_ptr = std::unique_ptr<T, heif_deleter>;

/// Whether the outermost boxes of the container are all there.
PALI_INLINE bool heif_is_whole(const source& from) {
    const auto number = [&](std::size_t at, std::size_t bytes) {
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | from.data()[at + i];
        return value;
    };
    for (std::size_t at = 0; at < from.size();) {
        if (from.size() - at < 16) return from.size() - at >= 8 && number(at, 4) == from.size() - at;
        std::uint64_t box = number(at, 4);
        if (box == 0) return true; // up to the end
        if (box == 1) box = number(at + 8, 8);
        if (box < 8 || box > from.size() - at) return box < 8;
        at += static_cast<std::size_t>(box);
    }
    return true;
}

PALI_INLINE void check_heif(const source& from, const char* format, const heif_error& status) {
    if (status.code == heif_error_Ok) return;
    std::string_view message = status.message == nullptr ? "" : status.message;
    while (message.ends_with('\n')) message.remove_suffix(1);
    if (status.subcode == heif_suberror_Security_limit_exceeded)
        refuse(errc::image_too_large, from, {"a side of the ", format, " is over the limit of ", from.options.max_side, " pixels: raise max_side if you trust the file"});
    if (status.code == heif_error_Memory_allocation_error) throw std::bad_alloc();
    if (status.code == heif_error_Unsupported_filetype || status.code == heif_error_Unsupported_feature)
        refuse(errc::unsupported_image, from, {"libheif cannot decode this ", format, ": ", message,
                                               ". Where its decoders are packages of their own (Debian 13: libheif-plugin-libde265 for HEIC, libheif-plugin-dav1d for AVIF), install them"});
    if (!heif_is_whole(from)) truncated(from, format);
    damaged(from, format, message);
}

/// With the matrix that the container names; without one, and with those that libavif does not know either, BT.601.
PALI_INLINE void interpolate_chroma(image& picture, const heif_image_handle* handle, avif_subsampling halved) {
    heif_color_profile_nclx* found = nullptr;
    const heif_error status = heif_image_handle_get_nclx_color_profile(handle, &found);
    const std::unique_ptr<heif_color_profile_nclx, void (*)(heif_color_profile_nclx*)> profile(found, heif_nclx_color_profile_free);
    std::pair<float, float> red_and_blue{0.299f, 0.114f};
    if (status.code == heif_error_Ok && found != nullptr) {
        switch (found->matrix_coefficients) {
        case heif_matrix_coefficients_RGB_GBR:
        case heif_matrix_coefficients_YCgCo: return;
        case heif_matrix_coefficients_ITU_R_BT_709_5: red_and_blue = {0.2126f, 0.0722f}; break;
        case heif_matrix_coefficients_US_FCC_T47: red_and_blue = {0.30f, 0.11f}; break;
        case heif_matrix_coefficients_SMPTE_240M: red_and_blue = {0.212f, 0.087f}; break;
        case heif_matrix_coefficients_ITU_R_BT_2020_2_non_constant_luminance: red_and_blue = {0.2627f, 0.0593f}; break;
        default: break;
        }
    }
    chroma_interpolation(picture, red_and_blue.first, red_and_blue.second).apply(halved);
}

PALI_INLINE image decode_heif(const source& from, bool is_avif) {
    const char* const format = is_avif ? "AVIF" : "HEIC";
    const heif_ptr<heif_context> context(heif_context_alloc());
    const heif_ptr<heif_decoding_options> options(heif_decoding_options_alloc());
    if (context == nullptr || options == nullptr) throw std::bad_alloc();
    heif_context_set_maximum_image_size_limit(context.get(), static_cast<int>(std::min<std::size_t>(from.options.max_side, std::numeric_limits<int>::max())));
    check_heif(from, format, heif_context_read_from_memory_without_copy(context.get(), from.data(), from.size(), nullptr));
    heif_image_handle* primary = nullptr;
    check_heif(from, format, heif_context_get_primary_image_handle(context.get(), &primary));
    const heif_ptr<heif_image_handle> handle(primary);
    const auto check = [&](int width, int height) {
        check_size(from, static_cast<std::size_t>(std::max(width, 0)), static_cast<std::size_t>(std::max(height, 0)));
    };
    check(heif_image_handle_get_width(primary), heif_image_handle_get_height(primary));

    options->convert_hdr_to_8bit = 1;
#  if LIBHEIF_NUMERIC_VERSION >= 0x010f0000 // 1.15
    // dav1d, which libheif prefers, writes to standard error about damaged files, and libheif gives no access to its logger. libaom writes nothing, and its pixels
    // are the same. Where it is not installed libheif takes another.
    if (is_avif) options->decoder_id = "aom";
#  endif
#  if LIBHEIF_NUMERIC_VERSION >= 0x01100000 // 1.16; before, it has no other way
    options->color_conversion_options.preferred_chroma_upsampling_algorithm = heif_chroma_upsampling_nearest_neighbor;
    options->color_conversion_options.only_use_preferred_chroma_algorithm = 1;
#  endif
    heif_image* decoded = nullptr;
    check_heif(from, format, heif_decode_image(primary, &decoded, heif_colorspace_RGB, heif_chroma_interleaved_RGB, options.get()));
    const heif_ptr<heif_image> picture(decoded);
    const int width = heif_image_get_width(decoded, heif_channel_interleaved), height = heif_image_get_height(decoded, heif_channel_interleaved);
    check(width, height);
    int stride = 0;
    const std::uint8_t* const rows = heif_image_get_plane_readonly(decoded, heif_channel_interleaved, &stride);
    if (rows == nullptr || stride < width * 3) damaged(from, format, "libheif gives no pixels");
    image made(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    for (std::size_t y = 0; y < made.height; ++y) std::memcpy(made.at(0, y), rows + y * static_cast<std::size_t>(stride), made.width * 3);
    if (const avif_subsampling halved = is_avif ? find_avif_subsampling(from) : avif_subsampling{}; halved.columns) interpolate_chroma(made, primary, halved);
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif

#endif
#if PALI_WITH_TIFF
// TIFF through libtiff: the first page, always turned upright by its orientation tag, as in Pillow.

#if PALI_WITH_TIFF

#include <algorithm>
#include <array>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <tiffio.h>

namespace pali::inline PALI_ABI::image_detail {

/// One page. Samples are brought to 8 bits as Pillow does: grey of more bits is clipped, colours keep their high byte.
class tiff_reader {
public:
    explicit tiff_reader(const source& from) : m_from(from) {
        const std::unique_ptr<TIFFOpenOptions, void (*)(TIFFOpenOptions*)> options(TIFFOpenOptionsAlloc(), TIFFOpenOptionsFree);
        if (options == nullptr) throw std::bad_alloc();
        TIFFOpenOptionsSetErrorHandlerExtR(options.get(), on_error, this);
        TIFFOpenOptionsSetWarningHandlerExtR(options.get(), [](TIFF*, void*, const char*, const char*, std::va_list) { return 1; }, nullptr);
        const std::size_t most = std::min<std::size_t>(from.options.max_pixels, std::numeric_limits<tmsize_t>::max() / 64) * 16 + (std::size_t{64} << 20);
        TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(most));
        m_tiff.reset(TIFFClientOpenExt("picture", "rm", this, read, [](thandle_t, void*, tmsize_t) -> tmsize_t { return 0; }, seek,
                                       [](thandle_t) { return 0; }, [](thandle_t of) -> toff_t { return self(of).m_from.size(); },
                                       [](thandle_t, void**, toff_t*) { return 0; }, [](thandle_t, void*, toff_t) {}, options.get()));
        if (m_tiff == nullptr) fail();
    }
    tiff_reader(const tiff_reader&) = delete;
    tiff_reader& operator=(const tiff_reader&) = delete;

    image decode() {
        read_tags();
        image made = m_by_libtiff ? read_rgba() : convert(read_samples());
        warn_of_clipping(m_from, m_above, m_width * m_height);
        return upright(std::move(made), m_orientation >= 1 && m_orientation <= 8 ? m_orientation : 1);
    }

private:
    static tiff_reader& self(thandle_t of) { return *static_cast<tiff_reader*>(of); }

    static tmsize_t read(thandle_t of, void* to, tmsize_t size) {
        tiff_reader& r = self(of);
        const std::size_t count = r.m_at >= r.m_from.size() ? 0 : std::min(static_cast<std::size_t>(size), r.m_from.size() - r.m_at);
        if (count > 0) std::memcpy(to, r.m_from.data() + r.m_at, count);
        r.m_at += count;
        return static_cast<tmsize_t>(count);
    }
    static toff_t seek(thandle_t of, toff_t to, int whence) {
        tiff_reader& r = self(of);
        r.m_at = static_cast<std::size_t>(to) + (whence == SEEK_CUR ? r.m_at : whence == SEEK_END ? r.m_from.size() : 0);
        return r.m_at;
    }
    static int on_error(TIFF*, void* user, const char*, const char* form, std::va_list values) {
        tiff_reader& r = *static_cast<tiff_reader*>(user);
        if (r.m_message[0] == '\0') std::vsnprintf(r.m_message, sizeof r.m_message, form, values); // the first one is the cause
        return 1;
    }

    /// Throws what libtiff reported: truncated where the directory or pixels lie behind the end of the file.
    [[noreturn]] void fail() const {
        bool whole = true;
        if (m_tiff == nullptr) {
            const unsigned char* b = m_from.data();
            std::size_t directory = 0;
            for (std::size_t i = 0; i < 4 && m_from.size() >= 8; ++i) directory = directory << 8 | b[b[0] == 'I' ? 7 - i : 4 + i];
            const bool big = m_from.size() >= 4 && (b[2] == 43 || b[3] == 43);
            whole = m_from.size() >= 8 && (big || directory + 2 <= m_from.size());
        } else {
            const std::uint32_t pieces = TIFFIsTiled(m_tiff.get()) ? TIFFNumberOfTiles(m_tiff.get()) : TIFFNumberOfStrips(m_tiff.get());
            for (std::uint32_t i = 0; i < pieces && whole; ++i) {
                const std::uint64_t offset = TIFFGetStrileOffset(m_tiff.get(), i), bytes = TIFFGetStrileByteCount(m_tiff.get(), i);
                whole = offset <= m_from.size() && bytes <= m_from.size() - offset;
            }
        }
        if (!whole) truncated(m_from, "TIFF");
        damaged(m_from, "TIFF", m_message[0] == '\0' ? "libtiff cannot decode it" : std::string_view(m_message));
    }

    template <class T>
    T tag(std::uint32_t which, T otherwise) const {
        T value = otherwise;
        return TIFFGetFieldDefaulted(m_tiff.get(), which, &value) == 1 ? value : otherwise;
    }

    void read_tags() {
        m_width = tag<std::uint32_t>(TIFFTAG_IMAGEWIDTH, 0);
        m_height = tag<std::uint32_t>(TIFFTAG_IMAGELENGTH, 0);
        check_size(m_from, m_width, m_height);
        m_orientation = tag<std::uint16_t>(TIFFTAG_ORIENTATION, 1);
        m_bits = tag<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
        m_samples = tag<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
        m_format = tag<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
        m_planar = tag<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
        m_photometric = tag<std::uint16_t>(TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
        const auto compression = tag<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
        if (!TIFFIsCODECConfigured(compression))
            refuse(errc::unsupported_image, m_from, {"TIFF compression ", compression, " is not supported by this libtiff; save it with LZW or deflate"});
        if (m_photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG && !m_planar) {
            TIFFSetField(m_tiff.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
            m_photometric = PHOTOMETRIC_RGB;
        } else if (m_photometric == PHOTOMETRIC_YCBCR || compression == COMPRESSION_OJPEG) {
            m_by_libtiff = true;
            return;
        }
        std::uint16_t count = 0;
        const std::uint16_t* kinds = nullptr;
        TIFFGetFieldDefaulted(m_tiff.get(), TIFFTAG_EXTRASAMPLES, &count, &kinds);
        m_channels = m_photometric == PHOTOMETRIC_RGB ? 3 : m_photometric == PHOTOMETRIC_SEPARATED ? 4 : 1;
        m_alpha = count > 0 && kinds != nullptr && kinds[0] == EXTRASAMPLE_ASSOCALPHA && m_channels != 4;
        check_layout();
    }

    void check_layout() const {
        const bool grey = m_photometric == PHOTOMETRIC_MINISWHITE || m_photometric == PHOTOMETRIC_MINISBLACK, palette = m_photometric == PHOTOMETRIC_PALETTE;
        const bool colours = m_photometric == PHOTOMETRIC_RGB || m_photometric == PHOTOMETRIC_SEPARATED, floats = m_format == SAMPLEFORMAT_IEEEFP;
        if (!grey && !palette && !colours)
            refuse(errc::unsupported_image, m_from, {"TIFF with photometric interpretation ", m_photometric, " is not supported; grey, RGB, palette, CMYK and YCbCr are"});
        const bool few = m_bits == 1 || m_bits == 2 || m_bits == 4, bits = m_bits == 8 || (few && !colours) || (m_bits == 16 && !palette) || (m_bits == 32 && grey);
        if (!bits || (floats && m_bits != 32) || m_format > SAMPLEFORMAT_IEEEFP)
            refuse(errc::unsupported_image, m_from, {"TIFF of ", m_bits, " bits per sample", floats ? ", floating point," : "", " is not supported; convert it to 8 bits"});
        const std::size_t needed = m_channels + (m_alpha ? 1 : 0);
        if (m_samples < needed || m_samples > 16)
            refuse(errc::unsupported_image, m_from, {"TIFF of ", m_samples, " samples per pixel is not supported; ", needed, " to 16 are"});
    }

    /// A sample of 8, 16 or 32 bits, or of fewer, as 8 bits; a palette's index as it is.
    [[nodiscard]] std::uint8_t level(const unsigned char* row, std::size_t at) {
        const bool inverted = m_photometric == PHOTOMETRIC_MINISWHITE;
        if (m_bits <= 8) {
            const std::size_t bit = at * m_bits;
            const unsigned top = (1u << m_bits) - 1, value = row[bit / 8] >> (8 - m_bits - bit % 8) & top;
            if (m_photometric == PHOTOMETRIC_PALETTE) return static_cast<std::uint8_t>(value);
            return static_cast<std::uint8_t>((inverted ? top - value : value) * 255 / top);
        }
        if (m_bits == 16) {
            std::uint16_t value = 0;
            std::memcpy(&value, row + 2 * at, 2);
            if (m_channels > 1) return static_cast<std::uint8_t>(value >> 8);
            return clip(m_format == SAMPLEFORMAT_INT ? static_cast<std::int16_t>(value) : std::int32_t{value});
        }
        if (m_format == SAMPLEFORMAT_IEEEFP) {
            float value = 0;
            std::memcpy(&value, row + 4 * at, 4);
            return value > 255.0f ? clip(256) : value > 0.0f ? static_cast<std::uint8_t>(value) : std::uint8_t{0};
        }
        std::int32_t value = 0; // unsigned, too: as in Pillow
        std::memcpy(&value, row + 4 * at, 4);
        return clip(value);
    }
    std::uint8_t clip(std::int32_t value) noexcept {
        m_above += value > 255;
        return static_cast<std::uint8_t>(std::clamp(value, 0, 255));
    }

    /// The channels that matter, and the alpha that they were multiplied by, interleaved.
    std::vector<std::uint8_t> read_samples() {
        TIFF* const tiff = m_tiff.get();
        const bool tiled = TIFFIsTiled(tiff) != 0;
        const std::size_t across = tiled ? tag<std::uint32_t>(TIFFTAG_TILEWIDTH, 0) : m_width;
        const std::size_t down = tiled ? tag<std::uint32_t>(TIFFTAG_TILELENGTH, 0) : std::clamp<std::size_t>(tag<std::uint32_t>(TIFFTAG_ROWSPERSTRIP, 1), 1, m_height);
        check_size(m_from, across, down);
        const std::size_t kept = m_channels + (m_alpha ? 1 : 0), together = m_planar ? 1 : m_samples;
        const auto stride = static_cast<std::size_t>(std::max<tmsize_t>(tiled ? TIFFTileRowSize(tiff) : TIFFScanlineSize(tiff), 0));
        const auto size = static_cast<std::size_t>(std::max<tmsize_t>(tiled ? TIFFTileSize(tiff) : TIFFStripSize(tiff), 0));
        if (stride < (across * together * m_bits + 7) / 8 || size < stride * down) fail();
        std::vector<unsigned char> piece(size);
        std::vector<std::uint8_t> samples(m_width * m_height * kept);
        for (std::size_t plane = 0; plane < (m_planar ? kept : 1); ++plane)
            for (std::size_t y0 = 0; y0 < m_height; y0 += down)
                for (std::size_t x0 = 0; x0 < m_width; x0 += across) {
                    const std::size_t rows = std::min(down, m_height - y0), columns = std::min(across, m_width - x0);
                    const auto x = static_cast<std::uint32_t>(x0), y = static_cast<std::uint32_t>(y0);
                    const auto which = static_cast<std::uint16_t>(plane);
                    const auto wanted = static_cast<tmsize_t>(tiled ? size : rows * stride);
                    const tmsize_t got = tiled ? TIFFReadEncodedTile(tiff, TIFFComputeTile(tiff, x, y, 0, which), piece.data(), wanted)
                                               : TIFFReadEncodedStrip(tiff, TIFFComputeStrip(tiff, y, which), piece.data(), wanted);
                    if (got < static_cast<tmsize_t>(rows * stride)) fail();
                    for (std::size_t r = 0; r < rows; ++r) {
                        std::uint8_t* out = samples.data() + ((y0 + r) * m_width + x0) * kept + plane;
                        if (m_bits == 8 && kept == together && m_photometric != PHOTOMETRIC_MINISWHITE) {
                            std::memcpy(out, piece.data() + r * stride, columns * kept);
                            continue;
                        }
                        for (std::size_t c = 0; c < columns; ++c, out += kept)
                            for (std::size_t s = 0; s < (m_planar ? 1 : kept); ++s) out[s] = level(piece.data() + r * stride, c * together + s);
                    }
                }
        return samples;
    }

    image convert(std::vector<std::uint8_t> samples) const {
        std::array<std::array<std::uint8_t, 3>, 256> colours{};
        for (std::size_t i = 0; i < colours.size(); ++i) colours[i].fill(static_cast<std::uint8_t>(i));
        if (m_photometric == PHOTOMETRIC_PALETTE) {
            std::array<std::uint16_t*, 3> map{};
            if (TIFFGetField(m_tiff.get(), TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]) != 1) damaged(m_from, "TIFF", "it has no palette");
            for (std::size_t i = 0; i < std::size_t{1} << m_bits; ++i)
                for (std::size_t c = 0; c < 3; ++c) colours[i][c] = static_cast<std::uint8_t>(map[c][i] >> 8);
        }
        image made;
        made.width = m_width, made.height = m_height;
        if (m_channels == 3 && !m_alpha) {
            made.pixels = std::move(samples);
            return made;
        }
        made.pixels.resize(m_width * m_height * 3);
        const std::size_t kept = m_channels + (m_alpha ? 1 : 0);
        for (std::size_t i = 0; i < m_width * m_height; ++i) {
            const std::uint8_t* const in = samples.data() + i * kept;
            std::uint8_t* const out = made.pixels.data() + 3 * i;
            if (m_channels == 1) std::memcpy(out, colours[in[0]].data(), 3);
            else if (m_channels == 3) std::memcpy(out, in, 3); // and alpha
            else from_cmyk(in, out);
            if (m_alpha && in[m_channels] != 255)
                for (std::size_t c = 0; c < 3; ++c) out[c] = in[m_channels] == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(std::min(255, out[c] * 255 / in[m_channels]));
        }
        return made;
    }

    /// Pillow's Convert.c: what black leaves, less the ink's share of it.
    static void from_cmyk(const std::uint8_t* in, std::uint8_t* out) noexcept {
        const unsigned light = 255u - in[3];
        for (std::size_t c = 0; c < 3; ++c) {
            const unsigned product = in[c] * light + 128u;
            out[c] = static_cast<std::uint8_t>(light - (((product >> 8) + product) >> 8));
        }
    }

    /// YCbCr that no JPEG decoder converts: libtiff's own conversion.
    image read_rgba() {
        std::array<char, 1024> why{};
        TIFFRGBAImage picture{};
        if (TIFFRGBAImageBegin(&picture, m_tiff.get(), 1, why.data()) == 0) fail();
        const std::unique_ptr<TIFFRGBAImage, void (*)(TIFFRGBAImage*)> owned(&picture, TIFFRGBAImageEnd);
        picture.orientation = picture.req_orientation = ORIENTATION_TOPLEFT; // turned later
        std::vector<std::uint32_t> pixels(m_width * m_height);
        if (TIFFRGBAImageGet(&picture, pixels.data(), static_cast<std::uint32_t>(m_width), static_cast<std::uint32_t>(m_height)) == 0) fail();
        image made(m_width, m_height);
        for (std::size_t i = 0; i < pixels.size(); ++i) {
            made.pixels[3 * i] = static_cast<std::uint8_t>(TIFFGetR(pixels[i]));
            made.pixels[3 * i + 1] = static_cast<std::uint8_t>(TIFFGetG(pixels[i]));
            made.pixels[3 * i + 2] = static_cast<std::uint8_t>(TIFFGetB(pixels[i]));
        }
        return made;
    }

    struct closer {
        void operator()(TIFF* tiff) const noexcept { TIFFClose(tiff); }
    };

    const source& m_from;
    char m_message[256] = {};
    std::size_t m_at = 0; // of reads
    std::unique_ptr<TIFF, closer> m_tiff;
    std::size_t m_width = 0, m_height = 0;
    std::size_t m_bits = 1, m_samples = 1; // of a sample; of a pixel
    std::size_t m_channels = 1;            // that make the colour
    std::size_t m_above = 0;               // grey samples over 255
    unsigned m_format = 0, m_photometric = 0;
    int m_orientation = 1;
    bool m_planar = false;     // a plane for each sample
    bool m_alpha = false;      // colours are multiplied by the sample that follows them
    bool m_by_libtiff = false;
};

PALI_INLINE image decode_tiff(const source& from) { return tiff_reader(from).decode(); }

} // namespace pali::inline PALI_ABI::image_detail

#endif

#endif
#if PALI_WITH_STB && !(PALI_WITH_JPEG && PALI_WITH_PNG)
// JPEG and PNG by stb, where libjpeg or libpng is absent. What stb does not check itself: stb_checks.ipp.

#include <cstdlib>
#include <limits>
#include <memory>

// What stb includes, so that nothing is left to include within the namespace below.
#include <climits>
#include <cstdarg>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if PALI_WITH_STB

// stb is compiled into a namespace of ours: it neither meets nor is another copy of it that the program may hold.
#  pragma push_macro("STBI_INCLUDE_STB_IMAGE_H")
#  pragma push_macro("STB_IMAGE_IMPLEMENTATION")
#  pragma push_macro("STB_IMAGE_STATIC")
#  pragma push_macro("STBIDEF")
#  undef STBI_INCLUDE_STB_IMAGE_H
#  undef STBIDEF
#  define STB_IMAGE_IMPLEMENTATION
#  define STB_IMAGE_STATIC
#  define STBI_NO_STDIO
#  define STBI_NO_SIMD
#  define STBI_NO_HDR
#  define STBI_NO_LINEAR
#  define STBI_NO_PSD
#  define STBI_NO_PIC
#  define STBI_NO_GIF
#  define STBI_NO_BMP
#  define STBI_NO_TGA
#  define STBI_NO_PNM
#  define STBI_NO_FAILURE_STRINGS
#  define STBI_ASSERT(condition) ((void)0)
// Zeroed: where a damaged JPEG has no data for a part of the picture or lacks a table, stb shows or uses what it allocated.
#  define STBI_MALLOC(size) std::calloc(1, size)
#  define STBI_REALLOC(memory, size) std::realloc(memory, size)
#  define STBI_FREE(memory) std::free(memory)
#  if PALI_WITH_JPEG
#    define STBI_NO_JPEG
#  endif
#  if PALI_WITH_PNG
#    define STBI_NO_PNG
#  endif
#  if defined(__GNUC__)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wunused-function"
#    pragma GCC diagnostic ignored "-Wunused-variable"
#    pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#    pragma GCC diagnostic ignored "-Wunused-parameter"
#    pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#    pragma GCC diagnostic ignored "-Wconversion"
#    pragma GCC diagnostic ignored "-Wsign-conversion"
#    pragma GCC diagnostic ignored "-Wsign-compare"
#    pragma GCC diagnostic ignored "-Wold-style-cast"
#    pragma GCC diagnostic ignored "-Wcast-qual"
#    pragma GCC diagnostic ignored "-Wshadow"
#    pragma GCC diagnostic ignored "-Wpedantic"
#  endif
namespace pali::inline PALI_ABI::image_detail::stb {
#  if __has_include(<stb/stb_image.h>)
#    include <stb/stb_image.h>
#  else
#    include <stb_image.h>
#  endif
}
#  if defined(__GNUC__)
#    pragma GCC diagnostic pop
#  endif
#  undef STBI_NO_STDIO
#  undef STBI_NO_SIMD
#  undef STBI_NO_HDR
#  undef STBI_NO_LINEAR
#  undef STBI_NO_PSD
#  undef STBI_NO_PIC
#  undef STBI_NO_GIF
#  undef STBI_NO_BMP
#  undef STBI_NO_TGA
#  undef STBI_NO_PNM
#  undef STBI_NO_JPEG
#  undef STBI_NO_PNG
#  undef STBI_NO_FAILURE_STRINGS
#  undef STBI_ASSERT
#  undef STBI_MALLOC
#  undef STBI_REALLOC
#  undef STBI_FREE
#  undef STBI_REALLOC_SIZED
#  undef STBI_MAX_DIMENSIONS
#  undef STBI_VERSION
#  pragma pop_macro("STBIDEF")
#  pragma pop_macro("STB_IMAGE_STATIC")
#  pragma pop_macro("STB_IMAGE_IMPLEMENTATION")
#  pragma pop_macro("STBI_INCLUDE_STB_IMAGE_H")

namespace pali::inline PALI_ABI::image_detail {

/// Decodes a JPEG or PNG that has been checked.
PALI_INLINE image decode_stb(const source& from, const char* format) {
    if (from.size() > static_cast<std::size_t>(std::numeric_limits<int>::max())) refuse(errc::image_too_large, from, "the file is over 2 GiB");
    int width = 0, height = 0, channels = 0;
    const int size = static_cast<int>(from.size());
    if (stb::stbi_info_from_memory(from.data(), size, &width, &height, &channels) == 0)
        damaged(from, format, "its header is invalid, or of a kind that is not supported");
    check_size(from, static_cast<std::size_t>(width), static_cast<std::size_t>(std::abs(height)));
    const std::unique_ptr<unsigned char, void (*)(void*)> pixels(stb::stbi_load_from_memory(from.data(), size, &width, &height, &channels, 3),
                                                                 [](void* p) { std::free(p); });
    if (pixels == nullptr || width <= 0 || height <= 0)
        damaged(from, format, "its data is invalid, or of a kind that is not supported");
    image made(static_cast<std::size_t>(width), static_cast<std::size_t>(height));
    std::memcpy(made.pixels.data(), pixels.get(), made.pixels.size());
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif

// JPEG and PNG where their libraries are absent: what is checked before stb is given them.

namespace pali::inline PALI_ABI::image_detail {

/// The Huffman tables of one segment: stb 2.27 writes past its memory when one has more than 256 codes.
PALI_INLINE void check_huffman_tables(const source& from, std::size_t at, std::size_t end) {
    while (at < end) {
        if (end - at < 17) damaged(from, "JPEG", "a Huffman table is incomplete");
        std::size_t codes = 0;
        for (std::size_t i = 1; i <= 16; ++i) codes += from.data()[at + i];
        if (codes > 256) damaged(from, "JPEG", {"a Huffman table has ", codes, " codes; 256 are possible"});
        at += 17 + codes;
    }
    if (at != end) damaged(from, "JPEG", "a Huffman table is incomplete");
}

/// Every marker up to the last: stb fills with grey what is missing, so the end marker is asked for.
PALI_INLINE void check_jpeg_for_stb(const source& from) {
    const unsigned char* data = from.data();
    for (std::size_t at = 2; at + 1 < from.size();) {
        const unsigned marker = data[at + 1];
        if (data[at] != 0xff || marker == 0x00 || (marker >= 0xd0 && marker <= 0xd8)) { // coded data, restarts
            ++at;
            continue;
        }
        if (marker == 0xff) {
            ++at;
            continue;
        }
        if (marker == 0xd9) return;
        if (from.size() - at < 4) break;
        const std::size_t end = at + 2 + static_cast<std::size_t>(data[at + 2] << 8 | data[at + 3]);
        if (end > from.size()) break;
        if (end < at + 4) damaged(from, "JPEG", "a segment is shorter than its own length field");
        if (marker == 0xc4) check_huffman_tables(from, at + 4, end);
        at = end;
    }
    truncated(from, "JPEG");
}

/// The bytes of a PNG for stb, whose own limits look like damage, and which shows uninitialised memory for indices outside of a palette: a palette is filled up to 256
/// colours, black. stb ignores the checksum of the chunk.
PALI_INLINE std::vector<std::byte> prepare_png_for_stb(const source& from) {
    cursor in(from, "PNG", 8);
    const auto number = [&in] {
        const unsigned char* b = in.take(4);
        return static_cast<std::size_t>(b[0]) << 24 | static_cast<std::size_t>(b[1]) << 16 | static_cast<std::size_t>(b[2]) << 8 | b[3];
    };
    in.take(8);
    const std::size_t width = number(), height = number();
    check_size(from, width, height);
    in.take(9);
    std::vector<std::byte> made(from.bytes.begin(), from.bytes.end());
    constexpr std::size_t most = 768;
    while (in.left() >= 12) {
        const std::size_t at = in.position(), length = number();
        const bool palette = std::memcmp(in.take(4), "PLTE", 4) == 0;
        if (palette && length <= most && length <= in.left()) {
            made.insert(made.begin() + static_cast<std::ptrdiff_t>(at + 8 + length), most - length, std::byte{0});
            made[at + 2] = std::byte{most >> 8};
            made[at + 3] = std::byte{most & 0xff};
            break; // of several, stb takes the last, and refuses those of another size
        }
        if (length > in.left() - 4) break;
        in.take(length + 4);
    }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif

namespace pali::inline PALI_ABI {

namespace image_detail {

PALI_INLINE image decode(const source& from) {
    [[maybe_unused]] const auto turned = [&from](image picture, int (&orientation_in)(const source&)) {
        return from.options.keep_exif_orientation ? picture : upright(std::move(picture), orientation_in(from));
    };
    switch (format_of(from)) {
    case format::jpeg:
        check_jpeg_process(from);
#if PALI_WITH_JPEG
        return turned(decode_jpeg(from), jpeg_orientation);
#elif PALI_WITH_STB
        check_jpeg_for_stb(from);
        return turned(decode_stb(from, "JPEG"), jpeg_orientation);
#else
        unsupported(from, "JPEG", "libjpeg");
#endif
    case format::png:
#if PALI_WITH_PNG
        return turned(decode_png(from), png_orientation);
#elif PALI_WITH_STB
        {
            const std::vector<std::byte> bytes = prepare_png_for_stb(from);
            return turned(decode_stb({bytes, from.name, from.options}, "PNG"), png_orientation);
        }
#else
        unsupported(from, "PNG", "libpng");
#endif
    case format::webp:
#if PALI_WITH_WEBP
        return turned(decode_webp(from), webp_orientation);
#else
        unsupported(from, "WebP", "libwebp");
#endif
    case format::heic:
#if PALI_WITH_HEIF
        return decode_heif(from, false);
#else
        unsupported(from, "HEIC", "libheif");
#endif
    case format::avif:
#if PALI_WITH_HEIF
        return decode_heif(from, true);
#else
        unsupported(from, "AVIF", "libheif");
#endif
    case format::tiff:
#if PALI_WITH_TIFF
        return decode_tiff(from);
#else
        unsupported(from, "TIFF", "libtiff");
#endif
    case format::gif: return decode_gif(from);
    case format::pnm: return decode_pnm(from);
    case format::bmp: return decode_bmp(from);
    case format::tga: return decode_tga(from);
    case format::unknown: break;
    }
    unknown_format(from);
}

} // namespace image_detail

PALI_INLINE image decode_image(std::span<const std::byte> bytes, const read_options& options, std::string_view name) {
    return image_detail::decode({bytes, name, options});
}

PALI_INLINE image read_image(const std::filesystem::path& path, const read_options& options) {
    const std::string name = path.string();
    const auto cannot_open = [&](const error_text& why) { return error(errc::cannot_open, {name, ": ", why}); };
    if (std::filesystem::is_directory(detail::require_path(path, "picture"))) throw cannot_open("is a folder, and a picture is needed");
    std::ifstream file(path, std::ios::binary);
    if (!file) throw cannot_open("the picture cannot be read");

    // The first bytes tell whether the rest is worth reading: a checkpoint may be given where a picture was meant.
    constexpr std::size_t head = 64, chunk = std::size_t{1} << 20;
    std::vector<std::byte> bytes(head);
    const auto read = [&](std::size_t at) {
        file.read(reinterpret_cast<char*>(bytes.data() + at), static_cast<std::streamsize>(bytes.size() - at));
        if (file.bad()) throw cannot_open("the picture cannot be read");
        bytes.resize(at + static_cast<std::size_t>(file.gcount()));
    };
    read(0);
    if (const image_detail::source start{bytes, name, options}; image_detail::format_of(start) == image_detail::format::unknown)
        image_detail::unknown_format(start);
    // No format takes more than 16 bytes per pixel; metadata and further frames come on top.
    const std::size_t most = (options.max_pixels < SIZE_MAX / 32 ? options.max_pixels * 16 : SIZE_MAX / 2) + (std::size_t{64} << 20);
    std::error_code failure;
    const std::uintmax_t size = std::filesystem::file_size(path, failure);
    if (!failure && size > most)
        throw error(errc::image_too_large, {name, ": the file has ", size, " bytes, too many for a picture of ", options.max_pixels, " pixels: raise max_pixels if you trust the file"});
    if (!failure && size > bytes.size()) { // at once, where the file tells its size
        const std::size_t at = bytes.size();
        bytes.resize(static_cast<std::size_t>(size));
        read(at);
    }
    while (file && bytes.size() <= most) {
        const std::size_t at = bytes.size();
        bytes.resize(at + chunk);
        read(at);
    }
    return decode_image(bytes, options, name);
}

} // namespace pali::inline PALI_ABI

// Which pixels of a picture belong to something.

namespace pali::inline PALI_ABI {

/// A value a pixel, row by row from the top left: 0 outside, 255 inside; a soft mask has values between.
struct mask {
    static constexpr std::uint8_t inside = 128; ///< from this value on a pixel counts as one of the mask's

    std::size_t width = 0;  ///< pixels
    std::size_t height = 0; ///< pixels
    std::vector<std::uint8_t> values; ///< height * width

    mask() = default;
    /// Nothing is inside.
    mask(std::size_t columns, std::size_t lines) : width(columns), height(lines), values(columns * lines) {}

    /// Whether it has no pixels at all.
    [[nodiscard]] bool empty() const noexcept { return values.empty(); }
    /// Whether the pixel at column x of row y is inside; not checked.
    [[nodiscard]] bool contains(std::size_t x, std::size_t y) const noexcept { return values[y * width + x] >= inside; }
    /// Pixels inside.
    [[nodiscard]] std::size_t area() const noexcept {
        return static_cast<std::size_t>(std::count_if(values.begin(), values.end(), [](std::uint8_t v) { return v >= inside; }));
    }

    friend bool operator==(const mask&, const mask&) = default;
};

/// Intersection over union of two masks of the same picture, 0 to 1; 0 where both are empty or their sizes differ.
[[nodiscard]] inline float iou(const mask& a, const mask& b) noexcept {
    if (a.width != b.width || a.height != b.height) return 0;
    std::size_t shared = 0, all = 0;
    for (std::size_t i = 0; i < a.values.size(); ++i) {
        const bool in_a = a.values[i] >= mask::inside, in_b = b.values[i] >= mask::inside;
        shared += in_a && in_b;
        all += in_a || in_b;
    }
    return all > 0 ? static_cast<float>(static_cast<double>(shared) / static_cast<double>(all)) : 0;
}

} // namespace pali::inline PALI_ABI

// Pictures to files: PNG for pictures and masks, JPEG for photographs.

namespace pali::inline PALI_ABI {

/// The picture as the bytes of a PNG file. Throws `invalid_argument` when it has no pixels, or not width * height * 3 bytes; `cannot_write` in a build without
/// libpng and stb.
[[nodiscard]] std::vector<std::byte> encode_png(const image& picture);

/// Grey bytes, row by row, as the bytes of a PNG file. Throws `invalid_argument` unless there are width * height of them, at least one.
[[nodiscard]] std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::span<const std::uint8_t> grey);

/// The picture as the bytes of a JPEG file, `quality` 1 to 100. Throws `invalid_argument` as encode_png does, and for another quality; `cannot_write` in a build
/// without libjpeg and stb.
[[nodiscard]] std::vector<std::byte> encode_jpeg(const image& picture, int quality = 90);

/// Writes what encode_png gives, over a file that may be there. Throws as it does, and `cannot_write`.
void write_png(const std::filesystem::path& path, const image& picture);
/// The same of grey bytes.
void write_png(const std::filesystem::path& path, std::size_t width, std::size_t height, std::span<const std::uint8_t> grey);
/// What encode_jpeg gives, in the same way; throws as it does too.
void write_jpeg(const std::filesystem::path& path, const image& picture, int quality = 90);
/// A mask as a PNG file of grey values. Throws as above.
inline void write_png(const std::filesystem::path& path, const mask& values) { write_png(path, values.width, values.height, values.values); }

} // namespace pali::inline PALI_ABI

// Bytes to a file, whole or not at all.

namespace pali::inline PALI_ABI {

/// Writes a file piece by piece, whole or not at all: into `<path>.part`, which finish() renames to `path`. Without finish() the old file stays, or none.
/// A symbolic link stays one; its target is replaced.
class file_writer {
public:
    /// Opens `<path>.part`. Throws `cannot_write`, also where `path` is a folder, a pipe or a device.
    explicit file_writer(std::filesystem::path path) : m_path(std::move(path)) {
        namespace fs = std::filesystem;
        std::error_code failure;
        if (const fs::file_status there = fs::status(m_path, failure); fs::exists(there)) {
            if (fs::is_directory(there)) throw error(errc::cannot_write, {m_path.string(), ": is a folder; a file is to be written here"});
            if (!fs::is_regular_file(there)) throw error(errc::cannot_write, {m_path.string(), ": is not a regular file, so it is not replaced"});
            if (fs::path target = fs::canonical(m_path, failure); !failure) m_path = std::move(target);
        }
        m_part = m_path;
        m_part += ".part";
        m_file.open(m_part, std::ios::binary | std::ios::trunc);
        if (!m_file) fail();
    }
    /// Removes what was written unless it is finished.
    ~file_writer() { remove_part(); }
    file_writer(const file_writer&) = delete;
    file_writer& operator=(const file_writer&) = delete;

    /// Appends bytes. Failures are reported by finish().
    void write(std::string_view bytes) { m_file.write(bytes.data(), static_cast<std::streamsize>(bytes.size())); }

    /// Closes the file and gives it its name. To be called once, at the end. Throws `cannot_write` where this or an earlier write failed.
    void finish() {
        m_file.close();
        std::error_code failure;
        if (m_file) std::filesystem::rename(m_part, m_path, failure);
        if (!m_file || failure) fail();
        m_part.clear();
    }

    /// Throws the `cannot_write` of this file.
    [[noreturn]] void fail() {
        remove_part();
        throw error(errc::cannot_write, {m_path.string(), ": cannot be written; is the folder there, writable and not full?"});
    }

private:
    void remove_part() noexcept {
        if (m_part.empty()) return;
        std::error_code ignored;
        m_file.close();
        if (std::filesystem::is_regular_file(m_part, ignored)) std::filesystem::remove(m_part, ignored);
        m_part.clear();
    }

    std::filesystem::path m_path, m_part;
    std::ofstream m_file;
};

/// Replaces the file at `path`, or creates it, as file_writer does. Throws `cannot_write`.
inline void write_file(std::filesystem::path path, std::string_view bytes) {
    file_writer file(std::move(path));
    file.write(bytes);
    file.finish();
}

/// The same, of bytes.
inline void write_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    write_file(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

} // namespace pali::inline PALI_ABI

// Bodies of write.hpp: libpng and libjpeg, or stb where they are absent.

#include <csetjmp>
#include <cstdio>
#include <new>

#if PALI_WITH_PNG
#  include <png.h>
#endif
#if PALI_WITH_JPEG
#  include <jpeglib.h>
#endif
#if PALI_WITH_STB && !(PALI_WITH_PNG && PALI_WITH_JPEG)
// Writing by stb, where libpng or libjpeg is absent.

// In a namespace of ours: it neither meets nor is another copy of stb that the program may hold.
#pragma push_macro("INCLUDE_STB_IMAGE_WRITE_H")
#pragma push_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma push_macro("STB_IMAGE_WRITE_STATIC")
#pragma push_macro("STBIWDEF")
#undef INCLUDE_STB_IMAGE_WRITE_H
#undef STBIWDEF
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(condition) ((void)0)
#if defined(__GNUC__)
#  pragma GCC diagnostic push
#  pragma GCC diagnostic ignored "-Wunused-function"
#  pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#  pragma GCC diagnostic ignored "-Wconversion"
#  pragma GCC diagnostic ignored "-Wsign-conversion"
#  pragma GCC diagnostic ignored "-Wsign-compare"
#  pragma GCC diagnostic ignored "-Wshadow"
#  pragma GCC diagnostic ignored "-Wpedantic"
#endif
namespace pali::inline PALI_ABI::image_detail::stb {
#if __has_include(<stb/stb_image_write.h>)
#  include <stb/stb_image_write.h>
#else
#  include <stb_image_write.h>
#endif
}
#if defined(__GNUC__)
#  pragma GCC diagnostic pop
#endif
#undef STBI_WRITE_NO_STDIO
#undef STBIW_ASSERT
#undef STBIW_MALLOC
#undef STBIW_REALLOC
#undef STBIW_FREE
#undef STBIW_REALLOC_SIZED
#undef STBIW_MEMMOVE
#undef STBIW_UCHAR
#pragma pop_macro("STBIWDEF")
#pragma pop_macro("STB_IMAGE_WRITE_STATIC")
#pragma pop_macro("STB_IMAGE_WRITE_IMPLEMENTATION")
#pragma pop_macro("INCLUDE_STB_IMAGE_WRITE_H")

namespace pali::inline PALI_ABI::image_detail {

PALI_INLINE std::vector<std::byte> encode_png_by_stb(std::size_t width, std::size_t height, std::size_t channels, const std::uint8_t* pixels) {
    int size = 0;
    const std::unique_ptr<unsigned char, void (*)(void*)> data(
        stb::stbi_write_png_to_mem(pixels, static_cast<int>(width * channels), static_cast<int>(width), static_cast<int>(height),
                                   static_cast<int>(channels), &size),
        [](void* p) { std::free(p); });
    if (data == nullptr) throw std::bad_alloc();
    const auto* bytes = reinterpret_cast<const std::byte*>(data.get());
    return {bytes, bytes + size};
}

PALI_INLINE std::vector<std::byte> encode_jpeg_by_stb(const image& picture, int quality) {
    std::vector<std::byte> made;
    stb::stbi_write_jpg_to_func(
        [](void* to, void* data, int size) {
            const auto* bytes = static_cast<const std::byte*>(data);
            static_cast<std::vector<std::byte>*>(to)->insert(static_cast<std::vector<std::byte>*>(to)->end(), bytes, bytes + size);
        },
        &made, static_cast<int>(picture.width), static_cast<int>(picture.height), 3, picture.pixels.data(), quality);
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif

namespace pali::inline PALI_ABI {

namespace image_detail {

PALI_INLINE void check_pixels(const char* what, std::size_t width, std::size_t height, std::size_t channels, std::size_t bytes) {
    constexpr std::size_t most = 1'000'000; // libpng's own limit; JPEG has a lower one
    if (width != 0 && height != 0 && width <= most && height <= most && bytes == width * height * channels) return;
    throw error(errc::invalid_argument, {what, ": a picture of ", width, " x ", height, " with ", bytes, " bytes; it needs a pixel, sides of at most ", most,
                                         ", and ", channels, " bytes a pixel"});
}

#if PALI_WITH_PNG
/// libpng reports by longjmp, so what runs between holds nothing that needs a destructor.
class png_writer {
public:
    png_writer() = default;
    png_writer(const png_writer&) = delete;
    png_writer& operator=(const png_writer&) = delete;
    ~png_writer() { png_destroy_write_struct(&m_png, &m_info); }

    std::vector<std::byte> encode(std::size_t width, std::size_t height, int colour, const std::uint8_t* pixels, std::size_t stride) {
        if (setjmp(m_jump) != 0) {
            if (m_out_of_memory) throw std::bad_alloc();
            throw error(errc::invalid_argument, std::string("encode_png: ") + m_message);
        }
        write(width, height, colour, pixels, stride);
        return std::move(m_bytes);
    }

private:
    void write(std::size_t width, std::size_t height, int colour, const std::uint8_t* pixels, std::size_t stride) {
        m_png = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, on_error, [](png_structp, png_const_charp) {});
        m_info = m_png == nullptr ? nullptr : png_create_info_struct(m_png);
        m_out_of_memory = m_info == nullptr;
        if (m_out_of_memory) on_error_of(*this, "out of memory");
        png_set_write_fn(m_png, this, append, [](png_structp) {});
        png_set_IHDR(m_png, m_info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8, colour, PNG_INTERLACE_NONE,
                     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_write_info(m_png, m_info);
        for (std::size_t y = 0; y < height; ++y) png_write_row(m_png, pixels + y * stride);
        png_write_end(m_png, m_info);
    }

    [[noreturn]] static void on_error(png_structp png, png_const_charp message) {
        on_error_of(*static_cast<png_writer*>(png_get_error_ptr(png)), message);
    }
    [[noreturn]] static void on_error_of(png_writer& self, const char* message) {
        std::strncpy(self.m_message, message, sizeof self.m_message - 1);
        std::longjmp(self.m_jump, 1);
    }
    static void append(png_structp png, png_bytep data, std::size_t size) {
        if (!static_cast<png_writer*>(png_get_io_ptr(png))->keep(data, size)) png_error(png, "out of memory");
    }
    bool keep(const unsigned char* data, std::size_t size) noexcept {
        try {
            const auto* bytes = reinterpret_cast<const std::byte*>(data);
            m_bytes.insert(m_bytes.end(), bytes, bytes + size);
            return true;
        } catch (const std::bad_alloc&) { // must not pass through libpng
            m_out_of_memory = true;
            return false;
        }
    }

    png_structp m_png = nullptr;
    png_infop m_info = nullptr;
    std::jmp_buf m_jump{};
    char m_message[128] = {};
    bool m_out_of_memory = false;
    std::vector<std::byte> m_bytes;
};
#endif

#if PALI_WITH_JPEG
/// libjpeg reports by longjmp, so what runs between holds nothing that needs a destructor.
class jpeg_writer {
public:
    jpeg_writer() = default;
    jpeg_writer(const jpeg_writer&) = delete;
    jpeg_writer& operator=(const jpeg_writer&) = delete;
    ~jpeg_writer() { jpeg_destroy_compress(&m_info); }

    std::vector<std::byte> encode(const image& picture, int quality) {
        if (setjmp(m_jump) != 0) {
            if (m_out_of_memory) throw std::bad_alloc();
            char message[JMSG_LENGTH_MAX] = {};
            m_errors.format_message(reinterpret_cast<j_common_ptr>(&m_info), message);
            throw error(errc::invalid_argument, std::string("encode_jpeg: ") + message);
        }
        write(picture, quality);
        return std::move(m_bytes);
    }

private:
    void write(const image& picture, int quality) {
        m_info.err = jpeg_std_error(&m_errors);
        m_errors.error_exit = [](j_common_ptr info) { std::longjmp(static_cast<jpeg_writer*>(info->client_data)->m_jump, 1); };
        m_errors.output_message = [](j_common_ptr) {};
        m_info.client_data = this;
        jpeg_create_compress(&m_info);
        m_info.dest = &m_destination; // libjpeg's own, jpeg_mem_dest, leaves no sign of which memory it holds when it fails
        m_destination.init_destination = [](j_compress_ptr info) { of(info).grow(0); };
        m_destination.empty_output_buffer = [](j_compress_ptr info) -> boolean { return of(info).grow(of(info).m_bytes.size()), TRUE; };
        m_destination.term_destination = [](j_compress_ptr info) { of(info).m_bytes.resize(of(info).m_bytes.size() - of(info).m_destination.free_in_buffer); };
        m_info.image_width = static_cast<JDIMENSION>(picture.width);
        m_info.image_height = static_cast<JDIMENSION>(picture.height);
        m_info.input_components = 3;
        m_info.in_color_space = JCS_RGB;
        jpeg_set_defaults(&m_info);
        jpeg_set_quality(&m_info, quality, TRUE);
        jpeg_start_compress(&m_info, TRUE);
        while (m_info.next_scanline < m_info.image_height) {
            auto* row = const_cast<std::uint8_t*>(picture.at(0, m_info.next_scanline));
            jpeg_write_scanlines(&m_info, &row, 1);
        }
        jpeg_finish_compress(&m_info);
    }

    [[nodiscard]] static jpeg_writer& of(j_compress_ptr info) noexcept { return *static_cast<jpeg_writer*>(info->client_data); }

    /// Room for more behind the first `used` bytes.
    void grow(std::size_t used) noexcept {
        if (!make_room(std::max<std::size_t>(1 << 16, 2 * used))) {
            m_out_of_memory = true;
            std::longjmp(m_jump, 1);
        }
        m_destination.next_output_byte = reinterpret_cast<JOCTET*>(m_bytes.data()) + used;
        m_destination.free_in_buffer = m_bytes.size() - used;
    }
    bool make_room(std::size_t bytes) noexcept {
        try {
            m_bytes.resize(bytes);
            return true;
        } catch (const std::bad_alloc&) { // must not pass through libjpeg
            return false;
        }
    }

    jpeg_compress_struct m_info{};
    jpeg_error_mgr m_errors{};
    jpeg_destination_mgr m_destination{};
    std::jmp_buf m_jump{};
    bool m_out_of_memory = false;
    std::vector<std::byte> m_bytes;
};
#endif

PALI_INLINE std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::size_t channels, const std::uint8_t* pixels) {
#if PALI_WITH_PNG
    return png_writer().encode(width, height, channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, pixels, width * channels);
#elif PALI_WITH_STB
    return encode_png_by_stb(width, height, channels, pixels);
#else
    (void)width, (void)height, (void)channels, (void)pixels;
    throw error(errc::cannot_write, "encode_png: this build of pali was made without libpng and stb");
#endif
}

} // namespace image_detail

PALI_INLINE std::vector<std::byte> encode_png(const image& picture) {
    image_detail::check_pixels("encode_png", picture.width, picture.height, 3, picture.pixels.size());
    return image_detail::encode_png(picture.width, picture.height, 3, picture.pixels.data());
}

PALI_INLINE std::vector<std::byte> encode_png(std::size_t width, std::size_t height, std::span<const std::uint8_t> grey) {
    image_detail::check_pixels("encode_png", width, height, 1, grey.size());
    return image_detail::encode_png(width, height, 1, grey.data());
}

PALI_INLINE std::vector<std::byte> encode_jpeg(const image& picture, int quality) {
    image_detail::check_pixels("encode_jpeg", picture.width, picture.height, 3, picture.pixels.size());
    if (quality < 1 || quality > 100) throw error(errc::invalid_argument, {"encode_jpeg: quality ", quality, " is not 1 to 100"});
#if PALI_WITH_JPEG
    return image_detail::jpeg_writer().encode(picture, quality);
#elif PALI_WITH_STB
    return image_detail::encode_jpeg_by_stb(picture, quality);
#else
    throw error(errc::cannot_write, "encode_jpeg: this build of pali was made without libjpeg and stb");
#endif
}

PALI_INLINE void write_png(const std::filesystem::path& path, const image& picture) { write_file(path, encode_png(picture)); }

PALI_INLINE void write_png(const std::filesystem::path& path, std::size_t width, std::size_t height, std::span<const std::uint8_t> grey) {
    write_file(path, encode_png(width, height, grey));
}

PALI_INLINE void write_jpeg(const std::filesystem::path& path, const image& picture, int quality) {
    write_file(path, encode_jpeg(picture, quality));
}

} // namespace pali::inline PALI_ABI

// config.json and its companions, read as transformers understands them.

namespace pali::inline PALI_ABI {

/// What is done to a picture before the vision tower sees it: preprocessor_config.json, or `image_processor` in processor_config.json.
/// Defaults are those of transformers' SiglipImageProcessor.
struct picture_config {
    std::size_t width = 224, height = 224;      ///< pixels after resizing; without such a file, the sides that config.json says
    int resample = 3; ///< Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming
    bool do_resize = true, do_rescale = true, do_normalize = true; ///< which steps are done, in this order
    double rescale_factor = 1.0 / 255;          ///< times each channel's byte
    std::array<float, 3> mean{0.5f, 0.5f, 0.5f}, deviation{0.5f, 0.5f, 0.5f}; ///< (x - mean) / deviation, red, green, blue
};

/// What the JSON files of a checkpoint say.
struct checkpoint_config {
    dynamic sizes;                              ///< of both networks
    std::int32_t image_token = 256000;          ///< `image_token_id`, or `image_token_index` in older files; may lie outside the vocabulary
    std::int32_t bos = 2, pad = 0;              ///< ids: `bos_token_id`, `pad_token_id`
    std::vector<std::int32_t> eos{1};           ///< generation ends at any of these; empty: at none
    std::size_t positions = 8192;               ///< `max_position_embeddings`: most tokens of a sequence, image tokens and answer included
    bool tied = true;                           ///< `tie_word_embeddings`: one matrix serves as embedding and head, where a file has only one of them
    std::string dtype;                          ///< of the stored weights, "bfloat16"; empty where the file says nothing
    std::filesystem::path file;                 ///< config.json, for messages
    picture_config picture;                     ///< what is done to a picture
};

/// Reads config.json and, where present, generation_config.json, processor_config.json and preprocessor_config.json.
/// `folder` is the checkpoint's folder, as find_checkpoint() takes it, or a file in it. What a file leaves out has the default of transformers 5.23
/// (models/{paligemma,gemma,gemma2,siglip}/configuration_*.py). A quantization_config is ignored: the tensors say what they are. Token ids come from generation_config.json, then config.json, then
/// its text_config. Throws what find_checkpoint() throws; errc::cannot_open; errc::malformed_config for a value of the wrong kind or one that contradicts another;
/// errc::unsupported_config for a model of another kind. All problems are in one message; where both kinds occur, the code is
/// malformed_config.
[[nodiscard]] checkpoint_config read_checkpoint_config(const std::filesystem::path& given);

} // namespace pali::inline PALI_ABI

// How messages write what comes from a file: names that may hold anything, shapes.

namespace pali::inline PALI_ABI {

/// 'name', with control characters shown in hexadecimal and the middle of a very long name left out: a file must not write to a terminal.
[[nodiscard]] inline std::string in_quotes(std::string_view name) {
    constexpr std::size_t longest = 200, kept = 90;
    constexpr char digits[] = "0123456789abcdef";
    std::string out = "'";
    for (std::size_t i = 0; i < name.size(); ++i) {
        if (name.size() > longest && i == kept) {
            out += "[...]";
            i = name.size() - kept;
        }
        const auto c = static_cast<unsigned char>(name[i]);
        if (c < 0x20 || c == 0x7f) out += std::string("\\x") + digits[c >> 4] + digits[c & 15];
        else out += name[i];
    }
    return out + "'";
}

/// "(256, 1152)"
[[nodiscard]] inline std::string describe_shape(std::span<const std::size_t> shape) {
    std::string out = "(";
    for (std::size_t i = 0; i < shape.size(); ++i) out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return out + ")";
}

} // namespace pali::inline PALI_ABI

// JSON files that are not trusted: bounded in size and depth. Included by bodies only: no header shows nlohmann/json.

#include <nlohmann/json.hpp>

namespace pali::inline PALI_ABI::detail {

/// Builds the document of a text that is parsed, event by event (nlohmann's SAX interface). A key that occurs twice is shown to `repeated`; the later value stays.
class strict_json_reader {
public:
    using json = nlohmann::json;
    /// The keys that lead to a value which another one replaces, outermost first, and that value.
    using repetition = std::function<void(const std::vector<std::string_view>& path, const json& earlier)>;

    strict_json_reader(json& to, const std::function<void(const error_text&)>& fail, const repetition& repeated) : m_to(to), m_fail(fail), m_repeated(repeated) {}

    bool null() { return add(nullptr); }
    bool boolean(bool value) { return add(value); }
    bool number_integer(std::int64_t value) { return add(value); }
    bool number_unsigned(std::uint64_t value) { return add(value); }
    bool number_float(double value, const std::string&) { return add(value); }
    bool string(std::string& value) { return add(std::move(value)); }
    bool binary(json::binary_t&) { return false; } // no text has one
    bool start_object(std::size_t) { return open(json::object()); }
    bool start_array(std::size_t) { return open(json::array()); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool key(std::string& name) {
        level& here = m_open.back();
        const auto [at, added] = here.value->get_ref<json::object_t&>().try_emplace(name);
        here.at = &at->second;
        here.key = at->first;
        if (added) return true;
        std::vector<std::string_view> path;
        for (const level& l : m_open)
            if (l.value->is_object()) path.push_back(l.key);
        m_repeated(path, at->second);
        return true;
    }
    bool parse_error(std::size_t byte, const std::string&, const nlohmann::detail::exception& what) { // the parser's own words would quote the file
        if (dynamic_cast<const json::out_of_range*>(&what) != nullptr) m_fail("is no valid JSON: it holds a number that is too large");
        m_fail({"is no valid JSON: see byte ", byte});
        return false;
    }

private:
    static constexpr std::size_t deepest = 64;

    struct level {
        json* value;              // an object or an array
        json* at = nullptr;       // where the value of an object's last key goes
        std::string_view key = {}; // that key
    };

    json* put(json&& value) {
        if (m_open.empty()) return &(m_to = std::move(value));
        level& here = m_open.back();
        if (here.value->is_object()) return &(*here.at = std::move(value));
        return &here.value->get_ref<json::array_t&>().emplace_back(std::move(value));
    }
    bool add(json value) {
        put(std::move(value));
        return true;
    }
    bool open(json value) {
        if (m_open.size() == deepest) m_fail({"is nested more than ", deepest, " deep"});
        m_open.push_back({put(std::move(value))});
        return true;
    }
    bool close() {
        m_open.pop_back();
        return true;
    }

    json& m_to;
    const std::function<void(const error_text&)>& m_fail;
    const repetition& m_repeated;
    std::vector<level> m_open; // values of open levels stay where they are: an array grows only when none of its elements is open
};

/// Parses a text in which nothing is nested deep, in time that grows with its length alone. `fail` gets what is wrong, and throws; `repeated` gets each value that a later one with the same
/// key replaces, and may throw. All JSON of a checkpoint but tokenizer.json is parsed here: nlohmann's parser is instantiated for each kind of text and of receiver, two seconds each.
[[nodiscard]] inline nlohmann::json parse_json(std::string_view text, const std::function<void(const error_text&)>& fail, const strict_json_reader::repetition& repeated) {
    nlohmann::json document;
    strict_json_reader reader(document, fail, repeated);
    (void)nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &reader);
    return document;
}

/// The same for a text in which no key occurs twice.
[[nodiscard]] inline nlohmann::json parse_strict_json(std::string_view text, const std::function<void(const error_text&)>& fail) {
    return parse_json(text, fail, [&](const std::vector<std::string_view>& path, const nlohmann::json&) {
        std::string where;
        for (const std::string_view key : path) (where += where.empty() ? "" : ".") += key;
        fail({"has ", in_quotes(where), " twice; a key is used once"});
    });
}

/// A value as JSON, shortened.
[[nodiscard]] inline std::string describe_json(const nlohmann::json& value) {
    const std::string text = value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    return text.size() <= 80 ? text : text.substr(0, 76) + " ...";
}

/// Parses an object. Throws errc::cannot_open, or `code` with the file, the key and what is wrong.
[[nodiscard]] inline nlohmann::json read_strict_json(const std::filesystem::path& path, errc code) {
    constexpr std::size_t largest = std::size_t{64} << 20; // an index of shards has 100 KB; tokenizer.json has a reader of its own
    const auto fail = [&](const error_text& what) { throw error(code, {path.string(), ": ", what}); };
    std::ifstream in = open_file(path);
    std::string text;
    for (char part[1 << 16]; in.read(part, sizeof part), in.gcount() > 0;) {
        text.append(part, static_cast<std::size_t>(in.gcount()));
        if (text.size() > largest) fail({"has more than ", largest, " bytes, the most that are read"});
    }
    if (in.bad()) throw error(errc::cannot_open, {path.string(), ": cannot be read to its end"});
    if (text.empty()) fail("is empty; a JSON object is needed");
    if (is_lfs_pointer(text)) throw error(code, {path.string(), lfs_pointer_words});
    if (text.find('\0') != std::string::npos) fail("holds a zero byte, at which a parser could stop; it is no JSON");
    nlohmann::json document = parse_strict_json(text, fail);
    if (!document.is_object()) fail({"is ", document.type_name(), "; a JSON object is needed"});
    return document;
}

} // namespace pali::inline PALI_ABI::detail

// One object of a JSON configuration, read field by field; problems are collected. Included by checkpoint_config.ipp alone.

namespace pali::inline PALI_ABI::detail {

/// What is wrong with a checkpoint's configuration, all of it.
struct config_problems {
    std::vector<std::string> found;
    bool malformed = false; ///< otherwise: unsupported only

    /// A section that is read twice tells its problems once.
    void add(const error_text& problem) {
        std::string text = problem.str();
        if (std::find(found.begin(), found.end(), text) == found.end()) found.push_back(std::move(text));
    }

    /// Throws when there is anything to tell.
    void raise(const std::filesystem::path& file) const {
        if (found.empty()) return;
        const errc code = malformed ? errc::malformed_config : errc::unsupported_config;
        if (found.size() == 1) throw error(code, {file.string(), ": ", found.front()});
        std::string all;
        for (const std::string& problem : found) all.append("\n  ").append(problem);
        throw error(code, {file.string(), ": ", found.size(), " problems", all});
    }
};

class config_section {
public:
    using json = nlohmann::json;

    /// `prefix` leads to the section in messages: "text_config.". A section that is absent reads as an empty one.
    config_section(const json* object, std::string prefix, config_problems& problems)
        : m_object(object), m_prefix(std::move(prefix)), m_problems(problems) {}

    /// The value, or nullptr where the key is absent.
    [[nodiscard]] const json* find(const char* key) const {
        if (m_object == nullptr) return nullptr;
        const auto found = m_object->find(key);
        return found == m_object->end() ? nullptr : &*found;
    }
    /// The same, and null counts as absent.
    [[nodiscard]] const json* find_value(const char* key) const {
        const json* const value = find(key);
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    /// The object at `key`; where it is absent or null, a section without keys.
    [[nodiscard]] config_section section(const char* key) const {
        const json* value = find_value(key);
        if (value != nullptr && !value->is_object()) {
            malformed(key, "an object");
            value = nullptr;
        }
        return {value, m_prefix + key + ".", m_problems};
    }
    /// Another object that is read in place of this one, with the same words in messages.
    [[nodiscard]] config_section beside(const json& object) const { return {&object, m_prefix, m_problems}; }
    [[nodiscard]] bool is_present() const noexcept { return m_object != nullptr; }

    /// The value is there, and no object: a problem that is told already.
    [[nodiscard]] bool is_broken(const char* key) const { return find_value(key) != nullptr && !find_value(key)->is_object(); }

    /// An integer in [lowest, highest]; 0 where it is none, so that nothing else is made of it.
    [[nodiscard]] std::size_t size(const char* key, std::size_t otherwise, std::size_t lowest, std::size_t highest) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_number_unsigned() && value->get<std::uint64_t>() >= lowest && value->get<std::uint64_t>() <= highest)
            return value->get<std::size_t>();
        malformed(key, {"an integer from ", lowest, " to ", highest});
        return 0;
    }

    /// A finite number as float; `allow_zero` or above zero.
    [[nodiscard]] float number(const char* key, float otherwise, bool allow_zero) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_number()) {
            const double wide = value->get<double>();
            if (std::abs(wide) <= std::numeric_limits<float>::max()) {
                const float number = static_cast<float>(wide);
                if (number > 0 || (allow_zero && number == 0)) return number;
            }
        }
        malformed(key, allow_zero ? "a number from 0" : "a number above 0");
        return otherwise;
    }
    /// A softcap: null and 0 mean none.
    [[nodiscard]] float softcap(const char* key, float otherwise) const {
        const json* const value = find(key);
        return value != nullptr && value->is_null() ? 0 : number(key, otherwise, true);
    }

    [[nodiscard]] bool flag(const char* key, bool otherwise) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_boolean()) return value->get<bool>();
        malformed(key, "true or false");
        return otherwise;
    }

    [[nodiscard]] std::string text(const char* key, const std::string& otherwise) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_string()) return value->get<std::string>();
        malformed(key, "a string");
        return otherwise;
    }

    /// A token id; 32 bits, and not negative where `needed`.
    [[nodiscard]] std::int32_t id(const json& value, const char* key, bool needed) const {
        if (value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= most)) {
            const std::int64_t id = value.get<std::int64_t>();
            if (id >= (needed ? 0 : std::numeric_limits<std::int32_t>::min()) && id <= std::int64_t{most})
                return static_cast<std::int32_t>(id);
        }
        malformed(key, needed ? error_text{"an id from 0 to ", most} : "an id of 32 bits");
        return 0;
    }

    /// The value contradicts the format: "text_config.head_dim is 7; `needed` is needed".
    void malformed(const char* key, const error_text& needed) const {
        m_problems.malformed = true;
        m_problems.add({m_prefix, key, " is ", describe(key), "; ", needed, " is needed"});
    }
    /// The value is valid, and no model that is run has it.
    void unsupported(const char* key, const error_text& needed) const {
        m_problems.add({m_prefix, key, " is ", describe(key), "; ", needed});
    }

    /// The value as JSON, shortened.
    [[nodiscard]] std::string describe(const char* key) const {
        const json* const value = find(key);
        return value == nullptr ? "absent" : describe_json(*value);
    }

private:
    static constexpr std::uint32_t most = 0x7fffffff;

    const json* m_object;
    std::string m_prefix;
    config_problems& m_problems;
};

} // namespace pali::inline PALI_ABI::detail

// Where a checkpoint lies, for a path that may be a folder of Hugging Face's cache.

namespace pali::inline PALI_ABI {

/// The folder or file that `given` means: itself; for a folder of Hugging Face's cache (models--google--paligemma2-3b-pt-224) its snapshot.
/// Throws errc::cannot_open for the name of a repository on the hub (google/paligemma2-3b-pt-224) that is no folder here, and for a cache without a snapshot or with several;
/// errc::unsupported_format for a folder with an adapter in it (adapter_config.json), with the name of the base model: adapters are not applied. What else is
/// not there is left to the readers of files.
[[nodiscard]] std::filesystem::path find_checkpoint(const std::filesystem::path& given);

} // namespace pali::inline PALI_ABI

// A list of things of one kind for a message: the first ten, then how many more there are.

namespace pali::inline PALI_ABI {

/// Counts what is added and keeps the text of the first ten.
class short_list {
public:
    static constexpr std::size_t most = 10; ///< texts that are kept

    /// One more. Its text is made only where it is kept.
    void add(const error_text& one) {
        if (m_count++ < most) m_kept.push_back(one.str());
    }
    /// How many there are.
    [[nodiscard]] std::size_t size() const noexcept { return m_count; }
    /// Whether there is nothing.
    [[nodiscard]] bool empty() const noexcept { return m_count == 0; }

    /// `before` and a text, for each of the first `limit` that were kept, and how many more there are.
    [[nodiscard]] std::string joined(const char* before, std::size_t limit = most) const {
        std::string out;
        const std::size_t shown = std::min(limit, m_kept.size());
        for (std::size_t i = 0; i < shown; ++i) out.append(before).append(m_kept[i]);
        if (m_count > shown) out.append(before).append("and ").append(std::to_string(m_count - shown)).append(" more");
        return out;
    }
    /// The texts with commas between: "a, b, and 3 more".
    [[nodiscard]] std::string in_a_row(std::size_t limit = most) const { return m_count == 0 ? "" : joined(", ", limit).substr(2); }

private:
    std::vector<std::string> m_kept;
    std::size_t m_count = 0;
};

} // namespace pali::inline PALI_ABI

// Body of checkpoint_place.hpp.

namespace pali::inline PALI_ABI {

namespace detail {

/// OWNER/NAME, as repositories on the hub are called.
[[nodiscard]] PALI_INLINE bool is_hub_name(std::string_view name) {
    const auto is_word = [](std::string_view part) {
        return !part.empty() && part.front() != '.' && std::all_of(part.begin(), part.end(), [](char c) {
            return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        });
    };
    const std::size_t slash = name.find('/');
    return slash != std::string_view::npos && is_word(name.substr(0, slash)) && is_word(name.substr(slash + 1));
}

/// The folder below snapshots/ of a folder of the hub's cache.
[[nodiscard]] PALI_INLINE std::filesystem::path only_snapshot(const std::filesystem::path& cache) {
    std::vector<std::filesystem::path> found;
    std::error_code failure, unknown;
    for (std::filesystem::directory_iterator it(cache / "snapshots", failure), end; !failure && it != end; it.increment(failure))
        if (it->is_directory(unknown)) found.push_back(it->path());
    if (found.size() == 1) return found.front();
    std::sort(found.begin(), found.end());
    short_list names;
    for (const std::filesystem::path& one : found) names.add(in_quotes(one.filename().string()));
    throw error(errc::cannot_open, {cache.string(), ": is a folder of Hugging Face's cache with ", found.size(), " snapshots", found.empty() ? "; download the model again" : ": ", names.in_a_row(),
                                    found.empty() ? "" : "; name one of the folders below snapshots/"});
}

/// Throws for a folder with an adapter.
PALI_INLINE void refuse_adapter(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "adapter_config.json";
    std::error_code unknown;
    if (!std::filesystem::exists(file, unknown)) return;
    const nlohmann::json adapter = read_strict_json(file, errc::malformed_config);
    const auto text = [&](const char* key) {
        const auto found = adapter.find(key);
        return found != adapter.end() && found->is_string() ? found->get<std::string>() : std::string();
    };
    const std::string base = text("base_model_name_or_path"), kind = text("peft_type");
    throw error(errc::unsupported_format,
                {folder.string(), ": holds an adapter", kind.empty() ? "" : " (", kind, kind.empty() ? "" : ")", " for ", base.empty() ? "a base model that it does not name" : in_quotes(base),
                 ", and adapters are not applied: merge it into its base with PEFT's merge_and_unload() and save_pretrained(), and name the folder that these write. ",
                 "To run a base without the adapter beside it, move adapter_config.json away"});
}

} // namespace detail

PALI_INLINE std::filesystem::path find_checkpoint(const std::filesystem::path& given) {
    std::error_code unknown;
    const std::filesystem::file_status status = std::filesystem::status(given, unknown);
    if (status.type() == std::filesystem::file_type::not_found && detail::is_hub_name(given.generic_string()))
        throw error(errc::cannot_open, {given.string(), ": there is no such folder. It reads like the name of a repository on Hugging Face's hub: download that, hf download ", given.generic_string(),
                                        " --local-dir DIR, and name the folder"});
    if (!std::filesystem::is_directory(status)) return given;
    const bool is_cache = !std::filesystem::exists(given / "config.json", unknown) && std::filesystem::is_directory(given / "snapshots", unknown);
    std::filesystem::path folder = is_cache ? detail::only_snapshot(given) : given;
    detail::refuse_adapter(folder);
    return folder;
}

} // namespace pali::inline PALI_ABI

// Body of checkpoint_config.hpp.

namespace pali::inline PALI_ABI {

namespace detail {

// Limits far above any model, so low that no product of four sizes leaves 64 bits.
inline constexpr std::size_t most_width = std::size_t{1} << 20, most_heads = std::size_t{1} << 12, most_layers = std::size_t{1} << 12,
                             most_pixels_a_side = std::size_t{1} << 14, most_tokens = 0x7fffffff, most_window = 0x7fffffff;

inline constexpr const char* tanh_gelu = "gelu_pytorch_tanh"; // the only activation of all three parts

/// vision_config. Defaults: SiglipVisionConfig; without the section, PaliGemmaConfig's own for it.
[[nodiscard]] PALI_INLINE dynamic_vision read_vision(const config_section& top) {
    const config_section vision = top.section("vision_config");
    const bool given = vision.is_present();
    dynamic_vision out;
    if (top.is_broken("vision_config")) return out;
    if (vision.text("model_type", "siglip_vision_model") != "siglip_vision_model") {
        vision.unsupported("model_type", "\"siglip_vision_model\" is the one that is run");
        return out;
    }
    out.image_size = 224;
    out.patch_size = given ? 16 : 14;
    // A list of sides is valid for transformers' SigLIP, and not for its PaliGemma.
    for (const char* key : {"image_size", "patch_size"}) {
        std::size_t& side = key[0] == 'i' ? out.image_size : out.patch_size;
        const auto* value = vision.find(key);
        if (value != nullptr && value->is_array()) vision.unsupported(key, "pictures and patches are square: one number");
        else side = vision.size(key, side, 1, most_pixels_a_side);
    }
    out.hidden = vision.size("hidden_size", given ? 768 : 1152, 1, most_width);
    out.layers = vision.size("num_hidden_layers", given ? 12 : 27, 1, most_layers);
    out.intermediate = vision.size("intermediate_size", given ? 3072 : 4096, 1, most_width);
    out.heads = vision.size("num_attention_heads", given ? 12 : 16, 1, most_heads);
    out.norm_eps = vision.number("layer_norm_eps", 1e-6f, true);
    if (const std::size_t channels = vision.size("num_channels", 3, 1, most_width); channels != 3 && channels != 0)
        vision.unsupported("num_channels", "pictures have 3 channels");
    if (vision.text("hidden_act", tanh_gelu) != tanh_gelu)
        vision.unsupported("hidden_act", {"\"", tanh_gelu, "\" is the one that is run"});
    // What is left over at the right and below is not seen (SiglipVisionEmbeddings floors), but one patch must fit.
    if (out.patch_size > out.image_size && out.image_size != 0)
        vision.malformed("patch_size", {"at most image_size, ", out.image_size, ","});
    if (out.heads != 0 && out.hidden % out.heads != 0)
        vision.malformed("num_attention_heads", {"a divisor of hidden_size, ", out.hidden, ","});
    return out;
}

/// Base of RoPE: flat or nested by layer type, in rope_scaling (oldest), rope_parameters, or rope_theta beside them, in transformers'
/// order (modeling_rope_utils.py, convert_rope_params_to_dict).
[[nodiscard]] PALI_INLINE float read_rope_theta(const config_section& text) {
    const float beside = text.number("rope_theta", 10000.0f, false);
    const auto holds_something = [&](const char* key) {
        const auto* value = text.find_value(key);
        return value != nullptr && !(value->is_object() && value->empty());
    };
    const char* const key = holds_something("rope_scaling") ? "rope_scaling" : "rope_parameters";
    const config_section rope = text.section(key);
    const auto read = [&](const config_section& one) {
        for (const char* type : {"rope_type", "type"}) {
            if (one.text(type, "default") != "default") one.unsupported(type, "\"default\" is the one that is run");
            if (one.find(type) != nullptr) break;
        }
        if (one.find("partial_rotary_factor") != nullptr && one.number("partial_rotary_factor", 1, false) != 1)
            one.unsupported("partial_rotary_factor", "all of a head is rotated");
        return one.number("rope_theta", beside, false);
    };
    float theta = 0;
    bool nested = false;
    for (const char* layer_type : {"full_attention", "sliding_attention"}) {
        if (rope.find_value(layer_type) == nullptr) continue;
        const float own = read(rope.section(layer_type));
        if (nested && own != theta) text.unsupported(key, "layers of all types have the same rope_theta");
        theta = own;
        nested = true;
    }
    return nested ? theta : read(rope);
}

/// Which layers have a sliding window: layer_types, or every second from the first (configuration_gemma2.py).
PALI_INLINE void read_windows(const config_section& text, dynamic& out) {
    const auto* const window_value = text.find("sliding_window");
    const bool none = window_value != nullptr && window_value->is_null();
    const std::size_t window = none ? 0 : text.size("sliding_window", 4096, 1, most_window);
    out.windows.assign(out.layers, 0);
    if (out.layers == 0) return;
    const auto* const types = text.find_value("layer_types");
    if (types == nullptr) {
        for (std::size_t layer = 0; layer < out.layers; layer += 2) out.windows[layer] = window;
        return;
    }
    if (!types->is_array() || types->size() != out.layers)
        return text.malformed("layer_types", {"a list of ", out.layers, " strings, one for each of num_hidden_layers,"});
    for (std::size_t layer = 0; layer < out.layers; ++layer) {
        const auto& type = (*types)[layer];
        const auto* const name = type.get_ptr<const std::string*>();
        if (name == nullptr) return text.malformed("layer_types", "a list of strings");
        if (*name == "sliding_attention") out.windows[layer] = window;
        else if (*name != "full_attention" && *name != "attention") // the last is an older name
            return text.unsupported("layer_types", {"\"full_attention\" and \"sliding_attention\" are the ones that are run, and layer ", layer, " is another"});
    }
}

/// text_config. Defaults: GemmaConfig or Gemma2Config; without the section, PaliGemmaConfig's own for it.
[[nodiscard]] PALI_INLINE dynamic read_text(const config_section& top) {
    const config_section text = top.section("text_config");
    const bool given = text.is_present();
    dynamic out;
    if (top.is_broken("text_config")) return out;
    const std::string type = text.text("model_type", "gemma");
    if (type != "gemma" && type != "gemma2") {
        text.unsupported("model_type", "\"gemma\" and \"gemma2\" are the ones that are run");
        return out;
    }
    const bool second = type == "gemma2";
    const auto pick = [&](std::size_t gemma2, std::size_t gemma, std::size_t absent) { return second ? gemma2 : given ? gemma : absent; };
    out.vocab = text.size("vocab_size", given ? 256000 : 257152, 1, most_tokens);
    out.hidden = text.size("hidden_size", pick(2304, 3072, 2048), 1, most_width);
    out.layers = text.size("num_hidden_layers", pick(26, 28, 18), 1, most_layers);
    out.intermediate = text.size("intermediate_size", pick(9216, 24576, 16384), 1, most_width);
    out.heads = text.size("num_attention_heads", pick(8, 16, 8), 1, most_heads);
    out.kv_heads = text.size("num_key_value_heads", pick(4, 16, 1), 1, most_heads);
    out.head_dim = text.size("head_dim", 256, 2, most_heads);
    out.norm_eps = text.number("rms_norm_eps", 1e-6f, true);
    out.rope_theta = read_rope_theta(text);
    out.post_norms = second;
    // PaliGemma caps its logits whichever decoder it has, when text_config says so; Gemma's own default is none.
    out.final_softcap = text.softcap("final_logit_softcapping", second ? 30.0f : 0.0f);
    if (second) {
        out.query_pre_attn_scalar = text.number("query_pre_attn_scalar", 256.0f, false);
        out.attention_softcap = text.softcap("attn_logit_softcapping", 50.0f);
        read_windows(text, out);
    } else {
        out.query_pre_attn_scalar = static_cast<float>(out.head_dim); // modeling_gemma.py: scaling = head_dim ** -0.5
        out.windows.assign(out.layers, 0);
        if (text.find_value("sliding_window") != nullptr) text.unsupported("sliding_window", "a Gemma of the first generation has none");
    }
    // The first generation reads hidden_act, where "gelu" is an old way to say the tanh form; the second reads hidden_activation.
    const char* const key = second ? "hidden_activation" : "hidden_act";
    const std::string activation = text.text(key, tanh_gelu);
    if (activation != tanh_gelu && (second || activation != "gelu"))
        text.unsupported(key, {"\"", tanh_gelu, "\" is the one that is run"});
    if (text.flag("attention_bias", false)) text.unsupported("attention_bias", "no model of the family has one");
    if (const auto* layers = text.find_value("per_layer_config"); layers != nullptr && !layers->empty())
        text.unsupported("per_layer_config", "all layers have the same sizes");
    if (out.kv_heads != 0 && out.heads % out.kv_heads != 0)
        text.malformed("num_key_value_heads", {"a divisor of num_attention_heads, ", out.heads, ","});
    if (out.head_dim % 2 != 0) text.malformed("head_dim", "an even number");
    return out;
}

/// bos, eos and pad: the first file that says something about one decides it.
PALI_INLINE void read_ids(const config_section& generation, const config_section& top, checkpoint_config& out) {
    const config_section text = top.section("text_config");
    const auto find = [&](const char* key) -> const config_section* {
        for (const config_section* place : {&generation, &top})
            if (place->find_value(key) != nullptr) return place;
        return text.find(key) != nullptr ? &text : nullptr; // here null is said on purpose: none
    };
    if (const config_section* place = find("bos_token_id")) {
        out.bos = place->id(*place->find("bos_token_id"), "bos_token_id", true);
        if (out.sizes.vocab != 0 && static_cast<std::size_t>(out.bos) >= out.sizes.vocab)
            place->malformed("bos_token_id", {"an id below vocab_size, ", out.sizes.vocab, ","});
    }
    if (const config_section* place = find("eos_token_id")) {
        out.eos.clear();
        const auto& value = *place->find("eos_token_id");
        if (value.is_array())
            for (const auto& one : value) out.eos.push_back(place->id(one, "eos_token_id", false));
        else if (!value.is_null()) out.eos.push_back(place->id(value, "eos_token_id", false));
    }
    if (const config_section* place = find("pad_token_id"))
        if (const auto* value = place->find_value("pad_token_id")) out.pad = place->id(*value, "pad_token_id", false);
}

/// A step that is null or 0 is off, as Python has it; its numbers are read only when it is on, and null stands for the default.
PALI_INLINE void read_picture(const config_section& file, picture_config& out, std::size_t side) {
    const auto step = [&](const char* key, bool otherwise) {
        const auto* value = file.find(key);
        if (value != nullptr && value->is_null()) return false;
        if (value != nullptr && (*value == 0 || *value == 1)) return *value == 1;
        return file.flag(key, otherwise);
    };
    out.do_resize = step("do_resize", true);
    out.do_rescale = step("do_rescale", true);
    out.do_normalize = step("do_normalize", true);
    for (const char* key : {"do_center_crop", "do_pad"})
        if (step(key, false)) file.unsupported(key, "pictures are resized, and neither cut nor padded");
    if (const auto* factor = file.find_value("rescale_factor"); factor != nullptr && out.do_rescale) {
        if (factor->is_number() && factor->get<double>() > 0 && std::isfinite(factor->get<double>()))
            out.rescale_factor = factor->get<double>();
        else file.malformed("rescale_factor", "a number above 0");
    }
    for (const bool is_deviation : {false, true}) {
        const char* const key = is_deviation ? "image_std" : "image_mean";
        const auto* value = file.find_value(key);
        if (value == nullptr || !out.do_normalize) continue;
        std::array<float, 3>& channels = is_deviation ? out.deviation : out.mean;
        for (std::size_t c = 0; c < 3; ++c) {
            const auto* one = value->is_array() && value->size() == 3 ? &(*value)[c] : value; // one number stands for all three
            const double number = one->is_number() ? one->get<double>() : std::numeric_limits<double>::quiet_NaN();
            channels[c] = static_cast<float>(number);
            if (std::isfinite(channels[c]) && (!is_deviation || channels[c] > 0)) continue;
            file.malformed(key, is_deviation ? "a list of three numbers above 0" : "a list of three numbers");
            break;
        }
    }
    if (!out.do_resize) return;
    if (file.find_value("resample") != nullptr) out.resample = static_cast<int>(file.size("resample", 3, 0, 5));
    const auto* size = file.find_value("size");
    if (size == nullptr) return;
    const bool is_pair = size->is_array() && size->size() == 2; // height, width
    if (!is_pair && (!size->is_object() || !size->contains("height") || !size->contains("width")))
        return file.unsupported("size", {"{\"height\": ", side, ", \"width\": ", side, "} is needed"});
    const nlohmann::json pair = is_pair ? nlohmann::json{{"size", {{"height", (*size)[0]}, {"width", (*size)[1]}}}} : nlohmann::json();
    const config_section sides = is_pair ? file.beside(pair).section("size") : file.section("size");
    out.height = sides.size("height", side, 1, most_pixels_a_side);
    out.width = sides.size("width", side, 1, most_pixels_a_side);
    if (side != 0 && out.height != 0 && out.width != 0 && (out.height != side || out.width != side))
        file.malformed("size", {"the image_size that config.json says, ", side, " by ", side, " pixels,"});
}

} // namespace detail

PALI_INLINE checkpoint_config read_checkpoint_config(const std::filesystem::path& given) {
    using detail::config_section;
    const std::filesystem::path folder = find_checkpoint(given);
    const std::filesystem::path place = std::filesystem::is_directory(detail::require_path(folder, "folder")) ? folder : folder.parent_path();
    checkpoint_config out;
    out.file = place / "config.json";
    detail::require_path(out.file, "file", "; a checkpoint is a folder as Hugging Face's hub has it, with config.json beside the weights");

    const auto read_optional = [&](const char* name) {
        const std::filesystem::path path = place / name;
        std::error_code ignored;
        return std::filesystem::exists(path, ignored) ? detail::read_strict_json(path, errc::malformed_config) : nlohmann::json::object();
    };
    const nlohmann::json config = detail::read_strict_json(out.file, errc::malformed_config);
    detail::config_problems problems;
    const config_section top(&config, "", problems);
    if (top.find("model_type") == nullptr || top.text("model_type", "paligemma") != "paligemma")
        top.unsupported("model_type", "\"paligemma\" is the one that is run, for PaliGemma 2 too, and not what is built around them");
    problems.raise(out.file); // nothing else in the file would make sense
    // A quantization_config says how weights were quantised once, and stays behind when they were saved as plain numbers again: the tensors decide (weights/foreign.hpp).

    out.sizes = detail::read_text(top);
    out.positions = top.section("text_config").size("max_position_embeddings", 8192, 1, detail::most_tokens);
    out.tied = top.flag("tie_word_embeddings", true);
    out.sizes.vision = detail::read_vision(top);
    const std::size_t projection = top.size("projection_dim", 2048, 1, detail::most_width);
    if (out.sizes.hidden != 0 && projection != 0 && projection != out.sizes.hidden)
        top.malformed("projection_dim", {"the hidden_size of text_config, ", out.sizes.hidden, ","});
    // The newer key wins: attribute_map sets it after the fields.
    const char* const image_key = top.find("image_token_id") != nullptr ? "image_token_id" : "image_token_index";
    if (const auto* value = top.find(image_key)) out.image_token = top.id(*value, image_key, true);
    for (const char* key : {"dtype", "torch_dtype"})
        if (out.dtype.empty() && top.find_value(key) != nullptr) out.dtype = top.text(key, "");

    const nlohmann::json generation = read_optional("generation_config.json");
    detail::read_ids(config_section(&generation, "generation_config.json: ", problems), top, out);

    const std::size_t side = out.sizes.vision.image_size;
    if (side != 0) out.picture.width = out.picture.height = side;
    const nlohmann::json processor = read_optional("processor_config.json"); // written by transformers 5, and first for it
    if (const config_section nested = config_section(&processor, "processor_config.json: ", problems).section("image_processor");
        nested.is_present())
        detail::read_picture(nested, out.picture, side);
    else {
        const nlohmann::json preprocessor = read_optional("preprocessor_config.json");
        detail::read_picture(config_section(&preprocessor, "preprocessor_config.json: ", problems), out.picture, side);
    }
    problems.raise(out.file);
    return out;
}

} // namespace pali::inline PALI_ABI

// Progress of long work, and the means to stop it.

namespace pali::inline PALI_ABI {

/// Called with the name of the stage ("load", "image", "prefill", "decode", "search", "quantize") and the fraction of the whole call that is done, 0 to 1, which never falls. Return false to
/// stop the call; it is not called again then.
using progress_callback = std::function<bool(std::string_view stage, double fraction)>;

} // namespace pali::inline PALI_ABI

// Callbacks of answers, with or without the number of the answer that they are about.

namespace pali::inline PALI_ABI {

/// Holds a function of `Args`, or of std::size_t and `Args`, that returns whether to go on. The number is the place of the answer's picture or request in the
/// call, from 0 on.
template <class... Args>
class answer_callback {
public:
    /// Calls nothing.
    answer_callback() = default;
    /// The same.
    answer_callback(std::nullptr_t) {}
    /// Calls `function`, which returns bool.
    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, answer_callback>)
    answer_callback(F function) { // not explicit: options are set by assigning a lambda
        constexpr bool plain = std::is_invocable_r_v<bool, F&, Args...>, numbered = std::is_invocable_r_v<bool, F&, std::size_t, Args...>;
        static_assert(plain || numbered, "a callback takes what is reported, or the number of the answer before it, and returns bool: false stops the call");
        if constexpr (numbered) m_function = std::move(function);
        else m_function = [function = std::move(function)](std::size_t, Args... args) mutable -> bool { return function(args...); };
    }

    /// Whether there is something to call.
    explicit operator bool() const noexcept { return static_cast<bool>(m_function); }
    /// Calls it.
    bool operator()(std::size_t answer, Args... args) const { return m_function(answer, args...); }

private:
    std::function<bool(std::size_t, Args...)> m_function;
};

} // namespace pali::inline PALI_ABI

// Numbers of options as people write them: 0.8f stands for 0.8.

#include <charconv>

namespace pali::inline PALI_ABI::detail {

/// The shortest decimal that is this number: "0.8".
[[nodiscard]] inline std::string in_decimal(float value) {
    std::array<char, 32> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value);
    return {text.data(), end.ptr};
}

/// That decimal in double precision, as Python would hold it: 1 - 0.8 is then rounded as there, which decides between equal candidates.
[[nodiscard]] inline double as_written(float value) {
    const std::string text = in_decimal(value);
    double out = static_cast<double>(value);
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

} // namespace pali::inline PALI_ABI::detail

// What a caller can ask of a beam search. Apart from the search, which a program that links pali::compiled need not read.

namespace pali::inline PALI_ABI {

/// Named and meant as in transformers' GenerationConfig.
struct beam_options {
    std::size_t num_beams = 1;   ///< sequences that are followed at once, 1 to 1024
    float length_penalty = 1;    ///< scores are divided by length^this: over 0 favours long answers, below 0 short ones
    bool early_stopping = false; ///< stop as soon as num_beams answers are complete; else when no better one is likely
    std::size_t max_new_tokens = 256;  ///< 1 to most_new_tokens

    /// Far beyond the 8192 positions that Gemma was trained with, and so few that no size of memory overflows.
    static constexpr std::size_t most_new_tokens = std::size_t{1} << 20;

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        const auto need = [](bool fits, const char* option, const error_text& value, const char* allowed) {
            if (!fits) throw error(errc::invalid_argument, {option, " is ", value, "; ", allowed});
        };
        need(num_beams >= 1 && num_beams <= 1024, "num_beams", num_beams, "1 to 1024 is allowed");
        need(std::isfinite(length_penalty), "length_penalty", detail::in_decimal(length_penalty), "a finite number is needed");
        need(max_new_tokens >= 1 && max_new_tokens <= most_new_tokens, "max_new_tokens", max_new_tokens, "1 to 1048576 is allowed");
    }
};

} // namespace pali::inline PALI_ABI

// How the next token is chosen.

namespace pali::inline PALI_ABI {

/// Named and meant as in transformers' GenerationConfig, but off until set (there, top_k is 50 until set). With temperature 0 the choice is
/// greedy, as there with do_sample=False: only repetition_penalty counts then.
struct sampling_options {
    float temperature = 0;        ///< logits are divided by it; 0: the most likely token; 0 or more
    std::size_t top_k = 0;        ///< only the k most likely tokens; 0: all
    float top_p = 1;              ///< only the most likely tokens that together reach this probability; 0 to 1, 1: all
    float min_p = 0;              ///< only tokens at least this likely, relative to the most likely one; 0 to 1, 0: all
    float typical_p = 1;          ///< only the tokens of most typical surprise that together reach this probability; over 0 to 1, 1: all
    float repetition_penalty = 1; ///< makes what is in the sequence less likely, image tokens and prompt included; over 0, 1: off
    std::uint64_t seed = 0;       ///< of the random numbers: the same seed gives the same text

    /// Whether the most likely token is taken.
    [[nodiscard]] bool greedy() const noexcept { return temperature == 0; }

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        const auto need = [](bool fits, const char* option, float value, const char* allowed) {
            if (!fits) throw error(errc::invalid_argument, {option, " is ", detail::in_decimal(value), "; ", allowed});
        };
        need(std::isfinite(temperature) && temperature >= 0, "temperature", temperature, "0 (the most likely token) or more is allowed");
        need(top_p >= 0 && top_p <= 1, "top_p", top_p, "0 to 1 is allowed, 1 being off");
        need(min_p >= 0 && min_p <= 1, "min_p", min_p, "0 to 1 is allowed, 0 being off");
        need(typical_p > 0 && typical_p <= 1, "typical_p", typical_p, "more than 0, up to 1, is allowed, 1 being off");
        need(std::isfinite(repetition_penalty) && repetition_penalty > 0, "repetition_penalty", repetition_penalty,
             "more than 0 is allowed, 1 being off");
    }
};

} // namespace pali::inline PALI_ABI

// A token is a number.

namespace pali::inline PALI_ABI {

/// Index into the vocabulary, as sentencepiece and transformers number it.
using token = std::int32_t;

} // namespace pali::inline PALI_ABI

// What a caller can ask of a generation.

namespace pali::inline PALI_ABI {

/// Options of one answer. All have defaults: model.generate(photo, "caption en") is greedy.
struct generate_options {
    std::size_t max_new_tokens = 256;    ///< 1 to beam_options::most_new_tokens, the end of the sequence included
    std::size_t min_new_tokens = 0;      ///< the end of the sequence cannot come earlier
    sampling_options sampling{};         ///< greedy unless its temperature is above 0
    std::size_t num_beams = 1;           ///< beam search, if more than one; then nothing is streamed before the end
    float length_penalty = 1;            ///< beams: scores are divided by length ^ length_penalty
    bool early_stopping = false;         ///< beams: stop as soon as there are num_beams complete answers
    /// What may come next: called with the answer so far and the scores of all tokens (logits; log-probabilities in a beam search), of which it sets those
    /// of impossible tokens to minus infinity (one number for each token of the vocabulary; for each beam of a search). Where none is left it is errc::invalid_argument. See
    /// object_constraint.
    std::function<void(std::span<const token> said, std::span<float> scores)> constrain{};
    /// Called with whole UTF-8 as it comes, in a call with several answers optionally with the number of the answer before it; false stops the call.
    answer_callback<std::string_view> on_text{};
    answer_callback<token, float> on_token{}; ///< called with every token and its log-probability, optionally with the number of the answer; false stops the call
    progress_callback on_progress{}; ///< stages "image", "prefill" and "decode", of a beam search "search"; the share of the whole call that is done; false stops the call

    /// Those of a beam search.
    [[nodiscard]] beam_options beams() const noexcept {
        return {.num_beams = num_beams, .length_penalty = length_penalty, .early_stopping = early_stopping, .max_new_tokens = max_new_tokens};
    }

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        beams().validate();
        if (min_new_tokens > max_new_tokens)
            throw error(errc::invalid_argument, {"min_new_tokens is ", min_new_tokens, "; max_new_tokens, ", max_new_tokens, ", at most is allowed"});
        sampling.validate();
        if (num_beams > 1 && !sampling.greedy())
            throw error(errc::invalid_argument, {"num_beams is ", num_beams, " with a temperature; beam search is greedy: set one of them only"});
    }
};

} // namespace pali::inline PALI_ABI

// What a generation gives back.

namespace pali::inline PALI_ABI {

/// Why a generation ended.
enum class finish_reason {
    eos,       ///< the model said so
    length,    ///< max_new_tokens, or the last position of the model, were reached
    cancelled, ///< a callback returned false
};

/// "eos", "length" or "cancelled".
[[nodiscard]] constexpr const char* to_string(finish_reason reason) noexcept {
    return reason == finish_reason::eos ? "eos" : reason == finish_reason::length ? "length" : "cancelled";
}

/// Where the time went, in seconds.
struct timings {
    double image_s = 0;   ///< vision tower and projector; of pictures taken together an equal share; 0 where features were given
    double prefill_s = 0; ///< the prompt through the decoder, up to the first token
    double decode_s = 0;  ///< all later tokens; of answers that were made together, the steps that this one took part in
};

/// An answer.
struct generation {
    std::string text;                 ///< whole UTF-8, without the end-of-sequence token
    std::vector<token> tokens;        ///< with the end-of-sequence token, where the model said it
    std::vector<float> logprobs;      ///< natural logarithm of each token's probability, under the model's own distribution
    std::vector<token> prompt_tokens; ///< BOS, prompt, "\n": what followed the image tokens
    finish_reason finish = finish_reason::length; ///< why it ended
    std::size_t most_tokens = 0;      ///< that it could have: max_new_tokens, or fewer where the model has fewer positions behind the prompt
    pali::timings timings;            ///< seconds

    /// Tokens a second after the first one; 0 for a single token.
    [[nodiscard]] double decode_tokens_per_s() const noexcept {
        return tokens.size() < 2 || timings.decode_s <= 0 ? 0 : static_cast<double>(tokens.size() - 1) / timings.decode_s;
    }
};

/// How likely the model finds an answer.
struct score_result {
    double logprob = 0;          ///< of the whole answer, its end included: the sum of logprobs
    std::vector<token> tokens;   ///< of the answer, with the end-of-sequence token
    std::vector<float> logprobs; ///< natural logarithm of each token's probability, given all before it
};

} // namespace pali::inline PALI_ABI

// How a mask is placed in a picture.

namespace pali::inline PALI_ABI {

/// How a decoded mask becomes pixels. Both ways are published, and differ by a pixel or two at the edges.
enum class mask_style {
    hard, ///< big_vision's evaluator: corners cut to whole pixels, bilinear, 255 where the value is above 0, else 0
    soft, ///< the Hugging Face Space: corners rounded (half to even), the mask as bytes, bicubic, values between 0 and 255
};

} // namespace pali::inline PALI_ABI

// A rectangle in the pixels of a picture.

#include <ostream>

namespace pali::inline PALI_ABI {

/// From (x0, y0), the top left corner, to (x1, y1), in pixels of the picture: x from 0, its left edge, to its width; y from 0, its top, to its height.
struct box {
    float x0 = 0, y0 = 0, x1 = 0, y1 = 0; ///< pixels

    /// Pixels; below 0 where the corners are exchanged.
    [[nodiscard]] float width() const noexcept { return x1 - x0; }
    /// Pixels, as width().
    [[nodiscard]] float height() const noexcept { return y1 - y0; }
    /// Square pixels; 0 where a corner lies on the wrong side.
    [[nodiscard]] float area() const noexcept { return std::max(width(), 0.f) * std::max(height(), 0.f); }

    friend bool operator==(const box&, const box&) = default;
    /// "[x0, y0, x1, y1]"
    friend std::ostream& operator<<(std::ostream& out, const box& b) { return out << '[' << b.x0 << ", " << b.y0 << ", " << b.x1 << ", " << b.y1 << ']'; }
};

/// What two boxes share; of area() 0 where that is nothing.
[[nodiscard]] inline box intersection(const box& a, const box& b) noexcept {
    return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
}

/// Intersection over union, 0 to 1; 0 where both are empty.
[[nodiscard]] inline float iou(const box& a, const box& b) noexcept {
    const float shared = intersection(a, b).area(), all = a.area() + b.area() - shared;
    return all > 0 ? shared / all : 0;
}

} // namespace pali::inline PALI_ABI

// Something that a model pointed at in a picture.

namespace pali::inline PALI_ABI {

/// What `detect` and `segment` give.
struct object {
    std::string label; ///< UTF-8; empty where the model gave none
    float score = 0;   ///< 0 to 1: how sure the model was of box and label, see score_of()
    pali::box box;     ///< pixels of the picture
    pali::mask mask{}; ///< of the size of the picture; empty where there is none
};

using detection = object; ///< without a mask
using segment = object;   ///< with one, unless the answer broke off before it

} // namespace pali::inline PALI_ABI

// One object where a model said it twice.

namespace pali::inline PALI_ABI {

/// When two objects are one.
struct merge_options {
    float iou = 0.5f;       ///< their boxes' intersection over union is at least this; above 0, at most 1, which is equal boxes alone
    bool same_label = true; ///< and their labels are equal
};

/// Which of them are not duplicates, as rising indices: goes from the highest score down (the earlier of equals first) and leaves out what is one with an
/// object kept before. Throws `invalid_argument` for an `iou` out of range.
[[nodiscard]] std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options = {});

/// Drops duplicates; what is `distinct` stays, in its order. Throws as it does.
[[nodiscard]] std::vector<object> merge(std::vector<object> objects, const merge_options& options = {});

} // namespace pali::inline PALI_ABI

// Body of merge.hpp.

#include <numeric>

namespace pali::inline PALI_ABI {

PALI_INLINE std::vector<std::size_t> distinct(std::span<const object> objects, const merge_options& options) {
    if (!(options.iou > 0 && options.iou <= 1))
        throw error(errc::invalid_argument, {"merge: iou ", options.iou, " is not above 0 and at most 1"});
    std::vector<std::size_t> order(objects.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto score = [&](std::size_t i) { return std::isnan(objects[i].score) ? 0.f : objects[i].score; };
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return score(a) != score(b) ? score(a) > score(b) : a < b; });

    std::vector<std::size_t> kept;
    for (const std::size_t i : order) {
        const bool is_new = std::none_of(kept.begin(), kept.end(), [&](std::size_t k) {
            return (!options.same_label || objects[k].label == objects[i].label) && iou(objects[k].box, objects[i].box) >= options.iou;
        });
        if (is_new) kept.push_back(i);
    }
    std::sort(kept.begin(), kept.end());
    return kept;
}

PALI_INLINE std::vector<object> merge(std::vector<object> objects, const merge_options& options) {
    std::vector<object> out;
    for (const std::size_t i : distinct(objects, options)) out.push_back(std::move(objects[i]));
    return out;
}

} // namespace pali::inline PALI_ABI

// From the coordinates that a model says to pixels of the picture.

namespace pali::inline PALI_ABI {

namespace object_detail {

inline void check_divisor(const char* what, int loc_divisor) {
    if (loc_divisor == 1024 || loc_divisor == 1023) return;
    throw error(errc::invalid_argument, {what, ": loc_divisor ", loc_divisor, " is neither 1024 (Google's guide, supervision) nor 1023 (big_vision)"});
}

} // namespace object_detail

/// The box that y0, x0, y1, x1, each 0 to 1023, mean in a picture of width x height pixels: a coordinate over `loc_divisor`, times the side.
/// 1024 is what Google's prompt guide, the Hugging Face Space and supervision divide by; 1023 what big_vision trains and evaluates with, where 1023
/// is the far edge. Throws `invalid_argument` for another divisor.
[[nodiscard]] inline box box_of(const std::array<std::uint16_t, 4>& loc, std::size_t width, std::size_t height, int loc_divisor = 1024) {
    object_detail::check_divisor("box_of", loc_divisor);
    const auto pixels = [&](std::uint16_t at, std::size_t side) {
        return static_cast<float>(static_cast<double>(at) * static_cast<double>(side) / loc_divisor);
    };
    return {.x0 = pixels(loc[1], width), .y0 = pixels(loc[0], height), .x1 = pixels(loc[3], width), .y1 = pixels(loc[2], height)};
}

} // namespace pali::inline PALI_ABI

// Text to tokens and back: a tokenizer.model or tokenizer.json, and the tokens that are added on top.

namespace pali::inline PALI_ABI {

/// What an id contributes to a text.
enum class piece_kind : std::uint8_t {
    text,    ///< its own text, U+2581 standing for a space
    byte,    ///< one byte of a character that has no piece of its own
    unknown, ///< a sign that something could not be encoded
    hidden,  ///< nothing: control pieces and special tokens, `<image>`, ids that name no piece
};

/// The vocabulary of a checkpoint. Gives the ids that transformers' GemmaTokenizer gives, for every text that holds no reserved token.
///
/// "<bos>", "<eos>", "<pad>", "<unk>" and "<image>" are reserved: in a text they are split into letters and signs, as sentencepiece and the original code do;
/// transformers would make them special. So no prompt can forge a picture or end itself. The `<mask>` that GemmaTokenizer adds to a tokenizer.model without
/// one is not added.
/// `<loc0000>` ... and `<seg000>` ... are one token each, as is every other added token, special or not, wherever it stands and its flags
/// (`single_word`, `lstrip`, `rstrip`, `normalized`) allow.
///
/// Const members may be called from many threads at once. Prints nothing.
class tokenizer {
public:
    /// Opens a folder or one file of it. A folder has `tokenizer.model`, or `tokenizer.json` as transformers saves it. Added tokens come from `added_tokens.json` and
    /// from tokenizer.json, also next to a tokenizer.model; of that tokenizer.json nothing else is read then. Without a tokenizer.model, tokenizer_config.json and
    /// special_tokens_map.json may name BOS, EOS and padding. `image` is the id of `<image>` (config.json's image_token_index), used when no file of the
    /// vocabulary names that piece; a piece or added token that has this id is not used then.
    ///
    /// Throws errc::cannot_open; errc::malformed_tokenizer for a file that contradicts its format or another file; errc::unsupported_format for a vocabulary that
    /// is not of Gemma's kind; errc::invalid_argument for an `image` below 0; errc::missing_token when it has no beginning or end piece, or none for a newline. For Gemma's
    /// vocabulary: tokenizer.model takes 0.05 s and the first encode() up to 0.1 s more, for what a thread prepares from here on; tokenizer.json takes 0.5 s.
    explicit tokenizer(const std::filesystem::path& path, std::optional<token> image = std::nullopt);
    ~tokenizer();
    /// What is moved from can only be destroyed or assigned to.
    tokenizer(tokenizer&&) noexcept;
    /// The same.
    tokenizer& operator=(tokenizer&&) noexcept;

    /// Tokens of a text, without BOS or EOS; n log n in its length. Bytes that are no UTF-8 are read as U+FFFD. Throws errc::invalid_prompt for a text of 700 MB and more
    /// or one that sentencepiece cannot take, and errc::malformed_tokenizer for a vocabulary that sentencepiece refuses.
    [[nodiscard]] std::vector<token> encode(std::string_view text) const;

    /// The text of tokens: leading spaces kept, hidden ids (special tokens) left out, runs of byte pieces that form no character as U+FFFD.
    [[nodiscard]] std::string decode(std::span<const token> ids) const;

    /// The piece as the vocabulary writes it (U+2581 for a space, <0x41> for a byte); empty for an id that names none.
    [[nodiscard]] std::string_view piece(token id) const noexcept;

    /// What an id contributes to a text.
    [[nodiscard]] piece_kind kind(token id) const noexcept;

    /// The byte of a piece of kind byte; 0 for others.
    [[nodiscard]] unsigned char byte(token id) const noexcept;

    /// What an unknown piece is decoded to: " \u2047 " in Gemma's vocabulary.
    [[nodiscard]] std::string_view unknown_text() const noexcept;

    /// The id of a piece, written as `piece` gives it.
    [[nodiscard]] std::optional<token> id(std::string_view piece) const;

    /// The smallest id from `first` on that names a piece.
    [[nodiscard]] std::optional<token> next_id(token first) const noexcept;

    /// One more than the largest id that names a piece. A model's table may have more rows.
    [[nodiscard]] std::size_t size() const noexcept;

    [[nodiscard]] token bos() const noexcept;     ///< begins the prompt
    [[nodiscard]] token eos() const noexcept;     ///< ends the answer
    [[nodiscard]] token newline() const noexcept; ///< ends the prompt

    /// Fills up a batch. Throws errc::missing_token when nothing names it: pali itself needs none.
    [[nodiscard]] token pad() const;

    /// Stands for one patch of a picture. Throws errc::missing_token when nothing names it.
    [[nodiscard]] token image() const;

    /// The id of `<loc0000>` ... `<loc1023>`; none where the vocabulary has no such piece.
    [[nodiscard]] std::optional<token> loc(std::size_t i) const noexcept;
    /// The id of `<seg000>` ... `<seg127>`.
    [[nodiscard]] std::optional<token> seg(std::size_t i) const noexcept;
    /// The number in a `<loc....>` piece; none for other ids.
    [[nodiscard]] std::optional<std::size_t> loc_number(token id) const noexcept;
    /// The number in a `<seg...>` piece; none for other ids.
    [[nodiscard]] std::optional<std::size_t> seg_number(token id) const noexcept;

private:
    struct parts; // keeps sentencepiece and JSON out of this header
    std::unique_ptr<parts> m_parts;
};

/// Appends a piece of kind text as it reads: U+2581 becomes a space.
inline void append_piece(std::string& out, std::string_view piece) {
    constexpr std::string_view space = "\xE2\x96\x81";
    for (std::size_t at; (at = piece.find(space)) != std::string_view::npos; piece.remove_prefix(at + space.size())) {
        out += piece.substr(0, at);
        out += ' ';
    }
    out += piece;
}

} // namespace pali::inline PALI_ABI

// Where characters end: UTF-8 as sentencepiece judges it, so that streamed text is the text it would give.

namespace pali::inline PALI_ABI {

/// What a text begins with.
struct utf8_character {
    std::size_t length = 0; ///< bytes of the character, 1 to 4; 0 when it is not valid or not whole
    bool cut_off = false;   ///< not whole, and more bytes could make it valid
    char32_t code = 0;      ///< its number in Unicode; 0 where `length` is 0
};

/// Looks at the first character of `text`. Overlong forms, surrogates and numbers over 10FFFF are not valid.
[[nodiscard]] inline utf8_character first_character(std::string_view text) noexcept {
    if (text.empty()) return {};
    const auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
    const std::uint32_t lead = byte(0);
    if (lead < 0x80) return {.length = 1, .code = lead};
    if (lead < 0xc2 || lead > 0xf4) return {};
    const std::size_t length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    std::uint32_t code = lead & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if (i == text.size()) return {.cut_off = true};
        if ((byte(i) & 0xc0) != 0x80) return {};
        code = code << 6 | (byte(i) & 0x3f);
        // The second byte decides: shorter forms exist below these, surrogates and the end of Unicode lie above.
        if (i == 1 && ((lead == 0xe0 && code < 0x20) || (lead == 0xf0 && code < 0x10) || (lead == 0xed && code > 0x35f) ||
                       (lead == 0xf4 && code > 0x10f)))
            return {};
    }
    return {.length = length, .code = code};
}

/// Whether all of `text` is whole, valid characters.
[[nodiscard]] inline bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        const std::size_t length = first_character(text).length;
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

/// What stands for bytes that are no character: U+FFFD.
inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";

/// Appends the characters of `bytes`, U+FFFD for each byte that belongs to none. Returns how many bytes were used: all of them if `whole`, else all but
/// those of a character that is cut off at the end.
inline std::size_t append_characters(std::string& out, std::string_view bytes, bool whole) {
    std::string_view rest = bytes;
    while (!rest.empty()) {
        const utf8_character c = first_character(rest);
        if (c.cut_off && !whole) break;
        if (c.length > 0) out += rest.substr(0, c.length);
        else out += replacement_character;
        rest.remove_prefix(c.length > 0 ? c.length : 1);
    }
    return bytes.size() - rest.size();
}

} // namespace pali::inline PALI_ABI

// What belongs to a word and what is white space, for added tokens with the flags single_word, lstrip and rstrip. The table of words was printed by
// tests/golden/tokenizer_json.py --words (tokenizers 0.23.3).

#include <iterator>

namespace pali::inline PALI_ABI::detail {

/// Code points from `first` to `last`.
struct code_range {
    char32_t first, last;
};

/// \w of Unicode regular expressions: letters, marks, digits, connectors.
inline constexpr code_range word_characters[] = {
    {0x0030, 0x0039}, {0x0041, 0x005a}, {0x005f, 0x005f}, {0x0061, 0x007a}, {0x00aa, 0x00aa}, {0x00b5, 0x00b5}, {0x00ba, 0x00ba},
    {0x00c0, 0x00d6}, {0x00d8, 0x00f6}, {0x00f8, 0x02c1}, {0x02c6, 0x02d1}, {0x02e0, 0x02e4}, {0x02ec, 0x02ec}, {0x02ee, 0x02ee},
    {0x0300, 0x0374}, {0x0376, 0x0377}, {0x037a, 0x037d}, {0x037f, 0x037f}, {0x0386, 0x0386}, {0x0388, 0x038a}, {0x038c, 0x038c},
    {0x038e, 0x03a1}, {0x03a3, 0x03f5}, {0x03f7, 0x0481}, {0x0483, 0x052f}, {0x0531, 0x0556}, {0x0559, 0x0559}, {0x0560, 0x0588},
    {0x0591, 0x05bd}, {0x05bf, 0x05bf}, {0x05c1, 0x05c2}, {0x05c4, 0x05c5}, {0x05c7, 0x05c7}, {0x05d0, 0x05ea}, {0x05ef, 0x05f2},
    {0x0610, 0x061a}, {0x0620, 0x0669}, {0x066e, 0x06d3}, {0x06d5, 0x06dc}, {0x06df, 0x06e8}, {0x06ea, 0x06fc}, {0x06ff, 0x06ff},
    {0x0710, 0x074a}, {0x074d, 0x07b1}, {0x07c0, 0x07f5}, {0x07fa, 0x07fa}, {0x07fd, 0x07fd}, {0x0800, 0x082d}, {0x0840, 0x085b},
    {0x0860, 0x086a}, {0x0870, 0x0887}, {0x0889, 0x088e}, {0x0897, 0x08e1}, {0x08e3, 0x0963}, {0x0966, 0x096f}, {0x0971, 0x0983},
    {0x0985, 0x098c}, {0x098f, 0x0990}, {0x0993, 0x09a8}, {0x09aa, 0x09b0}, {0x09b2, 0x09b2}, {0x09b6, 0x09b9}, {0x09bc, 0x09c4},
    {0x09c7, 0x09c8}, {0x09cb, 0x09ce}, {0x09d7, 0x09d7}, {0x09dc, 0x09dd}, {0x09df, 0x09e3}, {0x09e6, 0x09f1}, {0x09fc, 0x09fc},
    {0x09fe, 0x09fe}, {0x0a01, 0x0a03}, {0x0a05, 0x0a0a}, {0x0a0f, 0x0a10}, {0x0a13, 0x0a28}, {0x0a2a, 0x0a30}, {0x0a32, 0x0a33},
    {0x0a35, 0x0a36}, {0x0a38, 0x0a39}, {0x0a3c, 0x0a3c}, {0x0a3e, 0x0a42}, {0x0a47, 0x0a48}, {0x0a4b, 0x0a4d}, {0x0a51, 0x0a51},
    {0x0a59, 0x0a5c}, {0x0a5e, 0x0a5e}, {0x0a66, 0x0a75}, {0x0a81, 0x0a83}, {0x0a85, 0x0a8d}, {0x0a8f, 0x0a91}, {0x0a93, 0x0aa8},
    {0x0aaa, 0x0ab0}, {0x0ab2, 0x0ab3}, {0x0ab5, 0x0ab9}, {0x0abc, 0x0ac5}, {0x0ac7, 0x0ac9}, {0x0acb, 0x0acd}, {0x0ad0, 0x0ad0},
    {0x0ae0, 0x0ae3}, {0x0ae6, 0x0aef}, {0x0af9, 0x0aff}, {0x0b01, 0x0b03}, {0x0b05, 0x0b0c}, {0x0b0f, 0x0b10}, {0x0b13, 0x0b28},
    {0x0b2a, 0x0b30}, {0x0b32, 0x0b33}, {0x0b35, 0x0b39}, {0x0b3c, 0x0b44}, {0x0b47, 0x0b48}, {0x0b4b, 0x0b4d}, {0x0b55, 0x0b57},
    {0x0b5c, 0x0b5d}, {0x0b5f, 0x0b63}, {0x0b66, 0x0b6f}, {0x0b71, 0x0b71}, {0x0b82, 0x0b83}, {0x0b85, 0x0b8a}, {0x0b8e, 0x0b90},
    {0x0b92, 0x0b95}, {0x0b99, 0x0b9a}, {0x0b9c, 0x0b9c}, {0x0b9e, 0x0b9f}, {0x0ba3, 0x0ba4}, {0x0ba8, 0x0baa}, {0x0bae, 0x0bb9},
    {0x0bbe, 0x0bc2}, {0x0bc6, 0x0bc8}, {0x0bca, 0x0bcd}, {0x0bd0, 0x0bd0}, {0x0bd7, 0x0bd7}, {0x0be6, 0x0bef}, {0x0c00, 0x0c0c},
    {0x0c0e, 0x0c10}, {0x0c12, 0x0c28}, {0x0c2a, 0x0c39}, {0x0c3c, 0x0c44}, {0x0c46, 0x0c48}, {0x0c4a, 0x0c4d}, {0x0c55, 0x0c56},
    {0x0c58, 0x0c5a}, {0x0c5d, 0x0c5d}, {0x0c60, 0x0c63}, {0x0c66, 0x0c6f}, {0x0c80, 0x0c83}, {0x0c85, 0x0c8c}, {0x0c8e, 0x0c90},
    {0x0c92, 0x0ca8}, {0x0caa, 0x0cb3}, {0x0cb5, 0x0cb9}, {0x0cbc, 0x0cc4}, {0x0cc6, 0x0cc8}, {0x0cca, 0x0ccd}, {0x0cd5, 0x0cd6},
    {0x0cdd, 0x0cde}, {0x0ce0, 0x0ce3}, {0x0ce6, 0x0cef}, {0x0cf1, 0x0cf3}, {0x0d00, 0x0d0c}, {0x0d0e, 0x0d10}, {0x0d12, 0x0d44},
    {0x0d46, 0x0d48}, {0x0d4a, 0x0d4e}, {0x0d54, 0x0d57}, {0x0d5f, 0x0d63}, {0x0d66, 0x0d6f}, {0x0d7a, 0x0d7f}, {0x0d81, 0x0d83},
    {0x0d85, 0x0d96}, {0x0d9a, 0x0db1}, {0x0db3, 0x0dbb}, {0x0dbd, 0x0dbd}, {0x0dc0, 0x0dc6}, {0x0dca, 0x0dca}, {0x0dcf, 0x0dd4},
    {0x0dd6, 0x0dd6}, {0x0dd8, 0x0ddf}, {0x0de6, 0x0def}, {0x0df2, 0x0df3}, {0x0e01, 0x0e3a}, {0x0e40, 0x0e4e}, {0x0e50, 0x0e59},
    {0x0e81, 0x0e82}, {0x0e84, 0x0e84}, {0x0e86, 0x0e8a}, {0x0e8c, 0x0ea3}, {0x0ea5, 0x0ea5}, {0x0ea7, 0x0ebd}, {0x0ec0, 0x0ec4},
    {0x0ec6, 0x0ec6}, {0x0ec8, 0x0ece}, {0x0ed0, 0x0ed9}, {0x0edc, 0x0edf}, {0x0f00, 0x0f00}, {0x0f18, 0x0f19}, {0x0f20, 0x0f29},
    {0x0f35, 0x0f35}, {0x0f37, 0x0f37}, {0x0f39, 0x0f39}, {0x0f3e, 0x0f47}, {0x0f49, 0x0f6c}, {0x0f71, 0x0f84}, {0x0f86, 0x0f97},
    {0x0f99, 0x0fbc}, {0x0fc6, 0x0fc6}, {0x1000, 0x1049}, {0x1050, 0x109d}, {0x10a0, 0x10c5}, {0x10c7, 0x10c7}, {0x10cd, 0x10cd},
    {0x10d0, 0x10fa}, {0x10fc, 0x1248}, {0x124a, 0x124d}, {0x1250, 0x1256}, {0x1258, 0x1258}, {0x125a, 0x125d}, {0x1260, 0x1288},
    {0x128a, 0x128d}, {0x1290, 0x12b0}, {0x12b2, 0x12b5}, {0x12b8, 0x12be}, {0x12c0, 0x12c0}, {0x12c2, 0x12c5}, {0x12c8, 0x12d6},
    {0x12d8, 0x1310}, {0x1312, 0x1315}, {0x1318, 0x135a}, {0x135d, 0x135f}, {0x1380, 0x138f}, {0x13a0, 0x13f5}, {0x13f8, 0x13fd},
    {0x1401, 0x166c}, {0x166f, 0x167f}, {0x1681, 0x169a}, {0x16a0, 0x16ea}, {0x16ee, 0x16f8}, {0x1700, 0x1715}, {0x171f, 0x1734},
    {0x1740, 0x1753}, {0x1760, 0x176c}, {0x176e, 0x1770}, {0x1772, 0x1773}, {0x1780, 0x17d3}, {0x17d7, 0x17d7}, {0x17dc, 0x17dd},
    {0x17e0, 0x17e9}, {0x180b, 0x180d}, {0x180f, 0x1819}, {0x1820, 0x1878}, {0x1880, 0x18aa}, {0x18b0, 0x18f5}, {0x1900, 0x191e},
    {0x1920, 0x192b}, {0x1930, 0x193b}, {0x1946, 0x196d}, {0x1970, 0x1974}, {0x1980, 0x19ab}, {0x19b0, 0x19c9}, {0x19d0, 0x19d9},
    {0x1a00, 0x1a1b}, {0x1a20, 0x1a5e}, {0x1a60, 0x1a7c}, {0x1a7f, 0x1a89}, {0x1a90, 0x1a99}, {0x1aa7, 0x1aa7}, {0x1ab0, 0x1ace},
    {0x1b00, 0x1b4c}, {0x1b50, 0x1b59}, {0x1b6b, 0x1b73}, {0x1b80, 0x1bf3}, {0x1c00, 0x1c37}, {0x1c40, 0x1c49}, {0x1c4d, 0x1c7d},
    {0x1c80, 0x1c8a}, {0x1c90, 0x1cba}, {0x1cbd, 0x1cbf}, {0x1cd0, 0x1cd2}, {0x1cd4, 0x1cfa}, {0x1d00, 0x1f15}, {0x1f18, 0x1f1d},
    {0x1f20, 0x1f45}, {0x1f48, 0x1f4d}, {0x1f50, 0x1f57}, {0x1f59, 0x1f59}, {0x1f5b, 0x1f5b}, {0x1f5d, 0x1f5d}, {0x1f5f, 0x1f7d},
    {0x1f80, 0x1fb4}, {0x1fb6, 0x1fbc}, {0x1fbe, 0x1fbe}, {0x1fc2, 0x1fc4}, {0x1fc6, 0x1fcc}, {0x1fd0, 0x1fd3}, {0x1fd6, 0x1fdb},
    {0x1fe0, 0x1fec}, {0x1ff2, 0x1ff4}, {0x1ff6, 0x1ffc}, {0x200c, 0x200d}, {0x203f, 0x2040}, {0x2054, 0x2054}, {0x2071, 0x2071},
    {0x207f, 0x207f}, {0x2090, 0x209c}, {0x20d0, 0x20f0}, {0x2102, 0x2102}, {0x2107, 0x2107}, {0x210a, 0x2113}, {0x2115, 0x2115},
    {0x2119, 0x211d}, {0x2124, 0x2124}, {0x2126, 0x2126}, {0x2128, 0x2128}, {0x212a, 0x212d}, {0x212f, 0x2139}, {0x213c, 0x213f},
    {0x2145, 0x2149}, {0x214e, 0x214e}, {0x2160, 0x2188}, {0x24b6, 0x24e9}, {0x2c00, 0x2ce4}, {0x2ceb, 0x2cf3}, {0x2d00, 0x2d25},
    {0x2d27, 0x2d27}, {0x2d2d, 0x2d2d}, {0x2d30, 0x2d67}, {0x2d6f, 0x2d6f}, {0x2d7f, 0x2d96}, {0x2da0, 0x2da6}, {0x2da8, 0x2dae},
    {0x2db0, 0x2db6}, {0x2db8, 0x2dbe}, {0x2dc0, 0x2dc6}, {0x2dc8, 0x2dce}, {0x2dd0, 0x2dd6}, {0x2dd8, 0x2dde}, {0x2de0, 0x2dff},
    {0x2e2f, 0x2e2f}, {0x3005, 0x3007}, {0x3021, 0x302f}, {0x3031, 0x3035}, {0x3038, 0x303c}, {0x3041, 0x3096}, {0x3099, 0x309a},
    {0x309d, 0x309f}, {0x30a1, 0x30fa}, {0x30fc, 0x30ff}, {0x3105, 0x312f}, {0x3131, 0x318e}, {0x31a0, 0x31bf}, {0x31f0, 0x31ff},
    {0x3400, 0x4dbf}, {0x4e00, 0xa48c}, {0xa4d0, 0xa4fd}, {0xa500, 0xa60c}, {0xa610, 0xa62b}, {0xa640, 0xa672}, {0xa674, 0xa67d},
    {0xa67f, 0xa6f1}, {0xa717, 0xa71f}, {0xa722, 0xa788}, {0xa78b, 0xa7cd}, {0xa7d0, 0xa7d1}, {0xa7d3, 0xa7d3}, {0xa7d5, 0xa7dc},
    {0xa7f2, 0xa827}, {0xa82c, 0xa82c}, {0xa840, 0xa873}, {0xa880, 0xa8c5}, {0xa8d0, 0xa8d9}, {0xa8e0, 0xa8f7}, {0xa8fb, 0xa8fb},
    {0xa8fd, 0xa92d}, {0xa930, 0xa953}, {0xa960, 0xa97c}, {0xa980, 0xa9c0}, {0xa9cf, 0xa9d9}, {0xa9e0, 0xa9fe}, {0xaa00, 0xaa36},
    {0xaa40, 0xaa4d}, {0xaa50, 0xaa59}, {0xaa60, 0xaa76}, {0xaa7a, 0xaac2}, {0xaadb, 0xaadd}, {0xaae0, 0xaaef}, {0xaaf2, 0xaaf6},
    {0xab01, 0xab06}, {0xab09, 0xab0e}, {0xab11, 0xab16}, {0xab20, 0xab26}, {0xab28, 0xab2e}, {0xab30, 0xab5a}, {0xab5c, 0xab69},
    {0xab70, 0xabea}, {0xabec, 0xabed}, {0xabf0, 0xabf9}, {0xac00, 0xd7a3}, {0xd7b0, 0xd7c6}, {0xd7cb, 0xd7fb}, {0xf900, 0xfa6d},
    {0xfa70, 0xfad9}, {0xfb00, 0xfb06}, {0xfb13, 0xfb17}, {0xfb1d, 0xfb28}, {0xfb2a, 0xfb36}, {0xfb38, 0xfb3c}, {0xfb3e, 0xfb3e},
    {0xfb40, 0xfb41}, {0xfb43, 0xfb44}, {0xfb46, 0xfbb1}, {0xfbd3, 0xfd3d}, {0xfd50, 0xfd8f}, {0xfd92, 0xfdc7}, {0xfdf0, 0xfdfb},
    {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0xfe33, 0xfe34}, {0xfe4d, 0xfe4f}, {0xfe70, 0xfe74}, {0xfe76, 0xfefc}, {0xff10, 0xff19},
    {0xff21, 0xff3a}, {0xff3f, 0xff3f}, {0xff41, 0xff5a}, {0xff66, 0xffbe}, {0xffc2, 0xffc7}, {0xffca, 0xffcf}, {0xffd2, 0xffd7},
    {0xffda, 0xffdc}, {0x10000, 0x1000b}, {0x1000d, 0x10026}, {0x10028, 0x1003a}, {0x1003c, 0x1003d}, {0x1003f, 0x1004d},
    {0x10050, 0x1005d}, {0x10080, 0x100fa}, {0x10140, 0x10174}, {0x101fd, 0x101fd}, {0x10280, 0x1029c}, {0x102a0, 0x102d0},
    {0x102e0, 0x102e0}, {0x10300, 0x1031f}, {0x1032d, 0x1034a}, {0x10350, 0x1037a}, {0x10380, 0x1039d}, {0x103a0, 0x103c3},
    {0x103c8, 0x103cf}, {0x103d1, 0x103d5}, {0x10400, 0x1049d}, {0x104a0, 0x104a9}, {0x104b0, 0x104d3}, {0x104d8, 0x104fb},
    {0x10500, 0x10527}, {0x10530, 0x10563}, {0x10570, 0x1057a}, {0x1057c, 0x1058a}, {0x1058c, 0x10592}, {0x10594, 0x10595},
    {0x10597, 0x105a1}, {0x105a3, 0x105b1}, {0x105b3, 0x105b9}, {0x105bb, 0x105bc}, {0x105c0, 0x105f3}, {0x10600, 0x10736},
    {0x10740, 0x10755}, {0x10760, 0x10767}, {0x10780, 0x10785}, {0x10787, 0x107b0}, {0x107b2, 0x107ba}, {0x10800, 0x10805},
    {0x10808, 0x10808}, {0x1080a, 0x10835}, {0x10837, 0x10838}, {0x1083c, 0x1083c}, {0x1083f, 0x10855}, {0x10860, 0x10876},
    {0x10880, 0x1089e}, {0x108e0, 0x108f2}, {0x108f4, 0x108f5}, {0x10900, 0x10915}, {0x10920, 0x10939}, {0x10980, 0x109b7},
    {0x109be, 0x109bf}, {0x10a00, 0x10a03}, {0x10a05, 0x10a06}, {0x10a0c, 0x10a13}, {0x10a15, 0x10a17}, {0x10a19, 0x10a35},
    {0x10a38, 0x10a3a}, {0x10a3f, 0x10a3f}, {0x10a60, 0x10a7c}, {0x10a80, 0x10a9c}, {0x10ac0, 0x10ac7}, {0x10ac9, 0x10ae6},
    {0x10b00, 0x10b35}, {0x10b40, 0x10b55}, {0x10b60, 0x10b72}, {0x10b80, 0x10b91}, {0x10c00, 0x10c48}, {0x10c80, 0x10cb2},
    {0x10cc0, 0x10cf2}, {0x10d00, 0x10d27}, {0x10d30, 0x10d39}, {0x10d40, 0x10d65}, {0x10d69, 0x10d6d}, {0x10d6f, 0x10d85},
    {0x10e80, 0x10ea9}, {0x10eab, 0x10eac}, {0x10eb0, 0x10eb1}, {0x10ec2, 0x10ec4}, {0x10efc, 0x10f1c}, {0x10f27, 0x10f27},
    {0x10f30, 0x10f50}, {0x10f70, 0x10f85}, {0x10fb0, 0x10fc4}, {0x10fe0, 0x10ff6}, {0x11000, 0x11046}, {0x11066, 0x11075},
    {0x1107f, 0x110ba}, {0x110c2, 0x110c2}, {0x110d0, 0x110e8}, {0x110f0, 0x110f9}, {0x11100, 0x11134}, {0x11136, 0x1113f},
    {0x11144, 0x11147}, {0x11150, 0x11173}, {0x11176, 0x11176}, {0x11180, 0x111c4}, {0x111c9, 0x111cc}, {0x111ce, 0x111da},
    {0x111dc, 0x111dc}, {0x11200, 0x11211}, {0x11213, 0x11237}, {0x1123e, 0x11241}, {0x11280, 0x11286}, {0x11288, 0x11288},
    {0x1128a, 0x1128d}, {0x1128f, 0x1129d}, {0x1129f, 0x112a8}, {0x112b0, 0x112ea}, {0x112f0, 0x112f9}, {0x11300, 0x11303},
    {0x11305, 0x1130c}, {0x1130f, 0x11310}, {0x11313, 0x11328}, {0x1132a, 0x11330}, {0x11332, 0x11333}, {0x11335, 0x11339},
    {0x1133b, 0x11344}, {0x11347, 0x11348}, {0x1134b, 0x1134d}, {0x11350, 0x11350}, {0x11357, 0x11357}, {0x1135d, 0x11363},
    {0x11366, 0x1136c}, {0x11370, 0x11374}, {0x11380, 0x11389}, {0x1138b, 0x1138b}, {0x1138e, 0x1138e}, {0x11390, 0x113b5},
    {0x113b7, 0x113c0}, {0x113c2, 0x113c2}, {0x113c5, 0x113c5}, {0x113c7, 0x113ca}, {0x113cc, 0x113d3}, {0x113e1, 0x113e2},
    {0x11400, 0x1144a}, {0x11450, 0x11459}, {0x1145e, 0x11461}, {0x11480, 0x114c5}, {0x114c7, 0x114c7}, {0x114d0, 0x114d9},
    {0x11580, 0x115b5}, {0x115b8, 0x115c0}, {0x115d8, 0x115dd}, {0x11600, 0x11640}, {0x11644, 0x11644}, {0x11650, 0x11659},
    {0x11680, 0x116b8}, {0x116c0, 0x116c9}, {0x116d0, 0x116e3}, {0x11700, 0x1171a}, {0x1171d, 0x1172b}, {0x11730, 0x11739},
    {0x11740, 0x11746}, {0x11800, 0x1183a}, {0x118a0, 0x118e9}, {0x118ff, 0x11906}, {0x11909, 0x11909}, {0x1190c, 0x11913},
    {0x11915, 0x11916}, {0x11918, 0x11935}, {0x11937, 0x11938}, {0x1193b, 0x11943}, {0x11950, 0x11959}, {0x119a0, 0x119a7},
    {0x119aa, 0x119d7}, {0x119da, 0x119e1}, {0x119e3, 0x119e4}, {0x11a00, 0x11a3e}, {0x11a47, 0x11a47}, {0x11a50, 0x11a99},
    {0x11a9d, 0x11a9d}, {0x11ab0, 0x11af8}, {0x11bc0, 0x11be0}, {0x11bf0, 0x11bf9}, {0x11c00, 0x11c08}, {0x11c0a, 0x11c36},
    {0x11c38, 0x11c40}, {0x11c50, 0x11c59}, {0x11c72, 0x11c8f}, {0x11c92, 0x11ca7}, {0x11ca9, 0x11cb6}, {0x11d00, 0x11d06},
    {0x11d08, 0x11d09}, {0x11d0b, 0x11d36}, {0x11d3a, 0x11d3a}, {0x11d3c, 0x11d3d}, {0x11d3f, 0x11d47}, {0x11d50, 0x11d59},
    {0x11d60, 0x11d65}, {0x11d67, 0x11d68}, {0x11d6a, 0x11d8e}, {0x11d90, 0x11d91}, {0x11d93, 0x11d98}, {0x11da0, 0x11da9},
    {0x11ee0, 0x11ef6}, {0x11f00, 0x11f10}, {0x11f12, 0x11f3a}, {0x11f3e, 0x11f42}, {0x11f50, 0x11f5a}, {0x11fb0, 0x11fb0},
    {0x12000, 0x12399}, {0x12400, 0x1246e}, {0x12480, 0x12543}, {0x12f90, 0x12ff0}, {0x13000, 0x1342f}, {0x13440, 0x13455},
    {0x13460, 0x143fa}, {0x14400, 0x14646}, {0x16100, 0x16139}, {0x16800, 0x16a38}, {0x16a40, 0x16a5e}, {0x16a60, 0x16a69},
    {0x16a70, 0x16abe}, {0x16ac0, 0x16ac9}, {0x16ad0, 0x16aed}, {0x16af0, 0x16af4}, {0x16b00, 0x16b36}, {0x16b40, 0x16b43},
    {0x16b50, 0x16b59}, {0x16b63, 0x16b77}, {0x16b7d, 0x16b8f}, {0x16d40, 0x16d6c}, {0x16d70, 0x16d79}, {0x16e40, 0x16e7f},
    {0x16f00, 0x16f4a}, {0x16f4f, 0x16f87}, {0x16f8f, 0x16f9f}, {0x16fe0, 0x16fe1}, {0x16fe3, 0x16fe4}, {0x16ff0, 0x16ff1},
    {0x17000, 0x187f7}, {0x18800, 0x18cd5}, {0x18cff, 0x18d08}, {0x1aff0, 0x1aff3}, {0x1aff5, 0x1affb}, {0x1affd, 0x1affe},
    {0x1b000, 0x1b122}, {0x1b132, 0x1b132}, {0x1b150, 0x1b152}, {0x1b155, 0x1b155}, {0x1b164, 0x1b167}, {0x1b170, 0x1b2fb},
    {0x1bc00, 0x1bc6a}, {0x1bc70, 0x1bc7c}, {0x1bc80, 0x1bc88}, {0x1bc90, 0x1bc99}, {0x1bc9d, 0x1bc9e}, {0x1ccf0, 0x1ccf9},
    {0x1cf00, 0x1cf2d}, {0x1cf30, 0x1cf46}, {0x1d165, 0x1d169}, {0x1d16d, 0x1d172}, {0x1d17b, 0x1d182}, {0x1d185, 0x1d18b},
    {0x1d1aa, 0x1d1ad}, {0x1d242, 0x1d244}, {0x1d400, 0x1d454}, {0x1d456, 0x1d49c}, {0x1d49e, 0x1d49f}, {0x1d4a2, 0x1d4a2},
    {0x1d4a5, 0x1d4a6}, {0x1d4a9, 0x1d4ac}, {0x1d4ae, 0x1d4b9}, {0x1d4bb, 0x1d4bb}, {0x1d4bd, 0x1d4c3}, {0x1d4c5, 0x1d505},
    {0x1d507, 0x1d50a}, {0x1d50d, 0x1d514}, {0x1d516, 0x1d51c}, {0x1d51e, 0x1d539}, {0x1d53b, 0x1d53e}, {0x1d540, 0x1d544},
    {0x1d546, 0x1d546}, {0x1d54a, 0x1d550}, {0x1d552, 0x1d6a5}, {0x1d6a8, 0x1d6c0}, {0x1d6c2, 0x1d6da}, {0x1d6dc, 0x1d6fa},
    {0x1d6fc, 0x1d714}, {0x1d716, 0x1d734}, {0x1d736, 0x1d74e}, {0x1d750, 0x1d76e}, {0x1d770, 0x1d788}, {0x1d78a, 0x1d7a8},
    {0x1d7aa, 0x1d7c2}, {0x1d7c4, 0x1d7cb}, {0x1d7ce, 0x1d7ff}, {0x1da00, 0x1da36}, {0x1da3b, 0x1da6c}, {0x1da75, 0x1da75},
    {0x1da84, 0x1da84}, {0x1da9b, 0x1da9f}, {0x1daa1, 0x1daaf}, {0x1df00, 0x1df1e}, {0x1df25, 0x1df2a}, {0x1e000, 0x1e006},
    {0x1e008, 0x1e018}, {0x1e01b, 0x1e021}, {0x1e023, 0x1e024}, {0x1e026, 0x1e02a}, {0x1e030, 0x1e06d}, {0x1e08f, 0x1e08f},
    {0x1e100, 0x1e12c}, {0x1e130, 0x1e13d}, {0x1e140, 0x1e149}, {0x1e14e, 0x1e14e}, {0x1e290, 0x1e2ae}, {0x1e2c0, 0x1e2f9},
    {0x1e4d0, 0x1e4f9}, {0x1e5d0, 0x1e5fa}, {0x1e7e0, 0x1e7e6}, {0x1e7e8, 0x1e7eb}, {0x1e7ed, 0x1e7ee}, {0x1e7f0, 0x1e7fe},
    {0x1e800, 0x1e8c4}, {0x1e8d0, 0x1e8d6}, {0x1e900, 0x1e94b}, {0x1e950, 0x1e959}, {0x1ee00, 0x1ee03}, {0x1ee05, 0x1ee1f},
    {0x1ee21, 0x1ee22}, {0x1ee24, 0x1ee24}, {0x1ee27, 0x1ee27}, {0x1ee29, 0x1ee32}, {0x1ee34, 0x1ee37}, {0x1ee39, 0x1ee39},
    {0x1ee3b, 0x1ee3b}, {0x1ee42, 0x1ee42}, {0x1ee47, 0x1ee47}, {0x1ee49, 0x1ee49}, {0x1ee4b, 0x1ee4b}, {0x1ee4d, 0x1ee4f},
    {0x1ee51, 0x1ee52}, {0x1ee54, 0x1ee54}, {0x1ee57, 0x1ee57}, {0x1ee59, 0x1ee59}, {0x1ee5b, 0x1ee5b}, {0x1ee5d, 0x1ee5d},
    {0x1ee5f, 0x1ee5f}, {0x1ee61, 0x1ee62}, {0x1ee64, 0x1ee64}, {0x1ee67, 0x1ee6a}, {0x1ee6c, 0x1ee72}, {0x1ee74, 0x1ee77},
    {0x1ee79, 0x1ee7c}, {0x1ee7e, 0x1ee7e}, {0x1ee80, 0x1ee89}, {0x1ee8b, 0x1ee9b}, {0x1eea1, 0x1eea3}, {0x1eea5, 0x1eea9},
    {0x1eeab, 0x1eebb}, {0x1f130, 0x1f149}, {0x1f150, 0x1f169}, {0x1f170, 0x1f189}, {0x1fbf0, 0x1fbf9}, {0x20000, 0x2a6df},
    {0x2a700, 0x2b739}, {0x2b740, 0x2b81d}, {0x2b820, 0x2cea1}, {0x2ceb0, 0x2ebe0}, {0x2ebf0, 0x2ee5d}, {0x2f800, 0x2fa1d},
    {0x30000, 0x3134a}, {0x31350, 0x323af}, {0xe0100, 0xe01ef},
};

/// \s of Unicode regular expressions.
inline constexpr code_range white_space[] = {{0x09, 0x0d}, {0x20, 0x20}, {0x85, 0x85}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}};

/// Whether a sorted table of ranges contains a character.
template <std::size_t N>
[[nodiscard]] bool is_in(const code_range (&table)[N], const utf8_character& c) noexcept {
    const auto after = std::upper_bound(std::begin(table), std::end(table), c.code, [](char32_t code, const code_range& range) { return code < range.first; });
    return c.length > 0 && after != std::begin(table) && c.code <= std::prev(after)->last;
}

/// The last character of a valid UTF-8 text; of length 0 where the text is empty.
[[nodiscard]] inline utf8_character last_character(std::string_view text) noexcept {
    std::size_t at = text.size();
    while (at > 0 && (static_cast<unsigned char>(text[--at]) & 0xc0) == 0x80) {}
    return first_character(text.substr(at));
}

/// Whether a text begins with a character of a word.
[[nodiscard]] inline bool begins_with_word(std::string_view text) noexcept { return is_in(word_characters, first_character(text)); }
/// Whether a text ends with one.
[[nodiscard]] inline bool ends_with_word(std::string_view text) noexcept { return is_in(word_characters, last_character(text)); }

/// Bytes of white space at the beginning.
[[nodiscard]] inline std::size_t white_space_at_begin(std::string_view text) noexcept {
    std::size_t bytes = 0;
    for (utf8_character c; is_in(white_space, c = first_character(text.substr(bytes)));) bytes += c.length;
    return bytes;
}
/// Bytes of white space at the end.
[[nodiscard]] inline std::size_t white_space_at_end(std::string_view text) noexcept {
    const std::size_t all = text.size();
    for (utf8_character c; is_in(white_space, c = last_character(text));) text.remove_suffix(c.length);
    return all - text.size();
}

} // namespace pali::inline PALI_ABI::detail

// Tokens that are cut out of a text before it is encoded, and added_tokens.json, one source of them: {"<image>": 257152}. Included by bodies only.

#include <map>
#include <unordered_map>

namespace pali::inline PALI_ABI::detail {

/// A token and how it is matched; the flags are those of transformers' AddedToken.
struct added_token {
    std::string text;
    token id = 0;
    bool special = false;     ///< left out of decoded text
    bool normalized = false;  ///< matched after spaces became U+2581
    bool single_word = false; ///< only between characters that belong to no word
    bool lstrip = false;      ///< takes the white space before it
    bool rstrip = false;      ///< takes the white space after it
};

/// Reads the contents of added_tokens.json. Throws errc::malformed_tokenizer with `file` and what is wrong.
[[nodiscard]] PALI_INLINE std::vector<added_token> read_added_tokens(std::string_view contents, const std::string& file) {
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_tokenizer, {file, ": ", what}); };
    const nlohmann::json document = parse_strict_json(contents, fail);
    if (!document.is_object()) fail({"is ", describe_json(document), "; one object is needed, with an id for each text"});
    std::vector<added_token> tokens;
    std::map<token, std::string_view> names;
    for (const auto& [text, id] : document.get_ref<const nlohmann::json::object_t&>()) {
        if (text.empty()) fail("has an entry without a name");
        if (!id.is_number_unsigned()) fail({"has ", describe_json(id), " at ", in_quotes(text), "; an id is needed"});
        if (id.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<token>::max()))
            fail({"gives ", in_quotes(text), " the id ", describe_json(id), ", which is too large"});
        tokens.push_back({.text = text, .id = id.get<token>()});
        if (const auto [same, first] = names.emplace(id.get<token>(), text); !first)
            fail({"gives ", in_quotes(same->second), " and ", in_quotes(text), " the same id ", describe_json(id)});
    }
    return tokens;
}

/// Finds added tokens in a text: the leftmost match, and of those that begin there the longest. A trie, with the edges in one hash table.
class added_token_finder {
public:
    /// Of two equal texts the later counts (in transformers it is random which). `text` is what is searched for: that of the token, or as it is after normalization.
    void add(std::string_view text, const added_token& one) {
        std::uint32_t node = 0;
        for (const char c : text) {
            const auto [edge, fresh] = m_edges.emplace(key(node, c), static_cast<std::uint32_t>(m_tokens.size()));
            if (fresh) m_tokens.push_back(nothing);
            node = edge->second;
        }
        m_tokens[node] = static_cast<std::uint32_t>(m_added.size());
        m_added.push_back(one);
        m_begins[static_cast<unsigned char>(text.front())] = true;
    }

    /// Calls `on_text(part)` and `on_token(id)` for what the text consists of, in order. The text is valid UTF-8.
    template <class On_text, class On_token>
    void split(std::string_view text, On_text&& on_text, On_token&& on_token) const {
        std::size_t begin = 0; // of the text that is not yet reported
        for (std::size_t at = 0; at < text.size();) {
            const auto [length, one] = longest_at(text.substr(at));
            if (length == 0) {
                ++at;
                continue;
            }
            std::size_t first = at, last = at + length;
            at = last;
            if (one->single_word && (ends_with_word(text.substr(0, first)) || begins_with_word(text.substr(last)))) continue;
            if (one->lstrip) first = std::max(begin, first - white_space_at_end(text.substr(0, first)));
            if (one->rstrip) last += white_space_at_begin(text.substr(last));
            if (begin < first) on_text(text.substr(begin, first - begin));
            if (first < last) on_token(one->id); // empty where an earlier token took the white space that this one is
            begin = last; // a token that begins within the white space is found all the same, as in transformers
        }
        if (begin < text.size()) on_text(text.substr(begin));
    }

private:
    static constexpr std::uint32_t nothing = 0xffffffff;
    struct match {
        std::size_t length = 0;
        const added_token* one = nullptr;
    };

    [[nodiscard]] static std::uint64_t key(std::uint32_t node, char c) noexcept { return std::uint64_t{node} << 8 | static_cast<unsigned char>(c); }

    [[nodiscard]] match longest_at(std::string_view text) const {
        match best;
        if (!m_begins[static_cast<unsigned char>(text.front())]) return best;
        std::uint32_t node = 0;
        for (std::size_t i = 0; i < text.size(); ++i) {
            const auto edge = m_edges.find(key(node, text[i]));
            if (edge == m_edges.end()) break;
            node = edge->second;
            if (m_tokens[node] != nothing) best = {i + 1, &m_added[m_tokens[node]]};
        }
        return best;
    }

    std::unordered_map<std::uint64_t, std::uint32_t> m_edges;
    std::vector<std::uint32_t> m_tokens = {nothing}; // of each node, an index into m_added
    std::vector<added_token> m_added;
    std::vector<bool> m_begins = std::vector<bool>(256); // first bytes of all tokens
};

} // namespace pali::inline PALI_ABI::detail

// The table of pieces that tokenizer.model and tokenizer.json are read into. Included by bodies only.

namespace pali::inline PALI_ABI::detail {

/// Kinds of pieces, numbered as in sentencepiece_model.proto.
enum class piece_type : std::uint64_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

/// One entry of the vocabulary.
struct model_piece {
    std::string_view text;
    float score = 0; // of sentencepiece; 0 in a tokenizer.json, which has none
    piece_type type = piece_type::normal;
};

/// Pieces, indexed by id, and a hash table from text to id. The texts are views into memory of the owner. Names of the tokens with a role are
/// those that a tokenizer.model has by default.
struct vocabulary {
    std::vector<model_piece> pieces;
    std::string_view unk_surface = " \xE2\x81\x87 ", bos = "<s>", eos = "</s>", pad = "<pad>";
    /// Of the hash table: open addressing, at most half full. The bytes of short texts are in it, so most lookups read no other memory.
    struct place {
        std::uint32_t number = 0;    // the id plus 1; 0: free
        std::uint32_t tag = 0;       // 24 bits of the hash, and the length up to 255
        std::uint64_t beginning = 0; // the first 8 bytes
        [[nodiscard]] bool operator==(const place& other) const noexcept { return tag == other.tag && beginning == other.beginning; }
    };
    std::vector<place> places;

    /// The id of the piece with this text.
    [[nodiscard]] std::optional<std::size_t> find(std::string_view text) const noexcept {
        const std::uint32_t number = slot_of(text).found->number;
        return number == 0 ? std::nullopt : std::optional<std::size_t>(number - 1);
    }
    /// Makes a piece known; false if its text is already known.
    bool insert(std::size_t id) {
        const slot free = slot_of(pieces[id].text);
        if (free.found->number != 0) return false;
        place& at = places[static_cast<std::size_t>(free.found - places.data())];
        at = free.wanted;
        at.number = static_cast<std::uint32_t>(id + 1);
        return true;
    }
    /// Replaces one piece by another, whose text is not known.
    void rename(std::size_t id, const model_piece& piece) {
        pieces[id] = piece;
        for (place& at : places)
            if (at.number == id + 1) at.tag = 0, at.beginning = ~std::uint64_t{0}; // no text is this: pieces are UTF-8
        insert(id);
    }

private:
    struct slot {
        const place* found; // of the text, or free
        place wanted;
    };
    [[nodiscard]] slot slot_of(std::string_view text) const noexcept {
        const std::uint64_t hash = std::hash<std::string_view>()(text);
        place wanted{.tag = static_cast<std::uint32_t>(hash >> 40 << 8 | std::min<std::size_t>(text.size(), 255))};
        if (!text.empty()) std::memcpy(&wanted.beginning, text.data(), std::min<std::size_t>(text.size(), 8));
        std::size_t at = static_cast<std::size_t>(hash) & (places.size() - 1);
        while (places[at].number != 0 && !(places[at] == wanted && (text.size() <= 8 || pieces[places[at].number - 1].text == text))) at = (at + 1) & (places.size() - 1);
        return {&places[at], wanted};
    }
};

/// The value of a byte piece, "<0x00>" to "<0xFF>"; -1 for any other text.
[[nodiscard]] inline int byte_of_piece(std::string_view piece) noexcept {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    const int high = digit(piece[3]), low = digit(piece[4]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

/// Pieces are non-empty, short, valid UTF-8 without zero bytes, and no two are equal. Fills `places`. Throws errc::malformed_tokenizer with `file`.
PALI_INLINE void check_pieces(vocabulary& words, const std::string& file) {
    constexpr std::size_t longest = 1024; // the longest piece of Gemma has 93 bytes
    const auto fail = [&](std::size_t i, const error_text& what) { throw error(errc::malformed_tokenizer, {file, ": piece ", i, " ", what}); };
    words.places.assign(std::bit_ceil(words.pieces.size() * 2 + 2), {}); // 2: rename() may insert one more
    for (std::size_t i = 0; i < words.pieces.size(); ++i) {
        const std::string_view text = words.pieces[i].text;
        if (text.empty()) fail(i, "is empty");
        if (text.size() > longest) fail(i, {"has ", text.size(), " bytes; at most ", longest, " are supported"});
        if (!is_utf8(text)) fail(i, "is no valid UTF-8");
        if (text.find('\0') != std::string_view::npos) fail(i, "holds a zero byte");
        if (!words.insert(i)) fail(i, {"is the same as piece ", *words.find(text)});
    }
}

} // namespace pali::inline PALI_ABI::detail

// Byte-pair encoding as transformers runs it: the pair of the lowest rank is merged first. Included by bodies only.

#include <queue>

namespace pali::inline PALI_ABI::detail {

/// Two pieces and the piece that they are merged into, by id.
struct piece_merge {
    std::uint32_t left = 0, right = 0, result = 0;
};

/// The merges of a tokenizer.json: a hash table from two ids to the rank and the id of the result. 16 bytes an entry, at most two thirds full.
class merge_table {
public:
    merge_table() = default;
    /// The ranks are the positions in the list; of two equal pairs the later counts, as in transformers.
    explicit merge_table(const std::vector<piece_merge>& merges) : m_entries(std::bit_ceil(merges.size() + merges.size() / 2 + 1)) {
        for (std::size_t rank = 0; rank < merges.size(); ++rank) {
            entry& e = m_entries[place_of(merges[rank].left, merges[rank].right)];
            e = {merges[rank], static_cast<std::uint32_t>(rank + 1)};
        }
    }

    struct entry {
        piece_merge merge;
        std::uint32_t rank = 0; // 0: free
    };
    /// The entry of a pair; its rank is 0 where the pair is not merged.
    [[nodiscard]] const entry& find(std::uint32_t left, std::uint32_t right) const noexcept { return m_entries[place_of(left, right)]; }

private:
    [[nodiscard]] std::size_t place_of(std::uint32_t left, std::uint32_t right) const noexcept {
        const std::uint64_t key = (std::uint64_t{left} << 32 | right) * 0x9E3779B97F4A7C15u; // 2^64 / golden ratio: Fibonacci hashing
        const std::size_t mask = m_entries.size() - 1;
        std::size_t at = static_cast<std::size_t>(key >> 32) & mask;
        while (m_entries[at].rank != 0 && (m_entries[at].merge.left != left || m_entries[at].merge.right != right)) at = (at + 1) & mask;
        return at;
    }

    std::vector<entry> m_entries = std::vector<entry>(1);
};

/// Merges the characters of a text into pieces. O(n log n): a heap of the pairs that may be merged, over a linked list of symbols.
///
/// Without a table of merges every pair whose joined text is a piece may be merged, ranked by the id of that piece and then by the length of the
/// left part: that is the list transformers derives from a tokenizer.model. Control pieces are never formed. Refers to its arguments.
class piece_merger {
public:
    piece_merger(const vocabulary& words, const merge_table* merges, token unknown) : m_words(words), m_merges(merges), m_unknown(static_cast<std::uint32_t>(unknown)) {
        for (std::size_t value = 0; value < m_bytes.size(); ++value) {
            constexpr std::string_view digits = "0123456789ABCDEF";
            const char text[] = {'<', '0', 'x', digits[value >> 4], digits[value & 15], '>'};
            const auto found = words.find({text, sizeof text});
            m_bytes[value] = found ? static_cast<std::uint32_t>(*found) : none;
        }
    }

    /// Appends the ids of a text that is valid UTF-8, with U+2581 for spaces. Shorter than 2^31 bytes.
    void encode(std::string_view text, std::vector<token>& out) const {
        std::vector<symbol> symbols = characters_of(text);
        const auto candidates = [](const candidate& a, const candidate& b) { return a.rank != b.rank ? a.rank > b.rank : a.at > b.at; };
        std::priority_queue<candidate, std::vector<candidate>, decltype(candidates)> heap(candidates);
        std::string joined;
        const auto push = [&](std::uint32_t at) {
            if (const auto found = find(symbols[at].id, symbols[symbols[at].next].id, joined)) heap.push({found->rank, at, found->id});
        };
        for (std::uint32_t i = 0; i + 1 < symbols.size(); ++i) push(i);
        while (!heap.empty()) {
            const candidate best = heap.top();
            heap.pop();
            symbol& left = symbols[best.at];
            if (left.id == none || left.next == none) continue; // merged meanwhile, or the last
            symbol& right = symbols[left.next];
            if (const auto now = find(left.id, right.id, joined); !now || now->id != best.id) continue; // another pair stands there now
            left.id = best.id;
            left.next = right.next;
            right.id = none;
            if (left.next != none) {
                symbols[left.next].previous = best.at;
                push(best.at);
            }
            if (left.previous != none) push(left.previous);
        }
        for (const symbol& s : symbols)
            if (s.id != none) out.push_back(static_cast<token>(s.id));
    }

private:
    static constexpr std::uint32_t none = 0xffffffff;
    struct symbol {
        std::uint32_t id = none, previous = none, next = none;
    };
    struct candidate {
        std::uint64_t rank = 0;
        std::uint32_t at = 0, id = 0; // of the left symbol; of the result
    };
    struct ranked {
        std::uint64_t rank = 0;
        std::uint32_t id = 0;
    };

    /// One symbol a character; bytes for a character that is no piece; one unknown piece for a run of what is not even that.
    [[nodiscard]] std::vector<symbol> characters_of(std::string_view text) const {
        std::vector<symbol> symbols;
        symbols.reserve(text.size());
        const auto add = [&](std::uint32_t id) {
            const auto at = static_cast<std::uint32_t>(symbols.size());
            if (at > 0) symbols.back().next = at;
            symbols.push_back({id, at > 0 ? at - 1 : none, none});
        };
        bool unknown = false; // a run of unknown characters is not yet written: as in transformers it follows byte pieces within the run
        for (std::size_t at = 0; at < text.size();) {
            const std::string_view character = text.substr(at, std::max<std::size_t>(first_character(text.substr(at)).length, 1));
            at += character.size();
            if (const auto found = m_words.find(character)) {
                if (unknown) add(m_unknown);
                unknown = false;
                add(static_cast<std::uint32_t>(*found));
            } else if (std::all_of(character.begin(), character.end(), [&](char c) { return m_bytes[static_cast<unsigned char>(c)] != none; })) {
                for (const char c : character) add(m_bytes[static_cast<unsigned char>(c)]);
            } else {
                unknown = true;
            }
        }
        if (unknown) add(m_unknown);
        return symbols;
    }

    [[nodiscard]] std::optional<ranked> find(std::uint32_t left, std::uint32_t right, std::string& joined) const {
        std::optional<ranked> found;
        if (m_merges != nullptr) {
            if (const merge_table::entry& e = m_merges->find(left, right); e.rank != 0) found = {e.rank, e.merge.result};
        } else {
            const std::string_view begin = m_words.pieces[left].text;
            joined.assign(begin).append(m_words.pieces[right].text);
            if (const auto id = m_words.find(joined)) {
                const auto characters = std::count_if(begin.begin(), begin.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
                found = {std::uint64_t{*id} << 32 | static_cast<std::uint64_t>(characters), static_cast<std::uint32_t>(*id)};
            }
        }
        if (!found) return found;
        const piece_type type = m_words.pieces[found->id].type;
        return type == piece_type::control || type == piece_type::unknown ? std::nullopt : found;
    }

    const vocabulary& m_words;
    const merge_table* m_merges;
    std::uint32_t m_unknown;
    std::vector<std::uint32_t> m_bytes = std::vector<std::uint32_t>(256); // ids of byte pieces
};

} // namespace pali::inline PALI_ABI::detail

// The protobuf inside tokenizer.model, read and checked before sentencepiece sees it: sentencepiece trusts the file, and logs to standard
// error. Included by bodies only.

namespace pali::inline PALI_ABI::detail {

/// The parts of a ModelProto that matter to a vocabulary of Gemma's kind; views into the bytes that were read. The initial values are those of
/// sentencepiece_model.proto.
struct sentencepiece_model : vocabulary {
    std::uint64_t model_type = 1;
    bool byte_fallback = false, whitespace_as_suffix = false;
    bool charsmap = false, dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true, denormalizer = false;
};

/// Fields of a protobuf message, one after the other.
class protobuf_reader {
public:
    protobuf_reader(std::string_view bytes, const std::string& file) : m_rest(bytes), m_file(file) {}

    std::uint64_t number = 0;  ///< of the field
    std::uint64_t value = 0;   ///< of a varint or fixed field
    std::string_view contents; ///< of a field with a length

    /// Reads the next field; false at the end. Throws errc::malformed_tokenizer.
    bool next() {
        if (m_rest.empty()) return false;
        const std::uint64_t tag = varint();
        number = tag >> 3;
        m_wire = tag & 7;
        if (number == 0 || number >= (std::uint64_t{1} << 29)) fail({"a field has the number ", number});
        value = 0;
        contents = {};
        switch (m_wire) {
        case 0: value = varint(); break;
        case 1: value = fixed(8); break;
        case 2: {
            const std::uint64_t length = varint();
            if (length > m_rest.size())
                fail({"a field of ", length, " bytes begins ", m_rest.size(), " bytes before the end"});
            contents = m_rest.substr(0, static_cast<std::size_t>(length));
            m_rest.remove_prefix(static_cast<std::size_t>(length));
            break;
        }
        case 5: value = fixed(4); break;
        default: fail({"a field has the wire type ", m_wire});
        }
        return true;
    }

    std::uint64_t as_number() const { return expect(0), value; }
    bool as_bool() const { return expect(0), value != 0; }
    float as_float() const { return expect(5), std::bit_cast<float>(static_cast<std::uint32_t>(value)); }
    std::string_view as_bytes() const { return expect(2), contents; }

    [[noreturn]] void fail(const error_text& what) const {
        throw error(errc::malformed_tokenizer, {m_file, ": is no sentencepiece model: ", what, "; is it complete, and no pointer of git LFS?"});
    }

private:
    void expect(std::uint64_t wire) const {
        if (m_wire != wire)
            fail({"field ", number, " has the wire type ", m_wire, ", and ", wire, " is needed"});
    }

    std::uint64_t varint() {
        std::uint64_t out = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (m_rest.empty()) fail("it ends within a number");
            const auto byte = static_cast<unsigned char>(m_rest.front());
            m_rest.remove_prefix(1);
            out |= static_cast<std::uint64_t>(byte & 0x7fu) << shift;
            if (byte < 0x80) return out;
        }
        fail("a number has more than 10 bytes");
    }

    std::uint64_t fixed(std::size_t bytes) {
        if (m_rest.size() < bytes) fail("it ends within a number");
        std::uint64_t out = 0;
        for (std::size_t i = bytes; i-- > 0;) out = out << 8 | static_cast<unsigned char>(m_rest[i]);
        m_rest.remove_prefix(bytes);
        return out;
    }

    std::string_view m_rest;
    const std::string& m_file;
    std::uint64_t m_wire = 0;
};

/// Checks what sentencepiece trusts: see check_pieces; besides, the byte pieces are complete or absent.
PALI_INLINE void check_model_pieces(sentencepiece_model& model, const std::string& file) {
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_tokenizer, {file, ": ", what}); };
    if (model.pieces.empty()) fail("holds no pieces; it is no sentencepiece model");
    for (std::size_t i = 0; i < model.pieces.size(); ++i) {
        const model_piece& p = model.pieces[i];
        if (!std::isfinite(p.score)) fail({"piece ", i, " has a score that is no finite number"});
        if (p.type < piece_type::normal || p.type > piece_type::byte) fail({"piece ", i, " is of kind ", static_cast<std::uint64_t>(p.type), "; 1 to 6 are known"});
        if (p.type == piece_type::byte && byte_of_piece(p.text) < 0) fail({"piece ", i, " stands for a byte, and is not of the form <0x41>"});
    }
    check_pieces(model, file);
    const auto count = [&](piece_type type) { return std::count_if(model.pieces.begin(), model.pieces.end(), [&](const model_piece& p) { return p.type == type; }); };
    if (const auto unknown = count(piece_type::unknown); unknown != 1) fail({"has ", unknown, " pieces for what is unknown; exactly one is needed"});
    if (const auto bytes = count(piece_type::byte); bytes != (model.byte_fallback ? 256 : 0))
        fail({"has ", bytes, " pieces for bytes; ", model.byte_fallback ? "256 are needed" : "none is allowed, since byte_fallback is off"});
}

/// Only what transformers' GemmaTokenizer runs: byte-pair merges over the text as it is.
PALI_INLINE void check_kind(const sentencepiece_model& model, const std::string& file) {
    const auto refuse = [&](const error_text& what) {
        throw error(errc::unsupported_format, {file, ": ", what, "; vocabularies of Gemma's kind are read: BPE over the text as it is"});
    };
    if (model.model_type != 2) refuse({"model_type is ", model.model_type, ", and 2 (BPE) is needed"});
    if (model.charsmap || model.denormalizer) refuse("it rewrites characters (precompiled_charsmap)");
    if (model.dummy_prefix) refuse("it puts a space before the text (add_dummy_prefix)");
    if (model.remove_extra_whitespaces) refuse("it drops spaces (remove_extra_whitespaces)");
    if (!model.escape_whitespaces) refuse("it does not write spaces as U+2581 (escape_whitespaces is off)");
    if (model.whitespace_as_suffix) refuse("it writes spaces after words (treat_whitespace_as_suffix)");
}

/// Reads and checks a whole file. The result refers to `bytes`. Throws errc::malformed_tokenizer or errc::unsupported_format, with `file`.
[[nodiscard]] PALI_INLINE sentencepiece_model read_sentencepiece_model(std::string_view bytes, const std::string& file) {
    sentencepiece_model model;
    model.pieces.reserve(bytes.size() / 16); // about the bytes of one of Gemma's
    for (protobuf_reader top(bytes, file); top.next();) {
        if (top.number == 1) {
            model_piece piece;
            for (protobuf_reader field(top.as_bytes(), file); field.next();) {
                if (field.number == 1) piece.text = field.as_bytes();
                if (field.number == 2) piece.score = field.as_float();
                if (field.number == 3) piece.type = static_cast<piece_type>(field.as_number());
            }
            if (piece.text.empty()) throw error(errc::malformed_tokenizer, {file, ": piece ", model.pieces.size(), " is empty"}); // here: two bytes of the file may be one
            model.pieces.push_back(piece);
        } else if (top.number == 2) {
            for (protobuf_reader field(top.as_bytes(), file); field.next();) {
                if (field.number == 3) model.model_type = field.as_number();
                if (field.number == 24) model.whitespace_as_suffix = field.as_bool();
                if (field.number == 35) model.byte_fallback = field.as_bool();
                if (field.number == 44) model.unk_surface = field.as_bytes();
                if (field.number == 46) model.bos = field.as_bytes();
                if (field.number == 47) model.eos = field.as_bytes();
                if (field.number == 48) model.pad = field.as_bytes();
            }
        } else if (top.number == 3) {
            for (protobuf_reader field(top.as_bytes(), file); field.next();) {
                if (field.number == 2) model.charsmap = !field.as_bytes().empty();
                if (field.number == 3) model.dummy_prefix = field.as_bool();
                if (field.number == 4) model.remove_extra_whitespaces = field.as_bool();
                if (field.number == 5) model.escape_whitespaces = field.as_bool();
            }
        } else if (top.number == 5) {
            for (protobuf_reader field(top.as_bytes(), file); field.next();)
                if (field.number == 2) model.denormalizer = !field.as_bytes().empty();
        }
    }
    check_model_pieces(model, file);
    check_kind(model, file);
    if (!is_utf8(model.unk_surface)) throw error(errc::malformed_tokenizer, {file, ": unk_surface is no valid UTF-8"});
    return model;
}

/// The model as a file of its own: what was checked and nothing else, no self-test data (which sentencepiece would log).
[[nodiscard]] PALI_INLINE std::string write_sentencepiece_model(const sentencepiece_model& model) {
    const auto varint = [](std::string& out, std::uint64_t value) {
        for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
        out += static_cast<char>(value);
    };
    const auto number = [&](std::string& out, unsigned field, std::uint64_t value) { varint(out, field << 3), varint(out, value); };
    const auto bytes = [&](std::string& out, unsigned field, std::string_view value) {
        varint(out, field << 3 | 2), varint(out, value.size()), out += value;
    };

    std::string out, message;
    for (const model_piece& p : model.pieces) {
        message.clear();
        bytes(message, 1, p.text);
        message += static_cast<char>(2 << 3 | 5);
        for (unsigned shift = 0; shift < 32; shift += 8) message += static_cast<char>(std::bit_cast<std::uint32_t>(p.score) >> shift & 0xff);
        number(message, 3, static_cast<std::uint64_t>(p.type));
        bytes(out, 1, message);
    }
    message.clear();
    number(message, 3, model.model_type);
    number(message, 35, model.byte_fallback);
    bytes(message, 44, model.unk_surface);
    bytes(out, 2, message);
    message.clear();
    bytes(message, 1, "identity");
    number(message, 3, 0);
    number(message, 4, 0);
    number(message, 5, 1);
    bytes(out, 3, message);
    return out;
}

} // namespace pali::inline PALI_ABI::detail

// sentencepiece, which encodes with a tokenizer.model wherever it gives the ids of transformers. Included by bodies only.

#include <sentencepiece_processor.h>

#include <exception>
#include <mutex>
#include <thread>

namespace pali::inline PALI_ABI::detail {

/// Prepares sentencepiece's own tables on a thread: Gemma's take a tenth of a second, and no text is encoded before a picture was seen.
class sentencepiece_encoder {
public:
    /// `model` and `file` (for messages) must outlive the encoder.
    sentencepiece_encoder(const sentencepiece_model& model, const std::string& file) : m_file(file), m_usable(gives_ids_of_transformers(model)) {
        m_loading = std::jthread([this, &model] {
            try {
                if (const auto status = m_processor.LoadFromSerializedProto(write_sentencepiece_model(model)); !status.ok()) m_refusal = status.ToString();
            } catch (const std::bad_alloc&) {
                m_out_of_memory = true;
            } catch (const std::exception& e) { // from its search tree, among others
                m_refusal = e.what();
            }
        });
    }

    /// Appends the ids of a text with U+2581 for spaces, or returns false: where they could differ from those of transformers, since sentencepiece takes the
    /// longest piece of several spaces first and never forms a byte piece; and for long texts, on which piece_merger is twice as fast. Waits for the thread. Throws errc::malformed_tokenizer, errc::invalid_prompt, std::bad_alloc.
    bool encode(std::string_view text, std::vector<token>& out) const {
        std::call_once(m_waited, [this] { m_loading.join(); });
        if (m_out_of_memory) throw std::bad_alloc();
        if (!m_refusal.empty()) throw error(errc::malformed_tokenizer, {m_file, ": sentencepiece refuses it: ", m_refusal});
        constexpr std::size_t longest = 16384;
        if (!m_usable || text.size() > longest || text.find("\xE2\x96\x81\xE2\x96\x81") != std::string_view::npos || text.find("<0x") != std::string_view::npos) return false;
        std::vector<int> ids;
        if (const auto status = m_processor.Encode(text, &ids); !status.ok())
            throw error(errc::invalid_prompt, {"a text of ", text.size(), " bytes cannot be encoded: ", status.ToString()});
        out.insert(out.end(), ids.begin(), ids.end());
        return true;
    }

private:
    /// transformers ranks a merge by the id of its result, sentencepiece by its score: the same order if scores fall as ids rise. Among merges with the same
    /// result the order has no effect: whatever stands around it, a piece is always formed from the same two parts, since no merge crosses its ends before.
    /// sentencepiece alone splits unused pieces, and keeps user-defined ones whole where spaces are part of them.
    [[nodiscard]] static bool gives_ids_of_transformers(const sentencepiece_model& model) {
        constexpr std::string_view space = "\xE2\x96\x81";
        const model_piece* before = nullptr;
        for (const model_piece& p : model.pieces) {
            if (p.type == piece_type::unused) return false;
            if (p.type == piece_type::user_defined && p.text.find(space) != std::string_view::npos) {
                std::string_view rest = p.text;
                while (rest.starts_with(space)) rest.remove_prefix(space.size());
                if (!rest.empty() || p.text == space) return false;
            }
            if (p.type != piece_type::normal) continue;
            if (before != nullptr && !(p.score < before->score)) return false;
            before = &p;
        }
        return true;
    }

    const std::string& m_file;
    bool m_usable;
    sentencepiece::SentencePieceProcessor m_processor;
    mutable std::once_flag m_waited;
    std::string m_refusal;
    bool m_out_of_memory = false;
    mutable std::jthread m_loading; // the last member: ends before what it works on
};

} // namespace pali::inline PALI_ABI::detail

// Small files of a tokenizer. Included by bodies only.

namespace pali::inline PALI_ABI::detail {

[[nodiscard]] PALI_INLINE std::string read_whole_file(const std::filesystem::path& path) {
    constexpr std::uintmax_t largest = 256u << 20; // Gemma's model has 4 MB
    std::error_code failure;
    const auto size = std::filesystem::file_size(path, failure);
    if (failure) throw error(errc::cannot_open, {path.string(), ": cannot be read: ", failure.message()});
    if (size > largest)
        throw error(errc::malformed_tokenizer, {path.string(), ": has ", size, " bytes; at most ", largest, " are read"});
    std::ifstream in(path, std::ios::binary);
    std::string bytes(static_cast<std::size_t>(size), '\0');
    if (!in || !in.read(bytes.data(), static_cast<std::streamsize>(size))) throw error(errc::cannot_open, {path.string(), ": cannot be read"});
    return bytes;
}

/// The texts of BOS, EOS and padding beside a tokenizer.json, as transformers finds them: tokenizer_config.json, special_tokens_map.json, its defaults.
[[nodiscard]] PALI_INLINE std::array<std::string, 3> read_special_names(const std::filesystem::path& folder) {
    std::array<std::string, 3> names = {"<bos>", "<eos>", "<pad>"};
    constexpr const char* keys[] = {"bos_token", "eos_token", "pad_token"};
    for (const char* file : {"special_tokens_map.json", "tokenizer_config.json"}) {
        std::error_code failure;
        const std::filesystem::path path = folder / file;
        if (!std::filesystem::exists(path, failure)) continue;
        const nlohmann::json document = read_strict_json(path, errc::malformed_tokenizer);
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto found = document.find(keys[i]);
            if (found == document.end() || found->is_null()) continue;
            const nlohmann::json& name = found->is_object() ? found->value("content", nlohmann::json()) : *found;
            if (!name.is_string()) throw error(errc::malformed_tokenizer, {path.string(), ": ", keys[i], " is ", describe_json(*found), "; a text, or an object with \"content\", is needed"});
            names[i] = name.get<std::string>();
        }
    }
    return names;
}

} // namespace pali::inline PALI_ABI::detail

// A file as a sequence of bytes for a parser, which need not be in memory as a whole. Included by bodies only.

namespace pali::inline PALI_ABI::detail {

/// The bytes of a file, 64 KB at a time, as an input iterator for the parser. A default iterator is the end.
class file_bytes {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    struct source {
        std::ifstream in;
        std::array<char, 1 << 16> buffer{};
    };

    file_bytes() = default;
    explicit file_bytes(source& from) : m_source(&from) { refill(); }
    [[nodiscard]] reference operator*() const noexcept { return *m_at; }
    file_bytes& operator++() {
        if (++m_at == m_end) refill();
        return *this;
    }
    /// Compares with the end alone.
    [[nodiscard]] friend bool operator==(const file_bytes& a, const file_bytes& b) noexcept { return (a.m_at == a.m_end) == (b.m_at == b.m_end); }

private:
    void refill() {
        m_source->in.read(m_source->buffer.data(), static_cast<std::streamsize>(m_source->buffer.size()));
        m_at = m_source->buffer.data();
        m_end = m_at + m_source->in.gcount();
    }

    source* m_source = nullptr;
    const char* m_at = nullptr;
    const char* m_end = nullptr;
};

} // namespace pali::inline PALI_ABI::detail

// tokenizer.json, as transformers saves GemmaTokenizer, read by nlohmann's SAX parser: the real file has 34 MB, of which neither the text nor a tree is
// kept. Included by bodies only.

namespace pali::inline PALI_ABI::detail {

/// What encoding needs of a tokenizer.json. `words` refers to `texts`, which moves with it.
struct tokenizer_json {
    std::vector<char> texts;
    vocabulary words;
    std::vector<piece_merge> merges; // by rank
    std::vector<added_token> added;
    token unknown = 0;
};

/// Receives what the parser reads. Each container has a kind, by the place where it stands.
class tokenizer_json_handler {
public:
    using json = nlohmann::json;

    /// `added_only`: stops once `added_tokens` is complete and `model` begins, and reads nothing of `model`.
    tokenizer_json_handler(const std::string& file, tokenizer_json& out, bool added_only) : m_file(file), m_out(out), m_added_only(added_only) {}

    /// A second pass, when the merges came before the vocabulary: only they are read.
    [[nodiscard]] bool begin_again() {
        m_settings.clear();
        return m_again = std::exchange(m_merges_early, false);
    }
    [[nodiscard]] bool has_vocabulary() const noexcept { return m_vocabulary; }
    [[nodiscard]] bool has_merges() const noexcept { return m_merges; }
    [[nodiscard]] bool has_added() const noexcept { return m_added; }
    /// Scalars outside the long lists, by their path: "model.type", "normalizer.pattern.String".
    [[nodiscard]] const std::map<std::string, json, std::less<>>& settings() const noexcept { return m_settings; }

    [[noreturn]] void fail(const error_text& what) const { throw error(errc::malformed_tokenizer, {m_file, ": ", what}); }
    [[noreturn]] void refuse(const error_text& what) const {
        throw error(errc::unsupported_format, {m_file, ": ", what, "; of transformers' files those of GemmaTokenizer are read (BPE with byte fallback over the text as it is) and those of TokenizersBackend are not: put the tokenizer.model of the base model into the folder in place of tokenizer.json"});
    }

    bool null() { return value(nullptr); }
    bool boolean(bool v) { return value(v); }
    bool number_integer(json::number_integer_t v) { return value(v); }
    bool number_unsigned(json::number_unsigned_t v) {
        if (m_open.empty() || m_open.back() != kind::vocabulary) return value(v);
        add_piece(v);
        return true;
    }
    bool number_float(json::number_float_t v, const std::string&) { return value(v); }
    bool binary(json::binary_t&) { return true; }
    bool string(std::string& v) {
        if (m_open.empty()) return value(v);
        if (m_open.back() == kind::merges) {
            const std::size_t space = v.find(' ');
            if (space == std::string::npos || v.find(' ', space + 1) != std::string::npos) fail({"model.merges[", m_out.merges.size(), "] is ", in_quotes(v), "; two pieces with one space between them are needed"});
            m_pair[0] = v.substr(0, space);
            m_pair[1] = v.substr(space + 1);
            add_merge();
        } else if (m_open.back() == kind::merge) {
            if (m_pair_size < 2) m_pair[m_pair_size].swap(v);
            ++m_pair_size;
        } else {
            return value(v);
        }
        return true;
    }
    bool key(std::string& name) {
        m_key.swap(name);
        return true;
    }
    bool start_object(std::size_t) { return open(true); }
    bool start_array(std::size_t) { return open(false); }
    bool end_object() { return close(); }
    bool end_array() { return close(); }
    bool parse_error(std::size_t byte, const std::string&, const json::exception& e) {
        if (dynamic_cast<const json::out_of_range*>(&e) != nullptr) fail("is no valid JSON: it holds a number that is too large");
        fail({"is no valid JSON: see byte ", byte}); // the parser's own message would quote the file
    }

private:
    enum class kind { top, model, vocabulary, merges, merge, added, added_entry, settings, ignored };

    static constexpr std::uint32_t no_id = 0xffffffff;
    struct entry {
        std::size_t at = 0;
        std::uint32_t length = 0, id = 0;
    };

    /// The path of the value that is read now.
    [[nodiscard]] std::string path() const {
        std::string out;
        for (const std::string& name : m_names) out += name + '.';
        return out + m_key;
    }

    bool value(const json& v) {
        if (m_open.empty()) fail({"is ", v.type_name(), "; an object is needed"});
        switch (m_open.back()) {
        case kind::vocabulary: fail({"model.vocab: ", in_quotes(m_key), " has the id ", describe_json(v), "; a number from 0 is needed"});
        case kind::merges: fail({"model.merges[", m_out.merges.size(), "] is ", v.type_name(), "; two pieces are needed"});
        case kind::merge: fail({"model.merges[", m_out.merges.size(), "] holds ", v.type_name(), "; two pieces are needed"});
        case kind::added: fail({"added_tokens[", m_out.added.size(), "] is ", v.type_name(), "; an object is needed"});
        case kind::added_entry: set_flag(v); break;
        case kind::ignored: break;
        default: set(path(), v);
        }
        return true;
    }

    void set(std::string where, const json& v) {
        constexpr std::size_t most = 256; // a saved file has 17
        if (m_settings.size() == most) refuse({"has more than ", most, " settings outside vocab, merges and added_tokens"});
        if (const auto [at, fresh] = m_settings.emplace(std::move(where), v); !fresh) fail({"has ", in_quotes(at->first), " twice; a key is used once"});
    }

    [[nodiscard]] kind kind_of(bool object) {
        const auto need = [&](bool wanted) {
            if (object != wanted) fail({in_quotes(path()), " is ", object ? "an object" : "an array", "; ", wanted ? "an object" : "an array", " is needed"});
            set(path(), object ? "{}" : "[]");
        };
        if (m_open.empty()) {
            if (!object) fail("is an array; an object is needed");
            return kind::top;
        }
        switch (m_open.back()) {
        case kind::top:
            if (m_key == "added_tokens") return need(false), m_added = true, m_again ? kind::ignored : kind::added;
            if (m_key == "model") return need(true), m_added_only ? kind::ignored : kind::model;
            if (m_key == "normalizer" || m_key == "pre_tokenizer") return set(path(), "{}"), kind::settings;
            return set(path(), "{}"), kind::ignored; // decoder, post_processor, truncation, padding: encode() has its own
        case kind::model:
            if (m_key == "vocab") return need(true), m_again ? kind::ignored : kind::vocabulary;
            if (m_key == "merges") {
                need(false);
                m_merges = true;
                if (m_vocabulary) return kind::merges;
                m_merges_early = true;
                return kind::ignored;
            }
            return set(path(), "{}"), kind::settings;
        case kind::added:
            if (!object) fail({"added_tokens[", m_out.added.size(), "] is an array; an object is needed"});
            m_entry = {};
            m_entry_keys.clear();
            return kind::added_entry;
        case kind::merges:
            if (object) fail({"model.merges[", m_out.merges.size(), "] is an object; two pieces are needed"});
            m_pair_size = 0;
            return kind::merge;
        case kind::settings: return object ? kind::settings : (set(path(), "[]"), kind::ignored);
        case kind::ignored: return kind::ignored;
        default: return value(object ? json::object() : json::array()), kind::ignored; // throws
        }
    }

    bool open(bool object) {
        constexpr std::size_t deepest = 64;
        if (m_open.size() == deepest) fail({"is nested more than ", deepest, " deep"});
        if (m_added_only && m_open.size() == 1 && m_added && m_key == "model") return false; // all that is needed was read
        m_open.push_back(kind_of(object));
        if (m_open.size() > 1) m_names.push_back(m_key);
        return true;
    }

    bool close() {
        const kind closed = m_open.back();
        m_open.pop_back();
        if (!m_names.empty()) m_names.pop_back();
        if (closed == kind::vocabulary) finish_vocabulary();
        if (closed == kind::merge) {
            if (m_pair_size != 2) fail({"model.merges[", m_out.merges.size(), "] holds ", m_pair_size, " pieces; two are needed"});
            add_merge();
        }
        if (closed == kind::added_entry) finish_entry();
        return true;
    }

    void add_piece(std::uint64_t id) {
        if (id > static_cast<std::uint64_t>(std::numeric_limits<token>::max())) fail({"model.vocab: ", in_quotes(m_key), " has the id ", id, ", which is too large"});
        m_entries.push_back({m_out.texts.size(), static_cast<std::uint32_t>(m_key.size()), static_cast<std::uint32_t>(id)});
        m_out.texts.insert(m_out.texts.end(), m_key.begin(), m_key.end());
    }

    void finish_vocabulary() {
        const auto text_of = [&](const entry& e) { return std::string_view(m_out.texts.data() + e.at, e.length); };
        std::vector<model_piece>& pieces = m_out.words.pieces;
        pieces.resize(m_entries.size());
        std::vector<bool> seen(m_entries.size());
        for (const entry& e : m_entries) {
            if (e.id >= pieces.size()) fail({"model.vocab: ", in_quotes(text_of(e)), " has the id ", e.id, ", and there are ", pieces.size(), " pieces; ids without a gap are needed"});
            if (seen[e.id]) fail({"model.vocab: ", in_quotes(pieces[e.id].text), " and ", in_quotes(text_of(e)), " have the same id ", e.id});
            seen[e.id] = true;
            pieces[e.id].text = text_of(e);
            if (byte_of_piece(text_of(e)) >= 0) pieces[e.id].type = piece_type::byte;
        }
        m_entries = {};
        check_pieces(m_out.words, m_file);
        m_vocabulary = true;
    }

    void add_merge() {
        const auto find = [&](const std::string& text) {
            if (const auto id = m_out.words.find(text)) return static_cast<std::uint32_t>(*id);
            fail({"model.merges[", m_out.merges.size(), "] joins ", in_quotes(m_pair[0]), " and ", in_quotes(m_pair[1]), ", and ", in_quotes(text), " is not in model.vocab"});
        };
        const std::uint32_t left = find(m_pair[0]), right = find(m_pair[1]);
        m_joined.assign(m_pair[0]).append(m_pair[1]);
        const std::uint32_t before = m_out.merges.empty() ? 0 : m_out.merges.back().result; // the same piece by another pair, often
        m_out.merges.push_back({left, right, m_out.words.pieces[before].text == m_joined ? before : find(m_joined)});
    }

    void set_flag(const json& v) {
        const auto where = [&] { return "added_tokens[" + std::to_string(m_out.added.size()) + "]." + m_key; };
        if (!m_entry_keys.emplace(m_key, 0).second) fail({"has ", in_quotes(where()), " twice; a key is used once"});
        const auto need = [&](bool right, const char* what) {
            if (!right) fail({in_quotes(where()), " is ", describe_json(v), "; ", what, " is needed"});
        };
        if (m_key == "id") {
            need(v.is_number_unsigned() && v.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<token>::max()), "an id");
            m_entry.id = v.get<token>();
        } else if (m_key == "content") {
            need(v.is_string() && !v.get_ref<const std::string&>().empty(), "a text");
            m_entry.text = v.get<std::string>();
        } else {
            const auto flag = m_key == "special" ? &added_token::special : m_key == "normalized" ? &added_token::normalized : m_key == "single_word" ? &added_token::single_word
                            : m_key == "lstrip"  ? &added_token::lstrip  : m_key == "rstrip"     ? &added_token::rstrip     : nullptr;
            if (flag == nullptr) refuse({in_quotes(where()), " is unknown"});
            need(v.is_boolean(), "true or false");
            m_entry.*flag = v.get<bool>();
        }
    }

    void finish_entry() {
        for (const char* name : {"id", "content", "special", "normalized", "single_word", "lstrip", "rstrip"})
            if (!m_entry_keys.contains(name)) fail({"added_tokens[", m_out.added.size(), "] has no ", in_quotes(name)});
        m_out.added.push_back(std::move(m_entry));
    }

    const std::string& m_file;
    tokenizer_json& m_out;
    bool m_added_only, m_added = false, m_vocabulary = false, m_merges = false, m_merges_early = false, m_again = false;
    std::vector<kind> m_open;
    std::vector<std::string> m_names; // keys of the containers that are open, but the outermost
    std::string m_key, m_joined;
    std::map<std::string, json, std::less<>> m_settings;
    std::vector<entry> m_entries;
    std::array<std::string, 2> m_pair;
    std::size_t m_pair_size = 0;
    added_token m_entry;
    std::map<std::string, int, std::less<>> m_entry_keys;
};

/// Only what transformers' GemmaTokenizer is.
PALI_INLINE void check_settings(const tokenizer_json_handler& read) {
    const auto& settings = read.settings();
    const auto expect = [&](std::string_view name, const nlohmann::json& wanted, bool may_be_absent = false) {
        const auto found = settings.find(name);
        if (found == settings.end() ? !may_be_absent : found->second != wanted)
            read.refuse({name, " is ", found == settings.end() ? std::string("absent") : describe_json(found->second), ", and ", describe_json(wanted), " is needed"});
    };
    const auto is_null = [&](std::string_view name) {
        const auto found = settings.find(name);
        return found == settings.end() || found->second.is_null();
    };
    expect("model.type", "BPE");
    expect("model.byte_fallback", true);
    expect("model.fuse_unk", true);
    expect("model.ignore_merges", false, true);
    for (const std::string_view name : {"model.dropout", "model.continuing_subword_prefix", "model.end_of_word_suffix"})
        if (!is_null(name)) expect(name, nullptr);
    expect("normalizer.type", "Replace");
    expect("normalizer.pattern.String", " ");
    expect("normalizer.content", "\xE2\x96\x81");
    if (!is_null("pre_tokenizer")) { // spaces are no longer there when it is run
        expect("pre_tokenizer.type", "Split");
        expect("pre_tokenizer.pattern.String", " ");
        expect("pre_tokenizer.invert", false, true);
    }
    // Whatever else stands there is not known to be without effect.
    constexpr std::string_view known[] = {"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model", "model.type", "model.dropout", "model.unk_token",
                                          "model.continuing_subword_prefix", "model.end_of_word_suffix", "model.fuse_unk", "model.byte_fallback", "model.ignore_merges", "model.vocab", "model.merges", "normalizer.type",
                                          "normalizer.pattern.String", "normalizer.content", "pre_tokenizer.type", "pre_tokenizer.pattern.String", "pre_tokenizer.behavior", "pre_tokenizer.invert"};
    for (const auto& [name, value] : settings)
        if (std::find(std::begin(known), std::end(known), name) == std::end(known)) read.refuse({name, " is ", describe_json(value), ", which is not known"});
}

/// Reads a tokenizer.json; `added_only`: no more than `added_tokens`. Throws errc::cannot_open, errc::malformed_tokenizer, or errc::unsupported_format with the
/// name of what is not supported.
[[nodiscard]] PALI_INLINE tokenizer_json read_tokenizer_json(const std::filesystem::path& path, bool added_only) {
    const std::string file = path.string();
    tokenizer_json out;
    tokenizer_json_handler read(file, out, added_only);
    const auto pass = [&] {
        file_bytes::source bytes{.in = open_file(path)};
        nlohmann::json::sax_parse(file_bytes(bytes), file_bytes(), &read);
        if (bytes.in.bad()) throw error(errc::cannot_open, {file, ": cannot be read to its end"});
    };
    pass();
    if (!read.has_added()) read.fail("has no added_tokens; is it complete?");
    if (added_only) return out;
    if (!read.has_vocabulary() || !read.has_merges()) check_settings(read), read.fail({"has no model.", read.has_vocabulary() ? "merges" : "vocab", "; is it complete?"});
    check_settings(read);
    vocabulary& words = out.words;
    const auto unknown = read.settings().find("model.unk_token");
    const bool named = unknown != read.settings().end() && unknown->second.is_string();
    const auto found = named ? words.find(unknown->second.get_ref<const std::string&>()) : std::nullopt;
    if (!found) read.fail({"model.unk_token is ", named ? describe_json(unknown->second) : "absent", "; a piece of model.vocab is needed"});
    out.unknown = static_cast<token>(*found);
    words.pieces[*found].type = piece_type::unknown;
    if (read.begin_again()) pass();
    return out;
}

} // namespace pali::inline PALI_ABI::detail

// Body of tokenizer.hpp.

#include <set>

namespace pali::inline PALI_ABI {

struct tokenizer::parts {
    std::string file;                  // for messages
    std::string bytes;                 // of tokenizer.model, or
    std::vector<char> texts;           // pieces of tokenizer.json
    std::array<std::string, 3> names;  // of BOS, EOS and padding, where other files name them
    detail::sentencepiece_model model; // views of these; of a tokenizer.json only the pieces
    std::optional<detail::merge_table> merges;
    std::map<std::string, detail::added_token, std::less<>> added; // by text
    std::string added_file;                                        // the last that named some of them
    std::map<token, const detail::added_token*> outside;           // of `added`, those with ids that the model does not have
    detail::added_token_finder raw, normalized;                    // finders of `added`: before spaces become U+2581, and after
    std::optional<detail::piece_merger> merger;
    std::optional<detail::sentencepiece_encoder> sentencepiece;
    token bos = 0, eos = 0, newline = 0;
    std::optional<token> pad, image;
    std::array<token, 1024> loc{};
    std::array<token, 128> seg{};

    [[nodiscard]] bool in_model(token id) const noexcept { return id >= 0 && static_cast<std::size_t>(id) < model.pieces.size(); }
    /// A piece of the model, for ids in it.
    [[nodiscard]] const detail::model_piece& at(token id) const noexcept { return model.pieces[static_cast<std::size_t>(id)]; }
    [[nodiscard]] std::optional<token> find(std::string_view text) const noexcept {
        const auto found = model.find(text);
        return found ? std::optional(static_cast<token>(*found)) : std::nullopt;
    }
    /// A piece of the model or an added token.
    [[nodiscard]] std::optional<token> find_any(std::string_view text) const {
        if (const auto known = find(text)) return known;
        const auto found = added.find(text);
        return found == added.end() ? std::nullopt : std::optional(found->second.id);
    }
    void read_model(const std::filesystem::path& path);
    void read_json(const std::filesystem::path& path);
    void add(const std::string& from, std::vector<detail::added_token> tokens);
    void reserve(std::optional<token> image_id);
    void find_ids();
    void find_places();
    void build_finders();
    [[nodiscard]] bool is_reserved(const detail::added_token& one) const;
};

namespace detail {

/// "<loc0007>": a name, then digits.
[[nodiscard]] PALI_INLINE std::string numbered_piece(const char* name, int digits, std::size_t i) {
    const std::string number = std::to_string(i);
    return std::string("<").append(name).append(static_cast<std::size_t>(digits) - number.size(), '0').append(number).append(">"); // g++ 12 warns of + at -O3: GCC bug 105651
}

/// The place of an id in a table that is, in every vocabulary seen, one run of ids.
[[nodiscard]] PALI_INLINE std::optional<std::size_t> place_of(token id, std::span<const token> table) noexcept {
    if (id < 0) return std::nullopt;
    const auto guess = static_cast<std::size_t>(static_cast<std::int64_t>(id) - table[0]);
    if (table[0] >= 0 && guess < table.size() && table[guess] == id) return guess;
    const auto found = std::find(table.begin(), table.end(), id);
    return found == table.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - table.begin()));
}

/// A text with U+2581 for each space.
[[nodiscard]] PALI_INLINE std::string with_visible_spaces(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) c == ' ' ? out += "\xE2\x96\x81" : out += c;
    return out;
}

} // namespace detail

PALI_INLINE tokenizer::tokenizer(const std::filesystem::path& path, std::optional<token> image) : m_parts(std::make_unique<parts>()) {
    namespace fs = std::filesystem;
    parts& p = *m_parts;
    if (image && *image < 0) throw error(errc::invalid_argument, {"the id of <image> is ", *image, "; 0 or more is needed"});
    std::error_code failure;
    const bool folder = fs::is_directory(path, failure);
    const fs::path model = path / "tokenizer.model", json = path / "tokenizer.json", more = path / "added_tokens.json";
    if (folder && !fs::exists(model, failure) && fs::exists(json, failure)) {
        p.read_json(json);
    } else if (!folder && path.extension() == ".json") {
        p.read_json(path);
    } else {
        p.read_model(folder ? model : path);
        if (folder && fs::exists(json, failure)) p.add(json.string(), detail::read_tokenizer_json(json, true).added);
    }
    if (folder && fs::exists(more, failure)) p.add(more.string(), detail::read_added_tokens(detail::read_whole_file(more), more.string()));
    p.reserve(image);
    p.find_ids();
    p.find_places();
    p.build_finders();
}

PALI_INLINE tokenizer::~tokenizer() = default;
PALI_INLINE tokenizer::tokenizer(tokenizer&&) noexcept = default;
PALI_INLINE tokenizer& tokenizer::operator=(tokenizer&&) noexcept = default;

PALI_INLINE void tokenizer::parts::read_model(const std::filesystem::path& path) {
    file = path.string();
    detail::require_path(path, "file", "; a checkpoint needs the vocabulary of its model: tokenizer.model of sentencepiece, or tokenizer.json of transformers");
    bytes = detail::read_whole_file(path);
    model = detail::read_sentencepiece_model(bytes, file);
    for (std::size_t i = 0; i < model.pieces.size(); ++i) { // transformers makes these added tokens
        const detail::model_piece& piece = model.pieces[i];
        if (piece.type == detail::piece_type::control || piece.type == detail::piece_type::user_defined)
            added.emplace(piece.text, detail::added_token{.text = std::string(piece.text), .id = static_cast<token>(i), .special = piece.type == detail::piece_type::control});
    }
}

PALI_INLINE void tokenizer::parts::read_json(const std::filesystem::path& path) {
    file = path.string();
    detail::tokenizer_json read = detail::read_tokenizer_json(path, false);
    texts = std::move(read.texts);
    static_cast<detail::vocabulary&>(model) = std::move(read.words);
    merges.emplace(read.merges);
    token next = static_cast<token>(model.pieces.size());
    for (const detail::added_token& one : read.added)
        if (one.id >= next && one.id != next++)
            throw error(errc::malformed_tokenizer, {file, ": gives the added token ", in_quotes(one.text), " the id ", one.id, "; transformers would number it ", next - 1, ", without a gap"});
    add(file, std::move(read.added));
    names = detail::read_special_names(path.parent_path());
    model.bos = names[0], model.eos = names[1], model.pad = names[2];
}

/// Takes over the tokens of a file. What the model or another file has must have the same id there; the flags are those of the last file.
PALI_INLINE void tokenizer::parts::add(const std::string& from, std::vector<detail::added_token> tokens) {
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_tokenizer, {from, ": ", what, "; are the files of one checkpoint?"}); };
    std::set<std::string, std::less<>> seen;
    for (detail::added_token& one : tokens) {
        if (!seen.insert(one.text).second) fail({"has the token ", in_quotes(one.text), " twice"});
        const std::optional<token> known = find(one.text);
        if (known && *known != one.id) fail({"gives ", in_quotes(one.text), " the id ", one.id, "; ", file, " has it as ", *known});
        if (!known && in_model(one.id)) fail({"gives ", in_quotes(one.text), " the id ", one.id, "; in ", file, " that is ", in_quotes(at(one.id).text)});
        const auto [place, fresh] = added.try_emplace(one.text, one);
        if (place->second.id != one.id) fail({"gives ", in_quotes(one.text), " the id ", one.id, "; ", added_file, " has it as ", place->second.id});
        if (!known)
            if (const auto [same, first] = outside.emplace(one.id, &place->second); same->second != &place->second)
                fail({"gives ", in_quotes(one.text), " the id ", one.id, ", which ", in_quotes(same->second->text), " has", seen.contains(same->second->text) ? " as well" : " in " + added_file});
        place->second = std::move(one);
    }
    added_file = from;
}

/// Finds out which tokens no text may become.
PALI_INLINE void tokenizer::parts::reserve(std::optional<token> image_id) {
    image = find_any("<image>");
    if (!image && image_id) {
        image = image_id;
        if (in_model(*image_id)) {
            added.erase(std::string(at(*image_id).text));
            model.rename(static_cast<std::size_t>(*image_id), {"<image>", 0, detail::piece_type::control});
        } else {
            if (const auto other = outside.find(*image_id); other != outside.end()) { // config.json decides, as for a piece of the model
                added.erase(added.find(other->second->text));
                outside.erase(other);
            }
            const auto place = added.emplace("<image>", detail::added_token{.text = "<image>", .id = *image_id, .special = true}).first;
            outside.emplace(*image_id, &place->second);
        }
    }
    for (const std::string_view text : {model.bos, model.eos, model.pad, std::string_view("<image>")})
        if (const auto found = model.find(text)) model.pieces[*found].type = detail::piece_type::control;
}

PALI_INLINE void tokenizer::parts::find_ids() {
    const auto either = [&](std::string_view name, std::string_view usual) { return find_any(name) ? find_any(name) : find_any(usual); };
    const auto need = [&](std::string_view name, std::string_view usual) {
        if (const auto id = either(name, usual)) return *id;
        throw error(errc::missing_token, {file, ": has no piece ", in_quotes(usual), ", which every prompt needs; is it the tokenizer of a PaliGemma checkpoint?"});
    };
    bos = need(model.bos, "<bos>");
    eos = need(model.eos, "<eos>");
    pad = either(model.pad, "<pad>");
    const auto is_said = [&](std::optional<token> id) {
        return id && (at(*id).type == detail::piece_type::normal || at(*id).type == detail::piece_type::user_defined || at(*id).type == detail::piece_type::byte);
    };
    const std::optional<token> line = find("\n"), byte = find("<0x0A>"); // what has no piece is said by its bytes
    if (!is_said(line) && !is_said(byte))
        throw error(errc::missing_token, {file, ": has no piece for a newline, with which every prompt ends; is it the tokenizer of a PaliGemma checkpoint?"});
    newline = is_said(line) ? *line : *byte;
}

PALI_INLINE void tokenizer::parts::find_places() {
    const auto fill = [&](auto& table, const char* name, int digits) {
        for (std::size_t i = 0; i < table.size(); ++i)
            table[i] = find_any(detail::numbered_piece(name, digits, i)).value_or(-1);
    };
    fill(loc, "loc", 4);
    fill(seg, "seg", 3);
}

PALI_INLINE bool tokenizer::parts::is_reserved(const detail::added_token& one) const {
    if (one.id == bos || one.id == eos || one.id == pad || one.id == image) return true;
    return in_model(one.id) && (at(one.id).type == detail::piece_type::unknown || at(one.id).type == detail::piece_type::byte);
}

PALI_INLINE void tokenizer::parts::build_finders() {
    for (const auto& [text, one] : added) {
        if (is_reserved(one)) continue;
        if (one.normalized) normalized.add(detail::with_visible_spaces(text), one);
        else raw.add(text, one);
        const bool object = detail::place_of(one.id, loc) || detail::place_of(one.id, seg); // read from answers, whatever their flags say
        if (in_model(one.id)) model.pieces[static_cast<std::size_t>(one.id)].type = one.special && !object ? detail::piece_type::control : detail::piece_type::user_defined;
    }
    std::optional<token> unknown;
    for (std::size_t i = 0; i < model.pieces.size() && !unknown; ++i)
        if (model.pieces[i].type == detail::piece_type::unknown) unknown = static_cast<token>(i);
    merger.emplace(model, merges ? &*merges : nullptr, unknown.value_or(0));
    if (!merges) sentencepiece.emplace(model, file);
}

PALI_INLINE std::vector<token> tokenizer::encode(std::string_view text) const {
    const parts& p = *m_parts;
    constexpr std::size_t most = (std::size_t{1} << 31) - 1; // ids in the merger are 32 bits, and U+2581 has three bytes
    if (text.size() > most / 3) throw error(errc::invalid_prompt, {"a text of ", text.size(), " bytes cannot be encoded; at most ", most / 3, " are"});
    std::string valid;
    if (!is_utf8(text)) {
        append_characters(valid, text, true);
        text = valid;
    }
    std::vector<token> out;
    const auto take = [&](token id) { out.push_back(id); };
    p.raw.split(text, [&](std::string_view part) {
        p.normalized.split(detail::with_visible_spaces(part), [&](std::string_view rest) {
            if (!p.sentencepiece || !p.sentencepiece->encode(rest, out)) p.merger->encode(rest, out);
        }, take);
    }, take);
    return out;
}

PALI_INLINE std::string tokenizer::decode(std::span<const token> ids) const {
    std::string out, run; // run: byte pieces that follow one another
    const auto flush = [&] { append_characters(out, run, true), run.clear(); };
    for (const token id : ids) {
        const piece_kind what = kind(id);
        if (what == piece_kind::byte) {
            run += static_cast<char>(byte(id));
            continue;
        }
        flush();
        if (what == piece_kind::text) append_piece(out, piece(id));
        else if (what == piece_kind::unknown) out += unknown_text();
    }
    flush();
    return out;
}

PALI_INLINE std::string_view tokenizer::piece(token id) const noexcept {
    if (m_parts->in_model(id)) return m_parts->at(id).text;
    const auto found = m_parts->outside.find(id);
    return found == m_parts->outside.end() ? std::string_view() : std::string_view(found->second->text);
}

PALI_INLINE piece_kind tokenizer::kind(token id) const noexcept {
    const parts& p = *m_parts;
    if (id == p.image) return piece_kind::hidden;
    if (!p.in_model(id)) {
        const auto found = p.outside.find(id);
        return found != p.outside.end() && (!found->second->special || loc_number(id) || seg_number(id)) ? piece_kind::text : piece_kind::hidden;
    }
    switch (p.at(id).type) {
    case detail::piece_type::byte: return piece_kind::byte;
    case detail::piece_type::control: return piece_kind::hidden;
    case detail::piece_type::unknown: return piece_kind::unknown;
    default: return piece_kind::text;
    }
}

PALI_INLINE unsigned char tokenizer::byte(token id) const noexcept {
    return m_parts->in_model(id) && m_parts->at(id).type == detail::piece_type::byte ? static_cast<unsigned char>(detail::byte_of_piece(m_parts->at(id).text))
                                                                                     : static_cast<unsigned char>(0);
}

PALI_INLINE std::string_view tokenizer::unknown_text() const noexcept { return m_parts->model.unk_surface; }

PALI_INLINE std::optional<token> tokenizer::id(std::string_view piece) const { return m_parts->find_any(piece); }

PALI_INLINE std::optional<token> tokenizer::next_id(token first) const noexcept {
    first = std::max(first, token{0});
    if (m_parts->in_model(first)) return first;
    const auto found = m_parts->outside.lower_bound(first);
    return found == m_parts->outside.end() ? std::nullopt : std::optional(found->first);
}

PALI_INLINE std::size_t tokenizer::size() const noexcept {
    const std::size_t after_last = m_parts->outside.empty() ? 0 : static_cast<std::size_t>(m_parts->outside.rbegin()->first) + 1;
    return std::max(m_parts->model.pieces.size(), after_last);
}

PALI_INLINE token tokenizer::bos() const noexcept { return m_parts->bos; }
PALI_INLINE token tokenizer::eos() const noexcept { return m_parts->eos; }
PALI_INLINE token tokenizer::newline() const noexcept { return m_parts->newline; }

PALI_INLINE token tokenizer::pad() const {
    if (m_parts->pad) return *m_parts->pad;
    throw error(errc::missing_token, {m_parts->file, ": has no piece '<pad>' to fill up a batch with"});
}

PALI_INLINE token tokenizer::image() const {
    if (m_parts->image) return *m_parts->image;
    throw error(errc::missing_token, {m_parts->file, ": has no piece '<image>', and neither added_tokens.json nor config.json (image_token_index) names one; "
                                                     "is it the tokenizer of a PaliGemma checkpoint?"});
}

PALI_INLINE std::optional<token> tokenizer::loc(std::size_t i) const noexcept {
    return i < m_parts->loc.size() && m_parts->loc[i] >= 0 ? std::optional(m_parts->loc[i]) : std::nullopt;
}

PALI_INLINE std::optional<token> tokenizer::seg(std::size_t i) const noexcept {
    return i < m_parts->seg.size() && m_parts->seg[i] >= 0 ? std::optional(m_parts->seg[i]) : std::nullopt;
}

PALI_INLINE std::optional<std::size_t> tokenizer::loc_number(token id) const noexcept { return detail::place_of(id, m_parts->loc); }
PALI_INLINE std::optional<std::size_t> tokenizer::seg_number(token id) const noexcept { return detail::place_of(id, m_parts->seg); }

} // namespace pali::inline PALI_ABI

// The sequence a model is given: image tokens, BOS, the prompt, a newline.

namespace pali::inline PALI_ABI {

/// What is encoded of a prompt as people write it: without what the layout adds by itself, leading "<image>" and "<bos>" in any number, with the
/// white space before and after each of them, and one trailing "\n" or "\r\n". All else stays as it is, as in transformers: other spaces at either end, newlines inside.
[[nodiscard]] inline std::string_view read_prompt(std::string_view prompt) noexcept {
    constexpr std::string_view image = "<image>", bos = "<bos>";
    std::string_view text = prompt;
    for (std::string_view rest = prompt;;) {
        const std::size_t begin = rest.find_first_not_of(" \t\r\n");
        if (begin == std::string_view::npos) break;
        rest.remove_prefix(begin);
        const std::string_view marker = rest.starts_with(image) ? image : bos;
        if (!rest.starts_with(marker)) break;
        rest.remove_prefix(marker.size());
        const std::size_t end = rest.find_first_not_of(" \t\r\n");
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end);
        text = rest;
    }
    if (text.ends_with('\n')) text.remove_suffix(text.ends_with("\r\n") ? 2 : 1);
    return text;
}

/// Tokens of a whole prompt.
struct prompt_layout {
    std::vector<token> tokens;    ///< `image_tokens` times `<image>`, BOS, the prompt, "\n"
    std::size_t image_tokens = 0; ///< of all pictures together
};

/// Lays out a prompt, cleaned by read_prompt. The newline is tokenised apart, as in training: a prompt that ends with one more does not merge
/// with it. `image_token_count` is that of all pictures. Throws errc::invalid_prompt for "<image>" or "<bos>" behind other text, where they have no meaning; errc::missing_token when image
/// tokens are asked for and `<image>` has no id; and what tokenizer::encode throws.
[[nodiscard]] inline prompt_layout layout_prompt(const tokenizer& text, std::string_view prompt, std::size_t image_token_count) {
    prompt_layout out{{}, image_token_count};
    const std::string_view read = read_prompt(prompt);
    for (const std::string_view marker : {"<image>", "<bos>"})
        if (const std::size_t place = read.find(marker); place != std::string_view::npos)
            throw error(errc::invalid_prompt, {"the prompt has ", marker, " at byte ", place, ": pictures come first, in their order, and are marked by the library; leave it out"});
    const std::vector<token> words = text.encode(read);
    out.tokens.reserve(image_token_count + words.size() + 2);
    if (image_token_count > 0) out.tokens.assign(image_token_count, text.image());
    out.tokens.push_back(text.bos());
    out.tokens.insert(out.tokens.end(), words.begin(), words.end());
    out.tokens.push_back(text.newline());
    return out;
}

namespace prompt_detail {

/// The 35 languages of COCO-35L, in which PaliGemma was trained to answer (big_vision, configs/proj/paligemma/transfers/coco35l.py), and English of other tasks.
inline constexpr std::array<std::string_view, 36> languages{"ar", "bn", "cs", "da", "de", "el", "en", "es", "fa", "fi", "fil", "fr", "he", "hi", "hr", "hu", "id", "it",
                                                            "iw", "ja", "ko", "mi", "nl", "no", "pl", "pt", "quz", "ro", "ru", "sv", "sw", "te", "th", "tr", "uk", "vi"};

/// Whether a word may name a language: two or three letters, and perhaps a script or region, as zh-Hans.
[[nodiscard]] inline bool is_language(std::string_view word) noexcept {
    const auto letters = [](std::string_view part, std::size_t least, std::size_t most) {
        return part.size() >= least && part.size() <= most && std::all_of(part.begin(), part.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
    };
    const std::size_t dash = word.find('-');
    return letters(word.substr(0, dash), 2, 3) && (dash == std::string_view::npos || letters(word.substr(dash + 1), 2, 8));
}

/// Whether a prompt begins with a verb and a language of the training data.
[[nodiscard]] inline bool begins_with(std::string_view prompt, std::string_view verb) noexcept {
    if (!prompt.starts_with(verb)) return false;
    prompt.remove_prefix(verb.size());
    const std::string_view word = prompt.substr(0, prompt.find(' '));
    return word == "zh" || std::find(languages.begin(), languages.end(), word) != languages.end();
}

} // namespace prompt_detail

/// "caption en", as PaliGemma was trained with it (big_vision, configs/proj/paligemma/transfers). `language` is "en", "de", ..., or a whole prompt for captions: "caption en",
/// "cap en", "describe en", "caption" and where to look. Throws errc::invalid_prompt for anything else.
[[nodiscard]] inline std::string caption_prompt(std::string_view language) {
    const std::string_view text = read_prompt(language);
    for (const std::string_view verb : {"caption ", "cap ", "describe "})
        if (text.starts_with(verb)) return std::string(text);
    if (!prompt_detail::is_language(text)) throw error(errc::invalid_prompt, {in_quotes(text), " is neither a language (en, de, zh-Hans) nor a prompt for captions (caption en, describe en)"});
    return "caption " + std::string(text);
}
/// "answer en where is the cat?", from the same. `question` may be the whole prompt: "answer de ..." and "question en ..." stay as they are. Throws errc::invalid_prompt for a
/// `language` that is none.
[[nodiscard]] inline std::string answer_prompt(std::string_view question, std::string_view language) {
    const std::string_view text = read_prompt(question);
    if (prompt_detail::begins_with(text, "answer ") || prompt_detail::begins_with(text, "question ")) return std::string(text);
    if (!prompt_detail::is_language(language)) throw error(errc::invalid_prompt, {in_quotes(language), " is no language: en, de, zh-Hans, ..."});
    return "answer " + std::string(language) + ' ' + std::string(text);
}

/// Tokens of an answer, to be scored or learned: the text as it is, and EOS.
[[nodiscard]] inline std::vector<token> encode_answer(const tokenizer& text, std::string_view answer) {
    std::vector<token> out = text.encode(answer);
    out.push_back(text.eos());
    return out;
}

} // namespace pali::inline PALI_ABI

// What detect and segment are asked for, and what they give.

namespace pali::inline PALI_ABI {

/// What pointing at things is.
enum class pointing {
    boxes, ///< "detect"
    masks, ///< "segment"
};

/// The things in what people write for them: "cat ; dog", or the whole prompt, "detect cat ; dog", with what read_prompt() takes off. Throws errc::invalid_prompt for the
/// prompt of the other kind.
[[nodiscard]] inline std::string_view things_of(pointing kind, std::string_view text) {
    constexpr std::string_view for_boxes = "detect ", for_masks = "segment ";
    std::string_view things = read_prompt(text);
    const std::string_view own = kind == pointing::boxes ? for_boxes : for_masks, other = kind == pointing::boxes ? for_masks : for_boxes;
    if (things.starts_with(other)) throw error(errc::invalid_prompt, {in_quotes(things), " asks for ", kind == pointing::boxes ? "masks" : "boxes", ": that is another call (detect for boxes, segment for masks)"});
    if (things.starts_with(own)) things.remove_prefix(own.size());
    return things;
}

/// The prompt that asks for it: "detect cat ; dog". Throws what things_of() throws.
[[nodiscard]] inline std::string prompt_of(pointing kind, std::string_view things) {
    return (kind == pointing::boxes ? "detect " : "segment ") + std::string(things_of(kind, things));
}

/// How things are found. model.detect(photo, "cat ; dog") has all the defaults.
struct find_options {
    generate_options generate{};             ///< how the answer is decoded
    bool constrained = false;                ///< decode within the grammar: the answer is well formed and has only the labels asked for
    std::optional<merge_options> merge{};    ///< drop what is said twice
    mask_style masks = mask_style::hard;     ///< how a mask is placed in the picture
    int loc_divisor = 1024;                  ///< what coordinates are divided by: 1024, or 1023 as big_vision does

    /// Throws errc::invalid_argument with the option, its value and the values allowed.
    void validate() const {
        generate.validate();
        (void)box_of({}, 1, 1, loc_divisor);
        if (merge) (void)pali::merge({}, *merge);
    }
};

/// What was found in a picture. A range of objects, with what else was said.
struct findings {
    std::vector<object> objects; ///< in the order of the answer
    std::size_t skipped = 0;     ///< parts of the answer that were no object: cut off, out of range, without area
    std::string text;            ///< what was said besides objects
    generation said;             ///< the answer itself

    /// The first object.
    [[nodiscard]] auto begin() const noexcept { return objects.begin(); }
    /// Behind the last one.
    [[nodiscard]] auto end() const noexcept { return objects.end(); }
    /// Objects found.
    [[nodiscard]] std::size_t size() const noexcept { return objects.size(); }
    /// Whether there are none.
    [[nodiscard]] bool empty() const noexcept { return objects.empty(); }
    /// Object `i`; not checked.
    [[nodiscard]] const object& operator[](std::size_t i) const noexcept { return objects[i]; }
};

} // namespace pali::inline PALI_ABI

// What keys and values of earlier tokens are kept in.

namespace pali::inline PALI_ABI {

/// Numbers that keys and values are kept in: bf16 takes half of the memory, and half of the reading of a token with much behind it.
enum class kv_type { f32, bf16 };

} // namespace pali::inline PALI_ABI

// Where weights are while a model runs.

namespace pali::inline PALI_ABI {

/// Where the weights are read from while the model runs.
enum class residency {
    mapped,   ///< from the mapped file where its type fits: starts at once, shares memory with other processes
    resident, ///< from a copy on huge pages: decodes faster
};

} // namespace pali::inline PALI_ABI

// How a model is held.

namespace pali::inline PALI_ABI {

/// How a checkpoint is loaded.
struct load_options {
    std::size_t threads = 0;                       ///< of the model, the caller's included; 0: as many as the machine has
    bool pin_threads = false;                      ///< keeps each thread but the caller's on a processor of its own, where nothing else needs them (on Linux; Windows has not been run)
    pali::residency residency = residency::mapped; ///< where the weights are read from
    kv_type kv_cache = kv_type::f32;               ///< numbers that keys and values of earlier tokens are kept in
    std::filesystem::path mask_decoder{};          ///< vae-oid.npz, for segment; without: found in the folder of the checkpoint when it is needed
    progress_callback on_progress{};               ///< stage "load"; false stops with errc::cancelled
    bool strict = false;                           ///< tensors that the model does not use, and an index that differs from its shards, are errors
    std::function<void(std::string_view)> on_notice{}; ///< told once about each of the two where they are no errors, and about tokens without a row in the embedding: a line with the folder and ten names at most
};

} // namespace pali::inline PALI_ABI

// Memory that starts on a cache line.

namespace pali::inline PALI_ABI {

/// 64 bytes: a cache line and the widest vector.
template <class T>
struct aligned_allocator {
    using value_type = T; ///< what is allocated
    static constexpr std::align_val_t alignment{64}; ///< of every allocation

    aligned_allocator() = default;
    /// As good as any other: it has no state.
    template <class U>
    aligned_allocator(const aligned_allocator<U>&) noexcept {}

    /// Room for `n`, uninitialised. Throws std::bad_alloc.
    [[nodiscard]] T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), alignment)); }
    /// Gives it back.
    void deallocate(T* p, std::size_t) noexcept { ::operator delete(p, alignment); }

    friend bool operator==(const aligned_allocator&, const aligned_allocator&) = default;
};

/// A vector of numbers that kernels may load aligned.
template <class T>
using aligned_vector = std::vector<T, aligned_allocator<T>>;

} // namespace pali::inline PALI_ABI

// The only header that knows which xtensor is installed: 0.24 has flat headers, 0.26 and later have folders.

#if __has_include(<xtensor/containers/xtensor.hpp>)
#  include <xtensor/containers/xadapt.hpp>
#  include <xtensor/containers/xtensor.hpp>
#  include <xtensor/core/xnoalias.hpp>
#elif __has_include(<xtensor/xtensor.hpp>)
#  include <xtensor/xadapt.hpp>
#  include <xtensor/xnoalias.hpp>
#  include <xtensor/xtensor.hpp>
#else
#  error "pali needs xtensor (Debian: libxtensor-dev)"
#endif

// A matrix as kernels see it: a pointer, how many rows, how wide, how far apart.

namespace pali::inline PALI_ABI {

/// Non-owning row-major matrix (count, width); row i begins at data + i * stride. Cheap to copy.
template <class T>
struct rows {
    T* data = nullptr;      ///< first element of row 0
    std::size_t count = 0;  ///< rows
    std::size_t width = 0;  ///< elements of a row
    std::size_t stride = 0; ///< from row to row, in elements

    rows() = default;
    /// Rows that follow each other without a gap.
    rows(T* first, std::size_t n, std::size_t elements) noexcept : rows(first, n, elements, elements) {}
    /// Rows `step` elements apart.
    rows(T* first, std::size_t n, std::size_t elements, std::size_t step) noexcept : data(first), count(n), width(elements), stride(step) {}
    /// rows<T> is usable where rows<const T> is asked for.
    template <class U>
        requires(std::is_same_v<const U, T>)
    rows(const rows<U>& other) noexcept : rows(other.data, other.count, other.width, other.stride) {}

    /// The first element of a row; not checked.
    [[nodiscard]] T* operator[](std::size_t row) const noexcept { return data + row * stride; }
    /// Rows [first, first + n).
    [[nodiscard]] rows slice(std::size_t first, std::size_t n) const noexcept { return {data + first * stride, n, width, stride}; }
};

} // namespace pali::inline PALI_ABI

// Tensors are xtensor containers and adapted memory, with the allocator named so that no macro changes their type.

namespace pali::inline PALI_ABI {

/// Owning row-major float tensor of `Rank` dimensions.
template <std::size_t Rank>
using tensor = xt::xtensor_container<xt::uvector<float, aligned_allocator<float>>, Rank, xt::layout_type::row_major>;

/// Owning matrix, (rows, columns). Its elements are not initialised.
using matrix = tensor<2>;

/// A matrix in memory that belongs to somebody else (an arena, a cache): an xtensor expression like any other.
using matrix_view = xt::xtensor_adaptor<xt::xbuffer_adaptor<float*, xt::no_ownership, std::allocator<float>>, 2, xt::layout_type::row_major>;

/// An uninitialised matrix of `count` rows.
[[nodiscard]] inline matrix make_matrix(std::size_t count, std::size_t width) {
    return matrix(std::array<std::size_t, 2>{count, width});
}

/// (count, width) over contiguous memory.
[[nodiscard]] inline matrix_view view_matrix(float* data, std::size_t count, std::size_t width) {
    using buffer = xt::xbuffer_adaptor<float*, xt::no_ownership, std::allocator<float>>;
    return matrix_view(buffer(data, count * width), std::array<std::size_t, 2>{count, width});
}

/// Rows [first, first + count) of x, as a view.
[[nodiscard]] inline matrix_view slice(matrix_view& x, std::size_t first, std::size_t count) {
    return view_matrix(x.data() + first * x.shape(1), count, x.shape(1));
}

/// x += y, element by element; xtensor's own would make the sum elsewhere and copy it.
inline void add(matrix_view& x, const matrix_view& y) noexcept {
    PALI_ASSERT(x.size() == y.size());
    const float* const from = y.data();
    float* const to = x.data();
    for (std::size_t i = 0; i < x.size(); ++i) to[i] += from[i];
}

/// A copy that owns its memory.
[[nodiscard]] inline matrix copy_of(const matrix_view& x) {
    matrix out = make_matrix(x.shape(0), x.shape(1));
    std::copy_n(x.data(), x.size(), out.data());
    return out;
}

/// What a kernel takes, of a matrix or a view of one.
template <class Matrix>
[[nodiscard]] auto rows_of(Matrix& m) noexcept {
    return rows(m.data(), m.shape(0), m.shape(1));
}

} // namespace pali::inline PALI_ABI

// What the decoder sees of a picture.

namespace pali::inline PALI_ABI {

/// The tokens of one picture: outputs of vision tower and projector, (tokens, hidden). They do not depend on the prompt: compute them
/// once and ask many times. Plain memory, independent of the model that made it.
struct image_features {
    matrix values;                     ///< (tokens, hidden)
    std::size_t width = 0, height = 0; ///< of the picture that it was made of, pixels: what boxes are placed in
};

} // namespace pali::inline PALI_ABI

// One question of a batch.

namespace pali::inline PALI_ABI {

/// Pictures, a prompt, and options of its own. What it refers to has to live until the answer is there.
struct request {
    std::span<const image_features> images; ///< in the order that the model sees them; may be none
    std::string_view prompt;                ///< UTF-8; read_prompt() says what is taken off
    generate_options options{};             ///< of this answer alone
};

} // namespace pali::inline PALI_ABI

// The 16-bit floating point numbers of checkpoints: bfloat16 and IEEE half, as storage with conversions and no arithmetic.

namespace pali::inline PALI_ABI {

/// The upper half of a float32. Conversion from float rounds to nearest even, as torch does; NaN stays NaN.
struct bfloat16 {
    std::uint16_t bits = 0; ///< sign, 8 bits of exponent, 7 of mantissa

    bfloat16() = default;
    /// Rounds to nearest even; what is too large becomes infinite, NaN a quiet NaN.
    explicit bfloat16(float value) noexcept {
        const auto u = std::bit_cast<std::uint32_t>(value);
        const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
        bits = nan ? static_cast<std::uint16_t>((u >> 16) | 0x40u)
                   : static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
    /// Exact.
    [[nodiscard]] explicit operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
    /// Equal bits: a NaN equals itself, 0 and -0 differ.
    friend bool operator==(bfloat16 a, bfloat16 b) noexcept { return a.bits == b.bits; }
};
static_assert(sizeof(bfloat16) == 2);

/// IEEE 754 binary16, read from checkpoints only.
struct float16 {
    std::uint16_t bits = 0; ///< sign, 5 bits of exponent, 10 of mantissa

    /// Exact.
    [[nodiscard]] explicit operator float() const noexcept {
        // Shift exponent and mantissa into place and rescale by 2^112: exact for normal and subnormal numbers alike.
        const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
        const std::uint32_t rest = static_cast<std::uint32_t>(bits & 0x7fffu) << 13;
        if ((bits & 0x7c00u) == 0x7c00u) return std::bit_cast<float>(sign | rest | 0x7f800000u);
        const float scaled = std::bit_cast<float>(rest) * 0x1p112f;
        return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
    }
};
static_assert(sizeof(float16) == 2);

} // namespace pali::inline PALI_ABI

// A matrix of small integers with scales, as kernels see it.

namespace pali::inline PALI_ABI {

/**
 * Non-owning (count, width) of signed integers of `Bits` bits. Consecutive numbers of a row, `group` of them, share a scale: a number is code · scale.
 *
 * Eight rows make a strip, and a strip is read from its beginning to its end: group after group, and in a group four numbers of row 0, four of row 1, ... of
 * row 7, then the next four of each. A register of 32 bytes so meets four numbers of a token, and its lanes are rows, which are never summed with each other.
 * 8 bits: a code is a byte, -127 to 127. 4 bits: -8 to 7, held as code + 8; the low halves of the bytes are the first 16 numbers of a group, the high
 * halves the last 16. Scales lie in the same order: eight for each group of a strip.
 */
template <std::size_t Bits>
struct quantised_rows {
    static_assert(Bits == 4 || Bits == 8, "codes have 4 or 8 bits");
    static constexpr std::size_t bits = Bits; ///< of a code
    /// Numbers that share a scale, of which the width is a multiple: 4.5 bits a number, and 8.25.
    static constexpr std::size_t group = Bits == 4 ? 32 : 64;
    /// Rows of a strip, of which the count is a multiple.
    static constexpr std::size_t strip = 8;
    /// Bytes of codes of a group in all rows of a strip.
    static constexpr std::size_t group_bytes = strip * group * Bits / 8;
    static constexpr int largest = Bits == 4 ? 7 : 127;    ///< code
    static constexpr int smallest = Bits == 4 ? -8 : -127; ///< code

    const std::uint8_t* codes = nullptr; ///< (count / strip, width / group, group_bytes)
    const bfloat16* scales = nullptr;    ///< (count / strip, width / group, strip)
    std::size_t count = 0; ///< rows
    std::size_t width = 0; ///< numbers of a row

    /// Whether a matrix (count, width) can be held so: whole strips and whole groups.
    [[nodiscard]] static constexpr bool fits(std::size_t count, std::size_t width) noexcept { return count % strip == 0 && width % group == 0; }
    /// The count with the last strip filled up.
    [[nodiscard]] static constexpr std::size_t padded(std::size_t count) noexcept { return (count + strip - 1) / strip * strip; }
    /// The shape of `codes`, in bytes, for a matrix of whole groups; rows that fill the last strip up are zeros.
    [[nodiscard]] static std::vector<std::size_t> codes_shape(std::size_t count, std::size_t width) { return {padded(count) / strip, width / group, group_bytes}; }
    /// The shape of `scales`.
    [[nodiscard]] static std::vector<std::size_t> scales_shape(std::size_t count, std::size_t width) { return {padded(count) / strip, width / group, strip}; }
    /// Bytes that the codes of so many numbers take, whole groups of them.
    [[nodiscard]] static constexpr std::size_t bytes_of(std::size_t numbers) noexcept { return numbers * Bits / 8; }

    /// Codes of strip `i`: (width / group, group_bytes).
    [[nodiscard]] const std::uint8_t* codes_of(std::size_t i) const noexcept { return codes + i * strip * bytes_of(width); }
    /// Scales of strip `i`: (width / group, strip).
    [[nodiscard]] const bfloat16* scales_of(std::size_t i) const noexcept { return scales + i * strip * (width / group); }

    /// The code of number `k` of a row, from `smallest` to `largest`. For single numbers: kernels read whole strips.
    [[nodiscard]] int code(std::size_t row, std::size_t k) const noexcept {
        const std::uint8_t byte = codes_of(row / strip)[k / group * group_bytes + byte_in_group(row % strip, k % group)];
        if constexpr (Bits == 8) return static_cast<std::int8_t>(byte);
        else return (k % group < group / 2 ? byte & 15 : byte >> 4) - 8;
    }
    /// What that code is multiplied by.
    [[nodiscard]] float scale(std::size_t row, std::size_t k) const noexcept { return static_cast<float>(scales_of(row / strip)[k / group * strip + row % strip]); }

    /// The byte with number `k` of a group, of row `r` of a strip.
    [[nodiscard]] static constexpr std::size_t byte_in_group(std::size_t r, std::size_t k) noexcept {
        const std::size_t place = Bits == 8 ? k : k % (group / 2);
        return place / 4 * (4 * strip) + 4 * r + place % 4;
    }
};

} // namespace pali::inline PALI_ABI

// Types of numbers in a safetensors file.

namespace pali::inline PALI_ABI {

/// Every type that the format names (safetensors 0.8, tensor.rs, enum Dtype), in its order, which a writer keeps. The library computes
/// with bf16, f16 and f32; the rest is read so that a checkpoint can be listed and a wrong type named.
enum class dtype {
    boolean, f4, f6_e2m3, f6_e3m2, u8, i8, f8_e5m2, f8_e4m3, f8_e8m0, f8_e4m3fnuz, f8_e5m2fnuz,
    i16, u16, f16, bf16, i32, u32, f32, c64, f64, i64, u64,
};

namespace detail {

struct dtype_row {
    dtype type;
    const char* name;
    std::size_t bits;
};

/// In the order of the enumerators.
inline constexpr std::array dtype_rows{
    dtype_row{dtype::boolean, "BOOL", 8}, dtype_row{dtype::f4, "F4", 4}, dtype_row{dtype::f6_e2m3, "F6_E2M3", 6},
    dtype_row{dtype::f6_e3m2, "F6_E3M2", 6}, dtype_row{dtype::u8, "U8", 8}, dtype_row{dtype::i8, "I8", 8},
    dtype_row{dtype::f8_e5m2, "F8_E5M2", 8}, dtype_row{dtype::f8_e4m3, "F8_E4M3", 8}, dtype_row{dtype::f8_e8m0, "F8_E8M0", 8},
    dtype_row{dtype::f8_e4m3fnuz, "F8_E4M3FNUZ", 8}, dtype_row{dtype::f8_e5m2fnuz, "F8_E5M2FNUZ", 8},
    dtype_row{dtype::i16, "I16", 16}, dtype_row{dtype::u16, "U16", 16}, dtype_row{dtype::f16, "F16", 16},
    dtype_row{dtype::bf16, "BF16", 16}, dtype_row{dtype::i32, "I32", 32}, dtype_row{dtype::u32, "U32", 32},
    dtype_row{dtype::f32, "F32", 32}, dtype_row{dtype::c64, "C64", 64}, dtype_row{dtype::f64, "F64", 64},
    dtype_row{dtype::i64, "I64", 64}, dtype_row{dtype::u64, "U64", 64},
};

consteval bool dtype_rows_are_in_order() {
    for (std::size_t i = 0; i < dtype_rows.size(); ++i)
        if (static_cast<std::size_t>(dtype_rows[i].type) != i) return false;
    return dtype_rows.size() == static_cast<std::size_t>(dtype::u64) + 1;
}
static_assert(dtype_rows_are_in_order(), "a row of the table is missing or out of place");

} // namespace detail

/// The name in a file: "BF16".
[[nodiscard]] constexpr const char* to_string(dtype type) noexcept { return detail::dtype_rows[static_cast<std::size_t>(type)].name; }

/// Bits of one number; the types below 8 are packed.
[[nodiscard]] constexpr std::size_t bits_of(dtype type) noexcept { return detail::dtype_rows[static_cast<std::size_t>(type)].bits; }

/// Bytes of one number, and its natural alignment; 1 for the packed types.
[[nodiscard]] constexpr std::size_t size_of(dtype type) noexcept { return bits_of(type) < 8 ? 1 : bits_of(type) / 8; }

/// The type of that name, in the spelling of the format; nothing for a name it does not have.
[[nodiscard]] constexpr std::optional<dtype> find_dtype(std::string_view name) noexcept {
    for (const detail::dtype_row& row : detail::dtype_rows)
        if (name == row.name) return row.type;
    return std::nullopt;
}

/// All names, for a message.
[[nodiscard]] inline std::string dtype_names() {
    std::string names;
    for (const detail::dtype_row& row : detail::dtype_rows) names += (names.empty() ? "" : ", ") + std::string(row.name);
    return names;
}

} // namespace pali::inline PALI_ABI

// In what numbers the matrices of a model are held in memory.

namespace pali::inline PALI_ABI {

/// Weights in float32: what a float32 checkpoint holds, or an exact copy of a smaller one.
struct f32 {
    using matrix = rows<const float>;          ///< of the decoder
    using tower = f32;                         ///< storage of vision tower and projector
    static constexpr const char* name = "f32"; ///< in files and messages
};

/// Weights in bfloat16, the default: a bfloat16 checkpoint is used where it lies; others are rounded.
struct bf16 {
    using matrix = rows<const bfloat16>;        ///< of the decoder
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "bf16"; ///< in files and messages
};

/// The decoder's matrices, embedding and head included, in bytes with a scale for every 64 numbers: 8.25 bits a number. Vision tower and projector stay
/// in bfloat16: they are read once a picture and not once a token, so there is little to win.
struct int8 {
    using matrix = quantised_rows<8>;           ///< of the decoder
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "int8"; ///< in files and messages
};

/// The same in 4 bits with a scale for every 32 numbers: 4.5 bits a number.
struct int4 {
    using matrix = quantised_rows<4>;           ///< of the decoder
    using tower = bf16;                         ///< storage of vision tower and projector
    static constexpr const char* name = "int4"; ///< in files and messages
};

/// The second parameter of pali::model.
template <class S>
concept weight_storage = std::same_as<S, f32> || std::same_as<S, bf16> || std::same_as<S, int8> || std::same_as<S, int4>;

/// How a file holds a quantised matrix: its codes under the matrix's own name, and its scales beside them, in the shapes of quantised_rows.
template <std::size_t Bits>
inline constexpr dtype code_type = Bits == 8 ? dtype::i8 : dtype::u8;
inline constexpr std::string_view scales_suffix = "_scale"; ///< "...q_proj.weight_scale", BF16
inline constexpr std::string_view weights_key = "pali.weights"; ///< in the file's metadata: "int8" or "int4"

} // namespace pali::inline PALI_ABI

// The only header that knows which xsimd is installed: names that changed between 8.1 and 14.

#if !__has_include(<xsimd/xsimd.hpp>)
#  error "pali needs xsimd (Debian: libxsimd-dev)"
#endif
// g++ 12 warns of its own intrinsics for 512 bits, wherever they are inlined (GCC bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic push
#  pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__) && !defined(__clang__)
#  pragma GCC diagnostic pop
#endif

/// What xsimd spells in another way from release to release.
namespace pali::inline PALI_ABI::compat {

/// Sum of the lanes: hadd until 8, reduce_add since 9.
template <class Batch>
[[nodiscard]] inline typename Batch::value_type reduce_add(const Batch& x) noexcept {
#if XSIMD_VERSION_MAJOR >= 9
    return xsimd::reduce_add(x);
#else
    return xsimd::hadd(x);
#endif
}

/// Largest lane: not in 8, and in 14 for 512 bits made of what g++ 12 warns of in the user's build.
template <class Batch>
[[nodiscard]] inline typename Batch::value_type reduce_max(const Batch& x) noexcept {
    alignas(64) typename Batch::value_type lanes[Batch::size];
    x.store_aligned(lanes);
    auto top = lanes[0];
    for (std::size_t i = 1; i < Batch::size; ++i) top = lanes[i] > top ? lanes[i] : top;
    return top;
}

/// The same bits as float lanes: the template argument is a batch until 10, an element since 11.
template <class Arch>
[[nodiscard]] inline xsimd::batch<float, Arch> as_float(const xsimd::batch<std::uint32_t, Arch>& bits) noexcept {
#if XSIMD_VERSION_MAJOR >= 11
    return xsimd::bitwise_cast<float>(bits);
#else
    return xsimd::bitwise_cast<xsimd::batch<float, Arch>>(bits);
#endif
}

} // namespace pali::inline PALI_ABI::compat

// The instruction sets that follow the flags of the translation unit, as tags; kernels carry one in their symbol.

// Bodies only: sources that use bodies compiled elsewhere do not include this header.
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ == 1) || defined(__ASSOCIATIVE_MATH__)
#  error "pali cannot be compiled with -Ofast, -ffast-math, -ffinite-math-only or -fassociative-math: masks are infinities and the order of sums is fixed. Use -O2 or -O3"
#endif

/// Code whose instructions depend on compiler flags lives in an inline namespace that names them: translation units compiled with
/// different flags then never share a symbol, and the linker cannot hand one of them the other's instructions.
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#  define PALI_SIMD avx512_vnni
#elif defined(__AVX512BW__)
#  define PALI_SIMD avx512
#elif defined(__AVX512F__)
#  define PALI_SIMD avx512f
#elif defined(__AVX2__) && defined(__FMA__)
#  define PALI_SIMD avx2
#elif defined(__AVX__)
#  define PALI_SIMD avx
#elif defined(__SSE4_2__)
#  define PALI_SIMD sse4
#elif defined(__x86_64__)
#  define PALI_SIMD sse2
#elif defined(__aarch64__)
#  define PALI_SIMD neon
#else
#  define PALI_SIMD generic
#endif

/// Which instruction sets there are: those that flags of the compiler allow, and those that the processor has.
namespace pali::inline PALI_ABI::arch {

/// xsimd kernels for the instruction set `A`, at most what the flags of the translation unit allow.
template <class A = xsimd::default_arch>
struct simd {
    using batch = xsimd::batch<float, A>;         ///< a register of floats
    using bits = xsimd::batch<std::uint32_t, A>;  ///< the same register as unsigned numbers of 32 bits
    static constexpr std::size_t lanes = batch::size; ///< floats of a register
    /// Vector registers to hold accumulators in: 32 with AVX-512 and 64-bit ARM, else 16.
#if defined(__aarch64__)
    static constexpr std::size_t registers = 32;
#else
    static constexpr std::size_t registers = lanes == 16 ? 32 : 16;
#endif
    /// "simd:" and xsimd's name of the instruction set.
    [[nodiscard]] static std::string name() { return std::string("simd:") + A::name(); }
};

/// x · y + z of floats, rounded once where the instruction set has that. xsimd 8 leaves it to the compiler for 512 bits: clang rounds twice then, at half the speed.
template <class A>
[[nodiscard]] inline xsimd::batch<float, A> fma(const xsimd::batch<float, A>& x, const xsimd::batch<float, A>& y, const xsimd::batch<float, A>& z) noexcept {
#if defined(__AVX512F__)
    if constexpr (xsimd::batch<float, A>::size == 16) return _mm512_fmadd_ps(x, y, z);
    else
#endif
        return xsimd::fma(x, y, z);
}

/// What the flags of this translation unit give.
inline constexpr simd<> native{};

} // namespace pali::inline PALI_ABI::arch

// A PaliGemma, ready to be asked: a folder in, answers out. How it does that is in model.ipp.

/// A model whose bodies were compiled elsewhere has one name, whatever flags the source that uses it is compiled with.
#ifdef PALI_COMPILED
#  ifdef PALI_COMPILED_VARIANTS
#  endif
#  define PALI_MODEL compiled
#else
#  define PALI_MODEL PALI_SIMD
#endif

namespace pali::inline PALI_ABI::inline PALI_MODEL {

/// Whether the bodies of a model type can be had: in this source, which includes model.ipp, or compiled elsewhere.
template <class Config, class Weights>
struct model_bodies {
#ifdef PALI_COMPILED
    static constexpr bool available = std::is_same_v<Config, dynamic>; ///< whether a source may use the type
#else
    static constexpr bool available = true; ///< whether a source may use the type
#endif
};

/**
 * PaliGemma or PaliGemma 2. `Config` picks the variant at compile time, or is `dynamic`; `Weights` is the type that the matrices are
 * held in: `bf16`, `f32`, `int8` or `int4`.
 *
 * Calls on one model wait for each other; a call from a callback of the same model's call throws errc::invalid_argument. Two models run side by side, each with threads of its own. All calls throw errc::invalid_argument
 * for options outside their range, pictures without pixels and features that are not as wide as the model.
 */
template <model_config Config = dynamic, weight_storage Weights = bf16>
class model {
    static_assert(model_bodies<Config, Weights>::available,
                  "this model type was not compiled: include <pali/model.ipp> in the source that uses it, name it in the CMake variable PALI_VARIANTS, or link pali::pali instead of pali::compiled");

public:
    /// Opens a Hugging Face folder: config.json, tokenizer.model or tokenizer.json, safetensors, and optional files. Throws what
    /// read_checkpoint_config, tokenizer, checkpoint_files and network throw: each a pali::error whose message says what to do.
    explicit model(const std::filesystem::path& folder, const load_options& options = {});
    /// Ends its threads and gives its memory back.
    ~model();
    /// Takes the other's place; the other can only be assigned to or destroyed.
    model(model&&) noexcept;
    /// The same.
    model& operator=(model&&) noexcept;

    /// The numbers that the model runs with.
    [[nodiscard]] const Config& config() const noexcept;
    /// What the checkpoint's JSON files say.
    [[nodiscard]] const checkpoint_config& checkpoint() const noexcept;
    /// The vocabulary of the checkpoint.
    [[nodiscard]] const tokenizer& text() const noexcept;
    /// The instruction sets that its kernels use: "simd:avx512bw vnni amx".
    [[nodiscard]] static std::string arch();
    /// Seconds that loading took.
    [[nodiscard]] double load_seconds() const noexcept;
    /// Threads that take part in its work.
    [[nodiscard]] std::size_t threads() const noexcept;

    /// What the decoder will see of a picture: (image tokens, hidden). Compute it once to ask many questions.
    /// Throws errc::cancelled when `on_progress`, stage "image", returns false.
    [[nodiscard]] image_features encode(const image& picture, const progress_callback& on_progress = {});

    /// Answers a prompt about a picture. Stopped by a callback it returns what there is, with finish_reason::cancelled. Throws, as all that follow, errc::invalid_argument for
    /// options that are not allowed, and for logits that are no numbers; errc::invalid_prompt and errc::missing_token for a prompt that cannot be laid out.
    generation generate(const image& picture, std::string_view prompt, const generate_options& options = {}) {
        return generate(std::span(&picture, 1), prompt, options);
    }
    /// Answers a prompt about several pictures; the model sees them in that order.
    generation generate(std::span<const image> pictures, std::string_view prompt, const generate_options& options = {});
    /// Answers a prompt about a picture that was encoded before.
    generation generate(const image_features& picture, std::string_view prompt, const generate_options& options = {}) {
        return generate(request{.images = std::span(&picture, 1), .prompt = prompt, .options = options});
    }
    /// Answers one request.
    generation generate(const request& one);
    /// Answers requests together: each as if it were alone, in the order given, at the cost of reading the weights once a step for all. Progress goes to the first
    /// `on_progress` among them. A callback that returns false stops all of them.
    std::vector<generation> generate(std::span<const request> requests);
    /// Answers one prompt about each of several pictures, all together. The callbacks of `options` are those of every answer: they may take its number first. Throws
    /// errc::cancelled when `on_progress` stops the encoding of a picture.
    std::vector<generation> generate_each(std::span<const image> pictures, std::string_view prompt, const generate_options& options = {});

    /// What is to be seen, in the form of the COCO captions: the prompt "caption en". Stopped by a callback it is what was said so far: generate() tells it apart.
    std::string caption(const image& picture, std::string_view language = "en", const generate_options& options = {}) {
        return caption(std::span(&picture, 1), language, options);
    }
    /// The same of several pictures together.
    std::string caption(std::span<const image> pictures, std::string_view language = "en", const generate_options& options = {}) {
        return generate(pictures, caption_prompt(language), options).text;
    }
    /// The answer to a question, by the prompt "answer en where is the cat?".
    std::string answer(const image& picture, std::string_view question, std::string_view language = "en", const generate_options& options = {}) {
        return answer(std::span(&picture, 1), question, language, options);
    }
    /// The same about several pictures together.
    std::string answer(std::span<const image> pictures, std::string_view question, std::string_view language = "en", const generate_options& options = {}) {
        return generate(pictures, answer_prompt(question, language), options).text;
    }

    /// Finds things: "cat ; black dog". What the model says is never an error: see findings::skipped.
    /// Throws errc::cancelled when `on_progress` stops the encoding of the picture, and what object_constraint throws for `constrained`.
    findings detect(const image& picture, std::string_view things, const find_options& options = {}) {
        return std::move(detect_each(std::span(&picture, 1), things, options).front());
    }
    /// The same in a picture that was encoded before.
    findings detect(const image_features& picture, std::string_view things, const find_options& options = {}) {
        return find(picture, pointing::boxes, things, options);
    }
    /// The same in each of several pictures, decoded together.
    std::vector<findings> detect_each(std::span<const image> pictures, std::string_view things, const find_options& options = {}) {
        return find_each(pictures, pointing::boxes, things, options);
    }

    /// Finds things, and which pixels are theirs. Needs the mask decoder: throws what mask_vqvae throws, errc::cannot_open when there is none.
    findings segment(const image& picture, std::string_view things, const find_options& options = {}) {
        return std::move(segment_each(std::span(&picture, 1), things, options).front());
    }
    /// The same in a picture that was encoded before.
    findings segment(const image_features& picture, std::string_view things, const find_options& options = {}) {
        return find(picture, pointing::masks, things, options);
    }
    /// The same in each of several pictures, decoded together.
    std::vector<findings> segment_each(std::span<const image> pictures, std::string_view things, const find_options& options = {}) {
        return find_each(pictures, pointing::masks, things, options);
    }

    /// What detect() and segment() are, with the kind as an argument.
    findings find(const image_features& picture, pointing kind, std::string_view things, const find_options& options = {});
    /// The same in each of several pictures, decoded together.
    std::vector<findings> find_each(std::span<const image> pictures, pointing kind, std::string_view things, const find_options& options = {});

    /// The objects in an answer to any prompt about a picture, of which only the size matters; with masks where there is a mask decoder. How the answer is made,
    /// options.generate and options.constrained, is without effect here. Throws what mask_vqvae throws, and errc::invalid_argument.
    findings read(generation said, const image_features& picture, const find_options& options = {});

    /// Log-probabilities of an answer, its end included, as if the model had said it. Throws errc::invalid_prompt and
    /// errc::missing_token for a prompt that cannot be laid out, as those below.
    [[nodiscard]] score_result score(std::span<const image_features> images, std::string_view prompt, std::string_view answer);
    /// The same of an answer about a picture, which is encoded for it.
    [[nodiscard]] score_result score(const image& picture, std::string_view prompt, std::string_view answer) {
        const image_features features = encode(picture);
        return score(std::span(&features, 1), prompt, answer);
    }

    /// Hidden states after the last norm, (image tokens + prompt + suffix, hidden). The suffix, causal, is encoded without an end.
    [[nodiscard]] matrix hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "");
    /// Logits of every token, (image tokens + prompt + suffix, vocabulary): for 264 tokens of a released model, 270 MB.
    [[nodiscard]] matrix logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix = "");

private:
    struct state;
    std::unique_ptr<state> m_state;
};

#ifdef PALI_COMPILED // in pali::compiled; other variants include <pali/model.ipp> in a source that uses them
extern template class model<dynamic, f32>;
extern template class model<dynamic, bf16>;
extern template class model<dynamic, int8>;
extern template class model<dynamic, int4>;
/// One of PALI_VARIANTS.
#  define PALI_VARIANT(variant, weights)                                     \
      template <>                                                            \
      struct model_bodies<variant, weights> {                                \
          static constexpr bool available = true;                            \
      };                                                                     \
      extern template class model<variant, weights>;
#  ifdef PALI_COMPILED_VARIANTS
PALI_COMPILED_VARIANTS
#  endif
#  undef PALI_VARIANT
#endif

} // namespace pali::inline PALI_ABI::inline PALI_MODEL

// Beam search, apart from any model: given scores of the next token for each beam, it says which beams go on with which token.

namespace pali::inline PALI_ABI {

/// transformers' beam search (5.23, generation/utils.py, _beam_search with do_sample=False, in float32) for one prompt:
///
///     beam_search search(options, vocabulary, eos);
///     while (search.advance(log_probabilities))        // (1, vocabulary) of the prompt at first, then (num_beams, vocabulary)
///         for (const auto& [parent, id] : search.beams())
///             ...                                        // copy the parent's cache, append id, run the model
///     search.best().tokens
///
/// Of equal scores the lower beam and the lower id come first; torch leaves that open.
class beam_search {
public:
    /// How one beam goes on.
    struct step {
        std::size_t parent = 0; ///< beam of the last round that it continues
        token id = 0;           ///< that it continues with
    };

    /// An answer.
    struct hypothesis {
        std::vector<token> tokens;   ///< with EOS when it ends with one
        std::vector<float> logprobs; ///< of each token
        float score = 0;             ///< sum of the scores of its tokens over length^length_penalty
        bool finished = false;       ///< ended by EOS or by max_new_tokens; one that is not has no meaning but to hold a place
    };

    /// `eos`: tokens that end an answer. Throws errc::invalid_argument for options that are not allowed.
    beam_search(const beam_options& options, std::size_t vocabulary, std::span<const token> eos)
        : m_options(options), m_vocabulary(vocabulary), m_eos(eos.begin(), eos.end()),
          m_length_penalty(detail::as_written(options.length_penalty)) {
        m_options.validate();
        const std::size_t each = std::max<std::size_t>(2, 1 + m_eos.size());
        if (vocabulary < each)
            throw error(errc::invalid_argument, {"a beam search over ", vocabulary, " tokens; ", each, " or more are needed"});
        const std::size_t beams = m_options.num_beams;
        m_kept = each * beams;
        m_running.resize(beams);
        m_next.resize(beams);
        for (std::size_t b = 1; b < beams; ++b) m_running[b].score = nothing; // at first all beams are the prompt: only one counts
        m_finished.resize(beams);
        for (hypothesis& h : m_finished) h.score = nothing;
        m_candidates.reserve(m_kept + 1);
        m_steps.resize(beams);
        m_merged.reserve(beams + m_kept);
    }

    /// Takes the scores of the next token: log-probabilities, (num_beams, vocabulary) or one row for all, after any processors. `own` are the
    /// model's own log-probabilities, to be recorded, where processors changed them. Returns whether the search goes on.
    /// Throws errc::invalid_argument for another shape, when too few scores are numbers, or all are minus infinity.
    bool advance(rows<const float> scores, rows<const float> own = {}) {
        check(scores, "scores");
        if (own.data == nullptr) own = scores;
        else check(own, "own log-probabilities");
        find_candidates(scores);
        const std::size_t beams = m_options.num_beams;
        const bool last = m_length + 1 >= m_options.max_new_tokens;
        bool all_end = true;
        for (candidate& c : m_candidates) {
            c.ends = last || std::find(m_eos.begin(), m_eos.end(), c.id) != m_eos.end();
            all_end = all_end && c.ends;
        }
        finish_candidates(own);
        // The best that did not end go on.
        std::vector<std::size_t>& order = m_merged;
        order.clear();
        for (std::size_t i = 0; i < m_candidates.size(); ++i) order.push_back(i);
        const auto score = [&](std::size_t i) { return m_candidates[i].score + (m_candidates[i].ends ? nothing : 0.f); };
        sort_by(order, score);
        for (std::size_t b = 0; b < beams; ++b) {
            const candidate& c = m_candidates[order[b]];
            m_steps[b] = {c.parent, c.id};
            extend(m_running[c.parent], c, own, m_next[b]);
            m_next[b].score = score(order[b]);
        }
        std::swap(m_running, m_next);
        ++m_length;
        m_going = m_going && could_improve() && !(m_options.early_stopping && all_finished()) && !all_end;
        return m_going;
    }

    /// How the beams go on, one for each, after `advance` returned true.
    [[nodiscard]] std::span<const step> beams() const noexcept { return m_steps; }
    /// What a beam has generated so far.
    [[nodiscard]] std::span<const token> tokens(std::size_t beam) const noexcept { return m_running[beam].tokens; }
    /// Rounds made so far: the tokens of every running beam.
    [[nodiscard]] std::size_t length() const noexcept { return m_length; }
    /// Answers, the best first, once `advance` has returned false.
    [[nodiscard]] const std::vector<hypothesis>& hypotheses() const noexcept { return m_finished; }
    /// The first of them that is complete. Where none is - the search was left early, or length_penalty made all scores less than what holds a place - the beam that
    /// runs with the best score.
    [[nodiscard]] const hypothesis& best() const noexcept {
        const auto complete = std::find_if(m_finished.begin(), m_finished.end(), [](const hypothesis& h) { return h.finished; });
        return complete != m_finished.end() ? *complete : m_running.front();
    }

private:
    struct candidate {
        float score = 0; // sum of scores
        std::size_t parent = 0;
        token id = 0;
        bool ends = false;
    };

    static constexpr float nothing = -1e9f; // transformers' mark of what must not win

    void check(const rows<const float>& scores, const char* what) const {
        if (scores.width == m_vocabulary && (scores.count == m_options.num_beams || (m_length == 0 && scores.count == 1))) return;
        throw error(errc::invalid_argument, {"a beam search is given ", what, " of shape (", scores.count, ", ", scores.width, "); (", m_options.num_beams, ", ",
                                             m_vocabulary, ") is needed", m_length == 0 ? ", or one row" : ""});
    }

    /// The best continuations of all beams, the best first.
    void find_candidates(const rows<const float>& scores) {
        m_candidates.clear();
        for (std::size_t b = 0; b < m_options.num_beams; ++b) {
            const float* const row = scores[scores.count == 1 ? 0 : b];
            const float before = m_running[b].score;
            float least = m_candidates.size() == m_kept ? m_candidates.back().score : 0;
            for (std::size_t i = 0; i < m_vocabulary; ++i) {
                const float score = row[i] + before;
                if ((m_candidates.size() == m_kept && !(score > least)) || std::isnan(score)) continue;
                const auto place = std::upper_bound(m_candidates.begin(), m_candidates.end(), score,
                                                    [](float s, const candidate& c) { return s > c.score; });
                m_candidates.insert(place, {score, b, static_cast<token>(i), false});
                if (m_candidates.size() > m_kept) m_candidates.pop_back();
                least = m_candidates.back().score;
            }
        }
        if (m_candidates.size() < m_kept)
            throw error(errc::invalid_argument, {"a beam search is given scores of which only ", m_candidates.size(),
                                                 " are numbers; are the weights whole and of the right dtype?"});
        if (std::isinf(m_candidates.front().score) && m_candidates.front().score < 0)
            throw error(errc::invalid_argument, "a beam search is given scores that are all minus infinity: a constraint left no token to go on with");
    }

    /// Keeps the best of the answers complete so far and those that just ended; only the first num_beams candidates count.
    void finish_candidates(const rows<const float>& own) {
        const std::size_t beams = m_options.num_beams;
        const bool closed = m_options.early_stopping && all_finished();
        const auto divisor = static_cast<float>(std::pow(static_cast<double>(m_length + 1), m_length_penalty));
        const auto counts = [&](std::size_t i) { return i < beams && m_candidates[i].ends; };
        const auto score = [&](std::size_t i) { // of the merged list: complete answers, then candidates
            if (i < beams) return m_finished[i].score;
            const float divided = m_candidates[i - beams].score / divisor;
            return (std::isnan(divided) ? nothing : divided) + (closed ? nothing : 0.f) + (counts(i - beams) ? 0.f : nothing);
        };
        m_merged.clear();
        for (std::size_t i = 0; i < beams + m_candidates.size(); ++i) m_merged.push_back(i);
        sort_by(m_merged, score);
        if (std::none_of(m_merged.begin(), m_merged.begin() + static_cast<std::ptrdiff_t>(beams),
                         [&](std::size_t i) { return i >= beams && counts(i - beams); }))
            return;
        std::vector<hypothesis> kept(beams);
        for (std::size_t b = 0; b < beams; ++b) {
            const std::size_t i = m_merged[b];
            if (i < beams) {
                kept[b] = std::move(m_finished[i]);
            } else {
                extend(m_running[m_candidates[i - beams].parent], m_candidates[i - beams], own, kept[b]);
                kept[b].score = score(i);
                kept[b].finished = counts(i - beams);
            }
        }
        m_finished = std::move(kept);
    }

    /// The best score first, of equals the first; no score is NaN. (clang warns of the standard library's stable_sort.)
    template <class Score>
    static void sort_by(std::vector<std::size_t>& entries, Score score) {
        std::sort(entries.begin(), entries.end(), [&](std::size_t a, std::size_t b) {
            const float x = score(a), y = score(b);
            return x > y || (x == y && a < b);
        });
    }

    static void extend(const hypothesis& from, const candidate& c, const rows<const float>& own, hypothesis& to) {
        to.tokens.assign(from.tokens.begin(), from.tokens.end());
        to.tokens.push_back(c.id);
        to.logprobs.assign(from.logprobs.begin(), from.logprobs.end());
        to.logprobs.push_back(own[own.count == 1 ? 0 : c.parent][c.id]);
    }

    [[nodiscard]] bool all_finished() const noexcept {
        return std::all_of(m_finished.begin(), m_finished.end(), [](const hypothesis& h) { return h.finished; });
    }

    /// Whether the best running beam, were it to end now, would beat the worst complete answer.
    [[nodiscard]] bool could_improve() const noexcept {
        const float possible = m_running.front().score / static_cast<float>(std::pow(static_cast<double>(m_length), m_length_penalty));
        float worst = m_finished.front().score;
        for (const hypothesis& h : m_finished) worst = std::min(worst, h.score);
        return std::any_of(m_finished.begin(), m_finished.end(), [&](const hypothesis& h) { return possible > (h.finished ? worst : nothing); });
    }

    beam_options m_options;
    std::size_t m_vocabulary;
    std::vector<token> m_eos;
    double m_length_penalty;
    std::size_t m_kept = 0, m_length = 0;
    bool m_going = true;
    std::vector<hypothesis> m_running, m_next, m_finished;
    std::vector<candidate> m_candidates;
    std::vector<step> m_steps;
    std::vector<std::size_t> m_merged;
};

} // namespace pali::inline PALI_ABI

// The parts of a softmax over a long row: its largest number, and the sum of exponentials.

namespace pali::inline PALI_ABI::kernels {

/// The place of the largest of n numbers, the first of equals; of the first NaN when there is one (as torch.argmax). 0 for none.
template <class A>
[[nodiscard]] std::size_t argmax(arch::simd<A>, const float* x, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    const std::size_t whole = n / batch::size * batch::size;
    batch tops(-std::numeric_limits<float>::infinity());
    auto numbers = tops == tops; // lanes without a NaN
    for (std::size_t i = 0; i < whole; i += batch::size) {
        const auto v = batch::load_unaligned(x + i);
        tops = xsimd::max(tops, v);
        numbers = numbers & (v == v);
    }
    bool ordered = xsimd::all(numbers);
    float top = compat::reduce_max(tops);
    for (std::size_t i = whole; i < n; ++i) {
        ordered = ordered && !std::isnan(x[i]);
        top = std::max(top, x[i]);
    }
    const float* const found = ordered ? std::find(x, x + n, top) : std::find_if(x, x + n, [](float v) { return std::isnan(v); });
    return n == 0 ? 0 : static_cast<std::size_t>(found - x);
}

/// sum of exp(x - top) over n numbers, none above `top`; blocks in float32, their sum in double precision.
template <class A>
[[nodiscard]] double sum_of_exp(arch::simd<A>, const float* x, std::size_t n, float top) noexcept {
    using batch = xsimd::batch<float, A>;
    constexpr std::size_t block = 32 * batch::size;
    const std::size_t whole = n / batch::size * batch::size;
    double sum = 0;
    for (std::size_t at = 0; at < whole; at += block) {
        batch sums(0.f);
        for (std::size_t i = at; i < std::min(whole, at + block); i += batch::size) sums += xsimd::exp(batch::load_unaligned(x + i) - batch(top));
        sum += static_cast<double>(compat::reduce_add(sums));
    }
    for (std::size_t i = whole; i < n; ++i) sum += static_cast<double>(std::exp(x[i] - top));
    return sum;
}

} // namespace pali::inline PALI_ABI::kernels

// Probabilities of a row of logits.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// The place of the largest value, the first of equals; of the first NaN when there is one (as torch.argmax). 0 for none.
[[nodiscard]] inline std::size_t argmax(std::span<const float> values) noexcept { return kernels::argmax(arch::native, values.data(), values.size()); }

/// log(sum(exp(logits))).
[[nodiscard]] inline double log_sum_exp(std::span<const float> logits) noexcept {
    if (logits.empty()) return -std::numeric_limits<double>::infinity();
    const float top = logits[argmax(logits)];
    return static_cast<double>(top) + std::log(kernels::sum_of_exp(arch::native, logits.data(), logits.size(), top));
}

/// The natural logarithm of the probability of one token.
[[nodiscard]] inline float log_softmax_at(std::span<const float> logits, token id) noexcept {
    return static_cast<float>(static_cast<double>(logits[static_cast<std::size_t>(id)]) - log_sum_exp(logits));
}

/// Those of all tokens. `out` may be `logits` itself.
inline void log_softmax(std::span<const float> logits, std::span<float> out) noexcept {
    const double sum = log_sum_exp(logits);
    for (std::size_t i = 0; i < logits.size(); ++i) out[i] = static_cast<float>(static_cast<double>(logits[i]) - sum);
}

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// What makes tokens less likely or impossible before one is drawn: each equals transformers' processor or warper of that name
// (generation/logits_process.py, 5.23), in float32, without sorting the vocabulary.

namespace pali::inline PALI_ABI {

/// A token that can be drawn, and what processors order and weigh it by.
struct drawable {
    float key = 0, probability = 0; ///< what tokens are ordered by; 0 to 1
    std::uint32_t place = 0; ///< among the logits
};

/// Memory that processors work in, for one size of vocabulary.
struct processor_memory {
    /// 17 bytes a token of the vocabulary.
    explicit processor_memory(std::size_t vocabulary) : values(vocabulary), tokens(vocabulary), marks(vocabulary) {}

    std::vector<float> values;       ///< (vocabulary), what a processor has to note of each logit
    std::vector<drawable> tokens;    ///< (vocabulary), those that can be drawn in front
    std::vector<std::uint8_t> marks; ///< all 0 between calls
};

namespace detail {

inline constexpr float impossible = -std::numeric_limits<float>::infinity();

/// The tokens that can be drawn at all, with their logits as keys, and their probabilities. NaN is not among them, and none is where a logit is
/// infinite, so that any order of them is a total one.
[[nodiscard]] inline std::span<drawable> softmax(std::span<const float> logits, processor_memory& memory) noexcept {
    std::size_t count = 0;
    float top = impossible;
    for (std::size_t i = 0; i < logits.size(); ++i)
        if (logits[i] > impossible) {
            memory.tokens[count++] = {logits[i], 0, static_cast<std::uint32_t>(i)};
            top = std::max(top, logits[i]);
        }
    if (top == -impossible) return {};
    const auto found = std::span(memory.tokens).first(count);
    double sum = 0;
    for (drawable& t : found) sum += static_cast<double>(t.probability = std::exp(t.key - top));
    for (drawable& t : found) t.probability /= static_cast<float>(sum);
    return found;
}

/// How many tokens, from the smallest key on, have a running sum of probabilities, begun at `sum`, that `fits`; of equal keys the first place
/// comes first. They come to stand in front, and the next one after them; nothing else is sorted. Linear on average: the half that is
/// settled is left alone.
template <class Fits>
[[nodiscard]] std::size_t leading(std::span<drawable> tokens, double sum, Fits fits) {
    std::size_t begin = 0, end = tokens.size();
    while (begin < end) {
        const std::size_t middle = begin + (end - begin) / 2;
        const auto at = [&](std::size_t i) { return tokens.begin() + static_cast<std::ptrdiff_t>(i); };
        std::nth_element(at(begin), at(middle), at(end),
                         [](const drawable& a, const drawable& b) { return a.key < b.key || (a.key == b.key && a.place < b.place); });
        double reached = sum;
        for (std::size_t i = begin; i <= middle; ++i) reached += static_cast<double>(tokens[i].probability);
        if (fits(static_cast<float>(reached))) {
            sum = reached;
            begin = middle + 1;
        } else {
            end = middle;
        }
    }
    return begin;
}

} // namespace detail

/// RepetitionPenaltyLogitsProcessor: the logits of tokens in `sequence` are divided by `penalty`, or multiplied when negative; once each. Ids
/// outside the logits are passed over.
inline void penalise_repetition(std::span<float> logits, std::span<const token> sequence, float penalty, processor_memory& memory) noexcept {
    const auto inside = [&](token id) { return id >= 0 && static_cast<std::size_t>(id) < logits.size(); };
    for (const token id : sequence) {
        if (!inside(id) || memory.marks[static_cast<std::size_t>(id)] != 0) continue;
        memory.marks[static_cast<std::size_t>(id)] = 1;
        float& x = logits[static_cast<std::size_t>(id)];
        x = x < 0 ? x * penalty : x / penalty;
    }
    for (const token id : sequence)
        if (inside(id)) memory.marks[static_cast<std::size_t>(id)] = 0;
}

/// MinNewTokensLengthLogitsProcessor, where it applies: these tokens (EOS) become impossible.
inline void suppress(std::span<float> logits, std::span<const token> ids) noexcept {
    for (const token id : ids)
        if (id >= 0 && static_cast<std::size_t>(id) < logits.size()) logits[static_cast<std::size_t>(id)] = detail::impossible;
}

/// TemperatureLogitsWarper. `temperature` is more than 0.
inline void apply_temperature(std::span<float> logits, float temperature) noexcept {
    for (float& x : logits) x /= temperature;
}

/// TopKLogitsWarper: the k largest stay, and what equals the smallest of them. `k` is 1 or more.
inline void keep_top_k(std::span<float> logits, std::size_t k, processor_memory& memory) noexcept {
    std::size_t count = 0;
    for (const float x : logits)
        if (x > detail::impossible) memory.values[count++] = x;
    if (count <= k) return;
    const auto kth = memory.values.begin() + static_cast<std::ptrdiff_t>(k - 1);
    std::nth_element(memory.values.begin(), kth, memory.values.begin() + static_cast<std::ptrdiff_t>(count), std::greater<>());
    const float smallest = *kth;
    for (float& x : logits)
        if (x < smallest) x = detail::impossible;
}

/// TopPLogitsWarper: goes, from the least likely on, what together has no more than 1 - p. Of equals the first go first:
/// torch.sort leaves that open, this is what a stable one does. One token always stays.
inline void keep_top_p(std::span<float> logits, float p, processor_memory& memory) {
    auto tokens = detail::softmax(logits, memory);
    if (tokens.empty()) return;
    const auto going = static_cast<float>(1 - detail::as_written(p));
    // Those below this go whatever else there is: all of them together do not reach `going`. With a real model that is nearly all.
    const double negligible = 0.999 * static_cast<double>(going) / static_cast<double>(tokens.size());
    double gone = 0;
    std::size_t left = 0;
    for (const drawable& t : tokens) {
        if (static_cast<double>(t.probability) > negligible) {
            memory.tokens[left++] = t;
        } else {
            gone += static_cast<double>(t.probability);
            logits[t.place] = detail::impossible;
        }
    }
    tokens = tokens.first(left);
    const std::size_t count = detail::leading(tokens, gone, [&](float sum) { return sum <= going; });
    for (const drawable& t : tokens.first(std::min(count, left - 1))) logits[t.place] = detail::impossible;
}

/// MinPLogitsWarper: what is less likely than p times the most likely token goes.
inline void keep_min_p(std::span<float> logits, float p, processor_memory& memory) noexcept {
    const auto tokens = detail::softmax(logits, memory);
    float top = 0;
    for (const drawable& t : tokens) top = std::max(top, t.probability);
    const float least = p * top;
    for (const drawable& t : tokens)
        if (t.probability < least) logits[t.place] = detail::impossible;
}

/// TypicalLogitsWarper: tokens whose surprise is nearest to the expected one stay, as many as together reach `mass`, and what equals the last.
inline void keep_typical(std::span<float> logits, float mass, processor_memory& memory) {
    const auto tokens = detail::softmax(logits, memory);
    if (tokens.empty()) return;
    float top = detail::impossible;
    for (const drawable& t : tokens) top = std::max(top, t.key);
    double sum = 0, entropy = 0;
    for (const drawable& t : tokens) sum += static_cast<double>(std::exp(t.key - top));
    const auto log_sum = static_cast<float>(std::log(sum));
    for (drawable& t : tokens) {
        t.key = t.key - top - log_sum;
        const float p = std::exp(t.key);
        if (p > 0) entropy -= static_cast<double>(t.key * p);
    }
    for (drawable& t : tokens) t.key = std::abs(-t.key - static_cast<float>(entropy));
    const std::size_t count = detail::leading(tokens, 0, [&](float reached) { return reached < mass; });
    if (count == tokens.size()) return;
    const float farthest = tokens[count].key;
    for (const drawable& t : tokens)
        if (t.key > farthest) logits[t.place] = detail::impossible;
}

} // namespace pali::inline PALI_ABI

// Random numbers that are the same everywhere.

namespace pali::inline PALI_ABI {

/// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014): a counter, mixed. Any seed is as good as another.
class random_source {
public:
    /// Two sources of the same seed give the same numbers.
    explicit random_source(std::uint64_t seed) noexcept : m_state(seed) {}

    /// 64 random bits.
    [[nodiscard]] std::uint64_t bits() noexcept {
        std::uint64_t z = m_state += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }

    /// At least 0 and less than 1, in steps of 2^-53.
    [[nodiscard]] double uniform() noexcept { return static_cast<double>(bits() >> 11) * 0x1p-53; }

private:
    std::uint64_t m_state;
};

} // namespace pali::inline PALI_ABI

// Chooses the next token from logits.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// One sequence's choices. Allocates nothing after construction. Two samplers of the same options make the same choices from the same logits.
class sampler {
public:
    /// Throws errc::invalid_argument for options that are not allowed.
    sampler(const sampling_options& options, std::size_t vocabulary) : m_options(options), m_memory(vocabulary), m_random(options.seed) {
        m_options.validate();
        if (vocabulary == 0) throw error(errc::invalid_argument, "a sampler over a vocabulary of 0 tokens; 1 or more is needed");
    }

    /// Chooses. `logits` (vocabulary) are changed: take log_softmax_at before, for the probability under the model's own distribution.
    /// `sequence` is all that the model has seen: image tokens, prompt and what was generated. `suppressed` are tokens that must not come: EOS,
    /// as long as there are fewer than min_new_tokens. Greedy takes the first of equals. Throws errc::invalid_argument when the logits hold
    /// NaN, or leave nothing to choose.
    [[nodiscard]] token next(std::span<float> logits, std::span<const token> sequence, std::span<const token> suppressed = {}) {
        process(logits, sequence, suppressed);
        const std::size_t best = argmax(logits);
        if (!std::isfinite(logits[best]))
            throw error(errc::invalid_argument, {"the largest logit is ", detail::in_decimal(logits[best]), " (token ", best,
                                                 "): no token can be chosen; are the weights whole and of the right dtype?"});
        return static_cast<token>(m_options.greedy() ? best : draw(logits, logits[best]));
    }

    /// Whether `next` leaves the logits of tokens that can come as they are.
    [[nodiscard]] bool keeps_logits() const noexcept { return m_options.greedy() && m_options.repetition_penalty == 1; }

    /// What `next` does before it chooses, in transformers' order. For beam search, on log-probabilities.
    void process(std::span<float> logits, std::span<const token> sequence, std::span<const token> suppressed = {}) {
        PALI_ASSERT(logits.size() == m_memory.values.size());
        if (m_options.repetition_penalty != 1) penalise_repetition(logits, sequence, m_options.repetition_penalty, m_memory);
        suppress(logits, suppressed);
        if (m_options.greedy()) return;
        if (m_options.temperature != 1) apply_temperature(logits, m_options.temperature);
        if (m_options.top_k != 0) keep_top_k(logits, m_options.top_k, m_memory);
        if (m_options.top_p < 1) keep_top_p(logits, m_options.top_p, m_memory);
        if (m_options.min_p > 0) keep_min_p(logits, m_options.min_p, m_memory);
        if (m_options.typical_p < 1) keep_typical(logits, m_options.typical_p, m_memory);
    }

private:
    /// The first token at which the running sum of probabilities passes a random number.
    [[nodiscard]] std::size_t draw(std::span<const float> logits, float top) noexcept {
        double sum = 0;
        for (std::size_t i = 0; i < logits.size(); ++i) sum += static_cast<double>(m_memory.values[i] = std::exp(logits[i] - top));
        const double target = m_random.uniform() * sum;
        double reached = 0;
        std::size_t last = 0;
        for (std::size_t i = 0; i < logits.size(); ++i) {
            if (m_memory.values[i] == 0) continue;
            last = i;
            reached += static_cast<double>(m_memory.values[i]);
            if (reached > target) break;
        }
        return last;
    }

    sampling_options m_options;
    processor_memory m_memory;
    random_source m_random;
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Tokens to text while they arrive: only whole characters, and in the end the text that decoding all at once gives.

namespace pali::inline PALI_ABI {

/// Decodes a stream of tokens. All that `push` gave, and then `finish`, is `tokenizer::decode` of all tokens, for any tokens. What each call
/// gives is valid UTF-8. Refers to the tokenizer, which must outlive it.
class text_stream {
public:
    /// With nothing held back.
    explicit text_stream(const tokenizer& text) : m_tokenizer(&text) {}

    /// The text that one more token makes certain; often empty within a character of byte pieces. Valid until the next call.
    [[nodiscard]] std::string_view push(token id) {
        m_ready.clear();
        const piece_kind kind = m_tokenizer->kind(id);
        if (kind == piece_kind::byte) {
            m_bytes += static_cast<char>(m_tokenizer->byte(id));
            take_characters(false);
            return m_ready;
        }
        take_characters(true);
        if (kind == piece_kind::text) append_piece(m_ready, m_tokenizer->piece(id));
        else if (kind == piece_kind::unknown) m_ready += m_tokenizer->unknown_text();
        return m_ready;
    }

    /// What was held back: bytes that will not become a character. The stream is as new afterwards. Valid until the next call.
    [[nodiscard]] std::string_view finish() {
        m_ready.clear();
        take_characters(true);
        return m_ready;
    }

private:
    /// Moves characters from the bytes held to the text. At the end of a run, bytes that are cut off are none.
    void take_characters(bool end_of_run) {
        m_bytes.erase(0, append_characters(m_ready, m_bytes, end_of_run));
    }

    const tokenizer* m_tokenizer;
    std::string m_bytes; // of a character that is not whole yet: 3 at most between calls
    std::string m_ready;
};

} // namespace pali::inline PALI_ABI

// One answer in the making: from logits to tokens, text and callbacks.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Chooses token after token from logits, streams the text, and knows when to stop. Allocates when it is made and not per token.
class answer {
public:
    /// `number` is what its callbacks call it; `eos` are the tokens that end it; `vocab` is the number of logits; `most_tokens`
    /// those that it may have. What it is given has to outlive it.
    answer(std::size_t number, const generate_options& options, const tokenizer& text, std::span<const token> eos, const prompt_layout& prompt, std::size_t vocab, std::size_t most_tokens)
        : m_number(number), m_options(options), m_eos(eos), m_stream(text), m_sampler(options.sampling, vocab), m_sequence(prompt.tokens) {
        m_result.most_tokens = most_tokens;
        m_sequence.reserve(prompt.tokens.size() + most_tokens);
        if (changes_logits()) m_own.reserve(vocab);
        m_result.tokens.reserve(most_tokens);
        m_result.logprobs.reserve(most_tokens);
        m_result.prompt_tokens.assign(prompt.tokens.begin() + static_cast<std::ptrdiff_t>(prompt.image_tokens), prompt.tokens.end());
    }

    /// Takes the logits of the next token, (vocab), and may overwrite them; returns whether another token is wanted. Throws what sampler::next throws.
    [[nodiscard]] bool take(std::span<float> logits) {
        const double normaliser = log_sum_exp(logits); // of the model's own distribution, before anything is done to it
        if (changes_logits()) m_own.assign(logits.begin(), logits.end());
        if (m_options.constrain) m_options.constrain(m_result.tokens, logits);
        const bool may_end = m_result.tokens.size() >= m_options.min_new_tokens;
        const token next = m_sampler.next(logits, m_sequence, may_end ? std::span<const token>() : m_eos);
        const float own = changes_logits() ? m_own[static_cast<std::size_t>(next)] : logits[static_cast<std::size_t>(next)];
        const auto logprob = static_cast<float>(static_cast<double>(own) - normaliser);
        m_sequence.push_back(next);
        m_result.tokens.push_back(next);
        m_result.logprobs.push_back(logprob);
        const bool ends = std::find(m_eos.begin(), m_eos.end(), next) != m_eos.end();
        const bool wanted = (!m_options.on_token || m_options.on_token(m_number, next, logprob)) && (ends || say(m_stream.push(next)));
        if (!wanted) m_result.finish = finish_reason::cancelled;
        else if (ends) m_result.finish = finish_reason::eos;
        else if (m_result.tokens.size() < m_result.most_tokens) return true;
        else m_result.finish = finish_reason::length;
        m_complete = true;
        const std::string_view held = m_stream.finish();
        if (m_result.finish == finish_reason::cancelled) m_result.text += held; // whoever cancelled is not called again
        else if (!say(held)) m_result.finish = finish_reason::cancelled;
        return false;
    }

    /// The call was stopped: the answer, unless it is complete, ends with what there is.
    void cancel() {
        if (m_complete) return;
        m_complete = true;
        m_result.finish = finish_reason::cancelled;
        m_result.text += m_stream.finish();
    }
    /// Whether a callback of this answer stopped it.
    [[nodiscard]] bool stopped() const noexcept { return m_complete && m_result.finish == finish_reason::cancelled; }

    /// The token chosen last.
    [[nodiscard]] token last() const noexcept { return m_sequence.back(); }
    /// Of the answer, for the caller to add to.
    [[nodiscard]] pali::timings& timings() noexcept { return m_result.timings; }
    /// The answer, once no other token is wanted.
    [[nodiscard]] generation finish() && { return std::move(m_result); }

private:
    /// Whether the logits that a token is chosen from are not the model's own.
    [[nodiscard]] bool changes_logits() const noexcept { return m_options.constrain || !m_sampler.keeps_logits(); }

    [[nodiscard]] bool say(std::string_view piece) {
        m_result.text += piece;
        return piece.empty() || !m_options.on_text || m_options.on_text(m_number, piece);
    }

    std::size_t m_number;
    const generate_options& m_options;
    std::span<const token> m_eos;
    text_stream m_stream;
    sampler m_sampler;
    std::vector<token> m_sequence; // image tokens, prompt, answer: what processors look at
    std::vector<float> m_own; // logits as the model gave them, where they are changed
    generation m_result;
    bool m_complete = false; // no other token is wanted
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Memory that will be read soon.

namespace pali::inline PALI_ABI::arch {

/// Fetches the line at `address`, which need not be readable, into the second-level cache. Lines that are fetched into the first occupy the few places
/// that a core waits in for memory, and numbers from the second-level cache queue behind them: on Zen 4 one core then reads weights at 18 GB/s, and with these at 28.
/// Always inlined, as functions must be that do nothing but fetch: g++ 12 drops calls of them, since they change nothing.
PALI_ALWAYS_INLINE inline void fetch_ahead(const void* address) noexcept { __builtin_prefetch(address, 0, 2); }

} // namespace pali::inline PALI_ABI::arch

// Keys and values of the heads of an attention, in the order in which it reads them.

namespace pali::inline PALI_ABI::kernels {

/// Rows of a matrix of which so many as fill 32 bits lie number beside number: of bfloat16 rows 0 and 1, 2 and 3, ..., of float each alone.
template <class Element>
struct paired_rows {
    static constexpr std::size_t pair = 4 / sizeof(Element); ///< rows that lie together in 4 bytes

    Element* data = nullptr; ///< first number of row 0
    std::size_t width = 0;   ///< numbers of a row

    /// A number; not checked.
    [[nodiscard]] Element& at(std::size_t row, std::size_t column) const noexcept { return data[(row / pair * width + column) * pair + row % pair]; }
    /// The matrix without its first rows, a multiple of `pair`.
    [[nodiscard]] paired_rows from(std::size_t row) const noexcept { return {data + row * width, width}; }
};

/**
 * Keys and values of all heads; a view of memory. Numbers that follow each other belong to different sums, so that a register adds to as many sums as it has lanes:
 * keys lie turned over in blocks of 64, (block, number of the head, key), values as they are, (token, number of the head).
 */
template <class Element>
struct key_values {
    static constexpr std::size_t keys_a_block = 64; ///< which, with their scores for some queries, stay in the first two caches

    Element* data = nullptr;                ///< keys of head 0, its values, those of head 1, ...
    std::size_t capacity = 0, head_dim = 0; ///< tokens that there is room for; numbers of a head

    /// Numbers of memory for so many heads; it begins at a cache line.
    [[nodiscard]] static constexpr std::size_t numbers(std::size_t heads, std::size_t capacity, std::size_t head_dim) noexcept {
        return heads * key_values{nullptr, capacity, head_dim}.head_numbers();
    }

    /// Keys [64 · block, 64 · block + 64), turned over: (head_dim, 64).
    [[nodiscard]] paired_rows<Element> keys(std::size_t head, std::size_t block) const noexcept {
        return {data + head * head_numbers() + block * keys_a_block * key_depth(), keys_a_block};
    }
    /// Values of a head: (token, value_width()).
    [[nodiscard]] paired_rows<Element> values(std::size_t head) const noexcept { return {data + head * head_numbers() + tokens() * key_depth(), value_width()}; }
    /// Numbers of a value with its padding: whole cache lines of sums.
    [[nodiscard]] constexpr std::size_t value_width() const noexcept { return (head_dim + line - 1) / line * line; }

    /// A number of a key; not checked.
    [[nodiscard]] Element& key(std::size_t head, std::size_t token, std::size_t number) const noexcept { return keys(head, token / keys_a_block).at(number, token % keys_a_block); }
    /// A number of a value; not checked.
    [[nodiscard]] Element& value(std::size_t head, std::size_t token, std::size_t number) const noexcept { return values(head).at(token, number); }

    /// Keeps the key and the value of a token, head_dim numbers each.
    void put(std::size_t head, std::size_t token, std::span<const float> new_key, std::span<const float> new_value) const noexcept {
        PALI_ASSERT(token < capacity && new_key.size() == head_dim && new_value.size() == head_dim);
        const auto all_keys = keys(head, token / keys_a_block), all_values = values(head);
        for (std::size_t d = 0; d < key_depth(); ++d) arch::fetch_ahead(&all_keys.at(d, token % keys_a_block)); // each is in a cache line of its own
        for (std::size_t d = 0; d < key_depth(); ++d) all_keys.at(d, token % keys_a_block) = Element(d < head_dim ? new_key[d] : 0.f);
        for (std::size_t d = 0; d < value_width(); ++d) all_values.at(token, d) = Element(d < head_dim ? new_value[d] : 0.f);
    }
    /// Takes over tokens [first, end) of a head of as many numbers.
    void copy_from(const key_values& other, std::size_t head, std::size_t first, std::size_t end) const noexcept {
        PALI_ASSERT(end <= capacity && end <= other.capacity && other.head_dim == head_dim);
        for (std::size_t begin = first, next; begin < end; begin = next) {
            next = std::min(end, (begin / keys_a_block + 1) * keys_a_block);
            const auto to = keys(head, begin / keys_a_block), from = other.keys(head, begin / keys_a_block);
            for (std::size_t d = 0; d < key_depth(); ++d)
                for (std::size_t t = begin % keys_a_block; t < begin % keys_a_block + next - begin; ++t) to.at(d, t) = from.at(d, t);
            for (std::size_t t = begin; t < next; ++t)
                for (std::size_t d = 0; d < value_width(); ++d) value(head, t, d) = other.value(head, t, d);
        }
    }

private:
    static constexpr std::size_t line = 64 / sizeof(float);

    [[nodiscard]] constexpr std::size_t tokens() const noexcept { return (capacity + keys_a_block - 1) / keys_a_block * keys_a_block; }
    [[nodiscard]] constexpr std::size_t key_depth() const noexcept {
        constexpr std::size_t pair = paired_rows<Element>::pair;
        return (head_dim + pair - 1) / pair * pair;
    }
    [[nodiscard]] constexpr std::size_t head_numbers() const noexcept { return tokens() * (key_depth() + value_width()); }
};

} // namespace pali::inline PALI_ABI::kernels

// Keys and values of one sequence, for every layer.

namespace pali::inline PALI_ABI {

/// What earlier tokens of a sequence left for later ones: a fixed capacity, layer by layer as kernels::key_values.
class kv_cache {
public:
    /// Empty, for sequences of at most `capacity` tokens. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache(const Config& config, std::size_t capacity, kv_type type = kv_type::f32)
        : m_type(type), m_capacity(capacity), m_layers(config.layers), m_heads(config.kv_heads), m_head_dim(config.head_dim),
          m_layer_bytes(type == kv_type::f32 ? layer_bytes<float>() : layer_bytes<bfloat16>()), m_bytes(m_layers * m_layer_bytes), m_memory(std::calloc(m_bytes + alignment, 1), &std::free) {
        if (!m_memory) throw std::bad_alloc();
        void* place = m_memory.get();
        std::size_t room = m_bytes + alignment;
        m_data = static_cast<std::byte*>(std::align(alignment, m_bytes, place, room));
    }

    /// Tokens that the cache holds.
    [[nodiscard]] std::size_t length() const noexcept { return m_length; }
    /// Tokens that it can hold.
    [[nodiscard]] std::size_t capacity() const noexcept { return m_capacity; }
    /// Tokens at the beginning that all see each other: image, BOS, prompt, "\n".
    [[nodiscard]] std::size_t prefix() const noexcept { return m_prefix; }
    /// Bytes for all tokens that it can hold; the system gives pages of them where tokens come.
    [[nodiscard]] std::size_t bytes() const noexcept { return m_bytes; }
    /// Numbers that it keeps.
    [[nodiscard]] kv_type type() const noexcept { return m_type; }

    /// Forgets everything; the next sequence begins with `prefix` tokens that see each other.
    void start(std::size_t prefix) noexcept {
        m_length = 0;
        m_prefix = prefix;
    }
    /// `count` more tokens are complete in every layer. Throws errc::capacity_exceeded.
    void advance(std::size_t count) {
        require(count);
        m_length += count;
    }
    /// Throws errc::capacity_exceeded where `count` more tokens do not fit.
    void require(std::size_t count) const {
        if (m_length + count > m_capacity)
            throw error(errc::capacity_exceeded, {"a sequence of ", m_length + count, " tokens does not fit a key-value cache of ", m_capacity});
    }
    /// Takes over tokens [first, length) of a cache of the same model and type.
    void copy_from(const kv_cache& other, std::size_t first, std::size_t length) noexcept {
        PALI_ASSERT(other.m_layers == m_layers && other.m_heads == m_heads && other.m_head_dim == m_head_dim && other.m_type == m_type && length <= m_capacity);
        for (std::size_t layer = 0; layer < m_layers; ++layer)
            visit(layer, [&]<class Element>(const kernels::key_values<Element>& mine) {
                for (std::size_t head = 0; head < m_heads; ++head) mine.copy_from(other.view<Element>(layer), head, first, length);
            });
        m_length = length;
        m_prefix = other.m_prefix;
    }

    /// Calls f with keys and values of a layer: kernels::key_values of float or bfloat16.
    template <class F>
    void visit(std::size_t layer, F&& f) const {
        if (m_type == kv_type::f32) f(view<float>(layer));
        else f(view<bfloat16>(layer));
    }
    /// Keeps the key and the value, head_dim numbers each, of a head and position.
    void store(std::size_t layer, std::size_t head, std::size_t position, std::span<const float> key, std::span<const float> value) noexcept {
        PALI_ASSERT(layer < m_layers && head < m_heads && position < m_capacity);
        visit(layer, [&](const auto& all) { all.put(head, position, key, value); });
    }

private:
    template <class Element>
    [[nodiscard]] std::size_t layer_bytes() const noexcept {
        return kernels::key_values<Element>::numbers(m_heads, m_capacity, m_head_dim) * sizeof(Element);
    }
    template <class Element>
    [[nodiscard]] kernels::key_values<Element> view(std::size_t layer) const noexcept {
        return {.data = reinterpret_cast<Element*>(m_data + layer * m_layer_bytes), .capacity = m_capacity, .head_dim = m_head_dim};
    }

    static constexpr std::size_t alignment = 64; // bytes: a cache line

    kv_type m_type;
    std::size_t m_capacity, m_layers, m_heads, m_head_dim, m_layer_bytes, m_bytes, m_length = 0, m_prefix = 0;
    std::unique_ptr<void, void (*)(void*)> m_memory; // zeroed, and not touched before a token comes: what is not used costs nothing
    std::byte* m_data = nullptr;                     // in it
};

} // namespace pali::inline PALI_ABI

// The key-value caches of a model, used again from call to call.

#include <deque>

namespace pali::inline PALI_ABI {

/// One cache for each sequence that is answered at the same time.
class kv_caches {
public:
    /// Without caches; those to come keep numbers of `type`.
    explicit kv_caches(kv_type type = kv_type::f32) : m_type(type) {}

    /// Cache `i`, for sequences of `capacity` tokens: the one that is there, when it is large enough. Throws std::bad_alloc.
    template <decoder_config Config>
    kv_cache& prepare(std::size_t i, const Config& config, std::size_t capacity) {
        while (m_caches.size() <= i) m_caches.emplace_back(config, capacity, m_type);
        if (m_caches[i].capacity() < capacity) m_caches[i] = kv_cache(config, capacity, m_type);
        return m_caches[i];
    }

    /// Cache `i`, which was prepared.
    [[nodiscard]] kv_cache& operator[](std::size_t i) noexcept { return m_caches[i]; }

private:
    kv_type m_type;
    std::deque<kv_cache> m_caches; // they stay where they are when others come
};

} // namespace pali::inline PALI_ABI

// The progress of one call: pictures, prompts and tokens on one scale.

namespace pali::inline PALI_ABI {

/// Counts the steps of a call and reports their share. A step is a layer over one picture, a layer over one prompt, or one token of all answers. Once the callback
/// has returned false it is not called again.
class call_progress {
public:
    /// Reports nothing.
    call_progress() = default;
    /// Reports to `callback`, which has to outlive it, out of `steps`.
    call_progress(const progress_callback& callback, std::size_t steps) : m_callback(callback ? &callback : nullptr), m_steps(std::max<std::size_t>(steps, 1)) {}

    /// Reports that a stage begins. Returns whether to go on, as all that follow.
    bool begin(std::string_view stage) { return report(stage); }
    /// Reports another step of it.
    bool advance(std::string_view stage) {
        m_done = std::min(m_done + 1, m_steps);
        return report(stage);
    }
    /// Reports the end: answers may be shorter than what was allowed.
    bool complete(std::string_view stage) {
        m_done = m_steps;
        return report(stage);
    }
    /// Stops the call for another reason than the callback.
    void stop() noexcept { m_stopped = true; }
    /// Whether the call is to end.
    [[nodiscard]] bool stopped() const noexcept { return m_stopped; }

private:
    bool report(std::string_view stage) {
        if (m_callback != nullptr && !m_stopped) m_stopped = !(*m_callback)(stage, static_cast<double>(m_done) / static_cast<double>(m_steps));
        return !m_stopped;
    }

    const progress_callback* m_callback = nullptr;
    std::size_t m_steps = 1, m_done = 0;
    bool m_stopped = false;
};

} // namespace pali::inline PALI_ABI

// Tokens that the vocabulary has and the embedding does not: added to a tokenizer without resizing the model.

namespace pali::inline PALI_ABI {

/// What to do about a token without a row.
inline constexpr const char* token_rows_cure = "before training, model.resize_token_embeddings(len(tokenizer)) adds the rows";

/// "2 tokens have no row in the embedding, which has 257152: '<new>' (257153), ..."; empty where each token has one. `<image>` needs none, because features of pictures take its place.
[[nodiscard]] inline std::string describe_tokens_without_rows(const tokenizer& text, std::size_t rows) {
    short_list found;
    const std::optional<token> image = text.id("<image>");
    for (std::optional<token> id = text.next_id(static_cast<token>(rows)); id; id = *id == std::numeric_limits<token>::max() ? std::nullopt : text.next_id(*id + 1))
        if (id != image) found.add({in_quotes(text.piece(*id)), " (", *id, ")"});
    if (found.empty()) return {};
    return error_text{found.size(), found.size() == 1 ? " token has" : " tokens have", " no row in the embedding, which has ", rows, ": ", found.in_a_row(), "; ", token_rows_cure}.str();
}

/// Throws errc::invalid_prompt for a text with a token that has no row.
inline void require_token_rows(const tokenizer& text, std::span<const token> ids, std::size_t rows) {
    for (const token id : ids)
        if (static_cast<std::size_t>(id) >= rows)
            throw error(errc::invalid_prompt, {"the text holds the token ", in_quotes(text.piece(id)), " with the id ", id, ", and the embedding has ", rows, " rows; leave it out, or use a model that was trained with it: ",
                                               token_rows_cure});
}

} // namespace pali::inline PALI_ABI

// Whether a checkpoint is the model that was compiled.

namespace pali::inline PALI_ABI {

namespace detail {

/// Throws errc::config_mismatch with every field in which `compiled`, the numbers of the variant of that name, differs from config.json.
void require_same(const dynamic& compiled, std::string_view name, const checkpoint_config& read);

} // namespace detail

/// Throws errc::config_mismatch, with every field in which config.json and the compiled type differ, unless they are the same model.
/// For `dynamic` there is nothing to compare: it is what was read.
template <model_config Config>
void require_fit(const Config& compiled, const checkpoint_config& read) {
    if constexpr (!std::is_same_v<Config, dynamic>) detail::require_same(sizes_of(compiled), variant_name<Config>(), read);
}

/// The configuration that a model of type `Config` runs with: the sizes read for `dynamic`, the type's own otherwise, which must fit.
template <model_config Config>
[[nodiscard]] Config make_config(const checkpoint_config& read) {
    if constexpr (std::is_same_v<Config, dynamic>) {
        return read.sizes;
    } else {
        require_fit(Config{}, read);
        return Config{};
    }
}

} // namespace pali::inline PALI_ABI

// Body of differences.hpp: the message.

namespace pali::inline PALI_ABI::detail {

PALI_INLINE void require_same(const dynamic& compiled, std::string_view name, const checkpoint_config& read) {
    const std::vector<config_difference> found = differences(read.sizes, compiled);
    if (found.empty()) return;
    std::string all;
    for (const config_difference& one : found)
        error_text{"\n  ", one.field, " is ", one.first, " in the checkpoint, ", one.second, " in the type"}.append_to(all);
    const std::optional<std::string_view> fitting = matching_variant(read.sizes);
    throw error(errc::config_mismatch,
                {read.file.string(), ": is not the compiled model", name == "custom" ? "" : error_text{", ", name}, ":", all,
                 fitting ? error_text{"\nThe variant that fits is ", *fitting, "; pali::dynamic fits too."}
                         : "\nNone of the variants shipped fits; pali::dynamic reads its sizes from the checkpoint."});
}

} // namespace pali::inline PALI_ABI::detail

// Which rows of a matrix belong to which sequence.

namespace pali::inline PALI_ABI {

/// Rows [first, first + count) are the next tokens of the sequence in `cache`: a whole prompt, or one token of a batch.
struct sequence {
    kv_cache* cache = nullptr; ///< not owned; a pass appends to it
    std::size_t first = 0;     ///< row
    std::size_t count = 0;     ///< rows
};

} // namespace pali::inline PALI_ABI

// What is asked of the operating system besides memory, for which see files/mmap.hpp. The bodies of these are all that names one.

namespace pali::inline PALI_ABI {

/// Keeps the calling thread on processor `i` of those that it may run on, counted in a circle. Returns whether it stays there: on Linux and Windows.
bool pin_this_thread(std::size_t i) noexcept;

/// Asks for the tile registers of AMX, which a process has when it asks. False where they are not given: elsewhere than on Linux, too.
[[nodiscard]] bool may_use_tiles() noexcept;

/// Bytes of the caches that a core has for itself.
struct cache_sizes {
    std::size_t first = 0;  ///< for data
    std::size_t second = 0; ///< that of a cluster where cores share it
};

/// As the system knows them; 0 where it does not.
[[nodiscard]] cache_sizes caches_of_a_core() noexcept;

} // namespace pali::inline PALI_ABI

// Bodies of system.hpp: Linux, and Windows by its documented calls, where they were compiled (MinGW-w64) and never run.

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  ifndef WIN32_LEAN_AND_MEAN
#    define WIN32_LEAN_AND_MEAN
#  endif
#  include <windows.h>
#elif defined(__linux__)
#  include <sched.h>
#  include <sys/syscall.h>
#  include <unistd.h>
#endif

namespace pali::inline PALI_ABI {

PALI_INLINE bool pin_this_thread([[maybe_unused]] std::size_t i) noexcept {
#if defined(_WIN32)
    DWORD_PTR allowed = 0, of_system = 0; // of one group of processors: 64 at most
    if (!GetProcessAffinityMask(GetCurrentProcess(), &allowed, &of_system) || allowed == 0) return false;
    std::size_t count = 0;
    for (DWORD_PTR rest = allowed; rest != 0; rest &= rest - 1) ++count;
    for (i %= count; i != 0; --i) allowed &= allowed - 1; // without its lowest
    return SetThreadAffinityMask(GetCurrentThread(), allowed & (~allowed + 1)) != 0;
#elif defined(__linux__)
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return false;
    i %= static_cast<std::size_t>(CPU_COUNT(&allowed));
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (!CPU_ISSET(cpu, &allowed) || i-- != 0) continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof one, &one) == 0;
    }
    return false;
#else
    return false;
#endif
}

PALI_INLINE cache_sizes caches_of_a_core() noexcept {
    cache_sizes sizes;
#if defined(_WIN32)
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION known[512]; // of one group of processors: 64 at most, with a few entries for each
    DWORD bytes = sizeof known;
    if (!GetLogicalProcessorInformation(known, &bytes)) return sizes;
    for (DWORD i = 0; i < bytes / sizeof known[0]; ++i) {
        if (known[i].Relationship != RelationCache || known[i].Cache.Type == CacheInstruction) continue;
        if (known[i].Cache.Level == 1) sizes.first = known[i].Cache.Size;
        if (known[i].Cache.Level == 2) sizes.second = known[i].Cache.Size;
    }
#elif defined(__linux__) && defined(_SC_LEVEL1_DCACHE_SIZE)
    sizes.first = static_cast<std::size_t>(std::max(0L, sysconf(_SC_LEVEL1_DCACHE_SIZE)));
    sizes.second = static_cast<std::size_t>(std::max(0L, sysconf(_SC_LEVEL2_CACHE_SIZE)));
#endif
    return sizes;
}

// Documentation/arch/x86/xstate.rst of Linux: ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA.
PALI_INLINE bool may_use_tiles() noexcept {
#if defined(__x86_64__) && defined(__linux__) && defined(SYS_arch_prctl)
    constexpr long ask_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, ask_permission, tile_data) == 0;
#else
    return false;
#endif
}

} // namespace pali::inline PALI_ABI

// What the processor can do beyond the flags that a translation unit is compiled with, found when the program runs.

#if defined(__x86_64__)
#  include <cpuid.h>
#endif

namespace pali::inline PALI_ABI::arch {

/// Instruction sets that kernels have intrinsics for. Each is an extra over the xsimd kernels, which follow compiler flags.
struct features {
    bool avx2 = false;        ///< AVX2 and FMA
    bool avx_vnni = false;    ///< products of bytes on 256-bit registers, in the encoding of AVX
    bool avx512_vnni = false; ///< the same on 512-bit registers, in that of AVX-512
    bool avx512_bf16 = false; ///< products of bfloat16 on them, where they outrun multiply-adds of float32
    bool amx_bf16 = false;    ///< tiles of bfloat16, permitted by the operating system, and AVX-512 F and BW beside them

    friend bool operator==(const features&, const features&) = default;
};

namespace detail {

#if defined(__x86_64__)
struct cpuid_registers {
    unsigned a = 0, b = 0, c = 0, d = 0;
};

inline cpuid_registers cpuid(unsigned leaf, unsigned subleaf) noexcept {
    cpuid_registers r;
    if (!__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d)) return {};
    return r;
}

/// Which registers the operating system saves: XCR0.
inline std::uint64_t saved_registers() noexcept {
    std::uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
}

/// CPUID, leaf 0: the name of the maker, in B, D and C.
inline bool made_by_amd() noexcept {
    const cpuid_registers name = cpuid(0, 0);
    return name.b == 0x68747541 && name.d == 0x69746e65 && name.c == 0x444d4163; // "Auth" "enti" "cAMD"
}
#endif

/// Bits as in Intel's Software Developer's Manual, volume 2A, CPUID, and volume 1, section 13.1 (XCR0).
inline features detect() noexcept {
    features found;
#if defined(__x86_64__)
    const auto bit = [](std::uint64_t word, int n) { return (word >> n & 1) != 0; };
    const cpuid_registers basic = cpuid(1, 0), extended = cpuid(7, 0);
    if (!bit(basic.c, 27)) return found; // OSXSAVE
    const std::uint64_t saved = saved_registers();
    const bool ymm = (saved & 0x6) == 0x6, zmm = (saved & 0xe6) == 0xe6, tiles = (saved & 0x60000) == 0x60000;
    found.avx2 = ymm && bit(extended.b, 5) && bit(basic.c, 12);
    found.avx_vnni = found.avx2 && bit(cpuid(7, 1).a, 4);
    found.avx512_vnni = zmm && found.avx2 && bit(extended.b, 16) && bit(extended.b, 31) && bit(extended.c, 11);
    const bool avx512 = zmm && found.avx2 && bit(extended.b, 16) && bit(extended.b, 30);
    // Zen 4 has twice the rate of float32. Intel's has half of it (Sapphire Rapids), and so no use.
    found.avx512_bf16 = avx512 && bit(cpuid(7, 1).a, 5) && made_by_amd();
    found.amx_bf16 = tiles && avx512 && bit(extended.d, 24) && bit(extended.d, 22) && may_use_tiles();
#endif
    return found;
}

} // namespace detail

/// What this processor and its operating system allow.
[[nodiscard]] inline const features& detected() noexcept {
    static const features found = detail::detect();
    return found;
}

/// A level is all instruction sets up to one: "simd" (what xsimd was compiled for and no more), "avx2", "vnni", "bf16", "amx". Throws errc::unsupported_arch for
/// another name and for what `there` lacks.
[[nodiscard]] inline features limited_to(std::string_view level, const features& there) {
    static constexpr std::array<std::string_view, 5> levels{"simd", "avx2", "vnni", "bf16", "amx"};
    std::size_t n = 0;
    while (n < levels.size() && levels[n] != level) ++n;
    if (n == levels.size()) throw error(errc::unsupported_arch, {"PALI_ARCH is \"", level, "\"; it can be simd, avx2, vnni, bf16 or amx"});
    const features wanted{.avx2 = n >= 1, .avx_vnni = n >= 2 && there.avx_vnni, .avx512_vnni = n >= 2 && there.avx512_vnni,
                          .avx512_bf16 = n == 3 || (n > 3 && there.avx512_bf16), .amx_bf16 = n >= 4};
    if ((wanted.avx2 && !there.avx2) || (n == 2 && !there.avx_vnni && !there.avx512_vnni) || (wanted.avx512_bf16 && !there.avx512_bf16) ||
        (wanted.amx_bf16 && !there.amx_bf16))
        throw error(errc::unsupported_arch, {"PALI_ARCH is \"", level, "\", which this processor does not have"});
    return wanted;
}

/// What kernels use: all that was detected, or the level that the environment variable PALI_ARCH names, which is read once.
/// Throws what limited_to() throws.
[[nodiscard]] inline const features& in_use() {
    static const features chosen = [] {
        const char* const level = std::getenv("PALI_ARCH");
        return level && *level ? limited_to(level, detected()) : detected();
    }();
    return chosen;
}

} // namespace pali::inline PALI_ABI::arch

// What an attention is: heads and limits.

namespace pali::inline PALI_ABI::kernels {

/// Heads and limits of an attention.
struct attention_shape {
    std::size_t heads = 0, kv_heads = 0, head_dim = 0; ///< of queries; of keys and values, heads % kv_heads == 0; numbers of each
    float scale = 1;   ///< of the queries
    float softcap = 0; ///< of the scores; 0: none
};

} // namespace pali::inline PALI_ABI::kernels

// Functions of single numbers over whole arrays: GELU, softcap, scaling.

namespace pali::inline PALI_ABI::kernels {

namespace detail {

/// Applies f, a function of batches, to n numbers; the last few go through a padded batch, so that every number takes the same path.
template <class A, class F, class... In>
void map(arch::simd<A>, std::size_t n, float* out, F f, const In*... in) noexcept {
    using batch = xsimd::batch<float, A>;
    const std::size_t whole = n / batch::size * batch::size;
    for (std::size_t i = 0; i < whole; i += batch::size) f(batch::load_unaligned(in + i)...).store_unaligned(out + i);
    if (whole == n) return;
    const auto partial = [&](const float* from) {
        alignas(64) float lanes[batch::size] = {};
        for (std::size_t i = whole; i < n; ++i) lanes[i - whole] = from[i];
        return batch::load_aligned(lanes);
    };
    alignas(64) float lanes[batch::size];
    f(partial(in)...).store_aligned(lanes);
    for (std::size_t i = whole; i < n; ++i) out[i] = lanes[i - whole];
}

/// The tanh form of GELU, Hendrycks & Gimpel, arXiv 1606.08415, section 2: x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³))).
template <class Batch>
[[nodiscard]] Batch gelu_tanh(const Batch& x) noexcept {
    const Batch inner = Batch(0.7978845608028654f) * arch::fma(Batch(0.044715f) * x, x * x, x);
    return Batch(0.5f) * x * (Batch(1.f) + xsimd::tanh(inner));
}

} // namespace detail

/// Numbers for a thread to take at once: some microseconds. The functions below give a number the same result in any block.
inline constexpr std::size_t elements_a_task = 1024;

/// x = gelu(x), the tanh form; n numbers in place.
template <class A>
void gelu(arch::simd<A> tag, float* x, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    detail::map(tag, n, x, [](const batch& v) { return detail::gelu_tanh(v); }, static_cast<const float*>(x));
}

/// gate = gelu(gate) · up: the gated activation of Gemma's MLP (GeGLU, arXiv 2002.05202); n numbers in place.
template <class A>
void gated_gelu(arch::simd<A> tag, float* gate, const float* up, std::size_t n) noexcept {
    using batch = xsimd::batch<float, A>;
    detail::map(tag, n, gate, [](const batch& g, const batch& u) { return detail::gelu_tanh(g) * u; }, static_cast<const float*>(gate), up);
}

/// x = cap · tanh(x / cap): Gemma 2's soft limit on logits (arXiv 2408.00118, section 2); n numbers in place.
template <class A>
void softcap(arch::simd<A> tag, float* x, std::size_t n, float cap) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(cap > 0);
    detail::map(tag, n, x, [cap](const batch& v) { return batch(cap) * xsimd::tanh(v / batch(cap)); }, static_cast<const float*>(x));
}

} // namespace pali::inline PALI_ABI::kernels

// What queries have seen of keys and values so far, carried from block to block: no matrix of scores.

namespace pali::inline PALI_ABI::kernels::detail {

/// The softmax of one query, carried from block to block (Milakov & Gimelshein, arXiv 1805.02867).
struct running_softmax {
    float top = -std::numeric_limits<float>::infinity();
    float sum = 0;

    /// scores -> exp(scores - top), where only [begin, end) of the n are visible; returns what earlier terms have to be multiplied by.
    template <class A>
    float take(arch::simd<A>, float* scores, std::size_t n, std::size_t begin, std::size_t end) noexcept {
        using batch = xsimd::batch<float, A>;
        constexpr float nothing = -std::numeric_limits<float>::infinity();
        const std::size_t padded = (n + batch::size - 1) / batch::size * batch::size;
        if (begin >= end) {
            std::fill(scores, scores + padded, 0.f);
            return 1.f;
        }
        std::fill(scores, scores + begin, nothing);
        std::fill(scores + end, scores + padded, nothing);
        batch tops(top);
        for (std::size_t j = 0; j < padded; j += batch::size) tops = xsimd::max(tops, batch::load_aligned(scores + j));
        const float highest = compat::reduce_max(tops);
        batch sums(0.f);
        for (std::size_t j = 0; j < padded; j += batch::size) {
            const auto e = xsimd::exp(batch::load_aligned(scores + j) - batch(highest));
            e.store_aligned(scores + j);
            sums += e;
        }
        const float decay = top == highest ? 1.f : std::exp(top - highest);
        sum = sum * decay + compat::reduce_add(sums);
        top = highest;
        return decay;
    }
};

/// What n queries have seen: their softmax (n), and the sums of values, weighted and not yet divided, (n, depth). A view of memory; behind the sums there may be room for more rows.
struct gathered {
    running_softmax* softmax = nullptr;
    rows<float> sums;

    /// Floats of memory for n queries and fewer, in whole cache lines.
    [[nodiscard]] static constexpr std::size_t floats(std::size_t n, std::size_t depth) noexcept { return softmax_floats(n) + n * depth; }

    gathered(float* memory, std::size_t n, std::size_t depth) noexcept : softmax(reinterpret_cast<running_softmax*>(memory)), sums(memory + softmax_floats(n), n, depth) {}

    /// Nothing seen.
    void clear() noexcept {
        std::fill(sums.data, sums.data + sums.count * sums.width, 0.f);
        for (std::size_t i = 0; i < sums.count; ++i) std::construct_at(softmax + i);
    }

    /// Adds what the same queries have seen elsewhere.
    template <class A>
    void add(arch::simd<A>, const gathered& other) noexcept {
        using batch = xsimd::batch<float, A>;
        for (std::size_t i = 0; i < sums.count; ++i) {
            const running_softmax mine = softmax[i], theirs = other.softmax[i];
            if (theirs.sum == 0) continue; // it saw nothing
            const float top = std::max(mine.top, theirs.top), by = std::exp(mine.top - top), their_by = std::exp(theirs.top - top);
            for (std::size_t d = 0; d < sums.width; d += batch::size)
                arch::fma(batch::load_aligned(other.sums[i] + d), batch(their_by), batch::load_aligned(sums[i] + d) * batch(by)).store_aligned(sums[i] + d);
            softmax[i] = {top, mine.sum * by + theirs.sum * their_by};
        }
    }

private:
    [[nodiscard]] static constexpr std::size_t softmax_floats(std::size_t n) noexcept {
        static_assert(sizeof(running_softmax) == 2 * sizeof(float));
        return (2 * n + 15) / 16 * 16;
    }
};

} // namespace pali::inline PALI_ABI::kernels::detail

// Who sees whom: the prefix-LM mask, with a sliding window.

namespace pali::inline PALI_ABI::kernels {

/// The keys that a query sees: [begin, end), never empty.
struct key_range {
    std::size_t begin = 0, end = 0; ///< tokens
};

/// The prefix-LM mask of PaliGemma (arXiv 2407.07726, figure 2): the first `prefix` tokens see each other, all later ones what came
/// before them. A window (Gemma 2, even layers) hides from a later token what is `window` or more behind it; the prefix stays visible
/// to itself, as in transformers masking_utils.py. What a token sees is always one range:
///
///     prefix 3, no window      prefix 3, window 2
///     a  x x x . .             a  x x x . .
///     b  x x x . .             b  x x x . .
///     c  x x x . .             c  x x x . .
///     d  x x x x .             d  . . x x .
///     e  x x x x x             e  . . . x x
///
/// Where all tokens are prefix, nothing is masked.
struct prefix_mask {
    std::size_t prefix = 0; ///< tokens
    std::size_t window = 0; ///< tokens; 0: none
    std::size_t start = 0;  ///< position of row 0 of the queries

    /// The tokens that the query in `row` sees.
    [[nodiscard]] key_range operator()(std::size_t row) const noexcept {
        const std::size_t position = start + row;
        if (position < prefix) return {0, prefix};
        return {window > 0 && position + 1 > window ? position + 1 - window : 0, position + 1};
    }
};

} // namespace pali::inline PALI_ABI::kernels

// How large the caches of the processor are, found when the program runs.

namespace pali::inline PALI_ABI::arch {

/// What kernels cut their work for: the first and the second level of one core, in bytes. Where the system does not say, 32 KiB and 512 KiB.
[[nodiscard]] inline const cache_sizes& caches() noexcept {
    static const cache_sizes found = [] {
        const cache_sizes said = caches_of_a_core();
        return cache_sizes{.first = said.first ? std::clamp<std::size_t>(said.first, 16 << 10, 1 << 20) : 32 << 10,
                           .second = said.second ? std::clamp<std::size_t>(said.second, 128 << 10, 64 << 20) : 512 << 10};
    }();
    return found;
}

} // namespace pali::inline PALI_ABI::arch

// Scratch memory of a forward pass: taken in order, given back by frames, grown in the first pass and not in those like it.

namespace pali::inline PALI_ABI {

/// A stack of uninitialised floats. What is taken inside a frame is given back when the frame ends; the memory stays, so that a pass that was run
/// once allocates nothing the next time. When the outermost frame ends, memory in several pieces becomes one piece as large as all of them, so that the next
/// pass, whatever the sizes it takes, can use all of it; the system gives pages of it only where they are touched. Not thread-safe: one arena a context.
class arena {
public:
    /// Marks a place in the arena and returns to it at the end of its scope.
    class frame {
    public:
        /// What is taken from `owner` from here on is given back when this object ends. Frames end in the reverse order of their beginning.
        explicit frame(arena& owner) noexcept : m_owner(owner), m_block(owner.m_block), m_used(owner.m_used) {}
        ~frame() {
            m_owner.m_block = m_block;
            m_owner.m_used = m_used;
            if (m_block == 0 && m_used == 0) m_owner.join();
        }
        frame(const frame&) = delete;
        frame& operator=(const frame&) = delete;

    private:
        arena& m_owner;
        std::size_t m_block, m_used;
    };

    /// `n` floats, aligned to 64 bytes, uninitialised. Allocates only where no earlier pass has left enough; throws std::bad_alloc then.
    [[nodiscard]] float* take(std::size_t n) {
        n = (n + 15) / 16 * 16;
        while (m_block < m_blocks.size() && m_used + n > m_blocks[m_block].size) {
            ++m_block;
            m_used = 0;
        }
        if (m_block == m_blocks.size()) {
            m_blocks.emplace_back(std::max(n, smallest_block));
            m_used = 0;
        }
        float* const taken = m_blocks[m_block].memory.get() + m_used;
        m_used += n;
        return taken;
    }

    /// Bytes held.
    [[nodiscard]] std::size_t bytes() const noexcept {
        std::size_t sum = 0;
        for (const block& b : m_blocks) sum += b.size * sizeof(float);
        return sum;
    }

private:
    static constexpr std::align_val_t alignment{64};
    struct give_back {
        void operator()(float* memory) const noexcept { ::operator delete(memory, alignment); }
    };
    struct block {
        explicit block(std::size_t n) : size(n), memory(static_cast<float*>(::operator new(n * sizeof(float), alignment))) {}
        std::size_t size;
        std::unique_ptr<float, give_back> memory;
    };

    /// Nothing is taken: one block instead of several.
    void join() noexcept {
        if (m_blocks.size() < 2) return;
        const std::size_t n = bytes() / sizeof(float);
        m_blocks.clear();
        try {
            m_blocks.emplace_back(n);
        } catch (const std::bad_alloc&) {} // the next pass takes what it needs
    }

    static constexpr std::size_t smallest_block = std::size_t{1} << 18; // 1 MiB

    std::vector<block> m_blocks;
    std::size_t m_block = 0, m_used = 0;
};

} // namespace pali::inline PALI_ABI

// The threads of one model: they spin briefly between kernels, sleep when idle, and never decide a result.

#include <atomic>

namespace pali::inline PALI_ABI {

/// Runs numbered tasks on a fixed set of threads; the calling thread is one of them. Tasks must not depend on which thread runs
/// them, which keeps results the same, to the bit, for any number of threads. One caller at a time.
class thread_pool {
public:
    /// `threads` counts the caller; 0 means as many as the machine has. `pin` keeps each but the caller's on a processor: the second of those that the process may
    /// run on, the third, ...; whoever calls may want to stay on the first.
    /// Throws errc::invalid_argument for more than `most_threads`, and errc::too_few_threads where the system starts fewer.
    explicit thread_pool(std::size_t threads = 0, bool pin = false) {
        if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
        if (threads > most_threads) throw error(errc::invalid_argument, {"threads is ", threads, "; at most ", most_threads, " are started"});
        m_workers.reserve(threads - 1);
        try {
            for (std::size_t i = 1; i < threads; ++i) m_workers.emplace_back([this, i, pin] {
                    if (pin) pin_this_thread(i);
                    work(i);
                });
        } catch (const std::system_error& e) {
            const std::size_t started = size();
            end();
            throw error(errc::too_few_threads, {"of ", threads, " threads the system started ", started, ": ", e.what(),
                                                ". Ask for fewer (load_options::threads, --threads), or raise the limit on processes (ulimit -u) or on memory (ulimit -v)"});
        }
    }

    ~thread_pool() { end(); }

    thread_pool(const thread_pool&) = delete;
    thread_pool& operator=(const thread_pool&) = delete;

    static constexpr std::size_t most_threads = 4096; ///< that can be asked for

    /// Threads that take part, the caller included.
    [[nodiscard]] std::size_t size() const noexcept { return m_workers.size() + 1; }

    /// Calls task(i), or task(i, thread) with thread < size(), for every i in [0, count) and returns when all are done. The number
    /// of the thread is for finding scratch memory. A thread takes consecutive tasks, fewer at a time as fewer are left: what neighbours
    /// read should lie side by side. A task must not throw.
    template <class Task>
    void run(std::size_t count, Task&& task) {
        using task_type = std::remove_reference_t<Task>;
        static_assert(std::is_invocable_v<Task&, std::size_t> || std::is_invocable_v<Task&, std::size_t, std::size_t>,
                      "a task is called with its number, or with its number and that of its thread");
        m_call = [](void* t, std::size_t i, std::size_t thread) {
            if constexpr (std::is_invocable_v<Task&, std::size_t>) (*static_cast<task_type*>(t))(i);
            else (*static_cast<task_type*>(t))(i, thread);
        };
        m_task = const_cast<void*>(static_cast<const void*>(std::addressof(task)));
        run_tasks(count);
    }

    /// Calls task(first, count), or task(first, count, thread), for blocks that together are [0, n); each but the last has `block`.
    template <class Task>
    void run_blocks(std::size_t n, std::size_t block, Task&& task) {
        run((n + block - 1) / block, [&](std::size_t i, std::size_t thread) {
            const std::size_t first = i * block, count = std::min(block, n - first);
            if constexpr (std::is_invocable_v<Task&, std::size_t, std::size_t>) task(first, count);
            else task(first, count, thread);
        });
    }

private:
    void end() noexcept {
        m_stop.store(true, std::memory_order_relaxed);
        m_round.fetch_add(1, std::memory_order_release);
        m_round.notify_all();
        for (std::thread& worker : m_workers) worker.join();
    }

    void run_tasks(std::size_t count) {
        m_count = count;
        if (m_workers.empty() || count <= 1) {
            for (std::size_t i = 0; i < count; ++i) m_call(m_task, i, 0);
            return;
        }
        m_next.store(0, std::memory_order_relaxed);
        m_busy.store(m_workers.size(), std::memory_order_relaxed);
        m_round.fetch_add(1, std::memory_order_release);
        m_round.notify_all();
        take_tasks(0);
        for (std::size_t spins = 0; m_busy.load(std::memory_order_acquire) != 0; ++spins) pause(spins);
    }

    void take_tasks(std::size_t thread) noexcept {
        const std::size_t shares = 2 * size(); // of what is left, so that a thread that is half as quick ends with the others
        for (std::size_t i = m_next.load(std::memory_order_relaxed); i < m_count;) {
            const std::size_t end = i + std::max<std::size_t>(1, (m_count - i) / shares);
            if (!m_next.compare_exchange_weak(i, end, std::memory_order_relaxed)) continue; // i is what another thread made it
            for (; i < end; ++i) m_call(m_task, i, thread);
            i = m_next.load(std::memory_order_relaxed);
        }
    }

    void work(std::size_t thread) noexcept {
        for (std::uint32_t seen = 0;;) {
            std::size_t spins = 0;
            while (m_round.load(std::memory_order_acquire) == seen) {
                if (++spins < spins_before_sleep) pause(spins);
                else m_round.wait(seen, std::memory_order_acquire);
            }
            ++seen;
            if (m_stop.load(std::memory_order_relaxed)) return;
            take_tasks(thread);
            m_busy.fetch_sub(1, std::memory_order_release);
        }
    }

    static void pause(std::size_t spins) noexcept {
        if (spins % yield_every == yield_every - 1) std::this_thread::yield(); // somebody else may own the core
#if defined(__x86_64__)
        else __builtin_ia32_pause(); // the instruction alone: its header belongs to the kernels
#endif
    }

    static constexpr std::size_t spins_before_sleep = 4000; // some 50 microseconds: longer than the gap between two kernels
    static constexpr std::size_t yield_every = 512;

    std::vector<std::thread> m_workers;
    void (*m_call)(void*, std::size_t, std::size_t) = nullptr;
    void* m_task = nullptr;
    std::size_t m_count = 0;
    alignas(64) std::atomic<std::uint32_t> m_round{0};
    alignas(64) std::atomic<std::size_t> m_next{0};
    alignas(64) std::atomic<std::size_t> m_busy{0};
    std::atomic<bool> m_stop{false};
};

} // namespace pali::inline PALI_ABI

// One of the matrices that the same activations are multiplied with.

namespace pali::inline PALI_ABI::kernels {

/// A term of y = x · wᵀ + bias besides x. Products take several beside one x, and do once what they do to x: queries, keys and values are such a case.
template <class Weights>
struct factor {
    Weights weights;             ///< w (N, K), as stored
    const float* bias = nullptr; ///< (N), or none
    rows<float> y;               ///< (T, N); not x
};

/// factor{w, bias, y}, also where a compiler does not deduce this by itself.
template <class Weights>
factor(Weights, const float*, rows<float>) -> factor<Weights>;

/// N of all factors together.
template <class Weights>
[[nodiscard]] std::size_t outputs_of(std::initializer_list<factor<Weights>> with) noexcept {
    std::size_t sum = 0;
    for (const auto& of : with) sum += of.y.width;
    return sum;
}

/// Calls task(factor, first, n, thread) for outputs [first, first + n) of each, `at_once` at most, in one run: threads wait for one another once, and not at the end of each factor.
template <class Weights, class Task>
void for_outputs(std::initializer_list<factor<Weights>> with, std::size_t at_once, thread_pool& threads, Task&& task) {
    const auto tasks_of = [at_once](const factor<Weights>& of) { return (of.y.width + at_once - 1) / at_once; };
    std::size_t count = 0;
    for (const auto& of : with) count += tasks_of(of);
    threads.run(count, [&](std::size_t i, std::size_t thread) {
        const factor<Weights>* of = with.begin();
        for (; i >= tasks_of(*of); ++of) i -= tasks_of(*of);
        const std::size_t first = i * at_once;
        task(*of, first, std::min(at_once, of->y.width - first), thread);
    });
}

} // namespace pali::inline PALI_ABI::kernels

// y = x · wᵀ + bias, with the weights as they lie in the file: (out, in), 16 or 32 bits, neither repacked nor copied.

namespace pali::inline PALI_ABI::kernels {

/// Numbers that a weight matrix can be stored in.
template <class T>
concept weight_element = std::same_as<T, float> || std::same_as<T, bfloat16>;

namespace detail {

/// Half of 2 · lanes consecutive weights: the first and the second lanes of them.
template <std::size_t Half, class A>
[[nodiscard]] inline xsimd::batch<float, A> load_half(arch::simd<A>, const float* w) noexcept {
    using batch = xsimd::batch<float, A>;
    return batch::load_unaligned(w + Half * batch::size);
}

/// A 32-bit lane holds two bfloat16: the even one is its low half, shifted up, the odd one its high half. No shuffle is needed,
/// if the activations lie in the same order: evens, then odds.
template <std::size_t Half, class A>
[[nodiscard]] inline xsimd::batch<float, A> load_half(arch::simd<A>, const bfloat16* w) noexcept {
    using bits = xsimd::batch<std::uint32_t, A>;
    const auto both = bits::load_unaligned(reinterpret_cast<const std::uint32_t*>(w));
    return compat::as_float<A>(Half == 0 ? both << 16 : both & bits(0xffff0000u));
}

/// Numbers of a row that are multiplied at once: a register of floats, or the two that a register of bfloat16 widens to.
template <class A, weight_element Element>
inline constexpr std::size_t numbers_at_once = arch::simd<A>::lanes * (std::same_as<Element, float> ? 1 : 2);

/// Copies a row of activations into the order that load_half gives weights in, zero-padded to whole pairs.
template <class A, weight_element Element>
void pack_row(arch::simd<A>, const float* x, std::size_t width, float* packed) noexcept {
    constexpr std::size_t lanes = arch::simd<A>::lanes, pair = numbers_at_once<A, Element>;
    const std::size_t whole = width / pair * pair;
    for (std::size_t k = 0; k < whole; k += pair) {
        if constexpr (std::same_as<Element, float>) {
            std::memcpy(packed + k, x + k, pair * sizeof(float));
        } else {
            for (std::size_t i = 0; i < lanes; ++i) {
                packed[k + i] = x[k + 2 * i];
                packed[k + lanes + i] = x[k + 2 * i + 1];
            }
        }
    }
    if (whole == width) return;
    std::fill(packed + whole, packed + whole + pair, 0.f);
    for (std::size_t k = whole; k < width; ++k) {
        const std::size_t i = k - whole;
        packed[whole + (std::same_as<Element, float> ? i : i / 2 + (i % 2) * lanes)] = x[k];
    }
}

/// Numbers [begin, end) of sums that begin at zero or go on from `state`, and end as y = sum + bias or stay in `state`.
struct partial_sums {
    float* state = nullptr; ///< R · C registers, or null where the sums are made in one go
    std::size_t begin = 0, end = 0;
};

/// How xsimd makes products: activations stay float32, weights of `Element` are widened.
template <class A, weight_element Element>
struct simd_dot {
    using number = float;    ///< of packed activations
    using element = Element; ///< of weights
    static constexpr std::size_t lanes = arch::simd<A>::lanes, pair = numbers_at_once<A, Element>; ///< of a register of sums; numbers that are multiplied at once
    /// Columns of a tile beside R rows: 12 sums, or 24 where there are 32 registers.
    template <std::size_t R>
    static constexpr std::size_t columns = (R == 4 ? 3 : 2) * (arch::simd<A>::registers / 16);

    static constexpr bool in_parts = true; ///< rows are worked on part by part of their depth

    static void pack(const float* x, std::size_t width, float* packed) noexcept { pack_row<A, Element>({}, x, width, packed); }

    /// y[r][c] = sum over k of x[r][k] · w[c][k], for R rows and C columns held in registers. Every sum takes its terms in the same
    /// order for every R and C and cut anywhere, so that a token's result does not depend on how many came with it.
    template <std::size_t R, std::size_t C>
    static void tile(rows<const float> x, rows<const Element> w, const partial_sums& part, const float* bias, rows<float> y) noexcept {
        using batch = xsimd::batch<float, A>;
        const std::size_t whole = std::min(part.end, w.width / pair * pair);
        batch sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = part.begin == 0 ? batch(0.f) : batch::load_aligned(part.state + (r * C + c) * lanes);
        const float* row[R]; // g++ would hold both halves of each in registers, and not all of them
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            row[r] = x[r];
            PALI_WORKED_OUT(row[r]);
        }
        // Half after half: R · C sums, C weights and one activation are what 16 registers hold.
        const auto step = [&]<std::size_t Half>(const auto& weights, std::size_t k, std::integral_constant<std::size_t, Half>) PALI_ALWAYS_INLINE {
            batch weight[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) weight[c] = load_half<Half>(arch::simd<A>{}, weights(c));
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                batch value = batch::load_aligned(row[r] + k + Half * lanes);
                if constexpr (R == 6 || R * C < 12) PALI_IN_REGISTER(value.data); // beside three columns of four rows no register is left for it
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) sums[r][c] = arch::fma(value, weight[c], sums[r][c]);
            }
        };
        const auto both = [&](const auto& weights, std::size_t k) PALI_ALWAYS_INLINE {
            step(weights, k, std::integral_constant<std::size_t, 0>{});
            if constexpr (pair == lanes) return;
            if constexpr (R * C >= 12) PALI_READ_AGAIN;
            step(weights, k, std::integral_constant<std::size_t, 1>{});
        };
        PALI_NO_UNROLL
        for (std::size_t k = part.begin; k < whole; k += pair) {
            // Few rows run at the speed of memory, and the processor's own prefetching starts anew with every row of weights.
            if constexpr (R < 6)
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) arch::fetch_ahead(w[c + 2 * C] + k);
            both([&](std::size_t c) { return w[c] + k; }, k);
        }
        if (part.end < w.width) {
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r)
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) sums[r][c].store_aligned(part.state + (r * C + c) * lanes);
            return;
        }
        if (whole != w.width) { // the row ends inside a pair, and what lies behind it may not be ours to read
            alignas(64) Element rest[C][pair] = {};
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) std::memcpy(rest[c], w[c] + whole, (w.width - whole) * sizeof(Element));
            both([&](std::size_t c) { return rest[c]; }, whole);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) y[r][c] = compat::reduce_add(sums[r][c]) + (bias ? bias[c] : 0.f);
    }
};

/// Calls tile(first, integral_constant<N>) for rows [0, count): tiles of R as long as they fit, then of 4, 2 and 1. Eight rows are twice four: six and two
/// would leave a tile that is bound by loads.
template <std::size_t R, class Tile>
void for_row_tiles(std::size_t count, Tile&& tile) {
    std::size_t r = 0;
    const auto in_tiles = [&]<std::size_t Rows>(std::integral_constant<std::size_t, Rows> rows) {
        if constexpr (Rows <= R)
            for (; r + Rows <= count && !(Rows == 6 && count - r == 8); r += Rows) tile(r, rows);
    };
    if constexpr (R > 4) in_tiles(std::integral_constant<std::size_t, R>{});
    in_tiles(std::integral_constant<std::size_t, 4>{});
    in_tiles(std::integral_constant<std::size_t, 2>{});
    in_tiles(std::integral_constant<std::size_t, 1>{});
}

/// Calls tile(first, integral_constant<N>) for columns [0, count): tiles of C, then single ones.
template <std::size_t C, class Tile>
void for_column_tiles(std::size_t count, Tile&& tile) {
    std::size_t c = 0;
    for (; c + C <= count; c += C) tile(c, std::integral_constant<std::size_t, C>{});
    for (; c < count; ++c) tile(c, std::integral_constant<std::size_t, 1>{});
}

/// Tokens from which a product is bound by arithmetic and no longer by reading weights.
inline constexpr std::size_t many_rows = 16;

/// Columns of weights that a thread takes at once, at most: a multiple of all tiles and strips. Rows whose sums are kept until their last part is added, at most: a
/// multiple of all tiles.
inline constexpr std::size_t most_columns = 96, most_rows = 288;

/// Numbers of a row that are worked on at once: all of them, or, of many rows, even parts of which six rows take three quarters of the first-level cache and stay there
/// while columns go by.
template <class Dot>
[[nodiscard]] std::size_t depth_at_once(std::size_t tokens, std::size_t width) noexcept {
    const std::size_t most = std::max(Dot::pair, arch::caches().first * 3 / 4 / (6 * sizeof(typename Dot::number)));
    if (!Dot::in_parts || tokens < many_rows || width <= most) return width;
    const std::size_t parts = (width + most - 1) / most;
    return ((width + parts - 1) / parts + Dot::pair - 1) / Dot::pair * Dot::pair;
}

/// How many columns of `count` a thread takes: what half of the second-level cache holds of `bytes` of each, and fewer where threads would wait for the last.
[[nodiscard]] inline std::size_t columns_a_task(std::size_t bytes, std::size_t count, std::size_t threads) noexcept {
    constexpr std::size_t least = 24, tasks_a_thread = 4;
    const std::size_t near = arch::caches().second / 2 / std::max<std::size_t>(1, bytes), even = count / (tasks_a_thread * threads);
    return std::clamp(std::min(near, even) / least * least, least, most_columns);
}

/// All packed rows of x against the columns [0, w.count) of y; at most most_columns. Few rows meet a column together, when it comes from memory. Of many, a part of
/// their depth meets that part of all columns, which stays in the second-level cache, before the next: six rows at a time, which stay in the first.
/// `sums` has room for lanes · w.count of most_rows rows, or is null where a part is all.
template <class Dot>
void dot_rows(rows<const typename Dot::number> x, rows<const typename Dot::element> w, const float* bias, rows<float> y, std::size_t depth, float* sums) noexcept {
    PALI_ASSERT(w.count <= most_columns);
    const auto tile = [&]<std::size_t R, std::size_t C>(std::size_t r, std::size_t c, const partial_sums& part, std::integral_constant<std::size_t, R>,
                                                        std::integral_constant<std::size_t, C>) {
        Dot::template tile<R, C>(x.slice(r, R), w.slice(c, C), part, bias ? bias + c : nullptr, rows<float>(y.data + c, y.count, y.width, y.stride).slice(r, R));
    };
    const partial_sums whole{.end = w.width};
    if (x.count == 1) return for_column_tiles<Dot::template columns<1>>(w.count, [&](std::size_t c, auto C) { tile(0, c, whole, std::integral_constant<std::size_t, 1>{}, C); });
    if (x.count < many_rows)
        return for_column_tiles<Dot::template columns<4>>(w.count, [&](std::size_t c, auto C) { for_row_tiles<4>(x.count, [&](std::size_t r, auto R) { tile(r, c, whole, R, C); }); });
    for (std::size_t first = 0; first < x.count; first += most_rows)
        for (std::size_t begin = 0; begin < w.width; begin += depth)
            for_row_tiles<6>(std::min(most_rows, x.count - first), [&]<std::size_t R>(std::size_t r, std::integral_constant<std::size_t, R> rows) {
                for_column_tiles<Dot::template columns<R>>(w.count, [&](std::size_t c, auto C) {
                    float* const state = sums ? sums + (r * w.count + R * c) * Dot::lanes : nullptr;
                    tile(first + r, c, {state, begin, std::min(w.width, begin + depth)}, rows, C);
                });
            });
}

/// The products, with columns [first, first + n) of a matrix as panel(weights, first, n, thread) gives them, n at most most_columns.
template <class Dot, class Weights, class Panel>
void multiply(rows<const float> x, std::initializer_list<factor<Weights>> with, Panel&& panel, thread_pool& threads, arena& scratch) {
    using number = typename Dot::number;
    constexpr std::size_t rows_a_task = 16;
    const arena::frame frame(scratch);
    const std::size_t packed_width = (x.width + Dot::pair - 1) / Dot::pair * Dot::pair;
    const rows<number> packed(reinterpret_cast<number*>(scratch.take((x.count * packed_width * sizeof(number) + 3) / 4)), x.count, packed_width);
    threads.run_blocks(x.count, rows_a_task, [&](std::size_t first, std::size_t n) {
        for (std::size_t t = first; t < first + n; ++t) Dot::pack(x[t], x.width, packed[t]);
    });
    const std::size_t depth = depth_at_once<Dot>(x.count, x.width), sums_a_thread = std::min(x.count, most_rows) * most_columns * Dot::lanes;
    float* const sums = depth < x.width ? scratch.take(threads.size() * sums_a_thread) : nullptr;
    const std::size_t columns = columns_a_task(depth * sizeof(typename Dot::element), outputs_of(with), threads.size());
    for_outputs(with, columns, threads, [&](const factor<Weights>& of, std::size_t first, std::size_t n, std::size_t thread) {
        PALI_ASSERT(x.width == of.weights.width && of.y.width == of.weights.count && of.y.count == x.count);
        dot_rows<Dot>(rows<const number>(packed), panel(of.weights, first, n, thread), of.bias ? of.bias + first : nullptr, rows<float>(of.y.data + first, of.y.count, n, of.y.stride), depth,
                      sums ? sums + thread * sums_a_thread : nullptr);
    });
}

/// Panels that are the rows of weights where they lie.
inline constexpr auto stored_rows = [](const auto& w, std::size_t first, std::size_t n, std::size_t) { return w.slice(first, n); };

} // namespace detail

/**
 * y = x · wᵀ + bias for each factor. x (T, K) float.
 * Accumulates in float32; the order of each sum depends on K alone, so results are the same for any T and any number of threads.
 * 2·T·N·K flop; reads w once a call from memory (of 288 rows), and once a row tile from the second-level cache. Takes T·K floats of scratch, and with many rows up to two megabytes a thread.
 */
template <class A, weight_element Element>
void matmul(arch::simd<A>, rows<const float> x, std::initializer_list<factor<rows<const Element>>> with, thread_pool& threads, arena& scratch) {
    detail::multiply<detail::simd_dot<A, Element>>(x, with, detail::stored_rows, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels

// y = y · decay + p · v: both products of an attention, where sums lie beside each other and no lanes have to be added up.

namespace pali::inline PALI_ABI::kernels::detail {

/// y = y · decay + p · v for any p (T, J), v (J, y.width) and y (T, y.width), in the register tiles of `Rows`; y.width a multiple of 16.
template <class Rows>
struct register_weigher {
    static constexpr std::size_t queries_a_block = 24; ///< which share what they read of keys and values
    static constexpr std::size_t rows_at_once = 1;     ///< rows of p and y that are touched together, whether they are there or not

    /// Floats of memory that one needs for rows of v of such a width.
    [[nodiscard]] static constexpr std::size_t floats(std::size_t) noexcept { return 0; }
    explicit register_weigher(float*) noexcept {}

    void operator()(rows<const typename Rows::number> p, const paired_rows<typename Rows::element>& v, const float* decay, rows<float> y) const noexcept {
        constexpr std::size_t lanes = Rows::lanes, pair = paired_rows<typename Rows::element>::pair;
        for_row_tiles<6>(p.count, [&]<std::size_t R>(std::size_t r, std::integral_constant<std::size_t, R>) {
            for_column_tiles<Rows::template columns<R>>(y.width / lanes, [&]<std::size_t C>(std::size_t c, std::integral_constant<std::size_t, C>) {
                const std::size_t first = c * lanes;
                Rows::template tile<R, C>(p.slice(r, R), {v.data + first * pair, v.width}, decay ? decay + r : nullptr, rows<float>(y[r] + first, R, C * lanes, y.stride));
            });
        });
    }
};

/// How xsimd adds weighted rows: weights stay float32, rows of `Element` are widened.
template <class A, weight_element Element>
struct simd_weighted_rows {
    using number = float;    ///< of weights
    using element = Element; ///< of rows
    using weigher = register_weigher<simd_weighted_rows>;
    static constexpr std::size_t lanes = arch::simd<A>::lanes; ///< of a register of sums
    /// Registers of columns of a tile beside R rows.
    template <std::size_t R>
    static constexpr std::size_t columns = arch::simd<A>::registers == 32 || R < 4 ? 4 : 2;

    /// n weights as tile() takes them; may be done in place.
    static void pack(const float* p, std::size_t n, float* packed) noexcept {
        if (p != packed) std::copy(p, p + n, packed);
    }

    /// y[r][c] = y[r][c] · decay[r] + sum over j of p[r][j] · v[j][c], for R rows and C registers of columns; y = the sum where there is no decay. Each sum takes its terms one by
    /// one in the order of j, whatever R and C are.
    template <std::size_t R, std::size_t C>
    static void tile(rows<const float> p, const paired_rows<Element>& v, const float* decay, rows<float> y) noexcept {
        using batch = xsimd::batch<float, A>;
        constexpr std::size_t pair = paired_rows<Element>::pair;
        // Few rows of p run at the speed of memory, and 512 bits that are an operand of the multiplication, in each row anew, come at 25 GB/s a core (Zen 4), while those that
        // clang would hold in registers come at 21. In cache half as many bits a load cost a fifth more that way.
        constexpr bool each_reads = R < 6 && pair == 1 && lanes == 16;
        batch sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = decay ? batch::load_aligned(y[r] + c * lanes) * batch(decay[r]) : batch(0.f);
        const float* weights[R];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            weights[r] = p[r];
            PALI_WORKED_OUT(weights[r]);
        }
        const auto add = [&]<std::size_t Half>(std::size_t j, std::integral_constant<std::size_t, Half>) PALI_ALWAYS_INLINE {
            const Element* const row = v.data + j * v.width; // or the two that lie together, of which a half is taken
            batch values[C];
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                if (r == 0 || each_reads) {
                    if constexpr (each_reads) PALI_READ_AGAIN;
                    PALI_UNROLL
                    for (std::size_t c = 0; c < C; ++c) values[c] = load_half<Half>(arch::simd<A>{}, row + c * lanes * pair);
                }
                batch weight(weights[r][j + Half]);
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) sums[r][c] = arch::fma(weight, values[c], sums[r][c]);
            }
        };
        const std::size_t whole = p.width / pair * pair;
        PALI_NO_UNROLL
        for (std::size_t j = 0; j < whole; j += pair) {
            PALI_UNROLL // what comes next, more keys or more values, lies behind v; each line once
            for (std::size_t c = 0; c < C; c += std::max<std::size_t>(1, 16 / lanes)) arch::fetch_ahead(v.data + (j + p.width) * v.width + c * lanes * pair);
            add(j, std::integral_constant<std::size_t, 0>{});
            if constexpr (pair == 2) {
                if constexpr (R * C >= 12) PALI_READ_AGAIN;
                add(j, std::integral_constant<std::size_t, 1>{});
            }
        }
        if (whole != p.width) add(whole, std::integral_constant<std::size_t, 0>{});
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c].store_aligned(y[r] + c * lanes);
    }
};

} // namespace pali::inline PALI_ABI::kernels::detail

// Scaled dot-product attention, block by block of keys with an online softmax: no matrix of scores, no copies for grouped queries.

namespace pali::inline PALI_ABI::kernels {

namespace detail {

/// One attention, cut into blocks of queries that share a key head, and parts of the keys. Its products are made by `Rows`.
template <class A, class Rows>
struct attention_pass {
    using element = typename Rows::element;
    using number = typename Rows::number;
    using weigher = typename Rows::weigher;

    attention_shape shape;
    rows<const float> q;
    key_values<element> seen_tokens;
    prefix_mask mask;
    rows<float> out;

    static constexpr std::size_t keys_a_block = key_values<element>::keys_a_block;
    /// Keys that are gathered for themselves: what threads share where queries are few.
    static constexpr std::size_t keys_a_part = 256;

    std::size_t group = shape.heads / shape.kv_heads, width = seen_tokens.value_width();
    std::size_t tokens_a_block = std::clamp<std::size_t>(weigher::queries_a_block / group, 1, std::max<std::size_t>(1, q.count)), most = tokens_a_block * group; // queries of a block
    std::size_t room_for = (most + weigher::rows_at_once - 1) / weigher::rows_at_once * weigher::rows_at_once; // queries
    std::size_t blocks_a_head = (q.count + tokens_a_block - 1) / tokens_a_block, blocks = shape.kv_heads * blocks_a_head;

    /// Query i is token first + i / group, head i % group of those of the key head.
    struct block {
        std::size_t kv_head, first, count;
        key_range sees; ///< all queries together
        [[nodiscard]] std::size_t first_part() const noexcept { return sees.begin / keys_a_part; }
        [[nodiscard]] std::size_t end_part() const noexcept { return (sees.end + keys_a_part - 1) / keys_a_part; }
    };
    [[nodiscard]] block block_at(std::size_t i) const noexcept {
        const std::size_t first = i % blocks_a_head * tokens_a_block, tokens = std::min(tokens_a_block, q.count - first);
        key_range sees = mask(first);
        for (std::size_t t = first + 1; t < first + tokens; ++t) sees = {std::min(sees.begin, mask(t).begin), std::max(sees.end, mask(t).end)};
        return {i / blocks_a_head, first, tokens * group, sees};
    }

    /// Memory of a thread: the queries of a block, scaled, their scores, which become weights of values in place, and one number beside each.
    struct room {
        rows<number> queries, weights;
        rows<float> scores;
        float* decay;
    };
    [[nodiscard]] static std::size_t whole_lines(std::size_t floats) noexcept { return (floats + 15) / 16 * 16; }
    [[nodiscard]] std::size_t room_floats() const noexcept { return whole_lines(room_for) + room_for * (width + keys_a_block) + width; }
    [[nodiscard]] std::size_t weigher_floats() const noexcept { return weigher::floats(std::max(width, keys_a_block)); }
    [[nodiscard]] room take_queries(const block& of, float* memory) const noexcept {
        const auto take = [&](std::size_t floats) { return std::exchange(memory, memory + floats); };
        room r;
        r.decay = take(whole_lines(room_for));
        r.scores = {take(room_for * keys_a_block), of.count, keys_a_block};
        r.weights = {reinterpret_cast<number*>(r.scores.data), of.count, keys_a_block, keys_a_block * sizeof(float) / sizeof(number)};
        r.queries = {reinterpret_cast<number*>(take(room_for * width)), of.count, shape.head_dim, width * sizeof(float) / sizeof(number)};
        float* const row = take(width);
        for (std::size_t i = 0; i < of.count; ++i) {
            const float* const from = q[of.first + i / group] + (of.kv_head * group + i % group) * shape.head_dim;
            for (std::size_t d = 0; d < shape.head_dim; ++d) row[d] = from[d] * shape.scale;
            Rows::pack(row, shape.head_dim, r.queries[i]);
        }
        return r;
    }

    /// What the queries of a block see in one part of the keys.
    void gather(arch::simd<A> tag, const block& of, std::size_t part, const room& at, const weigher& weigh, gathered& seen) const noexcept {
        const std::size_t begin = std::max(of.sees.begin / keys_a_block * keys_a_block, part * keys_a_part), end = std::min(of.sees.end, (part + 1) * keys_a_part);
        for (std::size_t first = begin; first < end; first += keys_a_block) {
            const std::size_t size = std::min(keys_a_block, end - first);
            weigh(rows<const number>(at.queries), seen_tokens.keys(of.kv_head, first / keys_a_block), nullptr, at.scores);
            for (std::size_t i = 0; i < of.count; ++i) {
                if (shape.softcap > 0) softcap(tag, at.scores[i], size, shape.softcap);
                const key_range sees = mask(of.first + i / group);
                const auto within = [&](std::size_t key) { return std::clamp(key, first, first + size) - first; };
                at.decay[i] = seen.softmax[i].take(tag, at.scores[i], size, within(sees.begin), within(sees.end));
                Rows::pack(at.scores[i], size, at.weights[i]);
            }
            weigh(rows<const number>(at.weights.data, of.count, size, at.weights.stride), seen_tokens.values(of.kv_head).from(first), at.decay, seen.sums);
        }
    }

    /// The sums of a block, divided, to where they belong.
    void finish(const block& of, const gathered& seen) const noexcept {
        for (std::size_t i = 0; i < of.count; ++i) {
            float* const to = out[of.first + i / group] + (of.kv_head * group + i % group) * shape.head_dim;
            const float inverse = 1.f / seen.softmax[i].sum;
            for (std::size_t d = 0; d < shape.head_dim; ++d) to[d] = seen.sums[i][d] * inverse;
        }
    }

    /// As many tasks as blocks.
    void by_blocks(arch::simd<A> tag, thread_pool& threads, arena& scratch) const {
        const std::size_t seen_floats = gathered::floats(room_for, width), floats = room_floats() + weigher_floats() + 2 * seen_floats;
        float* const memory = scratch.take(threads.size() * floats);
        threads.run(blocks, [&](std::size_t i, std::size_t thread) {
            const block of = block_at(i);
            float* const mine = memory + thread * floats;
            const room at = take_queries(of, mine + 2 * seen_floats);
            const weigher weigh(mine + 2 * seen_floats + room_floats());
            gathered all(mine, of.count, width), seen(mine + seen_floats, of.count, width);
            all.clear();
            for (std::size_t part = of.first_part(); part < of.end_part(); ++part) {
                seen.clear();
                gather(tag, of, part, at, weigh, seen);
                all.add(tag, seen);
            }
            finish(of, all);
        });
    }

    /// As many tasks as all blocks have parts, then one for each block. The sums are those of by_blocks().
    void by_parts(arch::simd<A> tag, std::size_t parts, thread_pool& threads, arena& scratch) const {
        const std::size_t seen_floats = gathered::floats(room_for, width), floats = room_floats() + weigher_floats();
        float *const memory = scratch.take(threads.size() * floats), *const seen_memory = scratch.take(blocks * (parts + 1) * seen_floats);
        const auto seen_by = [&](const block& of, std::size_t i, std::size_t part) { return gathered(seen_memory + (i * (parts + 1) + part) * seen_floats, of.count, width); };
        threads.run(blocks * parts, [&](std::size_t task, std::size_t thread) {
            const block of = block_at(task / parts);
            gathered seen = seen_by(of, task / parts, task % parts);
            seen.clear();
            const std::size_t part = of.first_part() + task % parts;
            if (part >= of.end_part()) return;
            float* const mine = memory + thread * floats;
            const room at = take_queries(of, mine);
            gather(tag, of, part, at, weigher(mine + room_floats()), seen);
        });
        threads.run(blocks, [&](std::size_t i) {
            const block of = block_at(i);
            gathered all = seen_by(of, i, parts);
            all.clear();
            for (std::size_t part = 0; part < parts; ++part) all.add(tag, seen_by(of, i, part));
            finish(of, all);
        });
    }
};

/// The pass: threads take blocks of queries, or parts of the keys where blocks are few.
template <class Rows, class A>
void run_attention(arch::simd<A> tag, const attention_shape& shape, rows<const float> q, const key_values<typename Rows::element>& seen, const prefix_mask& mask, rows<float> out, thread_pool& threads,
            arena& scratch) {
    PALI_ASSERT(seen.head_dim == shape.head_dim && q.count == out.count);
    const arena::frame frame(scratch);
    const attention_pass<A, Rows> pass{shape, q, seen, mask, out};
    std::size_t parts = 1;
    if (pass.blocks < 4 * threads.size())
        for (std::size_t i = 0; i < pass.blocks; ++i) parts = std::max(parts, pass.block_at(i).end_part() - pass.block_at(i).first_part());
    if (parts > 1) pass.by_parts(tag, parts, threads, scratch);
    else pass.by_blocks(tag, threads, scratch);
}

} // namespace detail

/**
 * out[t][h] = softmax(cap(scale · q[t][h] · keysᵀ)) · values, over the keys that mask(t) shows.
 * q (T, heads · head_dim); keys and values of kv_heads heads, each shared by heads / kv_heads queries, in float32 or bfloat16, widened; out like q, not q.
 * Parts of the keys are gathered for themselves and added in their order: the order of every sum depends on the positions of the keys alone, and a token's
 * result is the same alone or among others and on any threads. Where blocks of queries are few, threads share the parts (flash-decoding: Dao et al., 2023).
 * 4 · T · heads · head_dim · keys flop; scratch for one block of queries a thread, or for all parts of few.
 */
template <class A, weight_element Element>
void attention(arch::simd<A> tag, const attention_shape& shape, rows<const float> q, const key_values<Element>& seen, const prefix_mask& mask, rows<float> out, thread_pool& threads,
               arena& scratch) {
    detail::run_attention<detail::simd_weighted_rows<A, Element>>(tag, shape, q, seen, mask, out, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels

// Tile registers: Intel AMX, or anything else that does what its instructions say.

namespace pali::inline PALI_ABI::arch {

/// What LDTILECFG reads (Intel's Software Developer's Manual, volume 2A). Palette 1 has eight tiles, each of at most 16 rows of 64 bytes;
/// a tile that is not used has zeros.
struct alignas(64) tile_shapes {
    std::uint8_t palette = 1;         ///< 0 would be none
    std::uint8_t start_row = 0;       ///< where an interrupted instruction goes on
    std::uint8_t reserved[14] = {};   ///< zero
    std::uint16_t row_bytes[16] = {}; ///< of each tile, at most 64
    std::uint8_t row_count[16] = {};  ///< of each tile, at most 16
};
static_assert(sizeof(tile_shapes) == 64);

/// Eight tile registers of the calling thread and what can be done with them. Numbers of tiles are template arguments; strides are in bytes.
template <class Tiles>
concept tile_unit = requires(const tile_shapes& shapes, const void* from, void* to, std::size_t stride) {
    Tiles::configure(shapes);
    Tiles::release();
    Tiles::template zero<0>();
    Tiles::template load<4>(from, stride);
    Tiles::template dot_bfloat16<0, 4, 6>();
    Tiles::template store<0>(to, stride);
};

#if defined(__x86_64__)
/**
 * The instructions of AMX-TILE and AMX-BF16, for processors with arch::features::amx_bf16.
 * They are written as assembly because the intrinsics of g++ 12 understate what they read: _tile_loadconfig 8 bytes, _tile_loadd nothing, so
 * that stores to a packed buffer may be dropped or moved. It also frees callers from flags: no target attribute stands in the way of inlining.
 */
struct amx_tiles {
    /// Gives the tiles their shapes, and zeros.
    static void configure(const tile_shapes& shapes) noexcept { __asm__ volatile("ldtilecfg %0" : : "m"(shapes) : "memory"); }
    /// A thread that holds tiles makes every switch to another one save 8 KiB.
    static void release() noexcept { __asm__ volatile("tilerelease" : : : "memory"); }
    /// Sets a tile to zeros.
    template <int Tile>
    static void zero() noexcept {
        __asm__ volatile("tilezero %%tmm%c0" : : "i"(Tile));
    }
    /// Rows of a tile from `from`, `stride` bytes apart.
    template <int Tile>
    static void load(const void* from, std::size_t stride) noexcept {
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(Tile) : "memory");
    }
    /// Rows of a tile to `to`, `stride` bytes apart.
    template <int Tile>
    static void store(void* to, std::size_t stride) noexcept {
        __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(Tile) : "memory");
    }
    /// sums[n][t] += sum over pairs p of a[n][2p] · b[p][2t] + a[n][2p + 1] · b[p][2t + 1]. Denormal numbers count as zero.
    template <int Sums, int A, int B>
    static void dot_bfloat16() noexcept {
        __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(A), "i"(B));
    }
};
#endif

} // namespace pali::inline PALI_ABI::arch

// Registers of eight floats: turned over, and rounded to bfloat16.

namespace pali::inline PALI_ABI::kernels {

typedef float eight_floats __attribute__((vector_size(32)));                                  ///< a register of AVX2
typedef float eight_floats_in_memory __attribute__((vector_size(32), aligned(4), may_alias)); ///< the same where it lies, at any address that floats have
typedef std::uint32_t eight_words __attribute__((vector_size(32)));                           ///< its bits

/// a[i][j] becomes a[j][i]; bits stay as they are. Compilers keep the arrays in registers, where loops are unrolled.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE
inline void transpose(eight_floats (&a)[8]) noexcept {
    eight_floats b[8];
#pragma GCC unroll 4
    for (std::size_t i = 0; i < 8; i += 2) { // b[i]: columns 0, 1 and 4, 5 of two rows; b[i + 1]: columns 2, 3 and 6, 7
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 8; i += 4) { // a[i + c]: columns c and c + 4 of four rows
        a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 1] = __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        a[i + 2] = __builtin_shufflevector(b[i + 1], b[i + 3], 0, 1, 8, 9, 4, 5, 12, 13);
        a[i + 3] = __builtin_shufflevector(b[i + 1], b[i + 3], 2, 3, 10, 11, 6, 7, 14, 15);
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < 4; ++c) {
        b[c] = __builtin_shufflevector(a[c], a[c + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        b[c + 4] = __builtin_shufflevector(a[c], a[c + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
#pragma GCC unroll 8
    for (std::size_t i = 0; i < 8; ++i) a[i] = b[i];
}

/// Bits of which the upper halves are the numbers in bfloat16, rounded to nearest even. They are no NaN.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE
inline eight_words rounded_up_half(eight_floats x) noexcept {
    const auto bits = reinterpret_cast<eight_words>(x);
    return bits + 0x7fffu + ((bits >> 16) & 1u);
}

/// Sixteen numbers in bfloat16, as its constructor rounds them, one by one as slowly as compilers make it. Both may lie in the same place.
PALI_TARGET("avx2") PALI_ALWAYS_INLINE
inline void round_sixteen(const float* from, bfloat16* to) noexcept {
    typedef std::uint16_t halves __attribute__((vector_size(32)));
    eight_words words[2];
#pragma GCC unroll 2
    for (std::size_t i = 0; i < 2; ++i) {
        const eight_floats x = *reinterpret_cast<const eight_floats_in_memory*>(from + 8 * i);
        const auto is_nan = reinterpret_cast<eight_words>(x != x);
        words[i] = (rounded_up_half(x) & ~is_nan) | ((reinterpret_cast<eight_words>(x) | 0x400000u) & is_nan);
    }
    const halves both = __builtin_shufflevector(reinterpret_cast<halves>(words[0]), reinterpret_cast<halves>(words[1]), 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    std::memcpy(static_cast<void*>(to), &both, sizeof both);
}

} // namespace pali::inline PALI_ABI::kernels

// Quantised weights as rows of bfloat16, for products of many rows.

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// Numbers [begin, begin + to.width), whole groups of them, of the rows of strip `i`, to the eight of `to`. Rounded to nearest even: by 2^-9 of a number, where the code itself is off by
/// 2^-5 or 2^-9 of the largest in its group.
template <std::size_t Bits>
void read_strip(const quantised_rows<Bits>& w, std::size_t i, std::size_t begin, rows<bfloat16> to) noexcept {
    using matrix = quantised_rows<Bits>;
    constexpr std::size_t in_bytes = matrix::group_bytes / matrix::strip; // numbers of a row in consecutive bytes: a group, or half of it
    const std::uint8_t* codes = w.codes_of(i) + matrix::strip * matrix::bytes_of(begin);
    const bfloat16* scales = w.scales_of(i) + matrix::strip * (begin / matrix::group);
    PALI_ASSERT(begin % matrix::group == 0 && to.width % matrix::group == 0);
    std::int8_t numbers[matrix::group_bytes], row[matrix::strip][matrix::group];
    const auto sort = [&](std::size_t first) { // fours of all rows -> rows
        for (std::size_t r = 0; r < matrix::strip; ++r)
            for (std::size_t k = 0; k < in_bytes; k += 4) std::memcpy(row[r] + first + k, numbers + matrix::byte_in_group(r, k), 4);
    };
    for (std::size_t at = 0; at < to.width; at += matrix::group, codes += matrix::group_bytes, scales += matrix::strip) {
        if constexpr (Bits == 8) {
            std::memcpy(numbers, codes, sizeof numbers);
            sort(0);
        } else {
            for (std::size_t j = 0; j < sizeof numbers; ++j) numbers[j] = static_cast<std::int8_t>((codes[j] & 15) - 8);
            sort(0);
            for (std::size_t j = 0; j < sizeof numbers; ++j) numbers[j] = static_cast<std::int8_t>((codes[j] >> 4) - 8);
            sort(in_bytes);
        }
        for (std::size_t r = 0; r < matrix::strip; ++r) {
            const float scale = static_cast<float>(scales[r]);
            bfloat16* const out = to[r] + at;
            for (std::size_t k = 0; k < matrix::group; ++k) { // written for the compiler to vectorise: no branch for NaN
                const auto bits = std::bit_cast<std::uint32_t>(scale * static_cast<float>(row[r][k]));
                out[k].bits = static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
            }
        }
    }
}

namespace strip_detail {

typedef std::int32_t eight_integers __attribute__((vector_size(32)));
typedef std::uint16_t eight_scales __attribute__((vector_size(16)));

/// The number in byte `i` of each of eight words, of which the upper `Bits` are a signed code, times its scale: bits of the float, rounded so that the upper half is a bfloat16.
template <std::size_t Bits>
PALI_TARGET("avx2") PALI_ALWAYS_INLINE
inline eight_words decode_byte(eight_words codes, std::uint32_t i, eight_floats scale) noexcept {
    const eight_integers code = reinterpret_cast<eight_integers>(codes << (24 - 8 * i)) >> static_cast<int>(32 - Bits);
    return rounded_up_half(__builtin_convertvector(code, eight_floats) * scale);
}

/// Four bytes of each of eight rows, in four registers of words one behind the other, as 16 numbers of each row.
template <std::size_t Bits>
PALI_TARGET("avx2") PALI_ALWAYS_INLINE
inline void decode_sixteen(const eight_words (&codes)[4], eight_floats scale, const rows<bfloat16>& to, std::size_t at) noexcept {
    eight_floats pairs[8]; // of numbers of the eight rows
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j)
#pragma GCC unroll 2
        for (std::uint32_t half = 0; half < 2; ++half)
            pairs[2 * j + half] = reinterpret_cast<eight_floats>((decode_byte<Bits>(codes[j], 2 * half, scale) >> 16) | (decode_byte<Bits>(codes[j], 2 * half + 1, scale) & 0xffff0000u));
    transpose(pairs);
#pragma GCC unroll 8
    for (std::size_t r = 0; r < 8; ++r) *reinterpret_cast<eight_floats_in_memory*>(to[r] + at) = pairs[r];
}

} // namespace strip_detail

/// read_strip() by AVX2.
template <std::size_t Bits>
PALI_TARGET("avx2")
void read_strip_avx2(const quantised_rows<Bits>& w, std::size_t i, std::size_t begin, rows<bfloat16> to) noexcept {
    using matrix = quantised_rows<Bits>;
    PALI_ASSERT(begin % matrix::group == 0 && to.width % matrix::group == 0);
    const std::uint8_t* codes = w.codes_of(i) + matrix::strip * matrix::bytes_of(begin);
    const bfloat16* scales = w.scales_of(i) + matrix::strip * (begin / matrix::group);
    for (std::size_t at = 0; at < to.width; at += matrix::group, scales += matrix::strip) {
        strip_detail::eight_scales upper;
        std::memcpy(&upper, scales, sizeof upper);
        const auto scale = reinterpret_cast<eight_floats>(__builtin_convertvector(upper, eight_words) << 16);
        for (std::size_t k = 0; k < matrix::group; k += std::size_t{16} * 8 / Bits) {
            eight_words line[4];
#pragma GCC unroll 4
            for (std::size_t j = 0; j < 4; ++j, codes += sizeof line[j]) std::memcpy(&line[j], codes, sizeof line[j]);
            if constexpr (Bits == 8) strip_detail::decode_sixteen<8>(line, scale, to, at + k);
            else {
#pragma GCC unroll 4
                for (std::size_t j = 0; j < 4; ++j) line[j] ^= 0x88888888u; // code + 8 with its upper bit turned is the code
                strip_detail::decode_sixteen<4>(line, scale, to, at + 16);
#pragma GCC unroll 4
                for (std::size_t j = 0; j < 4; ++j) line[j] <<= 4;
                strip_detail::decode_sixteen<4>(line, scale, to, at);
            }
        }
    }
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// y = x · wᵀ + bias for many rows at once, by tile registers: Intel AMX, or anything else that does what its instructions say.

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// Where the kernel gets weights from, part after part. panel(first, begin, room) gives the numbers [begin, begin + room.width) of the outputs
/// [first, first + room.count) as bfloat16, where they lie or in `room`. Threads call it at the same time; it must not throw.
template <class Weights>
concept panel_source = requires(const Weights& weights, std::size_t n, rows<bfloat16> room) {
    { weights.count() } -> std::convertible_to<std::size_t>; // outputs
    { weights.width() } -> std::convertible_to<std::size_t>; // inputs
    { weights.panel(n, n, room) } -> std::convertible_to<rows<const bfloat16>>;
};

/// Weights that are bfloat16 as they lie.
struct stored_panels {
    rows<const bfloat16> matrix; ///< (N, K)

    [[nodiscard]] std::size_t count() const noexcept { return matrix.count; } ///< N
    [[nodiscard]] std::size_t width() const noexcept { return matrix.width; } ///< K
    /// Where they lie.
    [[nodiscard]] rows<const bfloat16> panel(std::size_t first, std::size_t begin, rows<bfloat16> room) const noexcept {
        return {matrix[first] + begin, room.count, room.width, matrix.stride};
    }
};

/// Weights in codes.
template <std::size_t Bits>
struct quantised_panels {
    const quantised_rows<Bits>& matrix; ///< (N, K); not owned

    [[nodiscard]] std::size_t count() const noexcept { return matrix.count; } ///< N
    [[nodiscard]] std::size_t width() const noexcept { return matrix.width; } ///< K
    /// Decoded in `room`: whole groups, whole strips.
    [[nodiscard]] rows<const bfloat16> panel(std::size_t first, std::size_t begin, rows<bfloat16> room) const noexcept {
        constexpr std::size_t strip = quantised_rows<Bits>::strip;
        PALI_ASSERT(first % strip == 0 && room.count % strip == 0);
        for (std::size_t i = 0; i < room.count; i += strip) read_strip_avx2(matrix, (first + i) / strip, begin, room.slice(i, strip));
        return room;
    }
};

namespace tile_detail {

inline constexpr std::size_t tile_rows = 16;                 // outputs of a tile of weights, tokens of a tile of activations
inline constexpr std::size_t tile_inputs = 32;               // numbers of a row of weights that one step takes
inline constexpr std::size_t tile_lanes = tile_rows * 16;    // a tile as numbers of 32 bits
inline constexpr std::size_t tile_stride = 64;               // bytes of a row of a tile that lies in one piece
inline constexpr std::size_t panel_outputs = 2 * tile_rows;  // two tiles of weights times two of tokens: each is loaded once for two products

/// Turns a tile of 16 x 16 numbers of 32 bits over, to rows that are `stride` floats apart. If `Adds`, to[i][j] = from[j][i] + bias[j]; else the bits stay as they are.
template <bool Adds>
PALI_TARGET("avx2")
inline void transpose_tile(const void* from, float* to, std::size_t stride, const float* bias = nullptr) noexcept {
    const auto* const source = static_cast<const float*>(from);
    for (std::size_t column = 0; column < 16; column += 8) // lines of `to` are written whole
        for (std::size_t row = 0; row < 16; row += 8) {
            eight_floats block[8];
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) block[i] = *reinterpret_cast<const eight_floats_in_memory*>(source + (row + i) * 16 + column);
            transpose(block);
#pragma GCC unroll 8
            for (std::size_t i = 0; i < 8; ++i) {
                if constexpr (Adds) block[i] += *reinterpret_cast<const eight_floats_in_memory*>(bias + row);
                *reinterpret_cast<eight_floats_in_memory*>(to + (column + i) * stride + row) = block[i];
            }
        }
}

/// Activations as the B operand: tiles of 16 pairs of numbers (rows) x 16 tokens, zero behind the last number and the last token.
struct packed_tokens {
    float* tiles = nullptr; ///< two bfloat16 in each; (tiles of tokens, steps, 16, 16)
    std::size_t count = 0;  ///< tokens
    std::size_t steps = 0;

    [[nodiscard]] float* tile(std::size_t token_tile, std::size_t step) const noexcept { return tiles + (token_tile * steps + step) * tile_lanes; }
};

/// Rounds and packs the steps [first, last) of one tile of tokens. A row of the tile is a pair of numbers for 16 tokens, so it is the tokens'
/// own rows turned over by pairs.
PALI_TARGET("avx2")
inline void pack_tokens(rows<const float> x, const packed_tokens& to, std::size_t token_tile, std::size_t first, std::size_t last) noexcept {
    alignas(64) bfloat16 rounded[tile_rows][tile_inputs] = {};
    const std::size_t tokens = std::min(tile_rows, x.count - token_tile * tile_rows);
    for (std::size_t step = first; step < last; ++step) {
        const std::size_t k = step * tile_inputs, width = std::min(tile_inputs, x.width - k);
        if (width < tile_inputs)
            for (auto& row : rounded) std::fill(std::begin(row), std::end(row), bfloat16{});
        for (std::size_t t = 0; t < tokens; ++t) {
            const float* const row = x[token_tile * tile_rows + t] + k;
            if (width == tile_inputs)
                for (std::size_t i = 0; i < tile_inputs; i += 16) round_sixteen(row + i, rounded[t] + i);
            else
                for (std::size_t i = 0; i < width; ++i) rounded[t][i] = bfloat16(row[i]);
        }
        transpose_tile<false>(rounded, to.tile(token_tile, step), tile_rows);
    }
}

/// How a task goes through its products. Processors with tiles have a second-level cache of 2 MiB at least: a part of the tokens' numbers takes 3/4 of 1 MiB, sums of all panels up
/// to 1/2, and the rest is for weights.
struct tile_blocking {
    std::size_t panels; ///< of a task
    std::size_t tiles;  ///< of tokens
    std::size_t steps;  ///< of a part of the inputs

    /// Even shares, and at least four tasks a thread, so that others can help a thread that is late.
    tile_blocking(std::size_t outputs, const packed_tokens& x, std::size_t threads) noexcept {
        const auto pieces = [](std::size_t n, std::size_t most) { return std::max<std::size_t>(1, (n + most - 1) / most); };
        const auto even = [&](std::size_t n, std::size_t most) { return std::max<std::size_t>(2, (pieces(n, pieces(n, most)) + 1) / 2 * 2); }; // groups of weights may have two steps
        const std::size_t all = pieces(outputs, panel_outputs);
        panels = pieces(all, threads * std::max<std::size_t>(4, pieces(all, threads * 8)));
        tiles = even(pieces(x.count, tile_rows), 32);
        steps = even(x.steps, 768 / tiles);
    }
    /// Floats of a part of a panel.
    [[nodiscard]] std::size_t panel_floats() const noexcept { return 2 * steps * tile_lanes; }
    /// Floats of the sums of a task.
    [[nodiscard]] std::size_t sum_floats() const noexcept { return 2 * panels * tiles * tile_lanes; }
};

/// Tiles 0 to 3 are sums (outputs, tokens), 4 and 5 weights (outputs, numbers), 6 and 7 activations (pairs, tokens).
inline constexpr arch::tile_shapes whole_tiles = [] {
    arch::tile_shapes shapes;
    for (std::size_t tile = 0; tile < 8; ++tile) {
        shapes.row_count[tile] = tile_rows;
        shapes.row_bytes[tile] = tile_stride;
    }
    return shapes;
}();

/// Calls act(integral_constant) for tiles 0 to N - 1.
template <int N, class Act>
PALI_ALWAYS_INLINE inline void each_tile(Act&& act) noexcept {
    [&]<int... Tile>(std::integer_sequence<int, Tile...>) PALI_ALWAYS_INLINE { (act(std::integral_constant<int, Tile>{}), ...); }(std::make_integer_sequence<int, N>{});
}

/// Adds a part of the products of two tiles of outputs and B of tokens to `sums` (B, 2, 16, 16), which begin here if `begins`.
template <arch::tile_unit Tiles, int B>
inline void add_part(rows<const bfloat16> w, const float* tokens, std::size_t next_tile, bool begins, float* sums) noexcept {
    each_tile<2 * B>([&](auto tile) { begins ? Tiles::template zero<tile()>() : Tiles::template load<tile()>(sums + tile() * tile_lanes, tile_stride); });
    const std::size_t stride = w.stride * sizeof(bfloat16); // copies: tiles are loaded by code that might write to any memory
    const bfloat16 *upper = w.data, *lower = w[tile_rows];
    for (std::size_t steps = w.width / tile_inputs; steps != 0; --steps, upper += tile_inputs, lower += tile_inputs, tokens += tile_lanes) {
        Tiles::template load<4>(upper, stride);
        Tiles::template load<6>(tokens, tile_stride);
        Tiles::template dot_bfloat16<0, 4, 6>();
        Tiles::template load<5>(lower, stride);
        Tiles::template dot_bfloat16<1, 5, 6>();
        if constexpr (B == 2) {
            Tiles::template load<7>(tokens + next_tile, tile_stride);
            Tiles::template dot_bfloat16<2, 4, 7>();
            Tiles::template dot_bfloat16<3, 5, 7>();
        }
    }
    each_tile<2 * B>([&](auto tile) { Tiles::template store<tile()>(sums + tile() * tile_lanes, tile_stride); });
}

/// A tile of sums, turned over and with its bias if there is one, to the rows of y that begin at `y`.
PALI_TARGET("avx2")
inline void write_tile(const float* sums, const float* bias, std::size_t outputs, std::size_t tokens, float* y, std::size_t stride) noexcept {
    float added[tile_rows] = {};
    if (bias) std::copy_n(bias, outputs, added);
    if (outputs == tile_rows && tokens == tile_rows) return transpose_tile<true>(sums, y, stride, added);
    alignas(64) float turned[tile_rows][tile_rows];
    transpose_tile<true>(sums, turned[0], tile_rows, added);
    for (std::size_t t = 0; t < tokens; ++t) std::memcpy(y + t * stride, turned[t], outputs * sizeof(float));
}

/// The sums of add_part(), which are those of outputs [first, first + n) and of tiles [begin, end) of tokens, to y.
PALI_TARGET("avx2")
inline void write_sums(const float* sums, const float* bias, std::size_t first, std::size_t n, std::size_t begin, std::size_t end, rows<float> y) noexcept {
    for (std::size_t tile = begin; tile < end; ++tile)
        for (std::size_t output = 0; output < panel_outputs; output += tile_rows, sums += tile_lanes) {
            if (output >= n) continue;
            const std::size_t token = tile * tile_rows, at = first + output;
            write_tile(sums, bias ? bias + at : nullptr, std::min(tile_rows, n - output), std::min(tile_rows, y.count - token), y[token] + at, y.stride);
        }
}

/// The numbers of `steps` steps from number `begin` on: where those of 32 outputs are not all there, in `room`, with zeros behind the last input. What lies behind the last output is
/// added to sums that go nowhere.
template <panel_source Weights>
rows<const bfloat16> whole_panel(const Weights& weights, std::size_t first, std::size_t n, std::size_t begin, std::size_t steps, bfloat16* room) noexcept {
    const rows<bfloat16> whole(room, panel_outputs, steps * tile_inputs);
    const std::size_t inputs = std::min(weights.width() - begin, whole.width);
    const rows<const bfloat16> there = weights.panel(first, begin, {room, n, inputs, whole.width});
    if (n == whole.count && inputs == whole.width) return there;
    for (std::size_t i = 0; i < n; ++i) {
        if (there.data != room) std::memcpy(whole[i], there[i], inputs * sizeof(bfloat16));
        std::fill(whole[i] + inputs, whole[i] + whole.width, bfloat16{});
    }
    return whole;
}

/// The outputs [first, first + count) of every token. `room` is for this thread's weights and sums.
template <arch::tile_unit Tiles, panel_source Weights>
void multiply_outputs(const Weights& weights, std::size_t first, std::size_t count, const packed_tokens& x, const tile_blocking& cut, const float* bias, rows<float> y, float* room) noexcept {
    const std::size_t tiles = (x.count + tile_rows - 1) / tile_rows, parts = std::max<std::size_t>(1, (x.steps + cut.steps - 1) / cut.steps);
    Tiles::configure(whole_tiles);
    for (std::size_t begin = 0; begin < tiles; begin += cut.tiles)
        for (std::size_t part = 0; part < parts; ++part)
            for (std::size_t panel = 0; panel * panel_outputs < count; ++panel) {
                const std::size_t at = first + panel * panel_outputs, n = std::min(panel_outputs, first + count - at), step = part * cut.steps;
                const auto w = whole_panel(weights, at, n, step * tile_inputs, std::min(cut.steps, x.steps - step), reinterpret_cast<bfloat16*>(room));
                float* const sums = room + cut.panel_floats() + 2 * panel * cut.tiles * tile_lanes;
                const std::size_t end = std::min(tiles, begin + cut.tiles);
                for (std::size_t t = begin; t < end; t += 2) {
                    float* const mine = sums + 2 * (t - begin) * tile_lanes;
                    if (t + 1 < end) add_part<Tiles, 2>(w, x.tile(t, step), x.steps * tile_lanes, part == 0, mine);
                    else add_part<Tiles, 1>(w, x.tile(t, step), 0, part == 0, mine);
                    if (part + 1 == parts) write_sums(mine, bias, at, n, t, std::min(t + 2, end), y);
                }
            }
    Tiles::release();
}

} // namespace tile_detail

/**
 * y = x · wᵀ + bias for each factor. x (T, K) float, rounded to bfloat16; source(weights) gives the numbers of weights (N, K).
 * Accumulates in float32, 16 pairs of products after 16 pairs: the order of each sum depends on K alone, so results are the same for any T and any
 * number of threads (not those of matmul(), which does not round x). Numbers that are denormal count as zero.
 * 2·T·N·K flop, for T in whole tiles of 16 and N in whole panels of 32. Reads weights once for 512 tokens, tokens once for a task's panels, and both once for 32 of the other from the
 * second-level cache. Takes T·K/2 floats of scratch, and up to 1 MiB a thread. Needs AVX2 besides the tiles.
 * Source: TDPBF16PS in volume 2 of Intel's Software Developer's Manual; that a matrix as stored is its first operand is all the layout needs.
 */
template <arch::tile_unit Tiles, class Weights, class Source>
    requires panel_source<std::invoke_result_t<Source, const Weights&>>
void matmul_amx(Tiles, rows<const float> x, std::initializer_list<factor<Weights>> with, Source&& source, thread_pool& threads, arena& scratch) {
    const arena::frame frame(scratch);
    const std::size_t steps = (x.width + tile_detail::tile_inputs - 1) / tile_detail::tile_inputs;
    const std::size_t token_tiles = (x.count + tile_detail::tile_rows - 1) / tile_detail::tile_rows;
    const tile_detail::packed_tokens packed{scratch.take(token_tiles * steps * tile_detail::tile_lanes), x.count, steps};
    constexpr std::size_t steps_a_task = 16;
    const std::size_t pieces = (steps + steps_a_task - 1) / steps_a_task;
    const auto pack = [&](std::size_t task) {
        const std::size_t first = task % pieces * steps_a_task;
        tile_detail::pack_tokens(x, packed, task / pieces, first, std::min(steps, first + steps_a_task));
    };
    threads.run(token_tiles * pieces, pack);

    for (const auto& [weights, bias, y] : with) {
        const arena::frame of_one(scratch);
        const auto panels = source(weights);
        PALI_ASSERT(x.width == panels.width() && y.width == panels.count() && y.count == x.count);
        const tile_detail::tile_blocking cut(y.width, packed, threads.size());
        const std::size_t room_a_thread = cut.panel_floats() + cut.sum_floats();
        float* const room = scratch.take(threads.size() * room_a_thread);
        threads.run_blocks(y.width, cut.panels * tile_detail::panel_outputs, [&](std::size_t first, std::size_t n, std::size_t thread) {
            tile_detail::multiply_outputs<Tiles>(panels, first, n, packed, cut, bias, y, room + thread * room_a_thread);
        });
    }
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// Attention over keys and values in bfloat16 by tile registers: 16 queries against 64 keys, or 64 numbers of values, at once.

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// Queries, and weights of values, are rows of a first operand of tiles; keys turned over, and values, both in pairs, are second operands as they lie.
template <arch::tile_unit Tiles>
struct tile_weighted_rows {
    using number = bfloat16;  ///< of weights
    using element = bfloat16; ///< of rows

    /// n weights, rounded to nearest even, with zeros up to whole steps of 32; may be done in place, where a weight takes half of its room.
    PALI_TARGET("avx2")
    static void pack(const float* p, std::size_t n, bfloat16* packed) noexcept {
        std::size_t j = 0;
        for (; j + 16 <= n; j += 16) round_sixteen(p + j, packed + j);
        if (j < n) {
            float rest[16] = {};
            std::memcpy(rest, p + j, (n - j) * sizeof(float));
            round_sixteen(rest, packed + j);
            j += 16;
        }
        for (; j % tile_detail::tile_inputs != 0; ++j) packed[j] = bfloat16{};
    }

    /// The tiles of the calling thread while the object exists.
    class weigher {
    public:
        static constexpr std::size_t queries_a_block = 2 * tile_detail::tile_rows; ///< keys and values of a block are read twice, the second time from the first-level cache
        static constexpr std::size_t rows_at_once = tile_detail::tile_rows;        ///< rows of p and y that are touched together, whether they are there or not

        /// Floats of memory that one needs for rows of v of such a width.
        [[nodiscard]] static constexpr std::size_t floats(std::size_t width) noexcept { return pairs_a_step * width; }
        /// `memory` is for it alone while it exists.
        explicit weigher(float* memory) noexcept : m_last_step(reinterpret_cast<bfloat16*>(memory)) { Tiles::configure(tile_detail::whole_tiles); }
        ~weigher() { Tiles::release(); }
        weigher(const weigher&) = delete;
        weigher& operator=(const weigher&) = delete;

        /// y = y · decay + p · v for p (T, J), as pack() makes it, v (J, y.width) and y (T, y.width), y.width a multiple of 16; y = p · v where there is no decay.
        void operator()(rows<const bfloat16> p, const paired_rows<bfloat16>& v, const float* decay, rows<float> y) const noexcept {
            PALI_ASSERT(v.width == y.width);
            const std::size_t whole = p.width / tile_detail::tile_inputs * tile_detail::tile_inputs;
            const operands of{p, v, whole, whole == p.width ? nullptr : last_step(v, whole, p.width)};
            for (std::size_t r = 0; decay && r < y.count; ++r)
                if (decay[r] != 1)
                    for (std::size_t c = 0; c < y.width; ++c) y[r][c] *= decay[r];
            for (std::size_t r = 0; r < p.count; r += rows_at_once) {
                std::size_t c = 0;
                for (; c + 4 * tile_detail::tile_rows <= y.width; c += 4 * tile_detail::tile_rows) add<4>(of, r, c, decay, y);
                for (; c < y.width; c += tile_detail::tile_rows) add<1>(of, r, c, decay, y);
            }
        }

    private:
        static constexpr std::size_t pairs_a_step = tile_detail::tile_inputs / 2;

        struct operands {
            rows<const bfloat16> p;
            paired_rows<bfloat16> v;
            std::size_t whole;         ///< rows of v in whole steps
            const bfloat16* last_step; ///< those behind them, with zeros up to a step; or null
        };

        /// Rows [begin, end) of v, fewer than a step: behind them may be anything, which a zero would not undo.
        const bfloat16* last_step(const paired_rows<bfloat16>& v, std::size_t begin, std::size_t end) const noexcept {
            const std::size_t there = (end - begin) / 2 * 2 * v.width;
            std::memcpy(m_last_step, v.data + begin * v.width, there * sizeof(bfloat16));
            std::fill(m_last_step + there, m_last_step + 2 * pairs_a_step * v.width, bfloat16{});
            if ((end - begin) % 2 != 0)
                for (std::size_t c = 0; c < v.width; ++c) m_last_step[there + 2 * c] = v.at(end - 1, c);
            return m_last_step;
        }

        /// 16 rows from row r on, C tiles of columns from column c on: one tile of p is multiplied by C of v.
        template <int C>
        static void add(const operands& of, std::size_t r, std::size_t c, const float* decay, rows<float> y) noexcept {
            const auto sums = [&](int tile) { return y[r] + c + static_cast<std::size_t>(tile) * tile_detail::tile_rows; };
            const std::size_t y_stride = y.stride * sizeof(float), p_stride = of.p.stride * sizeof(bfloat16), row = 2 * of.v.width; // of a pair of rows
            const auto step = [&](std::size_t j, const bfloat16* v) PALI_ALWAYS_INLINE {
                Tiles::template load<4>(of.p[r] + j, p_stride);
                tile_detail::each_tile<C>([&](auto tile) {
                    Tiles::template load<5>(v + 2 * (c + static_cast<std::size_t>(tile()) * tile_detail::tile_rows), row * sizeof(bfloat16));
                    Tiles::template dot_bfloat16<tile(), 4, 5>();
                });
            };
            tile_detail::each_tile<C>([&](auto tile) { decay ? Tiles::template load<tile()>(sums(tile()), y_stride) : Tiles::template zero<tile()>(); });
            for (std::size_t j = 0; j < of.whole; j += tile_detail::tile_inputs) step(j, of.v.data + j * of.v.width);
            if (of.last_step) step(of.whole, of.last_step);
            tile_detail::each_tile<C>([&](auto tile) { Tiles::template store<tile()>(sums(tile()), y_stride); });
        }

        bfloat16* m_last_step; ///< (16 pairs, width)
    };
};

/// attention() that rounds scaled queries, and the weights of values, to bfloat16. Sums and the softmax stay float32; the order of sums is that of the tiles, 16 pairs of terms after 16 pairs.
template <arch::tile_unit Tiles, class A>
void attention_amx(Tiles, arch::simd<A> tag, const attention_shape& shape, rows<const float> q, const key_values<bfloat16>& seen, const prefix_mask& mask, rows<float> out, thread_pool& threads,
                   arena& scratch) {
    detail::run_attention<tile_weighted_rows<Tiles>>(tag, shape, q, seen, mask, out, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// Products with bfloat16 weights by AVX512-BF16: pairs of products, twice as many at once as FMA has.

#if defined(__x86_64__)
#  include <immintrin.h>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/**
 * vdpbf16ps adds two products of bfloat16 to each of sixteen sums: x is rounded to bfloat16, weights are taken as they lie, and nothing is widened. Denormal
 * numbers count as zero. Needs arch::features::avx512_bf16.
 */
struct avx512_bfloat16_dot {
    using number = bfloat16;                              ///< of packed activations
    using element = bfloat16;                             ///< of weights
    static constexpr std::size_t lanes = 16, pair = 32;   ///< of a register of sums; numbers that are multiplied at once
    static constexpr bool in_parts = false; ///< ten registers are read for 24 products: the second-level cache is quick enough
    /// Columns of a tile beside R rows: 24 sums, their weights and one activation are what 32 registers hold.
    template <std::size_t R>
    static constexpr std::size_t columns = R == 1 ? 8 : R == 4 ? 6 : 4;

    /// Rounds a row to nearest even, and fills it with zeros to whole pairs.
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static void pack(const float* x, std::size_t width, bfloat16* packed) noexcept {
        for (std::size_t k = 0; k < width; k += pair) {
            const std::size_t rest = width - k;
            const __m512 low = _mm512_maskz_loadu_ps(first_lanes<__mmask16>(rest), x + k);
            const __m512 high = rest > lanes ? _mm512_maskz_loadu_ps(first_lanes<__mmask16>(rest - lanes), x + k + lanes) : _mm512_setzero_ps();
            const __m512bh rounded = _mm512_cvtne2ps_pbh(high, low);
            _mm512_storeu_si512(packed + k, (__m512i)rounded);
        }
    }

    /// As simd_dot::tile(), whose promises it keeps.
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static void tile(rows<const bfloat16> x, rows<const bfloat16> w, [[maybe_unused]] const detail::partial_sums& part, const float* bias, rows<float> y) noexcept {
        PALI_ASSERT(part.begin == 0 && part.end == w.width);
        const std::size_t whole = w.width / pair * pair;
        __m512 sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = _mm512_setzero_ps();
        if constexpr (R == 1) add_row(x[0], w, whole, sums[0]);
        else
            PALI_NO_UNROLL
            for (std::size_t k = 0; k < whole; k += pair) {
                __m512i weights[C];
                PALI_UNROLL
                for (std::size_t c = 0; c < C; ++c) weights[c] = _mm512_loadu_si512(w[c] + k);
                add(x, k, weights, sums, rows<const bfloat16>(w[2 * C] + k, C, pair, w.stride)); // which come two tiles later
            }
        if (whole != w.width) { // the row ends inside a register, and what lies behind it may not be ours to read
            __m512i weights[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) weights[c] = _mm512_maskz_loadu_epi16(first_lanes<__mmask32>(w.width - whole), w[c] + whole);
            add(x, whole, weights, sums, w);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; c += 4) {
                __m512 four[4];
                PALI_UNROLL
                for (std::size_t i = 0; i < 4; ++i) four[i] = c + i < C ? sums[r][c + i < C ? c + i : 0] : _mm512_setzero_ps();
                __m128 of_columns = add_lanes(four);
                if (c + 4 <= C) {
                    if (bias) of_columns += _mm_loadu_ps(bias + c);
                    _mm_storeu_ps(y[r] + c, of_columns);
                } else {
                    PALI_UNROLL
                    for (std::size_t i = c; i < C; ++i) y[r][i] = of_columns[i - c] + (bias ? bias[i] : 0.f);
                }
            }
    }

private:
    /// A mask of so many lanes, or of all.
    template <class Mask>
    [[nodiscard]] static Mask first_lanes(std::size_t count) noexcept {
        return count >= 8 * sizeof(Mask) ? static_cast<Mask>(~Mask{0}) : static_cast<Mask>((Mask{1} << count) - 1);
    }

    /// Numbers [0, whole) of a single row times those of each column, which runs at the speed of memory: the fewer instructions a line of weights takes, the more lines to
    /// come are in the core's sight and asked for. So weights are operands in memory, and their places are offsets that serve two pointers, to these columns
    /// and to the next tile, which is fetched meanwhile.
    template <std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static inline void add_row(const bfloat16* x, rows<const bfloat16> w, std::size_t whole, __m512 (&sums)[C]) noexcept {
        struct line { bfloat16 numbers[pair]; };
        const char *now = reinterpret_cast<const char*>(w.data), *next = reinterpret_cast<const char*>(w[C]);
        std::size_t column[C] = {};
        PALI_UNROLL
        for (std::size_t c = 1; c < C; ++c) {
            column[c] = c * w.stride * sizeof(bfloat16);
            __asm__("" : "+r"(column[c])); // or compilers make a pointer of each sum
        }
        PALI_NO_UNROLL
        for (std::size_t k = 0; k < whole; k += pair, now += sizeof(line), next += sizeof(line)) {
            const __m512i value = _mm512_loadu_si512(x + k);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) {
                arch::fetch_ahead(next + column[c]);
                __m512 sum = sums[c]; // by name: g++ would leave what assembly changes in memory
                __asm__("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(value), "m"(*reinterpret_cast<const line*>(now + column[c])));
                sums[c] = sum;
            }
        }
    }

    /// One register of each row times one of each column. Beside two and four rows, columns that come later are fetched meanwhile, evenly: reading waits less so.
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static inline void add(rows<const bfloat16> x, std::size_t k, const __m512i (&weights)[C], __m512 (&sums)[R][C], const rows<const bfloat16>& later) noexcept {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            __m512i value = _mm512_loadu_si512(x[r] + k);
            PALI_IN_REGISTER(value);
            if constexpr (R == 2 || R == 4)
                for (std::size_t c = r * C / R; c < (r + 1) * C / R; ++c) arch::fetch_ahead(later[c]);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], (__m512bh)value, (__m512bh)weights[c]);
        }
    }

    /// The sums of the lanes of four registers, each in the same order.
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    PALI_ALWAYS_INLINE static inline __m128 add_lanes(const __m512 (&of)[4]) noexcept {
        const __m512 ab = __builtin_shufflevector(of[0], of[1], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                          __builtin_shufflevector(of[0], of[1], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
        const __m512 cd = __builtin_shufflevector(of[2], of[3], 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29) +
                          __builtin_shufflevector(of[2], of[3], 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
        const __m512 fours = __builtin_shufflevector(ab, cd, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
                             __builtin_shufflevector(ab, cd, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
        const __m256 halves = __builtin_shufflevector(fours, fours, 0, 1, 2, 3, 4, 5, 6, 7) + __builtin_shufflevector(fours, fours, 8, 9, 10, 11, 12, 13, 14, 15);
        return __builtin_shufflevector(halves, halves, 0, 1, 2, 3) + __builtin_shufflevector(halves, halves, 4, 5, 6, 7);
    }
};

/**
 * y = x · wᵀ + bias for each factor. x (T, K) float, rounded to bfloat16.
 * Accumulates in float32; the order of each sum depends on K alone, so results are the same for any T and any number of threads (not those of x that is not
 * rounded). 2·T·N·K flop; reads w once a call from memory, and once a row tile from the second-level cache. Takes T·K/2 floats of scratch.
 */
inline void matmul_avx512(rows<const float> x, std::initializer_list<factor<rows<const bfloat16>>> with, thread_pool& threads, arena& scratch) {
    detail::multiply<avx512_bfloat16_dot>(x, with, detail::stored_rows, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

#endif

// Attention over keys and values in bfloat16 by AVX512-BF16: two numbers of a key, or two values, at once.

#if defined(__x86_64__)
#  include <immintrin.h>

#  include <cstdint>
#  include <cstring>

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// vdpbf16ps adds a number of each of two rows to each of sixteen sums: weights are rounded to bfloat16, rows are taken as they lie. Needs arch::features::avx512_bf16.
struct avx512_weighted_rows {
    using number = bfloat16;                ///< of weights
    using element = bfloat16;               ///< of rows
    using weigher = detail::register_weigher<avx512_weighted_rows>; ///< goes through both in tiles of registers
    static constexpr std::size_t lanes = 16; ///< of a register of sums
    /// Registers of columns of a tile beside R rows.
    template <std::size_t R>
    static constexpr std::size_t columns = 4;

    /// n weights, rounded to nearest even, with a zero behind an odd one; may be done in place, where a weight takes half of its room.
    static void pack(const float* p, std::size_t n, bfloat16* packed) noexcept { avx512_bfloat16_dot::pack(p, n, packed); }

    /// As simd_weighted_rows::tile(), two terms at a time.
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static void tile(rows<const bfloat16> p, const paired_rows<bfloat16>& v, const float* decay, rows<float> y) noexcept {
        __m512 sums[R][C];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = decay ? _mm512_load_ps(y[r] + c * lanes) * _mm512_set1_ps(decay[r]) : _mm512_setzero_ps();
        const std::size_t whole = p.width / 2 * 2;
        PALI_NO_UNROLL
        for (std::size_t j = 0; j < whole; j += 2) {
            __m512i values[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) values[c] = _mm512_load_si512(v.data + j * v.width + 2 * c * lanes);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) arch::fetch_ahead(v.data + (j + p.width) * v.width + 2 * c * lanes);
            add(p, j, values, sums);
        }
        if (whole != p.width) { // the row beside the last is not there, and may be no number
            __m512i values[C];
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) values[c] = _mm512_maskz_loadu_epi16(0x55555555, v.data + whole * v.width + 2 * c * lanes);
            add(p, whole, values, sums);
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) _mm512_store_ps(y[r] + c * lanes, sums[r][c]);
    }

private:
    template <std::size_t R, std::size_t C>
    PALI_TARGET("avx512f,avx512bw,avx512bf16")
    static inline void add(const rows<const bfloat16>& p, std::size_t j, const __m512i (&values)[C], __m512 (&sums)[R][C]) noexcept {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            std::int32_t both;
            std::memcpy(&both, p[r] + j, sizeof both);
            __m512i weights = _mm512_set1_epi32(both);
            PALI_IN_REGISTER(weights);
            PALI_UNROLL
            for (std::size_t c = 0; c < C; ++c) sums[r][c] = _mm512_dpbf16_ps(sums[r][c], (__m512bh)weights, (__m512bh)values[c]);
        }
    }
};

/// attention() that rounds scaled queries, and the weights of values, to bfloat16. Sums and the softmax stay float32, and are those of attention() otherwise.
template <class A>
void attention_avx512(arch::simd<A> tag, const attention_shape& shape, rows<const float> q, const key_values<bfloat16>& seen, const prefix_mask& mask, rows<float> out, thread_pool& threads,
                      arena& scratch) {
    detail::run_attention<avx512_weighted_rows>(tag, shape, q, seen, mask, out, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

#endif

// The attention of the networks: one front, and the kernel that suits keys, values and processor.

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// attention(); over bfloat16 by what multiplies it: AMX where there are many queries, AVX512-BF16 always.
template <weight_element Element>
void attend(const attention_shape& shape, rows<const float> q, const key_values<Element>& seen, const prefix_mask& mask, rows<float> out, thread_pool& threads, arena& scratch) {
#if defined(__x86_64__)
    if constexpr (std::same_as<Element, bfloat16>) {
        if (q.count >= detail::many_rows && arch::in_use().amx_bf16) return attention_amx(arch::amx_tiles{}, arch::native, shape, q, seen, mask, out, threads, scratch);
        if (arch::in_use().avx512_bf16) return attention_avx512(arch::native, shape, q, seen, mask, out, threads, scratch);
    }
#endif
    attention(arch::native, shape, q, seen, mask, out, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// Rotary position embedding: pairs (i, i + head_dim / 2) of each head turn by an angle that grows with the position.

namespace pali::inline PALI_ABI::kernels {

/// Cosines and sines of every position and pair, computed once. Su et al., arXiv 2104.09864; halves are split as in
/// big_vision models/ppp/gemma.py _apply_rope, and the angles rounded to float32 as in transformers.
class rope_table {
public:
    /// For heads of `head_dim`, with base `theta`; covers no position yet.
    rope_table(std::size_t head_dim, float theta) {
        for (std::size_t i = 0; i < head_dim / 2; ++i)
            m_frequencies.push_back(1.f / std::pow(theta, static_cast<float>(2 * i) / static_cast<float>(head_dim)));
    }

    /// Positions covered.
    [[nodiscard]] std::size_t positions() const noexcept { return m_table.size() / (2 * m_frequencies.size()); }

    /// Covers positions [0, positions): computes those that it did not.
    void extend(std::size_t positions) {
        const std::size_t half = m_frequencies.size(), covered = this->positions();
        if (positions <= covered) return;
        m_table.resize(positions * 2 * half);
        for (std::size_t p = covered; p < positions; ++p)
            for (std::size_t i = 0; i < half; ++i) {
                const float angle = static_cast<float>(p) * m_frequencies[i];
                m_table[p * 2 * half + i] = std::cos(angle);
                m_table[(p * 2 + 1) * half + i] = std::sin(angle);
            }
    }

    /// Turns one head, (head_dim), in place, as at `position`.
    void rotate(float* head, std::size_t position) const noexcept {
        PALI_ASSERT(position < positions());
        const std::size_t half = m_frequencies.size();
        const float* const cosine = m_table.data() + position * 2 * half;
        const float* const sine = cosine + half;
        for (std::size_t i = 0; i < half; ++i) {
            const float a = head[i], b = head[half + i];
            head[i] = a * cosine[i] - b * sine[i];
            head[half + i] = b * cosine[i] + a * sine[i];
        }
    }

private:
    std::vector<float> m_frequencies;
    aligned_vector<float> m_table; // (positions, cosine | sine, half)
};

} // namespace pali::inline PALI_ABI::kernels

// What a forward pass works with: threads and scratch memory.

namespace pali::inline PALI_ABI {

/// Threads and scratch of one model. Blocks take it as their last argument; one pass at a time.
struct context {
    thread_pool threads; ///< the caller's among them
    arena scratch;       ///< of the pass that runs

    /// As thread_pool's: `thread_count` counts the calling thread; 0: as many as the machine has.
    explicit context(std::size_t thread_count = 0, bool pin_threads = false) : threads(thread_count, pin_threads) {}

    /// An uninitialised (count, width) view that lives until the current frame of `scratch` ends.
    [[nodiscard]] matrix_view take(std::size_t count, std::size_t width) { return view_matrix(scratch.take(count * width), count, width); }
};

} // namespace pali::inline PALI_ABI

// Dot products of few tokens with quantised weights: bytes times bytes, summed exactly within a group.

#if defined(__x86_64__)
#  include <immintrin.h>
#endif

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// Tokens [first, first + count) that meet weights together, and lie together.
struct token_tile {
    std::size_t first = 0, count = 0; ///< tokens
};

/// Activations rounded to bytes, with a scale for each token and group of weights, tile after tile of R tokens. Views of scratch memory.
struct quantised_tokens {
    std::int8_t* codes = nullptr;   ///< (width / 4, R, 4) of each tile: four numbers of each token, the next four of each, ...
    float* scales = nullptr;        ///< (groups, R): the largest of a group is 127
    std::int32_t* begins = nullptr; ///< (groups, R): what sums begin with, for weights that are multiplied as code + 8, or + 128, and so have no sign
    std::size_t width = 0, groups = 0; ///< numbers of a token; width / group

    /// Scratch for `count` tokens that meet weights of `Bits` bits.
    template <std::size_t Bits>
    [[nodiscard]] static quantised_tokens take(arena& scratch, std::size_t count, std::size_t width) {
        const std::size_t groups = width / quantised_rows<Bits>::group;
        auto* const codes = reinterpret_cast<std::int8_t*>(scratch.take((count * width + 3) / 4));
        float* const scales = scratch.take(count * groups);
        return {.codes = codes, .scales = scales, .begins = reinterpret_cast<std::int32_t*>(scratch.take(count * groups)), .width = width, .groups = groups};
    }
};

/// Rounds groups [first, end) of one token: x (width) -> token t of `to`, which is one of `tile`. Where a number of a group is not finite, the scale is NaN, and so is
/// what is made of it.
template <std::size_t Bits>
void quantise_token(const float* x, std::size_t t, const token_tile& tile, std::size_t first, std::size_t end, const quantised_tokens& to) noexcept {
    constexpr std::size_t group = quantised_rows<Bits>::group;
    constexpr float least = 1e-36f; // below, 127 / top is more than a float holds
    static constexpr float nothing[group] = {};
    using batch = arch::simd<>::batch;
    x += first * group;
    std::int8_t* codes = to.codes + tile.first * to.width + first * group * tile.count + 4 * (t - tile.first);
    for (std::size_t g = first; g < end; ++g, x += group) {
        batch tops(0.f), strays(0.f); // a maximum may pass over NaN, which 0 · NaN and 0 · infinity do not
        for (std::size_t i = 0; i < group; i += batch::size) {
            const batch some = batch::load_unaligned(x + i);
            tops = xsimd::max(tops, xsimd::abs(some));
            strays += some * batch(0.f);
        }
        const float top = compat::reduce_max(tops) + compat::reduce_add(strays);
        const bool counts = top >= least; // and is no NaN
        const float* const numbers = counts ? x : nothing;
        const float inverse = counts ? 127.f / top : 0.f;
        std::int8_t rounded[group];
        int sum = 0;
        for (std::size_t i = 0; i < group; ++i) {
            const float scaled = numbers[i] * inverse; // rounded half away from zero, which vectorises everywhere
            const int code = static_cast<int>(scaled + (scaled < 0 ? -0.5f : 0.5f));
            rounded[i] = static_cast<std::int8_t>(code);
            sum += code;
        }
        for (std::size_t i = 0; i < group; i += 4, codes += 4 * tile.count) std::memcpy(codes, rounded + i, 4);
        const std::size_t at = tile.first * to.groups + g * tile.count + (t - tile.first);
        to.scales[at] = top / 127.f;
        to.begins[at] = (Bits == 4 ? -8 : -128) * sum;
    }
}

/// The formula, in integers within a group and float32 over groups: what every processor can do.
struct portable_dot {
    static constexpr std::size_t strips = 1, tokens = 4; ///< at once

    /// y[r] (8) = the rows of strip `i` · token `first + r` of x, for R tokens. There is no second strip.
    template <std::size_t R, std::size_t Bits>
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t, const quantised_tokens& x, std::size_t first, float (&y)[R][quantised_rows<Bits>::strip]) noexcept {
        for (std::size_t r = 0; r < R; ++r)
            one<Bits>(w.codes_of(i), w.scales_of(i), x.codes + first * x.width + 4 * r, x.scales + first * x.groups + r, R, x.groups, y[r]);
    }

private:
    /// One token of a tile of `together`. Never inlined: a multiplication and an addition are joined or not in one way, for any R.
    template <std::size_t Bits>
    [[gnu::noinline]] static void one(const std::uint8_t* codes, const bfloat16* scales, const std::int8_t* token, const float* token_scales, std::size_t together,
                                      std::size_t groups, float* y) noexcept {
        using matrix = quantised_rows<Bits>;
        std::fill(y, y + matrix::strip, 0.f);
        for (std::size_t g = 0; g < groups; ++g, codes += matrix::group_bytes, scales += matrix::strip, token += matrix::group * together, token_scales += together) {
            std::int8_t numbers[matrix::group];
            for (std::size_t k = 0; k < matrix::group; k += 4) std::memcpy(numbers + k, token + k * together, 4);
            std::int32_t sums[matrix::strip] = {};
            for (std::size_t k = 0; k < matrix::group_bytes / matrix::strip; ++k)
                for (std::size_t n = 0; n < matrix::strip; ++n) {
                    const std::uint8_t byte = codes[matrix::byte_in_group(n, k)];
                    if constexpr (Bits == 8) sums[n] += static_cast<std::int16_t>(static_cast<std::int8_t>(byte)) * static_cast<std::int16_t>(numbers[k]);
                    else sums[n] += ((byte & 15) - 8) * numbers[k] + ((byte >> 4) - 8) * numbers[k + matrix::group / 2];
                }
            for (std::size_t n = 0; n < matrix::strip; ++n) y[n] += static_cast<float>(scales[n]) * *token_scales * static_cast<float>(sums[n]);
        }
    }
};

#if defined(__x86_64__)

/// AVX2: vpmaddubsw, 32 products of an unsigned and a signed byte, added in pairs.
struct avx2_bytes {
    static constexpr bool keeps_signs = true; ///< of codes of 8 bits

    /// A group of codes, as code + 8, times a tile of R tokens. Sums of 16 products of at most 15 · 127 stay below 2^15.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_4_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i half = _mm256_set1_epi8(15);
        PALI_UNROLL
        for (std::size_t v = 0; v < 4; ++v) {
            __m256i bytes = load(codes + 32 * v);
            PALI_IN_REGISTER(bytes); // or g++ reads it twice
            const __m256i low = _mm256_and_si256(bytes, half), high = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), half);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                const std::int8_t* const four = tokens + 4 * (R * v + r);
                const __m256i both = _mm256_add_epi16(_mm256_maddubs_epi16(low, repeat(four)), _mm256_maddubs_epi16(high, repeat(four + 16 * R)));
                products[r] = v == 0 ? both : _mm256_add_epi16(products[r], both);
                PALI_IN_REGISTER(products[r]); // or g++ adds all at the end, and keeps them in memory until then
            }
        }
        for (auto& product : products) product = _mm256_madd_epi16(product, _mm256_set1_epi16(1));
    }

    /// The same with whole bytes: |code| times the number with the sign of the code. No pair overflows: 128 · 127 · 2 is below 2^15.
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_8_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        for (auto& product : products) product = _mm256_setzero_si256();
        PALI_UNROLL_EIGHT
        for (std::size_t v = 0; v < 16; ++v) {
            const __m256i bytes = load(codes + 32 * v), size = _mm256_abs_epi8(bytes);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                const __m256i pairs = _mm256_maddubs_epi16(size, _mm256_sign_epi8(repeat(tokens + 4 * (R * v + r)), bytes));
                products[r] = _mm256_add_epi32(products[r], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
    }

    PALI_TARGET("avx2,fma")
    static inline __m256i load(const void* from) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

    /// Eight of a group's scales.
    PALI_TARGET("avx2,fma")
    static inline __m256 load_scales(const bfloat16* from) noexcept {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))), 16));
    }

    /// Four bytes, eight times.
    PALI_TARGET("avx2,fma")
    static inline __m256i repeat(const std::int8_t* four) noexcept {
        std::int32_t bits;
        std::memcpy(&bits, four, sizeof bits);
        return _mm256_set1_epi32(bits);
    }
};

/// AVX-VNNI: vpdpbusd adds four products of an unsigned and a signed byte to each of eight sums. All around it is AVX2, which the assembly keeps so.
struct vnni_bytes {
    static constexpr bool keeps_signs = false;

    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_4_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i half = _mm256_set1_epi8(15);
        for (auto& product : products) product = _mm256_setzero_si256();
        PALI_UNROLL
        for (std::size_t v = 0; v < 4; ++v) {
            __m256i bytes = avx2_bytes::load(codes + 32 * v);
            PALI_IN_REGISTER(bytes);
            add(_mm256_and_si256(bytes, half), tokens + 4 * R * v, products);
            add(_mm256_and_si256(_mm256_srli_epi16(bytes, 4), half), tokens + 4 * R * v + 16 * R, products);
        }
    }

    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void of_8_bits(const std::uint8_t* codes, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        const __m256i top_bit = _mm256_set1_epi8(static_cast<char>(0x80)); // code + 128, in two's complement
        for (auto& product : products) product = _mm256_setzero_si256();
        PALI_UNROLL
        for (std::size_t v = 0; v < 16; ++v) add(_mm256_xor_si256(avx2_bytes::load(codes + 32 * v), top_bit), tokens + 4 * R * v, products);
    }

private:
    template <std::size_t R>
    PALI_TARGET("avx2,fma")
    static inline void add(__m256i weights, const std::int8_t* tokens, __m256i (&products)[R]) noexcept {
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) {
            const __m256i four = avx2_bytes::repeat(tokens + 4 * r);
            __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(products[r]) : "x"(weights), "x"(four));
        }
    }
};

/// A strip at a time; lanes are its rows. `Bytes` multiplies a group.
template <class Bytes>
struct x86_dot {
    static constexpr std::size_t strips = 1, tokens = 4;

    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx2,fma")
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t, const quantised_tokens& x, std::size_t first, float (&y)[R][quantised_rows<Bits>::strip]) noexcept {
        using matrix = quantised_rows<Bits>;
        const std::uint8_t* codes = w.codes_of(i);
        const bfloat16* scales = w.scales_of(i);
        const std::int8_t* activations = x.codes + first * x.width;
        const float* token_scales = x.scales + first * x.groups;
        const std::int32_t* begins = x.begins + first * x.groups;
        // Several tokens work on a strip more than once, and fetch the same place of the next; one token reads on.
        const std::size_t ahead = R == 1 ? one_ahead : matrix::strip * matrix::bytes_of(w.width), scales_ahead = ahead / matrix::group_bytes * matrix::strip;
        __m256 sums[R];
        for (auto& sum : sums) sum = _mm256_setzero_ps();
        for (std::size_t g = 0; g < x.groups; ++g) {
            PALI_UNROLL
            for (std::size_t line = 0; line < matrix::group_bytes; line += 64) arch::fetch_ahead(codes + ahead + line);
            arch::fetch_ahead(scales + scales_ahead);
            __m256i products[R];
            if constexpr (Bits == 4) Bytes::of_4_bits(codes, activations, products);
            else Bytes::of_8_bits(codes, activations, products);
            const __m256 scale = avx2_bytes::load_scales(scales);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) {
                if constexpr (Bits == 4 || !Bytes::keeps_signs) products[r] = _mm256_add_epi32(products[r], _mm256_set1_epi32(begins[r]));
                sums[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(products[r]), _mm256_mul_ps(scale, _mm256_broadcast_ss(token_scales + r)), sums[r]);
            }
            codes += matrix::group_bytes, scales += matrix::strip, activations += matrix::group * R, token_scales += R, begins += R;
        }
        for (std::size_t r = 0; r < R; ++r) _mm256_storeu_ps(y[r], sums[r]);
    }

private:
    static constexpr std::size_t one_ahead = 1024; // bytes; of 0.5 to 4 KB the best on Zen 3: docs/performance.md
};

using avx2_dot = x86_dot<avx2_bytes>;     ///< needs arch::features::avx2
using avx_vnni_dot = x86_dot<vnni_bytes>; ///< needs arch::features::avx_vnni

#endif

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// Dot products of tokens with quantised weights by AVX512-VNNI: bytes times bytes, of eight tokens at once and of one.

#if defined(__x86_64__)

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/**
 * Tokens together, two strips at a time: lanes are their sixteen rows. vpdpbusd adds four products of an unsigned and a signed byte to each lane; what codes without sign
 * add too much, the sums begin without. 32 registers hold eight tokens' sums within a group and over groups, so that codes are unpacked once for eight.
 * Needs arch::features::avx512_vnni.
 */
struct avx512_vnni_dot {
    static constexpr std::size_t strips = 2, tokens = 8; ///< at a time

    /// As portable_dot::dot(), of strips i and `second`.
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni")
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t second, const quantised_tokens& x, std::size_t first,
                    float (&y)[R][strips * quantised_rows<Bits>::strip]) noexcept {
        using matrix = quantised_rows<Bits>;
        const std::uint8_t *a = w.codes_of(i), *b = w.codes_of(second);
        const bfloat16 *a_scales = w.scales_of(i), *b_scales = w.scales_of(second);
        const std::int8_t* activations = x.codes + first * x.width;
        const std::int32_t* begins = x.begins + first * x.groups;
        const float* scales = x.scales + first * x.groups;
        const std::ptrdiff_t ahead = w.codes_of(strips) - w.codes, scales_ahead = w.scales_of(strips) - w.scales; // the same place of what comes next
        __m512 sums[R];
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) sums[r] = _mm512_setzero_ps();
        for (std::size_t g = 0; g < x.groups; ++g) {
            PALI_UNROLL
            for (std::size_t line = 0; line < matrix::group_bytes; line += 64) {
                arch::fetch_ahead(a + ahead + line);
                arch::fetch_ahead(b + ahead + line);
            }
            arch::fetch_ahead(a_scales + scales_ahead);
            arch::fetch_ahead(b_scales + scales_ahead);
            __m512i products[R];
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) products[r] = _mm512_set1_epi32(begins[r]);
            PALI_UNROLL
            for (std::size_t v = 0; v < matrix::group_bytes / 32; ++v) {
                const __m512i bytes = both(a + 32 * v, b + 32 * v);
                if constexpr (Bits == 4) {
                    const __m512i low_half = _mm512_set1_epi8(15);
                    add(_mm512_and_si512(bytes, low_half), activations + 4 * R * v, products);
                    add(_mm512_and_si512((__m512i)((words)bytes >> 4), low_half), activations + (4 * v + matrix::group / 2) * R, products);
                } else {
                    add(_mm512_xor_si512(bytes, _mm512_set1_epi8(static_cast<char>(0x80))), activations + 4 * R * v, products); // code + 128, in two's complement
                }
            }
            const __m512 scale = as_floats(a_scales, b_scales);
            PALI_UNROLL
            for (std::size_t r = 0; r < R; ++r) sums[r] = _mm512_fmadd_ps(__builtin_convertvector((numbers)products[r], __m512), _mm512_mul_ps(scale, _mm512_set1_ps(scales[r])), sums[r]);
            a += matrix::group_bytes, b += matrix::group_bytes, a_scales += matrix::strip, b_scales += matrix::strip;
            activations += matrix::group * R, begins += R, scales += R;
        }
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r) _mm512_storeu_ps(y[r], sums[r]);
    }

private:
    // Vectors of the compilers, and not intrinsics where those of g++ 12 warn of themselves.
    typedef std::uint16_t shorts __attribute__((vector_size(16), may_alias, aligned(1)));
    typedef std::int32_t numbers __attribute__((vector_size(64)));
    typedef std::uint32_t words __attribute__((vector_size(64)));
    typedef long long half __attribute__((vector_size(32), may_alias, aligned(1)));

    /// 32 bytes of each of two strips.
    PALI_TARGET("avx512f,avx512vnni")
    static inline __m512i both(const void* a, const void* b) noexcept {
        return (__m512i)__builtin_shufflevector(*static_cast<const half*>(a), *static_cast<const half*>(b), 0, 1, 2, 3, 4, 5, 6, 7);
    }

    /// Eight scales of each of two strips.
    PALI_TARGET("avx512f,avx512vnni")
    static inline __m512 as_floats(const bfloat16* a, const bfloat16* b) noexcept {
        const auto scales = __builtin_shufflevector(*reinterpret_cast<const shorts*>(a), *reinterpret_cast<const shorts*>(b), 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        return (__m512)(__builtin_convertvector(scales, words) << 16);
    }

    /// products[r] += weights · four numbers of token r. Assembly, because g++ 12 would load and repeat them by an instruction of its own.
    template <std::size_t R>
    PALI_TARGET("avx512f,avx512vnni")
    static inline void add(__m512i weights, const std::int8_t* activations, __m512i (&products)[R]) noexcept {
        struct four { std::int8_t numbers[4]; };
        PALI_UNROLL
        for (std::size_t r = 0; r < R; ++r)
            __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(products[r]) : "v"(weights), "m"(*reinterpret_cast<const four*>(activations + 4 * r)));
    }
};

/**
 * One token, which runs at the speed of memory: the fewer instructions a line of codes takes, the more lines to come are in the core's sight and asked for. A register
 * is eight numbers of each row of a strip, four in its lower half and four in its upper; the token's lie in one register, and are spread from there.
 * Needs arch::features::avx512_vnni.
 */
struct avx512_vnni_token_dot {
    static constexpr std::size_t strips = 1, tokens = 1; ///< at a time

    /// As portable_dot::dot().
    template <std::size_t R, std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni,fma")
    static void dot(const quantised_rows<Bits>& w, std::size_t i, std::size_t, const quantised_tokens& x, std::size_t token, float (&y)[R][quantised_rows<Bits>::strip]) noexcept {
        static_assert(R == 1, "one token at a time");
        using matrix = quantised_rows<Bits>;
        place at{w.codes_of(i), w.scales_of(i), x.codes + token * x.width, x.begins + token * x.groups, x.scales + token * x.groups};
        __m512i fours_of[matrix::group / 8];
        PALI_UNROLL
        for (std::size_t v = 0; v < matrix::group / 8; ++v) fours_of[v] = fours(2 * v);
        __m256 sums = _mm256_setzero_ps();
        std::size_t groups = x.groups;
        if constexpr (Bits == 4) // a line of the token at a time, which long strips drive out of the first-level cache
            PALI_NO_UNROLL
            for (; groups >= 2; groups -= 2) {
                __builtin_prefetch(at.activations + 128);
                sums = add_group<Bits>(at, fours_of, sums);
                sums = add_group<Bits>(at, fours_of, sums);
            }
        PALI_NO_UNROLL // clang would mix two groups of 8 bits, and read two places of memory at once for it
        for (; groups != 0; --groups) sums = add_group<Bits>(at, fours_of, sums);
        _mm256_storeu_ps(y[0], sums);
    }

private:
    typedef std::int32_t numbers __attribute__((vector_size(64)));

    /// The next group of a strip and of a token.
    struct place {
        const std::uint8_t* codes;
        const bfloat16* scales;
        const std::int8_t* activations;
        const std::int32_t* begins;
        const float* token_scales;
    };

    /// sums + what the group at `at` adds to each row; `at` goes on.
    template <std::size_t Bits, std::size_t Registers>
    PALI_TARGET("avx512f,avx512vnni,fma")
    PALI_ALWAYS_INLINE static inline __m256 add_group(place& at, const __m512i (&fours_of)[Registers], __m256 sums) noexcept {
        using matrix = quantised_rows<Bits>;
        constexpr std::size_t registers = matrix::group_bytes / 64;
        const __m512i numbers_of_group = load<Bits>(at.activations);
        __m512i products = _mm512_maskz_set1_epi32(0x00ff, *at.begins);
        if constexpr (Bits == 4) {
            fetch_group(at.codes + groups_ahead * matrix::group_bytes, at.scales + groups_ahead * matrix::strip);
            __m512i sixteenfold = _mm512_setzero_si512(); // products of the high halves of bytes
            PALI_UNROLL
            for (std::size_t v = 0; v < registers; ++v) {
                products = _mm512_dpbusd_epi32(products, masked<0x0f>(at.codes + 64 * v), spread(numbers_of_group, fours_of[v]));
                sixteenfold = _mm512_dpbusd_epi32(sixteenfold, masked<0xf0>(at.codes + 64 * v), spread(numbers_of_group, fours_of[registers + v]));
            }
            products = (__m512i)((numbers)products + ((numbers)sixteenfold >> 4));
        } else { // keeps pace with what the processor fetches by itself
            PALI_UNROLL
            for (std::size_t v = 0; v < registers; ++v) {
                const __m512i unsigned_codes = _mm512_xor_si512(_mm512_loadu_si512(at.codes + 64 * v), _mm512_set1_epi8(static_cast<char>(0x80)));
                products = _mm512_dpbusd_epi32(products, unsigned_codes, spread(numbers_of_group, fours_of[v]));
            }
        }
        const auto lower = __builtin_shufflevector((numbers)products, (numbers)products, 0, 1, 2, 3, 4, 5, 6, 7);
        const auto upper = __builtin_shufflevector((numbers)products, (numbers)products, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m256 scale = _mm256_mul_ps(avx2_bytes::load_scales(at.scales), _mm256_set1_ps(*at.token_scales));
        at.codes += matrix::group_bytes, at.scales += matrix::strip, at.activations += matrix::group, ++at.begins, ++at.token_scales;
        return _mm256_fmadd_ps(__builtin_convertvector(lower + upper, __m256), scale, sums);
    }

    /// Groups of 4 bits that are fetched before they are read: 4 KB of codes. Nearer or farther, or into the second-level cache, a token of a 3B's layers took up to 1.2
    /// times as long (Zen 4).
    static constexpr std::size_t groups_ahead = 32;

    /// Codes and scales of a group, into the first-level cache.
    PALI_ALWAYS_INLINE static void fetch_group(const std::uint8_t* codes, const bfloat16* scales) noexcept {
        for (std::size_t line = 0; line < quantised_rows<4>::group_bytes; line += 64) __builtin_prefetch(codes + line);
        __builtin_prefetch(scales);
    }

    /// A group of a token; that of 4 bits twice. Of a half that nobody names clang makes the last sums, for which each group would wait; assembly, because g++ 12 would
    /// load and repeat it by an instruction of its own.
    template <std::size_t Bits>
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i load(const std::int8_t* group) noexcept {
        if constexpr (Bits == 8) {
            return _mm512_loadu_si512(group);
        } else {
            struct half { std::int8_t numbers[32]; };
            __m512i result;
            __asm__("vbroadcasti64x4 %1, %0" : "=v"(result) : "m"(*reinterpret_cast<const half*>(group)));
            return result;
        }
    }

    /// Which four of a group the lanes get: those of index `first` in the lower half, the next in the upper.
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i fours(std::size_t first) noexcept {
        const int a = static_cast<int>(first), b = a + 1;
        return _mm512_set_epi32(b, b, b, b, b, b, b, b, a, a, a, a, a, a, a, a);
    }

    /// Those numbers. (The mask, because the plain intrinsic of g++ 12 warns of itself.)
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i spread(__m512i group, __m512i places) noexcept { return _mm512_maskz_permutexvar_epi32(0xffff, places, group); }

    /// 64 bytes and `Mask`. Assembly, because compilers would load them once for both masks, which is one instruction more.
    template <int Mask>
    PALI_TARGET("avx512f,avx512vnni,fma")
    static inline __m512i masked(const std::uint8_t* bytes) noexcept {
        struct line { std::uint8_t bytes[64]; };
        __m512i result;
        __asm__("vpandd %2, %1, %0" : "=v"(result) : "v"(_mm512_set1_epi8(static_cast<char>(Mask))), "m"(*reinterpret_cast<const line*>(bytes)));
        return result;
    }
};

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

#endif

// y = x · wᵀ + bias for quantised weights: by dot products of bytes, or by panels of 16-bit floats.

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/**
 * y = x · wᵀ + bias for each factor. Each token of x (T, K) is rounded to bytes, group by group, and meets the codes as they are stored.
 * Reads w once from memory, 4.5 or 8.25 bits a number. `Dot` is portable_dot or what the processor has. A token's result does not depend on the others.
 */
template <class Dot, std::size_t Bits>
void matmul_of_bytes(rows<const float> x, std::initializer_list<factor<quantised_rows<Bits>>> with, thread_pool& threads, arena& scratch) {
    const arena::frame frame(scratch);
    const auto tokens = quantised_tokens::take<Bits>(scratch, x.count, x.width);
    // Tokens of a tile lie number beside number, so that one thread rounds all of them. Tiles of many tokens are those of each Dot::tokens of them.
    const std::size_t groups_a_task = 64 / std::min(Dot::tokens, std::max<std::size_t>(1, x.count)); // a microsecond or two
    const std::size_t parts = (tokens.groups + groups_a_task - 1) / groups_a_task;
    threads.run((x.count + Dot::tokens - 1) / Dot::tokens * parts, [&](std::size_t task) {
        const std::size_t begin = task / parts * Dot::tokens, first = task % parts * groups_a_task;
        detail::for_row_tiles<Dot::tokens>(std::min(Dot::tokens, x.count - begin), [&](std::size_t r, std::size_t count) {
            const token_tile tile{begin + r, count};
            for (std::size_t t = tile.first; t < tile.first + count; ++t)
                quantise_token<Bits>(x[t], t, tile, first, std::min(tokens.groups, first + groups_a_task), tokens);
        });
    });
    constexpr std::size_t strip = quantised_rows<Bits>::strip, strips_a_task = 8;
    for_outputs(with, strips_a_task * strip, threads, [&](const factor<quantised_rows<Bits>>& of, std::size_t first, std::size_t n, std::size_t) {
        PALI_ASSERT(x.width == of.weights.width && of.y.width == of.weights.count && of.y.count == x.count);
        const std::size_t end = (first + n) / strip;
        for (std::size_t i = first / strip; i < end; i += Dot::strips) {
            const std::size_t last = std::min(i + Dot::strips, end) - 1, outputs = Dot::strips == 1 ? strip : (last + 1 - i) * strip; // the last may be alone
            const float* const bias = of.bias ? of.bias + i * strip : nullptr;
            detail::for_row_tiles<Dot::tokens>(x.count, [&]<std::size_t R>(std::size_t t, std::integral_constant<std::size_t, R>) {
                float sums[R][Dot::strips * strip];
                Dot::dot(of.weights, i, last, tokens, t, sums);
                for (std::size_t r = 0; r < R; ++r) {
                    for (std::size_t k = 0; bias && k < outputs; ++k) sums[r][k] += bias[k];
                    std::copy_n(sums[r], outputs, of.y[t + r] + i * strip);
                }
            });
        }
    });
}

/**
 * For many rows: the weights of a task become bfloat16 once, and the product is that of bfloat16 weights; x is not rounded.
 * Takes what matmul() takes, and as many bfloat16 a thread as a task has weights.
 */
template <class A, std::size_t Bits>
void matmul_of_panels(arch::simd<A>, rows<const float> x, std::initializer_list<factor<quantised_rows<Bits>>> with, thread_pool& threads, arena& scratch) {
    const arena::frame frame(scratch);
    const std::size_t floats_a_thread = detail::most_columns * x.width / 2;
    float* const memory = scratch.take(threads.size() * floats_a_thread);
    const auto panel = [&](const quantised_rows<Bits>& weights, std::size_t first, std::size_t n, std::size_t thread) {
        constexpr std::size_t strip = quantised_rows<Bits>::strip;
        const rows decoded(reinterpret_cast<bfloat16*>(memory + thread * floats_a_thread), n, weights.width);
        for (std::size_t i = 0; i < n; i += strip) read_strip(weights, (first + i) / strip, 0, decoded.slice(i, strip));
        return rows<const bfloat16>(decoded);
    };
    detail::multiply<detail::simd_dot<A, bfloat16>>(x, with, panel, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// The matrix product of the networks: one front, and the kernel that suits weights, rows and processor.

/// Loops over numbers: no names, no files, no models. What they are given is checked by PALI_ASSERT alone.
namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// y = x · wᵀ + bias for each factor: x (T, K) float32. Beside bfloat16 weights, a processor that multiplies bfloat16 rounds x to it: AMX where there are many
/// rows, AVX512-BF16 always. Else x is not rounded.
template <weight_element Element>
void product(rows<const float> x, std::initializer_list<factor<rows<const Element>>> with, thread_pool& threads, arena& scratch) {
#if defined(__x86_64__)
    if constexpr (std::same_as<Element, bfloat16>) {
        if (x.count >= detail::many_rows && arch::in_use().amx_bf16) return matmul_amx(arch::amx_tiles{}, x, with, [](const auto& w) { return stored_panels{w}; }, threads, scratch);
        if (arch::in_use().avx512_bf16) return matmul_avx512(x, with, threads, scratch);
    }
#endif
    matmul(arch::native, x, with, threads, scratch);
}

/// The same for quantised weights. x is rounded to bytes, group by group; where there are many rows AMX rounds it to bfloat16, and a processor that has no kernel for bytes not
/// at all.
template <std::size_t Bits>
void product(rows<const float> x, std::initializer_list<factor<quantised_rows<Bits>>> with, thread_pool& threads, arena& scratch) {
#if defined(__x86_64__)
    if (x.count >= detail::many_rows && arch::in_use().amx_bf16) return matmul_amx(arch::amx_tiles{}, x, with, [](const auto& w) { return quantised_panels<Bits>{w}; }, threads, scratch);
    if (arch::in_use().avx512_vnni && x.count == 1) return matmul_of_bytes<avx512_vnni_token_dot>(x, with, threads, scratch);
    if (arch::in_use().avx512_vnni) return matmul_of_bytes<avx512_vnni_dot>(x, with, threads, scratch);
    if (arch::in_use().avx_vnni) return matmul_of_bytes<avx_vnni_dot>(x, with, threads, scratch);
    if (arch::in_use().avx2) return matmul_of_bytes<avx2_dot>(x, with, threads, scratch);
#endif
    if (x.count >= detail::many_rows) return matmul_of_panels(arch::native, x, with, threads, scratch);
    matmul_of_bytes<portable_dot>(x, with, threads, scratch);
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// Memory from the operating system: a file mapped for reading, and pages of one's own. With core/system, the only code that asks it directly.

namespace pali::inline PALI_ABI {

/// A whole file, mapped read-only: pages come from the page cache when they are touched, and are shared with every process that maps
/// the file. Who shortens the file while it is mapped causes a fault on the next read: replace files by renaming, as programs do.
class mapped_file {
public:
    /// No file: no bytes.
    mapped_file() noexcept = default;
    /// Throws errc::cannot_open when `path` is missing, no regular file, unreadable, or does not fit into the address space.
    explicit mapped_file(std::filesystem::path path);
    ~mapped_file();
    /// Leaves `other` without a file.
    mapped_file(mapped_file&& other) noexcept;
    /// Exchanges the files.
    mapped_file& operator=(mapped_file&& other) noexcept;
    mapped_file(const mapped_file&) = delete;
    mapped_file& operator=(const mapped_file&) = delete;

    /// The contents; begins on a page boundary. Stays where it is when the object is moved.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {m_data, m_size}; }
    /// As it was given.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }

    /// Tells the system that this process has read `part` of bytes() and will not soon again: its pages no longer count as memory of the
    /// process, and come back when they are touched. Only whole pages within `part`; bytes of others are left alone. Never fails.
    void forget(std::span<const std::byte> part) const noexcept;

private:
    std::filesystem::path m_path;
    const std::byte* m_data = nullptr;
    std::size_t m_size = 0;
};

/// Zeroed memory in whole pages, on huge pages where the system grants them: weights read from there come faster than from a mapping.
class page_memory {
public:
    /// No memory: no bytes.
    page_memory() noexcept = default;
    /// `size` bytes. Throws std::bad_alloc.
    explicit page_memory(std::size_t size);
    ~page_memory();
    /// Leaves `other` without memory.
    page_memory(page_memory&& other) noexcept;
    /// Exchanges the memories.
    page_memory& operator=(page_memory&& other) noexcept;
    page_memory(const page_memory&) = delete;
    page_memory& operator=(const page_memory&) = delete;

    /// Aligned to a page at least; to 2 MiB where huge pages are asked for.
    [[nodiscard]] std::span<std::byte> bytes() noexcept { return {m_data, m_size}; }
    /// The same, to read.
    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {m_data, m_size}; }

private:
    std::byte* m_data = nullptr;
    std::size_t m_size = 0;
    void* m_mapping = nullptr; // what the system gave: begins before m_data where that was moved up to a huge page
    std::size_t m_mapping_size = 0;
};

} // namespace pali::inline PALI_ABI

// Bodies of mmap.hpp: POSIX, and Windows by its documented calls, where they were compiled (MinGW-w64) and never run.

#if defined(_WIN32)
#  ifndef NOMINMAX
#    define NOMINMAX
#  endif
#  ifndef WIN32_LEAN_AND_MEAN
#    define WIN32_LEAN_AND_MEAN
#  endif
#  include <windows.h>
#else
#  include <cerrno>
#  include <fcntl.h>
#  include <sys/mman.h>
#  include <sys/stat.h>
#  include <unistd.h>
#endif

namespace pali::inline PALI_ABI {

namespace detail {

[[noreturn]] PALI_INLINE void cannot_open(const std::filesystem::path& path, const error_text& why) {
    throw error(errc::cannot_open, {path.string(), ": ", why});
}

[[noreturn]] PALI_INLINE void cannot_open(const std::filesystem::path& path, const error_text& what, int system_error) {
    cannot_open(path, {what, ": ", std::system_category().message(system_error)});
}

} // namespace detail

PALI_INLINE mapped_file::mapped_file(std::filesystem::path path) : m_path(std::move(path)) {
    const std::filesystem::file_status status = detail::require_path(m_path, "file");
    if (std::filesystem::is_directory(status)) detail::cannot_open(m_path, "is a folder, and a file is needed");
    // A pipe or device would block or never end.
    if (!std::filesystem::is_regular_file(status)) detail::cannot_open(m_path, "is no regular file");
#if defined(_WIN32)
    const HANDLE file = CreateFileW(m_path.c_str(), GENERIC_READ, FILE_SHARE_READ, nullptr, OPEN_EXISTING, FILE_ATTRIBUTE_NORMAL, nullptr);
    if (file == INVALID_HANDLE_VALUE) detail::cannot_open(m_path, "cannot be read", static_cast<int>(GetLastError()));
    LARGE_INTEGER size{};
    void* view = nullptr;
    DWORD reason = 0;
    if (!GetFileSizeEx(file, &size)) {
        reason = GetLastError();
    } else if (size.QuadPart > 0) { // an empty file has no mapping
        const HANDLE mapping = CreateFileMappingW(file, nullptr, PAGE_READONLY, 0, 0, nullptr);
        if (mapping == nullptr) {
            reason = GetLastError();
        } else {
            view = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, 0);
            if (view == nullptr) reason = GetLastError();
            CloseHandle(mapping); // the view keeps it
        }
    }
    CloseHandle(file);
    if (reason != 0) detail::cannot_open(m_path, "cannot be mapped", static_cast<int>(reason));
    m_size = static_cast<std::size_t>(size.QuadPart);
    m_data = static_cast<const std::byte*>(view);
#else
    int file = -1;
    do file = ::open(m_path.c_str(), O_RDONLY | O_CLOEXEC);
    while (file < 0 && errno == EINTR);
    if (file < 0) detail::cannot_open(m_path, "cannot be read", errno);
    struct stat about{};
    void* view = MAP_FAILED;
    int reason = 0;
    if (::fstat(file, &about) != 0) {
        reason = errno;
    } else if (about.st_size > 0) { // an empty file has no mapping
        view = ::mmap(nullptr, static_cast<std::size_t>(about.st_size), PROT_READ, MAP_SHARED, file, 0);
        if (view == MAP_FAILED) reason = errno;
    }
    ::close(file); // the mapping keeps it
    if (reason != 0) detail::cannot_open(m_path, "cannot be mapped", reason);
    if (view != MAP_FAILED) {
        m_data = static_cast<const std::byte*>(view);
        m_size = static_cast<std::size_t>(about.st_size);
    }
#endif
}

PALI_INLINE mapped_file::~mapped_file() {
    if (m_data == nullptr) return;
#if defined(_WIN32)
    UnmapViewOfFile(m_data);
#else
    ::munmap(const_cast<std::byte*>(m_data), m_size);
#endif
}

PALI_INLINE mapped_file::mapped_file(mapped_file&& other) noexcept
    : m_path(std::move(other.m_path)), m_data(std::exchange(other.m_data, nullptr)), m_size(std::exchange(other.m_size, 0)) {}

PALI_INLINE mapped_file& mapped_file::operator=(mapped_file&& other) noexcept {
    std::swap(m_path, other.m_path);
    std::swap(m_data, other.m_data);
    std::swap(m_size, other.m_size);
    return *this;
}

PALI_INLINE void mapped_file::forget(std::span<const std::byte> part) const noexcept {
    const auto in_file = [&](const std::byte* at) { return !std::less<>()(at, m_data) && !std::less<>()(m_data + m_size, at); };
    if (part.empty() || !in_file(part.data()) || !in_file(part.data() + part.size())) return; // other memory would lose its contents
#if !defined(_WIN32) // Windows trims the pages of a view by itself
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const std::uintptr_t begin = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page;
    const std::uintptr_t end = reinterpret_cast<std::uintptr_t>(part.data() + part.size()) / page * page;
    const int saved = errno;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    errno = saved;
#endif
}

PALI_INLINE page_memory::page_memory(std::size_t size) : m_size(size) {
    if (size == 0) return;
#if defined(_WIN32)
    m_mapping_size = size;
    m_mapping = VirtualAlloc(nullptr, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (m_mapping == nullptr) throw std::bad_alloc();
    m_data = static_cast<std::byte*>(m_mapping);
#else
    constexpr std::size_t huge_page = std::size_t{2} << 20; // x86-64 and, with 4 KiB pages, AArch64
    if (size > std::numeric_limits<std::size_t>::max() - 2 * huge_page) throw std::bad_alloc();
    // Room to move up to a huge page, and whole pages to the end: a huge page is never part of two mappings.
    m_mapping_size = (size + huge_page - 1) / huge_page * huge_page + huge_page;
    m_mapping = ::mmap(nullptr, m_mapping_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (m_mapping == MAP_FAILED) throw std::bad_alloc();
    const auto begin = reinterpret_cast<std::uintptr_t>(m_mapping);
    m_data = reinterpret_cast<std::byte*>((begin + huge_page - 1) / huge_page * huge_page);
#  if defined(MADV_HUGEPAGE)
    ::madvise(m_data, m_mapping_size - huge_page, MADV_HUGEPAGE); // refused where the kernel has none: ordinary pages then
#  endif
#endif
}

PALI_INLINE page_memory::~page_memory() {
    if (m_mapping == nullptr) return;
#if defined(_WIN32)
    VirtualFree(m_mapping, 0, MEM_RELEASE);
#else
    ::munmap(m_mapping, m_mapping_size);
#endif
}

PALI_INLINE page_memory::page_memory(page_memory&& other) noexcept
    : m_data(std::exchange(other.m_data, nullptr)), m_size(std::exchange(other.m_size, 0)),
      m_mapping(std::exchange(other.m_mapping, nullptr)), m_mapping_size(std::exchange(other.m_mapping_size, 0)) {}

PALI_INLINE page_memory& page_memory::operator=(page_memory&& other) noexcept {
    std::swap(m_data, other.m_data);
    std::swap(m_size, other.m_size);
    std::swap(m_mapping, other.m_mapping);
    std::swap(m_mapping_size, other.m_mapping_size);
    return *this;
}

} // namespace pali::inline PALI_ABI

// What a checkpoint holds: names, types, shapes, and where the bytes lie.

namespace pali::inline PALI_ABI {

/// One tensor of a file. Its bytes belong to whoever mapped the file.
struct tensor_info {
    dtype type = dtype::f32;          ///< of its numbers
    std::vector<std::size_t> shape;   ///< outermost first, row-major; empty for a scalar
    std::span<const std::byte> bytes; ///< little-endian; not necessarily aligned: see is_aligned()
    std::string file;                 ///< for messages

    /// How many numbers: the product of the shape, checked by the reader not to overflow.
    [[nodiscard]] std::size_t count() const noexcept {
        std::size_t product = 1;
        for (const std::size_t side : shape) product *= side;
        return product;
    }

    /// Whether the bytes may be read as numbers of `type` where they lie. The format does not promise it.
    [[nodiscard]] bool is_aligned() const noexcept { return reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(type) == 0; }

    /// The numbers where they lie. T has the size of `type`, and is_aligned().
    template <class T>
    [[nodiscard]] std::span<const T> as() const noexcept {
        static_assert(std::is_trivially_copyable_v<T>, "numbers in a file are plain bytes");
        PALI_ASSERT(sizeof(T) == size_of(type) && is_aligned());
        return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
    }
};

/// Tensors by name, in the order of names. Look one up by std::string_view without making a string.
using tensor_table = std::map<std::string, tensor_info, std::less<>>;

} // namespace pali::inline PALI_ABI

// Numbers of a file, in the type that they are wanted in.

namespace pali::inline PALI_ABI {

/// Whether the library can read weights of that type.
[[nodiscard]] constexpr bool is_convertible(dtype type) noexcept { return type == dtype::f32 || type == dtype::bf16 || type == dtype::f16; }

/// How to make weights of other types readable.
inline constexpr const char* conversion_cure =
    "Convert the checkpoint by transformers: PaliGemmaForConditionalGeneration.from_pretrained(DIR, dtype=torch.bfloat16).save_pretrained(OUT)";

namespace detail {

template <class From, class To>
void convert_as(const std::byte* from, std::size_t count, To* to) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        From value; // the format does not promise alignment
        std::memcpy(&value, from + i * sizeof(From), sizeof value);
        if constexpr (std::is_same_v<From, To>) to[i] = value;
        else to[i] = static_cast<To>(static_cast<float>(value));
    }
}

} // namespace detail

/// Writes numbers [first, first + count) of `tensor` to `to`, exactly or rounded to nearest even. The type must be convertible.
template <class To>
void convert(const tensor_info& tensor, std::size_t first, std::size_t count, To* to) noexcept {
    PALI_ASSERT(is_convertible(tensor.type) && first + count <= tensor.count());
    const std::byte* const from = tensor.bytes.data() + first * size_of(tensor.type);
    switch (tensor.type) {
    case dtype::bf16: return detail::convert_as<bfloat16>(from, count, to);
    case dtype::f16: return detail::convert_as<float16>(from, count, to);
    default: return detail::convert_as<float>(from, count, to);
    }
}

} // namespace pali::inline PALI_ABI

// Weights that other programs quantised, and adapters that are not merged: recognised by the names of their tensors, to say what they are.

namespace pali::inline PALI_ABI {

/// The format of quantised weights that are not read: "AWQ", "GPTQ", "MLX", "bitsandbytes", "compressed-tensors" or "FP8 with scales"; empty for plain numbers and for pali's own.
[[nodiscard]] inline std::string_view foreign_format(const tensor_table& tensors) {
    const auto find = [&](std::string_view stem, std::string_view ending) {
        const auto found = tensors.find(std::string(stem) + std::string(ending));
        return found == tensors.end() ? nullptr : &found->second;
    };
    for (const auto& [name, tensor] : tensors) {
        const std::string_view whole = name;
        const auto stem = [whole](std::string_view ending) { return whole.substr(0, whole.size() - ending.size()); };
        if (name.ends_with(".qweight")) { // eight codes to an I32: of outputs with AWQ, of inputs with GPTQ
            const tensor_info* const scales = find(stem(".qweight"), ".scales");
            const bool packs_outputs = scales != nullptr && !scales->shape.empty() && !tensor.shape.empty() && tensor.shape.back() < scales->shape.back();
            return packs_outputs && find(stem(".qweight"), ".g_idx") == nullptr ? "AWQ" : "GPTQ";
        }
        if (name.ends_with(".absmax") || name.ends_with(".SCB") || name.find(".quant_state.bitsandbytes") != std::string::npos) return "bitsandbytes";
        if (name.ends_with(".scales") && find(stem(".scales"), ".weight") != nullptr) return "MLX";
        if (name.ends_with(".weight_packed")) return "compressed-tensors";
        if (name.ends_with(".weight_scale_inv")) return "FP8 with scales";
        // pali's own scales are BF16, (strips, groups, rows of a strip).
        if (name.ends_with(".weight_scale") && (tensor.type != dtype::bf16 || tensor.shape.size() != 3)) {
            const tensor_info* const weights = find(stem("_scale"), "");
            if (weights != nullptr && weights->type == dtype::i8) return "compressed-tensors";
            if (weights != nullptr && (weights->type == dtype::f8_e4m3 || weights->type == dtype::f8_e5m2)) return "FP8 with scales";
        }
    }
    return {};
}

/// The first tensor of an adapter that PEFT keeps beside the base (LoRA, modules_to_save); null where there is none.
[[nodiscard]] inline const std::string* find_adapter(const tensor_table& tensors) {
    static constexpr std::string_view segments[] = {".base_layer.", ".lora_A.", ".lora_B.", ".lora_embedding_A.", ".lora_embedding_B.", ".modules_to_save."};
    for (const auto& [name, tensor] : tensors)
        for (const std::string_view part : segments)
            if (('.' + name + '.').find(part) != std::string::npos) return &name;
    return nullptr;
}

/// Throws errc::unsupported_format for weights in such a format, and for a PEFT model that was saved without merging its adapter. `source` names the checkpoint.
inline void refuse_foreign_format(const tensor_table& tensors, const std::string& source) {
    if (const std::string* const adapter = find_adapter(tensors))
        throw error(errc::unsupported_format, {source, ": holds a PEFT adapter that is not merged into its base: tensor ", in_quotes(*adapter),
                                               ". Merge and save it by model.merge_and_unload().save_pretrained(OUT), and name that folder"});
    if (const std::string_view format = foreign_format(tensors); !format.empty())
        throw error(errc::unsupported_format, {source, ": holds weights quantised in the format of ", format,
                                               ", which is not read; take the checkpoint in BF16, F16 or F32 that they were made from: it can be loaded as int8 or int4"});
}

} // namespace pali::inline PALI_ABI

// The names that published checkpoints give their tensors, and the ways in which newer ones differ.

namespace pali::inline PALI_ABI {

/// A tensor's name as the published checkpoints write it. transformers since 4.52 puts "model." in front, drops the inner "model." of
/// the decoder, and moves the head to the top; since 5 there is no "vision_model." either, and what it saves mixes old and new. A model
/// saved without its head (PaliGemmaModel) has no "model." at all.
[[nodiscard]] inline std::string published_name(std::string_view name) {
    struct renamed {
        std::string_view now, published;
    };
    static constexpr renamed prefixes[] = {
        {"model.language_model.", "language_model.model."},
        {"language_model.layers.", "language_model.model.layers."},
        {"language_model.embed_tokens.", "language_model.model.embed_tokens."},
        {"language_model.norm.", "language_model.model.norm."},
        {"model.vision_tower.vision_model.", "vision_tower.vision_model."},
        {"model.vision_tower.", "vision_tower.vision_model."},
        {"vision_tower.vision_model.", "vision_tower.vision_model."},
        {"vision_tower.", "vision_tower.vision_model."},
        {"model.multi_modal_projector.", "multi_modal_projector."},
        {"lm_head.", "language_model.lm_head."},
    };
    for (const renamed& prefix : prefixes)
        if (name.starts_with(prefix.now)) return std::string(prefix.published) + std::string(name.substr(prefix.now.size()));
    return std::string(name);
}

namespace detail {

/// A name without the segments that wrappers insert anywhere in it: torch.compile, FSDP, activation checkpointing.
[[nodiscard]] inline std::string without_wrappers(std::string_view name) {
    static constexpr std::string_view wrappers[] = {"_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module."};
    std::string out;
    while (!name.empty()) {
        const std::size_t segment = std::min(name.find('.'), name.size() - 1) + 1;
        if (std::find(std::begin(wrappers), std::end(wrappers), name.substr(0, segment)) == std::end(wrappers)) out += name.substr(0, segment);
        name.remove_prefix(segment);
    }
    return out;
}

/// What precedes the published or newer name of a decoder's layer, embedding or last norm; nothing for other tensors.
[[nodiscard]] inline std::optional<std::string_view> prefix_of_decoder(std::string_view name) {
    constexpr std::string_view decoder = "language_model.", inner = "model.";
    for (std::size_t at = 0; (at = name.find(decoder, at)) != std::string_view::npos; ++at) {
        std::string_view before = name.substr(0, at), rest = name.substr(at + decoder.size());
        if (!before.empty() && before.back() != '.') continue;
        const bool old = rest.starts_with(inner);
        if (old) rest.remove_prefix(inner.size());
        if (!rest.starts_with("layers.") && !rest.starts_with("embed_tokens.") && !rest.starts_with("norm.")) continue;
        const bool newer = !old && before.ends_with(inner) && (before.size() == inner.size() || before[before.size() - inner.size() - 1] == '.');
        return newer ? before.substr(0, before.size() - inner.size()) : before;
    }
    return std::nullopt;
}

} // namespace detail

/// The published names of the tensors of a checkpoint that a wrapper or a training program may have renamed. Segments of wrappers are left out wherever they stand. A prefix
/// ("module.", "base_model.model.", "student.") is removed when all tensors of the decoder have the same one; other tensors may lack it.
class tensor_names {
public:
    /// Reads the names alone.
    explicit tensor_names(const tensor_table& tensors) {
        for (const auto& [name, tensor] : tensors)
            if (const std::string plain = detail::without_wrappers(name); const auto prefix = detail::prefix_of_decoder(plain)) m_prefixes.emplace(*prefix);
    }

    /// The published name of a tensor that the file calls `name`; of one that no checkpoint has, the same or a part of it.
    [[nodiscard]] std::string published(std::string_view name) const {
        const std::string plain = detail::without_wrappers(name);
        const std::string_view prefix = m_prefixes.size() == 1 ? std::string_view(*m_prefixes.begin()) : std::string_view();
        return published_name(plain.starts_with(prefix) ? std::string_view(plain).substr(prefix.size()) : std::string_view(plain));
    }

    /// The prefixes of decoders. With more than one, the file holds several models or parts of one, and none is removed.
    [[nodiscard]] const std::set<std::string>& prefixes() const noexcept { return m_prefixes; }

private:
    std::set<std::string> m_prefixes;
};

/// For a file without a known name: "Found: 'a.w', 'b.w', and 3 more; expected: names that begin with 'language_model.'". `asked` are the names that were looked for, `prefixes` those of tensor_names.
[[nodiscard]] inline std::string describe_unknown_names(const short_list& found, const std::set<std::string, std::less<>>& asked, const std::set<std::string>& prefixes) {
    short_list expected, decoders;
    std::string_view last;
    for (const std::string& name : asked) { // in their order
        const std::string_view beginning = std::string_view(name).substr(0, name.find('.') + 1);
        if (beginning != last) expected.add(in_quotes(last = beginning));
    }
    for (const std::string& one : prefixes) decoders.add(in_quotes(one));
    const bool several = decoders.size() > 1;
    return error_text{"Found: ", found.empty() ? "none" : found.in_a_row(3), "; expected: names that begin with ", expected.in_a_row(), several ? ". There are decoders with the prefixes " : "",
                      several ? decoders.in_a_row() : "", several ? ": save one model alone" : ""}.str();
}

/// Whether a tensor is a weight of a layer of decoder or vision tower. One that the configuration has no place for would change the answer: the configuration is that of another model.
[[nodiscard]] inline bool is_of_a_layer(std::string_view published) noexcept {
    return (published.starts_with("language_model.model.layers.") || published.starts_with("vision_tower.vision_model.encoder.layers.")) &&
        (published.ends_with(".weight") || published.ends_with(".bias"));
}

/// Whether a tensor is no parameter but a buffer that old versions of transformers saved.
[[nodiscard]] inline bool is_buffer(std::string_view published) noexcept {
    return published.ends_with(".position_ids") || published.ends_with(".rotary_emb.inv_freq");
}

} // namespace pali::inline PALI_ABI

// Which weights of a file are no numbers.

namespace pali::inline PALI_ABI {

/// Whether no number is infinite or not a number.
[[nodiscard]] inline bool are_finite(const float* numbers, std::size_t count) noexcept {
    constexpr std::uint32_t exponent = 0x7f800000;
    std::uint32_t others = 0; // no early end: the compiler takes a register of numbers at a time
    for (std::size_t i = 0; i < count; ++i) others |= static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(numbers[i]) & exponent) == exponent);
    return others == 0;
}

/// Where the first number of a tensor is that is infinite or not a number; nothing for other types than BF16, F16 and F32, which are not weights.
[[nodiscard]] inline std::optional<std::size_t> find_not_finite(const tensor_info& tensor) noexcept {
    if (!is_convertible(tensor.type)) return std::nullopt;
    constexpr std::size_t piece = 4096;
    float numbers[piece];
    const std::size_t count = tensor.count();
    for (std::size_t first = 0; first < count; first += piece) {
        const std::size_t n = std::min(piece, count - first);
        convert(tensor, first, n, numbers);
        if (are_finite(numbers, n)) continue;
        for (std::size_t i = 0; i < n; ++i)
            if (!std::isfinite(numbers[i])) return first + i;
    }
    return std::nullopt;
}

/// "model.safetensors: tensor 'norm.weight' has nan at (12, 3)" for each tensor with such a number.
[[nodiscard]] inline short_list describe_not_finite(const tensor_table& tensors) {
    short_list found;
    for (const auto& [name, tensor] : tensors) {
        const auto at = find_not_finite(tensor);
        if (!at) continue;
        std::vector<std::size_t> place(tensor.shape.size());
        std::size_t rest = *at;
        for (std::size_t i = place.size(); i-- > 0; rest /= tensor.shape[i]) place[i] = rest % tensor.shape[i];
        float number = 0;
        convert(tensor, *at, 1, &number);
        found.add({tensor.file, ": tensor ", in_quotes(name), " has ", std::isnan(number) ? "nan" : number > 0 ? "inf" : "-inf", " at ", describe_shape(place)});
    }
    return found;
}

} // namespace pali::inline PALI_ABI

// Numbers to small integers with scales.

namespace pali::inline PALI_ABI {

namespace detail {

/// The codes of one group for a scale; what is out of range, or no number, goes to an end.
template <std::size_t Bits>
void codes_for(const float* x, float scale, int* codes) noexcept {
    using matrix = quantised_rows<Bits>;
    const float inverse = scale == 0 ? 0.f : 1.f / scale;
    for (std::size_t i = 0; i < matrix::group; ++i)
        codes[i] = static_cast<int>(std::nearbyint(std::max(static_cast<float>(matrix::smallest), std::min(static_cast<float>(matrix::largest), x[i] * inverse))));
}

/// The scale of one group, and its codes; the scale is not a number where one of the group is not finite. 8 bits: the largest number is 127. 4 bits: the number farthest from zero is -8, so that all 16 codes are used
/// (llama.cpp's Q4_0); then, for those codes, the scale of least squares, and codes for that.
template <std::size_t Bits>
bfloat16 quantise_group(const float* x, int* codes) noexcept {
    if (!are_finite(x, quantised_rows<Bits>::group)) {
        std::fill(codes, codes + quantised_rows<Bits>::group, 0);
        return bfloat16(std::numeric_limits<float>::quiet_NaN());
    }
    const float farthest = *std::max_element(x, x + quantised_rows<Bits>::group, [](float a, float b) { return std::abs(a) < std::abs(b); });
    if constexpr (Bits == 8) {
        const bfloat16 scale(std::abs(farthest) / 127.f);
        codes_for<Bits>(x, static_cast<float>(scale), codes);
        return scale;
    } else {
        const float first = farthest / -8.f;
        codes_for<Bits>(x, first, codes);
        float along = 0, squares = 0; // of x / first, so that neither overflows
        for (std::size_t i = 0; i < quantised_rows<Bits>::group; ++i) {
            along += x[i] / first * static_cast<float>(codes[i]);
            squares += static_cast<float>(codes[i] * codes[i]);
        }
        const bfloat16 scale(squares == 0 ? 0.f : first * (along / squares));
        codes_for<Bits>(x, static_cast<float>(scale), codes);
        return scale;
    }
}

} // namespace detail

/// Rounds the rows of a strip, x (8, width), to codes and scales in the layout of quantised_rows: width · Bits bytes, and width / group · 8 scales.
template <std::size_t Bits>
void quantise_strip(const float* x, std::size_t width, std::uint8_t* codes, bfloat16* scales) noexcept {
    using layout = quantised_rows<Bits>;
    PALI_ASSERT(width % layout::group == 0);
    int of_group[layout::group];
    for (std::size_t at = 0; at < width; at += layout::group, codes += layout::group_bytes, scales += layout::strip) {
        std::fill(codes, codes + layout::group_bytes, std::uint8_t{0});
        for (std::size_t r = 0; r < layout::strip; ++r) {
            scales[r] = detail::quantise_group<Bits>(x + r * width + at, of_group);
            for (std::size_t k = 0; k < layout::group; ++k) {
                const int bits = Bits == 8 ? of_group[k] : (of_group[k] + 8) << (k < layout::group / 2 ? 0 : 4);
                codes[layout::byte_in_group(r, k)] |= static_cast<std::uint8_t>(bits);
            }
        }
    }
}

/// What matrices quantised_rows can hold, for messages.
template <std::size_t Bits>
[[nodiscard]] std::string what_is_quantised() {
    using layout = quantised_rows<Bits>;
    return "quantised weights are made of BF16, F16 or F32 with a multiple of " + std::to_string(layout::group) + " columns and of " + std::to_string(layout::strip) +
        " rows, which embedding and head may have any number of";
}

/// Bytes of a matrix's codes and scales, with the last strip filled up.
template <std::size_t Bits>
[[nodiscard]] std::size_t quantised_bytes(const tensor_info& tensor) noexcept {
    const std::size_t numbers = quantised_rows<Bits>::padded(tensor.shape[0]) * tensor.shape[1];
    return quantised_rows<Bits>::bytes_of(numbers) + numbers / quantised_rows<Bits>::group * sizeof(bfloat16);
}

/// Rounds a matrix (rows, columns) of whole groups into `memory` of quantised_bytes(), codes first, and returns a view of it. Rows of zeros fill the last strip up, and the view has them.
template <std::size_t Bits>
quantised_rows<Bits> quantise(const tensor_info& tensor, std::byte* memory, thread_pool& threads) {
    using layout = quantised_rows<Bits>;
    const std::size_t rows = tensor.shape[0], count = layout::padded(rows), width = tensor.shape[1];
    PALI_ASSERT(layout::fits(count, width));
    auto* const codes = reinterpret_cast<std::uint8_t*>(memory);
    auto* const scales = reinterpret_cast<bfloat16*>(memory + layout::bytes_of(count * width));
    std::vector<float> strips(threads.size() * layout::strip * width);
    threads.run(count / layout::strip, [&](std::size_t i, std::size_t thread) {
        const std::size_t numbers = layout::strip * width, known = std::min(layout::strip, rows - i * layout::strip) * width;
        float* const strip = strips.data() + thread * numbers;
        convert(tensor, i * numbers, known, strip);
        std::fill(strip + known, strip + numbers, 0.f);
        quantise_strip<Bits>(strip, width, codes + i * layout::bytes_of(numbers), scales + i * numbers / layout::group);
    });
    return {codes, scales, count, width};
}

} // namespace pali::inline PALI_ABI

// Joins the tensors of a checkpoint with the members of a model: first all names and shapes, then the memory.

namespace pali::inline PALI_ABI {

/// Collects what a model asks for, reports everything that does not fit in one error, then fills the members.
/// Usage: binder b(tensors, "folder"); module.bind(b.root()); b.check(hint); memory = b.finish(...). The members asked for have to stay where they are until then.
class binder {
public:
    /// A place in the tree of names: scope["layers.0"]["mlp"] asks for tensors below "layers.0.mlp.".
    class scope {
    public:
        /// `prefix` is put before every name as it is: "layers.0.".
        scope(binder& owner, std::string prefix) : m_owner(owner), m_prefix(std::move(prefix)) {}
        /// The place below `name`.
        [[nodiscard]] scope operator[](const std::string& name) const { return {m_owner, m_prefix + name + "."}; }

        /// A matrix in the model's storage; the shape in the file may have more dimensions (a convolution is a matrix of its patches). A convolution (out, channels, height, width) may lie
        /// in the file with its channels last, as MLX writes it.
        template <class Element>
        void matrix(const std::string& name, rows<const Element>& to, const std::vector<std::size_t>& shape) const {
            if (const tensor_info* tensor = m_owner.find(m_prefix + name, shape)) m_owner.want_matrix(*tensor, to, shape);
        }
        /// A quantised matrix, from a file that holds it so or from one that does not. Its rows and columns come in whole strips and groups.
        template <std::size_t Bits>
        void matrix(const std::string& name, quantised_rows<Bits>& to, const std::vector<std::size_t>& shape) const {
            m_owner.want_quantised(m_prefix + name, to, shape, shape[0]);
        }
        /// A matrix with a row for each token: a quantised one gets rows of zeros that fill its last strip up, and a count that includes them.
        template <class Element>
        void vocabulary(const std::string& name, rows<const Element>& to, const std::vector<std::size_t>& shape) const { matrix(name, to, shape); }
        /// The same.
        template <std::size_t Bits>
        void vocabulary(const std::string& name, quantised_rows<Bits>& to, const std::vector<std::size_t>& shape) const {
            m_owner.want_quantised(m_prefix + name, to, shape, quantised_rows<Bits>::padded(shape[0]));
        }
        /// Whether the checkpoint has it.
        [[nodiscard]] bool has(const std::string& name) const { return m_owner.look_up(m_prefix + name) != nullptr; }
        /// A vector, (size), always float32.
        void vector(const std::string& name, const float*& to, std::size_t size) const {
            if (const tensor_info* tensor = m_owner.find(m_prefix + name, {size})) m_owner.want_vector(*tensor, to);
        }
        /// Whether `name` is not in the checkpoint, or holds the same numbers as `other`, so that one of them is enough.
        [[nodiscard]] bool omits_or_repeats(const std::string& name, const std::string& other) const {
            const std::string mine = m_prefix + name, its = m_prefix + other, my_scales = mine + std::string(scales_suffix), its_scales = its + std::string(scales_suffix);
            if (!m_owner.look_up(mine)) return true;
            if (!m_owner.are_same(mine, its)) return false;
            if (m_owner.look_up(my_scales) || m_owner.look_up(its_scales)) { // codes mean nothing without them
                if (!m_owner.are_same(my_scales, its_scales)) return false;
                m_owner.m_used.insert(my_scales);
            }
            m_owner.m_used.insert(mine);
            return true;
        }

    private:
        binder& m_owner;
        std::string m_prefix;
    };

    /// `table` must outlive the binder, and the model if it is mapped. `source` names the checkpoint in messages. Throws errc::unsupported_format for weights that another program quantised.
    binder(const tensor_table& table, std::string source) : m_source(std::move(source)) {
        refuse_foreign_format(table, m_source);
        const tensor_names names(table);
        m_prefixes = names.prefixes();
        for (const auto& [name, tensor] : table) {
            const auto [at, added] = m_tensors.emplace(names.published(name), named{&tensor, &name});
            if (!added) tell(kind::ambiguous, {"tensors ", in_quotes(name), " and ", in_quotes(*at->second.name), " both stand for ", in_quotes(at->first)});
        }
    }

    /// Where names begin.
    [[nodiscard]] scope root() { return {*this, ""}; }

    /// Tensors that nothing was asked of, which is no harm: value heads, heads of other tasks, counters. Buffers that old versions of transformers saved are left out.
    [[nodiscard]] short_list unused() const {
        short_list found;
        for (const auto& [published, tensor] : m_tensors)
            if (!m_used.contains(published) && !is_buffer(published)) found.add({in_quotes(*tensor.name), " ", describe(*tensor.info)});
        return found;
    }

    /// Whether something that was asked for has a type that is not read.
    [[nodiscard]] bool finds_unread_types() const noexcept { return !m_unread.empty(); }

    /// Throws errc::checkpoint_mismatch with the missing and misshapen tensors, ten of a kind, and beside those with the unused ones, which are errors by themselves where one is of a layer, or if `strict`; `hint` says what may have happened. Where no name is known it is one line.
    void check(const std::string& hint, bool strict = false) const {
        if (m_codes.count > 0)
            throw error(errc::checkpoint_mismatch, {m_source, ": holds ", m_codes.weights, " weights (", m_codes.count, " matrices of them, ", in_quotes(m_codes.first), " the first); load it as ",
                                                    m_codes.weights, ", or load the checkpoint that it was made from"});
        std::string all;
        std::size_t count = 0;
        for (const short_list& problems : m_problems) {
            all += problems.joined("\n  ");
            count += problems.size();
        }
        for (const auto& [type, names] : m_unread) {
            all += error_text{"\n  tensor", names.size() == 1 ? " " : "s ", names.in_a_row(3), names.size() == 1 ? " is" : " are", " stored as ", to_string(type), "; BF16, F16 and F32 are read"}.str();
            count += names.size();
        }
        if (count > 0 && std::none_of(m_tensors.begin(), m_tensors.end(), [&](const auto& one) { return m_used.contains(one.first); })) throw_unknown_names(hint);
        const short_list left = unused();
        const bool misses_layers = std::any_of(m_tensors.begin(), m_tensors.end(), [&](const auto& one) { return is_of_a_layer(one.first) && !m_used.contains(one.first); });
        if (count == 0 && !misses_layers && (!strict || left.empty())) return;
        if (!left.empty()) all += (left.size() == 1 ? "\n  unexpected tensor" : "\n  unexpected tensors") + left.joined("\n    ");
        count += left.size();
        throw error(errc::checkpoint_mismatch, {m_source, ": ", count, count == 1 ? " tensor does" : " tensors do", " not fit the configuration:", all, hint.empty() ? "" : "\n", hint});
    }

    /// Fills the members that were asked for; returns the memory that some of them point into. Call check() before. `copied` is called
    /// with the bytes of each tensor that will not be read again. Progress is that of stage "load", a step
    /// for each tensor copied. Throws errc::cancelled when `progress` returns false, std::bad_alloc.
    [[nodiscard]] page_memory finish(residency where, thread_pool& threads, const progress_callback& progress,
                                     const std::function<void(std::span<const std::byte>)>& copied = {}) {
        std::size_t bytes = 0;
        for (const job& j : m_jobs)
            if (j.copies(where)) bytes += padded(j.bytes);
        page_memory memory(bytes);
        std::size_t used = 0;
        const auto report = [&](double fraction) {
            if (progress && !progress("load", fraction)) throw error(errc::cancelled, {m_source, ": loading was stopped by the callback"});
        };
        for (const job& j : m_jobs) {
            const bool copies = j.copies(where);
            j.place(copies ? memory.bytes().data() + used : nullptr, threads);
            if (!copies) continue;
            if (copied) copied(j.tensor->bytes);
            used += padded(j.bytes);
            report(static_cast<double>(used) / static_cast<double>(bytes));
        }
        if (bytes == 0) report(1);
        return memory;
    }

private:
    struct job {
        const tensor_info* tensor;
        std::size_t bytes;                                    // of the copy, if there is one
        bool in_place;                                        // the file has the right type and alignment
        bool small;                                           // a vector: copied only when it must be
        std::function<void(std::byte*, thread_pool&)> place;  // null: point into the file
        [[nodiscard]] bool copies(residency where) const noexcept { return !in_place || (where == residency::resident && !small); }
    };

    [[nodiscard]] static std::size_t padded(std::size_t bytes) noexcept { return (bytes + 63) / 64 * 64; }

    enum class kind { ambiguous, missing, shape, size };

    void tell(kind what, const error_text& problem) { m_problems[static_cast<std::size_t>(what)].add(problem); }

    /// For a file in which no tensor has a name that was asked for.
    [[noreturn]] void throw_unknown_names(const std::string& hint) const {
        short_list found;
        for (const auto& [published, tensor] : m_tensors) found.add(in_quotes(*tensor.name));
        throw error(errc::checkpoint_mismatch, {m_source, ": no tensor has an expected name. ", describe_unknown_names(found, m_used, m_prefixes), ". ", hint});
    }

    [[nodiscard]] static std::string describe(const tensor_info& tensor) { return to_string(tensor.type) + describe_shape(tensor.shape); }

    [[nodiscard]] const tensor_info* look_up(const std::string& name) const {
        const auto at = m_tensors.find(name);
        return at == m_tensors.end() ? nullptr : at->second.info;
    }
    /// As the file has it; as published where it has none.
    [[nodiscard]] const std::string& name_in_file(const std::string& published) const {
        const auto at = m_tensors.find(published);
        return at == m_tensors.end() ? published : *at->second.name;
    }

    /// Whether both are there and hold the same numbers.
    [[nodiscard]] bool are_same(const std::string& name, const std::string& other) const {
        const tensor_info *const a = look_up(name), *const b = look_up(other);
        return a && b && a->type == b->type && a->shape == b->shape && std::equal(a->bytes.begin(), a->bytes.end(), b->bytes.begin());
    }

    /// Whether a convolution lies in the file with its channels last: (out, height, width, channels).
    [[nodiscard]] static bool is_channels_last(const tensor_info& tensor, const std::vector<std::size_t>& shape) {
        return shape.size() == 4 && tensor.shape != shape && tensor.shape == std::vector<std::size_t>{shape[0], shape[2], shape[3], shape[1]};
    }

    [[nodiscard]] const tensor_info* find(const std::string& name, const std::vector<std::size_t>& shape) {
        m_used.insert(name);
        const tensor_info* const found = look_up(name);
        if (!found) {
            tell(kind::missing, {"missing tensor ", in_quotes(name), " ", describe_shape(shape)});
            return nullptr;
        }
        const tensor_info& tensor = *found;
        const std::string& written = name_in_file(name);
        if (const char* const weights = quantised_as(name)) {
            m_used.insert(name + std::string(scales_suffix));
            if (m_codes.count++ == 0) m_codes.weights = weights, m_codes.first = written;
            return nullptr;
        }
        if (tensor.shape != shape && !is_channels_last(tensor, shape)) {
            tell(kind::shape, {tensor.file, ": tensor ", in_quotes(written), " has shape ", describe_shape(tensor.shape), ", the configuration needs ", describe_shape(shape)});
            return nullptr;
        }
        if (!is_convertible(tensor.type)) {
            m_unread[tensor.type].add(in_quotes(written));
            return nullptr;
        }
        return &tensor;
    }

    template <class Element>
    [[nodiscard]] static bool fits(const tensor_info& tensor) noexcept {
        return tensor.type == (std::is_same_v<Element, float> ? dtype::f32 : dtype::bf16) && tensor.is_aligned();
    }

    template <class Element>
    void want(const tensor_info& tensor, bool small, std::function<void(const Element*)> set) {
        m_jobs.push_back({&tensor, tensor.count() * sizeof(Element), fits<Element>(tensor), small, [&tensor, set = std::move(set)](std::byte* memory, thread_pool& threads) {
            if (!memory) return set(reinterpret_cast<const Element*>(tensor.bytes.data()));
            auto* const to = reinterpret_cast<Element*>(memory);
            constexpr std::size_t piece = std::size_t{1} << 18;
            threads.run((tensor.count() + piece - 1) / piece, [&](std::size_t task) {
                const std::size_t first = task * piece;
                convert(tensor, first, std::min(piece, tensor.count() - first), to + first);
            });
            set(to);
        }});
    }

    template <class Element>
    void want_matrix(const tensor_info& tensor, rows<const Element>& to, const std::vector<std::size_t>& shape) {
        const std::size_t count = tensor.shape[0], width = count == 0 ? 0 : tensor.count() / count;
        if (is_channels_last(tensor, shape)) return want_transposed(tensor, to, width, shape[1]);
        want<Element>(tensor, false, [&to, count, width](const Element* data) { to = rows<const Element>(data, count, width); });
    }

    /// A convolution whose channels come last in the file, and first in memory.
    template <class Element>
    void want_transposed(const tensor_info& tensor, rows<const Element>& to, std::size_t width, std::size_t channels) {
        m_jobs.push_back({&tensor, tensor.count() * sizeof(Element), false, false, [&tensor, &to, width, channels](std::byte* memory, thread_pool& threads) {
            auto* const numbers = reinterpret_cast<Element*>(memory);
            threads.run(tensor.shape[0], [&](std::size_t row) {
                for (std::size_t pixel = 0; pixel < width / channels; ++pixel)
                    for (std::size_t channel = 0; channel < channels; ++channel)
                        convert(tensor, row * width + pixel * channels + channel, 1, numbers + row * width + channel * (width / channels) + pixel);
            });
            to = rows<const Element>(numbers, tensor.shape[0], width);
        }});
    }

    /// Which quantised weights a tensor holds codes of; null for plain numbers.
    [[nodiscard]] const char* quantised_as(const std::string& name) const {
        if (!look_up(name + std::string(scales_suffix))) return nullptr;
        return look_up(name)->type == code_type<8> ? int8::name : int4::name;
    }

    /// `count` rows are wanted, of which the checkpoint may lack the last ones where they fill a strip up.
    template <std::size_t Bits>
    void want_quantised(const std::string& name, quantised_rows<Bits>& to, const std::vector<std::size_t>& shape, std::size_t count) {
        using layout = quantised_rows<Bits>;
        const std::size_t width = shape[1];
        m_used.insert(name);
        if (!layout::fits(count, width)) return tell(kind::size, {"tensor ", in_quotes(name_in_file(name)), " is ", describe_shape(shape), "; ", what_is_quantised<Bits>()});
        const std::string scales = name + std::string(scales_suffix);
        if (!look_up(name) || quantised_as(name) != (Bits == 8 ? int8::name : int4::name)) {
            if (const tensor_info* const tensor = find(name, shape)) want_rounded(*tensor, to);
            return;
        }
        const auto stored = [&](const std::string& part, dtype type, const std::vector<std::size_t>& needed) -> const tensor_info* {
            m_used.insert(part);
            const tensor_info& tensor = *look_up(part);
            if (tensor.type == type && tensor.shape == needed) return &tensor;
            tell(kind::shape, {tensor.file, ": tensor ", in_quotes(name_in_file(part)), " is ", describe(tensor), ", the configuration needs ", to_string(type), describe_shape(needed)});
            return nullptr;
        };
        const tensor_info* const codes = stored(name, code_type<Bits>, layout::codes_shape(count, width));
        const tensor_info* const scale = stored(scales, dtype::bf16, layout::scales_shape(count, width));
        if (!codes || !scale) return;
        to.count = count;
        to.width = width;
        want_bytes(*codes, [&to](const std::byte* at) { to.codes = reinterpret_cast<const std::uint8_t*>(at); });
        want_bytes(*scale, [&to](const std::byte* at) { to.scales = reinterpret_cast<const bfloat16*>(at); });
    }

    /// As they lie in the file.
    void want_bytes(const tensor_info& tensor, std::function<void(const std::byte*)> set) {
        m_jobs.push_back({&tensor, tensor.bytes.size(), tensor.is_aligned(), false, [&tensor, set = std::move(set)](std::byte* memory, thread_pool& threads) {
            if (!memory) return set(tensor.bytes.data());
            constexpr std::size_t piece = std::size_t{1} << 20;
            threads.run((tensor.bytes.size() + piece - 1) / piece, [&](std::size_t task) {
                const std::size_t first = task * piece;
                std::memcpy(memory + first, tensor.bytes.data() + first, std::min(piece, tensor.bytes.size() - first));
            });
            set(memory);
        }});
    }

    /// Rounded to codes while it is loaded.
    template <std::size_t Bits>
    void want_rounded(const tensor_info& tensor, quantised_rows<Bits>& to) {
        m_jobs.push_back({&tensor, quantised_bytes<Bits>(tensor), false, false, [&tensor, &to](std::byte* memory, thread_pool& threads) { to = quantise<Bits>(tensor, memory, threads); }});
    }

    void want_vector(const tensor_info& tensor, const float*& to) {
        want<float>(tensor, true, [&to](const float* data) { to = data; });
    }

    struct named {
        const tensor_info* info;
        const std::string* name; // in the file
    };
    struct other_codes { // matrices that are quantised otherwise than they were asked for
        std::size_t count = 0;
        const char* weights = "";
        std::string first{};
    };

    std::string m_source;
    std::map<std::string, named, std::less<>> m_tensors; // by published name
    std::set<std::string, std::less<>> m_used;
    std::array<short_list, 4> m_problems; // by kind
    std::map<dtype, short_list> m_unread; // names of tensors whose type is not read
    other_codes m_codes;
    std::set<std::string> m_prefixes; // see tensor_names
    std::vector<job> m_jobs;
};

} // namespace pali::inline PALI_ABI

// A linear map, as towers and decoder use it.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// y = x · wᵀ (+ bias), by kernels::product.
template <weight_storage Storage>
struct linear {
    typename Storage::matrix weight; ///< (out, in), as stored
    const float* bias = nullptr;     ///< (out), or none

    /// x (T, in) -> (T, out), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        matrix_view y = at.take(x.shape(0), weight.count);
        (*this)(x, rows_of(y), at);
        return y;
    }
    /// x (T, in) -> y (T, out).
    void operator()(const matrix_view& x, rows<float> y, context& at) const { kernels::product(rows_of(x), {kernels::factor{weight, bias, y}}, at.threads, at.scratch); }

    /// x (T, in) through several maps -> (T, out) of each, in scratch memory. What products do to x is done once.
    template <std::same_as<linear>... Maps>
    [[nodiscard]] static std::array<matrix_view, sizeof...(Maps)> each(const matrix_view& x, context& at, const Maps&... maps) {
        std::array<matrix_view, sizeof...(Maps)> y{at.take(x.shape(0), maps.weight.count)...};
        std::size_t i = 0;
        kernels::product(rows_of(x), {kernels::factor{maps.weight, maps.bias, rows_of(y[i++])}...}, at.threads, at.scratch);
        return y;
    }

    /// "weight", (out, in), and, with_bias, "bias", (out).
    void bind(const binder::scope& names, std::size_t out, std::size_t in, bool with_bias) {
        names.matrix("weight", weight, {out, in});
        if (with_bias) names.vector("bias", bias, out);
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Self-attention of the decoder: rotary positions, grouped queries, and the prefix-LM mask over a cache.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Gemma's attention. Grouped queries: Ainslie et al., arXiv 2305.13245; softcap and window: arXiv 2408.00118, section 2.
template <decoder_config Config, weight_storage Storage>
struct gemma_attention {
    /// query (heads · head_dim, D), key and value (kv_heads · head_dim, D), output (D, heads · head_dim); no biases.
    linear<Storage> query, key, value, output;
    kernels::attention_shape shape;    ///< heads, and what is done to scores
    std::size_t layer = 0, window = 0; ///< number in the caches; sliding window, tokens, 0: none

    /// x (T, D) -> (T, D), in scratch memory. Keys and values go to the caches, behind what they hold.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, std::span<const sequence> sequences, const kernels::rope_table& rope, context& at) const {
        auto [q, k, v] = linear<Storage>::each(x, at, query, key, value);
        auto mixed = at.take(q.shape(0), q.shape(1));
        for (const sequence& s : sequences) {
            const std::size_t start = s.cache->length();
            const auto queries = rows_of(q).slice(s.first, s.count);
            remember(s, rows_of(k).slice(s.first, s.count), rows_of(v).slice(s.first, s.count), rope, at.threads);
            at.threads.run(s.count, [&](std::size_t t) {
                for (std::size_t head = 0; head < shape.heads; ++head) rope.rotate(queries[t] + head * shape.head_dim, start + t + first_position);
            });
            const kernels::prefix_mask mask{.prefix = s.cache->prefix(), .window = window, .start = start};
            s.cache->visit(layer, [&](const auto& seen) {
                kernels::attend(shape, queries, seen, mask, rows_of(mixed).slice(s.first, s.count), at.threads, at.scratch);
            });
        }
        return output(mixed, at);
    }

    /// Names of layer `index`, below "self_attn.".
    void bind(const binder::scope& names, const Config& config, std::size_t index) {
        shape = {.heads = config.heads, .kv_heads = config.kv_heads, .head_dim = config.head_dim,
                 .scale = 1.f / std::sqrt(static_cast<float>(config.query_pre_attn_scalar)), .softcap = config.attention_softcap};
        layer = index;
        window = config.window(index);
        query.bind(names["q_proj"], config.heads * config.head_dim, config.hidden, false);
        key.bind(names["k_proj"], config.kv_heads * config.head_dim, config.hidden, false);
        value.bind(names["v_proj"], config.kv_heads * config.head_dim, config.hidden, false);
        output.bind(names["o_proj"], config.hidden, config.heads * config.head_dim, false);
    }

    /// The position of the first token: 1, as in transformers modeling_paligemma.py. Only differences of positions matter but for rounding.
    static constexpr std::size_t first_position = 1;

private:
    void remember(const sequence& s, rows<float> k, rows<float> v, const kernels::rope_table& rope, thread_pool& threads) const {
        constexpr std::size_t tokens_a_task = 16; // a cache line of each number of their keys
        threads.run((s.count + tokens_a_task - 1) / tokens_a_task * shape.kv_heads, [&](std::size_t task) {
            const std::size_t first = task / shape.kv_heads * tokens_a_task, head = task % shape.kv_heads, offset = head * shape.head_dim;
            for (std::size_t t = first; t < std::min(s.count, first + tokens_a_task); ++t) {
                const std::size_t position = s.cache->length() + t;
                rope.rotate(k[t] + offset, position + first_position);
                s.cache->store(layer, head, position, {k[t] + offset, shape.head_dim}, {v[t] + offset, shape.head_dim});
            }
        });
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Normalisation of rows: RMSNorm of Gemma, LayerNorm of SigLIP.

namespace pali::inline PALI_ABI::kernels {

/// Rows for a thread to take at once: some microseconds.
inline constexpr std::size_t norm_rows_a_task = 16;

/**
 * y = x / sqrt(mean(x²) + eps) · (1 + scale), row by row. In Gemma's form a stored 0 means identity.
 * x (T, D); scale (D); y (T, D), may be x. Never throws, never allocates.
 * See big_vision models/ppp/gemma.py RMSNorm; transformers modeling_gemma2.py Gemma2RMSNorm.
 */
template <class A>
void rms_norm(arch::simd<A>, rows<const float> x, const float* scale, float eps, rows<float> y) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(x.count == y.count && x.width == y.width);
    const std::size_t whole = x.width / batch::size * batch::size;
    for (std::size_t t = 0; t < x.count; ++t) {
        const float* const in = x[t];
        float* const out = y[t];
        batch squares(0.f);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = batch::load_unaligned(in + i);
            squares = arch::fma(v, v, squares);
        }
        float sum = compat::reduce_add(squares);
        for (std::size_t i = whole; i < x.width; ++i) sum += in[i] * in[i];
        const float inverse = 1.f / std::sqrt(sum / static_cast<float>(x.width) + eps);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = batch::load_unaligned(in + i) * batch(inverse);
            (v * (batch::load_unaligned(scale + i) + batch(1.f))).store_unaligned(out + i);
        }
        for (std::size_t i = whole; i < x.width; ++i) out[i] = in[i] * inverse * (1.f + scale[i]);
    }
}

/**
 * y = (x - mean) / sqrt(var + eps) · scale + bias, row by row; the variance is that of the row, not its estimate.
 * x (T, D); scale, bias (D); y (T, D), may be x. Never throws, never allocates.
 * See Ba et al., arXiv 1607.06450; torch.nn.LayerNorm.
 */
template <class A>
void layer_norm(arch::simd<A>, rows<const float> x, const float* scale, const float* bias, float eps, rows<float> y) noexcept {
    using batch = xsimd::batch<float, A>;
    PALI_ASSERT(x.count == y.count && x.width == y.width);
    const std::size_t whole = x.width / batch::size * batch::size;
    const float width = static_cast<float>(x.width);
    for (std::size_t t = 0; t < x.count; ++t) {
        const float* const in = x[t];
        float* const out = y[t];
        batch sums(0.f);
        for (std::size_t i = 0; i < whole; i += batch::size) sums += batch::load_unaligned(in + i);
        float sum = compat::reduce_add(sums);
        for (std::size_t i = whole; i < x.width; ++i) sum += in[i];
        const float mean = sum / width;
        batch squares(0.f);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = batch::load_unaligned(in + i) - batch(mean);
            squares = arch::fma(v, v, squares);
        }
        float square = compat::reduce_add(squares);
        for (std::size_t i = whole; i < x.width; ++i) square += (in[i] - mean) * (in[i] - mean);
        const float inverse = 1.f / std::sqrt(square / width + eps);
        for (std::size_t i = 0; i < whole; i += batch::size) {
            const auto v = (batch::load_unaligned(in + i) - batch(mean)) * batch(inverse);
            arch::fma(v, batch::load_unaligned(scale + i), batch::load_unaligned(bias + i)).store_unaligned(out + i);
        }
        for (std::size_t i = whole; i < x.width; ++i) out[i] = (in[i] - mean) * inverse * scale[i] + bias[i];
    }
}

} // namespace pali::inline PALI_ABI::kernels

// The two normalisations, with their weights.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Gemma's norm: x / rms(x) · (1 + scale); see kernels::rms_norm.
struct rms_norm {
    const float* scale = nullptr; ///< (D)
    float eps = 0;                ///< added to the mean square

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        matrix_view y = at.take(x.shape(0), x.shape(1));
        at.threads.run_blocks(x.shape(0), kernels::norm_rows_a_task, [&](std::size_t t, std::size_t n) {
            kernels::rms_norm(arch::native, rows_of(x).slice(t, n), scale, eps, rows_of(y).slice(t, n));
        });
        return y;
    }

    /// "weight", (width).
    void bind(const binder::scope& names, std::size_t width, float epsilon) {
        names.vector("weight", scale, width);
        eps = epsilon;
    }
};

/// SigLIP's norm: (x - mean) / deviation · scale + bias; see kernels::layer_norm.
struct layer_norm {
    const float* scale = nullptr; ///< (D)
    const float* bias = nullptr;  ///< (D)
    float eps = 0;                ///< added to the variance

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        matrix_view y = at.take(x.shape(0), x.shape(1));
        at.threads.run_blocks(x.shape(0), kernels::norm_rows_a_task, [&](std::size_t t, std::size_t n) {
            kernels::layer_norm(arch::native, rows_of(x).slice(t, n), scale, bias, eps, rows_of(y).slice(t, n));
        });
        return y;
    }

    /// "weight" and "bias", (width).
    void bind(const binder::scope& names, std::size_t width, float epsilon) {
        names.vector("weight", scale, width);
        names.vector("bias", bias, width);
        eps = epsilon;
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// One layer of the decoder.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// down(gelu(gate(x)) · up(x)): GeGLU, Shazeer, arXiv 2002.05202.
template <decoder_config Config, weight_storage Storage>
struct gated_mlp {
    linear<Storage> gate, up, down; ///< gate and up (intermediate, D), down (D, intermediate); no biases

    /// x (T, D) -> (T, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(matrix_view x, context& at) const {
        matrix_view y = at.take(x.shape(0), x.shape(1));
        // Long sequences in parts: hidden and factor are four times as wide as x, and would be most of the memory of a prefill.
        for (std::size_t parts = (x.shape(0) + most_tokens - 1) / most_tokens, part = 0; part < parts; ++part) {
            const arena::frame frame(at.scratch);
            const std::size_t first = part * x.shape(0) / parts, n = (part + 1) * x.shape(0) / parts - first;
            auto [hidden, factor] = linear<Storage>::each(slice(x, first, n), at, gate, up);
            at.threads.run_blocks(hidden.size(), kernels::elements_a_task,
                                  [&](std::size_t i, std::size_t count) { kernels::gated_gelu(arch::native, hidden.data() + i, factor.data() + i, count); });
            down(hidden, rows_of(y).slice(first, n), at);
        }
        return y;
    }

    static constexpr std::size_t most_tokens = 1024; ///< at once: of the 3B 76 MB, while its weights, read anew, are 127 MB of a second's work

    /// Names of a layer, below "mlp.".
    void bind(const binder::scope& names, const Config& config) {
        gate.bind(names["gate_proj"], config.intermediate, config.hidden, false);
        up.bind(names["up_proj"], config.intermediate, config.hidden, false);
        down.bind(names["down_proj"], config.hidden, config.intermediate, false);
    }
};

/// Gemma 1: x += attn(pre(x)); x += mlp(pre(x)). Gemma 2: x += post(attn(pre(x))); x += post(mlp(pre(x))).
template <decoder_config Config, weight_storage Storage>
struct gemma_block {
    [[no_unique_address]] Config config; ///< of the whole decoder
    rms_norm input_norm, post_attention_norm, pre_mlp_norm, post_mlp_norm; ///< (D); those called post are Gemma 2's alone
    gemma_attention<Config, Storage> attention; ///< first half
    gated_mlp<Config, Storage> mlp;             ///< second half

    /// x (T, D) in place; the caches of `sequences` grow by their rows.
    void operator()(matrix_view& x, std::span<const sequence> sequences, const kernels::rope_table& rope, context& at) const {
        {
            const arena::frame frame(at.scratch);
            const auto attended = attention(input_norm(x, at), sequences, rope, at);
            add(x, config.post_norms ? post_attention_norm(attended, at) : attended);
        }
        const arena::frame frame(at.scratch);
        const auto transformed = mlp(pre_mlp_norm(x, at), at);
        add(x, config.post_norms ? post_mlp_norm(transformed, at) : transformed);
    }

    /// Names of layer `index`, below "layers.<index>.".
    void bind(const binder::scope& names, std::size_t index) {
        input_norm.bind(names["input_layernorm"], config.hidden, config.norm_eps);
        attention.bind(names["self_attn"], config, index);
        if (config.post_norms) {
            post_attention_norm.bind(names["post_attention_layernorm"], config.hidden, config.norm_eps);
            pre_mlp_norm.bind(names["pre_feedforward_layernorm"], config.hidden, config.norm_eps);
            post_mlp_norm.bind(names["post_feedforward_layernorm"], config.hidden, config.norm_eps);
        } else {
            pre_mlp_norm.bind(names["post_attention_layernorm"], config.hidden, config.norm_eps); // Gemma 1's name for it
        }
        mlp.bind(names["mlp"], config);
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Rows of weights as floats, for embeddings.

namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD {

/// One row in float32: exact.
template <class Element>
void read_row(const rows<const Element>& w, std::size_t row, float* to) noexcept {
    for (std::size_t i = 0; i < w.width; ++i) to[i] = static_cast<float>(w[row][i]);
}

/// One row of code · scale in float32: exact.
template <std::size_t Bits>
void read_row(const quantised_rows<Bits>& w, std::size_t row, float* to) noexcept {
    for (std::size_t k = 0; k < w.width; ++k) to[k] = w.scale(row, k) * static_cast<float>(w.code(row, k));
}

} // namespace pali::inline PALI_ABI::kernels::inline PALI_SIMD

// The decoder: embeddings of image and text in, a hidden state and logits for every token out.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Gemma (arXiv 2403.08295) and Gemma 2 (arXiv 2408.00118).
template <decoder_config Config, weight_storage Storage>
struct gemma {
    [[no_unique_address]] Config config; ///< see decoder_config
    typename Storage::matrix embedding; ///< (V, D)
    std::vector<gemma_block<Config, Storage>> layers; ///< from the first to the last
    rms_norm final_norm; ///< (D)
    linear<Storage> head; ///< (V, D), without a bias; empty where the embedding serves as the head too
    kernels::rope_table rope; ///< as far as extend() has asked for

    /// Without weights: bind() asks for them.
    explicit gemma(const Config& c) : config(c), rope(c.head_dim, c.rope_theta) {
        layers.assign(c.layers, gemma_block<Config, Storage>{c, {}, {}, {}, {}, {}, {}});
    }

    /// Prepares for sequences of `tokens` tokens, which a pass needs. Not while one is running.
    void extend(std::size_t tokens) { rope.extend(tokens + gemma_attention<Config, Storage>::first_position); }

    /// One row: the embedding of a token, times the square root of the width. Image features are not scaled. Throws errc::invalid_argument for a token outside the table.
    void embed(std::int32_t token, float* row) const {
        if (token < 0 || static_cast<std::size_t>(token) >= config.vocab) throw error(errc::invalid_argument, {"token ", token, " is outside the vocabulary of ", config.vocab});
        const float scale = std::sqrt(static_cast<float>(config.hidden));
        kernels::read_row(embedding, static_cast<std::size_t>(token), row);
        for (std::size_t i = 0; i < embedding.width; ++i) row[i] *= scale;
    }

    /// x (T, D), in place: embeddings become the outputs of the last block. `after(layer, x)` is called after each block, 0 to layers - 1;
    /// when it returns false the work stops, the caches keep their length, and false is returned. Throws errc::capacity_exceeded where a cache is too small.
    template <class After>
    bool operator()(matrix_view& x, std::span<const sequence> sequences, context& at, After&& after) const {
        for (const sequence& s : sequences) s.cache->require(s.count);
        for (std::size_t i = 0; i < layers.size(); ++i) {
            layers[i](x, sequences, rope, at);
            if (!after(i, x)) return false;
        }
        for (const sequence& s : sequences) s.cache->advance(s.count);
        return true;
    }

    /// Outputs of the last block (T, D) -> hidden states (T, D), in scratch memory.
    [[nodiscard]] matrix_view normalise(const matrix_view& x, context& at) const { return final_norm(x, at); }

    /// Hidden states (T, D) -> logits (T, V), in scratch memory, before the final softcap.
    [[nodiscard]] matrix_view uncapped_logits(const matrix_view& hidden, context& at) const {
        matrix_view y = (head.weight.count ? head : linear<Storage>{.weight = embedding})(hidden, at);
        const std::size_t count = y.shape(0), width = y.shape(1), vocab = config.vocab;
        if (width == vocab) return y;
        for (std::size_t row = 1; row < count; ++row) std::copy_n(y.data() + row * width, vocab, y.data() + row * vocab); // rows that fill up a strip are no tokens
        return view_matrix(y.data(), count, vocab);
    }
    /// The final softcap, in place.
    void cap(matrix_view& y, context& at) const {
        if (config.final_softcap > 0)
            at.threads.run_blocks(y.size(), kernels::elements_a_task, [&](std::size_t i, std::size_t n) { kernels::softcap(arch::native, y.data() + i, n, config.final_softcap); });
    }

    /// Names below "language_model.". `tied`: of embedding and head one is enough, in either direction; a head that repeats the embedding is the embedding.
    void bind(const binder::scope& names, bool tied = true) {
        const auto model = names["model"];
        const bool head_alone = tied && !names.has("model.embed_tokens.weight") && names.has("lm_head.weight");
        (head_alone ? names["lm_head"] : model["embed_tokens"]).vocabulary("weight", embedding, {config.vocab, config.hidden});
        for (std::size_t i = 0; i < layers.size(); ++i) layers[i].bind(model["layers." + std::to_string(i)], i);
        final_norm.bind(model["norm"], config.hidden, config.norm_eps);
        const bool one_is_enough = tied || names.has("lm_head.weight");
        if (!head_alone && !(one_is_enough && names.omits_or_repeats("lm_head.weight", "model.embed_tokens.weight")))
            names["lm_head"].vocabulary("weight", head.weight, {config.vocab, config.hidden});
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// One safetensors file, mapped: a table of tensors whose bytes are those of the file.

namespace pali::inline PALI_ABI {

/// Longest header that is read, bytes; the limit of the format's own reader (tensor.rs, MAX_HEADER_SIZE).
inline constexpr std::size_t safetensors_header_limit = 100'000'000;

/// A file of the format: eight bytes of length, a JSON header, then the numbers. https://github.com/huggingface/safetensors#format
/// The header is not trusted. Before a tensor is handed out, all of it is checked: lengths, JSON, types, shapes (no overflow), and that the
/// tensors cover the data exactly, without overlap or hole. So every span lies within the file. Names that occur twice and keys that the format
/// does not have are treated as by the format's own reader: the last tensor of a name counts, other keys are ignored.
class safetensors_file {
public:
    /// Throws errc::cannot_open, or errc::malformed_file with the tensor, what was found and what was needed.
    explicit safetensors_file(const std::filesystem::path& path);

    /// Valid as long as the object, or the one it was moved to.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// `__metadata__`: free text by name.
    [[nodiscard]] const std::map<std::string, std::string, std::less<>>& metadata() const noexcept { return m_metadata; }
    /// The tensor of that name; throws errc::checkpoint_mismatch when there is none.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;

    /// What all tensors lie in.
    [[nodiscard]] const mapped_file& file() const noexcept { return m_file; }

private:
    mapped_file m_file;
    tensor_table m_tensors;
    std::map<std::string, std::string, std::less<>> m_metadata;
};

} // namespace pali::inline PALI_ABI

// Body of safetensors.hpp: the header as a document, then the table, then where the bytes lie.

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and read where they lie");

namespace pali::inline PALI_ABI {

namespace detail {

/// Reads the header of one file. Throws at the first thing that the format does not allow.
class safetensors_header {
public:
    using json = nlohmann::json;

    /// A tensor, whose bytes are not known yet, and where they lie in the data.
    struct entry {
        const std::string* name;
        tensor_info* tensor;
        std::uint64_t begin, end;
    };

    explicit safetensors_header(std::string file) : m_file(std::move(file)) {}

    [[noreturn]] void fail(const error_text& what) const { throw error(errc::malformed_file, {m_file, ": ", what}); }
    [[noreturn]] void fail_tensor(std::string_view name, const error_text& what) const { fail({"tensor ", in_quotes(name), " ", what}); }

    [[nodiscard]] std::map<std::string, std::string, std::less<>> read_metadata(const json& value) const {
        std::map<std::string, std::string, std::less<>> out;
        if (value.is_null()) return out;
        if (!value.is_object()) fail({"'__metadata__' is ", describe_json(value), "; it must be an object"});
        for (const auto& [key, text] : value.get_ref<const json::object_t&>()) {
            if (!text.is_string()) fail_text(key, text);
            out.emplace(key, text.get_ref<const std::string&>());
        }
        return out;
    }

    /// Puts the tensor into `table`.
    [[nodiscard]] entry read_tensor(const std::string& name, const json& value, tensor_table& table) const {
        if (!value.is_object()) fail_tensor(name, {"is ", describe_json(value), "; it must be an object"});
        const json& type_name = at(name, value, "dtype");
        if (!type_name.is_string()) fail_tensor(name, {"has dtype ", describe_json(type_name), "; a string is needed"});
        const std::optional<dtype> type = find_dtype(type_name.get_ref<const std::string&>());
        if (!type) fail_tensor(name, {"has dtype ", in_quotes(type_name.get_ref<const std::string&>()), "; the format has ", dtype_names()});
        std::vector<std::size_t> shape = integers(name, value, "shape");
        if (shape.size() > most_dimensions) fail_tensor(name, {"has more than ", most_dimensions, " dimensions, the most that are read"});
        const std::vector<std::size_t> offsets = integers(name, value, "data_offsets");
        if (offsets.size() != 2) fail_tensor(name, {"has ", offsets.size(), " data_offsets; they are two, [begin, end]"});
        const auto [at, is_new] = table.emplace(name, tensor_info{*type, std::move(shape), {}, m_file});
        return {&at->first, &at->second, offsets[0], offsets[1]};
    }

    /// A value that a later one with the same key replaces. The reader of the format (serde's) takes the last tensor of a name and the last text of a key of `__metadata__`, when the ones
    /// before were valid too, and refuses what has a place of its own twice.
    void check_replaced(const std::vector<std::string_view>& path, const json& value) const {
        const bool metadata = path[0] == "__metadata__";
        if (path.size() == 1 && !metadata) {
            tensor_table dropped;
            (void)read_tensor(std::string(path[0]), value, dropped);
        } else if (path.size() == 1) {
            fail("the header has '__metadata__' twice");
        } else if (path.size() == 2 && metadata) {
            if (!value.is_string()) fail_text(path[1], value);
        } else if (path.size() == 2 && (path[1] == "dtype" || path[1] == "shape" || path[1] == "data_offsets")) {
            fail_tensor(path[0], {"has ", path[1], " twice"});
        }
    }

private:
    static constexpr std::size_t most_dimensions = 32; // torch's models have 5 at most; numpy allows 64

    [[noreturn]] void fail_text(std::string_view key, const json& value) const {
        fail({"'__metadata__' holds ", describe_json(value), " at ", in_quotes(key), "; its values are strings"});
    }

    [[nodiscard]] const json& at(const std::string& name, const json& tensor, const char* key) const {
        const auto found = tensor.find(key);
        if (found == tensor.end()) fail_tensor(name, std::string("has no ") + key);
        return *found;
    }
    [[nodiscard]] std::vector<std::size_t> integers(const std::string& name, const json& tensor, const char* key) const {
        const json& list = at(name, tensor, key);
        std::vector<std::size_t> out;
        if (list.is_array())
            for (const json& value : list.get_ref<const json::array_t&>())
                if (value.is_number_unsigned()) out.push_back(value.get<std::size_t>());
        if (!list.is_array() || out.size() != list.size())
            fail_tensor(name, {"has ", key, " ", describe_json(list), "; an array of integers from 0 is needed"});
        return out;
    }

    std::string m_file;
};

/// Bytes of a tensor; throws when they cannot be counted in 64 bits. Zeros do not hide an overflow of the other sides.
[[nodiscard]] PALI_INLINE std::uint64_t checked_bytes(const safetensors_header& header, const std::string& name, const tensor_info& tensor) {
    std::uint64_t bits = bits_of(tensor.type);
    bool empty = false;
    for (const std::size_t side : tensor.shape) {
        if (side == 0) empty = true;
        else if (bits > std::numeric_limits<std::uint64_t>::max() / side)
            header.fail_tensor(name, {"has shape ", describe_shape(tensor.shape), ", whose size does not fit into 64 bits"});
        else bits *= side;
    }
    if (empty) return 0;
    if (bits % 8 != 0)
        header.fail_tensor(name, {"has shape ", describe_shape(tensor.shape), " of ", to_string(tensor.type), ", which is no whole number of bytes"});
    return bits / 8;
}

} // namespace detail

PALI_INLINE safetensors_file::safetensors_file(const std::filesystem::path& path) : m_file(path) {
    const std::span<const std::byte> bytes = m_file.bytes();
    const detail::safetensors_header header(path.string());

    if (is_lfs_pointer({reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 64)})) throw error(errc::malformed_file, {path.string(), lfs_pointer_words});
    if (bytes.size() < 8)
        header.fail({"has ", bytes.size(), " bytes; a safetensors file begins with 8 that give the length of its header"});
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    if (length > safetensors_header_limit)
        header.fail({"says that its header has ", length, " bytes; at most ", safetensors_header_limit, " are read: is it a safetensors file?"});
    if (length > bytes.size() - 8)
        header.fail({"says that its header has ", length, " bytes, but only ", bytes.size() - 8, " follow: was it downloaded completely?"});

    const char* const begin = reinterpret_cast<const char*>(bytes.data()) + 8;
    if (length == 0 || *begin != '{') header.fail("the header must begin with '{'");
    if (std::memchr(begin, 0, length) != nullptr) header.fail("the header holds a zero byte, at which a parser could stop");
    const nlohmann::json document = detail::parse_json({begin, length}, [&](const error_text& what) { header.fail({"the header ", what}); },
                                                       [&](const std::vector<std::string_view>& place, const nlohmann::json& value) { header.check_replaced(place, value); });

    using entry = detail::safetensors_header::entry;
    std::vector<entry> entries;
    for (const auto& [name, value] : document.get_ref<const nlohmann::json::object_t&>()) {
        if (name == "__metadata__") m_metadata = header.read_metadata(value);
        else entries.push_back(header.read_tensor(name, value, m_tensors));
    }

    const std::span<const std::byte> data = bytes.subspan(8 + length);
    std::sort(entries.begin(), entries.end(), [](const entry& a, const entry& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
    std::uint64_t end_of_last = 0;
    const entry* last = nullptr;
    for (const entry& now : entries) {
        const auto fail = [&](const error_text& what) { header.fail_tensor(*now.name, {"has data_offsets [", now.begin, ", ", now.end, "], ", what}); };
        if (now.begin > now.end) fail("which end before they begin");
        if (now.end > data.size()) fail({"but the file has ", data.size(), " bytes of data: was it downloaded completely?"});
        const std::uint64_t needed = detail::checked_bytes(header, *now.name, *now.tensor);
        if (now.end - now.begin != needed)
            fail({now.end - now.begin, " bytes; shape ", describe_shape(now.tensor->shape), " of ", to_string(now.tensor->type), " needs ", needed});
        if (now.begin < end_of_last) fail({"which overlap tensor ", in_quotes(*last->name), ", whose data end at ", end_of_last});
        if (now.begin > end_of_last) fail({"which leave a hole: the data before end at ", end_of_last});
        now.tensor->bytes = data.subspan(now.begin, needed);
        end_of_last = now.end;
        last = &now;
    }
    if (end_of_last != data.size())
        header.fail({"has ", data.size(), " bytes of data, of which tensors cover ", end_of_last, "; all must belong to a tensor"});
}

PALI_INLINE const tensor_info& safetensors_file::at(std::string_view name) const {
    const auto found = m_tensors.find(name);
    if (found == m_tensors.end())
        throw error(errc::checkpoint_mismatch, {m_file.path().string(), ": has no tensor ", in_quotes(name), " among its ", m_tensors.size()});
    return found->second;
}

} // namespace pali::inline PALI_ABI

// The weights of a checkpoint: one safetensors file or all its shards, as one table.

namespace pali::inline PALI_ABI {

/// A Hugging Face folder, opened: `model.safetensors`, or the shards that `model.safetensors.index.json` names, or without an index all of model-00001-of-00002.safetensors and so on. The files stay mapped as
/// long as the object lives; moving it moves nothing.
class checkpoint_files {
public:
    /// `given` is the folder, as find_checkpoint() takes it, or one .safetensors file. Throws what find_checkpoint() throws, errc::cannot_open (with the shards that are missing; a set without an index has to be complete), and
    /// errc::malformed_file for a file or index that contradicts the format or names a shard outside the folder.
    explicit checkpoint_files(const std::filesystem::path& given);

    /// Tensors of all files.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// The mapped files, in the order of their names.
    [[nodiscard]] const std::vector<safetensors_file>& files() const noexcept { return m_files; }
    /// Tensors that the index promises and its shard lacks, and the reverse; without an index, tensors that several shards hold. All tensors of the shards are in the table; of one that several shards hold, the one that the
    /// index points to, or the first.
    [[nodiscard]] const short_list& differences() const noexcept { return m_differences; }
    /// The tensor of that name; throws errc::checkpoint_mismatch when there is none.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;
    /// The text that the first file to have one keeps under `key`; empty where none does.
    [[nodiscard]] std::string metadata(std::string_view key) const;
    /// mapped_file::forget, for the file that `part` lies in.
    void forget(std::span<const std::byte> part) const noexcept {
        for (const safetensors_file& file : m_files) file.file().forget(part);
    }
    /// As it was given, or the snapshot in it.
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return m_path; }

private:
    void open_indexed(const std::filesystem::path& index);
    void open_shards(const std::set<std::string>& shards, const std::map<std::string, std::string, std::less<>>& shard_of);

    std::filesystem::path m_path;
    std::vector<safetensors_file> m_files;
    tensor_table m_tensors;
    short_list m_differences;
};

/// The shard of every tensor, as an index file's weight_map says it. Throws errc::cannot_open or errc::malformed_file: the names of
/// shards are names of .safetensors files in the same folder, and none leads out of it.
[[nodiscard]] std::map<std::string, std::string, std::less<>> read_shard_index(const std::filesystem::path& index);

/// Whether files with this ending, ".bin" for instance, hold weights in any of the formats that checkpoints come in.
[[nodiscard]] bool holds_weights(std::string_view ending) noexcept;

} // namespace pali::inline PALI_ABI

// Body of checkpoint_files.hpp.

namespace pali::inline PALI_ABI {

PALI_INLINE bool holds_weights(std::string_view ending) noexcept {
    constexpr std::array<std::string_view, 6> endings{".safetensors", ".bin", ".gguf", ".npz", ".pt", ".sbs"};
    return std::find(endings.begin(), endings.end(), ending) != endings.end();
}

namespace detail {

/// Why the folder holds no weights that can be read, as far as its contents tell.
[[nodiscard]] PALI_INLINE std::string describe_other_weights(const std::filesystem::path& folder) {
    std::set<std::string> others;
    std::error_code failure;
    for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure))
        if (holds_weights(it->path().extension().string())) others.insert(it->path().filename().string());
    if (others.empty()) return "";
    short_list names;
    for (const std::string& name : others) names.add(in_quotes(name));
    return "; it holds " + names.in_a_row() + ": name a .safetensors file itself to read it alone, and convert other formats with transformers' save_pretrained";
}

/// A name of the form model-00001-of-00002.safetensors; nothing for other names.
struct shard_number {
    std::size_t number = 0, count = 0;
};
[[nodiscard]] PALI_INLINE std::optional<shard_number> parse_shard_name(std::string_view name) {
    constexpr std::string_view form = "model-00000-of-00000.safetensors"; // 0: any digit
    constexpr std::size_t number_at = 6, count_at = 15, digits = 5;
    const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!std::equal(name.begin(), name.end(), form.begin(), form.end(), [&](char given, char wanted) { return wanted == '0' ? is_digit(given) : given == wanted; })) return std::nullopt;
    const auto read = [&](std::size_t at) {
        std::size_t value = 0;
        for (const char c : name.substr(at, digits)) value = value * 10 + static_cast<std::size_t>(c - '0');
        return value;
    };
    const shard_number out{read(number_at), read(count_at)};
    return out.number >= 1 && out.number <= out.count ? std::optional(out) : std::nullopt;
}

/// The shards of a folder without an index: all model-N-of-COUNT.safetensors, if every N is there. Empty where there is none. Throws errc::cannot_open with the missing shards, or
/// for shards of several sets.
[[nodiscard]] PALI_INLINE std::set<std::string> find_shards(const std::filesystem::path& folder) {
    std::map<std::size_t, std::set<std::size_t>> sets; // numbers by count
    std::set<std::string> found;
    std::error_code failure;
    for (std::filesystem::directory_iterator it(folder, failure), end; !failure && it != end; it.increment(failure)) {
        const std::string name = it->path().filename().string();
        const auto shard = parse_shard_name(name);
        if (!shard) continue;
        sets[shard->count].insert(shard->number);
        found.insert(name);
    }
    if (sets.empty()) return found;
    const auto& [count, numbers] = *sets.begin();
    const char* const cure = "; download the missing files again, or model.safetensors.index.json, which names the shards that belong together";
    if (sets.size() > 1) throw error(errc::cannot_open, {folder.string(), ": has no model.safetensors.index.json, and its shards are of several sets, of ", count, " and of ", sets.rbegin()->first, " files", cure});
    short_list absent;
    for (std::size_t number = 1; number <= count; ++number) {
        const std::string text = std::to_string(number);
        if (!numbers.contains(number)) absent.add({std::string(5 - text.size(), '0'), text});
    }
    if (!absent.empty())
        throw error(errc::cannot_open, {folder.string(), ": has no model.safetensors.index.json, and ", numbers.size(), " of the ", count, " shards; missing are the numbers ", absent.in_a_row(), cure});
    return found;
}

/// A plain file name: no folder, no drive, no way up.
[[nodiscard]] PALI_INLINE bool is_plain_name(const std::string& name) {
    return !name.empty() && name != "." && name != ".." && name.find_first_of("/\\:") == std::string::npos
        && std::none_of(name.begin(), name.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

} // namespace detail

PALI_INLINE std::map<std::string, std::string, std::less<>> read_shard_index(const std::filesystem::path& index) {
    const nlohmann::json document = detail::read_strict_json(index, errc::malformed_file);
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_file, {index.string(), ": ", what}); };
    const auto weight_map = document.find("weight_map");
    if (weight_map == document.end()) fail("has no 'weight_map', the object that names the shard of each tensor");
    if (!weight_map->is_object()) fail({"'weight_map' is ", weight_map->type_name(), "; an object is needed"});
    if (weight_map->empty()) fail("'weight_map' is empty; it names the shard of each tensor");
    std::map<std::string, std::string, std::less<>> shards;
    for (const auto& [tensor, shard] : weight_map->get_ref<const nlohmann::json::object_t&>()) {
        if (!shard.is_string())
            fail({"'weight_map' has ", shard.type_name(), " at ", in_quotes(tensor), "; the name of a shard is needed"});
        const std::string name = shard.get<std::string>();
        if (!detail::is_plain_name(name))
            fail({"'weight_map' sends tensor ", in_quotes(tensor), " to ", in_quotes(name),
                  "; a shard is a file in the same folder, and its name holds no / \\ or :"});
        if (!name.ends_with(".safetensors"))
            fail({"'weight_map' sends tensor ", in_quotes(tensor), " to ", in_quotes(name), "; the name of a shard ends with .safetensors"});
        shards.emplace(tensor, name);
    }
    return shards;
}

PALI_INLINE checkpoint_files::checkpoint_files(const std::filesystem::path& given) : m_path(find_checkpoint(given)) {
    const std::filesystem::path& path = m_path;
    std::error_code failure;
    if (!std::filesystem::is_directory(detail::require_path(path, "folder or file"))) {
        m_files.emplace_back(path);
        m_tensors = m_files.front().tensors();
        return;
    }
    const std::filesystem::path whole = path / "model.safetensors", index = path / "model.safetensors.index.json";
    // The whole file wins over an index, as in transformers (modeling_utils.py, _get_resolved_checkpoint_files).
    if (std::filesystem::exists(whole, failure)) {
        m_files.emplace_back(whole);
        m_tensors = m_files.front().tensors();
    } else if (std::filesystem::exists(index, failure)) {
        open_indexed(index);
    } else if (const std::set<std::string> shards = detail::find_shards(path); !shards.empty()) {
        open_shards(shards, {});
    } else {
        throw error(errc::cannot_open, {path.string(), ": has neither model.safetensors nor model.safetensors.index.json", detail::describe_other_weights(path)});
    }
}

PALI_INLINE void checkpoint_files::open_indexed(const std::filesystem::path& index) {
    const auto shard_of = read_shard_index(index);
    std::set<std::string> shards;
    for (const auto& [tensor, shard] : shard_of) shards.insert(shard);

    short_list absent;
    for (const std::string& shard : shards) {
        std::error_code failure;
        if (!std::filesystem::exists(m_path / shard, failure)) absent.add(in_quotes(shard));
    }
    if (!absent.empty())
        throw error(errc::cannot_open, {index.string(), ": names shards that are not in the folder: ", absent.in_a_row(), "; was the checkpoint downloaded completely?"});

    open_shards(shards, shard_of);
    for (const auto& [name, shard] : shard_of)
        if (!m_tensors.contains(name)) m_differences.add({in_quotes(name), " is in no shard; the index says ", in_quotes(shard)});
}

PALI_INLINE void checkpoint_files::open_shards(const std::set<std::string>& shards, const std::map<std::string, std::string, std::less<>>& shard_of) {
    m_files.reserve(shards.size());
    for (const std::string& shard : shards) {
        const safetensors_file& file = m_files.emplace_back(m_path / shard);
        for (const auto& [name, tensor] : file.tensors()) {
            const auto promised = shard_of.find(name);
            if (promised != shard_of.end() && promised->second == shard) {
                m_tensors.insert_or_assign(name, tensor);
                continue;
            }
            const auto [first, is_new] = m_tensors.emplace(name, tensor);
            if (shard_of.empty() && is_new) continue;
            if (shard_of.empty()) m_differences.add({in_quotes(name), " is in ", in_quotes(shard), " and in ", in_quotes(std::filesystem::path(first->second.file).filename().string()), ", and there is no index"});
            else if (promised == shard_of.end()) m_differences.add({in_quotes(name), " is in ", in_quotes(shard), ", and the index does not name it"});
            else m_differences.add({in_quotes(name), " is in ", in_quotes(shard), "; the index says ", in_quotes(promised->second)});
        }
    }
}

PALI_INLINE const tensor_info& checkpoint_files::at(std::string_view name) const {
    const auto found = m_tensors.find(name);
    if (found == m_tensors.end())
        throw error(errc::checkpoint_mismatch, {m_path.string(), ": has no tensor ", in_quotes(name), " among its ", m_tensors.size()});
    return found->second;
}

PALI_INLINE std::string checkpoint_files::metadata(std::string_view key) const {
    for (const safetensors_file& file : m_files)
        if (const auto found = file.metadata().find(key); found != file.metadata().end()) return found->second;
    return {};
}

} // namespace pali::inline PALI_ABI

// What is said about the tensors of a checkpoint: whether they fit, what is left over, which are no numbers.

namespace pali::inline PALI_ABI {

/// Throws errc::checkpoint_mismatch with the tensors that are missing or misshapen, and, if `strict`, with those that are left over and differences of index and shards; otherwise `on_notice`
/// reports these, one line for each of the two.
inline void check_tensors(const checkpoint_files& files, const binder& names, const checkpoint_config& read, bool strict, const std::function<void(std::string_view)>& on_notice) {
    const std::string source = files.path().string();
    std::string hint = "The configuration is that of " + read.file.string() + "; is the checkpoint complete, and of this model?";
    if (!read.tied) hint += " tie_word_embeddings is false in it: embedding and head are two matrices, and both are needed.";
    if (names.finds_unread_types()) hint.insert(0, std::string(conversion_cure) + "\n");
    const short_list& differences = files.differences();
    if (!differences.empty()) hint += "\nIndex and shards differ; are they of one download?" + differences.joined("\n  ");
    names.check(hint, strict);
    if (strict && !differences.empty())
        throw error(errc::checkpoint_mismatch, {source, ": index and shards differ; are they of one download?", differences.joined("\n  ")});
    if (!on_notice) return;
    if (!differences.empty()) on_notice(source + ": index and shards differ, and the shards are used as they are: " + differences.in_a_row());
    if (const short_list unused = names.unused(); !unused.empty())
        on_notice(source + ": " + std::to_string(unused.size()) + (unused.size() == 1 ? " tensor is" : " tensors are") + " not used: " + unused.in_a_row());
}

/// Throws errc::malformed_file, naming the weights that are no finite numbers: the reason why logits are none.
[[noreturn]] inline void throw_not_finite(const checkpoint_files& files) {
    const short_list broken = describe_not_finite(files.tensors());
    if (broken.empty())
        throw error(errc::malformed_file, {files.path().string(), ": the model's logits are not finite, though all of its weights are: numbers outgrew their type; load the weights as f32"});
    throw error(errc::malformed_file, {files.path().string(), ": the model's logits are not finite, for ", broken.size(), broken.size() == 1 ? " tensor is not:" : " tensors are not:",
                                       broken.joined("\n  "), "\nGet the checkpoint again, or save it from a training run that did not diverge"});
}

} // namespace pali::inline PALI_ABI

// The bridge from picture to text: one linear map.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Patches of the vision tower -> tokens of the decoder (arXiv 2407.07726, section 3.1).
template <model_config Config, weight_storage Storage>
struct projector {
    [[no_unique_address]] Config config; ///< of the whole model
    linear<Storage> map;                 ///< (hidden, vision hidden), with a bias

    /// x (P, vision hidden) -> (P, hidden), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const { return map(x, at); }

    /// Names below "multi_modal_projector.".
    void bind(const binder::scope& names) { map.bind(names["linear"], config.hidden, config.vision.hidden, true); }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Self-attention of the vision tower: every patch sees every patch.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Multi-head attention with biases, not masked. Dosovitskiy et al., arXiv 2010.11929; transformers SiglipAttention.
template <vision_config Config, weight_storage Storage>
struct siglip_attention {
    linear<Storage> query, key, value, output; ///< (D, D) and a bias (D) each
    std::size_t heads = 0; ///< D % heads == 0

    /// x (P, D) -> (P, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        const auto [q, k, v] = linear<Storage>::each(x, at, query, key, value);
        auto mixed = at.take(x.shape(0), x.shape(1));
        // Where products round to bfloat16, so does this one.
        if (std::same_as<Storage, bf16> && (arch::in_use().avx512_bf16 || arch::in_use().amx_bf16)) mix<bfloat16>(q, k, v, mixed, at);
        else mix<float>(q, k, v, mixed, at);
        return output(mixed, at);
    }

    /// Names of a layer, below "self_attn.".
    void bind(const binder::scope& names, const Config& config) {
        heads = config.heads;
        query.bind(names["q_proj"], config.hidden, config.hidden, true);
        key.bind(names["k_proj"], config.hidden, config.hidden, true);
        value.bind(names["v_proj"], config.hidden, config.hidden, true);
        output.bind(names["out_proj"], config.hidden, config.hidden, true);
    }

private:
    /// All (P, heads · head_dim); keys and values are copied head by head, as `Element`.
    template <class Element>
    void mix(const matrix_view& q, const matrix_view& k, const matrix_view& v, matrix_view& mixed, context& at) const {
        using key_values = kernels::key_values<Element>;
        const std::size_t patches = q.shape(0), head_dim = q.shape(1) / heads, numbers = key_values::numbers(heads, patches, head_dim);
        const key_values seen{reinterpret_cast<Element*>(at.scratch.take(numbers * sizeof(Element) / sizeof(float))), patches, head_dim};
        at.threads.run(heads, [&](std::size_t head) {
            for (std::size_t p = 0; p < patches; ++p) {
                const std::size_t first = p * q.shape(1) + head * head_dim;
                seen.put(head, p, {k.data() + first, head_dim}, {v.data() + first, head_dim});
            }
        });
        const kernels::attention_shape shape{.heads = heads, .kv_heads = heads, .head_dim = head_dim, .scale = 1.f / std::sqrt(static_cast<float>(head_dim))};
        kernels::attend(shape, rows_of(q), seen, kernels::prefix_mask{.prefix = patches}, rows_of(mixed), at.threads, at.scratch);
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// One layer of the vision tower.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Two linear maps with a GELU, its tanh form, between them.
template <vision_config Config, weight_storage Storage>
struct siglip_mlp {
    linear<Storage> up, down; ///< (intermediate, D), (D, intermediate), with biases

    /// x (P, D) -> (P, D), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& at) const {
        auto hidden = up(x, at);
        at.threads.run_blocks(hidden.size(), kernels::elements_a_task, [&](std::size_t i, std::size_t n) { kernels::gelu(arch::native, hidden.data() + i, n); });
        return down(hidden, at);
    }

    /// Names of a layer, below "mlp.".
    void bind(const binder::scope& names, const Config& config) {
        up.bind(names["fc1"], config.intermediate, config.hidden, true);
        down.bind(names["fc2"], config.hidden, config.intermediate, true);
    }
};

/// x += attention(norm(x)); x += mlp(norm(x)). Dosovitskiy et al., arXiv 2010.11929, equations 2 and 3.
template <vision_config Config, weight_storage Storage>
struct siglip_block {
    layer_norm attention_norm, mlp_norm;         ///< (D)
    siglip_attention<Config, Storage> attention; ///< first half
    siglip_mlp<Config, Storage> mlp;             ///< second half

    /// x (P, D) in place.
    void operator()(matrix_view& x, context& at) const {
        const arena::frame frame(at.scratch);
        add(x, attention(attention_norm(x, at), at));
        add(x, mlp(mlp_norm(x, at), at));
    }

    /// Names of a layer, below "encoder.layers.<index>.".
    void bind(const binder::scope& names, const Config& config) {
        attention_norm.bind(names["layer_norm1"], config.hidden, config.norm_eps);
        attention.bind(names["self_attn"], config);
        mlp_norm.bind(names["layer_norm2"], config.hidden, config.norm_eps);
        mlp.bind(names["mlp"], config);
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// A picture as a sequence: squares of pixels, each a row.

namespace pali::inline PALI_ABI {

/// pixels (3, S, S) -> (P, 3 · side · side): patches row by row, each in the order (channel, y, x) of a convolution's weights. S is
/// `image_size` and P (S / side)², both sides in pixels; in scratch memory.
[[nodiscard]] inline matrix_view cut_patches(const float* pixels, std::size_t image_size, std::size_t side, context& at) {
    const std::size_t across = image_size / side;
    matrix_view patches = at.take(across * across, 3 * side * side);
    float* to = patches.data();
    for (std::size_t row = 0; row < across; ++row)
        for (std::size_t column = 0; column < across; ++column)
            for (std::size_t channel = 0; channel < 3; ++channel)
                for (std::size_t y = 0; y < side; ++y) {
                    const float* const from = pixels + (channel * image_size + row * side + y) * image_size + column * side;
                    to = std::copy(from, from + side, to);
                }
    return patches;
}

} // namespace pali::inline PALI_ABI

// SigLIP: a picture in, a vector for every patch out.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// The vision tower (Zhai et al., arXiv 2303.15343): patch embedding, learned positions, blocks, a last norm; no pooling.
template <vision_config Config, weight_storage Storage>
struct siglip {
    [[no_unique_address]] Config config;               ///< see vision_config
    linear<Storage> patch_embedding;                   ///< a convolution whose stride is its size: a linear map of each patch
    typename Storage::matrix positions;                ///< (P, D)
    std::vector<siglip_block<Config, Storage>> layers; ///< from the first to the last
    layer_norm post_norm;                              ///< (D)

    /// Without weights: bind() asks for them.
    explicit siglip(const Config& c) : config(c), layers(c.layers) {}

    /// pixels (3, S, S), normalised -> (P, D), in scratch memory. `after(layer, x)` is called with the patch embeddings as layer 0 and
    /// with the output of each block as the next ones; when it returns false the work stops, and what is returned means nothing.
    template <class After>
    [[nodiscard]] matrix_view operator()(const float* pixels, context& at, After&& after) const {
        matrix_view x = patch_embedding(cut_patches(pixels, config.image_size, config.patch_size, at), at);
        for (std::size_t p = 0; p < positions.count; ++p)
            for (std::size_t i = 0; i < positions.width; ++i) x(p, i) += static_cast<float>(positions[p][i]);
        if (!after(std::size_t{0}, x)) return x;
        for (std::size_t i = 0; i < layers.size(); ++i) {
            layers[i](x, at);
            if (!after(i + 1, x)) return x;
        }
        return post_norm(x, at);
    }

    /// Names below "vision_tower.vision_model.".
    void bind(const binder::scope& names) {
        const std::size_t side = config.patch_size;
        const auto embeddings = names["embeddings"];
        embeddings["patch_embedding"].matrix("weight", patch_embedding.weight, {config.hidden, 3, side, side});
        embeddings["patch_embedding"].vector("bias", patch_embedding.bias, config.hidden);
        embeddings["position_embedding"].matrix("weight", positions, {patch_count(config), config.hidden});
        for (std::size_t i = 0; i < layers.size(); ++i) layers[i].bind(names["encoder.layers." + std::to_string(i)], config);
        post_norm.bind(names["post_layernorm"], config.hidden, config.norm_eps);
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// The three parts of a PaliGemma, bound to the weights of a checkpoint.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Vision tower, projector and decoder, and the memory that their weights lie in.
template <model_config Config, weight_storage Storage>
class network {
public:
    /// A vision_config: the type of the configuration's tower.
    using vision_type = std::remove_cvref_t<decltype(std::declval<Config>().vision)>;

    /// Binds the tensors of `folder`, for which `read` is its config.json. Throws errc::config_mismatch or errc::checkpoint_mismatch
    /// with what does not fit, errc::cancelled when `options.on_progress` returns false.
    network(const std::filesystem::path& folder, const checkpoint_config& read, const load_options& options, context& at)
        : config(make_config<Config>(read)), vision(config.vision), project{config, {}}, decoder(config), positions(read.positions), m_files(folder) {
        binder names(m_files.tensors(), m_files.path().string());
        vision.bind(names.root()["vision_tower.vision_model"]);
        project.bind(names.root()["multi_modal_projector"]);
        decoder.bind(names.root()["language_model"], read.tied);
        check_tensors(m_files, names, read, options.strict, options.on_notice);
        m_memory = names.finish(options.residency, at.threads, options.on_progress, [&](std::span<const std::byte> tensor) { m_files.forget(tensor); });
    }

    [[no_unique_address]] Config config;                 ///< what it was built for
    siglip<vision_type, typename Storage::tower> vision; ///< pixels (3, S, S) -> (P, vision hidden)
    projector<Config, typename Storage::tower> project;  ///< -> (P, hidden)
    gemma<Config, Storage> decoder;                      ///< (T, hidden) -> (T, hidden) and logits
    std::size_t positions;                               ///< most tokens of a sequence

    /// Hidden states (T, D) -> logits (T, V), in scratch memory, with the final softcap. Throws errc::malformed_file where one is not finite, with the weights that are not.
    [[nodiscard]] matrix_view logits(const matrix_view& hidden, context& at) const {
        matrix_view y = decoder.uncapped_logits(hidden, at);
        if (!are_finite(y.data(), y.size())) throw_not_finite(m_files);
        decoder.cap(y, at);
        return y;
    }

    /// Tokens of one picture.
    [[nodiscard]] std::size_t image_tokens() const noexcept { return patch_count(config.vision); }
    /// The files behind the weights.
    [[nodiscard]] const checkpoint_files& files() const noexcept { return m_files; }

private:
    checkpoint_files m_files;
    page_memory m_memory;
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// The prompt through the decoder: image features, then text, in one pass.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Features of the pictures, in order, then embeddings of the tokens: (image tokens + text tokens, hidden), in scratch memory.
/// Throws errc::invalid_argument for features of another width and tokens outside of the vocabulary.
template <class Network>
[[nodiscard]] matrix_view embed(const Network& net, std::span<const image_features> images, std::span<const token> text, context& at) {
    std::size_t seen = 0;
    for (const image_features& picture : images) {
        if (picture.values.shape(1) != net.config.hidden)
            throw error(errc::invalid_argument, {"image features are ", picture.values.shape(1), " wide, this model needs ", net.config.hidden,
                                                 "; were they made by another model?"});
        seen += picture.values.shape(0);
    }
    matrix_view x = at.take(seen + text.size(), net.config.hidden);
    float* to = x.data();
    for (const image_features& picture : images) to = std::copy(picture.values.data(), picture.values.data() + picture.values.size(), to);
    for (const token id : text) {
        net.decoder.embed(id, to);
        to += net.config.hidden;
    }
    return x;
}

/// A sequence: image tokens, BOS, the prompt, "\n". Throws what layout_prompt() throws, errc::invalid_prompt for a token without a row in the embedding,
/// and where the model has no positions for the sequence and `more` tokens.
template <class Network>
[[nodiscard]] prompt_layout lay_out(const Network& net, const tokenizer& text, std::size_t image_tokens, std::string_view prompt, std::size_t more = 1) {
    prompt_layout layout = layout_prompt(text, prompt, image_tokens);
    require_token_rows(text, std::span(layout.tokens).subspan(image_tokens), net.config.vocab);
    if (const std::size_t count = layout.tokens.size(); count > net.positions || more > net.positions - count)
        throw error(errc::invalid_prompt, {"pictures and prompt have ", count, " tokens (", image_tokens, " of pictures), and with ", more, " of an answer they are more than the ", net.positions,
                                           " positions of the model (max_position_embeddings in config.json); ask with a shorter prompt or fewer pictures"});
    return layout;
}
/// The same with the features of pictures: as many image tokens as they have rows.
template <class Network>
[[nodiscard]] prompt_layout lay_out(const Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt, std::size_t more = 1) {
    std::size_t rows = 0;
    for (const image_features& picture : images) rows += picture.values.shape(0);
    return lay_out(net, text, rows, prompt, more);
}

/// Starts the sequence in `cache` with a prompt whose tokens all see each other, followed by `suffix`, which is causal.
/// Returns the outputs of the last block for all rows, (T, hidden), not normalised, in scratch memory; nothing when
/// `progress`, stage "prefill", stopped it. Throws what embed() throws, and errc::capacity_exceeded where the cache is too small.
template <class Network>
[[nodiscard]] std::optional<matrix_view> prefill(Network& net, std::span<const image_features> images, std::span<const token> prompt,
                                                 std::span<const token> suffix, kv_cache& cache, context& at, call_progress& progress) {
    std::vector<token> text(prompt.begin(), prompt.end());
    text.insert(text.end(), suffix.begin(), suffix.end());
    if (!progress.begin("prefill")) return std::nullopt;
    matrix_view x = embed(net, images, text, at);
    const std::size_t rows = x.shape(0);
    net.decoder.extend(cache.capacity());
    cache.start(rows - suffix.size());
    const sequence whole{.cache = &cache, .first = 0, .count = rows};
    const auto after = [&](std::size_t, const matrix_view&) { return progress.advance("prefill"); };
    if (!net.decoder(x, std::span(&whole, 1), at, after)) return std::nullopt;
    return x;
}

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// The decoding loop: prompts one by one through the decoder, then all answers together, one token a step.

#include <chrono>

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Measures real time, by a clock that is never set.
class stopwatch {
public:
    /// Seconds since it was made or last asked.
    [[nodiscard]] double lap() {
        const auto now = std::chrono::steady_clock::now();
        const double seconds = std::chrono::duration<double>(now - m_start).count();
        m_start = now;
        return seconds;
    }

private:
    std::chrono::steady_clock::time_point m_start = std::chrono::steady_clock::now();
};

/// Answers requests, by sampling or greedily. Each gets the tokens it would get alone: rows of a batch do not touch each other.
/// A callback that returns false stops all of them. `caches` are used again from call to call. Callbacks number answers from `first_number` on. Throws what sampler, lay_out(), embed() and network::logits() throw. A step reads the weights once for all answers, and allocates nothing.
template <class Network>
[[nodiscard]] std::vector<generation> generate(Network& net, const tokenizer& text, std::span<const token> eos, std::span<const request> requests,
                                               kv_caches& caches, context& at, call_progress& progress, std::size_t first_number = 0) {
    std::deque<answer> answers;
    std::vector<std::size_t> active; // answers that want another token
    active.reserve(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
        stopwatch clock;
        const prompt_layout prompt = lay_out(net, text, requests[i].images, requests[i].prompt);
        const std::size_t most_tokens = std::min(requests[i].options.max_new_tokens, net.positions - prompt.tokens.size());
        answer& a = answers.emplace_back(first_number + i, requests[i].options, text, eos, prompt, net.config.vocab, most_tokens);
        if (progress.stopped()) continue; // it has its prompt and no token
        kv_cache& cache = caches.prepare(i, net.config, prompt.tokens.size() + most_tokens);
        const arena::frame frame(at.scratch);
        const auto words = std::span(prompt.tokens).subspan(prompt.image_tokens);
        if (auto x = prefill(net, requests[i].images, words, {}, cache, at, progress)) {
            auto logits = net.logits(net.decoder.normalise(slice(*x, x->shape(0) - 1, 1), at), at);
            if (a.take({logits.data(), logits.size()})) active.push_back(i);
            if (a.stopped()) progress.stop();
        }
        a.timings().prefill_s = clock.lap();
    }
    std::vector<sequence> sequences;
    sequences.reserve(active.size());
    for (stopwatch clock; !active.empty() && progress.advance("decode");) {
        const arena::frame frame(at.scratch);
        matrix_view x = at.take(active.size(), net.config.hidden);
        sequences.clear();
        for (std::size_t row = 0; row < active.size(); ++row) {
            net.decoder.embed(answers[active[row]].last(), x.data() + row * net.config.hidden);
            sequences.push_back({.cache = &caches[active[row]], .first = row, .count = 1});
        }
        net.decoder(x, sequences, at, [](std::size_t, const matrix_view&) { return true; });
        auto logits = net.logits(net.decoder.normalise(x, at), at);
        const std::size_t vocab = logits.shape(1);
        const double seconds = clock.lap();
        std::size_t kept = 0;
        for (std::size_t row = 0; row < active.size(); ++row) {
            answer& a = answers[active[row]];
            a.timings().decode_s += seconds;
            if (progress.stopped()) break; // by a callback of the answer before
            if (a.take({logits.data() + row * vocab, vocab})) active[kept++] = active[row];
            if (a.stopped()) progress.stop();
        }
        active.resize(kept);
    }
    if (!progress.stopped()) progress.complete("decode");
    std::vector<generation> results;
    results.reserve(answers.size());
    for (answer& a : answers) {
        a.cancel();
        results.push_back(std::move(a).finish());
    }
    return results;
}

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// Beam search over the decoder: every beam a sequence with a cache of its own, all of them one batch.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// Where the beams' caches are. The first child of a beam keeps its cache; others copy what was generated into one that nobody continues.
class beam_caches {
public:
    /// Beam b has cache b.
    explicit beam_caches(std::size_t beams) : m_slot(beams), m_next(beams), m_taken(beams) {
        for (std::size_t b = 0; b < beams; ++b) m_slot[b] = b;
    }

    /// The cache of a beam.
    [[nodiscard]] std::size_t operator[](std::size_t beam) const noexcept { return m_slot[beam]; }

    /// Follows the search: beam b continues steps[b].parent. The first `shared` tokens are the same in all caches.
    void follow(std::span<const beam_search::step> steps, kv_caches& caches, std::size_t shared) {
        std::fill(m_taken.begin(), m_taken.end(), false);
        for (std::size_t b = 0; b < steps.size(); ++b) {
            const std::size_t slot = m_slot[steps[b].parent];
            m_next[b] = m_taken[slot] ? none : slot;
            m_taken[slot] = true;
        }
        std::size_t unused = 0;
        for (std::size_t b = 0; b < steps.size(); ++b) {
            if (m_next[b] != none) continue;
            while (m_taken[unused]) ++unused;
            m_taken[unused] = true;
            m_next[b] = unused;
            const kv_cache& from = caches[m_slot[steps[b].parent]];
            caches[unused].copy_from(from, shared, from.length());
        }
        std::swap(m_slot, m_next);
    }

private:
    static constexpr std::size_t none = static_cast<std::size_t>(-1);
    std::vector<std::size_t> m_slot, m_next;
    std::vector<bool> m_taken;
};

/// Answers a request by beam search, as transformers' generate(num_beams = n) does. Text and tokens are streamed when the best is known, under `number`. Progress is
/// reported before each round, stage "search"; stopped, the answer is the best so far.
/// Throws what beam_search, sampler, lay_out(), embed() and network::logits() throw.
template <class Network>
[[nodiscard]] generation search_beams(Network& net, const tokenizer& text, std::span<const token> eos, const request& one, kv_caches& caches,
                                      context& at, call_progress& progress, std::size_t number = 0) {
    generate_options options = one.options;
    const std::size_t beams = options.num_beams, vocab = net.config.vocab;
    stopwatch clock;
    const prompt_layout prompt = lay_out(net, text, one.images, one.prompt);
    options.max_new_tokens = std::min(options.max_new_tokens, net.positions - prompt.tokens.size());
    generation result;
    result.most_tokens = options.max_new_tokens;
    result.prompt_tokens.assign(prompt.tokens.begin() + static_cast<std::ptrdiff_t>(prompt.image_tokens), prompt.tokens.end());
    for (std::size_t b = 0; b < beams; ++b) (void)caches.prepare(b, net.config, prompt.tokens.size() + options.max_new_tokens);
    const arena::frame frame(at.scratch);
    auto x = prefill(net, one.images, std::span(prompt.tokens).subspan(prompt.image_tokens), {}, caches[0], at, progress);
    result.timings.prefill_s = clock.lap();
    if (!x) {
        result.finish = finish_reason::cancelled;
        return result;
    }
    const std::size_t shared = caches[0].length();
    for (std::size_t b = 1; b < beams; ++b) caches[b].copy_from(caches[0], 0, shared);

    beam_search search(options.beams(), vocab, eos);
    sampler processors(options.sampling, vocab);
    beam_caches cache_of(beams);
    matrix own = make_matrix(beams, vocab), scores = make_matrix(beams, vocab);
    std::vector<token> history;
    const auto go_on = [&](const matrix_view& hidden) {
        const auto logits = net.logits(net.decoder.normalise(hidden, at), at);
        const std::size_t count = logits.shape(0);
        for (std::size_t b = 0; b < count; ++b) {
            log_softmax({logits.data() + b * vocab, vocab}, {own.data() + b * vocab, vocab});
            std::copy_n(own.data() + b * vocab, vocab, scores.data() + b * vocab);
            history.assign(prompt.tokens.begin(), prompt.tokens.end());
            history.insert(history.end(), search.tokens(b).begin(), search.tokens(b).end());
            if (options.constrain) options.constrain(search.tokens(b), {scores.data() + b * vocab, vocab});
            const bool may_end = search.length() >= options.min_new_tokens;
            processors.process({scores.data() + b * vocab, vocab}, history, may_end ? std::span<const token>() : eos);
        }
        return search.advance(rows<const float>(scores.data(), count, vocab), rows<const float>(own.data(), count, vocab));
    };
    std::vector<sequence> batch;
    bool cancelled = false;
    for (bool more = go_on(slice(*x, x->shape(0) - 1, 1)); more;) {
        cancelled = !progress.advance("search");
        if (cancelled) break;
        const arena::frame inner(at.scratch);
        cache_of.follow(search.beams(), caches, shared);
        matrix_view step = at.take(beams, net.config.hidden);
        batch.clear();
        for (std::size_t b = 0; b < beams; ++b) {
            net.decoder.embed(search.beams()[b].id, step.data() + b * net.config.hidden);
            batch.push_back({.cache = &caches[cache_of[b]], .first = b, .count = 1});
        }
        net.decoder(step, batch, at, [](std::size_t, const matrix_view&) { return true; });
        more = go_on(step);
    }
    result.timings.decode_s = clock.lap();
    result.tokens = search.best().tokens;
    result.logprobs = search.best().logprobs;
    const bool ended = std::find(eos.begin(), eos.end(), result.tokens.back()) != eos.end();
    result.finish = cancelled ? finish_reason::cancelled : ended ? finish_reason::eos : finish_reason::length;
    result.text = text.decode(std::span(result.tokens).first(result.tokens.size() - (ended ? 1 : 0)));
    if (cancelled) return result; // no further callbacks
    for (std::size_t i = 0; i < result.tokens.size() && options.on_token; ++i)
        if (!options.on_token(number, result.tokens[i], result.logprobs[i])) break;
    if (options.on_text && !result.text.empty()) (void)options.on_text(number, result.text); // the answer is complete: there is nothing to stop
    return result;
}

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// The grammar of detect and segment as a limit on tokens: an answer that keeps to it is well formed and names only what was asked for.

namespace pali::inline PALI_ABI {

/// The things that the prompt of a detect or segment asks for: "cat ; black dog" -> {"cat", "black dog"}. Empty ones are left out.
[[nodiscard]] inline std::vector<std::string> asked_labels(std::string_view things) {
    std::vector<std::string> labels;
    for (std::size_t begin = 0; begin <= things.size();) {
        const std::size_t end = std::min(things.find(';', begin), things.size());
        const std::string_view one = things.substr(begin, end - begin);
        const std::size_t first = one.find_first_not_of(" \t\r\n"), last = one.find_last_not_of(" \t\r\n");
        if (first != std::string_view::npos) labels.emplace_back(one.substr(first, last - first + 1));
        begin = end + 1;
    }
    return labels;
}

/// Allows, after what was said, only the tokens with which this goes on:
///
///     answer = nothing | object { " ; " object }
///     object = y0 x0 y1 x1 [16 mask codes] " " label        y0 < y1, x0 < x1, label one of those given
///
/// For generate_options::constrain. Copies share nothing and calls change nothing, so one serves many answers and threads.
class object_constraint {
public:
    /// Throws errc::invalid_argument without a label, errc::missing_token for a vocabulary without <loc....>, or without <seg...> where `masks` are wanted.
    object_constraint(const tokenizer& text, std::span<const std::string> labels, bool masks) : m_masks(masks), m_eos(text.eos()) {
        if (labels.empty()) throw error(errc::invalid_argument, "constrained decoding needs to know what was asked for: name one thing at least");
        for (std::size_t i = 0; i < m_loc.size(); ++i) m_loc[i] = need(text.loc(i), "<loc0000> to <loc1023>");
        for (std::size_t i = 0; masks && i < m_seg.size(); ++i) m_seg[i] = need(text.seg(i), "<seg000> to <seg127>");
        m_words.emplace_back();
        for (const std::string& label : labels) { // text between coordinates is encoded as one, so the separator belongs to the label's tokens
            m_words[path(text.encode(" " + label))].ends = true;
            m_words[path(text.encode(" " + label + " ; "))].goes_on = true;
        }
    }

    /// Sets the scores of all tokens that cannot follow `said` to minus infinity. Linear in both; allocates nothing. What does not keep to the grammar itself
    /// can only end.
    void operator()(std::span<const token> said, std::span<float> scores) const noexcept {
        std::array<token, coordinates + 1> allowed;
        const std::size_t count = follow(said, allowed);
        std::array<float, coordinates + 1> kept;
        constexpr float impossible = -std::numeric_limits<float>::infinity();
        const auto score_of = [&](token id) -> float* { return static_cast<std::size_t>(id) < scores.size() ? &scores[static_cast<std::size_t>(id)] : nullptr; };
        for (std::size_t i = 0; i < count; ++i) kept[i] = score_of(allowed[i]) ? *score_of(allowed[i]) : impossible;
        std::fill(scores.begin(), scores.end(), impossible);
        for (std::size_t i = 0; i < count; ++i)
            if (float* const score = score_of(allowed[i])) *score = kept[i];
    }

private:
    static constexpr std::size_t coordinates = 1024, codes = 128, codes_of_mask = 16;

    /// A place within the tokens of labels.
    struct word {
        std::map<token, std::size_t> next;
        bool ends = false;    ///< the answer may end here
        bool goes_on = false; ///< another object begins here
    };

    [[nodiscard]] static token need(std::optional<token> id, const char* pieces) {
        if (!id) throw error(errc::missing_token, {"the vocabulary lacks some of ", pieces, ", so this model cannot point at things"});
        return *id;
    }

    /// The place where these tokens lead to, made as far as it is not there.
    [[nodiscard]] std::size_t path(std::span<const token> ids) {
        std::size_t at = 0;
        for (const token id : ids) {
            const auto [place, added] = m_words[at].next.try_emplace(id, m_words.size());
            const std::size_t next = place->second; // m_words may move
            if (added) m_words.emplace_back();
            at = next;
        }
        return at;
    }

    /// What may follow: fills `allowed` and returns how many.
    [[nodiscard]] std::size_t follow(std::span<const token> said, std::span<token> allowed) const noexcept {
        std::array<std::size_t, 4> corner{}; // y0 x0 y1 x1
        std::size_t place = 0, at = 0;       // tokens into the object; place within labels
        const std::size_t before_label = corner.size() + (m_masks ? codes_of_mask : 0);
        std::size_t count = 0;
        const auto end = [&] { allowed[count++] = m_eos; };
        for (const token id : said) {
            if (place < corner.size()) {
                const auto found = std::find(m_loc.begin(), m_loc.end(), id);
                if (found == m_loc.end()) return end(), count;
                corner[place] = static_cast<std::size_t>(found - m_loc.begin());
            } else if (place >= before_label) {
                const auto next = m_words[at].next.find(id);
                if (next == m_words[at].next.end()) return end(), count;
                at = next->second;
                if (m_words[at].goes_on) {
                    place = at = 0;
                    continue;
                }
            }
            ++place;
        }
        if (place < corner.size()) {
            if (said.empty()) end();
            const std::size_t least = place < 2 ? 0 : corner[place - 2] + 1, most = place < 2 ? coordinates - 1 : coordinates;
            for (std::size_t i = least; i < most; ++i) allowed[count++] = m_loc[i];
        } else if (place < before_label) {
            for (const token id : m_seg) allowed[count++] = id;
        } else {
            if (m_words[at].ends) end();
            for (const auto& [id, next] : m_words[at].next)
                if (count < allowed.size()) allowed[count++] = id;
        }
        return count;
    }

    bool m_masks;
    token m_eos;
    std::array<token, coordinates> m_loc{};
    std::array<token, codes> m_seg{};
    std::vector<word> m_words;
};

} // namespace pali::inline PALI_ABI

// What a model says of the things it sees, read as objects: boxes, mask codes and labels in its own units.

namespace pali::inline PALI_ABI {

/// Bytes [begin, end) of a text.
struct text_range {
    std::size_t begin = 0, end = 0; ///< bytes

    /// Whether no byte is in it.
    [[nodiscard]] bool empty() const noexcept { return begin >= end; }
    /// Bytes.
    [[nodiscard]] std::size_t size() const noexcept { return end - begin; }
    /// The part of `text` that it names.
    [[nodiscard]] std::string_view of(std::string_view text) const noexcept { return text.substr(begin, end - begin); }

    friend bool operator==(const text_range&, const text_range&) = default;
};

/// A box that a model said, with what belongs to it.
struct spoken_object {
    std::string label;                                   ///< trimmed, valid UTF-8; empty where there is none
    std::array<std::uint16_t, 4> loc{};                  ///< y0, x0, y1, x1 as said, 0 to 1023, y0 < y1 and x0 < x1
    std::optional<std::array<std::uint8_t, 16>> seg;     ///< codes of the mask, 0 to 127; none where the answer has not all sixteen
    text_range bytes;       ///< of the answer: from the first <loc....> to the end of the label, or of the last tag
    text_range box_bytes;   ///< of those, the four coordinates
    text_range label_bytes; ///< the label as it stands in the answer; empty, at the end of `bytes`, where there is none
};

/// An answer, read.
struct spoken_objects {
    std::vector<spoken_object> objects; ///< in the order of the answer
    std::size_t skipped = 0;            ///< attempts at an object that are none
    std::string text;                   ///< what stands outside of objects and attempts: parts trimmed, with a space between; valid UTF-8
};

namespace object_detail {

inline constexpr std::string_view blanks = " \t\n\v\f\r";

/// Blanks off both ends.
[[nodiscard]] inline text_range trimmed(std::string_view text, text_range part) noexcept {
    const auto is_blank = [&](std::size_t at) { return blanks.find(text[at]) != std::string_view::npos; };
    while (part.begin < part.end && is_blank(part.begin)) ++part.begin;
    while (part.begin < part.end && is_blank(part.end - 1)) --part.end;
    return part;
}

/// Appends `text`; bytes that are no character become U+FFFD.
inline void append_utf8(std::string& out, std::string_view text) {
    while (!text.empty()) {
        const std::size_t length = first_character(text).length;
        out += length > 0 ? text.substr(0, length) : replacement_character;
        text.remove_prefix(length > 0 ? length : 1);
    }
}

/// <loc....> or <seg...>, or something that began as one.
struct tag {
    bool is_loc = false;
    std::optional<std::uint16_t> number; ///< none where digits or the end are missing, or the number is out of range
    text_range bytes;                    ///< empty: there is no tag here
};

/// The tag that begins at byte `at`. The end of the text may cut one off in its first letters.
[[nodiscard]] inline tag tag_at(std::string_view text, std::size_t at) noexcept {
    constexpr std::string_view loc = "<loc", seg = "<seg";
    const std::string_view head = text.substr(at, loc.size());
    if (head.empty() || head[0] != '<') return {};
    if (head.size() < loc.size()) {
        if (!loc.starts_with(head) && !seg.starts_with(head)) return {};
        return {.is_loc = loc.starts_with(head), .number = {}, .bytes = {at, text.size()}};
    }
    if (head != loc && head != seg) return {};
    tag found{.is_loc = head == loc, .number = {}, .bytes = {at, at + head.size()}};
    std::uint32_t number = 0;
    std::size_t& end = found.bytes.end;
    for (; end < text.size() && text[end] >= '0' && text[end] <= '9'; ++end)
        number = number * 10 % 1'000'000 + static_cast<std::uint32_t>(text[end] - '0'); // only short numbers matter
    const std::size_t digits = end - at - head.size();
    if (end == text.size() || text[end] != '>') return found;
    ++end;
    if (digits == (found.is_loc ? 4u : 3u) && number < (found.is_loc ? 1024u : 128u)) found.number = static_cast<std::uint16_t>(number);
    return found;
}

/// One pass over an answer.
class object_reader {
public:
    explicit object_reader(std::string_view answer) : m_answer(answer) {}

    [[nodiscard]] spoken_objects read() {
        for (std::size_t at = 0; at < m_answer.size();) {
            const std::size_t begin = at;
            at = next_tag(at, false);
            say({begin, at});
            if (at == m_answer.size()) break;
            at = read_run(at);
        }
        return std::move(m_read);
    }

private:
    /// Where a tag begins from `at` on, or a ';' if that ends the search too; the end of the answer when nothing does.
    [[nodiscard]] std::size_t next_tag(std::size_t at, bool or_semicolon) const noexcept {
        while ((at = m_answer.find_first_of(or_semicolon ? "<;" : "<", at)) != std::string_view::npos) {
            if (m_answer[at] == ';' || !tag_at(m_answer, at).bytes.empty()) return at;
            ++at;
        }
        return m_answer.size();
    }

    /// Tags with at most blanks between them, the label behind, and the ';' that ends it. Returns where it goes on.
    [[nodiscard]] std::size_t read_run(std::size_t at) {
        begin_object();
        for (;;) {
            std::size_t next = m_answer.find_first_not_of(blanks, at);
            if (next == std::string_view::npos) next = m_answer.size();
            const tag t = tag_at(m_answer, next);
            if (t.bytes.empty()) break;
            take(t);
            at = t.bytes.end;
        }
        const std::size_t label_end = next_tag(at, true);
        m_object.label_bytes = trimmed(m_answer, {at, label_end});
        end_object();
        return label_end < m_answer.size() && m_answer[label_end] == ';' ? label_end + 1 : label_end;
    }

    void begin_object() {
        m_object = {};
        m_locs = m_segs = 0;
        m_box_is_sound = m_mask_is_sound = true;
    }

    void take(const tag& t) {
        if (t.is_loc && (m_locs == 4 || m_segs > 0)) { // begins the next one
            m_object.label_bytes = {m_object.bytes.end, m_object.bytes.end};
            end_object();
            begin_object();
        }
        if (m_locs == 0 && m_segs == 0) m_object.bytes.begin = t.bytes.begin;
        m_object.bytes.end = t.bytes.end;
        if (t.is_loc) {
            if (m_locs == 0) m_object.box_bytes.begin = t.bytes.begin;
            m_object.box_bytes.end = t.bytes.end;
            m_object.loc[m_locs++] = t.number.value_or(0);
            m_box_is_sound &= t.number.has_value();
        } else if (m_segs < m_codes.size()) {
            m_codes[m_segs++] = static_cast<std::uint8_t>(t.number.value_or(0));
            m_mask_is_sound &= t.number.has_value();
        }
    }

    void end_object() {
        const auto [y0, x0, y1, x1] = m_object.loc;
        if (m_locs < 4 || !m_box_is_sound || y1 <= y0 || x1 <= x0) {
            ++m_read.skipped;
            return;
        }
        if (m_segs == m_codes.size() && m_mask_is_sound) m_object.seg = m_codes;
        if (m_object.label_bytes.empty()) m_object.label_bytes = {m_object.bytes.end, m_object.bytes.end};
        append_utf8(m_object.label, m_object.label_bytes.of(m_answer));
        m_object.bytes.end = m_object.label_bytes.end;
        m_read.objects.push_back(std::move(m_object));
    }

    /// Keeps what is said between objects, unless it only separates them.
    void say(text_range part) {
        part = trimmed(m_answer, part);
        if (part.of(m_answer).find_first_not_of("; \t\n\v\f\r") == std::string_view::npos) return;
        if (!m_read.text.empty()) m_read.text += ' ';
        append_utf8(m_read.text, part.of(m_answer));
    }

    std::string_view m_answer;
    spoken_objects m_read;
    spoken_object m_object;                // in the making
    std::array<std::uint8_t, 16> m_codes{};
    std::size_t m_locs = 0, m_segs = 0;    // tags it has so far, at most 4 and 16
    bool m_box_is_sound = true, m_mask_is_sound = true;
};

} // namespace object_detail

/**
 * Reads what `detect`, `segment` and a fine-tuned model answer (the prompt guide of PaliGemma; big_vision's transfers/refcoco_seg.py):
 *
 *     answer = object { " ; " object }     object = loc loc loc loc [ 16 seg ] [ " " label ]     loc = "<loc" 4 digits ">"     seg = "<seg" 3 digits ">"
 *
 * and never throws for what a model says. In detail:
 * - Objects need no separator. Blanks may stand between tags; a label is all up to the next ';', tag or end, without the blanks around it.
 * - A fifth loc in a row begins the next box, which leaves the first without a label; a seg after the sixteenth is ignored, as big_vision does.
 * - A box that is not whole, holds a broken tag (`<loc9999>`, `<loc12>`, `<loc01` cut off), has no area or its corners swapped is no object:
 *   big_vision's evaluator calls those invalid, and so they are skipped and counted, one for each box begun. Mask codes without a box count too.
 *   What would have been the label is dropped with them.
 * - An object whose mask codes are not all there, or one of the sixteen is broken, has no mask.
 * - Boxes said twice are two objects; see merge().
 * - Bytes that are no UTF-8 become U+FFFD in label and text; control characters stay as they are. Ranges are those of the bytes of `answer`.
 *
 * Time and memory grow linearly with the answer.
 */
[[nodiscard]] inline spoken_objects read_objects(std::string_view answer) { return object_detail::object_reader(answer).read(); }

} // namespace pali::inline PALI_ABI

// One .npz archive of numpy: a table of tensors, as safetensors.hpp gives one.

namespace pali::inline PALI_ABI {

/// Most bytes that the deflated arrays of an archive may have together: 16 times what PaliGemma's mask network has.
inline constexpr std::size_t npz_inflated_limit = std::size_t{256} << 20;

/// A file as numpy.savez and savez_compressed write it: a zip archive of .npy arrays, little-endian and in C order.
/// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html and PKWARE's APPNOTE 6.3.10; zip64 is read, encryption and
/// parts on other disks are not. Nothing in the file is trusted: lengths, ranges (inside the file, without overlap), checksums, names and
/// the header of every array are checked before a tensor is handed out. An array that was stored stays in the mapping, aligned or not; a
/// deflated one is inflated into memory of this object, never further than the shape in its header says, and only where all of them together
/// claim no more than npz_inflated_limit.
class npz_file {
public:
    /// Throws errc::cannot_open; errc::malformed_file, or errc::unsupported_format for what numpy reads and this does not (Fortran order,
    /// big-endian, records, text, other compressions), with the member, what was found and what was needed.
    explicit npz_file(const std::filesystem::path& path);

    /// By the names given to savez: without ".npy". Valid as long as the object, or the one it was moved to.
    [[nodiscard]] const tensor_table& tensors() const noexcept { return m_tensors; }
    /// The tensor of that name; throws errc::checkpoint_mismatch when there is none.
    [[nodiscard]] const tensor_info& at(std::string_view name) const;

    /// What stored arrays lie in.
    [[nodiscard]] const mapped_file& file() const noexcept { return m_file; }

private:
    mapped_file m_file;
    page_memory m_inflated;
    tensor_table m_tensors;
};

} // namespace pali::inline PALI_ABI

// Part of npz.ipp: which members a zip archive has and where they lie, and zlib's inflate. PKWARE, APPNOTE.TXT 6.3.10, section 4.3.

namespace pali::inline PALI_ABI::detail {

/// Reads the directory of an archive and compares it with what stands before each member.
class zip_members {
public:
    struct member {
        std::string name;
        bool deflated = false;           // otherwise stored
        std::uint32_t crc = 0;           // of the contents
        std::uint64_t size = 0;          // of the contents
        std::uint64_t begin = 0;         // in the file, of what stands before the data
        std::span<const std::byte> data; // as they lie in the file
        std::uint64_t end = 0;           // in the file, of the data
    };

    zip_members(std::span<const std::byte> bytes, std::string file) : m_bytes(bytes), m_file(std::move(file)) { read_directory(); }

    /// In the order in which they lie in the file.
    [[nodiscard]] const std::vector<member>& all() const noexcept { return m_members; }

    [[noreturn]] void fail(const error_text& what, errc code = errc::malformed_file) const { throw error(code, {m_file, ": ", what}); }
    [[noreturn]] void fail_member(std::string_view name, const error_text& what, errc code = errc::malformed_file) const {
        fail({"member ", in_quotes(name), " ", what}, code);
    }

private:
    static constexpr std::uint32_t local_sign = 0x04034b50, central_sign = 0x02014b50, end_sign = 0x06054b50; // what records begin with
    static constexpr std::uint32_t end64_sign = 0x06064b50, locator_sign = 0x07064b50;
    static constexpr std::size_t local_size = 30, central_size = 46, end_size = 22, end64_size = 56, locator_size = 20;
    static constexpr std::uint64_t in_extra_32 = 0xffffffff; // "see the zip64 field"
    static constexpr std::uint64_t most_growth = 1032;       // of deflate: 258 bytes from two bits (zlib.net/zlib_tech.html)

    /// `size` bytes from `at` on, as a number; they lie in the file.
    [[nodiscard]] std::uint64_t number(std::uint64_t at, std::size_t size) const noexcept {
        std::uint64_t value = 0;
        for (std::size_t i = size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(m_bytes[at + i]);
        return value;
    }
    [[nodiscard]] bool holds(std::uint64_t at, std::uint64_t size) const noexcept { return at <= m_bytes.size() && size <= m_bytes.size() - at; }
    [[nodiscard]] std::string text(std::uint64_t at, std::size_t size) const { return {reinterpret_cast<const char*>(m_bytes.data()) + at, size}; }

    /// Where the record at the end of the file begins; only a comment may follow it.
    [[nodiscard]] std::uint64_t find_end() const {
        const std::size_t last = m_bytes.size() < end_size ? 0 : m_bytes.size() - end_size + 1;
        for (std::size_t at = last; at-- > 0 && last - at <= 65536;)
            if (number(at, 4) == end_sign && at + end_size + number(at + 20, 2) == m_bytes.size()) return at;
        fail("has no directory at its end, so it is no zip archive: was it downloaded completely?");
    }

    /// The value of a 32-bit field, or of the zip64 field of the `extra` bytes at `at` that it refers to: they stand there in one order.
    struct wide_fields {
        const zip_members& owner;
        std::string name;
        std::uint64_t at = 0, end = 0;

        wide_fields(const zip_members& members, std::string member, std::uint64_t extra, std::uint64_t extra_size)
            : owner(members), name(std::move(member)) {
            for (std::uint64_t next = extra; next + 4 <= extra + extra_size;) {
                const std::uint64_t id = owner.number(next, 2), size = owner.number(next + 2, 2);
                if (size > extra + extra_size - next - 4) owner.fail_member(name, "has an extra field that is longer than the room for it");
                if (id == 1) {
                    at = next + 4;
                    end = at + size;
                    return;
                }
                next += 4 + size;
            }
        }
        [[nodiscard]] std::uint64_t operator()(std::uint64_t value) {
            if (value != in_extra_32) return value;
            if (end - at < 8) owner.fail_member(name, "refers to a zip64 field that it does not have");
            at += 8;
            return owner.number(at - 8, 8);
        }
    };

    void read_directory() {
        const std::uint64_t end = find_end();
        std::uint64_t count = number(end + 10, 2), size = number(end + 12, 4), begin = number(end + 16, 4), behind = end;
        if (end >= locator_size && number(end - locator_size, 4) == locator_sign) {
            const std::uint64_t end64 = number(end - locator_size + 8, 8);
            behind = end - locator_size;
            if (!holds(end64, end64_size) || end64 + end64_size > behind || number(end64, 4) != end64_sign)
                fail("has no zip64 record where it says that one is");
            if (number(end64 + 16, 4) != 0 || number(end64 + 20, 4) != 0 || number(end - locator_size + 16, 4) > 1) other_disks();
            count = number(end64 + 32, 8), size = number(end64 + 40, 8), begin = number(end64 + 48, 8);
            behind = end64;
        } else if (number(end + 4, 2) != 0 || number(end + 6, 2) != 0 || number(end + 8, 2) != count) {
            other_disks();
        }
        if (begin > behind || size != behind - begin)
            fail({"says that its directory has ", size, " bytes from byte ", begin, " on, which do not end at ", behind,
                  ", where the record behind it begins: is it cut, or glued to another file?"});
        std::uint64_t at = begin;
        for (std::uint64_t i = 0; i < count; ++i) at = read_member(at, begin, behind);
        if (at != behind) fail({"has ", behind - at, " bytes behind the ", count, " members of its directory"});
        std::sort(m_members.begin(), m_members.end(), [](const member& a, const member& b) { return a.begin < b.begin; });
        for (std::size_t i = 1; i < m_members.size(); ++i)
            if (m_members[i].begin < m_members[i - 1].end)
                fail_member(m_members[i].name, {"begins at byte ", m_members[i].begin, ", inside member ", in_quotes(m_members[i - 1].name)});
    }

    [[noreturn]] void other_disks() const { fail("is one of several parts of an archive; write it as one file", errc::unsupported_format); }

    /// One entry of the directory. Returns where the next one begins.
    [[nodiscard]] std::uint64_t read_member(std::uint64_t at, std::uint64_t directory, std::uint64_t directory_end) {
        if (directory_end - at < central_size || number(at, 4) != central_sign)
            fail({"has no entry at byte ", at, " of its directory, where one must be"});
        const std::uint64_t flags = number(at + 8, 2), method = number(at + 10, 2);
        const std::uint64_t name_size = number(at + 28, 2), extra_size = number(at + 30, 2);
        const std::uint64_t next = at + central_size + name_size + extra_size + number(at + 32, 2);
        if (next > directory_end) fail({"has an entry at byte ", at, " that is longer than its directory"});
        member m;
        m.name = text(at + central_size, name_size);
        wide_fields wide(*this, m.name, at + central_size + name_size, extra_size);
        m.size = wide(number(at + 24, 4));
        const std::uint64_t packed = wide(number(at + 20, 4)), local = wide(number(at + 42, 4));
        m.crc = static_cast<std::uint32_t>(number(at + 16, 4));
        m.deflated = method == Z_DEFLATED;
        if ((flags & (1u | 1u << 6 | 1u << 13)) != 0) fail_member(m.name, "is encrypted; write it without a password", errc::unsupported_format);
        if (method != 0 && !m.deflated)
            fail_member(m.name, {"is compressed by method ", method, "; stored (0) and deflated (8) are read: numpy.savez writes them"}, errc::unsupported_format);
        if (number(at + 34, 2) != 0) other_disks();

        if (local > directory || directory - local < local_size || number(local, 4) != local_sign)
            fail_member(m.name, {"does not begin at byte ", local, ", where the directory says it does"});
        const std::uint64_t local_name = number(local + 26, 2), local_extra = number(local + 28, 2);
        const std::uint64_t data = local + local_size + local_name + local_extra;
        if (data > directory || packed > directory - data)
            fail_member(m.name, {"has ", packed, " bytes from byte ", data, " on, which reach into the directory at ", directory});
        if (text(local + local_size, local_name) != m.name)
            fail_member(m.name, {"is called ", in_quotes(text(local + local_size, local_name)), " where it lies"});
        if (number(local + 8, 2) != method || ((number(local + 6, 2) ^ flags) & 1u) != 0)
            fail_member(m.name, "is packed otherwise than the directory says");
        if ((flags & 1u << 3) == 0) { // otherwise the sizes follow the data: the writer could not go back
            wide_fields local_wide(*this, m.name, local + local_size + local_name, local_extra);
            const std::uint64_t size = local_wide(number(local + 22, 4)), packed_there = local_wide(number(local + 18, 4));
            if (size != m.size || packed_there != packed || number(local + 14, 4) != m.crc)
                fail_member(m.name, "has another size or checksum than the directory says");
        }
        if (m.deflated ? m.size / most_growth > packed : m.size != packed)
            fail_member(m.name, {"has ", m.size, " bytes, which cannot come from ", packed});
        m.begin = local, m.end = data + packed;
        m.data = m_bytes.subspan(data, packed);
        m_members.push_back(std::move(m));
        return next;
    }

    std::span<const std::byte> m_bytes;
    std::string m_file;
    std::vector<member> m_members;
};

/// A deflated stream, inflated piece by piece.
class inflater {
public:
    /// Throws std::bad_alloc.
    explicit inflater(std::span<const std::byte> packed) : m_packed(packed) {
        if (inflateInit2(&m_stream, -MAX_WBITS) != Z_OK) throw std::bad_alloc(); // negative: without zlib's own header
    }
    ~inflater() { inflateEnd(&m_stream); }
    inflater(const inflater&) = delete;
    inflater& operator=(const inflater&) = delete;

    /// Fills `to`; false when the stream ends before, or is none.
    [[nodiscard]] bool read(std::span<std::byte> to) noexcept {
        constexpr std::size_t most = std::size_t{1} << 30; // zlib counts in 32 bits
        while (!to.empty() && !m_ended) {
            const std::size_t in = std::min(most, m_packed.size()), out = std::min(most, to.size());
            m_stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(m_packed.data())); // it only reads
            m_stream.next_out = reinterpret_cast<Bytef*>(to.data());
            m_stream.avail_in = static_cast<uInt>(in);
            m_stream.avail_out = static_cast<uInt>(out);
            const int state = inflate(&m_stream, Z_NO_FLUSH);
            m_packed = m_packed.subspan(in - m_stream.avail_in);
            to = to.subspan(out - m_stream.avail_out);
            m_ended = state == Z_STREAM_END;
            if (state != Z_OK && !m_ended) return false;
        }
        return to.empty();
    }

    /// Whether nothing is left, neither of the stream nor behind it.
    [[nodiscard]] bool at_end() noexcept {
        std::byte more;
        return !read({&more, 1}) && m_ended && m_packed.empty();
    }

private:
    std::span<const std::byte> m_packed;
    z_stream m_stream{};
    bool m_ended = false;
};

[[nodiscard]] inline std::uint32_t crc32_of(std::uint32_t before, std::span<const std::byte> bytes) noexcept {
    return static_cast<std::uint32_t>(crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

} // namespace pali::inline PALI_ABI::detail

// Body of npz.hpp: the header of an array is a Python dictionary, of which exactly what numpy writes is read.

static_assert(std::endian::native == std::endian::little, "arrays are little-endian and read where they lie");

namespace pali::inline PALI_ABI {

namespace detail {

/// What stands before the numbers of a .npy array.
class npy_header {
public:
    static constexpr std::size_t prefix = 12;        ///< bytes that tell how long the header is; no array is shorter
    static constexpr std::size_t most_bytes = 65536; ///< of the dictionary: what version 1 can say
    static constexpr std::size_t most_dimensions = 32;

    dtype type = dtype::f32;
    std::vector<std::size_t> shape;
    std::uint64_t bytes = 0; ///< of the numbers

    /// Bytes before the numbers, by the first 12 of a member.
    [[nodiscard]] static std::uint64_t size(const zip_members& zip, std::string_view name, std::span<const std::byte, prefix> first) {
        std::array<unsigned char, prefix> b;
        std::memcpy(b.data(), first.data(), prefix);
        if (std::memcmp(b.data(), "\x93NUMPY", 6) != 0) zip.fail_member(name, "is no .npy array: it does not begin with \\x93NUMPY");
        if (b[6] < 1 || b[6] > 3 || b[7] != 0)
            zip.fail_member(name, {"is a .npy array of version ", b[6], ".", b[7], "; 1.0, 2.0 and 3.0 are read"}, errc::unsupported_format);
        const std::uint64_t low = b[8] | static_cast<std::uint64_t>(b[9]) << 8;
        const std::uint64_t length = b[6] == 1 ? low : low | static_cast<std::uint64_t>(b[10]) << 16 | static_cast<std::uint64_t>(b[11]) << 24;
        if (length > most_bytes)
            zip.fail_member(name, {"has a header of ", length, " bytes; at most ", most_bytes, " are read"});
        return length + (b[6] == 1 ? 10 : 12);
    }

    npy_header(const zip_members& zip, std::string_view name, std::string_view dictionary) : m_zip(zip), m_name(name), m_text(dictionary) {
        bool has_type = false, has_order = false, has_shape = false;
        need('{');
        while (!take('}')) {
            const std::string_view key = quoted("a key");
            need(':');
            bool& has = key == "descr" ? has_type : key == "fortran_order" ? has_order : key == "shape" ? has_shape : unknown(key);
            if (std::exchange(has, true)) fail({"has ", in_quotes(key), " twice in its header"});
            if (key == "descr") read_type();
            else if (key == "fortran_order") read_order();
            else read_shape();
            if (!take(',')) {
                need('}');
                break;
            }
        }
        if (!has_type || !has_order || !has_shape) fail("lacks descr, fortran_order or shape in its header");
        skip();
        if (m_at != m_text.size()) fail("has text behind the dictionary of its header");
        count_bytes();
    }

private:
    [[noreturn]] void fail(const error_text& what, errc code = errc::malformed_file) const { m_zip.fail_member(m_name, what, code); }
    [[noreturn]] bool& unknown(std::string_view key) const {
        fail({"has the key ", in_quotes(key), " in its header; the format has descr, fortran_order and shape"});
    }

    void skip() noexcept {
        while (m_at < m_text.size() && (m_text[m_at] == ' ' || m_text[m_at] == '\n')) ++m_at;
    }
    [[nodiscard]] bool take(char c) noexcept {
        skip();
        if (m_at == m_text.size() || m_text[m_at] != c) return false;
        ++m_at;
        return true;
    }
    void need(char c) {
        if (!take(c)) fail({"has a header without the '", std::string_view(&c, 1), "' at byte ", m_at, " of it"});
    }

    [[nodiscard]] std::string_view quoted(const char* what) {
        skip();
        const char mark = m_at < m_text.size() ? m_text[m_at] : '\0';
        const std::size_t end = mark == '\'' || mark == '"' ? m_text.find(mark, m_at + 1) : std::string_view::npos;
        if (end == std::string_view::npos)
            fail({"has a header without ", what, " in quotes at byte ", m_at, " of it"});
        const std::string_view text = m_text.substr(m_at + 1, end - m_at - 1);
        m_at = end + 1;
        return text;
    }

    void read_type() {
        struct row {
            std::string_view descr;
            dtype type;
        };
        static constexpr row rows[] = {{"|b1", dtype::boolean}, {"|u1", dtype::u8}, {"|i1", dtype::i8}, {"<i2", dtype::i16}, {"<u2", dtype::u16},
                                       {"<f2", dtype::f16}, {"<i4", dtype::i32}, {"<u4", dtype::u32}, {"<f4", dtype::f32}, {"<c8", dtype::c64},
                                       {"<f8", dtype::f64}, {"<i8", dtype::i64}, {"<u8", dtype::u64}};
        skip();
        if (m_at < m_text.size() && m_text[m_at] == '[') fail("is an array of records; arrays of plain numbers are read", errc::unsupported_format);
        const std::string_view descr = quoted("a type");
        if (descr.starts_with('>')) fail({"is big-endian (", in_quotes(descr), "); write it as x.astype('<f4')"}, errc::unsupported_format);
        for (const row& r : rows)
            if (descr == r.descr) {
                type = r.type;
                return;
            }
        fail({"holds ", in_quotes(descr), "; read are |b1, |u1, |i1, <i2, <u2, <f2, <i4, <u4, <f4, <c8, <f8, <i8 and <u8"}, errc::unsupported_format);
    }

    void read_order() {
        skip();
        const std::string_view rest = m_text.substr(m_at);
        if (rest.starts_with("True")) fail("lies in Fortran order; write it as numpy.ascontiguousarray(x)", errc::unsupported_format);
        if (!rest.starts_with("False")) fail("has a fortran_order that is neither True nor False");
        m_at += 5;
    }

    void read_shape() {
        need('(');
        bool comma = false;
        while (!take(')')) {
            if (!shape.empty() && !comma) fail("has a shape without a comma between its sides");
            if (shape.size() == most_dimensions) fail({"has more than ", most_dimensions, " dimensions, the most that are read"});
            shape.push_back(side());
            comma = take(',');
        }
        if (shape.size() == 1 && !comma) fail("has a number as its shape; a tuple is needed");
    }

    [[nodiscard]] std::size_t side() {
        skip();
        std::uint64_t value = 0;
        const std::size_t first = m_at;
        for (; m_at < m_text.size() && m_text[m_at] >= '0' && m_text[m_at] <= '9'; ++m_at) {
            const auto digit = static_cast<std::uint64_t>(m_text[m_at] - '0');
            if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / 10) fail("has a side that does not fit into 64 bits");
            value = value * 10 + digit;
        }
        if (m_at == first) fail("has something else than integers from 0 in its shape");
        return value;
    }

    /// Zeros do not hide an overflow of the other sides.
    void count_bytes() {
        bytes = size_of(type);
        bool empty = false;
        for (const std::size_t n : shape) {
            if (n == 0) empty = true;
            else if (bytes > std::numeric_limits<std::uint64_t>::max() / n)
                fail({"has shape ", describe_shape(shape), ", whose size does not fit into 64 bits"});
            else bytes *= n;
        }
        if (empty) bytes = 0;
    }

    const zip_members& m_zip;
    std::string_view m_name, m_text;
    std::size_t m_at = 0;
};

/// A member's header, when it promises as many numbers as the member has room for.
[[nodiscard]] PALI_INLINE npy_header read_npy_header(const zip_members& zip, const zip_members::member& m, std::span<const std::byte> header) {
    const std::size_t prefix = header[6] == std::byte{1} ? 10 : 12; // the length has two bytes in version 1, and then four
    npy_header read(zip, m.name, {reinterpret_cast<const char*>(header.data()) + prefix, header.size() - prefix});
    if (read.bytes != m.size - header.size())
        zip.fail_member(m.name, {"has ", m.size - header.size(), " bytes of numbers; shape ", describe_shape(read.shape), " of ", to_string(read.type), " needs ",
                                 read.bytes});
    return read;
}

} // namespace detail

PALI_INLINE npz_file::npz_file(const std::filesystem::path& path) : m_file(path) {
    using detail::npy_header;
    const std::string file = path.string();
    if (is_lfs_pointer({reinterpret_cast<const char*>(m_file.bytes().data()), std::min<std::size_t>(m_file.bytes().size(), 64)})) throw error(errc::malformed_file, {file, lfs_pointer_words});
    const detail::zip_members zip(m_file.bytes(), file);
    const auto padded = [](std::uint64_t bytes) { return (bytes + 63) / 64 * 64; };
    std::uint64_t inflated = 0; // no overflow: no member says more than 1032 times what it takes in the file
    for (const auto& m : zip.all()) {
        if (!m.deflated) continue;
        inflated += padded(m.size);
        if (inflated > npz_inflated_limit)
            zip.fail_member(m.name, {"says that it has ", m.size, " bytes; deflated arrays of ", npz_inflated_limit, " bytes together are read: store larger ones with numpy.savez"});
    }
    m_inflated = page_memory(inflated);
    std::byte* free = m_inflated.bytes().data();

    for (const auto& m : zip.all()) {
        constexpr std::string_view ending = ".npy";
        if (!m.name.ends_with(ending)) zip.fail_member(m.name, "is no array: the name of one ends in .npy", errc::unsupported_format);
        if (m.size < npy_header::prefix)
            zip.fail_member(m.name, {"has ", m.size, " bytes; an array begins with ", npy_header::prefix});
        const auto header_size = [&](std::span<const std::byte> first) {
            const std::uint64_t size = npy_header::size(zip, m.name, first.first<npy_header::prefix>());
            if (size < npy_header::prefix || size > m.size)
                zip.fail_member(m.name, {"has a header of ", size, " bytes, and has ", m.size});
            return static_cast<std::size_t>(size);
        };
        const auto check = [&](std::uint32_t crc) {
            if (crc != m.crc) zip.fail_member(m.name, "is damaged: its checksum is not the one that was written; get the file again");
        };

        const auto add = [&](npy_header header, std::span<const std::byte> numbers) {
            std::string name = m.name.substr(0, m.name.size() - ending.size());
            if (!m_tensors.emplace(std::move(name), tensor_info{header.type, std::move(header.shape), numbers, file}).second)
                zip.fail_member(m.name, "occurs twice; a name is used once");
        };
        if (!m.deflated) {
            check(detail::crc32_of(0, m.data));
            const std::span<const std::byte> header = m.data.first(header_size(m.data));
            add(detail::read_npy_header(zip, m, header), m.data.subspan(header.size()));
            continue;
        }
        detail::inflater stream(m.data);
        const auto read = [&](std::span<std::byte> to) {
            if (!stream.read(to))
                zip.fail_member(m.name, {"cannot be inflated to the ", m.size, " bytes that the directory says; get the file again"});
        };
        std::vector<std::byte> header(npy_header::prefix);
        read(header);
        header.resize(header_size(header));
        read(std::span(header).subspan(npy_header::prefix));
        npy_header found = detail::read_npy_header(zip, m, header);
        const std::span<std::byte> numbers(free, m.size - header.size()); // begins on a cache line, whatever the header's length
        free += padded(m.size);
        read(numbers);
        if (!stream.at_end()) zip.fail_member(m.name, {"holds more than the ", m.size, " bytes that the directory says"});
        check(detail::crc32_of(detail::crc32_of(0, header), numbers));
        add(std::move(found), numbers);
    }
}

PALI_INLINE const tensor_info& npz_file::at(std::string_view name) const {
    const auto found = m_tensors.find(name);
    if (found == m_tensors.end())
        throw error(errc::checkpoint_mismatch, {m_file.path().string(), ": has no tensor ", in_quotes(name), " among its ", m_tensors.size()});
    return found->second;
}

} // namespace pali::inline PALI_ABI

// Pictures of features, and the sizes of a convolution over one.

namespace pali::inline PALI_ABI::kernels {

/// Non-owning picture of features, channels last: (height, width, channels). Around it lies a border of one pixel of zeros, which is
/// what a padding of 1 reads: no kernel asks where the picture ends. Cheap to copy.
template <class T>
struct feature_map {
    T* data = nullptr; ///< (height + 2, width + 2, channels)
    std::size_t height = 0, width = 0, channels = 0; ///< pixels, pixels, numbers of a pixel

    feature_map() = default;
    /// Over memory of size() floats, whose border is zero already.
    feature_map(T* memory, std::size_t lines, std::size_t columns, std::size_t numbers) noexcept
        : data(memory), height(lines), width(columns), channels(numbers) {}
    /// feature_map<T> is usable where feature_map<const T> is asked for.
    template <class U>
        requires(std::is_same_v<const U, T>)
    feature_map(const feature_map<U>& other) noexcept : feature_map(other.data, other.height, other.width, other.channels) {}

    /// Floats in memory, those of the border too.
    [[nodiscard]] static std::size_t size(std::size_t height, std::size_t width, std::size_t channels) noexcept {
        return (height + 2) * (width + 2) * channels;
    }
    /// Of this one.
    [[nodiscard]] std::size_t size() const noexcept { return size(height, width, channels); }
    /// From one row of pixels to the next, in floats.
    [[nodiscard]] std::size_t stride() const noexcept { return (width + 2) * channels; }
    /// The channels of a pixel.
    [[nodiscard]] T* at(std::size_t y, std::size_t x) const noexcept { return data + (y + 1) * stride() + (x + 1) * channels; }
};

/// A square kernel; its padding keeps a picture's size at stride 1, and halves it (transposed: doubles it) exactly at stride 2.
/// Three of them exist: side 1 and side 3 at stride 1, side 4 at stride 2, the last also transposed.
struct conv_shape {
    std::size_t in = 0, out = 0; ///< channels
    std::size_t side = 1;        ///< pixels of the kernel, across and down
    std::size_t stride = 1;      ///< pixels
    bool transposed = false;     ///< the other way round: stride enlarges

    /// Whether it is one of those.
    [[nodiscard]] bool is_known() const noexcept { return stride == 1 ? (side == 1 || side == 3) && !transposed : stride == 2 && side == 4; }
    /// Zeros around the picture; of a transposed convolution, what PyTorch calls padding.
    [[nodiscard]] std::size_t padding() const noexcept { return (side - 1) / 2; }
    /// Rows or columns that come out of `n`.
    [[nodiscard]] std::size_t size_from(std::size_t n) const noexcept { return transposed ? n * stride : n / stride; }
};

} // namespace pali::inline PALI_ABI::kernels

// Convolutions over pictures of features. All kinds are one loop: a row of taps times the channels below it lies in one piece in memory,
// and the lanes run over output channels.

namespace pali::inline PALI_ABI::kernels {

/// An uninitialised picture within a border of zeros, in scratch memory.
[[nodiscard]] inline feature_map<float> take_feature_map(arena& scratch, std::size_t height, std::size_t width, std::size_t channels) {
    const feature_map<float> map(scratch.take(feature_map<float>::size(height, width, channels)), height, width, channels);
    std::fill_n(map.data, map.stride() + channels, 0.f); // the row above, and the pixel left of the first row
    for (std::size_t y = 0; y + 1 < height; ++y) std::fill_n(map.at(y, width), 2 * channels, 0.f); // right of a row, left of the next
    std::fill_n(map.at(height - 1, width), map.stride() + channels, 0.f);
    return map;
}

/// A convolution's weights in the order that convolve() reads them: repacked once, 16 output channels beside each other.
/// A transposed convolution of stride 2 is four convolutions, each with every other tap, that make every other pixel: its phases.
class conv_weights {
public:
    static constexpr std::size_t panel = 16; ///< output channels that are computed together: the widest vector

    conv_weights() = default;

    /// weight (out, in, side, side), transposed (in, out, side, side), as PyTorch stores them; bias (out).
    conv_weights(const conv_shape& shape, const float* weight, const float* bias)
        : m_shape(shape), m_weights(phases() * panels() * depth() * panel), m_bias(panels() * panel) {
        PALI_ASSERT(shape.is_known());
        std::copy_n(bias, shape.out, m_bias.data());
        const std::size_t in = shape.in, out = shape.out, side = shape.side;
        for (std::size_t phase = 0; phase < phases(); ++phase)
            for (std::size_t o = 0; o < out; ++o)
                for (std::size_t row = 0; row < taps(); ++row)
                    for (std::size_t column = 0; column < taps(); ++column)
                        for (std::size_t i = 0; i < in; ++i) {
                            const std::size_t tap = tap_of(row, phase / 2) * side + tap_of(column, phase % 2);
                            const std::size_t from = (shape.transposed ? i * out + o : o * in + i) * side * side + tap;
                            float* const to = m_weights.data() + (phase * panels() + o / panel) * depth() * panel;
                            to[((row * taps() + column) * in + i) * panel + o % panel] = weight[from];
                        }
    }

    /// What they were packed for.
    [[nodiscard]] const conv_shape& shape() const noexcept { return m_shape; }
    /// Convolutions that it consists of.
    [[nodiscard]] std::size_t phases() const noexcept { return m_shape.transposed ? 4 : 1; }
    /// Rows of pixels that one output pixel sees, and columns.
    [[nodiscard]] std::size_t taps() const noexcept { return m_shape.transposed ? m_shape.side / 2 : m_shape.side; }
    /// Groups of 16 output channels, the last filled up with zeros.
    [[nodiscard]] std::size_t panels() const noexcept { return (m_shape.out + panel - 1) / panel; }
    /// (taps, taps, in, 16)
    [[nodiscard]] const float* weights(std::size_t phase, std::size_t of_panel) const noexcept {
        return m_weights.data() + (phase * panels() + of_panel) * depth() * panel;
    }
    /// (16)
    [[nodiscard]] const float* bias(std::size_t of_panel) const noexcept { return m_bias.data() + of_panel * panel; }

private:
    [[nodiscard]] std::size_t depth() const noexcept { return taps() * taps() * m_shape.in; }

    /// Row `tap` of a phase, as a row of the kernel. Input row i of a transposed convolution adds its tap k to output row 2i - 1 + k, so
    /// even rows get tap 3 from the row above and 1 from their own, odd ones 2 from their own and 0 from the row below.
    [[nodiscard]] std::size_t tap_of(std::size_t tap, std::size_t phase) const noexcept { return m_shape.transposed ? 3 - phase - 2 * tap : tap; }

    conv_shape m_shape;
    aligned_vector<float> m_weights; // (phases, panels, taps, taps, in, 16), zero behind the last channel
    aligned_vector<float> m_bias;    // (panels, 16)
};

/// What is done with a sum before it is stored.
enum class activation { none, relu };

namespace detail {

/// 16 channels of P output pixels: y[p][c] = bias[c] + sum over r, k of x[p][r · stride + k] · w[r][k][c]. The first `count` are stored.
template <std::size_t P, class A>
void conv_tile(arch::simd<A>, const std::array<const float*, P>& x, std::size_t stride, std::size_t taps, std::size_t run, const float* w,
               const float* bias, activation then, const std::array<float*, P>& y, std::size_t count) noexcept {
    using batch = xsimd::batch<float, A>;
    constexpr std::size_t lanes = batch::size, vectors = conv_weights::panel / lanes;
    batch sums[P][vectors];
    for (auto& pixel : sums)
        for (std::size_t v = 0; v < vectors; ++v) pixel[v] = batch::load_aligned(bias + v * lanes);
    for (std::size_t row = 0; row < taps; ++row)
        for (std::size_t k = 0; k < run; ++k, w += conv_weights::panel) {
            batch weights[vectors];
            for (std::size_t v = 0; v < vectors; ++v) weights[v] = batch::load_aligned(w + v * lanes);
            for (std::size_t p = 0; p < P; ++p) {
                const batch value(x[p][row * stride + k]);
                for (std::size_t v = 0; v < vectors; ++v) sums[p][v] = arch::fma(value, weights[v], sums[p][v]);
            }
        }
    for (std::size_t p = 0; p < P; ++p) {
        if (then == activation::relu)
            for (batch& sum : sums[p]) sum = xsimd::max(sum, batch(0.f));
        if (count == conv_weights::panel) {
            for (std::size_t v = 0; v < vectors; ++v) sums[p][v].store_unaligned(y[p] + v * lanes);
        } else {
            alignas(64) float all[conv_weights::panel];
            for (std::size_t v = 0; v < vectors; ++v) sums[p][v].store_aligned(all + v * lanes);
            for (std::size_t c = 0; c < count; ++c) y[p][c] = all[c];
        }
    }
}

} // namespace detail

/**
 * y = then(convolution of x). x (H, W, in), bordered; y (H', W', out) with H' = shape.size_from(H), not x; its border is left alone.
 * Accumulates in float32 in one order, rows of taps, columns, channels, which does not depend on the number of threads: same bits.
 * 2·H'·W'·out·in·taps² flop. Never throws, never allocates.
 */
template <class A>
void convolve(arch::simd<A> tag, const conv_weights& w, feature_map<const float> x, activation then, feature_map<float> y,
              thread_pool& threads) noexcept {
    const conv_shape& shape = w.shape();
    PALI_ASSERT(x.channels == shape.in && y.channels == shape.out);
    PALI_ASSERT(y.height == shape.size_from(x.height) && y.width == shape.size_from(x.width));
    PALI_ASSERT(shape.transposed || (x.height % shape.stride == 0 && x.width % shape.stride == 0));
    constexpr std::size_t lanes = arch::simd<A>::lanes, vectors = conv_weights::panel / lanes;
    constexpr std::size_t tile = std::max<std::size_t>(1, (arch::simd<A>::registers == 32 && lanes == 4 ? 16 : 8) / vectors); // 8 or 16 sums at once
    constexpr std::size_t pixels_a_task = 256;
    const std::size_t step = shape.transposed ? 1 : shape.stride;   // pixels of x from one output of a phase to the next
    const std::size_t spread = shape.transposed ? shape.stride : 1; // the same, of y
    const std::size_t width = y.width / spread, pixels = y.height / spread * width;
    const std::size_t blocks = (pixels + pixels_a_task - 1) / pixels_a_task;

    threads.run(w.phases() * w.panels() * blocks, [&](std::size_t task) {
        const std::size_t block = task % blocks, panel = task / blocks % w.panels(), phase = task / blocks / w.panels();
        const std::size_t channel = panel * conv_weights::panel, count = std::min(conv_weights::panel, shape.out - channel);
        const std::size_t below = phase / 2, beside = phase % 2;
        // The border is one pixel wide: its corner is where the taps of the first output begin at a padding of 1.
        const float* const origin =
            x.data + (shape.transposed ? below * x.stride() + beside * x.channels : (1 - shape.padding()) * (x.stride() + x.channels));
        const std::size_t first = block * pixels_a_task, last = std::min(pixels, first + pixels_a_task);
        std::size_t row = first / width, column = first % width;
        const auto run = [&]<std::size_t P>(std::integral_constant<std::size_t, P>) {
            std::array<const float*, P> from;
            std::array<float*, P> to;
            for (std::size_t p = 0; p < P; ++p) {
                from[p] = origin + row * step * x.stride() + column * step * x.channels;
                to[p] = y.at(row * spread + below, column * spread + beside) + channel;
                if (++column == width) column = 0, ++row;
            }
            detail::conv_tile<P>(tag, from, x.stride(), w.taps(), w.taps() * x.channels, w.weights(phase, panel), w.bias(panel), then, to, count);
        };
        std::size_t at = first;
        for (; at + tile <= last; at += tile) run(std::integral_constant<std::size_t, tile>{});
        for (; at < last; ++at) run(std::integral_constant<std::size_t, 1>{});
    });
}

} // namespace pali::inline PALI_ABI::kernels

// The layers that the mask network is made of.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

/// A convolution with its weights, which are its own: the file may be closed after pack().
class conv_layer {
public:
    /// Without weights: bind() asks for them.
    explicit conv_layer(const kernels::conv_shape& shape) : m_shape(shape) {}

    /// x (H, W, in) -> (H', W', out), in scratch memory.
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<const float> x, kernels::activation then, context& at) const {
        const auto y = kernels::take_feature_map(at.scratch, m_shape.size_from(x.height), m_shape.size_from(x.width), m_shape.out);
        kernels::convolve(arch::native, m_weights, x, then, y, at.threads);
        return y;
    }

    /// "weight", (out, in, side, side) or transposed (in, out, side, side), and "bias".
    void bind(const binder::scope& names) {
        const auto [first, second] = m_shape.transposed ? std::pair(m_shape.in, m_shape.out) : std::pair(m_shape.out, m_shape.in);
        names.matrix("weight", m_as_stored, {first, second, m_shape.side, m_shape.side});
        names.vector("bias", m_bias, m_shape.out);
    }

    /// Repacks what was bound, once the binder has filled it in.
    void pack() { m_weights = kernels::conv_weights(m_shape, m_as_stored.data, m_bias); }

private:
    kernels::conv_shape m_shape;
    rows<const float> m_as_stored;  // from bind() to pack()
    const float* m_bias = nullptr;  // the same
    kernels::conv_weights m_weights;
};

/// x + conv1(relu(conv3(relu(conv3(x))))).
struct residual_block {
    conv_layer first, second, third; ///< kernels of 3 x 3, 3 x 3 and 1 x 1

    /// Of so many channels, in and out.
    explicit residual_block(std::size_t channels)
        : first({.in = channels, .out = channels, .side = 3}), second({.in = channels, .out = channels, .side = 3}),
          third({.in = channels, .out = channels, .side = 1}) {}

    /// x (H, W, channels) -> the same shape, in scratch memory.
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<const float> x, context& at) const {
        using kernels::activation;
        const auto y = third(second(first(x, activation::relu, at), activation::relu, at), activation::none, at);
        for (std::size_t i = 0; i < y.size(); ++i) y.data[i] += x.data[i]; // the borders too: zeros
        return y;
    }

    /// f(layer, name) for each of its convolutions, whose names begin with `name`.
    template <class F>
    void each(const std::string& name, F&& f) {
        f(first, name + ".net.0");
        f(second, name + ".net.2");
        f(third, name + ".net.4");
    }
};

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// The network behind <seg...> tokens: sixteen codes of a mask to its pixels, and pixels to codes.

namespace pali::inline PALI_ABI {

/// Its sizes. They are part of what a <seg...> token means, and the same in every file.
struct mask_vqvae_sizes {
    static constexpr std::size_t codes = 128;  ///< entries of the codebook
    static constexpr std::size_t width = 512;  ///< numbers of an entry
    static constexpr std::size_t side = 4;     ///< codes lie in four rows of four
    static constexpr std::size_t pixels = 64;  ///< rows and columns of a mask
    static constexpr std::size_t hidden = 128; ///< channels between codes and pixels
    static constexpr std::array<std::size_t, 4> channels = {16, 32, 64, 128}; ///< at 32, 16, 8 and 4 rows
};

/// The file of the mask network in a checkpoint's folder: vae-oid.npz as big_vision publishes it, mask_vqvae.npz or
/// mask_vqvae.safetensors, the first of these that is there.
[[nodiscard]] inline std::optional<std::filesystem::path> find_mask_vqvae(const std::filesystem::path& folder) {
    for (const char* name : {"vae-oid.npz", "mask_vqvae.npz", "mask_vqvae.safetensors"}) {
        std::error_code unreadable;
        if (auto file = folder / name; std::filesystem::is_regular_file(file, unreadable)) return file;
    }
    return std::nullopt;
}

inline namespace PALI_SIMD {

/// Codes to pixels. Names are those of a PyTorch Sequential, whose odd places are ReLUs.
struct mask_decoder : mask_vqvae_sizes {
    /// (4, 4, 512) -> (4, 4, 128).
    conv_layer from_codes{{.in = width, .out = hidden, .side = 1}};
    std::array<residual_block, 2> blocks{residual_block(hidden), residual_block(hidden)}; ///< (4, 4, 128) -> the same
    /// (4, 4, 128) -> (64, 64, 16): each doubles the side.
    std::array<conv_layer, 4> enlarge{enlarging(hidden, channels[3]), enlarging(channels[3], channels[2]), enlarging(channels[2], channels[1]),
                                      enlarging(channels[1], channels[0])};
    /// (64, 64, 16) -> (64, 64, 1).
    conv_layer to_pixels{{.in = channels[0], .out = 1, .side = 1}};

    /// x (4, 4, 512), entries of the codebook -> (64, 64, 1), in scratch memory. `after(name, x)` is called behind each layer.
    template <class After>
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<float> x, context& at, After&& after) const {
        using kernels::activation;
        after("0", x = from_codes(x, activation::relu, at));
        for (std::size_t i = 0; i < blocks.size(); ++i) after(std::to_string(2 + i), x = blocks[i](x, at));
        for (std::size_t i = 0; i < enlarge.size(); ++i) after(std::to_string(4 + 2 * i), x = enlarge[i](x, activation::relu, at));
        after("12", x = to_pixels(x, activation::none, at));
        return x;
    }

    /// f(layer, name) for each convolution.
    template <class F>
    void each(F&& f) {
        f(from_codes, std::string("0"));
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].each(std::to_string(2 + i), f);
        for (std::size_t i = 0; i < enlarge.size(); ++i) f(enlarge[i], std::to_string(4 + 2 * i));
        f(to_pixels, std::string("12"));
    }

private:
    [[nodiscard]] static conv_layer enlarging(std::size_t in, std::size_t out) {
        return conv_layer({.in = in, .out = out, .side = 4, .stride = 2, .transposed = true});
    }
};

/// Pixels to what the codebook is searched for.
struct mask_encoder : mask_vqvae_sizes {
    /// (64, 64, 1) -> (4, 4, 128): each halves the side.
    std::array<conv_layer, 4> reduce{reducing(1, channels[0]), reducing(channels[0], channels[1]), reducing(channels[1], channels[2]),
                                     reducing(channels[2], channels[3])};
    std::array<residual_block, 2> blocks{residual_block(hidden), residual_block(hidden)}; ///< (4, 4, 128) -> the same
    /// (4, 4, 128) -> (4, 4, 512).
    conv_layer to_codes{{.in = hidden, .out = width, .side = 1}};

    /// x (64, 64, 1), -1 to 1 -> (4, 4, 512), in scratch memory. `after` as above.
    template <class After>
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<float> x, context& at, After&& after) const {
        using kernels::activation;
        for (std::size_t i = 0; i < reduce.size(); ++i) after(std::to_string(2 * i), x = reduce[i](x, activation::relu, at));
        for (std::size_t i = 0; i < blocks.size(); ++i) after(std::to_string(8 + i), x = blocks[i](x, at));
        after("10", x = to_codes(x, activation::none, at));
        return x;
    }

    /// f(layer, name) for each convolution.
    template <class F>
    void each(F&& f) {
        for (std::size_t i = 0; i < reduce.size(); ++i) f(reduce[i], std::to_string(2 * i));
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].each(std::to_string(8 + i), f);
        f(to_codes, std::string("10"));
    }

private:
    [[nodiscard]] static conv_layer reducing(std::size_t in, std::size_t out) { return conv_layer({.in = in, .out = out, .side = 4, .stride = 2}); }
};

/// PaliGemma's mask network, big_vision's vae-oid.npz: a VQ-VAE (van den Oord et al., arXiv 1711.00937) in the form of Ning et al.,
/// arXiv 2301.02229. Follows big_vision evaluators/proj/paligemma/transfers/segmentation.py (decoder) and pp/proj/paligemma/segmentation.py.
class mask_vqvae : mask_vqvae_sizes {
public:
    /// Reads a .npz or .safetensors file with the names of vae-oid.npz, in float32 or 16 bits; the encoder may be missing. Keeps nothing
    /// of the file. Throws what its reader throws, errc::unsupported_format for another ending, and errc::checkpoint_mismatch with the
    /// tensors that are missing, unexpected or misshapen, errc::malformed_file for numbers that are not finite.
    explicit mask_vqvae(const std::filesystem::path& file) {
        if (file.extension() == ".npz") load(npz_file(file).tensors(), file.string());
        else if (file.extension() == ".safetensors") load(safetensors_file(file).tensors(), file.string());
        else throw error(errc::unsupported_format, {file.string(), ": a mask network is read from a .npz or a .safetensors file"});
    }

    /// The mask of sixteen codes, in four rows of four -> (64, 64), nominally -1 (outside) to 1 (inside), not clamped; above 0 counts as
    /// inside. 82 Mflop. Throws errc::invalid_argument for a code above 127.
    [[nodiscard]] tensor<2> decode(std::span<const std::uint8_t, 16> codes_of_mask, context& at) const {
        const arena::frame frame(at.scratch);
        const auto entries = kernels::take_feature_map(at.scratch, side, side, width);
        for (std::size_t i = 0; i < codes_of_mask.size(); ++i) {
            if (codes_of_mask[i] >= codes)
                throw error(errc::invalid_argument, {"code ", i, " of a mask is ", codes_of_mask[i], "; codes are 0 to 127, as in <seg127>"});
            std::copy_n(m_codebook.data() + codes_of_mask[i] * width, width, entries.at(i / side, i % side));
        }
        const auto values = m_decoder(entries, at, [](const std::string&, const auto&) {});
        tensor<2> mask = make_matrix(pixels, pixels);
        for (std::size_t y = 0; y < pixels; ++y) std::copy_n(values.at(y, 0), pixels, mask.data() + y * pixels);
        return mask;
    }

    /// Whether the file holds the encoder.
    [[nodiscard]] bool can_encode() const noexcept { return m_encoder.has_value(); }

    /// The codes whose mask is nearest to `mask`, (64, 64), 0 (outside) to 1 (inside). Throws errc::invalid_argument for another shape,
    /// and without an encoder.
    [[nodiscard]] std::array<std::uint8_t, 16> encode(const tensor<2>& mask, context& at) const {
        if (!can_encode())
            throw error(errc::invalid_argument, {m_source, ": holds the decoder of masks alone, without encoder.*; vae-oid.npz holds both"});
        if (mask.shape(0) != pixels || mask.shape(1) != pixels)
            throw error(errc::invalid_argument, {"a mask to encode has shape (", mask.shape(0), ", ", mask.shape(1), "); (64, 64) is needed"});
        const arena::frame frame(at.scratch);
        const auto values = kernels::take_feature_map(at.scratch, pixels, pixels, 1);
        for (std::size_t y = 0; y < pixels; ++y)
            for (std::size_t x = 0; x < pixels; ++x) *values.at(y, x) = 2 * (mask(y, x) - 0.5f);
        return nearest((*m_encoder)(values, at, [](const std::string&, const auto&) {}), at);
    }

private:
    void load(tensor_table tensors, const std::string& source) {
        m_source = source;
        for (const char* of_training : {"_vq_vae._ema_w", "_vq_vae._ema_cluster_size"})
            if (const auto found = tensors.find(of_training); found != tensors.end()) tensors.erase(found);
        if (const auto first = tensors.lower_bound("encoder."); first != tensors.end() && first->first.starts_with("encoder.")) m_encoder.emplace();

        binder names(tensors, source);
        const auto each_layer = [&](auto&& f) {
            m_decoder.each([&](conv_layer& layer, const std::string& name) { f(layer, "decoder." + name); });
            if (m_encoder) m_encoder->each([&](conv_layer& layer, const std::string& name) { f(layer, "encoder." + name); });
        };
        each_layer([&](conv_layer& layer, const std::string& name) { layer.bind(names.root()[name]); });
        rows<const float> codebook;
        names.root()["_vq_vae"].matrix("_embedding", codebook, {codes, width});
        names.check("Is it the mask network? The weights of the model itself are in other files.", true);
        if (const short_list broken = describe_not_finite(tensors); !broken.empty())
            throw error(errc::malformed_file, {source, ": the mask network has numbers that are not finite:", broken.joined("\n  ")});
        thread_pool alone(1);
        const page_memory converted = names.finish(residency::mapped, alone, {});
        each_layer([](conv_layer& layer, const std::string&) { layer.pack(); });
        m_codebook.assign(codebook.data, codebook.data + codes * width);
        for (std::size_t i = 0; i < codes; ++i) {
            double squares = 0;
            for (std::size_t k = 0; k < width; ++k) squares += static_cast<double>(codebook[i][k]) * static_cast<double>(codebook[i][k]);
            m_squares[i] = static_cast<float>(squares);
        }
    }

    /// For each of the pixels of z (4, 4, 512) the entry e with the smallest |z - e|², which is |z|² - 2 z·e + |e|²; the first of equals.
    [[nodiscard]] std::array<std::uint8_t, 16> nearest(kernels::feature_map<const float> z, context& at) const {
        matrix_view products = at.take(side * side, codes);
        const rows<const float> book(m_codebook.data(), codes, width);
        for (std::size_t y = 0; y < side; ++y)
            kernels::matmul(arch::native, rows<const float>(z.at(y, 0), side, width), {kernels::factor{book, nullptr, rows_of(products).slice(y * side, side)}}, at.threads,
                            at.scratch);
        std::array<std::uint8_t, 16> best{};
        for (std::size_t i = 0; i < best.size(); ++i) {
            float least = std::numeric_limits<float>::infinity();
            for (std::size_t code = 0; code < codes; ++code) {
                const float distance = m_squares[code] - 2 * products(i, code);
                if (distance < least) least = distance, best[i] = static_cast<std::uint8_t>(code);
            }
        }
        return best;
    }

    std::string m_source; // for messages
    mask_decoder m_decoder;
    std::optional<mask_encoder> m_encoder;
    aligned_vector<float> m_codebook;      // (128, 512)
    std::array<float, codes> m_squares{}; // of the entries: |e|²
};

} // inline namespace PALI_SIMD

} // namespace pali::inline PALI_ABI

// Kernels of resampling: a picture's rows or columns through fixed-point weights. The sums are integers, so any order gives the same bytes.

namespace pali::inline PALI_ABI::kernels {

/// Which source pixels make one output pixel, and by how much.
struct resample_span {
    std::size_t first = 0; ///< first source pixel
    std::size_t count = 0; ///< how many of them
};

/// The weights of one axis.
struct exact_resample_weights {
    std::size_t taps = 0;             ///< weights a span; those past its count are zero
    std::vector<resample_span> spans; ///< one an output pixel
    std::vector<double> weights;      ///< (spans, taps); those of a span add up to 1
};

/// The same in fixed point, 22 bits after the point (Pillow, Resample.c: 32 bits less 8 of pixels less 2 of overshoot).
struct resample_weights {
    static constexpr int precision = 32 - 8 - 2; ///< bits after the point

    std::size_t taps = 0;              ///< weights a span; those past its count are zero
    std::vector<resample_span> spans;  ///< one an output pixel
    std::vector<std::int32_t> weights; ///< (spans, taps)
};

/// The value as stored: keeps a compiler from fusing a product into the sum that follows, which may round otherwise than Pillow does.
[[nodiscard]] inline double stored(double value) noexcept {
    volatile double memory = value;
    return memory;
}

namespace detail {

[[nodiscard]] inline std::uint8_t clip_to_byte(std::int32_t sum) noexcept {
    return static_cast<std::uint8_t>(std::clamp(sum >> resample_weights::precision, 0, 255));
}

} // namespace detail

/// Weights that take `in` pixels to pixels [first, first + count) of `out` by the kernel `weight_at(x)`, which is zero outside
/// [-support, support]. The kernel is stretched when shrinking. The arithmetic is Pillow's to the last operation.
template <class Weight>
[[nodiscard]] exact_resample_weights make_exact_resample_weights(std::size_t in, std::size_t out, double support, Weight&& weight_at,
                                                                 std::size_t first, std::size_t count) {
    PALI_ASSERT(in > 0 && out > 0 && first + count <= out);
    const double scale = static_cast<double>(in) / static_cast<double>(out);
    const double stretch = std::max(scale, 1.0);
    const double reach = stored(support * stretch);
    const double shrink = 1.0 / stretch;

    exact_resample_weights made;
    made.taps = static_cast<std::size_t>(std::ceil(reach)) * 2 + 1;
    made.spans.resize(count);
    made.weights.assign(count * made.taps, 0);
    for (std::size_t at = 0; at < count; ++at) {
        const double center = stored((static_cast<double>(first + at) + 0.5) * scale);
        const double low = center - reach + 0.5;
        const double high = center + reach + 0.5;
        const std::size_t begin = low > 0.0 ? static_cast<std::size_t>(low) : 0;
        const std::size_t end = std::min(static_cast<std::size_t>(high), in);
        const std::size_t taken = std::min(end - std::min(begin, end), made.taps);
        double* weights = made.weights.data() + at * made.taps;
        double sum = 0.0;
        for (std::size_t i = 0; i < taken; ++i) {
            weights[i] = weight_at(stored((static_cast<double>(i + begin) - center + 0.5) * shrink));
            sum += weights[i];
        }
        for (std::size_t i = 0; i < taken && sum != 0.0; ++i) weights[i] /= sum;
        made.spans[at] = {begin, taken};
    }
    return made;
}

/// Rounds weights as Pillow does for pixels of 8 bits.
[[nodiscard]] inline resample_weights in_fixed_point(const exact_resample_weights& exact) {
    resample_weights made{exact.taps, exact.spans, std::vector<std::int32_t>(exact.weights.size())};
    std::transform(exact.weights.begin(), exact.weights.end(), made.weights.begin(), [](double weight) {
        const double scaled = weight * (1 << resample_weights::precision); // a power of two: exact
        return static_cast<std::int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5);
    });
    return made;
}

/// Weights for all of `out`, in fixed point.
template <class Weight>
[[nodiscard]] resample_weights make_resample_weights(std::size_t in, std::size_t out, double support, Weight&& weight_at) {
    return in_fixed_point(make_exact_resample_weights(in, out, support, weight_at, 0, out));
}

/// One row of RGB bytes through the weights of the horizontal axis. Made once a picture: it holds the weights as the inner loop reads them,
/// three times each, in whole blocks.
template <class A>
class row_resampler {
public:
    /// `weights` must outlive it.
    row_resampler(arch::simd<A>, const resample_weights& weights) : m_spans(weights.spans) {
        m_stride = (weights.taps * 3 + block - 1) / block * block;
        m_weights.assign(m_spans.size() * m_stride, 0);
        for (std::size_t at = 0; at < m_spans.size(); ++at)
            for (std::size_t i = 0; i < m_spans[at].count; ++i)
                std::fill_n(m_weights.data() + at * m_stride + i * 3, 3, weights.weights[at * weights.taps + i]);
    }

    /// Bytes that must be readable behind the end of a source row; what they hold does not matter.
    static constexpr std::size_t padding = 12;

    /// out (spans * 3) from in (source width * 3, then `padding` bytes). Never throws, never allocates.
    void operator()(const std::uint8_t* in, std::uint8_t* out) const noexcept {
        for (std::size_t at = 0; at < m_spans.size(); ++at) {
            const std::uint8_t* from = in + m_spans[at].first * 3;
            const std::int32_t* weights = m_weights.data() + at * m_stride;
            const std::size_t blocks = (m_spans[at].count * 3 + block - 1) / block;
            std::int32_t sums[block] = {};
            for (std::size_t b = 0; b < blocks; ++b, from += block, weights += block)
                for (std::size_t i = 0; i < block; ++i) sums[i] += weights[i] * static_cast<std::int32_t>(from[i]);
            for (std::size_t c = 0; c < 3; ++c) {
                std::int32_t sum = 1 << (resample_weights::precision - 1);
                for (std::size_t i = c; i < block; i += 3) sum += sums[i];
                out[at * 3 + c] = detail::clip_to_byte(sum);
            }
        }
    }

private:
    static constexpr std::size_t block = 12; // four pixels: the smallest count that is whole pixels and whole vectors of four

    const std::vector<resample_span>& m_spans;
    std::vector<std::int32_t> m_weights; // (spans, stride)
    std::size_t m_stride = 0;
};

/// One output row: the weighted sum of `count` rows of `width` bytes, `stride` apart. Never throws, never allocates.
template <class A>
void resample_columns(arch::simd<A>, const std::uint8_t* rows, std::size_t stride, const std::int32_t* weights, std::size_t count, std::uint8_t* out,
                      std::size_t width) noexcept {
    constexpr std::size_t block = 32;
    constexpr std::int32_t half = 1 << (resample_weights::precision - 1);
    std::size_t x = 0;
    for (; x + block <= width; x += block) {
        std::int32_t sums[block];
        for (std::size_t i = 0; i < block; ++i) sums[i] = half;
        for (std::size_t row = 0; row < count; ++row) {
            const std::uint8_t* from = rows + row * stride + x;
            const std::int32_t weight = weights[row];
            for (std::size_t i = 0; i < block; ++i) sums[i] += weight * static_cast<std::int32_t>(from[i]);
        }
        for (std::size_t i = 0; i < block; ++i) out[x + i] = detail::clip_to_byte(sums[i]);
    }
    for (; x < width; ++x) {
        std::int32_t sum = half;
        for (std::size_t row = 0; row < count; ++row) sum += weights[row] * static_cast<std::int32_t>(rows[row * stride + x]);
        out[x] = detail::clip_to_byte(sum);
    }
}

} // namespace pali::inline PALI_ABI::kernels

// Resizing as Pillow does it for 8-bit pictures, equal to the bit, for any size up and down.

namespace pali::inline PALI_ABI {

/// How pixels are weighted. The numbers are Pillow's, and so those of `resample` in preprocessor_config.json.
enum class filter : int { nearest = 0, lanczos = 1, bilinear = 2, bicubic = 3, box = 4, hamming = 5 };

namespace image_detail {

inline constexpr double pi = 3.14159265358979323846;

// The kernels of Pillow's Resample.c; stored() stands where a fused multiply-add might round otherwise.
inline double box_weight(double x) noexcept { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

inline double bilinear_weight(double x) noexcept {
    x = std::abs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

inline double hamming_weight(double x) noexcept {
    x = std::abs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x = kernels::stored(x * pi);
    // The two constants are float in Pillow.
    return std::sin(x) / x * (static_cast<double>(0.54f) + kernels::stored(static_cast<double>(0.46f) * std::cos(x)));
}

inline double bicubic_weight(double x) noexcept { // a = -0.5
    x = std::abs(x);
    if (x < 1.0) return kernels::stored(kernels::stored((kernels::stored(1.5 * x) - 2.5) * x) * x) + 1.0;
    if (x < 2.0) return (kernels::stored((kernels::stored((x - 5.0) * x) + 8.0) * x) - 4.0) * -0.5;
    return 0.0;
}

inline double sinc(double x) noexcept {
    if (x == 0.0) return 1.0;
    x = kernels::stored(x * pi);
    return std::sin(x) / x;
}

inline double lanczos_weight(double x) noexcept { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

[[nodiscard]] inline kernels::resample_weights weights_of(filter kind, std::size_t in, std::size_t out) {
    switch (kind) {
    case filter::box: return kernels::make_resample_weights(in, out, 0.5, box_weight);
    case filter::bilinear: return kernels::make_resample_weights(in, out, 1.0, bilinear_weight);
    case filter::hamming: return kernels::make_resample_weights(in, out, 1.0, hamming_weight);
    case filter::bicubic: return kernels::make_resample_weights(in, out, 2.0, bicubic_weight);
    case filter::lanczos: return kernels::make_resample_weights(in, out, 3.0, lanczos_weight);
    case filter::nearest: break;
    }
    throw error(errc::invalid_argument, {"resize: filter ", static_cast<int>(kind),
                                         " is none of 0 (nearest), 1 (lanczos), 2 (bilinear), 3 (bicubic), 4 (box), 5 (hamming)"});
}

// Source positions are stepped, not multiplied: the rounding of the sum is Pillow's (ImagingScaleAffine in Geometry.c).
[[nodiscard]] inline std::vector<std::size_t> nearest_positions(std::size_t in, std::size_t out) {
    const double step = static_cast<double>(in) / static_cast<double>(out);
    std::vector<std::size_t> positions(out);
    double at = kernels::stored(step * 0.5);
    for (std::size_t& position : positions) {
        position = static_cast<std::size_t>(at);
        at += step;
    }
    return positions;
}

[[nodiscard]] inline image resize_nearest(const image& from, std::size_t width, std::size_t height) {
    const auto columns = nearest_positions(from.width, width);
    const auto rows = nearest_positions(from.height, height);
    image made(width, height);
    for (std::size_t y = 0; y < height; ++y) {
        if (rows[y] >= from.height) continue; // rounded past the edge: black, as in Pillow
        for (std::size_t x = 0; x < width; ++x)
            if (columns[x] < from.width) std::memcpy(made.at(x, y), from.at(columns[x], rows[y]), 3);
    }
    return made;
}

inline namespace PALI_SIMD {

/// Rows [first, first + count) of the picture, at another width.
[[nodiscard]] inline image resize_width(const image& from, std::size_t width, filter kind, std::size_t first, std::size_t count) {
    const auto weights = weights_of(kind, from.width, width);
    const kernels::row_resampler resample(arch::native, weights);
    image made(width, count);
    std::vector<std::uint8_t> row(from.width * 3 + resample.padding);
    for (std::size_t y = 0; y < count; ++y) {
        std::memcpy(row.data(), from.at(0, first + y), from.width * 3);
        resample(row.data(), made.at(0, y));
    }
    return made;
}

/// The picture at the height that `weights` are for; its first row is row `first` of what they were made for.
[[nodiscard]] inline image resize_height(const image& from, const kernels::resample_weights& weights, std::size_t first) {
    image made(from.width, weights.spans.size());
    for (std::size_t y = 0; y < made.height; ++y)
        kernels::resample_columns(arch::native, from.at(0, weights.spans[y].first - first), from.width * 3,
                                  weights.weights.data() + y * weights.taps, weights.spans[y].count, made.at(0, y), from.width * 3);
    return made;
}

} // inline namespace PALI_SIMD

} // namespace image_detail

inline namespace PALI_SIMD {

/// `from` at width x height pixels; the aspect ratio is the caller's affair. Equal to `Image.resize((width, height), filter)` of Pillow 13.
/// Throws `invalid_argument` when either picture has no pixels, a side is over 2^24, or the filter is unknown.
[[nodiscard]] inline image resize(const image& from, std::size_t width, std::size_t height, filter kind = filter::bicubic) {
    constexpr std::size_t most = std::size_t{1} << 24;
    if (width == 0 || height == 0 || width > most || height > most || from.width == 0 || from.height == 0 || from.width > most ||
        from.height > most || from.pixels.size() != from.width * from.height * 3)
        throw error(errc::invalid_argument, {"resize: from ", from.width, " x ", from.height, " (", from.pixels.size(), " bytes) to ", width, " x ", height,
                                             "; sides must be 1 to 16777216 and bytes width * height * 3"});
    if (width == from.width && height == from.height) return from;
    if (kind == filter::nearest) return image_detail::resize_nearest(from, width, height);
    if (height == from.height) return image_detail::resize_width(from, width, kind, 0, height);
    const auto weights = image_detail::weights_of(kind, from.height, height);
    if (width == from.width) return image_detail::resize_height(from, weights, 0);

    // Two passes, with bytes between them: their order is part of the result. Pillow 13 begins with the height where it shrinks by more than
    // twice what the width does; earlier releases always begin with the width, and then differ by a level here and there.
    const bool height_first = height < from.height && (width >= from.width || from.height - height > 2 * (from.width - width));
    if (height_first) return image_detail::resize_width(image_detail::resize_height(from, weights, 0), width, kind, 0, height);
    const std::size_t first = weights.spans.front().first; // rows that no output needs are left out
    const std::size_t last = weights.spans.back().first + weights.spans.back().count;
    return image_detail::resize_height(image_detail::resize_width(from, width, kind, first, last - first), weights, first);
}

} // inline namespace PALI_SIMD

} // namespace pali::inline PALI_ABI

// A mask as the mask decoder gives it, 64 x 64 whatever the box, at its place in the picture.

namespace pali::inline PALI_ABI {

namespace object_detail {

/// Pixels [x0, x1) x [y0, y1) that a mask is stretched over; they may lie outside of the picture.
struct pixel_corners {
    double x0 = 0, y0 = 0, x1 = 0, y1 = 0; // whole numbers
};

[[nodiscard]] inline double whole_pixel(double at, mask_style style) noexcept {
    return style == mask_style::hard ? std::trunc(at) : std::nearbyint(at); // the default rounding is half to even, as Python's round()
}

/// The part of one axis that is to be seen: outputs [first, first + count) of `size`, which begin at pixel `at` of the picture.
struct axis_part {
    std::size_t size = 0, first = 0, count = 0, at = 0;
};

[[nodiscard]] inline axis_part visible_part(double begin, double end, std::size_t side) noexcept {
    const double low = std::max(begin, 0.0), high = std::min(end, static_cast<double>(side));
    if (!(end > begin) || !(high > low)) return {};
    return {static_cast<std::size_t>(end - begin), static_cast<std::size_t>(low - begin), static_cast<std::size_t>(high - low),
            static_cast<std::size_t>(low)};
}

/// Sums of Pillow for floats (mode F): double products and sums, stored as floats.
struct float_pixels {
    using value = float;
    static float sum(const float* from, std::size_t step, const double* weights, std::size_t count) noexcept {
        double total = 0;
        for (std::size_t i = 0; i < count; ++i) total += kernels::stored(static_cast<double>(from[i * step]) * weights[i]);
        return static_cast<float>(total);
    }
};

/// Sums of Pillow for bytes (mode L): fixed point, clipped.
struct byte_pixels {
    using value = std::uint8_t;
    static std::uint8_t sum(const std::uint8_t* from, std::size_t step, const std::int32_t* weights, std::size_t count) noexcept {
        std::int32_t total = 1 << (kernels::resample_weights::precision - 1);
        for (std::size_t i = 0; i < count; ++i) total += weights[i] * static_cast<std::int32_t>(from[i * step]);
        return kernels::detail::clip_to_byte(total);
    }
};

/// (height, width) values to (height, spans of `weights`).
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample_x(const std::vector<Value>& from, std::size_t width, const Weights& weights) {
    std::vector<Value> made;
    made.reserve(from.size() / width * weights.spans.size());
    for (std::size_t row = 0; row < from.size(); row += width)
        for (std::size_t x = 0; x < weights.spans.size(); ++x)
            made.push_back(Pixels::sum(from.data() + row + weights.spans[x].first, 1, weights.weights.data() + x * weights.taps, weights.spans[x].count));
    return made;
}

/// (height, width) values to (spans of `weights`, width).
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample_y(const std::vector<Value>& from, std::size_t width, const Weights& weights) {
    std::vector<Value> made;
    made.reserve(weights.spans.size() * width);
    for (std::size_t y = 0; y < weights.spans.size(); ++y)
        for (std::size_t x = 0; x < width; ++x)
            made.push_back(Pixels::sum(from.data() + weights.spans[y].first * width + x, width, weights.weights.data() + y * weights.taps, weights.spans[y].count));
    return made;
}

/// Both passes, in the order that Pillow 13 takes for this size; see resize().
template <class Pixels, class Weights, class Value = typename Pixels::value>
[[nodiscard]] std::vector<Value> resample(const std::vector<Value>& from, std::size_t width, const axis_part& x, const axis_part& y, const Weights& along_x,
                                          const Weights& along_y) {
    const std::size_t height = from.size() / width;
    const bool height_first = y.size < height && (x.size >= width || height - y.size > 2 * (width - x.size));
    if (height_first) return resample_x<Pixels>(resample_y<Pixels>(from, width, along_y), width, along_x);
    return resample_y<Pixels>(resample_x<Pixels>(from, width, along_x), x.count, along_y);
}

[[nodiscard]] inline std::vector<std::uint8_t> hard_pixels(const tensor<2>& values, const axis_part& x, const axis_part& y) {
    const auto weights = [](std::size_t in, const axis_part& part) {
        return kernels::make_exact_resample_weights(in, part.size, 1.0, image_detail::bilinear_weight, part.first, part.count);
    };
    const std::vector<float> from(values.data(), values.data() + values.size());
    const auto sums = resample<float_pixels>(from, values.shape(1), x, y, weights(values.shape(1), x), weights(values.shape(0), y));
    std::vector<std::uint8_t> made(sums.size());
    std::transform(sums.begin(), sums.end(), made.begin(), [](float v) { return static_cast<std::uint8_t>(v > 0 ? 255 : 0); });
    return made;
}

[[nodiscard]] inline std::vector<std::uint8_t> soft_pixels(const tensor<2>& values, const axis_part& x, const axis_part& y) {
    const auto weights = [](std::size_t in, const axis_part& part) {
        return kernels::in_fixed_point(
            kernels::make_exact_resample_weights(in, part.size, 2.0, image_detail::bicubic_weight, part.first, part.count));
    };
    std::vector<std::uint8_t> from(values.size());
    std::transform(values.data(), values.data() + values.size(), from.begin(), [](float v) {
        const float share = v * 0.5f + 0.5f;
        return static_cast<std::uint8_t>((share > 0 ? std::min(share, 1.f) : 0.f) * 255.f); // not a number: 0
    });
    return resample<byte_pixels>(from, values.shape(1), x, y, weights(values.shape(1), x), weights(values.shape(0), y));
}

[[nodiscard]] inline mask place_at(const tensor<2>& values, const pixel_corners& at, std::size_t width, std::size_t height, mask_style style) {
    constexpr double longest = 1 << 24; // a side over which a mask is stretched: as long as Pillow's pictures may be here
    if (values.size() == 0) throw error(errc::invalid_argument, "place_mask: the mask has no values; the mask decoder gives (64, 64)");
    if (!(at.x1 - at.x0 <= longest && at.y1 - at.y0 <= longest))
        throw error(errc::invalid_argument, {"place_mask: a box of ", at.x1 - at.x0, " x ", at.y1 - at.y0, " pixels; at most 16777216 a side"});
    mask made(width, height);
    const axis_part x = visible_part(at.x0, at.x1, width), y = visible_part(at.y0, at.y1, height);
    if (x.count == 0 || y.count == 0) return made;
    const auto pixels = style == mask_style::hard ? hard_pixels(values, x, y) : soft_pixels(values, x, y);
    for (std::size_t row = 0; row < y.count; ++row)
        std::copy_n(pixels.data() + row * x.count, x.count, made.values.data() + (y.at + row) * width + x.at);
    return made;
}

} // namespace object_detail

/**
 * A mask of the picture from a decoded one.
 *
 * @param values  (64, 64), nominally -1 to 1, above 0 inside: what the mask decoder gives. Other sizes are stretched just as well.
 * @param loc     y0, x0, y1, x1 as said, 0 to 1023; where no whole pixel is left of the box, nothing is inside
 * @param width,height  of the picture, pixels
 * @param style   hard equals big_vision's evaluator to the bit, with its `loc_divisor` 1023 too; soft equals the Hugging Face Space's, with 1024
 * @param loc_divisor   what coordinates are divided by, see box_of()
 *
 * Throws `invalid_argument` for a mask without values and a divisor other than 1024 and 1023.
 * @see big_vision evaluators/proj/paligemma/transfers/segmentation.py; huggingface.co/spaces/big-vision/paligemma paligemma_parse.py;
 *      Pillow 13 Resample.c
 */
[[nodiscard]] inline mask place_mask(const tensor<2>& values, const std::array<std::uint16_t, 4>& loc, std::size_t width, std::size_t height,
                                     mask_style style = mask_style::hard, int loc_divisor = 1024) {
    object_detail::check_divisor("place_mask", loc_divisor);
    const auto pixel = [&](std::uint16_t at, std::size_t side) { // divided first: what is cut depends on the rounding
        return object_detail::whole_pixel(static_cast<double>(at) / loc_divisor * static_cast<double>(side), style);
    };
    return object_detail::place_at(values, {pixel(loc[1], width), pixel(loc[0], height), pixel(loc[3], width), pixel(loc[2], height)}, width, height, style);
}

/// The same at a box in pixels, which may reach out of the picture: what lies outside is left out. Throws `invalid_argument` for a mask without
/// values, and a box over 2^24 pixels a side or of numbers that are not finite.
[[nodiscard]] inline mask place_mask(const tensor<2>& values, const box& where, std::size_t width, std::size_t height,
                                     mask_style style = mask_style::hard) {
    const auto pixel = [&](float at) { return object_detail::whole_pixel(static_cast<double>(at), style); };
    return object_detail::place_at(values, {pixel(where.x0), pixel(where.y0), pixel(where.x1), pixel(where.y1)}, width, height, style);
}

} // namespace pali::inline PALI_ABI

// How sure a model was of an object: what it thought of the tokens that say it.

namespace pali::inline PALI_ABI {

/// Which bytes of `tokenizer::decode(tokens)` each token gives: one range a token, in order, side by side. A byte piece has its one byte, or the
/// U+FFFD that stands for it; control pieces, the end-of-sequence token among them, have none. Made once an answer, for all of its objects.
[[nodiscard]] inline std::vector<text_range> token_ranges(const tokenizer& text, std::span<const token> tokens) {
    std::vector<text_range> ranges;
    ranges.reserve(tokens.size());
    std::size_t at = 0;
    const auto add = [&](std::size_t bytes) {
        ranges.push_back({at, at + bytes});
        at += bytes;
    };
    std::string said, run; // a piece as it reads; the bytes of neighbouring byte pieces
    for (std::size_t i = 0; i < tokens.size();) {
        run.clear();
        for (; i < tokens.size() && text.kind(tokens[i]) == piece_kind::byte; ++i) run += static_cast<char>(text.byte(tokens[i]));
        for (std::size_t b = 0; b < run.size();) {
            const std::size_t length = first_character(std::string_view(run).substr(b)).length;
            for (std::size_t k = 0; k < length; ++k) add(1);
            if (length == 0) add(replacement_character.size());
            b += std::max<std::size_t>(length, 1);
        }
        if (i == tokens.size()) break;
        const piece_kind kind = text.kind(tokens[i]);
        said.clear();
        if (kind == piece_kind::text) append_piece(said, text.piece(tokens[i]));
        else if (kind == piece_kind::unknown) said = text.unknown_text();
        add(said.size());
        ++i;
    }
    return ranges;
}

/// 0 to 1: the exponential of the mean log-probability of the tokens of the four coordinates and the label - the geometric mean of their
/// probabilities, so that long labels do not count against an object. Codes of the mask are left out: many sequences of them mean the same mask.
///
/// `ranges` are token_ranges() of the answer that `object` was read from and `logprobs` the logarithms of its tokens' probabilities. A token counts
/// when any of its bytes does. 0 when no token does. Throws `invalid_argument` when there is not one log-probability for each range.
[[nodiscard]] inline float score_of(const spoken_object& object, std::span<const text_range> ranges, std::span<const float> logprobs) {
    if (ranges.size() != logprobs.size())
        throw error(errc::invalid_argument, {"score_of: ", ranges.size(), " tokens with ", logprobs.size(), " log-probabilities; each token has one"});
    double sum = 0;
    std::size_t count = 0, done = 0; // tokens before `done` have been counted
    for (const text_range& part : {object.box_bytes, object.label_bytes}) {
        if (part.empty()) continue;
        const auto first = std::partition_point(ranges.begin(), ranges.end(), [&](const text_range& r) { return r.end <= part.begin; });
        for (auto i = std::max(static_cast<std::size_t>(first - ranges.begin()), done); i < ranges.size() && ranges[i].begin < part.end; ++i) {
            done = i + 1;
            if (ranges[i].empty()) continue;
            sum += static_cast<double>(logprobs[i]);
            ++count;
        }
    }
    const double mean = std::exp(sum / static_cast<double>(std::max<std::size_t>(count, 1)));
    return count > 0 && mean > 0 ? static_cast<float>(std::min(mean, 1.0)) : 0.f; // not a number: 0
}

} // namespace pali::inline PALI_ABI

// Answers of detect and segment as objects: boxes in pixels, scores, masks.

namespace pali::inline PALI_ABI {

/// The options that an answer to `things` is decoded with: those of `options`, limited to the grammar where that is wanted.
/// Throws what object_constraint throws then.
[[nodiscard]] inline generate_options decoding_of(const find_options& options, pointing kind, std::string_view things, const tokenizer& text) {
    generate_options chosen = options.generate;
    if (options.constrained) chosen.constrain = object_constraint(text, asked_labels(things_of(kind, things)), kind == pointing::masks);
    return chosen;
}

inline namespace PALI_SIMD {

/// Reads an answer about a picture of width x height pixels. Masks are decoded by `decoder`; without one, objects have none. Never throws for what the
/// answer says, and errc::invalid_argument for options that find_options::validate() refuses, or tokens without as many log-probabilities. Each mask costs a pass through the decoder.
[[nodiscard]] inline findings read_findings(generation said, const tokenizer& text, std::size_t width, std::size_t height, const mask_vqvae* decoder,
                                            const find_options& options, context& at) {
    findings found;
    spoken_objects spoken = read_objects(said.text);
    const std::vector<text_range> ranges = token_ranges(text, said.tokens);
    for (const spoken_object& one : spoken.objects)
        found.objects.push_back({.label = one.label, .score = score_of(one, ranges, said.logprobs), .box = box_of(one.loc, width, height, options.loc_divisor)});
    if (options.merge) { // before masks: what is dropped needs none
        const std::vector<std::size_t> kept = distinct(found.objects, *options.merge);
        for (std::size_t i = 0; i < kept.size(); ++i) {
            if (kept[i] == i) continue;
            found.objects[i] = std::move(found.objects[kept[i]]);
            spoken.objects[i] = std::move(spoken.objects[kept[i]]);
        }
        found.objects.resize(kept.size());
    }
    for (std::size_t i = 0; decoder && i < found.size(); ++i) {
        const spoken_object& one = spoken.objects[i];
        if (one.seg) found.objects[i].mask = place_mask(decoder->decode(*one.seg, at), one.loc, width, height, options.masks, options.loc_divisor);
    }
    found.skipped = spoken.skipped;
    found.text = std::move(spoken.text);
    found.said = std::move(said);
    return found;
}

} // inline namespace PALI_SIMD

} // namespace pali::inline PALI_ABI

// From a picture to what the vision tower takes: resized, rescaled, normalised, channel by channel.

namespace pali::inline PALI_ABI {

/// What preprocessor_config.json says. The defaults are PaliGemma's: 224 pixels, bicubic, [-1, 1].
struct preprocessing {
    std::size_t width = 224;  ///< pixels
    std::size_t height = 224; ///< pixels
    filter resample = filter::bicubic;            ///< of resizing
    bool do_resize = true;                        ///< else the picture has to be of that size
    bool do_rescale = true;                       ///< by rescale_factor
    bool do_normalize = true;                     ///< by mean and std
    double rescale_factor = 1.0 / 255.0;          ///< times each byte
    std::array<double, 3> mean = {0.5, 0.5, 0.5}; ///< red, green, blue, of rescaled values
    std::array<double, 3> std = {0.5, 0.5, 0.5};  ///< the same; not 0
};

inline namespace PALI_SIMD {

/// Writes (3, height, width) floats: (x * rescale_factor - mean) / std of the resized picture. The rounding is that of transformers' processor:
/// the product in double and rounded to float, the rest in float. Throws `invalid_argument` when do_resize is off and the picture is not
/// width x height, when a std is zero, and as resize does.
inline void preprocess(const image& from, const preprocessing& how, float* pixel_values) {
    image resized;
    if (how.do_resize) resized = resize(from, how.width, how.height, how.resample);
    const image& use = how.do_resize ? resized : from;
    if (use.width != how.width || use.height != how.height || use.pixels.size() != use.width * use.height * 3)
        throw error(errc::invalid_argument, {"preprocess: the picture is ", use.width, " x ", use.height, ", the model takes ", how.width, " x ", how.height,
                                             ", and do_resize is off"});
    // A byte has 256 values: each is worked out once.
    std::array<std::array<float, 256>, 3> table;
    for (std::size_t c = 0; c < 3; ++c) {
        const auto mean = static_cast<float>(how.mean[c]), std = static_cast<float>(how.std[c]);
        if (how.do_normalize && (std == 0.f || !std::isfinite(std) || !std::isfinite(mean)))
            throw error(errc::invalid_argument, {"preprocess: mean ", mean, " and std ", std, " of channel ", c, "; both must be finite, and std not zero"});
        for (std::size_t value = 0; value < 256; ++value) {
            const auto byte = static_cast<double>(value);
            const auto scaled = static_cast<float>(how.do_rescale ? byte * how.rescale_factor : byte);
            table[c][value] = how.do_normalize ? (scaled - mean) / std : scaled;
        }
    }
    const std::size_t plane = use.width * use.height;
    for (std::size_t i = 0; i < plane; ++i)
        for (std::size_t c = 0; c < 3; ++c) pixel_values[c * plane + i] = table[c][use.pixels[3 * i + c]];
}

/// The same as a tensor of its own, (3, height, width).
[[nodiscard]] inline tensor<3> preprocess(const image& from, const preprocessing& how = {}) {
    tensor<3> made(std::array<std::size_t, 3>{3, how.height, how.width});
    preprocess(from, how, made.data());
    return made;
}

} // inline namespace PALI_SIMD

} // namespace pali::inline PALI_ABI

// The picture's way into the model, as preprocessor_config.json describes it.

namespace pali::inline PALI_ABI {

/// What the checkpoint's files say of pictures, in the form that preprocess() takes.
[[nodiscard]] inline preprocessing preprocessing_of(const picture_config& read) {
    preprocessing out{.width = read.width, .height = read.height, .resample = static_cast<filter>(read.resample), .do_resize = read.do_resize,
                      .do_rescale = read.do_rescale, .do_normalize = read.do_normalize, .rescale_factor = read.rescale_factor};
    std::copy(read.mean.begin(), read.mean.end(), out.mean.begin());
    std::copy(read.deviation.begin(), read.deviation.end(), out.std.begin());
    return out;
}

} // namespace pali::inline PALI_ABI

// What the model thinks of a text that is given: log-probabilities, hidden states, logits.

namespace pali::inline PALI_ABI::inline PALI_SIMD {

namespace model_detail {

/// The whole sequence through the decoder in one pass; x (T, hidden) in scratch memory, not normalised.
template <class Network>
[[nodiscard]] matrix_view forward(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                                  std::span<const token> suffix, kv_caches& caches, context& at) {
    const prompt_layout layout = lay_out(net, text, images, prompt, suffix.size());
    require_token_rows(text, suffix, net.config.vocab);
    kv_cache& cache = caches.prepare(0, net.config, layout.tokens.size() + suffix.size());
    call_progress unobserved;
    return *prefill(net, images, std::span(layout.tokens).subspan(layout.image_tokens), suffix, cache, at, unobserved);
}

} // namespace model_detail

/// Hidden states after the last norm, (T, hidden), of a prompt and a causal suffix. Throws what lay_out() and embed() throw.
template <class Network>
[[nodiscard]] matrix hidden_states(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                                   std::string_view suffix, kv_caches& caches, context& at) {
    const arena::frame frame(at.scratch);
    const auto x = model_detail::forward(net, text, images, prompt, text.encode(suffix), caches, at);
    return copy_of(net.decoder.normalise(x, at));
}

/// Logits, (T, vocabulary), of a prompt and a causal suffix. Throws the same.
template <class Network>
[[nodiscard]] matrix logits(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt, std::string_view suffix,
                            kv_caches& caches, context& at) {
    const arena::frame frame(at.scratch);
    const auto x = model_detail::forward(net, text, images, prompt, text.encode(suffix), caches, at);
    return copy_of(net.logits(net.decoder.normalise(x, at), at));
}

/// Log-probabilities of an answer and its end, given pictures and prompt: one pass, and the head over the answer's rows only.
/// Throws the same.
template <class Network>
[[nodiscard]] score_result score(Network& net, const tokenizer& text, std::span<const image_features> images, std::string_view prompt,
                                 std::string_view answer, kv_caches& caches, context& at) {
    const arena::frame frame(at.scratch);
    score_result result;
    result.tokens = encode_answer(text, answer);
    const std::size_t count = result.tokens.size();
    auto x = model_detail::forward(net, text, images, prompt, std::span(result.tokens).first(count - 1), caches, at);
    constexpr std::size_t rows_at_once = 8; // 8 MB of logits of a released model
    for (std::size_t first = 0; first < count; first += rows_at_once) {
        const arena::frame inner(at.scratch);
        const std::size_t n = std::min(rows_at_once, count - first);
        const auto l = net.logits(net.decoder.normalise(slice(x, x.shape(0) - count + first, n), at), at);
        for (std::size_t row = 0; row < n; ++row) {
            const std::span<const float> of(l.data() + row * l.shape(1), l.shape(1));
            result.logprobs.push_back(log_softmax_at(of, result.tokens[first + row]));
        }
    }
    for (const float logprob : result.logprobs) result.logprob += static_cast<double>(logprob);
    return result;
}

} // namespace pali::inline PALI_ABI::inline PALI_SIMD

// The bodies of model: what a call does, with the networks at work.

namespace pali::inline PALI_ABI::inline PALI_MODEL {

#ifdef PALI_COMPILED
/// This source has the bodies of every type.
template <class Config, class Weights>
    requires(model_config<Config> && !std::same_as<Config, dynamic>)
struct model_bodies<Config, Weights> {
    static constexpr bool available = true;
};
#endif

/// What a model is made of. Its members do one call's work, under the lock that the caller holds.
template <model_config Config, weight_storage Weights>
struct model<Config, Weights>::state {
    state(const std::filesystem::path& from, const load_options& options)
        : folder(folder_of(from)), read(read_checkpoint_config(from)), at(options.threads, options.pin_threads), text(without_pointers(folder), read.image_token), net(from, read, options, at), pictures(preprocessing_of(read.picture)), eos(read.eos.begin(), read.eos.end()),
          mask_file(options.mask_decoder), caches(options.kv_cache) {
        for (const token id : {text.bos(), text.eos(), text.newline()}) // which prompts and answers get by themselves
            if (static_cast<std::size_t>(id) >= net.config.vocab)
                throw error(errc::missing_token, {folder.string(), ": the token ", in_quotes(text.decode(std::span(&id, 1))), " has the id ", id, ", and the model knows ", net.config.vocab,
                                                  "; is the vocabulary that of this checkpoint?"});
        if (options.on_notice)
            if (const std::string missing = describe_tokens_without_rows(text, net.config.vocab); !missing.empty()) options.on_notice(folder.string() + ": " + missing);
        load_s = clock.lap();
    }

    /// What lies beside the weights is in the folder, also where it is a single file of them that was named.
    [[nodiscard]] static std::filesystem::path folder_of(const std::filesystem::path& from) {
        std::error_code unknown;
        if (!std::filesystem::is_regular_file(from, unknown)) return from;
        return from.has_parent_path() ? from.parent_path() : std::filesystem::path(".");
    }

    /// The folder; throws errc::malformed_file where a file of its tokenizer is a pointer of Git LFS.
    [[nodiscard]] static std::filesystem::path without_pointers(const std::filesystem::path& folder) {
        for (const char* name : {"tokenizer.model", "tokenizer.json", "added_tokens.json"}) refuse_lfs_pointer(folder / name);
        return folder;
    }

    stopwatch clock;
    std::filesystem::path folder;
    checkpoint_config read;
    context at;
    tokenizer text;
    network<Config, Weights> net;
    preprocessing pictures;
    std::vector<token> eos;
    std::filesystem::path mask_file;
    std::optional<mask_vqvae> masks; // read when it is first asked for
    kv_caches caches;
    std::mutex busy;
    std::atomic<std::thread::id> caller{}; // the thread whose call is running
    double load_s = 0;

    /// A call: waits until those of other threads have ended. Throws errc::invalid_argument for one that a callback of a running call makes, which would wait for itself.
    class call {
    public:
        explicit call(state& s) : m_state(s) {
            if (s.caller.load(std::memory_order_relaxed) == std::this_thread::get_id())
                throw error(errc::invalid_argument, "a model was called from a callback of its own call: ask when the call has returned, or use another model");
            s.busy.lock();
            s.caller.store(std::this_thread::get_id(), std::memory_order_relaxed);
        }
        ~call() {
            m_state.caller.store(std::thread::id(), std::memory_order_relaxed);
            m_state.busy.unlock();
        }
        call(const call&) = delete;
        call& operator=(const call&) = delete;

    private:
        state& m_state;
    };

    /// Of a call that encodes `pictures` and answers `requests`, with up to `tokens` steps of decoding.
    [[nodiscard]] call_progress progress_of(const progress_callback& callback, std::size_t images, std::size_t requests, std::size_t tokens) const {
        return {callback, images * net.vision.layers.size() + requests * net.decoder.layers.size() + tokens};
    }

    /// Throws errc::invalid_prompt for a prompt that is too long, before pictures are looked at.
    void require_room(std::size_t images, std::string_view prompt) const { (void)lay_out(net, text, images * net.image_tokens(), prompt); }

    /// Nothing when the callback stopped it.
    [[nodiscard]] std::optional<image_features> see(const image& picture, call_progress& progress) {
        const tensor<3> pixels = preprocess(picture, pictures);
        if (!progress.begin("image")) return std::nullopt;
        const arena::frame frame(at.scratch);
        const auto x = net.vision(pixels.data(), at, [&](std::size_t, const matrix_view&) { return progress.advance("image"); });
        if (progress.stopped()) return std::nullopt;
        return image_features{copy_of(net.project(x, at)), picture.width, picture.height};
    }
    [[nodiscard]] image_features see_or_throw(const image& picture, call_progress& progress) {
        auto features = see(picture, progress);
        if (!features) throw error(errc::cancelled, "encoding a picture was stopped by the callback");
        return std::move(*features);
    }
    [[nodiscard]] std::vector<image_features> see_each(std::span<const image> several, call_progress& progress) {
        std::vector<image_features> seen;
        seen.reserve(several.size());
        for (const image& picture : several) seen.push_back(see_or_throw(picture, progress));
        return seen;
    }

    [[nodiscard]] std::vector<generation> answer_all(std::span<const request> requests, call_progress& progress) {
        for (const request& one : requests) one.options.validate();
        const auto beams = [](const request& one) { return one.options.num_beams > 1; };
        if (std::none_of(requests.begin(), requests.end(), beams)) return pali::generate(net, text, eos, requests, caches, at, progress);
        std::vector<generation> results; // a beam search is a batch already: one request at a time
        for (std::size_t i = 0; i < requests.size(); ++i) {
            const request& one = requests[i];
            std::size_t image_tokens = 0;
            for (const image_features& picture : one.images) image_tokens += picture.values.shape(0);
            if (progress.stopped()) results.push_back(cancelled(one.prompt, image_tokens, 0));
            else if (beams(one)) results.push_back(search_beams(net, text, eos, one, caches, at, progress, i));
            else results.push_back(std::move(pali::generate(net, text, eos, std::span(&one, 1), caches, at, progress, i).front()));
        }
        if (!progress.stopped()) progress.complete("search");
        return results;
    }
    [[nodiscard]] std::vector<generation> answer_each_of(std::span<const image_features> seen, std::string_view prompt, const generate_options& options, call_progress& progress) {
        std::vector<request> requests;
        for (const image_features& picture : seen) requests.push_back({.images = std::span(&picture, 1), .prompt = prompt, .options = options});
        return answer_all(requests, progress);
    }
    /// An answer that was stopped before there was a token of it.
    [[nodiscard]] generation cancelled(std::string_view prompt, std::size_t image_tokens, double seconds) const {
        const prompt_layout layout = layout_prompt(text, prompt, image_tokens);
        generation result;
        result.prompt_tokens.assign(layout.tokens.begin() + static_cast<std::ptrdiff_t>(image_tokens), layout.tokens.end());
        result.finish = finish_reason::cancelled;
        result.timings.image_s = seconds;
        return result;
    }

    [[nodiscard]] std::optional<std::filesystem::path> find_mask_file() const { return mask_file.empty() ? find_mask_vqvae(folder) : mask_file; }
    [[nodiscard]] const mask_vqvae& mask_decoder() {
        if (masks) return *masks;
        const std::optional<std::filesystem::path> file = find_mask_file();
        if (!file)
            throw error(errc::cannot_open, {folder.string(), ": no mask decoder lies beside the weights; segment needs vae-oid.npz of big_vision ",
                                            "(gs://big_vision/paligemma/vae-oid.npz): put it there, or name it by load_options::mask_decoder"});
        return masks.emplace(*file);
    }
    [[nodiscard]] std::vector<findings> find(std::span<const image_features> seen, pointing kind, std::string_view things, const find_options& options, call_progress& progress) {
        const mask_vqvae* const decoder = kind == pointing::masks ? &mask_decoder() : nullptr;
        std::vector<generation> said = answer_each_of(seen, prompt_of(kind, things), decoding_of(options, kind, things, text), progress);
        std::vector<findings> found;
        found.reserve(said.size());
        for (std::size_t i = 0; i < said.size(); ++i)
            found.push_back(read_findings(std::move(said[i]), text, seen[i].width, seen[i].height, decoder, options, at));
        return found;
    }
};

template <model_config Config, weight_storage Weights>
model<Config, Weights>::model(const std::filesystem::path& folder, const load_options& options) {
    (void)arch::in_use(); // a PALI_ARCH that cannot be is said here and not by a kernel
    m_state = std::make_unique<state>(find_checkpoint(folder), options);
}
template <model_config Config, weight_storage Weights>
model<Config, Weights>::~model() = default;
template <model_config Config, weight_storage Weights>
model<Config, Weights>::model(model&&) noexcept = default;
template <model_config Config, weight_storage Weights>
model<Config, Weights>& model<Config, Weights>::operator=(model&&) noexcept = default;

template <model_config Config, weight_storage Weights>
const Config& model<Config, Weights>::config() const noexcept { return m_state->net.config; }
template <model_config Config, weight_storage Weights>
const checkpoint_config& model<Config, Weights>::checkpoint() const noexcept { return m_state->read; }
template <model_config Config, weight_storage Weights>
const tokenizer& model<Config, Weights>::text() const noexcept { return m_state->text; }
template <model_config Config, weight_storage Weights>
double model<Config, Weights>::load_seconds() const noexcept { return m_state->load_s; }
template <model_config Config, weight_storage Weights>
std::size_t model<Config, Weights>::threads() const noexcept { return m_state->at.threads.size(); }
template <model_config Config, weight_storage Weights>
std::string model<Config, Weights>::arch() {
    const pali::arch::features& extra = pali::arch::in_use();
    return pali::arch::simd<>::name() + (extra.avx_vnni || extra.avx512_vnni ? " vnni" : "") + (extra.avx512_bf16 ? " bf16" : "") + (extra.amx_bf16 ? " amx" : "");
}

template <model_config Config, weight_storage Weights>
image_features model<Config, Weights>::encode(const image& picture, const progress_callback& on_progress) {
    const typename state::call call(*m_state);
    call_progress progress = m_state->progress_of(on_progress, 1, 0, 0);
    return m_state->see_or_throw(picture, progress);
}

template <model_config Config, weight_storage Weights>
generation model<Config, Weights>::generate(std::span<const image> pictures, std::string_view prompt, const generate_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    stopwatch clock;
    m_state->require_room(pictures.size(), prompt);
    call_progress progress = m_state->progress_of(options.on_progress, pictures.size(), 1, options.max_new_tokens);
    std::vector<image_features> images;
    for (const image& picture : pictures) {
        auto features = m_state->see(picture, progress);
        if (!features) return m_state->cancelled(prompt, pictures.size() * m_state->net.image_tokens(), clock.lap());
        images.push_back(std::move(*features));
    }
    const double seconds = clock.lap();
    const request one{.images = images, .prompt = prompt, .options = options};
    generation result = std::move(m_state->answer_all(std::span(&one, 1), progress).front());
    result.timings.image_s = seconds;
    return result;
}
template <model_config Config, weight_storage Weights>
generation model<Config, Weights>::generate(const request& one) {
    return std::move(generate(std::span(&one, 1)).front());
}
template <model_config Config, weight_storage Weights>
std::vector<generation> model<Config, Weights>::generate(std::span<const request> requests) {
    const typename state::call call(*m_state);
    std::size_t tokens = 0;
    const progress_callback none;
    const progress_callback* callback = &none;
    for (const request& one : requests) {
        tokens = std::max(tokens, one.options.max_new_tokens);
        if (!*callback) callback = &one.options.on_progress;
    }
    call_progress progress = m_state->progress_of(*callback, 0, requests.size(), tokens);
    return m_state->answer_all(requests, progress);
}
template <model_config Config, weight_storage Weights>
std::vector<generation> model<Config, Weights>::generate_each(std::span<const image> pictures, std::string_view prompt, const generate_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    stopwatch clock;
    m_state->require_room(1, prompt);
    call_progress progress = m_state->progress_of(options.on_progress, pictures.size(), pictures.size(), options.max_new_tokens);
    const std::vector<image_features> seen = m_state->see_each(pictures, progress);
    const double seconds = clock.lap();
    std::vector<generation> said = m_state->answer_each_of(seen, prompt, options, progress);
    for (generation& one : said) one.timings.image_s = seconds / static_cast<double>(said.size());
    return said;
}

template <model_config Config, weight_storage Weights>
findings model<Config, Weights>::find(const image_features& picture, pointing kind, std::string_view things, const find_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    call_progress progress = m_state->progress_of(options.generate.on_progress, 0, 1, options.generate.max_new_tokens);
    return std::move(m_state->find(std::span(&picture, 1), kind, things, options, progress).front());
}
template <model_config Config, weight_storage Weights>
std::vector<findings> model<Config, Weights>::find_each(std::span<const image> pictures, pointing kind, std::string_view things, const find_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    stopwatch clock;
    if (kind == pointing::masks) (void)m_state->mask_decoder(); // before the work of seeing
    m_state->require_room(1, prompt_of(kind, things));
    call_progress progress = m_state->progress_of(options.generate.on_progress, pictures.size(), pictures.size(), options.generate.max_new_tokens);
    const std::vector<image_features> seen = m_state->see_each(pictures, progress);
    const double seconds = clock.lap();
    std::vector<findings> found = m_state->find(seen, kind, things, options, progress);
    for (findings& one : found) one.said.timings.image_s = seconds / static_cast<double>(found.size());
    return found;
}
template <model_config Config, weight_storage Weights>
findings model<Config, Weights>::read(generation said, const image_features& picture, const find_options& options) {
    options.validate();
    const typename state::call call(*m_state);
    const bool masks = said.text.find("<seg") != std::string::npos && m_state->find_mask_file();
    return read_findings(std::move(said), m_state->text, picture.width, picture.height, masks ? &m_state->mask_decoder() : nullptr, options, m_state->at);
}

template <model_config Config, weight_storage Weights>
score_result model<Config, Weights>::score(std::span<const image_features> images, std::string_view prompt, std::string_view answer) {
    const typename state::call call(*m_state);
    return pali::score(m_state->net, m_state->text, images, prompt, answer, m_state->caches, m_state->at);
}
template <model_config Config, weight_storage Weights>
matrix model<Config, Weights>::hidden_states(std::span<const image_features> images, std::string_view prompt, std::string_view suffix) {
    const typename state::call call(*m_state);
    return pali::hidden_states(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->at);
}
template <model_config Config, weight_storage Weights>
matrix model<Config, Weights>::logits(std::span<const image_features> images, std::string_view prompt, std::string_view suffix) {
    const typename state::call call(*m_state);
    return pali::logits(m_state->net, m_state->text, images, prompt, suffix, m_state->caches, m_state->at);
}

} // namespace pali::inline PALI_ABI::inline PALI_MODEL

// pali: PaliGemma and PaliGemma 2 in C++. Everything that inference needs.

// Tensors to a safetensors file.

namespace pali::inline PALI_ABI {

/// Free text by name, for the head of a file.
using safetensors_metadata = std::map<std::string, std::string, std::less<>>;

/**
 * A file whose tensors are known before their numbers: the header is written first, then come the numbers, in pieces, in any order of tensors. So a file
 * of any size is written in the memory of a piece.
 *
 * The bytes are those that the format's own writer would write: wide types first, then by name, after a header padded to 8; so every tensor is aligned to its
 * type. The file appears at once and whole, by finish(), or not at all: a name beside it is written and renamed. What is appended may thus come from the
 * very file that is replaced.
 */
class safetensors_writer {
public:
    /// What a file will hold under a name.
    struct entry {
        dtype type = dtype::f32;        ///< of its numbers
        std::vector<std::size_t> shape; ///< outermost first; empty for a scalar
    };

    /// Writes the header. Throws errc::invalid_argument for a shape or name that the format cannot hold, errc::cannot_write when the disk refuses.
    safetensors_writer(std::filesystem::path path, const std::map<std::string, entry, std::less<>>& entries, const safetensors_metadata& metadata = {});
    /// Without finish(): nothing is left.
    ~safetensors_writer();
    safetensors_writer(const safetensors_writer&) = delete;
    safetensors_writer& operator=(const safetensors_writer&) = delete;

    /// The next bytes of a tensor, little-endian, behind those that were appended to it before. Throws errc::invalid_argument for a name that the header does
    /// not have and for more bytes than its shape has room for, errc::cannot_write.
    void append(std::string_view name, std::span<const std::byte> bytes);
    /// How many bytes of a tensor are still to be appended. Throws errc::invalid_argument for a name that the header does not have.
    [[nodiscard]] std::uint64_t missing(std::string_view name) const;
    /// Gives the file its name. Throws errc::invalid_argument when a tensor has not all its bytes, errc::cannot_write.
    void finish();

private:
    struct place {
        std::uint64_t next = 0, end = 0; // in the file: where the next bytes go, and where they must end
    };

    [[noreturn]] void refuse(std::string_view name, const error_text& why) const;
    [[noreturn]] void fail(const error_text& why);
    void remove_unfinished() noexcept;

    std::filesystem::path m_path, m_unfinished;
    std::map<std::string, place, std::less<>> m_places;
    std::uint64_t m_size = 0, m_at = 0; // of the whole file, and where its stream stands
    std::ofstream m_out;
    bool m_finished = false;
};

/// Writes `tensors` and `metadata` to `path`, in one go; see safetensors_writer.
/// Throws errc::invalid_argument when a tensor's bytes do not fit its shape, errc::cannot_write when the disk refuses.
void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors, const safetensors_metadata& metadata = {});

} // namespace pali::inline PALI_ABI

// Body of safetensors_writer.hpp.

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian and written as the numbers lie");

namespace pali::inline PALI_ABI {

PALI_INLINE safetensors_writer::safetensors_writer(std::filesystem::path path, const std::map<std::string, entry, std::less<>>& entries,
                                                   const safetensors_metadata& metadata)
    : m_path(std::move(path)), m_unfinished(m_path) {
    m_unfinished += ".unfinished";
    std::vector<const std::pair<const std::string, entry>*> order;
    order.reserve(entries.size());
    for (const auto& one : entries) order.push_back(&one);
    std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return a->second.type != b->second.type ? a->second.type > b->second.type : a->first < b->first;
    });

    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    if (!metadata.empty()) header["__metadata__"] = metadata;
    std::uint64_t at = 0;
    for (const auto* one : order) {
        const auto& [name, tensor] = *one;
        if (name == "__metadata__") refuse(name, "has a name that the format keeps for itself");
        std::uint64_t bits = bits_of(tensor.type);
        for (const std::size_t side : tensor.shape) {
            if (side != 0 && bits > std::numeric_limits<std::uint64_t>::max() / side)
                refuse(name, {"has shape ", describe_shape(tensor.shape), ", whose size does not fit into 64 bits"});
            bits *= side;
        }
        if (bits % 8 != 0)
            refuse(name, {"has shape ", describe_shape(tensor.shape), " of ", to_string(tensor.type), ", ", bits, " bits; whole bytes are needed"});
        header[name] = {{"dtype", to_string(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {at, at + bits / 8}}};
        m_places.emplace(name, place{at, at + bits / 8});
        at += bits / 8;
    }
    std::string text;
    try {
        text = header.dump();
    } catch (const nlohmann::json::exception&) {
        throw error(errc::invalid_argument, {m_path.string(), ": a name or an entry of the metadata is no UTF-8"});
    }
    text.append((8 - text.size() % 8) % 8, ' ');
    const std::uint64_t length = text.size();
    for (auto& [name, where] : m_places) {
        where.next += 8 + length;
        where.end += 8 + length;
    }
    m_size = at + 8 + length;

    m_out.open(m_unfinished, std::ios::binary | std::ios::trunc);
    if (!m_out) fail("cannot be created: is the folder there, and writable?");
    m_out.write(reinterpret_cast<const char*>(&length), 8);
    m_out.write(text.data(), static_cast<std::streamsize>(length));
    m_at = 8 + length;
}

PALI_INLINE safetensors_writer::~safetensors_writer() {
    if (!m_finished) remove_unfinished();
}

PALI_INLINE void safetensors_writer::append(std::string_view name, std::span<const std::byte> bytes) {
    const std::uint64_t room = missing(name);
    if (bytes.size() > room) refuse(name, {"has ", bytes.size() - room, " bytes more than its shape"});
    if (bytes.empty()) return;
    std::uint64_t& next = m_places.find(name)->second.next;
    if (m_at != next) m_out.seekp(static_cast<std::streamoff>(next));
    m_out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!m_out) fail({"cannot be written: is the disk full? ", m_size, " bytes are needed"});
    m_at = next += bytes.size();
}

PALI_INLINE std::uint64_t safetensors_writer::missing(std::string_view name) const {
    const auto found = m_places.find(name);
    if (found == m_places.end()) refuse(name, "is not in the header");
    return found->second.end - found->second.next;
}

PALI_INLINE void safetensors_writer::finish() {
    for (const auto& [name, where] : m_places)
        if (where.next != where.end) refuse(name, {"lacks ", where.end - where.next, " bytes of its shape"});
    m_out.close();
    if (!m_out) fail({"cannot be written: is the disk full? ", m_size, " bytes are needed"});
    std::error_code failure;
    std::filesystem::rename(m_unfinished, m_path, failure);
    if (failure) fail({"cannot be replaced: ", failure.message()});
    m_finished = true;
}

PALI_INLINE void safetensors_writer::refuse(std::string_view name, const error_text& why) const {
    throw error(errc::invalid_argument, {m_path.string(), ": tensor ", in_quotes(name), " ", why});
}

PALI_INLINE void safetensors_writer::fail(const error_text& why) {
    remove_unfinished(); // here too: a constructor that throws has no destructor
    throw error(errc::cannot_write, {m_path.string(), ": ", why});
}

PALI_INLINE void safetensors_writer::remove_unfinished() noexcept {
    m_out.close();
    std::error_code ignored;
    std::filesystem::remove(m_unfinished, ignored);
}

PALI_INLINE void write_safetensors(const std::filesystem::path& path, const tensor_table& tensors, const safetensors_metadata& metadata) {
    std::map<std::string, safetensors_writer::entry, std::less<>> entries;
    for (const auto& [name, tensor] : tensors) entries.emplace(name, safetensors_writer::entry{tensor.type, tensor.shape});
    safetensors_writer out(path, entries, metadata);
    for (const auto& [name, tensor] : tensors) // before anything is written
        if (const std::uint64_t needed = out.missing(name); needed != tensor.bytes.size())
            throw error(errc::invalid_argument, {path.string(), ": tensor ", in_quotes(name), " has ", tensor.bytes.size(), " bytes; shape ",
                                                 describe_shape(tensor.shape), " of ", to_string(tensor.type), " needs ", needed});
    for (const auto& [name, tensor] : tensors) out.append(name, tensor.bytes);
    out.finish();
}

} // namespace pali::inline PALI_ABI

// Colours that tell labels apart, for all kinds of colour vision.

namespace pali::inline PALI_ABI {

/// sRGB.
struct colour {
    std::uint8_t r = 0, g = 0, b = 0; ///< 0 to 255

    friend bool operator==(const colour&, const colour&) = default;
};

inline constexpr std::size_t palette_size = 21; ///< colours before they come again

/// The colour of label `index` of a picture: orange, sky blue, vermilion, bluish green, reddish purple, yellow and blue, then these darker, then
/// lighter; the 22nd is the first again.
/// Source: Okabe and Ito, Color Universal Design (2008), jfly.uni-koeln.de/color, without black, which would vanish on dark pictures.
[[nodiscard]] inline colour label_colour(std::size_t index) noexcept {
    constexpr colour hues[] = {{230, 159, 0}, {86, 180, 233}, {213, 94, 0}, {0, 158, 115}, {204, 121, 167}, {240, 228, 66}, {0, 114, 178}};
    constexpr std::size_t count = std::size(hues);
    const colour hue = hues[index % count];
    const std::size_t round = index % palette_size / count;
    // Part of the way to black or white: measured by tests/image/test_draw.cpp to keep all 21 apart, with red or green cones missing too.
    const auto shade = [&](std::uint8_t v) {
        return static_cast<std::uint8_t>(round == 0 ? v : round == 1 ? v * 9 / 20 : 255 - (255 - v) * 3 / 5);
    };
    return {shade(hue.r), shade(hue.g), shade(hue.b)};
}

/// Relative luminance, 0 (black) to 1 (white). Source: WCAG 2.1.
[[nodiscard]] inline double luminance(colour of) noexcept {
    const auto linear = [](std::uint8_t v) {
        const double part = v / 255.0;
        return part <= 0.04045 ? part / 12.92 : std::pow((part + 0.055) / 1.055, 2.4);
    };
    return 0.2126 * linear(of.r) + 0.7152 * linear(of.g) + 0.0722 * linear(of.b);
}

/// Contrast ratio, 1 to 21; text wants 4.5. Source: WCAG 2.1.
[[nodiscard]] inline double contrast(colour a, colour b) noexcept {
    const double first = luminance(a), second = luminance(b);
    return (std::max(first, second) + 0.05) / (std::min(first, second) + 0.05);
}

/// Black or white, whichever is read more easily on `ground`; the contrast is at least 4.5.
[[nodiscard]] inline colour text_colour(colour ground) noexcept {
    constexpr colour black{}, white{255, 255, 255};
    return contrast(black, ground) >= contrast(white, ground) ? black : white;
}

} // namespace pali::inline PALI_ABI

// Pictures of results: boxes, masks and labels drawn over a picture.

namespace pali::inline PALI_ABI {

/// One thing to point at.
struct mark {
    std::string label{};                ///< UTF-8; bytes that are not are shown as U+FFFD. Empty: only the score, or no plate
    pali::box where{};                  ///< pixels of the picture; corners in any order; what lies outside of the picture is left out
    const pali::mask* inside = nullptr; ///< of the size of the picture, or empty; not owned, read during the call
    float score = -1;                   ///< 0 to 1, shown as a percentage; below 0: not shown
};

/// How marks look. Lines and text follow the smaller side of the picture, and are never too small to be seen.
struct draw_options {
    float opacity = 0.4f;         ///< of a mask's inside, 0 to 1; a box without a mask is filled at a third of it
    float scale = 1;              ///< of line widths and text, over 0 to 100
    bool scores = true;           ///< show scores beside labels
    std::filesystem::path font{}; ///< TrueType or OpenType; its letters go before the built-in Latin, Greek and Cyrillic ones. Trusted: name
                                  ///< only fonts as safe as the program itself, for they are checked no further than their tables
};

/// `picture` with the marks on it. Marks of one label share a colour, label_colour(0) being that of the first. Small things lie over large ones
/// and labels over all; these keep inside of the picture and, where there is room, off each other. A label that is too long ends in an ellipsis;
/// letters that no font has are shown as a frame; text is set from left to right, one letter after the other. Same input, same bytes.
/// Throws `invalid_argument` for a picture without pixels, a mask of another size or an option out of its range, `cannot_open` and
/// `malformed_file` for the font.
[[nodiscard]] image draw(const image& picture, std::span<const mark> marks, const draw_options& options = {});

} // namespace pali::inline PALI_ABI

// Colour on pixels: areas, frames, masks and their contours.

namespace pali::inline PALI_ABI::image_detail {

/// Whole pixels, from (x0, y0) to before (x1, y1).
struct area {
    int x0 = 0, y0 = 0, x1 = 0, y1 = 0;

    [[nodiscard]] int width() const noexcept { return x1 - x0; }
    [[nodiscard]] int height() const noexcept { return y1 - y0; }
    [[nodiscard]] bool empty() const noexcept { return x1 <= x0 || y1 <= y0; }
    [[nodiscard]] long long pixels() const noexcept { return empty() ? 0 : static_cast<long long>(width()) * height(); }
    [[nodiscard]] area grown(int by) const noexcept { return {x0 - by, y0 - by, x1 + by, y1 + by}; }
    friend area operator&(const area& a, const area& b) noexcept {
        return {std::max(a.x0, b.x0), std::max(a.y0, b.y0), std::min(a.x1, b.x1), std::min(a.y1, b.y1)};
    }
};

[[nodiscard]] PALI_INLINE area area_of(const image& picture) noexcept {
    return {0, 0, static_cast<int>(picture.width), static_cast<int>(picture.height)};
}

[[nodiscard]] inline int level(float alpha) noexcept { return static_cast<int>(std::lround(std::clamp(alpha, 0.f, 1.f) * 255)); }

/// Lays `paint` over a pixel of the picture; `alpha` 0 (nothing) to 255 (all).
inline void blend(image& on, int x, int y, colour paint, int alpha) noexcept {
    std::uint8_t* pixel = on.at(static_cast<std::size_t>(x), static_cast<std::size_t>(y));
    const auto mix = [&](std::uint8_t below, std::uint8_t above) {
        return static_cast<std::uint8_t>((below * (255 - alpha) + above * alpha + 127) / 255);
    };
    pixel[0] = mix(pixel[0], paint.r);
    pixel[1] = mix(pixel[1], paint.g);
    pixel[2] = mix(pixel[2], paint.b);
}

PALI_INLINE void fill(image& on, const area& where, colour paint, int alpha) {
    const area part = where & area_of(on);
    for (int y = part.y0; y < part.y1; ++y)
        for (int x = part.x0; x < part.x1; ++x) blend(on, x, y, paint, alpha);
}

/// The pixels of `outer` that are less than `thickness` from its edge.
PALI_INLINE void frame(image& on, const area& outer, int thickness, colour paint, int alpha) {
    if (outer.width() <= 2 * thickness || outer.height() <= 2 * thickness) return fill(on, outer, paint, alpha);
    const area inner = outer.grown(-thickness);
    fill(on, {outer.x0, outer.y0, outer.x1, inner.y0}, paint, alpha);
    fill(on, {outer.x0, inner.y1, outer.x1, outer.y1}, paint, alpha);
    fill(on, {outer.x0, inner.y0, inner.x0, inner.y1}, paint, alpha);
    fill(on, {inner.x1, inner.y0, outer.x1, inner.y1}, paint, alpha);
}

/// The smallest area that holds all that is inside of the mask.
[[nodiscard]] PALI_INLINE area bounds_of(const mask& of) {
    area found{static_cast<int>(of.width), static_cast<int>(of.height), 0, 0};
    for (std::size_t y = 0; y < of.height; ++y) {
        const auto row = of.values.begin() + static_cast<std::ptrdiff_t>(y * of.width), end = row + static_cast<std::ptrdiff_t>(of.width);
        const auto is_inside = [](std::uint8_t v) { return v >= mask::inside; };
        const auto first = std::find_if(row, end, is_inside);
        if (first == end) continue;
        const auto last = std::find_if(std::make_reverse_iterator(end), std::make_reverse_iterator(row), is_inside).base();
        found = {std::min(found.x0, static_cast<int>(first - row)), std::min(found.y0, static_cast<int>(y)),
                 std::max(found.x1, static_cast<int>(last - row)), static_cast<int>(y) + 1};
    }
    return found;
}

/// Lays paint over the mask, as much as its values say.
PALI_INLINE void fill(image& on, const mask& where, colour paint, float opacity) {
    int levels[256];
    for (int v = 0; v < 256; ++v) levels[v] = level(opacity * static_cast<float>(v) / 255);
    for (int y = 0; y < static_cast<int>(where.height); ++y)
        for (int x = 0; x < static_cast<int>(where.width); ++x)
            if (const int alpha = levels[where.values[static_cast<std::size_t>(y) * where.width + static_cast<std::size_t>(x)]]; alpha != 0)
                blend(on, x, y, paint, alpha);
}

/// How far the pixels near the edge of a mask are from it.
class contour {
public:
    /// The edge is where the mask, linear between the middles of its pixels, passes from outside to inside; distances up to `reach` pixels.
    contour(const mask& of, const area& bounds, int reach)
        : m_mask(of), m_reach(reach), m_area(bounds.grown(reach + 2) & area{0, 0, static_cast<int>(of.width), static_cast<int>(of.height)}) {
        if (bounds.empty()) return;
        m_distances.assign(static_cast<std::size_t>(m_area.pixels()), nowhere);
        for (int y = bounds.y0 - 1; y < bounds.y1; ++y)
            for (int x = bounds.x0 - 1; x < bounds.x1; ++x) add_cell(x, y);
    }

    /// Lays paint where the edge is from `from` to `to` pixels away, smooth at both ends.
    void stroke(image& on, float from, float to, colour paint, float opacity) const {
        if (m_distances.empty()) return;
        for (int y = m_area.y0; y < m_area.y1; ++y)
            for (int x = m_area.x0; x < m_area.x1; ++x) {
                const float away = m_distances[index(x, y)];
                if (away >= to + 0.5f) continue;
                const float cover = std::clamp(to + 0.5f - away, 0.f, 1.f) - (from > 0 ? std::clamp(from + 0.5f - away, 0.f, 1.f) : 0.f);
                blend(on, x, y, paint, level(opacity * cover));
            }
    }

private:
    static constexpr float nowhere = 1e9f;
    static constexpr float edge = static_cast<float>(mask::inside) - 0.5f;

    struct point {
        float x, y;
    };

    [[nodiscard]] std::size_t index(int x, int y) const noexcept {
        return static_cast<std::size_t>(y - m_area.y0) * static_cast<std::size_t>(m_area.width()) + static_cast<std::size_t>(x - m_area.x0);
    }

    [[nodiscard]] float value(int x, int y) const noexcept { // nothing is inside beyond the picture
        if (x < 0 || y < 0 || x >= static_cast<int>(m_mask.width) || y >= static_cast<int>(m_mask.height)) return 0;
        return m_mask.values[static_cast<std::size_t>(y) * m_mask.width + static_cast<std::size_t>(x)];
    }

    /// Marching squares: the edge between the middles of the pixels (x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1).
    void add_cell(int x, int y) {
        const float corner[4] = {value(x, y), value(x + 1, y), value(x + 1, y + 1), value(x, y + 1)};
        constexpr float at_x[4] = {0, 1, 1, 0}, at_y[4] = {0, 0, 1, 1};
        point crossed[4];
        std::size_t count = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t next = (i + 1) % 4;
            if ((corner[i] > edge) == (corner[next] > edge)) continue;
            const float t = (edge - corner[i]) / (corner[next] - corner[i]);
            crossed[count++] = {static_cast<float>(x) + at_x[i] + t * (at_x[next] - at_x[i]),
                                static_cast<float>(y) + at_y[i] + t * (at_y[next] - at_y[i])};
        }
        for (std::size_t i = 0; i + 1 < count; i += 2) add_segment(crossed[i], crossed[i + 1]);
    }

    void add_segment(point a, point b) {
        const auto before = [](float u, float v) { return static_cast<int>(std::floor(std::min(u, v))); };
        const auto after = [](float u, float v) { return static_cast<int>(std::ceil(std::max(u, v))) + 1; };
        const area around = area{before(a.x, b.x), before(a.y, b.y), after(a.x, b.x), after(a.y, b.y)}.grown(m_reach) & m_area;
        const float dx = b.x - a.x, dy = b.y - a.y, length = dx * dx + dy * dy;
        for (int y = around.y0; y < around.y1; ++y)
            for (int x = around.x0; x < around.x1; ++x) {
                const float px = static_cast<float>(x) - a.x, py = static_cast<float>(y) - a.y;
                const float t = length > 0 ? std::clamp((px * dx + py * dy) / length, 0.f, 1.f) : 0.f;
                const float away = std::hypot(px - t * dx, py - t * dy);
                float& least = m_distances[index(x, y)];
                least = std::min(least, away);
            }
    }

    const mask& m_mask;
    int m_reach;
    area m_area;
    std::vector<float> m_distances;
};

} // namespace pali::inline PALI_ABI::image_detail

// Whether this build can draw letters: whether stb_truetype is there.

#ifndef PALI_WITH_STB_TRUETYPE
#  if __has_include(<stb/stb_truetype.h>) || __has_include(<stb_truetype.h>)
#    define PALI_WITH_STB_TRUETYPE 1
#  else
#    define PALI_WITH_STB_TRUETYPE 0
#  endif
#endif

// The letters of labels: a part of Roboto Medium, as base64 with - and _ for its last two digits. Written by tools/make_font.py; do not edit.
//
// Roboto is Copyright 2015 Google Inc. and licensed under the Apache License, Version 2.0, a copy of which is the file LICENSE; see NOTICE.
// Changed: reduced to Latin, Greek, Cyrillic and some punctuation, without hints, kerning, layout features and names.

namespace pali::inline PALI_ABI::image_detail {

inline constexpr char font_base64[] =
    "AAEAAAAHAEAAAgAwY21hcE4NWY4AAAkcAAADJGdseWajFgq9AAAQVAAAZlZoZWFkAPgH0QAAAHwAAAA2aGhlYQ77CB0AAAC0AAAAJGhtdHgG461ZAAAA-AAACCRsb2NhZmeBEwAADEAA"
    "AAQUbWF4cAIWAHsAAADYAAAAIAABAAAAAiNU8tDYSl8PPPUAGQgAAAAAAMTv9Q4AAAAA1U2kKf9F_dUIRwhzAAAACQACAAAAAAAAAAEAAAds_gwAAAiQ_0X_dwhHAAEAAAAAAAAAAAAA"
    "AAAAAAIJAAEAAAIJAD0ABQA8AAQAAQAAAAAAAAAAAAAAAAADAAEDjABkAf4AAAIlAJACmABlBOIAYQSMAGUF4ABkBR0AVgFaAFMCywCBAtMAKAOKABwEdgBFAcMAHQKhAEcCPACIAysA"
    "AgSMAGkEjACoBIwAUQSMAFAEjAA1BIwAgQSMAHYEjABGBIwAaASMAF4CHwCCAecALwQRAD8EegCRBCoAgQPlADwHKQBSBVMAEgUNAJUFOQBmBToAlQSGAJUEZgCVBXMAagWwAJUCQgCk"
    "BHEALQULAJUEVQCVBwEAlQWvAJUFhgBmBR4AlQWGAGAE_wCVBNUASgTcAC0FOAB-BS4AEgcLADEFEAApBOAACATSAFACMgCEA1gAFAIyAA0DbAA1A5wAAwKUADEEVQBbBIEAfQQxAFAE"
    "hQBQBEsAVALWAC0EiQBSBHEAegIMAH0CAf-0BC0AfQIMAIwG9wB9BHMAegSOAFAEgQB9BIsAUALQAH0EIgBMAqoACARyAHcD9gAXBfIAIgQHAB8D5QAMBAcAUgKvADgCAgCuAq8AHAVR"
    "AHYCHwCGBH0AZQS2AF8FngBdBEEADAH9AIkE-QBaA4UAXgZFAFcDkgCOA-IAVgRuAH8GRQBXA9wAnAMLAH8ESwBfAvYAPAL2ADcCnABxBLsAkwPuAEYCQgCOAhEAbgL2AIEDpwB3A-IA"
    "XgXQAFkGKwBQBlcAZwPlAEMHhf_2BEUATQWFAGoEywCVBOgAiAbBAEgEpwBoBJIARASJAFAElwCDBO4AUAWwACACGwCQBJgAjgRkACICTwAiBZQAkASJAH8HtABlBzsAWwINAIsCJ_-1"
    "A-cAlQOxAHIDfQB2AgwAggKyAHkCTQApA9gAegMgAEoCXQDHBDwAaAJCAI4EdQCbBcAAGQV7AFwFOQAgBJEAbQWxAJsEkQBIBfAASQWrAEQFXABrBIUAVgTGAJYEDwAhBIkAVARhAGEE"
    "GwBhBIkAfwSiAHQCqgCqBGoAFgQTAGME9AAuBIkAgQQ4AFIEkQBTBC4AQARhAIAF0ABFBcoAUAaVAGYF_wAjBVoAaQiJAC0IkACbBlwAMQWqAJMFCACQBgcAJAeiABcE1gBJBakAlQWq"
    "AC0FCgA6BmAATwX5AJMFiQCOB5wAmQf6AJkGGgAYBvkAnAUHAJEFUQBrB1QAoAT3ACEEfQBbBJAAjwNbAIUE9wAnBncAHgQXAE4EmACGBG8AjwSaACIGAwCPBJgAhgSYAIYD9gAkBdMA"
    "VATUAIYEZgBfBo8AhgbsAH8FGAAfBm8AjwRpAI8EPQBSBoQAkQRwACcEcf_aBD0AVAbSAB8G5ACGBIn_7gSYAIYFKQCdBjAAggHAAGQBvAA0Ac4AMgMUAG0DHABBAwgAMgLMAIgFpgCM"
    "AnMAbAJpAFUDnAAtBIwAXgSDAJ8B8QBGCDUAXAL2ADwC9gCBAvYANwL2ADUFKACbAgYAlARjAD4B_gAAAqEARwVYABUFWAAVBI__8gTcAC0Cqv_oBVMAEgVTABIFUwASBVMAEgVTABIF"
    "UwASBTkAZgSGAJUEhgCVBIYAlQSGAJUCQv_HAkIApAJC_8sCQv_ABa8AlQWGAGYFhgBmBYYAZgWGAGYFhgBmBTgAfgU4AH4FOAB-BTgAfgTgAAgEVQBbBFUAWwRVAFsEVQBbBFUAWwRV"
    "AFsEMQBQBEsAVARLAFQESwBUBEsAVAIb_7ICGwCQAhv_tgIb_6sEcwB6BI4AUASOAFAEjgBQBI4AUASOAFAEcgB3BHIAdwRyAHcEcgB3A-UADAPlAAwFUwASBFUAWwVTABIEVQBbBVMA"
    "EgRVAFsFOQBmBDEAUAU5AGYEMQBQBTkAZgQxAFAFOQBmBDEAUAU6AJUFGwBQBIYAlQRLAFQEhgCVBEsAVASGAJUESwBUBIYAlQRLAFQEhgCVBEsAVAVzAGoEiQBSBXMAagSJAFIFcwBq"
    "BIkAUgVzAGoEiQBSBbAAlQRxAHoCQv-yAhv_nQJC_84CG_-5AkL_3wIb_8oCQgAVAgz__gJCAJ4GswCkBA0AfQRxAC0CJ_-1BQsAlQQtAH0EVQCVAgwAiwRVAJUCDABXBFUAlQKiAIwE"
    "VQCVAugAjAWvAJUEcwB6Ba8AlQRzAHoFrwCVBHMAegRz_6QFhgBmBI4AUAWGAGYEjgBQBYYAZgSOAFAE_wCVAtAAfQT_AJUC0ABRBP8AlQLQADgE1QBKBCIATATVAEoEIgBMBNUASgQi"
    "AEwE1QBKBCIATATcAC0CqgAIBNwALQLSAAgFOAB-BHIAdwU4AH4EcgB3BTgAfgRyAHcFOAB-BHIAdwU4AH4EcgB3BTgAfgRyAHcHCwAxBfIAIgTgAAgD5QAMBOAACATSAFAEBwBSBNIA"
    "UAQHAFIE0gBQBAcAUgVTABIE6v9LBhT_VAKm_1YFmv-8BUT_RQVw_8YCqv-HBVMAEgUNAJUEhgCVBNIAUAWwAJUCQgCkBQsAlQcBAJUFrwCVBYYAZgUeAJUE3AAtBOAACAUQACkCQv_A"
    "BOAACASFAFYEYQBhBIkAfwKqAKoEYQCABJgAjgSOAFAEuwCTA_YAFwRjAD4Cqv_NBGEAgASOAFAEYQCABpUAZgSGAJUEdQCbBNUASgJCAKQCQv_ABHEALQUoAJsFCwCVBQoAOgVTABIF"
    "DQCVBHUAmwSGAJUFqQCVBwEAlQWwAJUFhgBmBbEAmwUeAJUFOQBmBNwALQUQACkEVQBbBEsAVASYAIYEjgBQBIEAfQQxAFAD5QAMBAcAHwRLAFQDWwCFBCIATAIMAH0CG_-rAgH_tARv"
    "AI8D5QAMBIYAlQWpAJUESwBUBJgAhgAAAAIAAAADAAAAFAADAAEAAAAUAAQDEAAAAFYAQAAFABYAfgCgAKwArQC_AMYAzwDmAO8A_gEPAREBJQEnATABUwFlAWcBfgF_A4oDjAOSA6ED"
    "sAO5A8kDzgQlBC8ERQRPBF8gFCAaIB4gIiAmIDogrCIS__3__wAAACAAoAChAK0ArgDAAMcA0ADnAPAA_wEQARIBJgEoATEBVAFmAWgBfwOEA4wDjgOTA6MDsQO6A8oEAAQmBDAERgRQ"
    "IBMgGCAcICIgJiA5IKwiEv_9____4QBr_78AX_--AAAAUQAAAEsAAABHAAAARQAAAEMAAAA7_6oAOf8TAAD-MP4vAAAAAPz4AAD-EAAA_KUAAPydAADg4ODd4Nzg2eDW4MTgVN7vAQYA"
    "AQAAAAAAAAAAAAAATAAAAFYAAACAAAAAmgAAAJoAAACaAAAAAAAAAAAA1gAAAAAA3gD6AAABEgAAAS4AAAF2AAABngAAAAAAAAAAAAAAAAAAAAAAAAAAARIBEwEUARUBFgEXAH4BDgEh"
    "ASIBIwEkASUBJgB_AIABJwEoASkBKgErAIEAggEsAS0BLgEvATABMQCDAIQBOwE8AT0BPgE_AUAAhQCGAUEBQgFDAUQBRQCHAQ0AiACJAQ8AigF0AXUBdgF3AXgBeQCLAXoBewF8AX0B"
    "fgF_AYABgQCMAI0BggGDAYQBhQGGAYcBiACOAI8BiQGKAYsBjAGNAY4AkACRAJwAnQG4AJ4BuQG6AbsAnwCgAcIBwwHEAKEBxQHGAKIBxwHIAKMByQCkAcoApQHLAcwApgHNAKcAqAHO"
    "Ac8B0AHRAdIB0wHUAdUAsgHXAdgAswHWALQAtQC2ALcAuAC5ALoB2QC7ALwCBQHfAL0B4AC-AeEB4gHjAeQAvwDAAMEB5gIGAecAwgHoAMMB6QHqAMQB6wDFAMYAxwHsAeUAyAHtAe4B"
    "7wHwAfEB8gHzAMkAygH0AfUA1QDWANcA2AH2ANkA2gDbAfcA3ADdAN4A3wH4AOAB-QH6AOEB-wDiAfwCBwH9AO0B_gDuAf8CAAIBAgIA7wDwAPECAwIIAgQA8gAAACoAKgBHAF8AlQDU"
    "ASYBdwGGAaoBzwHyAgsCIAItAj8CTwKBApQCvgL2AxQDQwN8A5AD1gQOBBoEJgQ6BE4EYgSWBP0FGQVPBYEFpwW-BdMGCgYiBjAGTAZqBnoGmwazBucHDAdGB3IHrAe-B90H8wgUCDYI"
    "TwhmCHgIhwiZCK0IuQjICQEJLglZCYYJuAnZChYKNgpPCnEKjwqdCs0K7QsbC0kLdwuSC8kL6wwKDB8MPgxeDIAMlwzADM4M-A0eDTkNbQ2cDdoOBQ4ZDnAOkA7pDx8PKw87D5wPqQ_L"
    "D-oQDxBDEFIQcxCJEJ8QuRDLEPQRABERESIRMxFlEY0RrhH0EhoSWRKyEvcTIRNkE5ITxxPvE_0UGhQ1FE4UcRSbFNQVKRVAFVgVbhWEFZwVrhXOFesWDRYkFjIWWxZjFnMWiBbDFtgW"
    "8xcGFyIXXBeHF8AX9RgvGEcYixjCGPcZFhlMGWUZkRnVGfkaJRpZGooaqRrOGwsbPBt5G6Mb2RwTHEIcZhx-HKQczhz8HTYdTR1uHZEd0h3rHgseIx5BHmgelR67HvEfLh9XH5cfxx_X"
    "H_8gKyBgIHcglCC0INEg6SD7IQ0hWiFzIZIhqiHIIewiFiI4ImYiniLEIvgjKSNgI4wjtCPMI9Yj4CP0JAgkHCQoJDQkViRtJH0kkSSlJLUk7ST6JQ4lUSV1JYcluyXXJfQmCCZAJkAm"
    "SCZ5Jqom0ybuJxgnJCcwJzwnSCdUJ2AnbCd4J4QnkCecJ6gntCfAJ8wn2CfkJ_An_CgIKBQoICgsKDgoRChQKFwoaChzKH4oiSiVKKEorSi5KMQozyjaKOUo8Sj9KQgpFCkgKSspNilC"
    "KU4pWillKXApfCmHKZMpnimqKbUp4yovKjsqRypTKl4qaip2KoIqjSqZKqUqsSq8Ksgq0yrfKusrFitaK2YrcSt9K4grlCufK6srtyvDK88r2yvnK_Mr_ywLLBcsIywvLDosRSxRLF0s"
    "aSx1LIEsjSyZLKUssSy9LMks1SzhLO0s-S0FLREtHS0pLTUtQC1MLVgtYy1vLXsthy2TLZ8tqy23LcMtzy3aLeYt8i3-LgkuFS4hLi0uOC5ELlAuXC5oLnQufy6LLpYuoi6uLrouxi7S"
    "Lt4vEC9CL04vWi9mL3EvfS-JL5UvoS-tL7kvxC_PL9sv5y_zL_8wCzAXMCMwKzAzMDswQzBLMFMwWzBjMGswczB7MIMwizCTMJ8wqzC3MMMwzzDaMOUw7TD1MP0xBTENMRkxJDEwMTwx"
    "SDFUMWAxmjGiMa4xtjG-Mcox1jHeMeYx7jH2MgIyCjISMhoyIjIqMjIyOjJCMkoyUjJeMmYybjKZMqEyqTK0MsAyyDLQMtwy5DLwMvszBzMTMx8zKwAFAGQAAAMoBbAAAwAGAAkADAAP"
    "AAAzESERCQIDAREFEQEDIQFkAsT9mgECAQHlARL9qAEM5AID_v8FsPpQBXr9ogJe_V79fAUIDPsQAnj9XgJeAAACAJD_8gGjBbAAAwANAAABAyMDAzQ2MhYVFAYiJgGXGNEYBkiCSUmC"
    "SAWw-_0EA_rEOEtLODdLSwAAAgBlA_UCQQYAAAQACQAAAQMjETMFAyMRMwEUJIuvAS0ki68FeP59AguI_n0CCwAAAgBhAAAEvQWwABsAHwAAIRMjAyMTIzUhEyM1IRMzAzMTMwMzFSMD"
    "MxUjAwEzEyMChEzgTadN6AEFO_QBEU6nTuFNqE7Q7Tvd-k3-4uE64AGa_mYBmp4BOZ8BoP5gAaD-YJ_-x57-ZgI4ATkAAQBl_ywEJgacACsAAAEUBgcVIzUmJjUzFBYzMjY1NCYnJiY1"
    "NDY3NTMVFhYVIzQmIyIGFRQWFxYWBCbUs5-f_POaWXF3cIfD3Myrn6rC8m5jamJojcHgAX-vzRTDwxHS6ppvb1tVci5Dxbip0xPb3Rjwyn6ScVlUazNGwwAABQBk_-sFiQXFAAwAGQAd"
    "ACoANwAAEzQ2MzIWFRUUBiAmNTMUFjMyNjU1NCYiBhUlAScBAzQ2MzIWFRUUBiAmNTMUFjMyNTU0JiMiBhVkoZOVoJ_-2KKpRkdGQ0WMRQOF_Tl9Asf1opKVoJ_-2KKpSUSKRUdGRQSY"
    "fLGxfE16sbF6O15dPE09Xl49R_uOSQRy_D17sbF7TnuxsXs8Xqk_PF5ePAADAFb_7AURBcQAHQApADMAACEnBiMiJDU0NjcmJjU0NjMyFhUUBgcHATY1MxAHFwEUFzc2NjU0JiMiBgMU"
    "FjMyNwEHBgYD91Kd1tz_AJh4RVLSrabFbVhjARg9037W_KJnVz82UElNTWp8dHpr_sMfUShhdem1gK1VV5xUrcTCgmiYQEj-s3mS_u-n_gRYU387KVA9NFZk_PVgg1IBdxY_bwABAFMD"
    "_AELBgAABAAAAQMjETMBCxmfuAWD_nkCBAABAIH-MQKjBl8AEAAAExASEjcXBgIDFRASFwcmAgKBpOdnMHDTAtRxMGfnpAJQASEBrQEOM45V_lP-kyT-iP5NW4czAQ4BrAABACj-MQJS"
    "Bl8AEQAAARACAgcnNhIRNTQCJic3FhISAlKm7GgwcdRol0YwaOymAkD-5P5S_u4zh1YBuAF4FPoBauk5hzP-7v5TAAEAHAJOA3UFsQAOAAATEyU3BQMzAyUXBRMHAwN-zv7QNgEvD7MP"
    "ASk2_srIkbWxArwBEFiqdgFZ_qFzq1j-9WkBIP7oAAABAEUAkgQrBLYACwAAASERIxEhNSERMxEhBCv-g-v-ggF-6wF9AkT-TgGy3QGV_msAAAEAHf64AV0A6wAJAAAlFRQGByc2NjU1"
    "AV1nVoMqPOusZtpHTUOQXrUAAAEARwIKAlQCzQADAAABFSE1AlT98wLNw8MAAQCI__QBowEBAAcAADY2MhYUBiImiEqGS0uGSrNOTnJNTQAAAQAC_4MC_wWwAAMAAAEBIwEC__3DwAI-"
    "BbD50wYtAAACAGn_7AQiBcQADQAaAAABEAAjIgADERAAMzIAEyc0JiMiBgcRFBYyNjcEIv792NP--QQBBtbXAQUB8npxbnoBe-B4AQJm_qb-4AEYAU0BAAFbARj-6v6pH9yvrNf-xd23"
    "tNgAAQCoAAADAAW1AAYAAAERIxEFNSUDAPP-mwI5BbX6SwSSes3QAAABAFEAAARBBcQAGAAAJRUhNQE2NjU0JiMiBhUjNAAzMhYVFAIHAQRB_CwB2nhWcWh8fPMBAuza76OC_rnDw6gC"
    "BIWfSmSDl3W_ARDatob-_Yr-ogABAFD_7AQWBcQAJgAAATUzMjY1NCMiBhUjNCQzMgQVFAYHFhYVFAQjIiQ1MxQWMzI2NTQhAYePfXvdYYDyAQXK0QECb3GGcP7o0b3-4POCbHGB_uoC"
    "h8B9YttuXq3i0c1WsTMtu2zN39DLYHh5cO8AAgA1AAAEWQWwAAoADgAAEwEzETMVIxEjESE3IREHNQJ0-ra28_2L-AF9EQHYA9j8WMP-uwFFwwJdHgAAAQCB_-wEOgWwABwAAAEnEyEV"
    "IQM2MzISFRQCIyIkJzMWMzI2NTQmIyIGAXDBTgMO_bwnZn3P6Ozztv7pDewc0nZ3hH9VWAKiMALe0f6kOf7548r-5NPL26eDfaIxAAIAdv_sBDcFtwAVACIAAAEUAiMiABE1NBIkITMV"
    "IwYGBzYzMhIFFBYzMjY1NCYjIgYHBDf34dz-84wBPAEHHBno3xNyuNXK_TKQY259d3NVgxwB3dH-4AFDAQhP2AF05cgC9a15_teJr7OmgXmxYEQAAAEARgAABDcFsAAGAAABFQEhASE1"
    "BDf9uv8AAkb9DwWwhvrWBO3DAAADAGn_7AQjBcQAFQAhACwAAAEUBCAkNTQ2NyYmNTQ2IBYVFAYHFhYBNCYjIgYVFBYzMjYTNCYjIgYVFBYyNgQj_u_-av7tf2xebfsBhPtuXmyA_u1t"
    "XVxubV5dbCCBamt-ftp8AY3L1tfKebgxMKhqwdLSwWqoMDK3AiJgeXVkYnh4_dRshYVsbn19AAIAXv_5BBMFxAAVACIAAAEUAgQhIzUzNjY3BiMiAjU0EjMyEhUlFBYzMjY3NTQmIyIG"
    "BBN9_sj-5xQf_McMeqTUz_bg8O_9O3F1T38fj19teAMl0v6N58oD7LCBASfA0gEq_qHxW3e5W0Nfr7WzAP__AIL_9AGdBFIAJgAP-gAABwAP__oDUf__AC_-uAGIBFIAJwAP_-UDUQAG"
    "AA0SAAABAD8ApQOFBE4ABgAAJQE1ARUFBQOF_LoDRv2xAk-lAXTBAXTy5OEAAgCRAWQD8APWAAMABwAAARUhNQEVITUD8PyhA1_8oQPWycn-WMrKAAEAgQClA-AETgAGAAATARUBNSUl"
    "gQNf_KECav2WBE7-jcL-jO_o5AACADz_9AOYBcQAFwAhAAABIz4DNTQjIgYHIzY2MzIWFRQGBwYGAzQ2MhYVFAYiJgJB4wI_2C62SHcB8wL6t8ngWKQ1JfVJgklJgkkBrYeZ1Fw8wVVg"
    "vcLMtmWhnTN2_oA4S0s4N0tLAAIAU_47BtwFkQAwADoAAAEGBiMgABMSEiQzIAADDgIjIicGIyImNxIAMzIWFwMGFjMyNjcSACEgAAMCACEyNwECMzI2NxMmIyIE8UfRXv58_lwRDNoB"
    "fP8BgQGWEQVXt5a1PGidlJUTGgECo3GAOzMLTy5sfAYQ_tL-sf7K_pcPEQFGATfBiv4PGacrZSQtLjLp_pQtLAHnAbUBEQGw-f4R_mSB-KKamfTHAQQBM0Ar_cx7SuSlAWABmP49_p_-"
    "j_5tSQKL_utPYgHuEgAAAgASAAAFQwWwAAcACgAAMwEzASEDIQMTIQMSAibjAij--Hf9zHa9AafUBbD6UAFU_qwCHwJeAAADAJUAAASjBbAADgAWAB4AAAEUBCMhESEyBBUUBgcWFgER"
    "MzI2NTQnATQnIREhMjYEo_7z6_3qAfLuAQxsaH15_O74d4TxARTj_s0BGnyAAanR2AWwvsxjoSshuwLK_mdrYcgF_MXgB_45fAABAGb_7ATsBcQAGwAAATMGACEgABE1EAAhIAAXIyYm"
    "IyIGBxUUEjMyNgPv_BP-5f70_vP-wgFEARMBBQEUFvwQh5ysqwGbsaOJAdrU_uYBdgE7dgE6AXf-5dqLnvvjfdr-9ZYAAgCVAAAE0gWwAAkAEwAAMxEhIAARFRAAIQMRMzISNzU0JiOV"
    "Aa0BJAFs_pP-0qamzNACz8QFsP6H_sVJ_sX-iATl--UBAOFT7PsAAAEAlQAABE0FsAALAAAzESEVIREhFSERIRWVA7H9SwJW_aoCvAWwy_5tx_4_ygABAJUAAAQxBbAACQAAMxEhFSER"
    "IRUhEZUDnP1gAkr9tgWwy_5Oyv2XAAABAGr_7ATwBcQAHwAAAREGBiMgABE1EAAhIAAXIyYmIyIGBxUUEjMyNjcRITUE8C729P7t_qUBPgEaAQsBCRr4E4uUsKsCyK-Ddxr-1QLr_dM-"
    "lAFuAU5fAU4Bb_76y3GV_uhr8P7-PBwBHr8AAAEAlQAABRkFsAALAAAhESERIxEzESERMxEEHP11_PwCi_0CiP14BbD9ogJe-lAAAAEApAAAAaAFsAADAAABESMRAaD8BbD6UAWwAAAB"
    "AC3_7APlBbAADwAAATMRFAQjIiQ1MxQWMzI2NQLp_P7xzc_-8_18Y2J-BbD8BNru1d9-bIN7AAEAlQAABRgFsAAMAAAhAQcRIxEzETcBIQEBA-z-S6b8_I0BqgEy_eMCOwJ2sP46BbD9"
    "VK4B_v18_NQAAAEAlQAABCcFsAAFAAAlFSERMxEEJ_xu_MrKBbD7GgAAAQCVAAAGawWwAA4AAAEBIREjERMBIwETESMRIQOAAaMBSPwY_lO1_lMZ_AFHAVQEXPpQAeACgPugBGH9f_4g"
    "BbAAAQCVAAAFGAWwAAkAAAERIwERIxEzAREFGP39dvz8AowFsPpQBAn79wWw-_QEDAAAAgBm_-wFHwXEAA0AGwAAARAAISAAETUQACEgABEnNAIjIgIVFRQSMzISNQUf_rX-8P72_qwB"
    "UgEKARABTf26pqK9v6KotgKz_rT-hQF7AUxJAUwBfP6E_rQC9QEA_wD1S_X-_gEC9QACAJUAAATUBbAACgATAAABESMRITIAFRQEIwERITI2NTQmIwGR_AIt_QEV_uv9_s8BMZOBgZMC"
    "Hf3jBbD--snT8QLI_gOKbWagAAIAYP8EBRsFxAASACAAAAUHJQYjIAARNRAAISAAERUUAgcDNAIjIgIVFRQSMzISNQUbpf7LP0T-9v6sAVIBCgEQAU2EdQS5p6K8vqKotmmT9Q0BewFM"
    "SQFMAXz-hP60Sc7-z1kCo_UBAP8A9Uv1_v4BAvUAAgCVAAAE3gWwAA4AFwAAIQEhESMRITIEFRQGBwEVAREhMjY1NCYnA9D-3P7l_AIA-wESjn0BR_yzAQSIiYCNAjH9zwWw4NeSxjT9"
    "oA0E5f4XiWhwhwEAAAEASv_sBIoFxAAlAAABNCYkJDU0JDMyABUjNCYjIgYVFBYXFhYVFAQjIiQmNTMUFjMyNgONc_5h_v0BHef3ARb8ho6Ff5iZ9-3-5-2M_vup_beGhIUBeFZqgcmv"
    "sOP--bZriXNWUmstSNiuuNZmzJqKemwAAQAtAAAEsAWwAAcAABM1IRUhESMRLQSD_jv8BOXLy_sbBOUAAQB-_-wEvgWwABEAAAEzERQEIyIkNREzERQWMzI2NQPB_f7C4-n-yvufhYed"
    "BbD8M_r9_foDzfwznJGRnAABABIAAAUdBbAABgAAAQEjASEBAQUd_fT1_fYBFQFvAXEFsPpQBbD7jgRyAAEAMQAABuUFsAAMAAABASMBASMBMxMBMwETBuX-sfP-6_7l8v6w--IBFtQB"
    "E98FsPpQBCb72gWw-70EQ_u5BEcAAAEAKQAABOoFsAALAAAJAiEBASEBASEBAQFYATIBMQEk_kgBw_7Z_sf-xv7ZAcP-SAWw_fICDv0u_SICF_3pAt4C0gAAAQAIAAAE1gWwAAgAAAkC"
    "IQERIxEBASEBTgFPARj-GP7-GAWw_U8Csfxo_egCGAOYAAABAFAAAASMBbAACQAAEzUhFQEhFSE1AVYEHv0OAwr7xALyBOXLoPu6yqQEQQAAAQCE_rsCHQaPAAcAAAEVIxEzFSERAh2m"
    "pv5nBo---ai-B9QAAQAU_4MDZAWwAAMAAAUBMwECdP2g8AJgfQYt-dMAAQAN_rsBpgaPAAcAABM1IREhNTMRDQGZ_memBdG--Cy-BlgAAQA1AtkDNgWwAAYAABMBMwEjAwM1ASusASrO"
    "srIC2QLX_SkBz_4xAAEAA_9AA5kAAAADAAAhFSE1A5n8asDAAAEAMQTSAgoGAAADAAABEyMBAUbEyv7xBgD-0gEuAAIAW__sA_wETgAdACYAACEmJwYjIiY1NCQzMzU0JiMiBhUjNDYz"
    "MhYVERQXFSQ2NzUjBhUUFgMEEgpzqqLOAQLqmV9fV2fy8c227Sn-UXoZlP9YJUF6uoqtuEdVZVY-gMy6uv4gklcRr1ExzAavQVgAAAIAff_sBDIGAAAPABoAAAEUAiMiJwcjETMRNjMy"
    "EhUBIgcRFjMyNjU0JgQy1869bAvc8mqy0db-G5tDRJyHamgCEu_-yYp2BgD90nz-zfQBYYz-RI3Kqo_SAAEAUP_sA_UETgAbAAAlMjY3MwYGIyICNTU0EjMyFhcjJiYjIgYVFRQWAjpY"
    "egXkBf-1-vLz-cTwBeQFcGOUY2KvZ1Cd3QFA3yTeAUHks1d924Ekg9kAAgBQ_-wEBAYAAA8AGwAAIScGIyICNTU0EjMyFxEzEQEUFjMyNxEmIyIGFQMnC2y3w-blxqxq8_0-coOVRUSU"
    "hHNwhAE57BX3ATF3Ain6AAIRkc2GAc2C0JIAAgBU_-wEDAROABQAHAAAJQYGIyIANTUQADMyEhUVIRYWMzI3ASIGByE1JiYD-jTLovH-7AEbzuzj_T0KlYCnaP7GZHoSAc4FYLhMgAEs"
    "3ykBAAEu_tTqZ32lhgJWjHwSX5cAAAEALQAAAtcGFQAUAAABIxEjESM1MzU0NjMyFwcmIyIHFTMCodv0paXMsENGBio0qwLbA4f8eQOHs2e1vxK-CKhrAAIAUv5WBA0ETgAaACYAAAEi"
    "Jic3FjMyNjU1BiMiAic1NBIzMhc3MxEUBAEUFjMyNxEmIyIGFQIiWfRIc3KieY1qrsboAunJumkK3P7v_kl4g5ZEQ5WEef5WUWKRhYV_SXYBNegd9wExf2v75NvtA7uRzYAB2XzQkgAA"
    "AQB6AAAD-QYAABEAAAEiBxEjETMRNjMyFhcRIxE0JgJHk0jy8na3n8AB82IDiIP8-wYA_cOLttr9QgK7cVwAAAIAfQAAAZEF1QAHAAsAABI2MhYUBiImBREjEX1JgklJgkkBAvMFjElJ"
    "cElJ4vvGBDoAAv-0_ksBhgXVAAcAEwAAEjYyFhQGIiYXMxEQISInNRYzMjVySYJJSYJJFfP-vEQ-Lip7BYxJSXBJSeL7Zv6rEb8IjQABAH0AAAQ3BgAADAAAIQEHESMRMxE3ASEBAQMe"
    "_r9t8_NNASsBJP5tAb4B0nD-ngYA_IpgAVD-Pv2IAAABAIwAAAF_BgAAAwAAAREjEQF_8wYA-gAGAAAAAQB9AAAGegROAB4AAAEiBxEjETMXNjMyFzYzMhYXESMRNCYjIgYHESMRNCYC"
    "P5M98uQHc8bXUXfWpb4B82laU2kU82gDiHj88AQ6cYWlpbjU_T4CvnhSWkj9GgK8cloAAQB6AAAD-QROABEAAAEiBxEjETMXNjMyFhcRIxE0JgJHkUnz5Qh3wpy8AfNhA4iE_PwEOnyQ"
    "tNn9PwK-cFoAAAIAUP_sBD4ETgANABsAABM0ADMyABcVFAAjIgA1MxQWMzI2NTU0JiMiBhVQAQrs6wEJBP737e7-9vJ9iYZ9fYiHfQIn6wE8_szmIuz-xgE67JLR0ZIVj9XVjwAAAgB9"
    "_mAEMQROAA8AGwAABSInESMRMxc2MzISFRUUAgEiBxEWMzI2NTU0JgKMsWzy3wptt87Z2v7vlkFDloJ0dRR1_f8F2m2B_tD4FOz-xgOcff4jf9ORFJLPAAACAFD-YAQDBE4ADwAbAAAB"
    "ESMRBiMiAjU1NBIzMhc3ARQWMzI3ESYjIgYVBAPzaqrK4uDOtGsN_hh0g5JFRo-DdgQ6-iYB_XEBOu0U9wEwfmr92JHSfAHqdtORAAEAfQAAArUETgANAAABIgcRIxEzFzYzMhcHJgJR"
    "qTny6AZWnjElAjIDZID9HAQ6eo4N5QgAAAEATP_sA8oETgAlAAABNCYnJiY1NDYzMhYVIzQmIyIGFRQWFxYWFRQGIyImNTMWFjMyNgLcVY6w2eDBy-fzYF9cWFiGvNPux9_q7ASLUGBl"
    "ASY0TR4lk4mFw8aSP2NSNjRAHSmRkZC45IZkUEoAAQAI_-wCcwVBABUAACUGIyImNREjNTMRMxEzFSMRFBYzMjcCc0ZaeZ-zs_K_vz8yKisEGImnAmuzAQf--bP9o0krCgABAHf_7AP3"
    "BDoAEQAAIScGIyImJxEzERQWMzI3ETMRAxIGasaexgHzZ0WuQPNqfrrVAr_9Q3VVfQMK-8YAAAEAFwAAA9sEOgAGAAABASMBMxMTA9v-idP-hvvq5AQ6-8YEOvz7AwUAAAEAIgAABc0E"
    "OgAMAAABASMDAyMBMxMTMxMTBc3-2Mjo5Mf-2O2v3bjhrAQ6-8YC5v0aBDr9HgLi_RQC7AAAAQAfAAAD6QQ6AAsAAAETEyEBASEDAyEBAQE4ys4BDf62AVb-89jX_vIBVv62BDr-nAFk"
    "_ez92gFy_o4CJgIUAAEADP5LA9cEOgARAAAFDgIjIic1FzI2NzcBIRMTIQIoFkyFaDFELlpeGyP-hAEH5dwBA6Q7flgRvANBUV4ENf0hAt8AAQBSAAADwAQ6AAkAABM1IRUBIRUhNQFd"
    "A0791gI__JICJgN2xJn9IsOfAtcAAAEAOP6YApIGPQAaAAATNTI1NTQ2NxcGBhUVFAcWFRUUFhcHJiY1NTQ4wprOMGhMrKxMaDDOmgISsuLGnvk6jCOwcsLlWlrlwnKwI406-p7G4gAB"
    "AK7-8gFWBbAAAwAAAREjEQFWqAWw-UIGvgAAAQAc_pgCdgY9ABoAAAEVIhUVFAYHJzY2NTU0NyY1NTQmJzcWFhUVFAJ2wpnPMGhLtrZLaDDPmQLEsuLGnvo6jSOwcsPoVlbow3KwI4w6"
    "-Z7G4gAAAQB2AYQE3AMwABcAAAE3FAYjIi4CIyIGFSM0NjMyFhcWMzI2BCG7u5BOe5dEJkNNwbmRU4hHXkpDVAMSAa3iOYYiaFSv2EZBWm4AAAIAhv6TAZoETQAHAAsAAAAGIiY0NjIW"
    "ARMzEwGaSYJJSYJJ_vkX0RgDlExMbktL-pEEA_v9AAEAZf8LBAsFJgAhAAABBgYHFSM1JgI1NTQSNzUzFRYWFyMmJiMiBhUVFBYzMjY3BAsFxJLIxL-_xMicugXlBHBklGJhlll6BAFm"
    "iM0c6uojAS3GJMUBLiPh4BvXnVd924Ekg9lnUAAAAQBfAAAEfAXEACAAADM1MzY2NScjNTMnNDYzMhYVIzQmIyIGFRchFSEXFAchFWNRMiEGopsI_8bQ4_V5T1BvCQE3_tAHQQK4yg2J"
    "PrnH8c_m3rVuWnhy8cexiFTKAAIAXf_lBU8E8QAbACUAACUHJwYjIicHJzcmNTQ3JzcXNjMyFzcXBxYVFAckEjMyEhACIyICBU-Og5_Lyp-BjYhlbZCNjpvBwpuQjpNqYvx276uq7--q"
    "q-92kYeAfoSQip3DzKGTkJFzdZSRlqHJwJ2l_v4BAgFwAQH-_wABAAwAAAQ1BbAAFgAAASERIxEhNSE1ITUzASEBASEBMxUhFSEDyv7R_P7MATT-zPf-qgEQAQYBBQEO_qrr_tEBLwEt"
    "_tMBLZeKmALK_aACYP02mIoAAAIAif7yAW4FsAADAAcAAAERIxETIxEzAW7l5eXlBbD9CgL2-UIDGwACAFr-JQSNBcUALgA7AAAFFAQjIiYmNTcUFjMyNjU0JicmJjU0NyY1NCQzMgQV"
    "IzQmIyIGFRQWFxYWFRQHFiU2NTQmJCcGFRQWFxYEaf7t5YX1nfO8aH6HiLnd-qqGARTm7AEP84aCiX6AvuP3qob-wnF2_qUPa4nGUWiywU65ogGFYWFMT1o3O7W5uFlnt6rN3s9hiWlJ"
    "V1YzPbO5uFhnwy92S19rBip7XFw3FwACAF4E4AMkBc0ABwARAAASNjIWFAYiJiU0NjIWFRQGIiZeRHRFRXREAclDdkREdkMFiEVFZENDMTJFRTIxREQAAwBX_-sF4wXEAA0AGwA3AAAS"
    "EiQzMgQSEAIEIyIkAjcUEgQzMiQSEAIkIyIAATMUBiMiJjU1NDYzMhYVIzQmIyIGFRUUFjMyNlfAAULEwwFDwMD-vcPE_r7Aep8BCqOiAQuenv71ovb-qgLxnLSboby8oZu1nFtZYGJi"
    "YFlaA6wBU8XF_q3-Wv6sx8cBVNOx_uWlpQEbAWIBGaT-l_52npzWrXes15ydYFKNbnhwjFEAAAIAjgK0AxIFxQAZACMAAAEmJwYjIiY1NCUzNTQjIhUnNDYzMhYVERQXJTI2NzUjIgYV"
    "FAJhCwZNfHiBAUR3dIqtqo2DoBr-oChUG2VXUALCICRSfGjhBjN_Yw5lhIuJ_sZmT4IlGYhCLFgA__8AVgCLA4YDqgAmAP3qAAAHAP0BUgAAAAEAfwF2A8IDJQAFAAATIREjESF_A0PI"
    "_YUDJf5RAQQABABX_-sF4wXEAA0AGwAxADoAABISJDMyBBIQAgQjIiQCNxQSBDMyJBIQAiQjIgABESMRITIWFRQHFhYUFhcVIyYmNCYjAxUzNjY1NCYjV8ABQsTDAUPAwP69w8T-vsB6"
    "nwEKo6IBC56e_vWi9v6qAbyXARmVsHdANAcKmwoDSEeekEBhTmEDrAFTxcX-rf5a_qzHxwFU07H-5aWlARsBYgEZpP6X_q_-rwNSgoF1QB1uo0YWEBpgkkUBfPYBOjlJOQABAJwFDANK"
    "BaoAAwAAARUhNQNK_VIFqp6eAAIAfwOvAowFxQAJABMAABI2MzIWFAYjIiY3FBYyNjU0JiIGf5xta5mZa22ci0tmRkZmSwUmn5_cm5tuNUdHNTdJSQAAAgBfAAED8wT8AAsADwAAASER"
    "IxEhNSERMxEhAxUhNQPz_qnX_poBZtcBVyX8sAK8_nwBhMcBef6H_ULExAABADwCmwKyBbsAFQAAARUhNQE2NTQjIgYVIzQ2IBYVFAYHBwKy_ZwBHnFqQDy7ogEcnmdhkQMwlX4BBmdB"
    "X0Yxbp6BclKAUXUAAAEANwKQAqkFuwAkAAABNTM2NTQmIyIGFSM0NjMyFhUUBxYVFAYjIiY1MxQWMzI2NTQnAQ1ceDY-L0G6rXmJqoeUt4lxwbtFOz8-hgPtgAJfIzUoImp1c253MymP"
    "b3lwgCU2OCpkAgAAAQBxBNICSQYAAAMAABMTIQFxwwEV_usE0gEu_tIAAQCT_mAEHwQ6ABIAAAUiJxEjETMRFhYzMjcRMxEjJwYCSnlM8vIBb1SoPPLeB1oVOP49Bdr9ja5qegMR-8ZX"
    "bAAAAQBGAAADVgWwAAkAACEjESMmAhASMyEDVtFa6vv-7gEkAggCAQkBkgELAAABAI4CRgGqA1IACwAAEzQ2MzIWFRQGIyImjkpEQ0tLQ0RKAss5Tk45OE1NAAEAbv5AAckABAAOAAA3"
    "MwcWFhUUBiMnMjU0JieNsgw4XqWhB4hGUAQ3Ck1WZHyKWS0iBgABAIECmwIDBa8ABgAAAREjEQc1JQIDusgBbwWv_OwCOzGTdwACAHcCswMsBcUADQAbAAATNDYzMhYVFRQGIyImNTMU"
    "FjMyNjU1NCYjIgYVd7ufobq5oKG7r1VYVVVVV1ZVBGKbyMibTZvHx5tZd3dZTVh3d1j__wBeAIoDmgOpACYA_gkAAAcA_gF-AAD__wBZAAAFhAWsACcBBf_YApgAJwD_ARsACAAHAQcC"
    "xQAA__8AUAAABcwFrwAnAP8A8AAIACcBBf_PApsABwEEAxoAAP__AGcAAAX9BbsAJwD_AagACAAnAQcDPgAAAAcBBgAwApsAAgBD_n4DpQROAAcAHwAAAAYiJjQ2MhYDMw4DFRQzMjY3"
    "MwYGIyImNTQ2NzY2AotJgklJgkn44wFA1Cu6S3YB8wL5t83jm1s2IwOUS0twSkr-koeW2lw-vVhgvMbJuoXGWDRzAAL_9gAAB1cFsAAPABIAACUVIQMhAyEBIRUhEyEVIRMBIQMHV_x_"
    "Dv4IuP7eA0MD4f15EQIl_eQT_YQBexvExAFV_qsFsMT-Z8T-NQFnAooAAQBNANcD7ASGAAsAAAEHAQEnAQE3AQEXAQPslP7E_sWUATz-xJQBOwE8lP7EAWyVAUL-vpUBQgFDlf6-AUKV"
    "_r0AAwBq_6EFIgXuABYAHwAoAAAFIicHIzcmAjU1EAAhMhc3MwcWERUQAAEUFwEmIyICFSE0JwEWMzISNQLIpoNbqJBbZwFRAQvDkFenk57-tf2QRwH2VoijvAK-LP4YTWqnthRLlu5c"
    "ARWzSQFMAXxlj_LA_sBJ_rT-hQLHz4ADOlX_APWmc_zbNgEC9QACAJUAAAR_BbAADAAVAAABESMRMxEzFgQVFAQjAxEzMjY1NCYjAYjz8_31AQX-9_n19ZF-fpEBLP7UBbD-6QL5vL74"
    "Aqr-GZVcXpgAAQCI_-wEnAYWACwAACEjETQ2MzIWFRQGBhUUHgIVFAYjIiYnNxYWMzI2NTQuAjU0NjY1NCYjIgcBevLvxavnPDtigmHfwFCqJzEgfEZhWWKAYj8_YUu6AwRS4OSvtWdw"
    "W0c8YWiFX7C0JhrDEy1WQ0JhYoNkU2plTFZb-gAAAwBI_-sGhQRPACkAMQA8AAAlBgYjIicGBiMiJjU0NjMzNTQmIyIGFSc0NjMyFzYXMhIVFSEWFjMyNjcBIgYHITU0JgEyNjc1IyIG"
    "FRQWBm4oyJf8jTXNnLbC8Oi-XlhfcPL3y-JtgsnY6v1ICY2ScYs1_p1reA8Bw2D8vD-EK7xydVhkIFmiPmS1mJ6tRlpoXD8TkLuEhQH--OKNfqs9HwKBlXMdY4j9Gj0o0mZCPlEAAAIA"
    "aP_sBEEGLAAbACkAAAEQACMiADU0EjMyFyYnByc3Jic3Fhc3FwcWEhUFFBYzMjY1NScmJiMiBgRB_ufX2f7w-MuTcDR7zU6tfaRL7rK0TZl3h_0Zg3h3ggEbdVp_igIr_wD-wQEczOQB"
    "FVqsd4htc1IpwzGHd21me_6wy65wtdGdZyQqP6oAAAMARACTBDgEzQAJAA0AFwAAATQ2MhYVFAYiJgUVITUBNDYyFhUUBiImAbNLhktLhksChfwMAW9LhktLhksERzpMTDo4S0v01NT9"
    "_DlMTDk4TEwAAAMAUP92BD4EvAAVAB4AJwAABSInByM3JgM1NAAzMhc3MwcWExUUAAEUFwEmIyIGFSE0JwEWMzI2NQJIY1RJkGbLAwEK7GlZR5BmwQT-9_4NQQErLjqHfQIJOv7ZKzOG"
    "fRQelNCUAS8e6wE8IpDPlf7bIez-xgImoF4CYRbVj5Re_acR0ZIAAgCD_mAENwYAAA8AGwAABSInESMRMxE2MzISFRUUAgEiBxEWMzI2NTU0JgKSsGzz82uvztna_u-VQUOVgnR1FHT-"
    "AAeg_dh2_tD4FOz-xgOce_4ffdORFJLPAAACAFD_7ASzBgAAFwAjAAAhJwYjIgI1NTQSMzIXNSM1MzUzFTMVIxEBFBYzMjcRJiMiBhUDJwtst8Pm5casavz886-v_T5yg5VFRJSEc3CE"
    "ATnsFfcBMXfxq42Nq_s4AhGRzYYBzYLQkgAAAgAgAAAFngWwABMAFwAAIREhESMRIzUzETMRIREzETMVIxEBITUhBCP9df17e_0Ci_x_f_x5Aov9dQKI_XgEDaEBAv7-AQL-_qH78wNS"
    "uwABAJAAAAGDBDoAAwAAAREjEQGD8wQ6-8YEOgAAAQCOAAAEawQ6AAwAACEBIxEjETMRMwEhAQEDNv64bfPzVAFQAS3-YQG4Aa3-UwQ6_lEBr_30_dIAAAEAIgAABDYFsAANAAAlFSER"
    "BzU3ETMRNxUHEQQ2_G-Dg_zr68rKAokokygClP24R5NH_fUAAAEAIgAAAi8GAAALAAABBxEjEQc1NxEzETcCL5TzhobzlAMdNf0YApIwkjAC3P16NQAAAQCQ_ksFCQWwABMAADMRMwER"
    "MxEUBiMiJzcWMzI3NQERkPwCgP2_qEY8Dio5eAP9gAWw--wEFPoXucMRxw2pQQQX--kAAAEAf_5LBAYETgAaAAAFFAYjIic3FjMyNxE0JiMiBxEjETMXNjMyFhcEBrulRToOJj16AWVg"
    "k0ry3g1xxqHDAT-1wRHFDKkC4oJmaPzgBDqWqsTjAAIAZf_rBy0FxQAVACEAACUVIQYjIAARERAAITIXIRUhESEVIREBFBYzMjcRJiMiBhUHLfyesHD-_f69AUEBA3KwA1z9SwJW_ar8"
    "5bicW3BwXZy2ysoVAUwBCQEwAQkBTBXL_m3H_j8BdsjKDgQ4DsnHAAMAW__rBvMETwAhACkANwAAJQYGIyImJwYGIyIANTU0ADMyFhc2NhcyEhUVIRYWMzI2NwEiBgchNTQmARQWMzI2"
    "NTU0JiMiBhUG2DXGkX7EQj_Afe3-_AED7H7CP0C5beLi_VYKh4BrjTf-plx0EQG0Y_uvdoiHdneIh3VsLlNdUlJdATvsFesBPF5SU14B_vLZkHytNyYCgJNvGl-J_oeS0tKTFI_V1Y8A"
    "AQCLAAAClgYVAAwAACEjETQ2MzIXByYjIhUBfvPFrj1bGSoyowShtb8VuQuxAAH_tf5LAZQEOgAMAAATMxEUBiMiJzcWMzI3ofO7pUU6Dic8egEEOvuHtcERvw2wAAEAlQThA0QGAQAI"
    "AAABARUjJwcjNQECMgESw5aWwAEOBgH-6wucnA0BEwAAAQByBOEDNQYCAAgAAAEXNzMVASMBNQFAk5LQ_umW_uoGApubC_7qARcKAAABAHYEzAL7BecADAAAATMUBiAmNTMUFjMyNgJF"
    "tq3-1q62QE1MQAXnfZ6efTdUVAABAIIE4AGIBdUABwAAEjYyFhQGIiaCRXxFRXxFBY5HR2hGRgACAHkEjgI0BioABwARAAASNjIWFAYiJjcUFjI2NTQmIgZ5f7yAgLx_bT5kPz9kPgWw"
    "enqsdnZWLENDLC5ERAAAAQAp_lIBoQA8ABAAACUXBgYVFDMyNxcGIyImNTQ2AR1wRV1HLC4VSVxYe2w8PC1fO0QXjixmY06WAAEAegTbA1gF9QAUAAABFxQGIyImJiMiBhUnNDYzMhYz"
    "MjYCw5WBX0BQSDYmNJZ_YFJvTSY2BfUMb5EsLTkuCG6WWTkAAgBKBNEDVwX_AAMABwAAARMzASETMwMBh-Hv_vb9_a7o3gTRAS7-0gEu_tIAAAEAxwTqAeIGQQADAAATEzMDxzzfiwTq"
    "AVf-qQADAGgE4AO7Bq8AAwALABUAAAETMwMkNjIWFAYiJiU0NjIWFRQGIiYBwC_kgf4WRHRFRXREAlVFdEVFdEUFhgEp_tcCRUVkQ0MxMkVFMjFERAD__wCOAkYBqgNSAgYAdQAAAAEA"
    "mwAABDgFsAAFAAABFSERIxEEOP1f_AWwy_sbBbAAAgAZAAAFoQWwAAMABgAAMwEzASUhARkCVvQCPvvOAuD-mAWw-lDKA70AAwBc_-wFFAXEAA0AGwAfAAABEAAhIAARNRAAISAAEwc0"
    "AiMiAhUVFBIzMhI1JxUhNQUU_rT-8f72_q0BUQEKAQwBTQT9uaeivL6iqLZ0_kACs_60_oUBewFMSQFMAXz-jP67DfUBAP8A9Uv1_v4BAvWJw8MAAAEAIAAABRIFsAAGAAAzATMBIQEB"
    "IAH-9gH-_vD-l_6XBbD6UARE-7wAAAMAbQAABC8FsAADAAcACwAAEzUhFQE1IRUBNSEVeQOa_L0C9_ymA8IE5cvL_aLGxv15ysoAAAEAmwAABRUFsAAHAAABESMRIREjEQUV_f1__AWw"
    "-lAE5fsbBbAAAQBIAAAETQWwAAwAABM1IRUhARUBIRUhNQFIA-H9awGI_ncCuvv7AckFGZfL_f4T_fvLmAJCAAADAEoAAAWvBbAAEQAYAB8AAAEUAAcVIzUmADU0ADc1MxUWAAUUFhcR"
    "BgYFNCYnETY2Ba_-yfz8_v7IATz6_PkBOvuUoZyZpANzopicngLR8_7TCKmpBwEs8_gBMwawsAf-0PqbsAYCrQW2n6C0Bv1TB7IAAAEARAAABV0FsAAWAAABESMRJgARETMRFBYXETMR"
    "JBMRMxEGAANN_Ov-3vyUffwBDQb9A_7eAXb-igF1FwEuAQYB8P4QpL8ZA2z8ky8BQAH-_gb__tgAAQBrAAAE3QXEACIAAAEUEhcVITUzJgI1NRAAIAARFRQCBzMVITU2Ejc1NCYjIgYV"
    "AXmGcP4I12Z9ATsB-gE9fGXT_hBsggKhi4mhAu76_vgc0MxhASGgZAEVAV3-o_7rZKD-4GLM0B0BA-520NTU0AAAAgBW_-sEegROABYAIQAAJQYjIicGIyICNTU0EjMyFzczERYzMjcB"
    "FBYzMjcRJiMiBgR6M0yiNWjAytzazrZmFNADRhAK_Oltg4xFRIuEbgofo6MBKOcV_AFDl4P8-nsEAT2MwIcByozgAAIAlv52BGoFxAARACYAAAUiJxEjETQkMzIWFRQHFhEUBgE1MzI2"
    "NTQmIyIGFREWMzI2NTQmIwKnpnjzARS_zfW7-vn-qkpxYmhnX4FamneEdW8UU_43Bam279W1xWVb_vDT5gK5uXRgUH99ZfzhUYxqZ5kAAQAh_l8D9QQ6AAgAAAEBESMRATMTEwP1_o_y"
    "_o_78-wEOvvu_jcB0QQK_QQC_AAAAgBU_-wEOQYhAB4ALAAAEzQ2MzIWFxUmIyIVFBYXBBMVFAAjIgA1NTQ2NycmJhMUFjMyNjU1NCYnIgYV0NK5T3RHmGioSXkBsQn---zu_vq_ggJZ"
    "and7hoR6iXWEfQTqkqUZGcI0cSJUK5r-dCTl_swBMOMTrPogBSmI_X2Oz8-OFHHSF8-LAAEAYf_sBA0ETQAmAAABFSMGFRQWMzI2NTMUBgYjIiQ1NDcmNTQ2MzIEFSM0JiMiBhUUFjMC"
    "99LRdG5revKJ1HLO_vHLuPzOtgEH8nlZbWRiaAJ_rQSRO1tdPXaXSKyauUJNmJqhr5c9Tlc0PEwAAQBh_n4DygWwAB0AABM1IRUBBgYVFBYXFxYWBwYGByc2JzYnJyYmNRABE2EDaf6j"
    "a3RKS2x4ngEBiEN-XgEBglevlAEQ8wTuwpH-W33Tkl9WFh8jUn1SujJkZ0ZBJBcvq5sBFAFEARYAAAEAf_5hBAYETgARAAABIxE0JiMiBxEjETMXNjMyFhcEBvNlYJhF8t4LdsOhwwH-"
    "YQRTd2B7_PAEOoOXr-QAAwB0_-wELQXEAA0AFAAbAAABEAAjIgADNRAAMzIAEwUhNRAjIgMDEDMyEzchBC3-_NfU_vkDAQbW1QEFA_06AdPq2Q8B69gPAf4tAnP-tP7FATUBQ-ABTAE0"
    "_tL-vRsxAZj-nv6x_l8BamEAAQCq__QCYgQ6AA0AABMzAxQWMzI3FQYjIiY1qvMBQDEmL0Ndep4EOvz4SisKuxiJpwABABb_7gRKBfwAFwAABQYjIiYnAwMhAScmIwcnNjMyFhcBFjM3"
    "BEooNmV5Lcr4_vcBglYmUzUDOEpreB8BrCY9IwkJUXMCGP02BBHMWwK1EVVQ-75eAgAAAQBk_nUD1QXEACwAAAEVIwQRFBYXFxYWBwYGByc2NjU0Jy4CNTQ2NyYmNTQkMzIXByYjIgYV"
    "FBYzA0ai_rOaZGqAlgEBiEOEMDOCv9Jwo5BtfAEI3Zp7JYpWhnx_kwOmxwj-7HV7GBkfXXNTuTJkNU4vPyIyYaqXksMuJ49gq8AsvSRfQ1FmAAEALv_0BM8EOgAVAAATNSEVIwMUFjMy"
    "NxUGIyImNREhESMRLgR8nwE_MikrRll6n_608gN9vb39tUorCrsYiacCWfyDA30AAAIAgf5gBDIETgAOABkAAAUiJxEjETQAMzISFRUUAgEWMzIRNCYjIgYVApCya_IBCszr8Nf-GESV"
    "82yDdWgUeP38A-D1ARn-vfwV5_7ZATp3AWCb4dx8AAABAFL-igPqBE4AIAAAATIWFSM0JiMiBhUVFBYEFhcXBgYHJzY2JzQnJiY1NTQSAjm_8uVkaIZukgEuiwcBAYZDfzAtAYLp7vsE"
    "TtbBV33bgSSDmldPaxRTujJlNUwvRR83-9Yk3gFBAAIAU__sBH8EOgAPAB0AAAEUAiMiADU1NAAzIRUhFhYFFBYzMjY1NTQmIyIGFQQt_-rt_vwBA-wCPf71VGX9GXaIg3NyhYd2AenN"
    "_tABOuwV4wEwxELBYZLR0ZMUh8jIhwAAAQBA_-wD7QQ6ABEAABM1IRUhERQWMzI3FwYjIiY1EUADrf6YNSgnNyZPbYOVA3nBwf2xRzAWsC2aqwJIAAABAID_6wQIBDoAFQAAEzMRFBYz"
    "MjY1JgMzFhIVFAIGIyImJ4DzXUR9hQVt8S5FZ9mqveABBDr9bYlw-43rARlc_v2lnv70odTmAAIARf4iBYUEQQAcACUAAAEUBgYHESMRLgI1NBI3FwYGBxQWFxE0NjMyFhYBNjY1JiYj"
    "IhUFhWzzzfPI72p_cZhNRQSGqZ97nuh__dSviwOCfjcCJ4jzpxT-MQHQFq7_j6MBB1OTS8Nch-IiAoR0kJb1_gIe1nuKzUEAAQBQ_iIFfwQ6ABsAAAEUAgYHESMRJgARETMRFhYXETMR"
    "NjY1JgMzFhYFf2r0z_Pz_uTzAp97866MA3HtMEoCRJH-_64U_jIB0B0BJQEeAej-DLq4GgOA_H8g44jdARlZ_QABAGb_6wYuBDoAJgAAATMRFhYzMjY1JgMzFhIVFAIGIyInBiMiJgI1"
    "NBI3MwIHFBYzMjY1As37AWtPZ1IHhvE4Vk-3m-dcXOebt09VOfGFB1FnT20DJv61pYjsnO8BFVz-_aWe_vSh39-hAQyepQEDXP7p7ZruiqkAAAEAI__xBbwFsAAZAAATNSEVIRE2MzIE"
    "FRQCIScyNjUmJiMiBxEjESMEbv4SlHL1AR74_ukCq2oBj46FevwE5cvL_nMm6N_B_vvBmGR3iCD9cwTlAAEAaf_sBO8FxAAdAAABBgAhIAARNRAAISAAFyMmJiMiBgchFSEWFjMyNjcE"
    "7xT-5P71_vP-wgFDARQBBQEUFvwQhp2krAkB-v4GBp6po4kRAdrV_ucBdQE7dQE8AXf-5dqLn-bRy8r3mIwAAAIALQAACEEFsAAWAB8AAAEhESEWABUUACMhESEDAgIHIzU3NjYTASEy"
    "NjU0JiMhAWIDrAEw8wEQ_u34_dv-QxsWxedKKHtnDwPIASiNg4ON_tgFsP3xAv76ycj--ATl_cv-jP7HA8oECeMBLf3jo2VkoAAAAgCbAAAIRwWwABIAGwAAIREhESMRMxEhETMRIRYE"
    "FRQAIyUhMjY1NCYjIQQY_X_8_AKB_AEt9QER_u33_tcBKY2Cgo3-1wJ7_YUFsP2VAmv90wH6w8X_ANCWYV-TAAEAMQAABcgFsAAVAAATNSEVIRE2MzIEFREjETQmIyIHESMRMQRi_hGH"
    "i_UBHfyKjISO_QTly8v-mxva-f44Aciabhz9TATlAAEAk_6YBQ0FsAALAAAhIREjESERMxEhETMFDf5L_P43_AKB_f6YAWgFsPsaBOYAAAIAkAAABMIFsAAMABUAADMRIRUhESEWBBUU"
    "BCMlITI2NTQmIyGQA539YQEs9gES_uz4_tgBKI2Cgo3-2AWwy_6eAfPJyP7KmWVkjAACACT-mgXcBbAADgAUAAABIREzAyMRIREjAzM2EhMTIREhAwIBjgOWuA3w_EHzCXY2hBRPAnD-"
    "VxgdBbD7Gv3QAWb-mgIwNAEZASf9jAQb_lX-bwABABcAAAecBbAAFQAAIREjASEBASEBMxEzETMBIQEBIQEjEQNhq_6b_sYB1P5LATIBXJ37lwFYATL-TgHR_sb-nqQCdP2MAwgCqP2h"
    "Al_9oQJf_Vn89wJ0_YwAAAEASf_sBH8FxAAnAAABNTMyNjU0JiMiBhUjNCQzMgQVFAYHFhUUBCMiJiY1MxQWMzI2NTQlAb-riniEjmyU_AEtz_ABH3lr-v7L8IHznf2YfI6a_vYCg8d5"
    "YVZ_clu-2tPMY6YwV_3N31i7lVyCgWHlBgAAAQCVAAAFDQWwAAkAAAEBMxEjEQEjETMBkQKA_Pz9gPz8AaMEDfpQBA778gWwAAEALQAABQ4FsAAPAAABIREjESEDAgIHIzU3NjYTAWID"
    "rP3-QxsWxedKKHtnDwWw-lAE5f3L_oz-xwPKBAnjAS0AAAEAOv_rBN4FsAAPAAAFJzcXMjY3NwEhAQEhAQYGAXBnAVVHRScZ_g8BFAFTASQBGf4KNJgVBsgEO2A-BCL9CQL3-1d1pwAD"
    "AE__xAYZBewAFQAeACcAACUVIzUjJgAREAAzMzUzFTMWABEQAAclESMiBhUUFjMBETMyNjU0JiMDr_Me_P6tAVf-GPMc-wFT_q75_u4YqL2-pwELGKa8vKaDv78CAUMBCAEMAUrGxgL-"
    "uP72_vj-vAPKAw_Ru7fMAw_88c-2utAAAQCT_qEFvQWwAAsAACUDIxEhETMRIREzEQW9FOf70fwCgf3N_dQBXwWw-xoE5vsdAAABAI4AAATvBbAAEQAAAREjEQYjIiQ1ETMRFBYzMjcR"
    "BO_9nrT1_uP9iYypqQWw-lACPinZ-QHJ_jebbCkCpwAAAQCZAAAHBAWwAAsAABMzESERMxEhETMRIZn9Ab37Abr8-ZUFsPsaBOb7GgTm-lAAAQCZ_qEHrQWwAA8AACUDIxEhETMRIREz"
    "ESERMxEHrRTd-d39Ab37Abr8w_3eAV8FsPsaBOb7GgTm-xMAAgAYAAAF1AWwAAwAFQAAEzUhESEWBBUUBCMhERMhMjY1NCYjIRgCiAEt9QES_uz3_dr9ASmMg4OM_tcE7cP90wHzycj-"
    "BO373ZllZIwAAwCcAAAGWQWwAAoADgAXAAABFAQjIREzESEWBAERIxEBITI2NTQmIyEEzf7s-P3b_QEs9gESAYz8_DwBKI2Cgo3-2AHGyP4FsP3TAfMDIfpQBbD7GpllZIwAAgCRAAAE"
    "wgWwAAoAEwAAARQEIyERMxEhFgQBITI2NTQmIyEEwv7s-P3b_QEs9gES_MwBKI2Cgo3-2AHGyP4FsP3TAfP-O5llZIwAAAEAa__sBPEFxAAdAAABEAAhIAAnMxYWMzI2NyE1ISYmIyIG"
    "ByM2ACEgABME8f7C_vP-9f7lFPwSiaOonwf9_gICB66knYYR_BcBEwEGARABQgQCnP7F_osBGdWMmPPIy9Tpn4vaARv-kf7LAAIAoP_sBwgFxAATACEAAAEQACEiAAMjESMRMxEzEgAh"
    "IAATBzQCIyICFRUUEjMyEjUHCP60_vH5_rUXtvz8tAoBTgEDAQwBTQT9uaeivb-iqLYCs_60_oUBTAEm_aIFsP1xATwBZ_6M_rsN9QEA_wD1S_X-_gEC9QAAAgAhAAAEXwWwAAwAFQAA"
    "IREhASEBJhE0JDMhEQMRIyIGFRQWMwNj_ub-5_7xAUX-ARv0Aej87IuIiokCIf3fAmx3ARHY5PpQAuQCAYd1eosAAAIAXP_rBD0GEwAZACcAAAEUACMiACc1EAA3NjY1MxQGBwYGBzYz"
    "MhIVASIGFRUUFjMyNjU1NCYEPf797ez-_gMBCtpxc8XIrn6xHpDE2Ov-Dod2domHdnYB9-D-1AEx5lcBfQF8Lhg2RbV8JRuWpJb-5NYBL7V6FYbDw4YVerUAAwCPAAAEOwQ6AA0AFAAb"
    "AAABFAYjIREhMhYVFAcWFgEVMzI1NCcTNCchESEyBDvjzP4DAbjR9Ldzc_1Hyc_K-LT-7gEKvAE1mpsEOpKan0IZiQHu_nuAA_3NhAP-9AAAAQCFAAADTQQ6AAUAAAEVIREjEQNN_ivz"
    "BDrE_IoEOgACACf-vgTGBDoADgAUAAABIREzESMRIREjEzM2NjcTIREhBwIBQALwlvP9S_cBWVRYB2sBnv7vBQwEOvyJ_fsBQv6-AgVeyc3-DAKmtv7FAAEAHgAABlwEOgAVAAAhESMD"
    "IQEBIRMzETMRMxMhAQEhAyMRAsKA-v7WAWj-qwEp9nLydPUBKf6uAWj-0vmBAbP-TQIzAgf-WAGo_lgBqP39_ckBs_5NAAABAE7_7APEBE0AJQAAATUzNjU0JiMiBhUjNDYzMhYVFAcW"
    "FRQGIyImJjUzFBYzMjY1NCcBZ7ucTWJSbPL6r8Tlprn4xG3LgvJuYWRetwHRsASCNFdOPZevoZqZTEG6mqxIl3Y9Xlw7kgIAAQCGAAAEEwQ6AAkAAAEBMxEjEQEjETMBeQGn8_P-WfPz"
    "AWgC0vvGAtL9LgQ6AAEAjwAABGUEOgAMAAAhASMRIxEzETMBIQEBAyr-03vz82wBKgEt_ngBqAGt_lMEOv5RAa_9-v3MAAABACIAAAQUBDoADwAAASERIxEhAwIGByMnNzY2NwEKAwrz"
    "_s8VE6qsTwEnX0QKBDr7xgN2_ov-6-oCywMIwdUAAQCPAAAFbwQ6AAwAAAEBIREjEQEjAREjESEC_wFBAS_y_tWl_tXzATMBKwMP-8YCz_0xAtL9LgQ6AAEAhgAABBEEOgALAAAhESER"
    "IxEzESERMxEDHv5b8_MBpfMBtf5LBDr-PQHD-8YAAAEAhgAABBMEOgAHAAAzESERIxEhEYYDjfP-WQQ6-8YDdvyKAAEAJAAAA9EEOgAHAAATNSEVIREjESQDrf6g8wN5wcH8hwN5AAMA"
    "VP5gBX8GAAAbACYAMQAABSInESMRBiMiAjU1NBIzMhcRMxE2MzISFxUUAgEiBxEWMzI2NTQmARQWMzI3ESYjIgYD9FVC8z1OwcrJxEw980FUw8kByf74LSQkL3hkZf0gXXkrIiEqeV8V"
    "Hv5XAaYbASjnFfwBQxsBzf4vH_7A-hrn_tgDoAz9OQq_opvh_m-MvwoCyArgAAABAIb-vwSmBDoACwAAJQMjESERMxEhETMRBKYU3vzS8wGn88L9_QFBBDr8iQN3_IgAAAEAXwAAA-EE"
    "OwARAAABESMRBiMiJjURMxEUFjMyNxED4fNkY9H382prZWIEOvvGAWoWydIBTP60dmIXAgwAAQCGAAAGBAQ6AAsAABMzESERMxEhETMRIYbzAVPzAVLz-oIEOvyJA3f8iQN3-8YAAQB_"
    "_r8GtQQ6AA8AACUDIxEhETMRIREzESERMxEGtRTd-rvyAVPzAVLzwv39AUEEOvyJA3f8iQN3_IgAAgAfAAAE6wQ6AAwAFAAAEzUhETMWFhUUBiMhERMzMjY0JiMjHwIs8c_g4tH-IPPt"
    "aVdXae0Dd8P-qAHOoZ7UA3f9S2qEcAAAAwCPAAAFygQ6AAoADgAWAAABFAYjIREzETMWFgERIxEBMzI2NCYjIwQj4tH-H_Txz-ABp_P8rO1pV1dp7QFyntQEOv6oAc4CJ_vGBDr8iGqE"
    "cAAAAgCPAAAEIwQ6AAoAEgAAARQGIyERMxEzFhYBMzI2NCYjIwQj4tH-H_Txz-D9YO1pV1dp7QFyntQEOv6oAc7-r2qEcAABAFL_6wPpBE4AHQAAARQCIyImNTMUFjMyNjchNSEmJiMi"
    "BhUjNCQzMhIVA-n77L7y5W9cd3AK_qsBVAxwdFN45QEBr-36Agvf_r_ls1d-sXKobqRnUJ3d_r_fAAIAkf_sBjkETgATACEAAAEUACMiACcjESMRMxEzNgAzMgAVBRQWMzI2NzU0JiMi"
    "BhUGOf727dn--xbK8_PMGwEC0-4BC_0EfYiGfQF-iId8AhLs_sYBCs7-PAQ6_k7GAQD-xOsVktHOkRmP1dWPAAACACcAAAPgBDoADAAVAAAhESMDIxMmNTQ2MyERAxEjIgYVFBYzAu7i"
    "6P3_z-jOAdPy4WVdV14Bjv5yAbZX05XF-8YCQgE3ZTk4YQAAAf_a_ksD-QYAACIAAAEyFhcRFAYjIic3FjMyNxE0JiMiBxEjESM1MzUzFSEVIRU2ApmfwAG7pUU7Dyk6egFiXZNI8qCg"
    "8gEM_vR2BE622v0DtcERvw2wAv1xXIP8-wSuq6enq-uLAAABAFT_7AP6BE4AHQAAAQYEIyICJzU0EjMyFhcjJiYjIgYHIRUhFhYzMjY3A_oF_wC0-PMC8_nE8QXlBW9jg2kJAVr-pwpp"
    "gVh6BQFmnd0BO94q3gFB5LNXfa9xqG-lZ1AAAAIAHwAABpsEOgAXACAAAAEhETMWFxYVFAYjIREhAwIGByMnNzY2NwEzMjY1NCYjIwEIAvLyznBx4tH-H_7mExOnq1UBJ19FCgMG7mlX"
    "V2nuBDr-iAFiY5iZywN2_pn-5fAEywMIwdX-VWg9Ol8AAgCGAAAGsQQ6ABIAGwAAIREhESMRMxEhETMRMxYWFRQGIyczMjY1NCYjIwMe_lvz8wGl8_LO4OLR7e1qVlZq7QHd_iMEOv5l"
    "AZv-hwHFl5nLwWg9Ol8AAAH_7gAAA_kGAAAZAAABIgcRIxEjNTM1MxUhFSEVNjMyFhcRIxE0JgJHk0jyjIzyASD-4Ha3n8AB82IDiIP8-wS1q6Cgq_KLttr9QgK7cVwAAQCG_poEEwQ6"
    "AAsAACEhESMRIREzESERMwQT_rTy_rHzAafz_poBZgQ6_IkDdwD__wCeAm4ElwMyAEYBAd8ATM1AAP__AIICbgXPAzIARgEBhABmZkAAAAEAZAQhAZYGGwAIAAATNTQ2NxcGBxVkZVF8"
    "WQQEIYhf0ENNh4ubAAABADQEAAFmBgAACAAAARUUBgcnNjc1AWZlUXxaAwYAjl7QRE2JjZ0AAQAy_tYBZQDLAAgAACUHFAYHJzY3NQFlAWRSfFUDy4Ne0ERNgZOU__8AbQQhAu8GGwAm"
    "APUJAAAHAPUBWQAA__8AQQQAAsEGAAAmAPYNAAAHAPYBWwAAAAIAMv7CAqsA_wAIABEAACUHFAYHJzY3NSEHFAYHJzY3NQFlAWFSf1UDAiEBZFJ_WQP_t2TcRk2HoMm3ZNxGTY2byAAA"
    "AQCIAgcCRQPbAAwAABM0NjMyFhUVFAYiJjWIeGVoeHfOeAMDX3l5Xyded3de__8AjP_0BSkBAQAiAA8EAAAjAA8BzQAAAAMADwOGAAAAAQBsAIsCNAOqAAYAACUBNQEzAxMBjP7gASCo"
    "9_eLAYYTAYb-cP5xAAEAVQCKAhwDqQAGAAATARUBIxMD_AEg_uCn9_cDqf56E_56AZABjwABAC0AbQNyBSgAAwAAAQEnAQNy_Tl-AscE3_uOSQRyAAEAXv_sBDEFxAAjAAAlBiMiAAMj"
    "NTM1IzUzEgAzMhcHJiMiBgchFSEVIRUhFhYzMjcEMXp_8P7KCKysrK0OATjwa4UdY2eOqQsBY_6cAWT-nAaujWxgCh4BEwERjIGMAQwBDx_NIaGvjIGMuqAgAAABAJ8CbgPvAzIAAwAA"
    "ARUhNQPv_LADMsTEAAEARv9mAVoBBgAIAAABFRQGByc2NzUBWk5Hf0gDAQZLV78_Tm9_ZAAFAFz91QfXCHMAAwAHAB8AIwAnAAABNTMVCQMDMzQ2NzY2NTQmIyIGBzM2NjMyFRQHBgYT"
    "NSMVEzUzFQQeBPw6A7wDv_xBd8oZKUNjp5V_sQLLAj4ncV1HQsnKfwQIbwQE-hQDz_wx_DEC3jM-GyWBUoCXfY03MHRfPDFZ_pyqqv1IBAQAAAEAPAAAArIDIAAVAAAlFSE1ATY1NCMi"
    "BhUjNDYgFhUUBgcHArL9nAEecWpAPLuiARyeaWONlZV-AQZnQV9FMm6egXJTglFyAAEAgQAAAgMDFAAGAAABESMRBzUlAgO6yAFvAxT87AI7MZN3AAEAN__1AqkDIAAkAAABNTM2NTQm"
    "IyIGFSM0NjMyFhUUBxYVFAYjIiY1MxQWMzI2NTQnAQ1ceDY-L0G6rXmJqoeUt4lxwbtFOz8-hgFSgAJfIzUnI2t0c253MymPb3lwgCU2OCpkAgAAAgA1AAACvwMVAAoADgAAEwEzETMV"
    "IxUjNSE3MzUHNQFuvGBguv6arLoOARwB-f4ml6Skl_MXAAABAJsAAAUwBbAADAAAIQEjESMRMxEzASEBAQQA_kSt_PyLAa0BNv4MAh8CcP2QBbD9nQJj_Ub9CgAAAQCUBGoBqQYrAAgA"
    "ABM1NDY3FwYHFZRbOII_AgRqhWKwKlNtfIUAAAEAPv5KBGYESgAeAAABBicmJicnAyMBAyYmIwcnNjMyFhYXFxMzARMWFxY3BD4rNnt8MmT59wF8qBlZPkMDSDxqeUQVW-D1_p_OM0cr"
    "Jv5ZDwMGtXPm_f8DDAGBP1YFuxJdgy_OAc39Kv4tbgYEBf__AEcCCgJUAs0CBgAOAAAAAgAVAAAE8AWwAA0AGwAAEzMRISAAERUQACEhESMhIREzMhI3NTQmIyMRIRWeAa0BJAFs_pP-"
    "0v5engKe_vymzNACz8SxAQQDNwJ5_of-xUn-xf6IAoz-PgEA4VPs-_5SAAACABUAAATwBbAADQAbAAATMxEhIAARFRAAISERIyEhETMyEjc1NCYjIxEhFZ4BrQEkAWz-k_7S_l6eAp7-"
    "_KbM0ALPxLEBBAM3Ann-h_7FSf7F_ogCjP4-AQDhU-z7_lIAAAH_8gAABBcGAAAZAAABIgcRIxEjNTM1MxUhFSERNjMyFhcRIxE0JgJlk0jypqbyAQb--na3n8AB82IDiIP8-wTHq46O"
    "q_78i7ba_UICu3FcAAABAC0AAASwBbAADwAAEzUhFSERMxUjESMRIzUzES0Eg_47z8_809ME5cvL_tir_O4DEqsBKAAB_-j_7AKGBUEAHQAAJQYjIiY1ESM1MzUjNTMRMxEzFSMVMxUj"
    "ERQWMzI3AnNGWnmf09Ozs_K_v9nZPzIqKwQYiacBG6ulswEH_vmzpav-80krCv__ABIAAAVDBzYCJgAiAAAABwBBASIBNv__ABIAAAVDBzYCJgAiAAAABwByAcEBNv__ABIAAAVDBzcC"
    "JgAiAAAABwCUAMIBNv__ABIAAAVDBysCJgAiAAAABwCaAMQBNv__ABIAAAVDBwMCJgAiAAAABwBnAO4BNv__ABIAAAVDB5QCJgAiAAAABwCYAVcBav__AGb-OQTsBcQCJgAkAAAABwB2"
    "Acn_-f__AJUAAARNBz4CJgAmAAAABwBBAOgBPv__AJUAAARNBz4CJgAmAAAABwByAYcBPv__AJUAAARNBz8CJgAmAAAABwCUAIgBPv__AJUAAARNBwsCJgAmAAAABwBnALQBPv___8cA"
    "AAGgBz4CJgAqAAAABwBB_5YBPv__AKQAAAJ-Bz4CJgAqAAAABwByADUBPv___8sAAAJ6Bz8CJgAqAAAABwCU_zYBPv___8AAAAKGBwsCJgAqAAAABwBn_2IBPv__AJUAAAUYBysCJgAv"
    "AAAABwCaAO0BNv__AGb_7AUfBzYCJgAwAAAABwBBATkBNv__AGb_7AUfBzYCJgAwAAAABwByAdgBNv__AGb_7AUfBzcCJgAwAAAABwCUANkBNv__AGb_7AUfBysCJgAwAAAABwCaANsB"
    "Nv__AGb_7AUfBwMCJgAwAAAABwBnAQUBNv__AH7_7AS-BzYCJgA2AAAABwBBARABNv__AH7_7AS-BzYCJgA2AAAABwByAa8BNv__AH7_7AS-BzcCJgA2AAAABwCUALABNv__AH7_7AS-"
    "BwMCJgA2AAAABwBnANwBNv__AAgAAATWBzYCJgA6AAAABwByAYcBNv__AFv_7AP8BgACJgBCAAAABwBBAKwAAP__AFv_7AP8BgACJgBCAAAABwByAUsAAP__AFv_7AP8BgECJgBCAAAA"
    "BgCUTAD__wBb_-wD_AX1AiYAQgAAAAYAmk4A__8AW__sA_wFzQImAEIAAAAGAGd4AP__AFv_7AP8Bl4CJgBCAAAABwCYAOEANP__AFD-OQP1BE4CJgBEAAAABwB2AT3_-f__AFT_7AQM"
    "BgACJgBGAAAABwBBAKAAAP__AFT_7AQMBgACJgBGAAAABwByAT8AAP__AFT_7AQMBgECJgBGAAAABgCUQAD__wBU_-wEDAXNAiYARgAAAAYAZ2wA____sgAAAYsF-QImAIoAAAAGAEGB"
    "-f__AJAAAAJpBfkCJgCKAAAABgByIPn___-2AAACZQX6AiYAigAAAAcAlP8h__n___-rAAACcQXGAiYAigAAAAcAZ_9N__n__wB6AAAD-QX1AiYATwAAAAYAmlUA__8AUP_sBD4GAAIm"
    "AFAAAAAHAEEAtQAA__8AUP_sBD4GAAImAFAAAAAHAHIBVAAA__8AUP_sBD4GAQImAFAAAAAGAJRVAP__AFD_7AQ-BfUCJgBQAAAABgCaVwD__wBQ_-wEPgXNAiYAUAAAAAcAZwCBAAD_"
    "_wB3_-wD9wYAAiYAVgAAAAcAQQCuAAD__wB3_-wD9wYAAiYAVgAAAAcAcgFNAAD__wB3_-wD9wYBAiYAVgAAAAYAlE4A__8Ad__sA_cFzQImAFYAAAAGAGd6AP__AAz-SwPXBgACJgBa"
    "AAAABwByARYAAP__AAz-SwPXBc0CJgBaAAAABgBnQwD__wASAAAFQwbjAiYAIgAAAAcAbQC-ATn__wBb_-wD_AWtAiYAQgAAAAYAbUgD__8AEgAABUMHHQImACIAAAAHAJYA9QE2__8A"
    "W__sA_wF5wImAEIAAAAGAJZ_AAACABL-UgVDBbAAFgAZAAAzATMBIwYGFRQzMjcXBiMiJjU0NwMhAxMhAxICJuMCKD5FXUcsLhVJXFh7l3T9zHa9AafUBbD6UC1fO0QXjixmY41iAUr-"
    "rAIfAl4AAAIAW_5SA_wETgAsADUAAAEGIyImNTQ3JicGIyImNTQkMzM1NCYjIgYVIzQ2MzIWFREUFxUjBgYVFDMyNwA2NzUjBhUUFgPmSVxYe5MQCXOqos4BAuqZX19XZ_LxzbbtKSpF"
    "XUcsLv58ehmU_1j-fixmY4xgJTp6uoqtuEdVZVY-gMy6uv4gklcRLV87RBcBo1ExzAavQVj__wBm_-wE7AdLAiYAJAAAAAcAcgHAAUv__wBQ_-wD9QYAAiYARAAAAAcAcgEpAAD__wBm"
    "_-wE7AdMAiYAJAAAAAcAlADBAUv__wBQ_-wD9QYBAiYARAAAAAYAlCoA__8AZv_sBOwHKAImACQAAAAHAJcBpwFT__8AUP_sA_UF3QImAEQAAAAHAJcBEAAI__8AZv_sBOwHTQImACQA"
    "AAAHAJUA2QFL__8AUP_sA_UGAgImAEQAAAAGAJVCAP__AJUAAATSB0ACJgAlAAAABwCVAGgBPv__AFD_7AVbBgEAJgBFAAAABwECBAEE-___AJUAAARNBusCJgAmAAAABwBtAIQBQf__"
    "AFT_7AQMBa0CJgBGAAAABgBtPAP__wCVAAAETQclAiYAJgAAAAcAlgC7AT7__wBU_-wEDAXnAiYARgAAAAYAlnMA__8AlQAABE0HGwImACYAAAAHAJcBbgFG__8AVP_sBAwF3QImAEYA"
    "AAAHAJcBJgAIAAEAlf5SBE0FsAAbAAAzESEVIREhFSERIRUjBgYVFDMyNxcGIyImNTQ3lQOx_UsCVv2qArxwRV1HLC4VSVxYe4gFsMv-bcf-P8otXztEF44sZmOFYAAAAgBU_m0EDARO"
    "ACMAKwAAAQYjIiY1NDcmAjU1EAAzMhIVFSEWFjMyNxcGBzEGBhUUMzI3ASIGByE1JiYDVElcWHtR3fwBG87s4_09CpWAp2iDRnRFXUcsLv7-ZHoSAc4FYP6ZLGZjZ1APASfUKQEAAS7-"
    "1OpnfaWGfWc2LV87RBcEZIx8El-X__8AlQAABE0HQAImACYAAAAHAJUAoAE-__8AVP_sBAwGAgImAEYAAAAGAJVYAP__AGr_7ATwB0wCJgAoAAAABwCUAL4BS___AFL-VgQNBgECJgBI"
    "AAAABgCUQAD__wBq_-wE8AcyAiYAKAAAAAcAlgDxAUv__wBS_lYEDQXnAiYASAAAAAYAlnMA__8Aav_sBPAHKAImACgAAAAHAJcBpAFT__8AUv5WBA0F3QImAEgAAAAHAJcBJgAI__8A"
    "av3wBPAFxAImACgAAAAHAQIB5P6K__8AUv5WBA0GqAImAEgAAAAHAQkBKAB9__8AlQAABRkHPwImACkAAAAHAJQA4gE-__8AegAAA_kHXwImAEkAAAAHAJQAFwFe____sgAAApAHMwIm"
    "ACoAAAAHAJr_OAE-____nQAAAnsF7gImAIoAAAAHAJr_I__5____zgAAAnwG6wImACoAAAAHAG3_MgFB____uQAAAmcFpgImAIoAAAAHAG3_Hf_8____3wAAAmQHJQImACoAAAAHAJb_"
    "aQE-____ygAAAk8F4AImAIoAAAAHAJb_VP_5__8AFf5ZAaAFsAImACoAAAAGAJnsB_____7-UgGRBdUCJgBKAAAABgCZ1QD__wCeAAABpAcbAiYAKgAAAAcAlwAcAUb__wCk_-wGJwWw"
    "ACYAKgAAAAcAKwJCAAD__wB9_ksDkgXVACYASgAAAAcASwIMAAD__wAt_-wEqwc4AiYAKwAAAAcAlAFnATf___-1_ksCagXfAiYAkwAAAAcAlP8m_97__wCV_kMFGAWwAiYALAAAAAcB"
    "AgGd_t3__wB9_i0ENwYAAiYATAAAAAcBAgEt_sf__wCVAAAEJwc2AiYALQAAAAcAcgAoATb__wCLAAACYweRAiYATQAAAAcAcgAaAZH__wCV_gEEJwWwAiYALQAAAAcBAgFu_pv__wBX"
    "_gEBfwYAAiYATQAAAAcBAgAR_pv__wCVAAAEJwWwAiYALQAAAAcBAgIJBKr__wCMAAAC5gYBACYATQAAAAcBAgGMBPv__wCVAAAEJwWwAiYALQAAAAcAlwHK_dT__wCMAAAC7AYAACYA"
    "TQAAAAcAlwFk_a___wCVAAAFGAc2AiYALwAAAAcAcgHqATb__wB6AAAD-QYAAiYATwAAAAcAcgFSAAD__wCV_f4FGAWwAiYALwAAAAcBAgHc_pj__wB6_gED-QROAiYATwAAAAcBAgFC"
    "_pv__wCVAAAFGAc4AiYALwAAAAcAlQEDATb__wB6AAAD-QYCAiYATwAAAAYAlWsA____pAAAA_kGAgImAE8AAAAHAQL_XgT8__8AZv_sBR8G4wImADAAAAAHAG0A1QE5__8AUP_sBD4F"
    "rQImAFAAAAAGAG1RA___AGb_7AUfBx0CJgAwAAAABwCWAQwBNv__AFD_7AQ-BecCJgBQAAAABwCWAIgAAP__AGb_7AUfBzUCJgAwAAAABwCbAWMBNv__AFD_7AQ-Bf8CJgBQAAAABwCb"
    "AN8AAP__AJUAAATeBzYCJgAzAAAABwByAXABNv__AH0AAAL2BgACJgBTAAAABwByAK0AAP__AJX-AQTeBbACJgAzAAAABwECAW_-m___AFH-AQK1BE4CJgBTAAAABwECAAv-m___AJUA"
    "AATeBzgCJgAzAAAABwCVAIkBNv__ADgAAAL7BgICJgBTAAAABgCVxgD__wBK_-wEigc2AiYANAAAAAcAcgGOATb__wBM_-wDygYAAiYAVAAAAAcAcgE5AAD__wBK_-wEigc3AiYANAAA"
    "AAcAlACPATb__wBM_-wDygYBAiYAVAAAAAYAlDoA__8ASv5ABIoFxAImADQAAAAHAHYBngAA__8ATP42A8oETgImAFQAAAAHAHYBRP_2__8ASv_sBIoHOAImADQAAAAHAJUApwE2__8A"
    "TP_sA8oGAgImAFQAAAAGAJVSAP__AC3-RASwBbACJgA1AAAABwB2AYwABP__AAj-QAKmBUECJgBVAAAABwB2AN0AAP__AC0AAASwBzgCJgA1AAAABwCVAJkBNv__AAj_7AMnBoIAJgBV"
    "AAAABwECAc0FfP__AH7_7AS-BysCJgA2AAAABwCaALIBNv__AHf_7AP3BfUCJgBWAAAABgCaUAD__wB-_-wEvgbjAiYANgAAAAcAbQCsATn__wB3_-wD9wWtAiYAVgAAAAYAbUoD__8A"
    "fv_sBL4HHQImADYAAAAHAJYA4wE2__8Ad__sA_cF5wImAFYAAAAHAJYAgQAA__8Afv_sBL4HlAImADYAAAAHAJgBRQFq__8Ad__sA_cGXgImAFYAAAAHAJgA4wA0__8Afv_sBL4HNQIm"
    "ADYAAAAHAJsBOgE2__8Ad__sBC8F_wImAFYAAAAHAJsA2AAAAAEAfv6KBL4FsAAgAAABBiMiJjU0NyIkJxEzERQWMzI2NREzERQGBwYGFRQzMjcD40lcWHs27f7LAfufhYed_ZJ3O01H"
    "LC7-tixmY1RF_PgD0PwznJGRnAPN_DOl3zkoWDVEFwABAHf-UgP3BDoAIAAAAQYjIiY1NDcnBiMiJicRMxEUFjMyNxEzESMGBhUUMzI3A_dJXFh7kwZqxp7GAfNnRa5A8xRFXUcsLv5-"
    "LGZjjGBjfrrVAr_9Q3VVfQMK-8YtXztEFwD__wAxAAAG5Qc3AiYAOAAAAAcAlAGnATb__wAiAAAFzQYBAiYAWAAAAAcAlAEKAAD__wAIAAAE1gc3AiYAOgAAAAcAlACIATb__wAM_ksD"
    "1wYBAiYAWgAAAAYAlBcA__8ACAAABNYHAwImADoAAAAHAGcAtAE2__8AUAAABIwHNgImADsAAAAHAHIBgwE2__8AUgAAA8AGAAImAFsAAAAHAHIBGwAA__8AUAAABIwHEwImADsAAAAH"
    "AJcBagE-__8AUgAAA8AF3QImAFsAAAAHAJcBAgAI__8AUAAABIwHOAImADsAAAAHAJUAnAE2__8AUgAAA8AGAgImAFsAAAAGAJU0AP__ABIAAAVDBkACJgAiAAAABgCcvv____9LAAAE"
    "sQZCACYAJmQAAAcAnP6EAAH___9UAAAFfQZBACYAKWQAAAcAnP6NAAD___9WAAACBAZDACYAKmQAAAcAnP6PAAL___-8_-wFMwZAACYAMBQAAAcAnP71______9FAAAFOgZAACYAOmQA"
    "AAcAnP5-_______GAAAE8QZAACYAqBQAAAcAnP7_______-H__QC2gaaAiYAsQAAAAcAnf8f_-v__wASAAAFQwWwAgYAIgAA__8AlQAABKMFsAIGACMAAP__AJUAAARNBbACBgAmAAD_"
    "_wBQAAAEjAWwAgYAOwAA__8AlQAABRkFsAIGACkAAP__AKQAAAGgBbACBgAqAAD__wCVAAAFGAWwAgYALAAA__8AlQAABmsFsAIGAC4AAP__AJUAAAUYBbACBgAvAAD__wBm_-wFHwXE"
    "AgYAMAAA__8AlQAABNQFsAIGADEAAP__AC0AAASwBbACBgA1AAD__wAIAAAE1gWwAgYAOgAA__8AKQAABOoFsAIGADkAAP___8AAAAKGBwsCJgAqAAAABwBn_2IBPv__AAgAAATWBwMC"
    "JgA6AAAABwBnALQBNv__AFb_6wR6BkECJgCpAAAABwCcAVAAAP__AGH_7AQNBkACJgCtAAAABwCcARj_____AH_-YQQGBkECJgCvAAAABwCcASMAAP__AKr_9AJiBiwCJgCxAAAABgCc"
    "D-v__wCA_-sECAahAiYAuQAAAAYAnRzy__8AjgAABGsEOgIGAIsAAP__AFD_7AQ-BE4CBgBQAAD__wCT_mAEHwQ6AgYAcwAA__8AFwAAA9sEOgIGAFcAAP__AD7-SgRmBEoCBgEKAAD_"
    "___N__QCkwW4AiYAsQAAAAcAZ_9v_-v__wCA_-sECAW_AiYAuQAAAAYAZ2zy__8AUP_sBD4GQQImAFAAAAAHAJwBIQAA__8AgP_rBAgGMwImALkAAAAHAJwBDP_y__8AZv_rBi4GMQIm"
    "ALwAAAAHAJwCK__w__8AlQAABE0HCwImACYAAAAHAGcAtAE-__8AmwAABDgHPgImAJ8AAAAHAHIBggE-AAEASv_sBIoFxAAlAAABNCYkJDU0JDMyABUjNCYjIgYVFBYXFhYVFAQjIiQm"
    "NTMUFjMyNgONc_5h_v0BHef3ARb8ho6Ff5iZ9-3-5-2M_vup_beGhIUBeFZqgcmvsOP--bZriXNWUmstSNiuuNZmzJqKemz__wCkAAABoAWwAgYAKgAA____wAAAAoYHCwImACoAAAAH"
    "AGf_YgE-__8ALf_sA-UFsAIGACsAAP__AJsAAAUwBbACBgEIAAD__wCVAAAFGAc3AiYALAAAAAcAcgFtATf__wA6_-sE3gclAiYAyQAAAAcAlgDZAT7__wASAAAFQwWwAgYAIgAA__8A"
    "lQAABKMFsAIGACMAAP__AJsAAAQ4BbACBgCfAAD__wCVAAAETQWwAgYAJgAA__8AlQAABQ0HJQImAMcAAAAHAJYBHAE-__8AlQAABmsFsAIGAC4AAP__AJUAAAUZBbACBgApAAD__wBm"
    "_-wFHwXEAgYAMAAA__8AmwAABRUFsAIGAKQAAP__AJUAAATUBbACBgAxAAD__wBm_-wE7AXEAgYAJAAA__8ALQAABLAFsAIGADUAAP__ACkAAATqBbACBgA5AAD__wBb_-wD_AROAgYA"
    "QgAA__8AVP_sBAwETgIGAEYAAP__AIYAAAQTBdkCJgDbAAAABwCWAJf_8v__AFD_7AQ-BE4CBgBQAAD__wB9_mAEMQROAgYAUQAAAAEAUP_sA_UETgAbAAAlMjY3MwYGIyICNTU0EjMy"
    "FhcjJiYjIgYVFRQWAjpYegXkBf-1-vLz-cTwBeQFcGOUY2KvZ1Cd3QFA3yTeAUHks1d924Ekg9n__wAM_ksD1wQ6AgYAWgAA__8AHwAAA-kEOgIGAFkAAP__AFT_7AQMBc0CJgBGAAAA"
    "BgBnbAD__wCFAAADTQXyAiYA1wAAAAcAcgDB__L__wBM_-wDygROAgYAVAAA__8AfQAAAZEF1QIGAEoAAP___6sAAAJxBcYCJgCKAAAABwBn_03_-f___7T-SwGGBdUCBgBLAAD__wCP"
    "AAAEZQXyAiYA3AAAAAcAcgFE__L__wAM_ksD1wXnAiYAWgAAAAYAlkoA__8AlQAABE0HPgImACYAAAAHAEEA6AE-__8AlQAABQ0HPgImAMcAAAAHAEEBSQE-__8AVP_sBAwGAAImAEYA"
    "AAAHAEEAoAAA__8AhgAABBMF8gImANsAAAAHAEEAxP_yAAA";

} // namespace pali::inline PALI_ABI::image_detail

// Letters by stb_truetype, in a namespace of ours. Its assertions are errors here, and what it takes goes back together.

// What stb includes, so that nothing is left to include within the namespace below.
#include <assert.h>

#if PALI_WITH_STB_TRUETYPE

namespace pali::inline PALI_ABI::image_detail {

/// A font that contradicts itself; caught by the class typeface.
struct broken_font {};

[[noreturn]] inline void throw_broken_font() { throw broken_font(); }

/// What stb_truetype takes for one letter.
class letter_memory {
public:
    [[nodiscard]] void* take(std::size_t bytes) {
        if (bytes > most) throw_broken_font();
        m_taken.push_back(std::make_unique<std::max_align_t[]>(bytes / sizeof(std::max_align_t) + 1));
        return m_taken.back().get();
    }

private:
    static constexpr std::size_t most = std::size_t{1} << 26; // a letter of 4000 pixels takes some megabytes
    std::vector<std::unique_ptr<std::max_align_t[]>> m_taken;
};

} // namespace pali::inline PALI_ABI::image_detail

#  pragma push_macro("STB_TRUETYPE_IMPLEMENTATION")
#  pragma push_macro("STBTT_STATIC")
#  pragma push_macro("STBTT_DEF")
#  pragma push_macro("STB_RECT_PACK_VERSION")
#  pragma push_macro("__STB_INCLUDE_STB_TRUETYPE_H__")
#  undef STBTT_DEF
#  undef STB_RECT_PACK_VERSION
#  undef __STB_INCLUDE_STB_TRUETYPE_H__
#  define STB_TRUETYPE_IMPLEMENTATION
#  define STBTT_STATIC
#  define STBTT_assert(condition) ((condition) ? (void)0 : throw_broken_font())
#  define STBTT_malloc(bytes, memory) (static_cast<letter_memory*>(memory)->take(static_cast<std::size_t>(bytes)))
#  define STBTT_free(data, memory) ((void)(data), (void)(memory))
#  if defined(__GNUC__)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wunused-function"
#    pragma GCC diagnostic ignored "-Wunused-variable"
#    pragma GCC diagnostic ignored "-Wunused-but-set-variable"
#    pragma GCC diagnostic ignored "-Wunused-parameter"
#    pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#    pragma GCC diagnostic ignored "-Wconversion"
#    pragma GCC diagnostic ignored "-Wsign-conversion"
#    pragma GCC diagnostic ignored "-Wsign-compare"
#    pragma GCC diagnostic ignored "-Wold-style-cast"
#    pragma GCC diagnostic ignored "-Wcast-qual"
#    pragma GCC diagnostic ignored "-Wshadow"
#    pragma GCC diagnostic ignored "-Wpedantic"
#  endif
namespace pali::inline PALI_ABI::image_detail::stb_truetype {
#  if __has_include(<stb/stb_truetype.h>)
#    include <stb/stb_truetype.h>
#  else
#    include <stb_truetype.h>
#  endif
}
#  if defined(__GNUC__)
#    pragma GCC diagnostic pop
#  endif
#  undef STBTT_assert
#  undef STBTT_malloc
#  undef STBTT_free
#  undef STBTT_ifloor
#  undef STBTT_iceil
#  undef STBTT_sqrt
#  undef STBTT_pow
#  undef STBTT_fmod
#  undef STBTT_cos
#  undef STBTT_acos
#  undef STBTT_fabs
#  undef STBTT_strlen
#  undef STBTT_memcpy
#  undef STBTT_memset
#  undef STBTT_min
#  undef STBTT_max
#  undef STBTT_FIX
#  undef STBTT_FIXMASK
#  undef STBTT_FIXSHIFT
#  undef STBTT_GPOS_TODO_assert
#  undef STBTT_MACSTYLE_BOLD
#  undef STBTT_MACSTYLE_DONTCARE
#  undef STBTT_MACSTYLE_ITALIC
#  undef STBTT_MACSTYLE_NONE
#  undef STBTT_MACSTYLE_UNDERSCORE
#  undef STBTT_MAX_OVERSAMPLE
#  undef STBTT_POINT_SIZE
#  undef STBTT_RASTERIZER_VERSION
#  undef STBTT__COMPARE
#  undef STBTT__CSCTX_INIT
#  undef STBTT__CSERR
#  undef STBTT__NOTUSED
#  undef STBTT__OVER_MASK
#  undef stbtt_vertex_type
#  undef stbtt__buf_get16
#  undef stbtt__buf_get32
#  undef stbtt_tag
#  undef stbtt_tag4
#  undef ttBYTE
#  undef ttCHAR
#  undef ttFixed
#  pragma pop_macro("__STB_INCLUDE_STB_TRUETYPE_H__")
#  pragma pop_macro("STB_RECT_PACK_VERSION")
#  pragma pop_macro("STBTT_DEF")
#  pragma pop_macro("STBTT_STATIC")
#  pragma pop_macro("STB_TRUETYPE_IMPLEMENTATION")

#endif

// A font: which letters it has, how wide they are, what they look like.

#if PALI_WITH_STB_TRUETYPE

namespace pali::inline PALI_ABI::image_detail {

/// How much of each pixel a letter covers.
struct glyph_picture {
    int left = 0, top = 0; ///< of its pixels, seen from the pen on the base line; y downwards
    int width = 0, height = 0;
    std::vector<std::uint8_t> cover; ///< height * width; 255: all of the pixel
};

class typeface {
public:
    /// The bytes of a TrueType or OpenType file, or of the first font of a collection. `name` stands for it in messages.
    typeface(std::vector<unsigned char> bytes, std::string name) : m_name(std::move(name)), m_size(bytes.size()), m_bytes(std::move(bytes)) {
        m_bytes.resize(m_size + past_the_end);
        if (m_size < 16) fail("it is cut short");
        const bool collection = std::string_view(reinterpret_cast<const char*>(m_bytes.data()), 4) == "ttcf";
        const std::size_t start = collection ? u32(12) : 0;
        check_tables(start);
        bool known = false;
        try {
            known = stb_truetype::stbtt_InitFont(&m_font, m_bytes.data(), static_cast<int>(start)) != 0;
        } catch (const broken_font&) {
            fail("it contradicts itself");
        }
        if (!known) fail("it has no outlines, or no table of Unicode letters");
        m_font.userdata = nullptr;
        const std::size_t hhea = static_cast<std::size_t>(m_font.hhea), wide = u16(hhea + 34);
        if (wide == 0 || hhea_length() < 36 || m_lengths.hmtx < wide * 4) fail("its table of widths is incomplete");
        if (m_font.cff.size == 0) check_glyphs();
        check_map();
        const float scale = stb_truetype::stbtt_ScaleForMappingEmToPixels(&m_font, 1);
        m_em = scale > 0 && scale <= 1 ? scale : 1.f / 1000;
        int ascent = 0, descent = 0;
        stb_truetype::stbtt_GetFontVMetrics(&m_font, &ascent, &descent, nullptr);
        m_ascent = std::clamp(static_cast<float>(ascent) * m_em, 0.5f, 2.f);
        m_descent = std::clamp(static_cast<float>(-descent) * m_em, 0.f, 1.f);
    }
    typeface(const typeface&) = delete;
    typeface& operator=(const typeface&) = delete;

    [[nodiscard]] float ascent() const noexcept { return m_ascent; }   ///< ems above the base line
    [[nodiscard]] float descent() const noexcept { return m_descent; } ///< ems below it

    /// The glyph of a letter; 0, the one that stands for what is missing, where there is none.
    [[nodiscard]] int find(char32_t letter) const {
        try {
            const int glyph = stb_truetype::stbtt_FindGlyphIndex(&m_font, static_cast<int>(letter));
            return glyph < m_font.numGlyphs ? std::max(glyph, 0) : 0;
        } catch (const broken_font&) {
            return 0;
        }
    }

    /// How far the pen goes, in pixels, where an em has `em`.
    [[nodiscard]] float advance(int glyph, float em) const {
        int units = 0;
        stb_truetype::stbtt_GetGlyphHMetrics(&m_font, glyph, &units, nullptr);
        return std::clamp(static_cast<float>(units) * m_em, 0.f, 4.f) * em;
    }

    /// Its picture with the pen `shift` of a pixel to the right; empty where it has no ink or contradicts itself.
    [[nodiscard]] glyph_picture render(int glyph, float em, float shift) const {
        glyph_picture made;
        letter_memory memory;
        stb_truetype::stbtt_fontinfo font = m_font;
        font.userdata = &memory;
        try {
            std::size_t parts = 0;
            if (m_font.cff.size == 0) check_parts(glyph, 0, parts);
            const float scale = m_em * em;
            int right = 0, bottom = 0;
            stb_truetype::stbtt_GetGlyphBitmapBoxSubpixel(&font, glyph, scale, scale, shift, 0, &made.left, &made.top, &right, &bottom);
            const int most = static_cast<int>(em * 8) + 16;
            if (right <= made.left || bottom <= made.top || right > most || bottom > most || made.left < -most || made.top < -most) return {};
            made.width = right - made.left;
            made.height = bottom - made.top;
            made.cover.resize(static_cast<std::size_t>(made.width) * static_cast<std::size_t>(made.height));
            stb_truetype::stbtt_MakeGlyphBitmapSubpixel(&font, made.cover.data(), made.width, made.height, made.width, scale, scale, shift, 0, glyph);
        } catch (const broken_font&) {
            return {};
        }
        return made;
    }

private:
    // A glyph of TrueType that begins within the file reads no further than this behind it: 2^16 points of at most 5 bytes, 2^15 contours
    // of 2, and 2^16 bytes of instructions.
    static constexpr std::size_t past_the_end = std::size_t{1} << 19;

    [[noreturn]] void fail(const char* why) const {
        throw error(errc::malformed_file, {m_name, ": this is no TrueType or OpenType font that can be read: ", why});
    }
    [[nodiscard]] std::size_t u16(std::size_t at) const {
        if (at + 2 > m_bytes.size()) fail("it is cut short");
        return static_cast<std::size_t>(m_bytes[at]) << 8 | m_bytes[at + 1];
    }
    [[nodiscard]] std::size_t u32(std::size_t at) const { return u16(at) << 16 | u16(at + 2); }
    [[nodiscard]] std::size_t hhea_length() const noexcept { return m_lengths.hhea; }

    /// Every table lies within the file, and those of a fixed length have it.
    void check_tables(std::size_t start) {
        const std::size_t count = u16(start + 4);
        if (m_size > std::size_t{1} << 30 || start > m_size || count * 16 + 12 > m_size - start) fail("its list of tables is incomplete");
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t row = start + 12 + i * 16, offset = u32(row + 8), length = u32(row + 12);
            if (offset > m_size || length > m_size - offset) fail("a table ends behind the end of the file");
            const std::string_view tag(reinterpret_cast<const char*>(m_bytes.data() + row), 4);
            if ((tag == "head" && length < 54) || (tag == "hhea" && length < 36) || (tag == "maxp" && length < 6) || (tag == "cmap" && length < 4))
                fail("a table is too short");
            if (tag == "hhea") m_lengths.hhea = length;
            if (tag == "hmtx") m_lengths.hmtx = length;
            if (tag == "loca") m_lengths.loca = length;
            if (tag == "glyf") m_lengths.glyf = length;
        }
    }

    /// Every glyph begins within its table.
    void check_glyphs() const {
        const bool wide = m_font.indexToLocFormat != 0;
        const std::size_t count = static_cast<std::size_t>(m_font.numGlyphs) + 1, loca = static_cast<std::size_t>(m_font.loca);
        if (m_font.indexToLocFormat > 1 || m_lengths.loca < count * (wide ? 4 : 2)) fail("its table of outlines is incomplete");
        for (std::size_t i = 0; i < count; ++i)
            if ((wide ? u32(loca + i * 4) : u16(loca + i * 2) * 2) > m_lengths.glyf) fail("an outline begins behind the end of its table");
    }

    /// The table of letters that was chosen ends within the file.
    void check_map() const {
        const std::size_t map = static_cast<std::size_t>(static_cast<unsigned>(m_font.index_map));
        if (map + 16 > m_size) fail("its table of letters is incomplete");
        const std::size_t format = u16(map), left = m_size - map;
        const std::size_t need = format == 4 ? 16 + u16(map + 6) * 4 : format == 6 ? 10 + u16(map + 8) * 2 : format == 12 ? 16 + u32(map + 12) * 12 : 0;
        if (need > left || (format != 0 && format != 4 && format != 6 && format != 12)) fail("its table of letters is incomplete, or of a rare kind");
        if (format == 4 && (u16(map + 8) > u16(map + 6) || u16(map + 10) > 16)) fail("its table of letters contradicts itself");
    }

    /// A glyph made of others must not be made of itself.
    void check_parts(int glyph, int depth, std::size_t& parts) const {
        const int offset = stb_truetype::stbtt__GetGlyfOffset(&m_font, glyph);
        if (offset < 0) return;
        std::size_t at = static_cast<std::size_t>(offset);
        if (u16(at) < 0x8000) return; // contours of its own
        at += 10;
        for (std::size_t flags = 0x20; (flags & 0x20) != 0;) { // more components
            flags = u16(at);
            if (depth == 6 || ++parts > 64) throw_broken_font();
            check_parts(static_cast<int>(u16(at + 2)), depth + 1, parts);
            at += 4 + ((flags & 0x01) != 0 ? 4u : 2u) + ((flags & 0x08) != 0 ? 2u : (flags & 0x40) != 0 ? 4u : (flags & 0x80) != 0 ? 8u : 0u);
        }
    }

    std::string m_name;
    std::size_t m_size; ///< without what is put behind it
    std::vector<unsigned char> m_bytes;
    struct {
        std::size_t hhea = 0, hmtx = 0, loca = 0, glyf = 0;
    } m_lengths;
    stb_truetype::stbtt_fontinfo m_font{};
    float m_em = 0; ///< ems a unit of the font
    float m_ascent = 0, m_descent = 0;
};

/// The font that comes with the library.
[[nodiscard]] PALI_INLINE std::vector<unsigned char> built_in_font() {
    const auto digit = [](char c) {
        return static_cast<unsigned>(c >= 'a' ? c - 'a' + 26 : c == '_' ? 63 : c >= 'A' ? c - 'A' : c == '-' ? 62 : c - '0' + 52);
    };
    std::vector<unsigned char> made;
    made.reserve(sizeof font_base64 * 3 / 4);
    unsigned bits = 0, count = 0;
    for (const char* c = font_base64; *c != '\0'; ++c) {
        bits = bits << 6 | digit(*c);
        count += 6;
        if (count < 8) continue;
        count -= 8;
        made.push_back(static_cast<unsigned char>(bits >> count));
    }
    return made;
}

[[nodiscard]] PALI_INLINE std::vector<unsigned char> read_font(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary | std::ios::ate);
    const std::streamoff size = file ? static_cast<std::streamoff>(file.tellg()) : -1;
    std::vector<unsigned char> bytes;
    if (size >= 0 && size < std::streamoff{1} << 30) {
        bytes.resize(static_cast<std::size_t>(size));
        file.seekg(0);
        file.read(reinterpret_cast<char*>(bytes.data()), size);
    }
    if (!file || (bytes.empty() && size != 0)) throw error(errc::cannot_open, {path.string(), ": the font cannot be read; is it there, and a file?"});
    return bytes;
}

} // namespace pali::inline PALI_ABI::image_detail

#endif

// Labels: bytes to glyphs, glyphs to a line that fits, the line to pixels.

#if PALI_WITH_STB_TRUETYPE

namespace pali::inline PALI_ABI::image_detail {

/// A letter of a line: which glyph of which font.
struct letter {
    std::size_t face = 0;
    int glyph = 0;
    float advance = 0; ///< pixels
};

/// Letters from left to right.
struct line {
    std::vector<letter> letters;
    float width = 0; ///< pixels
    bool cut = false; ///< more would follow
};

/// Fonts at one size, and the letters drawn so far.
class lettering {
public:
    explicit lettering(float em) : m_em(em) {
        // Strokes thinner than two pixels seldom cover one: up to 17 pixels an em they are drawn stronger, that they reach their full colour.
        const float stronger = 1 + 0.4f * std::clamp((17 - em) / 7, 0.f, 1.f);
        for (int cover = 0; cover < 256; ++cover)
            m_strength[static_cast<std::size_t>(cover)] = static_cast<std::uint8_t>(std::min(255.f, static_cast<float>(cover) * stronger + 0.5f));
    }

    /// Fonts are asked in the order in which they are added.
    void add(std::vector<unsigned char> bytes, const std::string& name) { m_faces.emplace_back(std::move(bytes), name); }

    [[nodiscard]] int ascent() const { return static_cast<int>(std::ceil(m_faces.front().ascent() * m_em)); }
    [[nodiscard]] int descent() const { return static_cast<int>(std::ceil(m_faces.front().descent() * m_em)); }

    /// As many letters as `room` pixels hold.
    [[nodiscard]] line set(std::string_view text, float room) const {
        line made;
        while (!text.empty()) {
            const utf8_character c = first_character(text);
            text.remove_prefix(std::max<std::size_t>(c.length, 1));
            const char32_t code = shown(c.code); // bytes that are no character have 0, and that is shown as U+FFFD
            if (code == 0) continue;
            letter next;
            if (!find(code, next)) continue;
            if (made.width + next.advance > room) {
                made.cut = true;
                break;
            }
            made.width += next.advance;
            made.letters.push_back(next);
        }
        return made;
    }

    /// `text` in `room` pixels, ending in an ellipsis where it is too long; empty where not even that fits.
    [[nodiscard]] line fit(std::string_view text, float room) const {
        line made = set(text, room);
        if (!made.cut) return made;
        const line dots = set("\xE2\x80\xA6", room); // U+2026
        while (!made.letters.empty() && (made.width + dots.width > room || made.letters.back().glyph == space_of(made.letters.back().face))) {
            made.width -= made.letters.back().advance;
            made.letters.pop_back();
        }
        if (made.letters.empty()) return {};
        append(made, dots);
        return made;
    }

    static void append(line& to, const line& more) {
        to.letters.insert(to.letters.end(), more.letters.begin(), more.letters.end());
        to.width += more.width;
    }

    /// Draws from the pen at (x, base) on, within `clip`.
    void draw(image& on, const line& what, float x, int base, const area& clip, colour ink) {
        for (const letter& l : what.letters) {
            const float whole = std::floor(x);
            const int quarter = static_cast<int>((x - whole) * 4); // glyphs are drawn at four places within a pixel: words keep an even colour
            const glyph_picture& glyph = picture(l, quarter);
            const int left = static_cast<int>(whole) + glyph.left, top = base + glyph.top;
            const area part = clip & area{left, top, left + glyph.width, top + glyph.height};
            for (int row = part.y0; row < part.y1; ++row)
                for (int column = part.x0; column < part.x1; ++column)
                    blend(on, column, row, ink, m_strength[glyph.cover[static_cast<std::size_t>((row - top) * glyph.width + column - left)]]);
            x += l.advance;
        }
    }

private:
    /// What a character is drawn as: itself, a space, or nothing (0) for what only steers others.
    [[nodiscard]] static char32_t shown(char32_t c) noexcept {
        if (c == '\t' || c == '\n' || c == '\r' || c == 0x2028 || c == 0x2029) return ' ';
        if (c < 0x20 || (c >= 0x7f && c < 0xa0)) return U'\uFFFD';
        const bool steers = c == 0xad || (c >= 0x200b && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) ||
                            (c >= 0xfe00 && c <= 0xfe0f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
        return steers ? 0 : c;
    }

    /// Accents that stand on the letter before them: left out where no font has them, rather than shown as missing.
    [[nodiscard]] static bool combines(char32_t c) noexcept {
        return (c >= 0x300 && c <= 0x36f) || (c >= 0x483 && c <= 0x489) || (c >= 0x1ab0 && c <= 0x1aff) || (c >= 0x1dc0 && c <= 0x1dff) ||
               (c >= 0x20d0 && c <= 0x20ff) || (c >= 0xfe20 && c <= 0xfe2f) || (c >= 0x1f3fb && c <= 0x1f3ff);
    }

    [[nodiscard]] bool find(char32_t code, letter& found) const {
        found = {.face = m_faces.size() - 1};
        for (std::size_t i = 0; i < m_faces.size() && found.glyph == 0; ++i)
            if (const int glyph = m_faces[i].find(code); glyph != 0) found = {.face = i, .glyph = glyph};
        if (found.glyph == 0 && combines(code)) return false;
        found.advance = m_faces[found.face].advance(found.glyph, m_em);
        return true;
    }

    [[nodiscard]] int space_of(std::size_t face) const { return m_faces[face].find(U' '); }

    [[nodiscard]] const glyph_picture& picture(const letter& l, int quarter) {
        const auto [at, is_new] = m_pictures.try_emplace({l.face, l.glyph, quarter});
        if (is_new) at->second = m_faces[l.face].render(l.glyph, m_em, static_cast<float>(quarter) / 4);
        return at->second;
    }

    float m_em; ///< pixels
    std::array<std::uint8_t, 256> m_strength{}; ///< what is laid on for what a letter covers of a pixel
    std::deque<typeface> m_faces; // a font stays where it is
    std::map<std::tuple<std::size_t, int, int>, glyph_picture> m_pictures;
};

} // namespace pali::inline PALI_ABI::image_detail

#endif

// Bodies of draw.hpp: what is drawn where, and in which order.

namespace pali::inline PALI_ABI {

namespace image_detail {

/// Sizes in pixels, for one picture.
struct sizes {
    sizes(const image& picture, float scale) {
        const float side = static_cast<float>(std::min(picture.width, picture.height));
        // Capitals are 0.711 em high in Roboto; whole pixels of them are sharper, and under 7 they are hard to read.
        const float capitals = std::max(1.f, std::round(std::max(7.f, side / 45) * scale));
        em = capitals / 0.711f;
        outline = std::max(1, static_cast<int>(std::lround(side / 220 * scale)));
        rim = std::max(1, outline / 3);
    }

    float em = 0;
    int outline = 0; ///< thickness of boxes and contours
    int rim = 0;     ///< thickness of the dark rim that sets a line off from a ground of its own colour
};

inline constexpr int rim_alpha = 80; // of 255, by eye: seen on a light ground, and no black frame on a dark one

/// A mark as it will be drawn.
struct placed_mark {
    const mark* what = nullptr;
    colour paint{};
    std::optional<area> box{}; ///< outer edge of its outline
    area inside{};             ///< bounds of its mask
    double order = 0;          ///< large first
};

/// The edge of a box on whole pixels, its line in the middle of the edge and all of it within the picture; none for what lies outside.
[[nodiscard]] PALI_INLINE std::optional<area> outline_of(const box& b, const image& picture, int thickness) {
    const area all = area_of(picture);
    if (std::isnan(b.x0) || std::isnan(b.y0) || std::isnan(b.x1) || std::isnan(b.y1)) return {};
    const auto [left, right] = std::minmax(b.x0, b.x1);
    const auto [top, bottom] = std::minmax(b.y0, b.y1);
    if (left > static_cast<float>(all.x1) || right < 0 || top > static_cast<float>(all.y1) || bottom < 0) return {};
    const auto span = [&](float low, float high, int end) {
        const int from = static_cast<int>(std::lround(std::clamp(low, 0.f, static_cast<float>(end)))) - thickness / 2;
        const int to = static_cast<int>(std::lround(std::clamp(high, 0.f, static_cast<float>(end)))) + thickness / 2;
        const int first = std::clamp(from, 0, std::max(end - thickness, 0));
        return std::pair(first, std::clamp(to, std::min(first + thickness, end), end));
    };
    const auto [x0, x1] = span(left, right, all.x1);
    const auto [y0, y1] = span(top, bottom, all.y1);
    return area{x0, y0, x1, y1};
}

[[nodiscard]] PALI_INLINE std::vector<placed_mark> place(const image& picture, std::span<const mark> marks, const sizes& size) {
    std::vector<std::string_view> labels;
    std::vector<placed_mark> placed;
    for (const mark& m : marks) {
        const auto known = std::find(labels.begin(), labels.end(), m.label);
        const auto index = static_cast<std::size_t>(known - labels.begin());
        if (known == labels.end()) labels.push_back(m.label);
        placed_mark made{.what = &m, .paint = label_colour(index), .box = outline_of(m.where, picture, size.outline)};
        if (m.inside != nullptr && !m.inside->empty()) {
            if (m.inside->width != picture.width || m.inside->height != picture.height || m.inside->values.size() != picture.width * picture.height)
                throw error(errc::invalid_argument, {"draw: a mask of ", m.inside->width, " x ", m.inside->height, " for a picture of ", picture.width, " x ",
                                                     picture.height});
            made.inside = bounds_of(*m.inside);
        }
        made.order = static_cast<double>(made.box ? made.box->pixels() : made.inside.pixels());
        placed.push_back(made);
    }
    std::sort(placed.begin(), placed.end(), [](const placed_mark& a, const placed_mark& b) {
        return a.order != b.order ? a.order > b.order : a.what < b.what;
    });
    return placed;
}

/// Where a plate of that size says what `about` is: above it, within it, below it; where others are not, as far as that goes.
[[nodiscard]] PALI_INLINE area place_plate(const area& about, int width, int height, const area& picture, const std::vector<area>& others) {
    area best{};
    long long least = -1;
    const auto offer = [&](int x, int y) { // whether it is free
        x = std::clamp(x, picture.x0, picture.x1 - width);
        if (y < picture.y0 || y + height > picture.y1) return false;
        const area plate{x, y, x + width, y + height};
        long long covered = 0;
        for (const area& other : others) covered += (plate & other).pixels();
        if (least < 0 || covered < least) best = plate, least = covered;
        return least == 0;
    };
    const int right = about.x1 - width;
    if (offer(about.x0, about.y0 - height) || offer(about.x0, about.y0) || offer(about.x0, about.y1) || offer(right, about.y0 - height) ||
        offer(right, about.y0) || offer(right, about.y1))
        return best;
    for (int y = about.y0 + height; y + height <= about.y1; y += height)
        if (offer(about.x0, y)) return best;
    for (int step = 1; step <= 2; ++step) // farther off it would seem to be another's
        if (offer(about.x0, about.y1 + step * height) || offer(about.x0, about.y0 - (step + 1) * height)) return best;
    if (least < 0) offer(about.x0, std::clamp(about.y0 - height, picture.y0, picture.y1 - height)); // less room above and below than it takes
    return best;
}

[[nodiscard]] PALI_INLINE std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blank = " \t\r\n";
    const std::size_t first = text.find_first_not_of(blank);
    return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(blank) - first + 1);
}

#if PALI_WITH_STB_TRUETYPE
/// A label and its score, in `room` pixels: the label gives way.
[[nodiscard]] PALI_INLINE line label_of(const mark& m, bool scores, const lettering& letters, float room) {
    const std::string_view label = trimmed(m.label);
    std::string score;
    if (scores && m.score >= 0) score = std::to_string(std::lround(std::min(m.score, 1.f) * 100)) + "%";
    if (score.empty()) return letters.fit(label, room);
    const line percent = letters.set((label.empty() ? "" : " ") + score, room);
    if (percent.cut) return letters.fit(label, room);
    line made = letters.fit(label, room - percent.width);
    if (made.letters.empty() && !label.empty()) return letters.set(score, room);
    letters.append(made, percent);
    return made;
}

PALI_INLINE void draw_labels(image& on, const std::vector<placed_mark>& placed, const sizes& size, const draw_options& options) {
    lettering letters(size.em);
    if (!options.font.empty()) letters.add(read_font(options.font), options.font.string());
    letters.add(built_in_font(), "the built-in font");
    const area all = area_of(on);
    const int beside = std::max(2, static_cast<int>(std::lround(size.em * 0.3f))), height = letters.ascent() + letters.descent() + size.rim;
    const int room = all.width() - 2 * beside;
    if (room <= 0 || height > all.height()) return;

    std::vector<area> plates;
    std::vector<std::pair<const placed_mark*, line>> texts;
    for (const placed_mark& m : placed) {
        if (!m.box && m.inside.empty()) continue;
        line text = label_of(*m.what, options.scores, letters, static_cast<float>(room));
        if (text.letters.empty()) continue;
        const int width = std::min(static_cast<int>(std::ceil(text.width)), room) + 2 * beside;
        plates.push_back(place_plate(m.box ? *m.box : m.inside, width, height, all, plates));
        texts.emplace_back(&m, std::move(text));
    }
    for (std::size_t i = 0; i < plates.size(); ++i) {
        const area& plate = plates[i];
        const colour paint = texts[i].first->paint;
        fill(on, plate, paint, 255);
        letters.draw(on, texts[i].second, static_cast<float>(plate.x0 + beside), plate.y0 + letters.ascent(), plate, text_colour(paint));
    }
}
#else
PALI_INLINE void draw_labels(image&, const std::vector<placed_mark>& placed, const sizes&, const draw_options&) {
    if (!placed.empty()) throw error(errc::cannot_write, "draw: this build of pali was made without stb_truetype.h, which labels are drawn with");
}
#endif

} // namespace image_detail

PALI_INLINE image draw(const image& picture, std::span<const mark> marks, const draw_options& options) {
    using namespace image_detail;
    constexpr std::size_t most = std::size_t{1} << 24; // as resize
    if (picture.width == 0 || picture.height == 0 || picture.width > most || picture.height > most ||
        picture.pixels.size() != picture.width * picture.height * 3)
        throw error(errc::invalid_argument, {"draw: a picture of ", picture.width, " x ", picture.height, " with ", picture.pixels.size(),
                                             " bytes; it needs a pixel and 3 bytes for each"});
    if (!(options.opacity >= 0 && options.opacity <= 1) || !(options.scale > 0 && options.scale <= 100))
        throw error(errc::invalid_argument, {"draw: opacity ", options.opacity, " and scale ", options.scale, "; opacity is 0 to 1, scale over 0 to 100"});
    const sizes size(picture, options.scale);
    const std::vector<placed_mark> placed = place(picture, marks, size);
    image made = picture;
    for (const placed_mark& m : placed) {
        if (!m.inside.empty()) fill(made, *m.what->inside, m.paint, options.opacity);
        else if (m.box) fill(made, m.box->grown(-size.outline), m.paint, level(options.opacity / 3));
    }
    for (const placed_mark& m : placed) {
        const bool has_mask = !m.inside.empty();
        if (m.box) { // the box of a mask steps back behind it
            const int thickness = has_mask ? std::max(1, size.outline / 2) : size.outline;
            frame(made, m.box->grown(size.rim), size.rim, {}, rim_alpha);
            frame(made, *m.box, thickness, m.paint, 255);
            frame(made, m.box->grown(-thickness), size.rim, {}, rim_alpha);
        }
        if (has_mask) {
            const float half = std::max(static_cast<float>(size.outline), 1.5f) / 2; // thinner, it would be pale where it runs between pixels
            const float rim = static_cast<float>(size.rim);
            const contour edge(*m.what->inside, m.inside, size.outline / 2 + size.rim + 2);
            edge.stroke(made, half, half + rim, {}, static_cast<float>(rim_alpha) / 255);
            edge.stroke(made, 0, half, m.paint, 1);
        }
    }
    draw_labels(made, placed, size, options);
    return made;
}

} // namespace pali::inline PALI_ABI

// Which pictures a terminal can show: guessed from its environment, or read from what it answers.

namespace pali::inline PALI_ABI {

/// How a picture is written to a terminal.
enum class terminal_graphics {
    half_blocks_256, ///< two pixels a character, in the 256 colours of xterm
    half_blocks,     ///< two pixels a character, in 24-bit colour
    sixel,           ///< pixels in up to 256 colours (DEC, 1983): xterm, foot, WezTerm, mlterm, Konsole, iTerm2, Windows Terminal, ...
    kitty,           ///< pixels as they are, sw.kovidgoyal.net/kitty/graphics-protocol: kitty, Ghostty, Konsole, WezTerm, ...
};

/// Environment variables of those names; empty where one is not set. The program asks for them: the library reads no environment.
struct terminal_environment {
    std::string_view term;            ///< TERM
    std::string_view term_program;    ///< TERM_PROGRAM
    std::string_view colorterm;       ///< COLORTERM
    std::string_view kitty_window_id; ///< KITTY_WINDOW_ID
    std::string_view konsole_version; ///< KONSOLE_VERSION, as 220401
    std::string_view wt_session;      ///< WT_SESSION, of Windows Terminal
    std::string_view tmux;            ///< TMUX
};

namespace image_detail {

[[nodiscard]] inline bool holds(std::string_view text, std::string_view part) noexcept { return text.find(part) != text.npos; }

} // namespace image_detail

/// The most that a terminal of this environment shows for certain; none where colours may not be shown at all (TERM is empty or "dumb").
/// A terminal may be able to do more than its environment says: ask it by `graphics_query`.
[[nodiscard]] inline std::optional<terminal_graphics> guess_graphics(const terminal_environment& of) noexcept {
    using image_detail::holds;
    const std::string_view term = of.term, program = of.term_program;
    if (term == "dumb" || (term.empty() && of.wt_session.empty())) return {};
    const bool many_colours = of.colorterm == "truecolor" || of.colorterm == "24bit" || term.ends_with("-direct") || !of.wt_session.empty();
    const auto blocks = many_colours ? terminal_graphics::half_blocks : terminal_graphics::half_blocks_256;
    if (!of.tmux.empty() || term.starts_with("screen") || term.starts_with("tmux")) return blocks; // what is behind it shows no pictures
    if (!of.kitty_window_id.empty() || holds(term, "kitty") || holds(term, "ghostty") || program == "ghostty") return terminal_graphics::kitty;
    if (of.konsole_version.size() >= 6 && of.konsole_version >= "220400") return terminal_graphics::kitty; // since 22.04
    if (term.starts_with("foot") || term.starts_with("mlterm") || term.starts_with("contour") || holds(term, "sixel")) return terminal_graphics::sixel;
    if (program == "iTerm.app" || program == "WezTerm" || program == "mintty") return terminal_graphics::sixel;
    if (term.starts_with("alacritty")) return terminal_graphics::half_blocks;
    return blocks;
}

/// To be written to a terminal in raw mode: asks whether it knows kitty's protocol, and then for its attributes (DA1), which all terminals answer.
inline constexpr std::string_view graphics_query = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c";

namespace image_detail {

/// The parameters of the last DA1 reply, "62;4;22" of "\x1b[?62;4;22c"; none where there is no whole one.
[[nodiscard]] inline std::optional<std::string_view> terminal_attributes(std::string_view reply) noexcept {
    for (std::size_t at = reply.rfind("\x1b[?"); at != reply.npos; at = at == 0 ? reply.npos : reply.rfind("\x1b[?", at - 1)) {
        const std::string_view rest = reply.substr(at + 3);
        const std::size_t end = rest.find_first_not_of("0123456789;");
        if (end != rest.npos && rest[end] == 'c') return rest.substr(0, end);
    }
    return {};
}

} // namespace image_detail

/// Whether all of the answer to `graphics_query` is there: nothing more is to be waited for. Some terminals do not answer; wait with a limit.
[[nodiscard]] inline bool is_reply_whole(std::string_view reply) noexcept { return image_detail::terminal_attributes(reply).has_value(); }

/// What the answer to `graphics_query` says, from any bytes: kitty, sixel, or none where it names neither.
[[nodiscard]] inline std::optional<terminal_graphics> read_reply(std::string_view reply) noexcept {
    constexpr std::string_view known = "\x1b_Gi=31;OK";
    for (std::size_t at = reply.find(known); at != reply.npos; at = reply.find(known, at + 1))
        if (const std::string_view rest = reply.substr(at + known.size()); rest.starts_with("\x1b\\") || rest.starts_with('\x9c'))
            return terminal_graphics::kitty;
    const auto attributes = image_detail::terminal_attributes(reply);
    for (std::string_view left = attributes.value_or(""); !left.empty();) { // 4 among them: sixel
        const std::size_t end = left.find(';');
        if (left.substr(0, end) == "4") return terminal_graphics::sixel;
        left = end == left.npos ? std::string_view() : left.substr(end + 1);
    }
    return {};
}

} // namespace pali::inline PALI_ABI

// Pictures as text that a terminal shows.

namespace pali::inline PALI_ABI {

/// The room for a picture.
struct terminal_size {
    std::size_t columns = 80;     ///< characters, 1 to 1000
    std::size_t rows = 24;        ///< characters, 1 to 1000
    std::size_t cell_width = 8;   ///< pixels of a character, 1 to 100
    std::size_t cell_height = 16; ///< pixels of a character, 1 to 100
};

/// The picture in the terminal's own language, ready to be written from the beginning of a line; it ends with a line break. It keeps its aspect
/// ratio and fits into `size`; it is made smaller where it must be, and never larger. Nothing but pixels gets into the text.
/// Throws `invalid_argument` for a picture without pixels or a size out of its range, and for kitty what encode_png throws.
[[nodiscard]] std::string to_terminal(const image& picture, terminal_graphics graphics, const terminal_size& size = {});

} // namespace pali::inline PALI_ABI

// Bytes as text, for terminals and for files of JSON.

namespace pali::inline PALI_ABI::image_detail {

/// RFC 4648, section 4.
[[nodiscard]] PALI_INLINE std::string base64(std::span<const std::byte> bytes) {
    constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string made;
    made.reserve(bytes.size() / 3 * 4 + 4);
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
        std::uint32_t bits = 0;
        for (std::size_t k = 0; k < 3; ++k) bits = bits << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0u);
        for (std::size_t k = 0; k < 4; ++k) made += k <= count ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    return made;
}

} // namespace pali::inline PALI_ABI::image_detail

// A picture in sixel: bands of six rows, each written once for every colour in it. Source: DEC STD 070, VT330/VT340 Programmer Reference.

namespace pali::inline PALI_ABI::image_detail {

/// Sixel has percentages for colours: what a terminal makes of the nearest one.
[[nodiscard]] inline int percent_of(int level) noexcept { return (level * 100 + 127) / 255; }
[[nodiscard]] inline int level_of(int percent) noexcept { return (percent * 255 + 50) / 100; }

/// A colour and how many pixels have it.
struct counted_colour {
    std::array<std::uint8_t, 3> channels{};
    std::size_t count = 0;
};

/// The colours of a picture, as sixel can write them.
[[nodiscard]] PALI_INLINE std::vector<counted_colour> colours_of(const image& picture) {
    std::vector<std::uint32_t> all(picture.width * picture.height);
    const auto shown = [](std::uint8_t v) { return static_cast<std::uint32_t>(level_of(percent_of(v))); };
    for (std::size_t i = 0; i < all.size(); ++i) {
        const std::uint8_t* p = picture.pixels.data() + i * 3;
        all[i] = shown(p[0]) << 16 | shown(p[1]) << 8 | shown(p[2]);
    }
    std::sort(all.begin(), all.end());
    std::vector<counted_colour> made;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (i == 0 || all[i] != all[i - 1])
            made.push_back({{static_cast<std::uint8_t>(all[i] >> 16), static_cast<std::uint8_t>(all[i] >> 8), static_cast<std::uint8_t>(all[i])}, 0});
        ++made.back().count;
    }
    return made;
}

/// At most `most` colours for those of a picture, by median cut (Heckbert 1982): the group with the most pixels times spread is divided at the
/// median of its widest channel. As many colours as there are, where they are few enough.
[[nodiscard]] PALI_INLINE std::vector<colour> median_cut(std::vector<counted_colour> colours, std::size_t most) {
    struct group {
        std::size_t first, last; // of `colours`
        std::size_t channel = 0;
        double weight = 0; // 0: cannot be divided
    };
    const auto measured = [&](std::size_t first, std::size_t last) {
        group made{.first = first, .last = last};
        std::size_t pixels = 0;
        int widest = 0;
        for (std::size_t c = 0; c < 3; ++c) {
            int low = 255, high = 0;
            for (std::size_t i = first; i < last; ++i) {
                low = std::min<int>(low, colours[i].channels[c]);
                high = std::max<int>(high, colours[i].channels[c]);
            }
            if (high - low > widest) widest = high - low, made.channel = c;
        }
        for (std::size_t i = first; i < last; ++i) pixels += colours[i].count;
        made.weight = static_cast<double>(pixels) * widest;
        return made;
    };
    std::vector<group> groups{measured(0, colours.size())};
    while (groups.size() < most) {
        const auto next = std::max_element(groups.begin(), groups.end(), [](const group& a, const group& b) { return a.weight < b.weight; });
        if (next->weight == 0) break;
        const group from = *next;
        std::array<std::size_t, 256> pixels{};
        std::size_t all = 0;
        int high = 0;
        for (std::size_t i = from.first; i < from.last; ++i) {
            pixels[colours[i].channels[from.channel]] += colours[i].count;
            all += colours[i].count;
            high = std::max<int>(high, colours[i].channels[from.channel]);
        }
        int median = 0; // the last value of the lower half; the upper half keeps one value at least
        for (std::size_t below = pixels[0]; (below * 2 < all && median + 1 < high) || below == 0;) below += pixels[static_cast<std::size_t>(++median)];
        const auto begin = colours.begin() + static_cast<std::ptrdiff_t>(from.first), end = colours.begin() + static_cast<std::ptrdiff_t>(from.last);
        const auto middle = std::partition(begin, end, [&](const counted_colour& c) { return c.channels[from.channel] <= median; });
        const std::size_t cut = static_cast<std::size_t>(middle - colours.begin());
        *next = measured(from.first, cut);
        groups.push_back(measured(cut, from.last));
    }
    std::vector<colour> made;
    for (const group& g : groups) {
        std::array<std::size_t, 3> sums{};
        std::size_t pixels = 0;
        for (std::size_t i = g.first; i < g.last; ++i) {
            for (std::size_t c = 0; c < 3; ++c) sums[c] += colours[i].channels[c] * colours[i].count;
            pixels += colours[i].count;
        }
        const auto mean = [&](std::size_t c) {
            return static_cast<std::uint8_t>(level_of(percent_of(static_cast<int>((sums[c] + pixels / 2) / pixels))));
        };
        made.push_back({mean(0), mean(1), mean(2)});
    }
    return made;
}

/// For every pixel the index of its colour; what a colour is off goes to the pixels around (Floyd and Steinberg 1976).
[[nodiscard]] PALI_INLINE std::vector<std::uint8_t> dither(const image& picture, const std::vector<colour>& palette, bool is_complete) {
    // By the upper six bits of each channel; a palette that has all colours of the picture is searched to the last bit.
    std::vector<std::int16_t> known(std::size_t{1} << 18, -1);
    const auto nearest = [&](const std::array<int, 3>& c) {
        const std::size_t key = static_cast<std::size_t>(c[0] >> 2 << 12 | c[1] >> 2 << 6 | c[2] >> 2);
        if (!is_complete && known[key] >= 0) return static_cast<std::size_t>(known[key]);
        std::size_t best = 0;
        int least = 1 << 30;
        for (std::size_t i = 0; i < palette.size() && least != 0; ++i) {
            const int r = palette[i].r - c[0], g = palette[i].g - c[1], b = palette[i].b - c[2];
            if (const int distance = 2 * r * r + 4 * g * g + b * b; distance < least) best = i, least = distance;
        }
        known[key] = static_cast<std::int16_t>(best);
        return best;
    };
    const std::size_t row = (picture.width + 2) * 3;
    std::vector<int> errors(row), below(row); // sixteenths of a level, of this row and the next
    std::vector<std::uint8_t> made(picture.width * picture.height);
    for (std::size_t y = 0; y < picture.height; ++y) {
        std::fill(below.begin(), below.end(), 0);
        for (std::size_t x = 0; x < picture.width; ++x) {
            std::array<int, 3> want{};
            for (std::size_t c = 0; c < 3; ++c) {
                const int level = level_of(percent_of(picture.at(x, y)[c])); // a colour that sixel has leaves no error
                want[c] = std::clamp(level + errors[(x + 1) * 3 + c] / 16, 0, 255);
            }
            const std::size_t index = nearest(want);
            made[y * picture.width + x] = static_cast<std::uint8_t>(index);
            const int got[3] = {palette[index].r, palette[index].g, palette[index].b};
            for (std::size_t c = 0; c < 3; ++c) {
                const int off = want[c] - got[c];
                errors[(x + 2) * 3 + c] += off * 7;
                below[x * 3 + c] += off * 3;
                below[(x + 1) * 3 + c] += off * 5;
                below[(x + 2) * 3 + c] += off;
            }
        }
        errors.swap(below);
    }
    return made;
}

/// `count` times the same six pixels.
PALI_INLINE void append_run(std::string& to, unsigned bits, std::size_t count) {
    const char c = static_cast<char>('?' + bits);
    if (count > 3) to += '!' + std::to_string(count) + c;
    else to.append(count, c);
}

[[nodiscard]] PALI_INLINE std::string to_sixel(const image& picture) {
    std::vector<counted_colour> colours = colours_of(picture);
    const bool is_complete = colours.size() <= 256;
    const std::vector<colour> palette = median_cut(std::move(colours), 256);
    const std::vector<std::uint8_t> indices = dither(picture, palette, is_complete);
    const std::size_t width = picture.width;
    std::string made = "\x1bP0;1q\"1;1;" + std::to_string(width) + ';' + std::to_string(picture.height); // square pixels, no ground
    for (std::size_t i = 0; i < palette.size(); ++i)
        made += '#' + std::to_string(i) + ";2;" + std::to_string(percent_of(palette[i].r)) + ';' + std::to_string(percent_of(palette[i].g)) + ';' +
                std::to_string(percent_of(palette[i].b));
    std::vector<std::uint8_t> bits(palette.size() * width); // of a band: six pixels a byte, by colour and column
    for (std::size_t top = 0; top < picture.height; top += 6) {
        std::array<bool, 256> used{};
        const std::size_t rows = std::min<std::size_t>(6, picture.height - top);
        for (std::size_t y = 0; y < rows; ++y)
            for (std::size_t x = 0; x < width; ++x) {
                const std::uint8_t index = indices[(top + y) * width + x];
                used[index] = true;
                bits[index * width + x] = static_cast<std::uint8_t>(bits[index * width + x] | 1u << y);
            }
        bool is_first = true;
        for (std::size_t i = 0; i < palette.size(); ++i) {
            if (!used[i]) continue;
            if (!is_first) made += '$'; // back to the beginning of the band
            is_first = false;
            made += '#' + std::to_string(i);
            std::uint8_t* band = bits.data() + i * width;
            std::size_t end = width;
            while (band[end - 1] == 0) --end; // one is set
            for (std::size_t x = 0, next = 0; x < end; x = next) {
                for (next = x + 1; next < end && band[next] == band[x];) ++next;
                append_run(made, band[x], next - x);
            }
            std::fill(band, band + width, std::uint8_t{0});
        }
        made += '-';
    }
    return made + "\x1b\\";
}

} // namespace pali::inline PALI_ABI::image_detail

// Bodies of terminal.hpp.

namespace pali::inline PALI_ABI {

namespace image_detail {

/// `from` in at most width x height pixels, each `stretch` times as high as it is wide.
[[nodiscard]] PALI_INLINE image fitted(const image& from, double width, double height, double stretch) {
    const double across = static_cast<double>(from.width), down = static_cast<double>(from.height) / stretch;
    const double scale = std::min({1.0, width / across, height / down});
    const auto side = [&](double of, double most) { return static_cast<std::size_t>(std::clamp(of * scale + 0.5, 1.0, most)); };
    return resize(from, side(across, width), side(down, height), filter::lanczos);
}

/// The picture as a PNG in chunks; `columns` characters wide, and as high as its aspect ratio says.
[[nodiscard]] PALI_INLINE std::string to_kitty(const image& picture, std::size_t columns) {
    constexpr std::size_t most = 4096; // base64 digits a chunk
    const std::string data = base64(encode_png(picture));
    std::string made;
    for (std::size_t at = 0; at < data.size(); at += most) {
        made += at == 0 ? "\x1b_Ga=T,f=100,q=2,c=" + std::to_string(columns) + ',' : "\x1b_Gq=2,"; // q: no answer, which would look like typing
        made += at + most < data.size() ? "m=1;" : "m=0;";
        made.append(data, at, most);
        made += "\x1b\\";
    }
    return made + '\n';
}

/// The nearest of xterm's 256 colours: of the cube of 6 x 6 x 6 (16 to 231), or of the 24 greys (232 to 255); the first 16 are the user's.
[[nodiscard]] PALI_INLINE int xterm_colour(colour of) noexcept {
    constexpr int steps[] = {0, 95, 135, 175, 215, 255};
    const auto nearest = [&](int v) {
        int best = 0;
        for (int i = 1; i < 6; ++i)
            if (std::abs(steps[i] - v) < std::abs(steps[best] - v)) best = i;
        return best;
    };
    const int r = nearest(of.r), g = nearest(of.g), b = nearest(of.b);
    const int grey = std::clamp(((of.r + of.g + of.b) / 3 - 8 + 5) / 10, 0, 23), level = 8 + 10 * grey;
    const auto distance = [&](int to_r, int to_g, int to_b) {
        return (to_r - of.r) * (to_r - of.r) + (to_g - of.g) * (to_g - of.g) + (to_b - of.b) * (to_b - of.b);
    };
    return distance(level, level, level) < distance(steps[r], steps[g], steps[b]) ? 232 + grey : 16 + 36 * r + 6 * g + b;
}

/// Every character is the upper half of its cell in one colour on a ground of another.
[[nodiscard]] PALI_INLINE std::string to_half_blocks(const image& picture, bool is_256) {
    const auto code = [&](std::size_t x, std::size_t y) {
        const std::uint8_t* p = picture.at(x, y);
        if (is_256) return "5;" + std::to_string(xterm_colour({p[0], p[1], p[2]}));
        return "2;" + std::to_string(p[0]) + ';' + std::to_string(p[1]) + ';' + std::to_string(p[2]);
    };
    std::string made;
    for (std::size_t y = 0; y < picture.height; y += 2) {
        std::string upper, lower; // what is set
        for (std::size_t x = 0; x < picture.width; ++x) {
            if (std::string next = code(x, y); next != upper) made += "\x1b[38;" + next + 'm', upper = std::move(next);
            if (y + 1 < picture.height)
                if (std::string next = code(x, y + 1); next != lower) made += "\x1b[48;" + next + 'm', lower = std::move(next);
            made += "\xE2\x96\x80"; // U+2580
        }
        made += "\x1b[0m\n";
    }
    return made;
}

} // namespace image_detail

PALI_INLINE std::string to_terminal(const image& picture, terminal_graphics graphics, const terminal_size& size) {
    const auto between = [](std::size_t v, std::size_t most) { return v >= 1 && v <= most; };
    if (picture.width == 0 || picture.height == 0 || picture.pixels.size() != picture.width * picture.height * 3 || !between(size.columns, 1000) ||
        !between(size.rows, 1000) || !between(size.cell_width, 100) || !between(size.cell_height, 100))
        throw error(errc::invalid_argument, {"to_terminal: a picture of ", picture.width, " x ", picture.height, " (", picture.pixels.size(), " bytes) in ",
                                             size.columns, " x ", size.rows, " characters of ", size.cell_width, " x ", size.cell_height,
                                             " pixels; it needs a pixel, 1 to 1000 characters and 1 to 100 pixels"});
    const auto number = [](std::size_t v) { return static_cast<double>(v); };
    if (graphics == terminal_graphics::half_blocks || graphics == terminal_graphics::half_blocks_256) {
        const double stretch = number(size.cell_height) / 2 / number(size.cell_width);
        return image_detail::to_half_blocks(image_detail::fitted(picture, number(size.columns), number(size.rows * 2), stretch),
                                            graphics == terminal_graphics::half_blocks_256);
    }
    const image shown = image_detail::fitted(picture, number(size.columns * size.cell_width), number(size.rows * size.cell_height), 1);
    if (graphics == terminal_graphics::kitty) return image_detail::to_kitty(shown, (shown.width + size.cell_width - 1) / size.cell_width);
    return image_detail::to_sixel(shown) + '\n';
}

} // namespace pali::inline PALI_ABI

// A checkpoint with the matrices of its decoder in small integers, as files that are mapped like any other.

namespace pali::inline PALI_ABI {

/// What a checkpoint was quantised to, "int8" or "int4"; empty for one that was not.
[[nodiscard]] inline std::string quantised_weights(const checkpoint_files& files) { return files.metadata(weights_key); }

/// Whether a tensor is a matrix of the decoder, its embedding and head among them: those are quantised. By its published name.
[[nodiscard]] inline bool is_decoder_matrix(std::string_view name, const tensor_info& tensor) { return name.starts_with("language_model.") && tensor.shape.size() == 2; }

/// Whether it has a row for each token: its last strip may be filled up.
[[nodiscard]] inline bool is_vocabulary(std::string_view name) { return name == "language_model.model.embed_tokens.weight" || name == "language_model.lm_head.weight"; }

/// The files of a folder but its weights, in whatever format: configuration, tokenizer, mask decoder. In the order of their names. Throws errc::cannot_open.
[[nodiscard]] inline std::vector<std::filesystem::path> all_but_weights(const std::filesystem::path& folder) {
    std::vector<std::filesystem::path> found;
    std::error_code failed;
    std::filesystem::directory_iterator place(folder, failed);
    for (; !failed && place != std::filesystem::directory_iterator(); place.increment(failed)) {
        const std::filesystem::directory_entry& entry = *place;
        const std::string name = entry.path().filename().string(), kind = entry.path().extension().string();
        std::error_code unknown;
        const bool weights = kind == ".safetensors" || name.ends_with(".index.json") || (holds_weights(kind) && kind != ".npz"); // .npz: of the mask decoder
        if (!weights && entry.is_regular_file(unknown)) found.push_back(entry.path());
    }
    if (failed) throw error(errc::cannot_open, {folder.string(), ": ", failed.message()});
    std::sort(found.begin(), found.end());
    return found;
}

/// Copies them over what is there. Throws errc::cannot_open, and errc::cannot_write.
inline void copy_all_but_weights(const std::filesystem::path& from, const std::filesystem::path& to) {
    for (const std::filesystem::path& file : all_but_weights(from)) {
        std::error_code failed;
        std::filesystem::copy_file(file, to / file.filename(), std::filesystem::copy_options::overwrite_existing, failed);
        if (failed) throw error(errc::cannot_write, {(to / file.filename()).string(), ": ", failed.message()});
    }
}

/// Throws errc::invalid_argument, naming a file in `to` that quantise_checkpoint() would replace with other contents.
inline void require_nothing_replaced(const std::filesystem::path& from, const std::filesystem::path& to) {
    const auto refuse = [](const std::filesystem::path& file) {
        throw error(errc::invalid_argument, {file.string(), ": is there already and would be replaced; name another folder, or allow it by `overwrite` (--overwrite)"});
    };
    const auto content = [](const std::filesystem::path& file) {
        std::ifstream in(file, std::ios::binary);
        return std::string(std::istreambuf_iterator<char>(in), {});
    };
    std::error_code unknown;
    if (std::filesystem::exists(to / "model.safetensors", unknown)) refuse(to / "model.safetensors");
    if (!std::filesystem::is_directory(from, unknown)) return;
    for (const std::filesystem::path& file : all_but_weights(from)) {
        const std::filesystem::path there = to / file.filename();
        if (!std::filesystem::exists(there, unknown)) continue;
        const bool is_same = std::filesystem::is_regular_file(there, unknown) && std::filesystem::file_size(there, unknown) == std::filesystem::file_size(file, unknown) && content(there) == content(file);
        if (!is_same) refuse(there);
    }
}

/// What the file of quantised weights will hold: for a matrix of the decoder its codes and its scales, and all else as it was.
/// Throws errc::invalid_argument for a matrix that cannot be quantised, errc::unsupported_format for weights of a type that is not read.
template <weight_storage Storage>
[[nodiscard]] std::map<std::string, safetensors_writer::entry, std::less<>> quantised_entries(const tensor_table& tensors) {
    using quantised_matrix = typename Storage::matrix;
    std::map<std::string, safetensors_writer::entry, std::less<>> entries;
    const tensor_names names(tensors);
    for (const auto& [name, tensor] : tensors) {
        const std::string published = names.published(name);
        if (!is_convertible(tensor.type) && (is_of_a_layer(published) || is_decoder_matrix(published, tensor)))
            throw error(errc::unsupported_format, {tensor.file, ": tensor ", in_quotes(name), " is stored as ", to_string(tensor.type), "; BF16, F16 and F32 are read. ", conversion_cure});
        if (!is_decoder_matrix(published, tensor)) {
            entries[name] = {tensor.type, tensor.shape};
            continue;
        }
        const std::size_t count = tensor.shape[0], width = tensor.shape[1];
        if (!quantised_matrix::fits(is_vocabulary(published) ? quantised_matrix::padded(count) : count, width))
            throw error(errc::invalid_argument, {tensor.file, ": tensor ", in_quotes(name), " is ", to_string(tensor.type), describe_shape(tensor.shape), "; ",
                                                 what_is_quantised<quantised_matrix::bits>()});
        entries[name] = {code_type<quantised_matrix::bits>, quantised_matrix::codes_shape(count, width)};
        entries[name + std::string(scales_suffix)] = {dtype::bf16, quantised_matrix::scales_shape(count, width)};
    }
    return entries;
}

/// Rows [first, first + count) of a matrix of a file.
[[nodiscard]] inline tensor_info slice_rows(const tensor_info& tensor, std::size_t first, std::size_t count) {
    const std::size_t row = tensor.shape[1] * size_of(tensor.type);
    return {tensor.type, {count, tensor.shape[1]}, tensor.bytes.subspan(first * row, count * row), tensor.file};
}

/// Reads the Hugging Face folder `given`, as find_checkpoint() takes it, and writes `to`: the same, with the decoder in the weights of `Storage` (int8 or int4) in one model.safetensors.
/// Weights pass through in pieces of 16 MiB, so a checkpoint of any size needs some tens of megabytes of memory. `threads` counts the caller, 0: as many as the machine
/// has; `progress` is asked after each piece, stage "quantize".
/// Throws errc::invalid_argument where the folder is quantised already, is `to`, or has a matrix that does not consist of whole strips and groups (of embedding and head the last strip is filled
/// up with zeros); errc::unsupported_format where another program quantised it, or its weights have a type that is not read; errc::malformed_file for weights that are not finite; errc::invalid_argument, without `overwrite`, before any
/// work where a file in `to` would be replaced by another; errc::cannot_write; errc::cancelled; and what checkpoint_files throws. A model.safetensors that was in `to` is replaced
/// when all is done, or stays.
template <weight_storage Storage>
void quantise_checkpoint(const std::filesystem::path& given, const std::filesystem::path& to, std::size_t threads = 0, const progress_callback& progress = {}, bool overwrite = false) {
    using quantised_matrix = typename Storage::matrix;
    constexpr std::size_t bytes_a_piece = std::size_t{16} << 20; // of the file that is read
    const checkpoint_files files(given);
    const std::filesystem::path from = files.path();
    if (const std::string weights = quantised_weights(files); !weights.empty())
        throw error(errc::invalid_argument, {from.string(), " holds ", weights, " weights already; quantise the checkpoint that they were made from"});
    refuse_foreign_format(files.tensors(), from.string());
    std::error_code failed;
    std::filesystem::create_directories(to, failed);
    if (failed) throw error(errc::cannot_write, {to.string(), ": ", failed.message()});
    const bool folder = std::filesystem::is_directory(from, failed);
    if (std::filesystem::equivalent(from, folder ? to : to / "model.safetensors", failed)) throw error(errc::invalid_argument, {to.string(), " is the checkpoint itself; name another folder"});

    // What a model needs besides its weights lies in the folder, also where one file of weights was named.
    const std::filesystem::path beside = folder ? from : from.has_parent_path() ? from.parent_path() : std::filesystem::path(".");
    if (!overwrite) require_nothing_replaced(beside, to);

    safetensors_writer out(to / "model.safetensors", quantised_entries<Storage>(files.tensors()),
                           {{"format", "pt"}, {std::string(weights_key), Storage::name}});
    thread_pool pool(threads);
    std::size_t whole = 0, done = 0; // bytes of the tensors
    for (const auto& [name, tensor] : files.tensors()) whole += tensor.bytes.size();
    const auto pass = [&](std::span<const std::byte> read) { // what was read is done with
        files.forget(read);
        done += read.size();
        if (progress && !progress("quantize", static_cast<double>(done) / static_cast<double>(whole)))
            throw error(errc::cancelled, {to.string(), ": quantising was stopped by the callback"});
    };
    std::vector<std::byte> memory;
    const tensor_names names(files.tensors());
    for (const auto& [name, tensor] : files.tensors()) {
        if (!is_decoder_matrix(names.published(name), tensor)) {
            if (const auto at = find_not_finite(tensor)) throw error(errc::malformed_file, {tensor.file, ": tensor ", in_quotes(name), " has a number that is not finite: element ", *at});
            out.append(name, tensor.bytes);
            pass(tensor.bytes);
            continue;
        }
        const std::size_t rows = tensor.shape[0], bytes_a_row = tensor.shape[1] * size_of(tensor.type);
        const std::size_t rows_a_piece = std::max(quantised_matrix::strip, bytes_a_piece / std::max<std::size_t>(1, bytes_a_row) / quantised_matrix::strip * quantised_matrix::strip);
        for (std::size_t first = 0; first < rows; first += rows_a_piece) {
            const tensor_info piece = slice_rows(tensor, first, std::min(rows_a_piece, rows - first));
            memory.resize(quantised_bytes<quantised_matrix::bits>(piece));
            quantise<quantised_matrix::bits>(piece, memory.data(), pool);
            if (const auto at = find_not_finite(piece))
                throw error(errc::malformed_file, {tensor.file, ": tensor ", in_quotes(name), " has a number that is not finite in row ", first + *at / tensor.shape[1]});
            const std::size_t codes = quantised_matrix::bytes_of(quantised_matrix::padded(piece.shape[0]) * piece.shape[1]);
            out.append(name, std::span(memory).first(codes));
            out.append(name + std::string(scales_suffix), std::span(memory).subspan(codes));
            pass(piece.bytes);
        }
    }
    if (!std::filesystem::equivalent(beside, to, failed)) copy_all_but_weights(beside, to);
    out.finish();
}

} // namespace pali::inline PALI_ABI

// Labels as numbered categories, as training formats want them.

namespace pali::inline PALI_ABI {

/// The label as a name that stands on a line of its own: valid UTF-8, a blank for each control character; "object" where nothing is left.
[[nodiscard]] inline std::string category_name(std::string_view label) {
    std::string out;
    bool is_blank = true;
    while (!label.empty()) {
        const std::size_t length = first_character(label).length;
        const auto c = static_cast<unsigned char>(label[0]);
        if (length == 0) out += replacement_character;
        else if (length == 1) out += c < 0x20 || c == 0x7f ? ' ' : label[0];
        else out += label.substr(0, length);
        is_blank = is_blank && out.back() == ' ';
        label.remove_prefix(length > 0 ? length : 1);
    }
    return is_blank ? "object" : out;
}

/// Names in the order of their first appearance. A name keeps its number whatever comes later.
class category_list {
public:
    category_list() = default;
    /// Those of a classes.txt, a name a line; empty lines are kept, so that numbers stay.
    explicit category_list(std::string_view classes) {
        while (!classes.empty()) {
            const std::size_t end = std::min(classes.find('\n'), classes.size());
            std::string_view line = classes.substr(0, end);
            if (line.ends_with('\r')) line.remove_suffix(1);
            m_names.emplace_back(line);
            m_numbers.try_emplace(m_names.back(), m_names.size() - 1);
            classes.remove_prefix(std::min(end + 1, classes.size()));
        }
    }

    /// The number of a label's name, from 0 on; a new one where it is new.
    std::size_t number_of(std::string_view label) {
        std::string name = category_name(label);
        const auto [found, is_new] = m_numbers.try_emplace(name, m_names.size());
        if (is_new) m_names.push_back(std::move(name));
        return found->second;
    }

    /// By number.
    [[nodiscard]] const std::vector<std::string>& names() const noexcept { return m_names; }

    /// A name a line: what YOLO's classes.txt holds.
    [[nodiscard]] std::string text() const {
        std::string out;
        for (const std::string& name : m_names) out += name + '\n';
        return out;
    }

private:
    std::vector<std::string> m_names;
    std::map<std::string, std::size_t, std::less<>> m_numbers;
};

} // namespace pali::inline PALI_ABI

// A picture and what was found in it, as the files of results have it.

namespace pali::inline PALI_ABI {

/// What every format of results is written from. Refers to objects that belong to somebody else.
struct picture_objects {
    std::string file;                              ///< the picture's name as it is to stand in the results
    std::size_t width = 0, height = 0;             ///< pixels
    std::span<const object> objects;               ///< boxes in those pixels
    std::span<const std::string> mask_files = {};  ///< names of the pictures that hold their masks, one an object or none at all; "" for none
    std::string text = {};                         ///< what was said besides objects: a caption, an answer
};

} // namespace pali::inline PALI_ABI

// Objects as a COCO data set, which pycocotools, FiftyOne, CVAT and most trainers read.

namespace pali::inline PALI_ABI {

/// The form of masks in `segmentation`.
enum class coco_masks {
    automatic,   ///< one polygon for each region; run lengths for masks with holes, which a list of polygons cannot express
    polygons,    ///< always polygons; regions and holes of a mask with holes are joined into one
    run_lengths, ///< always run lengths, as pycocotools compresses them
};

/**
 * Collects pictures one by one; the document is complete at any time, and an earlier one can be gone on with.
 *
 * An annotation of an object with a mask has `segmentation` (see coco_masks), and `area` and `bbox` [x, y, width, height] of the mask's pixels. One without has
 * [], and area and bbox of its box, to a hundredth of a pixel. `iscrowd` is 0; `score` is there too. Ids of pictures, annotations and categories
 * begin at 1 and follow first appearance. Categories are named by category_name(): "object" where a model gave no label. A file name that is not
 * UTF-8 is written with U+FFFD, and its bytes in hexadecimal as `file_name_bytes`. The document is in memory; coco_file writes one of any size.
 */
class coco_writer {
public:
    /// Without pictures.
    explicit coco_writer(coco_masks masks = coco_masks::automatic);
    ~coco_writer();
    /// What is moved from can only be destroyed or assigned to.
    coco_writer(coco_writer&&) noexcept;
    /// The same.
    coco_writer& operator=(coco_writer&&) noexcept;

    /// What a file holds, to be gone on with; anything else in it is kept. Throws `cannot_open`; `malformed_file` with what is wrong.
    [[nodiscard]] static coco_writer read(const std::filesystem::path& path, coco_masks masks = coco_masks::automatic);

    /// Adds a category, unless it is there: categories that are declared first have the same ids whatever is found.
    void declare(const std::string& label);
    /// Whether a picture of this name has been added.
    [[nodiscard]] bool contains(const std::string& file) const;
    /// Pictures added.
    [[nodiscard]] std::size_t size() const noexcept;

    /// Adds a picture, with objects or without. Throws `invalid_argument` for one that is there or has no name, and a mask of another size than its picture.
    void add(const picture_objects& picture);

    /// The data set: images, annotations, categories.
    [[nodiscard]] std::string text() const;
    /// The same annotations as a list of results for COCO.loadRes, which an evaluation against true boxes takes.
    [[nodiscard]] std::string results() const;
    /// text() to a file, whole or not at all. Throws `cannot_write`.
    void write(const std::filesystem::path& path) const;

private:
    struct parts; // keeps nlohmann/json out of this header
    std::unique_ptr<parts> m_parts;
};

} // namespace pali::inline PALI_ABI

// What the JSON formats share: numbers and texts that are valid JSON whatever they come from.

namespace pali::inline PALI_ABI::object_detail {

/// A number with so many decimals; 0 for one that is not finite, which JSON cannot write.
[[nodiscard]] inline double rounded(double value, double steps) noexcept {
    const double scaled = std::round(value * steps) / steps;
    return std::isfinite(scaled) ? scaled + 0.0 : 0.0; // + 0.0: no "-0.0"
}
[[nodiscard]] inline double to_hundredths(double value) noexcept { return rounded(value, 100); }
[[nodiscard]] inline double score_value(float score) noexcept { return rounded(static_cast<double>(score), 1e6); }

/// The text with U+FFFD for bytes that are no UTF-8.
[[nodiscard]] inline std::string utf8_of(std::string_view text) {
    std::string out;
    append_utf8(out, text);
    return out;
}

/// The bytes in hexadecimal, two digits each.
[[nodiscard]] inline std::string hexadecimal(std::string_view bytes) {
    constexpr char digits[] = "0123456789abcdef";
    std::string out;
    for (const char c : bytes) (out += digits[static_cast<unsigned char>(c) >> 4]) += digits[static_cast<unsigned char>(c) & 15];
    return out;
}

/// The bytes of hexadecimal(); empty where the text is not such.
[[nodiscard]] inline std::string from_hexadecimal(std::string_view text) {
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
    std::string out;
    if (text.size() % 2 != 0) return out;
    for (std::size_t i = 0; i < text.size(); i += 2) {
        if (digit(text[i]) < 0 || digit(text[i + 1]) < 0) return {};
        out += static_cast<char>(digit(text[i]) * 16 + digit(text[i + 1]));
    }
    return out;
}

/// Adds a file name as `key`. One that is not UTF-8 is written with U+FFFD, and its bytes in hexadecimal as `key`_bytes: two names that differ in such
/// bytes stay two.
inline void add_name(nlohmann::ordered_json& to, const std::string& key, std::string_view name) {
    to[key] = utf8_of(name);
    if (!is_utf8(name)) to[key + "_bytes"] = hexadecimal(name);
}

/// The name that add_name() wrote, byte for byte; empty where there is none.
[[nodiscard]] inline std::string name_of(const nlohmann::ordered_json& from, const std::string& key) {
    const auto text = [&](const std::string& member) {
        const auto found = from.is_object() ? from.find(member) : from.end();
        return found != from.end() && found->is_string() ? found->template get<std::string>() : std::string();
    };
    const std::string bytes = from_hexadecimal(text(key + "_bytes"));
    return bytes.empty() ? text(key) : bytes;
}

inline void check_mask(const char* what, const picture_objects& picture, const object& one) {
    if (one.mask.empty() || (one.mask.width == picture.width && one.mask.height == picture.height)) return;
    throw error(errc::invalid_argument, {what, ": a mask of ", one.mask.width, " x ", one.mask.height, " pixels for a picture of ", picture.width, " x ",
                                         picture.height});
}

} // namespace pali::inline PALI_ABI::object_detail

// A mask as polygons along the borders of its pixels, as COCO and YOLO write them.

namespace pali::inline PALI_ABI {

/// A corner of a pixel: (0, 0) is the top left of the picture, (width, height) its bottom right.
struct polygon_point {
    std::size_t x = 0; ///< pixels from the left
    std::size_t y = 0; ///< pixels from the top

    friend bool operator==(const polygon_point&, const polygon_point&) = default;
};

/// A closed line without the first point repeated at the end.
using polygon = std::vector<polygon_point>;

/// The borders of a mask.
struct mask_polygons {
    std::vector<polygon> outlines; ///< one for each region of pixels that share an edge; clockwise on the screen
    std::vector<polygon> holes;    ///< one for each hole in a region; counter-clockwise
};

/// Follows the borders between pixels inside and outside the mask. Filling the outlines and clearing the holes gives the mask back exactly. Points lie
/// where a border turns. O(pixels).
[[nodiscard]] inline mask_polygons polygons_of(const mask& from) {
    const auto inside = [&](std::size_t x, std::size_t y) { return x < from.width && y < from.height && from.contains(x, y); }; // x - 1 wraps around at 0
    std::vector<std::uint8_t> seen(from.values.size()); // pixels whose top edge is part of a border that was followed
    mask_polygons found;
    for (std::size_t top = 0; top < from.height; ++top)
        for (std::size_t left = 0; left < from.width; ++left) {
            if (!inside(left, top) || inside(left, top - 1) || seen[top * from.width + left] != 0) continue;
            // Every border has a top edge that is followed to the right, with the inside on the right-hand side.
            enum { to_right, to_bottom, to_left, to_top } heading = to_right;
            polygon line;
            std::size_t x = left, y = top;
            std::int64_t area = 0; // twice the area, by the shoelace formula
            do {
                if (heading == to_right) seen[y * from.width + x] = 1;
                const std::size_t from_x = x, from_y = y;
                x = heading == to_right ? x + 1 : heading == to_left ? x - 1 : x;
                y = heading == to_bottom ? y + 1 : heading == to_top ? y - 1 : y;
                area += static_cast<std::int64_t>(from_x) * static_cast<std::int64_t>(y) - static_cast<std::int64_t>(x) * static_cast<std::int64_t>(from_y);
                // The two pixels ahead of the corner (x, y). Turning right where the right one is outside keeps pixels that meet at a corner only apart.
                const bool ahead_right = inside(heading == to_right || heading == to_top ? x : x - 1, heading == to_right || heading == to_bottom ? y : y - 1);
                const bool ahead_left = inside(heading == to_right || heading == to_bottom ? x : x - 1, heading == to_bottom || heading == to_left ? y : y - 1);
                const auto straight = heading;
                if (!ahead_right) heading = static_cast<decltype(heading)>((heading + 1) % 4);
                else if (ahead_left) heading = static_cast<decltype(heading)>((heading + 3) % 4);
                if (heading != straight) line.push_back({x, y});
            } while (x != left || y != top || heading != to_right);
            (area < 0 ? found.holes : found.outlines).push_back(std::move(line));
        }
    return found;
}

/// All outlines and holes as one line, joined by pairs of coinciding segments where they come closest: formats with one polygon an object take it. Filled by
/// the even-odd rule it is the mask. Empty without outlines. O(points squared) for masks of several parts.
[[nodiscard]] inline polygon joined(const mask_polygons& parts) {
    polygon line;
    const auto join = [&](const polygon& other) {
        if (line.empty()) {
            line = other;
            return;
        }
        std::size_t at = 0, entry = 0, nearest = std::numeric_limits<std::size_t>::max();
        const auto square = [](std::size_t a, std::size_t b) { return (a > b ? a - b : b - a) * (a > b ? a - b : b - a); };
        for (std::size_t i = 0; i < line.size(); ++i)
            for (std::size_t j = 0; j < other.size(); ++j)
                if (const std::size_t distance = square(line[i].x, other[j].x) + square(line[i].y, other[j].y); distance < nearest) nearest = distance, at = i, entry = j;
        polygon path; // from the entry around and back, then back to the point it was left from
        for (std::size_t j = 0; j <= other.size(); ++j) path.push_back(other[(entry + j) % other.size()]);
        path.push_back(line[at]);
        line.insert(line.begin() + static_cast<std::ptrdiff_t>(at) + 1, path.begin(), path.end());
    };
    for (const polygon& outline : parts.outlines) join(outline);
    for (const polygon& hole : parts.holes) join(hole);
    return line;
}

} // namespace pali::inline PALI_ABI

// Masks as run lengths, as COCO and pycocotools write them.

namespace pali::inline PALI_ABI {

/// A mask column by column from the top left: how many pixels are outside, then how many inside, and so on; the first number may be 0.
struct run_lengths {
    std::size_t width = 0, height = 0; ///< pixels
    std::vector<std::size_t> counts;   ///< pixels outside, inside, outside, ...

    /// Pixels inside.
    [[nodiscard]] std::size_t area() const noexcept {
        std::size_t sum = 0;
        for (std::size_t i = 1; i < counts.size(); i += 2) sum += counts[i];
        return sum;
    }

    friend bool operator==(const run_lengths&, const run_lengths&) = default;
};

/// Runs of a mask; values of mask::inside and more are inside.
[[nodiscard]] inline run_lengths runs_of(const mask& from) {
    run_lengths made{.width = from.width, .height = from.height, .counts = {0}};
    bool inside = false;
    for (std::size_t x = 0; x < from.width; ++x)
        for (std::size_t y = 0; y < from.height; ++y) {
            if (from.contains(x, y) != inside) {
                made.counts.push_back(0);
                inside = !inside;
            }
            ++made.counts.back();
        }
    return made;
}

/// The mask, of values 0 and 255. Throws `invalid_argument` unless the counts add up to width * height.
[[nodiscard]] inline mask mask_of(const run_lengths& runs) {
    const bool is_countable = runs.height == 0 || runs.width <= static_cast<std::size_t>(-1) / runs.height;
    std::size_t left = is_countable ? runs.width * runs.height : 0;
    const bool fits = std::all_of(runs.counts.begin(), runs.counts.end(), [&](std::size_t count) {
        const bool is_left = count <= left;
        left -= is_left ? count : 0;
        return is_left;
    });
    if (!is_countable || !fits || left != 0)
        throw error(errc::invalid_argument, {"mask_of: the runs do not fill a mask of ", runs.width, " x ", runs.height});
    mask made(runs.width, runs.height);
    std::size_t at = 0;
    for (std::size_t i = 0; i < runs.counts.size(); ++i)
        for (const std::size_t end = at + runs.counts[i]; at < end; ++at)
            if (i % 2 == 1) made.values[at % runs.height * runs.width + at / runs.height] = 255;
    return made;
}

/// The string of pycocotools (maskApi.c, rleToString): each count, from the fourth on less the one two before it, in groups of five bits from the
/// lowest up; a sixth bit says that more follow, and '0' is added. Its characters are '0' to 'o', among them a backslash.
[[nodiscard]] inline std::string to_string(const run_lengths& runs) {
    std::string out;
    for (std::size_t i = 0; i < runs.counts.size(); ++i) {
        auto rest = static_cast<std::int64_t>(runs.counts[i]);
        if (i > 2) rest -= static_cast<std::int64_t>(runs.counts[i - 2]);
        for (bool more = true; more;) {
            const std::int64_t bits = rest & 31;
            rest >>= 5;
            more = (bits & 16) != 0 ? rest != -1 : rest != 0;
            out += static_cast<char>('0' + (bits | (more ? 32 : 0)));
        }
    }
    return out;
}

/// Reads such a string. Throws `malformed_file` for one that no mask of width x height pixels has.
[[nodiscard]] inline run_lengths read_runs(std::string_view text, std::size_t width, std::size_t height) {
    constexpr std::size_t most = std::size_t{1} << 40; // pixels: far above any picture, and no sum leaves 64 bits
    const auto fail = [&](const error_text& what) {
        throw error(errc::malformed_file, {"run lengths of a mask of ", width, " x ", height, ": ", what});
    };
    if (height != 0 && width > most / height) fail("too large");
    run_lengths made{.width = width, .height = height, .counts = {}};
    std::size_t left = width * height;
    for (std::size_t at = 0; at < text.size();) {
        std::int64_t count = 0;
        for (unsigned shift = 0;; shift += 5) {
            if (at == text.size()) fail("the last number is cut off");
            const int c = text[at] - '0';
            if (c < 0 || c > 63) fail({"byte ", at, " is none of '0' to 'o'"});
            if (shift > 45) fail({"the number before byte ", at, " is too long"});
            ++at;
            count += std::int64_t{c & 31} << shift;
            if ((c & 32) != 0) continue;
            if ((c & 16) != 0) count -= std::int64_t{32} << shift;
            break;
        }
        if (made.counts.size() > 2) count += static_cast<std::int64_t>(made.counts[made.counts.size() - 2]);
        if (count < 0 || static_cast<std::size_t>(count) > left) fail("the runs do not fit");
        made.counts.push_back(static_cast<std::size_t>(count));
        left -= made.counts.back();
    }
    if (left != 0) fail({left, " pixels are in no run"});
    return made;
}

} // namespace pali::inline PALI_ABI

// Bodies of coco.hpp.

namespace pali::inline PALI_ABI {

namespace object_detail {

/// The smallest rectangle around the pixels inside, right and bottom excluded, and their number.
struct mask_extent {
    std::size_t x0 = 0, y0 = 0, x1 = 0, y1 = 0, pixels = 0;

    explicit mask_extent(const mask& from) {
        for (std::size_t y = 0; y < from.height; ++y)
            for (std::size_t x = 0; x < from.width; ++x) {
                if (!from.contains(x, y)) continue;
                if (pixels++ == 0) x0 = x, y0 = y;
                x0 = std::min(x0, x), x1 = std::max(x1, x + 1), y1 = y + 1;
            }
    }
};

/// A list of polygons, or run lengths as pycocotools compresses them.
[[nodiscard]] PALI_INLINE nlohmann::ordered_json coco_segmentation(const mask& from, coco_masks form) {
    const mask_polygons borders = form == coco_masks::run_lengths ? mask_polygons() : polygons_of(from);
    if (form == coco_masks::run_lengths || borders.outlines.empty() || (form == coco_masks::automatic && !borders.holes.empty()))
        return {{"size", {from.height, from.width}}, {"counts", to_string(runs_of(from))}};
    auto list = nlohmann::ordered_json::array();
    const auto add = [&](const polygon& line) {
        auto numbers = nlohmann::ordered_json::array();
        for (const polygon_point& point : line) numbers.insert(numbers.end(), {point.x, point.y});
        list.push_back(std::move(numbers));
    };
    if (borders.holes.empty()) std::for_each(borders.outlines.begin(), borders.outlines.end(), add);
    else add(joined(borders));
    return list;
}

/// What makes the entries of a data set: names that are there, and ids.
struct coco_entries {
    using json = nlohmann::ordered_json;

    coco_masks masks = coco_masks::automatic;
    std::set<std::string> files;
    std::map<std::string, std::int64_t> categories; // name -> id
    std::int64_t last_image = 0, last_annotation = 0, last_category = 0;

    /// The id of a label's category, which is put behind `list` where it is new.
    std::int64_t category_of(const std::string& label, json& list) {
        std::string name = category_name(label);
        const auto [found, is_new] = categories.try_emplace(name, last_category + 1);
        if (is_new) list.push_back({{"id", ++last_category}, {"name", std::move(name)}, {"supercategory", ""}});
        return found->second;
    }

    /// The entry in "images"; annotations() is to follow. Throws what coco_writer::add() throws.
    [[nodiscard]] json image(const picture_objects& picture) {
        if (picture.file.empty() || files.contains(picture.file)) throw error(errc::invalid_argument, {"coco_writer: ", in_quotes(picture.file), " is no name, or has been added before"});
        for (const object& o : picture.objects) check_mask("coco_writer", picture, o);
        files.insert(picture.file);
        json made = {{"id", ++last_image}};
        add_name(made, "file_name", picture.file);
        made["width"] = picture.width;
        made["height"] = picture.height;
        return made;
    }

    /// The entry in "annotations" of an object in the picture that was added last.
    [[nodiscard]] json annotation(const object& o, json& category_list) {
        const double x = to_hundredths(static_cast<double>(o.box.x0)), y = to_hundredths(static_cast<double>(o.box.y0));
        const double width = std::max(to_hundredths(static_cast<double>(o.box.x1) - x), 0.0);
        const double height = std::max(to_hundredths(static_cast<double>(o.box.y1) - y), 0.0);
        json made = {{"id", ++last_annotation}, {"image_id", last_image}, {"category_id", category_of(o.label, category_list)}};
        made["bbox"] = {x, y, width, height};
        if (o.mask.empty()) {
            made["area"] = to_hundredths(width * height);
            made["segmentation"] = json::array();
        } else {
            const mask_extent extent(o.mask);
            if (extent.pixels > 0) made["bbox"] = {extent.x0, extent.y0, extent.x1 - extent.x0, extent.y1 - extent.y0};
            made["area"] = extent.pixels;
            made["segmentation"] = coco_segmentation(o.mask, masks);
        }
        made["iscrowd"] = 0;
        made["score"] = score_value(o.score);
        return made;
    }
};

/// On one line. What was read from a file may hold anything: bytes that are not UTF-8 become U+FFFD.
[[nodiscard]] PALI_INLINE std::string coco_text(const nlohmann::ordered_json& value) { return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace); }

[[nodiscard]] PALI_INLINE nlohmann::ordered_json coco_info() { return {{"description", "objects found by pali"}}; }

} // namespace object_detail

struct coco_writer::parts {
    object_detail::coco_entries entries;
    nlohmann::ordered_json document = {{"info", object_detail::coco_info()},
                                       {"images", nlohmann::ordered_json::array()},
                                       {"annotations", nlohmann::ordered_json::array()},
                                       {"categories", nlohmann::ordered_json::array()}};
};

PALI_INLINE coco_writer::coco_writer(coco_masks masks) : m_parts(std::make_unique<parts>()) { m_parts->entries.masks = masks; }
PALI_INLINE void coco_writer::declare(const std::string& label) { (void)m_parts->entries.category_of(label, m_parts->document["categories"]); }
PALI_INLINE coco_writer::~coco_writer() = default;
PALI_INLINE coco_writer::coco_writer(coco_writer&&) noexcept = default;
PALI_INLINE coco_writer& coco_writer::operator=(coco_writer&&) noexcept = default;

PALI_INLINE coco_writer coco_writer::read(const std::filesystem::path& path, coco_masks masks) {
    std::ifstream in = detail::open_file(path);
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_file, {path.string(), ": ", what}); };
    coco_writer made(masks);
    parts& p = *made.m_parts;
    p.document = nlohmann::ordered_json::parse(in, nullptr, false);
    if (!p.document.is_object()) fail("is no JSON object");
    // Each entry of a list has an id of its own, from 1 on: what is added later goes on behind the last.
    const auto read_list = [&](const char* list, std::int64_t& last, auto&& entry) {
        if (!p.document.contains(list) || !p.document[list].is_array()) fail({"has no list \"", list, "\""});
        std::set<std::int64_t> ids;
        for (const auto& one : p.document[list]) {
            const auto id = one.is_object() ? one.find("id") : one.end();
            if (!one.is_object() || id == one.end() || !id->is_number_integer() || id->template get<std::int64_t>() < 0 ||
                id->template get<std::int64_t>() >= INT64_MAX / 2 || !ids.insert(id->template get<std::int64_t>()).second)
                fail({"an entry of \"", list, "\" is no object with an \"id\" of its own"});
            last = std::max(last, *ids.rbegin());
            if (!entry(one, id->template get<std::int64_t>())) fail({"an entry of \"", list, "\" has no name of its own"});
        }
    };
    read_list("images", p.entries.last_image, [&](const auto& one, std::int64_t) {
        const std::string file = object_detail::name_of(one, "file_name");
        return !file.empty() && p.entries.files.insert(file).second;
    });
    read_list("categories", p.entries.last_category, [&](const auto& one, std::int64_t id) {
        const std::string name = object_detail::name_of(one, "name");
        return !name.empty() && p.entries.categories.try_emplace(name, id).second;
    });
    read_list("annotations", p.entries.last_annotation, [](const auto&, std::int64_t) { return true; });
    return made;
}

PALI_INLINE bool coco_writer::contains(const std::string& file) const { return m_parts->entries.files.contains(file); }
PALI_INLINE std::size_t coco_writer::size() const noexcept { return m_parts->entries.files.size(); }

PALI_INLINE void coco_writer::add(const picture_objects& picture) {
    parts& p = *m_parts;
    p.document["images"].push_back(p.entries.image(picture));
    for (const object& o : picture.objects) p.document["annotations"].push_back(p.entries.annotation(o, p.document["categories"]));
}

PALI_INLINE std::string coco_writer::text() const {
    return object_detail::coco_text(m_parts->document) + '\n';
}

PALI_INLINE std::string coco_writer::results() const {
    auto list = nlohmann::ordered_json::array();
    for (const auto& a : m_parts->document["annotations"]) {
        nlohmann::ordered_json one;
        for (const char* key : {"image_id", "category_id", "bbox", "segmentation", "score"})
            if (a.contains(key) && !(a[key].is_array() && a[key].empty())) one[key] = a[key];
        list.push_back(std::move(one));
    }
    return object_detail::coco_text(list) + '\n';
}

PALI_INLINE void coco_writer::write(const std::filesystem::path& path) const { write_file(path, text()); }

} // namespace pali::inline PALI_ABI

// A COCO data set that is written as pictures come.

namespace pali::inline PALI_ABI {

/**
 * Writes the file that coco_writer writes, to the byte, of any number of pictures: memory holds their names and the categories.
 *
 * The file appears whole, by finish(), or not at all. Until then there are `<path>.part` and `<path>.annotations.part`.
 */
class coco_file {
public:
    /// Begins a file. Throws `cannot_write`.
    explicit coco_file(std::filesystem::path path, coco_masks masks = coco_masks::automatic);
    /// Removes what was written unless it is finished.
    ~coco_file();
    /// What is moved from can only be destroyed or assigned to.
    coco_file(coco_file&&) noexcept;
    /// The same.
    coco_file& operator=(coco_file&&) noexcept;

    /// As coco_writer::declare().
    void declare(const std::string& label);
    /// As coco_writer::add(). Failures to write are reported by finish().
    void add(const picture_objects& picture);
    /// Completes the file. To be called once, at the end. Throws `cannot_write`.
    void finish();

private:
    struct parts; // keeps nlohmann/json out of this header
    std::unique_ptr<parts> m_parts;
};

} // namespace pali::inline PALI_ABI

// Bodies of coco_file.hpp.

namespace pali::inline PALI_ABI {

struct coco_file::parts {
    file_writer file;                  // up to the images
    std::filesystem::path aside;       // annotations, which come behind all images
    std::fstream annotations;
    object_detail::coco_entries entries;
    nlohmann::ordered_json categories = nlohmann::ordered_json::array();

    explicit parts(const std::filesystem::path& path) : file(path), aside(path) {
        aside += ".annotations.part";
        annotations.open(aside, std::ios::in | std::ios::out | std::ios::binary | std::ios::trunc);
        if (!annotations) file.fail();
    }
    ~parts() {
        std::error_code ignored;
        annotations.close();
        std::filesystem::remove(aside, ignored);
    }
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;
};

PALI_INLINE coco_file::coco_file(std::filesystem::path path, coco_masks masks) : m_parts(std::make_unique<parts>(std::move(path))) {
    m_parts->entries.masks = masks;
    m_parts->file.write("{\"info\":" + object_detail::coco_text(object_detail::coco_info()) + ",\"images\":[");
}
PALI_INLINE coco_file::~coco_file() = default;
PALI_INLINE coco_file::coco_file(coco_file&&) noexcept = default;
PALI_INLINE coco_file& coco_file::operator=(coco_file&&) noexcept = default;

PALI_INLINE void coco_file::declare(const std::string& label) { (void)m_parts->entries.category_of(label, m_parts->categories); }

PALI_INLINE void coco_file::add(const picture_objects& picture) {
    parts& p = *m_parts;
    const nlohmann::ordered_json image = p.entries.image(picture);
    p.file.write((p.entries.last_image > 1 ? "," : "") + object_detail::coco_text(image));
    for (const object& o : picture.objects) {
        const nlohmann::ordered_json made = p.entries.annotation(o, p.categories);
        p.annotations << (p.entries.last_annotation > 1 ? "," : "") << object_detail::coco_text(made);
    }
}

PALI_INLINE void coco_file::finish() {
    parts& p = *m_parts;
    p.file.write("],\"annotations\":[");
    p.annotations.flush();
    p.annotations.seekg(0);
    if (!p.annotations) p.file.fail();
    std::array<char, std::size_t{1} << 16> bytes;
    while (p.annotations.read(bytes.data(), bytes.size()), p.annotations.gcount() > 0) p.file.write(std::string_view(bytes.data(), static_cast<std::size_t>(p.annotations.gcount())));
    if (p.annotations.bad()) p.file.fail();
    p.file.write("],\"categories\":" + object_detail::coco_text(p.categories) + "}\n");
    p.file.finish();
}

} // namespace pali::inline PALI_ABI

// Objects as plain JSON, a line a picture: results that are kept as they come.

namespace pali::inline PALI_ABI {

/// {"file": ..., "width": ..., "height": ..., "objects": [{"label": ..., "score": ..., "box": [x0, y0, x1, y1], "mask": ...}, ...]} without line breaks.
/// Boxes are in pixels, to a hundredth; "mask" is a name of `picture.mask_files`, and is there where there is one; so is "text". Bytes that are no UTF-8 become
/// U+FFFD; where that happens to the name, "file_bytes" has its bytes in hexadecimal. A number that is not finite becomes 0. Throws `invalid_argument` when there are mask files, but not one an object.
[[nodiscard]] std::string objects_json(const picture_objects& picture);

/// A file of such lines that grows picture by picture, and goes on where an earlier run was stopped.
class json_lines {
public:
    /// Opens a file, which need not be there. A last line of ours that was cut off is taken away. Throws `cannot_open`, `cannot_write`, and
    /// `malformed_file` with the line for one that is no JSON object with a "file".
    explicit json_lines(const std::filesystem::path& path);

    /// Whether a line is about this picture.
    [[nodiscard]] bool contains(const std::string& file) const;
    /// Pictures in the file.
    [[nodiscard]] std::size_t size() const noexcept { return m_files.size(); }
    /// Their names, in the order of the lines.
    [[nodiscard]] const std::vector<std::string>& files() const noexcept { return m_order; }

    /// Appends a line; it is in the file when this returns. Throws `cannot_write`; `invalid_argument` as objects_json does, and for a picture
    /// that is there or has no name.
    void add(const picture_objects& picture);

private:
    void note(const std::string& file);

    std::filesystem::path m_path;
    std::set<std::string> m_files;
    std::vector<std::string> m_order; // of the same names
};

} // namespace pali::inline PALI_ABI

// Bodies of json_lines.hpp.

namespace pali::inline PALI_ABI {

PALI_INLINE std::string objects_json(const picture_objects& picture) {
    using json = nlohmann::ordered_json;
    if (!picture.mask_files.empty() && picture.mask_files.size() != picture.objects.size())
        throw error(errc::invalid_argument, {"objects_json: ", picture.mask_files.size(), " mask files for ", picture.objects.size(),
                                             " objects; one for each, or none at all"});
    json objects = json::array();
    for (std::size_t i = 0; i < picture.objects.size(); ++i) {
        const object& o = picture.objects[i];
        json box = json::array();
        for (const float v : {o.box.x0, o.box.y0, o.box.x1, o.box.y1}) box.push_back(object_detail::to_hundredths(static_cast<double>(v)));
        objects.push_back({{"label", object_detail::utf8_of(o.label)}, {"score", object_detail::score_value(o.score)}, {"box", std::move(box)}});
        if (!picture.mask_files.empty() && !picture.mask_files[i].empty()) objects.back()["mask"] = object_detail::utf8_of(picture.mask_files[i]);
    }
    json line;
    object_detail::add_name(line, "file", picture.file);
    line["width"] = picture.width;
    line["height"] = picture.height;
    line["objects"] = std::move(objects);
    if (!picture.text.empty()) line["text"] = object_detail::utf8_of(picture.text);
    return line.dump();
}

namespace object_detail {

/// The file that a line is about; empty where it is no such object.
[[nodiscard]] PALI_INLINE std::string file_of_line(const std::string& line) { return name_of(nlohmann::ordered_json::parse(line, nullptr, false), "file"); }

PALI_INLINE void append(const std::filesystem::path& path, const std::string& text) {
    std::error_code failure;
    const bool is_new = !std::filesystem::exists(path, failure);
    const std::uintmax_t before = is_new ? 0 : std::filesystem::file_size(path, failure);
    std::ofstream out(path, std::ios::binary | std::ios::app);
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
    out.close();
    if (out) return;
    if (!failure) std::filesystem::resize_file(path, before, failure); // half a line would spoil the next one
    throw error(errc::cannot_write, {path.string(), ": cannot be written; is the folder there, writable and not full?"});
}

} // namespace object_detail

PALI_INLINE json_lines::json_lines(const std::filesystem::path& path) : m_path(path) {
    constexpr std::string_view beginning = "{\"file\":";
    std::error_code failure;
    if (!std::filesystem::exists(path, failure)) return;
    std::ifstream in = detail::open_file(path);
    std::uintmax_t whole = 0; // bytes of lines that have their end
    std::size_t number = 1;
    for (std::string line; std::getline(in, line); ++number) {
        const std::string file = object_detail::file_of_line(line);
        const bool is_last = in.eof(); // and has no end
        // Only what looks like our own line is taken away: the file may be somebody's by mistake.
        const bool is_ours = beginning.starts_with(std::string_view(line).substr(0, beginning.size()));
        if (is_last && file.empty() && is_ours) {
            in.close();
            std::filesystem::resize_file(path, whole, failure);
            if (failure) throw error(errc::cannot_write, {path.string(), ": the line that was cut off cannot be taken away"});
            return;
        }
        if (file.empty() && !line.empty())
            throw error(errc::malformed_file, {path.string(), ": line ", number, " is no JSON object with a \"file\""});
        if (!line.empty()) note(file);
        if (is_last && !line.empty()) object_detail::append(path, "\n");
        whole += line.size() + 1;
    }
    if (in.bad()) throw error(errc::cannot_open, {path.string(), ": cannot be read to its end"});
}

PALI_INLINE void json_lines::note(const std::string& file) {
    if (m_files.insert(file).second) m_order.push_back(file);
}

PALI_INLINE bool json_lines::contains(const std::string& file) const { return m_files.contains(file); }

PALI_INLINE void json_lines::add(const picture_objects& picture) {
    if (picture.file.empty() || m_files.contains(picture.file))
        throw error(errc::invalid_argument, {"json_lines: ", in_quotes(picture.file), " is no name, or has been added before"});
    object_detail::append(m_path, objects_json(picture) + '\n');
    note(picture.file);
}

} // namespace pali::inline PALI_ABI

// Objects as labelme opens them, to be corrected by hand: a JSON file a picture, beside it and of its name.

namespace pali::inline PALI_ABI {

/// The JSON of labelme 5: a shape "mask" for an object with one - a PNG of the pixels within, cut to where they are, in base64 -, and a
/// "rectangle" for others. Labels are those of category_name(), the score is the description. `picture.file` is a path from the JSON file to the
/// picture; bytes of it that are no UTF-8 become U+FFFD. All of it is ASCII. Throws `invalid_argument` for a mask of another size than the picture,
/// and what encode_png throws.
[[nodiscard]] std::string labelme_text(const picture_objects& picture);

} // namespace pali::inline PALI_ABI

// Body of labelme.hpp.

namespace pali::inline PALI_ABI {

namespace object_detail {

/// The rectangle of pixels inside, last row and column included, and what it holds as grey bytes 0 and 255; nothing when no pixel is.
struct mask_cutout {
    std::size_t x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    std::vector<std::uint8_t> grey;

    explicit mask_cutout(const mask& from) {
        x0 = from.width, y0 = from.height;
        for (std::size_t y = 0; y < from.height; ++y)
            for (std::size_t x = 0; x < from.width; ++x)
                if (from.contains(x, y)) {
                    x0 = std::min(x0, x), x1 = std::max(x1, x);
                    y0 = std::min(y0, y), y1 = y;
                }
        for (std::size_t y = y0; y <= y1 && y < from.height; ++y)
            for (std::size_t x = x0; x <= x1; ++x) grey.push_back(from.contains(x, y) ? 255 : 0);
    }
};

} // namespace object_detail

PALI_INLINE std::string labelme_text(const picture_objects& picture) {
    using json = nlohmann::ordered_json;
    using object_detail::to_hundredths;
    json shapes = json::array();
    for (const object& o : picture.objects) {
        object_detail::check_mask("labelme_text", picture, o);
        const auto at = [](float v) { return to_hundredths(static_cast<double>(v)); };
        json shape = {{"label", category_name(o.label)},
                      {"points", {{at(o.box.x0), at(o.box.y0)}, {at(o.box.x1), at(o.box.y1)}}},
                      {"group_id", nullptr},
                      {"description", json(object_detail::score_value(o.score)).dump()},
                      {"shape_type", "rectangle"},
                      {"flags", json::object()},
                      {"mask", nullptr}};
        if (const object_detail::mask_cutout cut(o.mask); !cut.grey.empty()) {
            shape["points"] = {{cut.x0, cut.y0}, {cut.x1, cut.y1}};
            shape["shape_type"] = "mask";
            shape["mask"] = image_detail::base64(encode_png(cut.x1 - cut.x0 + 1, cut.y1 - cut.y0 + 1, cut.grey));
        }
        shapes.push_back(std::move(shape));
    }
    const json document = {{"version", "5.5.0"},
                           {"flags", json::object()},
                           {"shapes", std::move(shapes)},
                           {"imagePath", object_detail::utf8_of(picture.file)},
                           {"imageData", nullptr},
                           {"imageHeight", picture.height},
                           {"imageWidth", picture.width}};
    return document.dump(2, ' ', true) + '\n'; // labelme opens it in the encoding of the machine: ASCII is part of each
}

} // namespace pali::inline PALI_ABI

// Objects as YOLO trains on them: a text file a picture.

namespace pali::inline PALI_ABI {

/// What a line says of an object.
enum class yolo_form {
    boxes,    ///< "class centre-x centre-y width height": data sets for detection
    polygons, ///< "class x y x y ...": data sets for segmentation; the mask's border, or the corners of the box of an object without a mask
};

/// A line an object. Coordinates are shares of the picture, 0 to 1, with six decimals in any locale. New labels get new numbers in `categories`. Boxes are cut
/// at the picture's edges; what has no area then is left out. A mask of several regions, or with holes, is one polygon: see joined(). Scores have no
/// place in this format.
[[nodiscard]] inline std::string yolo_text(const picture_objects& picture, category_list& categories, yolo_form form = yolo_form::boxes) {
    const auto share = [](double part) {
        const auto millionths = static_cast<std::uint64_t>(std::llround(part * 1e6));
        const std::string digits = std::to_string(millionths % 1'000'000);
        return ' ' + std::to_string(millionths / 1'000'000) + '.' + std::string(6 - digits.size(), '0') + digits;
    };
    const auto width = static_cast<double>(picture.width), height = static_cast<double>(picture.height);
    std::string out;
    for (const object& o : picture.objects) {
        if (const polygon border = form == yolo_form::polygons && o.mask.width == picture.width && o.mask.height == picture.height ? joined(polygons_of(o.mask)) : polygon(); !border.empty()) {
            out += std::to_string(categories.number_of(o.label));
            for (const polygon_point& point : border) out += share(static_cast<double>(point.x) / width) + share(static_cast<double>(point.y) / height);
            out += '\n';
            continue;
        }
        const auto cut = [](float at, double side) { return std::clamp(static_cast<double>(at), 0.0, side) / side; };
        const double x0 = cut(o.box.x0, width), x1 = cut(o.box.x1, width), y0 = cut(o.box.y0, height), y1 = cut(o.box.y1, height);
        if (!(x1 > x0 && y1 > y0)) continue; // not a number too
        out += std::to_string(categories.number_of(o.label));
        if (form == yolo_form::boxes) out += share((x0 + x1) / 2) + share((y0 + y1) / 2) + share(x1 - x0) + share(y1 - y0);
        else out += share(x0) + share(y0) + share(x1) + share(y0) + share(x1) + share(y1) + share(x0) + share(y1);
        out += '\n';
    }
    return out;
}

} // namespace pali::inline PALI_ABI

// Whether the two files of one vocabulary agree, for a folder that has both.

namespace pali::inline PALI_ABI {

/// How tokenizer.model and tokenizer.json of a folder differ: pieces, merges, tokens that transformers cuts out of a text. One sentence a difference, ten at
/// most; none where the folder does not have both files. A tokenizer opens the folder regardless, as long as the added tokens agree: this is for `pali inspect`.
///
/// Throws errc::cannot_open, errc::malformed_tokenizer and errc::unsupported_format as tokenizer does. Half a second for Gemma's vocabulary.
[[nodiscard]] std::vector<std::string> compare_vocabularies(const std::filesystem::path& folder);

} // namespace pali::inline PALI_ABI

// Body of compare_vocabularies.hpp.

namespace pali::inline PALI_ABI {

namespace detail {

/// In how many ways pieces can be cut in two pieces: as many merges does transformers derive from a tokenizer.model.
[[nodiscard]] PALI_INLINE std::size_t count_merges(const vocabulary& words) {
    std::size_t merges = 0;
    for (const model_piece& piece : words.pieces)
        for (std::size_t at = first_character(piece.text).length; at < piece.text.size(); at += first_character(piece.text.substr(at)).length)
            merges += words.find(piece.text.substr(0, at)) && words.find(piece.text.substr(at));
    return merges;
}

} // namespace detail

PALI_INLINE std::vector<std::string> compare_vocabularies(const std::filesystem::path& folder) {
    const std::filesystem::path model_file = folder / "tokenizer.model", json_file = folder / "tokenizer.json";
    std::error_code failure;
    if (!std::filesystem::exists(model_file, failure) || !std::filesystem::exists(json_file, failure)) return {};
    const std::string bytes = detail::read_whole_file(model_file);
    const detail::sentencepiece_model model = detail::read_sentencepiece_model(bytes, model_file.string());
    const detail::tokenizer_json json = detail::read_tokenizer_json(json_file, false);

    constexpr std::size_t most = 10;
    std::vector<std::string> out;
    std::size_t more = 0;
    const auto report = [&](const error_text& what) {
        if (out.size() + 1 < most) out.push_back(json_file.string() + ": " + what.str());
        else ++more;
    };
    const auto& ours = model.pieces;
    const auto& theirs = json.words.pieces;
    if (ours.size() != theirs.size()) report({"has ", theirs.size(), " pieces, and tokenizer.model ", ours.size()});
    for (std::size_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
        const int byte = detail::byte_of_piece(ours[i].text); // transformers 4 wrote the tabulator itself, for <0x09>
        const bool same_byte = byte >= 0 && theirs[i].text.size() == 1 && static_cast<unsigned char>(theirs[i].text[0]) == byte;
        if (ours[i].text != theirs[i].text && !same_byte) report({"has the piece ", in_quotes(theirs[i].text), " at id ", i, ", and tokenizer.model ", in_quotes(ours[i].text)});
    }
    const auto falls = [](const detail::piece_merge& a, const detail::piece_merge& b) { return a.result > b.result; };
    if (const auto at = std::adjacent_find(json.merges.begin(), json.merges.end(), falls); at != json.merges.end())
        report({"forms the piece ", in_quotes(theirs[at->result].text), " before ", in_quotes(theirs[(at + 1)->result].text), ", and tokenizer.model after it"});
    if (const std::size_t all = detail::count_merges(json.words); all != json.merges.size()) report({"has ", json.merges.size(), " merges; by its pieces there are ", all});
    std::map<std::string_view, const detail::added_token*> added;
    for (const detail::added_token& one : json.added) added.emplace(one.text, &one);
    for (std::size_t i = 0; i < ours.size(); ++i)
        if ((ours[i].type == detail::piece_type::control || ours[i].type == detail::piece_type::user_defined) && !added.contains(ours[i].text))
            report({"does not have ", in_quotes(ours[i].text), " among its added_tokens, and tokenizer.model never splits it"});
    if (more > 0) out.push_back(json_file.string() + ": " + error_text({more, " more differences from tokenizer.model"}).str());
    return out;
}

} // namespace pali::inline PALI_ABI
