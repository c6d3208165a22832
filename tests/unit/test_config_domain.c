/* SPDX-License-Identifier: BSD-2-Clause */
/* What the keys of a domain's configuration mean. */
#include <string.h>

#include "test_config.h"

#define BASE "name='a'\nmemory=64\nkernel='/k'\n"

static struct domain_config config;

static bool read(const char *text)
{
	return parse(text) && config_domain(&tree, "/dir", &config, &reporter);
}

START_TEST(whole)
{
	char uuid[37];

	ck_assert(read("name = 'deb.1'\nuuid = '01234567-89ab-cdef-0123-456789ABCDEF'\n"
		       "type='pvh'\nmemory=511\nmaxmem=512\nvcpus=4\ncpus='0-3,^2,7'\n"
		       "cpu_weight=512\ncap=150\nkernel='vmlinuz'\nramdisk='/i'\nroot='/dev/vda'\n"
		       "extra='quiet'\ndisk=['d.img,raw,xvda,rw','format=raw, vdev=hdc, access=ro, "
		       "devtype=cdrom, target=/a,b']\n"
		       "vif=['mac=00:16:3e:01:02:03,bridge=br0','']\nserial=['none','pty']\n"
		       "channel=['connection=pty,name=org.example.agent','name=b']\n"
		       "on_crash='preserve'\nlocaltime=1"));
	ck_assert_uint_eq(reporter.errors, 0);
	ck_assert_str_eq(config.name, "deb.1");
	config_format_uuid(config.uuid, uuid);
	ck_assert_str_eq(uuid, "01234567-89ab-cdef-0123-456789abcdef");
	ck_assert_int_eq(config.type, DOMAIN_PVH);
	ck_assert_uint_eq(config.memory_mib, 512);
	ck_assert_uint_eq(config.vcpus, 4);
	ck_assert_str_eq(config.cpus, "0-1,3,7");
	ck_assert_uint_eq(config.cpu_weight, 512);
	ck_assert_uint_eq(config.cap, 150);
	ck_assert_str_eq(config.kernel, "/dir/vmlinuz");
	ck_assert_str_eq(config.ramdisk, "/i");
	ck_assert_str_eq(config.cmdline, "root=/dev/vda quiet");
	ck_assert_uint_eq(config.disks, 2);
	ck_assert_str_eq(config.disk[0].target, "/dir/d.img");
	ck_assert(!config.disk[0].readonly && !config.disk[0].cdrom);
	ck_assert_str_eq(config.disk[1].target, "/a,b");
	ck_assert(config.disk[1].readonly && config.disk[1].cdrom);
	ck_assert_uint_eq(config.nets, 2);
	ck_assert_int_eq(config.net[0].mode, NET_TAP);
	ck_assert_mem_eq(config.net[0].mac, "\x00\x16\x3e\x01\x02\x03", 6);
	ck_assert_int_eq(config.net[1].mode, NET_USER);
	ck_assert_int_eq(config.net[1].mac[0], 2);
	ck_assert(!config.serial[0] && config.serial[1] && config.local_time);
	ck_assert_uint_eq(config.channels, 2);
	ck_assert_str_eq(config.channel[0], "org.example.agent");
	ck_assert_str_eq(config.channel[1], "b");
	ck_assert_int_eq(config.on_poweroff, ACTION_DESTROY);
	ck_assert_int_eq(config.on_reboot, ACTION_RESTART);
	ck_assert_int_eq(config.on_crash, ACTION_PRESERVE);
}
END_TEST

START_TEST(defaults)
{
	ck_assert(read("name='a'\nmaxmem=64\nfirmware='uefi'"));
	ck_assert_uint_eq(config.memory_mib, 64);
	ck_assert_uint_eq(config.vcpus, 1);
	ck_assert_str_eq(config.firmware, "uefi");
	ck_assert_str_eq(config.cpus, "");
	ck_assert(config.serial[0] && !config.serial[1]);
	ck_assert_uint_eq(config.channels, 0);
	ck_assert_uint_eq(config.cpu_weight, 256);
	ck_assert_uint_eq(config.uuid[6] >> 4, 4);
	ck_assert_str_eq(said, "");
}
END_TEST

struct wrong {
	const char *text, *message;
};

static const struct wrong wrong[] = {
	{"memory=64\nkernel='/k'", "name: expected a name"},
	{BASE "name=5", "f.cfg:4: name: expected a string, found the number 5"},
	{BASE "name='5'", "not digits alone, found the string \"5\""},
	{BASE "name='a b'", "name: expected"},
	{BASE "name='../x'", "name: expected"},
	{BASE "name=''", "name: expected"},
	{"name='a'\nkernel='/k'", "memory: expected the domain's memory"},
	{BASE "memory='64m'", "memory: expected a number from 2 to 16777216, found the string"},
	{BASE "memory='99999999999999999999'", "memory: expected a number"},
	{BASE "memory=0", "memory: expected a number"},
	{BASE "memory=-1", "found the number -1"},
	{BASE "maxmem=32", "maxmem: expected no less than memory"},
	{BASE "vcpus=65", "vcpus: expected a number from 1 to 64"},
	{BASE "vcpus=2\nmaxvcpus=1", "maxvcpus: expected no less"},
	{BASE "cpus='3-1'", "cpus: expected"},
	{BASE "cpus='1,^1'", "cpus: expected"},
	{BASE "cpus='1024'", "cpus: expected"},
	{BASE "cpus=''", "cpus: expected"},
	{BASE "cpus=['1','2']", "cpus: expected"},
	{BASE "uuid='x'", "uuid: expected"},
	{BASE "uuid='01234567-89ab-cdef-0123-456789abcdeg'", "uuid: expected"},
	{BASE "type='pv'", "type: expected \"hvm\" or \"pvh\""},
	{"name='a'\nmemory=64", "expected a kernel or a firmware, found neither"},
	{BASE "disk='x'", "disk: expected a list"},
	{BASE "disk=[5]", "disk: expected a string"},
	{BASE "disk=['a,qcow2,xvda']", "f.cfg:4: disk: format 'qcow2' is not supported yet"},
	{BASE "disk=['a,foo,xvda']", "disk: format: expected 'raw', found 'foo'"},
	{BASE "disk=['a,raw']", "disk: vdev: expected"},
	{BASE "disk=['a,raw,xvda1']", "disk: vdev: expected a whole disk"},
	{BASE "disk=['a,raw,xvda,x']", "disk: access: expected r, ro, w or rw, found 'x'"},
	{BASE "disk=['a,raw,hdc,rw,cdrom']", "expected 'ro' for a cdrom"},
	{BASE "disk=[',raw,xvda']", "disk: target: expected a path"},
	{BASE "disk=['a,raw,xvda,r,b,c']", "disk: word: expected"},
	{BASE "disk=['a,raw,xvda,script=x']", "disk: key: expected target"},
	{BASE "disk=['a,raw,xvda','b,raw,xvda']", "found a second 'xvda'"},
	{BASE "vif=['mac=5']", "vif: mac: expected"},
	{BASE "vif=['mac=01:16:3e:01:02:03']", "vif: mac: expected a unicast"},
	{BASE "vif=['mac=00:16:3e:01:02:03:']", "vif: mac: expected"},
	{BASE "vif=['bridge=averyveryverylongname']", "vif: bridge: expected"},
	{BASE "vif=['colour=red']", "vif: key: expected"},
	{BASE "vif=['foo']", "vif: word: expected"},
	{BASE "serial='tcp:1'", "serial: expected"},
	{BASE "serial=['pty',5]", "serial: expected \"pty\""},
	{BASE "serial=['pty','pty','pty']", "serial: expected a list of at most 2"},
	{BASE "channel='name=a'", "channel: expected a list"},
	{BASE "channel=['connection=pty']", "channel: expected name="},
	{BASE "channel=['name=a,connection=socket,path=/x']",
	 "channel: connection: expected 'pty'"},
	{BASE "channel=['name=a,colour=red']", "channel: key: expected"},
	{BASE "channel=['name=a,,b']", "channel: word: expected 'key=value', found 'b'"},
	{BASE "channel=[['name=a']]", "channel: expected a string"},
	{BASE "on_crash='reincarnate'", "on_crash: expected \"destroy\", \"restart\""},
	{BASE "on_crash='coredump-restart'",
	 "f.cfg:4: on_crash: \"coredump-restart\" is not supported: no dump is written"},
	{BASE "on_poweroff='soft-reset'", "\"soft-reset\" is not supported: take \"restart\""},
	{BASE "pci=['01:00.0']", "f.cfg:4: 'pci' is not supported: take it out"},
};

START_TEST(refuses)
{
	ck_assert_msg(!read(wrong[_i].text), "%s", wrong[_i].text);
	expect_said(wrong[_i].message);
}
END_TEST

START_TEST(warns)
{
	ck_assert(read(BASE "vnc=1\nfrob='x'\nvif=['script=vif-bridge,model=e1000']\n"
			    "cmdline='c'\nextra='e'\nmaxmem=128\nmaxvcpus=2\nvcpus=1\n"
			    "disk=['a,raw,xvda,backendtype=phy']"));
	ck_assert_uint_eq(reporter.warnings, 8);
	expect_said("f.cfg:4: warning: 'vnc' is not used");
	expect_said("warning: unknown key 'frob'");
	expect_said("model 'e1000' is not supported: virtio-net is used");
	ck_assert_str_eq(config.cmdline, "c");
}
END_TEST

/* As Debian's xen-tools write them: numbers as strings, and what is switched off. */
START_TEST(as_others_write)
{
	ck_assert(read("name='a'\nmemory='64'\nvcpus='2'\nkernel='/k'\nvnc=0\nsdl='0'\npci=[]\n"
		       "nestedhvm=0\nbootloader=''\non_crash='rename-restart'"));
	ck_assert_str_eq(said, "");
	ck_assert_uint_eq(config.memory_mib, 64);
	ck_assert_uint_eq(config.vcpus, 2);
	ck_assert_int_eq(config.on_crash, ACTION_RENAME_RESTART);
	ck_assert(read(BASE "vfb=['type=vnc']\nvif=['ip=10.0.0.1,rate=1Mb/s,vifname=x']\nusb=1"));
	expect_said("warning: 'vfb' is not used");
	expect_said("warning: vif: 'rate' is not used");
}
END_TEST

START_TEST(disk_forms)
{
	static const char *const forms[] = {
		"/d,raw,xvdb,r",
		"/d,,xvdb,ro",
		"phy:/d,xvdb,r",
		"file:/d , xvdb , r",
		"vdev=xvdb,access=r,target=/d",
		"/d,vdev=xvdb,access=ro",
		"/d,raw,access=r,vdev=xvdb",
		"format=raw,vdev=xvdb,access=r,target = /d",
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		char text[200];

		snprintf(text, sizeof(text), BASE "disk=['%s']", forms[i]);
		ck_assert_msg(read(text), "%s: %s", forms[i], said);
		ck_assert_str_eq(config.disk[0].target, "/d");
		ck_assert_str_eq(config.disk[0].vdev, "xvdb");
		ck_assert(config.disk[0].readonly);
	}
	ck_assert(read(BASE "disk=[',,hdc,,cdrom','s,raw,sda,rw,snapshot']"));
	ck_assert_str_eq(config.disk[0].target, "");
	ck_assert(config.disk[0].cdrom && config.disk[1].snapshot);
}
END_TEST

START_TEST(relative_paths)
{
	ck_assert(parse(BASE "ramdisk='i'"));
	ck_assert(!config_domain(&tree, NULL, &config, &reporter));
	expect_said("expected an absolute path, found 'i'");
}
END_TEST

TCase *config_domain_case(void)
{
	TCase *keys = tcase_create("keys");

	tcase_add_checked_fixture(keys, config_start, config_stop);
	tcase_add_test(keys, whole);
	tcase_add_test(keys, defaults);
	tcase_add_loop_test(keys, refuses, 0, sizeof(wrong) / sizeof(wrong[0]));
	tcase_add_test(keys, warns);
	tcase_add_test(keys, as_others_write);
	tcase_add_test(keys, disk_forms);
	tcase_add_test(keys, relative_paths);
	return keys;
}
