// Answers as JSON, for programs, and as lines, for people.
#pragma once

#include "any_model.hpp"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

/// What --json says of an answer: text, tokens, logprobs, prompt_tokens, finish_reason, model, timings, memory.
[[nodiscard]] nlohmann::ordered_json describe(const pali::generation& said, const any_model& model);

/// What results.jsonl says of an image besides its name: width, height, text, finish_reason, and, of answers that point at something,
/// objects and skipped. Boxes are in pixels, to a hundredth. docs/results.md is their reference.
[[nodiscard]] nlohmann::ordered_json describe(const pali::findings& found, const pali::image& photo, bool points);

/// On one line; bytes that are no UTF-8 become U+FFFD.
[[nodiscard]] std::string line_of(const nlohmann::ordered_json& value);

/// In what the first object differs from the second, at most ten entries of it: `prompt is "detect cat" instead of "detect dog"`; empty
/// where they are equal.
[[nodiscard]] std::string differences(const nlohmann::ordered_json& one, const nlohmann::ordered_json& other);

/// "tiger, x 22 to 1023, y 190 to 980, 93 %"
[[nodiscard]] std::string line_of(const pali::object& object);

/// Without the blanks and line breaks at both ends.
[[nodiscard]] std::string trimmed(const std::string& text);
