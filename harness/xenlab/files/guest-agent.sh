#!/bin/sh
# Kept alive by init: the process that answers WinRM and plays Windows.
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
export PYTHONPATH=/opt/pvhck PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8
[ ! -e /run/pvhck-stopping ] || exec sleep 60
echo $$ >/run/pvhck-agent.pid
cd /opt/pvhck || exit 1
[ -d harness/xenlab/standin ] || exec python3 -m http.server 5986
exec python3 -m harness.xenlab.standin
