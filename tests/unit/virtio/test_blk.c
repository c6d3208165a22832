/* SPDX-License-Identifier: BSD-2-Clause */
/* The block device on files of its own. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sanitizer/lsan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "driver.h"
#include "unit.h"
#include "vmm-user/vmm/virtio.h"

#define SECTORS	 4096u
#define SECTOR	 512u
#define IN	 0u
#define OUT	 1u
#define FLUSH	 4u
#define GET_ID	 8u
#define DISCARD	 11u
#define ZEROES	 13u
#define OK	 0
#define IOERR	 1
#define UNSUPP	 2
#define F_RO	 (1ull << 5)
#define F_FLUSH	 (1ull << 9)
#define FEATURES (FEATURE_VERSION_1 | FEATURE_INDIRECT | FEATURE_EVENT_IDX | F_FLUSH)

static struct driver driver;
static char path[] = "blk-test-XXXXXX";
static uint8_t disk[SECTORS * SECTOR]; /* what the file should hold */
static struct virtio_blk_options options;
static uint64_t data;

static void make(struct vmm *vmm)
{
	ck_assert(pci_create(vmm));
	ck_assert_ptr_nonnull(virtio_blk_create(vmm, &options));
}

static void start(void)
{
	driver_find(&driver, 1);
	ck_assert(driver_start(&driver, FEATURES, options.queues, 256));
}

static void setup(void)
{
	int fd = mkstemp(path);

	for (unsigned i = 0; i < sizeof(disk); i++)
		disk[i] = (uint8_t)(i / SECTOR * 3 + i);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, disk, sizeof(disk)), sizeof(disk));
	close(fd);
	options = (struct virtio_blk_options){.path = path, .id = "a disk", .queues = 2};
	fake_vmm_start();
	data = guest_take(1 << 20, 4096);
}

static void teardown(void)
{
	fake_vmm_stop();
	unlink(path);
}

/* Puts a request with its data in the given buffers into a queue. */
static uint64_t put(unsigned queue, uint32_t type, uint64_t sector, const struct buffer *buffer,
		    unsigned count, bool indirect)
{
	uint64_t header = guest_take(32, 8);
	struct buffer all[260] = {{header, 16, 0}};

	memcpy(guest(header), &type, 4);
	memset(guest(header + 4), 0, 4);
	memcpy(guest(header + 8), &sector, 8);
	*(uint8_t *)guest(header + 16) = 0xee;
	if (count != 0)
		memcpy(&all[1], buffer, count * sizeof(*buffer));
	all[count + 1] = (struct buffer){header + 16, 1, DRIVER_WRITE};
	driver_add(&driver, queue, all, count + 2, indirect);
	return header + 16;
}

static int request(uint32_t type, uint64_t sector, const struct buffer *buffer, unsigned count)
{
	uint64_t status = put(0, type, sector, buffer, count, count > 100);
	uint32_t head, used;

	driver_kick(&driver, 0);
	ck_assert(driver_wait(&driver, 0, &head, &used));
	if (*(uint8_t *)guest(status) == OK && type == IN) {
		for (unsigned i = 0; i < count; i++)
			used -= buffer[i].bytes;
		ck_assert_uint_eq(used, 1);
	}
	return *(uint8_t *)guest(status);
}

static int transfer(uint32_t type, uint64_t sector, uint32_t bytes)
{
	struct buffer buffer = {data, bytes, type == IN ? DRIVER_WRITE : 0};

	return request(type, sector, &buffer, 1);
}

static void fill(uint64_t sector, uint32_t bytes, unsigned seed)
{
	for (unsigned i = 0; i < bytes; i++)
		disk[sector * SECTOR + i] = *(uint8_t *)guest(data + i) =
			(uint8_t)(seed + i * 13 + i / 256);
}

static void reads_back(uint64_t sector, uint32_t bytes)
{
	memset(guest(data), 0x5a, bytes);
	ck_assert_int_eq(transfer(IN, sector, bytes), OK);
	ck_assert_mem_eq(guest(data), disk + sector * SECTOR, bytes);
}

/* The file holds what it should. */
static void file_is(const uint8_t *wanted)
{
	static uint8_t found[sizeof(disk)];
	int fd = open(path, O_RDONLY);

	ck_assert_int_eq(read(fd, found, sizeof(found)), sizeof(found));
	close(fd);
	ck_assert(memcmp(found, wanted, sizeof(found)) == 0);
}

START_TEST(configuration)
{
	make(&fake_vmm.vmm);
	start();
	ck_assert_uint_eq(config_get(1, 0, 4), 0x10421af4);
	ck_assert_uint_eq(mmio_read(driver.device, 8), SECTORS);
	ck_assert_uint_eq(mmio_read(driver.device + 12, 4), 256);
	ck_assert_uint_eq(mmio_read(driver.device + 20, 4), SECTOR);
	ck_assert_uint_eq(mmio_read(driver.device + 34, 2), 2);
	for (unsigned at = 36; at < 56; at += 4)
		ck_assert_uint_ne(mmio_read(driver.device + at, 4), 0);
	ck_assert_uint_eq(mmio_read(driver.device + 56, 1), 1);
	ck_assert_uint_eq(driver_features(&driver) & F_RO, 0);
}
END_TEST

START_TEST(read_write)
{
	make(&fake_vmm.vmm);
	start();
	reads_back(0, SECTOR);
	reads_back(100, 65536);
	reads_back(SECTORS - 1, SECTOR);
	fill(7, 8192, 1);
	ck_assert_int_eq(transfer(OUT, 7, 8192), OK);
	ck_assert_int_eq(transfer(FLUSH, 0, 0), OK);
	reads_back(0, 65536);
	file_is(disk);
	ck_assert_uint_ge(fake_vmm.messages, 1);
}
END_TEST

START_TEST(write_through)
{
	make(&fake_vmm.vmm);
	driver_find(&driver, 1);
	ck_assert(driver_start(&driver, FEATURE_VERSION_1, 1, 256));
	fill(9, 4096, 9);
	ck_assert_int_eq(transfer(OUT, 9, 4096), OK);
	file_is(disk);
}
END_TEST

/* Buffers that O_DIRECT does not take, in many pieces, longer than the bounce
 * buffer. */
START_TEST(unaligned)
{
	struct buffer buffer[3] = {{0}};
	uint32_t bytes = 400 * 1024;

	make(&fake_vmm.vmm);
	start();
	fill(11, bytes, 5);
	memmove(guest(data + 3), guest(data), bytes);
	buffer[0] = (struct buffer){data + 3, 1000, 0};
	buffer[1] = (struct buffer){data + 1003, 24, 0};
	buffer[2] = (struct buffer){data + 1027, bytes - 1024, 0};
	ck_assert_int_eq(request(OUT, 11, buffer, 3), OK);
	reads_back(11, bytes);
	for (unsigned i = 0; i < 3; i++)
		buffer[i].flags = DRIVER_WRITE;
	memset(guest(data), 0, bytes);
	ck_assert_int_eq(request(IN, 11, buffer, 3), OK);
	ck_assert_mem_eq(guest(data + 3), disk + 11 * SECTOR, bytes);
	file_is(disk);
}
END_TEST

START_TEST(segments)
{
	static struct buffer buffer[256];

	make(&fake_vmm.vmm);
	start();
	for (unsigned i = 0; i < 256; i++)
		buffer[i] = (struct buffer){data + 4096u * (255 - i), 2048, 0};
	for (unsigned i = 0; i < 256 * 2048; i++)
		disk[20 * SECTOR + i] =
			*(uint8_t *)guest(data + 4096u * (255 - i / 2048) + i % 2048) =
				(uint8_t)(i / 2048 + i * 5);
	ck_assert_int_eq(request(OUT, 20, buffer, 256), OK);
	for (unsigned i = 0; i < 256; i++) {
		memset(guest(buffer[i].at), 0, 2048);
		buffer[i].flags = DRIVER_WRITE;
	}
	ck_assert_int_eq(request(IN, 20, buffer, 256), OK);
	for (unsigned i = 0; i < 256; i++)
		ck_assert_mem_eq(guest(buffer[i].at), disk + 20 * SECTOR + i * 2048, 2048);
	file_is(disk);
}
END_TEST

START_TEST(many)
{
	uint64_t status[80];
	uint32_t head, used;
	struct buffer buffer;

	make(&fake_vmm.vmm);
	start();
	for (unsigned i = 0; i < 80; i++) {
		buffer = (struct buffer){data + 4096 * i, 4096, DRIVER_WRITE};
		status[i] = put(i % 2, IN, i * 8, &buffer, 1, true);
	}
	driver_kick(&driver, 0);
	driver_kick(&driver, 1);
	for (unsigned i = 0; i < 80; i++)
		ck_assert(driver_wait(&driver, i % 2, &head, &used));
	for (unsigned i = 0; i < 80; i++)
		ck_assert_int_eq(*(uint8_t *)guest(status[i]), OK);
	ck_assert_mem_eq(guest(data), disk, 80 * 4096);
}
END_TEST

START_TEST(out_of_range)
{
	make(&fake_vmm.vmm);
	start();
	ck_assert_int_eq(transfer(IN, SECTORS, SECTOR), IOERR);
	ck_assert_int_eq(transfer(IN, SECTORS - 1, 2 * SECTOR), IOERR);
	ck_assert_int_eq(transfer(OUT, ~0ull, SECTOR), IOERR);
	ck_assert_int_eq(transfer(OUT, 1ull << 55, SECTOR), IOERR);
	ck_assert_int_eq(transfer(OUT, ~0ull / SECTOR, 4096), IOERR);
	ck_assert_int_eq(transfer(IN, 0, 100), IOERR);
	ck_assert_int_eq(transfer(OUT, 0, 513), IOERR);
	ck_assert_int_eq(transfer(77, 0, SECTOR), UNSUPP);
	file_is(disk);
}
END_TEST

START_TEST(malformed)
{
	struct buffer no_status = {data, 16, 0},
		      short_header[2] = {{data, 8, 0}, {data, 1, DRIVER_WRITE}};

	make(&fake_vmm.vmm);
	start();
	driver_add(&driver, 0, &no_status, 1, false);
	driver_kick(&driver, 0);
	ck_assert_uint_eq(driver_status(&driver) & 0x40, 0x40);
	start();
	driver_add(&driver, 0, short_header, 2, false);
	driver_kick(&driver, 0);
	ck_assert_uint_eq(driver_status(&driver) & 0x40, 0x40);
	start();
	reads_back(0, SECTOR);
}
END_TEST

START_TEST(identity)
{
	char id[20] = "a disk";

	make(&fake_vmm.vmm);
	start();
	memset(guest(data), 0xff, 32);
	ck_assert_int_eq(request(GET_ID, 0, &(struct buffer){data, 20, DRIVER_WRITE}, 1), OK);
	ck_assert_mem_eq(guest(data), id, 20);
	ck_assert_uint_eq(*(uint8_t *)guest(data + 20), 0xff);
}
END_TEST

static int ranges(uint32_t type, const uint32_t (*range)[3], unsigned count, uint32_t extra)
{
	for (unsigned i = 0; i < count; i++) {
		uint64_t sector = range[i][0];

		memcpy(guest(data + 16 * i), &sector, 8);
		memcpy(guest(data + 16 * i + 8), &range[i][1], 8);
	}
	return request(type, 0, &(struct buffer){data, 16 * count + extra, 0}, 1);
}

START_TEST(zeroes)
{
	static const uint32_t range[][3] = {{8, 8, 0}, {64, 16, 1}, {3, 1, 0}};
	static const uint32_t wrong[][3] = {{8, 8, 2}};
	static const uint32_t outside[][3] = {{8, 8, 0}, {SECTORS - 1, 2, 0}};

	make(&fake_vmm.vmm);
	start();
	ck_assert_int_eq(ranges(ZEROES, range, 3, 0), OK);
	memset(disk + 8 * SECTOR, 0, 8 * SECTOR);
	memset(disk + 64 * SECTOR, 0, 16 * SECTOR);
	memset(disk + 3 * SECTOR, 0, SECTOR);
	reads_back(0, 100 * SECTOR);
	file_is(disk);
	ck_assert_int_eq(ranges(ZEROES, wrong, 1, 0), UNSUPP);
	ck_assert_int_eq(ranges(ZEROES, outside, 2, 0), IOERR);
	ck_assert_int_eq(ranges(ZEROES, NULL, 0, 0), OK);
	file_is(disk);
}
END_TEST

START_TEST(discard)
{
	static const uint32_t range[][3] = {{0, 1024, 0}, {2048, 1024, 0}};
	static const uint32_t wrong[][3] = {{8, 8, 1}};
	struct stat before, after;

	make(&fake_vmm.vmm);
	start();
	stat(path, &before);
	/* And what Windows' driver sends too much. */
	ck_assert_int_eq(ranges(DISCARD, range, 2, 5), OK);
	stat(path, &after);
	ck_assert_int_lt(after.st_blocks, before.st_blocks);
	ck_assert_int_eq(after.st_size, before.st_size);
	ck_assert_int_eq(ranges(DISCARD, wrong, 1, 0), UNSUPP);
	memset(disk, 0, 1024 * SECTOR);
	reads_back(1000, 200 * SECTOR);
}
END_TEST

START_TEST(readonly)
{
	static const uint32_t range[][3] = {{0, 8, 0}};

	options.readonly = true;
	make(&fake_vmm.vmm);
	start();
	ck_assert_uint_eq(driver_features(&driver) & F_RO, F_RO);
	reads_back(5, 4096);
	ck_assert_int_eq(transfer(OUT, 5, 4096), IOERR);
	ck_assert_int_eq(ranges(ZEROES, range, 1, 0), UNSUPP);
	ck_assert_int_eq(ranges(DISCARD, range, 1, 0), UNSUPP);
	ck_assert_int_eq(transfer(FLUSH, 0, 0), OK);
	file_is(disk);
}
END_TEST

/* In memory (0) or in a directory (1). */
START_TEST(snapshot)
{
	static const uint32_t range[][3] = {{100, 9, 1}, {33, 1, 0}};
	static uint8_t before[sizeof(disk)];
	uint64_t seed = 42;

	memcpy(before, disk, sizeof(disk));
	options.snapshot = true;
	options.directory = _i == 0 ? NULL : ".";
	make(&fake_vmm.vmm);
	start();
	reads_back(0, 65536);
	for (unsigned i = 0; i < 200; i++) {
		uint32_t sector = (uint32_t)(seed >> 33) % (SECTORS - 64);
		uint32_t bytes = ((uint32_t)(seed >> 20) % 40 + 1) * SECTOR;

		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		if (i % 3 == 0) {
			reads_back(sector, bytes);
		} else {
			fill(sector, bytes, i);
			ck_assert_int_eq(transfer(OUT, sector, bytes), OK);
		}
		if (guest_take(0, 1) > FAKE_RAM_BYTES - 0x10000)
			break;
	}
	ck_assert_int_eq(ranges(ZEROES, range, 2, 0), OK);
	memset(disk + 100 * SECTOR, 0, 9 * SECTOR);
	memset(disk + 33 * SECTOR, 0, SECTOR);
	ck_assert_int_eq(ranges(DISCARD, range + 1, 1, 0), OK);
	ck_assert_int_eq(transfer(FLUSH, 0, 0), OK);
	for (unsigned at = 0; at < SECTORS; at += 1024)
		reads_back(at, 1024 * SECTOR);
	file_is(before);
}
END_TEST

/* The image becomes shorter under the guest. */
START_TEST(truncated)
{
	make(&fake_vmm.vmm);
	start();
	ck_assert_int_eq(truncate(path, 1000 * SECTOR), 0);
	reads_back(0, 4096);
	ck_assert_int_eq(transfer(IN, 2000, 4096), IOERR);
	ck_assert_int_eq(transfer(IN, 996, 8192), IOERR);
	/* A write would make zeros of the data that is gone. */
	ck_assert_int_eq(transfer(OUT, 2000, 4096), IOERR);
	ck_assert_int_eq(transfer(OUT, 0, 4096), IOERR);
	ck_assert_int_eq(transfer(IN, 2000, 4096), IOERR);
	ck_assert_ptr_nonnull(strstr(fake_vmm.text, "shorter than the 2097152 bytes"));
	ck_assert_int_eq(truncate(path, SECTORS * SECTOR), 0);
	ck_assert_int_eq(transfer(OUT, 0, 4096), OK);
}
END_TEST

START_TEST(no_image)
{
	char name[] = "blk-none-XXXXXX";
	int fd = mkstemp(name);

	close(fd);
	ck_assert(pci_create(&fake_vmm.vmm));
	options.path = "blk-there-is-none";
	ck_assert_ptr_null(virtio_blk_create(&fake_vmm.vmm, &options));
	ck_assert_ptr_nonnull(strstr(fake_vmm.text, "No such file"));
	options.path = ".";
	options.readonly = true;
	ck_assert_ptr_null(virtio_blk_create(&fake_vmm.vmm, &options));
	options.path = name;
	ck_assert_ptr_null(virtio_blk_create(&fake_vmm.vmm, &options));
	unlink(name);
	ck_assert_ptr_nonnull(strstr(fake_vmm.text, "no sector"));
}
END_TEST

/* Opened by somebody else. */
START_TEST(descriptor)
{
	ck_assert(pci_create(&fake_vmm.vmm));
	options.path = NULL;
	options.fd = open(path, O_RDONLY);
	ck_assert_ptr_null(virtio_blk_create(&fake_vmm.vmm, &options));
	options.fd = open(path, O_RDWR);
	ck_assert_ptr_nonnull(virtio_blk_create(&fake_vmm.vmm, &options));
	start();
	fill(7, 8192, 1);
	ck_assert_int_eq(transfer(OUT, 7, 8192), OK);
	reads_back(0, 65536);
	virtio_blk_flush_all(&fake_vmm.vmm);
	file_is(disk);
}
END_TEST

START_TEST(reset_under_way)
{
	struct buffer buffer = {data, 65536, DRIVER_WRITE};

	make(&fake_vmm.vmm);
	start();
	for (unsigned i = 0; i < 20; i++)
		put(0, IN, i, &buffer, 1, true);
	driver_kick(&driver, 0);
	driver_reset(&driver);
	for (unsigned i = 0; i < 1000 && driver_status(&driver) != 0; i++) {
		fake_vmm_poll();
		usleep(1000);
	}
	ck_assert_uint_eq(driver_status(&driver), 0);
	start();
	reads_back(3, 65536);
}
END_TEST

/* The process stops with requests under way; the next one answers them. */
START_TEST(takeover)
{
	struct buffer buffer;
	uint32_t head, used;
	uint64_t status[10];

	make(&fake_vmm.vmm);
	start();
	reads_back(3, 4096);
	for (unsigned i = 0; i < 10; i++) {
		buffer = (struct buffer){data + 4096 * i, 4096, DRIVER_WRITE};
		status[i] = put(1, IN, i * 8, &buffer, 1, true);
	}
	memset(guest(data), 0, 40960);
	/* Those requests are never heard of again, as the process is not. */
	__lsan_disable();
	driver_kick(&driver, 1);
	__lsan_enable();
	make(take_over());
	for (unsigned i = 0; i < 10; i++)
		ck_assert(driver_wait(&driver, 1, &head, &used));
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(*(uint8_t *)guest(status[i]), OK);
	ck_assert_mem_eq(guest(data), disk, 40960);
	reads_back(3, 4096);
}
END_TEST

Suite *unit_suite(void)
{
	Suite *suite = suite_create("blk");
	TCase *tests = tcase_create("blk");

	tcase_add_checked_fixture(tests, setup, teardown);
	tcase_set_timeout(tests, 60);
	tcase_add_test(tests, configuration);
	tcase_add_test(tests, read_write);
	tcase_add_test(tests, write_through);
	tcase_add_test(tests, unaligned);
	tcase_add_test(tests, segments);
	tcase_add_test(tests, many);
	tcase_add_test(tests, out_of_range);
	tcase_add_test(tests, malformed);
	tcase_add_test(tests, identity);
	tcase_add_test(tests, zeroes);
	tcase_add_test(tests, discard);
	tcase_add_test(tests, readonly);
	tcase_add_loop_test(tests, snapshot, 0, 2);
	tcase_add_test(tests, truncated);
	tcase_add_test(tests, no_image);
	tcase_add_test(tests, descriptor);
	tcase_add_test(tests, reset_under_way);
	tcase_add_test(tests, takeover);
	suite_add_tcase(suite, tests);
	return suite;
}
