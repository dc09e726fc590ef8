#!/usr/bin/env bash
# Makes the secrets of deploy/compose.yaml, once, in deploy/compose/secrets/ (or the folder given):
#
#   deploy/compose/make_secrets.sh [FOLDER]
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
if [[ -e $folder ]]; then
  echo "$folder is there already and stays: the databases were made with its passwords." >&2
  echo "For new ones remove it, and all data: docker compose -f deploy/compose.yaml down --volumes" >&2
  exit 0
fi
command -v openssl >/dev/null || { echo "error: openssl is not installed; it makes the passwords" >&2; exit 69; }
# The folder keeps the other users of this machine out. The files are readable, because compose mounts them as they are
# into containers whose users this machine does not know.
umask 022
made=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$made"' EXIT
password() { openssl rand -hex 24; }

password >"$made/postgres_password"
password >"$made/grafana_password"
# For libpq (PGSERVICEFILE), which would refuse a password file (PGPASSFILE) that a container can read.
for name in mlflow optuna; do
  printf '[%s]\nhost=postgres\ndbname=%s\nuser=%s\npassword=%s\n' "$name" "$name" "$name" "$(password)" >"$made/${name}_database"
done
# The same key for both ends of the artifact store: as SeaweedFS and as boto3 read it.
key=mlflow secret=$(password)
printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$key" "$secret" >"$made/artifact_client"
cat >"$made/artifact_server" <<JSON
{"identities": [{
  "name": "mlflow",
  "credentials": [{"accessKey": "$key", "secretKey": "$secret"}],
  "actions": ["Admin", "Read", "List", "Tagging", "Write"]
}]}
JSON
mv -T "$made" "$folder"
echo "$(ls "$folder" | wc -l) secrets are in $folder; keep a copy of them with the backups of the volumes"
