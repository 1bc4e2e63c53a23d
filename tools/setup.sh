#!/bin/sh
# Makes .venv and installs what is asked for: `tools/setup.sh runtime|dev`. Does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."
what=${1:?runtime or dev}
python=${PYTHON:-python3}

need() { # need PACKAGE...: install Debian packages, or say how
    missing=
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        echo "setup: installing$missing"
        apt-get update -qq
        # shellcheck disable=SC2086  # a list of words
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "setup: these packages are missing; install them with:" >&2
        echo "    sudo apt-get install$missing" >&2
        exit 1
    fi
}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    need python3
fi
"$python" -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
# the tests look at pages in a browser, and libvirt-python is compiled against the machine's libvirt
[ "$what" = runtime ] || need chromium chromium-driver libvirt-dev pkg-config gcc python3-dev

# What was installed is remembered by the hash of the lists it came from.
lists="requirements/runtime.txt"
[ "$what" = runtime ] || lists="$lists requirements/dev.txt"
built=
[ "$what" = runtime ] || built=requirements/libvirt.txt
# shellcheck disable=SC2086
stamp=$(cat $lists $built pyproject.toml | sha256sum | cut -c1-16)
[ ! -e ".venv/.installed-$what-$stamp" ] || exit 0

echo "setup: making .venv ($what); this takes a minute the first time"
[ -x .venv/bin/python ] || "$python" -m venv .venv
pip=".venv/bin/python -m pip --quiet --disable-pip-version-check"
for list in $lists; do
    $pip install --require-hashes -r "$list"
done
# The build tools are pinned too (requirements/build.txt): sdists would fetch unpinned ones.
$pip install --require-hashes -r requirements/build.txt
[ -z "$built" ] || $pip install --require-hashes --no-build-isolation -r "$built"
$pip install --no-deps --no-build-isolation --editable .
touch ".venv/.installed-$what-$stamp"
