# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2154 # test.sh sets them
# test-fuzz.sh - the libFuzzer targets: step fuzz of './run test'
# Owner: test.sh, whose record functions and variables it uses.

FUZZ_SECONDS_SHORT=6
FUZZ_AGENT_SECONDS_SHORT=3
FUZZ_SECONDS_FULL=600
FUZZ_SECONDS_REST=60
FUZZ_AGENT_SECONDS_FULL=60

# fuzz_one PROGRAM - run one libFuzzer target on a copy of its corpus
fuzz_one() {
  fuzz_name=$(basename "$1")
  fuzz_short=$(printf '%s' "${fuzz_name#fuzz-}" | sed 's/^fuzz_//')
  fuzz_seconds=$FUZZ_SECONDS_SHORT
  [ -z "$test_full" ] || fuzz_seconds=$FUZZ_SECONDS_FULL
  # what a stranger can reach gets the long run
  case $fuzz_short in handshake | message) ;; *) [ -z "$test_full" ] || fuzz_seconds=$FUZZ_SECONDS_REST ;; esac
  fuzz_work=$test_dir/fuzz/$fuzz_name
  mkdir -p "$fuzz_work"
  for corpus in "$APN_TOP/tests/fuzz/corpus/$fuzz_short" "$APN_TOP/tests/fuzz/corpus/$fuzz_name"; do
    [ ! -d "$corpus" ] || set -- "$@" "$corpus"
  done
  fuzz_program=$1
  shift
  if step "fuzz $fuzz_short ${fuzz_seconds}s" "$test_dir/$fuzz_name.log" \
    "$fuzz_program" -max_total_time="$fuzz_seconds" -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$fuzz_work/found-" "$fuzz_work" "$@"; then
    record_line "ok fuzz-$fuzz_short"
  else
    record_line "not ok fuzz-$fuzz_short: finding kept in $fuzz_work, log $test_dir/$fuzz_name.log"
  fi
}

# fuzz_build - every program named fuzz-*, and what the seeds of the agent's are made with
fuzz_build() {
  # shellcheck disable=SC2046 # one word per target is what is wanted
  meson_build "$APN_BUILD-fuzz" vmm-agent/cli/vmm-agent vmm-agent/tests/grid/write-fixtures \
    $(ninja -C "$APN_BUILD-fuzz" -t targets all | sed -n 's|^\(.*/fuzz-[a-z_-]*\): [a-z]*_LINKER.*|\1|p')
}

# fuzz_agent - the agent's targets are meson tests: they make their own seeds, and run side by side
fuzz_agent() {
  APN_FUZZ_SECONDS=$FUZZ_AGENT_SECONDS_SHORT
  [ -z "$test_full" ] || APN_FUZZ_SECONDS=$FUZZ_AGENT_SECONDS_FULL
  APN_FUZZ_FOUND=$test_dir/fuzz/agent
  export APN_FUZZ_SECONDS APN_FUZZ_FOUND
  run_meson '' "$APN_BUILD-fuzz" --suite agent-fuzz --timeout-multiplier 8
}

step_fuzz() {
  (CC=clang && export CC && meson_setup "$APN_BUILD-fuzz" --buildtype=debugoptimized -Dfuzz=true -Dtests=enabled \
    -Dagent=enabled -Db_sanitize=address,undefined -Db_lundef=false && fuzz_build) || {
    record_line "not ok fuzz-build: see the messages above and $APN_BUILD-fuzz/apn-build.log"
    return 0
  }
  fuzz_found=
  for program in "$APN_BUILD-fuzz"/tests/fuzz/fuzz*; do
    if [ -f "$program" ] && [ -x "$program" ]; then
      # two at once, one per processor; a finding is one line of the results, whoever writes it
      fuzz_one "$program" &
      if [ "$fuzz_found" = odd ]; then
        wait "$fuzz_other" "$!" || true
        fuzz_found=even
      else
        fuzz_found=odd
      fi
      fuzz_other=$!
    fi
  done
  [ "$fuzz_found" != odd ] || wait "$fuzz_other" || true # a wait for all would wait for what runs beside the steps
  [ -n "$fuzz_found" ] || record_line "not ok fuzz: the build made no tests/fuzz/fuzz* program"
  fuzz_agent
}
