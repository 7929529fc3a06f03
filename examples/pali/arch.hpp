// What pali inspect --arch prints.
#pragma once

/// Prints the levels that kernels were compiled for, those that this processor has, and the active one. Throws errc::unsupported_arch for a
/// PALI_ARCH that cannot be.
void show_arch();
