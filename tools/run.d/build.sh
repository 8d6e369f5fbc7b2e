# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# build.sh - build what the tree holds, then QEMU and the guest; './run env', 'build' and 'clean'
# Owner: ./run.   Every step is incremental; a second call costs seconds.

APN_BUILD=${APN_BUILD:-$APN_TOP/build}
APN_OUT=${APN_OUT:-$APN_TOP/out}
case $APN_BUILD in /*) ;; *) APN_BUILD=$PWD/$APN_BUILD ;; esac
case $APN_OUT in /*) ;; *) APN_OUT=$PWD/$APN_OUT ;; esac
export APN_BUILD APN_OUT

# another clone of the same sources compiles nothing anew: meson uses ccache where it is installed
CCACHE_DIR=${CCACHE_DIR:-$APN_CACHE/ccache}
CCACHE_BASEDIR=$APN_TOP
CCACHE_NOHASHDIR=1
CCACHE_MAXSIZE=${CCACHE_MAXSIZE:-2G}
export CCACHE_DIR CCACHE_BASEDIR CCACHE_NOHASHDIR CCACHE_MAXSIZE

# tree_lock - the name of the lock that guards this build directory
tree_lock() {
  printf 'tree-%s' "$(printf '%s' "$APN_BUILD" | cksum | cut -d' ' -f1)"
}

# meson_setup DIR OPTIONS... - configure DIR once; a half-configured one (killed run) is made anew
meson_setup() {
  setup_dir=$1
  shift
  if [ -f "$setup_dir/build.ninja" ] && [ "$(cat "$setup_dir/.apn-configured" 2>/dev/null)" = "$APN_TOP $*" ]; then
    return 0
  fi
  if [ -d "$setup_dir" ] && ! [ -f "$setup_dir/.apn-configured" ] && ! [ -d "$setup_dir/meson-private" ]; then
    rmdir "$setup_dir" 2>/dev/null || die "$setup_dir is in the way: it is not a build directory of this tree"
  fi
  rm -rf "$setup_dir"
  mkdir -p "$setup_dir" 2>/dev/null || die "$setup_dir cannot be made; set APN_BUILD to a writable directory"
  step "configure $(basename "$setup_dir")/" "$setup_dir/apn-configure.log" \
    meson setup "$setup_dir" "$APN_TOP" "$@" || die "meson cannot configure $setup_dir"
  printf '%s\n' "$APN_TOP $*" >"$setup_dir/.apn-configured"
}

# meson_build DIR [TARGETS...] - compile DIR, or only TARGETS of it
meson_build() {
  build_dir=$1
  shift
  step "compile $(basename "$build_dir")/" "$build_dir/apn-build.log" ninja -C "$build_dir" -j "$APN_JOBS" "$@" ||
    die "$(basename "$build_dir") does not build; the whole log: $build_dir/apn-build.log"
}

# build_tree - the library, the agent, the bench and the tests, with gcc and warnings as errors
build_tree() {
  meson_setup "$APN_BUILD" --buildtype=debugoptimized --werror -Dtests=enabled -Dagent=enabled
  meson_build "$APN_BUILD"
}

# env_line KEY FILE - a KEY=value line when FILE was built
env_line() {
  if [ -e "$2" ]; then
    printf '%s=%s\n' "$1" "$2"
  fi
}

# print_env - build what is missing and print KEY=value lines; dies with the failing step's message
print_env() {
  packages_ready >&2 || exit 1
  cache_init
  with_lock "$(tree_lock)" build_tree || exit 1
  "$APN_TOP/qemu-patches/build-qemu" all || exit 1
  "$APN_TOP/bench/guest/build-initrd" "$APN_BUILD/bench/guest/apn-guest" || exit 1
  env_line APN_PATH "$APN_BUILD/bench/path/apn-path"
  env_line VMM_AGENT "$APN_BUILD/vmm-agent/cli/vmm-agent"
  printf 'QEMU_FIRMWARE=-L /usr/share/qemu -L /usr/share/seabios -L /usr/lib/ipxe/qemu\n'
  printf 'APN_BUILD=%s\nAPN_OUT=%s\n' "$APN_BUILD" "$APN_OUT"
}

cmd_env() {
  [ $# -eq 0 ] || die "env takes no argument, got '$1'"
  print_env
}

# load_env - the same, as exported variables of this shell
load_env() {
  env_lines=$(print_env) || exit 1
  while IFS='=' read -r key value; do
    case $key in
    *[!A-Z_]* | '') die "a build step printed the unexpected line '$key=$value'" ;;
    esac
    export "$key=$value"
  done <<LINES
$env_lines
LINES
}

cmd_build() {
  [ $# -eq 0 ] || die "build takes no argument, got '$1'"
  load_env
  say "stock QEMU:   $QEMU_STOCK"
  say "patched QEMU: ${QEMU_APN:-none, qemu-patches/series is empty}"
  say "next: ./run demo   or   ./run test"
}

# remove_builds - build directories of this tree, told by their mark
remove_builds() {
  for dir in "$APN_BUILD" "$APN_BUILD"-*; do
    if [ -f "$dir/.apn-configured" ]; then
      rm -rf "$dir"
      say "removed $dir"
    fi
  done
}

cmd_clean() {
  case ${1:-} in
  '' | --all) ;;
  *) die "clean takes --all or nothing, got '$1'" ;;
  esac
  remove_builds
  for dir in "$APN_OUT/test" "$APN_OUT/demo" "$APN_OUT/bench" "$APN_OUT/package"; do
    rm -rf "$dir"
  done
  rmdir "$APN_OUT" 2>/dev/null || true
  if [ "${1:-}" = --all ]; then
    # by name: a wrong APN_CACHE must not cost anyone a directory
    for name in qemu qemu-source qemu-distribution meson-root guest-kernel guest-initrd testbed-kernel log; do
      rm -rf "${APN_CACHE:?}/$name"
    done
    rm -rf "$APN_CACHE"/tmp-*.?????? "$APN_CACHE"/*.lock
    rmdir "$APN_CACHE" 2>/dev/null || true
    say "emptied $APN_CACHE"
  fi
}
