# Doxygen must run without warnings: every public name has a comment, and every comment is valid. Skipped if doxygen is not installed.
find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
  add_test(NAME docs.doxygen COMMAND "${DOXYGEN_EXECUTABLE}" docs/Doxyfile WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
else()
  add_test(NAME docs.doxygen COMMAND "${CMAKE_COMMAND}" -E echo "doxygen is not installed")
endif()
set_tests_properties(docs.doxygen PROPERTIES LABELS docs SKIP_REGULAR_EXPRESSION "^doxygen is not installed")
