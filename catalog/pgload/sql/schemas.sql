SELECT nspname
  FROM pg_namespace
 WHERE nspname !~ '^pg_(temp_|toast)'
 ORDER BY nspname
