/* What proxyd tells and then ends: --check and --presets. Both return an exit status. */
#ifndef KEYSTILE_CHECK_H
#define KEYSTILE_CHECK_H

/* Judges the configuration (`given` as in config_find) and what it names. EXIT_SUCCESS: proxyd would start with it, as
 * far as can be told from here; what it would start without, such as a secret that is not there yet, is a warning. Both
 * go to standard error, as at start; one line on standard output says that the file is good. Runs exec: sources and
 * opens the vault, as a start does; makes no key, opens no listener, touches no audit file. */
int check_run(const char *given);

/* Lists the presets on standard output, each with what it sets. */
int check_presets(void);

#endif
