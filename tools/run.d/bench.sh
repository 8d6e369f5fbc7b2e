# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# bench.sh - './run bench': the long-haul suite, the day planner, the engine's own benchmarks
# Owner: ./run.   `run` of the suite needs root: it makes network namespaces. Nothing outside them is touched but
# the socket buffer limits and page reporting, which are put back.

BENCH_SUITE=bench/suite/suite
BENCH_REPEATS=5

bench_usage() {
  cat <<HELP
usage: ./run bench quick|smoke|full|FILE.json [--only WORD] [--budget S] [--fresh] [--out DIR]   measure a matrix, or go on with it
       ./run bench compare OLD NEW          is NEW better or worse? Two directories with lab books
       ./run bench report DIR               make the report of a lab book again
       ./run bench simulate NAME            the simulated part of a matrix alone
       ./run bench list NAME                the cells of a matrix
       ./run bench hosts A B                check two machines over ssh, and their clocks; see docs/bench.md
       ./run bench engine                   the benchmarks of the build: zero pages, parsers
       ./run bench plan [--quick] [--repeat N]   the day planner alone
       ./run bench demo [ARGUMENTS]         the demo $BENCH_REPEATS times over with its negative controls
Results: $APN_OUT/bench/NAME/report.html, report.md, report.json, runs.jsonl. docs/bench.md explains all of it.
HELP
}

# bench_suite ARGS... - bench/suite/suite as root with everything that load_env set
bench_suite() {
  as_root env PYTHONDONTWRITEBYTECODE=1 "QEMU_STOCK=$QEMU_STOCK" "QEMU_APN=${QEMU_APN:-}" "GUEST_KERNEL=$GUEST_KERNEL" \
    "GUEST_INITRD=$GUEST_INITRD" "GUEST_INITRD_KV=${GUEST_INITRD_KV:-}" "APN_PATH=$APN_PATH" "QEMU_FIRMWARE=$QEMU_FIRMWARE" \
    "APN_BUILD=$APN_BUILD" "APN_OUT=$APN_OUT" python3 "$APN_TOP/$BENCH_SUITE" "$@"
}

# bench_quietly ARGS... - what needs no QEMU
bench_quietly() {
  APN_BUILD=$APN_BUILD APN_OUT=$APN_OUT PYTHONDONTWRITEBYTECODE=1 python3 "$APN_TOP/$BENCH_SUITE" "$@"
}

# bench_plan ARGS... - the planner alone: needs no QEMU
bench_plan() {
  packages_ready
  build_tree
  VMM_AGENT=$APN_BUILD/vmm-agent/cli/vmm-agent "$APN_TOP/bench/plan/run" --out "$APN_OUT" "$@" || exit $?
  say "next: $APN_OUT/bench/plan.md has the tables, docs/planner.md what they mean"
}

bench_engine() {
  packages_ready
  build_tree
  mkdir -p "$APN_OUT/bench"
  step "meson benchmarks" "$APN_OUT/bench/benchmarks.log" meson test --benchmark -C "$APN_BUILD" --no-rebuild -v ||
    die "a benchmark failed"
  say "results: $APN_OUT/bench/benchmarks.log"
}

bench_demo() {
  load_env
  need_apn
  mkdir -p "$APN_OUT/bench"
  run_measured "$APN_OUT/bench" --repeats "$BENCH_REPEATS" --controls "$@" || exit $?
  say "report: $APN_OUT/bench/report.json"
}

cmd_bench() {
  bench_what=${1:-}
  [ $# -eq 0 ] || shift
  case $bench_what in
  '' | -h | --help) bench_usage ;;
  plan | engine | demo) "bench_$bench_what" "$@" ;;
  compare | report | list) bench_quietly "$bench_what" "$@" || exit $? ;;
  simulate)
    packages_ready
    build_tree
    bench_quietly simulate "$@" || exit $?
    ;;
  hosts)
    load_env
    bench_suite hosts "$@" || exit $?
    ;;
  -*) bench_usage >&2; die "unknown option '$bench_what'" ;;
  *)
    bench_quietly list "$bench_what" >/dev/null || exit 1 # a wrong name or file is said before anything is built
    load_env
    bench_suite run "$bench_what" "$@" || exit $?
    ;;
  esac
}
