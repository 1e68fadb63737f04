# shellcheck shell=bash
# Configure and build with a preset of CMakePresets.json.

# build_jobs: prints how many compilers may run at once: one a processor, and 1.5 GB of free memory for each, since
# files that include torch take that much. $PIXPOOL_JOBS wins.
build_jobs() {
  local cpus memory
  cpus=$(nproc)
  memory=$(awk '/^MemAvailable:/ { print int($2 / 1500000) }' /proc/meminfo)
  ((memory >= 1)) || memory=1
  echo "${PIXPOOL_JOBS:-$((cpus < memory ? cpus : memory))}"
}

# build_configure PRESET CMAKE_ARG...: configures build/PRESET unless that was done with the same arguments; CMake itself
# runs again when its files change. From scratch otherwise, so that nothing found under old arguments stays.
build_configure() {
  local preset=$1 dir=build/$1 wanted
  wanted=$(printf '%s\n' "$PWD" "$@")
  if [[ -e $dir/build.ninja && -e $dir/.configured && $(<"$dir/.configured") == "$wanted" ]]; then
    return
  fi
  rm -f -- "$dir/.configured"
  ui_step "Configuring ($preset)" "build/$preset-configure.log" progress_none \
    cmake --preset "$preset" --fresh "${@:2}"
  printf '%s\n' "$wanted" >"$dir/.configured"
}

# build_targets PRESET TARGET...: builds; no target means all.
build_targets() {
  local preset=$1
  shift
  NINJA_STATUS='[%f/%t] ' ui_step "Building ($preset)" "build/$preset.log" progress_ninja \
    ninja -C "build/$preset" -j "$(build_jobs)" "$@"
}
