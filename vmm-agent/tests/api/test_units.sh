#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# test_units.sh PACKAGE_FOLDER VMM_AGENT - systemd understands the units, and finds little to attack
# Exit 77: no systemd-analyze. The limits are what `systemd-analyze security` gives, times ten.
set -u
package=$1
agent=$2
alone_max=19
guests_max=25
if ! command -v systemd-analyze >/dev/null; then
    echo "skipped: no systemd-analyze (Debian package systemd)"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
mkdir "$work/vmm-agent.service.d"
sed "s|^ExecStart=/usr/bin/vmm-agent|ExecStart=$(realpath "$agent")|" "$package/vmm-agent.service" >"$work/vmm-agent.service"

# check LIMIT WHAT - verify the unit as it is now, and score it
check() {
    said=$(systemd-analyze verify --man=no "$work/vmm-agent.service" 2>&1)
    # a machine without that user or group says so; it is the package that makes them
    said=$(printf '%s\n' "$said" | grep -v -e '^$' -e 'vmm-agent.*user' -e 'Failed to .*bus' || true)
    if [ -n "$said" ]; then
        echo "$2: $said"
        failures=$((failures + 1))
    fi
    if ! systemd-analyze security --offline=true --no-pager --threshold="$1" "$work/vmm-agent.service" >"$work/score" 2>&1; then
        echo "$2: above the limit of $1:"
        grep '^✗' "$work/score"
        failures=$((failures + 1))
    fi
    echo "$2: $(tail -n 1 "$work/score")"
}

# the command line of the unit is one that the agent understands: it gets as far as missing the configuration
words=$(sed -n 's|^ExecStart=/usr/bin/vmm-agent||p' "$package/vmm-agent.service")
# shellcheck disable=SC2046 # several words
said=$("$agent" $(printf '%s' "$words" | sed "s|/etc/vmm-agent|$work/none|; s|/var/lib/vmm-agent|$work/none|") 2>&1)
case $said in
*"$work/none/vmm-agent.yaml"*) ;;
*)
    echo "ExecStart: $said"
    failures=$((failures + 1))
    ;;
esac

check "$alone_max" "vmm-agent.service alone"
cp "$package/vmm-agent-guests.conf" "$work/vmm-agent.service.d/guests.conf"
# the offline score reads one file: the drop-in's words override by coming last
sed -n '/^\[Service\]/,$p' "$package/vmm-agent-guests.conf" | sed 1d >"$work/more"
sed -i "/^SystemCallErrorNumber=/r $work/more" "$work/vmm-agent.service"
check "$guests_max" "with vmm-agent-guests.conf"
exit "$failures"
