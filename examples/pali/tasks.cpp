// pali detect, segment, caption, ask: one question about one picture or about thousands.
#include "console.hpp"
#include "options.hpp"
#include "pictures.hpp"
#include "report.hpp"
#include "results.hpp"
#include "show.hpp"

#include <pali/image/read.hpp>
#include <pali/text/prompt.hpp>

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>

namespace {

namespace fs = std::filesystem;

enum class task { detect, segment, caption, ask };

struct task_command {
    task what;
    model_options model;
    answer_options answer;
    std::vector<std::string> pictures, formats;
    std::string prompt, language = "en", out, masks = "hard", mask_decoder;
    std::size_t batch = 1;
    int divisor = 1024;
    float merge = 0;
    bool constrained = false, json = false, draw = false;

    [[nodiscard]] bool points() const noexcept { return what == task::detect || what == task::segment; }
    [[nodiscard]] std::string full_prompt() const;
    /// On a line, all that decides an answer, if it is not as usual: results of other questions are not to be mixed.
    [[nodiscard]] std::string asked(const model_choice& of, const any_model& model) const;
    [[nodiscard]] pali::find_options options() const;
    int run() const;
};

/// A picture that was read and waits for its answer.
struct waiting {
    fs::path name;
    pali::image photo;
};

pali::find_options task_command::options() const {
    pali::find_options chosen;
    chosen.generate = answer.options();
    chosen.constrained = constrained;
    if (merge > 0) chosen.merge = {.iou = merge};
    chosen.masks = masks == "soft" ? pali::mask_style::soft : pali::mask_style::hard;
    chosen.loc_divisor = divisor;
    return chosen;
}

std::string task_command::full_prompt() const {
    if (what == task::caption) return pali::caption_prompt(language);
    if (what == task::ask) return pali::answer_prompt(prompt, language);
    return pali::prompt_of(what == task::detect ? pali::pointing::boxes : pali::pointing::masks, prompt);
}

std::string task_command::asked(const model_choice& of, const any_model& by) const {
    nlohmann::ordered_json all{{"prompt", full_prompt()}, {"model", fs::absolute(of.folder).lexically_normal().string()}, {"weights", by.weights}};
    if (points()) all.update({{"constrained", constrained}, {"merge", merge}, {"masks", masks}, {"loc_divisor", divisor}});
    const answer_options usual;
    const auto note = [&all](const char* name, const auto& value, const auto& otherwise) {
        if (value != otherwise) all[name] = value;
    };
    note("kv_cache", model.kv_cache, model_options().kv_cache);
    note("mask_decoder", mask_decoder, std::string());
    note("max_tokens", answer.max_tokens, usual.max_tokens);
    note("min_tokens", answer.min_tokens, usual.min_tokens);
    note("temperature", answer.temperature, usual.temperature);
    note("top_k", answer.top_k, usual.top_k);
    note("top_p", answer.top_p, usual.top_p);
    note("min_p", answer.min_p, usual.min_p);
    note("typical_p", answer.typical_p, usual.typical_p);
    note("repetition_penalty", answer.repetition_penalty, usual.repetition_penalty);
    note("seed", answer.seed, usual.seed);
    note("num_beams", answer.beams, usual.beams);
    note("length_penalty", answer.length_penalty, usual.length_penalty);
    note("early_stopping", answer.early_stopping, usual.early_stopping);
    return line_of(all);
}

/// Goes through the pictures; what one cannot be read of is said and passed over.
class task_run {
public:
    task_run(const task_command& command, any_model& model, std::optional<result_folder>& results, bool many, bool shows)
        : m_command(command), m_model(model), m_results(results), m_many(many), m_shows(shows) {}

    /// Answers these, in their order.
    void answer(std::vector<waiting>& pictures, pali::find_options options) {
        std::vector<pali::image> photos;
        for (waiting& one : pictures) photos.push_back(std::move(one.photo));
        options.generate.on_progress = [](std::string_view, double) { return !interrupted(); };
        options.generate.on_text = [](std::string_view) { return !interrupted(); };
        std::vector<pali::findings> found;
        if (m_command.points()) {
            found = m_model.find_each(photos, m_command.what == task::detect ? pali::pointing::boxes : pali::pointing::masks, m_command.prompt, options);
        } else {
            for (pali::generation& said : m_model.generate_each(photos, m_command.full_prompt(), options.generate)) {
                found.emplace_back().text = said.text;
                found.back().said = std::move(said);
            }
        }
        for (std::size_t i = 0; i < found.size() && !interrupted(); ++i) report(pictures[i].name, photos[i], found[i]);
        pictures.clear();
    }

    /// A picture that could not be read.
    void pass_over(const fs::path& name, const pali::error& why) {
        const std::string_view what = why.what();
        std::cerr << "pali: " << (what.find(name.string()) == what.npos ? name.string() + ": " : "") << what << '\n';
        failed = true;
    }

    bool failed = false;

private:
    void report(const fs::path& name, const pali::image& photo, const pali::findings& found) {
        std::vector<std::string> masks;
        if (m_results) {
            masks = m_results->add(name, photo, found.objects, found.text);
            for (std::string& mask : masks)
                if (!mask.empty()) mask = (m_results->path() / mask).string();
        }
        if (m_command.json) {
            nlohmann::ordered_json one = describe(found.said, m_model);
            one["image"] = name.string();
            if (m_command.points()) {
                one["objects"] = describe(found.objects, masks);
                one["skipped"] = found.skipped;
            }
            std::cout << line_of(one) << std::endl;
            return;
        }
        const std::string before = m_many ? name.string() + ": " : "";
        if (!m_command.points()) std::cout << before << found.said.text << '\n';
        else if (found.empty()) std::cout << before << "nothing found" << (found.text.empty() ? "" : ": " + found.text) << '\n';
        for (const pali::object& o : found) std::cout << before << line_of(o) << '\n';
        if (m_shows) show(draw_objects(photo, found.objects));
        std::cout << std::flush;
    }

    const task_command& m_command;
    any_model& m_model;
    std::optional<result_folder>& m_results;
    bool m_many, m_shows;
};

int task_command::run() const {
    task_command chosen = *this;
    if (prompt.empty() && what != task::caption) {
        if (!model.folder.empty()) throw wrong_use("--prompt is needed: " + std::string(points() ? "the things to find, \"cat ; dog\"" : "the question"));
        chosen.prompt = points() ? "shape" : "how many shapes are there?"; // what the embedded model knows
    }
    if (!formats.empty() && out.empty()) throw wrong_use("--format needs --out DIR to write to");
    const bool shows = draw && !json && can_show();
    if (draw && out.empty() && !shows) throw wrong_use("--draw needs --out DIR, or a terminal that shows pictures");

    picture_list names(pictures.empty() ? std::vector<std::string>{sample_picture().string()} : pictures);
    progress_bar bar;
    model_choice which = model.choice(bar.callback());
    which.load.mask_decoder = mask_decoder;
    const pali::find_options options = chosen.options();
    options.validate();
    const std::unique_ptr<any_model> asked = open_model(which);
    bar.erase();
    std::optional<result_folder> results;
    const auto wants = [&](const char* format) { return std::find(formats.begin(), formats.end(), format) != formats.end(); };
    if (!out.empty()) results.emplace(out, chosen.asked(which, *asked), result_formats{.coco = wants("coco"), .yolo = wants("yolo"), .labelme = wants("labelme"), .drawn = draw});

    const bool many = names.count() != 1;
    task_run run(chosen, *asked, results, many, shows);
    work_bar work(names.count());
    std::vector<waiting> ready;
    const auto answer_ready = [&] {
        if (ready.empty()) return;
        const std::size_t count = ready.size();
        run.answer(ready, options);
        work.done(count);
    };
    const auto go_through = [&] {
        while (!interrupted()) {
            const std::optional<fs::path> name = names.next();
            if (!name) break;
            if (results && results->has(*name)) {
                work.passed_over();
                continue;
            }
            if (many && !json) work.draw();
            try {
                ready.push_back({*name, pali::read_image(*name)});
            } catch (const pali::error& e) {
                work.erase();
                run.pass_over(*name, e);
                work.passed_over();
                continue;
            }
            if (ready.size() == batch) answer_ready();
        }
        if (!interrupted()) answer_ready();
    };
    try {
        go_through();
    } catch (...) { // Ctrl-C within a picture, a full disk: what was found before stays
        if (results) results->finish();
        throw;
    }
    work.erase();
    if (results) results->finish();
    if (interrupted()) return exit_interrupted;
    return run.failed ? exit_bad_file : 0;
}

command add_task(CLI::App& program, task what, const char* name, const char* about, const char* prompt = "") {
    CLI::App* app = program.add_subcommand(name, about);
    auto chosen = std::make_shared<task_command>();
    chosen->what = what;
    chosen->model.add_to(*app);
    app->add_option("-i,--image", chosen->pictures, "Picture, folder of pictures, or - for names on standard input; again for more. Without: the sample of the embedded model")->type_name("FILE...");
    if (what != task::caption) app->add_option("-p,--prompt", chosen->prompt, prompt)->type_name("TEXT");
    if (!chosen->points()) // all that follows the verb of a caption is its language
        app->add_option(what == task::caption ? "-p,--prompt,--language" : "--language", chosen->language, "Of the answer: en, de, fr, ...")->type_name("CODE")->capture_default_str();
    app->add_option("-o,--out", chosen->out, "Folder for results: results.jsonl, a line a picture as it comes, and the files below. A run that was stopped is gone on with")->type_name("DIR");
    app->add_flag("--json", chosen->json, "Print one JSON object a picture and nothing else");
    add_count(*app, "--batch", chosen->batch, 1, "Pictures that are answered together: faster, and as much memory each");
    if (chosen->points()) {
        app->add_option("--format", chosen->formats, "Besides results.jsonl in --out: coco, yolo, labelme; again for more")->check(CLI::IsMember({"json", "coco", "yolo", "labelme"}))->type_name("FORMAT");
        app->add_flag("--draw", chosen->draw, "Draw what was found: into --out, and in a terminal");
        app->add_flag("--constrained", chosen->constrained, "Let the answer have well-formed boxes of the things asked for, and nothing else");
        app->add_option("--merge", chosen->merge, "Drop boxes of one label that share this much, 0.5 for instance (intersection over union); 0: keep all")
            ->check(CLI::Range(0.0f, 1.0f).description(""))->type_name("X")->capture_default_str();
        app->add_option("--loc-divisor", chosen->divisor, "What coordinates are divided by; 1023 as big_vision does")->check(CLI::IsMember({1024, 1023}))->type_name("N")->capture_default_str();
    }
    if (what == task::segment) {
        app->add_option("--masks", chosen->masks, "hard: inside or outside; soft: with edges between")->check(CLI::IsMember({"hard", "soft"}))->type_name("HOW")->capture_default_str();
        app->add_option("--mask-decoder", chosen->mask_decoder, "vae-oid.npz; without: the one in the model's folder")->type_name("FILE");
    }
    chosen->answer.add_to(*app);
    return [chosen] { return chosen->run(); };
}

} // namespace

command add_detect(CLI::App& program) {
    return add_task(program, task::detect, "detect", "Find things in pictures: boxes", "What to find: \"cat ; black dog\"");
}
command add_segment(CLI::App& program) {
    return add_task(program, task::segment, "segment", "Find things in pictures: boxes and masks", "What to find: \"cat ; black dog\"");
}
command add_caption(CLI::App& program) { return add_task(program, task::caption, "caption", "Say in a sentence what pictures show"); }
command add_ask(CLI::App& program) { return add_task(program, task::ask, "ask", "Answer a question about pictures", "The question: \"where is the cat?\""); }
