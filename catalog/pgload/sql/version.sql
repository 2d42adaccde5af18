-- Every row goes in with the transaction that wrote it; pg_class goes in by
-- content, since TRUNCATE and its like rewrite rows that say the same as before.
WITH live AS MATERIALIZED (
    SELECT c.oid, c.relname, c.relnamespace, c.relkind, c.relispartition, c.reltype
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
       AND n.nspname !~ '^pg_(temp_|toast)'
)
SELECT hash_record_extended(ROW(
    current_database(),
    current_setting('server_version_num'),
    (SELECT bit_xor(hash_record_extended(ROW(oid, nspname), 0))
       FROM pg_namespace WHERE nspname !~ '^pg_(temp_|toast)'),
    (SELECT bit_xor(hash_record_extended(ROW(live.*), 0)) FROM live),
    (SELECT bit_xor(hash_record_extended(ROW(attrelid, attnum, a.xmin), 0))
       FROM pg_attribute a JOIN live ON live.oid = attrelid WHERE attnum > 0),
    (SELECT bit_xor(hash_record_extended(ROW(k.oid, k.xmin), 0))
       FROM pg_constraint k JOIN live ON live.oid = conrelid),
    (SELECT bit_xor(hash_record_extended(ROW(inhrelid, inhparent, i.xmin), 0))
       FROM pg_inherits i JOIN live ON live.oid = inhrelid),
    (SELECT bit_xor(hash_record_extended(ROW(r.oid, r.xmin), 0))
       FROM pg_rewrite r JOIN live ON live.oid = ev_class),
    (SELECT bit_xor(hash_record_extended(ROW(t.oid, t.xmin), 0))
       FROM pg_type t JOIN pg_namespace n ON n.oid = typnamespace
      WHERE nspname !~ '^pg_(temp_|toast)'),
    (SELECT bit_xor(hash_record_extended(ROW(p.oid, p.xmin), 0))
       FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
      WHERE nspname !~ '^pg_(temp_|toast)'),
    (SELECT bit_xor(hash_record_extended(ROW(o.oid, o.xmin), 0))
       FROM pg_operator o JOIN pg_namespace n ON n.oid = oprnamespace
      WHERE nspname !~ '^pg_(temp_|toast)'),
    (SELECT bit_xor(hash_record_extended(ROW(objid, refobjid, xmin), 0))
       FROM pg_depend WHERE deptype = 'e' AND classid = 'pg_proc'::regclass)
), 0)
