# What the configuration calls its own is asked of `envgen names`, which reads no key and no vault.
function __creds_secrets
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
    envgen names secrets $config </dev/null 2>/dev/null
end

set -l commands init set list show reveal rm import rekey key verify accept-older keygen
set -l none "not __fish_seen_subcommand_from $commands"
set -l sources 'file: systemd: passphrase passphrase:file:'

complete -c creds -f
complete -c creds -l config -r -F -d 'The configuration'
complete -c creds -l vault -r -F -d 'This vault'
complete -c creds -l key -x -a "$sources" -d 'Open it with this key'
complete -c creds -s h -l help -d 'Show the commands'
complete -c creds -l version -d 'Show the version'
complete -c creds -n "$none" -a init -d 'Make the vault, its key file and the session key'
complete -c creds -n "$none" -a set -d 'Store a secret'
complete -c creds -n "$none" -a list -d 'Names, ages, expiry, and who uses each'
complete -c creds -n "$none" -a show -d 'All about one secret but its value'
complete -c creds -n "$none" -a reveal -d 'Write a value to standard output'
complete -c creds -n "$none" -a rm -d 'Remove secrets'
complete -c creds -n "$none" -a import -d 'Store what an .env file has'
complete -c creds -n "$none" -a rekey -d 'Seal the vault anew'
complete -c creds -n "$none" -a key -d 'The keys that open the vault'
complete -c creds -n "$none" -a verify -d 'Open the vault and say how it stands'
complete -c creds -n "$none" -a accept-older -d 'Take an older copy of the vault for the right one'
complete -c creds -n "$none" -a keygen -d 'Make a key file'
complete -c creds -n '__fish_seen_subcommand_from set show reveal rm' -a '(__creds_secrets)'
complete -c creds -n '__fish_seen_subcommand_from set' -l from-file -r -F -d 'The value is in this file'
complete -c creds -n '__fish_seen_subcommand_from set' -l expires -x -a '30d 90d 365d never' -d 'When it expires'
complete -c creds -n '__fish_seen_subcommand_from list show verify' -l json -d 'JSON instead of a table'
complete -c creds -n '__fish_seen_subcommand_from rekey' -l with -x -a "$sources" -d 'This key stays'
complete -c creds -n '__fish_seen_subcommand_from rekey' -l drop -d 'Other keys go'
complete -c creds -n '__fish_seen_subcommand_from import keygen' -F
complete -c creds -n '__fish_seen_subcommand_from key; and not __fish_seen_subcommand_from add rm list' -a 'add rm list'
complete -c creds -n '__fish_seen_subcommand_from key; and __fish_seen_subcommand_from add' -a "$sources"
