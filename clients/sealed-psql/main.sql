\pset null null
-- # values in statements
INSERT INTO people VALUES (1, '123-45-6789', '1980-02-29', 1234.50, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '2001-02-03 04:05:06.7+00', 'it''s a note');
INSERT INTO people (id, ssn, born) VALUES (2, '987-65-4321', date '1999-12-31') RETURNING *;
SELECT * FROM people ORDER BY id;
SELECT id, born, income FROM people WHERE ssn = '123-45-6789' AND born = '1980-02-29' \gdesc
SELECT id, born, income FROM people WHERE ssn = '123-45-6789' AND born = '1980-02-29' \gx
SELECT id FROM people WHERE ref = 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid OR ssn IN ('987-65-4321', 'none') ORDER BY id;
UPDATE people SET income = 0.00, note = NULL WHERE ssn = '123-45-6789' RETURNING id, income, note;
SELECT count(income), count(DISTINCT born) FROM people;
-- # a value that is there already
\set ON_ERROR_STOP 0
INSERT INTO people (id, ssn) VALUES (3, '123-45-6789') ON CONFLICT (ssn) DO NOTHING;
\set ON_ERROR_STOP 1
-- # a cursor behind the scenes
\set FETCH_COUNT 1
SELECT id, ssn, born FROM people ORDER BY id;
\unset FETCH_COUNT
-- # copies
\copy people (id, ssn, born, income, note) from stdin with (format csv)
4,"1,2",2020-01-01,17,"a ""b"" c"
5,,,,
\.
\copy (SELECT id, ssn, born, income, note FROM people ORDER BY id) to stdout
\copy (SELECT id, ssn, born, income, note FROM people ORDER BY id) to stdout with (format csv, header)
-- # variables
SELECT ssn AS found FROM people WHERE id = 1 \gset
SELECT id FROM people WHERE ssn = :'found';
