# 64-bit ARM on an x86-64 Debian: its cross compiler, its qemu to run what was built, and a folder of ARM's packages.
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   tools/aarch64_packages.sh                     fetches libraries that are no headers into build/aarch64-packages; another folder: PALI_AARCH64_PACKAGES
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)

if(DEFINED ENV{PALI_AARCH64_PACKAGES})
  set(packages "$ENV{PALI_AARCH64_PACKAGES}")
else()
  cmake_path(SET packages NORMALIZE "${CMAKE_CURRENT_LIST_DIR}/../../build/aarch64-packages")
endif()
if(NOT EXISTS "${packages}/complete")
  message(FATAL_ERROR "ARM's packages are not in ${packages}: run tools/aarch64_packages.sh, which fetches them")
endif()
set(libraries "${packages}/usr/lib/aarch64-linux-gnu")
# The C library that belongs to the loader comes first: where the host has packages of ARM, too, it would be theirs, and threads would hang.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu
  -E "LD_LIBRARY_PATH=/usr/aarch64-linux-gnu/lib:${libraries}:${packages}/lib/aarch64-linux-gnu")

# Libraries are ARM's; headers are the same for both, and the host has them.
set(CMAKE_FIND_ROOT_PATH "${packages}" /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE BOTH)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
list(APPEND CMAKE_PREFIX_PATH "/usr/lib/${CMAKE_HOST_SYSTEM_PROCESSOR}-linux-gnu/cmake") # where Debian says which xtensor and xsimd these are
set(Boost_NO_BOOST_CMAKE ON) # its configuration looks beside itself, where the host has its own
set(ENV{PKG_CONFIG_SYSROOT_DIR} "${packages}")
set(ENV{PKG_CONFIG_LIBDIR} "${libraries}/pkgconfig")
