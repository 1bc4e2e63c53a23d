#!/bin/sh
# Run once by init: what a booted guest needs before its agent.
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
hostname standin
echo 1 >/proc/sys/kernel/sysrq
ip link set lo up

# XENIFACE's part: without it no program opens xenstore
if ! { grep -qx xenbus /etc/pvhck/installed && grep -qx xeniface /etc/pvhck/installed; }; then
    rm -f /dev/xen/xenbus
fi
case $(cat /proc/cmdline) in
*xen_emul_unplug=all* | *xen_emul_unplug=nics*) modprobe xen-netfront ;;
*) modprobe e1000 && modprobe 8139cp ;;
esac
{
    tries=0
    until [ -e /sys/class/net/eth0 ] || [ "$tries" -ge 300 ]; do
        tries=$((tries + 1))
        busybox usleep 100000
    done
    # -b: goes on asking in the background, so that a network that comes late is taken
    exec busybox udhcpc -q -i eth0 -t 10 -T 2 -A 3 -s /usr/local/sbin/guest-dhcp -f
} >/dev/null 2>&1 &
# the power button, for the agent; the CD drive has time
modprobe button
modprobe evdev
modprobe sr_mod &
