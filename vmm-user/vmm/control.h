/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How socled starts a domain's VMM and talks to it. The only header that both sides share beside
 * the ABI.
 *
 * START. socled makes the domain, assigns its memory, zeroed, and executes
 *
 *     socle-vmm --config FD
 *
 * FD is readable and holds the configuration (config.h) up to the end of file. Further open
 * descriptors are 0 (/dev/null), 1 and 2 (the domain's log: one line is one entry) and those that
 * the configuration names. The process is in the domain's cgroup and is killed when socled dies. It
 * becomes the configuration's user before it looks at anything that the domain's owner provides.
 *
 * PROTOCOL. Each side writes lines: one JSON object without a newline inside, and '\n', together at
 * most VMM_CONTROL_LINE_BYTES. Members that are not known are passed over.
 *
 * socled says
 *     {"do": "start"}     once, after "ready": run the guest
 *     {"do": "pause"}     stop all vCPUs and the machine's clock; again is harmless
 *     {"do": "unpause"}   go on; answered even if it was not paused
 *     {"do": "shutdown"}  press the power button
 *     {"do": "reset"}     reset the machine: as if the guest had asked for it
 *     {"do": "quit"}      end at once; flush disks, say "ended" with how "destroy", exit
 *
 * The VMM says
 *     {"event": "ready"}      its devices are made and the guest's image is loaded; it waits
 *     {"event": "started"}    the guest runs ("start" has been done)
 *     {"event": "paused"}     no vCPU runs any more
 *     {"event": "unpaused"}
 *     {"event": "ended", "how": HOW, "reason": TEXT}
 *                             the last line. HOW: "poweroff", "reboot", "crash" or "destroy"; the
 *                             reason is for people. Then it exits with status 0.
 *
 * A VMM that cannot go on says "ended" with how "crash", if it can. One that exits without "ended"
 * has crashed. A VMM whose control socket is closed by the other side exits. socled kills a VMM
 * that is not "ready" within VMM_READY_SECONDS, or still there VMM_QUIT_SECONDS after "quit".
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#define VMM_CONTROL_LINE_BYTES 4096

#define VMM_READY_SECONDS 60 /* loading a large image from a slow disk */
#define VMM_QUIT_SECONDS  5

#define VMM_DO_START	"start"
#define VMM_DO_PAUSE	"pause"
#define VMM_DO_UNPAUSE	"unpause"
#define VMM_DO_SHUTDOWN "shutdown"
#define VMM_DO_RESET	"reset"
#define VMM_DO_QUIT	"quit"

#define VMM_EVENT_READY	   "ready"
#define VMM_EVENT_STARTED  "started"
#define VMM_EVENT_PAUSED   "paused"
#define VMM_EVENT_UNPAUSED "unpaused"
#define VMM_EVENT_ENDED	   "ended"

#define VMM_HOW_POWEROFF "poweroff"
#define VMM_HOW_REBOOT	 "reboot"
#define VMM_HOW_CRASH	 "crash"
#define VMM_HOW_DESTROY	 "destroy"

#endif
