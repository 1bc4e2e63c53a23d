#!/bin/busybox sh
# The guest's initramfs: find the root disk, under whichever driver it is, and go there.
/bin/busybox mkdir -p /proc /sys /dev /root /sbin
/bin/busybox --install -s /sbin
export PATH=/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# after an unplug the IDE controller is still there, with the CD drive
for module in ata_piix sd_mod crc32c_generic ext4; do
    modprobe "$module"
done
# a front end beside an emulated disk that is still plugged would be a second writer on the same image
case $(cat /proc/cmdline) in
*xen_emul_unplug=all* | *xen_emul_unplug=ide-disks*) modprobe xen-blkfront ;;
esac
tries=0
until disk=$(findfs LABEL=root 2>/dev/null); do
    tries=$((tries + 1))
    [ "$tries" -lt 600 ] || { echo "guest: no root disk"; cat /proc/partitions; sleep 5; reboot -f; }
    usleep 100000
done
mount -t ext4 -o rw,noatime "$disk" /root
umount /sys /proc
mount --move /dev /root/dev
exec switch_root /root /sbin/init
