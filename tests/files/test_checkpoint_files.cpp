// Folders of weights: a single file, shards, and every way in which an index and its shards can disagree.
#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>

#include <pali/core/error.hpp>
#include <pali/files/checkpoint_files.hpp>
#include <pali/files/safetensors_writer.hpp>
#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using nlohmann::json;
using pali::errc;

void write(const std::filesystem::path& path, const std::vector<std::pair<std::string, float>>& numbers) {
    pali::files::tensor_table table;
    for (const auto& [name, number] : numbers) table[name] = {pali::files::dtype::f32, {1}, std::as_bytes(std::span(&number, 1)), ""};
    pali::files::write_safetensors(path, table);
}

float number(const pali::files::checkpoint_files& files, const std::string& name) { return files.at(name).as<float>()[0]; }

// Two shards with two tensors each, and an index.
struct sharded {
    pali::test::temporary_folder folder;
    json weight_map{{"a", "one.safetensors"}, {"b", "one.safetensors"}, {"c", "two.safetensors"}, {"d", "two.safetensors"}};

    sharded() {
        write(folder.path() / "one.safetensors", {{"a", 1.0f}, {"b", 2.0f}});
        write(folder.path() / "two.safetensors", {{"c", 3.0f}, {"d", 4.0f}});
    }
    pali::files::checkpoint_files open() const {
        folder.write("model.safetensors.index.json", json{{"metadata", {{"total_size", 16}}}, {"weight_map", weight_map}}.dump());
        return pali::files::checkpoint_files(folder.path());
    }
};

auto says(errc code, std::vector<std::string> words) {
    return [=](const pali::error& e) {
        for (const std::string& word : words) {
            BOOST_TEST_INFO("looking for: " << word << "\nin: " << e.what());
            BOOST_TEST((std::string(e.what()).find(word) != std::string::npos));
        }
        return e.code() == code;
    };
}

} // namespace

BOOST_AUTO_TEST_SUITE(checkpoint_files)

BOOST_AUTO_TEST_CASE(one_file_in_a_folder_or_by_its_name) {
    const pali::test::temporary_folder folder;
    write(folder.path() / "model.safetensors", {{"a", 1.0f}});
    write(folder.path() / "other.safetensors", {{"b", 2.0f}});
    const pali::files::checkpoint_files whole(folder.path());
    BOOST_TEST(whole.tensors().size() == 1u);
    BOOST_TEST(number(whole, "a") == 1);
    BOOST_TEST(whole.at("a").file == (folder.path() / "model.safetensors").string());
    BOOST_TEST(number(pali::files::checkpoint_files(folder.path() / "other.safetensors"), "b") == 2);
}

BOOST_AUTO_TEST_CASE(shards_are_one_table) {
    const sharded some;
    const pali::files::checkpoint_files files = some.open();
    BOOST_TEST(files.files().size() == 2u);
    std::string names;
    for (const auto& [name, tensor] : files.tensors()) names += name;
    BOOST_TEST(names == "abcd");
    for (const auto& [name, want] : std::vector<std::pair<std::string, float>>{{"a", 1}, {"b", 2}, {"c", 3}, {"d", 4}})
        BOOST_TEST(number(files, name) == want);
    BOOST_TEST(files.at("d").file == (some.folder.path() / "two.safetensors").string());
}

BOOST_AUTO_TEST_CASE(moving_moves_no_bytes) {
    const sharded some;
    pali::files::checkpoint_files first = some.open();
    const auto* const where = first.at("d").bytes.data();
    const pali::files::checkpoint_files second(std::move(first));
    BOOST_TEST(second.at("d").bytes.data() == where);
    BOOST_TEST(number(second, "d") == 4);
}

BOOST_AUTO_TEST_CASE(the_whole_file_wins_over_an_index) { // as in transformers
    const sharded some;
    write(some.folder.path() / "model.safetensors", {{"whole", 9.0f}});
    BOOST_TEST(some.open().tensors().size() == 1u);
}

BOOST_AUTO_TEST_CASE(differences_of_index_and_shards_are_told_and_nothing_is_lost) {
    sharded some;
    some.weight_map["b"] = "two.safetensors"; // but it is in the first shard
    some.weight_map.erase("c");               // but it is in a shard
    some.weight_map["e"] = "one.safetensors"; // but it is in no shard
    const pali::files::checkpoint_files files = some.open();
    const std::string told = files.differences().joined("\n");
    BOOST_TEST(files.differences().size() == 3u);
    for (const char* word :
         {"'b' is in 'one.safetensors'; the index says 'two.safetensors'", "'c' is in 'two.safetensors'; the index does not list it",
          "'e' is not in any shard; the index says 'one.safetensors'"})
        BOOST_TEST(told.find(word) != std::string::npos, word << " is not in " << told);
    BOOST_TEST(number(files, "b") == 2);
    BOOST_TEST(number(files, "c") == 3);
    BOOST_TEST(sharded().open().differences().empty());
}

BOOST_AUTO_TEST_CASE(of_two_tensors_of_one_name_the_index_chooses) {
    sharded some;
    write(some.folder.path() / "one.safetensors", {{"a", 1.0f}, {"b", 2.0f}, {"d", 5.0f}});
    BOOST_TEST(number(some.open(), "d") == 4);
    some.weight_map["d"] = "one.safetensors";
    BOOST_TEST(number(some.open(), "d") == 5);
}

BOOST_AUTO_TEST_CASE(ten_of_many_differences_are_told) {
    sharded some;
    for (int i = 0; i < 300; ++i) some.weight_map["many." + std::to_string(i)] = "one.safetensors";
    const std::string told = some.open().differences().joined("\n");
    BOOST_TEST(std::count(told.begin(), told.end(), '\n') == 11);
    BOOST_TEST(told.ends_with("and 290 more"));
}

BOOST_AUTO_TEST_CASE(a_folder_of_the_hubs_cache_is_its_snapshot) {
    const pali::test::temporary_folder folder;
    const auto snapshots = folder.path() / "models--google--paligemma" / "snapshots";
    std::filesystem::create_directories(snapshots / "0123");
    write(snapshots / "0123" / "model.safetensors", {{"a", 1.0f}});
    const pali::files::checkpoint_files files(folder.path() / "models--google--paligemma");
    BOOST_TEST(number(files, "a") == 1);
    BOOST_TEST(files.path() == snapshots / "0123");
    std::filesystem::create_directories(snapshots / "4567");
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path() / "models--google--paligemma"), pali::error,
                          says(errc::cannot_open, {"cache with 2 snapshots", "'0123', '4567'"}));
}

BOOST_AUTO_TEST_CASE(what_is_no_checkpoint_is_named) {
    const pali::test::temporary_folder folder;
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files("google/paligemma2-3b-mix-224"), pali::error,
                          says(errc::cannot_open, {"a repository on the Hugging Face hub", "hf download google/paligemma2-3b-mix-224"}));
    const std::string wanted = "; pass a folder with config.json and *.safetensors, or one of its .safetensors files";
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files("some/folder/of/mine"), pali::error,
                          says(errc::cannot_open, {"mine: no such folder or file" + wanted}));
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files("absent.safetensors"), pali::error,
                          says(errc::cannot_open, {"absent.safetensors: no such folder or file" + wanted}));
    for (const char* name : {"photo.png", "config.json", "model.safetensors.index.json"})
        BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.write(name, "{}")), pali::error,
                              says(errc::cannot_open, {std::string(name) + ": is neither a folder nor a .safetensors file" + wanted}));
    std::filesystem::create_symlink("circle", folder.path() / "circle");
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path() / "circle"), pali::error,
                          says(errc::cannot_open, {"circle: cannot be reached: "}));
    folder.write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 4948721472\n");
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error,
                          says(errc::malformed_file, {"model.safetensors: is a Git LFS pointer", "git lfs pull"}));
    write(folder.path() / "model.safetensors", {{"a", 1.0f}});
    folder.write("adapter_config.json", R"({"peft_type": "LORA", "base_model_name_or_path": "google/paligemma2-3b-pt-448"})");
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error,
                          says(errc::unsupported_format, {"an adapter (LORA) for 'google/paligemma2-3b-pt-448'", "merge_and_unload"}));
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path() / "model.safetensors"), pali::error,
                          says(errc::unsupported_format, {"an adapter (LORA) for 'google/paligemma2-3b-pt-448'"}));
}

BOOST_AUTO_TEST_CASE(a_shard_is_told_by_its_name) {
    const pali::test::temporary_folder folder;
    for (const auto& [name, is_shard] : {std::pair("model-00001-of-00002.safetensors", true),
                                         std::pair("model-00001-of-00001.safetensors", false), std::pair("other.safetensors", false)}) {
        write(folder.path() / name, {{"a", 1.0f}});
        BOOST_TEST(pali::files::checkpoint_files(folder.path() / name).is_shard() == is_shard, name);
    }
}

BOOST_AUTO_TEST_CASE(all_missing_shards_are_told) {
    sharded some;
    some.weight_map["x"] = "three.safetensors";
    some.weight_map["y"] = "four.safetensors";
    BOOST_CHECK_EXCEPTION(some.open(), pali::error,
                          says(errc::cannot_open, {"'three.safetensors'", "'four.safetensors'", "downloaded completely"}));
}

BOOST_AUTO_TEST_CASE(a_complete_set_of_shards_needs_no_index) {
    const pali::test::temporary_folder folder;
    write(folder.path() / "model-00001-of-00002.safetensors", {{"a", 1.0f}, {"b", 2.0f}});
    write(folder.path() / "adapter-00001-of-00003.safetensors", {{"z", 1.0f}});
    const auto refused = [&](std::vector<std::string> words) {
        BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error, says(errc::cannot_open, words));
    };
    refused({"has no model.safetensors.index.json, and only 1 of the 2 shards; missing: 00002", "download"});
    write(folder.path() / "model-00002-of-00002.safetensors", {{"c", 3.0f}});
    const pali::files::checkpoint_files files(folder.path());
    BOOST_TEST(files.tensors().size() == 3u);
    BOOST_TEST(number(files, "c") == 3);
    BOOST_TEST(files.differences().empty());
    write(folder.path() / "model-00002-of-00002.safetensors", {{"a", 9.0f}, {"c", 3.0f}});
    const pali::files::checkpoint_files twice(folder.path());
    BOOST_TEST(number(twice, "a") == 1);
    BOOST_TEST(twice.differences().joined("") ==
               "'a' is in 'model-00002-of-00002.safetensors' and in 'model-00001-of-00002.safetensors'; there is no index");
    write(folder.path() / "model-00001-of-00003.safetensors", {{"a", 1.0f}});
    refused({"shards belong to several sets, of 2 and of 3 files"});
}

BOOST_AUTO_TEST_CASE(other_names_are_no_shards) {
    const pali::test::temporary_folder folder;
    for (const char* name : {"model-0000a-of-00001.safetensors", "model-00001-of-0000b.safetensors", "model-00001+of-00001.safetensors",
                             "model-00001-of-00001.safetensor", "model-00002-of-00001.safetensors", "model-00000-of-00001.safetensors",
                             "model-1-of-1.safetensors", "model-+0001-of-00001.safetensors"})
        folder.write(name, "");
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error,
                          says(errc::cannot_open, {"neither model.safetensors nor model.safetensors.index.json"}));
}

BOOST_AUTO_TEST_CASE(a_malformed_shard_is_named) {
    const sharded some;
    some.folder.write("two.safetensors", "cut");
    BOOST_CHECK_EXCEPTION(some.open(), pali::error, says(errc::malformed_file, {"two.safetensors: has 3 bytes"}));
}

BOOST_DATA_TEST_CASE(shards_stay_in_the_folder,
                     boost::unit_test::data::make({"../one.safetensors", "/tmp/one.safetensors", "sub/one.safetensors",
                                                   "..\\one.safetensors", "C:one.safetensors", "..", ".", "", "./one.safetensors",
                                                   "one.safetensors\n", "one.safetensors/"}),
                     name) {
    sharded some;
    some.weight_map["a"] = name;
    BOOST_CHECK_EXCEPTION(some.open(), pali::error, says(errc::malformed_file, {"'weight_map' maps tensor 'a'", "the same folder"}));
}

BOOST_AUTO_TEST_CASE(shards_are_safetensors_files) {
    sharded some;
    some.folder.write("one.bin", "");
    some.weight_map["a"] = "one.bin";
    BOOST_CHECK_EXCEPTION(some.open(), pali::error, says(errc::malformed_file, {"'one.bin'", "must end with .safetensors"}));
}

BOOST_AUTO_TEST_CASE(malformed_indices_are_refused) {
    const pali::test::temporary_folder folder;
    const auto check = [&](const std::string& text, std::vector<std::string> words) {
        folder.write("model.safetensors.index.json", text);
        BOOST_TEST_CONTEXT(text.substr(0, 60))
        BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error, says(errc::malformed_file, words));
    };
    check("", {"empty"});
    check("{", {"not valid JSON"});
    check("[]", {"is array"});
    check("{}", {"no 'weight_map'"});
    check(R"({"weight_map": []})", {"'weight_map' is array"});
    check(R"({"weight_map": {}})", {"'weight_map' is empty"});
    check(R"({"weight_map": {"a": 1}})", {"has number at 'a'"});
    check(R"({"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}})", {"'weight_map.a' twice"});
    check(R"({"weight_map": {"a": "x.safetensors"}, "weight_map": {}})", {"'weight_map' twice"});
    check(std::string("{\"weight_map\": {\"a\": \"x.safetensors\"}}\0{", 40), {"zero byte"});
    check(R"({"weight_map": )" + std::string(1'000'000, '['), {"64 deep"});
}

BOOST_AUTO_TEST_CASE(a_folder_without_weights_says_what_it_holds) {
    const pali::test::temporary_folder folder;
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error,
                          says(errc::cannot_open, {"neither model.safetensors nor model.safetensors.index.json"}));
    folder.write("pytorch_model.bin", "");
    folder.write("adapter.safetensors", "");
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path()), pali::error,
                          says(errc::cannot_open, {"'adapter.safetensors', 'pytorch_model.bin'", "save_pretrained"}));
    BOOST_CHECK_EXCEPTION(pali::files::checkpoint_files(folder.path() / "absent"), pali::error,
                          says(errc::cannot_open, {"absent: no such folder"}));
}

BOOST_AUTO_TEST_CASE(a_missing_tensor_is_named) {
    const sharded some;
    BOOST_CHECK_EXCEPTION((void)some.open().at("z"), pali::error, says(errc::checkpoint_mismatch, {"no tensor 'z' among its 4"}));
}

// Opens every checkpoint in the source tree.
BOOST_AUTO_TEST_CASE(checkpoints_of_the_tree_open) {
    std::size_t opened = 0;
    for (const auto& place : {pali::test::data_path("models"), pali::test::source_path("examples/models")}) {
        if (!std::filesystem::is_directory(place)) continue;
        for (const auto& entry : std::filesystem::directory_iterator(place)) {
            if (!std::filesystem::exists(entry.path() / "config.json")) continue;
            BOOST_TEST_CONTEXT(entry.path()) BOOST_TEST(pali::files::checkpoint_files(entry.path()).tensors().size() > 10u);
            ++opened;
        }
    }
    if (const auto shapes = pali::test::shared_path("models/shapes")) {
        BOOST_TEST(pali::files::checkpoint_files(*shapes).tensors().size() == 117u);
        ++opened;
    }
    BOOST_TEST_MESSAGE(opened << " checkpoints");
}

BOOST_AUTO_TEST_SUITE_END()
