SELECT c.oid, n.nspname, c.relname, c.relkind, c.relispartition,
       CASE WHEN c.relkind IN ('v', 'm') THEN coalesce(pg_get_viewdef(c.oid), '') ELSE '' END,
       c.relrowsecurity OR c.relkind IN ('r', 'p') AND c.relhasrules OR granted.writes AND all_data.writes
           OR NOT granted.readers @> granted.writers AND NOT 0 = ANY (granted.readers)
           OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT c.relnamespace = 'pg_catalog'::regnamespace),
       granted.readers,
       ARRAY(SELECT r FROM unnest(granted.readers) r
              WHERE EXISTS (SELECT FROM aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) u WHERE u.privilege_type = 'USAGE' AND u.grantee IN (0, r)))
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN (SELECT EXISTS (SELECT FROM pg_auth_members w WHERE w.roleid = to_regrole('pg_write_all_data')
                                AND NOT EXISTS (SELECT FROM pg_auth_members r WHERE r.member = w.member AND r.roleid = to_regrole('pg_read_all_data')))) AS all_data (writes)
 CROSS JOIN LATERAL (SELECT ARRAY(SELECT DISTINCT a.grantee FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a WHERE a.privilege_type = 'SELECT'),
                            ARRAY(SELECT DISTINCT a.grantee FROM aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) a
                                   WHERE a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE')), c.relkind IN ('r', 'p')) AS granted (readers, writers, writes)
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
   AND n.nspname !~ '^pg_(temp_|toast)'
 ORDER BY c.oid
