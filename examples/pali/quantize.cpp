// pali quantize: writes a checkpoint with its decoder in int8 or int4.
#include "console.hpp"
#include "options.hpp"

#include <pali/model/quantize_checkpoint.hpp>

#include <iostream>
#include <memory>

namespace {

struct quantize_command {
    std::string from, to, weights = "int4";
    std::size_t threads = 0;
    bool overwrite = false;

    int run() const {
        progress_bar bar;
        if (weights == "int8") pali::quantize_checkpoint<pali::int8>(from, to, threads, bar.callback(), overwrite);
        else pali::quantize_checkpoint<pali::int4>(from, to, threads, bar.callback(), overwrite);
        bar.erase();
        const auto size = std::filesystem::file_size(std::filesystem::path(to) / "model.safetensors");
        std::cout << to << ": " << weights << ", " << in_units(static_cast<double>(size)) << '\n';
        return 0;
    }
};

} // namespace

command add_quantize(CLI::App& program) {
    CLI::App* app = program.add_subcommand("quantize", "Write a checkpoint with a 4-bit or 8-bit decoder, used like any other");
    auto chosen = std::make_shared<quantize_command>();
    app->add_option("from", chosen->from, "Hugging Face folder")->type_name("DIR")->required();
    app->add_option("to", chosen->to, "Output folder: a complete model")->type_name("OUT")->required();
    app->add_option("--weights", chosen->weights, "Type of the decoder's weight matrices")
        ->check(CLI::IsMember({"int8", "int4"}))
        ->type_name("TYPE")
        ->capture_default_str();
    app->add_flag("--overwrite", chosen->overwrite, "Replace existing files in OUT");
    add_count(*app, "-t,--threads", chosen->threads, 0, "Threads; 0: all");
    return [chosen] { return chosen->run(); };
}
