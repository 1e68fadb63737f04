# Takes the folders of LibTorch out of CMAKE_PREFIX_PATH (variable and environment) into PIXPOOL_TORCH_HINTS: they are for
# PixpoolTorch alone. LibTorch carries old protobuf headers and a protoc of its own, and find_package(Protobuf) would take those.
set(PIXPOOL_TORCH_HINTS "")

function(pixpool_split_prefixes out_others)
  set(others "")
  set(torch ${PIXPOOL_TORCH_HINTS})
  foreach(prefix ${ARGN})
    if(EXISTS "${prefix}/include/ATen/ATen.h")
      list(APPEND torch "${prefix}")
    elseif(EXISTS "${prefix}/../../include/ATen/ATen.h")  # torch.utils.cmake_prefix_path
      list(APPEND torch "${prefix}/../..")
    else()
      list(APPEND others "${prefix}")
    endif()
  endforeach()
  set(${out_others} ${others} PARENT_SCOPE)
  set(PIXPOOL_TORCH_HINTS ${torch} PARENT_SCOPE)
endfunction()

pixpool_split_prefixes(_others ${CMAKE_PREFIX_PATH})
set(CMAKE_PREFIX_PATH "${_others}")  # quoted: an empty set() would unset it, and the cache entry would show
string(REPLACE ":" ";" _environment "$ENV{CMAKE_PREFIX_PATH}")
pixpool_split_prefixes(_others ${_environment})
string(REPLACE ";" ":" _others "${_others}")
set(ENV{CMAKE_PREFIX_PATH} "${_others}")
