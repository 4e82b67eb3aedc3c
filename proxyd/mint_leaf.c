#include "mint_leaf.h"

#include <gnutls/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "content.h"
#include "memory.h"
#include "mint_internal.h"
#include "table.h"
#include "tls_internal.h"

#define CA_LIMIT ((size_t)1 << 20)
#define SOONEST_RENEWAL ((time_t)60 * 60) /* near the CA's end, a new leaf would last no longer */

/* A name that was asked for, and its leaf. */
struct name {
	char *text;
	pthread_mutex_t lock; /* of the leaf: who comes second waits for what the first one makes */
	struct leaf *leaf;    /* NULL: none yet */
	unsigned users;       /* threads that hold it; under the mint's lock, as are its places */
	TAILQ_ENTRY(name) place;
};

struct mint {
	atomic_uint references;
	struct ca ca;
	bool given;                /* the CA is the operator's */
	struct content files[2];   /* of that: certificate, key */
	gnutls_x509_privkey_t key; /* of all leaves */
	gnutls_datum_t ticket_key; /* from which each name has its own */
	pthread_mutex_t lock;      /* of what follows */
	struct table by_text;
	TAILQ_HEAD(name_list, name) names; /* what was asked for last comes first */
};

/* ---- a leaf ---- */

struct leaf *leaf_ref(struct leaf *leaf)
{
	atomic_fetch_add_explicit(&leaf->references, 1, memory_order_relaxed);
	return leaf;
}

void leaf_free(struct leaf *leaf)
{
	if (!leaf || atomic_fetch_sub_explicit(&leaf->references, 1, memory_order_acq_rel) > 1)
		return;
	if (leaf->credentials)
		gnutls_certificate_free_credentials(leaf->credentials);
	explicit_bzero(leaf->ticket_key, sizeof leaf->ticket_key);
	free(leaf);
}

static bool name_leaf(gnutls_x509_crt_t certificate, const struct host *host)
{
	bool is_name = host->kind == HOST_NAME;
	const void *text = is_name ? (const void *)host->name : host->address;
	unsigned size = is_name ? host->length : host->kind == HOST_IPV4 ? 4 : 16;
	return gnutls_x509_crt_set_dn(certificate, MINT_LEAF_SUBJECT_RFC4514, NULL) == 0 &&
	       gnutls_x509_crt_set_subject_alt_name(certificate, is_name ? GNUTLS_SAN_DNSNAME : GNUTLS_SAN_IPADDRESS, text,
	                                            size, GNUTLS_FSAN_SET) == 0;
}

static bool fill_leaf(gnutls_x509_crt_t certificate, const struct mint *mint, const struct host *host)
{
	unsigned char id[MINT_KEY_ID];
	size_t size = sizeof id;
	return name_leaf(certificate, host) && gnutls_x509_crt_set_key(certificate, mint->key) == 0 &&
	       gnutls_x509_crt_get_key_id(certificate, 0, id, &size) == 0 &&
	       gnutls_x509_crt_set_subject_key_id(certificate, id, size) == 0 &&
	       gnutls_x509_crt_set_authority_key_id(certificate, mint->ca.id, mint->ca.id_size) == 0 &&
	       gnutls_x509_crt_set_basic_constraints(certificate, 0, -1) == 0 &&
	       gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE) == 0 &&
	       gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TLS_WWW_SERVER, 0) == 0 &&
	       ca_sign(&mint->ca, certificate);
}

/* GnuTLS copies what it is given here. That the key fits needs no look each time. */
static bool put_together(struct leaf *leaf, gnutls_x509_crt_t certificate, const struct mint *mint)
{
	AUTO_FREE gnutls_x509_crt_t *chain = memory_array(mint->ca.count + 1, sizeof *chain);
	chain[0] = certificate;
	memcpy(chain + 1, mint->ca.chain, mint->ca.count * sizeof *chain);
	if (gnutls_certificate_allocate_credentials(&leaf->credentials) != 0)
		return false;
	gnutls_certificate_set_flags(leaf->credentials, GNUTLS_CERTIFICATE_SKIP_KEY_CERT_MATCH);
	return gnutls_certificate_set_x509_key(leaf->credentials, chain, (int)mint->ca.count + 1, mint->key) == 0;
}

static void date(struct leaf *leaf, const struct ca *ca, time_t now)
{
	leaf->start = now - MINT_BACK_DAYS * DAY;
	leaf->end = now + MINT_LEAF_DAYS * DAY;
	if (leaf->start < ca->start)
		leaf->start = ca->start;
	if (leaf->end > ca->end)
		leaf->end = ca->end;
	time_t half = (leaf->end - now) / 2;
	leaf->renewal = now + (half > SOONEST_RENEWAL ? half : SOONEST_RENEWAL);
}

static bool make_leaf(struct leaf *leaf, const struct mint *mint, const struct host *host, time_t now)
{
	date(leaf, &mint->ca, now);
	gnutls_x509_crt_t certificate = ca_certificate(leaf->start, leaf->end);
	if (!certificate)
		return false;
	bool done = fill_leaf(certificate, mint, host) && put_together(leaf, certificate, mint) &&
	            gnutls_hmac_fast(GNUTLS_MAC_SHA512, mint->ticket_key.data, mint->ticket_key.size, host->name,
	                             host->length, leaf->ticket_key) == 0;
	gnutls_x509_crt_deinit(certificate);
	return done;
}

static struct leaf *leaf_new(const struct mint *mint, const struct host *host, time_t now, struct fault *fault)
{
	if (now >= mint->ca.end || now < mint->ca.start) {
		fault_set(fault, FAULT_BROKEN, "the CA for interception is not valid now; look at tls.ca_cert, and at the clock");
		return NULL;
	}
	struct leaf *leaf = memory_alloc(sizeof *leaf);
	atomic_init(&leaf->references, 1);
	if (make_leaf(leaf, mint, host, now))
		return leaf;
	leaf_free(leaf);
	fault_set(fault, FAULT_IO, "GnuTLS makes no certificate for %s", host->name);
	return NULL;
}

/* Also where the clock went back. */
static bool is_due(const struct leaf *leaf, time_t now)
{
	return !leaf || now < leaf->start || now >= leaf->renewal || now >= leaf->end;
}

/* ---- names ---- */

static void name_free(struct name *name)
{
	leaf_free(name->leaf);
	pthread_mutex_destroy(&name->lock);
	free(name->text);
	free(name);
}

/* What was not asked for longest goes, but for what a thread holds. */
static void make_room(struct mint *mint)
{
	struct name *name = TAILQ_LAST(&mint->names, name_list);
	while (name && name->users > 0)
		name = TAILQ_PREV(name, name_list, place);
	if (!name)
		return;
	TAILQ_REMOVE(&mint->names, name, place);
	table_remove(&mint->by_text, span_of(name->text));
	name_free(name);
}

static struct name *name_new(struct mint *mint, const struct host *host)
{
	if (mint->by_text.count >= MINT_LEAVES)
		make_room(mint);
	struct name *name = memory_alloc(sizeof *name);
	pthread_mutex_init(&name->lock, NULL);
	name->text = memory_string(host->name);
	table_put(&mint->by_text, span_of(name->text), name);
	return name;
}

static struct name *name_take(struct mint *mint, const struct host *host)
{
	pthread_mutex_lock(&mint->lock);
	struct name *name = table_get(&mint->by_text, host_span(host));
	if (name)
		TAILQ_REMOVE(&mint->names, name, place);
	else
		name = name_new(mint, host);
	TAILQ_INSERT_HEAD(&mint->names, name, place);
	name->users++;
	pthread_mutex_unlock(&mint->lock);
	return name;
}

static void name_give_back(struct mint *mint, struct name *name)
{
	pthread_mutex_lock(&mint->lock);
	name->users--;
	pthread_mutex_unlock(&mint->lock);
}

struct leaf *mint_get_at(struct mint *mint, const struct host *host, time_t now, struct fault *fault)
{
	struct name *name = name_take(mint, host);
	pthread_mutex_lock(&name->lock);
	if (is_due(name->leaf, now)) {
		leaf_free(name->leaf);
		name->leaf = leaf_new(mint, host, now, fault);
	}
	struct leaf *leaf = name->leaf ? leaf_ref(name->leaf) : NULL;
	pthread_mutex_unlock(&name->lock);
	name_give_back(mint, name);
	return leaf;
}

struct leaf *mint_get(struct mint *mint, const struct host *host, struct fault *fault)
{
	return mint_get_at(mint, host, time(NULL), fault);
}

/* ---- the mint ---- */

static bool look_at_files(struct content files[2], const struct config_tls *tls, struct fault *fault)
{
	return content_read(tls->ca_cert, CA_LIMIT, &files[0], fault) && content_read(tls->ca_key, CA_LIMIT, &files[1], fault);
}

static bool load(struct mint *mint, const struct config_tls *tls, struct fault *fault)
{
	mint->given = tls->ca_cert;
	if (mint->given)
		look_at_files(mint->files, tls, NULL); /* ca_load() says what is wrong */
	bool done = tls->ca_cert ? ca_load(&mint->ca, tls->ca_cert, tls->ca_key, fault) : ca_make(&mint->ca, time(NULL), fault);
	if (!done)
		return false;
	mint->key = ca_key();
	return (mint->key && gnutls_session_ticket_key_generate(&mint->ticket_key) == 0) ||
	       fault_set(fault, FAULT_IO, "GnuTLS makes no key for interception");
}

struct mint *mint_new(const struct config *config, struct fault *fault)
{
	struct mint *mint = memory_alloc(sizeof *mint);
	atomic_init(&mint->references, 1);
	pthread_mutex_init(&mint->lock, NULL);
	TAILQ_INIT(&mint->names);
	if (load(mint, &config->tls, fault))
		return mint;
	mint_free(mint);
	return NULL;
}

static bool is_as_before(const struct mint *before, const struct config_tls *tls)
{
	struct content files[2];
	if (!tls->ca_cert || !before->given)
		return !tls->ca_cert && !before->given;
	return look_at_files(files, tls, NULL) && content_same(&files[0], &before->files[0]) &&
	       content_same(&files[1], &before->files[1]);
}

struct mint *mint_follow(const struct config *config, struct mint *before, char **stale, struct fault *fault)
{
	struct fault why = FAULT_INIT;
	*stale = NULL;
	if (before && is_as_before(before, &config->tls))
		return mint_ref(before);
	struct mint *mint = mint_new(config, &why);
	if (mint)
		return mint;
	if (!before || !before->given || !config->tls.ca_cert) {
		fault_set(fault, why.code, "%s", why.text);
		return NULL;
	}
	*stale = memory_string(why.text);
	return mint_ref(before);
}

struct mint *mint_ref(struct mint *mint)
{
	atomic_fetch_add_explicit(&mint->references, 1, memory_order_relaxed);
	return mint;
}

void mint_free(struct mint *mint)
{
	if (!mint || atomic_fetch_sub_explicit(&mint->references, 1, memory_order_acq_rel) > 1)
		return;
	struct name *name;
	while ((name = TAILQ_FIRST(&mint->names))) {
		TAILQ_REMOVE(&mint->names, name, place);
		name_free(name);
	}
	table_free(&mint->by_text);
	pthread_mutex_destroy(&mint->lock);
	ca_free(&mint->ca);
	if (mint->key)
		gnutls_x509_privkey_deinit(mint->key); /* zeroes */
	if (mint->ticket_key.data)
		explicit_bzero(mint->ticket_key.data, mint->ticket_key.size);
	gnutls_free(mint->ticket_key.data);
	free(mint);
}

void mint_pem(const struct mint *mint, struct buffer *out)
{
	for (unsigned i = 0; i < mint->ca.count; i++)
		tls_append_pem(mint->ca.chain[i], out);
}
