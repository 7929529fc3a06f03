// pali chat: successive prompts about one image. Options, defaults and output are those of the mini-paligemma2 program.
#include "console.hpp"
#include "line_editor.hpp"
#include "options.hpp"
#include "report.hpp"
#include "results.hpp"
#include "show.hpp"

#include <pali/core/error.hpp>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>

namespace {

struct chat_command {
    model_options model;
    image_options reading;
    std::string model_type, prompt, image;
    bool detection = true, do_sample = false, only_cpu = false;
    std::size_t max_tokens = 100;
    float temperature = 0.8f, top_p = 0.9f;
    std::uint64_t seed = 0;

    int run() const;
    bool answer(any_model& asked, const pali::image_features& seen, const pali::image& photo, const std::string& question) const;
};

constexpr std::string_view thin_line = "-------------------------------------------------------",
                           thick_line = "=======================================================";

std::string lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
}

bool chat_command::answer(any_model& asked, const pali::image_features& seen, const pali::image& photo, const std::string& question) const {
    pali::generate_options options;
    options.max_new_tokens = max_tokens;
    if (do_sample) {
        options.sampling.temperature = temperature;
        options.sampling.top_p = top_p;
        options.sampling.seed = seed;
    }
    options.on_progress = until_interrupted;
    // The text of a drawn answer is printed below the image, where it stays visible.
    const bool drawn = detection && can_show() && (question.starts_with("detect ") || question.starts_with("segment "));
    options.on_text = [drawn](std::string_view piece) {
        if (!drawn) std::cout << piece << std::flush;
        return !interrupted();
    };
    asked.note_limit(1, question, options);
    if (!drawn) std::cout << "> Output: " << std::flush;
    const auto start = std::chrono::steady_clock::now();
    const pali::generation said = asked.generate(seen, question, options);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    char speed[32];
    std::snprintf(speed, sizeof speed, "%.2f", static_cast<double>(said.tokens.size()) / took.count());
    const pali::findings found = detection ? asked.read(said, seen) : pali::findings();
    if (drawn) {
        if (!found.empty()) show(draw_objects(photo, found.objects), image_room::half);
        std::cout << "> Output: " << said.text;
    }
    std::cout << '\n';
    if (said.finish != pali::finish_reason::cancelled) std::cout << "> Speed: " << speed << " tokens/sec\n";
    for (const pali::object& o : found) std::cout << "> Detection: " << line_of(o) << '\n';
    std::cout << thin_line << std::endl;
    return said.finish != pali::finish_reason::cancelled;
}

int chat_command::run() const {
    if (do_sample && temperature == 0) throw wrong_use("--do_sample True needs a --temperature above 0");
    const std::string path = image.empty() ? sample_image().string() : image;
    const pali::image photo = reading.read(path);
    progress_bar bar;
    const model_choice choice = model.choice(bar.callback());
    const std::unique_ptr<any_model> asked = open_model(choice);
    bar.erase();
    const std::string type = asked->second_generation() ? "paligemma2" : "paligemma";
    if (!model_type.empty() && model_type != type)
        throw wrong_use("--model_type " + model_type + ": the model in " + choice.folder.string() + " is a " + type);

    std::cout << "> Device: cpu (" << asked->arch() << ")\n> Model: " << (asked->second_generation() ? "PaliGemma 2" : "PaliGemma") << " ("
              << asked->variant << ", " << asked->weights << ")\n> Loading the weights from: \"" << choice.folder.string()
              << "\"\n> Image file path: \"" << path << "\"\n\n"
              << thick_line << "\n- Enter a prompt to generate a response.\n- Type 'exit' to quit the program.\n"
              << "- Supported commands: 'detect <object>', 'describe', etc...\n"
              << thick_line << "\n\n";

    const pali::image_features seen = asked->encode(photo, until_interrupted); // encoded once: features do not depend on the prompt
    line_editor keyboard("> Input: ");
    for (std::string line = prompt;; line.clear()) {
        if (!line.empty()) {
            std::cout << "> Input: " << line << '\n';
        } else {
            const std::optional<std::string> typed = keyboard.read();
            if (!typed) break;
            line = *typed;
            if (!is_terminal(stdin)) std::cout << line << '\n'; // a terminal has already echoed it
        }
        const std::string question = trimmed(line);
        if (lower(question) == "exit") return 0;
        if (question.empty()) continue;
        try {
            if (!answer(*asked, seen, photo, question)) forget_interrupt(); // Ctrl-C stops the answer, not the program
        } catch (const pali::error& e) {
            std::cout << std::endl;
            std::cerr << "Error: " << e.what() << '\n';
        }
    }
    std::cout << (interrupted() ? "\nExiting...\n" : "\n");
    return interrupted() ? exit_interrupted : 0;
}

} // namespace

command add_chat(CLI::App& program) {
    CLI::App* app = program.add_subcommand("chat", "Answer prompts about one image interactively, until 'exit'");
    auto chosen = std::make_shared<chat_command>();
    chosen->model.add_to(*app);
    app->add_option("--model_path", chosen->model.folder, "Same as --model")->type_name("DIR");
    app->add_option("--model_type", chosen->model_type, "Reject a model of the other type; default: accept both")
        ->check(CLI::IsMember({"paligemma", "paligemma2"}))
        ->type_name("TYPE");
    app->add_option("--prompt", chosen->prompt, "First prompt, before reading standard input")->type_name("TEXT");
    add_bool(*app, "--detection", chosen->detection, "Print the objects that an answer locates, and draw them in the terminal");
    app->add_option("-i,--image,--image_file_path", chosen->image, "Image; default: the sample of the embedded model")->type_name("FILE");
    chosen->reading.add_to(*app);
    add_count(*app, "--max-tokens,--max_tokens_to_generate", chosen->max_tokens, 1, "Maximum tokens per answer");
    add_number(*app, "--temperature", chosen->temperature, 0.0f, 1e9f, "Sampling temperature, with --do_sample True");
    add_number(*app, "--top_p,--top-p", chosen->top_p, 0.0f, 1.0f,
               "With --do_sample True: sample from the likeliest tokens that make up this probability");
    add_bool(*app, "--do_sample", chosen->do_sample, "Sample; False: always take the likeliest token");
    add_number(*app, "--seed", chosen->seed, std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max(), "Seed of the sampling");
    add_bool(*app, "--only_cpu", chosen->only_cpu, "Accepted for compatibility; pali always uses the CPU");
    return [chosen] { return chosen->run(); };
}
