// added_tokens.json: {"<image>": 257152}, texts that a checkpoint puts on top of its tokenizer.model. Included by bodies only.
#pragma once

#include <pali/core/describe.hpp>
#include <pali/core/error.hpp>
#include <pali/core/strict_json.ipp>
#include <pali/text/token.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <string>
#include <string_view>

namespace pali::inline PALI_ABI::detail {

/// Texts and their ids.
using token_map = std::map<std::string, token, std::less<>>;

/// Reads the contents of added_tokens.json. Throws errc::malformed_tokenizer with `file` and what is wrong.
[[nodiscard]] PALI_INLINE token_map read_added_tokens(std::string_view contents, const std::string& file) {
    const auto fail = [&](const error_text& what) { throw error(errc::malformed_tokenizer, {file, ": ", what}); };
    const nlohmann::json document = parse_strict_json(contents, fail);
    if (!document.is_object()) fail({"is ", describe_json(document), "; one object is needed, with an id for each text"});
    token_map tokens;
    std::map<token, std::string_view> names;
    for (const auto& [text, id] : document.get_ref<const nlohmann::json::object_t&>()) {
        if (text.empty()) fail("has an entry without a name");
        if (!id.is_number_unsigned()) fail({"has ", describe_json(id), " at ", in_quotes(text), "; an id is needed"});
        if (id.get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<token>::max()))
            fail({"gives ", in_quotes(text), " the id ", describe_json(id), ", which is too large"});
        tokens.emplace(text, id.get<token>());
        if (const auto [same, first] = names.emplace(id.get<token>(), text); !first)
            fail({"gives ", in_quotes(same->second), " and ", in_quotes(text), " the same id ", describe_json(id)});
    }
    return tokens;
}

} // namespace pali::inline PALI_ABI::detail
