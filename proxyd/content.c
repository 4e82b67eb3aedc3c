#include "content.h"

#include "file.h"

bool content_read(const char *path, size_t limit, struct content *content, struct fault *fault)
{
	AUTO_WIPE struct buffer bytes = {0};
	content->hash[0] = 0;
	if (!file_read(path, limit, &bytes, fault))
		return false;
	sha256_hex(buffer_view(&bytes), content->hash);
	return true;
}
