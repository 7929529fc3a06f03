// pali inspect: what a folder holds, which type fits it, what is missing.
#include "console.hpp"
#include "options.hpp"

#include <pali/config/registry.hpp>
#include <pali/core/checkpoint_place.hpp>
#include <pali/core/lfs_pointer.hpp>
#include <pali/model/network.hpp>
#include <pali/model/quantise_checkpoint.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <pali/weights/finite.hpp>
#include <pali/text/compare_vocabularies.hpp>
#include <pali/text/tokenizer.hpp>

#include <cstdio>
#include <iostream>
#include <map>
#include <memory>

namespace {

namespace fs = std::filesystem;

/// The files of a checkpoint, whether each is needed, and what it is for.
struct known_file {
    const char* name;
    bool needed;
    const char* what;
    const char* instead = nullptr; ///< a file with which this one is not needed
};
constexpr known_file known_files[] = {
    {"config.json", true, "sizes"},
    {"tokenizer.model", true, "vocabulary", "tokenizer.json"},
    {"tokenizer.json", false, "vocabulary, as transformers saves it; beside tokenizer.model its added tokens"},
    {"added_tokens.json", false, "ids of added pieces"},
    {"generation_config.json", false, "ids that end an answer"},
    {"preprocessor_config.json", false, "how pictures are prepared; without: as transformers does for SigLIP"},
    {"processor_config.json", false, "the same, in newer checkpoints"},
    {"model.safetensors.index.json", false, "which shard holds what"},
};

class inspection {
public:
    /// With `numbers`, every weight is looked at.
    inspection(fs::path folder, bool numbers) : m_folder(std::move(folder)), m_numbers(numbers) {}

    /// Prints all that can be found out; returns how many things are missing or wrong.
    int run() {
        m_folder = pali::find_checkpoint(m_folder);
        if (!fs::is_directory(m_folder))
            throw pali::error(pali::errc::cannot_open, {m_folder.string(), ": no folder; name the one that holds config.json and *.safetensors"});
        std::cout << m_folder.string() << '\n';
        list_files();
        attempt([this] { show_config(); });
        attempt([this] { show_tensors(); });
        attempt([this] {
            for (const char* name : {"tokenizer.model", "tokenizer.json"}) pali::refuse_lfs_pointer(m_folder / name);
        });
        attempt([this] { (void)pali::tokenizer(m_folder).encode("a"); }); // sentencepiece reports errors when it is first used
        attempt([this] {
            for (std::string& difference : pali::compare_vocabularies(m_folder)) m_problems.push_back(std::move(difference));
        });
        if (m_numbers) attempt([this] { check_numbers(); });
        if (!m_notes.empty()) std::cout << "notes:\n";
        for (const std::string& note : m_notes) std::cout << "  " << note << '\n';
        std::cout << "missing or wrong:" << (m_problems.empty() ? " nothing\n" : "\n");
        for (const std::string& problem : m_problems) std::cout << "  " << problem << '\n';
        return static_cast<int>(m_problems.size());
    }

private:
    template <class Work>
    void attempt(Work&& work) {
        try {
            work();
        } catch (const pali::error& e) {
            m_problems.emplace_back(e.what());
        }
    }

    void line(const char* name, const std::string& size, const char* what) const {
        char text[512];
        std::snprintf(text, sizeof text, "  %-34s %10s  %s\n", name, size.c_str(), what);
        std::cout << text;
    }

    void list_files() {
        std::cout << "files:\n";
        for (const known_file& file : known_files) {
            std::error_code ignored;
            if (const auto size = fs::file_size(m_folder / file.name, ignored); !ignored) line(file.name, in_units(static_cast<double>(size)), file.what);
            else if (file.needed && (file.instead == nullptr || !fs::exists(m_folder / file.instead, ignored))) line(file.name, "missing", file.what);
        }
        std::error_code failed;
        for (fs::directory_iterator entry(m_folder, failed), end; !failed && entry != end; entry.increment(failed)) {
            if (entry->path().extension() != ".safetensors") continue;
            std::error_code absent; // of what a link points to
            const auto size = entry->file_size(absent);
            line(entry->path().filename().string().c_str(), absent ? "missing" : in_units(static_cast<double>(size)), "weights");
        }
        if (failed) m_problems.push_back(m_folder.string() + ": " + failed.message());
    }

    void show_config() {
        m_config = pali::read_checkpoint_config(m_folder);
        const pali::dynamic& sizes = m_config->sizes;
        const auto fitting = pali::matching_variant(sizes);
        std::cout << "model: " << (sizes.post_norms ? "PaliGemma 2" : "PaliGemma") << '\n'
                  << "  vision     " << sizes.vision.image_size << " px, " << pali::patch_count(sizes.vision) << " tokens, " << sizes.vision.layers << " layers of "
                  << sizes.vision.hidden << '\n'
                  << "  decoder    " << sizes.layers << " layers of " << sizes.hidden << ", " << sizes.heads << " heads (" << sizes.kv_heads << " of keys and values) of "
                  << sizes.head_dim << ", vocabulary " << sizes.vocab << '\n'
                  << "type: " << (fitting ? std::string(*fitting) + " fits, compiled; dynamic fits too" : std::string("dynamic; no compiled variant has these numbers")) << '\n';
    }

    void show_tensors() {
        const pali::checkpoint_files files{m_folder};
        struct sum {
            std::size_t tensors = 0, numbers = 0, bytes = 0;
        };
        std::map<std::string, sum> types;
        std::size_t numbers = 0, bytes = 0;
        for (const auto& [name, tensor] : files.tensors()) {
            sum& s = types[pali::to_string(tensor.type)];
            ++s.tensors;
            s.numbers += tensor.count();
            s.bytes += tensor.bytes.size();
            numbers += tensor.count();
            bytes += tensor.bytes.size();
        }
        std::cout << "weights: " << files.tensors().size() << " tensors, " << static_cast<double>(numbers / 100000) / 10 << " million numbers, " << in_units(static_cast<double>(bytes)) << '\n';
        for (const auto& [type, s] : types) std::cout << "  " << type << "  " << s.tensors << " tensors, " << in_units(static_cast<double>(s.bytes)) << '\n';
        const std::string weights = pali::quantised_weights(files);
        if (weights.empty()) std::cout << "memory: " << in_units(2 * static_cast<double>(numbers)) << " as bf16, " << in_units(4 * static_cast<double>(numbers)) << " as f32\n";
        else std::cout << "quantised: " << weights << '\n';
        if (!m_config) return;
        if (weights == pali::int8::name) check_names<pali::int8>(files);
        else if (weights == pali::int4::name) check_names<pali::int4>(files);
        else check_names<pali::bf16>(files);
    }

    /// Weights, and those of the mask network beside them, that are no finite numbers.
    void check_numbers() {
        const pali::checkpoint_files files{m_folder};
        pali::short_list broken = pali::describe_not_finite(files.tensors());
        if (!broken.empty()) m_problems.push_back("numbers that are not finite:" + broken.joined("\n    "));
        if (const auto masks = pali::find_mask_vqvae(m_folder)) (void)pali::mask_vqvae(*masks);
        std::cout << "numbers: looked at" << (broken.empty() ? ", all finite\n" : "\n");
    }

    /// Every tensor that a model of these sizes asks for, against those that are there.
    template <class Weights>
    void check_names(const pali::checkpoint_files& files) {
        pali::siglip<pali::dynamic_vision, pali::bf16> vision(m_config->sizes.vision);
        pali::projector<pali::dynamic, pali::bf16> project{m_config->sizes, {}};
        pali::gemma<pali::dynamic, Weights> decoder(m_config->sizes);
        pali::binder names(files.tensors(), files.path().string());
        vision.bind(names.root()["vision_tower.vision_model"]);
        project.bind(names.root()["multi_modal_projector"]);
        decoder.bind(names.root()["language_model"], m_config->tied);
        pali::check_tensors(files, names, *m_config, false, [this](std::string_view note) { m_notes.emplace_back(note); });
    }

    fs::path m_folder;
    std::optional<pali::checkpoint_config> m_config;
    std::vector<std::string> m_problems, m_notes;
    bool m_numbers;
};

} // namespace

command add_inspect(CLI::App& program) {
    CLI::App* app = program.add_subcommand("inspect", "What a folder holds, which type fits it, what is missing");
    const auto folder = std::make_shared<std::string>();
    const auto numbers = std::make_shared<bool>(false);
    app->add_flag("--numbers", *numbers, "Look at every weight, too: whether all are finite");
    app->add_option("folder,-m,--model", *folder, "Folder of the model; without: the embedded model")->type_name("DIR");
    return [folder, numbers] { return inspection(folder->empty() ? embedded_model() : fs::path(*folder), *numbers).run() == 0 ? 0 : exit_bad_file; };
}
