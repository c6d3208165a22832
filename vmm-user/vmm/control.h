/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How socled starts a domain's VMM and talks to it. The only header that both sides share beside
 * the ABI.
 *
 * START. socled forks, drops to the domain's own user with no capabilities and no_new_privs, and
 * executes
 *
 *     socle-vmm --config FD
 *
 * FD is readable and holds one JSON object, the configuration, up to the end of file. Further open
 * descriptors are 0 (/dev/null), 1 and 2 (the domain's log: one line is one entry) and those that
 * the configuration names. Every number is a JSON integer, except physical addresses and key words,
 * which are strings "0x...", as they need 64 bits.
 *
 *     name        string    the domain's name, for messages
 *     uuid        string    "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
 *     domain      integer   number, for hypercalls
 *     key         array     the domain's key, words 0 and 1, strings
 *     vendor      string    "svm" or "vmx": which instruction makes a hypercall
 *     control_fd  integer   this protocol: a connected stream socket
 *     serial_fd   integer   the first UART, input and output: a connected stream socket; absent:
 *                           what the guest writes is lost
 *     serial2_fd  integer   the same for the second UART
 *     channels    array     of {"name", "fd"}: virtio consoles, each with a stream socket
 *     memory_fd   integer   the domain's memory, to be mapped shared; nothing else of it is ours
 *     memory      array     of {"offset", "bytes", "physical"}: offset in memory_fd and size in
 *                           bytes, both multiples of 2 MiB, and host-physical address. Together
 *                           memory_mib MiB and vmm_control_frames() frames more, behind it
 *     memory_mib  integer   the guest's RAM in MiB, even
 *     vcpus       integer   1 .. SOCLE_MAX_VCPUS
 *     kernel      string    path, for messages; absent: firmware is started
 *     kernel_fd   integer   the file, open for reading
 *     ramdisk     string    absent: none
 *     ramdisk_fd  integer
 *     firmware    string    absent: the default
 *     cmdline     string    "" if none
 *     disks       array     of {"target", "vdev", "format", "readonly", "cdrom", "snapshot", "fd"}:
 *                           target is a path for messages, vdev is "xvda", "sda", "hda" ..., format
 *                           is "raw"; fd is open for reading and, unless readonly or snapshot,
 *                           writing
 *     rtc_local   boolean   the real-time clock is in local time; absent: in UTC
 *     nets        array     of {"mac", "model", "mode", "bridge", "fd"}: mode is "user" (no bridge;
 *                           fd is a stream socket with passt at the other end) or "tap" (fd is a
 *                           tap device)
 *
 * All frames are assigned to the domain before the VMM starts, and zeroed. The vCPUs' areas and
 * behind them the state region are the VMM's own and must never be the guest's. A PC has no RAM at
 * VMM_HOLE, where the old graphics adapter and the adapters' ROMs are: so what would be RAM there
 * holds them, and costs nothing. If that is too small, they are in a frame more, behind the RAM.
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
 *     {"do": "memory", "mib": N}
 *                         have the guest's balloon driver leave it N MiB of its RAM
 *     {"do": "quit"}      end at once; flush disks, say "ended" with how "destroy", exit
 *
 * The VMM says
 *     {"event": "ready"}      its devices are made and the guest's image is loaded; it waits
 *     {"event": "started"}    the guest runs ("start" has been done)
 *     {"event": "paused"}     no vCPU runs any more
 *     {"event": "unpaused"}
 *     {"event": "memory", "mib": N, "free_mib": F}
 *                             the balloon leaves the guest N MiB; F, if the guest has told it, is
 *                             what it does not use of them. At changes, some of them together
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

#define VMM_HOLE	 0xa0000u /* guest-physical: 640 .. 896 KiB */
#define VMM_HOLE_BYTES	 0x40000u
#define VMM_HOLE_VCPUS	 16u /* it is large enough for so many */
#define VMM_HOLE_DEVICES 8u  /* disks and networks */

/* Frames of a domain beside its RAM, for vCPUs' areas and the state region. */
static inline unsigned vmm_control_frames(unsigned vcpus, unsigned disks_and_nets)
{
	return vcpus > VMM_HOLE_VCPUS || disks_and_nets > VMM_HOLE_DEVICES;
}

#define VMM_READY_SECONDS 60 /* loading a large image from a slow disk */
#define VMM_QUIT_SECONDS  5

#define VMM_DO_START	"start"
#define VMM_DO_PAUSE	"pause"
#define VMM_DO_UNPAUSE	"unpause"
#define VMM_DO_SHUTDOWN "shutdown"
#define VMM_DO_RESET	"reset"
#define VMM_DO_MEMORY	"memory"
#define VMM_DO_QUIT	"quit"

#define VMM_EVENT_READY	   "ready"
#define VMM_EVENT_STARTED  "started"
#define VMM_EVENT_PAUSED   "paused"
#define VMM_EVENT_UNPAUSED "unpaused"
#define VMM_EVENT_MEMORY   "memory"
#define VMM_EVENT_ENDED	   "ended"

#define VMM_HOW_POWEROFF "poweroff"
#define VMM_HOW_REBOOT	 "reboot"
#define VMM_HOW_CRASH	 "crash"
#define VMM_HOW_DESTROY	 "destroy"

#endif
