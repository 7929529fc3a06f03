// How the elements of a tensor reach the network: in place, copied, or converted.
#pragma once

#include <pali/core/thread_pool.hpp>
#include <pali/files/tensor_table.hpp>
#include <pali/weights/residency.hpp>

#include <cstddef>
#include <cstring>
#include <functional>
#include <variant>

namespace pali { inline namespace PALI_ABI { namespace weights {

/// The elements are used as the file stores them, in place or copied. `set` is called with their address.
struct as_stored {
    std::function<void(const std::byte*)> set; ///< tells the member where its elements are
};
/// The elements are converted: `write` computes them into new memory.
struct converted {
    std::function<void(std::byte*, thread_pool&)> write; ///< fills the memory and tells the member
};
/// A tensor and how a member of the network gets its elements.
struct placed_tensor {
    const tensor_info* tensor;                    ///< the elements in the file
    std::size_t bytes;                            ///< size of the copy, if one is made
    bool small;                                   ///< a vector: copied only if it cannot be used in place
    std::variant<as_stored, converted> placement; ///< how the member gets its elements

    /// Whether the elements are copied into new memory.
    [[nodiscard]] bool copies(residency where) const noexcept {
        return std::holds_alternative<converted>(placement) || !tensor->is_aligned() || (where == residency::resident && !small);
    }
    /// Places the elements in `memory`, or uses them in place if `memory` is null.
    void place(std::byte* memory, thread_pool& threads) const {
        if (const auto* const other = std::get_if<converted>(&placement)) return other->write(memory, threads);
        const auto& set = std::get<as_stored>(placement).set;
        if (!memory) return set(tensor->bytes.data());
        constexpr std::size_t piece = std::size_t{1} << 20;
        threads.run_blocks(tensor->bytes.size(), piece,
                           [&](std::size_t first, std::size_t n) { std::memcpy(memory + first, tensor->bytes.data() + first, n); });
        set(memory);
    }
};

}}} // namespace pali::PALI_ABI::weights
