// The multi-modal projector: a linear map from vision tower to decoder.
#pragma once

#include <pali/config/concepts.hpp>
#include <pali/layers/linear.hpp>

namespace pali { inline namespace PALI_ABI { namespace nn { inline namespace PALI_SIMD {

/// Maps patches of the vision tower to tokens of the decoder (arXiv 2407.07726, section 3.1).
template <model_config Config, weight_storage Storage>
struct projector {
    [[no_unique_address]] Config config; ///< configuration of the whole model
    linear<Storage> map;                 ///< (hidden, vision hidden), with bias

    /// x (P, vision hidden) -> (P, hidden), in scratch memory.
    [[nodiscard]] matrix_view operator()(const matrix_view& x, context& ctx) const { return map(x, ctx); }

    /// Binds the tensors below "multi_modal_projector.".
    template <tensor_visitor V>
    void bind(const V& names) {
        map.bind(names["linear"], config.hidden, config.vision.hidden, true);
    }
};

}}}} // namespace pali::PALI_ABI::nn::PALI_SIMD
