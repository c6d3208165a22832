/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first and only process of a Linux guest: what an operating system does all the time, in ticks
 * of the time-stamp counter, reported as the probe does (probe.c). Loads the modules in /modules in
 * the order of their names; measures the disk and the network if there are any; switches off.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <x86intrin.h>

#define PAGE	   4096u
#define WARM	   4u
#define COUNT_MAX  1000u
#define FAULTS	   64u /* pages of one measurement */
#define DISK_BYTES (8u << 20)
#define GUEST_IP   "192.168.251.2"
#define PEER_IP	   "192.168.251.1"
#define WAIT_TRIES 50

static uint64_t ticks[COUNT_MAX];
static int to_child[2], from_child[2], disk, icmp;
static void *page;

static uint64_t tsc(void)
{
	_mm_lfence();
	return __rdtsc();
}

static void do_switch(void)
{
	char byte = 0;

	if (write(to_child[1], &byte, 1) != 1 || read(from_child[0], &byte, 1) != 1)
		_exit(1);
}

static void do_faults(void)
{
	volatile char *at = mmap(NULL, FAULTS * PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (unsigned i = 0; i < FAULTS; i++)
		at[i * PAGE] = 1;
	munmap((void *)at, FAULTS * PAGE);
}

static void do_fork(void)
{
	pid_t child = fork();

	if (child == 0) {
		execl("/init", "/init", "exit", NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
}

static void do_sleep(void)
{
	usleep(1000);
}

static void do_read(void)
{
	static unsigned at;

	at = (at + 12345 * PAGE) % DISK_BYTES;
	if (pread(disk, page, PAGE, at) != (ssize_t)PAGE)
		printf("the disk cannot be read\n");
}

/* An echo request to the peer's kernel, and the reply. */
static void do_ping(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(PEER_IP)};
	struct icmphdr request = {.type = ICMP_ECHO};
	char reply[256];

	request.checksum = htons((uint16_t) ~(ICMP_ECHO << 8));
	sendto(icmp, &request, sizeof(request), 0, (struct sockaddr *)&to, sizeof(to));
	do {
		if (recv(icmp, reply, sizeof(reply), 0) <= 0) {
			printf("no echo\n");
			return;
		}
	} while (((struct icmphdr *)(reply + sizeof(struct iphdr)))->type != ICMP_ECHOREPLY);
}

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void measure(const char *name, void (*operation)(void), unsigned count, unsigned parts)
{
	uint64_t sum = 0;

	printf("begin %s\n", name);
	usleep(100000);
	for (unsigned i = 0; i < count + WARM; i++) {
		uint64_t start = tsc();

		operation();
		if (i >= WARM)
			ticks[i - WARM] = (tsc() - start) / parts;
	}
	for (unsigned i = 0; i < count; i++)
		sum += ticks[i];
	qsort(ticks, count, sizeof(ticks[0]), compare);
	printf("end %s count %u minimum %" PRIu64 " median %" PRIu64 " mean %" PRIu64 "\n", name,
	       (count + WARM) * parts, ticks[0], ticks[count / 2], sum / count);
	usleep(100000);
}

static int is_module(const struct dirent *entry)
{
	return strstr(entry->d_name, ".ko") != NULL;
}

static void load_modules(void)
{
	struct dirent **name;
	int count = scandir("/modules", &name, is_module, alphasort);

	for (int i = 0; i < count; i++) {
		char path[512];
		int file;

		snprintf(path, sizeof(path), "/modules/%s", name[i]->d_name);
		file = open(path, O_RDONLY);
		if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0)
			printf("cannot load %s\n", path);
		close(file);
	}
}

static bool open_disk(void)
{
	page = aligned_alloc(PAGE, PAGE);
	for (unsigned i = 0; i < WAIT_TRIES; i++) {
		disk = open("/dev/vda", O_RDONLY | O_DIRECT);
		if (disk >= 0)
			return true;
		usleep(20000);
	}
	return false;
}

static bool set_address(int control, unsigned long what, const char *address)
{
	struct ifreq request = {.ifr_name = "eth0"};
	struct sockaddr_in *in = (struct sockaddr_in *)&request.ifr_addr;

	in->sin_family = AF_INET;
	in->sin_addr.s_addr = inet_addr(address);
	return ioctl(control, what, &request) == 0;
}

static bool open_network(void)
{
	struct timeval limit = {.tv_sec = 1};
	struct ifreq up = {.ifr_name = "eth0", .ifr_flags = IFF_UP | IFF_RUNNING};
	int control = socket(AF_INET, SOCK_DGRAM, 0);

	if (!set_address(control, SIOCSIFADDR, GUEST_IP) ||
	    !set_address(control, SIOCSIFNETMASK, "255.255.255.0") ||
	    ioctl(control, SIOCSIFFLAGS, &up) != 0)
		return false;
	icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	setsockopt(icmp, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	usleep(500000);
	return icmp >= 0;
}

static void start_child(void)
{
	char byte;

	if (pipe(to_child) != 0 || pipe(from_child) != 0)
		_exit(1);
	if (fork() == 0) {
		while (read(to_child[0], &byte, 1) == 1)
			if (write(from_child[1], &byte, 1) != 1)
				break;
		_exit(0);
	}
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("start linux at %" PRIu64 "\n", tsc());
	mount("dev", "/dev", "devtmpfs", 0, "");
	start_child();
	measure("context-switch", do_switch, COUNT_MAX, 2);
	measure("page-fault", do_faults, 200, FAULTS);
	measure("fork-exec", do_fork, 50, 1);
	measure("sleep-1ms", do_sleep, 50, 1);
	load_modules();
	if (open_disk())
		measure("blk-read", do_read, 200, 1);
	else
		printf("none blk-read\n");
	if (open_network())
		measure("net-ping", do_ping, 200, 1);
	else
		printf("none net-ping\n");
	printf("done\n");
	reboot(RB_POWER_OFF);
	return 1;
}
