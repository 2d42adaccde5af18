-- A foreign key to a partitioned table has a row for each partition as well;
-- those hang below the one that was declared, on the same table.
SELECT k.conrelid, k.contype, k.conname, k.conkey, k.confrelid, k.confkey, k.confdeltype
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE k.contype IN ('p', 'f')
   AND n.nspname !~ '^pg_(temp_|toast)'
   AND NOT EXISTS (SELECT
                     FROM pg_constraint up
                    WHERE up.oid = k.conparentid
                      AND up.conrelid = k.conrelid)
 ORDER BY k.conrelid, k.conname
