/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol of running, kicking, waking and destroying, for Spin: what CPUs and threads say to each
 * other without a lock, statement by statement as in the code. tests/check/check_model.py runs it;
 * docs/testing.md says how to run it by hand.
 *
 *   guest_run() guest_kick() leave() handle_nmi()        hv/guest.c
 *   destroy() map()                                      hv/domain.c
 *   shootdown() call() answer() spin_lock_answering()    hv/shootdown.c
 *   post()                                               hv/apic.c
 *   vcpu_thread() notify() sleep_until_work()            vmm-user/vmm/vcpu.c
 *
 * A vCPU is, in the words of the code's comments,
 *   out        running is 0
 *   entering   running is 1, and nobody has to be told: guest_run() has yet to look at state, kicked, posted
 *   inside     cpu->current is the vCPU: who has something for it sends an NMI
 *   leaving    from its exit until running is 0: what comes now is found by the VMM's thread
 *
 * Threads of the service VM run on any CPU that runs no guest. Exactly one of these is defined:
 *   RUN       two threads run vCPU 0 while the domain is destroyed
 *   KICK      one does, somebody kicks it, and the domain is destroyed
 *   MAP       one does, somebody maps memory, and the domain is destroyed
 *   WAKE      a device posts interrupts and signals to a vCPU that computes, halts and does I/O
 *   IPI       vCPU 1 sends interrupts to vCPU 0, which sleeps now and then
 *
 * Asserted: a vCPU is on one CPU (no run on two), no structure is touched when its frame has been returned
 * (no use after destroy). When nothing can move any more (timeout): no work waits for a vCPU that sleeps or
 * computes (no lost wake-up), and the domain is gone if somebody destroys it.
 *
 * What is left out only makes more happen here than there: a guest need not exit by itself, the service VM's
 * ticks do not end runs, no timeout ends a sleep. Memory is sequentially consistent: of each pair of "write
 * mine, read yours" the write is a locked instruction, and an exit orders the rest.
 *
 * Each BREAK_ is a mistake that has to be found.
 */

#define CPUS  3
#define VCPUS 2
#define NONE  255
#ifndef IPIS
#define IPIS 1
#endif

mtype = { ALIVE, DYING };
mtype = { WHERE_VMM, WHERE_GUEST, WHERE_IDLE };
mtype = { IN_SERVICE, IN_HYPERVISOR, IN_GUEST };
mtype = { EXIT_INTERRUPT, EXIT_HLT, EXIT_IO, EXIT_WAKE, ERROR_BUSY, ERROR_DOMAIN };

/* struct domain, and its entry in domains[] */
bool registered = true;
mtype state = ALIVE;
byte users;

/* struct vcpu and its area */
bit running[VCPUS], kicked[VCPUS], posted[VCPUS];
byte cpu_of[VCPUS] = NONE;
mtype where[VCPUS] = WHERE_VMM;

/* The VMM's own: struct vcpu_state, and the futex. */
bit pending[VCPUS], halted[VCPUS], sleeping[VCPUS];

/* struct cpu, and the NMI that its hardware holds */
bit nmi[CPUS], expected[CPUS], asked[CPUS];
mtype mode[CPUS] = IN_SERVICE;

bit domains_lock;

/* What is observed. */
byte inside[VCPUS];
bool vcpu_returned, domain_returned; /* the frames they were in */
bool destroyed;

#define IN_DOMAIN assert(!domain_returned)
#define IN_VCPU	  assert(!vcpu_returned)

/*
 * A hypercall, on whichever CPU the service VM's scheduler took: one that runs no guest. Nothing else of that
 * CPU goes on until it is entered again.
 */
inline enter_hypervisor(c)
{
	atomic {
		if
		:: mode[0] == IN_SERVICE -> c = 0
		:: mode[1] == IN_SERVICE -> c = 1
		:: mode[2] == IN_SERVICE -> c = 2
		fi;
		mode[c] = IN_HYPERVISOR
	}
}
inline leave_hypervisor(c) { atomic { mode[c] = IN_SERVICE; c = 0 } }

/* hv/shootdown.c --------------------------------------------------------------------------------- */

inline call(c)
{
	atomic {
		if
		:: !expected[c] -> expected[c] = 1; nmi[c] = 1
		:: else
		fi
	}
}

inline answer(c)
{
#ifdef BREAK_ANSWER_LATE
	asked[c] = 0
#else
	expected[c] = 0;
	asked[c] = 0
#endif
}

inline spin_lock_answering(c)
{
	do
	:: atomic { domains_lock == 0 -> domains_lock = 1 }; break
#ifndef BREAK_LOCK
	:: asked[c] -> asked[c] = 0
#endif
	od
}

inline spin_unlock() { domains_lock = 0 }

inline shootdown(c)
{
	d_step { asked[0] = 1; asked[1] = 1; asked[2] = 1 };
	asked[c] = 0;
	if :: c != 0 -> call(0) :: else fi;
	if :: c != 1 -> call(1) :: else fi;
	if :: c != 2 -> call(2) :: else fi;
	asked[0] == 0 && asked[1] == 0 && asked[2] == 0
}

inline shootdown_kick(from, c)
{
	if
	:: c != NONE && c != from -> call(c)
	:: else
	fi
}

/* An NMI at a CPU that is in the service VM. */
proctype service_nmi(byte c)
{
end:	do
	:: atomic { nmi[c] && mode[c] == IN_SERVICE -> mode[c] = IN_HYPERVISOR; nmi[c] = 0 };
	   answer(c);
#ifdef BREAK_ANSWER_LATE
	   expected[c] = 0;
#endif
	   mode[c] = IN_SERVICE
#ifdef BREAK_ANSWER_AT_ONCE
	/* as if the handler of an NMI in the hypervisor answered it */
	:: atomic { nmi[c] && mode[c] == IN_HYPERVISOR -> nmi[c] = 0 };
	   answer(c)
#endif
	od
}

/* hv/guest.c ------------------------------------------------------------------------------------- */

inline deliver(v) { IN_VCPU; posted[v] = 0 }

/* leaving -> out */
inline leave(c, v, reason)
{
	d_step { inside[v]--; IN_VCPU };
	where[v] = WHERE_VMM;
	IN_VCPU;
	running[v] = 0;
	d_step { IN_DOMAIN; users--; result = reason }
}

/* Sets an interrupt for another vCPU, from the CPU of a running one. */
inline post(from, to, wake)
{
#ifndef BREAK_POST
	posted[to] = 1;
#endif
	if
	:: running[to] ->
#ifdef BREAK_POST
		posted[to] = 1;
#endif
		shootdown_kick(from, cpu_of[to])
	:: else ->
#ifdef BREAK_POST
		posted[to] = 1;
#endif
		if
		:: where[to] == WHERE_IDLE -> wake = true
		:: else
		fi
	fi
}

/*
 * The hypercall, and the run until it is left; result says why. The guest decides at its entry what it will
 * do: compute for ever, or exit. An NMI may come first.
 */
inline guest_run(c, v, result)
{
	enter_hypervisor(c);
	if
	:: !registered -> result = ERROR_DOMAIN
	:: else ->
		/* domain_call() */
		IN_DOMAIN;
		if
		:: state != ALIVE -> result = ERROR_DOMAIN
		:: else ->
			IN_VCPU;
#ifdef BREAK_RUNNING
			if
			:: running[v] -> result = ERROR_BUSY
			:: else -> running[v] = 1; result = 0
			fi;
#else
			atomic {
				if
				:: running[v] -> result = ERROR_BUSY
				:: else -> running[v] = 1; result = 0
				fi
			};
#endif
			if
			:: result == ERROR_BUSY
			:: else -> /* entering */
#ifdef BREAK_USERS
				cpu_of[v] = c;
				if
				:: state != ALIVE -> result = EXIT_INTERRUPT
				:: else
				fi;
				d_step { IN_DOMAIN; users++ };
#else
				d_step { IN_DOMAIN; users++ };
				cpu_of[v] = c;
				if
				:: state != ALIVE -> result = EXIT_INTERRUPT
				:: else
				fi;
#endif
				if
				:: result == 0 ->
					d_step {
						IN_VCPU;
						if
						:: kicked[v] -> kicked[v] = 0; result = EXIT_INTERRUPT
						:: else
						fi
					}
				:: else
				fi;
				if
				:: result == EXIT_INTERRUPT ->
					d_step { IN_DOMAIN; users-- };
					d_step { IN_VCPU; running[v] = 0 }
				:: else ->
					where[v] = WHERE_GUEST;
					deliver(v);
					d_step { inside[v]++; assert(inside[v] == 1) };
					guest(c, v, result)
				fi
			fi
		fi
	fi;
	atomic { will = 0; leave_hypervisor(c) }
}

/* inside */
inline guest(c, v, result)
{
	atomic {
		if
		:: will = EXIT_INTERRUPT
		:: will = EXIT_HLT
		:: will = EXIT_IO
		fi
	};
	do
	:: result != 0 -> break
	:: else ->
		mode[c] = IN_GUEST;
		if
		:: nmi[c] ->
			atomic { mode[c] = IN_HYPERVISOR; nmi[c] = 0 };
			answer(c);
			/* handle_nmi() */
			IN_DOMAIN;
			if
			:: state != ALIVE -> leave(c, v, EXIT_INTERRUPT)
			:: else ->
				d_step {
					IN_VCPU;
					if
					:: kicked[v] -> kicked[v] = 0; result = EXIT_INTERRUPT
					:: else
					fi
				};
				if
				:: result == EXIT_INTERRUPT -> leave(c, v, EXIT_INTERRUPT)
				:: else -> deliver(v)
				fi
			fi;
#ifdef BREAK_ANSWER_LATE
			expected[c] = 0;
#endif
		:: will == EXIT_HLT ->
			mode[c] = IN_HYPERVISOR;
			/* handle_hlt() */
			if
			:: posted[v] -> deliver(v); will = EXIT_INTERRUPT
			:: else -> leave(c, v, EXIT_HLT)
			fi
		:: will == EXIT_IO ->
			mode[c] = IN_HYPERVISOR;
			IN_VCPU;
			leave(c, v, EXIT_IO)
		:: ipis[v] > 0 ->
			/* a write to the ICR */
			mode[c] = IN_HYPERVISOR;
			ipis[v]--;
			wake = false;
			post(c, other, wake);
			if
			:: wake -> leave(c, v, EXIT_WAKE)
			:: else -> deliver(v)
			fi
		fi
	od
}

byte ipis[VCPUS]; /* that a guest has yet to send */

inline guest_kick(c, v)
{
	enter_hypervisor(c);
	if
	:: !registered
	:: else ->
		IN_DOMAIN;
		if
		:: state != ALIVE
		:: else ->
			IN_VCPU;
#ifdef BREAK_KICK
			if
			:: running[v] -> kicked[v] = 1; shootdown_kick(c, cpu_of[v])
			:: else
			fi
#else
			kicked[v] = 1;
			IN_VCPU;
			if
			:: running[v] -> IN_VCPU; shootdown_kick(c, cpu_of[v])
			:: else
			fi
#endif
		fi
	fi;
	leave_hypervisor(c)
}

/* hv/domain.c ------------------------------------------------------------------------------------ */

/* One call of domain_destroy. Two frames are donated: the second, returned first, holds the vCPU. */
inline destroy(c, again)
{
	enter_hypervisor(c);
	spin_lock_answering(c);
	if
	:: !registered -> again = false
	:: else ->
		IN_DOMAIN;
		state = DYING;
		if
		:: users != 0 -> shootdown(c)
		:: else ->
#ifndef BREAK_GRACE
			shootdown(c);
#endif
			if
			:: !vcpu_returned -> vcpu_returned = true; shootdown(c)
			:: else ->
				registered = false;
#ifndef BREAK_UNLINK
				shootdown(c);
#endif
				domain_returned = true;
				shootdown(c);
				again = false
			fi
		fi
	fi;
	spin_unlock();
	leave_hypervisor(c)
}

/* domain_map, or any other call that takes the lock with the domain's key. */
inline map(c)
{
	enter_hypervisor(c);
	if
	:: !registered
	:: else ->
		IN_DOMAIN;
		if
		:: state != ALIVE
		:: else ->
			spin_lock_answering(c);
#ifdef BREAK_FIND
			IN_DOMAIN;
			shootdown(c);
#else
			/* alive() */
			if
			:: !registered
			:: else ->
				IN_DOMAIN;
				if
				:: state != ALIVE
				:: else -> shootdown(c)
				fi
			fi;
#endif
			spin_unlock()
		fi
	fi;
	leave_hypervisor(c)
}

/* vmm-user/vmm/vcpu.c ---------------------------------------------------------------------------- */

inline notify(c, v)
{
	seen = where[v];
	if
	:: seen == WHERE_IDLE ->
		atomic {
			if
			:: where[v] == WHERE_IDLE -> where[v] = WHERE_VMM; claimed = true
			:: else -> claimed = false
			fi
		};
		if
		:: claimed -> sleeping[v] = 0
		:: else
		fi
	:: seen == WHERE_GUEST -> guest_kick(c, v)
	:: else
	fi
}

#define HAS_WORK(v) (!halted[v] || pending[v] || posted[v])

inline sleep_until_work(v)
{
	do
	:: HAS_WORK(v) -> break
	:: else ->
		where[v] = WHERE_IDLE;
		if
#ifndef BREAK_IDLE
		:: HAS_WORK(v)
#else
		:: false
#endif
		:: else ->
			/* futex: sleeps only while the word is as it was */
			atomic {
				if
				:: where[v] == WHERE_IDLE -> sleeping[v] = 1
				:: else
				fi
			};
			sleeping[v] == 0
		fi;
		where[v] = WHERE_VMM
	od;
	halted[v] = 0
}

proctype vcpu_thread(byte v)
{
	byte cpu, other = 1 - v; /* the other vCPU */
	mtype result, will, seen;
	bool wake, claimed;

	do
	:: sleep_until_work(v);
	   /* take_signals() */
	   if
	   :: pending[v] -> pending[v] = 0
	   :: else
	   fi;
	   where[v] = WHERE_GUEST;
#ifndef BREAK_GUEST
	   if
	   :: pending[v] -> where[v] = WHERE_VMM
	   :: else ->
#endif
		   guest_run(cpu, v, result);
		   /* leave() has written it, behind a run */
		   if
		   :: result == EXIT_IO
		   :: else -> where[v] = WHERE_VMM
		   fi;
		   if
		   :: result == ERROR_DOMAIN -> break
		   :: result == EXIT_HLT -> halted[v] = 1
		   :: result == EXIT_WAKE -> notify(cpu, other)
		   :: else
		   fi
#ifndef BREAK_GUEST
	   fi
#endif
	od
}

/* Threads that do nothing but run a vCPU: until the domain is gone, or once. */
proctype runner(byte v; bool once)
{
	byte cpu, other = 1 - v;
	mtype result, will;
	bool wake;

	do
	:: guest_run(cpu, v, result);
	   if
	   :: once || result == ERROR_DOMAIN -> break
	   :: else
	   fi
	od
}

proctype device(byte v)
{
	byte cpu;
	mtype seen;
	bool claimed;

	/* vcpu_post() */
	posted[v] = 1;
	notify(cpu, v);
	/* vcpu_signal() */
	pending[v] = 1;
	notify(cpu, v);
	/* and once more */
#ifdef BREAK_NOTIFY
	notify(cpu, v);
	posted[v] = 1
#else
	posted[v] = 1;
	notify(cpu, v)
#endif
}

proctype kicker(byte v)
{
	byte cpu;

	guest_kick(cpu, v)
}

proctype mapper()
{
	byte cpu;

	map(cpu)
}

proctype destroyer()
{
	byte cpu;
	bool again = true;

	do
	:: again -> destroy(cpu, again)
	:: else -> break
	od;
	destroyed = true
}

init
{
	atomic {
#if defined(RUN) || defined(KICK) || defined(MAP)
		run runner(0, false);
		run destroyer();
#endif
#ifdef RUN
		run runner(0, true);
#endif
#ifdef KICK
		run kicker(0);
#endif
#ifdef MAP
		run mapper();
#endif
#ifdef WAKE
		run vcpu_thread(0);
		run device(0);
#endif
#ifdef IPI
		ipis[1] = IPIS;
		run vcpu_thread(0);
		run vcpu_thread(1);
#endif
		run service_nmi(0);
		run service_nmi(1);
		run service_nmi(2)
	};
	/* Nothing can move any more. */
	timeout;
#if defined(RUN) || defined(KICK) || defined(MAP)
	assert(destroyed && users == 0);
#else
	assert(!inside[0] || (!posted[0] && !pending[0] && !kicked[0]));
	assert(!sleeping[0] || (!posted[0] && !pending[0]));
	assert(inside[0] || sleeping[0]);
#endif
}
