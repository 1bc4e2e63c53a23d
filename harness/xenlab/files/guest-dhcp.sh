#!/bin/sh
# Called by udhcpc with what it learnt.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
case $1 in
deconfig)
    ip addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound | renew)
    ip addr replace "$ip/$mask" dev "$interface"
    [ -z "$router" ] || ip route replace default via "${router%% *}"
    echo "pvhck address $ip" >/dev/console
    ;;
esac
