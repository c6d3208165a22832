/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "keys.h"

/* Keys of xl.cfg(5) by what happens with them; each list ends with NULL. */
static const char *const used[] = {
	"name",	     "uuid",	    "type",	  "builder",  "memory",	     "maxmem",	"vcpus",
	"maxvcpus",  "cpus",	    "cpu_weight", "cap",      "kernel",	     "ramdisk", "extra",
	"root",	     "cmdline",	    "disk",	  "vif",      "serial",	     "channel", "firmware",
	"localtime", "on_poweroff", "on_reboot",  "on_crash", "on_watchdog", NULL,
};

/* They ask for what there is anyway, or for what makes no difference to the guest's work. */
static const char *const ignored[] = {
	"acpi",
	"acpi_s3",
	"acpi_s4",
	"apic",
	"pae",
	"nx",
	"hpet",
	"hap",
	"boot",
	"vnc",
	"vnclisten",
	"vncdisplay",
	"vncunused",
	"vncpasswd",
	"sdl",
	"opengl",
	"spice",
	"keymap",
	"usb",
	"usbdevice",
	"stdvga",
	"vga",
	"videoram",
	"nographic",
	"soundhw",
	"xen_platform_pci",
	"viridian",
	"device_model_version",
	"timer_mode",
	"tsc_mode",
	"rtc_timeoffset",
	"shadow_memory",
	"pool",
	"cpus_soft",
	"nomigrate",
	"driver_domain",
	"on_soft_reset",
	"oos",
	"max_grant_frames",
	"max_maptrack_frames",
	"claim_mode",
	"seclabel",
	"numa_placement",
	"acpi_laptop_slate",
	"event_channels",
	"max_event_channels",
	"spicehost",
	"spiceport",
	"spicetls_port",
	"spicedisable_ticketing",
	"spicepasswd",
	"spiceagent_mouse",
	"spicevdagent",
	"spice_clipboard_sharing",
	"spiceusbredirection",
	"spice_image_compression",
	"spice_streaming_video",
	"usbversion",
	"hdtype",
	"device_model_user",
	"device_model_stubdomain_override",
	"stubdomain_memory",
	"stubdomain_kernel",
	"stubdomain_ramdisk",
	"stubdomain_cmdline",
	"dm_restrict",
	"msr_relaxed",
	"vkb_device",
	"vendor_device",
	"xend_suspend_evtchn_compat",
	"suppress_spurious_page_faults",
	"mmio_hole",
	"max_grant_version",
	"vpmu",
	"ms_vm_genid",
	"vfb",
	"vkb",
	NULL,
};

static const char *const unsupported[] = {
	"bootloader",
	"bootloader_args",
	"pci",
	"pci_permissive",
	"pci_msitranslate",
	"rdm",
	"usbctrl",
	"vtpm",
	"p9",
	"pvcalls",
	"vsnd",
	"vdispl",
	"vnuma",
	"nestedhvm",
	"cpuid",
	"ioports",
	"iomem",
	"irqs",
	"gfx_passthru",
	"altp2m",
	"device_tree",
	"dtdev",
	"tee",
	"virtio",
	"smbios_firmware",
	"acpi_firmware",
	"bios",
	"bios_path_override",
	"firmware_override",
	"device_model_override",
	"device_model_args",
	"init_seclabel",
	"scsi",
	"usbdev",
	"passthrough",
	"rdm_mem_boundary",
	"pci_seize",
	"pci_power_mgmt",
	"smbios",
	"pvshim",
	"pvshim_path",
	"pvshim_cmdline",
	"pvshim_extra",
	"vmtrace_buf_kb",
	"mca_caps",
	"altp2mhvm",
	"device_model_args_hvm",
	"device_model_args_pv",
	"xen_9pfs",
	NULL,
};

static bool contains(const char *const list[], const char *key)
{
	for (size_t i = 0; list[i] != NULL; i++) {
		if (strcmp(list[i], key) == 0)
			return true;
	}
	return false;
}

enum key_use config_key_use(const char *key)
{
	if (contains(used, key))
		return KEY_USED;
	if (contains(ignored, key))
		return KEY_IGNORED;
	return contains(unsupported, key) ? KEY_UNSUPPORTED : KEY_UNKNOWN;
}
