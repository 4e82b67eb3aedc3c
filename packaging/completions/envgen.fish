# What the configuration calls its own is asked of `envgen names`, which reads no key and no vault.
function __envgen_names
    set -l config
    set -l words (commandline -opc)
    for i in (seq (count $words))
        switch $words[$i]
            case --config
                set -q words[(math $i + 1)]; and set config --config $words[(math $i + 1)]
            case '--config=*'
                set config --config (string replace -- --config= '' $words[$i])
        end
    end
    envgen names $argv[1] $config </dev/null 2>/dev/null
end

set -l commands explain run verify names admin
set -l none "not __fish_seen_subcommand_from $commands"

complete -c envgen -f
complete -c envgen -l config -r -F -d 'The configuration'
complete -c envgen -s h -l help -d 'Show the options'
complete -c envgen -l version -d 'Show the version'
complete -c envgen -n "not __fish_seen_subcommand_from names admin" -l profile -x -a '(__envgen_names profiles)' -d 'The profile that the program gets'
complete -c envgen -n "not __fish_seen_subcommand_from names admin" -l advertise -x -d 'The proxy as the program reaches it'
complete -c envgen -n "$none" -l format -x -a 'sh dotenv docker systemd github json fish k8s' -d 'For whom it is written'
complete -c envgen -n "$none" -s o -l output -r -F -d 'Write this file'
complete -c envgen -n "$none" -a explain -d 'What becomes of a host, and why'
complete -c envgen -n "$none" -a run -d 'Run a program in the environment'
complete -c envgen -n "$none" -a verify -d 'Start the clients of this machine, and see which way they go'
complete -c envgen -n "$none" -a names -d 'What the configuration calls its own'
complete -c envgen -n "$none" -a admin -d 'Where the admin page is'
complete -c envgen -n '__fish_seen_subcommand_from explain verify' -l json -d 'JSON instead of a table'
complete -c envgen -n '__fish_seen_subcommand_from names' -a 'profiles credentials secrets'
complete -c envgen -n '__fish_seen_subcommand_from run' -l confine -d 'Keep it from keys, secrets and other TCP ports'
complete -c envgen -n '__fish_seen_subcommand_from run' -l best-effort -d 'What cannot be confined is a warning'
complete -c envgen -n '__fish_seen_subcommand_from run' -l clean -d 'Of the environment only PATH, HOME, TERM, LANG and TZ stay'
complete -c envgen -n '__fish_seen_subcommand_from run' -l keep -x -a '(set -nx)' -d 'This variable stays too'
complete -c envgen -n '__fish_seen_subcommand_from run' -l ca-over -r -F -d 'This trust bundle gets the CA'
complete -c envgen -n '__fish_seen_subcommand_from run' -a '(__fish_complete_subcommand --fcs-skip=2)'
