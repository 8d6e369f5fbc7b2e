# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# test.sh - './run test': every step writes lines 'ok NAME', 'not ok NAME: why', 'skip NAME: reason'
# Owner: ./run.   Results: $APN_OUT/test/results.tap, one log per step beside it.
# A step that breaks without such a line counts as one failure under its own name.

TEST_STEPS='checks unit sanitizers fuzz package qtest testbed integration'
# fuzzers do not mind what runs beside them
TEST_STEPS_FULL='checks unit fuzz sanitizers package qtest testbed integration'

test_usage() {
  cat <<HELP
usage: ./run test [--full] [--testbed] [--device=NAME] [WHAT...]

WHAT is any of
  checks        shell scripts, include directions, licences
  unit          unit, simulation, conformance, fault and platform tests (meson); also a suite's own name: sim,
                conformance, ...
  sanitizers    the same under ASan+UBSan and under TSan
  fuzz          each fuzz target for $FUZZ_SECONDS_SHORT s, the agent's for $FUZZ_AGENT_SECONDS_SHORT s; with --full what a stranger can
                reach $FUZZ_SECONDS_FULL s, the transport's others $FUZZ_SECONDS_REST s, the agent's $FUZZ_AGENT_SECONDS_FULL s
  package       the Debian package is made and its contents work; with --full it is installed and removed
  integration   two QEMUs: migrations, faults, hostile input; also one case by name
  testbed       the rdma backend on soft-RoCE devices: conformance, messages, migrations; --testbed: only this, at full
                count, with the comparison to stock QEMU's rdma (17 min; --full has the short form); --device=NAME: on that adapter
  qtest         six cases of QEMU's own migration-test on both binaries; whole groups with --full
Without WHAT: all of them. --full runs everything at full count (up to 90 minutes).
Results: $APN_OUT/test/results.tap
HELP
}

# record FILE - keep the result lines of a step's output
record() {
  grep -E '^(ok|not ok|skip) ' "$1" >>"$test_dir/results.tap" || true
}

# record_line WORDS... - into the results, or into the file of what runs beside
record_line() {
  printf '%s\n' "$*" >>"${record_into:-$test_dir/results.tap}"
}

# run_meson PREFIX BUILD ARGS... - meson's tests of BUILD, each result line with PREFIX
run_meson() {
  meson_prefix=$1
  meson_dir=$2
  shift 2
  meson_log=$meson_dir/meson-logs/testlog.json
  rm -f "$meson_log"
  meson_rc=0
  # without address randomisation: ThreadSanitizer's memory map needs it on newer kernels
  # one more at a time than there are processors: many tests wait for a peer or a clock
  step "meson test $(basename "$meson_dir")" "$test_dir/meson-$(basename "$meson_dir").log" \
    setarch -R meson test -C "$meson_dir" --no-rebuild --num-processes $((APN_JOBS + 1)) "$@" || meson_rc=$?
  if [ -s "$meson_log" ]; then
    python3 "$APN_TOP/tools/lib/meson-results.py" "$meson_log" "$meson_prefix" >"$test_dir/meson.lines"
    record "$test_dir/meson.lines"
  elif [ "$meson_rc" -ne 0 ]; then
    record_line "not ok ${meson_prefix}meson: meson test exited $meson_rc without results"
  fi
}

step_checks() {
  for script in "$APN_TOP"/run "$APN_TOP"/.ci/run "$APN_TOP"/tools/lib/*.sh "$APN_TOP"/tools/run.d/*.sh \
    "$APN_TOP"/qemu-patches/fetch-* "$APN_TOP"/qemu-patches/build-qemu "$APN_TOP"/bench/guest/build-initrd \
    "$APN_TOP"/tests/testbed/bed "$APN_TOP"/tests/testbed/build-kernel "$APN_TOP"/tests/testbed/init "$APN_TOP"/tests/testbed/network \
    "$APN_TOP"/tests/testbed/conformance "$APN_TOP"/tests/testbed/sentences \
    "$APN_TOP"/bench/guest/init "$APN_TOP"/tools/checks/*; do
    name=shellcheck${script#"$APN_TOP"}
    if head -n 1 "$script" | grep -q python; then
      continue
    elif (cd "$APN_TOP" && shellcheck -x "$script") >"$test_dir/shellcheck.log" 2>&1; then
      record_line "ok $name"
    else
      record_line "not ok $name: $(grep -m 1 -o 'SC[0-9]*.*' "$test_dir/shellcheck.log")"
      cat "$test_dir/shellcheck.log" >&2
    fi
  done
  for check in "$APN_TOP"/tools/checks/*; do
    name=check-$(basename "$check")
    if "$check" >"$test_dir/$name.log" 2>&1; then
      record_line "ok $name"
    else
      cat "$test_dir/$name.log" >&2
      record_line "not ok $name: $(tail -n 1 "$test_dir/$name.log")"
    fi
  done
}

step_unit() {
  run_meson '' "$APN_BUILD" "$@"
}

# sanitized NAME SANITIZERS SUITES... - build with them and run those suites
sanitized() {
  (meson_setup "$APN_BUILD-$1" --buildtype=debugoptimized --werror -Db_sanitize="$2" -Db_lundef=false \
    -Dtests=enabled -Dagent=enabled && meson_build "$APN_BUILD-$1") || {
    record_line "not ok $1-build: see the messages above and $APN_BUILD-$1/apn-build.log"
    return 0
  }
  sanitized_name=$1
  shift 2
  run_meson "$sanitized_name/" "$APN_BUILD-$sanitized_name" --timeout-multiplier 4 "$@"
}

step_sanitizers() {
  sanitizers_without='--no-suite long'
  [ -z "$test_full" ] || sanitizers_without=
  export ASAN_OPTIONS=detect_leaks=1:halt_on_error=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
  export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
  # comparing with exact solvers, and real paths, are about figures, not about memory; whole simulated days and years take a minute
  # each there, of what shorter tests and the fuzz targets go through as well
  # shellcheck disable=SC2086 # two words or none
  sanitized asan address,undefined --no-suite exact --no-suite path --no-suite guest --no-suite integration $sanitizers_without
  # under TSan and beside a dozen QEMUs a handshake takes longer than the second it has
  [ -z "$test_full" ] || [ -z "$qtest_beside" ] || wait "$qtest_beside" || true
  # TSan where there are threads: the simulation in virtual time and the agent's arithmetic have none
  sanitized tsan thread --suite unit --suite threads --suite conformance --no-suite agent
}

step_package() {
  if [ -n "$package_beside" ]; then
    wait "$package_beside" || record_line "not ok package: see $test_dir/package.log"
    grep -v '^  compile\|^  configure' "$test_dir/package.log" >&2 || true
    record "$test_dir/package.lines"
  else
    package_test "$test_full"
  fi
}

step_integration() {
  runner=$APN_TOP/tests/integration/run-all
  if ! [ -x "$runner" ]; then
    record_line "not ok integration: $runner is missing"
    return 0
  fi
  integration_rc=0
  "$runner" ${test_full:+--full} "$@" </dev/null 2>"$test_dir/integration.err" | tee "$test_dir/integration.log" |
    sed -un '/^\(ok\|not ok\|skip\) /s/^/  /p' >&2 || integration_rc=$?
  record "$test_dir/integration.log"
  if ! grep -qE '^(ok|not ok|skip) ' "$test_dir/integration.log"; then
    tail -n 20 "$test_dir/integration.err" >&2
    record_line "not ok integration: tests/integration/run-all printed no result (exit $integration_rc)"
  fi
}

# testbed_run - every test that needs an RDMA device; --testbed: the long form
testbed_run() {
  exec "$APN_TOP/tests/testbed/run-all" ${test_testbed:+--full} ${test_device:+--device "$test_device"} \
    </dev/null 2>"$test_dir/testbed.err"
}

step_testbed() {
  if [ -n "$testbed_beside" ]; then
    wait "$testbed_beside" || true
    sed 's/^/  /' "$test_dir/testbed.log" >&2
  else
    (testbed_run) | tee "$test_dir/testbed.log" | sed -un '/^\(ok\|not ok\|skip\) /s/^/  /p' >&2
  fi
  record "$test_dir/testbed.log"
  if ! grep -qE '^(ok|not ok|skip) ' "$test_dir/testbed.log"; then
    tail -n 20 "$test_dir/testbed.err" >&2
    record_line "not ok testbed: tests/testbed/run-all printed no result"
  fi
}

# beside_begin - what waits more than it works, and judges no times, goes on beside the steps that keep the processors busy;
# the steps package, qtest and testbed wait for it. However the run ends, none of it stays behind.
beside_begin() {
  trap beside_stop EXIT
  trap 'exit 130' INT # a signal alone ends this shell without its EXIT trap
  trap 'exit 143' TERM HUP
  # behind what computes; whole groups of cases have their own time limits
  qtest_nice=10
  [ -z "$test_full" ] || qtest_nice=4
  # shellcheck disable=SC2016 # the parent of that shell
  (sh -c 'renice -n "$1" -p "$PPID"' renice "$qtest_nice" >/dev/null && qtest_both) >"$test_dir/qtest.log" 2>&1 </dev/null 8>&- &
  qtest_beside=$!
  (testbed_run) >"$test_dir/testbed.log" 8>&- &
  testbed_beside=$!
  : >"$test_dir/package.lines"
  (record_into=$test_dir/package.lines && package_test "$test_full") >"$test_dir/package.log" 2>&1 </dev/null 8>&- &
  package_beside=$!
  say "  beside the next steps: package, qtest, testbed"
}

beside_stop() {
  : >"$test_dir/stopped" # nothing new is begun
  while read -r beside_pid; do
    kill "$beside_pid" 2>/dev/null || true
  done <"$test_dir/qtest.pids"
  kill "$testbed_beside" "$package_beside" 2>/dev/null || true
  wait # the next run takes the mark away
}

# tree_ready - packages and everything but QEMU; a failure here ends the run as one failure
tree_ready() {
  if (packages_ready && cache_init && with_lock "$(tree_lock)" build_tree) >&2; then
    record_line "ok build-tree"
  else
    record_line "not ok build-tree: see the messages above and $APN_BUILD/apn-build.log"
    return 1
  fi
}

# qemu_ready - stock and patched QEMU and the guest, once per run
qemu_ready() {
  if [ -z "$test_qemu" ]; then
    test_qemu=no
    if (load_env) && load_env; then
      test_qemu=yes
      record_line "ok build-qemu"
    else
      record_line "not ok build-qemu: see the messages above and $APN_CACHE/log"
    fi
  fi
  [ "$test_qemu" = yes ]
}

# run_step NAME ARGS... - one step with its wall time; a step without any result line is a failure
run_step() {
  step_name=$1
  shift
  say ""
  say "== $step_name $*"
  lines_before=$(wc -l <"$test_dir/results.tap")
  time_before=$(now_s)
  case $step_name in
  package | integration | qtest | testbed)
    if ! qemu_ready; then
      record_line "not ok $step_name: QEMU or the guest could not be built"
      return 0
    fi
    ;;
  esac
  "step_$step_name" "$@"
  if [ "$(wc -l <"$test_dir/results.tap")" -eq "$lines_before" ]; then
    record_line "not ok $step_name: no test ran"
  fi
  printf '  %-14s %8s\n' "$step_name${1:+ $1}" "$(fmt_s $(($(now_s) - time_before)))" >>"$test_dir/times"
}

# is_suite NAME - does the build know a meson suite of this name?
is_suite() {
  meson introspect --tests "$APN_BUILD" 2>/dev/null | grep -qE "\"suite\": \[[^]]*\"(apn-migrate:)?$1\""
}

# run_named NAME - a step, a meson suite, or one integration case
run_named() {
  case " $TEST_STEPS " in
  *" $1 "*) run_step "$1" ;;
  *)
    if is_suite "$1"; then
      run_step unit --suite "$1"
    else
      run_step integration "$1"
    fi
    ;;
  esac
}

# summary - failures and skips with their reasons, times, and the one line that counts
summary() {
  passed=$(grep -c '^ok ' "$test_dir/results.tap" || true)
  failed=$(grep -c '^not ok ' "$test_dir/results.tap" || true)
  skipped=$(grep -c '^skip ' "$test_dir/results.tap" || true)
  say ""
  grep -E '^(not ok|skip) ' "$test_dir/results.tap" >&2 || true
  say "wall times (QEMU's build counts into the first step that needs it):"
  cat "$test_dir/times" >&2
  say "results: $test_dir/results.tap"
  printf '%s passed, %s failed, %s skipped\n' "$passed" "$failed" "$skipped"
  [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
}

cmd_test() {
  test_full=
  test_testbed=
  test_device=
  test_what=
  # shellcheck disable=SC2034 # test-qtest.sh asks
  qtest_beside=
  testbed_beside=
  package_beside=
  for word in "$@"; do
    case $word in
    --full) test_full=yes ;;
    --testbed)
      test_testbed=yes
      test_what="$test_what testbed"
      ;;
    --device=*) test_device=${word#--device=} ;;
    -h | --help) test_usage; return 0 ;;
    -*) test_usage >&2; die "unknown option '$word'" ;;
    *[!A-Za-z0-9_.-]*) die "'$word' is not the name of a test" ;;
    *) test_what="$test_what $word" ;;
    esac
  done
  test_dir=$APN_OUT/test
  mkdir -p "$test_dir" 2>/dev/null || die "$test_dir cannot be made; set APN_OUT to a writable directory"
  exec 8>"$test_dir/lock"
  flock -n 8 || die "another './run test' is writing to $test_dir; wait for it, or set APN_OUT and APN_BUILD"
  : >"$test_dir/results.tap"
  : >"$test_dir/times"
  : >"$test_dir/qtest.pids"
  rm -f "$test_dir/stopped"
  if [ -n "$test_full" ]; then
    export APN_TEST_FULL=1 # tests that can take all instances or a part of them
  fi
  test_start=$(now_s)
  test_qemu=
  if tree_ready; then
    printf '  %-14s %8s\n' build "$(fmt_s $(($(now_s) - test_start)))" >>"$test_dir/times"
    test_steps=$TEST_STEPS
    [ -z "$test_full" ] || test_steps=$TEST_STEPS_FULL
    test_before=
    for name in ${test_what:-$test_steps}; do
      if [ -z "$test_what" ] && [ "$test_before" = unit ] && qemu_ready; then
        beside_begin
      fi
      test_before=$name
      run_named "$name"
    done
  fi
  trap - EXIT INT TERM HUP
  printf '  %-14s %8s\n' total "$(fmt_s $(($(now_s) - test_start)))" >>"$test_dir/times"
  summary
}
