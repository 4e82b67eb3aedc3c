/* libcurl on the loop: its sockets watched, its timer kept, what it has finished told. */
#include <curl/curl.h>

#include "dial_internal.h"
#include "memory.h"

static void reap(struct dialer *dialer)
{
	CURLMsg *message;
	int left;
	while ((message = curl_multi_info_read(dialer->multi, &left))) {
		struct dial *dial = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&dial);
		dial_finished(dial, (int)code);
	}
}

static void act(struct dialer *dialer, curl_socket_t fd, int events)
{
	int running;
	curl_multi_socket_action(dialer->multi, fd, events, &running);
	reap(dialer);
}

static void socket_ready(struct loop_watch *watch, uint32_t events)
{
	int what = (events & EPOLLIN ? CURL_CSELECT_IN : 0) | (events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
	           (events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
	act(OWNER(watch, struct dial_socket, watch)->dialer, watch->fd, what);
}

static struct dial_socket *take_socket(struct dialer *dialer)
{
	struct dial_socket *taken = dialer->spare_sockets;
	if (taken)
		dialer->spare_sockets = taken->next;
	else
		taken = memory_alloc(sizeof *taken);
	*taken = (struct dial_socket){.watch = {.fd = -1, .ready = socket_ready}, .dialer = dialer};
	return taken;
}

static void give_socket(struct dial_socket *watched)
{
	struct dialer *dialer = watched->dialer;
	loop_watch_remove(dialer->loop, &watched->watch);
	watched->next = dialer->spare_sockets;
	dialer->spare_sockets = watched;
}

static int want_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *mine)
{
	struct dialer *dialer = context;
	struct dial_socket *watched = mine;
	uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) | (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);
	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (watched)
			give_socket(watched);
	} else if (watched) {
		loop_watch_change(dialer->loop, &watched->watch, events);
	} else {
		watched = take_socket(dialer);
		loop_watch_add(dialer->loop, &watched->watch, fd, events);
		curl_multi_assign(dialer->multi, fd, watched);
	}
	return 0;
}

static int want_timer(CURLM *multi, long milliseconds, void *context)
{
	struct dialer *dialer = context;
	(void)multi;
	loop_timer_stop(dialer->loop, &dialer->timer);
	dialer->run_now = milliseconds == 0;
	if (dialer->run_now)
		loop_later(dialer->loop, &dialer->kick);
	else if (milliseconds > 0)
		loop_timer_set(dialer->loop, &dialer->timer, (uint64_t)milliseconds);
	return 0;
}

static void timer_fired(struct loop_timer *timer)
{
	act(OWNER(timer, struct dialer, timer), CURL_SOCKET_TIMEOUT, 0);
}

bool dial_loop_start(struct dialer *dialer)
{
	dialer->multi = curl_multi_init();
	if (!dialer->multi)
		return false;
	dialer->timer.fire = timer_fired;
	curl_multi_setopt(dialer->multi, CURLMOPT_SOCKETFUNCTION, want_socket);
	curl_multi_setopt(dialer->multi, CURLMOPT_SOCKETDATA, dialer);
	curl_multi_setopt(dialer->multi, CURLMOPT_TIMERFUNCTION, want_timer);
	curl_multi_setopt(dialer->multi, CURLMOPT_TIMERDATA, dialer);
	return true;
}

void dial_loop_run(struct dialer *dialer)
{
	if (!dialer->run_now)
		return;
	dialer->run_now = false;
	act(dialer, CURL_SOCKET_TIMEOUT, 0);
}

void dial_loop_stop(struct dialer *dialer)
{
	curl_multi_cleanup(dialer->multi);
	loop_timer_stop(dialer->loop, &dialer->timer);
	while (dialer->spare_sockets) {
		struct dial_socket *spare = dialer->spare_sockets;
		dialer->spare_sockets = spare->next;
		free(spare);
	}
}
