#include "exposition.h"

#include <inttypes.h>
#include <stdio.h>

static const char *const types[] = {
	[EXPOSITION_COUNTER] = "counter",
	[EXPOSITION_GAUGE] = "gauge",
	[EXPOSITION_HISTOGRAM] = "histogram",
};

/* OpenMetrics names a counter's family without what its samples end in. */
static struct span name_of(const struct exposition *exposition, enum exposition_type type, const char *name)
{
	struct span whole = span_of(name), suffix = SPAN("_total");
	bool cut = exposition->openmetrics && type == EXPOSITION_COUNTER && span_ends(whole, suffix);
	return span_head(whole, whole.length - (cut ? suffix.length : 0));
}

void exposition_family(struct exposition *exposition, enum exposition_type type, const char *name, const char *help)
{
	struct span shown = name_of(exposition, type, name);
	exposition->family = name;
	buffer_format(exposition->out, "# HELP %.*s %s\n", SPAN_ARGS(shown), help);
	buffer_format(exposition->out, "# TYPE %.*s %s\n", SPAN_ARGS(shown), types[type]);
}

static void put_value(struct buffer *out, const char *text)
{
	for (; *text; text++)
		if (*text == '\n')
			buffer_string(out, "\\n");
		else if (*text == '\\' || *text == '"')
			buffer_format(out, "\\%c", *text);
		else
			buffer_char(out, *text);
}

static void put_labels(struct buffer *out, const struct exposition_label *labels, const char *bound)
{
	const char *before = "{";
	for (size_t i = 0; labels && i < EXPOSITION_LABELS && labels[i].name; i++) {
		buffer_format(out, "%s%s=\"", before, labels[i].name);
		put_value(out, labels[i].value);
		buffer_char(out, '"');
		before = ",";
	}
	if (bound) {
		buffer_format(out, "%sle=\"%s\"", before, bound);
		before = ",";
	}
	if (*before == ',')
		buffer_char(out, '}');
}

static void put_name(const struct exposition *exposition, const char *suffix, const struct exposition_label *labels,
                     const char *bound)
{
	buffer_format(exposition->out, "%s%s", exposition->family, suffix);
	put_labels(exposition->out, labels, bound);
	buffer_char(exposition->out, ' ');
}

/* Seconds without a rest of zeros: "0.0025", "300". */
static void format_seconds(uint64_t microseconds, char out[32])
{
	int length = snprintf(out, 32, "%" PRIu64 ".%06" PRIu64, microseconds / 1000000, microseconds % 1000000);
	while (out[length - 1] == '0')
		out[--length] = 0;
	if (out[length - 1] == '.')
		out[--length] = 0;
}

void exposition_sample(struct exposition *exposition, const struct exposition_label *labels, uint64_t value)
{
	put_name(exposition, "", labels, NULL);
	buffer_format(exposition->out, "%" PRIu64 "\n", value);
}

void exposition_seconds(struct exposition *exposition, const struct exposition_label *labels, uint64_t microseconds)
{
	char text[32];
	format_seconds(microseconds, text);
	put_name(exposition, "", labels, NULL);
	buffer_format(exposition->out, "%s\n", text);
}

static void put_bucket(struct exposition *exposition, const struct exposition_label *labels, const char *bound, uint64_t count)
{
	put_name(exposition, "_bucket", labels, bound);
	buffer_format(exposition->out, "%" PRIu64 "\n", count);
}

/* OpenMetrics wants a bound to look like a float. */
static void put_bound(const struct exposition *exposition, uint64_t microseconds, char out[32])
{
	format_seconds(microseconds, out);
	if (exposition->openmetrics && microseconds % 1000000 == 0)
		strcat(out, ".0");
}

void exposition_histogram(struct exposition *exposition, const struct exposition_label *labels, const uint64_t *bounds,
                          const uint64_t *counts, size_t bound_count, uint64_t microseconds)
{
	char text[32];
	uint64_t sum = 0;
	for (size_t i = 0; i < bound_count; i++) {
		sum += counts[i];
		put_bound(exposition, bounds[i], text);
		put_bucket(exposition, labels, text, sum);
	}
	sum += counts[bound_count];
	put_bucket(exposition, labels, "+Inf", sum);
	format_seconds(microseconds, text);
	put_name(exposition, "_sum", labels, NULL);
	buffer_format(exposition->out, "%s\n", text);
	put_name(exposition, "_count", labels, NULL);
	buffer_format(exposition->out, "%" PRIu64 "\n", sum);
}

void exposition_end(struct exposition *exposition)
{
	if (exposition->openmetrics)
		buffer_string(exposition->out, "# EOF\n");
}
