#include "shard.hpp"

#include "environment.hpp"
#include "options.hpp"

#include <charconv>
#include <optional>
#include <string_view>

namespace {

std::optional<std::size_t> number_of(std::string_view text) {
    std::size_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    return failed == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(value) : std::nullopt;
}

/// The number in an environment variable; std::nullopt if it is unset. Throws wrong_use if it is not a number.
std::optional<std::size_t> variable(const char* name) {
    const std::optional<std::string> text = environment(name);
    if (!text) return std::nullopt;
    if (const auto value = number_of(*text)) return value;
    throw wrong_use("--shard auto: the environment variable " + std::string(name) + " is '" + *text + "', which is not an integer");
}

shard checked(std::size_t index, std::size_t count, const std::string& where) {
    if (count == 0 || index >= count)
        throw wrong_use(where + ": part " + std::to_string(index) + " of " + std::to_string(count) +
                        "; the index must be from 0 to COUNT - 1");
    return {.index = index, .count = count};
}

/// Rank in a parallel job, if both variables are set.
std::optional<shard> rank_in(const char* index, const char* count) {
    const auto i = variable(index), n = variable(count);
    if (!i || !n) return std::nullopt;
    return checked(*i, *n, std::string("--shard auto: ") + index + " and " + count);
}

/// Position in a SLURM array, whose indices may start anywhere and be evenly spaced.
std::optional<shard> place_in_array() {
    const auto id = variable("SLURM_ARRAY_TASK_ID"), count = variable("SLURM_ARRAY_TASK_COUNT");
    if (!id || !count) return std::nullopt;
    const std::size_t first = variable("SLURM_ARRAY_TASK_MIN").value_or(0),
                      last = variable("SLURM_ARRAY_TASK_MAX").value_or(first + *count - 1);
    const std::size_t gap = *count > 1 && last > first ? (last - first) / (*count - 1) : 1;
    if (*id < first || gap == 0 || (*id - first) % gap != 0 || first + gap * (*count - 1) != last)
        throw wrong_use("--shard auto: the SLURM array has " + std::to_string(*count) + " indices from " + std::to_string(first) + " to " +
                        std::to_string(last) + " that are not evenly spaced; give the part as --shard INDEX/COUNT");
    return checked((*id - first) / gap, *count, "--shard auto: SLURM_ARRAY_TASK_ID");
}

shard from_environment() {
    const std::optional<shard> array = place_in_array();
    std::optional<shard> rank = rank_in("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
    if (!rank) rank = rank_in("PMI_RANK", "PMI_SIZE");
    // A SLURM batch script has SLURM_PROCID 0 although it runs once for all tasks. Only job steps, which srun starts, have ranks.
    if (!rank && (!array || environment("SLURM_STEP_ID"))) rank = rank_in("SLURM_PROCID", "SLURM_NTASKS");
    if (!array && !rank)
        throw wrong_use("--shard auto: no scheduler has set this process's index (SLURM_ARRAY_TASK_ID and _COUNT, SLURM_PROCID and "
                        "SLURM_NTASKS, OMPI_COMM_WORLD_RANK and _SIZE, PMI_RANK and "
                        "PMI_SIZE); give the part as --shard INDEX/COUNT");
    if (!array) return *rank;
    if (!rank) return *array;
    return {.index = array->index * rank->count + rank->index, .count = array->count * rank->count};
}

} // namespace

shard read_shard(const std::string& text) {
    if (text.empty()) return {};
    if (text == "auto") return from_environment();
    const std::size_t slash = text.find('/');
    const auto index = number_of(text.substr(0, slash)),
               count = slash != std::string::npos ? number_of(text.substr(slash + 1)) : std::nullopt;
    if (!index || !count) throw wrong_use("--shard is '" + text + "'; it must be INDEX/COUNT, such as 0/8 to 7/8, or auto");
    return checked(*index, *count, "--shard " + text);
}
