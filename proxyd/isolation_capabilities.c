#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "isolation_internal.h"
#include "log.h"

/* What it keeps of what it has. Who runs it as root, or gave it these by hand, has secrets in files of others, which
 * change owners as they are rotated, or logs to a folder of another user. */
static const struct {
	unsigned number;
	const char *name;
	bool gives; /* only where a file that is replaced keeps another owner, or commands may give files away */
} kept[] = {
	{CAP_CHOWN, "chown", true},
	{CAP_DAC_OVERRIDE, "dac_override", false},
	{CAP_DAC_READ_SEARCH, "dac_read_search", false},
	{CAP_FOWNER, "fowner", true}, /* its mode is set after that */
	{CAP_IPC_LOCK, "ipc_lock", false}, /* secrets that come later are locked too */
};

#define WORDS 2 /* of 32 capabilities */

struct sets {
	struct __user_cap_data_struct words[WORDS];
};

static bool get(struct sets *sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	return syscall(SYS_capget, &header, sets->words) == 0;
}

static bool set(const struct sets *sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	return syscall(SYS_capset, &header, sets->words) == 0;
}

static struct sets reduced(const struct sets *had, bool gives)
{
	struct sets keeps = {0};
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		if (gives || !kept[i].gives)
			keeps.words[kept[i].number / 32].permitted |= 1U << kept[i].number % 32;
	for (size_t i = 0; i < WORDS; i++)
		keeps.words[i].effective = keeps.words[i].permitted &= had->words[i].permitted;
	return keeps;
}

/* Without the right to it there is nothing to bound either: no program gives what the caller does not have. */
static void bound(const struct sets *keeps)
{
	for (unsigned i = 0; i < 32 * WORDS; i++)
		if (!(keeps->words[i / 32].permitted & 1U << i % 32) && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1)
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static void tell(const struct sets *keeps, struct buffer *told)
{
	const char *before = ", no capabilities but ";
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		if (!(keeps->words[kept[i].number / 32].permitted & 1U << kept[i].number % 32))
			continue;
		buffer_format(told, "%s%s", before, kept[i].name);
		before = " ";
	}
	if (*before == ',')
		buffer_string(told, ", no capabilities");
}

void isolation_drop_capabilities(bool gives, struct buffer *told)
{
	struct sets had, keeps;
	if (!get(&had)) {
		log_warning("capabilities cannot be given up (%s): who takes over proxyd has them too", strerror(errno));
		return;
	}
	keeps = reduced(&had, gives);
	bound(&keeps);
	/* A sandbox that left it none may keep away the call as well. */
	if (memcmp(&had, &keeps, sizeof had) != 0 && !set(&keeps)) {
		log_warning("capabilities cannot be given up (%s): who takes over proxyd has them too", strerror(errno));
		return;
	}
	tell(&keeps, told);
}
