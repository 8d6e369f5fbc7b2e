# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# common.sh - what every script of this tree shares: messages, cache, locks, long steps
# Owner: sourced by ./run, qemu-patches/*, bench/guest/*. Callers set APN_TOP (the tree's root) first.
# Output: all messages go to stderr; stdout belongs to the caller's result.
# Time:  wall-clock seconds.   Units: seconds.

if [ -z "${APN_CACHE:-}" ] && [ -z "${XDG_CACHE_HOME:-}" ] && [ -z "${HOME:-}" ]; then
  APN_CACHE='(none: HOME is not set)'
fi
APN_CACHE=${APN_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/apn-migrate}
APN_JOBS=${APN_JOBS:-$(nproc 2>/dev/null || echo 2)}
export APN_CACHE APN_JOBS

say() {
  printf '%s\n' "$*" >&2
}

die() {
  printf '%s: error: %s\n' "${APN_NAME:-run}" "$*" >&2
  exit 1
}

now_s() {
  date +%s
}

have() {
  command -v "$1" >/dev/null 2>&1
}

# cache_init - make the cache directory, or say why it cannot be used
cache_init() {
  case $APN_CACHE in
  /*) ;;
  *) die "cache directory '$APN_CACHE' is not an absolute path (set APN_CACHE)" ;;
  esac
  if ! mkdir -p "$APN_CACHE/log" 2>/dev/null || ! [ -w "$APN_CACHE/log" ]; then
    die "cache directory $APN_CACHE cannot be written; set APN_CACHE to a directory with 12 GB free"
  fi
}

# with_lock NAME CMD... - run CMD while holding the cache lock NAME; a second caller waits and says so
with_lock() {
  lock_file=$APN_CACHE/$1.lock
  lock_name=$1
  shift
  (
    if ! flock -n 9; then
      say "waiting for another run that holds '$lock_name' (at most 60 min) ..."
      flock -w 3600 9 || die "lock $lock_file is still held after 3600 s by another run"
    fi
    "$@" 9>&-
  ) 9>"$lock_file"
}

# fmt_s SECONDS - 75 -> 1m15s
fmt_s() {
  if [ "$1" -ge 60 ]; then
    printf '%dm%02ds' $(($1 / 60)) $(($1 % 60))
  else
    printf '%ds' "$1"
  fi
}

# log_percent LOG - the last percentage that ninja wrote ([12/345]), or nothing
log_percent() {
  tail -c 4000 "$1" 2>/dev/null | tr '\r' '\n' |
    sed -n 's/^\[\([0-9]*\)\/\([0-9]*\)\].*/\1 \2/p' | tail -n 1 |
    awk '$2 > 0 { printf "%d%% (%d/%d)", 100 * $1 / $2, $1, $2 }'
}

# watch_step PID TITLE LOG - print progress while PID lives: each second on a terminal, else every 30 s
watch_step() {
  watch_start=$(now_s)
  watch_next=30
  while kill -0 "$1" 2>/dev/null; do
    watch_past=$(($(now_s) - watch_start))
    if [ -t 2 ]; then
      printf '\r\033[K  %s  %s  %s' "$2" "$(fmt_s "$watch_past")" "$(log_percent "$3")" >&2
    elif [ "$watch_past" -ge "$watch_next" ]; then
      say "  $2: $(fmt_s "$watch_past") $(log_percent "$3")"
      watch_next=$((watch_past + 30))
    fi
    sleep 1
  done
  if [ -t 2 ]; then
    printf '\r\033[K' >&2
  fi
}

# step TITLE LOG CMD... - run CMD with its output in LOG; show progress, and the log's tail upon failure
# Return: CMD's exit status.
step() {
  step_title=$1
  step_log=$2
  shift 2
  step_start=$(now_s)
  mkdir -p "$(dirname "$step_log")"
  : >"$step_log"
  "$@" >>"$step_log" 2>&1 </dev/null &
  step_pid=$!
  # shellcheck disable=SC2064 # the pid is wanted as it is now
  trap "kill $step_pid 2>/dev/null; exit 130" INT TERM
  watch_step "$step_pid" "$step_title" "$step_log"
  step_rc=0
  wait "$step_pid" || step_rc=$?
  trap - INT TERM
  if [ "$step_rc" -ne 0 ]; then
    say "  $step_title: FAILED after $(fmt_s $(($(now_s) - step_start))), exit $step_rc; the end of $step_log:"
    tail -n 25 "$step_log" | sed 's/^/  | /' >&2
    return "$step_rc"
  fi
  say "  $step_title: done in $(fmt_s $(($(now_s) - step_start)))"
}

# retry TIMES CMD... - run CMD until it succeeds, at most TIMES, waiting 2, 4, 6 ... seconds between
retry() {
  retry_left=$1
  retry_wait=2
  shift
  while ! "$@"; do
    retry_left=$((retry_left - 1))
    if [ "$retry_left" -le 0 ]; then
      return 1
    fi
    say "  failed, trying again in $retry_wait s ($retry_left left): $1"
    sleep "$retry_wait"
    retry_wait=$((retry_wait + 2))
  done
}
