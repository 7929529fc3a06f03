// Mask VQ-VAE, which defines the <seg...> tokens: decodes sixteen codes to a mask and encodes a mask to codes.
#pragma once

#include <pali/arch/level_view.hpp>
#include <pali/core/error.hpp>
#include <pali/core/tensor.hpp>
#include <pali/files/npz.hpp>
#include <pali/files/safetensors.hpp>
#include <pali/kernels/entry_points.hpp>
#include <pali/objects/conv_layers.hpp>
#include <pali/weights/binder.hpp>
#include <pali/weights/finite.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace objects {

/// Sizes of the network. They define the meaning of <seg...> tokens and are the same in every file.
struct mask_vqvae_sizes {
    static constexpr std::size_t codes = 128;                                 ///< codebook entries
    static constexpr std::size_t width = 512;                                 ///< elements per entry
    static constexpr std::size_t side = 4;                                    ///< codes form a 4 x 4 grid
    static constexpr std::size_t pixels = 64;                                 ///< masks are 64 x 64 pixels
    static constexpr std::size_t hidden = 128;                                ///< hidden channels
    static constexpr std::array<std::size_t, 4> channels = {16, 32, 64, 128}; ///< at 32 x 32, 16 x 16, 8 x 8, 4 x 4
};

/// Finds the file of the mask network in a checkpoint's folder: the first of vae-oid.npz (big_vision's file), mask_vqvae.npz and
/// mask_vqvae.safetensors that exists, or std::nullopt.
[[nodiscard]] inline std::optional<std::filesystem::path> find_mask_vqvae(const std::filesystem::path& folder) {
    for (const char* name : {"vae-oid.npz", "mask_vqvae.npz", "mask_vqvae.safetensors"}) {
        std::error_code unreadable;
        if (auto file = folder / name; std::filesystem::is_regular_file(file, unreadable)) return file;
    }
    return std::nullopt;
}

inline namespace PALI_SIMD {

/// Decoder: codes to pixels. Layer names are indices of a PyTorch Sequential; the indices left out are ReLUs.
struct mask_decoder : mask_vqvae_sizes {
    /// (4, 4, 512) -> (4, 4, 128).
    conv_layer from_codes{{.in = width, .out = hidden, .side = 1}};
    std::array<residual_block, 2> blocks{residual_block(hidden), residual_block(hidden)}; ///< (4, 4, 128) -> same shape
    /// (4, 4, 128) -> (64, 64, 16): each transposed convolution doubles the side.
    std::array<conv_layer, 4> enlarge{enlarging(hidden, channels[3]), enlarging(channels[3], channels[2]),
                                      enlarging(channels[2], channels[1]), enlarging(channels[1], channels[0])};
    /// (64, 64, 16) -> (64, 64, 1).
    conv_layer to_pixels{{.in = channels[0], .out = 1, .side = 1}};

    /// x (4, 4, 512), codebook entries -> (64, 64, 1), in scratch memory. Calls `after(name, x)` after each layer.
    template <class After>
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<float> x, context& ctx, After&& after) const {
        using kernels::activation;
        after("0", x = from_codes(x, activation::relu, ctx));
        for (std::size_t i = 0; i < blocks.size(); ++i) after(std::to_string(2 + i), x = blocks[i](x, ctx));
        for (std::size_t i = 0; i < enlarge.size(); ++i) after(std::to_string(4 + 2 * i), x = enlarge[i](x, activation::relu, ctx));
        after("12", x = to_pixels(x, activation::none, ctx));
        return x;
    }

    /// Calls f(layer, name) for each convolution.
    template <class F>
    void each(F&& f) {
        f(from_codes, std::string("0"));
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].each(std::to_string(2 + i), f);
        for (std::size_t i = 0; i < enlarge.size(); ++i) f(enlarge[i], std::to_string(4 + 2 * i));
        f(to_pixels, std::string("12"));
    }

private:
    [[nodiscard]] static conv_layer enlarging(std::size_t in, std::size_t out) {
        return conv_layer({.in = in, .out = out, .side = 4, .stride = 2, .transposed = true});
    }
};

/// Encoder: pixels to the vectors that are quantized with the codebook.
struct mask_encoder : mask_vqvae_sizes {
    /// (64, 64, 1) -> (4, 4, 128): each convolution halves the side.
    std::array<conv_layer, 4> reduce{reducing(1, channels[0]), reducing(channels[0], channels[1]), reducing(channels[1], channels[2]),
                                     reducing(channels[2], channels[3])};
    std::array<residual_block, 2> blocks{residual_block(hidden), residual_block(hidden)}; ///< (4, 4, 128) -> same shape
    /// (4, 4, 128) -> (4, 4, 512).
    conv_layer to_codes{{.in = hidden, .out = width, .side = 1}};

    /// x (64, 64, 1), -1 to 1 -> (4, 4, 512), in scratch memory. Calls `after(name, x)` after each layer.
    template <class After>
    [[nodiscard]] kernels::feature_map<float> operator()(kernels::feature_map<float> x, context& ctx, After&& after) const {
        using kernels::activation;
        for (std::size_t i = 0; i < reduce.size(); ++i) after(std::to_string(2 * i), x = reduce[i](x, activation::relu, ctx));
        for (std::size_t i = 0; i < blocks.size(); ++i) after(std::to_string(8 + i), x = blocks[i](x, ctx));
        after("10", x = to_codes(x, activation::none, ctx));
        return x;
    }

    /// Calls f(layer, name) for each convolution.
    template <class F>
    void each(F&& f) {
        for (std::size_t i = 0; i < reduce.size(); ++i) f(reduce[i], std::to_string(2 * i));
        for (std::size_t i = 0; i < blocks.size(); ++i) blocks[i].each(std::to_string(8 + i), f);
        f(to_codes, std::string("10"));
    }

private:
    [[nodiscard]] static conv_layer reducing(std::size_t in, std::size_t out) {
        return conv_layer({.in = in, .out = out, .side = 4, .stride = 2});
    }
};

/// PaliGemma's mask network, big_vision's vae-oid.npz: a VQ-VAE (van den Oord et al., arXiv 1711.00937) as used by Ning et al., arXiv
/// 2301.02229. Follows big_vision evaluators/proj/paligemma/transfers/segmentation.py (decoder) and pp/proj/paligemma/segmentation.py.
class mask_vqvae : mask_vqvae_sizes {
public:
    /// Reads a .npz or .safetensors file with the tensor names of vae-oid.npz, in float32 or a 16-bit type; the encoder is optional. The
    /// file is not needed afterwards. Throws what the reader of the file throws; errc::unsupported_format for another extension;
    /// errc::checkpoint_mismatch listing missing, unexpected and misshapen tensors; errc::malformed_file for values that are not finite.
    explicit mask_vqvae(const std::filesystem::path& file) {
        if (file.extension() == ".npz") load(npz_file(file).tensors(), file.string());
        else if (file.extension() == ".safetensors") load(safetensors_file(file).tensors(), file.string());
        else throw error(errc::unsupported_format, {file.string(), ": the mask network must be a .npz or .safetensors file"});
    }

    /// Decodes sixteen codes (4 x 4, row-major) to a mask (64, 64). Values are nominally -1 (outside) to 1 (inside), not clamped; above 0
    /// is inside. 82 Mflop. Throws errc::invalid_argument for a code above 127.
    [[nodiscard]] tensor<2> decode(std::span<const std::uint8_t, 16> codes_of_mask, context& ctx) const {
        const arena::frame frame(ctx.scratch);
        const auto entries = kernels::take_feature_map(ctx.scratch, side, side, width);
        for (std::size_t i = 0; i < codes_of_mask.size(); ++i) {
            if (codes_of_mask[i] >= codes)
                throw error(errc::invalid_argument, {"mask code ", i, " is ", codes_of_mask[i], "; codes are 0 to 127, as in <seg127>"});
            std::copy_n(m_codebook.data() + codes_of_mask[i] * width, width, entries.at(i / side, i % side));
        }
        const auto values = m_decoder(entries, ctx, [](const std::string&, const auto&) {});
        tensor<2> mask = make_matrix(pixels, pixels);
        for (std::size_t y = 0; y < pixels; ++y) std::copy_n(values.at(y, 0), pixels, mask.data() + y * pixels);
        return mask;
    }

    /// Whether the file contains the encoder.
    [[nodiscard]] bool can_encode() const noexcept { return m_encoder.has_value(); }

    /// Encodes `mask`, (64, 64), 0 (outside) to 1 (inside), to the nearest codes. Throws errc::invalid_argument for another shape, or if
    /// there is no encoder.
    [[nodiscard]] std::array<std::uint8_t, 16> encode(const tensor<2>& mask, context& ctx) const {
        if (!can_encode())
            throw error(errc::invalid_argument,
                        {m_source, ": contains only the mask decoder, without encoder.*; vae-oid.npz contains both"});
        if (mask.shape(0) != pixels || mask.shape(1) != pixels)
            throw error(errc::invalid_argument,
                        {"the mask to encode has shape (", mask.shape(0), ", ", mask.shape(1), "); (64, 64) is needed"});
        const arena::frame frame(ctx.scratch);
        const auto values = kernels::take_feature_map(ctx.scratch, pixels, pixels, 1);
        center(mask, values);
        return nearest((*m_encoder)(values, ctx, [](const std::string&, const auto&) {}), ctx);
    }

private:
    void load(tensor_table tensors, const std::string& source) {
        m_source = source;
        for (const char* of_training : {"_vq_vae._ema_w", "_vq_vae._ema_cluster_size"})
            if (const auto found = tensors.find(of_training); found != tensors.end()) tensors.erase(found);
        if (const auto first = tensors.lower_bound("encoder."); first != tensors.end() && first->first.starts_with("encoder."))
            m_encoder.emplace();

        binder names(tensors, source);
        const auto each_layer = [&](auto&& f) {
            m_decoder.each([&](conv_layer& layer, const std::string& name) { f(layer, "decoder." + name); });
            if (m_encoder) m_encoder->each([&](conv_layer& layer, const std::string& name) { f(layer, "encoder." + name); });
        };
        each_layer([&](conv_layer& layer, const std::string& name) { layer.bind(names.root()[name]); });
        rows<const float> codebook;
        names.root()["_vq_vae"].matrix("_embedding", codebook, {codes, width});
        names.check("Is this the mask network? The weights of the model itself are in other files.", true);
        if (const short_list broken = describe_not_finite(tensors); !broken.empty())
            throw error(errc::malformed_file, {source, ": the mask network has values that are not finite:", broken.joined("\n  ")});
        thread_pool alone(1);
        const page_memory converted = names.finish(residency::mapped, alone, {});
        each_layer([](conv_layer& layer, const std::string&) { layer.pack(); });
        m_codebook.assign(codebook.data, codebook.data + codes * width);
        for (std::size_t i = 0; i < codes; ++i) {
            double squares = 0;
            for (std::size_t k = 0; k < width; ++k) squares += static_cast<double>(codebook[i][k]) * static_cast<double>(codebook[i][k]);
            m_squares[i] = static_cast<float>(squares);
        }
    }

    /// For each position of z (4, 4, 512), finds the codebook entry e with the smallest |z - e|² = |z|² - 2 z·e + |e|²; on ties, the first
    /// one.
    [[nodiscard]] std::array<std::uint8_t, 16> nearest(kernels::feature_map<const float> z, context& ctx) const {
        matrix_view products = ctx.take(side * side, codes);
        const rows<const float> book(m_codebook.data(), codes, width);
        for (std::size_t y = 0; y < side; ++y)
            kernels::active().product(rows<const float>(z.at(y, 0), side, width),
                                      {kernels::operand{book, nullptr, rows_of(products).slice(y * side, side)}}, ctx.kind, ctx.threads,
                                      ctx.scratch);
        std::array<std::uint8_t, 16> best{};
        for (std::size_t i = 0; i < best.size(); ++i) best[i] = nearest(products.data() + i * codes);
        return best;
    }
    /// The code with the smallest |e|² - 2 z·e, given the products z·e, (128); the first one on ties.
    [[nodiscard]] PALI_FLATTEN std::uint8_t nearest(const float* products) const {
        return static_cast<std::uint8_t>(xt::argmin(arch::view(m_squares.data(), {codes}) - 2.f * arch::view(products, {codes}))());
    }

    /// mask (64, 64), 0 to 1 -> map (64, 64, 1), -1 to 1; its border stays.
    PALI_FLATTEN static void center(const tensor<2>& mask, kernels::feature_map<float> map) {
        xt::noalias(arch::view(map.at(0, 0), {pixels, pixels}, {map.stride(), std::size_t{1}})) = 2.f * (arch::view(mask) - 0.5f);
    }

    std::string m_source; // for error messages
    mask_decoder m_decoder;
    std::optional<mask_encoder> m_encoder;
    aligned_vector<float> m_codebook;     // (128, 512)
    std::array<float, codes> m_squares{}; // |e|² of each entry
};

} // namespace PALI_SIMD

}}} // namespace pali::PALI_ABI::objects
