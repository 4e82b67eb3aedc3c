# What the Vault Agent may do with its token: read these two secrets.
path "secret/data/keystile/*" {
  capabilities = ["read"]
}
