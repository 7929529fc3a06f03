// Reader for one object of a JSON configuration that collects problems. Included only by checkpoint_config.ipp.
#pragma once

#include <pali/core/error.hpp>
#include <pali/core/short_list.hpp>
#include <pali/core/strict_json.ipp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

namespace pali { inline namespace PALI_ABI { namespace config_detail {

/// Collects all problems of a checkpoint's configuration.
struct config_problems {
    std::filesystem::path folder;   ///< folder of the files
    std::vector<std::string> found; ///< each begins with its file name
    bool malformed = false;         ///< whether a problem is a malformed value and not only an unsupported one

    /// Adds a problem once, even if its section is read twice.
    void add(error_text&& problem) {
        std::string text = std::move(problem).str();
        if (std::find(found.begin(), found.end(), text) == found.end()) found.push_back(std::move(text));
    }

    /// Throws if there are problems.
    void raise() const {
        if (found.empty()) return;
        const errc code = malformed ? errc::malformed_config : errc::unsupported_config;
        if (found.size() == 1) throw error(code, (folder / found.front()).string());
        short_list all;
        for (const std::string& problem : found) all.add(problem);
        throw error(code, {folder.string(), ": ", found.size(), " problems in the configuration:", all.joined("\n  ")});
    }
};

class config_section {
public:
    using json = nlohmann::json;

    /// `prefix` locates the section in messages: "config.json: text_config.". A missing section reads as an empty one.
    config_section(const json* object, std::string prefix, config_problems& problems)
        : m_object(object), m_prefix(std::move(prefix)), m_problems(problems) {}

    /// The value of `key`, or nullptr if it is absent.
    [[nodiscard]] const json* find(const char* key) const {
        if (m_object == nullptr) return nullptr;
        const auto found = m_object->find(key);
        return found == m_object->end() ? nullptr : &*found;
    }
    /// The value of `key`, or nullptr if it is absent or null.
    [[nodiscard]] const json* find_value(const char* key) const {
        const json* const value = find(key);
        return value == nullptr || value->is_null() ? nullptr : value;
    }

    /// The object at `key`; an empty section if it is absent or null.
    [[nodiscard]] config_section section(const char* key) const {
        const json* value = find_value(key);
        if (value != nullptr && !value->is_object()) {
            malformed(key, "an object");
            value = nullptr;
        }
        return {value, m_prefix + key + ".", m_problems};
    }
    /// A section with other contents and the same prefix in messages.
    [[nodiscard]] config_section beside(const json& object) const { return {&object, m_prefix, m_problems}; }
    [[nodiscard]] bool is_present() const noexcept { return m_object != nullptr; }

    /// Whether the value is present but not an object, which section() has already reported.
    [[nodiscard]] bool is_broken(const char* key) const { return find_value(key) != nullptr && !find_value(key)->is_object(); }

    /// An integer in [lowest, highest]; `otherwise` if the key is absent. Returns 0 for an invalid value; callers exclude 0 from further
    /// checks.
    [[nodiscard]] std::size_t size(const char* key, std::size_t otherwise, std::size_t lowest, std::size_t highest) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_number_unsigned() && value->get<std::uint64_t>() >= lowest && value->get<std::uint64_t>() <= highest)
            return value->get<std::size_t>();
        malformed(key, {"an integer from ", lowest, " to ", highest});
        return 0;
    }

    /// A finite float, at least zero if `allow_zero`, otherwise above zero.
    [[nodiscard]] float number(const char* key, float otherwise, bool allow_zero) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_number()) {
            const double wide = value->get<double>();
            if (std::abs(wide) <= std::numeric_limits<float>::max()) {
                const float number = static_cast<float>(wide);
                if (number > 0 || (allow_zero && number == 0)) return number;
            }
        }
        malformed(key, allow_zero ? "a number of 0 or more" : "a number above 0");
        return otherwise;
    }
    /// A softcap; null and 0 mean none.
    [[nodiscard]] float softcap(const char* key, float otherwise) const {
        const json* const value = find(key);
        return value != nullptr && value->is_null() ? 0 : number(key, otherwise, true);
    }

    [[nodiscard]] bool flag(const char* key, bool otherwise) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_boolean()) return value->get<bool>();
        malformed(key, "true or false");
        return otherwise;
    }

    [[nodiscard]] std::string text(const char* key, const std::string& otherwise) const {
        const json* const value = find(key);
        if (value == nullptr) return otherwise;
        if (value->is_string()) return value->get<std::string>();
        malformed(key, "a string");
        return otherwise;
    }

    /// A 32-bit token id, nonnegative if `needed`.
    [[nodiscard]] std::int32_t id(const json& value, const char* key, bool needed) const {
        if (value.is_number_integer() && (!value.is_number_unsigned() || value.get<std::uint64_t>() <= most)) {
            const std::int64_t id = value.get<std::int64_t>();
            if (id >= (needed ? 0 : std::numeric_limits<std::int32_t>::min()) && id <= std::int64_t{most})
                return static_cast<std::int32_t>(id);
        }
        malformed(key, needed ? error_text{"an id from 0 to ", most} : "a 32-bit id");
        return 0;
    }

    /// Reports a value that violates the format: "config.json: text_config.head_dim is 7; `needed` is needed".
    void malformed(const char* key, error_text&& needed) const {
        m_problems.malformed = true;
        m_problems.add({m_prefix, key, " is ", describe(key), "; ", std::move(needed).str(), " is needed"});
    }
    /// Reports a value that is valid but that no supported model has.
    void unsupported(const char* key, error_text&& needed) const {
        m_problems.add({m_prefix, key, " is ", describe(key), "; ", std::move(needed).str()});
    }

    /// The value as abbreviated JSON.
    [[nodiscard]] std::string describe(const char* key) const {
        const json* const value = find(key);
        return value == nullptr ? "absent" : describe_json(*value);
    }

private:
    static constexpr std::uint32_t most = 0x7fffffff;

    const json* m_object;
    std::string m_prefix;
    config_problems& m_problems;
};

}}} // namespace pali::PALI_ABI::config_detail
