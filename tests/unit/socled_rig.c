/* SPDX-License-Identifier: BSD-2-Clause */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "socled_rig.h"

#define PATIENCE_SECONDS 20

struct daemon rig;
int rig_client;
bool rig_ends_at_once;

static char directory[64], socket_path[96], pool_path[96], cgroup_path[96];
static int descriptors_before;

static int count_entries(const char *path)
{
	DIR *entries = opendir(path);
	int count = 0;

	while (readdir(entries) != NULL)
		count++;
	closedir(entries);
	return count;
}

void rig_start(void)
{
	char error[POOL_ERROR_BYTES];
	int fd;

	strcpy(directory, "/tmp/socled-test-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(directory));
	snprintf(socket_path, sizeof(socket_path), "%s/socket", directory);
	snprintf(pool_path, sizeof(pool_path), "%s/pool", directory);
	snprintf(cgroup_path, sizeof(cgroup_path), "%s/cgroup", directory);
	fd = open(pool_path, O_RDWR | O_CREAT | O_EXCL, 0600);
	ck_assert_int_eq(ftruncate(fd, (off_t)RIG_FRAMES * SOCLE_FRAME_BYTES), 0);
	close(fd);
	descriptors_before = count_entries("/proc/self/fd");
	rig = (struct daemon){
		.options = {.socket = socket_path,
			    .vmm = FAKE_VMM,
			    .cgroup = cgroup_path,
			    .pool = pool_path,
			    .firmware = "/firmware",
			    .passt = FAKE_VMM,
			    .first_uid = geteuid() == 0 ? 200000000u : 0},
		.handle = fake_start(SOCLE_VENDOR_SVM),
	};
	fake.memory.pool_bytes = (uint64_t)RIG_FRAMES * SOCLE_FRAME_BYTES;
	ck_assert_msg(daemon_open(&rig, error), "%s", error);
	rig.pool.prepared = true; /* its file stays a hole */
	rig_client = rig_connect();
}

void rig_stop(void)
{
	close(rig_client);
	if (!rig_ends_at_once) {
		for (struct domain *domain = rig.domains; domain != NULL; domain = domain->next)
			domain_destroy(domain);
		while (rig.domains != NULL)
			daemon_step(&rig, 100);
		ck_assert_uint_eq(rig.pool.frames.free, RIG_FRAMES);
	}
	daemon_close(&rig);
	ck_assert_uint_eq(fake_frames_free(), FAKE_FRAMES);
	ck_assert_uint_eq(fake_domains_count(), 0);
	ck_assert(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	ck_assert_int_eq(count_entries("/proc/self/fd"), descriptors_before);
	unlink(pool_path);
	rmdir(cgroup_path);
	ck_assert_int_eq(rmdir(directory), 0);
}

int rig_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, socket_path);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

void rig_send(int fd, const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t sent = send(fd, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			text += sent;
			bytes -= (size_t)sent;
		} else if (errno != EAGAIN) {
			return;
		}
		daemon_step(&rig, 0);
	}
}

/* One byte at a time, as there may be the next line behind this one. */
static ssize_t receive_byte(int fd, char *byte, int *passed)
{
	struct iovec data = {byte, 1};
	char control[CMSG_SPACE(sizeof(int))];
	struct msghdr header = {.msg_iov = &data,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(control)};
	ssize_t got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *part = got > 0 ? CMSG_FIRSTHDR(&header) : NULL;

	if (part != NULL && part->cmsg_type == SCM_RIGHTS) {
		ck_assert_ptr_nonnull(passed);
		memcpy(passed, CMSG_DATA(part), sizeof(int));
	}
	return got;
}

json_t *rig_receive(int fd, int *passed)
{
	double end = daemon_now() + PATIENCE_SECONDS;
	size_t used = 0, size = 4096;
	char *line = malloc(size);
	json_t *object;

	for (;;) {
		ssize_t got = receive_byte(fd, line + used, passed);

		if (got == 0 || (got < 0 && errno == ECONNRESET)) {
			free(line);
			return NULL;
		}
		if (got < 0) {
			ck_assert_msg(daemon_now() < end, "no answer");
			daemon_step(&rig, 10);
			continue;
		}
		if (line[used] == '\n')
			break;
		if (++used == size)
			line = realloc(line, size *= 2);
	}
	object = json_loadb(line, used, 0, NULL);
	ck_assert_msg(json_is_object(object), "%.*s", (int)used, line);
	free(line);
	return object;
}

json_t *rig_ask(bool ok, const char *format, ...)
{
	va_list arguments;
	json_t *request, *reply;
	char *text;

	va_start(arguments, format);
	request = json_vpack_ex(NULL, 0, format, arguments);
	va_end(arguments);
	ck_assert_ptr_nonnull(request);
	text = json_dumps(request, JSON_COMPACT);
	rig_send(rig_client, text, strlen(text));
	rig_send(rig_client, "\n", 1);
	reply = rig_receive(rig_client, NULL);
	ck_assert_msg(reply != NULL && json_is_true(json_object_get(reply, "ok")) == ok, "%s: %s",
		      text, json_string_value(json_object_get(reply, "error")));
	free(text);
	json_decref(request);
	return reply;
}

void rig_expect_error(json_t *reply, const char *text)
{
	const char *error = json_string_value(json_object_get(reply, "error"));

	ck_assert_msg(strstr(error, text) != NULL, "'%s' is not in: %s", text, error);
	json_decref(reply);
}

json_t *rig_config(const char *name, const char *words, const char *key, const char *value)
{
	json_t *config = json_pack("{ss si ss ss}", "name", name, "memory", 4, "kernel",
				   "/proc/self/exe", "extra", words);

	if (key != NULL)
		json_object_set_new(config, key, json_string(value));
	return config;
}

json_t *rig_entry(const char *name)
{
	json_t *reply = rig_ask(true, "{ss s[s]}", "do", "list", "domains", name);
	json_t *entry = json_array_get(json_object_get(reply, "domains"), 0);

	json_incref(entry);
	json_decref(reply);
	return entry;
}

void rig_until(const char *name, const char *state)
{
	double end = daemon_now() + PATIENCE_SECONDS;

	for (;;) {
		json_t *entry = rig_entry(name);
		const char *now = json_string_value(json_object_get(entry, "state"));
		bool reached = state == NULL ? now == NULL : now != NULL && strcmp(now, state) == 0;

		ck_assert_msg(reached || daemon_now() < end, "%s is %s and not %s", name,
			      now != NULL ? now : "gone", state != NULL ? state : "gone");
		json_decref(entry);
		if (reached)
			return;
		daemon_step(&rig, 10);
	}
}
