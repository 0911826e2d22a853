#!/bin/sh
# The first process of a machine of tests/support/machines.py, in namespaces of its own: `boot.sh NAME FOLDER`.
set -e
name=$1 folder=$2
hostname "$name"
for each in passwd hosts; do mount --bind "$folder/etc/$each" "/etc/$each"; done
mount --bind "$folder/wheels" /mnt
mount --bind "$folder/home" /home
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /dev/shm
mount --bind "$folder/tmp" /tmp
mkdir /run/sshd
rm -f /home/darkroom/.unit-pid
if [ -e /home/darkroom/.unit-enabled ]; then
    HOME=/home/darkroom /home/darkroom/bin/systemctl --user start ray
fi
exec /usr/sbin/sshd -D -e -f /home/sshd_config
