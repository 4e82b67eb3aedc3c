#include "fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool fault_set(struct fault *fault, enum fault_code code, const char *format, ...)
{
	if (!fault)
		return false;
	fault->code = code;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(fault->text, sizeof fault->text, format, arguments);
	va_end(arguments);
	return false;
}

static enum fault_code code_of_errno(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return FAULT_MISSING;
	case EACCES:
	case EPERM:
	case EROFS:
		return FAULT_DENIED;
	case EAGAIN:
	case EADDRINUSE:
	case EBUSY:
		return FAULT_BUSY;
	case ETIMEDOUT:
		return FAULT_TIMEOUT;
	default:
		return FAULT_IO;
	}
}

bool fault_errno(struct fault *fault, const char *format, ...)
{
	int error = errno;
	if (!fault)
		return false;
	fault->code = code_of_errno(error);
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(fault->text, sizeof fault->text, format, arguments);
	va_end(arguments);
	if (length >= 0 && (size_t)length < sizeof fault->text)
		snprintf(fault->text + length, sizeof fault->text - (size_t)length, ": %s", strerror(error));
	return false;
}

bool fault_wrap(struct fault *fault, const char *format, ...)
{
	if (!fault)
		return false;
	char context[sizeof fault->text];
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(context, sizeof context, format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length + 2 >= sizeof context)
		return false;
	char text[sizeof fault->text];
	memcpy(text, fault->text, sizeof text);
	memcpy(fault->text, context, (size_t)length);
	memcpy(fault->text + length, ": ", 2);
	size_t room = sizeof fault->text - (size_t)length - 2;
	size_t kept = strnlen(text, sizeof text - 1);
	if (kept >= room)
		kept = room - 1;
	memcpy(fault->text + length + 2, text, kept);
	fault->text[(size_t)length + 2 + kept] = 0;
	return false;
}
