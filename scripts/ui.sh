# shellcheck shell=bash
# What ./run and ./test print while they work: one line per step, on standard error. On a terminal the line of
# the running step is updated in place; elsewhere a step that takes long prints a line now and then.

if [[ -t 2 ]]; then ui_live=1; else ui_live=; fi
if [[ -n $ui_live && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  ui_bold=$'\e[1m' ui_red=$'\e[31m' ui_green=$'\e[32m' ui_off=$'\e[0m'
else
  ui_bold='' ui_red='' ui_green='' ui_off=''
fi
ui_child=         # process group of the running step
ui_step_seconds=0  # how long the last step took

# ui_line LABEL RESULT: the line of a step that is over.
ui_line() {
  [[ -z $ui_live ]] || printf '\r\e[K' >&2
  printf '%s==>%s %-32s %s\n' "$ui_green" "$ui_off" "$1" "$2" >&2
}

# ui_fail MESSAGE...: prints an error, a line an argument, and ends the script.
ui_fail() {
  [[ -z $ui_live ]] || printf '\r\e[K' >&2
  printf '%serror:%s %s\n' "$ui_red" "$ui_off" "$1" >&2
  shift
  if (($#)); then printf '       %s\n' "$@" >&2; fi
  exit 1
}

# ui_progress LABEL DETAIL SECONDS: the line of a step that is running.
ui_progress() {
  if [[ -n $ui_live ]]; then
    local width=${COLUMNS:-$(tput cols 2>/dev/null || echo 80)}
    local text
    text=$(printf '%-32s %4s s  %s' "$1" "$3" "$2")
    printf '\r\e[K%s==>%s %s' "$ui_bold" "$ui_off" "${text:0:width-5}" >&2
  else
    printf '    %s, %s s%s\n' "$1" "$3" "${2:+: $2}" >&2
  fi
}

# ui_stop: ends the running step's processes, if there are any.
ui_stop() {
  [[ -n $ui_child ]] || return 0
  kill -TERM -- "-$ui_child" 2>/dev/null || true
  wait "$ui_child" 2>/dev/null || true
  ui_child=
}

# ui_try LABEL LOG PROGRESS COMMAND...: runs the command with its output in LOG and shows its progress;
# PROGRESS is a function that turns the log into a few words. Prints no result. Returns the command's status.
ui_try() {
  local label=$1 log=$2 progress=$3 start=$SECONDS shown=-99 status=0
  shift 3
  mkdir -p -- "$(dirname -- "$log")"
  # A process group of its own, so that Ctrl-C reaches this script first and the step's children with it.
  set -m
  "$@" >"$log" 2>&1 </dev/null &
  ui_child=$!
  set +m
  local every=15 pause=0.5
  if [[ -n $ui_live ]]; then every=0 pause=0.2; else shown=$((start - 10)); fi
  sleep 0.05
  while kill -0 "$ui_child" 2>/dev/null; do
    if ((SECONDS - shown >= every)); then
      shown=$SECONDS
      ui_progress "$label" "$("$progress" "$log")" $((SECONDS - start))
    fi
    sleep "$pause"
  done
  wait "$ui_child" || status=$?
  ui_child=
  ui_step_seconds=$((SECONDS - start))
  [[ -z $ui_live ]] || printf '\r\e[K' >&2
  return "$status"
}

# ui_step LABEL LOG PROGRESS COMMAND...: as ui_try; prints the result, and ends the script if the command fails.
ui_step() {
  local status=0
  ui_try "$@" || status=$?
  if ((status)); then
    printf '%s==>%s %-32s %sfailed%s after %s s; the end of %s:\n' "$ui_red" "$ui_off" "$1" "$ui_red" "$ui_off" \
      "$ui_step_seconds" "$2" >&2
    tail -n 40 -- "$2" | sed 's/^/    /' >&2
    exit 1
  fi
  ui_line "$1" "$ui_step_seconds s"
}

# Progress functions: LOG -> a few words.
progress_none() { :; }
progress_last() { tail -c 2000 -- "$1" | tr '\r' '\n' | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c 1-100 || true; }
progress_ninja() { tail -c 20000 -- "$1" | grep -oE '^\[ *[0-9]+/[0-9]+\]' | tail -n 1 || true; }
progress_pip() {
  grep -oE '^ *(Collecting|Downloading|Processing|Installing collected|Building wheel)[^(]*' -- "$1" | tail -n 1 |
    sed -E 's/Installing collected.*/installing/; s/^ *([A-Z])/\L\1/; s|[^ ]*/||' | cut -c 1-60 || true
}
progress_apt() {
  awk '/newly installed/ { total = $3 * 2 } /^(Unpacking|Setting up) / { done++; what = $0 } /^Get:/ { got = $0 }
    END { if (done) printf "[%d/%d] %s %s", done, total, $1, $2; else if (got) print "downloading" }' "$1" || true
}
progress_ctest() { grep -oE '^ *[0-9]+/[0-9]+ Test' -- "$1" | tail -n 1 | sed -E 's/ *([0-9]+\/[0-9]+) Test/[\1]/' || true; }
progress_pytest() { grep -oE '\[ *[0-9]+%\]' -- "$1" | tail -n 1 || true; }
