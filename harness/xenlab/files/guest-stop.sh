#!/bin/sh
# /sbin/poweroff and /sbin/reboot: what the kernel calls when Xen asks for a stop, and what the agent calls.
# The agent learns it first (the word in /run/pvhck-stopping, then SIGTERM), to note a clean stop.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
how=${0##*/}
echo "$how" >/run/pvhck-stopping
if agent=$(cat /run/pvhck-agent.pid 2>/dev/null) && kill -TERM "$agent" 2>/dev/null; then
    tries=0
    while kill -0 "$agent" 2>/dev/null && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        busybox usleep 100000
    done
fi
sync
mount -o remount,ro / 2>/dev/null
exec busybox "$how" -f
