/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 16550A UART (National Semiconductor PC16550D data sheet), behind a pair of file descriptors.
 *
 * Bytes leave as fast as the descriptor takes them; what it does not take waits in the transmitter
 * FIFO, and the guest sees it full. Bytes come in as fast as the guest reads them. The interrupt
 * that says "transmitter empty" is given once for each time that it becomes empty, and once when
 * it is enabled, and reading IIR takes it away: so a guest that ignores it sees no storm.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "vmm-user/vmm/vmm.h"

#define UART_VERSION 1u
#define UARTS	     4
#define FIFO_BYTES   16
#define NANOSECONDS  1000000000ull
#define UART_HZ	     115200u /* characters' bits a second at divisor 1 */

enum uart_register {
	RBR_THR = 0,
	IER = 1,
	IIR_FCR = 2,
	LCR = 3,
	MCR = 4,
	LSR = 5,
	MSR = 6,
	SCR = 7
};

#define IER_RDA	 0x01u
#define IER_THRE 0x02u
#define IER_RLS	 0x04u
#define IER_MS	 0x08u

#define IIR_NONE    0x01u
#define IIR_MS	    0x00u
#define IIR_THRE    0x02u
#define IIR_RDA	    0x04u
#define IIR_RLS	    0x06u
#define IIR_TIMEOUT 0x0cu
#define IIR_FIFO    0xc0u

#define FCR_ENABLE	 0x01u
#define FCR_CLEAR_RX	 0x02u
#define FCR_CLEAR_TX	 0x04u
#define FCR_TRIGGER(fcr) ((fcr) >> 6 & 3)

#define LCR_DLAB 0x80u
#define MCR_DTR	 0x01u
#define MCR_RTS	 0x02u
#define MCR_OUT1 0x04u
#define MCR_OUT2 0x08u /* lets the interrupt onto the bus of a PC */
#define MCR_LOOP 0x10u
#define MCR_BITS 0x1fu

#define LSR_DR	 0x01u
#define LSR_OE	 0x02u
#define LSR_THRE 0x20u
#define LSR_TEMT 0x40u

#define MSR_DELTA 0x0fu
#define MSR_TERI  0x04u
#define MSR_CTS	  0x10u
#define MSR_DSR	  0x20u
#define MSR_RI	  0x40u
#define MSR_DCD	  0x80u

struct fifo {
	uint8_t byte[FIFO_BYTES];
	uint32_t first, count;
};

struct uart_state {
	uint8_t ier, fcr, lcr, mcr, msr, scr;
	uint8_t overrun, thre_pending, timeout, reserved[7];
	uint16_t divisor, reserved1[3];
	struct fifo rx, tx;
};

struct uart {
	struct vmm *vmm;
	struct uart_state *state;
	int input, output;
	unsigned gsi;
	bool watching;	    /* the input */
	bool output_blocks; /* the output has its own descriptor and is watched */
	struct vmm_timer timer;
};

static const struct {
	uint16_t port;
	uint8_t gsi;
} place[UARTS] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

static const uint8_t trigger[4] = {1, 4, 8, 14};

static void push(struct fifo *fifo, uint8_t byte)
{
	fifo->byte[(fifo->first + fifo->count++) % FIFO_BYTES] = byte;
}

static uint8_t pop(struct fifo *fifo)
{
	uint8_t byte = fifo->byte[fifo->first];

	fifo->first = (fifo->first + 1) % FIFO_BYTES;
	fifo->count--;
	return byte;
}

static bool fifos_on(const struct uart *uart)
{
	return (uart->state->fcr & FCR_ENABLE) != 0;
}

static unsigned room(const struct uart *uart)
{
	return fifos_on(uart) ? FIFO_BYTES : 1;
}

/* Interrupts --------------------------------------------------------------------------------- */

static unsigned rx_trigger(const struct uart *uart)
{
	return fifos_on(uart) ? trigger[FCR_TRIGGER(uart->state->fcr)] : 1;
}

/* The interrupt of highest priority (data sheet, table IV). */
static unsigned interrupt(const struct uart *uart)
{
	const struct uart_state *state = uart->state;

	if ((state->ier & IER_RLS) && state->overrun)
		return IIR_RLS;
	if ((state->ier & IER_RDA) && state->rx.count >= rx_trigger(uart))
		return IIR_RDA;
	if ((state->ier & IER_RDA) && state->timeout)
		return IIR_TIMEOUT;
	if ((state->ier & IER_THRE) && state->thre_pending)
		return IIR_THRE;
	if ((state->ier & IER_MS) && (state->msr & MSR_DELTA))
		return IIR_MS;
	return IIR_NONE;
}

static void update(struct uart *uart)
{
	irq_set(uart->vmm, uart->gsi,
		interrupt(uart) != IIR_NONE && (uart->state->mcr & MCR_OUT2) != 0);
}

/* Four characters of ten bits without one coming in or being read. */
static uint64_t timeout_length(const struct uart *uart)
{
	uint64_t divisor = uart->state->divisor == 0 ? 1 : uart->state->divisor;

	return 40 * divisor * NANOSECONDS / UART_HZ;
}

static void restart_timeout(struct uart *uart)
{
	uart->state->timeout = 0;
	if (fifos_on(uart) && uart->state->rx.count > 0)
		timer_set(uart->vmm, &uart->timer, vmm_now(uart->vmm) + timeout_length(uart));
	else
		timer_clear(uart->vmm, &uart->timer);
}

static void timed_out(void *device)
{
	struct uart *uart = device;

	uart->state->timeout = uart->state->rx.count > 0;
	update(uart);
}

/* Receiving ---------------------------------------------------------------------------------- */

static void receive(struct uart *uart, uint8_t byte)
{
	if (uart->state->rx.count >= room(uart)) {
		uart->state->overrun = 1;
		return;
	}
	push(&uart->state->rx, byte);
	restart_timeout(uart);
}

static void input_ready(void *device, uint32_t events);

/* The descriptor is looked at only while there is room, so nothing is lost. */
static void watch_input(struct uart *uart)
{
	bool wanted = uart->input >= 0 && uart->state->rx.count < room(uart) &&
		      (uart->state->mcr & MCR_LOOP) == 0;
	uint32_t events = (wanted ? POLLIN : 0u) | (uart->output_blocks ? POLLOUT : 0u);

	if (uart->input < 0 || wanted == uart->watching)
		return;
	if (uart->input != uart->output)
		events &= POLLIN;
	if (event_watch(uart->vmm, uart->input, events, input_ready, uart))
		uart->watching = wanted;
	else
		uart->input = -1; /* a file: it has nothing to say */
}

static void flush(struct uart *uart);

static void input_ready(void *device, uint32_t events)
{
	struct uart *uart = device;
	uint8_t bytes[FIFO_BYTES];
	ssize_t got;

	if (events & POLLOUT)
		flush(uart);
	if ((events & (POLLIN | POLLHUP | POLLERR)) == 0 || uart->input < 0)
		return;
	if (uart->state->rx.count >= room(uart)) {
		/* It hung up and cannot be told not to say so. */
		if (events & (POLLHUP | POLLERR)) {
			event_watch(uart->vmm, uart->input, 0, NULL, NULL);
			uart->watching = false;
		}
		return;
	}
	got = read(uart->input, bytes, room(uart) - uart->state->rx.count);
	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
		event_watch(uart->vmm, uart->input, 0, NULL, NULL);
		uart->input = -1;
		return;
	}
	for (ssize_t i = 0; i < got; i++)
		receive(uart, bytes[i]);
	watch_input(uart);
	update(uart);
}

/* Transmitting ------------------------------------------------------------------------------- */

static void watch_output(struct uart *uart, bool wanted)
{
	uint32_t events = wanted ? POLLOUT : 0;

	if (wanted == uart->output_blocks)
		return;
	uart->output_blocks = wanted;
	if (uart->input == uart->output && uart->watching)
		events |= POLLIN;
	if (!event_watch(uart->vmm, uart->output, events, input_ready, uart))
		uart->output = -1;
}

static void sent(struct uart *uart)
{
	if (uart->state->tx.count == 0)
		uart->state->thre_pending = 1;
	update(uart);
}

static void flush(struct uart *uart)
{
	struct fifo *tx = &uart->state->tx;

	while (tx->count > 0 && uart->output >= 0) {
		uint8_t bytes[FIFO_BYTES];
		ssize_t put;

		for (uint32_t i = 0; i < tx->count; i++)
			bytes[i] = tx->byte[(tx->first + i) % FIFO_BYTES];
		put = write(uart->output, bytes, tx->count);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0 && errno == EAGAIN) {
			watch_output(uart, true);
			return;
		}
		if (put < 0)
			break;
		tx->first = (tx->first + (uint32_t)put) % FIFO_BYTES;
		tx->count -= (uint32_t)put;
	}
	tx->count = 0; /* nobody is there: as with an open line */
	if (uart->output >= 0)
		watch_output(uart, false);
	sent(uart);
}

static void transmit(struct uart *uart, uint8_t byte)
{
	struct fifo *tx = &uart->state->tx;

	uart->state->thre_pending = 0;
	update(uart);
	if (uart->state->mcr & MCR_LOOP) {
		receive(uart, byte);
		sent(uart);
		return;
	}
	/* The guest did not look at LSR: the byte that came last gives way. */
	if (tx->count >= room(uart))
		tx->count--;
	push(tx, byte);
	if (!uart->output_blocks)
		flush(uart);
}

/* Modem lines -------------------------------------------------------------------------------- */

/* The other end is always there; in a loop the outputs are the inputs. */
static void update_modem(struct uart *uart)
{
	struct uart_state *state = uart->state;
	uint8_t lines = MSR_CTS | MSR_DSR | MSR_DCD, changed;

	if (state->mcr & MCR_LOOP)
		lines = (uint8_t)((state->mcr & MCR_RTS ? MSR_CTS : 0) |
				  (state->mcr & MCR_DTR ? MSR_DSR : 0) |
				  (state->mcr & MCR_OUT1 ? MSR_RI : 0) |
				  (state->mcr & MCR_OUT2 ? MSR_DCD : 0));
	changed = (uint8_t)((lines ^ state->msr) >> 4);
	/* The ring indicator's delta is its trailing edge. */
	if (lines & MSR_RI)
		changed &= (uint8_t)~MSR_TERI;
	state->msr = (uint8_t)(lines | (state->msr & MSR_DELTA) | changed);
}

/* Registers ---------------------------------------------------------------------------------- */

static uint8_t read_rbr(struct uart *uart)
{
	uint8_t byte = 0;

	if (uart->state->rx.count > 0)
		byte = pop(&uart->state->rx);
	restart_timeout(uart);
	watch_input(uart);
	return byte;
}

static uint8_t read_iir(struct uart *uart)
{
	unsigned source = interrupt(uart);

	if (source == IIR_THRE)
		uart->state->thre_pending = 0;
	return (uint8_t)(source | (fifos_on(uart) ? IIR_FIFO : 0));
}

static uint8_t read_lsr(struct uart *uart)
{
	struct uart_state *state = uart->state;
	unsigned value = 0;

	if (state->rx.count > 0)
		value |= LSR_DR;
	if (state->overrun)
		value |= LSR_OE;
	/* With FIFOs, THRE says "empty"; room beyond that is the guest's to count. */
	if (state->tx.count == 0)
		value |= LSR_THRE | LSR_TEMT;
	state->overrun = 0;
	return (uint8_t)value;
}

/* A register whose reading may change something. */
static __attribute__((noinline)) uint64_t read_and_update(struct uart *uart, uint64_t offset)
{
	struct uart_state *state = uart->state;
	bool dlab = (state->lcr & LCR_DLAB) != 0;
	uint8_t value = 0;

	switch (offset) {
	case RBR_THR:
		value = dlab ? (uint8_t)state->divisor : read_rbr(uart);
		break;
	case IER:
		value = dlab ? (uint8_t)(state->divisor >> 8) : state->ier;
		break;
	case IIR_FCR:
		value = read_iir(uart);
		break;
	case LSR:
		value = read_lsr(uart);
		break;
	case MSR:
		value = state->msr;
		state->msr &= (uint8_t)~MSR_DELTA;
		break;
	}
	update(uart);
	return value;
}

static uint64_t uart16550_read(void *device, uint64_t offset, unsigned bytes)
{
	struct uart *uart = device;

	if (bytes != 1)
		return ~0ull;
	switch (offset) {
	case LCR:
		return uart->state->lcr;
	case MCR:
		return uart->state->mcr;
	case SCR:
		return uart->state->scr;
	default:
		return read_and_update(uart, offset);
	}
}

static void write_fcr(struct uart *uart, uint8_t value)
{
	struct uart_state *state = uart->state;

	/* Switching the FIFOs on or off empties them. */
	if ((state->fcr ^ value) & FCR_ENABLE)
		value |= FCR_CLEAR_RX | FCR_CLEAR_TX;
	if (value & FCR_CLEAR_RX) {
		state->rx.count = 0;
		state->overrun = 0;
	}
	if ((value & FCR_CLEAR_TX) && state->tx.count > 0) {
		state->tx.count = 0;
		state->thre_pending = 1;
	}
	/* The other bits are heard only if the FIFOs are on. */
	state->fcr = value & FCR_ENABLE ? (uint8_t)(value & 0xc9) : 0;
	restart_timeout(uart);
	watch_input(uart);
}

static void write_ier(struct uart *uart, uint8_t value)
{
	struct uart_state *state = uart->state;

	if ((value & ~state->ier & IER_THRE) && state->tx.count == 0)
		state->thre_pending = 1;
	state->ier = value & (IER_RDA | IER_THRE | IER_RLS | IER_MS);
}

static void uart16550_write(void *device, uint64_t offset, unsigned bytes, uint64_t wide)
{
	struct uart *uart = device;
	struct uart_state *state = uart->state;
	bool dlab = (state->lcr & LCR_DLAB) != 0;
	uint8_t value = (uint8_t)wide;

	if (bytes != 1)
		return;
	switch (offset) {
	case RBR_THR:
		if (dlab)
			state->divisor = (uint16_t)((state->divisor & 0xff00) | value);
		else
			transmit(uart, value);
		break;
	case IER:
		if (dlab)
			state->divisor = (uint16_t)((state->divisor & 0xff) | value << 8);
		else
			write_ier(uart, value);
		break;
	case IIR_FCR:
		write_fcr(uart, value);
		break;
	case LCR:
		state->lcr = value;
		break;
	case MCR:
		state->mcr = value & MCR_BITS;
		update_modem(uart);
		watch_input(uart);
		break;
	case SCR:
		state->scr = value;
		break;
	}
	update(uart);
}

static void nonblocking(int fd)
{
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

bool uart16550_create(struct vmm *vmm, unsigned index, int input, int output)
{
	static struct uart device[UARTS];
	struct uart *uart;
	struct bus_range range = {"UART", 0, 8, uart16550_read, uart16550_write, NULL};
	bool fresh;

	if (index >= UARTS)
		return false;
	uart = &device[index];
	*uart = (struct uart){.vmm = vmm,
			      .input = input,
			      .output = output,
			      .gsi = place[index].gsi,
			      .timer = {.expired = timed_out, .device = uart}};
	uart->state = state_section(vmm, "uart", index, UART_VERSION, sizeof(*uart->state), &fresh);
	if (uart->state == NULL)
		return false;
	if (fresh)
		*uart->state =
			(struct uart_state){.divisor = 12, .msr = MSR_CTS | MSR_DSR | MSR_DCD};
	if (uart->state->rx.first >= FIFO_BYTES || uart->state->rx.count > FIFO_BYTES ||
	    uart->state->tx.first >= FIFO_BYTES || uart->state->tx.count > FIFO_BYTES) {
		vmm_log(vmm, "uart %u: a FIFO was left in a state that does not exist", index);
		return false;
	}
	nonblocking(input);
	nonblocking(output);
	range.base = place[index].port;
	range.device = uart;
	restart_timeout(uart);
	watch_input(uart);
	if (uart->state->tx.count > 0)
		flush(uart);
	return bus_add(vmm, BUS_PORT, &range);
}
