# pixpool_openvino: the OpenVINO runtime as an imported target of our own, with the macro PIXPOOL_HAS_OPENVINO. Where there
# is none the target is empty and the server has no `openvino` engine. find_package(OpenVINO) is not used, because it brings
# TBB's and pkg-config's settings into the whole build; one header folder and one library are all that is needed. Only
# server/backbone links this target.
#
# Where it is looked for: OPENVINO_ROOT (a folder that holds include/ and libs/ or lib/), then the interpreter's openvino
# package.
add_library(pixpool_openvino INTERFACE)
set(_hints ${OPENVINO_ROOT})
find_package(Python3 COMPONENTS Interpreter QUIET)
if(Python3_Interpreter_FOUND)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c "import importlib.util as u; print(u.find_spec('openvino').submodule_search_locations[0])"
    OUTPUT_VARIABLE _openvino OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  list(APPEND _hints ${_openvino})
endif()

find_path(OPENVINO_INCLUDE_DIR openvino/openvino.hpp HINTS ${_hints} PATH_SUFFIXES include runtime/include
          NO_CMAKE_SYSTEM_PATH)
# The wheel's library has its version in its name, a distribution's also has a plain name.
foreach(_root ${_hints} "${OPENVINO_INCLUDE_DIR}/..")
  file(GLOB _found ${_root}/libs/libopenvino.so* ${_root}/lib/libopenvino.so* ${_root}/lib/intel64/libopenvino.so*)
  if(_found AND NOT OPENVINO_LIBRARY)
    list(GET _found 0 _library)
    set(OPENVINO_LIBRARY ${_library} CACHE FILEPATH "The OpenVINO runtime")
  endif()
endforeach()

if(PIXPOOL_OPENVINO AND OPENVINO_INCLUDE_DIR AND OPENVINO_LIBRARY)
  get_filename_component(_library_dir "${OPENVINO_LIBRARY}" DIRECTORY)
  target_include_directories(pixpool_openvino SYSTEM INTERFACE ${OPENVINO_INCLUDE_DIR})
  # OpenCV may need a TBB of the system's, which can be older than OpenVINO allows: where OpenVINO brings its own, that one is
  # loaded first and serves both.
  find_library(OPENVINO_TBB_LIBRARY NAMES libtbb.so.12 HINTS ${_library_dir} NO_DEFAULT_PATH)
  if(OPENVINO_TBB_LIBRARY)
    target_link_libraries(pixpool_openvino INTERFACE "$<LINK_LIBRARY:pixpool_keep,${OPENVINO_TBB_LIBRARY}>")
  endif()
  target_link_libraries(pixpool_openvino INTERFACE ${OPENVINO_LIBRARY})
  # Its plugins lie beside it.
  target_link_options(pixpool_openvino INTERFACE -Wl,-rpath,${_library_dir} -Wl,-rpath-link,${_library_dir})
  target_compile_definitions(pixpool_openvino INTERFACE PIXPOOL_HAS_OPENVINO=1)
  message(STATUS "OpenVINO: ${OPENVINO_LIBRARY}")
else()
  message(STATUS "OpenVINO: not used; the server has no engine openvino")
endif()
