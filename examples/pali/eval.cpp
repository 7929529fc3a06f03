// pali eval: accuracy on scenes with known ground truth, measured as tools/shapes/evaluate.py does with transformers.
#include "console.hpp"
#include "options.hpp"
#include "report.hpp"

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/image/read.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <memory>

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct eval_command {
    model_options model;
    std::string folder;
    bool constrained = false, perplexity = false, as_json = false;

    int run() const;
};

/// Greedy float32 output of transformers.
struct reference_answer {
    std::string prompt, text;
};

/// One image of scenes.json.
struct scene {
    fs::path image;
    std::string caption, question, answer, asked;
    std::vector<std::pair<std::string, pali::box>> objects; ///< from left to right
    pali::mask mask;                                        ///< of the requested object
    std::vector<reference_answer> reference;                ///< caption, question, detect and segment one object, detect all
};

/// Prompt kinds in the order of scene::reference: name in JSON, name in the table.
constexpr std::array<std::pair<const char*, const char*>, 5> kinds{
    {{"captions", "captions"}, {"answers", "answers"}, {"detect", "detect"}, {"segment", "segment"}, {"detect_shape", "detect shape"}}};

std::vector<scene> read_scenes(const fs::path& folder) {
    const fs::path file = folder / "scenes.json";
    std::ifstream in(file);
    if (!in)
        throw pali::error(pali::errc::cannot_open,
                          {file.string(), ": cannot be opened; FOLDER must contain scenes.json and its images, like tests/data/scenes"});
    std::vector<scene> scenes;
    try {
        for (const json& one : json::parse(in)) {
            scene& s = scenes.emplace_back();
            s.image = folder / one.at("image").get<std::string>();
            s.caption = one.at("caption");
            s.question = one.at("question").at(0);
            s.answer = one.at("question").at(1);
            s.asked = one.at("asked");
            for (const json& o : one.at("objects")) {
                const auto side = [&](std::size_t i) { return o.at("box").at(i).get<float>(); };
                s.objects.emplace_back(o.at("name"), pali::box{side(0), side(1), side(2), side(3)});
            }
            if (std::none_of(s.objects.begin(), s.objects.end(), [&](const auto& o) { return o.first == s.asked; }))
                throw pali::error(pali::errc::malformed_file,
                                  {file.string(), ": a scene asks for '", s.asked, "', which is not one of its objects"});
            const json& size = one.at("size");
            constexpr std::size_t longest = 1u << 14; // a mask of this size takes 256 MB
            if (!size.is_number_unsigned() || size == 0u || size > longest)
                throw pali::error(pali::errc::malformed_file,
                                  {file.string(), ": scene ", scenes.size(), " (counting from 1) has the size ", size.dump(),
                                   "; the side of its square image is needed, in pixels, at most ", longest});
            s.mask = pali::mask(size, size);
            for (const std::size_t pixel : one.at("mask")) s.mask.values.at(pixel) = 255;
            for (const json& said : one.at("transformers")) s.reference.push_back({said.at("prompt"), said.at("text")});
            if (s.reference.size() != kinds.size())
                throw pali::error(pali::errc::malformed_file,
                                  {file.string(), ": a scene has ", s.reference.size(), " answers; five are needed"});
        }
        if (scenes.empty()) throw pali::error(pali::errc::malformed_file, {file.string(), ": has no scenes"});
        return scenes;
    } catch (const json::exception& e) {
        throw pali::error(pali::errc::malformed_file, {file.string(), ": scene ", scenes.size(),
                                                       " (counting from 1) does not have the format of docs/scenes.md: ", e.what()});
    } catch (const std::out_of_range&) {
        throw pali::error(pali::errc::malformed_file, {file.string(), ": a mask pixel is outside the image"});
    }
}

/// The best measure over all objects of this name.
template <class Measure>
double best_of(const pali::findings& found, const std::string& name, Measure measure) {
    double best = 0;
    for (const pali::object& o : found)
        if (o.label == name) best = std::max(best, static_cast<double>(measure(o)));
    return best;
}

/// Accumulated log-likelihood of answers, EOS included.
struct likelihood {
    double logprob = 0;
    std::size_t tokens = 0;

    likelihood& operator+=(const likelihood& other) {
        logprob += other.logprob, tokens += other.tokens;
        return *this;
    }
    [[nodiscard]] double perplexity() const { return std::exp(-logprob / static_cast<double>(tokens)); }
};

struct figures {
    double captions = 0, answers = 0, labels = 0, box_iou = 0, mask_iou = 0, all_boxes_iou = 0, same_answers = 0, skipped = 0;
    std::array<likelihood, kinds.size()> reference; ///< of the reference answers, by kind; empty without --perplexity
};

void add(figures& sum, const scene& s, any_model& model, bool constrained, bool perplexity) {
    pali::find_options options;
    options.generate.max_new_tokens = 96;
    options.generate.on_progress = [](std::string_view, double) { return !interrupted(); };
    const pali::image image = pali::read_image(s.image);
    if (image.width != s.mask.width || image.height != s.mask.height)
        throw pali::error(pali::errc::malformed_file,
                          {s.image.string(), ": is ", image.width, " x ", image.height, " pixels, but its size in scenes.json is ",
                           s.mask.width, "; images must be square, with boxes and masks in pixels"});
    const pali::image_features seen = model.encode(image, options.generate.on_progress);
    const pali::generation caption = model.generate(seen, "caption en", options.generate),
                           answer = model.generate(seen, s.question, options.generate);
    const pali::findings all = model.find(seen, pali::pointing::boxes, "shape", options);
    options.constrained = constrained;
    const pali::findings detected = model.find(seen, pali::pointing::boxes, s.asked, options),
                         segmented = model.find(seen, pali::pointing::masks, s.asked, options);

    sum.captions += trimmed(caption.text) == s.caption;
    sum.answers += trimmed(answer.text) == s.answer;
    sum.labels += !detected.empty() && detected[0].label == s.asked;
    const auto true_box = std::find_if(s.objects.begin(), s.objects.end(), [&](const auto& o) { return o.first == s.asked; });
    sum.box_iou += best_of(detected, s.asked, [&](const pali::object& o) { return iou(o.box, true_box->second); });
    sum.mask_iou += best_of(segmented, s.asked, [&](const pali::object& o) { return iou(o.mask, s.mask); });
    for (const auto& [name, box] : s.objects)
        sum.all_boxes_iou +=
            best_of(all, name, [&](const pali::object& o) { return iou(o.box, box); }) / static_cast<double>(s.objects.size());
    const pali::generation* const said[] = {&caption, &answer, &detected.said, &segmented.said, &all.said};
    for (std::size_t i = 0; i < kinds.size(); ++i) {
        sum.same_answers += said[i]->text == s.reference[i].text;
        if (!perplexity) continue;
        const pali::score_result scored = model.score(seen, s.reference[i].prompt, s.reference[i].text);
        sum.reference[i] += {scored.logprob, scored.tokens.size()};
    }
    sum.skipped += static_cast<double>(detected.skipped + segmented.skipped + all.skipped);
}

int eval_command::run() const {
    const std::vector<scene> scenes = read_scenes(folder);
    progress_bar bar;
    const std::unique_ptr<any_model> asked = open_model(model.choice(bar.callback()));
    bar.erase();
    work_bar work(scenes.size());
    figures sum;
    for (const scene& s : scenes) {
        work.draw();
        add(sum, s, *asked, constrained, perplexity);
        if (interrupted()) break;
        work.done(1);
    }
    work.erase();
    if (interrupted()) return exit_interrupted; // partial figures would be misleading
    const auto count = static_cast<double>(scenes.size());
    const std::tuple<const char*, const char*, double> rows[] = {
        {"captions", "captions, exact", sum.captions / count},
        {"answers", "answers, exact", sum.answers / count},
        {"labels", "detect: accuracy of the first label", sum.labels / count},
        {"box_iou", "detect: mean IoU of the requested box", sum.box_iou / count},
        {"mask_iou", "segment: mean IoU of the requested mask", sum.mask_iou / count},
        {"all_boxes_iou", "detect shape: mean IoU of all boxes", sum.all_boxes_iou / count},
        {"same_answers", "answers identical to transformers'", sum.same_answers / (static_cast<double>(kinds.size()) * count)},
    };
    std::vector<std::tuple<const char*, const char*, double>> perplexities;
    if (perplexity) {
        likelihood together;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            perplexities.emplace_back(kinds[i].first, kinds[i].second, sum.reference[i].perplexity());
            together += sum.reference[i];
        }
        perplexities.emplace_back("all", "all", together.perplexity());
    }
    if (as_json) {
        nlohmann::ordered_json all{{"scenes", scenes.size()}};
        for (const auto& [key, words, value] : rows) all[key] = value;
        all["skipped"] = sum.skipped;
        for (const auto& [key, words, value] : perplexities) all["perplexity"][key] = value;
        std::cout << line_of(all) << '\n';
        return 0;
    }
    std::cout << "| " << asked->variant << ", " << asked->weights << ", " << scenes.size() << " scenes"
              << (constrained ? ", constrained" : "") << " | |\n|---|---|\n";
    const auto print = [](const std::string& words, const char* form, double value) {
        char number[32];
        std::snprintf(number, sizeof number, form, value);
        std::cout << "| " << words << " | " << number << " |\n";
    };
    for (const auto& [key, words, value] : rows) print(words, "%.3f", value);
    for (const auto& [key, words, value] : perplexities) print(std::string(words) + ": perplexity of transformers' answers", "%.4f", value);
    if (sum.skipped > 0) std::cout << "\nparts of answers that are not an object: " << sum.skipped << '\n';
    return 0;
}

} // namespace

command add_eval(CLI::App& program) {
    CLI::App* app = program.add_subcommand("eval", "Measure accuracy on scenes with ground truth");
    auto chosen = std::make_shared<eval_command>();
    app->add_option("folder", chosen->folder, "Folder with scenes.json and its images, like tests/data/scenes")
        ->required()
        ->type_name("FOLDER");
    chosen->model.add_to(*app);
    app->add_flag("--constrained", chosen->constrained, "Constrain answers to the grammar of boxes and masks; see pali detect");
    app->add_flag("--perplexity", chosen->perplexity,
                  "Also print the perplexity of the answers in scenes.json: exp of the mean -log probability per token, including the end "
                  "of each answer. Costs one more prefill per answer: 50 % more time with the embedded model, more for models with "
                  "more tokens per image");
    app->add_flag("--json", chosen->as_json, "Print the figures as one JSON object");
    return [chosen] { return chosen->run(); };
}
