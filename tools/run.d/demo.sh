# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# demo.sh - './run demo' and './run bench': the same migration by stock QEMU and by ours, measured
# Owner: ./run.   Both need root: they make network namespaces. Nothing outside them is touched but the
# socket buffer limits, which are put back.

BENCH_REPEATS=5

# run_measured OUT ARGS... - bench/demo/demo as root with everything that load_env set
run_measured() {
  measured_out=$1
  shift
  measured_rc=0
  mkdir -p "$measured_out" 2>/dev/null || die "$measured_out cannot be made; set APN_OUT to a writable directory"
  as_root env PYTHONDONTWRITEBYTECODE=1 "QEMU_STOCK=$QEMU_STOCK" "QEMU_APN=$QEMU_APN" "QEMU_IMG=$QEMU_IMG" \
    "GUEST_KERNEL=$GUEST_KERNEL" "GUEST_INITRD=$GUEST_INITRD" "APN_PATH=$APN_PATH" "VMM_AGENT=${VMM_AGENT:-}" \
    "QEMU_FIRMWARE=$QEMU_FIRMWARE" "APN_OUT=$APN_OUT" \
    python3 "$APN_TOP/bench/demo/demo" --out "$measured_out" "$@" || measured_rc=$?
  return "$measured_rc"
}

need_apn() {
  [ -n "${QEMU_APN:-}" ] || die "there is no patched QEMU: qemu-patches/series is empty"
}

cmd_demo() {
  case " $* " in
  *' --help '* | *' -h '*) exec python3 "$APN_TOP/bench/demo/demo" --help ;;
  esac
  load_env
  need_apn
  run_measured "$APN_OUT/demo" "$@" || exit $?
  say "report: $APN_OUT/demo/report.json"
  say "next: ./run test   (everything proven)   or   ./run install   (qemu-system-x86_64-apn on this machine)"
}

# bench_plan ARGS... - the planner alone: needs no QEMU
bench_plan() {
  packages_ready
  build_tree
  VMM_AGENT=$APN_BUILD/vmm-agent/cli/vmm-agent "$APN_TOP/bench/plan/run" --out "$APN_OUT" "$@" || exit $?
  say "next: $APN_OUT/bench/plan.md has the tables, docs/planner.md what they mean"
}

cmd_bench() {
  if [ "${1:-}" = plan ]; then
    shift
    bench_plan "$@"
    return
  fi
  case " $* " in
  *' --help '* | *' -h '*)
    say "usage: ./run bench [ARGUMENTS of the demo]   or   ./run bench plan [--quick] [--repeat N]"
    say "plan: time, proven gap and memory of the day planner, into $APN_OUT/bench/plan.json"
    say "The meson benchmarks, then the demo $BENCH_REPEATS times over with its negative controls; results in $APN_OUT/bench."
    exec python3 "$APN_TOP/bench/demo/demo" --help
    ;;
  esac
  load_env
  need_apn
  mkdir -p "$APN_OUT/bench"
  step "meson benchmarks" "$APN_OUT/bench/benchmarks.log" meson test --benchmark -C "$APN_BUILD" --no-rebuild -v ||
    die "a benchmark failed"
  run_measured "$APN_OUT/bench" --repeats "$BENCH_REPEATS" --controls "$@" || exit $?
  say "report: $APN_OUT/bench/report.json   benchmarks: $APN_OUT/bench/benchmarks.log"
  say "next: compare it with an earlier report, or ./run demo --help for other paths and guests"
}
