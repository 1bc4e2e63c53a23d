#!/bin/sh
# Starts everything a Xen host needs, in order. Messages go to the console: <cache>/.../serial.log
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
tools=$(echo /usr/lib/xen-4.*/bin)

mounted() { mountpoint -q "$1" || mount -t "$2" "$2" "$1"; }
mount -o remount,rw /
mounted /proc proc
mounted /sys sysfs
mounted /dev devtmpfs
mkdir -p /dev/pts /dev/shm
mounted /dev/pts devpts
mounted /dev/shm tmpfs
mounted /run tmpfs
# udev would make them; nft 0.9 (bullseye) opens /dev/stdin for "-f -"
ln -sfn /proc/self/fd /dev/fd
ln -sf /proc/self/fd/0 /dev/stdin
ln -sf /proc/self/fd/1 /dev/stdout
ln -sf /proc/self/fd/2 /dev/stderr
hostname xenlab

for module in xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-netback xen-blkback \
    tun bridge loop e1000 virtio_net; do
    modprobe "$module" || echo "dom0: no module $module"
done
mounted /proc/xen xenfs
mkdir -p /run/sshd /run/lock /run/xen /run/libvirt /var/log/xen/console /var/lib/xen /var/lib/misc /tmp
chmod 1777 /tmp

mount LABEL=pvhck /var/lib/pvhck
ip link set lo up
# QEMU's user network gives 10.0.2.15 to the first that asks: dom0 stays out of that pool
ip addr add 10.0.2.9/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.2.2
# the guests' wire is internal; they reach the controller (10.0.2.2) through us
ip link add xenbr0 type bridge
ip addr add 10.77.0.1/24 dev xenbr0
ip link set xenbr0 up
echo 1 >/proc/sys/net/ipv4/ip_forward
nft -f - <<'RULES'
table ip nat {
    chain post {
        type nat hook postrouting priority 100;
        ip saddr 10.77.0.0/24 oifname "eth0" masquerade
    }
}
RULES
dnsmasq --port=0 --interface=xenbr0 --bind-interfaces --dhcp-authoritative --user=root \
    --dhcp-range=10.77.0.50,10.77.0.250,12h --dhcp-option=option:router,10.77.0.1 \
    --dhcp-leasefile=/var/lib/misc/dnsmasq.leases

oxenstored --pid-file /run/xen/xenstored.pid || "$tools/oxenstored" --pid-file /run/xen/xenstored.pid
"$tools/xen-init-dom0"
"$tools/xenconsoled" --pid-file=/run/xen/xenconsoled.pid --log=all || xenconsoled --log=all
virtlogd -d
libvirtd -d
touch /run/lab-started
