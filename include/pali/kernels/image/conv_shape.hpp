// Feature maps, and the shape of a convolution over one.
#pragma once

#include <pali/core/macros.hpp>

#include <cstddef>
#include <type_traits>

namespace pali { inline namespace PALI_ABI { namespace kernels {

/// Non-owning feature map, channels last: (height, width, channels). It has a border of zeros, one pixel wide, so that a convolution with
/// padding 1 needs no bounds checks. Cheap to copy.
template <class T>
struct feature_map {
    T* data = nullptr;        ///< (height + 2, width + 2, channels)
    std::size_t height = 0;   ///< pixels, without the border
    std::size_t width = 0;    ///< pixels, without the border
    std::size_t channels = 0; ///< elements per pixel

    feature_map() = default;
    /// View of memory of size() floats, whose border is already zero.
    feature_map(T* memory, std::size_t lines, std::size_t columns, std::size_t depth) noexcept
        : data(memory), height(lines), width(columns), channels(depth) {}
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

/// A square convolution kernel. Its padding is such that the output has the size of the input at stride 1, half that size at stride 2, and
/// twice that size if transposed. Supported are side 1 or 3 with stride 1, and side 4 with stride 2. Only the latter may be transposed.
struct conv_shape {
    std::size_t in = 0;      ///< input channels
    std::size_t out = 0;     ///< output channels
    std::size_t side = 1;    ///< width and height of the kernel, in pixels
    std::size_t stride = 1;  ///< pixels
    bool transposed = false; ///< transposed convolution: the output is `stride` times as large as the input

    /// Whether this is one of the supported shapes.
    [[nodiscard]] bool is_known() const noexcept {
        return stride == 1 ? (side == 1 || side == 3) && !transposed : stride == 2 && side == 4;
    }
    /// Zero padding around the image. For a transposed convolution, the value that PyTorch calls padding.
    [[nodiscard]] std::size_t padding() const noexcept { return (side - 1) / 2; }
    /// Number of output rows for `n` input rows; same for columns.
    [[nodiscard]] std::size_t size_from(std::size_t n) const noexcept { return transposed ? n * stride : n / stride; }
};

}}} // namespace pali::PALI_ABI::kernels
