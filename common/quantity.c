#include "quantity.h"

struct unit {
	const char *name;
	uint64_t factor;
};

/* Takes digits off `*text`. False where there are none, or too many for 64 bits, or a zero leads. */
static bool take_number(struct span *text, uint64_t *number)
{
	size_t i = 0;
	*number = 0;
	for (; i < text->length && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, (uint64_t)(text->data[i] - '0'), number))
			return false;
	}
	if (i == 0 || (i > 1 && text->data[0] == '0'))
		return false;
	*text = span_from(*text, i);
	return true;
}

static const struct unit *find_unit(const struct unit *units, struct span name)
{
	for (; units->name; units++)
		if (span_equal(span_of(units->name), name))
			return units;
	return NULL;
}

static bool read_quantity(struct span text, const struct unit *units, uint64_t *value)
{
	const struct unit *unit;
	return take_number(&text, value) && (unit = find_unit(units, text)) &&
	       !__builtin_mul_overflow(*value, unit->factor, value);
}

bool quantity_bytes(struct span text, uint64_t *bytes, struct fault *fault)
{
	static const struct unit units[] = {
		{"", 1}, {"B", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
		{"KB", 1000}, {"MB", 1000000}, {"GB", 1000000000}, {NULL, 0},
	};
	return read_quantity(text, units, bytes) ||
	       fault_set(fault, FAULT_USAGE,
	                 "`%.*s` is not a size; write a number and B, KiB, MiB, GiB, KB, MB or GB, like 24KiB",
	                 SPAN_ARGS(span_head(text, 60)));
}

bool quantity_duration(struct span text, uint64_t *milliseconds, struct fault *fault)
{
	static const struct unit units[] = {
		{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {NULL, 0},
	};
	return read_quantity(text, units, milliseconds) ||
	       fault_set(fault, FAULT_USAGE, "`%.*s` is not a time; write a number and ms, s, m, h or d, like 30s",
	                 SPAN_ARGS(span_head(text, 60)));
}

static const struct unit rate_units[] = {{"/s", 1}, {"/m", 60}, {"/h", 3600}, {NULL, 0}};

bool quantity_rate(struct span text, struct rate *rate, struct fault *fault)
{
	struct span rest = text;
	uint64_t count;
	const struct unit *unit;
	if (!take_number(&rest, &count) || !(unit = find_unit(rate_units, rest)) || count == 0 || count > UINT32_MAX)
		return fault_set(fault, FAULT_USAGE,
		                 "`%.*s` is not a rate; write requests per second, minute or hour, like 10/s, 600/m or 5000/h",
		                 SPAN_ARGS(span_head(text, 60)));
	*rate = (struct rate){(uint32_t)count, (uint32_t)unit->factor};
	return true;
}

const char *quantity_rate_unit(struct rate rate)
{
	const struct unit *unit = rate_units;
	while (unit->factor != rate.seconds)
		unit++;
	return unit->name;
}

bool quantity_number(struct span text, uint64_t least, uint64_t most, uint64_t *number, struct fault *fault)
{
	struct span rest = text;
	if (take_number(&rest, number) && rest.length == 0 && *number >= least && *number <= most)
		return true;
	return fault_set(fault, FAULT_USAGE, "`%.*s` is not a whole number from %llu to %llu",
	                 SPAN_ARGS(span_head(text, 60)), (unsigned long long)least, (unsigned long long)most);
}
