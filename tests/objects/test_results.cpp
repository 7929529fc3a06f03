// Result files: their contents, hostile file names, and resuming after an interruption.
#include "answers.hpp"

#include <support/temporary_folder.hpp>

#include <pali/core/error.hpp>
#include <pali/core/write_file.hpp>
#include <pali/image/read.hpp>
#include <pali/image/write.hpp>
#include <pali/objects/coco.hpp>
#include <pali/objects/coco_file.hpp>
#include <pali/objects/json_lines.hpp>
#include <pali/objects/labelme.hpp>
#include <pali/objects/rle.hpp>
#include <pali/objects/yolo.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace pali::test;
using nlohmann::json;
using pali::errc;

namespace {

pali::object boxed(std::string label, float score, pali::box where) { return {.label = std::move(label), .score = score, .box = where}; }

/// A cat with a mask of 2 x 3 pixels and a dog without a mask, in an image of 20 x 10.
std::vector<pali::object> cat_and_dog() {
    std::vector<pali::object> out = {boxed("cat", 0.75f, {1.5f, 2, 8, 7.25f}), boxed("dog", 0.5f, {10, 0, 20, 10})};
    out[0].mask = pali::mask(20, 10);
    for (const std::size_t y : {3u, 4u, 5u})
        for (const std::size_t x : {2u, 3u}) out[0].mask.values[y * 20 + x] = 255;
    out[0].mask.values[3 * 20 + 2] = 100; // below the threshold
    return out;
}

std::string content_of(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

auto with(errc code) {
    return [code](const pali::error& e) { return e.code() == code; };
}

std::vector<std::byte> from_base64(const std::string& text) {
    const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::vector<std::byte> out;
    std::uint32_t bits = 0, count = 0;
    for (const char c : text) {
        if (c == '=') break;
        bits = bits << 6 | static_cast<std::uint32_t>(digits.find(c));
        if ((count += 6) >= 8) out.push_back(static_cast<std::byte>(bits >> (count -= 8) & 255));
    }
    BOOST_TEST(text.size() % 4 == 0u);
    return out;
}

const std::string hostile[] = {"a\"b\\c",   "c\xFFt", "line\nbreak", std::string("ze\0ro", 5), "\x1b[31m", "\xE7\x8C\xAB",
                               "</script>", "",       "   ",         "\xED\xA0\x80",           "a,b;c"};

} // namespace

BOOST_AUTO_TEST_SUITE(results)

BOOST_AUTO_TEST_CASE(coco_says_what_was_found) {
    const auto objects = cat_and_dog();
    pali::coco_writer coco;
    coco.add({.file = "a.jpg", .width = 20, .height = 10, .objects = objects});
    coco.add({.file = "nothing.jpg", .width = 5, .height = 6, .objects = {}});
    const auto another = std::vector{boxed("bird", 1, {0, 0, 1, 1}), boxed("cat", 0, {0, 0, 2, 2})};
    coco.add({.file = "b.jpg", .width = 20, .height = 10, .objects = another});
    const json want = json::parse(R"({"info": {"description": "objects found by pali"},
        "images": [{"id": 1, "file_name": "a.jpg", "width": 20, "height": 10},
                   {"id": 2, "file_name": "nothing.jpg", "width": 5, "height": 6},
                   {"id": 3, "file_name": "b.jpg", "width": 20, "height": 10}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [2, 3, 2, 3], "area": 5,
             "segmentation": [[4, 3, 4, 6, 2, 6, 2, 4, 3, 4, 3, 3]],
             "iscrowd": 0, "score": 0.75},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [10.0, 0.0, 10.0, 10.0], "area": 100.0,
             "segmentation": [], "iscrowd": 0, "score": 0.5},
            {"id": 3, "image_id": 3, "category_id": 3, "bbox": [0.0, 0.0, 1.0, 1.0], "area": 1.0,
             "segmentation": [], "iscrowd": 0, "score": 1.0},
            {"id": 4, "image_id": 3, "category_id": 1, "bbox": [0.0, 0.0, 2.0, 2.0], "area": 4.0,
             "segmentation": [], "iscrowd": 0, "score": 0.0}],
        "categories": [{"id": 1, "name": "cat", "supercategory": ""}, {"id": 2, "name": "dog", "supercategory": ""},
                       {"id": 3, "name": "bird", "supercategory": ""}]})");
    json got = json::parse(coco.text());
    BOOST_TEST(got == want, json::diff(got, want).dump());

    const json list = json::parse(coco.results());
    BOOST_TEST_REQUIRE(list.size() == 4u);
    for (std::size_t i = 0; i < 4; ++i) {
        for (const char* key : {"image_id", "category_id", "bbox", "score"}) BOOST_TEST(list[i][key] == want["annotations"][i][key]);
        BOOST_TEST(list[i].contains("segmentation") == (i == 0));
        BOOST_TEST(list[i].size() == (i == 0 ? 5u : 4u));
    }
}

BOOST_AUTO_TEST_CASE(coco_has_masks_in_the_form_that_is_asked_for) {
    auto objects = cat_and_dog();
    objects.resize(1);
    const auto with_mask = [&](pali::coco_masks form) {
        pali::coco_writer coco(form);
        coco.add({.file = "a", .width = 20, .height = 10, .objects = objects});
        return json::parse(coco.text())["annotations"][0]["segmentation"];
    };
    const auto is_mask = [&](const json& runs) {
        return runs.is_object() && runs["size"] == json({10, 20}) &&
               pali::read_runs(runs["counts"].get<std::string>(), 20, 10) == pali::runs_of(objects[0].mask);
    };
    BOOST_TEST((with_mask(pali::coco_masks::automatic) == with_mask(pali::coco_masks::polygons)));
    BOOST_TEST(is_mask(with_mask(pali::coco_masks::run_lengths)));
    for (const std::size_t y : {2u, 3u, 4u}) // a ring around (11, 3)
        for (const std::size_t x : {10u, 11u, 12u}) objects[0].mask.values[y * 20 + x] = x == 11 && y == 3 ? 0 : 255;
    BOOST_TEST(is_mask(with_mask(pali::coco_masks::automatic)), "a hole has no place in a list of polygons");
    BOOST_TEST(is_mask(with_mask(pali::coco_masks::run_lengths)));
    BOOST_TEST(with_mask(pali::coco_masks::polygons).size() == 1u);
    objects[0].mask = pali::mask(20, 10); // empty
    for (const auto form : {pali::coco_masks::automatic, pali::coco_masks::polygons, pali::coco_masks::run_lengths})
        BOOST_TEST(is_mask(with_mask(form)));
}

BOOST_AUTO_TEST_CASE(categories_that_are_declared_have_their_numbers_whatever_is_found) {
    const auto objects = std::vector{boxed("dog", 1, {0, 0, 1, 1})};
    pali::coco_writer coco;
    coco.declare("cat");
    coco.declare("dog");
    coco.declare("cat");
    coco.add({.file = "a", .width = 2, .height = 2, .objects = objects});
    const json got = json::parse(coco.text());
    BOOST_TEST(got["categories"].size() == 2u);
    BOOST_TEST(got["annotations"][0]["category_id"] == 2);
}

BOOST_AUTO_TEST_CASE(names_that_are_no_text_stay_apart) {
    const temporary_folder folder;
    const std::string first = "a\xff.png", second = "a\xfe.png";
    pali::coco_writer coco;
    for (const std::string& name : {first, second}) coco.add({.file = name, .width = 2, .height = 2, .objects = {}});
    coco.write(folder.path() / "coco.json");
    const auto again = pali::coco_writer::read(folder.path() / "coco.json");
    BOOST_TEST((again.size() == 2u && again.contains(first) && again.contains(second) && !again.contains("a\xEF\xBF\xBD.png")));
    const json images = json::parse(again.text())["images"];
    BOOST_TEST((images[0]["file_name"] == "a\xEF\xBF\xBD.png" && images[0]["file_name_bytes"] == "61ff2e706e67" &&
                images[1]["file_name_bytes"] == "61fe2e706e67"));
    {
        pali::json_lines lines(folder.path() / "lines");
        for (const std::string& name : {first, second}) lines.add({.file = name, .width = 2, .height = 2, .objects = {}});
    }
    const pali::json_lines lines(folder.path() / "lines");
    BOOST_TEST((lines.files() == std::vector{first, second}));
    BOOST_TEST((lines.contains(second) && !lines.contains("a\xEF\xBF\xBD.png")));
}

BOOST_AUTO_TEST_CASE(coco_goes_on_after_a_stop) {
    const temporary_folder folder;
    const auto path = folder.path() / "coco.json";
    const auto objects = cat_and_dog();
    pali::coco_writer at_once, first;
    const auto add = [&](pali::coco_writer& to, const std::string& file) {
        to.add({.file = file, .width = 20, .height = 10, .objects = objects});
    };
    add(at_once, "a");
    add(at_once, "b");
    add(first, "a");
    first.write(path);
    auto second = pali::coco_writer::read(path);
    BOOST_TEST((second.contains("a") && !second.contains("b") && second.size() == 1u));
    add(second, "b");
    second.write(path);
    BOOST_TEST(content_of(path) == at_once.text());
    BOOST_TEST(!std::filesystem::exists(folder.path() / "coco.json.part"));
    BOOST_CHECK_EXCEPTION(add(second, "b"), pali::error, with(errc::invalid_argument));
    BOOST_TEST(second.text() == at_once.text());
}

BOOST_AUTO_TEST_CASE(a_coco_file_is_what_a_writer_writes) {
    const temporary_folder folder;
    const auto path = folder.path() / "coco.json";
    const auto objects = cat_and_dog(), another = std::vector{boxed("bird", 1, {0, 0, 1, 1}), boxed("a\xFF", 0, {0, 0, 2, 2})};
    for (const auto form : {pali::coco_masks::automatic, pali::coco_masks::run_lengths})
        for (const std::size_t images : {0u, 1u, 2u, 5u})
            for (const bool declares : {false, true}) {
                pali::coco_writer whole(form);
                pali::coco_file file(path, form);
                if (declares) whole.declare("dog"), file.declare("dog"), whole.declare("zebra"), file.declare("zebra");
                for (std::size_t i = 0; i < images; ++i) {
                    const std::span<const pali::object> found = i % 3 == 0   ? std::span<const pali::object>()
                                                                : i % 3 == 1 ? std::span(objects)
                                                                             : std::span(another);
                    const pali::image_objects image{.file = "\xFE \"" + std::to_string(i), .width = 20, .height = 10, .objects = found};
                    whole.add(image);
                    file.add(image);
                }
                file.finish();
                BOOST_TEST(content_of(path) == whole.text());
            }
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1, "no parts are left");
}

BOOST_AUTO_TEST_CASE(a_coco_file_appears_whole_or_not_at_all) {
    const temporary_folder folder;
    const auto path = folder.write("coco.json", "old");
    const auto objects = cat_and_dog();
    {
        pali::coco_file file(path);
        file.add({.file = "a", .width = 20, .height = 10, .objects = objects});
        BOOST_CHECK_EXCEPTION(file.add({.file = "a", .width = 20, .height = 10, .objects = objects}), pali::error,
                              with(errc::invalid_argument));
        BOOST_CHECK_EXCEPTION(file.add({.file = "b", .width = 21, .height = 10, .objects = objects}), pali::error,
                              with(errc::invalid_argument));
    }
    BOOST_TEST(content_of(path) == "old");
    BOOST_TEST(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1, "no parts are left");
    BOOST_CHECK_EXCEPTION((void)pali::coco_file(folder.path() / "absent" / "coco.json"), pali::error, with(errc::cannot_write));
    BOOST_CHECK_EXCEPTION((void)pali::coco_file(folder.path()), pali::error, with(errc::cannot_write));
    std::filesystem::create_directory(folder.path() / "coco.json.annotations.part");
    BOOST_CHECK_EXCEPTION((void)pali::coco_file(path), pali::error, with(errc::cannot_write));
    BOOST_TEST(content_of(path) == "old");
}

// Data sets of other programs have arbitrary ids. New entries are appended; unknown fields are kept.
BOOST_AUTO_TEST_CASE(coco_goes_on_with_another_program_s_file) {
    const temporary_folder folder;
    const auto path =
        folder.write("coco.json", R"({"licenses": [{"id": 7}], "images": [{"id": 397133, "file_name": "x.jpg", "height": 1, "width": 1}],
        "annotations": [{"id": 90, "image_id": 397133, "category_id": 18, "bbox": [0, 0, 1, 1]}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}]})");
    auto coco = pali::coco_writer::read(path);
    const auto objects = cat_and_dog();
    coco.add({.file = "a", .width = 20, .height = 10, .objects = objects});
    const json got = json::parse(coco.text());
    BOOST_TEST(got["licenses"][0]["id"] == 7);
    BOOST_TEST(got["images"][1]["id"] == 397134);
    BOOST_TEST(got["annotations"][1]["id"] == 91);
    BOOST_TEST(got["annotations"][1]["category_id"] == 19); // cat is a new category
    BOOST_TEST(got["annotations"][2]["category_id"] == 18);
}

BOOST_AUTO_TEST_CASE(coco_refuses_what_is_none) {
    const temporary_folder folder;
    BOOST_CHECK_EXCEPTION((void)pali::coco_writer::read(folder.path() / "absent"), pali::error, with(errc::cannot_open));
    BOOST_CHECK_EXCEPTION((void)pali::coco_writer::read(folder.path()), pali::error, with(errc::cannot_open));
    for (const char* text :
         {"", "[]", "{", R"({"images": [], "annotations": []})", R"({"images": {}, "annotations": [], "categories": []})",
          R"({"images": [3], "annotations": [], "categories": []})", R"({"images": [{"id": 1}], "annotations": [], "categories": []})",
          R"({"images": [{"id": "1", "file_name": "a"}], "annotations": [], "categories": []})",
          R"({"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": [], "categories": []})",
          R"({"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}], "annotations": [], "categories": []})",
          R"({"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]})",
          R"({"images": [], "annotations": [{"id": 18446744073709551615}], "categories": []})",
          R"({"images": [], "annotations": [{"id": 1.5}], "categories": []})"})
        BOOST_CHECK_EXCEPTION((void)pali::coco_writer::read(folder.write("bad.json", text)), pali::error, with(errc::malformed_file));
    const auto objects = cat_and_dog();
    pali::coco_writer coco;
    BOOST_CHECK_EXCEPTION(coco.add({.file = "a", .width = 21, .height = 10, .objects = objects}), pali::error,
                          with(errc::invalid_argument));
    BOOST_CHECK_EXCEPTION(coco.add({.file = "", .width = 20, .height = 10, .objects = objects}), pali::error, with(errc::invalid_argument));
    BOOST_TEST(coco.size() == 0u);
    BOOST_TEST(json::parse(coco.text())["images"].empty());
    BOOST_CHECK_EXCEPTION(coco.write(folder.path() / "absent" / "coco.json"), pali::error, with(errc::cannot_write));
    BOOST_CHECK_EXCEPTION(coco.write(folder.path()), pali::error, with(errc::cannot_write));
}

BOOST_AUTO_TEST_CASE(hostile_names_and_numbers_make_valid_files) {
    const float none = std::numeric_limits<float>::quiet_NaN(), infinite = std::numeric_limits<float>::infinity();
    std::vector<pali::object> objects;
    for (const std::string& name : hostile) objects.push_back(boxed(name, none, {none, -infinite, infinite, 3e38f}));
    for (const std::string& name : hostile) objects.push_back(boxed(name, 1e-30f, {5, 5, 1, 1}));
    pali::coco_writer coco;
    pali::category_list classes;
    const temporary_folder folder;
    pali::json_lines lines(folder.path() / "lines.jsonl");
    for (const std::string& name : hostile) {
        if (name.empty()) continue;
        const pali::image_objects image{.file = name, .width = 20, .height = 10, .objects = objects};
        coco.add(image);
        lines.add(image);
        BOOST_TEST((coco.contains(name) && lines.contains(name)));
        const json labelme = json::parse(pali::labelme_text(image)), plain = json::parse(pali::objects_json(image));
        BOOST_TEST_REQUIRE(labelme["shapes"].size() == objects.size());
        for (std::size_t i = 0; i < objects.size(); ++i) BOOST_TEST(labelme["shapes"][i]["label"] == pali::category_name(objects[i].label));
        const std::string text = pali::labelme_text(image);
        BOOST_TEST(std::all_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x80 && (c >= 0x20 || c == '\n'); }));
        BOOST_TEST(plain["objects"].size() == objects.size());
        BOOST_TEST(plain["objects"][0]["label"] == "a\"b\\c");
        BOOST_TEST(plain["objects"][1]["label"] == "c\xEF\xBF\xBDt");
        BOOST_TEST(plain["objects"][3]["label"] == std::string("ze\0ro", 5));
        BOOST_TEST(plain["objects"][0]["score"] == 0.0);
        for (const auto& number : plain["objects"][0]["box"]) BOOST_TEST(number.is_number());
        BOOST_TEST(pali::yolo_text(image, classes).empty()); // none of these boxes has an area inside the image
    }
    const json read = json::parse(coco.text());
    BOOST_TEST(read["images"].size() == std::size(hostile) - 1);
    for (const auto& a : read["annotations"]) {
        for (const auto& number : a["bbox"]) BOOST_TEST(number.is_number());
        BOOST_TEST((a["bbox"][2] >= 0 && a["bbox"][3] >= 0 && a["area"] >= 0));
    }
    BOOST_TEST(pali::json_lines(folder.path() / "lines.jsonl").size() == lines.size()); // one line each
    const std::string text = content_of(folder.path() / "lines.jsonl");
    BOOST_TEST(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == lines.size());
}

BOOST_AUTO_TEST_CASE(lines_go_on_after_a_stop_anywhere) {
    const auto objects = cat_and_dog();
    const std::vector<std::string> masks = {"a_0.png", ""};
    const temporary_folder folder;
    const auto path = folder.path() / "lines.jsonl";
    const auto run = [&] {
        pali::json_lines lines(path);
        for (const std::string file : {"a", "b", "c"})
            if (!lines.contains(file)) lines.add({.file = file, .width = 20, .height = 10, .objects = objects, .mask_files = masks});
        BOOST_TEST(lines.size() == 3u);
    };
    run();
    const std::string whole = content_of(path);
    BOOST_TEST(whole.substr(0, whole.find('\n')) ==
               R"({"file":"a","width":20,"height":10,"objects":[{"label":"cat","score":0.75,"box":[1.5,2.0,8.0,7.25],"mask":"a_0.png"},)"
               R"({"label":"dog","score":0.5,"box":[10.0,0.0,20.0,10.0]}]})");
    run();
    BOOST_TEST(content_of(path) == whole);
    for (std::size_t length = 0; length < whole.size(); ++length) {
        (void)folder.write("lines.jsonl", whole.substr(0, length));
        run();
        if (content_of(path) != whole) BOOST_ERROR("stopped after " << length << " bytes");
    }
}

BOOST_AUTO_TEST_CASE(lines_leave_other_files_alone) {
    const temporary_folder folder;
    for (const std::string text :
         {"\x89PNG", "not a line of ours", "{}\n", "[1]\n{\"file\":\"a\"}\n", "{\"file\":1}\n", "{\"files\":\"a\"}"}) {
        const auto path = folder.write("other", text);
        BOOST_CHECK_EXCEPTION(pali::json_lines{path}, pali::error, with(errc::malformed_file));
        BOOST_TEST(content_of(path) == text);
    }
    BOOST_CHECK_EXCEPTION(pali::json_lines{folder.path()}, pali::error, with(errc::cannot_open));
    pali::json_lines nowhere(folder.path() / "absent" / "lines");
    BOOST_CHECK_EXCEPTION(nowhere.add({.file = "a", .objects = {}}), pali::error, with(errc::cannot_write));
    BOOST_TEST(!nowhere.contains("a"));
    const auto objects = cat_and_dog();
    const std::vector<std::string> one = {"a.png"};
    BOOST_CHECK_EXCEPTION((void)pali::objects_json({.file = "a", .objects = objects, .mask_files = one}), pali::error,
                          with(errc::invalid_argument));
}

BOOST_AUTO_TEST_CASE(labelme_opens_it) {
    const auto objects = cat_and_dog();
    const json got = json::parse(pali::labelme_text({.file = "a.jpg", .width = 20, .height = 10, .objects = objects}));
    BOOST_TEST(got["imagePath"] == "a.jpg");
    BOOST_TEST((got["imageWidth"] == 20 && got["imageHeight"] == 10 && got["imageData"].is_null() && got["flags"].is_object()));
    BOOST_TEST_REQUIRE(got["shapes"].size() == 2u);
    const json& cat = got["shapes"][0];
    BOOST_TEST((cat["label"] == "cat" && cat["shape_type"] == "mask" && cat["group_id"].is_null() && cat["description"] == "0.75"));
    BOOST_TEST(cat["points"] == json::parse("[[2, 3], [3, 5]]")); // includes the last row and column
    const std::vector<std::byte> png = from_base64(cat["mask"]),
                                 written = pali::encode_png(2, 3, std::vector<std::uint8_t>{0, 255, 255, 255, 255, 255});
    BOOST_TEST((png == written)); // byte for byte; a decoder would not detect a missing last byte
    const pali::image mask = pali::decode_image(png);
    BOOST_TEST_REQUIRE((mask.width == 2 && mask.height == 3));
    for (std::size_t i = 0; i < 6; ++i) BOOST_TEST(int{mask.pixels[i * 3]} == (i == 0 ? 0 : 255));
    const json& dog = got["shapes"][1];
    BOOST_TEST((dog["shape_type"] == "rectangle" && dog["mask"].is_null()));
    BOOST_TEST(dog["points"] == json::parse("[[10.0, 0.0], [20.0, 10.0]]"));
    BOOST_CHECK_EXCEPTION((void)pali::labelme_text({.file = "a", .width = 9, .height = 9, .objects = objects}), pali::error,
                          with(errc::invalid_argument));
    // Tests every length modulo 3, and so every kind of base64 padding.
    for (std::size_t width = 1; width < 20; ++width) {
        pali::object all = boxed("all", 1, {0, 0, static_cast<float>(width), 1});
        all.mask = pali::mask(width, 1);
        std::fill(all.mask.values.begin(), all.mask.values.end(), std::uint8_t{255});
        const json one = json::parse(pali::labelme_text({.file = "a", .width = width, .height = 1, .objects = std::span(&all, 1)}));
        BOOST_TEST((from_base64(one["shapes"][0]["mask"]) == pali::encode_png(width, 1, all.mask.values)));
    }
    // An object with an empty mask becomes a rectangle.
    auto empty = cat_and_dog();
    empty[0].mask = pali::mask(20, 10);
    BOOST_TEST(json::parse(pali::labelme_text({.file = "a", .width = 20, .height = 10, .objects = empty}))["shapes"][0]["shape_type"] ==
               "rectangle");
}

BOOST_AUTO_TEST_CASE(yolo_lines) {
    pali::category_list classes;
    const std::vector<pali::object> first = {boxed("cat", 1, {0, 0, 10, 5}), boxed("dog", 1, {5, 5, 15, 10}),
                                             boxed("cat", 1, {-5, -5, 25, 15}), boxed("gone", 1, {30, 0, 40, 5})};
    BOOST_TEST(pali::yolo_text({.file = "a", .width = 20, .height = 10, .objects = first}, classes) ==
               "0 0.250000 0.250000 0.500000 0.500000\n1 0.500000 0.750000 0.500000 0.500000\n0 0.500000 0.500000 1.000000 1.000000\n");
    BOOST_TEST(classes.text() == "cat\ndog\n");
    pali::category_list later(classes.text()); // a second run
    const std::vector<pali::object> second = {boxed("bird\nof prey", 1, {0, 0, 1, 1}), boxed("", 1, {0, 0, 1, 1}),
                                              boxed("dog", 1, {1, 1, 2, 4})};
    BOOST_TEST(pali::yolo_text({.file = "b", .width = 3, .height = 7, .objects = second}, later) ==
               "2 0.166667 0.071429 0.333333 0.142857\n3 0.166667 0.071429 0.333333 0.142857\n1 0.500000 0.357143 0.333333 0.428571\n");
    BOOST_TEST(later.text() == "cat\ndog\nbird of prey\nobject\n");
}

BOOST_AUTO_TEST_CASE(category_names) {
    for (const std::string& name : hostile) {
        const std::string made = pali::category_name(name);
        BOOST_TEST((!made.empty() && pali::core::is_utf8(made) && made.find_first_of("\n\r\0") == std::string::npos));
        BOOST_TEST(pali::category_name(made) == made);
    }
    BOOST_TEST(pali::category_name("\xE7\x8C\xAB") == "\xE7\x8C\xAB");
    pali::category_list lines("cat\r\n\ndog\ncat\nlast");
    BOOST_TEST(lines.names().size() == 5u);
    BOOST_TEST(lines.number_of("dog") == 2u);
    BOOST_TEST(lines.number_of("cat") == 0u);
    BOOST_TEST(lines.number_of("last") == 4u);
    BOOST_TEST(lines.number_of("new") == 5u);
}

BOOST_AUTO_TEST_CASE(a_text_is_written_whole_or_not_at_all) {
    const temporary_folder folder;
    const auto path = folder.write("text", "old");
    pali::core::write_file(path, std::string("n\0w", 3));
    BOOST_TEST(content_of(path) == std::string("n\0w", 3));
    std::filesystem::create_directory(folder.path() / "text.part"); // blocks the temporary file
    BOOST_CHECK_EXCEPTION(pali::core::write_file(path, "newer"), pali::error, with(errc::cannot_write));
    BOOST_TEST(content_of(path) == std::string("n\0w", 3));
}

BOOST_AUTO_TEST_CASE(a_link_is_kept_or_replaced) {
    const temporary_folder folder;
    const auto target = folder.write("target", "old"), link = folder.path() / "link";
    std::filesystem::create_symlink("target", link);
    pali::core::write_file(link, "new");
    BOOST_TEST((std::filesystem::is_symlink(link) && content_of(target) == "new"));
    pali::core::file_writer other(link, pali::core::file_writer::link::replaced);
    other.write("other");
    other.seek(1);
    other.write("TH");
    other.finish();
    BOOST_TEST((!std::filesystem::is_symlink(link) && content_of(link) == "oTHer" && content_of(target) == "new"));
}

BOOST_AUTO_TEST_CASE(a_text_is_appended_whole_or_not_at_all) {
    const temporary_folder folder;
    const auto path = folder.path() / "lines";
    pali::core::append_to_file(path, "one\n");
    pali::core::append_to_file(path, "two\n");
    BOOST_TEST(content_of(path) == "one\ntwo\n");
    BOOST_CHECK_EXCEPTION(pali::core::append_to_file(folder.path() / "absent" / "lines", "x"), pali::error, with(errc::cannot_write));
}

BOOST_AUTO_TEST_SUITE_END()
