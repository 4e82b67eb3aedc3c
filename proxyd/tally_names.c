#include "tally_names.h"

#include <stdlib.h>
#include <string.h>

#include "config.h"

const struct tally_limit_name tally_limit_names[TALLY_LIMITS] = {
	[TALLY_HEAD] = {"head", TALLY_UNIT_BYTES, offsetof(struct config_limits, head)},
	[TALLY_FIELDS] = {"fields", TALLY_UNIT_COUNT, offsetof(struct config_limits, fields)},
	[TALLY_HEAD_TIME] = {"head_time", TALLY_UNIT_TIME, offsetof(struct config_limits, head_time)},
	[TALLY_CONNECTIONS] = {"connections", TALLY_UNIT_COUNT, offsetof(struct config_limits, connections)},
	[TALLY_PROFILE_CONNECTIONS] = {"profile_connections", TALLY_UNIT_COUNT, offsetof(struct config_limits, profile_connections)},
	[TALLY_IDLE] = {"idle", TALLY_UNIT_TIME, offsetof(struct config_limits, idle)},
	[TALLY_BODY_IDLE] = {"body_idle", TALLY_UNIT_TIME, offsetof(struct config_limits, body_idle)},
	[TALLY_RESPONSE_IDLE] = {"response_idle", TALLY_UNIT_TIME, offsetof(struct config_limits, response_idle)},
	[TALLY_CONNECT] = {"connect", TALLY_UNIT_TIME, offsetof(struct config_limits, connect)},
	[TALLY_HANDSHAKE] = {"handshake", TALLY_UNIT_TIME, offsetof(struct config_limits, handshake)},
	[TALLY_TUNNEL_IDLE] = {"tunnel_idle", TALLY_UNIT_TIME, offsetof(struct config_limits, tunnel_idle)},
	[TALLY_STREAMS] = {"streams", TALLY_UNIT_COUNT, offsetof(struct config_limits, streams)},
	[TALLY_BODY] = {"body", TALLY_UNIT_BYTES, offsetof(struct config_limits, body)},
	[TALLY_SIGNED_BODY] = {"signed_body", TALLY_UNIT_BYTES, offsetof(struct config_limits, signed_body)},
};

const struct tally_reason tally_reasons[TALLY_REASONS] = {
	{"other", TALLY_LIMITS},
	{"address_refused", TALLY_LIMITS},
	{"audit_unavailable", TALLY_LIMITS},
	{"bad_token", TALLY_LIMITS},
	{"body_late", TALLY_BODY_IDLE},
	{"body_too_large", TALLY_BODY},
	{"browser", TALLY_LIMITS},
	{"client_certificate", TALLY_LIMITS},
	{"client_certificate_refused", TALLY_LIMITS},
	{"client_gone", TALLY_LIMITS},
	{"client_hello_malformed", TALLY_LIMITS},
	{"client_hello_too_large", TALLY_LIMITS},
	{"connect", TALLY_LIMITS},
	{"connect_content", TALLY_LIMITS},
	{"connect_timeout", TALLY_CONNECT},
	{"content_sha256", TALLY_LIMITS},
	{"copy_source", TALLY_LIMITS},
	{"credential_host", TALLY_LIMITS},
	{"credential_revoked", TALLY_LIMITS},
	{"dns", TALLY_LIMITS},
	{"first_byte", TALLY_LIMITS},
	{"first_bytes_late", TALLY_HEAD_TIME},
	{"flood", TALLY_LIMITS},
	{"gzip_undecided", TALLY_LIMITS},
	{"h2c", TALLY_LIMITS},
	{"handshake_timeout", TALLY_HANDSHAKE},
	{"head_late", TALLY_HEAD_TIME},
	{"head_too_large", TALLY_HEAD},
	{"host_denied", TALLY_LIMITS},
	{"host_not_allowed", TALLY_LIMITS},
	{"host_revoked", TALLY_LIMITS},
	{"malformed", TALLY_LIMITS},
	{"malformed_body", TALLY_LIMITS},
	{"malformed_path", TALLY_LIMITS},
	{"malformed_target", TALLY_LIMITS},
	{"method_case", TALLY_LIMITS},
	{"misdirected", TALLY_LIMITS},
	{"no_certificate", TALLY_LIMITS},
	{"no_credential", TALLY_LIMITS},
	{"no_destination", TALLY_LIMITS},
	{"no_prefix", TALLY_LIMITS},
	{"no_profile", TALLY_LIMITS},
	{"no_rule", TALLY_LIMITS},
	{"no_token", TALLY_LIMITS},
	{"override", TALLY_LIMITS},
	{"own_listener", TALLY_LIMITS},
	{"parent_auth", TALLY_LIMITS},
	{"parent_down", TALLY_LIMITS},
	{"parent_failed", TALLY_LIMITS},
	{"parent_not_ready", TALLY_LIMITS},
	{"parent_refused", TALLY_LIMITS},
	{"parent_timeout", TALLY_CONNECT},
	{"path_prefix", TALLY_LIMITS},
	{"profile_revoked", TALLY_LIMITS},
	{"rate", TALLY_LIMITS},
	{"resources", TALLY_LIMITS},
	{"response_late", TALLY_RESPONSE_IDLE},
	{"rule", TALLY_LIMITS},
	{"secret_in_gzip", TALLY_LIMITS},
	{"secret_not_ready", TALLY_LIMITS},
	{"secret_unfit", TALLY_LIMITS},
	{"shutdown", TALLY_LIMITS},
	{"signed_bodies", TALLY_LIMITS},
	{"signed_body_too_large", TALLY_SIGNED_BODY},
	{"signed_chunks", TALLY_LIMITS},
	{"signed_form", TALLY_LIMITS},
	{"sni_for_address", TALLY_LIMITS},
	{"sni_mismatch", TALLY_LIMITS},
	{"sni_missing", TALLY_LIMITS},
	{"stalled", TALLY_RESPONSE_IDLE},
	{"tls_handshake", TALLY_LIMITS},
	{"tls_handshake_late", TALLY_HANDSHAKE},
	{"token_in_path", TALLY_LIMITS},
	{"token_not_ready", TALLY_LIMITS},
	{"token_revoked", TALLY_LIMITS},
	{"too_many_connections", TALLY_CONNECTIONS},
	{"too_many_cookies", TALLY_HEAD},
	{"too_many_fields", TALLY_FIELDS},
	{"too_many_profile_connections", TALLY_PROFILE_CONNECTIONS},
	{"trace", TALLY_LIMITS},
	{"transfer_coding", TALLY_LIMITS},
	{"trust_unavailable", TALLY_LIMITS},
	{"tunnel_idle", TALLY_TUNNEL_IDLE},
	{"unasked_upgrade", TALLY_LIMITS},
	{"unreadable_gzip", TALLY_LIMITS},
	{"upstream_certificate", TALLY_LIMITS},
	{"upstream_closed", TALLY_LIMITS},
	{"upstream_cut", TALLY_LIMITS},
	{"upstream_failed", TALLY_LIMITS},
	{"upstream_head_too_large", TALLY_HEAD},
	{"upstream_malformed", TALLY_LIMITS},
	{"upstream_only_h1", TALLY_LIMITS},
	{"wildcard_upstream", TALLY_LIMITS},
};

/* The audit tells which byte it was. */
#define FIRST_BYTE "first_byte_0x"

static size_t count_reasons(void)
{
	size_t count = TALLY_REASONS;
	while (!tally_reasons[count - 1].name)
		count--;
	return count;
}

static int compare_reason(const void *key, const void *row)
{
	return strcmp(key, ((const struct tally_reason *)row)->name);
}

const char *audit_verdict_name(enum audit_verdict verdict)
{
	static const char *const names[AUDIT_VERDICTS] = {
		[AUDIT_ALLOW] = "allow",
		[AUDIT_DENY] = "deny",
		[AUDIT_FAIL] = "fail",
	};
	return names[verdict];
}

size_t tally_reason(const char *reason)
{
	if (!reason)
		return 0;
	if (strncmp(reason, FIRST_BYTE, sizeof FIRST_BYTE - 1) == 0)
		reason = "first_byte";
	const struct tally_reason *row =
		bsearch(reason, tally_reasons + 1, count_reasons() - 1, sizeof *tally_reasons, compare_reason);
	return row ? (size_t)(row - tally_reasons) : 0;
}

/* Those that IANA registers, and two that APIs send all the same. Sorted, behind those that stand for others. */
static const struct status {
	unsigned code;
	const char *name;
} statuses[TALLY_STATUSES] = {
	{0, "none"}, {1, "1xx"}, {2, "2xx"}, {3, "3xx"}, {4, "4xx"}, {5, "5xx"}, {6, "other"},
	{100, "100"}, {101, "101"}, {102, "102"}, {103, "103"}, {200, "200"}, {201, "201"}, {202, "202"},
	{203, "203"}, {204, "204"}, {205, "205"}, {206, "206"}, {207, "207"}, {208, "208"}, {226, "226"},
	{300, "300"}, {301, "301"}, {302, "302"}, {303, "303"}, {304, "304"}, {305, "305"}, {307, "307"},
	{308, "308"}, {400, "400"}, {401, "401"}, {402, "402"}, {403, "403"}, {404, "404"}, {405, "405"},
	{406, "406"}, {407, "407"}, {408, "408"}, {409, "409"}, {410, "410"}, {411, "411"}, {412, "412"},
	{413, "413"}, {414, "414"}, {415, "415"}, {416, "416"}, {417, "417"}, {418, "418"}, {421, "421"},
	{422, "422"}, {423, "423"}, {424, "424"}, {425, "425"}, {426, "426"}, {428, "428"}, {429, "429"},
	{431, "431"}, {451, "451"}, {499, "499"}, {500, "500"}, {501, "501"}, {502, "502"}, {503, "503"},
	{504, "504"}, {505, "505"}, {506, "506"}, {507, "507"}, {508, "508"}, {510, "510"}, {511, "511"},
	{529, "529"},
};

#define CLASSES 7 /* rows in front of the registered ones */

size_t tally_status(unsigned status)
{
	size_t low = CLASSES, high = TALLY_STATUSES;
	while (high > low && !statuses[high - 1].name)
		high--;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (statuses[middle].code == status)
			return middle;
		if (statuses[middle].code < status)
			low = middle + 1;
		else
			high = middle;
	}
	return status == 0 ? 0 : status >= 100 && status < 600 ? status / 100 : CLASSES - 1;
}

const char *tally_status_name(size_t index)
{
	return statuses[index].name;
}
