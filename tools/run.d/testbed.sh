# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# testbed.sh - './run testbed': RDMA devices and a path where there are none (tests/testbed/)
# Owner: ./run.

testbed_usage() {
  cat <<HELP
usage: ./run testbed [OPTION...] [sh | COMMAND [ARGUMENT...]]

Runs COMMAND, or a shell, where two soft-RoCE devices and a path between them are: a kernel of its own with this machine's file
system, in which nothing outside can be changed but $APN_OUT/testbed. The kernel is built once (about 5 minutes on two
cores), then it starts in seconds. Exit code: the command's. Log: $APN_OUT/testbed/log.
HELP
  "$APN_TOP/tests/testbed/bed" --help | sed 1,2d
}

cmd_testbed() {
  case ${1:-} in
  -h | --help | help) testbed_usage; return 0 ;;
  esac
  [ $# -gt 0 ] || set -- sh
  load_env
  "$APN_TOP/tests/testbed/bed" --out "$APN_OUT/testbed" "$@"
}
