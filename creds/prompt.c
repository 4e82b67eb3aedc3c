#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
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

static void note(int number)
{
	caught = number;
}

static void catch_signals(struct sigaction old[SIGNALS])
{
	struct sigaction action = {.sa_handler = note}; /* without SA_RESTART: read() comes back */
	caught = 0;
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &action, &old[i]);
}

static void release_signals(const struct sigaction old[SIGNALS])
{
	for (size_t i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &old[i], NULL);
	if (caught)
		raise(caught);
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

/* Line editing of our own, since the terminal's own has a limit: erase, kill, end, cancel. */
static bool read_line(int terminal, struct buffer *answer, struct fault *fault)
{
	size_t start = answer->length;
	for (;;) {
		char c;
		ssize_t count = read(terminal, &c, 1);
		if (caught || (count < 0 && errno != EINTR))
			return cancelled(fault);
		if (count < 0)
			continue;
		if (count == 0 || c == CTRL('C') || c == CTRL('\\'))
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
	struct sigaction actions[SIGNALS];
	catch_signals(actions);
	tcsetattr(terminal, TCSAFLUSH, &silent);
	say(terminal, prompt);
	say(terminal, ": ");
	bool done = read_line(terminal, answer, fault);
	say(terminal, "\n");
	/* What is left of a paste must not reach the shell: flushed with the switch. */
	tcsetattr(terminal, TCSAFLUSH, &old);
	release_signals(actions);
	return done;
}

bool prompt_secret(void *context, const char *prompt, struct buffer *answer, struct fault *fault)
{
	(void)context;
	int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
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
