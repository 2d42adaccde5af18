SELECT i.inhrelid, i.inhparent
  FROM pg_inherits i
  JOIN pg_class c ON c.oid = i.inhrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f')
   AND n.nspname !~ '^pg_(temp_|toast)'
 ORDER BY i.inhrelid, i.inhseqno
