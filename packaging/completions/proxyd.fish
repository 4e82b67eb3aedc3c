complete -c proxyd -f
complete -c proxyd -s c -l config -r -F -d 'The configuration'
complete -c proxyd -l check -d 'Judge the configuration, and end'
complete -c proxyd -l log-format -x -a 'text json' -d 'How the log is written'
complete -c proxyd -l presets -d 'List the presets, and end'
complete -c proxyd -s v -d 'Log each request'
complete -c proxyd -s V -l version -d 'Show the version'
complete -c proxyd -s h -l help -d 'Show the options'
