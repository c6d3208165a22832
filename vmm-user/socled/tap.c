/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"

static bool join_bridge(const char *name, const char *bridge)
{
	struct ifreq request = {0};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool good;
	int saved;

	if (fd < 0)
		return false;
	snprintf(request.ifr_name, IFNAMSIZ, "%s", bridge);
	request.ifr_ifindex = (int)if_nametoindex(name);
	good = request.ifr_ifindex > 0 && ioctl(fd, SIOCBRADDIF, &request) == 0;
	if (good) {
		memset(&request, 0, sizeof(request));
		snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
		good = ioctl(fd, SIOCGIFFLAGS, &request) == 0;
		request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
		good = good && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return good;
}

int tap_open(const char *name, const char *bridge)
{
	struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int saved;

	if (fd < 0)
		return -1;
	snprintf(request.ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) == 0 && join_bridge(name, bridge))
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}
