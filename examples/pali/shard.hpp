// Selects the part of the images that this process answers, if the processes share no results folder.
#pragma once

#include <cstddef>
#include <string>

/// Part `index`, from 0, of `count`.
struct shard {
    std::size_t index = 0, count = 1;

    /// Whether the image at this position of the list belongs to this part.
    [[nodiscard]] bool has(std::size_t place) const noexcept { return place % count == index; }
};

/// Parses "2/8". For "auto", reads the variables of the scheduler: the rank of OpenMPI, PMI (MPICH, Intel MPI) or srun, the position in a
/// SLURM array, or both. Throws wrong_use, which reports what was found.
[[nodiscard]] shard read_shard(const std::string& text);
