/* SPDX-License-Identifier: BSD-2-Clause */
/* "socled": the daemon that alone holds the root key, and makes and ends domains. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon.h"

#define VMM_PATH      "/usr/bin/socle-vmm"
#define CGROUP_PATH   "/sys/fs/cgroup/socle"
#define PASST_PATH    "/usr/bin/passt"
#define FIRMWARE_PATH "/usr/share/OVMF/OVMF.fd"

/* Users that belong to nobody else in Debian (policy 9.2.2: 65536 to 4294967293 are free). */
#define FIRST_UID 200000000u

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
}

static const char usage[] =
	"usage: socled [OPTION...]\n\n"
	"The daemon that makes Socle's domains and runs their VMMs; see 'socle help'.\n\n"
	"  --socket PATH    where clients ask (" SOCKET_PATH ")\n"
	"  --vmm PATH       the VMM's program (" VMM_PATH ")\n"
	"  --cgroup PATH    the control group for all domains (" CGROUP_PATH ")\n"
	"  --firmware PATH  what firmware = \"uefi\" means (" FIRMWARE_PATH ")\n"
	"  --passt PATH     the program for networks in user mode (" PASST_PATH ")\n"
	"  --pool PATH      a file or device to be used as the pool, by all domains\n"
	"  --lazy           leave the pool alone until the first domain\n"
	"  --help           print this text\n";

static bool parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"socket", required_argument, NULL, 's'},
		{"vmm", required_argument, NULL, 'v'},
		{"cgroup", required_argument, NULL, 'c'},
		{"firmware", required_argument, NULL, 'f'},
		{"passt", required_argument, NULL, 'n'},
		{"pool", required_argument, NULL, 'p'},
		{"lazy", no_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (letter) {
		case 's':
			options->socket = optarg;
			break;
		case 'v':
			options->vmm = optarg;
			break;
		case 'c':
			options->cgroup = optarg;
			break;
		case 'f':
			options->firmware = optarg;
			break;
		case 'n':
			options->passt = optarg;
			break;
		case 'p':
			options->pool = optarg;
			break;
		case 'l':
			options->lazy = true;
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			return false;
		}
	}
	return optind == argc;
}

/* 0, 1 and 2 are open: no descriptor of ours shall be taken for one of them. */
static bool open_standard(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* The socket's directory, for root only. */
static void make_directory(const char *socket)
{
	char path[128];
	char *slash;

	snprintf(path, sizeof(path), "%s", socket);
	slash = strrchr(path, '/');
	if (slash != NULL && slash != path) {
		*slash = 0;
		mkdir(path, 0700);
	}
}

int main(int argc, char **argv)
{
	struct daemon daemon = {
		.options = {.socket = SOCKET_PATH,
			    .vmm = VMM_PATH,
			    .cgroup = CGROUP_PATH,
			    .firmware = FIRMWARE_PATH,
			    .passt = PASST_PATH,
			    .first_uid = FIRST_UID},
	};
	struct sigaction action = {.sa_handler = on_signal};
	struct socle_open_error key_error;
	char error[POOL_ERROR_BYTES];

	if (!open_standard())
		return 1;
	if (!parse_options(argc, argv, &daemon.options)) {
		fputs(usage, stderr);
		return 2;
	}
	setvbuf(stderr, NULL, _IOLBF, 0);
	/* A domain's description and its consoles: zeros that nobody writes, and of which little is
	 * used. */
	mallopt(M_MMAP_THRESHOLD, 32 << 10);
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	umask(0077);
	if (socle_open(NULL, &daemon.handle, &key_error) != SOCLE_OPEN_OK) {
		daemon_log(NULL, "%s", key_error.message);
		return 3;
	}
	make_directory(daemon.options.socket);
	if (!daemon_open(&daemon, error)) {
		daemon_log(NULL, "%s", error);
		return 1;
	}
	/* A signal between the test and the wait is seen a second later. */
	while (!stop)
		daemon_step(&daemon, 1000);
	daemon_close(&daemon);
	explicit_bzero(&daemon.handle, sizeof(daemon.handle));
	return 0;
}
