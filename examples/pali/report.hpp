// Formats answers as JSON for programs and as text lines for people.
#pragma once

#include "any_model.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

/// The --json output of an answer: text, tokens, logprobs, prompt_tokens, finish_reason, model, timings, memory.
[[nodiscard]] nlohmann::ordered_json describe(const pali::generation& said, const any_model& model);

/// The fields of an image in results.jsonl, except its name: width, height, text, finish_reason and, for detect and segment, objects and
/// skipped. Boxes are in pixels, rounded to 1/100. Documented in docs/results.md.
[[nodiscard]] nlohmann::ordered_json describe(const pali::findings& found, const pali::image& photo, bool points);

/// Serializes on one line; invalid UTF-8 becomes U+FFFD.
[[nodiscard]] std::string line_of(const nlohmann::ordered_json& value);

/// Describes at most ten differences of the first object from the second: `prompt is "detect cat" instead of "detect dog"`. Empty if they
/// are equal.
[[nodiscard]] std::string differences(const nlohmann::ordered_json& one, const nlohmann::ordered_json& other);

/// "tiger, x 22 to 1023, y 190 to 980, 93 %"
[[nodiscard]] std::string line_of(const pali::object& object);

/// Removes white space at both ends.
[[nodiscard]] std::string trimmed(const std::string& text);
