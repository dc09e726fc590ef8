#!/usr/bin/env bash
# Run once, by PostgreSQL's image, when its volume is empty: a user and a database each for MLflow and for Optuna, which
# may not share one (both keep their schema's version in a table of the same name).
set -euo pipefail
for name in mlflow optuna; do
  # psql itself reads the password, so that it appears in no process list.
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres --set name="$name" \
    --set file="${SECRETS:-/run/secrets}/${name}_database" <<'SQL'
\set password `sed -n 's/^password=//p' :file`
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
