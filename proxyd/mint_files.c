#include "mint_files.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file.h"
#include "memory.h"
#include "mint_internal.h"
#include "tls.h"
#include "trust_paths.h"

enum { CA, BUNDLE, STORE, FILES };

static const char *const keys[FILES] = {[CA] = "tls.ca_out", [BUNDLE] = "tls.bundle_out", [STORE] = "tls.bundle_out"};

struct files {
	char *paths[FILES];
	bool said[FILES]; /* by the configuration: then its folder is the operator's to make */
};

static void files_free(struct files *files)
{
	for (size_t i = 0; i < FILES; i++)
		free(files->paths[i]);
}

static bool files_find(const struct config *config, struct files *files, struct fault *fault)
{
	AUTO_FREE char *bundle = trust_bundle_path(config);
	*files = (struct files){.paths = {[CA] = trust_ca_path(config)}};
	files->said[CA] = config->tls.ca_out;
	files->said[BUNDLE] = files->said[STORE] = config->tls.bundle_out;
	if (!files->paths[CA] || !bundle)
		return fault_set(fault, FAULT_USAGE, "there is no state folder, in which the CA of interception would be written for "
		                                     "clients; set `state: PATH`, or `tls: { ca_out: PATH, bundle_out: PATH }`");
	files->paths[BUNDLE] = memory_string(bundle);
	files->paths[STORE] = memory_format("%s" TRUST_STORE_ENDING, bundle);
	return true;
}

/* ---- may they be written? ---- */

/* By name, or on disk. */
static bool same_file(const char *one, const char *two)
{
	struct stat a, b;
	if (!two)
		return false;
	return !strcmp(one, two) || (stat(one, &a) == 0 && stat(two, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino);
}

/* What would be lost, or, of the roots, would hold the CA from then on. */
static const char *needed_file(const struct config *config, const char *path)
{
	const char *roots = getenv("SSL_CERT_FILE");
	if (same_file(path, config->tls.ca_key))
		return "tls.ca_key";
	if (same_file(path, config->tls.ca_cert))
		return "tls.ca_cert";
	return same_file(path, roots) ? "SSL_CERT_FILE" : NULL;
}

static bool judge_path(const struct config *config, const struct files *files, size_t i, struct fault *fault)
{
	struct stat status;
	const char *path = files->paths[i], *needed = needed_file(config, path);
	if (needed)
		return fault_set(fault, FAULT_USAGE, "%s: %s is read as %s, so nothing is written there; set another path", keys[i],
		                 path, needed);
	for (size_t k = 0; k < i; k++)
		if (same_file(path, files->paths[k]))
			return fault_set(fault, FAULT_USAGE, "%s: %s is written as %s too; set another path", keys[i], path, keys[k]);
	if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
		return fault_set(fault, FAULT_USAGE, "%s: %s is no regular file; set another path", keys[i], path);
	return true;
}

static bool judge_paths(const struct config *config, const struct files *files, struct fault *fault)
{
	for (size_t i = 0; i < FILES; i++)
		if (!judge_path(config, files, i, fault))
			return false;
	return true;
}

/* The folder, or, where it is made at start, the one that it would be made in. */
static bool may_write(const struct files *files, size_t i, struct fault *fault)
{
	AUTO_FREE char *folder = file_folder(files->paths[i]);
	while (!files->said[i] && access(folder, F_OK) != 0 && errno == ENOENT && strcmp(folder, "/") && strcmp(folder, ".")) {
		char *above = file_folder(folder);
		free(folder);
		folder = above;
	}
	if (access(folder, W_OK | X_OK) == 0)
		return true;
	fault_errno(fault, "%s: cannot write in %s", keys[i], folder);
	return false;
}

/* ---- what is written ---- */

static bool fill_bundle(const struct buffer *ca, struct buffer *bundle, struct fault *fault)
{
	struct tls_trust *roots = tls_trust_load(NULL, fault);
	if (!roots)
		return fault_wrap(fault, "tls.bundle_out");
	bool listed = tls_trust_pem(roots, bundle);
	tls_trust_free(roots);
	if (!listed)
		return fault_set(fault, FAULT_MISSING, "tls.bundle_out: this system does not list its root certificates; name a file "
		                                       "of them with SSL_CERT_FILE");
	buffer_span(bundle, buffer_view(ca));
	return true;
}

static bool write_one(const struct files *files, size_t i, const struct buffer *content, struct fault *fault)
{
	const char *path = files->paths[i];
	struct fault why = FAULT_INIT;
	if ((files->said[i] || file_make_folder(path, &why)) && file_replace(path, buffer_view(content), 0644, &why))
		return true;
	return fault_set(fault, why.code, "%s: %s; set it to a path in a folder that this user may write", keys[i], why.text);
}

bool mint_write(const struct mint *mint, const struct config *config, struct fault *fault)
{
	struct files files;
	AUTO_BUFFER struct buffer ca = {0}, bundle = {0}, store = {0};
	bool done = files_find(config, &files, fault) && judge_paths(config, &files, fault);
	if (done) {
		mint_pem(mint, &ca);
		done = fill_bundle(&ca, &bundle, fault) && mint_store(buffer_view(&bundle), time(NULL), &store, fault) &&
		       write_one(&files, CA, &ca, fault) && write_one(&files, BUNDLE, &bundle, fault) &&
		       write_one(&files, STORE, &store, fault);
	}
	files_free(&files);
	return done;
}

bool mint_may_write(const struct config *config, struct fault *fault)
{
	struct files files;
	bool done = files_find(config, &files, fault) && judge_paths(config, &files, fault);
	for (size_t i = 0; i < FILES && done; i++)
		done = may_write(&files, i, fault);
	files_free(&files);
	return done;
}
