// Interactive line input with editing and history.
#pragma once

#include <memory>
#include <optional>
#include <string>

/// Uses libedit if the program was built with it and both input and output are terminals; otherwise reads standard input as is.
class line_editor {
public:
    /// `prompt` is printed before each line.
    explicit line_editor(std::string prompt);
    ~line_editor();
    line_editor(const line_editor&) = delete;
    line_editor& operator=(const line_editor&) = delete;

    /// The next line without its line break; std::nullopt at the end of input or after Ctrl-C (see interrupted()).
    [[nodiscard]] std::optional<std::string> read();

private:
    struct parts;
    std::string m_prompt;
    std::unique_ptr<parts> m_parts; // null if lines are not edited
};
