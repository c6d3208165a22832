/* SPDX-License-Identifier: BSD-2-Clause */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fake_vmm.h"
#include "unit.h"

#define COM1 0x3f8
#define GSI  4

static struct vmm *vmm;
static int other; /* the far end of the line */

static void start(void)
{
	int pair[2];

	vmm = fake_vmm_start();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	other = pair[0];
	fcntl(other, F_SETFL, O_NONBLOCK);
	ck_assert(uart16550_create(vmm, 0, pair[1], pair[1]));
	out8(COM1 + 4, 0x0b); /* DTR, RTS, OUT2 */
}

static void type(const char *text)
{
	ck_assert_int_eq(write(other, text, strlen(text)), (int)strlen(text));
	fake_vmm_poll();
}

static ssize_t seen(char *text, size_t bytes)
{
	ssize_t got = read(other, text, bytes - 1);

	text[got < 0 ? 0 : got] = 0;
	return got;
}

START_TEST(probe)
{
	out8(COM1 + 1, 0xff);
	ck_assert_uint_eq(in8(COM1 + 1), 0x0f);
	out8(COM1 + 1, 0);
	out8(COM1 + 7, 0x5a);
	ck_assert_uint_eq(in8(COM1 + 7), 0x5a);
	ck_assert_uint_eq(in8(COM1 + 2), 0x01);
	out8(COM1 + 2, 0x01);
	ck_assert_uint_eq(in8(COM1 + 2), 0xc1);
	ck_assert_uint_eq(in8(COM1 + 5), 0x60);
	ck_assert_uint_eq(in8(COM1 + 6), 0xb0);
	out8(COM1 + 3, 0x80);
	out8(COM1, 0x34);
	out8(COM1 + 1, 0x12);
	ck_assert_uint_eq(in8(COM1), 0x34);
	ck_assert_uint_eq(in8(COM1 + 1), 0x12);
	out8(COM1 + 3, 0x03);
	ck_assert_uint_eq(in8(COM1 + 1), 0);
	ck_assert_uint_eq(in(COM1, 4), 0xffffffff);
}
END_TEST

START_TEST(transmit)
{
	char text[64];

	for (const char *c = "hello\n"; *c != 0; c++)
		out8(COM1, (uint8_t)*c);
	ck_assert_int_eq(seen(text, sizeof(text)), 6);
	ck_assert_str_eq(text, "hello\n");
	ck_assert_uint_eq(fake_vmm.rises[GSI], 0);
}
END_TEST

/* One interrupt when it is enabled, one for each byte, and none after IIR was read. */
START_TEST(thre_without_storm)
{
	out8(COM1 + 1, 0x02);
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 2), 0x02);
	ck_assert(!fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 2), 0x01);
	out8(COM1, 'x');
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 2);
	out8(COM1, 'y');
	ck_assert_uint_eq(fake_vmm.rises[GSI], 3);
	in8(COM1 + 2);
	for (unsigned i = 0; i < 100; i++) {
		in8(COM1 + 5);
		in8(COM1 + 6);
		fake_vmm_pass(FAKE_SECOND);
	}
	ck_assert_uint_eq(fake_vmm.rises[GSI], 3);
	/* Enabled while enabled: nothing new. */
	out8(COM1 + 1, 0x02);
	ck_assert(!fake_vmm.level[GSI]);
	out8(COM1 + 1, 0x00);
	out8(COM1 + 1, 0x02);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 4);
}
END_TEST

START_TEST(out2_gates)
{
	out8(COM1 + 4, 0x03);
	out8(COM1 + 1, 0x02);
	ck_assert(!fake_vmm.level[GSI]);
	out8(COM1 + 4, 0x0b);
	ck_assert(fake_vmm.level[GSI]);
}
END_TEST

START_TEST(receive)
{
	out8(COM1 + 1, 0x01);
	type("ab");
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 2), 0x04);
	ck_assert_uint_eq(in8(COM1 + 5), 0x61);
	ck_assert_uint_eq(in8(COM1), 'a');
	/* Without FIFOs there is room for one: the next comes now. */
	ck_assert(!fake_vmm.level[GSI]);
	fake_vmm_poll();
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1), 'b');
	ck_assert(!fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 5), 0x60);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 2);
}
END_TEST

START_TEST(trigger_and_timeout)
{
	out8(COM1 + 3, 0x80);
	out8(COM1, 12); /* 9,600 baud: four characters are 4.17 ms */
	out8(COM1 + 1, 0);
	out8(COM1 + 3, 0x03);
	out8(COM1 + 2, 0x81); /* 8 bytes */
	out8(COM1 + 1, 0x01);
	type("1234567");
	ck_assert(!fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 5) & 1, 1);
	fake_vmm_pass(4000000);
	ck_assert(!fake_vmm.level[GSI]);
	fake_vmm_pass(200000);
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 2), 0xcc);
	/* Reading a byte ends the timeout, and starts another one. */
	ck_assert_uint_eq(in8(COM1), '1');
	ck_assert(!fake_vmm.level[GSI]);
	type("89");
	ck_assert(fake_vmm.level[GSI]);
	ck_assert_uint_eq(in8(COM1 + 2), 0xc4);
	for (char c = '2'; c <= '9'; c++)
		ck_assert_uint_eq(in8(COM1), (uint8_t)c);
	ck_assert_uint_eq(in8(COM1 + 2), 0xc1);
	fake_vmm_pass(FAKE_SECOND);
	ck_assert_uint_eq(fake_vmm.rises[GSI], 2);
}
END_TEST

/* More than the FIFO holds waits in the line, and no byte is lost. */
START_TEST(long_input)
{
	char text[101];
	unsigned got = 0;

	for (unsigned i = 0; i < 100; i++)
		text[i] = (char)(' ' + i % 90);
	text[100] = 0;
	out8(COM1 + 2, 0x01);
	type(text);
	ck_assert_uint_eq(fake_vmm_poll(), 0); /* full: not even looked at */
	while (got < 100) {
		fake_vmm_poll();
		ck_assert_uint_eq(in8(COM1 + 5) & 3, 1);
		ck_assert_uint_eq(in8(COM1), (uint8_t)text[got]);
		got++;
	}
	ck_assert_uint_eq(in8(COM1 + 5) & 3, 0);
}
END_TEST

/* The far end does not read: the FIFO fills, LSR says so, and goes on when it does. */
START_TEST(blocked_output)
{
	static char text[1 << 20];
	unsigned sent = 0, received = 0;

	out8(COM1 + 2, 0x01);
	while (in8(COM1 + 5) & 0x20) {
		out8(COM1, (uint8_t)sent++);
		ck_assert_uint_lt(sent, sizeof(text));
	}
	ck_assert_uint_eq(fake_vmm_poll(), 0);
	for (;;) {
		ssize_t got = read(other, text, sizeof(text));

		if (got <= 0)
			break;
		for (ssize_t i = 0; i < got; i++)
			ck_assert_uint_eq((uint8_t)text[i], (uint8_t)received++);
		fake_vmm_poll();
	}
	ck_assert_uint_eq(received, sent);
	ck_assert_uint_eq(in8(COM1 + 5) & 0x60, 0x60);
	ck_assert_uint_eq(fake_vmm_poll(), 0);
}
END_TEST

START_TEST(loop)
{
	char text[8];

	out8(COM1 + 4, 0x1a);
	ck_assert_uint_eq(in8(COM1 + 6) & 0xf0, 0x90);
	out8(COM1, 0xae);
	ck_assert_uint_eq(in8(COM1 + 5), 0x61);
	ck_assert_uint_eq(in8(COM1), 0xae);
	ck_assert_int_lt(seen(text, sizeof(text)), 0);
	/* Nothing comes from outside; a second byte overruns, and says so once. */
	type("z");
	ck_assert_uint_eq(in8(COM1 + 5) & 1, 0);
	out8(COM1, 1);
	out8(COM1, 2);
	ck_assert_uint_eq(in8(COM1 + 5), 0x63);
	ck_assert_uint_eq(in8(COM1 + 5), 0x61);
	ck_assert_uint_eq(in8(COM1), 1);
	/* The ring indicator's end is an event. */
	in8(COM1 + 6);
	out8(COM1 + 4, 0x1e);
	ck_assert_uint_eq(in8(COM1 + 6) & 0x4f, 0x40);
	out8(COM1 + 4, 0x1a);
	ck_assert_uint_eq(in8(COM1 + 6) & 0x4f, 0x04);
	out8(COM1 + 4, 0x0b);
	fake_vmm_poll();
	ck_assert_uint_eq(in8(COM1), 'z');
}
END_TEST

START_TEST(priorities)
{
	out8(COM1 + 4, 0x1a);
	out8(COM1 + 1, 0x0f);
	out8(COM1, 1);
	out8(COM1, 2);
	ck_assert_uint_eq(in8(COM1 + 2), 0x06);
	in8(COM1 + 5);
	ck_assert_uint_eq(in8(COM1 + 2), 0x04);
	in8(COM1);
	ck_assert_uint_eq(in8(COM1 + 2), 0x02);
	ck_assert_uint_eq(in8(COM1 + 2), 0x00);
	in8(COM1 + 6);
	ck_assert_uint_eq(in8(COM1 + 2), 0x01);
}
END_TEST

START_TEST(hang_up)
{
	type("q");
	close(other);
	fake_vmm_poll();
	ck_assert_uint_eq(in8(COM1), 'q');
	for (unsigned i = 0; i < 10; i++)
		fake_vmm_poll();
	ck_assert_uint_eq(fake_vmm_poll(), 0);
}
END_TEST

START_TEST(clear_fifo)
{
	out8(COM1 + 2, 0x01);
	type("abc");
	out8(COM1 + 2, 0x03);
	ck_assert_uint_eq(in8(COM1 + 5) & 1, 0);
	type("d");
	ck_assert_uint_eq(in8(COM1), 'd');
}
END_TEST

START_TEST(restart)
{
	int pair[2];

	out8(COM1 + 2, 0x01);
	out8(COM1 + 1, 0x01);
	type("kept");
	vmm = fake_vmm_restart();
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	ck_assert(uart16550_create(vmm, 0, pair[1], pair[1]));
	ck_assert_uint_eq(in8(COM1), 'k');
	ck_assert_uint_eq(in8(COM1 + 1), 0x01);
	ck_assert(uart16550_create(vmm, 1, -1, -1));
	out8(0x2f8, 'x');
	ck_assert_uint_eq(in8(0x2f8 + 5), 0x60);
	ck_assert(!uart16550_create(vmm, 4, -1, -1));
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("uart16550");
	TCase *tests = tcase_create("all");

	tcase_add_checked_fixture(tests, start, fake_vmm_stop);
	tcase_add_test(tests, probe);
	tcase_add_test(tests, transmit);
	tcase_add_test(tests, thre_without_storm);
	tcase_add_test(tests, out2_gates);
	tcase_add_test(tests, receive);
	tcase_add_test(tests, trigger_and_timeout);
	tcase_add_test(tests, long_input);
	tcase_add_test(tests, blocked_output);
	tcase_add_test(tests, loop);
	tcase_add_test(tests, priorities);
	tcase_add_test(tests, hang_up);
	tcase_add_test(tests, clear_fifo);
	tcase_add_test(tests, restart);
	suite_add_tcase(suite, tests);
	return suite;
}
