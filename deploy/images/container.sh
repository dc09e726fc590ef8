#!/bin/sh
# Becomes process 1 of a container: a root file system that the kernel holds read-only, a tmpfs at /tmp that nothing
# can be executed from, processes and mounts of its own, an unprivileged user without capabilities, who cannot get any.
# The network is this machine's. What it does takes root and util-linux, and no container runtime.
#
#   unshare --mount --pid --ipc --uts --fork --kill-child sh container.sh ROOT ro|rw UID GID DIRECTORY NAME=VALUE… COMMAND…
set -eu
root=$1 mode=$2 user=$3 group=$4 directory=$5
shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec tmpfs "$root/tmp"
mount -t tmpfs -o mode=755,nosuid,noexec tmpfs "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec,size=64m tmpfs "$root/dev/shm"
# As every container engine does, in the container's own copy.
printf '127.0.0.1 localhost\n::1 localhost\n' > "$root/etc/hosts"
mount -o "remount,bind,$mode" "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$group" --clear-groups \
    --no-new-privs --inh-caps=-all --bounding-set=-all \
    env -i -C "$directory" "$@"
