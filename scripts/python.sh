# shellcheck shell=bash
# The Python environment: a venv in the user's cache folder, named after what is to be in it, so that checkouts with the
# same requirements share one and a change of requirements makes a new one.

# python_interpreter: prints a Python 3.11 or later; $PIXPOOL_PYTHON wins.
python_interpreter() {
  local candidate
  for candidate in ${PIXPOOL_PYTHON:+"$PIXPOOL_PYTHON"} /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v -- "$candidate"
      return
    fi
    [[ $candidate != "${PIXPOOL_PYTHON:-}" ]] ||
      ui_fail "PIXPOOL_PYTHON=$PIXPOOL_PYTHON is not a Python 3.11 or later that runs"
  done
  ui_fail "no Python 3.11 or later found: install one, or name it with PIXPOOL_PYTHON=/path/to/python3"
}

# python_hash FILE...: 12 hexadecimal digits over the files.
python_hash() { cat -- "$@" | sha256sum | cut -c 1-12; }

# python_key REQUIREMENTS_DIR INTERPRETER: the name of the environment after "venv-".
python_key() {
  { "$2" -c 'import sys, platform; print(sys.version, platform.machine(), sys.executable)'
    cat -- "$1/runtime.txt" "$1/nodeps.txt"; printf '%s' "${PIXPOOL_LOCK:-}"; } | sha256sum | cut -c 1-12
}

# python_test_mark VENV REQUIREMENTS_DIR: the file that says that the environment has what the tests need.
python_test_mark() { printf '%s\n' "$1/complete-test-$(python_hash "$2/test.txt" "$2/test-nodeps.txt")"; }

# python_setup CACHE REQUIREMENTS_DIR [test]: makes the environment and sets `python` to its interpreter.
python_setup() {
  local cache=$1 req=$2 with_tests=${3:-} base key venv marks=()
  base=$(python_interpreter)
  key=$(python_key "$req" "$base")
  venv=$cache/venv-$key
  python=$venv/bin/python
  local log=$cache/python-$key.log
  mkdir -p -- "$cache"
  exec {python_lock}>"$cache/venv-$key.lock"
  if command -v flock >/dev/null && ! flock -n "$python_lock"; then
    ui_try "Python environment" "$log.wait" python_waits flock "$python_lock"
    rm -f -- "$log.wait"
  fi

  marks=("$venv/complete-runtime")
  [[ -z $with_tests ]] || marks+=("$(python_test_mark "$venv" "$req")")
  if [[ ! -e ${marks[0]} ]]; then
    ui_step "Python environment" "$log" progress_pip python_install_runtime "$base" "$venv" "$req" "${marks[0]}"
  elif [[ -z $with_tests || -e ${marks[1]} ]]; then
    ui_line "Python environment" "present"
  fi
  if [[ -n $with_tests && ! -e ${marks[1]} ]]; then
    ui_step "Python packages for tests" "${log%.log}-test.log" progress_pip python_install_tests "$venv" "$req" "${marks[1]}"
  fi
  exec {python_lock}>&-
}

# python_deploy_setup VENV REQUIREMENTS_DIR: adds to the environment what tests/deploy needs.
python_deploy_setup() {
  local venv=$1 req=$2 mark
  mark=$venv/complete-deploy-$(python_hash "$req/test-deploy.txt")
  [[ ! -e $mark ]] || return 0
  ui_step "Python packages for deploy" "$venv-deploy.log" progress_pip python_install_deploy "$venv" "$req" "$mark"
}

python_install_deploy() {
  local venv=$1 req=$2 mark=$3
  python_pip "$venv" -c "$req/runtime.txt" -c "$req/test.txt" -r "$req/test-deploy.txt" || return
  touch -- "$mark"
}

# python_bench_setup CACHE REQUIREMENTS_DIR: an environment of its own for bench/run; sets `bench_python`.
python_bench_setup() {
  local cache=$1 req=$2 venv log
  venv=$cache/bench-$(python_hash "$req/bench.txt")
  bench_python=$venv/bin/python
  log=$venv.log
  if [[ -e $venv/complete ]]; then
    ui_line "Python packages for bench" "present"
    return
  fi
  ui_step "Python packages for bench" "$log" progress_pip python_install_bench "$(python_interpreter)" "$venv" "$req"
}

python_install_bench() {
  local base=$1 venv=$2 req=$3
  rm -rf -- "$venv"
  "$base" -m venv "$venv" || return
  python_pip "$venv" -r "$req/bench.txt" || return
  touch -- "$venv/complete"
}

python_waits() { echo "waiting for another set-up"; }

# An interrupted install leaves no mark, and is begun anew.
python_install_runtime() {
  local base=$1 venv=$2 req=$3 mark=$4
  rm -rf -- "$venv"
  local lock
  "$base" -m venv "$venv" || return
  lock=$(python_lock "$venv" "$req") || return
  python_cpu_torch "$venv" "$req" "$lock" || return
  if [[ -n $lock ]]; then
    python_pip "$venv" --no-deps --only-binary=:all: --require-hashes -r "$req/$lock" || return
  else
    python_pip "$venv" -r "$req/runtime.txt" || return
    python_pip "$venv" --no-deps -r "$req/nodeps.txt" || return
  fi
  touch -- "$mark"
}

# python_lock VENV REQUIREMENTS_DIR: prints the name of the lock, versions with hashes, that fits this Python and machine: CUDA's
# where there is a GPU and none of the user's indexes has torch's CPU wheel. Prints nothing where none fits.
# $PIXPOOL_LOCK, cpu, cuda or none, wins.
python_lock() {
  local venv=$1 req=$2 lock=lock-${PIXPOOL_LOCK:-cpu}.txt here
  [[ ${PIXPOOL_LOCK:-} != none ]] || return 0
  [[ -e $req/$lock && $lock == lock-c* ]] || { echo "PIXPOOL_LOCK=$PIXPOOL_LOCK is neither cpu nor cuda nor none" >&2; return 1; }
  here=$("$venv/bin/python" -c 'import sys, platform
print(f"Python {sys.version_info[0]}.{sys.version_info[1]}, {platform.machine()}, {platform.system()}")')
  if ! grep -qxF -- "# Platform: $here" "$req/$lock"; then
    echo "no lock for $here: packages by version only" >&2
  elif [[ -n ${PIXPOOL_LOCK:-} ]] || ! python_gpu || python_pip_has_cpu_torch "$venv" "$req"; then
    echo "$lock"
  else
    echo lock-cuda.txt
  fi
}

# python_gpu: whether this machine has a GPU of NVIDIA.
python_gpu() { [[ -e /dev/nvidiactl ]] || nvidia-smi -L >/dev/null 2>&1; }

# python_pip_has_cpu_torch VENV REQUIREMENTS_DIR: whether pip gets torch's CPU wheel by itself, from an index or folder of the user's.
python_pip_has_cpu_torch() {
  python_pip "$1" -q --dry-run --no-deps "$(sed -n 's/^\(torch==[^ #]*\).*/\1/p' "$2/runtime.txt")+cpu" >/dev/null 2>&1
}

# python_cpu_torch VENV REQUIREMENTS_DIR LOCK: installs torch's CPU wheel where it is wanted and pip would take the common one, which
# comes with several GB of CUDA. It is not on the Python Package Index; uv, which is, knows PyTorch's own by name. What pip
# installs afterwards finds it there.
python_cpu_torch() {
  local venv=$1 req=$2 lock=$3 uv=$1/uv
  [[ $(uname -s) == Linux && $lock != lock-cuda.txt && ${PIXPOOL_LOCK:-} != cuda ]] || return 0
  [[ $lock == lock-cpu.txt ]] || ! python_gpu || return 0
  ! python_pip_has_cpu_torch "$venv" "$req" || return 0
  # With its hash where there is a lock.
  awk '/^torch==/ { on = 1 } on { print; if (!/\\$/) exit }' "$req/${lock:-runtime.txt}" >"$venv/torch.txt"
  if python_pip "$venv" -q --no-deps --require-hashes --target "$uv" -r "$req/lock-uv.txt" &&
    "$uv/bin/uv" --no-cache pip install --python "$venv/bin/python" --no-deps --only-binary :all: \
      ${lock:+--require-hashes} --torch-backend cpu -r "$venv/torch.txt"; then
    rm -rf -- "$uv" "$venv/torch.txt"
    return 0
  fi
  printf '%s\n' "torch's CPU wheel is not to be had: none of pip's indexes has it, and PyTorch's own did not give it to uv." \
    "Name an index that has it (PIP_EXTRA_INDEX_URL), or take the common wheel, of several GB: PIXPOOL_LOCK=cuda" >&2
  return 1
}

python_install_tests() {
  local venv=$1 req=$2 mark=$3
  python_pip "$venv" -c "$req/runtime.txt" -r "$req/test.txt" || return
  python_pip "$venv" --no-deps -r "$req/test-nodeps.txt" || return
  touch -- "$mark"
}

python_pip() {
  local venv=$1
  shift
  "$venv/bin/python" -m pip install --no-input --disable-pip-version-check --progress-bar off "$@"
}
