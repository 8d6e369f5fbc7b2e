# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=sh
# debian.sh - take sources and packages from another Debian suite without touching the machine's apt
# Owner: sourced after common.sh.   Needs: apt, the Debian archive keyring, network.
# The mirror is the one the machine's own apt uses; apt itself reads its configuration (one-line and deb822
# files alike), so every format, option and proxy that works for the machine works here.

APN_DEB_TRIES=3
APN_DEB_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# deb_mirrors - candidate archive URIs from the machine's configuration, most likely first
deb_mirrors() {
  apt-get indextargets --format "\$(REPO_URI) \$(RELEASE)" 2>/dev/null |
    awk '$2 ~ /^(bullseye|bookworm|trixie|forky|sid|stable|testing|oldstable|unstable)$/ { print $1 }' |
    awk '!seen[$0]++'
}

# deb_write_conf DIR URI SUITE TYPE - a private apt configuration that knows one suite only
deb_write_conf() {
  mkdir -p "$1/sources.d" "$1/lists/partial" "$1/cache/archives/partial"
  {
    printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\n' "$4" "$2" "$3"
    printf 'Signed-By: %s\n' "$APN_DEB_KEYRING"
  } >"$1/sources.d/private.sources"
  {
    printf 'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "%s/sources.d";\n' "$1"
    printf 'Dir::State::lists "%s/lists";\nDir::Cache "%s/cache";\n' "$1" "$1"
    printf 'APT::Sandbox::User "";\nAPT::Get::List-Cleanup "false";\nAcquire::Languages "none";\n'
    printf 'Acquire::Retries "3";\nAcquire::http::Timeout "30";\nAcquire::https::Timeout "30";\n'
  } >"$1/apt.conf"
}

deb_update() {
  APT_CONFIG="$1/apt.conf" apt-get -qq update -o APT::Update::Error-Mode=any >>"$1/log" 2>&1
}

# deb_private DIR SUITE TYPE - make DIR a working private apt for SUITE; dies when no mirror gives it
deb_private() {
  have apt-get || die "apt-get is not here: this script needs Debian 12 or later"
  [ -r "$APN_DEB_KEYRING" ] || die "$APN_DEB_KEYRING is missing; install debian-archive-keyring"
  deb_tried=
  for deb_uri in $(deb_mirrors); do
    deb_tried="$deb_tried $deb_uri"
    deb_write_conf "$1" "$deb_uri" "$2" "$3"
    say "  reading suite $2 from $deb_uri"
    if retry "$APN_DEB_TRIES" deb_update "$1"; then
      return 0
    fi
  done
  if [ -z "$deb_tried" ]; then
    die "no Debian mirror found in this machine's apt configuration (apt-get indextargets lists none)"
  fi
  tail -n 5 "$1/log" 2>/dev/null | sed 's/^/  | /' >&2
  die "suite $2 could not be read from$deb_tried (tried $APN_DEB_TRIES times each): is the network up?"
}
