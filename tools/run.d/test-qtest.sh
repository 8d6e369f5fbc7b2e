# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh disable=SC2154 # test.sh sets them
# test-qtest.sh - QEMU's own migration-test on the stock and on the patched binary: step qtest of './run test'
# Owner: test.sh, whose record functions and variables it uses.

# QEMU's own cases: one each of precopy, multifd, cancel and postcopy over the ways in
QTEST_CASES='/x86_64/migration/precopy/unix/plain
/x86_64/migration/precopy/tcp/plain
/x86_64/migration/precopy/file
/x86_64/migration/multifd/tcp/uri/plain/none
/x86_64/migration/multifd/tcp/plain/cancel
/x86_64/migration/postcopy/plain'
QTEST_GROUPS='/x86_64/migration/precopy' # two streams of groups, about as long as each other
QTEST_GROUPS_2='/x86_64/migration/multifd /x86_64/migration/postcopy /x86_64/migration/cancel'
QTEST_OWN_GROUPS='/x86_64/migration/precopy/apn /x86_64/migration/postcopy/apn'
QTEST_CASE_SECONDS=240
QTEST_GROUP_SECONDS=3000

# qtest_run SIDE QEMU CASE SECONDS - one case or group of $qtest_program; its lines into a file.
# $qtest_match is -p for a case; for a group -r, since -p takes only the cases just below it
qtest_run() {
  qtest_lines=$test_dir/qtest-$1.lines
  qtest_out=$test_dir/qtest-$1$(printf '%s' "$3" | tr '/' '_').log
  qtest_rc=0
  (cd "$(dirname "$2")" && QTEST_QEMU_BINARY=$2 QTEST_QEMU_IMG=$QEMU_IMG \
    exec timeout -k 10 "$4" "$qtest_program" ${test_full:+--full} --tap -k "$qtest_match" "$3") </dev/null >"$qtest_out" 2>&1 &
  printf '%s\n' "$!" >>"$test_dir/qtest.pids"
  wait "$!" || qtest_rc=$?
  sed -n "s|^ok [0-9]* \(/[^ ]*\) # SKIP \(.*\)|skip qtest-$1\1: \2|p; t
    s|^ok [0-9]* \(/[^ ]*\).*|ok qtest-$1\1|p
    s|^not ok [0-9]* \(/[^ ]*\).*|not ok qtest-$1\1: see $qtest_out|p" "$qtest_out" >>"$qtest_lines"
  if [ "$qtest_rc" -ne 0 ] || ! grep -q '^ok ' "$qtest_out"; then
    printf 'not ok qtest-%s%s: exit %s, see %s\n' "$1" "$3" "$qtest_rc" "$qtest_out" >>"$qtest_lines"
  fi
}

# qtest_stream SIDE QEMU CASES... - those cases on one binary, one after another
qtest_stream() {
  qtest_name=$1
  qtest_qemu=$2
  shift 2
  for case in "$@"; do
    [ ! -e "$test_dir/stopped" ] || return 0
    qtest_run "$qtest_name" "$qtest_qemu" "$case" "$qtest_seconds"
  done
}

# qtest_side SIDE QEMU - all wanted cases on one binary. A case is mostly a first pass held to 3 MB/s, so that two streams at
# once take little longer than one
qtest_side() {
  if [ -n "$test_full" ]; then
    qtest_match=-r
    qtest_seconds=$QTEST_GROUP_SECONDS
    qtest_first=$QTEST_GROUPS
    qtest_second=$QTEST_GROUPS_2
  else
    qtest_match=-p
    qtest_seconds=$QTEST_CASE_SECONDS
    qtest_first=$(printf '%s\n' "$QTEST_CASES" | sed -n 'p;n')
    qtest_second=$(printf '%s\n' "$QTEST_CASES" | sed -n 'n;p')
  fi
  # shellcheck disable=SC2086 # one word per case or group
  qtest_stream "$1" "$2" $qtest_second &
  qtest_even=$!
  # shellcheck disable=SC2086
  qtest_stream "$1" "$2" $qtest_first
  wait "$qtest_even"
}

# qtest_both - both binaries at once, then the cases that the series adds, which are in its own build of migration-test
qtest_both() {
  rm -f "$test_dir"/qtest-stock.lines "$test_dir"/qtest-apn.lines
  qtest_program=$MIGRATION_TEST
  qtest_side stock "$QEMU_STOCK" &
  qtest_stock=$!
  if [ -n "${QEMU_APN:-}" ]; then
    qtest_side apn "$QEMU_APN"
  fi
  wait "$qtest_stock"
  if [ -n "${QEMU_APN:-}" ]; then
    qtest_program=$MIGRATION_TEST_APN
    qtest_match=-r
    qtest_seconds=$QTEST_GROUP_SECONDS
    # shellcheck disable=SC2086 # one word per group
    qtest_stream apn "$QEMU_APN" $QTEST_OWN_GROUPS
  fi
}

step_qtest() {
  if [ -n "$qtest_beside" ]; then
    wait "$qtest_beside" || true
  else
    step "QEMU's migration-test" "$test_dir/qtest.log" qtest_both || true
  fi
  for side in stock apn; do
    [ ! -f "$test_dir/qtest-$side.lines" ] || record "$test_dir/qtest-$side.lines"
  done
  [ -n "${QEMU_APN:-}" ] || record_line "not ok qtest-apn: qemu-patches/series is empty, there is no patched QEMU"
}
