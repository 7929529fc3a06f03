# The reference is made without a warning: every public name has a comment, and every comment is sound. Without doxygen the test says so and is skipped.
find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
  add_test(NAME docs.doxygen COMMAND "${DOXYGEN_EXECUTABLE}" docs/Doxyfile WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
else()
  add_test(NAME docs.doxygen COMMAND "${CMAKE_COMMAND}" -E echo "doxygen is not installed")
endif()
set_tests_properties(docs.doxygen PROPERTIES LABELS docs SKIP_REGULAR_EXPRESSION "^doxygen is not installed")
