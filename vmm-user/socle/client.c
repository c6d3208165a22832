/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client.h"
#include "interrupt.h"
#include "report.h"

#define BLOCK_BYTES 4096

/* socled never sends as much in one line. */
#define LINE_BYTES_MAX (32u << 20)

static const char *socket_path(const struct context *context)
{
	return context->socket_path != NULL ? context->socket_path : CLIENT_SOCKET_PATH;
}

static int connect_socket(const struct context *context)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = socket_path(context);
	int fd, saved;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

enum status client_open(struct context *context, struct client *client)
{
	*client = (struct client){.fd = connect_socket(context)};
	if (client->fd >= 0)
		return STATUS_OK;
	if (errno == EACCES || errno == EPERM) {
		context_complain(context,
				 "permission denied: only root may ask socled; run as root");
		return STATUS_PERMISSION;
	}
	context_complain(context,
			 "cannot reach socled at %s: %s; it keeps the domains: is it started?",
			 socket_path(context), strerror(errno));
	return STATUS_NO_DAEMON;
}

void client_close(struct client *client)
{
	if (client->fd >= 0)
		close(client->fd);
	free(client->input);
	*client = (struct client){.fd = -1};
}

static enum status lost(struct context *context)
{
	if (interrupt_pending())
		return STATUS_INTERRUPTED;
	context_complain(context, "socled has closed the connection");
	return STATUS_NO_DAEMON;
}

enum status client_send(struct context *context, struct client *client, json_t *request)
{
	char *text = json_dumps(request, JSON_COMPACT);
	size_t sent = 0, bytes;

	json_decref(request);
	if (text == NULL) {
		context_complain(context, "the request is no valid text");
		return STATUS_FAILED;
	}
	bytes = strlen(text);
	text[bytes++] = '\n';
	while (sent < bytes) {
		ssize_t done = send(client->fd, text + sent, bytes - sent, MSG_NOSIGNAL);

		if (done < 0 && errno == EINTR && !interrupt_pending())
			continue;
		if (done <= 0)
			break;
		sent += (size_t)done;
	}
	free(text);
	return sent == bytes ? STATUS_OK : lost(context);
}

static bool make_room(struct client *client)
{
	char *grown;

	if (client->size - client->bytes >= BLOCK_BYTES)
		return true;
	if (client->size >= LINE_BYTES_MAX)
		return false;
	grown = realloc(client->input, client->size * 2 + BLOCK_BYTES);
	if (grown == NULL)
		return false;
	client->input = grown;
	client->size = client->size * 2 + BLOCK_BYTES;
	return true;
}

/* Reads once; what comes with a descriptor has it in *passed. */
static bool read_more(struct client *client, int *passed)
{
	union {
		char buffer[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec data;
	struct msghdr header = {.msg_iov = &data,
				.msg_iovlen = 1,
				.msg_control = control.buffer,
				.msg_controllen = sizeof(control.buffer)};
	struct cmsghdr *part;
	ssize_t got;

	if (!make_room(client))
		return false;
	data = (struct iovec){client->input + client->bytes, client->size - client->bytes};
	do {
		got = recvmsg(client->fd, &header, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR && !interrupt_pending());
	if (got <= 0)
		return false;
	client->bytes += (size_t)got;
	part = CMSG_FIRSTHDR(&header);
	if (part != NULL && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS &&
	    part->cmsg_len == CMSG_LEN(sizeof(int))) {
		int fd;

		memcpy(&fd, CMSG_DATA(part), sizeof(fd));
		if (passed != NULL && *passed < 0)
			*passed = fd;
		else
			close(fd);
	}
	return true;
}

enum status client_receive(struct context *context, struct client *client, json_t **reply,
			   int *passed)
{
	json_t *object;
	const char *error;
	char *end;

	if (passed != NULL)
		*passed = -1;
	while (client->bytes == 0 || (end = memchr(client->input, '\n', client->bytes)) == NULL) {
		if (!read_more(client, passed))
			return lost(context);
	}
	object = json_loadb(client->input, (size_t)(end - client->input), 0, NULL);
	client->bytes -= (size_t)(end + 1 - client->input);
	memmove(client->input, end + 1, client->bytes);
	if (json_is_true(json_object_get(object, "ok"))) {
		*reply = object;
		return STATUS_OK;
	}
	error = json_string_value(json_object_get(object, "error"));
	context_complain(context, "%s", error != NULL ? error : "socled's reply makes no sense");
	json_decref(object);
	return STATUS_FAILED;
}

enum status client_ask(struct context *context, json_t *request, json_t **reply)
{
	struct client client;
	enum status status = client_open(context, &client);

	if (status != STATUS_OK) {
		json_decref(request);
		return status;
	}
	status = client_send(context, &client, request);
	if (status == STATUS_OK)
		status = client_receive(context, &client, reply, NULL);
	client_close(&client);
	return status;
}

size_t client_domain_names(struct context *context, char name[][CLIENT_NAME_BYTES], size_t max)
{
	struct context quiet = *context;
	json_t *reply = NULL, *domain;
	size_t count = 0, i;

	quiet.error = fopen("/dev/null", "we");
	if (quiet.error == NULL)
		return 0;
	if (client_ask(&quiet, json_pack("{ss}", "do", "list"), &reply) == STATUS_OK) {
		json_array_foreach(json_object_get(reply, "domains"), i, domain)
		{
			const char *text = json_string_value(json_object_get(domain, "name"));

			if (text != NULL && count < max &&
			    json_is_true(json_object_get(domain, "live")))
				snprintf(name[count++], CLIENT_NAME_BYTES, "%s", text);
		}
		json_decref(reply);
	}
	fclose(quiet.error);
	return count;
}

enum status client_each_domain(struct context *context, const struct arguments *arguments,
			       const char *what)
{
	enum status worst = STATUS_OK;
	json_t *list = json_array();

	if (arguments->operands == 0) {
		context_complain(context, "%s: expected a domain; 'list' shows them", what);
		worst = STATUS_USAGE;
	}
	for (int i = 0; i < arguments->operands; i++) {
		json_t *reply = NULL;
		json_t *request = json_pack("{ss ss}", "do", what, "domain", arguments->operand[i]);
		enum status status = client_ask(context, request, &reply);

		if (status != STATUS_OK) {
			worst = status;
			continue;
		}
		json_object_del(reply, "ok");
		json_array_append_new(list, reply);
	}
	if (arguments->json && worst != STATUS_USAGE)
		report_json(context->output, list);
	json_decref(list);
	return worst;
}
