# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# demo.sh - './run demo': the same migration by stock QEMU and by ours, measured
# Owner: ./run.   It needs root: it makes network namespaces. Nothing outside them is touched but the
# socket buffer limits, which are put back.

# as_bench PROGRAM ARGS... - a program of bench/ as root with everything that load_env set
as_bench() {
  bench_program=$APN_TOP/bench/$1
  shift
  as_root env PYTHONDONTWRITEBYTECODE=1 "QEMU_STOCK=$QEMU_STOCK" "QEMU_APN=$QEMU_APN" "QEMU_IMG=$QEMU_IMG" \
    "GUEST_KERNEL=$GUEST_KERNEL" "GUEST_INITRD=$GUEST_INITRD" "APN_PATH=$APN_PATH" "VMM_AGENT=${VMM_AGENT:-}" \
    "QEMU_FIRMWARE=$QEMU_FIRMWARE" "APN_OUT=$APN_OUT" python3 "$bench_program" "$@"
}

# make_out DIR
make_out() {
  mkdir -p "$1" 2>/dev/null || die "$1 cannot be made; set APN_OUT to a writable directory"
}

# run_measured OUT ARGS... - the transports side by side
run_measured() {
  measured_out=$1
  shift
  make_out "$measured_out"
  as_bench demo/demo --out "$measured_out" "$@"
}

need_apn() {
  [ -n "${QEMU_APN:-}" ] || die "there is no patched QEMU: qemu-patches/series is empty"
}

demo_usage() {
  cat <<HELP
usage: ./run demo [transport|day] [ARGUMENTS]

  transport   the same guest crosses 600 km by stock QEMU and by ours, idle and writing: $APN_OUT/demo/report.json, demo.png
  day         a curtailment day in minutes: vmm-agent reads signals, plans, and moves real guests: $APN_OUT/demo/day.json, page-*.png
Without a word: both, about 20 minutes. './run demo transport --help' and './run demo day --help' list their arguments.
HELP
}

# demo_one WHAT ARGS...
demo_one() {
  demo_what=$1
  shift
  case " $* " in
  *' --help '* | *' -h '*)
    case $demo_what in
    day) exec python3 "$APN_TOP/bench/day/day" --help ;;
    *) exec python3 "$APN_TOP/bench/demo/demo" --help ;;
    esac
    ;;
  esac
  load_env
  need_apn
  case $demo_what in
  day)
    make_out "$APN_OUT/demo"
    as_bench day/day --out "$APN_OUT/demo" "$@"
    ;;
  *) run_measured "$APN_OUT/demo" "$@" ;;
  esac
}

cmd_demo() {
  demo_rc=0
  case ${1:-} in
  transport | day) demo_one "$@" || demo_rc=$? ;;
  -h | --help) demo_usage; return 0 ;;
  '')
    demo_one transport || demo_rc=$?
    [ "$demo_rc" -ge 128 ] || demo_one day || demo_rc=$?
    ;;
  -*) demo_one transport "$@" || demo_rc=$? ;;
  *) demo_usage >&2; die "demo: unknown part '$1'; there are transport and day" ;;
  esac
  [ "$demo_rc" -eq 0 ] || exit "$demo_rc"
  say "results: $APN_OUT/demo"
  say "next: ./run test   (everything proven)   or   ./run install   (qemu-system-x86_64-apn on this machine)"
}
