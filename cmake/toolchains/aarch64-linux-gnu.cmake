# Cross-compiles for aarch64 on an x86-64 Debian and runs the result under qemu.
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   tools/aarch64_packages.sh         downloads the arm64 libraries to build/aarch64-packages, or to $PALI_AARCH64_PACKAGES
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

if(DEFINED ENV{PALI_AARCH64_PACKAGES})
  set(packages "$ENV{PALI_AARCH64_PACKAGES}")
else()
  cmake_path(SET packages NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-packages")
endif()
if(NOT EXISTS "${packages}/complete")
  message(FATAL_ERROR "No arm64 packages in ${packages}. Run tools/aarch64_packages.sh to download them")
endif()
set(libraries "${packages}/usr/lib/aarch64-linux-gnu")
# The libc of the cross toolchain comes first because it must match the loader. On a host with arm64 packages another libc would be found,
# and threads would hang.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu
  -E "LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib:${libraries}:${packages}/lib/aarch64-linux-gnu")

# Libraries come from the arm64 packages. Headers are the same for both architectures, so those of the host are used.
set(CMAKE_FIND_ROOT_PATH "${packages}" /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
list(APPEND CMAKE_PREFIX_PATH "/usr/lib/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu/cmake") # Debian's package files of xtensor and xsimd
set(Boost_NO_BOOST_CMAKE ON) # BoostConfig.cmake searches relative to itself and would find the host's libraries
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${packages}")
set(ENV{PKG_CONFIG_LIBDIR} "${libraries}/pkgconfig")
