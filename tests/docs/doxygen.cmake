# The reference is made without a warning: every public name has a comment, and every comment is sound.
find_package(Doxygen QUIET)
if(DOXYGEN_FOUND)
  add_test(NAME docs.doxygen COMMAND "${DOXYGEN_EXECUTABLE}" docs/Doxyfile WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
  set_tests_properties(docs.doxygen PROPERTIES LABELS docs)
endif()
