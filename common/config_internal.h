/* What the files of config_*.c share: reading a document's nodes into structs by tables, and telling what is wrong.
 *
 * A mapping is described by a table of keys. config_read_mapping() calls for each key in the file the function that the
 * table names, with the place of the field; unknown keys are told with the known one that is nearest. */
#ifndef KEYSTILE_CONFIG_INTERNAL_H
#define KEYSTILE_CONFIG_INTERNAL_H

#include <stdatomic.h>

#include "arena.h"
#include "config.h"
#include "document.h"
#include "preset.h"
#include "table.h"

#define LENGTH(array) (sizeof(array) / sizeof *(array))

struct report_line {
	unsigned line, column;
	size_t order;
	const char *text; /* in an arena */
};

/* Lines while they are collected. */
struct report {
	struct report_line *list;
	size_t count, capacity;
};

/* What a profile says itself, before inheritance. */
struct own_profile {
	const struct node *extends;     /* text or list; NULL: none */
	const struct node *credentials; /* NULL: the parents' */
	struct config_host *hosts;
	size_t host_count;
	bool direct, direct_said, rate_said;
	struct rate rate;
	uint32_t token_version;
	unsigned level;  /* the longest chain of parents above it, itself included */
	bool open, done; /* while its parents are merged; once it is whole */
};

struct config_private {
	atomic_uint references;
	struct arena arena;
	struct table credentials, profiles; /* name → struct */
	struct own_profile *own;            /* one for each profile */
};

struct reading {
	struct config *config;
	struct arena *arena;  /* the configuration's */
	struct arena *nodes;  /* the documents'; gone after loading */
	const struct node *entry; /* while a preset is read: the entry that named it, where errors are told; else NULL */
	struct report errors, warnings;
	const struct node **presets; /* parsed ones, by their place in preset_list; NULL: not used yet */
	bool found_here, has_vault;
	size_t inherited; /* hosts and credentials that profiles took over so far */
	const struct config_keys *listed; /* whose keys were told last, */
	const char *listing;              /* and how they are told */
	size_t guesses; /* how much work for "did you mean" is left, so that a file of mistakes costs no more than a good one */
};

struct config_key {
	const char *name;
	void (*read)(struct reading *reading, const struct node *node, void *field, const void *detail);
	size_t offset;
	const void *detail; /* what `read` must know beside: the words of a choice, the bounds of a number */
};

struct config_keys {
	const struct config_key *list;
	size_t count;
	const char *what; /* "a credential" */
};

#define KEYS(array, what) {(array), LENGTH(array), (what)}

/* Telling. The node gives the place. Control characters in the text are escaped. */
void config_error(struct reading *reading, const struct node *node, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void config_error_at(struct reading *reading, struct mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void config_warning_at(struct reading *reading, struct mark mark, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void config_report_add(struct reading *reading, struct report *report, unsigned line, unsigned column, const char *text);
void config_report_line(struct report *report, unsigned line, unsigned column, const char *text); /* `text` stays */
void config_message_add(struct config_messages *messages, char *line); /* takes `line` */
document_report config_document_error; /* its context is the reading */
void config_report_write(struct report *report, const char *file, struct config_messages *messages); /* sorted */

/* `; did you mean "hosts"?`, or "" where nothing is near. In the arena. */
const char *config_guess_key(struct reading *reading, struct span text, const struct config_keys *keys);
const char *config_guess_word(struct reading *reading, struct span text, const char *const *words);
const char *config_guess_name(struct reading *reading, struct span text, const void *first, size_t count, size_t size);

/* Mappings. False where the node is none (told). */
bool config_read_mapping(struct reading *reading, const struct node *node, const struct config_keys *keys, void *target);
bool config_expect(struct reading *reading, const struct node *node, enum node_kind kind, const char *what);
bool config_expect_entry(struct reading *reading, const struct node *name, const struct node *entry,
                         const struct config_keys *keys); /* what a name stands for; a slip of indentation is told so */
bool config_require(struct reading *reading, const struct node *mapping, const char *key, const char *example);

/* Readers of one value each, for the tables; what they read is in the comment. */
void config_read_text(struct reading *reading, const struct node *node, void *field, const void *what);     /* char * */
void config_read_path(struct reading *reading, const struct node *node, void *field, const void *what);     /* char *, resolved */
void config_read_bool(struct reading *reading, const struct node *node, void *field, const void *unused);   /* bool */
void config_read_choice(struct reading *reading, const struct node *node, void *field, const void *words);  /* int-sized enum */
void config_read_duration(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_rate(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_rules(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_secret(struct reading *reading, const struct node *node, void *field, const void *unused); /* struct source */
void config_read_names(struct reading *reading, const struct node *node, void *field, const void *check);

/* A check of one text, for config_read_names: NULL where it is good, else what is wrong with it. */
struct text_check {
	const char *what; /* "a header name" */
	bool one;         /* a single text will do where a list may stand */
	const char *(*wrong)(struct span text);
};

/* Pieces of the above. */
const struct node *config_items(const struct node *node, size_t index, size_t *count); /* one value, or a list of them */
struct mark config_mark(const struct reading *reading, const struct node *node);
char *config_keep(struct reading *reading, const struct node *node); /* its text, in the arena */
bool config_number(struct reading *reading, const struct node *node, uint64_t least, uint64_t most, uint64_t *number);
bool config_origin(struct reading *reading, const struct node *node, struct origin_options options, struct origin *origin);
void config_string_add(struct reading *reading, struct string_list *list, size_t room, const char *text);
bool config_has_control(struct span text);
bool config_is_token(struct span text);      /* RFC 9110 §5.6.2 */
bool config_is_variable(struct span text);   /* [A-Za-z_][A-Za-z0-9_]* */

/* The parts of a file, each in its own config_*.c. */
void config_read_listen(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_advertise(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_admin(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_limits(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_default_limits(struct config_limits *limits);
void config_read_credentials(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_profiles(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_inject(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_read_signer(struct reading *reading, const struct node *node, void *field, const void *signer);
void config_read_env(struct reading *reading, const struct node *node, void *field, const void *unused);
void config_check_listeners(struct reading *reading, const struct node *root);
void config_check_injections(struct reading *reading, const struct node *entry, struct config_credential *credential,
                             size_t errors); /* how many there were before this entry */
bool config_injects(const struct config_credential *credential, enum injection_kind kind);
bool config_is_app(const struct config_credential *credential); /* does it inject tokens of a GitHub App? */
void config_check_env(struct reading *reading, const struct node *entry, struct config_credential *credential);
void config_check_environments(struct reading *reading); /* one name, two values */
void config_check_hosts(struct reading *reading);        /* entries without effect */
void config_inherit(struct reading *reading); /* fills config->profiles from what each says itself */

/* The injections that compute what they send. */
struct config_signer {
	const char *name;
	enum injection_kind kind;
	struct config_keys keys;
	void (*check)(struct reading *reading, const struct node *node);
};
extern const struct config_signer config_sigv4, config_oauth2, config_jwt;
extern const struct config_signer *const config_signers[3];

/* Who has a name: [a-z0-9][a-z0-9._-]{0,62}. */
bool config_name(struct reading *reading, const struct node *key, const char *what);

/* Templates: text with {NAME} in it. Calls `visit` for each name. False where a brace is not part of one. */
bool config_template(struct span text, bool (*visit)(struct span name, void *context), void *context);

#endif
