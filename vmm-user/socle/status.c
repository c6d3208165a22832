/* SPDX-License-Identifier: BSD-2-Clause */
#include <stddef.h>

#include "status.h"

const struct status_text status_texts[] = {
	{STATUS_OK, "success"},
	{STATUS_FAILED, "the operation failed"},
	{STATUS_USAGE, "wrong usage"},
	{STATUS_NOT_SOCLE, "this machine does not run on Socle"},
	{STATUS_PERMISSION, "permission denied; the key is for root only"},
	{STATUS_REFUSED, "the hypervisor refused the call"},
	{STATUS_ABI, "the hypervisor speaks another version of the ABI"},
	{STATUS_DAMAGED, "the hypervisor's key table is damaged"},
	{STATUS_NO_DAEMON, "socled does not answer"},
	{STATUS_CONFIG, "the domain's configuration is wrong"},
	{STATUS_REBOOTED, "create -c: the domain rebooted, and was not to be restarted"},
	{STATUS_DESTROYED, "create -c: the domain was destroyed"},
	{STATUS_UNKNOWN_VERB, "no such verb"},
	{STATUS_INTERRUPTED, "interrupted by Ctrl-C"},
	{STATUS_OK, NULL},
};
