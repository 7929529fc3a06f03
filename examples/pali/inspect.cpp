// pali inspect: lists the contents of a checkpoint folder, the matching type, and what is missing.
#include "arch.hpp"
#include "console.hpp"
#include "options.hpp"

#include <pali/config/registry.hpp>
#include <pali/core/checkpoint_place.hpp>
#include <pali/core/lfs_pointer.hpp>
#include <pali/files/npz.hpp>
#include <pali/files/safetensors.hpp>
#include <pali/model/check_tokens.hpp>
#include <pali/model/network.hpp>
#include <pali/model/quantize_checkpoint.hpp>
#include <pali/objects/mask_vqvae.hpp>
#include <pali/text/compare_vocabularies.hpp>
#include <pali/text/tokenizer.hpp>
#include <pali/weights/finite.hpp>
#include <pali/weights/tensor_list.hpp>

#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>

namespace {

namespace fs = std::filesystem;

/// Files of a checkpoint.
struct known_file {
    const char* name;
    bool needed;
    const char* what;
    const char* instead = nullptr; ///< another file that makes this one unnecessary
};
constexpr known_file known_files[] = {
    {"config.json", true, "sizes"},
    {"tokenizer.model", true, "vocabulary", "tokenizer.json"},
    {"tokenizer.json", false, "vocabulary in the format of transformers; next to tokenizer.model: only its added tokens"},
    {"added_tokens.json", false, "ids of added pieces"},
    {"generation_config.json", false, "end-of-answer token ids"},
    {"preprocessor_config.json", false, "image preprocessing; default: transformers' for SigLIP"},
    {"processor_config.json", false, "the same, in newer checkpoints"},
    {"model.safetensors.index.json", false, "shard of each tensor"},
};

class inspection {
public:
    /// `given` is a folder or one .safetensors file in it. With `numbers`, every weight is checked; with `tensors`, every tensor is listed.
    inspection(const fs::path& given, bool numbers, bool tensors)
        : m_weights(pali::core::find_checkpoint(given)), m_folder(pali::core::folder_of_checkpoint(m_weights)), m_numbers(numbers),
          m_list(tensors) {}

    /// Prints the report; returns the number of problems.
    int run() {
        std::cout << m_weights.string() << '\n';
        list_files();
        attempt([this] { show_config(); });
        if (attempt([this] { m_files.emplace(m_weights); })) {
            show_tensors();
            attempt([this] { check_names(); });
        }
        attempt([this] { show_masks(); });
        check_tokenizer();
        if (m_numbers && m_files) check_numbers();
        if (!m_notes.empty()) std::cout << "notes:\n";
        for (const std::string& note : m_notes) std::cout << "  " << note << '\n';
        std::cout << "problems:" << (m_problems.empty() ? " none\n" : "\n");
        for (const std::string& problem : m_problems) std::cout << "  " << problem << '\n';
        return static_cast<int>(m_problems.size());
    }

private:
    /// Runs `work`; an error is recorded as a problem. Returns whether it succeeded.
    template <class Work>
    bool attempt(Work&& work) {
        try {
            work();
            return true;
        } catch (const pali::error& e) {
            m_problems.emplace_back(e.what());
            return false;
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
            if (const auto size = fs::file_size(m_folder / file.name, ignored); !ignored)
                line(file.name, in_units(static_cast<double>(size)), file.what);
            else if (file.needed && (file.instead == nullptr || !fs::exists(m_folder / file.instead, ignored)))
                line(file.name, "missing", file.what);
        }
        std::error_code failed;
        for (fs::directory_iterator entry(m_folder, failed), end; !failed && entry != end; entry.increment(failed)) {
            if (entry->path().extension() != ".safetensors" || (m_weights != m_folder && entry->path().filename() != m_weights.filename()))
                continue;
            std::error_code absent; // set if the file is a link whose target is missing
            const auto size = entry->file_size(absent);
            line(entry->path().filename().string().c_str(), absent ? "missing" : in_units(static_cast<double>(size)), "weights");
        }
        if (failed) m_problems.push_back(m_folder.string() + ": " + failed.message());
    }

    void show_config() {
        m_config = pali::read_checkpoint_config(m_folder);
        const pali::dynamic& sizes = m_config->sizes;
        const auto fitting = pali::matching_variant(sizes);
        if (const pali::preprocessing& image = m_config->image; !image.do_resize)
            m_notes.push_back(m_config->image_file.string() + ": do_resize is off, so only images of " + std::to_string(image.width) +
                              " x " + std::to_string(image.height) + " pixels are accepted");
        std::cout << "model: " << (sizes.post_norms ? "PaliGemma 2" : "PaliGemma") << '\n'
                  << "  vision     " << sizes.vision.image_size << " px, " << pali::patch_count(sizes.vision) << " tokens, "
                  << sizes.vision.layers << " layers of " << sizes.vision.hidden << '\n'
                  << "  decoder    " << sizes.layers << " layers of " << sizes.hidden << ", " << sizes.heads << " heads (" << sizes.kv_heads
                  << " KV heads) of " << sizes.head_dim << ", vocabulary " << sizes.vocab << '\n'
                  << "type: "
                  << (fitting ? std::string(*fitting) + " fits, compiled; dynamic fits too"
                              : std::string("dynamic; no compiled variant has these sizes"))
                  << '\n';
    }

    /// Prints the number of tensors and elements, in total and by type.
    static void print_tensors(const std::string& title, const pali::files::tensor_table& tensors) {
        struct sum {
            std::size_t tensors = 0, bytes = 0;
        };
        std::map<std::string, sum> types;
        std::size_t bytes = 0;
        for (const auto& [name, tensor] : tensors) {
            sum& s = types[to_string(tensor.type)];
            ++s.tensors;
            s.bytes += tensor.bytes.size();
            bytes += tensor.bytes.size();
        }
        std::cout << title << tensors.size() << " tensors, " << static_cast<double>(count_numbers(tensors) / 100000) / 10
                  << " million elements, " << in_units(static_cast<double>(bytes)) << '\n';
        for (const auto& [type, s] : types)
            std::cout << "  " << type << "  " << s.tensors << " tensors, " << in_units(static_cast<double>(s.bytes)) << '\n';
    }

    static std::size_t count_numbers(const pali::files::tensor_table& tensors) {
        std::size_t numbers = 0;
        for (const auto& [name, tensor] : tensors) numbers += tensor.count();
        return numbers;
    }

    void show_tensors() const {
        print_tensors("weights: ", m_files->tensors());
        const std::string weights = pali::quantized_weights(*m_files);
        const auto numbers = static_cast<double>(count_numbers(m_files->tensors()));
        if (weights.empty()) std::cout << "memory: " << in_units(2 * numbers) << " as bf16, " << in_units(4 * numbers) << " as f32\n";
        else std::cout << "quantized: " << weights << '\n';
    }

    /// Prints the tensors of the mask decoder that `pali segment` would read; throws if they do not fit or are not finite.
    void show_masks() const {
        const auto file = pali::objects::find_mask_vqvae(m_folder);
        if (!file) {
            std::cout << "masks: no decoder; pali segment needs vae-oid.npz in the folder\n";
            return;
        }
        const std::string title = "masks: " + file->filename().string() + ", ";
        if (file->extension() == ".npz") print_tensors(title, pali::files::npz_file(*file).tensors());
        else print_tensors(title, pali::files::safetensors_file(*file).tensors());
        (void)pali::objects::mask_vqvae(*file);
    }

    /// Stops at the first problem, because each step depends on the previous one and would report the same problem again.
    void check_tokenizer() {
        bool fetched = true;
        for (const char* name : {"tokenizer.model", "tokenizer.json", "added_tokens.json"})
            fetched = attempt([&] { pali::core::refuse_lfs_pointer(m_folder / name); }) && fetched;
        if (!fetched) return;
        const bool opened = attempt([this] {
            const pali::tokenizer text = m_config ? pali::model_detail::open_tokenizer(m_folder, *m_config) : pali::tokenizer(m_folder);
            (void)text.encode("a"); // sentencepiece reports errors at its first use
            if (!m_config) return;
            if (const std::string missing = pali::model_detail::describe_tokens_without_rows(text, m_config->sizes.vocab); !missing.empty())
                m_problems.push_back(m_folder.string() + ": " + missing);
        });
        if (!opened) return;
        try {
            for (std::string& difference : pali::text::compare_vocabularies(m_folder)) m_problems.push_back(std::move(difference));
        } catch (const pali::error& e) { // not fatal: a model needs only the added tokens of this tokenizer.json, which were read
            m_notes.push_back(std::string("tokenizer.model is used; tokenizer.json cannot be compared with it: ") + e.what());
        }
    }

    /// Reports weights that are not finite.
    void check_numbers() {
        const pali::core::short_list broken = pali::weights::describe_not_finite(m_files->tensors(), m_unused);
        pali::files::tensor_table unused;
        for (const std::string& name : m_unused) unused.emplace(name, m_files->at(name));
        if (const pali::core::short_list others = pali::weights::describe_not_finite(unused); !others.empty())
            m_notes.push_back("values that are not finite, in unused tensors: " + others.in_a_row());
        if (!broken.empty()) m_problems.push_back("values that are not finite:" + broken.joined("\n    "));
        std::cout << "numbers: weights checked" << (broken.empty() ? ", all finite\n" : "\n");
    }

    void check_names() {
        if (!m_config) return;
        const std::string weights = pali::quantized_weights(*m_files);
        if (weights == pali::int8::name) check_names_of<pali::int8>();
        else if (weights == pali::int4::name) check_names_of<pali::int4>();
        else check_names_of<pali::bf16>();
    }

    /// Compares the tensors that a model of these sizes needs with those in the files.
    template <class Weights>
    void check_names_of() {
        m_unused =
            pali::nn::check_parts<Weights>(*m_files, *m_config, false, [this](std::string_view note) { m_notes.emplace_back(note); });
        const pali::weights::published_tensors there(m_files->tensors());
        std::vector<pali::weights::listed_tensor> tensors;
        pali::nn::network_modules<pali::dynamic, Weights>(m_config->sizes).bind(pali::weights::tensor_list(tensors, there), m_config->tied);
        show_parameters(tensors);
        if (m_list) list_tensors(tensors, there);
    }

    /// Prints the number of parameters of the model and of its parts, which are the first words of the names.
    static void show_parameters(const std::vector<pali::weights::listed_tensor>& tensors) {
        std::size_t all = 0;
        std::map<std::string, std::size_t> parts;
        for (const auto& tensor : tensors) {
            all += tensor.count();
            parts[tensor.name.substr(0, tensor.name.find('.'))] += tensor.count();
        }
        std::cout << "parameters: " << all << '\n';
        for (const auto& [part, count] : parts) std::cout << "  " << part << "  " << count << '\n';
    }

    /// Prints the tensors of the model in the order of its layers: published name, dtype and shape in the file.
    static void list_tensors(const std::vector<pali::weights::listed_tensor>& tensors, const pali::weights::published_tensors& there) {
        std::cout << "tensors:\n";
        for (const auto& [name, shape] : tensors)
            if (const pali::files::tensor_info* found = there.find(name))
                std::cout << "  " << name << "  " << to_string(found->type) << ' ' << pali::core::describe_shape(found->shape) << '\n';
    }

    fs::path m_weights, m_folder; // the given path; the folder of config.json and the other files
    std::optional<pali::files::checkpoint_files> m_files;
    std::optional<pali::checkpoint_config> m_config;
    std::set<std::string, std::less<>> m_unused; // tensors that the model does not use
    std::vector<std::string> m_problems, m_notes;
    bool m_numbers, m_list;
};

} // namespace

command add_inspect(CLI::App& program) {
    CLI::App* app = program.add_subcommand("inspect", "Show the contents of a model folder, the type that fits it, and problems");
    const auto folder = std::make_shared<std::string>();
    const auto numbers = std::make_shared<bool>(false);
    app->add_flag("--numbers", *numbers, "Also read every weight and check that all are finite");
    const auto tensors = std::make_shared<bool>(false);
    app->add_flag("--tensors", *tensors, "Also list the tensors of the model: published name, dtype and shape in the file");
    const auto arch = std::make_shared<bool>(false);
    CLI::Option* const of_arch =
        app->add_flag("--arch", *arch, "Print only the instruction set levels: compiled, supported by this processor, and active");
    app->add_option("folder,-m,--model", *folder, "Model folder, or one .safetensors file in it; default: the embedded model")
        ->type_name("DIR")
        ->excludes(of_arch);
    return [folder, numbers, tensors, arch] {
        if (*arch) return show_arch(), 0;
        return inspection(folder->empty() ? embedded_model() : fs::path(*folder), *numbers, *tensors).run() == 0 ? 0 : exit_bad_file;
    };
}
