# Finds protobuf and gRPC, and the google/rpc and google/api protos, which no Debian package carries: they come
# from the Python package googleapis-common-protos. PIXPOOL_GOOGLEAPIS_DIR names the folder above google/.
find_package(Protobuf REQUIRED)
find_package(gRPC CONFIG REQUIRED)
find_package(absl CONFIG REQUIRED)

if(NOT PIXPOOL_GOOGLEAPIS_DIR)
  find_package(Python3 COMPONENTS Interpreter REQUIRED)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} -c "import google.rpc, os; print(os.path.dirname(os.path.dirname(list(google.rpc.__path__)[0])))"
    OUTPUT_VARIABLE _dir OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  set(PIXPOOL_GOOGLEAPIS_DIR "${_dir}" CACHE PATH "Folder that holds google/rpc/status.proto" FORCE)
endif()
if(NOT EXISTS "${PIXPOOL_GOOGLEAPIS_DIR}/google/rpc/status.proto")
  message(FATAL_ERROR "google/rpc/status.proto not found: pip install googleapis-common-protos, or set "
                      "PIXPOOL_GOOGLEAPIS_DIR to the folder above google/")
endif()

# pixpool_generate(OUT_VAR DIR PROTO [GRPC]): C++ (and with GRPC, service) code of DIR/PROTO.
function(pixpool_generate out_var dir proto)
  set(gen ${PROJECT_BINARY_DIR}/gen)
  file(MAKE_DIRECTORY ${gen})
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  set(outputs ${gen}/${stem}.pb.cc ${gen}/${stem}.pb.h)
  set(args --cpp_out=${gen})
  if("GRPC" IN_LIST ARGN)
    list(APPEND outputs ${gen}/${stem}.grpc.pb.cc ${gen}/${stem}.grpc.pb.h)
    list(APPEND args --grpc_out=${gen} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
  endif()
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND protobuf::protoc ${args} -I ${PROJECT_SOURCE_DIR}/proto -I ${PIXPOOL_GOOGLEAPIS_DIR} ${dir}/${proto}
    DEPENDS ${dir}/${proto} VERBATIM)
  set(${out_var} ${${out_var}} ${outputs} PARENT_SCOPE)
endfunction()
