// Self-checks of kernels before their first use: correct kernels pass, and each kind of wrong kernel is detected.
#include "emulated_tiles.hpp"

#include <pali/kernels/self_checks.hpp>

#include <boost/test/unit_test.hpp>

namespace {

namespace kernels = pali::kernels;
using pali::arch::features;
using pali::test::emulated_tiles;

/// Tiles with one defect each.
struct wrong_products : emulated_tiles { // does not accumulate
    template <int Sums, int A, int B>
    static void dot_bfloat16() {}
};
struct wrong_zeros : emulated_tiles { // does not clear a tile
    template <int Tile>
    static void zero() {}
};
struct wrong_strides : emulated_tiles { // ignores the stride
    template <int Tile>
    static void load(const void* from, std::size_t) {
        emulated_tiles::load<Tile>(from, 64);
    }
};
struct wrong_operands : emulated_tiles { // exchanges the operands
    template <int Sums, int A, int B>
    static void dot_bfloat16() {
        emulated_tiles::dot_bfloat16<Sums, B, A>();
    }
};

/// dot_bytes_portable with one result changed.
template <std::size_t WrongTokens, std::size_t WrongBits>
struct wrong_dot {
    template <std::size_t R, std::size_t Bits>
    static void dot(const pali::core::quantized_rows<Bits>& w, std::size_t i, std::size_t second, const kernels::quantized_tokens& x,
                    std::size_t first, float (&y)[R][pali::core::quantized_rows<Bits>::strip]) noexcept {
        kernels::dot_bytes_portable::dot(w, i, second, x, first, y);
        if (R == WrongTokens && Bits == WrongBits) y[R - 1][7] += 1;
    }
};

} // namespace

BOOST_AUTO_TEST_SUITE(usable)

BOOST_AUTO_TEST_CASE(right_tiles_pass_and_wrong_ones_do_not, *boost::unit_test::precondition(pali::test::has_avx2)) {
    BOOST_TEST(kernels::self_check::tiles_multiply<emulated_tiles>());
    BOOST_TEST(emulated_tiles::faults == 0);
    BOOST_TEST(!kernels::self_check::tiles_multiply<wrong_products>());
    BOOST_TEST(!kernels::self_check::tiles_multiply<wrong_zeros>());
    BOOST_TEST(!kernels::self_check::tiles_multiply<wrong_strides>());
    BOOST_TEST(!kernels::self_check::tiles_multiply<wrong_operands>());
    emulated_tiles::faults = 0;
}

BOOST_AUTO_TEST_CASE(right_products_of_bytes_pass_and_wrong_ones_do_not) {
    BOOST_TEST((kernels::self_check::codes_multiply<kernels::dot_bytes_portable, 8>()));
    BOOST_TEST((kernels::self_check::codes_multiply<kernels::dot_bytes_portable, 4>()));
#if defined(__x86_64__)
    if (pali::arch::detected().avx2) {
        BOOST_TEST((kernels::self_check::codes_multiply<kernels::dot_bytes_avx2, 8>()));
        BOOST_TEST((kernels::self_check::codes_multiply<kernels::dot_bytes_avx2, 4>()));
    }
#endif
    BOOST_TEST((!kernels::self_check::codes_multiply<wrong_dot<1, 8>, 8>()));
    BOOST_TEST((!kernels::self_check::codes_multiply<wrong_dot<4, 8>, 8>()));
    BOOST_TEST((!kernels::self_check::codes_multiply<wrong_dot<1, 4>, 4>()));
    BOOST_TEST((!kernels::self_check::codes_multiply<wrong_dot<4, 4>, 4>()));
}

BOOST_AUTO_TEST_CASE(an_extension_whose_kernel_is_wrong_is_not_used, *boost::unit_test::precondition(pali::test::has_avx2)) {
    const features all{.avx2 = true, .avx_vnni = true, .avx512_vnni = true, .avx512_bf16 = true, .amx_bf16 = true};
    features without = all;
    BOOST_TEST((kernels::self_check::without_wrong<emulated_tiles, kernels::dot_bytes_portable>(all) == all));
    without.amx_bf16 = false;
    BOOST_TEST((kernels::self_check::without_wrong<wrong_products, kernels::dot_bytes_portable>(all) == without));
    without.avx_vnni = false;
    BOOST_TEST((kernels::self_check::without_wrong<wrong_products, wrong_dot<4, 4>>(all) == without));
    BOOST_TEST((kernels::self_check::without_wrong<wrong_products, wrong_dot<4, 4>>({.avx2 = true}) ==
                features{.avx2 = true})); // nothing to check
}

BOOST_AUTO_TEST_CASE(what_is_usable_is_in_use) {
    const features &found = kernels::usable(), &wanted = pali::arch::in_use();
    BOOST_TEST(found.avx512_vnni == wanted.avx512_vnni);
    BOOST_TEST((!found.amx_bf16 || wanted.amx_bf16));
    BOOST_TEST((!found.avx_vnni || wanted.avx_vnni));
}

BOOST_AUTO_TEST_SUITE_END()
