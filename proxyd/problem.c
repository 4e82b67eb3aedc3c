#include "problem.h"

#include "buffer.h"

bool problem_set(struct problem *problem, unsigned status, const char *reason, const char *detail, const char *hint)
{
	problem->status = status;
	problem->reason = reason;
	problem->detail = detail;
	problem->hint = hint;
	return false;
}

/* RFC 9110 §15, RFC 6585 §4 and §5. */
static const struct title_row {
	unsigned status;
	const char *title;
} titles[] = {
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{413, "Content Too Large"},
	{421, "Misdirected Request"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
};

const char *problem_title(unsigned status)
{
	for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
		if (titles[i].status == status)
			return titles[i].title;
	return "";
}

static void write_member(struct buffer *out, const char *name, const char *value)
{
	if (!value)
		return;
	buffer_format(out, ",\"%s\":\"", name);
	buffer_json(out, span_of(value));
	buffer_char(out, '"');
}

static struct span write_body(const struct problem *problem, struct arena *arena)
{
	AUTO_BUFFER struct buffer out = {0};
	buffer_format(&out, "{\"title\":\"%s\",\"status\":%u", problem_title(problem->status), problem->status);
	write_member(&out, "detail", problem->detail);
	write_member(&out, "hint", problem->hint);
	buffer_string(&out, "}\n");
	return arena_span(arena, buffer_view(&out));
}

/* `details` is a String of RFC 8941: printable ASCII alone. The reason is one of our own words. */
static struct span proxy_status(const struct problem *problem, struct arena *arena)
{
	return span_of(arena_format(arena, "keystile; error=%s; details=\"%s\"",
	                            problem->error ? problem->error : "http_request_error", problem->reason));
}

void problem_response(const struct problem *problem, struct arena *arena, struct response *response, struct span *body)
{
	struct fields fields = {0};
	*body = write_body(problem, arena);
	fields_add(&fields, arena, SPAN("Content-Type"), SPAN("application/problem+json"));
	fields_add(&fields, arena, SPAN("Cache-Control"), SPAN("no-store"));
	fields_add(&fields, arena, SPAN("Proxy-Status"), proxy_status(problem, arena));
	if (problem->status == 401)
		fields_add(&fields, arena, SPAN("WWW-Authenticate"), SPAN("Basic realm=\"keystile\", Bearer"));
	if (problem->status == 407)
		fields_add(&fields, arena, SPAN("Proxy-Authenticate"), SPAN("Basic realm=\"keystile\""));
	if (problem->retry_after > 0)
		fields_add(&fields, arena, SPAN("Retry-After"), span_of(arena_format(arena, "%u", problem->retry_after)));
	if (problem->allow.length > 0)
		fields_add(&fields, arena, SPAN("Allow"), problem->allow);
	*response = (struct response){
		.status = problem->status,
		.minor = 1,
		.reason = span_of(problem_title(problem->status)),
		.fields = fields,
		.body = {BODY_LENGTH, body->length},
	};
}
