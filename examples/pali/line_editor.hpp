// A line that a person types, edited as in a shell, with the lines of earlier times at the arrow keys.
#pragma once

#include <memory>
#include <optional>
#include <string>

/// Uses libedit where the program was built with it and both ends are a terminal; elsewhere it reads standard input as it comes.
class line_editor {
public:
    /// `prompt` is written before each line.
    explicit line_editor(std::string prompt);
    ~line_editor();
    line_editor(const line_editor&) = delete;
    line_editor& operator=(const line_editor&) = delete;

    /// The next line, without its end; nothing at the end of input, or where Ctrl-C was pressed (see interrupted()).
    [[nodiscard]] std::optional<std::string> read();

private:
    struct parts;
    std::string m_prompt;
    std::unique_ptr<parts> m_parts; // null where lines are not edited
};
