/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * xl-network-configuration(5): "key=value, ...". A bridge makes a tap device on it; without one the
 * domain gets user-mode networking.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "config.h"

/* Locally administered; the rest is random. */
#define MAC_FIRST 0x02

static bool refuse(const struct config_value *value, struct config_reporter *reporter,
		   const char *key, const char *expected, const char *found)
{
	config_error(reporter, value->place, "vif: %s: expected %s, found '%.100s'", key, expected,
		     found);
	return false;
}

static bool parse_mac(const char *text, uint8_t mac[6])
{
	unsigned int byte[6];
	char extra;

	if (strlen(text) != 17 || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &byte[0], &byte[1],
					 &byte[2], &byte[3], &byte[4], &byte[5], &extra) != 6)
		return false;
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)byte[i];
	return strspn(text, "0123456789abcdefABCDEF:") == 17;
}

/* What the service VM's own network or the guest has to do. */
static bool is_ignored(const char *key)
{
	static const char *const ignored[] = {
		"script", "ip",	   "backend", "rate",	 "vifname", "gatewaydev",
		"netdev", "devid", "mtu",     "trusted", "accel",
	};

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++) {
		if (strcmp(ignored[i], key) == 0)
			return true;
	}
	return false;
}

static bool take_pair(const struct config_value *value, struct net_config *net, bool *has_mac,
		      const char *key, const char *word, struct config_reporter *reporter)
{
	if (strcmp(key, "mac") == 0) {
		*has_mac = parse_mac(word, net->mac);
		if (!*has_mac)
			return refuse(value, reporter, key, "xx:xx:xx:xx:xx:xx", word);
		if ((net->mac[0] & 1) != 0)
			return refuse(value, reporter, key,
				      "a unicast address (an even first byte)", word);
	} else if (strcmp(key, "bridge") == 0) {
		/* IFNAMSIZ, with its zero byte. */
		if (word[0] == 0 || strlen(word) > 15 || strpbrk(word, "/ \t") != NULL)
			return refuse(value, reporter, key, "a bridge's name", word);
		snprintf(net->bridge, sizeof(net->bridge), "%s", word);
		net->mode = NET_TAP;
	} else if (strcmp(key, "type") == 0) {
		if (strcmp(word, "ioemu") != 0 && strcmp(word, "vif") != 0)
			return refuse(value, reporter, key, "'ioemu' or 'vif'", word);
	} else if (strcmp(key, "model") == 0) {
		if (strcmp(word, "virtio") != 0 && strcmp(word, "virtio-net") != 0)
			config_warn(reporter, value->place,
				    "vif: model '%.100s' is not supported: virtio-net is used",
				    word);
	} else if (is_ignored(key)) {
		config_warn(reporter, value->place, "vif: '%s' is not used", key);
	} else {
		return refuse(value, reporter, "key", "mac, bridge, type, model or script", key);
	}
	return true;
}

bool config_net(const struct config_value *value, struct net_config *net,
		struct config_reporter *reporter)
{
	bool good = true, has_mac = false;
	char *copy, *rest;

	*net = (struct net_config){.mode = NET_USER};
	if (value->type != CONFIG_STRING) {
		config_error(reporter, value->place,
			     "vif: expected a string \"mac=...,bridge=...\", found %s",
			     config_describe(value));
		return false;
	}
	copy = strdup(value->text);
	rest = copy;
	while (good && rest != NULL) {
		char *word = config_next_word(&rest);
		char *text = config_cut_pair(word);

		if (text != NULL)
			good = take_pair(value, net, &has_mac, word, text, reporter);
		else if (word[0] != 0)
			good = refuse(value, reporter, "word", "'key=value'", word);
	}
	free(copy);
	if (good && !has_mac) {
		if (getrandom(net->mac, sizeof(net->mac), 0) != (ssize_t)sizeof(net->mac)) {
			config_error(reporter, value->place, "vif: no random numbers for a MAC");
			return false;
		}
		net->mac[0] = MAC_FIRST;
	}
	return good;
}
