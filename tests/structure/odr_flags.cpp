// This source is compiled several times with different flags, and the objects are linked into one program. PALI_TEST_FLAGS names each
// object. See odr_flags_main.cpp.
#include "odr_flags.hpp"

#include <pali/core/arena.hpp>
#include <pali/core/thread_pool.hpp>
#include <pali/generate/log_softmax.hpp>
#include <pali/image/resize.hpp>
#include <pali/kernels/pointwise/norm.hpp>
#include <pali/kernels/product/loop_floats.hpp>

#include <algorithm>

namespace {

template <class Function>
std::uintptr_t place_of(Function* function) noexcept {
    return reinterpret_cast<std::uintptr_t>(function);
}

} // namespace

#define PALI_TEST_TEXT_OF(name) #name
#define PALI_TEST_TEXT(name) PALI_TEST_TEXT_OF(name)

answers PALI_TEST_FLAGS() {
    using namespace pali;
    using namespace pali::core;
    using namespace pali::decoding;
    using namespace pali::image_detail;
    answers a;
    a.flags = PALI_TEST_TEXT(PALI_TEST_FLAGS);
    constexpr std::size_t n = 40;
    thread_pool threads(1);
    arena scratch;

    alignas(64) std::array<float, n> counted, threes, zeros{};
    alignas(64) std::array<float, 4 * n> weights;
    for (std::size_t i = 0; i < n; ++i) counted[i] = static_cast<float>(i + 1);
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = static_cast<float>(i / n + 1);
    threes.fill(3.f);
    kernels::loop_floats<kernels::dot_floats_simd<xsimd::default_arch, float>>(
        rows<const float>(counted.data(), 1, n),
        {kernels::operand{rows<const float>(weights.data(), 4, n), nullptr, rows<float>(a.product.data(), 1, 4)}}, threads, scratch);
    kernels::rms_norm(arch::native, rows<const float>(threes.data(), 1, n), zeros.data(), 0.f, rows<float>(a.norm.data(), 1, n));
    a.log_sum = log_sum_exp(zeros);
    zeros[33] = 7.f;
    a.top = argmax(zeros);
    image image(4, 4);
    std::fill(image.pixels.begin(), image.pixels.end(), std::uint8_t{50});
    a.pixel = resize(image, 9, 7).pixels[100];
    a.functions = {place_of(&kernels::rms_norm<xsimd::default_arch>), place_of(&resize), place_of(&image_detail::nearest_positions)};
    return a;
}
