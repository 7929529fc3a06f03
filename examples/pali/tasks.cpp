// pali detect, segment, caption, ask: one question about one or many images.
#include "console.hpp"
#include "image_list.hpp"
#include "options.hpp"
#include "report.hpp"
#include "results.hpp"
#include "shard.hpp"
#include "show.hpp"

#include <pali/objects/impl/json_values.ipp>
#include <pali/text/prompt.hpp>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <thread>

namespace {

namespace fs = std::filesystem;

enum class task { detect, segment, caption, ask };
constexpr const char* names_of_tasks[] = {"detect", "segment", "caption", "ask"};

struct task_command {
    task what;
    model_options model;
    answer_options answer;
    format_options formats;
    image_options reading;
    std::vector<std::string> images;
    std::string prompt, language = "en", out, masks = "hard", mask_decoder, part;
    std::size_t batch = 1;
    int divisor = 1024;
    float merge = 0;
    bool constrained = false, json = false, draw = false, overwrite = false, recursive = false;

    [[nodiscard]] bool points() const noexcept { return what == task::detect || what == task::segment; }
    [[nodiscard]] pali::pointing kind() const noexcept { return what == task::segment ? pali::pointing::masks : pali::pointing::boxes; }
    [[nodiscard]] std::string full_prompt() const;
    /// All settings that affect an answer and differ from the defaults. They are compared, because answers to different questions must not
    /// be mixed.
    [[nodiscard]] nlohmann::ordered_json question(const model_choice& of, const any_model& model) const;
    [[nodiscard]] pali::find_options options() const;
    int run() const;
};

/// An image that has been read and waits for its answer.
struct waiting {
    fs::path path;
    std::optional<image_name> name; ///< only with a results folder
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
    return pali::model_detail::prompt_of(kind(), prompt);
}

nlohmann::ordered_json task_command::question(const model_choice& of, const any_model& by) const {
    nlohmann::ordered_json all{{"task", names_of_tasks[static_cast<std::size_t>(what)]},
                               {"prompt", full_prompt()},
                               {"model", model_fingerprint(of.folder)},
                               {"weights", by.weights}};
    if (points())
        all.update({{"things", pali::model_detail::things_of(kind(), prompt)},
                    {"constrained", constrained},
                    {"merge", merge},
                    {"loc_divisor", divisor}});
    if (what == task::segment) all["masks"] = masks;
    const pali::generate_options usual;
    const auto note = [&all](const std::string& name, const auto& value, const auto& otherwise) {
        if (value != otherwise) all[name] = value;
    };
    note("keep_exif_orientation", reading.keep_exif_orientation, false);
    note("kv_cache", model.kv_cache, model_options().kv_cache);
    note("mask_decoder", mask_decoder, std::string());
    pali::option_list::visit(
        [&](const auto& option, const auto& value, const auto& otherwise) {
            std::string name = option.flag + 2; // "--max-tokens" is stored as max_tokens
            std::replace(name.begin(), name.end(), '-', '_');
            note(name, value, otherwise);
        },
        answer.chosen, usual);
    return nlohmann::ordered_json::parse(line_of(all)); // prompts that are not valid UTF-8 are compared as serialized
}

/// Writes the results so far. A failure here, perhaps by the same full disk, must not hide the error that is being handled.
void finish_after_failure(result_folder& results) {
    try {
        results.finish();
    } catch (const std::exception&) {}
}

/// Processes the images. An image that cannot be read or answered is reported and skipped.
class task_run {
public:
    task_run(const task_command& command, any_model& model, result_folder* results, const std::optional<fs::path>& folder, bool many,
             bool shows)
        : m_command(command), m_model(model), m_results(results), m_folder(folder), m_many(many), m_shows(shows) {}

    /// Answers a batch, in order. If memory does not suffice, answers each image separately.
    void answer(std::vector<waiting>& images, const pali::find_options& options) {
        try {
            answer(std::span(images), options);
        } catch (const std::bad_alloc&) {
            for (waiting& one : images) {
                try {
                    answer(std::span(&one, 1), options);
                } catch (const std::bad_alloc&) {
                    pass_over(one, "not enough memory, even for this image alone");
                }
            }
        }
        images.clear();
    }

    void draw(waiting& image) { m_results->draw(*image.name, image.photo); }

    void pass_over(const waiting& image, std::string_view why) {
        const std::string name = image.path.string();
        const std::string message = (why.find(name) == why.npos ? name + ": " : "") + std::string(why);
        std::cerr << "pali: " << message << '\n';
        if (image.name) m_results->fail(*image.name, message);
        failed = true;
    }

    bool failed = false;

private:
    void answer(std::span<waiting> images, pali::find_options options) {
        std::vector<pali::image> photos;
        for (waiting& one : images) photos.push_back(std::move(one.photo));
        const auto give_back = [&] {
            for (std::size_t i = 0; i < photos.size(); ++i) images[i].photo = std::move(photos[i]);
        };
        options.generate.on_progress = until_interrupted;
        options.generate.on_text = until_interrupted;
        std::vector<pali::findings> found;
        try {
            if (m_command.points()) {
                found = m_model.find_each(photos, m_command.kind(), m_command.prompt, options);
            } else {
                for (pali::generation& said : m_model.generate_each(photos, m_command.full_prompt(), options.generate)) {
                    found.emplace_back().text = said.text;
                    found.back().said = std::move(said);
                }
            }
        } catch (const std::bad_alloc&) {
            give_back();
            throw;
        }
        for (std::size_t i = 0; i < found.size() && !interrupted(); ++i) report(images[i], photos[i], found[i]);
    }

    void report(const waiting& image, const pali::image& photo, const pali::findings& found) {
        nlohmann::ordered_json answer = describe(found, photo, m_command.points());
        std::vector<std::string> masks;
        if (m_results != nullptr) masks = m_results->add(*image.name, photo, found.objects, answer);
        if (m_command.json) {
            nlohmann::ordered_json one;
            pali::objects::add_name(one, "file", shown_name(image.path, m_folder));
            for (std::size_t i = 0; i < masks.size(); ++i)
                if (!masks[i].empty()) pali::objects::add_name(answer["objects"][i], "mask", (m_results->path() / masks[i]).string());
            one.update(answer);
            one.update(describe(found.said, m_model));
            std::cout << line_of(one) << std::endl;
            return;
        }
        const std::string before = m_many ? image.path.string() + ": " : "";
        if (!m_command.points()) std::cout << before << found.said.text << '\n';
        else if (found.empty()) std::cout << before << "nothing found" << (found.text.empty() ? "" : ": " + found.text) << '\n';
        for (const pali::object& o : found) std::cout << before << line_of(o) << '\n';
        if (m_shows) show(draw_objects(photo, found.objects));
        std::cout << std::flush;
    }

    const task_command& m_command;
    any_model& m_model;
    result_folder* m_results;
    const std::optional<fs::path>& m_folder;
    bool m_many, m_shows;
};

int task_command::run() const {
    task_command chosen = *this;
    if (prompt.empty() && what != task::caption) {
        if (!model.folder.empty())
            throw wrong_use("--prompt is needed: " + std::string(points() ? "the labels to find, \"cat ; dog\"" : "the question"));
        chosen.prompt = points() ? "shape" : "how many shapes are there?"; // prompts that the embedded model knows
    }
    if (!formats.formats.empty() && out.empty()) throw wrong_use("--format needs --out DIR to write to");
    const bool shows = draw && !json && can_show();
    if (draw && out.empty() && !shows) throw wrong_use("--draw needs --out DIR, or a terminal that shows images");
    const shard own = read_shard(part);
    if (!out.empty()) static_cast<void>(claims::lease()); // reports an invalid PALI_LEASE_SECONDS before the model is loaded
    static_cast<void>(chosen.full_prompt());              // reports an invalid prompt before the model is loaded

    std::error_code unknown;
    const std::optional<fs::path> folder =
        images.size() == 1 && fs::is_directory(images[0], unknown) ? std::optional<fs::path>(images[0]) : std::nullopt;
    image_list names(images.empty() ? std::vector<std::string>{sample_image().string()} : images, recursive);
    const bool many = names.count() != 1;
    if (draw && out.empty() && many) throw wrong_use("--draw needs --out DIR for more than one image");
    progress_bar bar;
    model_choice which = model.choice(bar.callback());
    which.load.mask_decoder = mask_decoder;
    const pali::find_options options = chosen.options();
    options.validate();
    const std::unique_ptr<any_model> asked = open_model(which);
    bar.erase();
    std::optional<result_folder> results;
    if (!out.empty()) {
        results.emplace(out, chosen.question(which, *asked), formats.chosen(draw), folder, overwrite);
        results->join(names.known());
        if (own.count > 1) results->note_shard(own.index, own.count, names.count());
    }

    task_run run(chosen, *asked, results ? &*results : nullptr, folder, many, shows && !many);
    run.failed = names.is_incomplete();
    work_bar work(names.count());
    std::vector<waiting> ready, held; // held: claimed by other processes
    const auto answer_ready = [&] {
        if (ready.empty()) return;
        const std::size_t count = ready.size();
        run.answer(ready, options);
        work.done(count);
    };
    /// Returns false if another process holds the image; otherwise it is finished or queued in `ready`.
    const auto look_at = [&](waiting image) {
        auto step = result_folder::step::answer;
        if (results) step = results->take(*image.name);
        if (step == result_folder::step::held) return false;
        if (step == result_folder::step::failed) run.failed = true;
        if (step == result_folder::step::done || step == result_folder::step::failed) {
            work.passed_over();
            return true;
        }
        if (many && !json) work.draw();
        try {
            image.photo = reading.read(image.path);
            if (step == result_folder::step::draw) {
                run.draw(image);
                work.done(1);
                return true;
            }
        } catch (const std::bad_alloc&) {
            work.erase();
            run.pass_over(image, "not enough memory");
            work.passed_over();
            return true;
        } catch (const pali::error& e) {
            if (e.code() == pali::errc::cannot_write) throw;
            work.erase();
            run.pass_over(image, e.what());
            work.passed_over();
            return true;
        }
        ready.push_back(std::move(image));
        if (ready.size() == batch) answer_ready();
        return true;
    };
    const auto go_through = [&] {
        for (std::size_t place = 0; !interrupted(); ++place) {
            const std::optional<fs::path> name = names.next();
            if (!name) break;
            if (!own.has(place)) {
                work.passed_over();
                continue;
            }
            waiting image{.path = *name, .name = results ? std::optional(results->name_of(*name)) : std::nullopt, .photo = {}};
            if (!look_at(image)) held.push_back(std::move(image));
        }
        if (!interrupted()) answer_ready();
        while (!held.empty() && !interrupted()) { // other processes finish their images, or end, and then this process answers them
            const std::size_t before = held.size();
            std::erase_if(held, [&](const waiting& image) { return interrupted() || look_at(image); });
            if (!interrupted()) answer_ready();
            if (held.size() == before) std::this_thread::sleep_for(std::chrono::milliseconds(200));
        }
    };
    try {
        go_through();
    } catch (...) { // keeps earlier results after Ctrl-C during an image or with a full disk
        if (results) finish_after_failure(*results);
        throw;
    }
    work.erase();
    if (results) results->finish();
    if (results && results->changed() > 0)
        print_note(std::to_string(results->changed()) + (results->changed() == 1 ? " image had" : " images had") +
                   " changed since the last answer; new answers replace the old ones");
    if (interrupted()) return exit_interrupted;
    return run.failed ? exit_bad_file : 0;
}

command add_task(CLI::App& program, task what, const char* name, const char* about, const char* prompt = "") {
    CLI::App* app = program.add_subcommand(name, about);
    auto chosen = std::make_shared<task_command>();
    chosen->what = what;
    chosen->model.add_to(*app);
    app->add_option("-i,--image", chosen->images,
                    "Image, folder of images, or - for names on standard input; repeatable. Default: the sample of the embedded model")
        ->type_name("FILE...");
    app->add_flag("--recursive", chosen->recursive, "Include subfolders");
    chosen->reading.add_to(*app);
    if (what != task::caption) app->add_option("-p,--prompt", chosen->prompt, prompt)->type_name("TEXT");
    if (!chosen->points()) // for a caption, --prompt is a language or a complete caption prompt
        app->add_option(what == task::caption ? "-p,--prompt,--language" : "--language", chosen->language,
                        "Language of the answer: en, de, fr, ...")
            ->type_name("CODE")
            ->capture_default_str();
    app->add_option("-o,--out", chosen->out,
                    "Folder for results: results.jsonl, one line per image, and the files below. An interrupted run resumes where it "
                    "stopped; several runs can share the work")
        ->type_name("DIR");
    app->add_flag("--overwrite", chosen->overwrite, "Replace files in --out that pali did not write");
    app->add_option("--shard", chosen->part,
                    "Process one part of the images, for processes that do not share a folder: INDEX/COUNT, starting at 0/COUNT, or auto, "
                    "which reads the variables of SLURM, OpenMPI or PMI")
        ->type_name("PART");
    app->add_flag("--json", chosen->json, "Print one JSON object per image, nothing else");
    add_count(*app, "--batch", chosen->batch, 1, "Images per batch: faster; memory grows with each image");
    if (chosen->points()) {
        chosen->formats.add_to(*app);
        app->add_flag("--draw", chosen->draw, "Draw the objects: into --out and in the terminal");
        app->add_flag("--constrained", chosen->constrained, "Constrain the answer to well-formed boxes of the requested labels");
        add_number(*app, "--merge", chosen->merge, 0.0f, 1.0f,
                   "Drop boxes of the same label that overlap by this IoU or more, such as 0.5; 0: keep all");
        app->add_option_function<std::string>(
               "--loc-divisor", [chosen](const std::string& text) { chosen->divisor = text == "1023" ? 1023 : 1024; },
               "Divisor of coordinates; 1023 as in big_vision")
            ->check(CLI::IsMember({"1024", "1023"}))
            ->type_name("N")
            ->default_str("1024");
    }
    if (what == task::segment) {
        app->add_option("--masks", chosen->masks, "hard: inside or outside; soft: values in between at the edges")
            ->check(CLI::IsMember({"hard", "soft"}))
            ->type_name("HOW")
            ->capture_default_str();
        app->add_option("--mask-decoder", chosen->mask_decoder, "vae-oid.npz; default: the one in the model folder")->type_name("FILE");
    }
    chosen->answer.add_to(*app);
    return [chosen] { return chosen->run(); };
}

} // namespace

command add_detect(CLI::App& program) {
    return add_task(program, task::detect, "detect", "Find objects in images: boxes", "Labels to find: \"cat ; black dog\"");
}
command add_segment(CLI::App& program) {
    return add_task(program, task::segment, "segment", "Find objects in images: boxes and masks", "Labels to find: \"cat ; black dog\"");
}
command add_caption(CLI::App& program) { return add_task(program, task::caption, "caption", "Describe images in a sentence"); }
command add_ask(CLI::App& program) {
    return add_task(program, task::ask, "ask", "Answer a question about images", "The question: \"where is the cat?\"");
}
