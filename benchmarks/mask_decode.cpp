// mask_decode: time to decode 16 mask codes to a mask, with one thread and with two. The result is first compared with the reference, layer
// by layer in double.
//
// usage: mask_decode NETWORK [REPETITIONS]      NETWORK: .npz or .safetensors. Prints one JSON object. Exit code 3: over 5 ms with 2
// threads
#include <pali/arch/dispatch.hpp>
#include <pali/kernels/reference.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <pali/weights/convert.hpp>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

namespace {

constexpr double most_ms = 5, most_difference = 1e-3;

using codes = std::array<std::uint8_t, 16>;

/// The mask decoder written with kernels/reference.hpp, on the tensors as stored in the file.
class reference_decoder {
public:
    explicit reference_decoder(const std::string& path) {
        if (path.ends_with(".npz")) m_tensors = m_npz.emplace(path).tensors();
        else m_tensors = m_safetensors.emplace(path).tensors();
    }

    std::vector<float> operator()(const codes& of) {
        const auto book = numbers("_vq_vae._embedding");
        m_height = 4, m_values.clear();
        for (const std::uint8_t code : of) m_values.insert(m_values.end(), book.begin() + code * 512, book.begin() + (code + 1) * 512);
        relu(conv("decoder.0", {.in = 512, .out = 128, .side = 1}));
        for (const std::string block : {"decoder.2.net.", "decoder.3.net."}) {
            const std::vector<float> before = m_values;
            relu(conv(block + "0", {.in = 128, .out = 128, .side = 3}));
            relu(conv(block + "2", {.in = 128, .out = 128, .side = 3}));
            conv(block + "4", {.in = 128, .out = 128, .side = 1});
            for (std::size_t i = 0; i < before.size(); ++i) m_values[i] += before[i];
        }
        constexpr std::size_t channels[] = {128, 128, 64, 32, 16};
        for (std::size_t i = 0; i < 4; ++i)
            relu(conv("decoder." + std::to_string(4 + 2 * i),
                      {.in = channels[i], .out = channels[i + 1], .side = 4, .stride = 2, .transposed = true}));
        return conv("decoder.12", {.in = 16, .out = 1, .side = 1});
    }

private:
    std::vector<float> numbers(const std::string& name) const {
        const pali::files::tensor_info& tensor = m_tensors.at(name);
        std::vector<float> out(tensor.count());
        pali::weights::convert(tensor, 0, out.size(), out.data());
        return out;
    }

    std::vector<float>& conv(const std::string& name, const pali::kernels::conv_shape& shape) {
        pali::core::arena memory;
        const auto x = pali::kernels::take_feature_map(memory, m_height, m_height, shape.in);
        for (std::size_t y = 0; y < m_height; ++y) std::copy_n(m_values.data() + y * m_height * shape.in, m_height * shape.in, x.at(y, 0));
        m_height = shape.size_from(m_height);
        std::vector<double> y(m_height * m_height * shape.out);
        pali::kernels::reference::conv(shape, x, numbers(name + ".weight").data(), numbers(name + ".bias").data(), y.data());
        m_values.resize(y.size());
        std::transform(y.begin(), y.end(), m_values.begin(), [](double value) { return static_cast<float>(value); });
        return m_values;
    }
    static void relu(std::vector<float>& x) {
        for (float& value : x) value = std::max(value, 0.f);
    }

    std::optional<pali::files::npz_file> m_npz;
    std::optional<pali::files::safetensors_file> m_safetensors;
    pali::files::tensor_table m_tensors;
    std::size_t m_height = 0;
    std::vector<float> m_values; // (height, height, channels)
};

} // namespace

int main(int argc, char** argv) try {
    if (argc < 2) {
        std::cerr << "usage: mask_decode NETWORK [REPETITIONS]\n";
        return 2;
    }
    const std::size_t repetitions = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 300;
    const pali::objects::mask_vqvae network(argv[1]);
    codes of;
    for (std::size_t i = 0; i < of.size(); ++i) of[i] = static_cast<std::uint8_t>(i * 37 % 128);

    double best_ms[2] = {1e9, 1e9}, difference = 0;
    const std::vector<float> want = reference_decoder(argv[1])(of);
    for (const std::size_t threads : {1u, 2u}) {
        pali::core::context ctx(threads);
        pali::tensor<2> mask = network.decode(of, ctx);
        for (std::size_t i = 0; i < want.size(); ++i)
            difference = std::max(difference, static_cast<double>(std::abs(mask.data()[i] - want[i])));
        for (std::size_t i = 0; i < repetitions; ++i) {
            const auto start = std::chrono::steady_clock::now();
            mask = network.decode(of, ctx);
            best_ms[threads - 1] =
                std::min(best_ms[threads - 1], std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
        }
    }
    if (!(difference <= most_difference)) {
        std::cerr << "the mask differs from the formula's by " << difference << '\n';
        return 1;
    }
    std::cout << "{\"arch\": \"" << pali::arch::name_of(pali::arch::selected().level->which) << "\", \"difference\": " << difference
              << ", \"repetitions\": " << repetitions << ", \"ms_1_thread\": " << best_ms[0] << ", \"ms_2_threads\": " << best_ms[1]
              << ", \"gflops_1_thread\": " << 82e6 / best_ms[0] / 1e6 << ", \"most_ms\": " << most_ms << "}\n";
    return best_ms[1] <= most_ms ? 0 : 3;
} catch (const pali::error& e) {
    std::cerr << e.what() << '\n';
    return 1;
}
