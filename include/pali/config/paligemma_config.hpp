// The twelve released combinations of vision tower and decoder, and templates for new ones.
#pragma once

#include <pali/config/gemma_config.hpp>
#include <pali/config/siglip_config.hpp>

namespace pali { inline namespace PALI_ABI {

/// PaliGemma (arXiv 2407.07726): a Gemma decoder with a SigLIP vision tower. Derive from it to change a value.
template <decoder_config Decoder, vision_config Vision>
struct paligemma : Decoder {
    [[no_unique_address]] Vision vision{}; ///< the vision tower
};

/// PaliGemma 2 (arXiv 2412.03555): a Gemma 2 decoder with a SigLIP vision tower.
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

}} // namespace pali::PALI_ABI
