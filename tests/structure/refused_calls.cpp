// Calls that a variant cannot serve with any checkpoint. A macro selects one call, which must not compile. Without a macro, the source
// compiles.
#include <pali/config/paligemma_config.hpp>
#include <pali/model.hpp>
#include <pali/model/memory_of.hpp>

#include <array>

struct odd_widths : pali::paligemma2<pali::gemma2_2b, pali::siglip_so400m_14<224>> {
    static constexpr std::size_t intermediate = 9200; // 143.75 groups of 64, 287.5 of 32
};
struct huge_image : pali::paligemma2<pali::gemma2_2b, pali::siglip_so400m_14<1274>> {}; // 8281 image tokens
struct no_locations : pali::paligemma2<pali::gemma2_2b, pali::siglip_so400m_14<224>> {
    static constexpr std::size_t vocab = 1024;
};
struct no_masks : pali::paligemma2<pali::gemma2_2b, pali::siglip_so400m_14<224>> {
    static constexpr std::size_t vocab = 1100;
};

/// Declares the bodies as compiled elsewhere, because this test only checks which calls do not compile.
namespace pali {
template <class Weights>
struct model_bodies<odd_widths, Weights> {
    static constexpr bool available = true;
};
template <class Weights>
struct model_bodies<huge_image, Weights> {
    static constexpr bool available = true;
};
template <class Weights>
struct model_bodies<no_locations, Weights> {
    static constexpr bool available = true;
};
template <class Weights>
struct model_bodies<no_masks, Weights> {
    static constexpr bool available = true;
};
template <class Weights>
struct model_bodies<paligemma2_3b_896, Weights> {
    static constexpr bool available = true;
};
} // namespace pali

void served(const pali::image& photo) {
    (void)pali::model<odd_widths>("folder").detect(photo, "cat");
    (void)pali::model<no_locations>("folder").caption(photo);
    (void)pali::model<no_masks>("folder").detect(photo, "cat");
    (void)pali::model<pali::paligemma2_3b_896>("folder").generate(std::array{photo}, "caption en");
    (void)pali::model<pali::dynamic, pali::int8>("folder").generate(std::array{photo, photo, photo}, "caption en");
    (void)pali::model<pali::dynamic>("folder").segment(photo, "cat");
    static_assert(pali::memory_of<pali::paligemma2_3b_224>(8192).total() >
                  pali::memory_of<pali::paligemma2_3b_224, pali::int4>(300).total());
    static_assert(pali::memory_of<odd_widths, pali::f32>(300).weights > 0);
}

void refused([[maybe_unused]] const pali::image& photo) {
#if defined(CODES_OF_ODD_WIDTHS)
    pali::model<odd_widths, pali::int8> model("folder");
#elif defined(AN_IMAGE_BEYOND_THE_POSITIONS)
    pali::model<huge_image> model("folder");
#elif defined(IMAGES_BEYOND_THE_POSITIONS)
    (void)pali::model<pali::paligemma2_3b_896>("folder").generate(std::array{photo, photo}, "caption en");
#elif defined(BOXES_WITHOUT_TOKENS)
    (void)pali::model<no_locations>("folder").detect(photo, "cat");
#elif defined(MASKS_WITHOUT_TOKENS)
    (void)pali::model<no_masks>("folder").segment(photo, "cat");
#elif defined(MEMORY_OF_UNKNOWN_SIZES)
    (void)pali::memory_of<pali::dynamic>(300);
#elif defined(MEMORY_OF_CODES_OF_ODD_WIDTHS)
    (void)pali::memory_of<odd_widths, pali::int4>(300);
#elif defined(MEMORY_BEYOND_THE_POSITIONS)
    constexpr pali::memory_size memory = pali::memory_of<pali::paligemma2_3b_224>(8193);
    (void)memory;
#endif
}
