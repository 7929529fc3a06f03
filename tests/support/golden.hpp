// Goldens are safetensors files that the scripts in tests/golden wrote. This header reads them as plain arrays and compares results with
// them.
#pragma once

#include <pali/core/bfloat16.hpp>
#include <pali/files/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace pali::test {

/// One golden file. A missing name or a wrong dtype throws, which fails the test with a message.
class golden {
public:
    explicit golden(const std::filesystem::path& path) : m_file(path) {}

    /// A tensor in F32, F64, F16 or BF16, as float.
    [[nodiscard]] std::vector<float> floats(std::string_view name) const {
        const files::tensor_info& t = m_file.at(name);
        switch (t.type) {
        case files::dtype::f32:
            return numbers<float, float>(t);
        case files::dtype::f64:
            return numbers<double, float>(t);
        case files::dtype::f16:
            return numbers<core::float16, float>(t);
        case files::dtype::bf16:
            return numbers<core::bfloat16, float>(t);
        default:
            throw std::runtime_error(std::string(name) + " is " + to_string(t.type) + ", and floats are asked for");
        }
    }

    /// A tensor in I64, I32, U8 or BOOL.
    [[nodiscard]] std::vector<std::int64_t> ints(std::string_view name) const {
        const files::tensor_info& t = m_file.at(name);
        switch (t.type) {
        case files::dtype::i64:
            return numbers<std::int64_t, std::int64_t>(t);
        case files::dtype::i32:
            return numbers<std::int32_t, std::int64_t>(t);
        case files::dtype::u8:
        case files::dtype::boolean:
            return numbers<std::uint8_t, std::int64_t>(t);
        default:
            throw std::runtime_error(std::string(name) + " is " + to_string(t.type) + ", and integers are asked for");
        }
    }

    [[nodiscard]] const std::vector<std::size_t>& shape(std::string_view name) const { return m_file.at(name).shape; }
    [[nodiscard]] bool has(std::string_view name) const { return m_file.tensors().contains(name); }
    [[nodiscard]] const files::tensor_table& tensors() const { return m_file.tensors(); }

    /// An entry of `__metadata__`: tolerance, seed, version, prompt.
    [[nodiscard]] const std::string& metadata(std::string_view key) const {
        const auto found = m_file.metadata().find(key);
        if (found == m_file.metadata().end())
            throw std::runtime_error(m_file.file().path().string() + " has no metadata " + std::string(key));
        return found->second;
    }
    /// An entry of `__metadata__` as a number: a tolerance or a count.
    [[nodiscard]] double number(std::string_view key) const { return std::stod(metadata(key)); }

private:
    template <class Stored, class T>
    static std::vector<T> numbers(const files::tensor_info& t) {
        std::vector<T> out(t.count());
        for (std::size_t i = 0; i < out.size(); ++i) {
            Stored value;
            std::memcpy(&value, t.bytes.data() + i * sizeof(Stored), sizeof(Stored));
            out[i] = static_cast<T>(value);
        }
        return out;
    }

    files::safetensors_file m_file;
};

/// The largest difference between a result and its golden.
struct difference {
    double absolute = 0;      ///< max |got - want|
    double relative = 0;      ///< absolute / max |want|; equals absolute if want is all 0
    std::size_t index = 0;    ///< position of the largest difference
    double got = 0, want = 0; ///< the values at that position

    friend std::ostream& operator<<(std::ostream& out, const difference& d) {
        return out << "worst at " << d.index << ": got " << d.got << ", want " << d.want << ", differ by " << d.absolute << " ("
                   << d.relative << " of the largest)";
    }
};

/// NaN, or infinity on one side only, counts as an infinite difference. Throws if the sizes differ or are 0.
[[nodiscard]] inline difference worst_difference(std::span<const float> got, std::span<const float> want) {
    if (got.size() != want.size() || want.empty())
        throw std::runtime_error("got " + std::to_string(got.size()) + " numbers, want " + std::to_string(want.size()) +
                                 " and at least one");
    difference worst{.absolute = -1};
    double largest = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
        const double g = got[i], w = want[i];
        double apart = g == w ? 0 : std::abs(g - w);
        if (std::isnan(apart)) apart = std::numeric_limits<double>::infinity();
        if (std::isfinite(w)) largest = std::max(largest, std::abs(w));
        if (apart > worst.absolute) worst = {apart, 0, i, g, w};
    }
    worst.relative = largest > 0 ? worst.absolute / largest : worst.absolute;
    return worst;
}

} // namespace pali::test
