# pixpool_flags: warnings and sanitizers for our own code; generated code links pixpool_sanitize only.
add_library(pixpool_sanitize INTERFACE)
if(PIXPOOL_SANITIZE)
  target_compile_options(pixpool_sanitize INTERFACE -fsanitize=${PIXPOOL_SANITIZE}
                         -fno-omit-frame-pointer -fno-sanitize-recover=all)
  target_link_options(pixpool_sanitize INTERFACE -fsanitize=${PIXPOOL_SANITIZE})
endif()

add_library(pixpool_flags INTERFACE)
# Designated initialisers leave fields at their defaults on purpose; g++ warns of that, other compilers do not.
target_compile_options(pixpool_flags INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers)
target_include_directories(pixpool_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_link_libraries(pixpool_flags INTERFACE pixpool_sanitize)

# Programs load the libraries that they refer to, not all that those were linked with.
add_link_options(LINKER:--as-needed)

# $<LINK_LIBRARY:pixpool_keep,LIB,...>: libraries that are loaded although nothing refers to them. Plain -Wl,--no-as-needed ...
# -Wl,--as-needed does not do that for two targets: of equal options CMake keeps one place, which need not enclose both.
set(CMAKE_LINK_LIBRARY_USING_pixpool_keep "LINKER:--push-state,--no-as-needed" "<LINK_ITEM>" "LINKER:--pop-state")
set(CMAKE_LINK_LIBRARY_USING_pixpool_keep_SUPPORTED TRUE)

# pixpool_library(NAME SOURCES ... [PUBLIC libs...] [PRIVATE libs...]): one folder's static library.
function(pixpool_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_PUBLIC} PRIVATE $<BUILD_INTERFACE:pixpool_flags> ${ARG_PRIVATE})
  target_include_directories(${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>)
endfunction()
