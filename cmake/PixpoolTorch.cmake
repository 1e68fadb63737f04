# pixpool_torch: LibTorch as an imported target of our own. find_package(Torch) is not used, because it points
# protobuf::libprotobuf of the whole build at the old protobuf headers that LibTorch carries. Only the
# folders that tests/style/layering.py names link this target.
#
# Where it is looked for: Torch_DIR (its share/cmake/Torch folder), CMAKE_PREFIX_PATH (a LibTorch folder, or the path that
# `python3 -c "import torch; print(torch.utils.cmake_prefix_path)"` prints), then the interpreter's torch package.
set(_hints ${PIXPOOL_TORCH_HINTS})
if(Torch_DIR)
  list(APPEND _hints ${Torch_DIR}/../../..)
endif()
if(NOT TORCH_LIBRARY_DIR)
  find_package(Python3 COMPONENTS Interpreter QUIET)
  if(Python3_Interpreter_FOUND)
    execute_process(
      COMMAND ${Python3_EXECUTABLE} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
      OUTPUT_VARIABLE _torch OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    list(APPEND _hints ${_torch})
  endif()
endif()

find_path(TORCH_INCLUDE_DIR ATen/ATen.h HINTS ${_hints} PATH_SUFFIXES include NO_CMAKE_SYSTEM_PATH)
get_filename_component(_root "${TORCH_INCLUDE_DIR}" DIRECTORY)
find_library(TORCH_CPU_LIBRARY torch_cpu HINTS ${_root}/lib NO_DEFAULT_PATH)
find_library(TORCH_C10_LIBRARY c10 HINTS ${_root}/lib NO_DEFAULT_PATH)
find_library(TORCH_LIBRARY torch HINTS ${_root}/lib NO_DEFAULT_PATH)
find_library(TORCH_CUDA_LIBRARY torch_cuda HINTS ${_root}/lib NO_DEFAULT_PATH)
find_library(TORCH_C10_CUDA_LIBRARY c10_cuda HINTS ${_root}/lib NO_DEFAULT_PATH)
if(NOT TORCH_CPU_LIBRARY OR NOT TORCH_C10_LIBRARY)
  message(FATAL_ERROR "LibTorch not found: pip install torch, or pass -DCMAKE_PREFIX_PATH=/path/to/libtorch")
endif()
set(TORCH_LIBRARY_DIR ${_root}/lib CACHE INTERNAL "")

add_library(pixpool_torch INTERFACE)
target_include_directories(pixpool_torch SYSTEM INTERFACE
  ${TORCH_INCLUDE_DIR} ${TORCH_INCLUDE_DIR}/torch/csrc/api/include)
# The CUDA libraries register their kernels when loaded; nothing refers to them, so --as-needed would drop them.
if(TORCH_CUDA_LIBRARY)
  target_link_libraries(pixpool_torch INTERFACE
    "$<LINK_LIBRARY:pixpool_keep,${TORCH_CUDA_LIBRARY},${TORCH_C10_CUDA_LIBRARY},${TORCH_LIBRARY}>")
endif()
target_link_libraries(pixpool_torch INTERFACE ${TORCH_CPU_LIBRARY} ${TORCH_C10_LIBRARY})
target_link_options(pixpool_torch INTERFACE -Wl,-rpath,${TORCH_LIBRARY_DIR})
message(STATUS "LibTorch: ${_root}")
