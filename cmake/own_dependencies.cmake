# Finds what the programs and tests of this tree need besides the library, and says all that is missing.

if(PALI_BUILD_EXAMPLES)
  find_package(CLI11 CONFIG QUIET)
  pali_need(CLI11_FOUND CLI11 libcli11-dev)
endif()
if(PALI_BUILD_TESTS)
  find_package(Boost 1.71 QUIET COMPONENTS unit_test_framework)
  pali_need(Boost_FOUND Boost.Test libboost-test-dev)
  find_package(Python3 QUIET COMPONENTS Interpreter)
  pali_need(Python3_FOUND "Python 3" python3)
endif()

if(pali_missing)
  message(FATAL_ERROR "${pali_missing_text}")
endif()
