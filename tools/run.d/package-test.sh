# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# package-test.sh - the Debian package as an admin meets it: contents, firmware, and nothing left behind
# shellcheck disable=SC2154 # test_dir is test.sh's
# Owner: test.sh.   The full test installs and removes it for real, if root and if it is not installed.

PACKAGE_BOOT_SECONDS=60

# package_check NAME COMMAND... - one result line; the command's last words are the reason of a failure
package_check() {
  check_name=$1
  shift
  if "$@" >"$test_dir/$check_name.log" 2>&1; then
    record_line "ok $check_name"
  else
    record_line "not ok $check_name: $(tail -n 1 "$test_dir/$check_name.log")"
  fi
}

package_contents() {
  dpkg-deb --contents "$PACKAGE_FILE" | awk '$1 !~ /^d/ { print substr($6, 2) }' >"$test_dir/package.files"
  for path in /usr/bin/qemu-system-x86_64-apn /usr/bin/vmm-agent /usr/share/man/man1/qemu-system-x86_64-apn.1.gz \
    "/usr/share/doc/$PACKAGE/admin.md" "/usr/share/doc/$PACKAGE/copyright" \
    /usr/lib/systemd/system/vmm-agent.service /usr/lib/sysusers.d/vmm-agent.conf; do
    grep -qx "$path" "$test_dir/package.files" || { echo "$path is not in the package"; return 1; }
  done
  if dpkg-deb --contents "$PACKAGE_FILE" | awk '$2 != "root/root" { found = 1 } END { exit !found }'; then
    echo "a file does not belong to root"
    return 1
  fi
  # no file of the distribution's QEMU may be ours too
  while IFS= read -r path; do
    owner=$(dpkg-query -S "$path" 2>/dev/null | cut -d: -f1)
    case $owner in
    '' | "$PACKAGE") ;;
    *) echo "$path belongs to package $owner"; return 1 ;;
    esac
  done <"$test_dir/package.files"
}

# DPDK's libraries are named by its own package, and by no other; the program from the package starts
package_dpdk() {
  if dpkg-deb -f "$PACKAGE_FILE" Depends | grep -q librte; then
    echo "$PACKAGE depends on DPDK: $(dpkg-deb -f "$PACKAGE_FILE" Depends)"
    return 1
  fi
  dpkg-deb -f "$PACKAGE_DPDK_FILE" Depends | grep -q librte || { echo "$PACKAGE_DPDK names none of DPDK's libraries"; return 1; }
  rm -rf "$test_dir/package/y"
  dpkg-deb -x "$PACKAGE_DPDK_FILE" "$test_dir/package/y"
  "$test_dir/package/y/usr/bin/apn-dpdk" --help && "$test_dir/package/y/usr/bin/apn-path-dpdk" --help
}

# boots PROGRAM - the bench guest starts under PROGRAM with no -L: firmware and option ROMs are found
boots() {
  rm -f "$test_dir/package-serial.log"
  : >"$test_dir/package-serial.log"
  "$1" -accel tcg,thread=multi -cpu max -m 256 -nodefaults -display none -no-reboot \
    -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
    -device virtio-net-pci -vnc none -serial "file:$test_dir/package-serial.log" \
    -kernel "$GUEST_KERNEL" -initrd "$GUEST_INITRD" -append "console=ttyS0 quiet tsc=unstable apn.mib=16" &
  boot_pid=$!
  boot_left=$PACKAGE_BOOT_SECONDS
  while [ "$boot_left" -gt 0 ] && kill -0 "$boot_pid" 2>/dev/null &&
    ! grep -q 'APN-READY' "$test_dir/package-serial.log"; do
    sleep 1
    boot_left=$((boot_left - 1))
  done
  kill "$boot_pid" 2>/dev/null || true
  wait "$boot_pid" 2>/dev/null || true
  if ! grep -q 'APN-READY' "$test_dir/package-serial.log"; then
    echo "the guest said no APN-READY within $PACKAGE_BOOT_SECONDS s"
    return 1
  fi
}

# file_list - every path that a package could leave behind; the copies are of passwd and the like, whose user stays
file_list() {
  find /usr /etc /opt /var/lib -xdev \( -path /var/lib/dpkg -o -path /var/lib/apt -o -path /var/lib/systemd -o -path '/etc/*-' \
    -o -path '/etc/.pwd.lock' \) -prune -o -print 2>/dev/null | LC_ALL=C sort
}

package_install_remove() {
  file_list >"$test_dir/files.before"
  (cmd_install) || { echo "install failed"; return 1; }
  /usr/bin/qemu-system-x86_64-apn --version || { echo "the installed program does not start"; return 1; }
  boots /usr/bin/qemu-system-x86_64-apn || return 1
  (cmd_uninstall) || { echo "uninstall failed"; return 1; }
  file_list >"$test_dir/files.after"
  if ! cmp -s "$test_dir/files.before" "$test_dir/files.after"; then
    diff "$test_dir/files.before" "$test_dir/files.after" | sed -n 's/^[<>]/left or lost:/p' | head -n 5
    return 1
  fi
}

# package_takes_over - a guest that Debian's own QEMU 10.0 started goes to ours by stock tcp migration, and back
package_takes_over() {
  distro=$("$APN_TOP/qemu-patches/fetch-distribution") || { echo "Debian's QEMU 10.0 could not be fetched"; return 1; }
  QEMU_STOCK=${distro#QEMU_DISTRO=} "$APN_TOP/tests/integration/run-all" "handed over" >"$test_dir/takes-over.tap" || {
    grep '^not ok' "$test_dir/takes-over.tap" || echo "run-all failed without a result"
    return 1
  }
  grep -q '^ok ' "$test_dir/takes-over.tap" || { echo "no case named 'handed over' ran"; return 1; }
}

# package_test FULL - called by test.sh after load_env
package_test() {
  if [ -z "${QEMU_APN:-}" ]; then
    record_line "not ok package: qemu-patches/series is empty, there is no patched QEMU"
    return 0
  fi
  package_rc=0
  (build_package "$test_dir/package") >&2 || package_rc=$?
  PACKAGE_FILE=$(find "$test_dir/package" -maxdepth 1 -name "${PACKAGE}_*.deb" 2>/dev/null | head -n 1)
  PACKAGE_DPDK_FILE=$(find "$test_dir/package" -maxdepth 1 -name "${PACKAGE_DPDK}_*.deb" 2>/dev/null | head -n 1)
  if [ "$package_rc" -ne 0 ] || [ -z "$PACKAGE_FILE" ]; then
    record_line "not ok package-build: no package was made, see above"
    return 0
  fi
  record_line "ok package-build"
  package_check package-contents package_contents
  rm -rf "$test_dir/package/x"
  dpkg-deb -x "$PACKAGE_FILE" "$test_dir/package/x"
  package_check package-boots-without-L boots "$test_dir/package/x/usr/bin/qemu-system-x86_64-apn"
  if [ -n "$PACKAGE_DPDK_FILE" ]; then
    package_check package-dpdk package_dpdk
  else
    record_line "skip package-dpdk: this build has no DPDK programs (libdpdk-dev is missing)"
  fi
  rm -rf "$test_dir/package"
  if [ -z "$1" ]; then
    record_line "skip package-takes-over-debian-guest: needs --full"
    record_line "skip package-install-remove: needs --full"
    return 0
  fi
  package_check package-takes-over-debian-guest package_takes_over
  if [ "$(id -u)" -ne 0 ]; then
    record_line "skip package-install-remove: needs root"
  elif installed; then
    record_line "skip package-install-remove: $PACKAGE is installed here, and a test does not remove it"
  else
    package_check package-install-remove package_install_remove
  fi
}
