// Images of features, and the sizes of a convolution over one.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Non-owning image of features, channels last: (height, width, channels). Around it lies a border of one pixel of zeros, which is
/// what a padding of 1 reads: no kernel asks where the image ends. Cheap to copy.
template <class T>
struct feature_map {
    T* data = nullptr;                               ///< (height + 2, width + 2, channels)
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

/// A square kernel; its padding keeps an image's size at stride 1, and halves it (transposed: doubles it) exactly at stride 2.
/// Three of them exist: side 1 and side 3 at stride 1, side 4 at stride 2, the last also transposed.
struct conv_shape {
    std::size_t in = 0, out = 0; ///< channels
    std::size_t side = 1;        ///< pixels of the kernel, across and down
    std::size_t stride = 1;      ///< pixels
    bool transposed = false;     ///< the other way round: stride enlarges

    /// Whether it is one of those.
    [[nodiscard]] bool is_known() const noexcept {
        return stride == 1 ? (side == 1 || side == 3) && !transposed : stride == 2 && side == 4;
    }
    /// Zeros around the image; of a transposed convolution, what PyTorch calls padding.
    [[nodiscard]] std::size_t padding() const noexcept { return (side - 1) / 2; }
    /// Rows or columns that come out of `n`.
    [[nodiscard]] std::size_t size_from(std::size_t n) const noexcept { return transposed ? n * stride : n / stride; }
};

}}} // namespace pali::PALI_ABI::kernels
