// Compares the mask network with PyTorch, layer by layer, and tests every way in which its file can be wrong.
#include <boost/test/unit_test.hpp>

#include <pali/core/error.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <support/data.hpp>
#include <support/golden.hpp>
#include <support/sha256.hpp>
#include <support/temporary_folder.hpp>

#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace {

using pali::errc;
using codes = std::array<std::uint8_t, 16>;

const std::filesystem::path network_file = pali::test::source_path("examples/models/shapes/mask_vqvae.npz");

const pali::test::golden& golden() {
    static const pali::test::golden file(pali::test::data_path("masks/shapes.safetensors"));
    return file;
}

const pali::objects::mask_vqvae& network() {
    static const pali::objects::mask_vqvae loaded(network_file);
    return loaded;
}

/// Row `index` of a golden with codes.
codes codes_of(const std::string& name, std::size_t index) {
    codes out;
    const auto all = golden().ints(name);
    for (std::size_t i = 0; i < 16; ++i) out[i] = static_cast<std::uint8_t>(all.at(index * 16 + i));
    return out;
}

pali::tensor<2> mask_of(std::size_t index) {
    const auto bytes = golden().ints("encode.masks");
    pali::tensor<2> mask = pali::core::make_matrix(64, 64);
    for (std::size_t i = 0; i < 4096; ++i) mask.data()[i] = static_cast<float>(bytes.at(index * 4096 + i)) / 255.f;
    return mask;
}

void check_near(const std::string& name, std::span<const float> got, std::span<const float> want) {
    const auto worst = pali::test::worst_difference(got, want);
    BOOST_TEST(worst.absolute <= golden().floats("tolerance." + name).at(0), name << ": " << worst);
}

/// The tensors of the network, to be changed by a test and written to a file.
class changed_file {
public:
    struct stored {
        pali::files::dtype type;
        std::vector<std::size_t> shape;
        std::vector<std::byte> bytes;
    };
    std::map<std::string, stored> tensors;

    changed_file() {
        const pali::files::npz_file file(network_file);
        for (const auto& [name, t] : file.tensors()) tensors[name] = {t.type, t.shape, {t.bytes.begin(), t.bytes.end()}};
    }

    std::filesystem::path write(const pali::test::temporary_folder& folder) const {
        pali::files::tensor_table table;
        for (const auto& [name, t] : tensors) table[name] = {t.type, t.shape, t.bytes, ""};
        auto path = folder.path() / "changed.safetensors";
        pali::files::write_safetensors(path, table);
        return path;
    }
};

std::string message_of(const std::function<void()>& act, errc code) {
    try {
        act();
    } catch (const pali::error& e) {
        BOOST_TEST(static_cast<int>(e.code()) == static_cast<int>(code));
        return e.what();
    }
    BOOST_ERROR("nothing was thrown");
    return "";
}

bool has(const std::string& text, const std::string& word) { return text.find(word) != std::string::npos; }

} // namespace

BOOST_AUTO_TEST_SUITE(mask_vqvae)

BOOST_AUTO_TEST_CASE(goldens_are_of_this_network) {
    const pali::files::mapped_file file(network_file);
    const std::string digest = pali::test::sha256(file.bytes().data(), file.bytes().size());
    BOOST_TEST(has(golden().metadata("made"), digest),
               network_file << " is not what " << golden().metadata("made") << ": run tests/golden/masks.py again");
}

BOOST_AUTO_TEST_CASE(masks_are_those_of_pytorch) {
    pali::core::context ctx(2);
    const auto want = golden().floats("decode.masks");
    const std::size_t count = golden().shape("decode.masks")[0];
    BOOST_TEST_REQUIRE(count >= 5u);
    for (std::size_t i = 0; i < count; ++i) {
        const auto mask = network().decode(codes_of("decode.codes", i), ctx);
        BOOST_TEST((mask.shape(0) == 64 && mask.shape(1) == 64));
        check_near("decode.masks", {mask.data(), 4096}, std::span(want).subspan(i * 4096, 4096));
    }
}

BOOST_AUTO_TEST_CASE(codes_are_those_of_pytorch) {
    pali::core::context ctx(2);
    BOOST_TEST(network().can_encode());
    for (std::size_t i = 0; i < golden().shape("encode.codes")[0]; ++i)
        BOOST_TEST(network().encode(mask_of(i), ctx) == codes_of("encode.codes", i), boost::test_tools::per_element());
}

// Tests each layer separately, so that a failure names the layer.
BOOST_AUTO_TEST_CASE(every_layer_is_that_of_pytorch) {
    const pali::files::npz_file file(network_file);
    pali::core::context ctx(1);
    std::size_t compared = 0;
    const auto run = [&](auto&& net, const std::string& name, pali::kernels::feature_map<float> x) {
        pali::files::tensor_table part;
        for (const auto& [tensor, info] : file.tensors())
            if (tensor.starts_with(name + ".")) part.emplace(tensor, info);
        pali::weights::binder names(part, "part");
        net.each([&](pali::objects::conv_layer& layer, const std::string& of) { layer.bind(names.root()[name + "." + of]); });
        names.check("");
        const auto memory = names.finish(pali::residency::mapped, ctx.threads, {});
        net.each([](pali::objects::conv_layer& layer, const std::string&) { layer.pack(); });
        (void)net(x, ctx, [&](const std::string& layer, pali::kernels::feature_map<const float> y) {
            const std::string of = name + "." + layer;
            if (!golden().has(of)) return;
            BOOST_TEST(golden().shape(of) == (std::vector<std::size_t>{y.height, y.width, y.channels}), boost::test_tools::per_element());
            std::vector<float> got;
            for (std::size_t row = 0; row < y.height; ++row) got.insert(got.end(), y.at(row, 0), y.at(row, 0) + y.width * y.channels);
            check_near(of, got, golden().floats(of));
            ++compared;
        });
    };
    const auto entries = pali::kernels::take_feature_map(ctx.scratch, 4, 4, 512);
    const auto codebook = file.at("_vq_vae._embedding").as<float>();
    for (std::size_t i = 0; i < 16; ++i) std::copy_n(codebook.data() + codes_of("decode.codes", 0)[i] * 512, 512, entries.at(i / 4, i % 4));
    run(pali::objects::mask_decoder{}, "decoder", entries);
    const auto values = pali::kernels::take_feature_map(ctx.scratch, 64, 64, 1);
    const auto mask = mask_of(0);
    for (std::size_t i = 0; i < 4096; ++i) *values.at(i / 64, i % 64) = 2 * (mask.data()[i] - 0.5f);
    run(pali::objects::mask_encoder{}, "encoder", values);
    BOOST_TEST(compared == 11u);
}

BOOST_AUTO_TEST_CASE(a_mask_comes_back_from_its_codes) {
    pali::core::context ctx(2);
    for (std::size_t i = 0; i < 4; ++i) {
        const auto mask = mask_of(i);
        const auto back = network().decode(network().encode(mask, ctx), ctx);
        std::size_t both = 0, either = 0;
        for (std::size_t p = 0; p < 4096; ++p) {
            const bool a = mask.data()[p] > 0.5f, b = back.data()[p] > 0;
            both += a && b;
            either += a || b;
        }
        BOOST_TEST(static_cast<double>(both) / static_cast<double>(either) > 0.8);
    }
}

BOOST_AUTO_TEST_CASE(threads_and_repetition_change_nothing) {
    pali::core::context one(1);
    const auto want = network().decode(codes_of("decode.codes", 4), one);
    for (const std::size_t threads : {1u, 2u, 3u}) {
        pali::core::context ctx(threads);
        for (int again = 0; again < 2; ++again) {
            const auto got = network().decode(codes_of("decode.codes", 4), ctx);
            BOOST_TEST((std::equal(got.begin(), got.end(), want.begin())));
            BOOST_TEST((network().encode(mask_of(3), ctx) == network().encode(mask_of(3), one)));
        }
        const std::size_t held = ctx.scratch.bytes();
        (void)network().decode(codes_of("decode.codes", 1), ctx);
        BOOST_TEST(ctx.scratch.bytes() == held); // scratch memory does not grow after the first call
    }
}

BOOST_AUTO_TEST_CASE(the_order_of_codes_is_row_by_row) {
    pali::core::context ctx(1);
    codes a{}, b{};
    a.fill(codes_of("decode.codes", 0)[0]);
    b = a;
    b[3] = codes_of("decode.codes", 0)[5]; // the last of the first row: top right
    const auto before = network().decode(a, ctx), after = network().decode(b, ctx);
    const auto moved = [&](std::size_t y, std::size_t x) { return std::abs(before(y, x) - after(y, x)); };
    float right = 0, left = 0;
    for (std::size_t y = 0; y < 16; ++y)
        for (std::size_t x = 0; x < 16; ++x) right = std::max(right, moved(y, 48 + x)), left = std::max(left, moved(48 + y, x));
    BOOST_TEST(right > 4 * left);
}

BOOST_AUTO_TEST_CASE(codes_above_127_are_refused) {
    pali::core::context ctx(1);
    codes wrong{};
    wrong[7] = 128;
    const auto message = message_of([&] { (void)network().decode(wrong, ctx); }, errc::invalid_argument);
    BOOST_TEST((has(message, "code 7") && has(message, "128") && has(message, "0 to 127")), message);
}

BOOST_AUTO_TEST_CASE(masks_of_another_size_are_refused) {
    pali::core::context ctx(1);
    const auto message = message_of([&] { (void)network().encode(pali::core::make_matrix(32, 64), ctx); }, errc::invalid_argument);
    BOOST_TEST((has(message, "(32, 64)") && has(message, "(64, 64)")), message);
}

BOOST_AUTO_TEST_CASE(safetensors_and_16_bits_are_read) {
    const pali::test::temporary_folder folder;
    changed_file file;
    pali::core::context ctx(1);
    const auto want = network().decode(codes_of("decode.codes", 2), ctx);
    const auto same = pali::objects::mask_vqvae(file.write(folder)).decode(codes_of("decode.codes", 2), ctx);
    BOOST_TEST((std::equal(same.begin(), same.end(), want.begin())));

    for (auto& [name, t] : file.tensors) {
        const std::size_t count = t.bytes.size() / 4;
        std::vector<std::byte> half(count * 2);
        for (std::size_t i = 0; i < count; ++i) {
            float value;
            std::memcpy(&value, t.bytes.data() + i * 4, 4);
            const pali::core::bfloat16 rounded(value);
            std::memcpy(half.data() + i * 2, &rounded, 2);
        }
        t.type = pali::files::dtype::bf16;
        t.bytes = half;
    }
    const auto near = pali::objects::mask_vqvae(file.write(folder)).decode(codes_of("decode.codes", 2), ctx);
    const auto worst = pali::test::worst_difference({near.data(), 4096}, {want.data(), 4096});
    BOOST_TEST(worst.absolute < 0.1, worst); // the weights have eight significant bits and pass through thirteen layers
}

BOOST_AUTO_TEST_CASE(the_decoder_alone_is_enough) {
    const pali::test::temporary_folder folder;
    changed_file file;
    std::erase_if(file.tensors, [](const auto& t) { return t.first.starts_with("encoder.") || t.first.starts_with("_vq_vae._ema"); });
    const pali::objects::mask_vqvae alone(file.write(folder));
    pali::core::context ctx(1);
    const auto got = alone.decode(codes_of("decode.codes", 0), ctx), want = network().decode(codes_of("decode.codes", 0), ctx);
    BOOST_TEST((std::equal(got.begin(), got.end(), want.begin())));
    BOOST_TEST(!alone.can_encode());
    const auto message = message_of([&] { (void)alone.encode(mask_of(0), ctx); }, errc::invalid_argument);
    BOOST_TEST((has(message, "changed.safetensors") && has(message, "encoder") && has(message, "vae-oid.npz")), message);
}

BOOST_AUTO_TEST_CASE(all_that_does_not_fit_is_in_one_error) {
    const pali::test::temporary_folder folder;
    changed_file file;
    file.tensors.erase("decoder.2.net.2.bias");
    file.tensors.erase("encoder.9.net.4.weight"); // an incomplete encoder is an error and not ignored
    file.tensors["decoder.13.weight"] = file.tensors["decoder.12.weight"];
    std::swap(file.tensors["decoder.6.weight"].shape[0], file.tensors["decoder.6.weight"].shape[1]); // (out, in) instead of (in, out)
    file.tensors["_vq_vae._embedding"].type = pali::files::dtype::i32;
    const auto path = file.write(folder);
    const auto message = message_of([&] { const pali::objects::mask_vqvae loaded(path); }, errc::checkpoint_mismatch);
    for (const std::string word :
         {"changed.safetensors", "5 tensors", "missing tensor 'decoder.2.net.2.bias' (128)",
          "missing tensor 'encoder.9.net.4.weight' (128, 128, 1, 1)", "unexpected tensor\n    'decoder.13.weight'",
          "'decoder.6.weight' has shape (64, 128, 4, 4)", "needs (128, 64, 4, 4)", "'_vq_vae._embedding' is stored as I32", "mask network"})
        BOOST_TEST(has(message, word), "looking for " << word << " in " << message);
}

BOOST_AUTO_TEST_CASE(other_files_are_refused_in_words) {
    const pali::test::temporary_folder folder;
    BOOST_TEST(has(message_of([&] { const pali::objects::mask_vqvae loaded(folder.write("mask.pt", "x")); }, errc::unsupported_format),
                   ".npz or .safetensors"));
    BOOST_TEST(has(message_of([&] { const pali::objects::mask_vqvae loaded(folder.write("mask.npz", "x")); }, errc::malformed_file),
                   "not a zip archive"));
    (void)message_of([&] { const pali::objects::mask_vqvae loaded(folder.path() / "none.npz"); }, errc::cannot_open);
}

BOOST_AUTO_TEST_CASE(the_file_is_found_in_a_checkpoint) {
    BOOST_TEST((pali::objects::find_mask_vqvae(network_file.parent_path()) == network_file));
    const pali::test::temporary_folder folder;
    BOOST_TEST(!pali::objects::find_mask_vqvae(folder.path()).has_value());
    BOOST_TEST(!pali::objects::find_mask_vqvae(folder.path() / "none").has_value());
    std::filesystem::create_directory(folder.path() / "mask_vqvae.npz");
    const auto second = folder.write("mask_vqvae.safetensors", "");
    BOOST_TEST((pali::objects::find_mask_vqvae(folder.path()) == second));
    const auto first = folder.write("vae-oid.npz", "");
    BOOST_TEST((pali::objects::find_mask_vqvae(folder.path()) == first));
}

BOOST_AUTO_TEST_SUITE_END()
