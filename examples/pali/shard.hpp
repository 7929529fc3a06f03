// Which part of the images is this process's, where processes do not share a folder.
#pragma once

#include <cstddef>
#include <string>

/// Part `index`, from 0 on, of `count`.
struct shard {
    std::size_t index = 0, count = 1;

    /// Whether the image at this place of the list belongs to it.
    [[nodiscard]] bool has(std::size_t place) const noexcept { return place % count == index; }
};

/// Reads "2/8", or, for "auto", what a scheduler has set: the rank of OpenMPI, of PMI (MPICH, Intel MPI) or of srun, the place in a SLURM
/// array, or both. Throws wrong_use with what was found.
[[nodiscard]] shard read_shard(const std::string& text);
