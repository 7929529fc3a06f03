// Feature maps, and the shape of a convolution over one.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Non-owning feature map, channels last: (height, width, channels). It has a border of one pixel of zeros, which a padding of 1 reads, so
/// no kernel checks where the image ends. Cheap to copy.
template <class T>
struct feature_map {
    T* data = nullptr;        ///< (height + 2, width + 2, channels)
    std::size_t height = 0;   ///< pixels, without the border
    std::size_t width = 0;    ///< pixels, without the border
    std::size_t channels = 0; ///< elements per pixel

    feature_map() = default;
    /// View of memory of size() floats, whose border is already zero.
    feature_map(T* memory, std::size_t lines, std::size_t columns, std::size_t numbers) noexcept
        : data(memory), height(lines), width(columns), channels(numbers) {}
    /// Converts feature_map<T> to feature_map<const T>.
    template <class U>
        requires(std::is_same_v<const U, T>)
    feature_map(const feature_map<U>& other) noexcept : feature_map(other.data, other.height, other.width, other.channels) {}

    /// Floats in memory, border included.
    [[nodiscard]] static std::size_t size(std::size_t height, std::size_t width, std::size_t channels) noexcept {
        return (height + 2) * (width + 2) * channels;
    }
    /// Floats of this map in memory, border included.
    [[nodiscard]] std::size_t size() const noexcept { return size(height, width, channels); }
    /// Floats from one row of pixels to the next.
    [[nodiscard]] std::size_t stride() const noexcept { return (width + 2) * channels; }
    /// The channels of a pixel; not checked.
    [[nodiscard]] T* at(std::size_t y, std::size_t x) const noexcept { return data + (y + 1) * stride() + (x + 1) * channels; }
};

/// A square convolution kernel. Its padding keeps the size of an image at stride 1 and exactly halves it (transposed: doubles it) at
/// stride 2. Supported are sides 1 and 3 at stride 1, and side 4 at stride 2, the last also transposed.
struct conv_shape {
    std::size_t in = 0;      ///< input channels
    std::size_t out = 0;     ///< output channels
    std::size_t side = 1;    ///< width and height of the kernel, in pixels
    std::size_t stride = 1;  ///< pixels
    bool transposed = false; ///< transposed convolution: the stride enlarges

    /// Whether this is one of the supported shapes.
    [[nodiscard]] bool is_known() const noexcept {
        return stride == 1 ? (side == 1 || side == 3) && !transposed : stride == 2 && side == 4;
    }
    /// Zero padding around the image; of a transposed convolution, what PyTorch calls padding.
    [[nodiscard]] std::size_t padding() const noexcept { return (side - 1) / 2; }
    /// Output rows (columns) for `n` input rows (columns).
    [[nodiscard]] std::size_t size_from(std::size_t n) const noexcept { return transposed ? n * stride : n / stride; }
};

}}} // namespace pali::PALI_ABI::kernels
