// AMX tile registers in plain C++, for CPUs without AMX.
#pragma once

#include <pali/arch/cpu_features.hpp>
#include <pali/arch/tiles.hpp>
#include <pali/core/bfloat16.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace pali::test {

/// Tile registers that follow the pseudocode in Intel's Software Developer's Manual, volume 2. Operations that would raise #UD or #GP are
/// counted.
class emulated_tiles {
public:
    static inline std::atomic<int> faults{0};
    static inline std::atomic<int> held{0}; ///< threads with configured tiles

    static void configure(const arch::tile_shapes& shapes) {
        if (shapes.palette != 1 || shapes.start_row != 0) ++faults;
        for (const std::uint8_t byte : shapes.reserved) faults += byte != 0;
        for (std::size_t i = 0; i < 16; ++i) {
            faults += (shapes.row_count[i] == 0) != (shapes.row_bytes[i] == 0) || shapes.row_count[i] > 16 || shapes.row_bytes[i] > 64;
            faults += i >= 8 && shapes.row_count[i] != 0;
        }
        held += !state().configured;
        state() = registers{};
        state().configured = true;
        for (std::size_t i = 0; i < 8; ++i) {
            state().tiles[i].count = shapes.row_count[i];
            state().tiles[i].bytes = shapes.row_bytes[i];
        }
    }
    static void release() {
        held -= state().configured;
        state() = registers{};
    }
    template <int Tile>
    static void zero() {
        std::memset(at(Tile).data, 0, sizeof(tile::data));
    }
    template <int Tile>
    static void load(const void* from, std::size_t stride) {
        zero<Tile>();
        for (std::size_t row = 0; row < at(Tile).count; ++row)
            std::memcpy(at(Tile).data[row], static_cast<const char*>(from) + row * stride, at(Tile).bytes);
    }
    template <int Tile>
    static void store(void* to, std::size_t stride) {
        for (std::size_t row = 0; row < at(Tile).count; ++row)
            std::memcpy(static_cast<char*>(to) + row * stride, at(Tile).data[row], at(Tile).bytes);
    }
    template <int Sums, int A, int B>
    static void dot_bfloat16() {
        static_assert(Sums != A && A != B && Sums != B);
        tile &c = at(Sums), &a = at(A), &b = at(B);
        faults += a.count != c.count || a.bytes / 4 != b.count || b.bytes != c.bytes;
        for (std::size_t m = 0; m < c.count; ++m) {
            float even[16] = {}, odd[16] = {};
            for (std::size_t k = 0; k < a.bytes / 4; ++k)
                for (std::size_t n = 0; n < c.bytes / 4; ++n) {
                    even[n] = flushed(std::fma(number(a, m, 2 * k), number(b, k, 2 * n), even[n]));
                    odd[n] = flushed(std::fma(number(a, m, 2 * k + 1), number(b, k, 2 * n + 1), odd[n]));
                }
            float sums[16] = {};
            std::memcpy(sums, c.data[m], sizeof sums);
            for (std::size_t n = 0; n < c.bytes / 4; ++n) sums[n] = flushed(flushed(sums[n]) + flushed(even[n] + odd[n]));
            std::memcpy(c.data[m], sums, sizeof sums);
        }
    }

private:
    struct tile {
        std::size_t count = 0, bytes = 0;
        unsigned char data[16][64] = {};
    };
    struct registers {
        bool configured = false;
        tile tiles[8];
    };

    static registers& state() {
        thread_local registers of_thread;
        return of_thread;
    }
    static tile& at(int i) {
        tile& chosen = state().tiles[i];
        faults += chosen.count == 0;
        return chosen;
    }
    static float flushed(float x) { return std::abs(x) < FLT_MIN ? std::copysign(0.f, x) : x; }
    static float number(const tile& from, std::size_t row, std::size_t column) {
        core::bfloat16 x;
        std::memcpy(&x, &from.data[row][2 * column], sizeof x);
        return flushed(static_cast<float>(x));
    }
};
static_assert(arch::tile_unit<emulated_tiles>);

/// Kernels that use tiles also need AVX2.
inline boost::test_tools::assertion_result has_avx2(boost::unit_test::test_unit_id) {
#if defined(__x86_64__)
    boost::test_tools::assertion_result found(arch::detected().avx2);
    found.message() << "the kernel needs AVX2 besides its tiles";
    return found;
#else
    return true;
#endif
}

#if defined(__x86_64__)
static_assert(arch::tile_unit<arch::amx_tiles>);

inline boost::test_tools::assertion_result has_tiles(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result found(arch::detected().amx_bf16);
    found.message() << "this processor has no tiles of bfloat16";
    return found;
}
#endif

} // namespace pali::test
