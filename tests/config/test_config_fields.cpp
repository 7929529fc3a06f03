// Checks the lists of fields against the structs, and the config.json that is written. The structured bindings name every member, so this
// file does not compile if a struct gets a new member.
#include <pali/config/config_fields.hpp>
#include <pali/config/config_json.hpp>
#include <pali/config/differences.hpp>
#include <pali/config/registry.hpp>

#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <nlohmann/json.hpp>

#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace {

using nlohmann::json;
using pali::dynamic;
using pali::errc;
using addresses = std::set<const void*>;

/// Files of checkpoints by name: all released checkpoints, and all cases of cases.json that are not rejected.
const json& checkpoints() {
    static const json all = [] {
        json found = json::parse(std::ifstream(pali::test::data_path("configs/released.json")));
        const json cases = json::parse(std::ifstream(pali::test::data_path("configs/cases.json")));
        for (const json& one : cases.at("cases"))
            if (!one.contains("refused")) found[one.at("name").get<std::string>()] = one.at("files");
        return found;
    }();
    return all;
}

std::vector<std::string> names() {
    std::vector<std::string> out;
    for (const auto& [name, files] : checkpoints().items()) out.push_back(name);
    return out;
}

pali::checkpoint_config read(const json& files) {
    const pali::test::temporary_folder folder;
    for (const auto& [name, content] : files.items()) folder.write(name, content.is_string() ? content.get<std::string>() : content.dump());
    return pali::read_checkpoint_config(folder);
}

} // namespace

BOOST_AUTO_TEST_SUITE(fields_of_configurations)

BOOST_AUTO_TEST_CASE(every_member_is_listed) {
    addresses listed;
    const auto list = [&](const auto& field, const auto& member) { BOOST_TEST(listed.insert(&member).second, field.key); };
    const dynamic sizes;
    const auto& [vision, vocab, hidden, layers, intermediate, heads, kv_heads, head_dim, scalar, attention_softcap, final_softcap,
                 rope_theta, norm_eps, post_norms, windows] = sizes;
    pali::config_fields::visit_decoder(list, sizes);
    BOOST_TEST((listed == addresses{&vocab, &hidden, &layers, &intermediate, &heads, &kv_heads, &head_dim, &scalar, &attention_softcap,
                                    &final_softcap, &rope_theta, &norm_eps, &post_norms}));
    BOOST_TEST((&vision == &sizes.vision && &windows == &sizes.windows)); // its own list; a function of the layer

    listed.clear();
    const pali::dynamic_vision tower;
    const auto& [image_size, patch_size, width, blocks, mlp, of_heads, eps] = tower;
    pali::config_fields::visit_vision(list, tower);
    BOOST_TEST((listed == addresses{&image_size, &patch_size, &width, &blocks, &mlp, &of_heads, &eps}));
}

// A written file is read as the same configuration, whatever the form of the original file.
BOOST_DATA_TEST_CASE(what_is_written_is_read_again, boost::unit_test::data::make(names()), name) {
    const json& files = checkpoints().at(name);
    const pali::checkpoint_config config = read(files);
    json again;
    again["config.json"] = pali::config_detail::config_json(config);
    const pali::checkpoint_config got = read(again);
    for (const pali::config_detail::config_difference& one : pali::config_detail::differences(config.sizes, got.sizes))
        BOOST_ERROR(one.field << ": " << one.first << " was written, " << one.second << " was read");
    BOOST_TEST(got.sizes.windows == config.sizes.windows, boost::test_tools::per_element());
    BOOST_TEST((got.image_token == config.image_token && got.bos == config.bos && got.pad == config.pad && got.eos == config.eos));
    BOOST_TEST((got.positions == config.positions && got.tied == config.tied && got.dtype == config.dtype));
}

BOOST_AUTO_TEST_CASE(every_key_is_written) {
    pali::checkpoint_config config = read(checkpoints().at("paligemma2-3b-448"));
    const json written = json::parse(pali::config_detail::config_json(config));
    const auto check = [&](const char* section) {
        return [&written, section](const auto& field, const auto&) { BOOST_TEST(written.at(section).contains(field.key), field.key); };
    };
    pali::config_fields::visit_decoder(check("text_config"), config.sizes);
    pali::config_fields::visit_vision(check("vision_config"), config.sizes.vision);
    BOOST_TEST(written.at("text_config").at("rms_norm_eps").dump() ==
               "1e-06"); // the shortest decimal of the float, not 9.99999997475242e-07
}

BOOST_AUTO_TEST_CASE(windows_that_cannot_be_written_are_refused) {
    const auto refuses = [](pali::checkpoint_config config, const char* words) {
        BOOST_CHECK_EXCEPTION((void)pali::config_detail::config_json(config), pali::error, ([&](const pali::error& e) {
                                  return e.code() == errc::unsupported_config && std::string(e.what()).find(words) != std::string::npos;
                              }));
    };
    pali::checkpoint_config two = read(checkpoints().at("paligemma2-3b-448"));
    two.sizes.windows[2] = 1024;
    refuses(two, "layer 2 has a sliding window of 1024 tokens, another layer of 4096");
    pali::checkpoint_config first = read(checkpoints().at("paligemma-3b-224"));
    first.sizes.windows[5] = 512;
    refuses(first, "layer 5 has a sliding window of 512 tokens");
}

BOOST_AUTO_TEST_SUITE_END()
