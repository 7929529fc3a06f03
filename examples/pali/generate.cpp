// pali generate: one prompt about one or several images.
#include "console.hpp"
#include "options.hpp"
#include "report.hpp"

#include <algorithm>
#include <iostream>
#include <memory>

namespace {

struct generate_command {
    model_options model;
    answer_options answer;
    image_options reading;
    std::vector<std::string> images;
    std::string prompt = "caption en";
    bool json = false, verbose = false;

    int run() const;
};

int generate_command::run() const {
    pali::generate_options options = answer.options();
    std::vector<pali::image> seen;
    for (const std::string& path : images) seen.push_back(reading.read(path));
    if (seen.empty()) seen.push_back(reading.read(sample_image()));

    progress_bar bar;
    const std::unique_ptr<any_model> asked = open_model(model.choice(bar.callback()));
    bar.erase();
    std::size_t shown = 0;
    options.on_progress = [&, draw = bar.callback()](std::string_view stage, double fraction) {
        return shown > 0 ? !interrupted() : draw(stage, fraction);
    }; // a progress bar must not overwrite the answer
    options.on_text = [&](std::string_view piece) {
        bar.erase();
        if (!json) std::cout << piece << std::flush;
        shown += piece.size();
        return !interrupted();
    };
    const pali::generation said = asked->generate(seen, prompt, options);
    bar.erase();
    if (json) std::cout << line_of(describe(said, *asked)) << '\n';
    else std::cout << std::string_view(said.text).substr(std::min(shown, said.text.size())) << '\n'; // not streamed by beam search
    if (verbose)
        std::cerr << asked->variant << ", " << asked->weights << ", " << asked->arch() << ": load " << asked->load_seconds() << " s, image "
                  << said.timings.image_s << " s, prefill " << said.timings.prefill_s << " s, " << said.decode_tokens_per_s()
                  << " tokens/s, " << peak_rss_bytes() / 1000000 << " MB, ended by " << pali::to_string(said.finish) << '\n';
    return said.finish == pali::finish_reason::cancelled ? exit_interrupted : 0;
}

} // namespace

command add_generate(CLI::App& program) {
    CLI::App* app = program.add_subcommand("generate", "Answer one prompt about one or more images");
    auto chosen = std::make_shared<generate_command>();
    chosen->model.add_to(*app);
    app->add_option("-i,--image", chosen->images, "Image, or several in order. Default: the sample of the embedded model")
        ->type_name("FILE...");
    chosen->reading.add_to(*app);
    app->add_option("-p,--prompt", chosen->prompt, "\"caption en\", \"answer en ...?\", \"detect ...\", \"segment ...\"")
        ->type_name("TEXT")
        ->capture_default_str();
    chosen->answer.add_to(*app);
    app->add_flag("--json", chosen->json, "Print one JSON object, nothing else");
    app->add_flag("-v,--verbose", chosen->verbose, "Print model, timings and memory use to standard error");
    return [chosen] { return chosen->run(); };
}
