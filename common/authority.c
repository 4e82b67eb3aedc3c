#include "authority.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdio.h>

#include "utf8.h"

#define NAME_MAX_BYTES 253
#define LABEL_MAX_BYTES 63
#define INTERNATIONAL_MAX_BYTES 1000
#define QUOTE_BYTES 104

/* What a person is shown of a text that is refused: its first hundred bytes, without control characters. */
static void quote(struct span text, char out[QUOTE_BYTES])
{
	size_t used = 0;
	while (text.length > 0) {
		size_t size = utf8_length(text);
		if (used + 4 + 1 > QUOTE_BYTES - 3) {
			memcpy(out + used, "...", 3);
			used += 3;
			break;
		}
		unsigned char c = (unsigned char)text.data[0];
		if (size == 0 || c < 0x20 || c == 0x7f) {
			out[used++] = '?';
			size = 1;
		} else {
			memcpy(out + used, text.data, size);
			used += size;
		}
		text = span_from(text, size);
	}
	out[used] = 0;
}

/* Userinfo may be a password, so a text that has some is never shown. */
static bool refuse(struct span text, struct fault *fault, const char *why)
{
	if (text.length && memchr(text.data, '@', text.length))
		return fault_set(fault, FAULT_USAGE, "a host has a user name or password (`@`) in front; leave that out");
	char shown[QUOTE_BYTES];
	quote(text, shown);
	return fault_set(fault, FAULT_USAGE, "host `%s` %s", shown, why);
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The byte as it stands in a canonical name; 0 where none may have it. */
static char name_byte(char c)
{
	if ((c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_')
		return c;
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : 0;
}

static const char *why_not_name_byte(char c)
{
	switch (c) {
	case '%':
		return "has a percent-escape; write the characters themselves";
	case ' ':
		return "has a blank";
	case '/':
	case '?':
	case '#':
		return "has more than a host; leave out scheme, path and query";
	default:
		return (unsigned char)c < 0x20 || c == 0x7f ? "has a control character"
		                                            : "has a character that no host name has";
	}
}

/* Would a resolver take a name that ends in this label for an address (inet_aton, WHATWG "ends in a number")? */
static bool label_is_number(struct span label)
{
	size_t i = 0;
	while (i < label.length && is_digit(label.data[i]))
		i++;
	if (i == label.length)
		return true;
	if (!span_starts(label, SPAN("0x")))
		return false;
	label = span_from(label, 2);
	for (i = 0; i < label.length; i++)
		if (!is_digit(label.data[i]) && (label.data[i] < 'a' || label.data[i] > 'f'))
			return false;
	return true;
}

static const char *why_not_ipv4(struct span text)
{
	if (memchr(text.data, 'x', text.length))
		return "is an address in hexadecimal; write it in decimal, like 192.0.2.1";
	if (!memchr(text.data, '.', text.length))
		return "is a single number, which some read as an address; write it like 192.0.2.1";
	for (struct span rest = text; rest.data;) {
		struct span label = span_split(&rest, '.');
		if (label.length > 1 && label.data[0] == '0')
			return "has a leading zero, which some read as octal; write it in decimal, like 192.0.2.1";
	}
	return "ends in a number and is no IPv4 address; one has four numbers from 0 to 255, like 192.0.2.1";
}

/* Four decimal numbers without leading zeros, nothing else. */
static bool read_ipv4(struct span text, unsigned char address[4])
{
	for (size_t i = 0; i < 4; i++) {
		struct span part = span_split(&text, '.');
		if (part.length < 1 || part.length > 3 || (part.length > 1 && part.data[0] == '0'))
			return false;
		unsigned value = 0;
		for (size_t k = 0; k < part.length; k++) {
			if (!is_digit(part.data[k]))
				return false;
			value = value * 10 + (unsigned)(part.data[k] - '0');
		}
		if (value > 255 || (i < 3 && !text.data))
			return false;
		address[i] = (unsigned char)value;
	}
	return !text.data;
}

/* An ASCII name or IPv4 address into `host`. Returns NULL, or what is wrong. */
static const char *read_name(struct span text, struct host *host)
{
	size_t label = 0, last = 0;
	if (text.length > 0 && text.data[text.length - 1] == '.')
		text.length--;
	if (text.length > NAME_MAX_BYTES)
		return "is longer than 253 bytes";
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '.') {
			if (i == last)
				return "has an empty label";
			last = i + 1;
			label = 0;
		} else {
			c = name_byte(c);
			if (!c)
				return why_not_name_byte(text.data[i]);
			if (++label > LABEL_MAX_BYTES)
				return "has a label longer than 63 bytes";
		}
		host->name[i] = c;
	}
	if (label == 0)
		return "has an empty label";
	host->kind = HOST_NAME;
	host->length = (uint8_t)text.length;
	host->name[text.length] = 0;
	struct span name = host_span(host);
	if (!label_is_number(span_from(name, last)))
		return NULL;
	host->kind = HOST_IPV4;
	return read_ipv4(name, host->address) ? NULL : why_not_ipv4(name);
}

/* A name with other than ASCII characters. What it maps to is read again: full-width digits and dots become plain ones. */
static bool read_international(struct span text, struct host *host, struct fault *fault)
{
	char copy[INTERNATIONAL_MAX_BYTES + 1];
	if (text.length > INTERNATIONAL_MAX_BYTES)
		return refuse(text, fault, "is too long");
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if ((unsigned char)c < 0x80 && c != '.' && !name_byte(c))
			return refuse(text, fault, why_not_name_byte(c));
		copy[i] = c;
	}
	copy[text.length] = 0;
	uint8_t *mapped = NULL;
	int result = idn2_lookup_u8((const uint8_t *)copy, &mapped, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
	if (result != IDN2_OK) {
		char shown[QUOTE_BYTES];
		quote(text, shown);
		return fault_set(fault, FAULT_USAGE, "host `%s` is no valid international name (%s)", shown,
		                 idn2_strerror(result));
	}
	const char *why = read_name(span_of((const char *)mapped), host);
	idn2_free(mapped);
	return why ? refuse(text, fault, why) : true;
}

/* Text into a dotted quad or RFC 5952's form. inet_ntop writes that. */
static void name_address(struct host *host)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	if (memcmp(host->address, mapped, sizeof mapped) == 0) {
		host->kind = HOST_IPV4;
		memmove(host->address, host->address + 12, 4);
		memset(host->address + 4, 0, 12);
	}
	inet_ntop(host->kind == HOST_IPV4 ? AF_INET : AF_INET6, host->address, host->name, sizeof host->name);
	host->length = (uint8_t)strlen(host->name);
}

static const char *read_ipv6(struct span text, struct host *host)
{
	char copy[INET6_ADDRSTRLEN];
	if (text.length && memchr(text.data, '%', text.length))
		return "has a zone id (`%`), which means something else on every machine; leave it out";
	if (text.length >= sizeof copy || (text.length && memchr(text.data, 0, text.length)))
		return "is not an IPv6 address";
	if (text.length)
		memcpy(copy, text.data, text.length);
	copy[text.length] = 0;
	if (inet_pton(AF_INET6, copy, host->address) != 1)
		return "is not an IPv6 address";
	host->kind = HOST_IPV6;
	name_address(host);
	return NULL;
}

static bool has_high_byte(struct span text)
{
	unsigned char all = 0;
	for (size_t i = 0; i < text.length; i++)
		all |= (unsigned char)text.data[i];
	return all >= 0x80;
}

bool host_parse(struct span text, struct host *host, struct fault *fault)
{
	memset(host->address, 0, sizeof host->address);
	if (text.length == 0)
		return fault_set(fault, FAULT_USAGE, "the host is empty");
	const char *why;
	if (text.data[0] == '[') {
		if (text.data[text.length - 1] != ']')
			return refuse(text, fault, "has a `[` without a `]` at its end");
		why = read_ipv6((struct span){text.data + 1, text.length - 2}, host);
	} else if (memchr(text.data, ':', text.length)) {
		why = read_ipv6(text, host);
	} else if (has_high_byte(text)) {
		return read_international(text, host, fault);
	} else {
		why = read_name(text, host);
	}
	return why ? refuse(text, fault, why) : true;
}

static bool read_port(struct span text, uint16_t *port)
{
	uint32_t value = 0;
	if (text.length < 1 || text.length > 5 || text.data[0] == '0')
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (!is_digit(text.data[i]))
			return false;
		value = value * 10 + (uint32_t)(text.data[i] - '0');
	}
	*port = (uint16_t)value;
	return value <= UINT16_MAX;
}

/* Splits text before the ":" of a port; `port->data` is NULL where there is none. Returns NULL, or what is wrong. */
static const char *split_port(struct span text, struct span *host, struct span *port)
{
	*host = text;
	*port = (struct span){NULL, 0};
	if (text.length == 0)
		return NULL;
	size_t start = 0;
	if (text.data[0] == '[') {
		const char *end = memchr(text.data, ']', text.length);
		if (!end)
			return "has a `[` without a `]`";
		start = (size_t)(end - text.data) + 1;
		if (start < text.length && *(end + 1) != ':')
			return "goes on behind the `]`; only a port may follow, like [2001:db8::1]:443";
	}
	const char *colon = start < text.length ? memchr(text.data + start, ':', text.length - start) : NULL;
	if (!colon)
		return NULL;
	*host = (struct span){text.data, (size_t)(colon - text.data)};
	*port = span_from(text, host->length + 1);
	if (port->length && memchr(port->data, ':', port->length))
		return "has more than one `:`; an IPv6 address stands in brackets, like [2001:db8::1]:443";
	return NULL;
}

bool authority_parse(struct span text, struct authority *authority, struct fault *fault)
{
	struct span host, port;
	const char *why = split_port(text, &host, &port);
	authority->port = 0;
	if (!why && port.data && !read_port(port, &authority->port))
		why = "has no port from 1 to 65535 behind its `:`";
	return why ? refuse(text, fault, why) : host_parse(host, &authority->host, fault);
}

size_t authority_format(const struct host *host, uint16_t port, char *out)
{
	if (!port)
		return (size_t)snprintf(out, AUTHORITY_TEXT, "%s", host->name);
	bool brackets = host->kind == HOST_IPV6;
	return (size_t)snprintf(out, AUTHORITY_TEXT, "%s%s%s:%u", brackets ? "[" : "", host->name, brackets ? "]" : "",
	                        (unsigned)port);
}

bool host_is_loopback(const struct host *host)
{
	static const unsigned char ipv6[16] = {[15] = 1};
	switch (host->kind) {
	case HOST_IPV4:
		return host->address[0] == 127;
	case HOST_IPV6:
		return memcmp(host->address, ipv6, sizeof ipv6) == 0;
	case HOST_NAME:
		return span_equal(host_span(host), SPAN("localhost")) || span_ends(host_span(host), SPAN(".localhost"));
	}
	return false;
}

bool host_is_unspecified(const struct host *host)
{
	static const unsigned char zero[sizeof host->address];
	return host->kind != HOST_NAME && memcmp(host->address, zero, sizeof zero) == 0;
}

socklen_t host_sockaddr(const struct host *host, uint16_t port, struct sockaddr_storage *address)
{
	*address = (struct sockaddr_storage){0};
	if (host->kind == HOST_IPV6) {
		struct sockaddr_in6 *v6 = (void *)address;
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		memcpy(&v6->sin6_addr, host->address, sizeof v6->sin6_addr);
		return sizeof *v6;
	}
	struct sockaddr_in *v4 = (void *)address;
	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	memcpy(&v4->sin_addr, host->address, sizeof v4->sin_addr);
	return sizeof *v4;
}
