// Access to environment variables.
#pragma once

#include <cstdlib>
#include <optional>
#include <string>

/// Value of an environment variable; std::nullopt if it is unset or empty.
[[nodiscard]] inline std::optional<std::string> environment(const char* name) {
    const char* const value = std::getenv(name);
    return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}
