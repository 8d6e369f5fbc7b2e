# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# packages.sh - the Debian packages of tools/packages.txt: name what is missing, install it
# Owner: ./run.   apt is asked only when something is missing, so that later runs cost nothing.

APN_NO_INSTALL=${APN_NO_INSTALL:-}

# packages_wanted - names from tools/packages.txt without comments
packages_wanted() {
  sed 's/#.*//' "$APN_TOP/tools/packages.txt" | awk 'NF { print $1 }' | LC_ALL=C sort -u
}

packages_missing() {
  # shellcheck disable=SC2016,SC2046 # dpkg's own format; a list of names
  dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' $(packages_wanted) 2>/dev/null |
    awk '$1 == "ii" || $1 == "hi" { print $2 }' | LC_ALL=C sort -u >"$1/present"
  packages_wanted | LC_ALL=C comm -23 - "$1/present"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif ! have sudo; then
    die "'$*' needs root, and sudo is not installed: run it as root, then try again"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@" || die "'sudo $*' failed without a terminal: run it as root, then try again"
  fi
}

apt_update() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q update
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends \
    -o DPkg::Lock::Timeout=300 "$@"
}

# packages_ready - make sure that every package is there, or die saying which is not
packages_ready() {
  for tool in dpkg-query apt-get; do
    have "$tool" || die "$tool is missing: this needs Debian 12 or later"
  done
  pkg_tmp=$(mktemp -d)
  missing=$(packages_missing "$pkg_tmp" | tr '\n' ' ')
  rm -rf "$pkg_tmp"
  [ -n "$missing" ] || return 0
  if [ -n "$APN_NO_INSTALL" ]; then
    die "Debian packages are missing and --no-install was given: $missing
  install them with: apt-get install --no-install-recommends $missing"
  fi
  say "installing Debian packages: $missing"
  cache_init
  # a foreign repository of this machine may be down: the install below decides
  step "apt-get update" "$APN_CACHE/log/apt-update.log" apt_update || true
  # shellcheck disable=SC2086 # a list of names
  step "apt-get install" "$APN_CACHE/log/apt-install.log" apt_install $missing ||
    die "the packages could not be installed (is the network up?): $missing"
}
