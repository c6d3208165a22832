/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server.h"

struct message {
	struct message *next;
	size_t bytes, sent;
	int fd; /* -1: none */
	char text[];
};

struct client {
	struct server *server;
	struct client *next;
	struct watch watch;
	bool broken; /* to be dropped as soon as nobody holds it */
	char *input;
	size_t input_bytes;
	struct message *first, **last;
	size_t queued;
};

struct waiter {
	struct client *client; /* NULL: this place is free */
	struct domain *domain;
	enum wait wait;
	double deadline; /* 0: none */
	json_t *request;
};

struct server {
	struct daemon *daemon;
	struct watch listener;
	struct client *clients;
	unsigned int count;
	struct waiter waiter[SERVER_WAITERS_MAX];
};

static void client_ready(void *owner, uint32_t events);

struct daemon *client_daemon(struct client *client)
{
	return client->server->daemon;
}

/* Sending -------------------------------------------------------------------------------------- */

static ssize_t send_message(int fd, const struct message *message)
{
	struct iovec data = {(char *)(uintptr_t)message->text + message->sent,
			     message->bytes - message->sent};
	struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
	union {
		char buffer[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {{0}};

	if (message->fd >= 0 && message->sent == 0) {
		struct cmsghdr *part;

		header.msg_control = control.buffer;
		header.msg_controllen = sizeof(control.buffer);
		part = CMSG_FIRSTHDR(&header);
		part->cmsg_level = SOL_SOCKET;
		part->cmsg_type = SCM_RIGHTS;
		part->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(part), &message->fd, sizeof(int));
	}
	return sendmsg(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void drop_message(struct client *client)
{
	struct message *message = client->first;

	client->first = message->next;
	if (client->first == NULL)
		client->last = &client->first;
	client->queued -= message->bytes;
	if (message->fd >= 0)
		close(message->fd);
	free(message);
}

static void flush(struct client *client)
{
	while (client->first != NULL && !client->broken) {
		ssize_t sent = send_message(client->watch.fd, client->first);

		if (sent < 0) {
			client->broken = errno != EAGAIN && errno != EINTR;
			break;
		}
		client->first->sent += (size_t)sent;
		if (client->first->sent == client->first->bytes)
			drop_message(client);
	}
	if (!client->broken)
		loop_watch(&client->server->daemon->loop, &client->watch, client->watch.fd,
			   (uint32_t)EPOLLIN | (client->first != NULL ? (uint32_t)EPOLLOUT : 0),
			   client_ready, client);
}

/* Takes object and fd over. */
static void queue(struct client *client, json_t *object, int fd)
{
	char *text = json_dumps(object, JSON_COMPACT);
	size_t bytes = text != NULL ? strlen(text) + 1 : 0;
	struct message *message = bytes > 0 ? malloc(sizeof(*message) + bytes) : NULL;

	json_decref(object);
	if (message == NULL || client->queued + bytes > SERVER_QUEUE_BYTES_MAX) {
		client->broken = true;
		free(message);
		free(text);
		if (fd >= 0)
			close(fd);
		return;
	}
	*message = (struct message){.bytes = bytes, .fd = fd};
	memcpy(message->text, text, bytes - 1);
	message->text[bytes - 1] = '\n';
	free(text);
	client->queued += bytes;
	*client->last = message;
	client->last = &message->next;
	flush(client);
}

static void add_id(json_t *reply, const json_t *request)
{
	json_t *id = json_object_get(request, "id");

	if (json_is_integer(id) || json_is_string(id))
		json_object_set(reply, "id", id);
}

void client_reply(struct client *client, const json_t *request, json_t *data, int fd)
{
	json_t *reply = data != NULL ? data : json_object();

	json_object_set_new(reply, "ok", json_true());
	add_id(reply, request);
	queue(client, reply, fd);
}

void client_error(struct client *client, const json_t *request, const char *format, ...)
{
	char text[2048];
	json_t *reply = json_object();
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* What a client sent may have been cut in the middle of a character. */
	for (char *c = text; *c != 0; c++) {
		if ((*c & 0x80) != 0)
			*c = '?';
	}
	json_object_set_new(reply, "ok", json_false());
	json_object_set_new(reply, "error", json_string(text));
	add_id(reply, request);
	queue(client, reply, -1);
}

/* Waiting -------------------------------------------------------------------------------------- */

static void end_wait(struct waiter *waiter)
{
	json_decref(waiter->request);
	*waiter = (struct waiter){.client = NULL};
}

void client_wait(struct client *client, const json_t *request, struct domain *domain,
		 enum wait wait)
{
	struct server *server = client->server;
	bool bounded = wait == WAIT_PAUSE || wait == WAIT_UNPAUSE;

	for (int i = 0; i < SERVER_WAITERS_MAX; i++) {
		if (server->waiter[i].client != NULL)
			continue;
		server->waiter[i] = (struct waiter){
			client,
			domain,
			wait,
			bounded ? daemon_now() + SERVER_ANSWER_SECONDS : 0,
			json_incref((json_t *)(uintptr_t)request),
		};
		return;
	}
	client_error(client, request, "too many clients wait already");
}

static void answer(struct waiter *waiter, bool good, const struct domain *domain)
{
	struct waiter copy = *waiter;
	const char *how = domain_end_name(domain->end);

	/* First, as the answer may break the client. */
	*waiter = (struct waiter){.client = NULL};
	if (good && copy.wait == WAIT_END)
		client_reply(copy.client, copy.request,
			     json_pack("{ss ss}", "end", how != NULL ? how : "crash", "reason",
				       domain->reason),
			     -1);
	else if (good)
		client_reply(copy.client, copy.request,
			     json_pack("{ss sI}", "name", domain->config.name, "domid",
				       (json_int_t)domain->number),
			     -1);
	else
		client_error(copy.client, copy.request, "%s",
			     domain->reason[0] != 0 ? domain->reason : "the domain has ended");
	end_wait(&copy);
}

void daemon_notify(struct domain *domain, enum notice notice)
{
	struct server *server = domain->daemon->server;
	bool over = notice == NOTICE_ENDED || notice == NOTICE_GONE;
	static const enum notice wanted[] = {
		[WAIT_CREATE] = NOTICE_STARTED,	  [WAIT_PAUSE] = NOTICE_PAUSED,
		[WAIT_UNPAUSE] = NOTICE_UNPAUSED, [WAIT_DESTROY] = NOTICE_GONE,
		[WAIT_END] = NOTICE_GONE,
	};

	for (int i = 0; server != NULL && i < SERVER_WAITERS_MAX; i++) {
		struct waiter *waiter = &server->waiter[i];

		if (waiter->client == NULL || waiter->domain != domain)
			continue;
		if (notice == wanted[waiter->wait] || (over && waiter->wait == WAIT_END))
			answer(waiter, true, domain);
		else if (over && waiter->wait != WAIT_DESTROY)
			answer(waiter, false, domain);
	}
}

double server_deadline(const struct server *server)
{
	double first = 0;

	for (int i = 0; i < SERVER_WAITERS_MAX; i++) {
		double deadline = server->waiter[i].client != NULL ? server->waiter[i].deadline : 0;

		if (deadline > 0 && (first <= 0 || deadline < first))
			first = deadline;
	}
	return first;
}

/* Clients -------------------------------------------------------------------------------------- */

static void close_client(struct client *client)
{
	struct server *server = client->server;
	struct client **link = &server->clients;

	for (int i = 0; i < SERVER_WAITERS_MAX; i++) {
		if (server->waiter[i].client == client)
			end_wait(&server->waiter[i]);
	}
	while (*link != client)
		link = &(*link)->next;
	*link = client->next;
	server->count--;
	while (client->first != NULL)
		drop_message(client);
	loop_drop(&server->daemon->loop, &client->watch);
	free(client->input);
	free(client);
}

void server_check_deadlines(struct server *server, double now)
{
	struct client *next;

	for (int i = 0; i < SERVER_WAITERS_MAX; i++) {
		struct waiter *waiter = &server->waiter[i];

		if (waiter->client == NULL || waiter->deadline <= 0 || now < waiter->deadline)
			continue;
		client_error(waiter->client, waiter->request, "its VMM has not answered in time");
		end_wait(waiter);
	}
	for (struct client *client = server->clients; client != NULL; client = next) {
		next = client->next;
		if (client->broken)
			close_client(client);
	}
}

static void on_line(struct client *client, const char *line, size_t bytes)
{
	json_error_t where;
	json_t *request = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &where);

	if (json_is_object(request))
		request_handle(client, request);
	else
		client_error(client, NULL, "expected a JSON object on the line: %s",
			     request != NULL ? "found another value" : where.text);
	json_decref(request);
}

/* Reads once and handles the lines that are complete; false: the client has gone. */
static bool hear(struct client *client)
{
	char *start = client->input, *end;
	ssize_t got = recv(client->watch.fd, client->input + client->input_bytes,
			   SERVER_LINE_BYTES_MAX - client->input_bytes, MSG_DONTWAIT);

	if (got <= 0)
		return got < 0 && (errno == EAGAIN || errno == EINTR);
	client->input_bytes += (size_t)got;
	while (!client->broken && (end = memchr(start, '\n', client->input_bytes)) != NULL) {
		on_line(client, start, (size_t)(end - start));
		client->input_bytes -= (size_t)(end + 1 - start);
		start = end + 1;
	}
	memmove(client->input, start, client->input_bytes);
	if (client->input_bytes < SERVER_LINE_BYTES_MAX)
		return true;
	client_error(client, NULL, "expected a line of at most %u bytes", SERVER_LINE_BYTES_MAX);
	return false;
}

static void client_ready(void *owner, uint32_t events)
{
	struct client *client = owner;

	if ((events & EPOLLOUT) != 0)
		flush(client);
	if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !hear(client))
		client->broken = true;
	if (client->broken)
		close_client(client);
}

static bool is_allowed(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
	       (peer.uid == 0 || peer.uid == geteuid());
}

static void listener_ready(void *owner, uint32_t events)
{
	struct server *server = owner;
	int fd = accept4(server->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *client;

	(void)events;
	if (fd < 0)
		return;
	client = calloc(1, sizeof(*client));
	if (client != NULL)
		client->input = malloc(SERVER_LINE_BYTES_MAX);
	if (client == NULL || client->input == NULL || server->count == SERVER_CLIENTS_MAX ||
	    !is_allowed(fd) ||
	    !loop_watch(&server->daemon->loop, &client->watch, fd, EPOLLIN, client_ready, client)) {
		if (client != NULL)
			free(client->input);
		free(client);
		close(fd);
		return;
	}
	client->server = server;
	client->last = &client->first;
	client->next = server->clients;
	server->clients = client;
	server->count++;
}

bool server_open(struct daemon *daemon, char error[POOL_ERROR_BYTES])
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *path = daemon->options.socket;
	struct server *server = calloc(1, sizeof(*server));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	mode_t mask;
	bool good;

	if (server == NULL || fd < 0 || strlen(path) >= sizeof(address.sun_path)) {
		snprintf(error, POOL_ERROR_BYTES, "cannot make a socket at %.100s", path);
		free(server);
		if (fd >= 0)
			close(fd);
		return false;
	}
	strcpy(address.sun_path, path);
	server->daemon = daemon;
	unlink(path);
	mask = umask(0177);
	good = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	umask(mask);
	if (!good || listen(fd, SERVER_CLIENTS_MAX) != 0 ||
	    !loop_watch(&daemon->loop, &server->listener, fd, EPOLLIN, listener_ready, server)) {
		snprintf(error, POOL_ERROR_BYTES, "cannot listen at %.100s: %s", path,
			 strerror(errno));
		free(server);
		close(fd);
		return false;
	}
	daemon->server = server;
	return true;
}

void server_close(struct daemon *daemon)
{
	struct server *server = daemon->server;

	while (server->clients != NULL)
		close_client(server->clients);
	loop_drop(&daemon->loop, &server->listener);
	unlink(daemon->options.socket);
	free(server);
	daemon->server = NULL;
}
