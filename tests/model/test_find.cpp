// detect, segment, caption and answer with the embedded model, and the parsing of its answers.
#include <pali/config/shapes_demo.hpp>
#include <pali/image/read.hpp>
#include <pali/image/resize.hpp>
#include <pali/model.hpp>
#include <pali/model/find.hpp>

#include <support/data.hpp>
#include <support/temporary_folder.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace {

using pali::test::data_path;
using shapes_model = pali::model<pali::dynamic, pali::f32>;

shapes_model& asked() {
    static shapes_model model(pali::test::source_path("examples/models/shapes"));
    return model;
}

const std::vector<pali::image>& images() {
    static const std::vector<pali::image> all = [] {
        std::vector<pali::image> read;
        for (const char* name : {"scenes/001.png", "scenes/004.png", "scenes/010.png"}) read.push_back(pali::read_image(data_path(name)));
        return read;
    }();
    return all;
}

void check_same(const pali::findings& a, const pali::findings& b) {
    BOOST_TEST(a.said.text == b.said.text);
    BOOST_TEST((a.said.logprobs == b.said.logprobs));
    BOOST_REQUIRE(a.size() == b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        BOOST_TEST(a[i].label == b[i].label);
        BOOST_TEST(a[i].score == b[i].score);
        BOOST_TEST(a[i].box == b[i].box);
        BOOST_TEST((a[i].mask == b[i].mask));
    }
}

BOOST_AUTO_TEST_CASE(objects_are_what_the_answer_says) {
    for (const pali::image& image : images()) {
        const pali::findings found = asked().detect(image, "shape");
        BOOST_TEST(found.said.text == asked().generate(image, "detect shape").text);
        const pali::objects::spoken_objects spoken = pali::objects::read_objects(found.said.text);
        BOOST_TEST(!found.empty());
        BOOST_REQUIRE(found.size() == spoken.objects.size());
        for (std::size_t i = 0; i < found.size(); ++i) {
            BOOST_TEST(found[i].label == spoken.objects[i].label);
            BOOST_TEST(found[i].box == pali::objects::box_of(spoken.objects[i].loc, image.width, image.height));
            BOOST_TEST((found[i].score > 0 && found[i].score <= 1));
            BOOST_TEST(found[i].mask.empty());
        }
    }
}

BOOST_AUTO_TEST_CASE(boxes_are_in_pixels_of_the_image_given) {
    pali::image large = pali::image_detail::resize(images()[0], 448, 224);
    const pali::findings small = asked().detect(images()[0], "shape"), found = asked().detect(large, "shape");
    BOOST_REQUIRE(!found.empty());
    for (const pali::detection& d : found) BOOST_TEST((d.box.x1 <= 448 && d.box.y1 <= 224 && d.box.x1 > 0));
    BOOST_REQUIRE(small.size() == found.size());
    BOOST_TEST(found[0].box.x0 == 4 * small[0].box.x0,
               boost::test_tools::tolerance(0.2f)); // after resizing back, the image differs slightly
}

BOOST_AUTO_TEST_CASE(masks_are_of_the_size_of_the_image_and_in_their_box) {
    for (const pali::image& image : images()) {
        const pali::findings found = asked().segment(image, "shape");
        for (const pali::segment& s : found) {
            if (s.mask.empty()) continue; // the answer was truncated
            BOOST_TEST((s.mask.width == image.width && s.mask.height == image.height));
            for (std::size_t y = 0; y < image.height; ++y)
                for (std::size_t x = 0; x < image.width; ++x)
                    if (s.mask.contains(x, y))
                        BOOST_REQUIRE((static_cast<float>(x) + 1 > s.box.x0 && static_cast<float>(x) < s.box.x1 &&
                                       static_cast<float>(y) + 1 > s.box.y0 && static_cast<float>(y) < s.box.y1));
        }
    }
}

BOOST_AUTO_TEST_CASE(batch_equals_single_and_features_equal_images) {
    const auto together = asked().segment_each(images(), "shape");
    BOOST_REQUIRE(together.size() == images().size());
    for (std::size_t i = 0; i < together.size(); ++i) {
        check_same(together[i], asked().segment(images()[i], "shape"));
        check_same(together[i], asked().segment(asked().encode(images()[i]), "shape"));
    }
    const auto captions = asked().generate_each(images(), "caption en");
    for (std::size_t i = 0; i < captions.size(); ++i) BOOST_TEST(captions[i].text == asked().caption(images()[i]));
    BOOST_TEST(asked().detect_each({}, "shape").empty());
}

BOOST_AUTO_TEST_CASE(captions_and_answers_are_prompts) {
    BOOST_TEST(asked().caption(images()[0]) == asked().generate(images()[0], "caption en").text);
    BOOST_TEST(asked().answer(images()[0], "how many shapes are there?") ==
               asked().generate(images()[0], "answer en how many shapes are there?").text);
    BOOST_TEST(asked().caption(images(), "de") == asked().generate(images(), "caption de").text);
}

BOOST_AUTO_TEST_CASE(constrained_answers_are_well_formed_whatever_is_drawn) {
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        pali::find_options options{.generate = {.max_new_tokens = 100, .sampling = {.temperature = 5, .seed = seed}}, .constrained = true};
        const pali::findings found = asked().segment(images()[seed % 3], "red circle ; blue thing", options);
        const bool whole = found.said.finish == pali::finish_reason::eos;
        BOOST_TEST(found.skipped <= (whole ? 0u : 1u));
        BOOST_TEST(found.text == "");
        for (std::size_t i = 0; i + (whole ? 0 : 1) < found.size(); ++i) {
            BOOST_TEST((found[i].label == "red circle" || found[i].label == "blue thing"), found[i].label);
            BOOST_TEST(!found[i].mask.empty());
        }
    }
}

BOOST_AUTO_TEST_CASE(constrained_beams_keep_to_the_grammar_too) {
    const pali::findings found =
        asked().detect(images()[0], "blue thing", {.generate = {.max_new_tokens = 40, .num_beams = 3}, .constrained = true});
    BOOST_TEST(found.skipped == 0u);
    for (const pali::detection& d : found) BOOST_TEST(d.label == "blue thing");
}

BOOST_AUTO_TEST_CASE(log_probabilities_stay_the_models_own_under_a_constraint) {
    const pali::findings free = asked().detect(images()[0], "shape"), bound = asked().detect(images()[0], "shape", {.constrained = true});
    BOOST_REQUIRE(!bound.said.logprobs.empty());
    BOOST_TEST(bound.said.logprobs[0] == free.said.logprobs[0]); // the first token is a coordinate even without the constraint
}

BOOST_AUTO_TEST_CASE(merging_and_divisors_are_options) {
    const pali::findings plain = asked().detect(images()[1], "shape"), other = asked().detect(images()[1], "shape", {.loc_divisor = 1023});
    BOOST_REQUIRE(!plain.empty());
    BOOST_TEST(other[0].box.x1 == plain[0].box.x1 * 1024 / 1023, boost::test_tools::tolerance(1e-6f));
    BOOST_TEST(asked().detect(images()[1], "shape", {.merge = pali::merge_options{.iou = 0.01f, .same_label = false}}).size() <=
               plain.size());
    const auto refused = [](const pali::error& e) { return e.code() == pali::errc::invalid_argument; };
    BOOST_CHECK_EXCEPTION((void)asked().detect(images()[1], "shape", {.loc_divisor = 1000}), pali::error, refused);
    BOOST_CHECK_EXCEPTION((void)asked().detect(images()[1], "shape", {.merge = pali::merge_options{.iou = 2}}), pali::error, refused);
    BOOST_CHECK_EXCEPTION((void)asked().detect(images()[1], " ; ", {.constrained = true}), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::invalid_prompt; });
}

BOOST_AUTO_TEST_CASE(what_merging_keeps_has_its_own_mask) {
    const auto said = [](const char* form, int number) {
        char out[16];
        std::snprintf(out, sizeof out, form, number);
        return std::string(out);
    };
    const auto box = [&](int x) {
        std::string out;
        for (const int v : {100, x, 700, x + 400}) out += said("<loc%04d>", v);
        return out;
    };
    std::string first, second;
    for (int i = 0; i < 16; ++i) first += said("<seg%03d>", i), second += said("<seg%03d>", 127 - i);
    const auto read = [&](const std::string& text, std::optional<pali::merge_options> merge) {
        pali::generation answer;
        answer.text = text;
        return asked().read(answer, asked().encode(images()[0]), {.merge = merge});
    };
    const std::string twice = box(100) + first + " cat ; " + box(110) + first + " cat ; " + box(600) + second + " cat";
    const pali::findings all = read(twice, {}), kept = read(twice, pali::merge_options{});
    BOOST_REQUIRE((all.size() == 3u && kept.size() == 2u));
    BOOST_TEST((kept[0].mask == all[0].mask && kept[1].mask == all[2].mask && kept[1].box == all[2].box));
    BOOST_TEST(!(all[0].mask == all[2].mask));
}

BOOST_AUTO_TEST_CASE(things_may_be_written_as_the_whole_prompt) {
    using pali::pointing;
    for (const char* written : {"cat ; dog", "detect cat ; dog", "<image>detect cat ; dog\n", "<bos>cat ; dog", " detect cat ; dog",
                                "Detect  cat ; dog ", "DETECT\tcat ; dog\n\n", "  cat ; dog\t"}) {
        BOOST_TEST(pali::model_detail::things_of(pointing::boxes, written) == "cat ; dog");
        BOOST_TEST(pali::model_detail::prompt_of(pointing::boxes, written) == "detect cat ; dog");
    }
    BOOST_TEST(pali::model_detail::prompt_of(pointing::masks, "segment cat") == "segment cat");
    BOOST_TEST(pali::model_detail::prompt_of(pointing::boxes, "detective") == "detect detective");
    BOOST_TEST(pali::model_detail::prompt_of(pointing::boxes, "Detective") == "detect Detective");
    for (const auto& [kind, written] :
         {std::pair(pointing::boxes, "segment cat"), std::pair(pointing::masks, "<image>detect cat"),
          std::pair(pointing::masks, " Detect cat"), std::pair(pointing::boxes, "detect "), std::pair(pointing::boxes, "Detect"),
          std::pair(pointing::masks, "segment ;"), std::pair(pointing::boxes, " ; "), std::pair(pointing::boxes, "<image>"),
          std::pair(pointing::masks, "")})
        BOOST_CHECK_EXCEPTION((void)pali::model_detail::prompt_of(kind, written), pali::error,
                              [](const pali::error& e) { return e.code() == pali::errc::invalid_prompt; });
    for (const bool constrained : {false, true}) {
        const pali::find_options options{.constrained = constrained};
        check_same(asked().detect(images()[0], "<image>detect red cross\n", options), asked().detect(images()[0], "red cross", options));
    }
}

BOOST_AUTO_TEST_CASE(a_callback_stops_the_encoding) {
    pali::find_options options;
    options.generate.on_progress = [](std::string_view stage, double) { return stage != "image"; };
    BOOST_CHECK_EXCEPTION((void)asked().detect(images()[0], "shape", options), pali::error,
                          [](const pali::error& e) { return e.code() == pali::errc::cancelled; });
}

BOOST_AUTO_TEST_CASE(without_a_mask_decoder_segment_says_what_to_get) {
    const pali::test::temporary_folder folder;
    for (const char* name : {"config.json", "model.safetensors", "tokenizer.model", "added_tokens.json", "preprocessor_config.json"})
        std::filesystem::copy_file(pali::test::source_path("examples/models/shapes") / name, folder.path() / name);
    shapes_model bare(folder.path());
    BOOST_TEST(!bare.detect(images()[0], "shape").empty());
    pali::find_options counting;
    std::size_t seen_stages = 0;
    counting.generate.on_progress = [&](std::string_view, double) { return ++seen_stages, true; };
    BOOST_CHECK_THROW((void)bare.segment(images()[0], "shape", counting), pali::error);
    BOOST_TEST(seen_stages == 0u); // reported before the image is encoded
    BOOST_CHECK_EXCEPTION((void)bare.segment(images()[0], "shape"), pali::error, [](const pali::error& e) {
        return e.code() == pali::errc::cannot_open && std::string(e.what()).find("vae-oid.npz") != std::string::npos;
    });
    const pali::image_features seen = bare.encode(images()[0]);
    const pali::findings read = bare.read(bare.generate(seen, "segment shape"), seen);
    BOOST_TEST(!read.empty()); // boxes need no mask decoder
    BOOST_TEST(read[0].mask.empty());
    shapes_model named(folder.path(), {.mask_decoder = pali::test::source_path("examples/models/shapes/mask_vqvae.npz")});
    check_same(named.segment(images()[0], "shape"), asked().segment(images()[0], "shape"));
}

} // namespace
