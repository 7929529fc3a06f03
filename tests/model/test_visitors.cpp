// Visitors of a model's tensors: one that counts parameters, and the one that writes a checkpoint.
#include "parts.ipp"

#include <pali/config/paligemma_config.hpp>
#include <pali/model/quantize_checkpoint.hpp>
#include <pali/model/write_checkpoint.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <random>
#include <string>

namespace {

namespace bdata = boost::unit_test::data;
namespace fs = std::filesystem;
using namespace pali::test;

/// A user-defined visitor: collects the tensors and their sizes.
struct counter {
    std::multimap<std::string, std::vector<std::size_t>>& found;
    std::string prefix{};

    counter operator[](const std::string& name) const { return {found, prefix + name + "."}; }
    void matrix(const std::string& name, auto&, const std::vector<std::size_t>& shape) const { found.emplace(prefix + name, shape); }
    void vocabulary(const std::string& name, auto&, const std::vector<std::size_t>& shape) const { found.emplace(prefix + name, shape); }
    void vector(const std::string& name, const float*&, std::size_t size) const { found.emplace(prefix + name, std::vector{size}); }
    bool has(const std::string&) const { return true; }
    bool omits_or_repeats(const std::string&, const std::string&) const { return true; }
};
static_assert(pali::weights::tensor_visitor<counter>);

template <class Config>
void has_the_parameters_of(const std::string& variant) {
    const json want = json::parse(std::ifstream(data_path("parameters.json"))).at(variant);
    std::multimap<std::string, std::vector<std::size_t>> found;
    pali::nn::network_modules<Config, pali::bf16> modules{Config{}};
    modules.bind(counter{found}, true);
    std::size_t parameters = 0;
    for (const auto& [name, shape] : found) {
        std::size_t numbers = 1;
        for (const std::size_t side : shape) numbers *= side;
        parameters += numbers;
        BOOST_TEST(found.count(name) == 1u, name);
        BOOST_TEST((want.at("tensors").contains(name) && want.at("tensors").at(name).template get<std::vector<std::size_t>>() == shape),
                   name);
    }
    BOOST_TEST(found.size() == want.at("tensors").size());
    BOOST_TEST(parameters == want.at("parameters").template get<std::size_t>());
}

fs::path shapes_folder() { return source_path("examples/models/shapes"); }

std::string content(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

struct folder {
    fs::path path = fs::temp_directory_path() / ("pali_visitors_" + std::to_string(std::random_device{}()));
    folder() { fs::create_directories(path); }
    ~folder() { fs::remove_all(path); }
};

void check_equal(const fs::path& a, const fs::path& b) {
    const pali::files::checkpoint_files first(a), second(b);
    BOOST_REQUIRE(first.tensors().size() == second.tensors().size());
    for (const auto& [name, tensor] : first.tensors()) {
        const pali::files::tensor_info& other = second.at(name);
        BOOST_TEST((tensor.type == other.type && tensor.shape == other.shape && std::ranges::equal(tensor.bytes, other.bytes)), name);
    }
}

/// Writing a quantized checkpoint that was loaded as stored gives the same file.
template <class Storage>
void writes_the_same_file() {
    const folder to;
    pali::quantize_checkpoint<Storage>(shapes_folder(), to.path);
    parts<pali::dynamic, Storage> model(to.path);
    pali::write_checkpoint(model.net, to.path / "again.safetensors");
    BOOST_TEST((content(to.path / "again.safetensors") == content(to.path / "model.safetensors")), Storage::name);
}

} // namespace

BOOST_AUTO_TEST_SUITE(visitors)

BOOST_AUTO_TEST_CASE(a_model_has_the_tensors_of_the_published_checkpoint_each_once) {
    has_the_parameters_of<pali::paligemma2_3b_224>("paligemma2_3b_224"); // 3,032,242,416 parameters
    has_the_parameters_of<pali::paligemma_3b_224>("paligemma_3b_224");
}

BOOST_DATA_TEST_CASE(a_model_in_float32_is_written_as_its_checkpoint_is, bdata::make(model_names()), name) {
    const tiny_model tiny(name);
    const folder to;
    parts<> model(tiny.folder());
    pali::write_checkpoint(model.net, to.path / "model.safetensors");
    check_equal(tiny.folder(), to.path / "model.safetensors");
}

BOOST_AUTO_TEST_CASE(what_was_changed_is_written) {
    const tiny_model tiny("gemma2_window");
    const folder to;
    parts<pali::dynamic, pali::f32> model(tiny.folder());
    std::vector<float> trained(model.net.decoder.final_norm.scale, model.net.decoder.final_norm.scale + model.net.config.hidden);
    trained[0] += 1;
    model.net.decoder.final_norm.scale = trained.data();
    pali::write_checkpoint(model.net, to.path / "model.safetensors");
    const pali::files::checkpoint_files before(tiny.folder()), after(to.path / "model.safetensors");
    std::size_t changed = 0;
    for (const auto& [name, tensor] : before.tensors())
        if (!std::ranges::equal(tensor.bytes, after.at(name).bytes)) {
            ++changed;
            BOOST_TEST(name.ends_with("norm.weight"), name);
        }
    BOOST_TEST(changed == 1u);
}

BOOST_AUTO_TEST_CASE(a_quantized_file_is_written_again_byte_for_byte) {
    writes_the_same_file<pali::int8>();
    writes_the_same_file<pali::int4>();
}

BOOST_AUTO_TEST_SUITE_END()
