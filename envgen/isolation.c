#include "isolation.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "confine.h"
#include "file.h"
#include "log.h"
#include "memory.h"
#include "mounts.h"
#include "namespace.h"
#include "needed.h"
#include "trust.h"
#include "trust_paths.h"

/* A state folder that is not there yet would come uncovered. */
static void make_folders(const struct guarded *guarded)
{
	for (size_t i = 0; i < guarded->count; i++) {
		AUTO_FREE char *inside = memory_format("%s/.", guarded->list[i].path);
		if (guarded->list[i].folder)
			file_make_folder(inside, NULL);
	}
}

void isolation_prepare(const struct config *config, const struct options *options, const char *program,
                       struct isolation *isolation)
{
	const struct option_words *bundles = &options->ca_over;
	isolation->options = options;
	isolation->ca = trust_ca_path(config);
	isolation->bundle = trust_bundle_path(config);
	guarded_find(config, &isolation->guarded);
	needed_find(config, program, bundles->list, bundles->count, &isolation->needed);
	if (options->confine)
		make_folders(&isolation->guarded);
	cover_plan(&isolation->guarded, &isolation->needed, config->file, &isolation->plan);
}

static void tell_reachable(const struct isolation *isolation, const char *advice)
{
	for (size_t i = 0; i < isolation->guarded.count; i++) {
		const struct guarded_path *one = &isolation->guarded.list[i];
		if (access(one->path, one->access) == 0)
			log_warning("CMD can get at %s (%s)%s", one->path, one->what, advice);
	}
}

void isolation_tell(const struct isolation *isolation)
{
	if (!isolation->options->confine) {
		tell_reachable(isolation, "; --confine hides it, or run envgen as another user");
		return;
	}
	if (geteuid() == 0)
		log_warning("CMD runs as root: it can read disks, and change what runs outside; --confine holds it less than it "
		            "holds another user");
}

/* A failure that is final; returns false. With --best-effort only --ca-over makes it so. */
static bool fail(const struct isolation *isolation, struct fault *fault)
{
	struct fault why = *fault;
	if (isolation->options->best_effort)
		return fault_wrap(fault, isolation->options->ca_over.count > 0 ? "--ca-over" : "--confine");
	return fault_set(fault, why.code, "--confine: %s; or go on without it: --best-effort", why.text);
}

/* A part of --confine that may have failed: with --best-effort that is a warning. */
static bool settle(const struct isolation *isolation, bool done, struct fault *fault)
{
	if (done)
		return true;
	if (!isolation->options->best_effort)
		return fail(isolation, fault);
	log_warning("not confined: %s", fault->text);
	*fault = (struct fault)FAULT_INIT;
	return true;
}

static bool judge_plan(const struct isolation *isolation, struct fault *fault)
{
	for (size_t i = 0; i < isolation->plan.uncovered_count; i++) {
		fault_set(fault, FAULT_DENIED, "%s", isolation->plan.uncovered[i]);
		if (!settle(isolation, false, fault))
			return false;
	}
	return true;
}

static void tell_hidden(const struct isolation *isolation, const struct buffer *paths)
{
	if (paths->length > 0)
		log_info("hidden from CMD: %s", paths->data);
	for (size_t i = 0; i < isolation->plan.until_replaced_count; i++)
		log_warning("%s", isolation->plan.until_replaced[i]);
}

/* The working folder is opened anew: as it was, it leads past what is mounted on its way. */
static bool hold_all(const struct isolation *isolation, struct fault *fault)
{
	AUTO_FREE char *here = getcwd(NULL, 0);
	if (!here)
		return fault_errno(fault, "cannot tell which is the working folder; start CMD in another one");
	bool done = cover_hold(&isolation->plan, fault);
	return (chdir(here) == 0 || fault_errno(fault, "cannot enter %s again", here)) && settle(isolation, done, fault);
}

static bool cover_all(const struct isolation *isolation, struct fault *fault)
{
	char *readable[] = {isolation->ca, isolation->bundle};
	const struct string_list shown = {readable, sizeof readable / sizeof *readable};
	AUTO_BUFFER struct buffer paths = {0};
	for (size_t i = 0; i < isolation->plan.count; i++) {
		const struct cover *cover = &isolation->plan.list[i];
		bool done = cover_mount(cover, &shown, fault);
		if (done)
			buffer_format(&paths, "%s%s%s", paths.length ? ", " : "", cover->path, cover->folder ? "/" : "");
		if (!settle(isolation, done, fault))
			return false;
	}
	tell_hidden(isolation, &paths);
	return true;
}

static bool put_ca_over(const struct isolation *isolation, struct fault *fault)
{
	const struct option_words *bundles = &isolation->options->ca_over;
	for (size_t i = 0; i < bundles->count; i++) {
		AUTO_BUFFER struct buffer content = {0};
		AUTO_FREE char *path = realpath(bundles->list[i], NULL);
		if (!path)
			return fault_errno(fault, "--ca-over %s", bundles->list[i]);
		if (!trust_read(path, isolation->ca, &content, fault))
			return false;
		if (!mount_over_file(path, buffer_view(&content), 0444, fault))
			return fault_wrap(fault, "--ca-over");
	}
	return true;
}

/* With --best-effort a child tries first: who fails half-way into a user namespace cannot come back. */
static bool must_do_without(const struct isolation *isolation, struct fault *fault)
{
	if (!isolation->options->best_effort || isolation->options->ca_over.count > 0 || namespace_possible(fault))
		return false;
	settle(isolation, false, fault);
	tell_reachable(isolation, "");
	return true;
}

static bool hide(const struct isolation *isolation, struct fault *fault)
{
	if (must_do_without(isolation, fault))
		return true;
	if (!namespace_enter(fault))
		return fail(isolation, fault);
	return put_ca_over(isolation, fault) && judge_plan(isolation, fault) && hold_all(isolation, fault) &&
	       cover_all(isolation, fault) && (namespace_lock(fault) || fail(isolation, fault));
}

static bool limit(const struct isolation *isolation, struct fault *fault)
{
	return settle(isolation, confine_privileges(fault), fault) &&
	       settle(isolation, confine_connects(&isolation->ports, fault), fault) &&
	       settle(isolation, confine_detours(fault), fault);
}

/* A folder that the caller has open leads to what was mounted before, past all that is hidden. Above the standard ones it is
 * closed; who gave one of these did so by mistake. */
static bool close_folders(struct fault *fault)
{
	DIR *list = opendir("/proc/self/fd");
	bool done = list || fault_errno(fault, "cannot read /proc/self/fd");
	for (struct dirent *entry; done && (entry = readdir(list));) {
		struct stat status;
		int fd = atoi(entry->d_name);
		if (entry->d_name[0] == '.' || fd == dirfd(list) || fstat(fd, &status) != 0)
			continue;
		if (!S_ISDIR(status.st_mode) && !(fcntl(fd, F_GETFL) & O_PATH))
			continue;
		if (fd > 2)
			fcntl(fd, F_SETFD, FD_CLOEXEC);
		else
			done = fault_set(fault, FAULT_USAGE, "descriptor %d is an open folder, by which CMD would find what --confine "
			                 "hides; give it a file, a terminal or /dev/null", fd);
	}
	if (list)
		closedir(list);
	return done;
}

bool isolation_apply(const struct isolation *isolation, struct fault *fault)
{
	/* The maps of a user namespace are written through /proc/PID, which is root's where a process is not dumpable. */
	if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0)
		return fault_errno(fault, "cannot become dumpable");
	if (isolation->options->confine)
		return close_folders(fault) && hide(isolation, fault) && limit(isolation, fault);
	if (isolation->options->ca_over.count == 0)
		return true;
	return namespace_enter(fault) ? put_ca_over(isolation, fault) : fault_wrap(fault, "--ca-over");
}

void isolation_free(struct isolation *isolation)
{
	guarded_free(&isolation->guarded);
	needed_free(&isolation->needed);
	cover_plan_free(&isolation->plan);
	free(isolation->ca);
	free(isolation->bundle);
	*isolation = (struct isolation){0};
}
