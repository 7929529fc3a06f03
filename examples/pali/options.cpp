// Options shared by several subcommands.
#include "options.hpp"

#include "console.hpp"

#include <pali/config/registry.hpp>
#include <pali/core/checkpoint_place.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iostream>
#include <limits>
#include <map>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>

namespace {

constexpr std::size_t no_limit = 1u << 24;

} // namespace

template <class T>
CLI::Option* add_number(CLI::App& command, const std::string& name, T& value, T least, T most, const std::string& what) {
    const auto in_words = [](T number) {
        std::array<char, 32> text{};
        return std::string(text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr);
    };
    const auto read = [&value, least, most, in_words, name](const std::string& text) {
        T number{};
        const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
        bool fits = failed == std::errc() && end == text.data() + text.size() && number >= least && number <= most; // false for NaN
        if constexpr (std::is_floating_point_v<T>) fits = fits && (number == 0 || std::fpclassify(number) == FP_NORMAL);
        if (!fits) {
            const bool bounded = most < std::numeric_limits<T>::max();
            throw CLI::ValidationError(name, "'" + text + "' is not " + (std::is_integral_v<T> ? "a whole number " : "a number ") +
                                                 "from " + in_words(least) +
                                                 (bounded || std::is_integral_v<T> ? " to " + in_words(most) : " up"));
        }
        value = number;
    };
    return command.add_option_function<std::string>(name, read, what)
        ->type_name(std::is_integral_v<T> ? "N" : "X")
        ->default_str(in_words(value));
}
template CLI::Option* add_number(CLI::App&, const std::string&, float&, float, float, const std::string&);
template CLI::Option* add_number(CLI::App&, const std::string&, std::uint64_t&, std::uint64_t, std::uint64_t, const std::string&);

CLI::Option* add_count(CLI::App& command, const std::string& name, std::size_t& value, std::size_t least, const std::string& what) {
    return add_number(command, name, value, least, no_limit, what);
}

CLI::Option* add_bool(CLI::App& command, const std::string& name, bool& value, const std::string& what) {
    // CLI11 accepts many words for a bool; this check names the allowed ones.
    const std::map<std::string, std::string> words{{"true", "true"},   {"yes", "true"}, {"on", "true"},   {"1", "true"},
                                                   {"false", "false"}, {"no", "false"}, {"off", "false"}, {"0", "false"}};
    return command.add_option_function<std::string>(
                      name, [&value](const std::string& word) { value = word == "true"; }, what)
        ->transform(CLI::Transformer(words, CLI::ignore_case).description(""))
        ->check(CLI::IsMember(std::vector<std::string>{"true", "false"}).description(""))
        ->default_str(value ? "True" : "False")
        ->type_name("True|False");
}

void model_options::add_to(CLI::App& command) {
    command
        .add_option("-m,--model", folder,
                    "Folder of the model: config.json, *.safetensors, tokenizer.model or tokenizer.json. Default: the embedded model")
        ->type_name("DIR");
    std::vector<std::string> names{"dynamic"};
    for (const auto& name : pali::variant_names()) names.emplace_back(name);
    command.add_option("--variant", variant, "Compiled type to run the model with, or dynamic. Default: the type that config.json fits")
        ->check(CLI::IsMember(names, [](std::string name) { return std::replace(name.begin(), name.end(), '_', '-'), name; }))
        ->type_name("NAME");
    command.add_option("--weights", weights, "Type of the weights in memory. Default: int8 or int4 if the folder has them, else bf16")
        ->check(CLI::IsMember({"f32", "bf16", "int8", "int4"}))
        ->type_name("TYPE");
    command.add_option("--residency", residency, "mapped: starts at once, shares memory; resident: copied, decodes faster")
        ->check(CLI::IsMember({"mapped", "resident"}))
        ->type_name("HOW")
        ->capture_default_str();
    command.add_flag("--strict", strict,
                     "Refuse a folder with tensors that the model does not use, or an index that differs from its shards");
    add_number(command, "--threads", threads, std::size_t{0}, std::size_t{1024}, "Number of threads; 0: one per processor");
    command.add_flag("--pin-threads", pin_threads, "Pin each worker thread to its own processor");
    command.add_option("--kv-cache", kv_cache, "Type of the KV cache; bf16 halves its memory and the bytes read per token")
        ->check(CLI::IsMember({"f32", "bf16"}))
        ->type_name("TYPE")
        ->capture_default_str();
}

model_choice model_options::choice(const pali::progress_callback& on_progress) const {
    model_choice chosen;
    chosen.folder = folder.empty() ? embedded_model() : pali::core::find_checkpoint(folder);
    chosen.variant = variant;
    chosen.weights = weights;
    chosen.load.threads = threads;
    chosen.load.pin_threads = pin_threads;
    if (residency == "resident") chosen.load.residency = pali::residency::resident;
    if (kv_cache == "bf16") chosen.load.kv_cache = pali::kv_type::bf16;
    chosen.load.on_progress = on_progress;
    chosen.load.strict = strict;
    chosen.load.on_notice = print_note;
    return chosen;
}

void image_options::add_to(CLI::App& command) {
    constexpr std::size_t most_pixels = std::size_t{1} << 40;
    command.add_flag("--keep-exif-orientation", keep_exif_orientation,
                     "Leave images as stored instead of rotating them upright according to their EXIF data");
    add_count(command, "--max-side", max_side, 1, "Refuse images with a longer side, in pixels");
    add_number(command, "--max-pixels", max_pixels, std::size_t{1}, most_pixels, "Refuse images with more pixels");
}

pali::image image_options::read(const std::filesystem::path& path) const {
    pali::read_options how{.keep_exif_orientation = keep_exif_orientation, .max_side = max_side, .max_pixels = max_pixels};
    how.on_warning = [](std::string_view warning) { std::cerr << "pali: " << warning << '\n'; };
    try {
        return pali::read_image(path, how);
    } catch (const pali::error& e) {
        if (e.code() != pali::errc::image_too_large) throw;
        std::string what = e.what();
        what.erase(0, what.find("] ") + 2); // removes the code, because the new error adds it again
        for (const auto& [member, option] :
             {std::pair{"raise max_side", "raise --max-side"}, std::pair{"raise max_pixels", "raise --max-pixels"}})
            if (const std::size_t at = what.rfind(member); at != what.npos) what.replace(at, std::string_view(member).size(), option);
        throw pali::error(e.code(), what);
    }
}

void answer_options::add_to(CLI::App& command) {
    pali::option_list::visit(
        [&command]<class T>(const pali::option_list::entry<T>& option, T& value) {
            if constexpr (std::is_same_v<T, bool>) command.add_flag(option.flag, value, option.help);
            else {
                T least = option.least;
                if (option.above_least)
                    least = std::numeric_limits<T>::min(); // for a float, the smallest number above 0 that add_number accepts
                add_number(command, option.flag, value, least, option.most, option.help);
            }
        },
        chosen);
}

const pali::generate_options& answer_options::options() const {
    if (chosen.min_new_tokens > chosen.max_new_tokens)
        throw wrong_use("--min-tokens " + std::to_string(chosen.min_new_tokens) + " is more than --max-tokens " +
                        std::to_string(chosen.max_new_tokens));
    return chosen;
}

void format_options::add_to(CLI::App& command) {
    command.add_option("--format", formats, "Formats in addition to results.jsonl: coco, yolo, labelme; comma-separated or repeated")
        ->delimiter(',')
        ->check(CLI::IsMember({"json", "coco", "yolo", "labelme"}))
        ->type_name("FORMAT");
    command
        .add_option("--coco-masks", coco_masks,
                    "Masks in coco.json: auto (one polygon per region; RLE for masks with holes), polygons, or rle")
        ->check(CLI::IsMember({"auto", "polygons", "rle"}))
        ->type_name("FORM")
        ->capture_default_str();
}

result_formats format_options::chosen(bool drawn) const {
    const auto wants = [&](const char* format) { return std::find(formats.begin(), formats.end(), format) != formats.end(); };
    return {.coco = wants("coco"),
            .yolo = wants("yolo"),
            .labelme = wants("labelme"),
            .drawn = drawn,
            .masks = coco_masks == "auto"  ? pali::coco_masks::automatic
                     : coco_masks == "rle" ? pali::coco_masks::run_lengths
                                           : pali::coco_masks::polygons};
}
