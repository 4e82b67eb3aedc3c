# What the Vault Agent does: logs in, renders each secret into a file, and again when it changes. `bao agent` and
# `vault agent` read this file alike. Where the server is, BAO_ADDR or VAULT_ADDR says, or `vault { address = "..." }` here.
# Paths start where the agent was started.

# The agent logs in by itself, and again when its token ends. In Kubernetes the method would be "kubernetes", on a machine
# of a cloud that cloud's; a role id and a secret id are for machines that are nothing of the kind.
auto_auth {
  method "approle" {
    config = {
      role_id_file_path   = "role-id"
      secret_id_file_path = "secret-id"
      # The default deletes the secret id once it was read, and then a restart of the agent needs a new one. Keep it
      # that way where something hands out a new one at each start.
      remove_secret_id_file_after_reading = false
    }
  }
  # No `sink`: the token stays in the agent's memory. Whoever has it can read the secrets.
}

template_config {
  # How often a secret of the key-value store, which has no lease, is looked at. The default is five minutes: that long the
  # old value would go on being used after it was replaced.
  static_secret_render_interval = "1s"

  # A server that is away for a while is no reason to end: the files keep their last values, and proxyd goes on.
  exit_on_retry_failure = false
}

# One file for each secret, with the bare value in it and nothing else. One newline at the end would do no harm.
template {
  contents    = "{{ with secret \"secret/data/keystile/demo\" }}{{ .Data.data.key }}{{ end }}"
  destination = "secrets/demo"

  # For the agent's user and its group. proxyd is the same user, or is in that group; the program that it guards is neither.
  perms = "0640"

  # Without this a missing key is rendered as the words `<no value>`. proxyd takes those for no secret and keeps the
  # last good one; with this the file is not even touched. (While one template fails, this agent renders none of them.)
  error_on_missing_key = true

  # There is no `command` to tell proxyd: it watches the folder. The agent writes another file and renames it, so that nobody
  # ever reads half a secret.
}

template {
  contents             = "{{ with secret \"secret/data/keystile/anthropic\" }}{{ .Data.data.key }}{{ end }}"
  destination          = "secrets/anthropic"
  perms                = "0640"
  error_on_missing_key = true
}
