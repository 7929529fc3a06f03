// Options that several subcommands share, and the declarations of all subcommands.
#pragma once

#include "any_model.hpp"
#include "results.hpp"

#include <pali/image/read.hpp>

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

/// Usage error that the parser cannot detect: exit code 2.
struct wrong_use : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Model selection and load options.
struct model_options {
    std::string folder, variant, weights, residency = "mapped", kv_cache = "f32";
    std::size_t threads = 0;
    bool pin_threads = false, strict = false;

    void add_to(CLI::App& command);
    /// Returns the chosen model; without --model, the embedded model.
    [[nodiscard]] model_choice choice(const pali::progress_callback& on_progress) const;
};

/// Decoding options.
struct answer_options {
    pali::generate_options chosen{};

    void add_to(CLI::App& command);
    /// Throws wrong_use for --min-tokens above --max-tokens.
    [[nodiscard]] const pali::generate_options& options() const;
};

/// Output formats in addition to results.jsonl.
struct format_options {
    std::vector<std::string> formats;
    std::string coco_masks = "auto";

    void add_to(CLI::App& command);
    [[nodiscard]] result_formats chosen(bool drawn) const;
};

/// Image reading options.
struct image_options {
    bool keep_exif_orientation = false;
    std::size_t max_side = pali::read_options().max_side, max_pixels = pali::read_options().max_pixels;

    void add_to(CLI::App& command);
    /// Reads an image. Prints warnings to standard error. An error about a limit names the option that raises the limit. Throws whatever
    /// pali::read_image throws.
    [[nodiscard]] pali::image read(const std::filesystem::path& path) const;
};

/// Adds an option with a boolean value. It accepts the spellings of Python's argparse and others: "True", "false", "yes", "0", ... Any
/// other value is an error.
CLI::Option* add_bool(CLI::App& command, const std::string& name, bool& value, const std::string& what);

/// Adds an option for a decimal number from `least` to `most`. Values that the type cannot represent are errors and are not converted:
/// hexadecimal numbers, NaN, and 1e-39 (a denormal) for a float.
template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& name, T& value, T least, T most, const std::string& what);

/// Adds an option for an integer >= `least`.
CLI::Option* add_count(CLI::App& command, const std::string& name, std::size_t& value, std::size_t least, const std::string& what);

/// Each of these functions adds a subcommand to the program. It returns the function that runs the subcommand and returns the exit code.
using command = std::function<int()>;
command add_generate(CLI::App& program);
command add_chat(CLI::App& program);
command add_inspect(CLI::App& program);
command add_detect(CLI::App& program);
command add_segment(CLI::App& program);
command add_caption(CLI::App& program);
command add_ask(CLI::App& program);
command add_collect(CLI::App& program);
command add_eval(CLI::App& program);
command add_quantize(CLI::App& program);
