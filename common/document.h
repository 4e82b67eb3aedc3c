/* YAML as a tree of nodes, each with its place; the one reader of YAML.
 *
 * Everything is text as written: 1.20 stays "1.20" and "no" stays "no", whoever reads a node decides what it means.
 * Refused: a duplicate key, a key that is not text, `<<`, tags, a second document, what is not UTF-8, and more than the
 * limits below. Aliases work and share their node; since a tree that shares can be walked for ever, what they add is
 * limited too. Pure. */
#ifndef KEYSTILE_DOCUMENT_H
#define KEYSTILE_DOCUMENT_H

#include <stddef.h>

#include "arena.h"
#include "span.h"

#define DOCUMENT_BYTES (16u << 20)
#define DOCUMENT_NODES 1000000u
#define DOCUMENT_ALIAS_NODES 100000u /* what all aliases together stand for */
#define DOCUMENT_DEPTH 32u

enum node_kind { NODE_TEXT, NODE_LIST, NODE_MAPPING };

struct node;

struct node_pair {
	struct node *key; /* NODE_TEXT */
	struct node *value;
};

struct node {
	enum node_kind kind;
	bool plain;            /* text without quotes; an empty one is "nothing stands here" */
	unsigned line, column; /* from 1, columns in characters */
	size_t weight;         /* nodes in this tree, itself included, aliases followed */
	size_t count;          /* bytes of text, items, or pairs */
	union {
		char *text; /* with a NUL behind it; has no NUL inside */
		struct node **items;
		struct node_pair *pairs;
	};
};

typedef void document_report(void *context, unsigned line, unsigned column, const char *text);

/* Parses `text`. Every error goes to `report`. Returns the root, which lives in `arena`, or NULL where the text is no
 * YAML or goes beyond a limit; after a duplicate key and the like the tree is returned all the same (the first of two
 * counts), so that its reader can find what else is wrong. */
struct node *document_parse(struct span text, struct arena *arena, document_report *report, void *context);

/* The value of a key, or NULL. */
struct node *node_find(const struct node *mapping, const char *key);

static inline struct span node_text(const struct node *node)
{
	return (struct span){node->text, node->count};
}

/* Is this a key without a value ("hosts:" and nothing behind it)? */
static inline bool node_nothing(const struct node *node)
{
	return node->kind == NODE_TEXT && node->plain && node->count == 0;
}

#endif
