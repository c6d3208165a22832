#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The last step of mmdebstrap for the guests' root disk: $1 is its root directory, $OUT where the
# kernel, the initramfs and the image go.
set -eu

root=${1:?}
echo "root:socle" | chroot "$root" chpasswd
echo guest >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 guest\n' >"$root/etc/hosts"
echo "/dev/vda / ext4 errors=remount-ro 0 1" >"$root/etc/fstab"
cat >"$root/etc/systemd/network/20-dhcp.network" <<'END'
[Match]
Type=ether

[Network]
DHCP=ipv4
END
chroot "$root" systemctl --quiet enable systemd-networkd
# Nothing in the tests waits for the network but the tests themselves.
chroot "$root" systemctl --quiet disable systemd-networkd-wait-online.service
# What comes by the hour or the day would come in the middle of a test.
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer fstrim.timer \
	dpkg-db-backup.timer e2scrub_all.timer
for image in "$root"/boot/vmlinuz-*; do cp "$image" "$OUT/vmlinuz"; done
for image in "$root"/boot/initrd.img-*; do cp "$image" "$OUT/initrd.img"; done
rm -f "$root"/boot/vmlinuz-* "$root"/boot/initrd.img-* "$root"/vmlinuz* "$root"/initrd.img*

# mmdebstrap has mounted /proc and others there: a bind mount does not have them.
plain=$OUT/plain
mkdir "$plain"
mount --bind "$root" "$plain"
mke2fs -q -t ext4 -F -L guest -d "$plain" "$OUT/root.img" 1536M
umount "$plain"
rmdir "$plain"
