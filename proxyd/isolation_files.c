#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "isolation_internal.h"
#include "landlock.h"
#include "log.h"
#include "memory.h"
#include "written.h"

#define WRITING                                                                                                        \
	(LANDLOCK_WRITE_FILE | LANDLOCK_REMOVE_FOLDER | LANDLOCK_REMOVE_FILE | LANDLOCK_MAKE_CHAR | LANDLOCK_MAKE_FOLDER |    \
	 LANDLOCK_MAKE_FILE | LANDLOCK_MAKE_SOCKET | LANDLOCK_MAKE_FIFO | LANDLOCK_MAKE_BLOCK | LANDLOCK_MAKE_LINK |          \
	 LANDLOCK_REFER | LANDLOCK_TRUNCATE | LANDLOCK_IOCTL_DEVICE)

/* What each way of writing takes. */
static const uint64_t rights[] = {
	[WRITTEN_APPENDED] = LANDLOCK_WRITE_FILE | LANDLOCK_MAKE_FILE,
	[WRITTEN_REPLACED] = LANDLOCK_WRITE_FILE | LANDLOCK_TRUNCATE | LANDLOCK_MAKE_FILE | LANDLOCK_REMOVE_FILE |
	                     LANDLOCK_MAKE_FOLDER,
	[WRITTEN_REMOVED] = LANDLOCK_REMOVE_FILE,
};

/* ---- owners ---- */

static void add_owner(struct isolation_owners *owners, uid_t user, gid_t group)
{
	for (size_t i = 0; i < owners->count; i++)
		if (owners->list[i].user == user && owners->list[i].group == group)
			return;
	owners->list = memory_grow(owners->list, owners->count, &owners->capacity, sizeof *owners->list);
	owners->list[owners->count++] = (struct isolation_owner){user, group};
}

static void add_owner_of(struct isolation_owners *owners, const char *path)
{
	struct stat status;
	if (path && stat(path, &status) == 0)
		add_owner(owners, status.st_uid, status.st_gid);
}

/* A folder that is of use for state has files of its own names: its owner's, who has them by creds(1) too. */
void isolation_find_owners(const struct config *config, struct isolation_owners *owners)
{
	struct written written;
	*owners = (struct isolation_owners){0};
	add_owner(owners, geteuid(), getegid());
	written_find(config, &written);
	for (size_t i = 0; i < written.count; i++)
		if (written.list[i].how == WRITTEN_REPLACED)
			add_owner_of(owners, written.list[i].file ? written.list[i].file : written.list[i].path);
	written_free(&written);
}

/* ---- files ---- */

/* The service manager may be told of the end by an abstract socket (sd_notify(3)). */
static bool notifies_abstract(void)
{
	const char *name = getenv("NOTIFY_SOCKET");
	return name && *name == '@';
}

static struct landlock wanted(bool commands)
{
	struct landlock all = {
		.files = WRITING | LANDLOCK_EXECUTE,
		.ports = LANDLOCK_BIND_TCP,
		.scopes = LANDLOCK_SIGNALS | (notifies_abstract() ? 0 : LANDLOCK_ABSTRACT_SOCKETS),
	};
	/* Commands may speak to an agent of theirs by such a socket. */
	return commands ? (struct landlock){.ports = LANDLOCK_BIND_TCP, .scopes = LANDLOCK_SIGNALS} : all;
}

/* A folder for state may be needed by what another configuration has: it is made while it can be. */
static void make_state(const struct written_place *place)
{
	AUTO_FREE char *inside = file_resolve(place->path, "state");
	if (!strcmp(place->key, "state"))
		file_make_folder(inside, NULL);
}

static void note(struct isolation *isolation, const struct written *written)
{
	isolation->places = memory_array(written->count ? written->count : 1, sizeof *isolation->places);
	for (size_t i = 0; i < written->count; i++) {
		struct isolation_place *place = &isolation->places[isolation->count++];
		struct stat status;
		*place = (struct isolation_place){.path = memory_string(written->list[i].path), .how = (int)written->list[i].how};
		if (stat(place->path, &status) == 0) {
			place->device = status.st_dev;
			place->number = status.st_ino;
		}
	}
}

/* ---- folders of everybody ---- */

static bool is_folder(const struct stat *status, const char *folder)
{
	struct stat other;
	return folder && stat(folder, &other) == 0 && other.st_dev == status->st_dev && other.st_ino == status->st_ino;
}

/* Of who logs in: programs of his are started by what lies in there. A service's may well be what it writes to. */
static bool is_login_home(const struct stat *status)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *shell = user ? strrchr(user->pw_shell, '/') : NULL;
	return shell && strcmp(shell, "/nologin") != 0 && strcmp(shell, "/false") != 0 && is_folder(status, user->pw_dir);
}

/* Does it have much beneath it that is not Keystile's? */
static bool is_of_all(const char *folder)
{
	static const char *const names[] = {"/", "/etc", "/home", "/root", "/run", "/srv", "/tmp", "/usr", "/var", "/var/lib", "/var/log",
	                                    "/var/tmp"};
	struct stat status;
	if (stat(folder, &status) != 0 || !S_ISDIR(status.st_mode))
		return false;
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (is_folder(&status, names[i]))
			return true;
	return is_login_home(&status);
}

/* A right goes for all that is beneath. */
static void warn_of_place(const struct written_place *place)
{
	if (is_of_all(place->path))
		log_warning("who takes over proxyd may %s all of %s, since `%s` lies in it; give it a folder of its own",
		            place->how == WRITTEN_REMOVED ? "remove files in" : "write", place->path, place->key);
}

/* What is not there, or is a pipe, which Landlock does not know, needs no rule. */
static bool open_places(int ruleset, const struct written *written, const struct landlock *taken, struct fault *fault)
{
	for (size_t i = 0; i < written->count; i++) {
		const struct written_place *place = &written->list[i];
		uint64_t left = rights[place->how] & taken->files;
		log_debug("confinement: may write in %s (%s)", place->path, place->key);
		if (left)
			warn_of_place(place);
		if (left && !landlock_allow_path(ruleset, place->path, left) && errno != ENOENT && errno != ENOTDIR &&
		    errno != EACCES && errno != EBADFD)
			return fault_errno(fault, "Landlock takes no rule for %s", place->path);
	}
	return true;
}

static bool restrict_to(const struct written *written, const struct landlock *taken, struct fault *fault)
{
	int ruleset = landlock_new(taken);
	if (ruleset < 0)
		return fault_errno(fault, "Landlock makes no rules");
	bool done = (!taken->files || open_places(ruleset, written, taken, fault)) &&
	            (landlock_restrict(ruleset) || fault_errno(fault, "Landlock takes no rules"));
	close(ruleset);
	return done;
}

/* Beside commands nothing is said of what would stay open with any Landlock. */
static void tell(int version, const struct landlock *taken, bool commands, struct buffer *told)
{
	const char *later = commands ? "signals: Linux 6.12 has them" : "signals and abstract sockets: Linux 6.12 has them";
	buffer_string(told, taken->files ? ", no programs, files" : ", TCP listeners");
	buffer_format(told, " by Landlock ABI %d", version);
	if (version < LANDLOCK_WITH_SCOPES)
		buffer_format(told, " (which lacks %s%s)", version < LANDLOCK_WITH_PORTS ? "TCP listeners, " : "", later);
}

/* Which one this kernel has; 0 with a fault. */
static int find_version(bool commands, struct fault *fault)
{
	return commands ? landlock_version("who takes over proxyd can open TCP listeners, and signal what its user can", "Linux 6.12", fault)
	                : landlock_version("who takes over proxyd can write what its user can", "Linux 5.13", fault);
}

void isolation_limit_files(struct isolation *isolation, const struct config *config, bool commands, struct buffer *told)
{
	struct fault fault = FAULT_INIT;
	struct landlock all = wanted(commands);
	int version = find_version(commands, &fault);
	struct landlock taken = landlock_known(&all, version);
	struct written written;
	written_find(config, &written);
	for (size_t i = 0; i < written.count; i++)
		make_state(&written.list[i]);
	bool any = taken.files || taken.ports || taken.scopes;
	bool done = version > 0 && (!any || restrict_to(&written, &taken, &fault));
	if (!done)
		log_warning("%s", fault.text);
	else if (any)
		tell(version, &taken, commands, told);
	else
		log_warning("Landlock ABI %d has nothing of what is given up beside commands: TCP listeners (Linux 6.7) and signals (Linux 6.12) "
		            "stay open to who takes over proxyd", version);
	isolation->writing_given_up = done && taken.files;
	if (isolation->writing_given_up)
		note(isolation, &written);
	written_free(&written);
}
