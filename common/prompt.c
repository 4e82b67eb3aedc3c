#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "log.h"
#include "secret.h"
#include "vault_format.h"

#define PASSPHRASE_SHORT 12

/* Signals that would leave the terminal without echo: noted while asking, raised again once it is as it was. */
static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
#define SIGNALS (sizeof signals / sizeof *signals)

static volatile sig_atomic_t caught;

/* What the signals were before. */
struct before {
	struct sigaction actions[SIGNALS];
	sigset_t mask;
};

static void note(int number)
{
	caught = number;
}

/* Blocked too, but for the moments in which wait_for_byte() waits: one that came between its look and its wait would be
 * noted and never seen. */
static void catch_signals(struct before *before)
{
	struct sigaction action = {.sa_handler = note};
	sigset_t all;
	sigemptyset(&all);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaddset(&all, signals[i]);
	caught = 0;
	sigprocmask(SIG_BLOCK, &all, &before->mask);
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &action, &before->actions[i]);
}

static void release_signals(const struct before *before)
{
	int number = caught;
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before->actions[i], NULL);
	if (number)
		raise(number);
	sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

static bool cancelled(struct fault *fault)
{
	return fault_set(fault, FAULT_USAGE, "cancelled; nothing was changed");
}

static void erase(struct buffer *answer, size_t start)
{
	bool more = answer->length > start;
	while (more) {
		/* A character of several bytes goes whole. */
		more = ((unsigned char)answer->data[--answer->length] & 0xc0) == 0x80 && answer->length > start;
		answer->data[answer->length] = 0;
	}
}

/* False where a signal came instead. */
static bool wait_for_byte(int terminal, const struct before *before)
{
	struct pollfd wanted = {.fd = terminal, .events = POLLIN};
	while (!caught)
		if (ppoll(&wanted, 1, NULL, &before->mask) >= 0 || errno != EINTR)
			return !caught;
	return false;
}

/* Line editing of our own, since the terminal's own has a limit: erase, kill, end, cancel. */
static bool read_line(int terminal, const struct before *before, struct buffer *answer, struct fault *fault)
{
	size_t start = answer->length;
	for (;;) {
		char c;
		if (!wait_for_byte(terminal, before) || read(terminal, &c, 1) != 1 || c == CTRL('C') || c == CTRL('\\'))
			return cancelled(fault);
		if (c == '\n' || c == '\r')
			return true;
		if (c == CTRL('D'))
			return answer->length > start || cancelled(fault);
		if (c == CTRL('U'))
			answer->length = start;
		else if (c == 0x7f || c == '\b')
			erase(answer, start);
		else
			buffer_char(answer, c);
		if (answer->length - start > VAULT_VALUE)
			return fault_set(fault, FAULT_USAGE, "longer than %d bytes, the most that a secret may have", VAULT_VALUE);
	}
}

static void say(int terminal, const char *text)
{
	if (write(terminal, text, strlen(text)) < 0) {
		/* A terminal that is gone makes read() fail next. */
	}
}

static bool ask_on(int terminal, const char *prompt, struct buffer *answer, struct fault *fault)
{
	struct termios old, silent;
	if (tcgetattr(terminal, &old) != 0)
		return fault_errno(fault, "the terminal");
	silent = old;
	silent.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL | ISIG);
	silent.c_cc[VMIN] = 1;
	silent.c_cc[VTIME] = 0;
	struct before before;
	catch_signals(&before);
	tcsetattr(terminal, TCSAFLUSH, &silent);
	say(terminal, prompt);
	say(terminal, ": ");
	bool done = read_line(terminal, &before, answer, fault);
	say(terminal, "\n");
	/* What is left of a paste must not reach the shell: flushed with the switch. */
	tcsetattr(terminal, TCSAFLUSH, &old);
	release_signals(&before);
	return done;
}

static int open_terminal(void)
{
	return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

bool prompt_possible(void)
{
	int terminal = open_terminal();
	if (terminal >= 0)
		close(terminal);
	return terminal >= 0;
}

bool prompt_secret(void *context, const char *prompt, struct buffer *answer, struct fault *fault)
{
	(void)context;
	int terminal = open_terminal();
	if (terminal < 0)
		return fault_set(fault, FAULT_DENIED, "there is no terminal to ask for the %s on; give it as a file instead "
		                 "(passphrase:file:PATH for a passphrase)", prompt);
	bool done = ask_on(terminal, prompt, answer, fault);
	close(terminal);
	return done;
}

bool prompt_new_passphrase(void *context, const char *prompt, struct buffer *answer, struct fault *fault)
{
	AUTO_WIPE struct buffer again = {0}, text = {0};
	size_t start = answer->length;
	buffer_format(&text, "new %s", prompt);
	if (!prompt_secret(context, text.data, answer, fault) ||
	    !prompt_secret(context, "the same once more", &again, fault))
		return false;
	struct span first = span_from(buffer_view(answer), start);
	if (!secret_equal(first, buffer_view(&again)))
		return fault_set(fault, FAULT_USAGE, "the two are not the same; nothing was changed");
	if (first.length < PASSPHRASE_SHORT)
		log_warning("a passphrase under %d characters can be guessed; several words make a good one", PASSPHRASE_SHORT);
	return true;
}
