// pali: ask a PaliGemma about a picture, from the command line.
#include "console.hpp"
#include "options.hpp"

#include <pali/core/error.hpp>

#include <iostream>
#include <new>

namespace {

/// What the user asked for and cannot have, as against a file that is bad.
bool is_wrong_use(pali::errc code) {
    using enum pali::errc;
    return code == invalid_argument || code == unknown_variant || code == capacity_exceeded || code == invalid_prompt || code == unsupported_arch;
}

int refuse(const CLI::App& program, const std::string& what) {
    std::cerr << "pali: " << what << "\n\n" << program.help(); // of the subcommand, where one was named
    return exit_wrong_use;
}

} // namespace

int main(int argc, char** argv) {
    CLI::App program{"PaliGemma and PaliGemma 2: a picture and a prompt in; a caption, an answer, boxes or masks out.", "pali"};
    program.set_version_flag("--version", std::string("pali ") + pali::version);
    program.require_subcommand(1);
    program.get_formatter()->column_width(36);
    const std::pair<const char*, command> commands[] = {
        {"detect", add_detect(program)}, {"segment", add_segment(program)}, {"caption", add_caption(program)},   {"ask", add_ask(program)},
        {"chat", add_chat(program)},     {"generate", add_generate(program)}, {"inspect", add_inspect(program)}, {"eval", add_eval(program)},
        {"quantize", add_quantize(program)}};
    try {
        program.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (e.get_exit_code() == 0) return program.exit(e); // --help, --version
        const auto unknown = program.remaining();
        return refuse(program, program.get_subcommands().empty() && !unknown.empty() ? "there is no " + unknown.front() : e.what());
    }
    try {
        watch_for_interrupt();
        for (const auto& [name, run] : commands)
            if (program.got_subcommand(name)) return run();
    } catch (const wrong_use& e) {
        return refuse(program, e.what());
    } catch (const pali::error& e) {
        if (e.code() == pali::errc::cancelled) return exit_interrupted;
        std::cerr << "pali: " << e.what() << '\n';
        return is_wrong_use(e.code()) ? exit_wrong_use : exit_bad_file;
    } catch (const std::bad_alloc&) {
        std::cerr << "pali: there is not enough memory for this model, these pictures and that many tokens (--max-tokens)\n";
        return exit_bad_file;
    } catch (const std::exception& e) {
        std::cerr << "pali: " << e.what() << '\n';
        return exit_bad_file;
    }
}
