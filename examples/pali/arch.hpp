// Output of pali inspect --arch.
#pragma once

/// Prints the compiled kernel levels, the levels of this processor, and the active one. Throws errc::unsupported_arch for a PALI_ARCH that
/// cannot be used.
void show_arch();
