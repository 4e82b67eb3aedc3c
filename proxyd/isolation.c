#include "isolation.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "isolation_internal.h"
#include "log.h"
#include "memory.h"
#include "written.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

bool isolation_begin(struct fault *fault)
{
	return SANITIZED || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 || fault_errno(fault, "cannot give up new privileges");
}

void isolation_enter(struct isolation *isolation, const struct config *config)
{
	AUTO_BUFFER struct buffer told = {0};
	const struct mark *command = config_command(config);
	*isolation = (struct isolation){.programs_given_up = !SANITIZED && !command};
	if (SANITIZED) {
		log_warning("confinement: none, since this proxyd was built with sanitizers, which need more");
		return;
	}
	struct isolation_owners owners;
	isolation_load_libraries();
	isolation_find_owners(config, &owners);
	isolation_drop_capabilities(command || owners.count > 1, &told);
	isolation_limit_files(isolation, config, command != NULL, &told);
	isolation_limit_calls(command != NULL, &owners, &told);
	free(owners.list);
	log_info("confinement: no new privileges%s", told.data ? told.data : "");
	if (command)
		log_info("confinement: programs, and writing, stay open for the commands of `exec:` (%s:%u)", command->file,
		         command->line);
}

void isolation_free(struct isolation *isolation)
{
	for (size_t i = 0; i < isolation->count; i++)
		free(isolation->places[i].path);
	free(isolation->places);
	*isolation = (struct isolation){0};
}

/* ---- later ---- */

/* Who may replace files may append to them, too. */
static bool allows(const struct isolation_place *place, int how)
{
	return place->how == how || (place->how == WRITTEN_REPLACED && how == WRITTEN_APPENDED);
}

/* Is it one of the places, as they were? A folder that was made anew is another one, whatever its name. */
static bool is_place(const struct isolation *isolation, const char *path, int how)
{
	struct stat status;
	if (stat(path, &status) != 0)
		return false;
	for (size_t i = 0; i < isolation->count; i++) {
		const struct isolation_place *place = &isolation->places[i];
		if (allows(place, how) && place->device == status.st_dev && place->number == status.st_ino)
			return true;
	}
	return false;
}

/* Is it, or does it lie beneath, one of the places? */
static bool is_beneath(const struct isolation *isolation, const char *path, int how)
{
	char *folder = realpath(path, NULL);
	if (!folder)
		folder = memory_string(path);
	bool found = is_place(isolation, folder, how);
	while (!found && strcmp(folder, "/") != 0 && strcmp(folder, ".") != 0) {
		char *above = file_folder(folder);
		free(folder);
		folder = above;
		found = is_place(isolation, folder, how);
	}
	free(folder);
	return found;
}

/* What the configuration named at the start is not refused later, even if it was not there then. */
static bool is_known(const struct isolation *isolation, const struct written_place *place)
{
	for (size_t i = 0; i < isolation->count; i++)
		if (allows(&isolation->places[i], (int)place->how) && !strcmp(isolation->places[i].path, place->path))
			return true;
	return is_beneath(isolation, place->path, (int)place->how);
}

static bool permits_writing(const struct isolation *isolation, const struct config *fresh, struct fault *fault)
{
	struct written written;
	bool fits = true;
	written_find(fresh, &written);
	for (size_t i = 0; i < written.count && fits; i++) {
		const struct written_place *place = &written.list[i];
		if (place->how != WRITTEN_REMOVED && !is_known(isolation, place))
			fits = fault_set(fault, FAULT_USAGE, "%s: `%s`: needs a restart: proxyd gave up writing in %s when it started; "
			                 "restart proxyd", fresh->file, place->key, place->path);
	}
	written_free(&written);
	return fits;
}

/* Where it is absent it is made, which takes link(2), at a start alone. */
static bool permits_session_key(const struct config *fresh, struct fault *fault)
{
	const struct source *key = &fresh->session.key;
	if (fresh->session.none || key->kind != SOURCE_FILE || access(key->name, F_OK) == 0 || errno != ENOENT)
		return true;
	const struct mark *mark = &fresh->session.mark;
	return fault_set(fault, FAULT_USAGE, "%s:%u:%u: %s is not there, and proxyd gave up making it when it started; make it "
	                 "(creds keygen %s), or restart proxyd", mark->file, mark->line, mark->column, key->name, key->name);
}

bool isolation_permits(const struct isolation *isolation, const struct config *fresh, struct fault *fault)
{
	const struct mark *command = config_command(fresh);
	if (isolation->programs_given_up && command)
		return fault_set(fault, FAULT_USAGE, "%s:%u:%u: `exec:` needs a restart: proxyd gave up running programs when it "
		                 "started; restart proxyd", command->file, command->line, command->column);
	return (!isolation->programs_given_up || permits_session_key(fresh, fault)) &&
	       (!isolation->writing_given_up || permits_writing(isolation, fresh, fault));
}

void isolation_explain(const struct isolation *isolation, const char *path, int how, const char *advice, struct fault *fault)
{
	if (!isolation->writing_given_up || fault->code != FAULT_DENIED || !path)
		return;
	for (; how <= WRITTEN_REPLACED; how++)
		if (is_beneath(isolation, path, how))
			return;
	AUTO_FREE char *real = realpath(path, NULL);
	AUTO_FREE char *folder = file_folder(real ? real : path);
	AUTO_FREE char *text = memory_string(fault->text);
	fault_set(fault, FAULT_DENIED, "%s (proxyd gave up writing in %s when it started, or that folder was made anew since; %s)",
	          text, folder, advice);
}
