#!/bin/sh
# Makes the state directory that `cli_upgrade` takes over: `sh make-state.sh VOLSNAP FILE.tar.zst`, as root.
#
# It is made once for each version of what lies on disk and never changed: later versions have to read it as it is. All in it
# is of a machine and of places that exist nowhere else.
set -eu
volsnap=$(realpath "$1") file=$(realpath -m "$2")

if [ "${SAMPLE_INSIDE:-}" != yes ]; then
    SAMPLE_INSIDE=yes exec unshare --mount --propagation private sh "$0" "$volsnap" "$file"
fi

# A machine and directories of its own, seen by nobody else.
work=$(mktemp -d)
echo 0123456789abcdef0123456789abcdef >"$work/machine-id"
mount --bind "$work/machine-id" /etc/machine-id
mount -t tmpfs sample /srv
mkdir -p /srv/app/data /srv/app/config
state=/srv/state
run() { DOCKER_HOST=unix:///srv/none.sock "$volsnap" --state-dir "$state" "$@" >/dev/null; }

run workload add app --volume /data=/srv/app/data --volume /config=/srv/app/config
run workload hook add app --at pre-create -- true
echo first >/srv/app/data/file
ln -s file /srv/app/data/link
echo "answer = 42" >/srv/app/config/app.toml
run create app --note "the first"
echo second >/srv/app/data/file
run create app --note "the second"
first=$("$volsnap" --state-dir "$state" --json list app | jq -r '.snapshots[] | select(.note == "the first").id')
run pin "$first"
# A restore whose record says what an undo goes back to, and the snapshot of what it replaced.
run restore app "$first" --yes
run verify --all

tar --create --directory "$state" --zstd --file "$file" --exclude '*.reserve' --owner 0 --group 0 .
chmod 644 "$file"
rm "$work/machine-id" 2>/dev/null || true
