/* envgen verify: starts the clients that are installed here, and tells which way they went. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "buffer.h"
#include "commands.h"
#include "inherited.h"
#include "memory.h"
#include "subject.h"
#include "text.h"
#include "verify_clients.h"
#include "verify_network.h"
#include "verify_report.h"
#include "verify_run.h"
#include "verify_targets.h"

static bool run_isolated(char *const *variables, const struct targets *targets, struct outcome *outcomes,
                         struct fault *fault)
{
	const char *above = getenv("TMPDIR");
	AUTO_FREE char *folder = memory_format("%s/keystile-verify-XXXXXX", above && above[0] == '/' ? above : "/tmp");
	if (!mkdtemp(folder))
		return fault_errno(fault, "cannot make a folder %s", folder);
	bool done = isolate_names(folder, targets, fault) && verify_run(variables, targets, folder, outcomes, fault);
	isolate_end(folder);
	return done;
}

/* Nothing shown is no proof. */
static bool has_some(const struct outcome *outcomes, struct fault *fault)
{
	for (size_t i = 0; i < verify_client_count; i++)
		if (outcomes[i].state != OUTCOME_ABSENT)
			return true;
	return fault_set(fault, FAULT_MISSING, "none of the clients that envgen verify knows runs here; are they in PATH?");
}

static bool tell(struct call *call, const struct targets *targets, const struct outcome *outcomes, struct fault *fault)
{
	AUTO_BUFFER struct buffer out = {0};
	if (call->options->json)
		verify_write_json(targets, outcomes, &out);
	else
		verify_write_table(targets, outcomes, &out);
	call->status = verify_passed(targets, outcomes) ? EXIT_SUCCESS : EXIT_FAILURE;
	return text_print(buffer_view(&out), fault);
}

static bool verify(struct call *call, char *const *variables, const struct targets *targets,
                   struct fault *fault)
{
	size_t size = verify_client_count * sizeof(struct outcome);
	struct outcome *outcomes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (outcomes == MAP_FAILED)
		return fault_errno(fault, "cannot share memory with the processes that run clients");
	bool done = run_isolated(variables, targets, outcomes, fault) && has_some(outcomes, fault) &&
	            tell(call, targets, outcomes, fault);
	munmap(outcomes, size);
	return done;
}

/* As envgen run --clean has it: what else is set here plays no part. */
static bool inherit(const struct config *config, const struct environment *environment, struct inherited *inherited,
                    struct fault *fault)
{
	struct known *known = known_new(config);
	struct inherited_request request = {.made = environment, .known = known, .from = environ, .clean = true};
	bool done = inherited_make(&request, inherited, fault);
	known_free(known);
	return done;
}

bool command_verify(struct call *call, struct fault *fault)
{
	AUTO_SUBJECT struct subject subject = {0};
	struct environment environment = {0};
	struct inherited inherited = {0};
	struct targets targets = {0};
	bool done = subject_load(call->options, SUBJECT_PROFILE | SUBJECT_ADVERTISE | SUBJECT_KEY, &subject, fault) &&
	            environment_make(&subject.request, &environment, fault) &&
	            inherit(subject.config, &environment, &inherited, fault);
	if (done)
		targets_make(&subject.request, environment_value(&environment, "NO_PROXY"), &targets);
	explicit_bzero(&subject.key, sizeof subject.key); /* nothing that runs clients holds it */
	done = done && verify(call, inherited.environment, &targets, fault);
	targets_free(&targets);
	inherited_free(&inherited);
	environment_free(&environment);
	return done;
}
