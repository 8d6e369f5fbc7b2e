# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# install.sh - './run install' and 'uninstall': one Debian package, made here, that removes cleanly
# Owner: ./run.   The package: $APN_OUT/package/. Root is needed only to install it.

PACKAGE='qemu-system-x86-apn'
PACKAGE_DPDK='apn-migrate-dpdk'

# stage_file MODE FILE PATH - put FILE at PATH of the staging root
stage_file() {
  install -D -m "$1" "$2" "$stage/$3"
}

# stage_man FILE - a man page, compressed reproducibly
# shellcheck disable=SC2094 # two files of one name
stage_man() {
  section=${1##*.}
  mkdir -p "$stage/usr/share/man/man$section"
  gzip -9n <"$1" >"$stage/usr/share/man/man$section/$(basename "$1").gz"
}

# stage_program FILE NAME - an executable without its debug symbols
stage_program() {
  install -D -m 755 "$1" "$stage/usr/bin/$2"
  strip --strip-unneeded "$stage/usr/bin/$2"
}

stage_files() {
  stage_program "$QEMU_APN" qemu-system-x86_64-apn
  stage_program "$VMM_AGENT" vmm-agent
  stage_program "$APN_PATH" apn-path
  stage_man "$APN_TOP/tools/package/qemu-system-x86_64-apn.1"
  for page in "$APN_TOP"/vmm-agent/man/*.[1-8] "$APN_TOP"/bench/path/*.[1-8]; do
    [ ! -f "$page" ] || stage_man "$page"
  done
  doc=usr/share/doc/$PACKAGE
  stage_file 644 "$APN_TOP/README.md" "$doc/README.md"
  stage_file 644 "$APN_TOP/tools/package/copyright" "$doc/copyright"
  stage_file 644 "$APN_TOP/tools/package/apparmor-libvirt-qemu" "$doc/apparmor-libvirt-qemu"
  for page in "$APN_TOP"/docs/*.md; do
    stage_file 644 "$page" "$doc/$(basename "$page")"
  done
  stage_file 644 "$APN_TOP/docs/openapi.json" "$doc/openapi.json"
  stage_file 644 "$APN_TOP/tools/package/vmm-agent-guests.conf" "$doc/vmm-agent-guests.conf"
  stage_file 644 "$APN_TOP/tools/package/vmm-agent.service" usr/lib/systemd/system/vmm-agent.service
  stage_file 644 "$APN_TOP/tools/package/vmm-agent.sysusers" usr/lib/sysusers.d/vmm-agent.conf
  for script in postinst prerm postrm; do
    stage_file 755 "$APN_TOP/tools/package/$script" "DEBIAN/$script"
  done
  gzip -9n <"$APN_TOP/CHANGELOG.md" >"$stage/$doc/changelog.gz"
}

# shlib_depends WORK - the libraries of the staged programs as dpkg knows them
shlib_depends() {
  mkdir -p "$1/debian"
  printf 'Source: %s\n\nPackage: %s\nArchitecture: amd64\n' "$PACKAGE" "$PACKAGE" >"$1/debian/control"
  (cd "$1" && dpkg-shlibdeps -O --ignore-missing-info "$stage"/usr/bin/* 2>"$1/shlibdeps.log") |
    sed -n 's/^shlibs:Depends=//p'
}

package_version() {
  project=$(sed -n "s/^ *version: *'\([0-9.]*\)'.*/\1/p" "$APN_TOP/meson.build" | head -n 1)
  qemu=$("$QEMU_APN" --version | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p')
  if [ -z "$project" ] || [ -z "$qemu" ]; then
    die "no version: meson.build says '$project', $QEMU_APN says '$qemu'"
  fi
  printf '%s+qemu%s\n' "$project" "$qemu"
}

# stage_dpdk - what is linked with DPDK: a package of its own, so that nobody else needs DPDK's
stage_dpdk() {
  stage_program "$APN_BUILD/transport/dpdk/apn-dpdk" apn-dpdk
  stage_program "$APN_BUILD/bench/path/apn-path-dpdk" apn-path-dpdk
  doc=usr/share/doc/$PACKAGE_DPDK
  for page in dpdk datagram dpdk-path; do
    [ ! -f "$APN_TOP/docs/$page.md" ] || stage_file 644 "$APN_TOP/docs/$page.md" "$doc/$page.md"
  done
  stage_file 644 "$APN_TOP/tools/package/copyright" "$doc/copyright"
  gzip -9n <"$APN_TOP/CHANGELOG.md" >"$stage/$doc/changelog.gz"
}

# make_deb DIR PACKAGE CONTROL STAGER - one package in DIR; prints its path
make_deb() {
  version=$(package_version)
  work=$1/work
  stage=$work/root
  rm -rf "$work"
  mkdir -p "$stage/DEBIAN"
  "$4"
  shlibs=$(shlib_depends "$work")
  [ -n "$shlibs" ] || die "dpkg-shlibdeps found no libraries; see $work/shlibdeps.log"
  sed -e "s|@VERSION@|$version|; s|@SHLIBS@|$shlibs|; s|@QEMU@|${version##*qemu}|" \
    -e "s|@SIZE@|$(du -sk "$stage/usr" | cut -f1)|" "$3" >"$stage/DEBIAN/control"
  (cd "$stage" && find usr -type f -exec md5sum {} +) >"$stage/DEBIAN/md5sums"
  # xz at level 1: half the time of the default for one part in ten of size
  dpkg-deb --root-owner-group -Zxz -z1 --build "$stage" "$1/${2}_${version}_amd64.deb" >"$work/build.log" ||
    die "dpkg-deb failed: $(tail -n 1 "$work/build.log")"
  rm -rf "$work"
  printf '%s\n' "$1/${2}_${version}_amd64.deb"
}

has_dpdk() {
  [ -x "$APN_BUILD/transport/dpdk/apn-dpdk" ] && [ -x "$APN_BUILD/bench/path/apn-path-dpdk" ]
}

# build_package DIR - make the packages in DIR; sets PACKAGE_FILE, and PACKAGE_DPDK_FILE where DPDK's library was there. Needs load_env.
build_package() {
  [ -n "${QEMU_APN:-}" ] || die "there is no patched QEMU to package: qemu-patches/series is empty"
  PACKAGE_FILE=$(make_deb "$1" "$PACKAGE" "$APN_TOP/tools/package/control.in" stage_files) || exit 1
  PACKAGE_DPDK_FILE=
  if has_dpdk; then
    PACKAGE_DPDK_FILE=$(make_deb "$1" "$PACKAGE_DPDK" "$APN_TOP/tools/package/control-dpdk.in" stage_dpdk) || exit 1
  fi
}

# installed [PACKAGE]
installed() {
  [ "$(dpkg-query -W -f='${db:Status-Status}' "${1:-$PACKAGE}" 2>/dev/null)" = installed ]
}

cmd_install() {
  install_dpdk=
  for word in "$@"; do
    case $word in
    --dpdk) install_dpdk=yes ;;
    *) die "install takes no argument but --dpdk, got '$word'" ;;
    esac
  done
  load_env
  build_package "$APN_OUT/package"
  if [ -n "$install_dpdk" ] && [ -z "$PACKAGE_DPDK_FILE" ]; then
    die "this build has no DPDK programs: libdpdk-dev was not installed when it was configured"
  fi
  # copies that apt's own user can read, wherever the tree lies
  readable=$(mktemp -d)
  chmod 755 "$readable"
  for file in "$PACKAGE_FILE" ${install_dpdk:+"$PACKAGE_DPDK_FILE"}; do
    say "installing $file"
    cp "$file" "$readable/"
  done
  apt_install --reinstall --allow-downgrades "$readable"/*.deb >&2 ||
    { rm -rf "$readable"; die "the package could not be installed"; }
  rm -rf "$readable"
  say "installed: $(dpkg-query -W "$PACKAGE" ${install_dpdk:+"$PACKAGE_DPDK"} | tr '\n' ' ')"
  say "next: qemu-system-x86_64-apn --version   and   /usr/share/doc/$PACKAGE/admin.md   (remove: ./run uninstall)"
}

cmd_uninstall() {
  [ $# -eq 0 ] || die "uninstall takes no argument, got '$1'"
  removed=
  for name in "$PACKAGE" "$PACKAGE_DPDK"; do
    if installed "$name"; then
      as_root env DEBIAN_FRONTEND=noninteractive apt-get -q purge -y "$name" >&2 || die "$name could not be removed"
      removed="$removed $name"
    fi
  done
  if [ -z "$removed" ]; then
    say "$PACKAGE is not installed: nothing to do"
    return 0
  fi
  say "removed$removed; the built binaries stay in the cache ($APN_CACHE), './run clean --all' removes those"
}
