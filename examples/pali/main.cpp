// pali: command-line program for PaliGemma.
#include "console.hpp"
#include "options.hpp"
#include "output.hpp"

#include <pali/core/error.hpp>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <new>
#include <numeric>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

/// Whether an error is a usage error (exit code 2) and not a bad file.
bool is_wrong_use(pali::errc code) {
    using enum pali::errc;
    return code == invalid_argument || code == unknown_variant || code == capacity_exceeded || code == invalid_prompt ||
           code == unsupported_arch;
}

/// Levenshtein distance: insertions, deletions and substitutions.
std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = std::exchange(row[0], i);
        for (std::size_t j = 1; j <= b.size(); ++j)
            diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1])}));
    }
    return row.back();
}

/// ", did you mean --weights?" if an option or subcommand is similar; empty otherwise.
std::string nearest(const CLI::App& app, const std::string& word) {
    std::string best;
    const std::size_t letters = word.size() - std::min(word.size(), word.find_first_not_of('-'));
    std::size_t least = letters / 3 + 1; // a word with more edits than a third of its letters is a different word
    const auto consider = [&](const std::string& name) {
        const bool is_begun = letters >= 3 && name.starts_with(word);
        if (const std::size_t steps = is_begun ? 0 : distance(name, word); steps < least) least = steps, best = name;
    };
    for (const CLI::Option* option : app.get_options())
        for (const std::string& name : option->get_lnames()) consider("--" + name);
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; })) consider(sub->get_name());
    return best.empty() ? best : ", did you mean " + best + "?";
}

/// Prints a one-line error that refers to --help.
int refuse(const CLI::App& program, std::string line) {
    const auto chosen = program.get_subcommands();
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::cerr << "pali: " << line << "; see pali " << (chosen.empty() ? "" : chosen.front()->get_name() + " ") << "--help\n";
    return exit_wrong_use;
}

std::string capitals(std::string text) {
    for (char& c : text) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return text;
}

/// Help formatter that shows positional arguments in capitals, as the messages do.
class help_format final : public CLI::Formatter {
public:
    std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
        const std::string name = Formatter::make_option_name(option, is_positional);
        return is_positional ? capitals(name) : name;
    }
    std::string make_option_usage(const CLI::Option* option) const override { return capitals(Formatter::make_option_usage(option)); }
};

std::string wrong_use_of(const CLI::App& program, const CLI::ParseError& e) {
    const auto chosen = program.get_subcommands();
    const CLI::App& app = chosen.empty() ? program : *chosen.front();
    const auto unknown = program.remaining(true);
    if (chosen.empty()) {
        std::string names;
        for (const CLI::App* sub : program.get_subcommands([](const CLI::App*) { return true; }))
            names += (names.empty() ? "" : ", ") + sub->get_name();
        return unknown.empty() ? "a subcommand is needed: " + names
                               : "no subcommand " + unknown.front() + nearest(program, unknown.front()) + "; the subcommands are " + names;
    }
    if (!unknown.empty() && dynamic_cast<const CLI::ExtrasError*>(&e) != nullptr)
        return "unknown argument " + unknown.front() + nearest(app, unknown.front());
    std::string what = e.what();
    for (const CLI::Option* option : app.get_options())
        if (const std::string name = option->get_name(true); option->get_positional() && what.starts_with(name + ' '))
            what.replace(0, name.size(), capitals(name));
    return what;
}

int run(int argc, char** argv) {
    CLI::App program{"PaliGemma and PaliGemma 2: caption images, answer questions about them, find objects as boxes or masks.", "pali"};
    program.set_version_flag("--version", std::string("pali ") + pali::version);
    program.require_subcommand(1);
    program.formatter(std::make_shared<help_format>());
    program.get_formatter()->column_width(36);
    const std::pair<const char*, command> commands[] = {{"detect", add_detect(program)},     {"segment", add_segment(program)},
                                                        {"caption", add_caption(program)},   {"ask", add_ask(program)},
                                                        {"collect", add_collect(program)},   {"chat", add_chat(program)},
                                                        {"generate", add_generate(program)}, {"inspect", add_inspect(program)},
                                                        {"eval", add_eval(program)},         {"quantize", add_quantize(program)}};
    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return program.exit(e); // --help, --version
        return refuse(program, wrong_use_of(program, e));
    }
    for (const CLI::App* chosen : program.get_subcommands())
        for (const CLI::Option* option : chosen->get_options()) {
            const auto& values = option->results();
            if (std::find(values.begin(), values.end(), std::string()) !=
                values.end()) // probably an unset variable in a script; using the default would answer a different request
                return refuse(program, option->get_name() + " is empty");
        }
    try {
        for (const auto& [name, run] : commands)
            if (program.got_subcommand(name)) return run();
    } catch (const wrong_use& e) {
        return refuse(program, e.what());
    } catch (const pali::error& e) {
        if (is_wrong_use(e.code())) return refuse(program, e.what());
        throw;
    }
    return exit_wrong_use; // unreachable: a subcommand is required
}

/// Reports the current exception and returns the exit code.
int report() {
    try {
        throw;
    } catch (const output_failure& e) {
        std::cout.exceptions(std::ios::goodbit); // std::cerr flushes std::cout first
        std::cerr << "pali: " << e.what() << '\n';
        return exit_bad_file;
    } catch (const pali::error& e) {
        if (e.code() == pali::errc::cancelled) return exit_interrupted;
        std::cerr << "pali: " << e.what() << '\n';
        return exit_bad_file;
    } catch (const std::bad_alloc&) {
        std::cerr << "pali: not enough memory for this model, these images and this many tokens (--max-tokens). Check for a limit with "
                     "ulimit -v\n";
        return exit_bad_file;
    } catch (const std::filesystem::filesystem_error& e) {
        std::cerr << "pali: " << e.path1().string() << ": " << e.code().message() << '\n';
        return exit_bad_file;
    } catch (const std::system_error& e) {
        std::cerr << "pali: " << e.what()
                  << (e.code() == std::errc::resource_unavailable_try_again
                          ? ": no more threads can be started. Check for a limit with ulimit -u"
                          : "")
                  << '\n';
        return exit_bad_file;
    } catch (const std::exception& e) {
        std::cerr << "pali: " << e.what() << '\n';
        return exit_bad_file;
    }
}

} // namespace

int main(int argc, char** argv) {
    open_missing_streams();
    watch_for_interrupt();
    try {
        standard_streams streams;
        int code = 0;
        try {
            code = run(argc, argv);
        } catch (...) {
            code = report();
        }
        try {
            streams.flush();
        } catch (...) {
            code = code == 0 ? report() : code;
        }
        return code;
    } catch (...) { // out of memory before or while an error was reported
        std::fputs("pali: not enough memory to start. Check for a limit with ulimit -v\n", stderr);
        return exit_bad_file;
    }
}
